"""A translation that is kept says the same as one that is made anew, for every value."""

import json
import os

import duckdb
import pandas as pd
import pytest
from fleet import every, heartbeats, write
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import amakit
from amakit.embedded.translate import to_sql
from amakit.kql.literals import Held, literal
from amakit.source import translations
from amakit.source.files import LocalEngine
from amakit.source.translations import translated, with_values

ODD = [
    "value 0",
    "value 1",
    '["value 0"]',
    "o'hara",
    "''",
    '"',
    "\\",
    "\\'",
    "$now",
    "{start}",
    "\n",
    "é",
    "😀",
    "--",
    ";",
]


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables")
    beats = pd.DataFrame(
        {"TimeGenerated": pd.to_datetime(["2026-03-01"], utc=True), "Computer": ["web-01"], "Version": [None]}
    )
    beats.to_csv(folder / "Heartbeat.csv", index=False)
    engine = LocalEngine(folder)
    yield engine
    engine.close()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("AMAKIT_CACHE", str(tmp_path))
    translations._translated.cache_clear()
    yield tmp_path / "translations"
    translations._translated.cache_clear()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    names=st.lists(st.one_of(st.sampled_from(ODD), st.text(max_size=5))),
    instant=st.datetimes(pd.Timestamp("1900-01-01").to_pydatetime(), pd.Timestamp("2200-01-01").to_pydatetime()),
)
def test_a_value_that_is_put_in_later_is_the_value(engine, names, instant):
    instant = pd.Timestamp(instant, tz="UTC")
    given_names, given_instant = literal(engine.held(names)), literal(engine.held(instant))
    answer = engine.counted(f"print Names = tostring({given_names}), Instant = {given_instant}")
    assert json.loads(answer["Names"][0]) == names
    assert answer["Instant"][0] == instant


def test_each_query_of_an_analysis_answers_as_without_what_makes_it_fast(monkeypatch):
    """The long way: the text with its values in it, translated by duckdb-kql alone, which knows no types of columns."""
    seen = []
    short = LocalEngine.counted

    def both(engine, kql):
        tables = {n: value for n, value in engine._held.items() if isinstance(value, Held)}
        values = {n: value for n, value in engine._held.items() if n not in tables}
        columns = engine._schema | {table.name: list(table.columns) for table in tables.values()}
        whole = kql
        for number, value in values.items():
            whole = whole.replace(literal(translations.stand_in(value, number)), literal(value))
        sql = to_sql(whole, columns, engine._now)
        expected = engine._fetch(str(sql), dict(sql.parameters))
        answer = short(engine, kql)
        order = list(answer.columns)
        as_text = [frame.astype(str).sort_values(order, ignore_index=True) for frame in (answer, expected)]
        pd.testing.assert_frame_equal(*as_text)
        seen.append(len(answer))
        return answer

    monkeypatch.setattr(LocalEngine, "counted", both)
    with amakit.connect("demo") as workspace:
        amakit.analyze(workspace, "2026-03-05", "2026-03-07", ["web-39", "web-40"])
    assert len(seen) > 25
    assert sum(rows > 0 for rows in seen) > 15


TEXT = 'T | where Computer =~ "a" | summarize n = count() by Computer'
COLUMNS = {"T": ["Computer"], "Unnamed": ["Other"]}


CELL = st.sampled_from([None, "", "a", "A", "b", "ab", "é"])


@settings(max_examples=100, deadline=None)
@given(rows=st.lists(st.tuples(CELL, CELL, CELL, st.sampled_from([None, 0.0, 1.5]), st.integers(-2, 2)), max_size=30))
def test_grouping_by_a_hash_gives_the_groups_of_the_columns(rows):
    sql = (
        'WITH _s2 AS (SELECT "a" AS "a", "b" AS "b", "c" AS "c", "at" AS "at", min("n") AS "Least", count(*) AS "Rows" '
        'FROM _s1 GROUP BY "a", "b", "c", "at") SELECT * FROM _s2 ORDER BY ALL'
    )
    hashed = translations.grouped_by_hash(sql, {"a", "b", "c"})
    assert "GROUP BY hash(" in hashed
    with duckdb.connect() as connection:
        connection.execute('CREATE TABLE _s1 ("a" VARCHAR, "b" VARCHAR, "c" VARCHAR, "at" DOUBLE, "n" INTEGER)')
        if rows:
            connection.executemany("INSERT INTO _s1 VALUES (?, ?, ?, ?, ?)", rows)
        groups, groups_by_hash = (connection.execute(text).fetchall() for text in (sql, hashed))
    assert groups_by_hash == groups


