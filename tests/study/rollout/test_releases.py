"""Known releases: the list itself, a user's own file over it, and where versions stand."""

import csv
import io
import os
import re
import subprocess
import sys
from types import SimpleNamespace

import pandas as pd
import pytest
from click.testing import CliRunner
from fleet import at, numbers

from amakit import cli
from amakit.errors import AmakitError
from amakit.find.versions import version_key
from amakit.study.rollout.releases import COLUMNS, STANDINGS, known, listed, seen

HEADER = "os_type,version,released_earliest,released_latest,known_bad,note,source\n"


@pytest.fixture
def file(tmp_path):
    def write(text):
        path = tmp_path / "own.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


@pytest.fixture(autouse=True)
def no_file_of_ones_own(monkeypatch):
    monkeypatch.delenv("AMAKIT_RELEASES", raising=False)


def run(*arguments):
    return CliRunner().invoke(cli.main, ["releases", *map(str, arguments)])


# -- the list ------------------------------------------------------------------------------------------------------


def test_the_list_is_in_order_and_has_one_row_for_each_version():
    found = known()
    assert list(found.columns) == list(COLUMNS)
    for _, line in found.groupby("os_type"):
        order = [numbers(version) for version in line["version"]]
        assert order == sorted(order)
        assert len({tuple(parts) for parts in order}) == len(line)
    assert (found["released_earliest"] < found["released_latest"]).all()
    assert (found["source"] != "").all()
    assert str(found["released_earliest"].dtype) == "datetime64[us, UTC]"


def test_months_are_whole_and_the_two_days_that_are_known_are_days():
    found = known().set_index(["os_type", "version"])
    spans = found["released_latest"] - found["released_earliest"]
    october = found.loc["Linux", "1.38.1"]
    assert (october["released_earliest"], october["released_latest"]) == (at("2025-10-01"), at("2025-11-01"))
    assert found.loc["Windows", "1.34.0"]["released_earliest"] == at("2025-03-11")
    assert set(spans[spans == pd.Timedelta(days=1)].index) == {("Windows", "1.34.0"), ("Linux", "1.34.5")}
    assert found.loc["Windows", "1.11.0"]["released_latest"] == at("2023-01-01")  # November to December


def test_a_later_version_never_came_out_before_an_earlier_one_could():
    for _, line in known().groupby("os_type"):
        latest = line["released_latest"]
        assert (line["released_earliest"].cummax() < latest).all(), (
            "an interval ends before one of an earlier version began"
        )


def test_what_changes_gaps_is_noted():
    found = known().set_index(["os_type", "version"])["note"]
    for key in [
        ("Linux", "1.34.5"),
        ("Windows", "1.35.1"),
        ("Windows", "1.8.0"),
        ("Linux", "1.22.2"),
        ("Linux", "1.28.11"),
        ("Windows", "1.22.0"),
        ("Linux", "1.27.4"),
        ("Windows", "1.16.0.0"),
        ("Linux", "1.38.0"),
    ]:
        assert len(found.loc[key]) > 10, key


# -- a file of one's own -------------------------------------------------------------------------------------------


def test_own_rows_replace_and_add_and_the_others_stay(file):
    own = file(
        "﻿version, os_type ,released_earliest,released_latest,known_bad,note\n"
        '1.38.1.0,linux,2025-10-07,2025-10-09,YES,"ours, held back"\n\n'
        "1.50.0,WINDOWS,2026-08,2026-09,,\n"
    )
    found, before = known(own), known()
    assert len(found) == len(before) + 1
    mine = found[found["version"] == "1.38.1.0"].iloc[0]
    assert (mine["os_type"], mine["known_bad"], mine["note"]) == ("Linux", True, "ours, held back")
    assert (mine["released_earliest"], mine["released_latest"]) == (at("2025-10-07"), at("2025-10-10"))
    assert not ((found["os_type"] == "Linux") & (found["version"] == "1.38.1")).any()
    assert found.iloc[-1][["os_type", "version", "known_bad"]].tolist() == ["Windows", "1.50.0", False]
    same = found.merge(before, how="inner")
    assert len(same) == len(before) - 1


def test_the_environment_names_a_file_and_the_option_goes_before_it(file, monkeypatch, tmp_path):
    own = file(HEADER + "Linux,9.9,2026-01,2026-01,no,,\n")
    monkeypatch.setenv("AMAKIT_RELEASES", str(own))
    assert "9.9" in set(known()["version"])
    other = tmp_path / "other.csv"
    other.write_text(HEADER + "Linux,8.8,2026-01,2026-01,no,,\n", encoding="utf-8")
    assert {"9.9", "8.8"} & set(known(other)["version"]) == {"8.8"}


