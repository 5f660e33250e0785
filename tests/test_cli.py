"""The command line as a user meets it: in a process of its own, with the right status and one sentence."""

import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import duckdb
import pandas as pd
import pytest
from fleet import AMA, at, beats, changes_by_walking, write

from amakit import cli

WRITTEN = ["events.csv", "evidence.csv", "gaps.csv", "machines.csv", "outages.csv", "run.json", "segments.csv", "sources.csv",
           "transitions.csv"]  # fmt: skip
WINDOW = ("--start", "2026-03-01", "--end", "2026-03-08")
RECORDED = ("--start", "2026-03-02", "--end", "2026-03-04 23:30")  # files end with their rows, a service does not
FAQ = """Heartbeat
| where _ResourceId =~ "/subscriptions/0/resourceGroups/RG/VM/web-01"
| where Category == "Azure Monitor Agent"
| where TimeGenerated >= ago({days}d)
| summarize max(TimeGenerated) by _ResourceId, Category, Version
"""


def amakit(*arguments, stdin=""):
    command = [sys.executable, "-m", "amakit", *map(str, arguments)]
    return subprocess.run(
        command, input=stdin, capture_output=True, encoding="utf-8", env=os.environ | {"COLUMNS": "100"}
    )


@pytest.fixture(scope="module")
def rows():
    return pd.concat(
        [
            beats(
                "web-01",
                [("1.37.0.0", "2026-03-02", "2026-03-03 10:00"), ("1.38.1.0", "2026-03-03 10:04", "2026-03-05")],
            ),
            beats(
                "db-01",
                [
                    ("1.36.1", "2026-03-02", "2026-03-04"),
                    ("1.38.1", "2026-03-04 00:02", "2026-03-04 00:09"),
                    ("1.36.1", "2026-03-04 00:12", "2026-03-05"),
                ],
                os_type="Linux",
                source="t",
            ),
        ],
        ignore_index=True,
    )


@pytest.fixture(scope="module")
def folder(rows, tmp_path_factory):
    return write(tmp_path_factory.mktemp("logs"), Heartbeat=rows)


def test_analyze_writes_whole_tables_that_agree_with_walking_over_the_beats(folder, rows, tmp_path):
    done = amakit("analyze", folder, *WINDOW, "--out", tmp_path / "new" / "out")
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(p.name for p in (tmp_path / "new" / "out").iterdir()) == WRITTEN
    table = pd.read_csv(tmp_path / "new" / "out" / "transitions.csv")
    assert list(table.columns) == [
        "resource_id",
        "computer",
        "os_type",
        "from_version",
        "to_version",
        "kind",
        "last_old",
        "first_new",
        "cause",
    ]
    seen = [
        (c.resource_id, c.computer, c.from_version, c.to_version, c.kind, at(c.last_old[:-1]), at(c.first_new[:-1]))
        for c in table.itertuples()
    ]
    assert seen == changes_by_walking(rows)
    assert all(text.endswith("Z") for text in table["first_new"])
    machines = pd.read_csv(tmp_path / "new" / "out" / "machines.csv")
    assert list(machines.columns) == [
        "resource_id",
        "computer",
        "os_type",
        "environment",
        "version",
        "first_seen",
        "last_seen",
        "known_s",
        "active_s",
        "state",
        "note",
    ]
    run = json.loads((tmp_path / "new" / "out" / "run.json").read_text(encoding="utf-8"))
    assert (run["start"], run["end"], run["horizon"]) == (
        "2026-03-01T00:00:00Z",
        "2026-03-08T00:00:00Z",
        "2026-03-04T23:59:00Z",  # a table of files ends where its own rows end
    )
    assert run["missing_tables"] == ["AzureActivity", "Event", "Perf", "Syslog"]
    assert {"name", "text", "rows", "bytes", "seconds", "retries", "sha256"} == set(run["queries"][0])


def test_parquet_holds_the_same_tables_as_csv(folder, tmp_path):
    for form in ("csv", "parquet"):
        assert amakit("analyze", folder, *WINDOW, "--out", tmp_path, "--format", form).returncode == 0
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        stored = connection.sql(
            f"SELECT computer, to_version, strftime(first_new, '%Y-%m-%dT%H:%M:%SZ') FROM '{tmp_path}/transitions.parquet'"
        ).fetchall()
    text = pd.read_csv(tmp_path / "transitions.csv")
    assert stored == list(text[["computer", "to_version", "first_new"]].itertuples(index=False, name=None))


