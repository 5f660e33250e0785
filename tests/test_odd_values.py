"""Each column of each table that an analysis reads is fed odd values: the sound machines beside them stay as they were."""

import csv
import json

import nbformat
import pandas as pd
import pytest
from fleet import beats, write
from hypothesis import given, settings
from hypothesis import strategies as st

import amakit
from amakit.analysis import TABLES
from amakit.errors import AmakitError
from amakit.report.request import notebooks
from amakit.schemas import tables

START, NOON = pd.Timestamp("2026-03-02", tz="UTC"), pd.Timestamp("2026-03-02 06:00", tz="UTC")
WINDOW = ("2026-03-02", "2026-03-02 12:00")
LOGS = {"CommonSecurityLog", "Event", "My_CL", "SecurityEvent", "Syslog", "W3CIISLog", "WindowsEvent"}
READ = sorted(
    LOGS
    | {
        "AMAHealth",
        "AzureActivity",
        "ConfigurationChange",
        "ConfigurationData",
        "Heartbeat",
        "InsightsMetrics",
        "Operation",
        "Perf",
        "Usage",
    }
)
#: Of the tables that the reference does not list, those that are read by somebody.
OTHERS = dict.fromkeys(["Computer", "Message", "DeviceVendor", "DeviceProduct", "RawData", "_ResourceId"], "string")
OTHERS |= {"TimeGenerated": "datetime", "_TimeReceived": "datetime"}
TEXT = [
    "", " ", "null", "NaN", "-", "=cmd|' /c calc'!A0", "<script>alert(1)</script>", "\u202eevil", "مرحبا", "😀", "İ", "ß",
    "a" * 5_000, "'", '"', "\\", "[1]", "{}", "%s{x}", "{{ 7 * 7 }}", "{% raw %}", "/subscriptions//..", "0", "a\nb",
    "\t", "\x1b[31m", "\x00", "\x7f", "\u2028", "\ufeff", "' or 1=1 --", "| take 1", "//", "*", "[", "# **b** |", "&lt;",
    "![x](http://x)", "1e400", "9" * 5000, "1." + "9" * 5000, "(" * 3000, "[" * 3000, "[" * 400 + "]" * 400, "２",
    '{"vm.azm.ms/mountId": {"a": [1e999]}}', '{"appid": "\\u0000"}', " \\ ", "Linux ", "Microsoft.Compute/a/write",
]  # fmt: skip
TIMES = ["1970-01-01", "9999-12-31T23:59:59.9999999Z", "0001-01-01T00:00:00Z", "2099-01-01T00:00:00Z",
         "1677-09-21T00:12:43Z", "2262-04-12T00:00:00Z", "2026-03-02T06:00:30+14:00", "2026-03-02 06:00:30"]  # fmt: skip
NUMBERS = ["-1", "0", "7", " 1 ", ""]
GOOD = {"datetime": TIMES, "int": [*NUMBERS, "2147483647"], "long": [*NUMBERS, "-9223372036854775808"],
        "real": [*NUMBERS, "1e308", "-1e309", "NaN", "inf", "5e-324", "9" * 400], "bool": ["true", "0", ""]}  # fmt: skip
BAD = {"datetime": ["10000-01-01T00:00:00Z", "infinity", "abc", "NaN", "12:00", "-1", "\x00", "２０２６-03-02"],
       "int": ["2147483648", "0.1", "１", "abc", "1\x00", "(" * 3000, "9" * 5000],
       "long": ["9223372036854775808", "1e30", "٣"], "real": ["1,5", "0x10", "１", "[1]"], "bool": ["abc", "９"]}  # fmt: skip


def columns(table):
    """Give the KQL type of each column of a table; ``Type`` is for rows of another table, which tests of its own has."""
    return {c: kind for c, kind in tables().get(table, OTHERS).items() if c != "Type"}


def identity(computer):
    return f"/subscriptions/0/resourceGroups/rg/providers/Microsoft.Compute/virtualMachines/{computer}"


