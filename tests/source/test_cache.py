"""What is kept between runs is the same as what would be found anew, or it is not taken."""

import json
import os
import time

import duckdb
import pandas as pd
import pytest
from click.testing import CliRunner
from fleet import every, heartbeats, write
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

import amakit
from amakit.analysis import TABLES
from amakit.cli import main
from amakit.output import cache_homes, save_frame
from amakit.source import cache
from amakit.source.workspace import Workspace

START, END = "2026-03-01", "2026-03-01T03:00"
RUNS = pd.DataFrame({"a": range(100)})
FRAMES = (*TABLES, "runs", "samples", "activity")


@pytest.fixture
def home(tmp_path, monkeypatch):
    (tmp_path / "cache").mkdir(mode=0o700)
    homes = cache_homes()  # translations are not in question here
    monkeypatch.setattr("amakit.source.translations.cache_homes", lambda: homes)
    monkeypatch.setenv("AMAKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("AMAKIT_NO_CACHE", raising=False)
    return tmp_path / "cache" / "analyses"


def logs(folder):
    away = [("2026-03-01T01:00", "2026-03-01T01:10")]
    beats = [heartbeats("web-01", every(60, START, END, away)), heartbeats("web-02", every(60, START, END))]
    return write(folder, Heartbeat=pd.concat(beats))


def last_row_again(path):
    path.write_text(path.read_text() + path.read_text().splitlines()[-1] + "\n")


def analyzed(folder, **options):
    """Analyse; give what was found, and how many queries that took."""
    with amakit.connect(folder) as ws:
        return amakit.analyze(ws, START, END, **options), len(ws.log)


def assert_same(one, other):
    for name in FRAMES:
        assert_frame_equal(getattr(one, name), getattr(other, name))
    assert one.run == other.run
    assert one.window == other.window


def test_a_second_analysis_of_the_same_files_asks_nothing(tmp_path, home):
    first, asked = analyzed(logs(tmp_path / "logs"))
    again, asked_again = analyzed(tmp_path / "logs")
    assert asked > 0 == asked_again
    assert len(first.outages) == 1
    assert_same(first, again)


@pytest.mark.parametrize("other", [{"machines": ["web-01"]}, {"cache": False}])
def test_another_question_is_asked(tmp_path, home, other):
    analyzed(logs(tmp_path / "logs"))
    assert analyzed(tmp_path / "logs", **other)[1] > 0


def test_the_order_and_the_case_of_machines_make_no_other_question(tmp_path, home):
    analyzed(logs(tmp_path / "logs"), machines=["WEB-01", "web-02"])
    assert analyzed(tmp_path / "logs", machines=iter(["web-02", "web-01"]))[1] == 0


def same_size_and_time(folder):
    """Change one byte in the middle of a row near the end; size and time stay."""
    path = folder / "Heartbeat.csv"
    about, text = path.stat(), path.read_bytes()
    path.write_bytes(text[:-200] + text[-200:].replace(b"1.38.0", b"1.38.1"))
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
    assert path.stat().st_size == about.st_size
    assert path.read_bytes() != text


CHANGES = {
    "a row more": lambda folder: last_row_again(folder / "Heartbeat.csv"),
    "touched": lambda folder: os.utime(folder / "Heartbeat.csv", (1, 1)),
    "same size and time": same_size_and_time,
    "a table more": lambda folder: (folder / "Event.csv").write_text("TimeGenerated,Computer\n2026-03-01,web-01\n"),
    "a file that is no table": lambda folder: (folder / "notes.txt").write_text("text"),
}


def state(folder):
    with amakit.connect(folder) as ws:
        return ws.state(None)


@pytest.mark.parametrize("change", CHANGES)
def test_files_that_have_changed_are_told_from_what_they_were(tmp_path, change):
    folder = tmp_path / "logs"
    folder.mkdir()
    save_frame(heartbeats("web-01", every(60, START, END)), folder / "Heartbeat.csv")
    before = state(folder)
    assert before == state(folder)
    CHANGES[change](folder)
    assert state(folder) != before


def test_a_database_that_has_changed_is_told_from_what_it_was(tmp_path):
    path = tmp_path / "logs.duckdb"
    beats = heartbeats("web-01", every(60, START, END))
    with duckdb.connect(path) as connection:
        connection.sql("CREATE TABLE Heartbeat AS FROM beats")
    assert len(beats)
    before = state(path)
    assert before == state(path)
    with duckdb.connect(path) as connection:
        connection.sql("DELETE FROM Heartbeat WHERE TimeGenerated > '2026-03-01T02:00Z'")
    assert state(path) != before


def truncated(folder):
    os.truncate(folder / "runs.parquet", 100)


def rewritten(folder):
    path = folder / "runs.parquet"
    path.write_bytes(b"PAR1" + bytes(path.stat().st_size - 8) + b"PAR1")


def of_another_key(folder):
    about = json.loads((folder / "about.json").read_text())
    about["key"]["n"] = 1
    (folder / "about.json").write_text(json.dumps(about))


BROKEN = {
    "not whole": truncated,
    "runs.parquet": rewritten,
    "of another key": of_another_key,
    "Expecting value": lambda folder: (folder / "about.json").write_text(""),
    "list indices": lambda folder: (folder / "about.json").write_text("[]"),
    "everybody may write": lambda folder: (folder / "runs.parquet").chmod(0o666),
    "or everybody": lambda folder: folder.chmod(0o777),
    "may write to it": lambda folder: folder.parent.chmod(0o777),
    "about.json": lambda folder: (folder / "about.json").unlink(),
}


@pytest.mark.parametrize("reason", BROKEN)
def test_what_is_broken_or_foreign_is_named_and_made_anew(home, reason, caplog):
    cache.keep({"n": 0}, {"runs": RUNS}, {})
    (kept,) = home.iterdir()
    BROKEN[reason](kept)
    assert cache.load({"n": 0}) is None
    assert str(kept) in caplog.text
    assert reason in caplog.text
    home.chmod(0o700)
    cache.keep({"n": 0}, {"runs": RUNS}, {})
    assert_frame_equal(cache.load({"n": 0})[0]["runs"], RUNS)


def test_what_somebody_else_wrote_is_not_taken(home, monkeypatch, caplog):
    cache.keep({"n": 0}, {"runs": RUNS}, {})
    monkeypatch.setattr("os.getuid", lambda: 4711)
    assert cache.load({"n": 0}) is None
    assert "belongs to somebody else" in caplog.text


def test_a_link_in_the_place_of_the_cache_is_neither_believed_nor_cleared(home, tmp_path, monkeypatch):
    monkeypatch.setattr("amakit.source.cache.cache_homes", lambda: (home.parent, tmp_path / "spare"))
    cache.keep({"n": 0}, {"runs": RUNS}, {})
    home.rename(tmp_path / "mine")
    home.symlink_to(tmp_path / "mine", target_is_directory=True)
    assert cache.load({"n": 0}) is None
    assert cache.entries().empty
    assert cache.clear() == (0, 0)
    assert len(list((tmp_path / "mine").iterdir())) == 1


def test_nothing_is_kept_where_nothing_can_be_written(tmp_path, home):
    home.parent.rmdir()
    home.parent.write_text("a file in the place of the folder")
    found, _ = analyzed(logs(tmp_path / "logs"))
    assert len(found.outages) == 1


def test_a_home_that_cannot_even_be_looked_into_is_passed_over(tmp_path, home, monkeypatch):
    """A home that is closed to this user, as root's is to a service, answers any question with an error."""
    monkeypatch.setenv("AMAKIT_CACHE", str(tmp_path / ("x" * 300)))
    with pytest.raises(OSError, match="too long"):
        cache_homes()[0].is_dir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    analyzed(logs(tmp_path / "logs"))
    _, asked = analyzed(tmp_path / "logs")
    assert asked == 0  # the second home kept it


def test_a_file_that_changes_during_an_analysis_leaves_nothing(tmp_path, home, monkeypatch):
    folder = logs(tmp_path / "logs")
    from amakit.events import tables

    check = tables.check

    def and_write(*given):
        (folder / "Event.csv").write_text("TimeGenerated,Computer\n")
        next(path for path in folder.iterdir() if path.stem == "Heartbeat").touch()
        return check(*given)

    monkeypatch.setattr(tables, "check", and_write)
    analyzed(folder)
    assert not home.exists()


ODD = st.one_of(st.none(), st.text(), st.sampled_from(["", "nan", "NULL", "\0", "\r\n", "\u202e", "😀"]))
ROWS = st.lists(
    st.tuples(
        ODD,
        st.one_of(st.none(), st.floats()),
        st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)),
        st.one_of(st.none(), st.booleans()),
        st.one_of(st.none(), st.datetimes(pd.Timestamp("1970-01-02"), pd.Timestamp("2200-01-01"))),
    ),
    max_size=5,
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS)
def test_any_frame_comes_back_as_it_was_or_is_not_kept(home, rows):
    columns = ["text", "number", "count", "flag", "time"]
    kinds = {"text": "str", "number": "float64", "count": "Int64", "flag": "boolean", "time": "datetime64[us, UTC]"}
    frame = pd.DataFrame({c: pd.Series([row[n] for row in rows], dtype=kinds[c]) for n, c in enumerate(columns)})
    cache.clear()
    cache.keep({"rows": repr(rows)}, {"odd": frame}, {"run": {"a": 1}})
    kept = cache.load({"rows": repr(rows)})
    plain = all(isinstance(row[0], str) and row[0].isprintable() and row[2] is not None for row in rows)
    assert kept or not plain
    if kept:
        assert_frame_equal(kept[0]["odd"], frame)
        assert kept[1]["run"] == {"a": 1}


