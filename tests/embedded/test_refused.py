"""What the embedded engine does not have is refused as what it is: valid KQL, or no KQL at all."""

import pytest
from fleet import beats, write

from amakit import connect
from amakit.embedded.supported import refused
from amakit.errors import AmakitError

LIFE = [("1.38.1", "2026-03-10 00:00", "2026-03-10 00:30")]


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("logs")
    write(folder, Heartbeat=beats("web-1", LIFE))
    with connect(folder) as workspace:
        yield workspace


OPERATORS = {
    "scan": "Heartbeat | scan declare (n:long=0) with (step s: true => n = s.n + 1;)",
    "reduce": "Heartbeat | reduce by Computer",
    "fork": "Heartbeat | fork (count) (take 1)",
    "facet": "Heartbeat | facet by Computer",
    "top-nested": "Heartbeat | top-nested 2 of Computer by count()",
    "externaldata": 'externaldata(a:string)["https://contoso.example/a.csv"]',
    "evaluate autocluster": "Heartbeat | project OSType | evaluate autocluster()",
    "series_decompose_anomalies": "print series_decompose_anomalies(dynamic([1, 2, 3]))",
    "geo_point_to_geohash": "print geo_point_to_geohash(1.0, 2.0)",
    "hll": "Heartbeat | summarize hll(Computer)",
    "subscriptionId beside SubscriptionId": "Heartbeat | parse _ResourceId with * '/' subscriptionId '/' *",
    r"array_sort_asc\(\) with 2 arguments": "print array_sort_asc(dynamic([2, 1]), dynamic([1, 2]))",
    r"datetime_diff\(\) in nanoseconds": "print datetime_diff('nanosecond', now(), now())",
    "declare pattern": 'declare pattern p = (a:string)[b:string] { ("x").["y"] = { print 1 }; }; p("x").["y"]',
    "workspace": 'workspace("other").Heartbeat | count',
}


@pytest.mark.parametrize("what", OPERATORS)
def test_valid_kql_that_is_not_here_is_called_so(logs, what):
    with pytest.raises(AmakitError, match=f"valid KQL that the embedded engine does not have: {what}"):
        logs.query(OPERATORS[what])


@pytest.mark.parametrize("kql", ["print no_such_function(1)", "Heartbeat | summarize no_such_function(Computer)"])
def test_a_function_that_is_none_is_no_valid_kql(logs, kql):
    with pytest.raises(AmakitError, match="no function 'no_such_function'"):
        logs.query(kql)


@pytest.mark.parametrize(
    ("kql", "told"),
    [
        ("Heartbeat | where Computers == 1", "there is no column 'Computers' .* the nearest are 'Computer'"),
        ("Heartbeat | where Zzzz == 1", "there are 'Category', 'Computer', 'ComputerEnvironment'"),
        ("Heartbeat | where Computer =~ true", r"lower\(\) cannot be taken of bool"),
        ("print datetime_utc_to_local(now(), 'Mars/North')", "cannot be computed.*Mars/North"),
        (".create table T (a:int)", "a command that begins with a dot is no query"),
        ("find in (Nothing) where Computer has 'a'", "there is no table 'Nothing'"),
    ],
)
def test_what_is_wrong_is_told_of_the_tables_that_the_query_reads(logs, kql, told):
    with pytest.raises(AmakitError, match=told):
        logs.query(kql)


def test_sums_of_dynamic_values_are_refused_with_the_way_round(logs):
    with pytest.raises(AmakitError, match=r"with tolong\(\) or toreal\(\)"):
        logs.query("print dynamic([1, 2])[0] + 1")
    assert logs.query("print tolong(dynamic([1, 2])[0]) + 1").iloc[0, 0] == 2


def test_every_name_of_kql_is_either_here_or_refused():
    from amakit.embedded.names import FUNCTIONS

    assert "series_decompose" in refused()["functions"]
    assert not refused()["functions"] & {"prev", "bin_at", "indexof", "series_fit_line", "strcat"}
    assert refused()["functions"] < FUNCTIONS
