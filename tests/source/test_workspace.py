"""Every kind of workspace gives the same answers to the same questions, and says what is broken in it."""

import csv
import datetime as dt
import gzip
import http.server
import io
import json
import re
import socket
import threading

import duckdb
import pandas as pd
import pytest

from amakit.errors import AmakitError, UsageError
from amakit.kql.catalog import packaged
from amakit.schemas import tables
from amakit.source.connect import connect

UTC = dt.UTC

# -- one small set of tables ---------------------------------------------------------------------------------

KINDS = {
    "TimeGenerated": "datetime", "_TimeReceived": "datetime", "Category": "string", "Computer": "string",
    "_ResourceId": "string", "SourceComputerId": "string", "OSType": "string", "ComputerEnvironment": "string", "Version": "string",
    "ComputerPrivateIPs": "dynamic", "IsGatewayInstalled": "bool", "RemoteIPLatitude": "real", "Solutions": "string",
    "Note_CF": "string",
}  # fmt: skip
DUCKDB = {"datetime": "TIMESTAMP", "string": "VARCHAR", "dynamic": "JSON", "bool": "BOOLEAN", "real": "DOUBLE"}
FIRST = dt.datetime(2026, 3, 1, 23, 50, 1, 494_007, tzinfo=UTC)
AMA = "Azure Monitor Agent"
HARD = ["plain", "a,b;c\td|e", 'say "no"', "it's", "two\nlines", "\r\n", "日本語 – ünï 😀", "back\\slash \\n", "", None]