def row(table, computer, when, number):
    """A row as it usually is, of the columns that tell something."""
    usual = {
        "Computer": computer,
        "_ResourceId": identity(computer),
        "Category": "Azure Monitor Agent",
        "ObjectName": "Processor",
        "CounterName": "Uptime",
        "CounterValue": 1e6 + number,
        "Namespace": "Disk",
        "Name": "Free",
        "Tags": "{}",
        "ConfigDataType": "Software",
        "EventLog": "System",
        "EventID": 1074,
        "Source": "User32",
        "RenderedDescription": "restart",
        "Channel": "System",
        "EventRecordId": str(number),
        "Facility": "kern",
        "ProcessName": "kernel",
        "SyslogMessage": "Linux version 6",
        "RawData": f"line {number}",
        "DeviceVendor": "v",
        "DeviceProduct": "p",
        "sSiteName": "W3SVC1",
        "ActivityStatusValue": "Failure",
        "Caller": "a@b",
        "Claims": "{}",
        "OperationNameValue": "MICROSOFT.COMPUTE/VIRTUALMACHINES/EXTENSIONS/WRITE",
        "OperationStatus": "Warning",
        "ResourceId": identity(computer) + "/extensions/AzureMonitorLinuxAgent",
        "DataType": "Perf",
        "Quantity": 1.0,
    }
    held = {column: value for column, value in usual.items() if column in columns(table)}
    return {"TimeGenerated": when.isoformat(), "_TimeReceived": (when + pd.Timedelta(seconds=30)).isoformat()} | held


