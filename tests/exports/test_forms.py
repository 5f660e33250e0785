"""Every way of exporting gives the same rows, or a sentence that says what the file is; nothing is read wrongly."""

import contextlib
import csv
import datetime as dt
import gzip
import io
import json
import sqlite3
import zipfile
from pathlib import Path

import duckdb
import pandas as pd
import pytest
from fleet import beats, write
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from amakit.errors import AmakitError
from amakit.exports import relations
from amakit.exports.forms import FORMS, REFUSED
from amakit.exports.table_files import LIMITS
from amakit.recorded.survey import remarks, survey
from amakit.source.connect import connect

CASES = Path(__file__).parent / "cases"


def test_a_parquet_file_that_may_not_be_read_is_not_called_broken(tmp_path):
    """Root may read all files here, so the file goes between its listing and its reading."""

    def run(sql):
        raise AmakitError("Permission denied")

    with pytest.raises(
        AmakitError, match=r"gone\.parquet cannot be read: No such file or directory; ask for the right"
    ):
        relations.parquet(run, [str(tmp_path / "gone.parquet")], "Heartbeat")


# -- exports as people had them: the right values are those of their READMEs -----------------------------------------

BEFORE, AFTER = (pd.Timestamp(text) for text in ("2026-05-13T01:09:30.718Z", "2026-05-13T01:13:30.734Z"))
UPGRADE = (
    "Heartbeat | where Computer == 'web-01' | summarize First = min(TimeGenerated), Last = max(TimeGenerated) by Version"
    " | sort by Version asc"
)
READ = ["f01d_az_cli_howto", "f03_pandas_index", "f04_ps51_export_csv", "f08b_no_space_utc", "f09_export_job",
        "f12_activity_portal_csv", "f14b_az_rest_pretty", "f16_event_hub_records", "f17_search_job_as_heartbeat",
        "f18c_query_data_name", "f23_utf16", "f24_activity_legacy_schema", "f26b_ps_value_count",
        "f28_folder_called_update"]  # fmt: skip


@pytest.mark.parametrize("case", READ)
def test_the_upgrade_of_the_case_is_read(case):
    with connect(CASES / case) as workspace:
        versions = workspace.query(UPGRADE)
        assert versions["Version"].tolist() == ["1.38.1.0", "1.39.0.0"]
        assert (versions["Last"][0], versions["First"][1]) == (BEFORE, AFTER)
        assert workspace.query("Heartbeat | summarize dcount(Computer)").iloc[0, 0] == 2
        assert workspace.refused == {}


@pytest.mark.parametrize("case", ["f01d_az_cli_howto", "f28_folder_called_update"])
def test_the_samples_that_the_upgrade_cost_are_missing_and_no_others(case):
    with connect(CASES / case) as workspace:
        perf = workspace.query("Perf | where Computer == 'web-01' | project CounterName, TimeGenerated")
    spaces = perf.sort_values("TimeGenerated").groupby("CounterName")["TimeGenerated"].diff().dropna() / pd.Timedelta(
        "60s"
    )
    assert spaces.round().value_counts().loc[4] == 2  # three samples of each counter are missing, once
    assert spaces.round().isin([1, 4]).all()


def test_the_word_null_of_older_portals_is_null():
    with connect(CASES / "f02_portal_null") as workspace:
        rows = workspace.query(
            "Perf | project Min, Max, SampleCount, BucketStartTime, BucketEndTime, StandardDeviation"
        )
    assert len(rows) == 54
    assert rows.isna().all().all()


@pytest.mark.parametrize("case", ["f05_day_first_am_pm", "f07_day_first_24h"])
def test_dates_that_fit_both_orders_are_refused_until_one_is_named(case):
    with pytest.raises(AmakitError, match="--date-format day-first or month-first, or set the portal"):
        connect(CASES / case)
    with connect(CASES / case, date_format="day-first") as workspace:
        versions = workspace.query(UPGRADE)
    assert (versions["Last"][0], versions["First"][1]) == (BEFORE - pd.Timedelta("3D"), AFTER - pd.Timedelta("3D"))


def test_a_year_of_two_digits_is_refused_with_that_reason():
    with connect(CASES / "f21e_two_digit_year") as workspace, pytest.raises(AmakitError, match=r"line 2: .*two digits"):
        workspace.query("Heartbeat")