def beat(number):
    """Make one heartbeat; among forty all the hard cases come up."""
    machine = number % 4
    sent = FIRST + dt.timedelta(seconds=60 * (number // 4), microseconds=machine * 250_000 + number)
    return dict(
        zip(
            KINDS,
            [
                sent,
                [sent + dt.timedelta(microseconds=1_500_000), None, sent + dt.timedelta(minutes=5, microseconds=1)][
                    number % 3
                ],
                [AMA, AMA, "azure monitor agent", None][machine] if number % 10 != 9 else "Direct Agent",
                ["web-01", "WEB-02", "db-01", "db-01"][machine],
                ["/subscriptions/S/vm/web-01", "/Subscriptions/s/vm/WEB-02", "/subscriptions/s/a/db-01", None][machine],
                ["id-1", "ID-2", "id-3", None][machine],
                ["Windows", "Linux", "Linux", None][machine],
                "Azure" if machine else "Non-Azure",
                "1.10.0" if number >= 20 else "1.9.0",
                [["10.0.0.4"], ["10.0.0.5", "fe80::1"], {"v": [1, 2.5, None, True, 'é"\n']}, None][machine],
                [True, False, None, True][machine],
                [35.5, -0.1, None, 1e-7][machine],
                HARD[number % len(HARD)],
                f"note {number}" if number % 3 else None,
            ],
            strict=True,
        )
    )


BEATS = [beat(number) for number in range(40)]
APP = [
    {"TimeGenerated": FIRST + dt.timedelta(minutes=n), "Computer": "web-01", "Message": text or "empty"}
    for n, text in enumerate(HARD)
]
ROWS = {"Heartbeat": BEATS, "MyApp_CL": APP}
APP_KINDS = {"TimeGenerated": "datetime", "Computer": "string", "Message": "string"}


def kinds_of(table):
    return KINDS if table == "Heartbeat" else APP_KINDS


def in_milliseconds(rows):
    return [
        {
            k: v.replace(microsecond=v.microsecond // 1000 * 1000) if isinstance(v, dt.datetime) else v
            for k, v in r.items()
        }
        for r in rows
    ]


def as_text(value):
    """Write a cell as an export to CSV does."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dt.datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (list, dict)) else str(value)


def as_portal(value):
    """Write a cell as the portal's CSV export does: 3/1/2026, 8:21:01.494 AM."""
    if isinstance(value, dt.datetime):
        clock = f"{value.hour % 12 or 12}:{value:%M:%S}.{value.microsecond // 1000:03} {value:%p}"
        return f"{value.month}/{value.day}/{value.year}, {clock}"
    return as_text(value)


def csv_text(rows, cell=as_text, rename=None, delimiter=","):
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter)
    writer.writerow([(rename or {}).get(name, name) for name in rows[0]])
    writer.writerows([cell(v) for v in row.values()] for row in rows)
    return out.getvalue()


def json_rows(rows, drop_null=False):
    return [
        {k: as_text(v) if isinstance(v, dt.datetime) else v for k, v in row.items() if not (drop_null and v is None)}
        for row in rows
    ]


def jsonl_text(rows):
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in json_rows(rows, drop_null=True))


def save(path, content, packed=False):
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content if isinstance(content, bytes) else content.encode()
    path.write_bytes(gzip.compress(data) if packed else data)


def fill(connection, name, rows, kinds, empty_text=False):
    """Make a DuckDB table of the rows; a string column of a Kusto database holds no nulls."""
    columns = ", ".join(f'"{c}" {DUCKDB[kind]}' for c, kind in kinds.items())
    connection.execute(f'CREATE TABLE "{name}" ({columns})')
    for row in rows:
        cells = [
            json.dumps(row[c]) if kind == "dynamic" and row[c] is not None else row[c] for c, kind in kinds.items()
        ]
        cells = [c.replace(tzinfo=None) if isinstance(c, dt.datetime) else c for c in cells]
        if empty_text:
            cells = ["" if c is None and k == "string" else c for c, k in zip(cells, kinds.values(), strict=True)]
        connection.execute(f'INSERT INTO "{name}" VALUES ({", ".join("?" * len(cells))})', cells)


def write_parquet(folder, rows=ROWS, names=None):
    folder.mkdir(parents=True, exist_ok=True)
    with duckdb.connect() as connection:
        for table, content in rows.items():
            fill(connection, table, content, kinds_of(table))
            target = folder / f"{(names or {}).get(table, table)}.parquet"
            connection.execute(f"COPY \"{table}\" TO '{target}' (FORMAT parquet)")


def write_database(path, **options):
    with duckdb.connect(str(path)) as connection:
        for table, content in ROWS.items():
            fill(connection, table, content, kinds_of(table), **options)


def each(suffix, text, packed=False):
    """Make a writer of one file for each table."""

    def write(folder):
        for table, rows in ROWS.items():
            save(folder / f"{table}{suffix}", text(rows), packed)

    return write


def write_nested(folder):
    for table, rows in ROWS.items():
        for at, part in enumerate([rows[:7], rows[7:]]):
            save(folder / table / "2026" / f"0{at + 3}" / f"part-{at}.csv", csv_text(part))


def write_export(folder):
    """Write what a data-export rule writes: five minutes in a file, JSON lines."""
    for table, rows in ROWS.items():
        by_slot = {}
        for row in rows:
            when = row["TimeGenerated"]
            slot = f"y={when:%Y}/m={when:%m}/d={when:%d}/h={when:%H}/m={when.minute // 5 * 5:02}"
            by_slot.setdefault(slot, []).append(row)
        place = "WorkspaceResourceId=/subscriptions/5f0a/resourcegroups/event/providers/microsoft.operationalinsights"
        for slot, part in by_slot.items():
            path = (
                folder / f"am-{table.lower() if table in tables() else table}/{place}/workspaces/perf/{slot}/PT05M.json"
            )
            save(path, jsonl_text(part))


def write_mixed(folder):
    """One table in four forms at once, with other columns in each and other spellings."""
    first = [{k: v for k, v in row.items() if k != "Note_CF"} for row in BEATS[0:40:3]]
    assert all(row["Note_CF"] is None for row in BEATS[0:40:3])
    write_parquet(folder / "heartbeat", {"MyApp_CL": APP[:1]}, {"MyApp_CL": "../MyApp_CL"})
    save(folder / "heartbeat" / "a.CSV", csv_text(first, rename={"Computer": "COMPUTER", "_ResourceId": "_resourceid"}))
    save(folder / "Heartbeat" / "b.csv", csv_text(BEATS[1:40:3], delimiter=";"))
    save(folder / "HEARTBEAT.jsonl.gz", jsonl_text(BEATS[2:40:3]), packed=True)
    save(folder / "myapp_cl" / "rest.ndjson", jsonl_text(APP[1:]))


FOLDERS = {
    "parquet": write_parquet,
    "parquet in lower case": lambda folder: write_parquet(folder, names={"Heartbeat": "heartbeat"}),
    "csv": each(".csv", csv_text),
    "csv in upper case": each(".CSV", csv_text),
    "csv with byte order mark": each(".csv", lambda rows: "\ufeff" + csv_text(rows)),
    "csv with semicolons": each(".csv", lambda rows: csv_text(rows, delimiter=";")),
    "csv with tabs": each(".csv", lambda rows: csv_text(rows, delimiter="\t")),
    "csv.gz": each(".csv.gz", csv_text, packed=True),
    "json lines": each(".jsonl", jsonl_text),
    "json lines named json": each(".json", jsonl_text),
    "json lines, gz": each(".jsonl.gz", jsonl_text, packed=True),
    "json array": each(".json", lambda rows: json.dumps(json_rows(rows))),
    "json array, indented": each(".json", lambda rows: json.dumps(json_rows(rows), indent=2, ensure_ascii=False)),
    "json array, gz": each(".json.gz", lambda rows: json.dumps(json_rows(rows)), packed=True),
    "nested folders": write_nested,
    "data export": write_export,
    "several forms at once": write_mixed,
}


@pytest.fixture(scope="module")
def server(tmp_path_factory, kusto_server):
    path = tmp_path_factory.mktemp("served") / "logs.duckdb"
    write_database(path, empty_text=True)
    with kusto_server(path) as address, connect(address) as workspace:
        yield workspace


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reference")
    write_parquet(folder)
    with connect(folder) as workspace:
        yield workspace


@pytest.fixture(scope="module", params=[*FOLDERS, "duckdb", "server"])
def workspace(request, tmp_path_factory):
    """Every kind of workspace in turn, with the same rows in it."""
    if request.param == "server":
        yield request.getfixturevalue("server")
        return
    target = tmp_path_factory.mktemp("workspace")
    if request.param == "duckdb":
        target = target / "logs.duckdb"
        write_database(target)
    else:
        FOLDERS[request.param](target)
    with connect(target) as workspace:
        yield workspace


COLUMNS = ", ".join(KINDS)
QUERIES = [
    f"Heartbeat | project {COLUMNS} | sort by TimeGenerated asc",
    "Heartbeat | summarize Beats = count(), First = min(TimeGenerated), Last = max(TimeGenerated), "
    "Mean = avg(RemoteIPLatitude), Notes = dcount(Note_CF) by Computer = tolower(Computer), Category | sort by "
    "Computer asc, Category asc",
    'Heartbeat | where Solutions == "" or isnull(RemoteIPLatitude) | project TimeGenerated, Solutions, OSType '
    "| sort by TimeGenerated asc",
    "Heartbeat | extend First = tostring(ComputerPrivateIPs[0]), Second = todouble(ComputerPrivateIPs.v[1]) "
    "| project TimeGenerated, First, Second | sort by TimeGenerated asc",
    "Heartbeat | summarize Beats = count(), Yes = countif(IsGatewayInstalled) by bin(TimeGenerated, 5m), OSType "
    "| sort by TimeGenerated asc, OSType asc",
    "Heartbeat | where Computer == 'nobody' | project TimeGenerated, Computer, ComputerPrivateIPs, IsGatewayInstalled",
    "MyApp_CL | project TimeGenerated, Computer, Message | sort by TimeGenerated asc",
    "MyApp_CL | where Message has_cs 'ünï' or Message contains '\"no\"' | project Message | sort by Message asc",
    "Heartbeat | join kind=inner (MyApp_CL | distinct Computer) on Computer | summarize count()",
]


def ask_all(workspace):
    """Ask every packaged query on heartbeats."""
    start, end = dt.datetime(2026, 3, 1, tzinfo=UTC), dt.datetime(2026, 3, 3, tzinfo=UTC)
    windows = pd.DataFrame(
        {
            "ResourceId": ["/subscriptions/s/vm/web-01", "", "/nowhere"],
            "Computer": ["web-01", "db-01", "x"],
            "Start": pd.to_datetime([FIRST, FIRST, FIRST]),
            "End": pd.to_datetime([FIRST + dt.timedelta(minutes=8)] * 3),
        }
    ).assign(Interval=60.0, Usual=pd.Timedelta(0))
    values = {"start": start, "end": end, "windows": windows, "machines": [], "delay": pd.Timedelta(minutes=2)}
    for name, query in packaged().items():
        if name.startswith("heartbeat_"):
            frame = workspace.ask(name, **{key: values[key] for key in query.parameters})
            yield name, frame.sort_values(list(frame.columns), ignore_index=True)


def assert_same_answer(got, expected, name):
    """Compare two answers exactly, but for `Offset`: in what order floats are added up is left to the engine."""
    assert list(got.columns) == list(expected.columns)
    near = [c for c in expected if c == "Offset"]
    pd.testing.assert_frame_equal(got.drop(columns=near), expected.drop(columns=near), check_exact=True, obj=name)
    pd.testing.assert_frame_equal(got[near], expected[near], check_exact=False, rtol=1e-9, atol=0, obj=name)


@pytest.fixture(scope="module")
def expected_frames(reference):
    """What the reference answers to the queries of the comparison, asked once."""
    return [reference.query(kql) for kql in QUERIES]


@pytest.fixture(scope="module")
def expected_answers(reference):
    """What the reference answers to the packaged queries, asked once."""
    return list(ask_all(reference))


def test_the_reference_holds_exactly_the_rows_that_were_written(reference):
    expected = pd.DataFrame(BEATS)
    for name, kind in KINDS.items():
        if kind == "string":
            expected[name] = expected[name].fillna("").astype("str")
    for name in ("TimeGenerated", "_TimeReceived"):
        expected[name] = pd.to_datetime(expected[name]).dt.as_unit("us")
    expected = expected.astype({"IsGatewayInstalled": "boolean", "RemoteIPLatitude": "float64"})
    expected["ComputerPrivateIPs"] = pd.Series([row["ComputerPrivateIPs"] for row in BEATS], dtype="object")
    pd.testing.assert_frame_equal(reference.query(QUERIES[0]), expected, check_exact=True)


def test_every_query_of_the_comparison_but_one_has_rows(reference):
    assert [len(reference.query(kql)) > 0 for kql in QUERIES] == ["nobody" not in kql for kql in QUERIES]
    assert {name for name, frame in ask_all(reference) if len(frame)} == {
        name for name in packaged() if name.startswith("heartbeat_")
    }


def test_any_query_gives_the_same_frame_in_every_kind_of_workspace(workspace, expected_frames):
    for kql, expected in zip(QUERIES, expected_frames, strict=True):
        pd.testing.assert_frame_equal(workspace.query(kql), expected, check_exact=True, obj=kql)


def test_packaged_queries_give_the_same_frames_in_every_kind_of_workspace(workspace, expected_answers):
    for (name, got), (_, expected) in zip(ask_all(workspace), expected_answers, strict=True):
        assert_same_answer(got, expected, name)


def test_every_kind_of_workspace_names_its_tables_and_columns_alike(workspace):
    assert [name.lower() for name in workspace.tables] == ["heartbeat", "myapp_cl"]
    assert "Heartbeat" in workspace.tables
    assert {name: workspace.columns("Heartbeat")[name] for name in KINDS} == KINDS


def test_values_of_every_type_come_over_the_wire_as_they_come_from_files(server, reference):
    rows = [
        "datetime(2026-03-01), timespan(-1.02:03:04.000001), real(nan), long(-9223372036854775808), true, 'x'",
        "datetime(2026-03-01T00:00:00.000001Z), timespan(0.00:00:01), real(-inf), long(9223372036854775807), false, ''",
        "datetime(0001-01-01), timespan(10675198.00:00:00), real(0.1), long(0), true, '{}'",
        "datetime(9999-12-31T23:59:59.999999Z), timespan(null), real(null), long(null), bool(null), 'é'",
        "datetime(null), timespan(-0.00:00:00.000001), real(5e-324), long(-1), true, '2026-03-01'",
    ]
    kql = f"datatable(T:datetime, S:timespan, R:real, L:long, B:bool, X:string)[{', '.join(rows)}]"
    frame = server.query(kql)
    pd.testing.assert_frame_equal(frame, reference.query(kql), check_exact=True)
    assert frame["T"].isna().tolist() == [False, False, False, False, True]
    assert frame["S"][0] == -pd.Timedelta("1 days 02:03:04.000001")
    assert frame["L"].tolist()[:2] == [-(2**63), 2**63 - 1]
    assert frame["X"].tolist() == ["x", "", "{}", "é", "2026-03-01"]


def test_the_portals_csv_is_read_to_the_millisecond_that_it_has(tmp_path):
    rename = {c: f"{c} [UTC]" for c in ("TimeGenerated", "_TimeReceived")}
    for table, rows in ROWS.items():
        save(tmp_path / "portal" / f"{table}.csv", "\ufeff" + csv_text(rows, as_portal, rename))
    assert '"3/1/2026, 11:50:01.494 PM"' in (tmp_path / "portal" / "Heartbeat.csv").read_text(encoding="utf-8")
    write_parquet(tmp_path / "same", {table: in_milliseconds(rows) for table, rows in ROWS.items()})
    with connect(tmp_path / "portal") as portal, connect(tmp_path / "same") as same:
        for kql in QUERIES:
            pd.testing.assert_frame_equal(portal.query(kql), same.query(kql), check_exact=True, obj=kql)
        for (name, got), (_, expected) in zip(ask_all(portal), ask_all(same), strict=True):
            assert_same_answer(got, expected, name)


# -- what one table may look like ----------------------------------------------------------------------------


def rows_of(folder, kql):
    with connect(folder) as workspace:
        return list(workspace.query(kql).itertuples(index=False, name=None))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-03-01T08:21:01Z", "2026-03-01T08:21:01"),
        ("2026-03-01T08:21:01.4940079Z", "2026-03-01T08:21:01.494007"),
        ("2026-03-01 08:21:01", "2026-03-01T08:21:01"),
        ("2026-03-01T08:21:01+09:00", "2026-02-28T23:21:01"),
        ("2026-03-01", "2026-03-01T00:00:00"),
        ("3/1/2026, 8:21:01.494 AM", "2026-03-01T08:21:01.494"),
        ("3/1/2026, 12:00:00.000 AM", "2026-03-01T00:00:00"),
        ("12/31/2026, 12:59:59.999 PM", "2026-12-31T12:59:59.999"),
        ("3/1/2026, 8:21:01 PM", "2026-03-01T20:21:01"),
    ],
)
def test_a_time_is_read_in_each_of_its_spellings(tmp_path, text, expected):
    save(tmp_path / "Heartbeat.csv", f'TimeGenerated,Computer\n"{text}",a\n')
    assert rows_of(tmp_path, "Heartbeat | project TimeGenerated") == [(pd.Timestamp(expected, tz="UTC"),)]


