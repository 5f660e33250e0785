"""Literals against Microsoft's own parser and the embedded engine; packaged queries against both and pandas."""

import datetime as dt
import json
import math
import re
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from amakit.errors import UsageError
from amakit.kql.catalog import packaged, query, render
from amakit.kql.literals import literal
from amakit.schemas import tables
from amakit.source.files import LocalEngine

SETTINGS = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
UTC = dt.UTC

# -- values that want to break out of their literal ----------------------------------------------------------

HOSTILE = [
    '"', "'", "\\", '\\"', "\n", "\r", "\r\n", "\t", "//", "/*", "*/", "--", ";", "|", "{start}", "{}", "$1", "?",
    "\x00", "\x01", "\x07", "\x08", "\x0b", "\x0c", "\x1b", "\x1f", "\x7f", "\x85", "\xa0", "\u2028", "\u2029",
    "\ufeff", "\u200f", "\u202e", "\ufffe", "\uffff", "😀", "\U0010ffff", "e\u0301", "\\u0041", "\\n", "\\x00", "@",
    "h", '"]', '")', '"; print 1 //', "```", "~~~", "null", "datetime(null)",
]  # fmt: skip
texts = st.lists(st.one_of(st.sampled_from(HOSTILE), st.characters(exclude_categories=["Cs"])), max_size=8).map("".join)
longs = st.one_of(st.sampled_from([0, -1, 2**31, 2**63 - 1, -(2**63), 2**53 + 1]), st.integers(-(2**63), 2**63 - 1))
finite = st.one_of(
    st.sampled_from([0.0, -0.0, 5e-324, 1.7976931348623157e308, 0.1, 1e16, 1e22, -1e-7]),
    st.floats(allow_nan=False, allow_infinity=False),
)
zones = st.one_of(st.just(UTC), st.integers(-1439, 1439).map(lambda m: dt.timezone(dt.timedelta(minutes=m))))
datetimes = st.one_of(
    st.sampled_from(
        [
            dt.datetime(1, 1, 1, tzinfo=UTC),
            dt.datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
            dt.datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        ]
    ),
    st.datetimes(dt.datetime(1, 1, 2), dt.datetime(9999, 12, 30), timezones=zones),
)
timespans = st.one_of(
    st.sampled_from([dt.timedelta(microseconds=1), dt.timedelta(microseconds=-1), dt.timedelta(days=-1)]),
    st.timedeltas(dt.timedelta(days=-10_675_198), dt.timedelta(days=10_675_198)),
)
dynamics = st.recursive(
    st.one_of(st.none(), st.booleans(), longs, finite, texts),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(texts, inner, max_size=4)),
    max_leaves=12,
).filter(lambda value: isinstance(value, (list, dict)))
SCALARS = {
    "string": texts, "long": longs, "real": finite, "bool": st.booleans(), "datetime": datetimes,
    "timespan": timespans, "dynamic": dynamics,
}  # fmt: skip


def ticks(value):
    """Count the 100 ns of a timedelta, or of a datetime since year 1, in whole numbers."""
    if isinstance(value, dt.datetime):
        value = value - dt.datetime(1, 1, 1, tzinfo=UTC)
    return str((value // dt.timedelta(microseconds=1)) * 10)


def as_parsed(value):
    """Flatten a Python value into the literals that the parser must find, numbers as numbers."""
    if isinstance(value, dict):
        return [part for k, v in value.items() for part in [("key", k), *as_parsed(v)]]
    if isinstance(value, (list, tuple)):
        return [part for v in value for part in as_parsed(v)]
    if value is None:
        return [("null", None)]
    if isinstance(value, str):
        return [("string", value)]
    if isinstance(value, bool):
        return [("bool", value)]
    if isinstance(value, (dt.datetime, dt.timedelta)):
        return [("datetime" if isinstance(value, dt.datetime) else "timespan", ticks(value))]
    return [("real", value) if isinstance(value, float) else ("long", value)]


def found(answer):
    number = {"long": int, "int": int, "real": float}
    return [
        (part["type"], number.get(part["type"], lambda v: v)(part["value"]) if part["value"] is not None else None)
        for part in answer["literals"]
    ]


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    (folder / "Heartbeat.csv").write_text("TimeGenerated,Computer\n2026-03-01T00:00:00Z,a\n", encoding="utf-8")
    engine = LocalEngine(folder)
    yield engine
    engine.close()


def printed(values):
    return "print " + ", ".join(f"x{i}={literal(v)}" for i, v in enumerate(values))


# -- literals ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", SCALARS)
def test_the_official_parser_reads_a_literal_as_the_value_it_was_made_of(kind, kql_parser):
    @SETTINGS
    @given(st.lists(SCALARS[kind], min_size=1, max_size=6))
    def holds(values):
        answer = kql_parser.check(printed(values))
        assert answer["diagnostics"] == []
        assert found(answer) == as_parsed(values)
        assert list(answer["columns"].values()) == [kind] * len(values)

    holds()


@pytest.mark.parametrize("kind", SCALARS)
def test_the_embedded_engine_gives_back_the_value_a_literal_was_made_of(kind, engine):
    @SETTINGS
    @given(st.lists(SCALARS[kind], min_size=1, max_size=6))
    def holds(values):
        frame = engine.run(printed(values))
        assert [frame[f"x{i}"][0] for i in range(len(values))] == values

    holds()


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_inside_its_literal(text, kql_parser, engine):
    kql = printed([text, [text], {text: text}])
    answer = kql_parser.check(kql)
    assert answer["diagnostics"] == []
    assert found(answer) == [("string", text), ("string", text), ("key", text), ("string", text)]
    assert engine.run(kql).iloc[0].tolist() == [text, [text], {text: text}]


def test_not_a_number_and_the_infinities_pass_through_the_embedded_engine(engine):
    row = engine.run(printed([math.nan, math.inf, -math.inf])).iloc[0].tolist()
    assert math.isnan(row[0])
    assert row[1:] == [math.inf, -math.inf]


@pytest.mark.parametrize("kind", ["long", "int", "real", "bool", "datetime", "timespan", "dynamic", "guid", "decimal"])
def test_none_becomes_the_null_of_its_type(kind, kql_parser, engine):
    kql = f"print x = {literal(None, kind)}"
    answer = kql_parser.check(kql)
    assert answer["diagnostics"] == []
    assert [part["value"] for part in answer["literals"]] == [None]
    assert answer["columns"] == {"x": kind}
    assert engine.run(f"{kql} | project isempty(x)").to_numpy().tolist() == [[True]]


@pytest.mark.parametrize("kind", ["long", "int", "real", "bool", "datetime", "timespan", "decimal"])
def test_a_null_comes_back_as_missing(kind, engine):
    assert engine.run(f"print x = {literal(None, kind)}")["x"].isna().all()


def test_none_as_a_string_is_empty_text_because_kql_has_no_null_string(kql_parser, engine):
    assert found(kql_parser.check(f"print x = {literal(None, 'string')}")) == [("string", "")]
    assert engine.run(f"print x = {literal(None, 'string')}")["x"][0] == ""


def test_numpy_and_pandas_scalars_are_written_like_their_python_twins():
    twins = [
        (np.int64(-5), -5),
        (np.uint8(5), 5),
        (np.float64(0.1), 0.1),
        (np.True_, True),
        (np.str_("a"), "a"),
        (pd.Timestamp("2026-03-01T09:00+09:00"), dt.datetime(2026, 3, 1, tzinfo=UTC)),
        (pd.Timedelta(-1, "us"), dt.timedelta(microseconds=-1)),
        (pd.Timedelta(90, "D"), dt.timedelta(days=90)),
    ]
    for value, twin in twins:
        assert literal(value) == literal(twin)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("a\ud800b", "surrogate"),
        (["\udfff"], "surrogate"),
        ({"\ud83d": 1}, "surrogate"),
        (2**63, "64 bits"),
        (-(2**63) - 1, "64 bits"),
        ([2**63], "64 bits"),
        ([math.nan], "JSON"),
        ([math.inf], "JSON"),
        ([dt.datetime(2026, 1, 1, tzinfo=UTC)], "dynamic"),
        (dt.datetime(2026, 1, 1), "no time zone"),
        (pd.Timestamp("2026-01-01"), "no time zone"),
        (pd.Timestamp("2026-01-01T00:00:00.000000001Z"), "microsecond"),
        (pd.Timedelta(1, "ns"), "microsecond"),
        (dt.datetime(1, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=9))), "years 1 to 9999"),
        (dt.datetime(9999, 12, 31, 23, tzinfo=dt.timezone(dt.timedelta(hours=-9))), "years 1 to 9999"),
        (dt.timedelta(days=10_675_200), "64 bits"),
        (dt.timedelta.min, "64 bits"),
        (None, "type"),
        (b"bytes", "bytes"),
        ({1, 2}, "set"),
        (object(), "object"),
        (pd.DataFrame({"a b": [1]}), "'a b'"),
        (pd.DataFrame({"x:long)[1]//": [1]}), "column"),
    ],
)
def test_a_value_that_no_literal_can_carry_is_refused(value, reason):
    with pytest.raises(UsageError, match=re.escape(reason)) as caught:
        literal(value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "kind"), [("5", "long"), (5, "string"), (1.5, "long"), (True, "long"), ([], "string"), ("x", "datetime")]
)
def test_a_value_of_another_type_than_asked_for_is_refused(value, kind):
    with pytest.raises(UsageError, match=f"but {kind} is asked for"):
        literal(value, kind)


