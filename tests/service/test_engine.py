"""How a service is asked what it holds: catalogues that answer in part, names in another case, columns that are not listed."""

import json
import re

import pandas as pd
import pytest
from faulty import said
from served_fleet import END, OPS, START, FakeCredential, la_error, one_sentence, run, same

import amakit
from amakit.errors import AmakitError
from amakit.schemas import public_tables
from amakit.service.transport import engine


def commands_of(server):
    return [text for text, path in zip(server.asked, server.paths, strict=True) if path.endswith("/mgmt")]


@pytest.mark.parametrize("commands", [{"tables", "databases"}, {"databases"}, set()], ids=["names", "neither", "none"])
def test_where_the_schema_is_not_answered_the_names_are_asked_for_then_what_has_rows(cloud, commands):
    cloud.commands = commands
    with amakit.connect(OPS) as workspace:
        found = workspace.tables
        assert workspace.columns("Perf")["CounterValue"] in ("real", "double")
    assert found == ["Event", "Heartbeat", "Perf"]
    asked = [re.match(r"let Answer = materialize\(\['(\w+)'\] \| getschema", text) for text in cloud.asked]
    assert {name[1] for name in asked if name} == ({"Perf"} if "tables" in commands else set(public_tables()))
    assert commands_of(cloud) == [".show database ['Ops'] schema as json", ".show tables"]


def test_without_a_catalogue_custom_tables_are_those_that_were_billed_of_late(cloud):
    cloud.commands = set()
    usage = ["AppLog_CL", "Heartbeat"]

    def answer(frames):
        table = next(f for f in frames if f.get("TableKind") == "PrimaryResult")
        table["Columns"] = [
            {"ColumnName": "DataType", "ColumnType": "string"},
            {"ColumnName": "AnswerRows", "ColumnType": "long"},
        ]
        table["Rows"] = [[name, None] for name in usage] + [[None, len(usage)]]
        return 200, {}, json.dumps(frames)

    cloud._answers = dict(cloud._answers)
    cloud.fault = lambda number, text: answer if "DataType" in text else None
    right = cloud.right
    cloud.right = lambda text, command: right("print AnswerRows = 1" if "DataType" in text else text, command)
    with amakit.connect(OPS) as workspace:
        assert "AppLog_CL" in workspace.tables


@pytest.mark.parametrize("commands", [{"schema"}, {"tables"}])
def test_an_analysis_is_the_same_by_every_catalogue(cloud, expected, commands):
    cloud.commands = commands
    with amakit.connect(OPS) as workspace:
        found = amakit.analyze(workspace, START, END)
    pd.testing.assert_frame_equal(found.outages, expected.outages)
    assert found.run["refused"] == {}


@pytest.mark.parametrize("commands", [{"schema"}, {"tables"}])
def test_a_column_that_is_not_listed_is_no_empty_column(cloud, expected, commands):
    """An id that is overwritten with an empty text would be nobody's, and nobody would be told."""
    cloud.unlisted, cloud.commands = {"_ResourceId"}, commands
    with amakit.connect(OPS) as workspace:
        assert workspace.columns("Heartbeat")["_ResourceId"] == "string"
        found = amakit.analyze(workspace, START, END)
    pd.testing.assert_frame_equal(found.outages, expected.outages)
    pd.testing.assert_frame_equal(found.machines, expected.machines)
    asked = [text for text in cloud.asked if "take 0" in text]
    assert len(asked) == len(set(asked)) == 3  # once of each table


def test_a_column_that_is_not_there_is_read_as_empty(cloud):
    cloud.unlisted = {"_ResourceId"}
    cloud.fault = lambda number, text: (
        said(
            400,
            la_error("BadArgumentError", "Failed to resolve scalar expression named '_ResourceId'", "SemanticError"),
        )
        if "_ResourceId" in text.replace("_ResourceId =", "") and "extend _ResourceId" not in text
        else None
    )
    with amakit.connect(OPS) as workspace:
        assert "_ResourceId" not in workspace.columns("Heartbeat")
        found = workspace.ask(
            "heartbeat_machines", start=pd.Timestamp(START, tz="UTC"), end=pd.Timestamp(END, tz="UTC")
        )
    assert set(found["ResourceId"]) == {""}


