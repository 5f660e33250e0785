"""Several workspaces in one analysis: a fleet that is cut in pieces is analysed as the whole one."""

import contextlib

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from fleet import at, counters, every, heartbeats, write
from pandas.testing import assert_frame_equal

import amakit
from amakit.cli import main
from amakit.errors import Refused
from amakit.report.batch import _parts
from amakit.report.request import Request

START, END = "2026-03-02", "2026-03-02 06:00"
TABLES = ("machines", "transitions", "outages", "gaps", "events", "sources", "evidence", "segments", "runs", "samples")


def machine(number, version="1.37", **columns):
    """One that is upgraded at its own time, and beats on its own second."""
    name, away, phase = f"m{number}", f"2026-03-02 0{number}:10", number * 7.0
    beat = every(60, START, END, [(away, f"2026-03-02 0{number}:1{4 + number % 3}")], phase)
    rows = heartbeats(name, beat, "1.38", **columns)
    return rows.assign(Version=np.where(rows["TimeGenerated"] < at(away), version, "1.38"))


FLEET = pd.concat([machine(number) for number in range(1, 6)], ignore_index=True)


def analyzed(*folders, **options):
    with amakit.connect([str(folder) for folder in folders]) as workspace:
        return amakit.analyze(workspace, START, END, **options)


def assert_same(found, expected, tables=TABLES):
    for name in tables:
        order = list(getattr(expected, name).columns)
        one, other = (getattr(each, name)[order].sort_values(order, ignore_index=True) for each in (found, expected))
        assert_frame_equal(one, other, obj=name)


def lacking(rows, since, until, names=None):
    gone = rows["TimeGenerated"].between(at(since), at(until), inclusive="left")
    return rows[~(gone & (rows["Computer"].isin(names) if names else True))]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return write(tmp_path_factory.mktemp("whole") / "all", Heartbeat=FLEET)


@pytest.fixture(scope="module")
def expected(whole):
    return analyzed(whole)


def test_a_fleet_in_two_folders_by_machine_is_that_of_one(tmp_path, expected):
    first = FLEET["Computer"].isin(["m1", "m4"])
    found = analyzed(write(tmp_path / "a", Heartbeat=FLEET[first]), write(tmp_path / "b", Heartbeat=FLEET[~first]))
    assert_same(found, expected)
    assert found.machines["workspace"].tolist() == ["a", "b", "b", "a", "b"]
    assert list(found.outages.columns)[-1] == "workspace"
    assert found.destinations.empty
    assert [(one["workspace"], one["machines"]) for one in found.run["workspaces"]] == [("a", 2), ("b", 3)]


def test_the_same_folder_twice_is_one(whole, expected):
    found = analyzed(whole, f"{whole}/")
    assert_same(found, expected)
    assert "workspace" not in found.outages
    assert "workspaces" not in found.run


def test_rows_split_at_random_give_the_outages_of_the_whole(tmp_path):
    fleet = FLEET[(FLEET["Computer"] == "m1") & (FLEET["TimeGenerated"] < at("2026-03-02 03:00"))]
    pick = np.random.default_rng(3).random(len(fleet)) < 0.5
    found = analyzed(write(tmp_path / "a", Heartbeat=fleet[pick]), write(tmp_path / "b", Heartbeat=fleet[~pick]))
    assert_same(found, analyzed(write(tmp_path / "c", Heartbeat=fleet)), ["transitions", "outages", "gaps", "samples"])
    assert set(found.machines["workspace"]) == {"a, b"}


@pytest.mark.parametrize("names", [["m2"], None], ids=["of one machine", "of all"])
def test_a_hole_in_one_of_two_copies_is_a_destination_that_failed(whole, tmp_path, expected, names):
    copy = write(tmp_path / "copy", Heartbeat=lacking(FLEET, "2026-03-02 04:00", "2026-03-02 05:00", names))
    found = analyzed(whole, copy)
    assert_same(found, expected)
    assert found.destinations["computer"].tolist() == (names or ["m1", "m2", "m3", "m4", "m5"])
    assert set(zip(found.destinations["workspace"], found.destinations["received_by"], strict=True)) == {
        ("copy", "all")
    }
    assert not found.destinations["ongoing"].any()
    one = found.destinations.set_index("computer").loc["m2"]
    assert at("2026-03-02 03:58") <= one["silent_from"] <= at("2026-03-02 04:00")
    assert at("2026-03-02 05:00") <= one["silent_to"] <= at("2026-03-02 05:02")


