"""Literals against Microsoft's own parser and the embedded engine; packaged queries against both and pandas."""

import datetime as dt
import math
import re

import duckdb
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from amakit.errors import UsageError
from amakit.local import LocalEngine
from amakit.queries import literal, packaged, query, render
from amakit.schemas import tables

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
        (np.int64(-5), -5), (np.uint8(5), 5), (np.float64(0.1), 0.1), (np.True_, True), (np.str_("a"), "a"),
        (pd.Timestamp("2026-03-01T09:00+09:00"), dt.datetime(2026, 3, 1, tzinfo=UTC)),
        (pd.Timedelta(-1, "us"), dt.timedelta(microseconds=-1)), (pd.Timedelta(90, "D"), dt.timedelta(days=90)),
    ]  # fmt: skip
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
WINDOWS = pd.DataFrame({
    "ResourceId": ["", '/r"\\'], "Computer": ["a", "b{end}"],
    "Start": pd.to_datetime(["2026-03-01T00:00:00Z", "2026-03-01T01:00:00.000001Z"], format="ISO8601"),
    "End": pd.to_datetime(["2026-03-01T00:10:00Z", "2026-03-02T00:00:00Z"], format="ISO8601"),
})  # fmt: skip
PLAUSIBLE = {
    "string": "web-01", "long": 5, "int": 5, "real": 1.5, "bool": True, "timespan": dt.timedelta(minutes=5),
    "dynamic": MACHINES, "datatable": WINDOWS,
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
    return values


def datatable_for(meaning):
    """Make a frame with the columns that a datatable's meaning begins with, as 'Name:type, Name:type; …'."""
    samples = {
        "string": ["", 'b"\\'], "datetime": list(WINDOWS["Start"]), "long": [1, 2], "real": [0.5, 1.5],
        "bool": [True, False], "timespan": [pd.Timedelta(1, "s"), pd.Timedelta(-1, "us")],
    }  # fmt: skip
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
    tame = {"string": "x", "dynamic": ["x"], "datatable": None}
    values = {
        key: value if query(name).parameters[key][0] not in tame
        else tame[query(name).parameters[key][0]] or value.replace(r"[{}]", "", regex=True)
        for key, value in values_for(name).items()
    }  # fmt: skip
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
            kql_parser.know({
                t: {c: tables()[t][c] for c in cs if (t, c) != (table, column)} for t, cs in query(name).reads.items()
            })  # fmt: skip
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


# -- packaged queries: their answers, on data that several threads share -------------------------------------

START, DAYS, MACHINE_COUNT = pd.Timestamp("2026-03-02", tz="UTC"), 3, 260
VERSIONS = ["1.9.0", "1.10.2", "1.34.5", "1.34.5.0"]


def mixed_case(text, rng):
    return "".join(c.upper() if up else c for c, up in zip(text, rng.random(len(text)) < 0.5, strict=True))


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    """Over a million heartbeats in Parquet, out of order, and the same rows as a plain frame."""
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
    number, micros, version = number[pick], micros[pick], version[pick]
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
    rows = pd.DataFrame({
        "TimeGenerated": START.tz_localize(None).to_datetime64().astype("datetime64[us]") + micros,
        "Category": plain([ours[0 if n % 7 else n % 4] for n in machines]),
        "Computer": spelled(names),
        "_ResourceId": spelled(ids),
        "SourceComputerId": spelled([f"aaaa-{n:04}" for n in machines]),
        "VMUUID": plain([f"BBBB-{n:04}" for n in machines]),
        "OSType": plain(["Windows" if n % 3 else "Linux" for n in machines]),
        "ComputerEnvironment": plain(["Azure" if n % 4 else "Non-Azure" for n in machines]),
        "Version": np.array(VERSIONS, dtype=object)[version],
    })  # fmt: skip
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
    text = rows.drop(columns="TimeGenerated").fillna("").astype("str")
    ours = text["Category"].str.lower().isin(["", "azure monitor agent"])
    return pd.DataFrame({
        "TimeGenerated": pd.to_datetime(rows["TimeGenerated"], utc=True).dt.as_unit("us"),
        "ResourceId": text["_ResourceId"].str.lower(),
        "Computer": text["Computer"].str.lower(),
        "Agent": text["SourceComputerId"].where(text["SourceComputerId"] != "", text["VMUUID"]).str.lower(),
        "Version": text["Version"], "OSType": text["OSType"], "Environment": text["ComputerEnvironment"],
    })[ours].reset_index(drop=True)  # fmt: skip


def assert_same_rows(got, expected):
    columns = list(expected.columns)
    assert len(expected), "an empty expectation proves nothing"
    assert sorted(got.columns) == sorted(columns)
    expected = expected.astype(dict.fromkeys(expected.select_dtypes("int64").columns, "Int64"))
    pd.testing.assert_frame_equal(
        got[columns].sort_values(columns, ignore_index=True),
        expected.sort_values(columns, ignore_index=True),
        check_exact=True,
    )


FROM, TO = START + pd.Timedelta("05:17:00.000001"), START + pd.Timedelta("2 days 13:00:00")


def inside(beats, start=FROM, end=TO):
    return beats[(beats["TimeGenerated"] >= start) & (beats["TimeGenerated"] < end)]


def test_the_fleet_is_large_and_mixed_enough_to_show_errors(fleet, agent_beats):
    _, rows = fleet
    assert len(rows) > 1_000_000
    assert rows.duplicated().sum() > 5_000
    assert rows["SourceComputerId"].isna().any()
    assert {"", "Direct Agent"} <= set(rows["Category"].dropna())
    days = agent_beats.groupby(["ResourceId", "Computer", "Agent", agent_beats["TimeGenerated"].dt.floor("D")])
    assert (days["Version"].nunique() > 1).sum() > 100
    assert not rows["TimeGenerated"].is_monotonic_increasing


def test_heartbeat_span_equals_pandas(fleet, agent_beats):
    times = agent_beats["TimeGenerated"]
    expected = pd.DataFrame({"First": [times.min()], "Last": [times.max()], "Beats": [len(times)]})
    assert_same_rows(fleet[0].run(render("heartbeat_span")), expected)


def days_of(beats):
    day = beats["TimeGenerated"].dt.floor("D").rename("Day")
    grouped = beats.groupby(["ResourceId", "Computer", "Agent", "Version", day])
    return grouped.agg(
        OSType=("OSType", "max"), Environment=("Environment", "max"),
        FirstBeat=("TimeGenerated", "min"), LastBeat=("TimeGenerated", "max"), Beats=("TimeGenerated", "size"),
    ).reset_index()  # fmt: skip


def test_heartbeat_days_equals_pandas(fleet, agent_beats):
    got = fleet[0].run(render("heartbeat_days", start=FROM, end=TO, machines=[]))
    assert_same_rows(got, days_of(inside(agent_beats)))


def test_heartbeat_days_of_some_machines_equals_pandas(fleet, agent_beats):
    asked = ["host-022", "host-041", "/subscriptions/s/resourcegroups/g/providers/vm/set", "nobody"]
    got = fleet[0].run(render("heartbeat_days", start=FROM, end=TO, machines=asked))
    beats = inside(agent_beats)
    expected = days_of(beats[beats["Computer"].isin(asked) | beats["ResourceId"].isin(asked)])
    assert expected["Computer"].nunique() == 22
    assert_same_rows(got, expected)


def test_heartbeat_machines_equals_pandas(fleet, agent_beats):
    # where an agent's last instant has several rows they are copies, so that any of them may be taken
    expected = (
        inside(agent_beats)
        .sort_values("TimeGenerated")
        .groupby(["ResourceId", "Computer", "Agent"])
        .agg(
            LastBeat=("TimeGenerated", "last"), Version=("Version", "last"), OSType=("OSType", "last"),
            Environment=("Environment", "last"), FirstBeat=("TimeGenerated", "first"),
        )
        .reset_index()
    )  # fmt: skip
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
    made = pd.concat([
        on_beats[["ResourceId", "Computer"]].assign(Start=starts, End=starts + pd.Timedelta("00:30:00")),
        on_beats[["ResourceId", "Computer"]].assign(Start=starts - pd.Timedelta("00:20:00"), End=starts),
        machines.assign(Start=FROM + pd.to_timedelta(rng.integers(0, 2 * 86_400, 120), unit="s")).assign(
            End=lambda w: w["Start"] + pd.Timedelta("03:00:00")
        ),
        pd.DataFrame({"ResourceId": ["/nothing"], "Computer": ["nobody"], "Start": [FROM], "End": [TO]}),
    ], ignore_index=True)  # fmt: skip
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
    assert_same_rows(got, expected[["ResourceId", "Computer", "Agent", "Version", "TimeGenerated"]])


def test_heartbeat_hours_equals_pandas(fleet, agent_beats, windows):
    got = fleet[0].run(render("heartbeat_hours", start=FROM, end=TO, windows=windows))
    beats = in_windows(inside(agent_beats), windows)
    hour = beats["TimeGenerated"].dt.floor("h").rename("Hour")
    expected = beats.groupby(["ResourceId", "Computer", "Agent", "Version", hour]).agg(
        FirstBeat=("TimeGenerated", "min"), LastBeat=("TimeGenerated", "max"), Beats=("TimeGenerated", "size")
    )
    assert_same_rows(got, expected.reset_index())