def test_an_id_in_another_case_finds_its_database(cloud):
    cloud.commands = {"schema", "databases"}
    with amakit.connect(OPS.lower()) as workspace:
        assert list(workspace.query("Heartbeat | count")["Count"]) == [4 * 4 * 1440 - 9]
        workspace.query("print 1")
    assert commands_of(cloud) == [".show databases"]


@pytest.mark.parametrize(
    ("commands", "advice"), [({"schema"}, "told apart by case"), ({"databases"}, "there are: Ops")]
)
def test_a_database_that_is_not_there_is_a_sentence(cloud, commands, advice):
    cloud.commands = commands
    with amakit.connect(OPS + "x") as workspace, pytest.raises(AmakitError) as caught:
        workspace.query("print 1")
    assert "has no database 'Opsx'" in one_sentence(str(caught.value))
    assert advice in str(caught.value)


@pytest.mark.parametrize("transport", ["kusto", "logs", "auto"])
def test_what_is_asked_and_who_asks_names_an_analysis_that_is_kept(transport):
    """Of a credential that is an object nobody knows whose it is, so nothing is kept."""
    one, other = (engine(OPS, tenant=tenant, transport=transport) for tenant in ("a.com", "b.com"))
    assert one.state() != other.state()
    assert engine(OPS, sign_in=FakeCredential(), transport=transport).state() == ""


def test_ten_minutes_are_asked_for(cloud, monkeypatch):
    from azure.kusto.data import ClientRequestProperties

    from amakit.service.answers import request_properties

    asked = request_properties().get_option(ClientRequestProperties.request_timeout_option_name, None)
    assert asked.total_seconds() == 600


TOO_LONG = {
    "413": said(413, "<html>Request Entity Too Large</html>"),
    "too complex": said(400, la_error("BadArgumentError", "The query is too complex", "SemanticError")),
}


@pytest.mark.parametrize("case", TOO_LONG)
def test_a_query_that_is_too_long_carries_half_the_windows(service, expected, case):
    rows = lambda text: text.count("datetime(") // 2  # noqa: E731 - of each window two
    service.fault = lambda number, text: TOO_LONG[case] if "datatable" in text and rows(text) > 3 else None
    with amakit.connect(service.address) as workspace:
        same(amakit.analyze(workspace, START, END), expected)
    assert any("datatable" in text and rows(text) > 3 for text in service.asked)


def test_a_query_that_cannot_be_shorter_is_a_sentence(service):
    service.fault = lambda number, text: TOO_LONG["413"] if "datatable" in text else None
    done = run("analyze", service.address, "--start", START, "--end", END, "--out", "x")
    assert done.exit_code == 1
    assert "the query was too long for it" in one_sentence(done.stderr.splitlines()[-1])


@pytest.mark.parametrize("where", ["cloud", "service"])
def test_late_rows_are_screened_by_when_they_were_ingested(where, right_late, request):
    """When a row was received is computed at each use; elsewhere than in Log Analytics it is a column."""
    server = request.getfixturevalue(where)
    with amakit.connect(OPS if where == "cloud" else server.address) as workspace:
        pd.testing.assert_frame_equal(late(workspace), right_late)
    assert any("ingestion_time()" in text for text in server.asked) == (where == "cloud")


def late(workspace):
    """All heartbeats of an hour: of one machine those that took longer than its clock says, of the other none do."""
    start, end = (pd.Timestamp(f"2026-03-02 {hour}:00", tz="UTC") for hour in (10, 11))
    ids = [f"/subscriptions/0/resourcegroups/rg/vm/{name}" for name in ("web-01", "web-02")]
    windows = pd.DataFrame(
        {
            "ResourceId": ids,
            "Computer": ["web-01", "web-02"],
            "Start": start,
            "End": end,
            "Usual": pd.to_timedelta([-60, 0], unit="s"),
        }
    )
    rows = workspace.ask("heartbeat_late", start=start, end=end, windows=windows, delay=pd.Timedelta(seconds=2))
    return rows.sort_values(list(rows.columns), ignore_index=True)


@pytest.fixture(scope="module")
def right_late(folder):
    with amakit.connect(folder) as workspace:
        found = late(workspace)
    assert set(found["Computer"]) == {"web-01"}
    assert len(found) == 60
    return found