def test_columns_that_an_export_lacks_are_null_and_lacking_text_is_empty(tmp_path):
    save(tmp_path / "Heartbeat.csv", "TimeGenerated\n2026-03-01T00:00:00Z\n")
    with connect(tmp_path) as workspace:
        row = workspace.query("Heartbeat").iloc[0]
        assert set(workspace.columns("Heartbeat")) == set(tables()["Heartbeat"])
    for name, kind in tables()["Heartbeat"].items():
        if name != "TimeGenerated":
            assert row[name] == "" if kind == "string" else row.isna()[name], name


def test_columns_of_ones_own_are_kept_and_files_of_one_table_may_differ_in_theirs(tmp_path):
    save(tmp_path / "Heartbeat" / "a.csv", "TimeGenerated,Mine_s,Computer\n2026-03-01T00:00:00Z,x,a\n")
    save(tmp_path / "Heartbeat" / "b.csv", "computer,TIMEGENERATED,mine_S,Other_s\nb,2026-03-01T00:01:00Z,y,z\n")
    kql = "Heartbeat | sort by TimeGenerated asc | project Computer, Mine_s, Other_s"
    assert rows_of(tmp_path, kql) == [("a", "x", ""), ("b", "y", "z")]


def test_an_unknown_table_keeps_the_types_that_its_parquet_has(tmp_path):
    with duckdb.connect() as connection:
        connection.execute(
            "COPY (SELECT TIMESTAMP '2026-03-01 00:00:00.000001' AS TimeGenerated, 5::INTEGER AS I, 6::BIGINT AS L, "
            "1.5::DOUBLE AS R, true AS B, INTERVAL 90 SECOND AS S, [1, 2] AS D, {'a': 1} AS O, 'x' AS T, "
            f"TIMESTAMPTZ '2026-03-01 09:00:00+09' AS Z) TO '{tmp_path / 'MyApp_CL.parquet'}' (FORMAT parquet)"
        )
    with connect(tmp_path) as workspace:
        frame = workspace.query("MyApp_CL | project-away _TimeReceived")
    assert frame.iloc[0].tolist() == [
        pd.Timestamp("2026-03-01T00:00:00.000001Z"),
        5,
        6,
        1.5,
        True,
        pd.Timedelta("90s"),
        [1, 2],
        {"a": 1},
        "x",
        pd.Timestamp("2026-03-01T00:00:00Z"),
    ]
    assert list(frame.dtypes.astype("str")) == [
        "datetime64[us, UTC]",
        "Int64",
        "Int64",
        "float64",
        "boolean",
        "timedelta64[us]",
        "object",
        "object",
        "str",
        "datetime64[us, UTC]",
    ]


