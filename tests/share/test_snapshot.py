"""A snapshot tells what its source told: whole or said not to be, checked, and with pseudonyms where wanted."""

import json
import re
import resource
import subprocess
import sys

import duckdb
import pandas as pd
import pytest
from click.testing import CliRunner
from fleet import beats, write
from inventories import END, START, beating, found_in, known, subscription, vm

import amakit
from amakit import demo
from amakit.cli import main
from amakit.errors import AmakitError, UsageError
from amakit.exports.table_files import MANIFEST, PARTIAL
from amakit.schemas import result
from amakit.share import pieces
from amakit.share import snapshot as snapshots
from amakit.share.key import owner_key
from amakit.share.pseudonyms import anonymised, pseudonym
from amakit.share.snapshot import changed, snapshot

TABLES = ("machines", "transitions", "outages", "gaps", "events", "sources")
WINDOW = ("2026-03-02T11:30", "2026-03-03T10:37")  # both lie inside outages
SHORT = ("2026-03-03T09:18", "2026-03-03T10:37")


def run(*arguments):
    done = CliRunner().invoke(main, [str(a) for a in arguments])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def same(one, other):
    for table in TABLES:
        pd.testing.assert_frame_equal(getattr(one, table), getattr(other, table), obj=table)


def hashes(manifest):
    return {file["file"]: file["sha256"] for file in manifest["files"]}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = demo.write(tmp_path_factory.mktemp("source") / "contoso", machines=10, days=2)
    (folder / "SecurityEvent.parquet").unlink()  # there are logs enough
    return folder


@pytest.fixture(scope="module")
def real(source):
    with amakit.connect(source) as ws:
        return amakit.analyze(ws, *WINDOW)


@pytest.fixture(scope="module")
def few(real):
    """Give a machine that was away when the short window began, and one of a scale set."""
    edge = real.outages[real.outages["end_latest"] > pd.Timestamp(SHORT[0], tz="UTC")].nsmallest(1, "start_earliest")
    sets = real.machines[real.machines["resource_id"].str.contains("scalesets")]
    return sorted({edge["computer"].iloc[0], sets["computer"].iloc[0]})


@pytest.fixture(scope="module")
def taken(source, tmp_path_factory):
    folder = tmp_path_factory.mktemp("taken") / "whole"
    with amakit.connect(source) as ws:
        return folder, snapshot(ws, folder, *WINDOW)