@pytest.mark.parametrize("case", ["f12_activity_portal_csv", "f24_activity_legacy_schema"])
def test_the_activity_log_of_the_portal_and_of_the_old_connector_is_azure_activity(case):
    with connect(CASES / case) as workspace:
        rows = workspace.ask("activity", start=pd.Timestamp("2026-05-13T00Z"), end=pd.Timestamp("2026-05-14T00Z"))
    assert set(rows["Operation"]) == {"microsoft.compute/virtualmachines/extensions/write"}
    assert sorted(rows["Status"]) == ["start", "success"] or sorted(rows["Status"]) == ["started", "succeeded"]
    assert rows["Target"].str.endswith("/virtualmachines/web-01/extensions/azuremonitorwindowsagent").all()
    assert sorted(rows["TimeGenerated"]) == [pd.Timestamp("2026-05-13T01:09:50Z"), pd.Timestamp("2026-05-13T01:13:40Z")]


# -- the same rows in every form --------------------------------------------------------------------------------------

ROWS = [
    {"TimeGenerated": f"2026-05-{day:02}T{hour:02}:13:30.734Z", "Computer": f"web-{day:02}", "Category": 'a "b", c;d',
     "OSType": "Windows", "Version": "1.38.1.0", "IsGatewayInstalled": day == 9, "RemoteIPLatitude": number,
     "ComputerEnvironment": "Azure", "Type": "Heartbeat"}
    for day, hour, number in [(9, 0, 35.5), (13, 12, -1.25), (13, 23, None)]
]  # fmt: skip
KQL = "Heartbeat | project TimeGenerated, Computer, Category, Version, IsGatewayInstalled, RemoteIPLatitude | sort by TimeGenerated asc"
EVENT = {
    "eventTimestamp": "2026-05-13T01:09:50.1234567Z", "operationName": {"value": "Microsoft.Compute/virtualMachines/extensions/write", "localizedValue": "Create or Update Virtual Machine Extension"},
    "status": {"value": "Succeeded", "localizedValue": "Succeeded"}, "subStatus": {"value": "", "localizedValue": ""},
    "resourceId": "/subscriptions/S/resourceGroups/RG/providers/Microsoft.Compute/virtualMachines/web-01/extensions/Agent",
    "caller": "someone@example.com", "correlationId": "k1", "category": {"value": "Administrative"}, "claims": {"appid": "a"},
}  # fmt: skip
STORED = {
    "time": "2026-05-13T01:09:50.1234567Z", "resourceId": EVENT["resourceId"].upper(), "category": "Administrative",
    "operationName": "MICROSOFT.COMPUTE/VIRTUALMACHINES/EXTENSIONS/WRITE", "resultType": "Success", "correlationId": "k1",
    "identity": {"claims": {"http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn": "someone@example.com"}},
}  # fmt: skip


def csv_of(rows, delimiter=",", header=None, cell=lambda v: v, before=""):
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter)
    writer.writerow([(header or {}).get(name, name) for name in rows[0]])
    writer.writerows([cell(value) for value in row.values()] for row in rows)
    return (before + out.getvalue()).encode()


def arrays(rows, names="columns", cell="name", inner="rows"):
    return {names: [{cell: n, "type": "string"} for n in rows[0]], inner: [list(row.values()) for row in rows]}


def spelled(text):
    """Give a browser's American English for an instant of ISO 8601."""
    at = dt.datetime.fromisoformat(text)
    return f"{at.month}/{at.day}/{at.year}, {at.hour % 12 or 12}:{at:%M:%S}.{at.microsecond // 1000:03} {at:%p}"


def portal(value):
    return spelled(value) if isinstance(value, str) and value.startswith("2026-") else "" if value is None else value


def parquet(rows):
    def write(path):
        with duckdb.connect() as connection:
            connection.register(
                "rows",
                pd.DataFrame(rows).assign(
                    TimeGenerated=[pd.Timestamp(r["TimeGenerated"]).tz_localize(None) for r in rows]
                ),
            )
            connection.sql("FROM rows").write_parquet(str(path))

    return write


def dumped(what, **options):
    return json.dumps(what, **options).encode()


def zipped(rows):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("Heartbeat.csv", csv_of(rows))
    return out.getvalue()