def test_tables_without_rows_are_tables(tmp_path):
    save(tmp_path / "Heartbeat.json", "[]")
    save(tmp_path / "Perf.csv", "TimeGenerated,Computer\n")
    with duckdb.connect() as connection:
        empty = "SELECT NULL::TIMESTAMP AS TimeGenerated, '' AS Computer WHERE false"
        connection.execute(f"COPY ({empty}) TO '{tmp_path / 'Event.parquet'}' (FORMAT parquet)")
    with connect(tmp_path) as workspace:
        assert workspace.tables == ["Event", "Heartbeat", "Perf"]
        for table in workspace.tables:
            frame = workspace.query(f"{table} | project TimeGenerated, Computer")
            assert len(frame) == 0
            assert list(frame.dtypes.astype("str")) == ["datetime64[us, UTC]", "str"]
        assert workspace.ask("heartbeat_span")["Beats"].tolist() == [0]


def test_hidden_files_and_the_truth_beside_a_demo_are_no_tables(tmp_path):
    save(tmp_path / "Heartbeat.csv", "TimeGenerated\n2026-03-01T00:00:00Z\n")
    save(tmp_path / ".cache" / "Perf.csv", "broken")
    save(tmp_path / "_demo.json", '{"end": "2026-03-02T00:00:00Z"}')
    save(tmp_path / "truth" / "outages.csv", "a\n1\n")
    with connect(tmp_path) as workspace:
        assert workspace.tables == ["Heartbeat"]
        assert workspace.synthetic