def filled(number, home):
    for n in range(number):
        cache.keep({"n": n}, {"a": RUNS}, {})
        (folder,) = (f for f in home.iterdir() if json.loads((f / "about.json").read_text())["key"] == {"n": n})
        os.utime(folder / "about.json", (time.time() - 1000 + n,) * 2)


def test_those_used_last_stay(home, monkeypatch):
    filled(4, home)
    size = cache.entries()["bytes"].max()
    monkeypatch.setattr(cache, "LIMIT", 3 * size)
    assert cache.load({"n": 0})
    cache.keep({"n": 4}, {"a": RUNS}, {})
    assert [n for n in range(5) if cache.load({"n": n})] == [0, 3, 4]


def test_what_nobody_used_for_a_month_goes(home):
    filled(2, home)
    for folder in home.iterdir():
        os.utime(folder / "about.json", (time.time() - 31 * 86_400,) * 2)
    cache.keep({"n": 2}, {"a": RUNS}, {})
    assert len(cache.entries()) == 1


class Service:
    """Enough of a service to be told by its state."""

    log_analytics = True

    def __init__(self, state="https://api.loganalytics.io db default"):
        self._state = state

    def state(self):
        return self._state


@pytest.mark.parametrize(
    ("days", "live", "told"),
    [(3, True, True), (1, True, False), (3, False, False)],
    ids=["over for three days", "over for one day", "not of Log Analytics"],
)
def test_days_of_a_workspace_are_kept_once_they_are_closed(days, live, told):
    engine = Service()
    engine.log_analytics = live
    ws = Workspace("/subscriptions/x", "kusto", engine)
    assert bool(ws.state(pd.Timestamp.now("UTC") - pd.Timedelta(days=days))) is told