@pytest.fixture(scope="module")
def taken_of_few(source, few, tmp_path_factory):
    folder = tmp_path_factory.mktemp("taken") / "few"
    with amakit.connect(source) as ws:
        return folder, snapshot(ws, folder, *SHORT, [name.upper() for name in few])


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Give a source of Heartbeat alone, with names that could break a query, and its snapshot."""
    names = ["web-01", 'a"b', "{start}", "x'); DROP", "tab\there", "日本-ü", "back\\slash"]
    rows = [
        beats(
            name,
            [("1.37.0.0", "2026-03-01", "2026-03-02 10:00"), ("1.38.1.0", f"2026-03-02 10:0{n}", "2026-03-03 00:30")],
            source=f"guid-{n}",
        )
        for n, name in enumerate(names, start=3)
    ]
    return write(tmp_path_factory.mktemp("small") / "logs", Heartbeat=pd.concat(rows, ignore_index=True)), names


@pytest.fixture(scope="module")
def torn(tmp_path_factory):
    """Give a source in which machines fell silent long before the window, or at one of its ends."""
    heartbeats = pd.concat(
        [
            beats("gone", [("1.37.0.0", "2026-02-18", "2026-02-22 03:04")]),
            beats(
                "torn",
                [("1.37.0.0", "2026-02-20", "2026-03-01 20:00"), ("1.38.1.0", "2026-03-02 04:00", "2026-03-02 23:50")],
            ),
            beats("torn", [("1.38.1.0", "2026-02-20 00:00:20", "2026-02-25")], source="another agent"),
            beats(
                "back", [("1.37.0.0", "2026-02-28", "2026-03-02 23:10"), ("1.38.1.0", "2026-03-03 00:20", "2026-03-04")]
            ),
        ],
        ignore_index=True,
    )
    parts = [  # a counter each minute, one each hour, and the clock of the system
        beats(
            name,
            [("", "2026-02-10", until), ("", "2026-03-01 22:00" if name == "torn" else "2026-03-03", "2026-03-08")],
            seconds,
        )
        .drop(columns=["Version", "OSType", "Category", "SourceComputerId", "ComputerEnvironment"])
        .assign(ObjectName="System", CounterName=counter, InstanceName="", CounterValue=1.0)
        for name, until in (("gone", "2026-02-22 03:04"), ("torn", "2026-03-01 21:00"))
        for seconds, counter in ((300, "Threads"), (3600, "Processes"), (600, "System Up Time"))
    ]
    syslog = beats("torn", [("", "2026-03-01 12:00", "2026-03-03")], 97.0)[["TimeGenerated", "Computer", "_ResourceId"]]
    said = syslog.assign(ProcessName="kernel", SyslogMessage="Linux version 6")[::200]
    return write(
        tmp_path_factory.mktemp("torn") / "logs",
        Heartbeat=heartbeats,
        Perf=pd.concat(parts),
        Syslog=pd.concat([syslog.assign(ProcessName="cron", SyslogMessage="job"), said]),
    ).resolve()


def test_the_whole_fleet_gives_the_same_tables(real, taken):
    folder, manifest = taken
    assert len(real.outages) > 5
    with amakit.connect(folder) as ws:
        same(real, amakit.analyze(ws))  # without a window it is the snapshot's
        assert ws.synthetic
        last = ws.query("Heartbeat | where TimeGenerated > ago(1m) and TimeGenerated < now() | count").iloc[0, 0]
        assert last > 0
    assert sum(file["bytes"] for file in manifest["files"]) < 3e6


def test_a_snapshot_of_some_machines_tells_of_those_only(source, taken, taken_of_few, few):
    folder, manifest = taken_of_few
    assert manifest["machines"] == few
    assert sum(f["rows"] for f in manifest["files"]) < 0.5 * sum(f["rows"] for f in taken[1]["files"])
    with amakit.connect(source) as ws, amakit.connect(folder) as copy:
        same(amakit.analyze(ws, *SHORT, few), amakit.analyze(copy))
        with pytest.raises(UsageError, match="'db-99' is none of them"):
            amakit.analyze(copy, *SHORT, ["db-99"])


def test_the_manifest_says_what_was_copied(source, taken):
    folder, manifest = taken
    text = (folder / MANIFEST).read_text(encoding="utf-8")
    assert json.loads(text) == manifest
    assert str(source.parent) not in text
    assert (manifest["workspace"], manifest["amakit"], manifest["synthetic"]) == ("contoso", amakit.__version__, True)
    assert (manifest["start"], manifest["end"]) == ("2026-03-02T11:30:00Z", "2026-03-03T10:37:00Z")
    assert {file["table"] for file in manifest["files"]} >= {
        "Heartbeat",
        "Perf",
        "AzureActivity",
        "Syslog",
        "AppLog_CL",
    }
    with duckdb.connect() as connection, amakit.connect(source) as ws:
        for entry in manifest["files"]:
            path = folder / entry["file"]
            assert connection.sql(f"SELECT count(*) FROM '{path}'").fetchall() == [(entry["rows"],)]
            assert path.stat().st_size == entry["bytes"]
        inside = [entry for entry in manifest["files"] if re.search(r"/2026\d{4}T", entry["file"])]
        assert len(inside) == 2 * len({file["table"] for file in manifest["files"]})  # two days
        assert all(len(ws.query(entry["query"])) == entry["rows"] for entry in inside[:4])
    columns = duckdb.sql(f"DESCRIBE FROM '{folder}/Heartbeat/20260303T000000Z.parquet'").fetchall()
    assert {name for name, *_ in columns} == {
        "TimeGenerated",
        "Category",
        "Computer",
        "_ResourceId",
        "SourceComputerId",
        "VMUUID",
        "_TimeReceived",
        "OSType",
        "ComputerEnvironment",
        "Version",
    }


@pytest.mark.parametrize("machines", [None, ["torn"]])
def test_a_machine_that_fell_silent_long_before_is_looked_back_at(torn, tmp_path, machines):
    with amakit.connect(torn) as ws:
        manifest = snapshot(ws, tmp_path / "s", "2026-03-02", "2026-03-03", machines)
        want = amakit.analyze(ws, "2026-03-02", "2026-03-03", machines)
    assert want.outages["start_earliest"].min() < want.window.start
    rows = {t: sum(f["rows"] for f in manifest["files"] if f["table"] == t) for t in ("Heartbeat", "Perf", "Syslog")}
    assert rows["Heartbeat"] < 15_000  # of 60,000
    with amakit.connect(tmp_path / "s") as copy, amakit.connect(torn) as ws:
        same(want, amakit.analyze(copy))
        if not machines:
            window = ("2026-03-02", "2026-03-03", ["GONE"])
            same(amakit.analyze(ws, *window), amakit.analyze(copy, *window))


def test_a_service_gives_a_snapshot_that_tells_the_same(torn, tmp_path, kusto_server, monkeypatch):
    with duckdb.connect(tmp_path / "logs.duckdb") as database:
        for path in torn.glob("*.parquet"):
            database.execute(f"CREATE TABLE {path.stem} AS FROM '{path}'")
    monkeypatch.setattr(pieces, "_ROWS", 2000)
    with kusto_server(tmp_path / "logs.duckdb") as address, amakit.connect(address) as ws:
        files = snapshot(ws, tmp_path / "s", "2026-03-02", "2026-03-03")["files"]
    assert not any("AnswerRows" in file["query"] for file in files)
    inside = [file["rows"] for file in files if re.search(r"Heartbeat/2026\d{4}T", file["file"])]
    assert len(inside) > 1
    assert max(inside) <= 2000
    with amakit.connect(torn) as ws, amakit.connect(tmp_path / "s") as copy:
        same(amakit.analyze(ws, "2026-03-02", "2026-03-03"), amakit.analyze(copy))


def test_the_official_parser_reads_every_query(taken, taken_of_few, source, kql_parser):
    with amakit.connect(source) as ws:
        kql_parser.know({table: ws.columns(table) for table in ws.tables})
    for text in {file["query"] for _, manifest in (taken, taken_of_few) for file in manifest["files"]}:
        assert kql_parser.check(text)["diagnostics"] == [], text[:2000]


def test_names_that_could_break_a_query_do_not_and_bytes_repeat(small, tmp_path):
    source, names = small
    window = ("2026-03-02", "2026-03-03")
    with amakit.connect(source) as ws:
        one, two = (snapshot(ws, tmp_path / name, *window, names[:6]) for name in ("one", "two"))
        assert hashes(one) == hashes(two)
        assert one["missing_tables"][:2] == ["AMAHealth", "AzureActivity"]
        want = amakit.analyze(ws, *window, names[:6])
        same(want, amakit.analyze(amakit.connect(tmp_path / "one"), *window))
        key = owner_key(tmp_path / "key")
        hidden = snapshot(ws, tmp_path / "hidden", *window, names[:6], key=key)
    got = amakit.analyze(amakit.connect(tmp_path / "hidden"), *window)
    assert set(got.machines["computer"]) == {pseudonym(key, "machine", name) for name in names[:6]}
    text = json.dumps(hidden, ensure_ascii=False)
    assert not any(
        json.dumps(name, ensure_ascii=False)[1:-1] in text.replace("{start}", "") for name in names if name != "{start}"
    )
    assert "guid-" not in text


LONGER = ("2026-03-01T12:00", "2026-03-03")


@pytest.fixture(scope="module")
def uninterrupted(small, tmp_path_factory):
    with amakit.connect(small[0]) as ws:
        return snapshot(ws, tmp_path_factory.mktemp("uninterrupted") / "s", *LONGER)


@pytest.mark.parametrize("at", [0, 1, 3])
def test_an_interruption_leaves_what_is_done_and_the_rest_is_fetched_later(
    small, uninterrupted, tmp_path, monkeypatch, at
):
    source, window = small[0], LONGER
    stored, calls = snapshots._stored, []

    def breaking(folder, piece, *rest):
        if len(calls) == at:
            raise KeyboardInterrupt
        calls.append(piece.file)
        return stored(folder, piece, *rest)

    monkeypatch.setattr(snapshots, "_stored", breaking)
    done = run("snapshot", source, tmp_path / "s", "--start", window[0], "--end", window[1])
    assert done.exit_code == 130
    partial = json.loads((tmp_path / "s" / PARTIAL).read_text(encoding="utf-8"))
    assert [file["file"] for file in partial["files"]] == calls
    assert not (tmp_path / "s" / MANIFEST).exists()
    assert not list((tmp_path / "s").rglob(".amakit*"))
    with pytest.raises(
        AmakitError, match=rf"was not finished \({at} of 4 files, .* run the same `amakit snapshot` again"
    ):
        amakit.connect(tmp_path / "s")
    if calls:  # what was damaged meanwhile is fetched again
        (tmp_path / "s" / calls[0]).write_bytes(b"half")
    monkeypatch.setattr(
        snapshots, "_stored", lambda folder, piece, *rest: (again.append(piece.file), stored(folder, piece, *rest))[1]
    )
    again = []
    with amakit.connect(source) as ws:
        manifest = snapshot(ws, tmp_path / "s", *window)
        assert len(again) == 4 - max(0, at - 1)
        again.clear()
        assert snapshot(ws, tmp_path / "s", *window) == manifest  # nothing is missing any more
        assert again == []
    assert hashes(manifest) == hashes(uninterrupted)
    assert not (tmp_path / "s" / PARTIAL).exists()


def test_check_tells_each_file_that_is_not_as_taken_and_the_same_command_mends_it(small, tmp_path):
    source, _ = small
    command = (
        "snapshot",
        source,
        tmp_path / "s",
        "--start",
        "2026-03-02",
        "--end",
        "2026-03-03",
        "--machine",
        "WEB-01",
    )
    done = run(*command)
    assert re.match(r"\d files, [\d,]+ rows, 0.\d MB in .*, of logs at .*Z to .*Z, 1 machine\n", done.stdout), (
        done.stdout
    )
    assert "files are as they were taken from logs at" in run("check", tmp_path / "s").stdout
    first, second = sorted((tmp_path / "s" / "Heartbeat").iterdir())[:2]
    content = bytearray(first.read_bytes())
    content[-9] ^= 1
    first.write_bytes(content)
    done = run("check", tmp_path / "s")
    assert (done.exit_code, done.stdout) == (1, f"Heartbeat/{first.name} is changed\n")
    second.unlink()
    (tmp_path / "s" / "Event.csv").write_text("TimeGenerated,Computer\n2026-03-02T00:00:00Z,web-01\n")
    done = run("check", tmp_path / "s")
    assert done.exit_code == 1
    assert done.stdout.splitlines() == [
        "Event.csv is additional",
        f"Heartbeat/{first.name} is changed",
        f"Heartbeat/{second.name} is missing",
    ]
    assert done.stderr.count("\n") == 1
    with pytest.raises(
        AmakitError, match=r"is not as the snapshot was taken: Event\.csv is missing, changed or additional"
    ):
        amakit.connect(tmp_path / "s")
    assert "holds Event.csv, which is no part of the snapshot" in run(*command).stderr
    (tmp_path / "s" / "Event.csv").unlink()
    assert run(*command).exit_code == 0
    assert changed(tmp_path / "s") == []


def test_what_is_wrong_is_one_sentence_and_nothing_is_written(small, tmp_path):
    source, _ = small
    folder = tmp_path / "s"
    now = pd.Timestamp.now("UTC")
    usual = ("--start", "2026-03-02", "--end", "2026-03-03")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").write_text("mine")
    for arguments, status, words in (
        ((source, folder, "--start", "2026-03-03", "--end", "2026-03-02"), 2, "is not after start"),
        ((source, folder, "--start", "2026-03-02", "--end", now.isoformat()), 2, "is too recent"),
        ((source, folder, "--start", "2024-03-02", "--end", "2024-03-03"), 2, "no heartbeat"),
        ((source, folder, *usual, "--machine", "web-O1"), 2, "the nearest is 'web-01'"),
        ((source, folder, *usual, "--key", "k"), 2, "of no use without --anonymise"),
        ((source, source / "s", *usual), 2, "lies in the workspace itself"),
        ((source, tmp_path / "other", *usual), 2, "holds something else already"),
        ((source, tmp_path / "other" / "file", *usual), 2, "holds something else already"),
        ((source, tmp_path / "other" / "file" / "s", *usual), 1, "other/file"),
        ((tmp_path / "nowhere", folder, *usual), 1, "does not exist"),
    ):
        done = run("snapshot", *arguments)
        assert (done.exit_code, done.stdout) == (status, ""), done.output
        assert words in done.stderr
        assert done.stderr.count("\n") == 1
        assert not folder.exists()
    assert [p.name for p in (tmp_path / "other").iterdir()] == ["file"]
    assert run("snapshot", source, folder, *usual).exit_code == 0
    for arguments, words in (
        (
            (source, folder, "--start", "2026-03-01", "--end", "2026-03-03"),
            "of another start: 2026-03-02T00:00:00Z, not",
        ),
        ((source, folder, *usual, "--machine", "web-01"), "of another machines"),
        ((source, folder, *usual, "--anonymise", "--key", tmp_path / "key"), "of another"),
        ((folder, folder, *usual), "of another workspace: logs, not s"),
    ):
        done = run("snapshot", *arguments)
        assert (done.exit_code, done.stderr.count("\n")) == (2, 1), done.output
        assert words in done.stderr
    done = run("analyze", folder, "--start", "2026-03-01", "--end", "2026-03-03", "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert "is a snapshot of 2026-03-02T00:00:00Z to 2026-03-03T00:00:00Z, and 2026-03-01" in done.stderr
    (folder / MANIFEST).write_text("{half")
    assert "manifest.json cannot be read" in run("check", folder).stderr


@pytest.mark.skipif(sys.platform == "win32", reason="sets a limit that Windows does not know")
def test_a_full_disk_is_said_and_leaves_no_half_file(small, tmp_path):
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (12_000, 12_000))

    command = [
        sys.executable,
        "-m",
        "amakit",
        "snapshot",
        small[0],
        tmp_path / "s",
        "--start",
        "2026-03-02",
        "--end",
        "2026-03-03",
    ]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", preexec_fn=limit)
    assert done.returncode == 1
    assert re.fullmatch(
        r"amakit: .* cannot be written: .*make room there and give the same command again.*\n", done.stderr
    )
    assert {p.name for p in (tmp_path / "s").rglob("*") if p.is_file()} == {PARTIAL}


def originals(analysis, source):
    names = set()
    for name in set(analysis.runs["computer"]):
        names |= {name, *name.split(".", 1)}
    with amakit.connect(source) as ws:
        ids = set(ws.query("union Heartbeat, AzureActivity | distinct _ResourceId")["_ResourceId"])
        acts = ws.query("AzureActivity | distinct Caller, CorrelationId")
        agents = set(ws.query("Heartbeat | distinct SourceComputerId")["SourceComputerId"])
    for one in ids:
        names |= {
            *re.findall(
                r"/(?:subscriptions|resourcegroups|virtualmachines|machines|virtualmachinescalesets)/([^/]+)",
                one.lower(),
            )
        }
    return {name.lower() for name in names | agents | {*acts["Caller"], *acts["CorrelationId"]} if len(name) > 2} - {
        "azure regional service manager"
    }


def test_an_anonymised_snapshot_tells_the_same_of_nobody(source, tmp_path):
    asked = ["snapshot", source, tmp_path / "s", "--start", SHORT[0], "--end", SHORT[1], "--anonymise", "--key"]
    done = run(*asked, tmp_path / "key")
    assert "anonymised, synthetic" in done.stdout
    key = owner_key(tmp_path / "key")
    with amakit.connect(tmp_path / "s") as ws:
        found = amakit.analyze(ws, *SHORT)
    with amakit.connect(source) as ws:
        real = amakit.analyze(ws, *SHORT)
    want = anonymised(real, key)
    for table in TABLES:
        free = [c for c in ("evidence", "note", "stream") if c in getattr(want, table)]
        left, right = (result(table, getattr(a, table)).drop(columns=free) for a in (want, found))
        by = list(left)
        pd.testing.assert_frame_equal(
            left.sort_values(by, ignore_index=True), right.sort_values(by, ignore_index=True), obj=table
        )
    texts = [(tmp_path / "s" / MANIFEST).read_text(encoding="utf-8"), *map(str, (tmp_path / "s").rglob("*"))]
    for path in (tmp_path / "s").rglob("*.parquet"):
        texts += duckdb.sql(f"FROM '{path}'").df().select_dtypes("str").drop_duplicates().to_csv().splitlines()
    text = "\n".join(dict.fromkeys(texts)).lower()
    assert [n for n in originals(real, source) if re.search(rf"(?<![^\W_]){re.escape(n)}(?![^\W_])", text)] == []
    assert "contoso" not in text
    assert str(tmp_path.parent) not in (tmp_path / "s" / MANIFEST).read_text(encoding="utf-8")
    done = run(*asked, tmp_path / "key2")
    assert (done.exit_code, "holds a snapshot already" in done.stderr) == (2, True)


def test_an_inventory_is_copied_whenever_it_was_taken(tmp_path):
    rows = [
        subscription(),
        known(vm("web-1"), ResourceTags=json.dumps({"owner": "Jane Doe"})),
        known(vm("now-elsewhere"), "moved", VMUUID="hw-1"),
        known(vm("mute-7")),
    ]
    beats = [
        beating("web-1"),
        beating("moved", VMUUID="HW-1"),
        beating("gone-9", end="2026-03-02T12:00"),
    ]
    found = found_in(tmp_path, beats, rows)
    with amakit.connect(tmp_path / "logs") as logs:
        for folder, machines, key in (
            ("all", None, None),
            ("few", ["moved", "gone-9"], None),
            ("none", None, b"k" * 32),
        ):
            snapshot(logs, tmp_path / folder, START, END, machines, key)
    read = {}
    for folder in ("all", "few", "none"):
        with amakit.connect(tmp_path / folder) as logs:
            read[folder] = amakit.analyze(logs, START, END)
    again, few, nobody = read.values()
    pd.testing.assert_frame_equal(again.inventory, found.inventory)
    of_few = found.inventory[found.inventory["computer"].isin(["moved", "gone-9"])]
    pd.testing.assert_frame_equal(few.inventory, of_few.reset_index(drop=True))
    same = ["listed", "heard", "automatic_upgrade", "region"]
    order = [*same, "taken"]
    pd.testing.assert_frame_equal(
        nobody.inventory[order].sort_values(order, ignore_index=True),
        found.inventory[order].sort_values(order, ignore_index=True),
    )
    assert nobody.machines["note"].str.startswith("not in the inventory").sum() == 1
    told = "".join(nobody.inventory.to_csv()) + json.dumps(nobody.run)
    told += "".join(str(duckdb.sql(f"FROM '{path}'")) for path in (tmp_path / "none").rglob("*.parquet"))
    assert not [
        name for name in ("Jane", "web-1", "mute-7", "gone-9", "hw-1", "11111111-1111") if name.lower() in told.lower()
    ]