def test_a_path_with_quotes_and_spaces_is_read(tmp_path):
    folder = tmp_path / 'it\'s "my" [export]*'
    save(folder / "Heartbeat" / "o'clock.csv", "TimeGenerated,Computer\n2026-03-01T00:00:00Z,a\n")
    save(folder / "Heartbeat" / "o'clock.json", '{"TimeGenerated":"2026-03-01T00:00:00Z","Computer":"b"}\n')
    assert rows_of(folder, "Heartbeat | summarize count()") == [(2,)]


def test_a_workspace_remembers_every_query_that_it_ran(reference):
    before = len(reference.log)
    frame = reference.query("Heartbeat | project Computer")
    reference.ask("heartbeat_span")
    first, second = reference.log[before:]
    assert (first.name, first.text, first.rows) == ("", "Heartbeat | project Computer", len(frame))
    assert first.bytes > 0
    assert first.seconds > 0
    assert second.name == "heartbeat_span"


# -- nothing else on the machine can be reached ----------------------------------------------------------------


@pytest.fixture(scope="module", params=["folder", "duckdb"])
def guarded(request, tmp_path_factory):
    target = tmp_path_factory.mktemp("guarded")
    if request.param == "duckdb":
        target = target / "logs.duckdb"
        write_database(target)
    else:
        each(".csv", csv_text)(target)
    with connect(target) as workspace:
        assert len(workspace.query("Heartbeat")) == len(BEATS)
        yield workspace


@pytest.mark.parametrize(
    "sql",
    [
        "FROM read_csv('/etc/passwd')",
        "FROM read_text('/etc/passwd')",
        "FROM glob('/etc/*')",
        "FROM '/etc/passwd'",
        "ATTACH '{elsewhere}/new.duckdb'",
        "COPY (SELECT 1) TO '{elsewhere}/stolen.csv'",
        "EXPORT DATABASE '{elsewhere}/dump'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "FROM read_csv('http://127.0.0.1:9/x.csv')",
        "SET enable_external_access = true",
        "SET allowed_directories = ['/']",
        "SET lock_configuration = false",
        "SET TimeZone = 'Asia/Tokyo'",
        "RESET enable_external_access",
    ],
)
def test_the_connection_itself_reaches_nothing_outside(guarded, sql, tmp_path):
    with pytest.raises(duckdb.Error, match=r"(?i)permission|disabled|locked|cannot|does not exist"):
        guarded._engine._connection.execute(sql.format(elsewhere=tmp_path)).fetchall()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "kql",
    [
        'externaldata(x:string)["/etc/passwd"]',
        'read_csv("/etc/passwd")',
        "['/etc/passwd']",
        "Heartbeat | invoke read_csv('/etc/passwd')",
        'print x = read_text("/etc/passwd")',
        'database("/etc").passwd',
        'cluster("https://example.org").database("d").Heartbeat',
    ],
)
def test_kql_reaches_nothing_outside(guarded, kql):
    refuses(lambda: guarded.query(kql))


@pytest.mark.parametrize(
    "kql", [".set Stolen <| Heartbeat", "  .drop table Heartbeat", "// c\n.set-or-append Heartbeat <| print 1"]
)
def test_control_commands_are_refused_and_change_nothing(guarded, server, kql):
    for workspace in (guarded, server):
        refuses(lambda workspace=workspace: workspace.query(kql))
        assert len(workspace.query("Heartbeat")) == len(BEATS)


def test_a_control_command_never_goes_to_the_door_for_commands():
    """The client's own execute() would send it there by its leading dot."""
    seen = []

    class Door(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            seen.append(self.path)
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_error(403)

        do_GET = do_POST

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Door) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with connect(f"http://127.0.0.1:{server.server_port}/logs") as workspace:
            refuses(lambda: workspace.query(".drop table Heartbeat"))
        server.shutdown()
    assert any(path.endswith("/query") for path in seen)
    assert not any(path.endswith("/mgmt") for path in seen)


# -- broken inputs -------------------------------------------------------------------------------------------


def refuses(action, kind=AmakitError):
    """Run what must fail; give the error's text, which must be one sentence that a person can read."""
    with pytest.raises(kind) as caught:
        action()
    text = str(caught.value)
    assert "\n" not in text
    assert 20 < len(text) < 900
    assert "Traceback" not in text
    assert "amakit-broken" not in text
    return text