def test_with_pseudonyms_no_name_is_left_behind(tmp_path, home, monkeypatch):
    monkeypatch.setenv("AMAKIT_KEY_FILE", str(tmp_path / "key"))
    given = amakit.parameters(
        {
            "workspace": str(logs(tmp_path / "logs")),
            "start": START,
            "end": END,
            "machines": "",
            "timezone": "UTC",
            "language": "en",
            "out_dir": "",
            "anonymise": True,
        }
    )
    with amakit.connect(given.workspace) as ws:
        given.analyze(ws)
    assert not home.exists()
    assert not any(b"web-01" in path.read_bytes() for path in home.parent.rglob("*") if path.is_file())


def test_the_command_lists_and_clears(tmp_path, home):
    run = CliRunner().invoke
    asked = ["analyze", str(logs(tmp_path / "logs")), "--start", START, "--end", END, "--out", str(tmp_path / "out")]
    assert run(main, [*asked, "--no-cache"]).exit_code == 0
    assert run(main, ["cache"]).stdout.count("\n") == 1
    assert run(main, asked).exit_code == 0
    (kept,) = home.iterdir()
    listed = run(main, ["cache"]).stdout
    assert listed.splitlines()[1].startswith("logs,2026-03-01T00:00:00Z,2026-03-01T03:00:00Z,0,")
    os.truncate(kept / "runs.parquet", 10)
    assert "it is not whole" in run(main, ["cache"]).stdout
    cleared = run(main, ["cache", "--clear"])
    assert cleared.stderr.startswith("1 analysis taken away")
    assert list(home.iterdir()) == []
