"""What the engine alone answers wrongly without a word is right: each value is Microsoft's, from the page named."""

import json

import pandas as pd
import pytest
from fleet import beats, write

from amakit import connect
from amakit.errors import AmakitError
from amakit.output import save_frame

LIFE = [("1.38.1", "2026-03-10 00:00", "2026-03-10 00:30")]


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("logs")
    write(folder, Heartbeat=beats("web-1", LIFE))
    with connect(folder) as workspace:
        yield workspace


def one(logs, kql):
    return logs.query(kql).iloc[0].tolist()


RIGHT = [
    ("make-list-aggregation-function", "range x from 1 to 9 step 1 | summarize l = make_list(x, 3) | project array_length(l)", [3]),
    ("make-set-aggregation-function", "range x from 1 to 9 step 1 | summarize l = make_set(x, 3) | project array_length(l)", [3]),
    ("bin-function", "print bin(datetime(2026-03-10), 7d) == datetime(2026-03-09)", [True]),
    ("bin-function", "print bin(datetime(1970-05-11 13:45:07), 1d) == datetime(1970-05-11)", [True]),
    ("bin-function", "print bin(time(16d), 7d) == 14d, bin(4.5, 1)", [True, 4.0]),
    ("bin-function", "range i from 0 to 20000 step 1 | extend t = datetime(2026-03-05) + i * 100ms | where bin(t, 100ms) != t | count", [0]),
    ("bin-function", "range i from 0 to 20000 step 1 | extend t = datetime(2026-03-05) + i * 1ms | where bin(t, 1ms) != t | count", [0]),
    ("replace-regex-function", r'print replace(@"\.contoso\.com", "", "web.contoso.com")', ["web"]),
    ("datetime-diff-function", "print datetime_diff('week', datetime(2017-10-29), datetime(2017-09-30 23:59))", [5]),
    ("parse-json-function", 'print tostring(parse_json("abc")), isnull(parse_json("abc")), tostring(parse_json("[1]"))', ["abc", False, "[1]"]),
    ("arg-max-aggregation-function", 'datatable(t:long, v:string)[5, "y", 4, "x"] | summarize (T, V) = arg_max(t, v) | project T, V', [5, "y"]),
    ("tostring-function", 'datatable(x:string)["a", "b"] | summarize l = make_list(x) | project tostring(l), strcat("", l)', ['["a","b"]', '["a","b"]']),
    ("make-list-aggregation-function", "print t = datetime(2026-03-10) | summarize l = make_list(t) | project tostring(l)", ['["2026-03-10T00:00:00.0000000Z"]']),
    ("split-function", 'print tostring(split("aaa_bbb_ccc", "_")), tostring(split("aaa_bbb_ccc", "_", 1))', ['["aaa","bbb","ccc"]', '["bbb"]']),
]  # fmt: skip


@pytest.mark.parametrize(("page", "kql", "value"), RIGHT)
def test_the_documented_value_comes(logs, page, kql, value):
    assert one(logs, kql) == value


OUTER = """let L = datatable(k:string)["a", "b"]; let R = datatable(k:string, w:string)["a", "x"];
L | join kind={kind} (R) on k | summarize countif(w == ""), countif(isempty(w)), countif(w in ("")), dcount(w)"""


@pytest.mark.parametrize("kind", ["leftouter", "fullouter"])
def test_text_that_an_outer_join_left_out_is_empty_and_never_null(logs, kind):
    assert one(logs, OUTER.format(kind=kind)) == [1, 1, 1, 2]
    assert one(
        logs, "datatable(k:string)['b'] | lookup (datatable(k:string, w:string)['a', 'x']) on k | project w == ''"
    ) == [True]


def test_text_that_a_table_of_a_union_does_not_have_is_empty(logs):
    both = 'union (datatable(a:string)["x"]), (datatable(b:string)["y"])'
    assert one(logs, f'{both} | summarize countif(a == ""), countif(b == "")') == [1, 1]


def test_a_column_of_two_types_in_a_union_becomes_two_columns(logs):
    frame = logs.query('union (datatable(a:long)[1]), (datatable(a:string)["x"])')
    assert list(frame) == ["a_long", "a_string"]
    assert frame["a_string"].tolist() == ["", "x"]
    assert frame["a_long"].isna().tolist() == [False, True]


def test_lists_are_python_lists_and_whole_json_in_csv(logs, tmp_path):
    frame = logs.query('range x from 1 to 2000 step 1 | summarize l = make_list(x), b = take_any(dynamic({"a": 1}))')
    assert frame["l"][0] == list(range(1, 2001))
    save_frame(frame, tmp_path / "l.csv")
    line = (tmp_path / "l.csv").read_text(encoding="utf-8").splitlines()[1]
    read = pd.read_csv(tmp_path / "l.csv", converters={"l": json.loads})
    assert read["l"][0] == list(range(1, 2001))
    assert line.endswith('"{""a"":1}"')


def test_make_list_after_a_sort_keeps_its_order_however_many_threads_read(logs):
    frame = logs.query(
        "range x from 1 to 300000 step 1 | extend y = (x * 7919) % 300007 | sort by y asc | summarize l = make_list(y)"
    )
    assert frame["l"][0] == sorted(frame["l"][0])
    assert len(frame["l"][0]) == 300_000