def broken(folder, kql="Heartbeat | summarize count(), max(TimeGenerated), max(RemoteIPLatitude)"):
    def open_and_ask():
        with connect(folder) as workspace:
            workspace.query(kql)

    return refuses(open_and_ask)


HEAD = "TimeGenerated,Computer,RemoteIPLatitude\n"
GOOD = "2026-03-01T00:00:00Z,a,1.5\n"
LONG = '2026-03-01T00:00:00Z,"a\nb\n""c""\n",1.5\n'  # four lines
JSON = '{"TimeGenerated": "2026-03-01T00:00:00Z", "Computer": "a", "RemoteIPLatitude": 1.5}'

BROKEN_ROWS = {
    "a field is missing": ("Heartbeat.csv", HEAD + GOOD + "2026-03-01T00:01:00Z,a\n" + GOOD, 3, "2 fields"),
    "a field too many": ("Heartbeat.csv", HEAD + GOOD + GOOD + "2026-03-01T00:01:00Z,a,2,3\n", 4, "4 fields"),
    "a broken time": ("Heartbeat.csv", HEAD + GOOD + "yesterday,a,1\n" + GOOD, 3, "'yesterday'"),
    "a day that is none": ("Heartbeat.csv", HEAD + "2026-02-30T00:00:00Z,a,1\n", 2, "2026-02-30"),
    "a word for a time": ("Heartbeat.csv", HEAD + "infinity,a,1\n", 2, "'infinity'"),
    "a broken number": ("Heartbeat.csv", HEAD + "2026-03-01T00:00:00Z,1x,1\n2026-03-01T00:00:00Z,a,1x\n", 3, "'1x'"),
    "line ends before a broken time": ("Heartbeat.csv", HEAD + LONG + GOOD + "yesterday,a,1\n", 7, "'yesterday'"),
    "line ends before a missing field": (
        "Heartbeat.csv",
        HEAD + LONG + GOOD + "2026-03-01T00:01:00Z,a\n",
        7,
        "2 fields",
    ),
    "line ends in the broken row": ("Heartbeat.csv", HEAD + GOOD + 'yesterday,"a\nb",1\n', 3, "'yesterday'"),
    "blank lines before": ("Heartbeat.csv", HEAD + GOOD + "\n\nyesterday,a,1\n", 5, "'yesterday'"),
    "blank lines and line ends before a missing field": (
        "Heartbeat.csv",
        HEAD + "\n" + LONG + "\n\n" + GOOD + "2026-03-01T00:01:00Z,a\n" + GOOD,
        10,
        "2 fields",
    ),
    "a long field before": (
        "Heartbeat.csv",
        f"{HEAD}2026,{'x' * 200_000},1\n".replace("2026,", "2026-03-01,") + "x,a,1\n",
        3,
        "'x'",
    ),
    "a number that begins alike": ("Heartbeat.csv", HEAD + "2026-03-01,a,1.5\n2026-03-01,a,1.\u00b2\n", 3, "'1.²'"),
    "a quote that stays open": ("Heartbeat.csv", HEAD + GOOD + '2026-03-01T00:01:00Z,"a,1\n' + GOOD, 3, "quote"),
    "line ends of Windows": (
        "Heartbeat.csv",
        (HEAD + GOOD + "yesterday,a,1\n").replace("\n", "\r\n"),
        3,
        "'yesterday'",
    ),
    "Windows and a missing field": (
        "Heartbeat.csv",
        (HEAD + GOOD + "2026,a\n" + GOOD).replace("\n", "\r\n"),
        3,
        "2 fields",
    ),
    "columns of one name": ("Heartbeat.csv", "TimeGenerated,Computer,Computer\n", 1, "same name"),
    "a column without a name": ("Heartbeat.csv", "TimeGenerated,\n2026-03-01T00:00:00Z,0\n", 1, "name"),
    "a first column without a name that is no index": ("Heartbeat.csv", ",TimeGenerated\na,2026-03-01\n", 1, "index"),
    "no header": ("Heartbeat.csv", "\n2026-03-01T00:00:00Z\n", 1, "header"),
    "a truncated JSON line": ("Heartbeat.jsonl", f"{JSON}\n{JSON[:40]}\n{JSON}\n", 2, "JSON"),
    "a truncated last JSON line": ("Heartbeat.jsonl", f"{JSON}\n{JSON}\n{JSON[:40]}", 3, "JSON"),
    "a JSON line of words": ("Heartbeat.json", f"{JSON}\nhello\n{JSON}\n", 2, "JSON"),
    "a number for a JSON row": ("Heartbeat.jsonl", f"{JSON}\n5\n", 2, "'5'"),
    "a list for a JSON row": ("Heartbeat.jsonl", f"{JSON}\n[1,2]\n", 2, "'[1,2]'"),
    "a broken time in JSON": ("Heartbeat.jsonl", f"{JSON}\n{JSON.replace('2026', 'x')}\n", 2, "'x-03-01T00:00:00Z'"),
    "a broken number in JSON": (
        "Heartbeat.jsonl",
        JSON.replace('"a"', '"1x"') + "\n" + JSON.replace("1.5", '"1x"') + "\n",
        2,
        "'1x'",
    ),
    "a broken row in a JSON array": ("Heartbeat.json", f"[\n{JSON},\n{JSON[:40]},\n{JSON}\n]", 3, "JSON"),
    "a broken time in a JSON array": ("Heartbeat.json", f"[\n{JSON},\n{JSON.replace('2026', 'x')}\n]", 3, "'x-03"),
    "numbers in a JSON array": ("Heartbeat.json", "[1,2]", 1, "'1'"),
}


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
@pytest.mark.parametrize("case", BROKEN_ROWS)
def test_a_broken_row_stops_the_query_with_file_line_and_reason(tmp_path, case, packed):
    name, content, line, reason = BROKEN_ROWS[case]
    path = tmp_path / (name + ".gz" * packed)
    save(path, content, packed)
    text = broken(tmp_path)
    assert text.startswith(f"{path}, line {line}: ")
    assert reason in text
    assert re.search(r"; (mend or take out|rename|export it again)", text)