#: Name of the form -> (file name, bytes or what writes them).  A file name that is no table's: its rows say the table.
EXPORTS = {
    "answer of the query API": ("answer.json", dumped({"tables": [{"name": "PrimaryResult"} | arrays(ROWS)]}, indent=2)),
    "answer of Kusto, version 1": ("k.json", dumped({"Tables": [{"TableName": "Table_0"} | arrays(ROWS, "Columns", "ColumnName", "Rows")]})),
    "pandas, orient split": ("split.json", pd.DataFrame(ROWS).to_json(orient="split").encode()),
    "collection of PowerShell or of a REST API": ("x.json", dumped({"value": ROWS, "Count": 3}, indent=4)),
    "messages of an event hub": ("hub.json", "\n".join(json.dumps({"records": part}) for part in (ROWS[:1], ROWS[1:])).encode()),
    "answer of Invoke-AzOperationalInsightsQuery": ("p.json", dumped({"Results": ROWS, "Render": None}, indent=2)),
    "the same, its results wrapped by PowerShell 5.1": ("w5.json", dumped({"Results": {"value": ROWS, "Count": 3}}, indent=2)),
    "rows under the key data": ("g.json", dumped({"count": 3, "data": ROWS})),
    "rows under the key results": ("r.json", dumped({"results": ROWS})),
    "rows under the key items": ("i.json", dumped({"items": ROWS})),
    "rows under the key rows": ("w.json", dumped({"rows": ROWS})),
    "Export-Csv of Windows PowerShell": ("Heartbeat.csv", csv_of(ROWS, before="#TYPE System.Object\r\n")),
    "CSV of the portal": ("query_data (1).csv", csv_of(ROWS, header={"TimeGenerated": "TimeGenerated [UTC]"}, cell=portal, before="\ufeff")),
    "CSV of pandas": ("frame.csv", pd.DataFrame(ROWS).to_csv().encode()),
    "CSV with semicolons or tabs": ("query_data.csv", csv_of(ROWS, ";", cell=lambda v: str(v).replace(".", ",") if isinstance(v, float) else v)),
    "CSV": ("kusto.csv", csv_of(ROWS)),
    "az monitor log-analytics query": ("Heartbeat.json", dumped([{"TableName": "PrimaryResult"} | {k: str(v) for k, v in row.items()} for row in ROWS], indent=2)),
    "JSON array": ("array.json", dumped(ROWS)),
    "JSON lines": ("WorkspaceResourceId=/subscriptions/s/workspaces/w/y=2026/m=05/d=13/h=00/m=00/PT05M.json", "\n".join(map(json.dumps, ROWS)).encode()),
    "Parquet": ("jobId/j/timestamp=2026-05-13T00/part-0.parquet", parquet(ROWS)),
}  # fmt: skip
ACTIVITY_EXPORTS = {
    "activity log, az or REST API": ("activity.json", dumped([EVENT], indent=2)),
    "activity log, storage account": ("insights-activity-logs/y=2026/PT1H.json", dumped(STORED)),
    "activity log, PowerShell": ("log.json", dumped([{"EventTimestamp": EVENT["eventTimestamp"], "OperationName": EVENT["operationName"]["value"], "Status": "Succeeded", "ResourceId": EVENT["resourceId"], "Caller": EVENT["caller"], "CorrelationId": "k1"}])),
    "activity log, portal": ("QueryResult.csv", csv_of([{"Correlation id": "k1", "Operation name": "Create or Update Virtual Machine Extension", "Status": "Succeeded", "Time": EVENT["eventTimestamp"], "Event initiated by": EVENT["caller"], "Resource type": "Microsoft.Compute/virtualMachines/extensions", "Subscription": "S", "Resource group": "RG", "Resource": "web-01/Agent"}])),
    "AzureActivity of the old connector": ("AzureActivity.csv", csv_of([{"OperationName": "Create or Update Virtual Machine Extension", "ActivityStatus": "Succeeded", "Caller": EVENT["caller"], "CorrelationId": "k1", "ResourceId": EVENT["resourceId"], "TimeGenerated": EVENT["eventTimestamp"]}])),
}  # fmt: skip
REFUSED_EXPORTS = {
    "archive": ("Heartbeat.zip", zipped(ROWS)),
    "workbook": ("Heartbeat.xls", b"\xd0\xcf\x11\xe0" + b"\0" * 600),
    "Avro": ("Heartbeat.avro", b"Obj\x01" + b"\0" * 600),
    "other file": ("Heartbeat.csv", b"%PDF-1.7\n" * 60),
    "web page": ("Heartbeat.csv", b"<!DOCTYPE html>\n<html><body>Sign in</body></html>\n"),
    "table of az": ("Heartbeat.csv", b"TableName      Computer\n-------------  --------\nPrimaryResult  web-01\n"),
    "error of a service": (
        "Heartbeat.json",
        dumped({"error": {"code": "BadArgumentError", "message": "no such table"}}),
    ),
    "answer of Kusto, version 2": ("Heartbeat.json", dumped([{"FrameType": "DataSetHeader", "IsProgressive": False}])),
    "batch of answers": ("Heartbeat.json", dumped({"responses": [{"id": "1", "body": {"tables": [arrays(ROWS)]}}]})),
    "pandas, orient columns": ("Heartbeat.json", pd.DataFrame(ROWS).to_json().encode()),
}