def test_exports_in_every_form_and_a_server_give_equal_tables(rows, tmp_path, kusto_server):
    plain = rows.assign(TimeGenerated=rows["TimeGenerated"].dt.strftime("%Y-%m-%dT%H:%M:%S.%fZ"))
    (tmp_path / "csv" / "heartbeat").mkdir(parents=True)
    plain.to_csv(tmp_path / "csv" / "heartbeat" / "a.csv.gz", index=False)
    (tmp_path / "jsonl").mkdir()
    plain.to_json(tmp_path / "jsonl" / "Heartbeat.jsonl", orient="records", lines=True)
    hour = tmp_path / "export/am-heartbeat/WorkspaceResourceId=/subscriptions/0/y=2026/m=03/d=02/h=00/m=00"
    hour.mkdir(parents=True)
    plain.to_json(hour / "PT05M.json", orient="records", lines=True)
    portal = rows.assign(TimeGenerated=rows["TimeGenerated"].dt.strftime("%m/%d/%Y, %I:%M:%S.000 %p").str.lstrip("0"))
    (tmp_path / "portal").mkdir()
    portal.rename(columns={"TimeGenerated": "TimeGenerated [UTC]"}).to_csv(
        tmp_path / "portal/Heartbeat.csv", index=False
    )
    write(tmp_path / "parquet", Heartbeat=rows)
    with duckdb.connect(tmp_path / "logs.duckdb") as database:
        database.execute(f"CREATE TABLE Heartbeat AS FROM '{tmp_path}/parquet/Heartbeat.parquet'")

    def analyzed(source):
        out = tmp_path / "out" / str(source).rpartition("/")[2]
        order = (
            ["--date-format", "month-first"] if source == tmp_path / "portal" else []
        )  # no day here is after the 12th
        done = amakit("analyze", source, *RECORDED, "--out", out, *order)
        told = done.stderr if "://" not in str(source) else ""  # what it asked of a server, it tells
        assert (done.returncode, told) == (0, ""), source
        return [
            (out / f"{table}.csv").read_bytes()
            for table in ("machines", "transitions", "outages", "gaps", "events", "sources", "evidence")
        ]

    tables = [analyzed(tmp_path / s) for s in ("csv", "jsonl", "export", "portal", "parquet", "logs.duckdb")]
    with kusto_server(tmp_path / "logs.duckdb") as address:
        tables.append(analyzed(address))
    assert all(table == tables[0] for table in tables)
    assert tables[0][1].count(b"\n") == 4  # the head and three changes


def test_the_query_of_the_public_faq_runs_unchanged(folder):
    days = (pd.Timestamp.now("UTC") - at("2026-03-02")).days + 2
    done = amakit("query", folder, FAQ.format(days=days))
    assert done.stdout.splitlines()[0] == "_ResourceId,Category,Version,max_TimeGenerated"
    assert sorted(line.rpartition(",")[::2] for line in done.stdout.splitlines()[1:]) == sorted(
        [
            (f"/subscriptions/0/resourceGroups/rg/VM/web-01,{AMA},1.37.0.0", "2026-03-03T09:59:00Z"),
            (f"/subscriptions/0/resourceGroups/rg/VM/web-01,{AMA},1.38.1.0", "2026-03-04T23:59:00Z"),
        ]
    )


def test_on_the_demo_ago_counts_from_the_end_of_its_data():
    done = amakit(
        "query", "demo", "-", stdin="Heartbeat | where TimeGenerated >= ago(1d) | summarize First = min(TimeGenerated)"
    )
    assert done.stdout.splitlines()[1].startswith("2026-03-15T00:00:")


def test_query_writes_files_and_lists_are_there_to_read(folder, tmp_path):
    done = amakit("query", folder, "Heartbeat | summarize Beats = count() by Computer", "--out", tmp_path / "n.csv")
    assert done.returncode == 0
    assert set((tmp_path / "n.csv").read_text().splitlines()) == {"Computer,Beats", "web-01,4316", "db-01,4315"}
    assert "heartbeat_days" in amakit("kql").stdout
    assert "// Cost:" in amakit("kql", "heartbeat_days").stdout
    rendered = amakit(
        "kql", "heartbeat_days", "-p", "start=2026-03-01", "-p", "end=2026-03-02", "-p", "machines=web-01"
    )
    assert 'Computer in~ (dynamic(["web-01"]))' in rendered.stdout
    assert "Heartbeat" in amakit("check", folder).stdout
    assert "no AzureActivity: attempts that failed" in amakit("check", folder).stdout