def test_a_broken_row_far_into_one_of_several_files_is_found(tmp_path):
    many = "".join(f"2026-03-01T00:00:00.{n:06}Z,a,{n}\n" for n in range(60_000))
    save(tmp_path / "Heartbeat" / "a.csv", HEAD + many)
    save(tmp_path / "Heartbeat" / "b.csv", HEAD + many + LONG + "2026-13-01T00:00:00Z,a,1\n" + many)
    assert broken(tmp_path).startswith(f"{tmp_path / 'Heartbeat' / 'b.csv'}, line 60006: '2026-13-01T00:00:00Z'")


def parquet(select):
    def write(path):
        with duckdb.connect() as connection:
            connection.execute(f"COPY ({select}) TO '{path}' (FORMAT parquet)")

    return write


def cut(write, share):
    def write_part(path):
        write(path)
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * share)])

    return write_part


NOW = "TIMESTAMP '2026-03-01' AS TimeGenerated"
MANY = HEAD + "".join(f"2026-03-01T00:00:00Z,computer-{n * 7919 % 10007},{n}\n" for n in range(20_000))
MANY_JSON = "".join(
    f'{{"TimeGenerated": "2026-03-01T00:00:00Z", "Computer": "c{n * 7919 % 10007}"}}\n' for n in range(20_000)
)
BROKEN_FILES = {
    "an empty file": ("Heartbeat.csv", b"", "is empty; export it again"),
    "an empty Parquet file": ("Heartbeat.parquet", b"", "is empty; export it again"),
    "JSON of nothing but blanks": ("Heartbeat.json", b" \n", "is empty; export it again"),
    "a gz that is cut off": ("Heartbeat.csv.gz", gzip.compress(MANY.encode())[:60_000], "not copied whole"),
    "a small gz that is cut off": ("Heartbeat.csv.gz", gzip.compress((HEAD + GOOD).encode())[:-6], "not copied whole"),
    "a gz of JSON that is cut off": (
        "Heartbeat.json.gz",
        gzip.compress(MANY_JSON.encode())[:40_000],
        "not copied whole",
    ),
    "a gz that is none": ("Heartbeat.csv.gz", (HEAD + GOOD).encode(), "not compressed with gzip"),
    "text in UTF-16 that is cut": ("Heartbeat.csv", (HEAD + GOOD).encode("utf-16")[:-1], "not whole text in UTF-16"),
    "text in Latin-1": ("Heartbeat.csv", (HEAD + "2026-03-01T00:00:00Z,café,1\n").encode("latin-1"), "as UTF-8"),
    "a file that is no Parquet": ("Heartbeat.parquet", b"TimeGenerated,Computer\n", "is no Parquet file"),
    "Parquet that is cut off": ("Heartbeat.parquet", cut(parquet(f"SELECT {NOW} FROM range(9999)"), 0.5), "no Parquet"),
    "a column of bytes": ("Heartbeat.parquet", parquet(f"SELECT {NOW}, 'a'::BLOB AS Raw"), "'Raw' has the type BLOB"),
    "bytes for text": (
        "Heartbeat.parquet",
        parquet(f"SELECT {NOW}, 'a'::BLOB AS Computer"),
        "'Computer' has the type BLOB",
    ),
    "a time of day": ("Heartbeat.parquet", parquet(f"SELECT {NOW}, TIME '10:00' AS At"), "'At' has the type TIME"),
    "a number for the time": ("Heartbeat.parquet", parquet("SELECT 5::BIGINT AS TimeGenerated"), "has the type BIGINT"),
    "a timespan for a number": (
        "Heartbeat.parquet",
        parquet(f"SELECT {NOW}, INTERVAL 1 DAY AS RemoteIPLatitude"),
        "has the type INTERVAL",
    ),
    "a broken time in Parquet": ("Heartbeat.parquet", parquet("SELECT 'yesterday' AS TimeGenerated"), "'yesterday'"),
    "names alike without case": ("Heartbeat.csv", b"TimeGenerated,Computer,computer\n", "'Computer' and 'computer'"),
    "names alike without case, in JSON": (
        "Heartbeat.json",
        b'{"TimeGenerated":null,"Computer":"a"}\n{"computer":"b"}\n',
        "'Computer' and 'computer'",
    ),
    "a time that is local": ("Heartbeat.csv", b"TimeGenerated [Local Time],Computer\n", "set the portal to UTC"),
    "no time at all": ("Heartbeat.csv", b"Computer\na\n", "has no column TimeGenerated"),
    "an answer of the REST API": (
        "Heartbeat.json",
        b'{"tables": [{"name": "PrimaryResult"}]}',
        "no columns",
    ),
    "a spreadsheet": ("Heartbeat.xlsx", b"PK", "export it as CSV, JSON or Parquet"),
}