def put(folder, name, content):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        content(path)
    return folder


def read(folder, kql=KQL, **how):
    with connect(folder, **how) as workspace:
        return workspace.query(kql)


def attempt(folder, kql):
    """Give the rows, or the sentence that refuses them."""
    try:
        return read(folder, kql), ""
    except AmakitError as error:
        return None, str(error)


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    return read(put(tmp_path_factory.mktemp("rows"), "Heartbeat.jsonl", "\n".join(map(json.dumps, ROWS)).encode()))


def test_the_reference_holds_the_rows(expected):
    assert expected["TimeGenerated"].tolist() == [pd.Timestamp(row["TimeGenerated"]) for row in ROWS]
    assert expected["RemoteIPLatitude"].tolist()[:2] == [35.5, -1.25]
    assert expected["RemoteIPLatitude"].isna().tolist() == [False, False, True]
    assert expected["IsGatewayInstalled"].tolist() == [True, False, False]
    assert set(expected["Category"]) == {'a "b", c;d'}


def test_every_form_has_an_export_here():
    assert {form.name for form in FORMS} == EXPORTS.keys() | ACTIVITY_EXPORTS.keys() | REFUSED_EXPORTS.keys()
    assert {form.name for form in REFUSED} == REFUSED_EXPORTS.keys()


@pytest.mark.parametrize("form", EXPORTS)
def test_every_way_of_exporting_gives_the_same_rows(form, expected, tmp_path):
    put(tmp_path, *EXPORTS[form])
    with connect(tmp_path) as workspace:
        assert [name for _, name in workspace.files("Heartbeat")] == [form]
        pd.testing.assert_frame_equal(workspace.query(KQL), expected)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "gzip", "gzip without its suffix"])
@pytest.mark.parametrize("form", ["CSV", "JSON array", "answer of the query API"])
def test_packing_and_encoding_change_nothing(form, encoding, expected, tmp_path):
    name, content = EXPORTS[form]
    name, content = {
        "gzip": (f"{name}.gz", gzip.compress(content)),
        "gzip without its suffix": (name, gzip.compress(content)),
    }.get(encoding) or (name, content.decode().encode(encoding))
    pd.testing.assert_frame_equal(read(put(tmp_path, name, content)), expected)


@pytest.mark.parametrize("form", ACTIVITY_EXPORTS)
def test_every_form_of_the_activity_log_is_azure_activity(form, tmp_path):
    put(tmp_path, *ACTIVITY_EXPORTS[form])
    with connect(tmp_path) as workspace:
        assert workspace.tables == ["AzureActivity"]
        assert workspace.files("AzureActivity")[0][1] == form
        rows = workspace.ask("activity", start=pd.Timestamp("2026-05-13T00Z"), end=pd.Timestamp("2026-05-14T00Z"))
    columns = ["TimeGenerated", "Operation", "Status", "Target", "Entity", "Caller", "CorrelationId"]
    assert rows[columns].iloc[0].tolist() == [
        pd.Timestamp("2026-05-13T01:09:50.123456Z"),
        "microsoft.compute/virtualmachines/extensions/write",
        "success",
        EVENT["resourceId"].lower(),
        EVENT["resourceId"].lower(),
        EVENT["caller"],
        "k1",
    ]


@pytest.mark.parametrize("wrapped", ["value", "records"])
def test_events_of_the_activity_log_inside_a_document_are_told_by_what_they_are(wrapped, tmp_path):
    put(tmp_path, "log.json", dumped({wrapped: [EVENT if wrapped == "value" else STORED]}, indent=1))
    assert read(tmp_path, "AzureActivity | project _ResourceId")["_ResourceId"].tolist() == [
        EVENT["resourceId"].lower()
    ]


@pytest.mark.parametrize("form", REFUSED_EXPORTS)
def test_what_cannot_be_read_is_named_with_what_it_is_and_what_to_do(form, tmp_path):
    put(tmp_path, *REFUSED_EXPORTS[form])
    refusal = next(each.refusal for each in REFUSED if each.name == form)
    with pytest.raises(AmakitError) as caught:
        connect(tmp_path)
    assert str(caught.value) == f"{tmp_path / REFUSED_EXPORTS[form][0]} {refusal}"


# -- which table a file is --------------------------------------------------------------------------------------------


def test_records_of_several_tables_are_split_by_their_type(tmp_path):
    perf = [
        {"TimeGenerated": row["TimeGenerated"], "Computer": "p", "CounterValue": 1.5, "Type": "Perf"} for row in ROWS
    ]
    put(tmp_path, "Heartbeat.json", dumped({"records": [*ROWS, *perf]}))
    with connect(tmp_path) as workspace:
        assert workspace.tables == ["Heartbeat", "Perf"]
        assert workspace.query("Perf | distinct Computer, CounterValue").iloc[0].tolist() == ["p", 1.5]
        assert workspace.query("Heartbeat | count").iloc[0, 0] == 3