def test_a_whole_number_may_stand_for_a_real(engine):
    assert engine.run(f"print x = {literal(3, 'real')}")["x"].tolist() == [3.0]


FRAMES = {
    "string": (texts, "str"), "long": (longs, "Int64"), "real": (finite, "float64"),
    "bool": (st.booleans(), "boolean"), "datetime": (datetimes, "datetime64[us, UTC]"),
    "timespan": (timespans, "timedelta64[us]"),
}  # fmt: skip


@st.composite
def frames(draw):
    size = draw(st.integers(0, 4))
    columns = {}
    for kind, (values, dtype) in FRAMES.items():
        cells = values if kind == "string" else st.none() | values
        drawn = draw(st.lists(cells, min_size=size, max_size=size))
        if kind == "datetime":
            drawn = [v and v.astimezone(UTC) for v in drawn]
        columns[f"_{kind}1"] = pd.Series(drawn, dtype=dtype)
    return pd.DataFrame(columns)


def test_a_frame_becomes_a_datatable_that_holds_the_same_cells(kql_parser, engine):
    @SETTINGS
    @given(frames())
    def holds(frame):
        kql = literal(frame)
        answer = kql_parser.check(kql)
        assert answer["diagnostics"] == []
        assert answer["columns"] == {f"_{kind}1": kind for kind in FRAMES}
        cells = [
            (None if value is None or value is pd.NaT or value is pd.NA or value != value else value, kind)
            for row in frame.itertuples(index=False)
            for value, kind in zip(row, FRAMES, strict=True)
        ]
        assert [part["value"] for part in answer["literals"]].count(None) == sum(v is None for v, _ in cells)
        assert [v for _, v in found(answer) if v is not None] == [
            ticks(v.to_pydatetime()) if kind == "datetime" else ticks(v.to_pytimedelta()) if kind == "timespan" else v
            for v, kind in cells
            if v is not None
        ]
        pd.testing.assert_frame_equal(engine.run(kql), frame, check_exact=True)

    holds()


# -- packaged queries: their texts ---------------------------------------------------------------------------

MACHINES = ["web-01", '/subscriptions/s/resourcegroups/g"//\\{start}\n/x', "😀"]
WINDOWS = pd.DataFrame(
    {
        "ResourceId": ["", '/r"\\'],
        "Computer": ["a", "b{end}"],
        "Start": pd.to_datetime(["2026-03-01T00:00:00Z", "2026-03-01T01:00:00.000001Z"], format="ISO8601"),
        "End": pd.to_datetime(["2026-03-01T00:10:00Z", "2026-03-02T00:00:00Z"], format="ISO8601"),
    }
)
PLAUSIBLE = {
    "string": "web-01", "long": 5, "int": 5, "real": 1.5, "bool": True, "timespan": dt.timedelta(minutes=5),
    "dynamic": MACHINES, "datatable": WINDOWS, "table": None, "columns": ["Computer", "_ResourceId"],
}  # fmt: skip
NAMES = sorted(packaged())


def values_for(name):
    """Give a plausible value for each parameter of a packaged query."""
    given_values = {"start": dt.datetime(2026, 3, 1, tzinfo=UTC), "end": dt.datetime(2026, 3, 8, tzinfo=UTC)}
    values = {}
    for key, (kind, meaning) in query(name).parameters.items():
        values[key] = (
            given_values.get(key, dt.datetime(2026, 3, 2, tzinfo=UTC)) if kind == "datetime" else PLAUSIBLE[kind]
        )
        if kind == "datatable":
            values[key] = datatable_for(meaning)
        if kind == "table":
            values[key] = next(iter(query(name).reads))
    return values


def datatable_for(meaning):
    """Make a frame with the columns that a datatable's meaning begins with, as 'Name:type, Name:type; …'."""
    samples = {
        "string": ["", 'b"\\'],
        "datetime": list(WINDOWS["Start"]),
        "long": [1, 2],
        "real": [0.5, 1.5],
        "bool": [True, False],
        "timespan": [pd.Timedelta(1, "s"), pd.Timedelta(-1, "us")],
    }
    pairs = re.findall(r"(\w+):(\w+)", meaning.partition(";")[0])
    return pd.DataFrame({column: samples[kind] for column, kind in pairs})


def test_there_are_packaged_queries_and_each_tells_what_it_is_for():
    assert NAMES
    for name, wanted in packaged().items():
        assert wanted.name == name
        assert wanted.question.endswith((".", "?")), name
        assert wanted.cost.endswith("."), name
        assert wanted.reads, name
        assert wanted.returns, name
        for kind, meaning in wanted.parameters.values():
            assert kind in {"datetime", *PLAUSIBLE}, name
            assert len(meaning.split()) > 1, name


@pytest.mark.parametrize("name", NAMES)
def test_a_rendered_query_has_no_place_left_to_fill(name):
    unfilled = re.compile(r"\{[a-z_]\w*\}")
    tame = {"string": "x", "dynamic": ["x"], "datatable": None, "columns": ["x"]}
    values = {
        key: value
        if query(name).parameters[key][0] not in tame
        else tame[query(name).parameters[key][0]] or value.replace(r"[{}]", "", regex=True)
        for key, value in values_for(name).items()
    }
    assert not unfilled.search(render(name, **values))


@pytest.mark.parametrize("name", NAMES)
def test_the_official_parser_accepts_a_packaged_query_and_gives_it_the_columns_of_its_head(name, kql_parser):
    answer = kql_parser.check(render(name, **values_for(name)))
    assert answer["diagnostics"] == []
    assert answer["columns"] == query(name).returns


@pytest.mark.parametrize("name", NAMES)
def test_a_packaged_query_reads_only_the_columns_that_its_head_lists(name, kql_parser):
    reads = query(name).reads
    kql_parser.know({table: {c: tables()[table][c] for c in columns} for table, columns in reads.items()})
    answer = kql_parser.check(render(name, **values_for(name)))
    assert answer["diagnostics"] == []
    assert answer["columns"] == query(name).returns


@pytest.mark.parametrize("name", NAMES)
def test_a_packaged_query_reads_every_column_that_its_head_lists(name, kql_parser):
    for table, columns in query(name).reads.items():
        for column in columns:
            kql_parser.know(
                {t: {c: tables()[t][c] for c in cs if (t, c) != (table, column)} for t, cs in query(name).reads.items()}
            )
            assert kql_parser.check(render(name, **values_for(name)))["diagnostics"], f"{name} does not need {column}"