@pytest.mark.parametrize("case", BROKEN_FILES)
def test_a_file_that_is_not_what_it_must_be_is_named_with_what_to_do(tmp_path, case):
    name, content, reason = BROKEN_FILES[case]
    if isinstance(content, bytes):
        save(tmp_path / name, content)
    else:
        content(tmp_path / name)
    text = broken(tmp_path)
    assert text.startswith(str(tmp_path / name))
    assert reason in text
    assert re.search("; (export|mend|convert|rename|set|save)|; take|export it as|export or copy", text)


def test_of_several_parquet_files_the_broken_one_is_named(tmp_path):
    (tmp_path / "Heartbeat").mkdir()
    parquet(f"SELECT {NOW}")(tmp_path / "Heartbeat" / "a.parquet")
    save(tmp_path / "Heartbeat" / "b.parquet", b"no Parquet at all")
    assert broken(tmp_path).startswith(f"{tmp_path / 'Heartbeat' / 'b.parquet'} is no Parquet file")


@pytest.mark.parametrize("files", [[], ["readme.txt"]], ids=["empty", "of other files"])
def test_a_folder_without_tables_says_what_to_put_there(tmp_path, files):
    for name in files:
        save(tmp_path / name, b"hello")
    text = refuses(lambda: connect(tmp_path))
    assert str(tmp_path) in text
    assert "Heartbeat.csv" in text


def test_a_database_that_is_none_is_named(tmp_path):
    save(tmp_path / "logs.duckdb", b"this is no database, but long enough to look like one" * 100)
    text = refuses(lambda: connect(tmp_path / "logs.duckdb"))
    assert text.startswith(str(tmp_path / "logs.duckdb"))
    assert "check that it is one" in text


def test_a_database_without_tables_or_with_one_table_twice_is_refused(tmp_path):
    with duckdb.connect(str(tmp_path / "empty.duckdb")):
        pass
    assert "load at least Heartbeat" in refuses(lambda: connect(tmp_path / "empty.duckdb"))
    with duckdb.connect(str(tmp_path / "twice.duckdb")) as connection:
        connection.execute(f"CREATE TABLE Heartbeat AS SELECT {NOW}")
        connection.execute(f"CREATE SCHEMA old; CREATE TABLE old.heartbeat AS SELECT {NOW}")
    assert "rename all but one" in refuses(lambda: connect(tmp_path / "twice.duckdb"))


def test_a_workspace_that_does_not_exist_and_a_single_file_are_refused_with_what_to_give(tmp_path):
    assert "give a folder of exported tables" in refuses(lambda: connect(tmp_path / "nowhere"))
    save(tmp_path / "Heartbeat.csv", HEAD)
    assert "give the folder that it lies in" in refuses(lambda: connect(tmp_path / "Heartbeat.csv"))


@pytest.mark.parametrize(
    ("address", "advice"),
    [
        ("http://example.com/logs", "write https://"),
        ("http://10.0.0.4:31415/logs", "write https://"),
        ("http://127.0.0.1.example.com/logs", "write https://"),
        ("ftp://127.0.0.1/logs", "write http://127.0.0.1:PORT/DATABASE"),
        ("http://127.0.0.1:31415", "write http://127.0.0.1:PORT/DATABASE"),
        ("http://127.0.0.1:99999/logs", "write http://127.0.0.1:PORT/DATABASE"),
        ("http://[::1/logs", "write http://127.0.0.1:PORT/DATABASE"),
        ("/subscriptions/0/resourceGroups/rg/providers/Microsoft.Web/sites/x", "/subscriptions/…/workspaces/NAME"),
    ],
)
def test_an_address_that_is_none_or_not_encrypted_is_refused(address, advice):
    text = refuses(lambda: connect(address), UsageError)
    assert address in text
    assert advice in text


def test_a_server_that_is_not_there_is_named():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{probe.getsockname()[1]}/logs"
    with connect(address) as workspace:
        for action in (lambda: workspace.query("Heartbeat"), lambda: workspace.tables):
            text = refuses(action)
            assert text.startswith(address)
            assert "check the address" in text


@pytest.mark.parametrize(
    ("kql", "advice"),
    [
        ("Heartbeat |", "cannot be parsed"),
        ("Heartbeat | where (Computer == ", "cannot be parsed"),
        ("", "the query is empty"),
        ("// nothing", "the query is empty"),
        ("Hearbeat", "the nearest is 'Heartbeat'"),
        ("Heartbeat | where Computr == 'a'", "the nearest are 'Computer'"),
        ("Heartbeat | project Versoin", "'Version'"),
        ("Heartbeat | evaluate autocluster()", "valid KQL that the embedded engine does not have"),
        ("declare query_parameters(a:string); print a", "without values: a"),
    ],
)
def test_a_query_that_is_wrong_is_told_what_is(guarded, kql, advice):
    assert advice in refuses(lambda: guarded.query(kql))


@pytest.mark.parametrize(
    "kql", ["Heartbeat |", "Hearbeat", "Heartbeat | where Computr == 'a'", "Heartbeat | evaluate pivot(A)"]
)
def test_a_server_that_refuses_a_query_is_quoted(server, kql):
    text = refuses(lambda: server.query(kql))
    assert text.startswith(server.name)
    assert text.endswith("; check the query and the address")


def test_a_table_that_is_not_there_is_named_before_anything_is_asked(tmp_path):
    save(tmp_path / "Perf.csv", "TimeGenerated\n2026-03-01T00:00:00Z\n")
    with connect(tmp_path) as workspace:
        assert "has no table Heartbeat; it holds Perf" in refuses(lambda: workspace.ask("heartbeat_span"))
        assert "'Perf'" in refuses(lambda: workspace.columns("Perv"), UsageError)
        assert workspace.log == []