def test_the_query_that_reads_every_heartbeat_groups_by_a_hash(cache):
    """What matches the text of duckdb-kql would otherwise match no more one day, and nobody would see it."""
    with amakit.connect("demo") as workspace:
        span = {name: pd.Timestamp(day, tz="UTC") for name, day in (("start", "2026-03-09"), ("end", "2026-03-10"))}
        workspace.ask("heartbeat_days", **span, machines=[])
    kept = [json.loads(path.read_text(encoding="utf-8"))["sql"] for path in cache.iterdir()]
    assert ["GROUP BY hash(" in sql for sql in kept] == [True]


def test_a_translation_is_read_by_the_next_run(cache, monkeypatch):
    made = translated(TEXT, COLUMNS, frozenset(), None)
    (file,) = cache.iterdir()
    assert file.stat().st_mode & 0o002 == 0
    translations._translated.cache_clear()
    monkeypatch.setattr(translations, "to_sql", None)
    assert translated(TEXT, COLUMNS, frozenset(), None) == made
    assert translated(TEXT, COLUMNS | {"Unnamed": []}, frozenset({"Other"}), None) == made


@pytest.mark.parametrize(
    "damage", ["", "{", "[]", '{"key": "another", "sql": "SELECT 1"}', '{"sql": "SELECT 1"}', "null"]
)
def test_a_broken_or_foreign_translation_is_made_anew(cache, damage):
    made = translated(TEXT, COLUMNS, frozenset(), None)
    (file,) = cache.iterdir()
    file.write_text(damage)
    translations._translated.cache_clear()
    assert translated(TEXT, COLUMNS, frozenset(), None) == made
    assert json.loads(file.read_text())["sql"] == made[0]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no permission bits to tell whose a folder is")
def test_a_translation_that_everybody_can_write_is_not_read(cache):
    made = translated(TEXT, COLUMNS, frozenset(), None)
    (file,) = cache.iterdir()
    file.write_text(file.read_text().replace("SELECT", "SELECT 1 --"))
    file.chmod(0o666)
    translations._translated.cache_clear()
    assert translated(TEXT, COLUMNS, frozenset(), None) == made


def test_no_more_translations_are_kept_than_said(cache, monkeypatch):
    monkeypatch.setattr(translations, "KEPT", 3)
    for n in range(5):
        translated(f"T | take {n}", COLUMNS, frozenset(), None)
    assert len(list(cache.iterdir())) == 3


def test_other_columns_or_another_type_make_another_translation(cache):
    for columns in (["Computer"], ["Computer", "More"]):
        for texts in (frozenset(), frozenset({"Computer"})):
            translated(TEXT, {"T": columns}, texts, None)
    assert len(list(cache.iterdir())) == 4


def test_a_value_that_the_translation_does_not_hold_stops_the_run():
    with pytest.raises(RuntimeError, match="holds no"):
        with_values("SELECT 1", {0: ["web-01"]})


@pytest.mark.parametrize("given_as", ["tolower(Computer)", 'strcat(Computer, "x")', "tostring(Computer)"])
def test_a_column_that_is_given_text_stays_text(given_as):
    assert translations._texts_in(f"T | extend Computer = {given_as}", frozenset({"Computer"})) == {"Computer"}


@pytest.mark.parametrize("given_as", ["split(Computer, '.')", "3", "iff(a, b, c)", "now()"])
def test_a_column_that_is_given_what_may_be_no_text_is_none(given_as):
    assert translations._texts_in(f"T | extend Computer={given_as}", frozenset({"Computer"})) == set()


def test_a_comparison_gives_a_column_nothing():
    text = 'T | where Computer == "a" or Computer =~ "b" or Computer=="c"'
    assert translations._texts_in(text, frozenset({"Computer"})) == {"Computer"}


def test_a_column_of_text_called_like_a_time_of_a_window_does_no_harm(tmp_path):
    beats = heartbeats("a", every(60, "2026-03-02", "2026-03-03", [("2026-03-02 10:00", "2026-03-02 10:05")]))
    plain, odd = (
        amakit.connect(write(tmp_path / name, Heartbeat=beats.assign(**more)))
        for name, more in (("plain", {}), ("odd", {"Start": "x", "End": "y", "Window": "z"}))
    )
    one, other = (amakit.analyze(workspace).outages for workspace in (plain, odd))
    assert len(one) == 1
    pd.testing.assert_frame_equal(one, other)


def test_a_value_that_is_refused_leaves_nothing_behind_for_the_next_query():
    with amakit.connect("demo") as workspace:
        with pytest.raises(amakit.UsageError, match="no time zone"):
            workspace.ask(
                "heartbeat_rows",
                start="2026-03-09",
                end="2026-03-10",
                windows=pd.DataFrame(
                    {"ResourceId": "", "Computer": "a", "Start": pd.to_datetime(["2026-03-09"]), "End": pd.NaT}
                ),
            )
        span = {name: pd.Timestamp(day, tz="UTC") for name, day in (("start", "2026-03-09"), ("end", "2026-03-10"))}
        assert len(workspace.ask("heartbeat_machines", **span)) == 41  # 40 machines, one with two agents