def test_rows_of_several_tables_in_one_csv_are_split_where_its_name_says_none(tmp_path):
    put(
        tmp_path,
        "query_data.csv",
        csv_of([row | {"Type": kind} for row in ROWS for kind in ("Heartbeat", "Perf_SRCH")]),
    )
    with connect(tmp_path) as workspace:
        assert workspace.tables == ["Heartbeat", "Perf"]
        assert [workspace.query(f"{t} | count").iloc[0, 0] for t in workspace.tables] == [3, 3]


@pytest.mark.parametrize("name", ["Heartbeat_SRCH.jsonl", "Heartbeat_RST.jsonl", "HeartbeatMay_SRCH.jsonl"])
def test_searched_and_restored_tables_are_their_own(name, expected, tmp_path):
    job = {"_OriginalType": "Heartbeat", "Type": name[:-6]}
    rows = [
        row | job | {"TimeGenerated": "2026-07-01T09:00:12Z", "_OriginalTimeGenerated": row["TimeGenerated"]}
        for row in ROWS
    ]
    rows = rows if "SRCH" in name else [row | {"Type": "Heartbeat_RST"} for row in ROWS]
    put(tmp_path, name, "\n".join(map(json.dumps, rows)).encode())
    pd.testing.assert_frame_equal(read(tmp_path), expected)


@pytest.mark.parametrize(
    "name",
    ["Perf/Heartbeat.csv", "update/Heartbeat.csv", "Perf/query_data.csv", "x/Heartbeat (2).csv", "a/Heartbeat/b/c.csv"],
)
def test_the_name_of_a_file_and_what_it_holds_beat_the_name_of_its_folder(name, expected, tmp_path):
    pd.testing.assert_frame_equal(read(put(tmp_path, name, csv_of(ROWS))), expected)


def test_rows_that_do_not_say_their_table_are_told_by_their_columns_or_not_at_all(expected, tmp_path):
    plain = [{k: v for k, v in row.items() if k != "Type"} for row in ROWS]
    pd.testing.assert_frame_equal(read(put(tmp_path, "query_data.csv", csv_of(plain))), expected)
    few = put(
        tmp_path / "few",
        "query_data.csv",
        csv_of([{"TimeGenerated": row["TimeGenerated"], "Computer": "a"} for row in ROWS]),
    )
    with connect(few) as workspace:
        assert "Heartbeat" not in workspace.tables


@pytest.mark.parametrize("kind", ["../Heartbeat", "/etc/passwd", "a;b", 'x"y', "Heartbeat'"])
def test_what_rows_say_of_their_table_opens_nothing(kind, tmp_path):
    put(tmp_path / "in", "query_data.csv", csv_of([row | {"Type": kind} for row in ROWS]))
    put(tmp_path, "Heartbeat.csv", csv_of(ROWS))
    with connect(tmp_path / "in") as workspace:
        assert workspace.tables == ["Heartbeat"]  # by their columns; but they say otherwise themselves
        with pytest.raises(AmakitError, match="line 2: a row of"):
            workspace.query("Heartbeat")


def test_a_file_of_no_use_is_named_and_the_others_are_read(expected, tmp_path):
    put(tmp_path, "Heartbeat.csv", csv_of(ROWS))
    put(tmp_path, "photos.zip", zipped(ROWS))
    put(tmp_path, "notes.md", b"hello")
    put(tmp_path, "Perf.xlsx", b"PK\x03\x04" + b"\0" * 600)
    put(tmp_path, "broken.json", b'{"a": ')
    with connect(tmp_path) as workspace:
        pd.testing.assert_frame_equal(workspace.query(KQL), expected)
        lines = "\n".join([*remarks(workspace, survey(workspace)[0]), *workspace.refused.values()])
        assert all(name in lines for name in ("photos.zip", "notes.md", "Perf.xlsx", "broken.json"))
        with pytest.raises(AmakitError, match=r"Perf\.xlsx is an archive or a workbook"):
            workspace.query("Perf | count")


def test_a_part_of_a_table_that_cannot_be_read_refuses_the_table(tmp_path):
    put(tmp_path, "Heartbeat/monday.csv", csv_of(ROWS))
    put(tmp_path, "Heartbeat/tuesday.csv.zip", zipped(ROWS))
    with pytest.raises(AmakitError, match=r"tuesday\.csv\.zip is an archive"):
        connect(tmp_path)