#: Whatever may stand after a table, after one that the query made itself with let or as.
AFTER = [
    "| sample 3", "| take 3 | as hint.materialized=true U | union U | count | project n = Count / 2",
    "| mv-apply x = dynamic([1]) to typeof(long) on (take 1) | count", "| union T | count | project n = Count / 2",
    "| join kind=leftsemi T on Computer | count", "| where Computer in ((T | project Computer)) | count",
    "| partition by Computer (top 3 by TimeGenerated) | count", "| search 'web-1' | count", "| getschema | take 3",
    "| evaluate narrow() | take 3", "| make-series n = count() default = 0 on TimeGenerated step 1d",
    "| serialize n = row_number() | count", "| distinct * | count",
]  # fmt: skip


@pytest.mark.parametrize("rest", AFTER)
@pytest.mark.parametrize(
    "how", ["let T = {}; T {}", "let T = materialize({}); T {}", "let T = view () {{ {} }}; T {}", "{} | as T {}"]
)
def test_a_table_that_the_query_names_itself_is_read_as_any_other(logs, how, rest):
    rows = "Heartbeat | top 3 by TimeGenerated asc"
    named, plain = logs.query(how.format(rows, rest)), logs.query(f"let T = {rows}; {rows} {rest}")
    assert (
        named.to_json(orient="values", date_format="iso") == plain.to_json(orient="values", date_format="iso")
        or "sample" in rest
    )
    assert len(named) == len(plain) > 0


@pytest.mark.parametrize("source", ["union withsource=From T, (Heartbeat | take 2 | as U)", "search in (T) *", "find withsource=From in (T) where Computer != ''"])  # fmt: skip
def test_several_tables_tell_where_a_row_is_from_by_the_name_that_the_query_gave(logs, source):
    frame = logs.query(f"let T = view () {{ Heartbeat | take 3 }}; {source}")
    assert set(frame.iloc[:, 0]) == ({"T", "U"} if "union" in source else {"T"})


def test_a_column_that_a_type_renames_overwrites_no_other(logs):
    frame = logs.query("union (print x=1), (print x=toint(2)), (print x_long=3)")
    assert sorted(frame.stack().dropna()) == [1, 2, 3]


@pytest.mark.parametrize(
    ("kql", "columns"),
    [
        ("Heartbeat | project _TimeReceived, ingestion_time()", ["_TimeReceived", "$IngestionTime"]),
        ("Heartbeat | summarize max(ingestion_time())", ["max_$IngestionTime"]),
        ("Heartbeat | summarize by ingestion_time()", ["$IngestionTime"]),
        ("Heartbeat | summarize n = count() by t = ingestion_time()", ["t", "n"]),
    ],
)
def test_ingestion_time_alone_is_called_as_the_official_parser_calls_it(logs, kql_parser, kql, columns):
    assert list(logs.query(kql).columns) == list(kql_parser.check(kql)["columns"]) == columns


@pytest.mark.parametrize(
    ("kql", "word"),
    [
        ("heartbeat | take 1", "'Heartbeat'"),
        ("Heartbeat | where computer == 'a'", "'Computer'"),
        ("Heartbeat | Where Computer == 'a'", "'where'"),
        ("Heartbeat | extend a = ToString(Computer)", "'tostring'"),
    ],
)
def test_a_name_in_another_case_is_refused_as_in_log_analytics(logs, kql, word):
    with pytest.raises(AmakitError, match=rf"case.*{word}"):
        logs.query(kql)


def test_names_that_a_query_makes_itself_are_its_own(logs):
    frame = logs.query("Heartbeat | extend computer_name = tolower(Computer), Os = 1 | summarize n = count() by Os")
    assert frame["n"].tolist() == [30]


@pytest.mark.parametrize(
    "name", ["sqlite_master", "duckdb_tables", "pg_catalog", "['{folder}/secret.csv']", "['secret.csv']"]
)
def test_no_name_reads_anything_but_the_tables_of_the_workspace(tmp_path, name):
    write(tmp_path, Heartbeat=beats("web-1", LIFE))
    (tmp_path / "truth").mkdir()
    (tmp_path / "secret.csv").write_text("a\n1\n", encoding="utf-8")
    with connect(tmp_path) as logs:
        for kql in (
            f"{name} | take 1",
            f"Heartbeat | join ({name}) on Computer",
            f"union Heartbeat, {name}",
            f"let T = {name}; T",
            f"print toscalar({name} | count)",
            f"Heartbeat | where Computer in ({name} | project Computer)",
        ):
            with pytest.raises(AmakitError, match="no table"):
                logs.query(kql.replace("{folder}", str(tmp_path)))


def test_three_thousand_brackets_are_one_sentence(logs):
    with pytest.raises(AmakitError, match=r"brackets|nested"):
        logs.query("print " + "(" * 3000 + "1" + ")" * 3000)


def test_what_runs_too_long_is_stopped_with_a_sentence(logs, monkeypatch):
    monkeypatch.setattr("amakit.source.files.LONGEST", 1)
    with pytest.raises(AmakitError, match="ran for"):
        logs.query(
            "range a from 1 to 1000000 step 1 | extend k = 1 | join kind=inner (range b from 1 to 1000000 step 1 "
            "| extend k = 1) on k | summarize sum(a * b)"
        )
    assert one(logs, "print 1") == [1]