def odd_rows(table):
    """For each column of a table and each odd value a row, from an hour before the outage to five minutes after it."""
    used, cells = row(table, "", NOON, 0), []
    for n, (column, kind) in enumerate(columns(table).items()):  # of what hardly anything reads, a few values will do
        cells += [
            (column, value)
            for value in GOOD.get(kind, TEXT)[0 if column in used else n % 9 :: 1 if column in used else 9]
        ]
    for n, (column, value) in enumerate(cells):
        when = NOON + pd.Timedelta(seconds=-3600 + 3900 * n / len(cells))
        yield row(table, f"odd-{table.lower()}", when, n) | {column: value}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two folders, without odd rows and with them: three sound machines, and for each table one that writes odd rows."""
    made = []
    sound = [f"sound{n}" for n in range(3)]
    for name in ("plain", "odd"):
        folder = tmp_path_factory.mktemp(name)
        lives = []
        for n, computer in enumerate([*sound, *(f"odd-{table.lower()}" for table in READ)]):
            down = NOON + pd.Timedelta(minutes=9 * n if computer in sound else 0)
            stretches = [
                ("1.37.0", WINDOW[0], str(down)[:19]),
                ("1.38.0", str(down + pd.Timedelta("5min"))[:19], WINDOW[1]),
            ]
            lives.append(beats(computer, stretches, resource=identity(computer), os_type="Linux", source=computer))
        write(folder / "Heartbeat", usual=pd.concat(lives, ignore_index=True))
        for table in READ:
            down = [NOON + pd.Timedelta(minutes=9 * n) for n in range(len(sound))]
            usual = [START + pd.Timedelta(minutes=10 * n) for n in range(72) if table != "Heartbeat"]
            rows = [
                row(table, sound[m], when, n)
                for m in range(len(sound))
                for n, when in enumerate(usual)
                if not down[m] <= when < down[m] + pd.Timedelta("5min")
            ]
            rows += odd_rows(table) if name == "odd" else []
            text = "".join(json.dumps(r, ensure_ascii=n % 2 == 0) + "\n" for n, r in enumerate(rows))
            if rows:
                (folder / table).mkdir(exist_ok=True)
                (folder / table / "rows.jsonl").write_text(text, encoding="utf-8")
        made.append(folder)
    return made


@pytest.fixture(scope="module")
def analysed(folders):
    found = []
    for folder in folders:
        with amakit.connect(folder) as ws:
            found.append(amakit.analyze(ws, *WINDOW))
    return found


@pytest.mark.parametrize("table", TABLES)
def test_what_is_found_of_sound_machines_stays_as_it_was(table, analysed):
    plain, odd = (getattr(one, table) for one in analysed)
    plain, odd = (rows[rows["computer"].str.startswith("sound")].reset_index(drop=True) for rows in (plain, odd))
    pd.testing.assert_frame_equal(odd, plain)
    assert len(odd) or table == "sources"


def test_the_odd_machines_have_their_outages_all_the_same(analysed):
    found = analysed[1].outages
    assert {f"odd-{table.lower()}" for table in READ} <= set(found["computer"])


@pytest.fixture(scope="module")
def shell():
    from IPython.core.interactiveshell import InteractiveShell

    return InteractiveShell()


@pytest.mark.parametrize("name", notebooks())
def test_every_page_can_be_made_of_them(name, folders, shell, tmp_path, monkeypatch):
    monkeypatch.delenv("AMAKIT_NO_CACHE", raising=False)  # one analysis for all of them
    for cell in nbformat.read(notebooks()[name], as_version=4).cells:
        if cell.cell_type == "code":
            ran = shell.run_cell(cell.source, silent=True)
            ran.raise_error()
            shell.display_formatter.format(ran.result)
        if "parameters" in cell.metadata.get("tags", ()):
            shell.user_ns |= {
                "workspace": str(folders[1]),
                "start": WINDOW[0],
                "end": WINDOW[1],
                "out_dir": str(tmp_path),
            }


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Give the way to read one column of rows that a file holds: how many there are, or the sentence that refuses them."""

    def read(table, column, values, form):
        folder = tmp_path_factory.mktemp("export")
        base = {"TimeGenerated": "2026-03-02T12:00:00Z"} | ({"Computer": "m"} if "Computer" in columns(table) else {})
        rows = [base, *(base | {column: value} for value in values)]
        with open(folder / f"{table}.{form}", "w", encoding="utf-8", newline="") as file:  # noqa: PTH123
            if form == "csv":
                written = csv.DictWriter(file, list(rows[-1]), lineterminator="\n")
                written.writeheader()
                written.writerows(rows)
            else:
                file.writelines(json.dumps(each) + "\n" for each in rows)
        try:
            with amakit.connect(folder) as ws:
                return len(ws.query(f"{table} | project X = ['{column}']"))
        except AmakitError as error:
            return str(error)

    return read


@pytest.mark.parametrize("form", ["csv", "jsonl"])
@pytest.mark.parametrize("table", READ)
def test_each_column_takes_what_can_be_read_and_names_the_line_of_what_cannot(table, form, exported):
    first = 3 if form == "csv" else 2
    for column in {kind: column for column, kind in columns(table).items()}.values():  # one code reads all of one kind
        kind = columns(table)[column]
        good = GOOD.get(kind, TEXT)
        good = [value for value in good if value or column != "TimeGenerated"]
        assert exported(table, column, good, form) == 1 + len(good), column
        for value in BAD.get(kind, ()):
            told = exported(table, column, [good[0], good[1], value], form)
            assert f"{table}.{form}, line {first + 2}: " in str(told), (column, value)
            assert len(told) < 600


@given(
    value=st.text()
    | st.floats()
    | st.integers()
    | st.booleans()
    | st.none()
    | st.recursive(
        st.none() | st.text(), lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2)
    ),
    column=st.sampled_from(["TimeGenerated", "CounterValue", "SampleCount", "Computer"]),
)
@settings(max_examples=25)
def test_any_value_of_json_is_read_or_named_with_its_line(value, column, exported):
    told = exported("Perf", column, [value], "jsonl")
    assert told == 2 or "Perf.jsonl, line 2: " in told, told