def test_a_machine_can_be_picked_by_name_or_id_in_any_case(folder, tmp_path):
    for machine in ("WEB-01", "/subscriptions/0/RESOURCEGROUPS/rg/VM/web-01"):
        assert amakit("analyze", folder, *WINDOW, "--machine", machine, "--out", tmp_path).returncode == 0
        assert list(pd.read_csv(tmp_path / "machines.csv")["computer"]) == ["web-01"]


BAD = {
    "window ends before it starts": (["analyze", "{folder}", "--start", "2026-03-08", "--end", "2026-03-01"], 2, "is not after start"),
    "no time": (["analyze", "{folder}", "--start", "last week", "--end", "2026-03-01"], 2, "start 'last week' is not a time"),
    "window without data": (["analyze", "{folder}", "--start", "2024-01-01", "--end", "2024-01-02"], 2, "its heartbeats reach from 2026-03-02"),
    "unknown machine": (["analyze", "{folder}", *WINDOW, "--machine", "web-O1"], 2, "the nearest are 'web-01'"),
    "no such workspace": (["analyze", "{folder}/nowhere", *WINDOW], 1, "does not exist"),
    "workspace that cannot be opened": (["analyze", "x" * 300, *WINDOW], 1, "cannot be opened: File name too long; ask for the right"),
    "no snapshot to be checked": (["check", "x" * 300], 1, "cannot be opened: File name too long; ask for the right"),
    "out is a file": (["analyze", "{folder}", *WINDOW, "--out", "{folder}/Heartbeat.parquet"], 1, "nothing can be written"),
    "unknown query": (["kql", "heartbeet_days"], 2, "the nearest are 'heartbeat_days'"),
    "half rendered query": (["kql", "heartbeat_days", "-p", "start=2026-03-01"], 2, "needs a value for 'end'"),
    "broken KQL": (["query", "{folder}", "Heartbeat | wher"], 1, "cannot be parsed"),
    "unknown table": (["query", "{folder}", "Heartbeet | count"], 1, "the nearest is 'Heartbeat'"),
    "control command": (["query", "{folder}", ".set Evil <| Heartbeat"], 1, "begins with a dot is no query"),
    "file without an ending": (["query", "{folder}", "Heartbeat | count", "--out", "{folder}/answer"], 2, "must end in .csv or .parquet"),
    "unknown notebook": (["report", "01_version", "{folder}"], 2, "the nearest is '01_version_transitions'"),
    "unknown parameter": (["report", "01_version_transitions", "{folder}", "-p", "strat", "2026-03-01"], 2, "the nearest is 'start'"),
    "unknown zone": (["report", "01_version_transitions", "{folder}", "--timezone", "Asia/Tokio"], 2, "the nearest is 'Asia/Tokyo'"),
    "unknown language": (["report", "01_version_transitions", "{folder}", "--language", "fr"], 2, "it is en or ja"),
    "unknown form": (["report", "01_version_transitions", "{folder}", "--to", "docx"], 2, "it is html, md, pdf, ipynb or ticket"),
    "unknown limit": (["report", "01_version_transitions", "{folder}", "--fail-on", "upgrade>0"], 2, "the nearest is 'upgrades'"),
    "no limit": (["report", "01_version_transitions", "{folder}", "--fail-on", "upgrades=0"], 2, "is not a name, a sign"),
    "report without data": (["report", "01_version_transitions", "{folder}", "--start", "2024-01-01", "--end", "2024-01-02"], 2, "no heartbeat"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_sentence_a_status_and_no_file(case, folder, tmp_path):
    arguments, status, words = BAD[case]
    arguments = [a.format(folder=folder) for a in arguments]
    if arguments[0] in ("analyze", "report") and "--out" not in arguments:
        arguments += ["--out", tmp_path / "out"]
    before = sorted(p.name for p in folder.iterdir())
    done = amakit(*arguments)
    assert done.returncode == status
    assert words in done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("amakit: ")
    place = r"\n {0,3}\d+ [^\n]*\n *\^" if arguments[0] == "query" else ""  # of a query, the line and the place in it
    assert re.fullmatch(rf"[^\n]+(?:{place})?\n", done.stderr)
    assert sorted(p.name for p in folder.iterdir()) == before
    assert not any(p.is_file() for p in tmp_path.rglob("*"))


def test_help_names_every_command_and_wrong_use_is_status_2():
    shown = amakit("--help").stdout
    assert all(command in shown for command in ("demo", "check", "query", "kql", "analyze", "report"))
    assert amakit("analyse").returncode == 2


def test_debug_shows_the_traceback(tmp_path):
    assert "Traceback" in amakit("--debug", "check", tmp_path / "nowhere").stderr


def test_a_file_is_replaced_whole_or_left_alone(folder, tmp_path, monkeypatch):
    from amakit import analyze, connect, output

    found = analyze(connect(folder), "2026-03-01", "2026-03-08")
    found.save(tmp_path)
    kept = (tmp_path / "transitions.csv").read_bytes()
    monkeypatch.setattr(output, "_csv", lambda frame, target: (Path(target).write_text("half"), 1 / 0))
    with pytest.raises(ZeroDivisionError):
        found.save(tmp_path)
    assert (tmp_path / "transitions.csv").read_bytes() == kept
    assert sorted(p.name for p in tmp_path.iterdir()) == WRITTEN


STEERING = "web-\x1b[31m01\u202e"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no pseudo-terminals of this kind")
@pytest.mark.parametrize("to_terminal", [True, False])
def test_a_terminal_sees_no_sign_that_steers_it_and_a_pipe_sees_all(tmp_path, to_terminal):
    folder = write(tmp_path / "logs", Heartbeat=beats(STEERING, [("1.37.0.0", "2026-03-02", "2026-03-02 01:00")]))
    command = [sys.executable, "-m", "amakit", "query", folder, "Heartbeat | distinct Computer"]
    if not to_terminal:
        assert "\x1b[31m" in subprocess.run(command, capture_output=True, encoding="utf-8", check=True).stdout
        return
    mine, theirs = os.openpty()
    subprocess.run(command, stdout=theirs, stderr=theirs, check=True)
    os.close(theirs)
    shown = os.read(mine, 65536).decode()
    os.close(mine)
    assert "web-\\x1b[31m01\\u202e" in shown


def test_an_error_names_a_hostile_value_as_it_can_be_seen(tmp_path):
    done = amakit("check", str(tmp_path / STEERING))
    assert (done.returncode, "\x1b" in done.stderr, "\u202e" in done.stderr) == (1, False, False)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a disk that is always full")
def test_a_full_standard_output_is_a_sentence(folder):
    command = [sys.executable, "-m", "amakit", "query", folder, "Heartbeat | take 1"]
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, encoding="utf-8", check=False)
    assert done.returncode == 1
    assert (
        done.stderr == "amakit: there is no room for what is printed or written: No space left on device; make some\n"
    )


@pytest.mark.skipif(os.name == "nt", reason="shells of Windows cannot close a stream (>&-)")
def test_a_closed_standard_output_is_no_error(folder):
    command = [sys.executable, "-m", "amakit", "query", str(folder), "Heartbeat | take 1"]
    run = partial(subprocess.run, stderr=subprocess.PIPE, encoding="utf-8", check=False)
    done = run(["/bin/sh", "-c", '"$@" >&-', "sh", *command])
    assert (done.returncode, done.stderr) == (0, "")


def test_a_window_longer_than_anything_is_kept_is_refused_at_once(folder, tmp_path):
    done = amakit("analyze", folder, "--start", "1500-01-01", "--end", "2500-01-01", "--out", tmp_path / "out")
    assert (done.returncode, "longer than the 12 years" in done.stderr) == (2, True)
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(os.name == "nt", reason="Windows ends a process without telling it")
def test_a_run_that_is_told_to_end_leaves_nothing_half(folder, tmp_path):
    command = [
        sys.executable,
        "-m",
        "amakit",
        "report",
        "01_version_transitions",
        folder,
        *WINDOW,
        "--out",
        tmp_path / "out",
    ]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 300
    while not list(tmp_path.glob("out/.amakit-*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    run.send_signal(signal.SIGTERM)
    run.communicate(timeout=300)
    assert run.returncode == 128 + signal.SIGTERM
    assert not (tmp_path / "out").exists()


def test_who_presses_twice_does_not_keep_the_first_from_tidying_up(monkeypatch):
    monkeypatch.setattr(cli, "_HEARD", [])
    for name in ("asyncio", "papermill"):  # silenced by the first, and heard again after this test
        monkeypatch.setattr(logging.getLogger(name), "disabled", False)
    with pytest.raises(KeyboardInterrupt):
        cli._end(signal.SIGINT, None)
    assert cli._end(signal.SIGINT, None) is None
    assert cli._end(signal.SIGTERM, None) is None
    with pytest.raises(SystemExit):  # it seems to hang
        cli._end(signal.SIGTERM, None)