@pytest.mark.parametrize("name", NAMES)
def test_a_packaged_query_runs_where_columns_are_lacking(name, kql_parser):
    present, lacking = {}, {}
    for table, columns in query(name).reads.items():
        present[table] = {"TimeGenerated": "datetime"}
        lacking[table] = {c: tables()[table][c] for c in columns if c != "TimeGenerated"}
    kql_parser.know(present)
    answer = kql_parser.check(render(name, lacking, **values_for(name)))
    assert answer["diagnostics"] == []
    assert answer["columns"] == query(name).returns


@pytest.mark.parametrize("name", NAMES)
def test_values_cannot_change_the_shape_of_a_packaged_query(name, kql_parser):
    """The parser finds the hostile texts again as literals, whole."""
    literals = {value for kind, value in found(kql_parser.check(render(name, **values_for(name)))) if kind == "string"}
    for key, value in values_for(name).items():
        if query(name).parameters[key][0] == "dynamic":
            assert set(value) <= literals
        if query(name).parameters[key][0] == "datatable":
            assert {v for v in value.to_numpy().ravel() if isinstance(v, str)} <= literals


def test_a_call_with_a_wrong_value_says_which():
    times = {"start": dt.datetime(2026, 3, 1, tzinfo=UTC), "end": dt.datetime(2026, 3, 2, tzinfo=UTC)}
    with pytest.raises(UsageError, match="'heartbeat_day'; the nearest are 'heartbeat_days'"):
        render("heartbeat_day")
    with pytest.raises(UsageError, match="no parameter 'strat'; the nearest is 'start'"):
        render("heartbeat_days", **times, machines=[], strat=1)
    with pytest.raises(UsageError, match="needs a value for 'machines'"):
        render("heartbeat_days", **times)
    with pytest.raises(UsageError, match="but dynamic is asked for"):
        render("heartbeat_days", **times, machines="web-01")


@pytest.mark.parametrize(
    "table", ["Event'] | take 0 //", "A]", "A\nB", 'A"', "", " A", "A{start}", "A|B", "A;B", None, 5]
)
def test_what_could_end_the_name_of_a_table_is_refused(table):
    times = {"start": dt.datetime(2026, 3, 1, tzinfo=UTC), "end": dt.datetime(2026, 3, 2, tzinfo=UTC)}
    with pytest.raises(UsageError, match="cannot be the name of a table"):
        render("event_machines", table=table, shared=[], **times)


@pytest.mark.parametrize("table", ["Syslog", "Ledger_CL", "my-app.v2 log_CL", "日誌_CL"])
def test_a_query_reads_the_table_that_stands_in(table, kql_parser):
    times = {"start": dt.datetime(2026, 3, 1, tzinfo=UTC), "end": dt.datetime(2026, 3, 2, tzinfo=UTC)}
    kql_parser.know({table: {"TimeGenerated": "datetime", "Computer": "long"}})
    answer = kql_parser.check(
        render("event_machines", {table: {"_ResourceId": "string"}}, table=table, shared=["a"], **times)
    )
    assert answer["diagnostics"] == []
    assert answer["columns"] == query("event_machines").returns


# -- packaged queries: their answers, on data that several threads share -------------------------------------

START, DAYS, MACHINE_COUNT = pd.Timestamp("2026-03-02", tz="UTC"), 3, 110
VERSIONS = ["1.9.0", "1.10.2", "1.34.5", "1.34.5.0"]