@pytest.mark.parametrize("suffix", ["csv", "json", "parquet"])
def test_signs_of_a_pattern_in_a_name_stand_for_themselves(suffix, tmp_path):
    write = {"csv": csv_of, "json": dumped, "parquet": parquet}[suffix]
    for name in ("r[1]", "r1", "r*", "r?"):
        put(tmp_path / "a[b]*", f"Heartbeat/{name}.{suffix}", write([row | {"Computer": name} for row in ROWS]))
    rows = read(tmp_path / "a[b]*", "Heartbeat | summarize n = count() by Computer")
    assert dict(rows.itertuples(index=False)) == {"r[1]": 3, "r1": 3, "r*": 3, "r?": 3}


# -- bad input --------------------------------------------------------------------------------------------------------

HEAD, GOOD = "TimeGenerated,Computer,Type\n", "2026-03-01T00:00:00Z,a,Heartbeat\n"
LONG = "x" * 33_000_000
BAD = {
    "another table's rows under this name": ("Perf.csv", csv_of(ROWS), "holds rows of Heartbeat and not of Perf"),
    "a row of another table": ("Heartbeat.csv", (HEAD + GOOD + GOOD.replace("Heartbeat", "Perf")).encode(), "line 3: a row of Perf"),
    "the header again": ("Heartbeat.csv", (HEAD + GOOD + HEAD + GOOD).encode(), "line 3: the header stands here again"),
    "two kinds of line ends": ("Heartbeat.csv", ((HEAD + GOOD * 100).replace("\n", "\r\n") + GOOD).encode(), "line 102: lines end otherwise"),
    "bytes that are no UTF-8, late": ("Heartbeat.csv", (HEAD + GOOD * 2000).encode() + GOOD.replace("a,", "\xe4,").encode("latin-1"), "line 2002: not text in UTF-8"),
    "a last line that is too long": ("Heartbeat.csv", (HEAD + GOOD + GOOD.replace(",a,", f",{LONG},")).encode(), "longer than 32 MB"),
    "a wrong checksum": ("Heartbeat.csv.gz", gzip.compress((HEAD + GOOD).encode())[:-8] + b"\0" * 8, "not copied whole"),
    "columns twice in an answer": ("Heartbeat.json", dumped({"tables": [arrays([{"TimeGenerated": 1}]) | {"columns": [{"name": "TimeGenerated"}] * 2}]}), "same name"),
    "one page of several": ("Heartbeat.json", dumped({"value": ROWS, "nextLink": "https://x"}), "one page of several"),
    "part of an answer": ("Heartbeat.json", dumped({"tables": [arrays(ROWS)], "error": {"code": "PartialError"}}), "part of an answer (PartialError)"),
    "several tables in an answer": ("Heartbeat.json", dumped({"tables": [arrays(ROWS), arrays(ROWS)]}), "several tables in one answer"),
    "no header, as az leaves it out": ("Heartbeat.tsv", csv_of(ROWS, "\t").split(b"\r\n", 1)[1], "no header"),
    "a row without a time": ("Heartbeat.csv", (HEAD + GOOD + ",a,Heartbeat\n").encode(), "line 3: ''"),
    "a row without a time, in JSON": ("Heartbeat.jsonl", dumped(ROWS[0]) + b"\n" + dumped({"Computer": "a"}), "line 2: ''"),
    "rows of a table among events": ("AzureActivity.json", dumped({"records": [STORED, *ROWS]}), "a row of Heartbeat"),
    "an answer that is cut off": ("Heartbeat.json", dumped({"value": ROWS}, indent=1)[:-200], "broken JSON"),
    "brackets without end": ("Heartbeat.json", b"[" * 100_000, "cannot be read"),
    "numbers with commas and points": ("Heartbeat.csv", b"TimeGenerated;RemoteIPLatitude\n2026-03-01T00:00:00Z;1,5\n2026-03-01T00:01:00Z;1.5\n", "with commas and with points"),
    "a local time": ("Heartbeat.csv", b"TimeGenerated [Local Time]\n2026-03-01\n", "another time zone than UTC"),
    "mixed forms of dates": ("Heartbeat.csv", b"TimeGenerated\n2026-03-01T00:00:00Z\n3/13/2026 1:00:00 AM\n", "line 3"),
    "a file called like one of the engine's own": ("sqlite_master.csv", csv_of([{"a": 1}]), "a name of the engine's own"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_in_one_sentence(case, tmp_path):
    name, content, reason = BAD[case]
    put(tmp_path, name, content)
    with pytest.raises(AmakitError) as caught:
        read(tmp_path, f"{name.partition('.')[0]} | summarize count(), max(TimeGenerated)")
    assert reason in str(caught.value)
    assert str(tmp_path / name) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["{", "[]", "5", '{"end": 5}', '{"end": "some day"}', "[" * 100_000, "\udce4"])
@pytest.mark.parametrize("name", ["_demo.json", "manifest.json"])
def test_a_broken_note_about_a_folder_is_named_or_nobodys(name, content, tmp_path):
    put(tmp_path, "Heartbeat.csv", csv_of(ROWS))
    put(tmp_path, name, content.encode(errors="surrogateescape"))
    rows, reason = attempt(tmp_path, KQL)
    assert rows is None or len(rows) == 3  # a manifest that is not ours
    assert rows is not None or (name in reason and "\n" not in reason)


@pytest.mark.parametrize("rows", LIMITS)
def test_a_number_of_rows_at_which_an_export_stops_is_told(rows, tmp_path):
    if rows > 30_000:
        return
    for name, more in (("exact", 0), ("other", 1)):
        frame = pd.DataFrame(
            {"TimeGenerated": pd.date_range("2026-03-01", periods=rows + more, freq="s"), "Computer": "a"}
        )
        put(tmp_path, f"Heartbeat/{name}.csv", frame.to_csv(index=False, date_format="%Y-%m-%dT%H:%M:%SZ").encode())
    with connect(tmp_path) as workspace:
        said = [line for line in remarks(workspace, survey(workspace)[0]) if "exactly" in line]
    assert len(said) == 1
    assert f"exact.csv has exactly {rows:,} rows" in said[0]


def test_a_database_of_another_program_is_refused_and_nothing_is_fetched_for_it(tmp_path):
    with contextlib.closing(sqlite3.connect(tmp_path / "logs.duckdb")) as other:
        other.execute("CREATE TABLE Heartbeat (a)")
        other.commit()
    with pytest.raises(AmakitError, match="cannot be opened as a DuckDB database"):
        connect(tmp_path / "logs.duckdb")
    put(tmp_path, "Heartbeat.csv", csv_of(ROWS))
    with connect(tmp_path) as workspace:
        settings = dict(
            workspace._engine._connection.execute(
                "SELECT name, value FROM duckdb_settings() WHERE name LIKE 'auto%known_extensions'"
            ).fetchall()
        )
    assert settings == dict.fromkeys(("autoinstall_known_extensions", "autoload_known_extensions"), "false")


# -- dates: read as they were written, or refused; never another instant ----------------------------------------------


def clock(at, half, sign="."):
    fraction = f"{sign}{at.microsecond // 1000:03}"
    return (
        f"{at:%H:%M:%S}{fraction}"
        if half is None
        else f"{at.hour % 12 or 12}:{at:%M:%S}{fraction} {half[at.hour // 12]}"
    )


#: How a browser, a shell or a spreadsheet writes an instant.
WRITTEN = {
    "en-US": lambda t: f"{t.month}/{t.day}/{t.year}, {clock(t, ('AM', 'PM'))}",
    "en-AU": lambda t: f"{t.day}/{t:%m/%Y}, {clock(t, ('am', 'pm'))}",
    "en-GB": lambda t: f"{t:%d/%m/%Y}, {clock(t, None)}",
    "en-CA": lambda t: f"{t:%Y-%m-%d}, {clock(t, ('a.m.', 'p.m.'))}",
    "de-DE": lambda t: f"{t.day}.{t.month}.{t.year}, {clock(t, None, ',')}",
    "nl-NL": lambda t: f"{t.day}-{t.month}-{t.year} {clock(t, None)}",
    "ja-JP": lambda t: f"{t.year}/{t.month}/{t.day} {clock(t, None)}",
    "ko-KR": lambda t: f"{t.year}. {t.month}. {t.day}. {('오전', '오후')[t.hour // 12]} {t.hour % 12 or 12}:{t:%M:%S}.{t.microsecond // 1000:03}",
    "zh-TW": lambda t: f"{t.year}/{t.month}/{t.day} {('上午', '下午')[t.hour // 12]}{t.hour % 12 or 12}:{t:%M:%S}.{t.microsecond // 1000:03}",
    "PowerShell en-US": lambda t: f"{t.month}/{t.day}/{t.year} {clock(t, ('AM', 'PM'))}",
    "ISO": lambda t: t.isoformat(timespec="milliseconds") + "Z",
    "pandas": lambda t: f"{t.isoformat(' ', timespec='milliseconds')}000+00:00",
    "milliseconds": lambda t: str(round(t.replace(tzinfo=dt.UTC).timestamp() * 1000)),
    "JavaScript": lambda t: f"{t:%a %b %d %Y %H:%M:%S} GMT+0000 (Coordinated Universal Time)",
    "two digits": lambda t: f"{t.month}/{t.day}/{t:%y} {t:%H:%M}",
    "cut seconds": lambda t: f"{t.year}/{t.month}/{t.day} {t.hour}:{t:%M}",
    "Excel": lambda t: f"{t:%M:%S}.{t.microsecond // 100_000}",
    "Thai": lambda t: f"{t.day}/{t.month}/{t.year + 543} {t:%H:%M:%S}",
}  # fmt: skip
NEVER = {"two digits", "cut seconds", "Excel", "Thai"}
ALWAYS = {"en-CA", "de-DE", "ja-JP", "ko-KR", "zh-TW", "ISO", "pandas", "milliseconds", "JavaScript", "en-US"}
instants = st.datetimes(dt.datetime(2020, 1, 1), dt.datetime(2029, 12, 31)).map(
    lambda t: t.replace(microsecond=t.microsecond // 1000 * 1000)
)


@pytest.mark.parametrize("writer", WRITTEN)
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(times=st.lists(instants, min_size=1, max_size=4))
def test_a_column_of_dates_is_read_as_it_was_written_or_refused(writer, times, tmp_path_factory):
    folder = tmp_path_factory.mktemp("dates")
    text = [WRITTEN[writer](time) for time in times]
    rows = [{"TimeGenerated": cell, "Computer": str(n)} for n, cell in enumerate(text)]
    put(folder, "Heartbeat.csv", csv_of(rows))
    got, reason = attempt(folder, "Heartbeat | project Computer, TimeGenerated")
    if got is None:
        assert writer not in ALWAYS, reason
        assert writer in NEVER or all(time.day <= 12 for time in times), reason  # a day over 12 settles it
        return
    assert writer not in NEVER, got
    whole = [t.replace(microsecond=0) if writer == "JavaScript" else t for t in times]
    expected = {str(n): pd.Timestamp(time, tz="UTC") for n, time in enumerate(whole)}
    assert dict(got.itertuples(index=False)) == expected


def test_another_file_of_the_same_writer_settles_the_order(tmp_path):
    put(tmp_path, "Heartbeat.csv", csv_of([{"TimeGenerated [UTC]": "09/05/2026 20:00:29.482", "Computer": "a"}]))
    put(tmp_path, "Perf.csv", csv_of([{"TimeGenerated [UTC]": "13/05/2026 20:00:29.482", "Computer": "a"}]))
    put(tmp_path, "Event.csv", csv_of([{"TimeGenerated [UTC]": "5/14/2026, 8:00:29.482 PM", "Computer": "a"}]))
    assert read(tmp_path, "Heartbeat | project TimeGenerated").iloc[0, 0] == pd.Timestamp("2026-05-09T20:00:29.482Z")
    assert read(tmp_path, "Event | project TimeGenerated").iloc[0, 0] == pd.Timestamp("2026-05-14T20:00:29.482Z")


def test_another_column_of_the_same_file_settles_the_order(tmp_path):
    row = {"TimeGenerated": "09/05/2026 20:00:29", "BucketStartTime": "23/04/2026 00:00:00", "Computer": "a"}
    put(tmp_path, "Perf.csv", csv_of([row]))
    assert read(tmp_path, "Perf | project TimeGenerated").iloc[0, 0] == pd.Timestamp("2026-05-09T20:00:29Z")


def test_orders_that_contradict_each_other_settle_nothing(tmp_path):
    for table, text in (
        ("Heartbeat", "09/05/2026 20:00:29"),
        ("Perf", "13/05/2026 20:00:29"),
        ("Event", "05/13/2026 20:00:29"),
    ):
        put(tmp_path, f"{table}.csv", csv_of([{"TimeGenerated": text, "Computer": "a"}]))
    with connect(tmp_path) as workspace:
        assert workspace.tables == ["Event", "Perf"]
        assert "--date-format" in workspace.refused["Heartbeat"]


def test_a_text_that_is_no_export_is_left_alone_whatever_is_in_it(tmp_path):
    """What stands in it may look like the head of a CSV with a time zone in brackets."""
    write(tmp_path, Heartbeat=beats("a", [("1.1", "2026-03-02", "2026-03-02 06:00")]))
    (tmp_path / "README").write_text('a collection: {"value":[...],"Count":n}. Right: 1 upgrade, TimeGenerated later\n')
    with connect(tmp_path) as workspace:
        assert list(workspace.unread.values()) == [f"{tmp_path / 'README'} is no form of export; it is left alone"]