def test_what_the_command_prints_can_be_read_again(file):
    printed = run()
    assert printed.exit_code == 0
    pd.testing.assert_frame_equal(known(file(printed.stdout)), known())


BAD = {
    "version": ("Linux,1.3x.1,2026-01,2026-01,no,,", "line 2: version '1.3x.1' cannot be read; it is two to four numbers"),
    "a package's version": ("Linux,1.40.3-134,2026-01,2026-01,no,,", "version '1.40.3-134' cannot be read"),
    "one number": ("Linux,1,2026-01,2026-01,no,,", "version '1' cannot be read"),
    "no version": ("Linux,,2026-01,2026-01,no,,", "version '' cannot be read"),
    "digits of another script": ("Linux,１.２,2026-01,2026-01,no,,", "cannot be read"),
    "date": ("Linux,1.2.3,last spring,2026-01,no,,", "released_earliest 'last spring' is no date; write a month as"),
    "month": ("Linux,1.2.3,2026-13,2026-13,no,,", "released_earliest '2026-13' is no date"),
    "day": ("Linux,1.2.3,2026-02-30,2026-03,no,,", "released_earliest '2026-02-30' is no date"),
    "hour": ("Linux,1.2.3,2026-02-20,2026-03-01T25:00Z,no,,", "released_latest '2026-03-01T25:00Z' is no date"),
    "no date": ("Linux,1.2.3,,2026-01,no,,", "released_earliest '' is no date"),
    "year": ("Linux,1.2.3,0000-01,2026-01,no,,", "released_earliest '0000-01' is no date"),
    "turned round": ("Linux,1.2.3,2026-03,2026-01,no,,", "released_latest '2026-01' is not after released_earliest '2026-03'"),
    "no time at all": ("Linux,1.2.3,2026-03-01T00:00Z,2026-03-01T00:00Z,no,,", "an interval must not end before it begins"),
    "system": ("macOS,1.2.3,2026-01,2026-01,no,,", "os_type 'macOS' is not known; it is Windows or Linux"),
    "bad or not": ("Linux,1.2.3,2026-01,2026-01,perhaps,,", "known_bad 'perhaps' is neither yes nor no"),
    "twice": ("Linux,1.2.3,2026-01,2026-01,no,,\nLinux,1.2.3.0,2026-01,2026-01,no,,",
              "line 3: Linux '1.2.3.0' stands in line 2 already as '1.2.3'"),
    "a comma too many": ("Linux,1.2.3,2026-01,2026-01,no,one, two,", "line 2: 8 fields where the header has 7"),
    "an open quote": ('Linux,1.2.3,2026-01,2026-01,no,"open,', "broken CSV"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_bad_row_is_named_with_file_line_value_rule_and_next_step(case, file):
    rows, told = BAD[case]
    path = file(HEADER + rows + "\n")
    with pytest.raises(AmakitError) as error:
        known(path)
    text = str(error.value)
    assert text.startswith(f"{path}, line ")
    assert told in text
    assert "\n" not in text
    assert re.search(r"mend that row|take out", text)


HEADERS = {
    "unknown": (HEADER.replace("note", "remark"), "line 1: there is no column 'remark', "),
    "misspelt": (HEADER.replace("known_bad", "know_bad"), "the nearest is 'known_bad'"),
    "missing": ("os_type,version,released_earliest\n", "line 1: column 'released_latest' is missing"),
    "twice": (HEADER.strip() + ",note\n", "column 'note' stands there twice"),
    "empty": ("", "column 'os_type' is missing"),
    "no text": (b"os_type,\xff\xfe\n", "cannot be read as text"),
}


@pytest.mark.parametrize("case", HEADERS)
def test_a_bad_header_is_named(case, file):
    text, told = HEADERS[case]
    with pytest.raises(AmakitError) as error:
        known(file(text))
    assert told in str(error.value)


@pytest.mark.parametrize("name", ["nowhere.csv", "."])
def test_a_file_that_cannot_be_read_is_one_sentence_on_the_command_line(name, tmp_path):
    done = run("--releases", tmp_path / name)
    assert done.exit_code == 1
    assert done.stderr.startswith("amakit: the releases in ")
    assert "check --releases and AMAKIT_RELEASES" in done.stderr


# -- where versions stand ------------------------------------------------------------------------------------------


def frame(*pairs):
    return pd.DataFrame(pairs, columns=["os_type", "version"])


def test_behind_counts_the_releases_of_the_own_line():
    found = seen(
        frame(("Linux", "1.36.1"), ("Windows", "1.36.0.0"), ("Windows", "1.25.0"), ("Linux", "1.38.0")), known()
    )
    found = found.set_index(["os_type", "version"])
    # 1.37 in September, 1.38.0 and 1.38.1 in October, 1.40.0 to 1.41.0 at an unknown time since November, and 1.42.0
    assert found.loc[("Linux", "1.36.1"), "behind"] == 4
    releases = known()
    newer = releases[(releases["os_type"] == "Windows") & (releases["released_earliest"] >= at("2025-07-01"))]
    assert found.loc[("Windows", "1.36.0.0"), "behind"] == newer["released_earliest"].nunique()
    assert found.loc[("Linux", "1.38.0"), ["behind", "newest"]].tolist() == [
        2,
        "1.42.0",
    ]  # 1.38.1 came in the same month
    assert found.loc[("Windows", "1.25.0"), "known_bad"]
    assert "not to be used" in found.loc[("Windows", "1.25.0"), "remark"]


def test_bad_builds_are_no_releases_to_be_behind_of(file):
    releases = known(file(HEADER + "Linux,1.50.0,2027-01,2027-01,yes,,\n"))
    found = seen(frame(("Linux", "1.42.0"), ("Linux", "1.50.0")), releases)
    assert found[["behind", "newest"]].values.tolist() == [[0, "1.42.0"], [0, "1.42.0"]]


def test_a_version_that_is_not_listed_is_normal():
    found = seen(
        frame(("Linux", "1.37.4"), ("Linux", "1.99.0"), ("Linux", "1.0.1"), ("Linux", "dev"), ("AIX", "1.2")), known()
    )
    assert set(found["standing"]) == {"between", "newer", "older", "unreadable"}
    assert set(found["standing"]) < set(STANDINGS)
    told = found.set_index("version")["remark"]
    assert (
        told["1.37.4"]
        == "Linux 1.37.4 is not in the list, which is normal: the list is never complete; 3 releases behind 1.42.0"
    )
    assert "which is normal" in told["1.99.0"]
    assert found.set_index("version")["behind"].isna().to_dict() == {
        "1.37.4": False,
        "1.99.0": False,
        "1.0.1": False,
        "dev": True,
        "1.2": True,
    }


def test_each_spelling_of_a_version_is_told_so_that_no_machine_is_left_out():
    found = seen(
        frame(("Linux", "1.38.1"), ("Linux", "1.38.1.0"), ("linux", "1.38.1"), ("x", "a"), ("x", "b")), known()
    )
    assert set(found["version"]) == {"1.38.1", "1.38.1.0", "a", "b"}
    assert found["behind"].dropna().tolist() == [2, 2, 2]


def test_behind_never_grows_with_the_version():
    releases = known()
    found = seen(releases, releases)
    assert (found["standing"] == "listed").all()
    for _, line in found.groupby("os_type"):
        assert [version_key(v) for v in line["version"]] == sorted(version_key(v) for v in line["version"])
        assert line["behind"].is_monotonic_decreasing


def test_an_analysis_and_an_empty_frame_are_taken_too():
    machines = frame(("Linux", "1.38.1"), ("Linux", "1.38.1"), ("Linux", "")).assign(computer=["a", "b", "c"])
    assert len(seen(SimpleNamespace(machines=machines), known())) == 1
    empty = seen(frame(), known())
    assert len(empty) == 0
    assert listed(frame(), known()).tolist() == []


# -- the command ---------------------------------------------------------------------------------------------------


def test_the_command_lists_one_line_as_csv_in_a_pipe(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "amakit", "releases", "--os", "linux"],
        capture_output=True,
        text=True,
        env=os.environ | {"AMAKIT_RELEASES": ""},
    )
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert (done.returncode, done.stderr) == (0, "")
    assert list(rows[0]) == list(COLUMNS)
    assert {row["os_type"] for row in rows} == {"Linux"}
    assert rows[-1]["released_latest"].endswith("Z")
    assert run("--out", tmp_path / "list.parquet").exit_code == 0
    assert (tmp_path / "list.parquet").read_bytes()[:4] == b"PAR1"


def test_the_command_says_where_the_versions_of_a_workspace_stand():
    done = run("--workspace", "demo")
    assert done.exit_code == 0, done.stderr
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert {row["standing"] for row in rows} <= set(STANDINGS)
    assert len(rows) >= 3