def mixed_case(text, rng):
    return "".join(c.upper() if up else c for c, up in zip(text, rng.random(len(text)) < 0.5, strict=True))


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    """Half a million heartbeats in eight row groups of Parquet, out of order, and the same rows as a plain frame."""
    rng = np.random.default_rng(20260302)
    per_machine = DAYS * 1440
    number = np.repeat(np.arange(MACHINE_COUNT), per_machine)
    beat = np.tile(np.arange(per_machine), MACHINE_COUNT)
    phase = rng.integers(0, 60_000_000, MACHINE_COUNT)
    micros = beat * 60_004_000 + phase[number] + rng.integers(-9_000, 9_000, len(beat))
    # the version changes at three instants of the machine's own, some of them on one day
    changes = np.sort(rng.integers(0, per_machine, (MACHINE_COUNT, 3)), axis=1)
    version = (beat[:, None] >= changes[number]).sum(axis=1)
    keep = rng.random(len(beat)) > 0.01
    number, micros, version = number[keep], micros[keep], version[keep]

    # every fifth machine also has the old agent under another id, and every 50th row comes twice
    direct = np.flatnonzero(number % 5 == 0)[::2]
    again = rng.integers(0, len(number), len(number) // 50)
    pick = np.concatenate([np.arange(len(number)), direct, again])
    is_direct = np.zeros(len(pick), dtype=bool)
    is_direct[len(number) : len(number) + len(direct)] = True
    # received soon, or exactly two minutes later, or a microsecond more or less, or before it was sent, or never
    delays = np.array([1_500_000, 120_000_000, 120_000_001, 119_999_999, 86_400_000_000, -200_000_000])
    chosen = np.random.default_rng(2).choice(len(delays) + 1, len(number), p=[0.8, 0.05, 0.03, 0.05, 0.02, 0.02, 0.03])
    received = (micros + np.append(delays, 0)[chosen]).astype("m8[us]")
    received[chosen == len(delays)] = np.timedelta64("NaT")
    number, micros, version, received = number[pick], micros[pick], version[pick], received[pick]
    spelling = rng.integers(0, 3, MACHINE_COUNT * 8)[rng.integers(0, MACHINE_COUNT * 8, len(pick))]
    spelling[len(number) - len(again) :] = 0

    def spelled(texts):
        """Three spellings of each machine's text."""
        table = np.array([[t, t.upper(), mixed_case(t, rng)] for t in texts], dtype=object)
        return table[number, spelling]

    def plain(texts):
        return np.array(texts, dtype=object)[number]

    machines, ours = range(MACHINE_COUNT), ["Azure Monitor Agent", "azure monitor agent", "", None]
    # 0-19 are one scale set; 20/21 and so on up to 39 are twins by name; 40-49 have no resource id
    ids = [f"/subscriptions/s/resourcegroups/g/providers/vm/{'set' if n < 20 else f'm{n:03}'}" for n in machines]
    names = [f"host-{n // 2 * 2 if 20 <= n < 40 else n:03}" for n in machines]
    rows = pd.DataFrame(
        {
            "TimeGenerated": START.tz_localize(None).to_datetime64().astype("datetime64[us]") + micros,
            "_TimeReceived": START.tz_localize(None).to_datetime64().astype("datetime64[us]") + received,
            "Category": plain([ours[0 if n % 7 else n % 4] for n in machines]),
            "Computer": spelled(names),
            "_ResourceId": spelled(ids),
            "SourceComputerId": spelled([f"aaaa-{n:04}" for n in machines]),
            "VMUUID": plain([f"BBBB-{n:04}" for n in machines]),
            "OSType": plain(["Windows" if n % 3 else "Linux" for n in machines]),
            "ComputerEnvironment": plain(["Azure" if n % 4 else "Non-Azure" for n in machines]),
            "Version": np.array(VERSIONS, dtype=object)[version],
        }
    )
    rows.loc[is_direct, "Category"] = "Direct Agent"
    rows.loc[is_direct, "Version"] = "10.20.18067.0"
    rows.loc[(number >= 40) & (number < 45), "_ResourceId"] = None
    rows.loc[(number >= 45) & (number < 50), "_ResourceId"] = ""
    rows.loc[(number >= 30) & (number < 60), "SourceComputerId"] = None
    rows.loc[(number >= 60) & (number < 65), "SourceComputerId"] = ""
    rows.loc[(number >= 50) & (number < 53), "VMUUID"] = None
    rows.loc[(number == 70) & (micros % 3 == 0), "OSType"] = None
    rows = rows.iloc[rng.permutation(len(rows))].reset_index(drop=True)

    folder = tmp_path_factory.mktemp("fleet")
    with duckdb.connect() as connection:
        connection.register("rows", rows)
        connection.execute(f"COPY rows TO '{folder / 'Heartbeat.parquet'}' (FORMAT parquet, ROW_GROUP_SIZE 65536)")
    engine = LocalEngine(folder)
    yield engine, rows
    engine.close()


@pytest.fixture(scope="module")
def agent_beats(fleet):
    """The heartbeats of the Azure Monitor Agent as the packaged queries mean them, made with pandas alone."""
    _, rows = fleet
    text = rows.drop(columns=["TimeGenerated", "_TimeReceived"]).fillna("").astype("str")
    ours = text["Category"].str.lower().isin(["", "azure monitor agent"])
    return pd.DataFrame(
        {
            "TimeGenerated": pd.to_datetime(rows["TimeGenerated"], utc=True).dt.as_unit("us"),
            "Received": pd.to_datetime(rows["_TimeReceived"], utc=True).dt.as_unit("us"),
            "ResourceId": text["_ResourceId"].str.lower(),
            "Computer": text["Computer"].str.lower(),
            "Agent": text["SourceComputerId"].where(text["SourceComputerId"] != "", text["VMUUID"]).str.lower(),
            "Vm": text["VMUUID"].str.lower(),
            "Version": text["Version"],
            "OSType": text["OSType"],
            "Environment": text["ComputerEnvironment"],
        }
    )[ours].reset_index(drop=True)


def assert_same_rows(got, expected, near=()):
    """Compare all rows in any order, exactly but for the columns in `near`: sums of floats in another order."""
    columns = [c for c in expected.columns if c not in near]
    assert len(expected), "an empty expectation proves nothing"
    assert sorted(got.columns) == sorted(expected.columns)
    expected = expected.astype(dict.fromkeys(expected.select_dtypes("int64").columns, "Int64"))
    got, expected = (frame.sort_values(columns, ignore_index=True) for frame in (got, expected))
    pd.testing.assert_frame_equal(got[columns], expected[columns], check_exact=True)
    for column in near:
        pd.testing.assert_series_equal(got[column], expected[column], check_exact=False, rtol=1e-9, atol=0)


FROM, TO = START + pd.Timedelta("05:17:00.000001"), START + pd.Timedelta("2 days 13:00:00")


def inside(beats, start=FROM, end=TO):
    return beats[(beats["TimeGenerated"] >= start) & (beats["TimeGenerated"] < end)]


def test_the_fleet_is_large_and_mixed_enough_to_show_errors(fleet, agent_beats):
    _, rows = fleet
    assert len(rows) > 7 * 65_536  # so that several row groups are read at once
    assert rows.duplicated().sum() > 3_000
    assert rows["SourceComputerId"].isna().any()
    assert {"", "Direct Agent"} <= set(rows["Category"].dropna())
    days = agent_beats.groupby(["ResourceId", "Computer", "Agent", agent_beats["TimeGenerated"].dt.floor("D")])
    assert (days["Version"].nunique() > 1).sum() > 100
    assert not rows["TimeGenerated"].is_monotonic_increasing


def test_heartbeat_span_equals_pandas(fleet, agent_beats):
    times = agent_beats["TimeGenerated"]
    expected = pd.DataFrame({"First": [times.min()], "Last": [times.max()], "Beats": [len(times)]})
    assert_same_rows(fleet[0].run(render("heartbeat_span")), expected)


def with_offset(beats, floor):
    """Add the microseconds since the start of the day or hour, whose sum is exact."""
    return beats.assign(Offset=(beats["TimeGenerated"] - floor) // pd.Timedelta(1, "us"))


def days_of(beats):
    day = beats["TimeGenerated"].dt.floor("D").rename("Day")
    delay = (beats["Received"] - beats["TimeGenerated"]).dt.total_seconds()
    grouped = with_offset(beats, day).assign(Delay=delay).groupby(["ResourceId", "Computer", "Agent", "Version", day])
    days = grouped.agg(
        Vm=("Vm", "max"),
        OSType=("OSType", "max"),
        Environment=("Environment", "max"),
        FirstBeat=("TimeGenerated", "min"),
        LastBeat=("TimeGenerated", "max"),
        Beats=("TimeGenerated", "size"),
        Offset=("Offset", "sum"),
        Delay=("Delay", "max"),
        Least=("Delay", "min"),
    ).reset_index()
    return days.assign(Offset=days["Offset"] / 1e6)


def test_heartbeat_days_equals_pandas(fleet, agent_beats):
    got = fleet[0].run(render("heartbeat_days", start=FROM, end=TO, machines=[]))
    expected = days_of(inside(agent_beats))
    assert expected["Delay"].max() > 120
    assert_same_rows(got, expected, near=["Offset"])


def test_heartbeat_days_of_some_machines_equals_pandas(fleet, agent_beats):
    asked = ["host-022", "host-041", "/subscriptions/s/resourcegroups/g/providers/vm/set", "nobody"]
    got = fleet[0].run(render("heartbeat_days", start=FROM, end=TO, machines=asked))
    beats = inside(agent_beats)
    expected = days_of(beats[beats["Computer"].isin(asked) | beats["ResourceId"].isin(asked)])
    assert expected["Computer"].nunique() == 22
    assert_same_rows(got, expected, near=["Offset"])


def test_heartbeat_machines_equals_pandas(fleet, agent_beats):
    # where an agent's last instant has several rows they are copies, so that any of them may be taken
    expected = (
        inside(agent_beats)
        .sort_values("TimeGenerated")
        .groupby(["ResourceId", "Computer", "Agent"])
        .agg(
            LastBeat=("TimeGenerated", "last"),
            Version=("Version", "last"),
            OSType=("OSType", "last"),
            Environment=("Environment", "last"),
            FirstBeat=("TimeGenerated", "first"),
            Vm=("Vm", "max"),
        )
        .reset_index()
    )
    assert_same_rows(fleet[0].run(render("heartbeat_machines", start=FROM, end=TO)), expected)


@pytest.fixture(scope="module")
def windows(agent_beats):
    """Windows of all lengths, some on the very instant of a heartbeat, some overlapping, some around nothing."""
    rng = np.random.default_rng(7)
    machines = agent_beats[["ResourceId", "Computer"]].drop_duplicates().sort_values(["Computer", "ResourceId"])
    machines = machines.sample(120, replace=True, random_state=7, ignore_index=True)
    # on a heartbeat's very instant: the start belongs to the window, the end does not
    on_beats = agent_beats.sample(120, random_state=8, ignore_index=True)
    starts = on_beats["TimeGenerated"]
    made = pd.concat(
        [
            on_beats[["ResourceId", "Computer"]].assign(Start=starts, End=starts + pd.Timedelta("00:30:00")),
            on_beats[["ResourceId", "Computer"]].assign(Start=starts - pd.Timedelta("00:20:00"), End=starts),
            machines.assign(Start=FROM + pd.to_timedelta(rng.integers(0, 2 * 86_400, 120), unit="s")).assign(
                End=lambda w: w["Start"] + pd.Timedelta("03:00:00")
            ),
            pd.DataFrame({"ResourceId": ["/nothing"], "Computer": ["nobody"], "Start": [FROM], "End": [TO]}),
        ],
        ignore_index=True,
    )
    return made.astype({"Start": "datetime64[us, UTC]", "End": "datetime64[us, UTC]"})


def in_windows(beats, windows):
    """Take the rows of each window one after the other; a row in two windows comes twice, as it does in a join."""
    by_machine = dict(list(beats.groupby(["ResourceId", "Computer"])))
    parts = [
        inside(by_machine[w.ResourceId, w.Computer], w.Start, w.End)
        for w in windows.itertuples()
        if (w.ResourceId, w.Computer) in by_machine
    ]
    return pd.concat(parts, ignore_index=True)


def test_heartbeat_rows_equals_pandas(fleet, agent_beats, windows):
    got = fleet[0].run(render("heartbeat_rows", start=FROM, end=TO, windows=windows))
    expected = in_windows(inside(agent_beats), windows)
    assert_same_rows(got, expected[["ResourceId", "Computer", "Agent", "Version", "TimeGenerated", "Received"]])


def test_heartbeat_hours_equals_pandas(fleet, agent_beats, windows):
    """A day in which every minute has its beat, doubled or not, comes as one row; without an interval no day does."""
    machine, agent = ["ResourceId", "Computer"], ["ResourceId", "Computer", "Agent", "Version"]
    day = agent_beats.assign(Start=agent_beats["TimeGenerated"].dt.floor("D"))
    day = day.assign(End=day["Start"] + pd.Timedelta(days=1))[[*machine, "Start", "End"]].drop_duplicates()
    for asked, interval in ((windows, np.nan), (day[day["Start"] >= FROM], 60.0)):
        got = fleet[0].run(render("heartbeat_hours", start=FROM, end=TO, windows=asked.assign(Interval=interval)))
        beats = in_windows(inside(agent_beats), asked)[[*agent, "TimeGenerated"]].drop_duplicates()
        hours, days = (
            beats.groupby([*agent, beats["TimeGenerated"].dt.floor(unit).rename("Hour")])["TimeGenerated"]
            .agg(FirstBeat="min", LastBeat="max", Beats="size")
            .reset_index()
            for unit in ("h", "D")
        )
        whole = days[
            days["Beats"] == 1 + ((days["LastBeat"] - days["FirstBeat"]).dt.total_seconds() / interval).round()
        ]
        key = pd.MultiIndex.from_frame(hours.assign(Hour=hours["Hour"].dt.floor("D"))[[*agent, "Hour"]])
        other = hours[~key.isin(pd.MultiIndex.from_frame(whole[[*agent, "Hour"]]))]
        assert len(other)
        assert bool(len(whole)) == (interval == 60)
        assert_same_rows(
            got, pd.concat([whole.assign(Whole=True), other.assign(Whole=False)]).astype({"Whole": "boolean"})
        )


def test_heartbeat_late_equals_pandas(fleet, agent_beats, windows):
    limit = pd.Timedelta(minutes=2)
    of_right_clocks = windows.assign(Usual=pd.Timedelta(0))
    got = fleet[0].run(render("heartbeat_late", start=FROM, end=TO, windows=of_right_clocks, delay=limit))
    beats = in_windows(inside(agent_beats), windows)
    delay = beats["Received"] - beats["TimeGenerated"]
    late = beats[delay > limit]
    assert (delay == limit).any()
    assert delay.isna().any()
    assert (delay[late.index] == limit + pd.Timedelta(1, "us")).any()
    assert_same_rows(got, late[["ResourceId", "Computer", "TimeGenerated", "Received"]])
    behind = windows.assign(Usual=pd.Timedelta(minutes=1))
    got = fleet[0].run(render("heartbeat_late", start=FROM, end=TO, windows=behind, delay=limit / 2))
    assert_same_rows(got, late[["ResourceId", "Computer", "TimeGenerated", "Received"]])


def test_heartbeat_others_equals_pandas(fleet, windows):
    engine, rows = fleet
    got = engine.run(render("heartbeat_others", start=FROM, end=TO, windows=windows))
    text = rows[["_ResourceId", "Computer", "Category"]].fillna("").astype("str")
    beats = pd.DataFrame(
        {
            "TimeGenerated": pd.to_datetime(rows["TimeGenerated"], utc=True).dt.as_unit("us"),
            "ResourceId": text["_ResourceId"].str.lower(),
            "Computer": text["Computer"].str.lower(),
            "Category": text["Category"],
        }
    )
    beats = in_windows(inside(beats[~beats["Category"].str.lower().isin(["", "azure monitor agent"])]), windows)
    last = beats.groupby(["ResourceId", "Computer", "Category"], as_index=False)["TimeGenerated"].max()
    assert_same_rows(got, last.rename(columns={"TimeGenerated": "LastBeat"}))


# -- the other tables: samples, activity and what operating systems write ---------------------------------------------

SPAN = 2 * 86_400_000_000  # microseconds
SET = "/subscriptions/s/resourcegroups/g/providers/vm/set"
COUNTERS = [
    ("Processor", "% Processor Time", "_Total"), ("Processor", "% Processor Time", "_total"),
    ("Memory", "Available MBytes", None), ("Memory", "Available MBytes", "x"), ("LogicalDisk", "% Free Space", "C:\\mnt"),
    ("System", "System Up Time", ""), ("System", "Uptime", "_Total"), ("SYSTEM", "SYSTEM UP TIME", "a"),
    ("System", "Uptime Total", ""), (None, "uptime", None),
]  # fmt: skip
TAGS = [
    r'{"vm.azm.ms/mountId":"C:\\mnt"}', r'{"vm.azm.ms/mountId":"a\"b"}', r'{"vm.azm.ms/mountId" : "\u65e5"}',
    None, "", "{}", "no JSON", '{"vm.azm.ms/memorySizeMB":8192}',
    '{"vm.azm.ms/mountId":"/","vm.azm.ms/diskSizeMB":1024.5}', '{"vm.azm.ms/mountId": "C:"}',
    '{"vm.azm.ms/diskSizeMB":31,"vm.azm.ms/mountId":  "/mnt/日本 x"}', '{"vm.azm.ms/mountId":""}',
    '{"vm.azm.ms/networkDeviceId":"eth0","vm.azm.ms/bytes":7}', '{"mountId":"/"}',
    '{"x.vm.azm.ms/mountId":"/no"}', '{"other/networkDeviceId":"eth1"}', '{"VM.AZM.MS/MOUNTID":"/no"}',
]  # fmt: skip


def some_machines(rng, n, count=120):
    """Computer and resource id of n rows, each row in a spelling of its own."""
    number = rng.integers(0, count, n)
    # 0-9 are one scale set, 10/11 to 18/19 are twins by name, 20-29 have no id, 30 has no name
    names = [None if i == 30 else f"host-{i // 2 * 2 if 10 <= i < 20 else i:03}" for i in range(count)]
    ids = [
        SET if i < 10 else None if 20 <= i < 25 else "" if 25 <= i < 30 else f"{SET[:-3]}m{i:03}" for i in range(count)
    ]

    def spelled(texts):
        table = [[t, t and t.upper(), t and mixed_case(t, rng), t and mixed_case(t, rng)] for t in texts]
        return np.array(table, dtype=object)[number, rng.integers(0, 4, n)]

    return {"Computer": spelled(names), "_ResourceId": spelled(ids)}


def some_rows(seed, n, columns, every=1, duplicates=0.03):
    """N rows at random instants (whole multiples of `every` microseconds), some twice, in any order."""
    rng = np.random.default_rng(seed)
    micros = rng.integers(0, SPAN // every, n) * every
    frame = pd.DataFrame(
        {
            "TimeGenerated": START.tz_localize(None).to_datetime64().astype("M8[us]") + micros,
            **some_machines(rng, n),
            **columns(rng, n),
        }
    )
    again = rng.integers(0, n, int(n * duplicates))
    twins = frame.iloc[again].assign(Computer=frame["Computer"].iloc[again].str.upper())  # the same when in lower case
    frame = pd.concat([frame, frame.iloc[again], twins.iloc[::2]], ignore_index=True)
    return frame.iloc[rng.permutation(len(frame))].reset_index(drop=True)


def one_of(choices, p=None):
    """Make a column of these values."""
    return lambda rng, n: np.array(choices, dtype=object)[rng.choice(len(choices), n, p=p)]


def some_of(choices, rng, n):
    """Make several columns that belong together, one for each element of a choice."""
    return np.array(choices, dtype=object)[rng.choice(len(choices), n)].T


def perf_columns(rng, n):
    objects, counters, instances = some_of(COUNTERS, rng, n)
    values = rng.uniform(0, 1e7, n)
    values[rng.random(n) < 0.01] = np.nan
    return {"ObjectName": objects, "CounterName": counters, "InstanceName": instances, "CounterValue": values}


def insights_columns(rng, n):
    return {
        "Namespace": one_of(["LogicalDisk", "Network", "logicaldisk", None])(rng, n),
        "Name": one_of(["FreeSpaceMB", "Status"])(rng, n),
        "Tags": one_of(TAGS)(rng, n),
    }


OPERATIONS = [
    "Microsoft.Compute/virtualMachines/extensions/write", "MICROSOFT.COMPUTE/VIRTUALMACHINES/EXTENSIONS/DELETE",
    "Microsoft.HybridCompute/machines/extensions/read", "Microsoft.HybridCompute/machines/upgradeExtensions/action",
    "microsoft.compute/virtualMachines/deallocate/action", "Microsoft.Compute/virtualMachines/powerOff/action",
    "Microsoft.Compute/virtualMachineScaleSets/virtualMachines/start/action",
    "Microsoft.Compute/virtualMachineScaleSets/restart/action", "Microsoft.Compute/virtualMachines/redeploy/action",
    "Microsoft.Compute/virtualMachines/reimage/action", "Microsoft.Compute/virtualMachines/hibernate/action",
    "Microsoft.HybridCompute/machines/delete", "Microsoft.Compute/virtualMachines/delete",
    "Microsoft.ResourceHealth/healthevent/Activated/action", "Microsoft.Insights/AutoscaleSettings/Scaledown/Action",
    "Microsoft.Compute/virtualMachines/performMaintenance/action", "Microsoft.Compute/virtualMachines/installPatches/action",
    "Microsoft.Compute/virtualMachineScaleSets/osRollingUpgrade/action",
    # and these are none of them
    "Microsoft.Compute/virtualMachines/write", "Microsoft.Compute/disks/delete", "Microsoft.Web/sites/restart/action",
    "Microsoft.Compute/virtualMachines/restartNow/action", "Microsoft.Compute/virtualMachinesX/start/action",
    "Microsoft.Compute/extensionsX/write", "Microsoft.Insights/dataCollectionRules/delete", "", None,
]  # fmt: skip


def activity_columns(rng, n):
    return {
        "OperationNameValue": one_of(OPERATIONS)(rng, n),
        "OperationName": one_of(
            ["Create or Update Virtual Machine Extension", "Deallocate Virtual Machine", "List Keys", None]
        )(rng, n),
        "Claims": one_of(['{"name":"x","appid":"5e5e-a"}', '{"appid" : "b"}', "no JSON", None])(rng, n),
        "Properties": one_of(['{"title":"a"}', "", None])(rng, n),
        "ActivityStatusValue": one_of(["Start", "Success", "Failure", "Accept", "", None])(rng, n),
        "ActivityStatus": one_of(["Started", "Succeeded", "Failed", "Accepted", "", None])(rng, n),
        "ResourceId": one_of(["/Subscriptions/S/VM/A", "/subscriptions/s/vm/b/Extensions/X", "", None])(rng, n),
        "Caller": one_of(["Somebody@example.com", "0f0e0d0c", None])(rng, n),
        "CorrelationId": one_of(["AAAA-1", "bbbb-2", None])(rng, n),
    }


SOURCES = [
    "User32", "USER32", "EventLog", "eventlog", "Microsoft-Windows-Kernel-Power", "microsoft-windows-KERNEL-general",
    "Microsoft-Windows-Kernel-Boot", "Kernel", "Microsoft-Windows-Kernelish", "Service Control Manager", "User32X",
    "Microsoft-Windows-EventLog", "", None,
]  # fmt: skip
LONG = "The previous system shutdown at 8:21:01 was unexpected – ünï. "


def event_columns(rng, n):
    numbers = [12, 13, 41, 109, 1074, 6005, 6006, 6008, 1, 7036, 410, 107, None]
    return {
        "EventLog": one_of(
            ["System", "SYSTEM", "system", "Application", "System2", None], [0.4, 0.2, 0.2, 0.1, 0.05, 0.05]
        )(rng, n),
        "EventID": pd.array(one_of(numbers)(rng, n), dtype="Int32"),
        "Source": one_of(SOURCES)(rng, n),
        # two texts that differ only after the 300th letter, one of 300 letters, one of 301
        "RenderedDescription": one_of(
            [
                "short",
                "",
                None,
                LONG * 6 + "a",
                LONG * 6 + "b",
                (LONG * 5)[:300],
                (LONG * 5)[:300] + "!",
                "two\nlines",
            ]
        )(rng, n),
    }


SYSLOG = [  # the process, its id, what it says
    ("kernel", 0, "Linux version 6.8.0-1021-azure (buildd@lcy02)"), ("KERNEL", None, "linux VERSION 5.15"),
    ("kernel", 0, "Command line: BOOT_IMAGE=/boot/vmlinuz root=/dev/sda1"), ("kernel", 0, "[0.0] boot_image: x"),
    ("kernel", 0, "[0.0] Linux version 6"), ("kernel", 0, "reboot: Restarting system"),
    ("systemd-logind", 612, "System is powering down."), ("systemd-logind", None, "system IS rebooting."),
    ("systemd", 1, "Reached target shutdown.target - System Shutdown."), ("systemd", 1, "Reached target Reboot."),
    ("systemd", None, "Reached target System Reboot."), ("SYSTEMD", None, "Reached target Power-Off."),
    ("systemd", 1, "Startup finished in 2.1s (kernel) + 9s (userspace) = 11.1s."),
    ("systemd", None, "Startup finished in 2.1s (kernel) + 9s (userspace) = 11.1s."),
    ("shutdown", 9, "shutting down for system reboot"), ("init", 1, "Shutting DOWN now"), ("Init", None, "halt"),
    ("systemd", 1, "Reached target " + LONG * 6 + "a"), ("systemd", 1, "Reached target " + LONG * 6 + "b"),
    # and these are none of them
    ("systemd", 1733, "Startup finished in 50ms."), ("systemd", 1733, "Reached target shutdown.target - Shutdown."),
    ("systemd", None, "Startup finished in 50ms."), ("systemd", None, "Reached target Shutdown."),
    ("sshd", 5, "Linux version 6"), ("cloud-init", 5, "BOOT_IMAGE=/boot/vmlinuz"), ("kernel", 0, "noBOOT_IMAGE=1"),
    ("systemd", 1, "Started Session 5 of User root."), ("systemd", 1, "System is rebooting."), ("kernel", 0, "reboots: x"),
    ("sshd", 5, "System is powering down."), ("my-systemd", 1, "Reached target Reboot."), ("init", 1, "rebooted"),
    ("shutdown", 9, "halted"), ("shutdownd", 9, "halt"), ("cron", 9, "reboot"), ("systemd", 1, None), (None, 1, "halt"),
    ("kernel", 0, ""),
]  # fmt: skip


def syslog_columns(rng, n):
    processes, numbers, messages = some_of(SYSLOG, rng, n)
    return {"ProcessName": processes, "ProcessID": pd.array(numbers, dtype="Int32"), "SyslogMessage": messages}


def operation_columns(rng, n):
    return {
        "OperationStatus": one_of(["Warning", "ERROR", "Failed", "Succeeded", "", None])(rng, n),
        "OperationKey": one_of(["Linux agent", "Data collection stopped", "Data collection resumed", None])(rng, n),
        "Detail": one_of(["short", LONG * 6 + "a", None])(rng, n),
    }


def without_computer(frame, rng):
    """AMAHealth knows no computers, and most of its ids are those of the extension."""
    tails = one_of(
        ["/extensions/AzureMonitorLinuxAgent", "/Extensions/AMA", "/EXTENSIONS/A/extensions/b", "", "/extensionsX"]
    )
    tail = pd.Series(tails(rng, len(frame)))
    ids = frame["_ResourceId"]
    return frame.drop(columns="Computer").assign(_ResourceId=(ids + tail).where(ids.fillna("") != "", ids))


@pytest.fixture(scope="module")
def collected(tmp_path_factory):
    """Tables beside Heartbeat in Parquet, in so many row groups that several threads share each; and as frames."""
    tenth, kinds = 100_000, ["Software", "WindowsServices", "software", "", None]
    tables_made = {
        "Perf": some_rows(21, 520_000, perf_columns, 1000),
        "InsightsMetrics": some_rows(22, 120_000, insights_columns, 1000),
        "ConfigurationData": some_rows(23, 80_000, lambda r, n: {"ConfigDataType": one_of(kinds)(r, n)}, tenth * 3000),
        "AMAHealth": without_computer(some_rows(24, 60_000, lambda r, n: {}, tenth * 600), np.random.default_rng(25)),
        "AzureActivity": some_rows(26, 30_000, activity_columns, 1000).drop(columns="Computer"),
        "Event": some_rows(27, 60_000, event_columns, tenth),
        "Syslog": some_rows(28, 60_000, syslog_columns, 1),
        "Operation": some_rows(29, 30_000, operation_columns, 1000),
    }
    folder = tmp_path_factory.mktemp("collected")
    with duckdb.connect() as connection:
        for name, frame in tables_made.items():
            connection.register("rows", frame)
            size = 65536 if name == "Perf" else 8192
            connection.execute(f"COPY rows TO '{folder / name}.parquet' (FORMAT parquet, ROW_GROUP_SIZE {size})")
            connection.unregister("rows")
    engine = LocalEngine(folder)
    yield engine, {name: plain(frame) for name, frame in tables_made.items()}
    engine.close()


def plain(frame):
    """The rows as KQL sees them: times in UTC, no null text, machines in lower case."""
    frame = frame.assign(TimeGenerated=frame["TimeGenerated"].dt.tz_localize("UTC").dt.as_unit("us"))
    for column in frame.columns.difference(["TimeGenerated", "CounterValue", "EventID", "ProcessID"]):
        frame[column] = frame[column].fillna("").astype("str")
    frame["Computer"] = frame["Computer"].str.lower() if "Computer" in frame else ""
    if "ResourceId" in frame:  # AzureActivity has one of its own
        frame = frame.rename(columns={"ResourceId": "Entity"})
    return frame.assign(ResourceId=frame.pop("_ResourceId").str.lower())


def mount_or_device(tags):
    """Read the tag that tells disks and network cards apart, as JSON is read."""
    try:
        tags = json.loads(tags)
    except json.JSONDecodeError:
        return ""
    return tags.get("vm.azm.ms/mountId", tags.get("vm.azm.ms/networkDeviceId", ""))


def named(table, frame):
    """Give the stream of each row, in the words of the documentation."""
    if table == "AMAHealth":
        return frame.assign(Stream="", ResourceId=[i.split("/extensions/")[0] for i in frame["ResourceId"]])
    if table == "ConfigurationData":
        return frame.assign(Stream=frame["ConfigDataType"])
    if table == "Perf":
        return frame.assign(Stream=frame["ObjectName"] + " \\ " + frame["CounterName"] + " \\ " + frame["InstanceName"])
    tag = frame["Tags"].map({tags: mount_or_device(tags) for tags in frame["Tags"].unique()})
    return frame.assign(Stream=frame["Namespace"] + " \\ " + frame["Name"] + " \\ " + tag)


@pytest.fixture(scope="module")
def samples(collected):
    return {
        table: named(table, collected[1][table])[["ResourceId", "Computer", "Stream", "TimeGenerated"]]
        for table in ("Perf", "InsightsMetrics", "ConfigurationData", "AMAHealth")
    }


def edges(frame):
    """Give two instants on which there are rows: the first belongs to the window, the second does not."""
    times = frame["TimeGenerated"].sort_values(ignore_index=True)
    return {"start": times[len(times) // 10], "end": times[len(times) * 9 // 10]}


def windows_around(frame, start, end):
    """Windows that begin or end with a sample, some over each other, one that reaches over all, one of nobody."""
    first, last, middle = (frame.sample(60, random_state=seed, ignore_index=True) for seed in (1, 2, 3))
    made = pd.concat(
        [
            first.assign(Start=first["TimeGenerated"], End=first["TimeGenerated"] + pd.Timedelta("02:00:00")),
            last.assign(Start=last["TimeGenerated"] - pd.Timedelta("02:00:00"), End=last["TimeGenerated"]),
            middle.assign(Start=middle["TimeGenerated"] - pd.Timedelta("03:00:00.000001")).assign(
                End=lambda w: w["Start"] + pd.Timedelta("08:00:00")
            ),
            pd.concat(
                [
                    frame[frame["TimeGenerated"].isin([start, end])],
                    frame[frame["ResourceId"] == ""].head(1),
                ]
            ).assign(Start=start - pd.Timedelta("1D"), End=end + pd.Timedelta("1D")),
            pd.DataFrame({"ResourceId": ["/nothing"], "Computer": ["nobody"], "Start": [start], "End": [end]}),
        ],
        ignore_index=True,
    )
    return made[["ResourceId", "Computer", "Start", "End"]].astype(
        dict.fromkeys(["Start", "End"], "datetime64[us, UTC]")
    )


def assert_streams(collected, samples, name, table, once):
    """Compare first and last instant and number of the samples of each stream, of all machines and of some."""
    frame = samples[table]
    span = edges(frame)
    some = ["host-010", "host-021", SET, f"{SET[:-3]}m050", "nobody"]
    for asked in ([], some):
        rows = inside(frame, **span)
        if asked:
            rows = rows[rows["ResourceId"].isin(asked) | rows["Computer"].isin(asked)]
        if once:
            assert rows.duplicated().any()
            rows = rows.drop_duplicates()
        times = rows.groupby(["ResourceId", "Computer", "Stream"])["TimeGenerated"]
        expected = times.agg(First="min", Last="max", Samples="size").reset_index()
        assert_same_rows(collected[0].run(render(name, machines=asked, **span)), expected)


def assert_instants(collected, samples, name, table, streams):
    """Compare the instants of the samples of some streams; what comes twice, or lies in two windows, counts once."""
    wanted = samples[table][samples[table]["Stream"].isin(streams)]
    span = edges(wanted)
    windows = windows_around(wanted, **span)
    rows = in_windows(inside(wanted, **span), windows)
    assert span["start"] in set(rows["TimeGenerated"])
    assert rows.duplicated().any()
    assert set(rows["Stream"]) == set(streams) - {"nothing"}
    got = collected[0].run(render(name, windows=windows, streams=streams, **span))
    assert_same_rows(got, rows.drop_duplicates())


def test_the_other_tables_are_large_and_mixed_enough_to_show_errors(collected, samples):
    frames = collected[1]
    assert len(frames["Perf"]) > 500_000
    for frame in frames.values():
        assert frame.duplicated().any()
        assert (frame["ResourceId"] == "").any()
        assert not frame["TimeGenerated"].is_monotonic_increasing
    assert samples["Perf"]["Stream"].nunique() == len(COUNTERS)
    assert {"LogicalDisk \\ Status \\ /mnt/日本 x", "Network \\ Status \\ eth0", " \\ Status \\ "} <= set(
        samples["InsightsMetrics"]["Stream"]
    )


def test_perf_streams_equals_pandas(collected, samples):
    assert_streams(collected, samples, "perf_streams", "Perf", once=False)


def test_perf_rows_equals_pandas(collected, samples):
    streams = [
        "Processor \\ % Processor Time \\ _Total",
        "Memory \\ Available MBytes \\ ",
        " \\ uptime \\ ",
        "LogicalDisk \\ % Free Space \\ C:\\mnt",
        "nothing",
    ]
    assert_instants(collected, samples, "perf_rows", "Perf", streams)


def test_perf_uptime_equals_pandas(collected):
    """A sample in two windows comes twice, and so do copies."""
    frame = collected[1]["Perf"]
    frame = frame[frame["CounterName"].str.lower().isin(["uptime", "system up time"])]
    span = edges(frame)
    windows = windows_around(frame, **span)
    expected = in_windows(inside(frame, **span), windows).rename(columns={"CounterValue": "Uptime"})
    expected = expected[["ResourceId", "Computer", "TimeGenerated", "Uptime"]]
    assert expected.duplicated().any()
    assert expected["Uptime"].isna().any()
    assert_same_rows(collected[0].run(render("perf_uptime", windows=windows, **span)), expected)


def test_insights_streams_equals_pandas(collected, samples):
    assert_streams(collected, samples, "insights_streams", "InsightsMetrics", once=False)


def test_insights_rows_equals_pandas(collected, samples):
    streams = [
        "LogicalDisk \\ FreeSpaceMB \\ C:",
        "logicaldisk \\ Status \\ ",
        " \\ Status \\ /mnt/日本 x",
        "nothing",
        "Network \\ Status \\ eth0",
    ]
    assert_instants(collected, samples, "insights_rows", "InsightsMetrics", streams)


def test_inventory_streams_equals_pandas(collected, samples):
    assert_streams(collected, samples, "inventory_streams", "ConfigurationData", once=True)


def test_inventory_rows_equals_pandas(collected, samples):
    assert_instants(collected, samples, "inventory_rows", "ConfigurationData", ["Software", "", "nothing"])


def test_health_streams_equals_pandas(collected, samples):
    assert_streams(collected, samples, "health_streams", "AMAHealth", once=True)


def test_health_rows_equals_pandas(collected, samples):
    assert_instants(collected, samples, "health_rows", "AMAHealth", ["", "nothing"])


def words(text):
    return set(re.split(r"[^a-z0-9]+", text.lower()))


def test_activity_equals_pandas(collected):
    frame = collected[1]["AzureActivity"]
    frame = frame.assign(
        Operation=frame["OperationNameValue"].where(frame["OperationNameValue"] != "", frame["OperationName"])
    )
    kinds = {
        "deallocate",
        "poweroff",
        "power",
        "start",
        "restart",
        "redeploy",
        "reimage",
        "reimageall",
        "hibernate",
        "delete",
        "performmaintenance",
        "maintenance",
        "installpatches",
        "patches",
        "applyupdates",
        "osrollingupgrade",
        "rollingupgrades",
        "extensionrollingupgrade",
        "manualupgrade",
    }
    machines = {"virtualmachines", "virtualmachinescalesets", "machines", "machine"}
    others = {"extensions", "extension", "upgradeextensions", "healthevent", "scaledown", "scalein"}
    wanted = [bool(w & others or (w & machines and w & kinds)) for w in map(words, frame["Operation"])]
    span = edges(frame[wanted])
    frame = inside(frame[wanted], **span)
    assert set(frame["OperationNameValue"]) == {*OPERATIONS[:18], ""}
    status = [
        new.lower() if new else old.lower()
        for new, old in zip(frame["ActivityStatusValue"], frame["ActivityStatus"], strict=True)
    ]
    known = {'{"name":"x","appid":"5e5e-a"}': "5e5e-a", '{"appid" : "b"}': "b"}
    expected = pd.DataFrame(
        {
            "TimeGenerated": frame["TimeGenerated"],
            "Operation": frame["Operation"].str.lower(),
            "Status": pd.Series(status, index=frame.index, dtype="str"),
            "Target": frame["ResourceId"],
            "Entity": frame["Entity"].str.lower(),
            "Caller": frame["Caller"],
            "Application": pd.Series(
                [known.get(claims, "") for claims in frame["Claims"]], index=frame.index, dtype="str"
            ),
            "CorrelationId": frame["CorrelationId"],
            "Properties": frame["Properties"],
        }
    )
    assert_same_rows(collected[0].run(render("activity", **span)), expected)


def test_agent_messages_equals_pandas(collected):
    frame = collected[1]["Operation"]
    told = frame[(frame["Computer"] != "") & frame["OperationStatus"].str.lower().isin(["warning", "error", "failed"])]
    span = edges(told)
    told = inside(told, **span)
    expected = pd.DataFrame(
        {
            "TimeGenerated": told["TimeGenerated"],
            "Computer": told["Computer"],
            "Key": told["OperationKey"],
            "Status": told["OperationStatus"].str.lower(),
            "Detail": told["Detail"].str.slice(0, 300),
        }
    )
    assert_same_rows(collected[0].run(render("agent_messages", **span)), expected)


def test_system_events_equals_pandas(collected):
    frame = collected[1]["Event"]

    def tells(event):
        source = event.Source.lower()
        if event.EventLog.lower() != "system" or event.EventID is pd.NA:
            return False
        if "kernel" in words(source):
            return event.EventID in (12, 13, 41, 109, 1074, 6005, 6006, 6008)
        return (event.EventID, source) in {(1074, "user32"), *((n, "eventlog") for n in (6005, 6006, 6008))}

    told = frame[[tells(event) for event in frame.itertuples()]]
    assert set(SOURCES[:8]) == set(told["Source"])
    span = edges(told)
    expected = inside(told, **span).assign(Message=[m[:300] for m in inside(told, **span)["RenderedDescription"]])
    expected = expected[["ResourceId", "Computer", "TimeGenerated", "EventID", "Source", "Message"]]
    assert expected.duplicated().any()
    expected = expected.drop_duplicates().astype({"EventID": "Int64"})
    assert_same_rows(collected[0].run(render("system_events", **span)), expected)


def test_collection_stops_equals_pandas(collected):
    frame = collected[1]["Operation"].fillna({"OperationKey": "", "OperationStatus": "", "Detail": ""})
    category = frame["OperationCategory"].fillna("") if "OperationCategory" in frame else ""
    said = category + " " + frame["OperationKey"] + " " + frame["OperationStatus"] + " " + frame["Detail"]
    spoken = said.map(words)
    goes_on = spoken.map(lambda each: bool(each & {"started", "resumed", "respectquota"}))
    tells = spoken.map(lambda each: "collection" in each and bool(each & {"stopped", "started", "resumed"}))
    stops = frame.assign(Stopped=(~goes_on).astype("boolean"))[tells]
    assert set(stops["Stopped"]) == {True, False}
    span = edges(stops)
    expected = inside(stops, **span)[["TimeGenerated", "Stopped", "Detail"]]
    assert_same_rows(collected[0].run(render("collection_stops", **span)), expected)


@pytest.mark.parametrize("table", ["Event", "Perf"])
def test_table_rows_equals_pandas(collected, table):
    span = edges(collected[1][table])
    answer = collected[0].run(render("table_rows", table=table, **span))
    assert answer["Rows"].tolist() == [len(inside(collected[1][table], **span))]


def test_syslog_boots_equals_pandas(collected):
    frame = collected[1]["Syslog"]
    listed = pd.MultiIndex.from_tuples([(process, message) for process, _, message in SYSLOG[:19]])
    numbers = {(process, number, message) for process, number, message in SYSLOG[:19]}  # by hand: those above the line
    told = frame[pd.MultiIndex.from_frame(frame[["ProcessName", "SyslogMessage"]]).isin(listed)]
    keys = told[["ProcessName", "ProcessID", "SyslogMessage"]].itertuples(index=False, name=None)
    told = told[
        [(process, None if number is pd.NA else number, message) in numbers for process, number, message in keys]
    ]
    span = edges(told)
    told = inside(told, **span)
    expected = told.assign(Message=told["SyslogMessage"].str.slice(0, 300))
    expected = expected.rename(columns={"ProcessName": "Source"})
    expected = expected[["ResourceId", "Computer", "TimeGenerated", "Source", "Message"]]
    assert expected.duplicated().any()
    assert_same_rows(collected[0].run(render("syslog_boots", **span)), expected.drop_duplicates())


def test_every_packaged_query_is_compared_with_pandas():
    """A test of the name test_<query>_equals_pandas that asks this query, here or beside."""
    compared = set()
    for path in Path(__file__).parents[1].rglob("test_*.py"):
        for block in re.split(r"(?m)^(?=\S)", path.read_text(encoding="utf-8")):
            name = re.match(r"def test_(\w+)_equals_pandas\(", block)
            if name and f'"{name[1]}"' in block:
                compared.add(name[1])
    assert compared == set(packaged())