def test_a_silence_in_both_is_an_outage_and_only_what_one_lacks_beyond_is_its_own(tmp_path):
    rows = lacking(FLEET, "2026-03-02 04:00", "2026-03-02 04:30", ["m2"])
    longer = lacking(rows, "2026-03-02 04:30", "2026-03-02 05:15", ["m2"])
    found = analyzed(write(tmp_path / "a", Heartbeat=rows), write(tmp_path / "b", Heartbeat=longer))
    away = found.outages[(found.outages["computer"] == "m2") & (found.outages["cause"] == "unexplained")]
    assert away["end_latest"].dt.floor("min").tolist() == [at("2026-03-02 04:30")]
    (only,) = found.destinations.itertuples()
    assert (only.workspace, only.received_by) == ("b", "a")
    assert (only.silent_from.floor("min"), only.silent_to.floor("min")) == (
        at("2026-03-02 04:30"),
        at("2026-03-02 05:15"),
    )


def test_a_machine_that_moves_is_one_without_an_outage(tmp_path, expected):
    at_noon = FLEET["TimeGenerated"] < at("2026-03-02 03:30")
    mover = FLEET["Computer"] == "m3"
    old, new = FLEET[~mover | at_noon], FLEET[mover & ~at_noon]
    found = analyzed(write(tmp_path / "old", Heartbeat=old), write(tmp_path / "new", Heartbeat=new))
    assert_same(found, expected)
    (moved,) = found.destinations.itertuples()
    assert (moved.computer, moved.workspace, moved.received_by, moved.ongoing) == ("m3", "old", "new", True)


def test_a_folder_that_ends_early_says_nothing_of_the_machines_of_another(tmp_path, expected):
    first = FLEET["Computer"].isin(["m1", "m2", "m3", "m4"])
    short = FLEET[first & (FLEET["TimeGenerated"] < at("2026-03-02 05:00"))]
    found = analyzed(write(tmp_path / "short", Heartbeat=short), write(tmp_path / "b", Heartbeat=FLEET[~first]))
    assert set(found.machines["state"]) == {"reporting"}
    assert not found.outages["ongoing"].any()
    known = found.machines.set_index("computer")["known_s"]
    assert known["m5"] == expected.machines.set_index("computer").loc["m5", "known_s"]
    assert known["m1"] < 5 * 3600
    assert {(s["workspace"], s["why"]) for s in found.run["unknown"]} == {("short", "ends")}
    assert set(found.segments.loc[found.segments["kind"] == "unknown", "computer"]) == {"m1", "m2", "m3", "m4"}


def test_a_machine_of_both_is_known_for_as_long_as_any(tmp_path, whole, expected):
    short = write(tmp_path / "short", Heartbeat=FLEET[FLEET["TimeGenerated"] < at("2026-03-02 04:00")])
    found = analyzed(short, whole)
    assert_same(found, expected)
    assert found.destinations.empty  # perhaps it was not exported further


def test_namesakes_with_ids_of_their_own_are_two_machines(tmp_path):
    other = machine(1, _ResourceId="/subscriptions/1/resourceGroups/rg/VM/m1", SourceComputerId="x", VMUUID="y")
    other = lacking(other, "2026-03-02 04:00", END)
    found = analyzed(write(tmp_path / "a", Heartbeat=FLEET), write(tmp_path / "b", Heartbeat=other))
    assert found.machines["computer"].tolist() == ["m1", "m1", "m2", "m3", "m4", "m5"]
    assert found.destinations.empty


def test_namesakes_without_ids_are_refused_in_one_sentence(tmp_path):
    bare = machine(1, _ResourceId="")
    other = machine(1, _ResourceId="", SourceComputerId="x", VMUUID="y")
    with pytest.raises(amakit.UsageError, match=r"'m1' is one machine in a and another in b, .* export the column"):
        analyzed(write(tmp_path / "a", Heartbeat=bare), write(tmp_path / "b", Heartbeat=other))


