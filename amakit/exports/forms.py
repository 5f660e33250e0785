"""The ways of exporting logs: how each is recognised by its first bytes, and how it becomes rows.

One description a form; the page of ways to export and the tests are made from them.  The first that fits is taken.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from amakit.exports.activity_log import CLI, LEGACY, PORTAL, POWERSHELL, STORAGE
from amakit.exports.heads import Head
from amakit.schemas import public_tables


@dataclass(frozen=True)
class Form:
    """One way of exporting.

    Attributes
    ----------
    name : str
        What `amakit check` calls it.
    how : str
        The command or the clicks that make such a file.
    fits : callable
        Whether the head of a file, and its first row as a mapping, are of this form.
    rows : str
        JSON path to the rows inside a document; empty where each document is a row.
    names, cells : str
        Where rows are arrays: JSON path to the names of their columns, and the key that holds each name.
    columns : mapping of str to tuple of str
        Columns of the table that are called otherwise in the file: where each is found.
    table : str
        The table that such a file always holds.
    refusal : str
        What is wrong with it and what to do; then it is not read.
    """

    name: str
    how: str
    fits: Callable[[Head, Mapping], bool]
    rows: str = ""
    names: str = ""
    cells: str = ""
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    table: str = ""
    refusal: str = ""


def _wraps(*keys, needs=list):
    """Whether a document, or each of an array of documents, holds its rows under one of these keys."""

    def fits(head, _):
        first = document_of(head)
        return any(isinstance(first.get(key), needs) for key in keys)

    return fits


def _keys(*wanted):
    lower = {key.lower() for key in wanted}
    return lambda _, row: lower <= {str(key).lower() for key in row}


def _storage(_, row):
    activity = {
        "administrative",
        "write",
        "action",
        "delete",
        "resourcehealth",
        "servicehealth",
        "autoscale",
        "policy",
        "alert",
        "security",
        "recommendation",
    }
    keys = {"time", "resourceid", "operationname", "resulttype", "category"} <= {key.lower() for key in row}
    return keys and str(row.get("category")).lower() in activity


def _kind(*kinds):
    return lambda head, _: head.kind in kinds


def _both(first, second):
    return lambda head, row: first(head, row) and second(head, row)


_CSV, _JSON = _kind("csv"), _kind("json")
#: Rows that are arrays beside the names of their columns.
ANSWERS = (
    Form("answer of the query API", "az rest --method post --url https://api.loganalytics.io/v1/workspaces/ID/query",
         _both(_JSON, _wraps("tables")), "$.tables[0].rows[*]", "$.tables[0].columns", "name"),
    Form("answer of Kusto, version 1", "POST https://CLUSTER/v1/rest/query",
         _both(_JSON, _wraps("Tables")), "$.Tables[0].Rows[*]", "$.Tables[0].Columns", "ColumnName"),
    Form("pandas, orient split", 'frame.to_json(path, orient="split")',
         _both(_JSON, lambda head, _: {"columns", "data"} <= document_of(head).keys()), "$.data[*]", "$.columns", ""),
)  # fmt: skip
#: Rows that are objects below a key of their own.
WRAPPERS = (
    Form("collection of PowerShell or of a REST API", "… | ConvertTo-Json in Windows PowerShell, or az rest",
         _both(_JSON, _wraps("value")), "$.value[*]"),
    Form("messages of an event hub", "data export to Event Hubs, its messages saved",
         _both(_JSON, _wraps("records")), "$.records[*]"),
    Form("answer of Invoke-AzOperationalInsightsQuery", "Invoke-AzOperationalInsightsQuery … | ConvertTo-Json",
         _both(_JSON, _wraps("Results")), "$.Results[*]"),
    Form("the same, its results wrapped by PowerShell 5.1", "Invoke-AzOperationalInsightsQuery … | ConvertTo-Json",
         _both(_JSON, lambda head, _: bool(_walk(document_of(head), "$.Results.value"))), "$.Results.value[*]"),
    Form("rows under the key data", 'az graph query, or frame.to_json(path, orient="table")',
         _both(_JSON, _wraps("data")), "$.data[*]"),
    Form("rows under the key results", "any script", _both(_JSON, _wraps("results")), "$.results[*]"),
    Form("rows under the key items", "any script", _both(_JSON, _wraps("items")), "$.items[*]"),
    Form("rows under the key rows", "any script", _both(_JSON, _wraps("rows")), "$.rows[*]"),
)  # fmt: skip
#: Events of the activity log, whose columns have other names than those of AzureActivity.
ACTIVITY = (
    Form("activity log, az or REST API", "az monitor activity-log list --output json",
         _both(_JSON, lambda _, row: {"eventTimestamp", "operationName"} <= row.keys()), columns=CLI,
         table="AzureActivity"),
    Form("activity log, storage account", "diagnostic setting of the subscription, container insights-activity-logs",
         _both(_JSON, _storage), columns=STORAGE, table="AzureActivity"),
    Form("activity log, PowerShell", "Get-AzActivityLog | ConvertTo-Json, or | Export-Csv",
         _keys("EventTimestamp", "OperationName", "ResourceId"), columns=POWERSHELL, table="AzureActivity"),
    Form("activity log, portal", "Monitor → Activity log → Download as CSV",
         _both(_CSV, _keys("Operation name", "Status", "Time", "Resource")), columns=PORTAL, table="AzureActivity"),
    Form("activity log, portal", "Monitor → Activity log → Download as CSV",
         _both(_CSV, _keys("Operation name", "Status", "Time stamp", "Resource")), columns=PORTAL,
         table="AzureActivity"),
    Form("AzureActivity of the old connector", "Logs → AzureActivity of before 2020",
         lambda _, row: {"OperationName", "ActivityStatus", "Caller"} <= row.keys() and "OperationNameValue" not in row,
         columns=LEGACY, table="AzureActivity"),
)  # fmt: skip
#: What says its way in its first line or its header, and is read alike.
PLAIN = (
    Form("Export-Csv of Windows PowerShell", "(Invoke-AzOperationalInsightsQuery …).Results | Export-Csv Heartbeat.csv",
         _both(_CSV, lambda head, _: head.skip == 1)),
    Form("CSV of the portal", "Logs → Export → CSV (all columns)",
         _both(_CSV, lambda head, _: any(name.rstrip().endswith("]") for name in head.header))),
    Form("CSV of pandas", "frame.to_csv(path) of azure-monitor-query or msticpy",
         _both(_CSV, lambda head, _: head.header[:1] in (("",), ("Unnamed: 0",)))),
    Form("CSV with semicolons or tabs", "saved by Excel with European settings, or as Unicode text",
         _both(_CSV, lambda head, _: head.delimiter in ";\t")),
    Form("CSV", "Export-Csv, Kusto Explorer, Azure Data Explorer", _CSV),
    Form("az monitor log-analytics query", "az monitor log-analytics query --workspace ID --analytics-query KQL",
         _both(_JSON, _keys("TableName"))),
    Form("JSON array", 'ConvertTo-Json, or frame.to_json(path, orient="records")',
         _both(_JSON, lambda head, _: head.framing == "array")),
    Form("JSON lines", "data-export rule to a storage account", _JSON),
)  # fmt: skip
PARQUET = Form("Parquet", "export job, Spark, pandas, amakit snapshot", _kind("Parquet"))
OTHER = Form(
    "other file",
    "",
    _kind("PDF", "SQLite", "gzip"),
    refusal="is in a form that cannot be read; export it as CSV, JSON or Parquet",
)
#: What holds rows, perhaps, but cannot be read.
REFUSED = (
    Form("archive", "a folder that was sent packed", _kind("zip", "7z", "rar", "bzip2", "zstd"),
         refusal="is an archive or a workbook; unpack it, or export it as CSV, JSON or Parquet"),
    Form("workbook", "saved by Excel", _kind("Excel"),
         refusal="is a workbook; export the rows again as CSV, JSON or Parquet, for a spreadsheet rewrites dates"),
    Form("Avro", "capture of an event hub", _kind("Avro"),
         refusal="is Avro, as an event hub's capture writes it; save the messages as JSON, or let the data-export rule "
                 "write into a storage account"),
    OTHER,
    Form("web page", "a download that needed signing in",
         _both(_CSV, lambda head, _: "".join(head.header[:1]).lower().startswith(("<!doctype", "<html", "<?"))),
         refusal="is a web page or XML, no rows; sign in and download it again"),
    Form("table of az", "az … --output table",
         _both(_CSV, lambda head, _: bool(head.rows) and set("".join(head.rows[0])) == set("- ")),
         refusal="is text laid out for reading; ask az for --output json"),
    Form("error of a service", "az rest, when the query failed",
         _both(_both(_JSON, _wraps("error", needs=dict)), lambda head, _: not _wraps("tables", "value")(head, _)),
         refusal="holds an error of the service and no rows; mend the query and export again"),
    Form("answer of Kusto, version 2", "POST https://CLUSTER/v2/rest/query",
         _both(_JSON, lambda _, row: "FrameType" in row),
         refusal="is an answer of Kusto in frames; export it as CSV, or ask the v1 endpoint"),
    Form("batch of answers", "POST https://api.loganalytics.io/v1/$batch",
         _both(_JSON, _wraps("responses")),
         refusal="holds the answers to several queries; save each of them in a file of its own"),
    Form("pandas, orient columns", "frame.to_json(path)",
         _both(_JSON, _wraps("TimeGenerated", needs=dict)),
         refusal='holds columns and no rows; write it with frame.to_json(path, orient="records")'),
)  # fmt: skip
FORMS = (*REFUSED, *ANSWERS, *WRAPPERS, *ACTIVITY, *PLAIN, PARQUET)


def document_of(head: Head) -> dict:
    """Give the first document of a JSON file, or the first of an array."""
    first = head.document[0] if isinstance(head.document, list) and head.document else head.document
    return first if isinstance(first, dict) else {}


@dataclass(frozen=True)
class Recognised:
    """What a file is: how its rows are reached, and what they are.

    Attributes
    ----------
    form : Form
        What it is called.
    rows : str
        JSON path to its rows.
    names : tuple of str
        Names of the columns where a row is an array.
    columns : mapping
        Columns that are called otherwise; see `Form`.
    table : str
        The table that it always holds.
    row : dict
        Its first row.
    """

    form: Form
    rows: str = ""
    names: tuple = ()
    columns: Mapping = field(default_factory=dict)
    table: str = ""
    row: Mapping = field(default_factory=dict)


def recognise(head: Head) -> Recognised:
    """Tell the form of a file by its beginning.

    Of rows inside a document the wrapper is told first, then what they are: events of the activity log may come both
    ways.
    """
    if head.kind == "json":
        first = document_of(head)
    else:
        first = dict(zip(head.header, head.rows[0] if head.rows else head.header, strict=False))
    form = next((form for form in FORMS if form.fits(head, first)), OTHER)
    rows = _walk(first, form.rows)
    inner = rows[0] if rows else None
    if form.names:
        cells = (column.get(form.cells) if form.cells else column for column in _walk(first, form.names))
        names = tuple(str(name) for name in cells)
        row = dict(zip(names, inner if isinstance(inner, list) else [None] * len(names), strict=False))
        return Recognised(form, form.rows, names, row=row)
    if form in WRAPPERS:
        row = inner if isinstance(inner, dict) else {}
        event = next((each for each in ACTIVITY if each.fits(head, row)), None)
        return Recognised(event or form, form.rows, (), *((event.columns, event.table) if event else ({}, "")), row)
    return Recognised(form, "", (), form.columns, form.table, first)


def _walk(document, path):
    """Give what lies at a JSON path such as $.tables[0].rows[*], as far as the beginning of a document holds it."""
    for key in path.removeprefix("$.").removesuffix("[*]").replace("[0]", ".0").split("."):
        if isinstance(document, list):
            document = document[0] if document else []
        else:
            document = document.get(key, []) if isinstance(document, dict) else []
    return document if isinstance(document, list) else []


#: Columns that say nothing of the table: every table, or every way of exporting, may have them.
_COMMON = {"mg", "managementgroupname", "sourcecomputerid", "tablename", "tenantid", "sourcesystem", "type", "computer",
           "timegenerated", "resourceid", "resource", "resourcegroup", "subscriptionid", ""}  # fmt: skip


def table_of_columns(names: "list[str] | tuple[str, ...]") -> str:
    """Give the only known table that has all these columns, if there are enough of them; else empty.

    Examples
    --------
    >>> table_of_columns(["TimeGenerated", "Computer", "Category", "OSType", "Version", "ComputerEnvironment"])
    'Heartbeat'
    >>> table_of_columns(["TimeGenerated", "Computer"])
    ''
    """
    wanted = {name.lower() for name in names if not name.startswith("_")} - _COMMON
    fitting = [table for table, columns in public_tables().items() if wanted <= {column.lower() for column in columns}]
    return fitting[0] if len(fitting) == 1 and len(wanted) >= 4 else ""