def test_machines_are_asked_for_wherever_they_are(tmp_path, expected):
    first = FLEET["Computer"].isin(["m1", "m4"])
    folders = write(tmp_path / "a", Heartbeat=FLEET[first]), write(tmp_path / "b", Heartbeat=FLEET[~first])
    found = analyzed(*folders, machines=["M1", "m2"])
    assert found.machines["workspace"].tolist() == ["a", "b"]
    for name in ("outages", "gaps"):
        own = getattr(expected, name)
        assert len(getattr(found, name)) == own["computer"].isin(["m1", "m2"]).sum()
    with pytest.raises(amakit.UsageError, match="no machine 'm9' has reported to a, b; the nearest"):
        analyzed(*folders, machines=["m1", "m9"])


def test_what_one_workspace_keeps_of_the_control_plane_counts_for_all(tmp_path):
    stop = pd.DataFrame(
        {
            "TimeGenerated": [at("2026-03-02 04:00:10")],
            "OperationNameValue": "Microsoft.Compute/virtualMachines/deallocate/action",
            "ActivityStatusValue": "Success",
            "_ResourceId": FLEET.loc[FLEET["Computer"] == "m2", "_ResourceId"].iloc[0],
            "CorrelationId": "c",
        }
    )
    rows = lacking(FLEET, "2026-03-02 04:00", "2026-03-02 04:30", ["m2"])
    folders = write(tmp_path / "agents", Heartbeat=rows), write(tmp_path / "central", AzureActivity=stop)
    found = analyzed(*folders)
    assert found.outages.loc[found.outages["cause"] == "machine_stopped", "computer"].tolist() == ["m2"]
    assert set(found.machines["workspace"]) == {"agents"}
    assert found.run["workspaces"][1]["machines"] == 0
    assert found.run["notes"] == ["central has no table Heartbeat, so of its machines nothing is told"]


def test_a_workspace_without_a_heartbeat_in_the_window_is_noted(tmp_path, whole, expected):
    old = FLEET.assign(TimeGenerated=FLEET["TimeGenerated"] - pd.Timedelta(days=90))
    found = analyzed(whole, write(tmp_path / "old", Heartbeat=old))
    assert_same(found, expected)
    assert found.run["notes"] == ["old has no heartbeat in the window, so of its machines nothing is told"]


def test_streams_of_two_workspaces_bracket_one_outage(tmp_path):
    rows = lacking(FLEET, "2026-03-02 04:00:05", "2026-03-02 04:10", ["m2"])
    perf = counters("m2", every(10, START, END, [("2026-03-02 04:00:05", "2026-03-02 04:09")]))
    found = analyzed(write(tmp_path / "a", Heartbeat=rows), write(tmp_path / "b", Heartbeat=rows, Perf=perf))
    away = found.outages[found.outages["cause"] == "unexplained"]
    assert away["start_earliest"].tolist() == [at("2026-03-02 04:00")]
    assert away["end_latest"].tolist() == [at("2026-03-02 04:09")]


def test_folders_of_one_name_are_told_apart(tmp_path):
    first = FLEET["Computer"].isin(["m1"])
    east = write(tmp_path / "east" / "logs", Heartbeat=FLEET[first])
    found = analyzed(east, write(tmp_path / "west" / "logs", Heartbeat=FLEET[~first]))
    assert set(found.machines["workspace"]) == {"east/logs", "west/logs"}
    assert found.run["workspace"] == "east/logs, west/logs"


def test_what_is_written_names_the_workspaces(tmp_path, whole):
    copy = write(tmp_path / "copy", Heartbeat=lacking(FLEET, "2026-03-02 04:00", "2026-03-02 05:00"))
    found = analyzed(whole, copy)
    names = [path.name for path in found.save(tmp_path / "out")]
    assert "destinations.csv" in names
    written = pd.read_csv(tmp_path / "out" / "destinations.csv")
    assert len(written) == len(found.destinations)
    assert pd.read_csv(tmp_path / "out" / "machines.csv").columns[-1] == "workspace"


def test_an_own_query_is_refused_in_one_sentence(tmp_path, whole):
    other = write(tmp_path / "other", Heartbeat=FLEET)
    with (
        amakit.connect([whole, other]) as workspace,
        pytest.raises(amakit.UsageError, match="these are all, other; name the one"),
    ):
        workspace.query("Heartbeat | count")


def test_open_workspaces_are_given_as_a_list(whole, tmp_path, expected):
    other = write(tmp_path / "other", Heartbeat=FLEET)
    with contextlib.ExitStack() as opened:
        several = [opened.enter_context(amakit.connect(folder)) for folder in (whole, other)]
        assert_same(amakit.analyze(several, START, END), expected)


def test_a_page_for_each_group_of_several_and_the_command_line_name_them(tmp_path, whole):
    first = FLEET["Computer"].isin(["m1"])
    elsewhere = FLEET[first].assign(_ResourceId="/subscriptions/0/resourceGroups/other/VM/m1")
    folders = write(tmp_path / "a", Heartbeat=elsewhere), write(tmp_path / "b", Heartbeat=FLEET[~first])
    parts = _parts(Request("01_version_transitions", tuple(map(str, folders)), START, END), "group", None)
    assert [(part.name, part.machines) for part in parts] == [("other", ("m1",)), ("rg", ("m2", "m3", "m4", "m5"))]
    done = CliRunner().invoke(main, ["check", *map(str, folders)])
    assert done.exit_code == 0
    assert [line.split()[0] for line in done.stdout.splitlines() if "(folder)" in line] == list(map(str, folders))


def test_a_kept_analysis_of_several_is_taken_again(tmp_path, whole, monkeypatch):
    monkeypatch.delenv("AMAKIT_NO_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folders = whole, write(tmp_path / "b", Heartbeat=lacking(FLEET, "2026-03-02 04:00", "2026-03-02 05:00"))
    first, again = analyzed(*folders), analyzed(*folders)
    assert len(first.destinations) == 5
    assert_same(again, first, (*TABLES, "destinations"))
    assert again.run == first.run


def test_a_workspace_says_nothing_of_the_time_before_a_machine_reported_to_it(tmp_path):
    hole = lacking(FLEET, "2026-03-02 04:00", "2026-03-02 05:00")
    late = FLEET[(FLEET["Computer"] == "m3") & (FLEET["TimeGenerated"] >= at("2026-03-02 05:20"))]
    found = analyzed(write(tmp_path / "a", Heartbeat=hole), write(tmp_path / "b", Heartbeat=late))
    assert found.machines.set_index("computer").loc["m3", "workspace"] == "a, b"
    assert found.outages.loc[found.outages["computer"] == "m3", "cause"].tolist() == ["upgrade"]
    known = found.machines.set_index("computer")["known_s"]
    assert known["m3"] == pytest.approx(known["m2"], abs=60)


def test_a_table_that_is_refused_in_one_is_read_in_the_other(tmp_path, monkeypatch):
    rows = lacking(FLEET, "2026-03-02 04:00:05", "2026-03-02 04:10", ["m2"])
    perf = counters("m2", every(10, START, END, [("2026-03-02 04:00:05", "2026-03-02 04:09")]))
    folders = [str(write(tmp_path / name, Heartbeat=rows, Perf=perf)) for name in ("a", "b")]
    with amakit.connect(folders) as both:
        answers = type(both)._answers

        def refusing(member, wanted, several):
            if member.name == folders[0] and "Perf" in wanted.reads:
                raise Refused("Perf is not for you")
            return answers(member, wanted, several)

        monkeypatch.setattr(type(both.members[0]), "_answers", refusing)
        found = amakit.analyze(both, START, END)
    away = found.outages[found.outages["cause"] == "unexplained"]
    assert away["end_latest"].tolist() == [at("2026-03-02 04:09")]
    assert found.run["refused"] == {"Perf": "a: Perf is not for you"}
    assert "Perf" not in found.run["missing_tables"]
    assert [one["missing_tables"].count("Perf") for one in found.run["workspaces"]] == [1, 0]
