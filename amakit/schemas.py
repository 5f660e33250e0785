"""The tables that come in, the tables that go out, and the one pandas dtype of each KQL type."""

import functools
import json
import re
from collections.abc import Mapping
from enum import StrEnum
from importlib import resources
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from amakit.errors import AmakitError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


class Verdict(StrEnum):
    """What became of the rows of an event source in an outage, from the mildest word to the strongest."""

    NONE_EXPECTED = "none_expected"  # so quiet a source that there was next to nothing to lose
    RECOVERED = "recovered"  # as many rows as expected came, and a loss of half would have shown
    UNDETERMINED = "undetermined"
    PARTIAL_LOSS = "partial_loss"  # fewer rows than expected came
    POSSIBLE_LOSS = "possible_loss"  # none came where some were due, or record numbers are missing
    RETURNED_LATE = "returned_late"  # the source stayed away longer than the agent did
    STOPPED = "stopped"  # the source has not come back


#: The verdicts that say rows are missing.
LOST = [Verdict.PARTIAL_LOSS, Verdict.POSSIBLE_LOSS, Verdict.RETURNED_LATE, Verdict.STOPPED]


#: What tells machines apart: a scale set has many computers under one id, two ids can carry one name.
MACHINE = ["resource_id", "computer"]
#: The same in the answers of packaged queries, as the rows spell it, in lower case.
KQL_MACHINE = ["ResourceId", "Computer"]


class Cause(StrEnum):
    """Why an agent was away, one for each outage; listed in this order wherever causes are.

    Examples
    --------
    >>> list(Cause)[0] == "upgrade", str(Cause.ROLLED_BACK)
    (True, 'rolled_back')
    """

    UPGRADE = "upgrade"
    DOWNGRADE = "downgrade"
    ROLLED_BACK = "rolled_back"
    ROLLBACK_FAILED = "rollback_failed"
    AGENT_RESTARTED = "agent_restarted"
    AGENT_REMOVED = "agent_removed"
    MACHINE_STOPPED = "machine_stopped"
    MACHINE_RESTARTED = "machine_restarted"
    MACHINE_REMOVED = "machine_removed"
    DISCONNECTED = "disconnected"
    NOT_RECORDED = "not_recorded"
    UNEXPLAINED = "unexplained"


#: One row per machine, and so on: columns in order with their KQL types.  Scripts of other people lean on
#: these; an empty field means unknown.
RESULTS = {
    "machines": {
        "resource_id": "string", "computer": "string", "os_type": "string", "environment": "string",
        "version": "string", "first_seen": "datetime", "last_seen": "datetime",
        "known_s": "real", "active_s": "real", "state": "string", "note": "string",
    },
    "transitions": {
        "resource_id": "string", "computer": "string", "os_type": "string",
        "from_version": "string", "to_version": "string", "kind": "string",
        "last_old": "datetime", "first_new": "datetime", "cause": "string",
    },
    "outages": {
        "resource_id": "string", "computer": "string", "os_type": "string", "cause": "string",
        "from_version": "string", "to_version": "string",
        "start_earliest": "datetime", "start_latest": "datetime", "end_earliest": "datetime", "end_latest": "datetime",
        "downtime_s": "real", "downtime_low_s": "real", "downtime_high_s": "real",
        "ongoing": "bool", "evidence": "string",
    },
    "gaps": {
        "resource_id": "string", "computer": "string", "cause": "string", "outage_start": "datetime",
        "data_type": "string", "stream": "string", "interval_s": "real",
        "last_before": "datetime", "first_after": "datetime",
        "lost": "long", "lost_low": "long", "lost_high": "long", "ongoing": "bool",
    },
    "events": {
        "resource_id": "string", "computer": "string", "cause": "string", "outage_start": "datetime",
        "data_type": "string", "source": "string", "rows_inside": "long", "expected": "real", "max_delay_s": "real",
        "verdict": "string", "p_value": "real", "silent_from": "datetime", "silent_to": "datetime",
    },
    "sources": {
        "resource_id": "string", "computer": "string", "data_type": "string", "source": "string",
        "silent_from": "datetime", "silent_to": "datetime", "expected": "real", "ongoing": "bool",
        "outage_start": "datetime",
    },
    "evidence": {
        "resource_id": "string", "computer": "string", "outage_start": "datetime", "time": "datetime",
        "data_type": "string", "kind": "string", "operation": "string", "status": "string", "actor": "string",
        "text": "string",
    },
    "segments": {
        "resource_id": "string", "computer": "string", "kind": "string", "data_type": "string", "source": "string",
        "cause": "string", "start": "datetime", "end": "datetime", "sure_start": "datetime", "sure_end": "datetime",
        "ongoing": "bool",
    },
    "inventory": {
        "resource_id": "string", "computer": "string", "kind": "string", "region": "string", "os_type": "string",
        "resource_tags": "string", "power_state": "string", "created": "datetime", "extension": "string",
        "version_asked": "string", "auto_upgrade_minor": "bool", "automatic_upgrade": "bool",
        "provisioning_state": "string", "upgrade_policy": "string", "taken": "datetime", "listed": "bool",
        "heard": "bool",
    },
    "destinations": {
        "resource_id": "string", "computer": "string", "silent_from": "datetime", "silent_to": "datetime",
        "ongoing": "bool", "received_by": "string", "workspace": "string",
    },
}  # fmt: skip

_SHARED = {
    "resource_id": "resource id of the machine in lower case; empty where its rows carry none",
    "computer": "computer name in lower case; with the resource id it tells machines apart",
    "os_type": "Windows or Linux, as heartbeats say",
    "cause": "why: " + ", ".join(Cause),
    "from_version": "version of the agent before",
    "to_version": "version of the agent afterwards; empty while it is silent",
    "outage_start": "the outage's start_earliest, which finds its row in outages; empty where there was no outage",
    "data_type": "the table that the rows are of",
    "source": "the source inside the table, such as an event log, a facility or a file; empty where it names none",
    "silent_from": "last row of the source before the silence; empty where it was never silent for long",
    "silent_to": "first row of the source after the silence; empty while it stays away",
}  # fmt: skip
#: What each column of a result table means, beside those that several tables share.  Instants are in UTC.
_MEANINGS = {
    "machines": {
        "environment": "Azure or Non-Azure, as heartbeats say",
        "version": "version of the agent in the last heartbeat",
        "first_seen": "first heartbeat in the window; empty if there was none",
        "last_seen": "last heartbeat, which may lie before the window",
        "known_s": "seconds from the start of the window, or the first heartbeat of a new machine, to the horizon, "
        "without unknown time and without the time between a machine and the one made anew under its name",
        "active_s": "known_s without the seconds of outages",
        "state": "reporting, silent, or partial (the agent goes on, some of its streams stay away) at the horizon; "
        "empty where that is unknown",
        "note": "what else there is to say: agents that report at once, a clock that is off by more than a minute",
    },
    "transitions": {
        "kind": "upgrade or downgrade",
        "last_old": "last heartbeat of the version before: the change came after it",
        "first_new": "first heartbeat of the version afterwards: the change came not after it",
    },
    "outages": {
        "start_earliest": "last sample of any stream before: it began after this",
        "start_latest": "first sample of any stream that was due and did not come: it had begun by then",
        "end_earliest": "latest of the first samples of all streams after it, each less one interval; empty while "
        "it goes on",
        "end_latest": "first sample of any stream that came again; empty while it goes on",
        "downtime_s": "seconds between the middles of the two brackets; empty while it goes on",
        "downtime_low_s": "fewest seconds that the brackets allow",
        "downtime_high_s": "most seconds that the brackets allow",
        "ongoing": "whether the agent was still silent at the horizon",
        "evidence": "what the cause rests on, parted by semicolons",
    },
    "gaps": {
        "stream": "parts of the stream's key, joined by a backslash between spaces; mostly empty for Heartbeat",
        "interval_s": "seconds between two samples of the stream, as its own history says",
        "last_before": "last sample of the stream before the outage",
        "first_after": "first sample of the stream afterwards; empty while it stays away",
        "lost": "samples that were due and did not come, the most probable number",
        "lost_low": "fewest lost samples that the brackets allow",
        "lost_high": "most lost samples that the brackets allow",
        "ongoing": "whether the stream had not resumed at the horizon",
    },
    "events": {
        "rows_inside": "rows whose time lies certainly inside the outage; empty where they cannot be told apart",
        "expected": "rows that the source's own rhythm lets expect in the stretch that was judged: the outage, or the "
        "silence where one outlasts it; empty where the history does not carry a rate",
        "max_delay_s": "most seconds from an event inside the outage to its arrival; empty where there is none",
        "verdict": f"{', '.join(list(Verdict)[:-1])} or {list(Verdict)[-1]}",
        "p_value": "probability of so few rows, had none been lost; empty where there was no test",
    },
    "sources": {
        "expected": "rows that the source's own rhythm lets expect in the silence",
        "ongoing": "whether the source had not come back at the horizon",
        "outage_start": "start_earliest of the outage in which the silence began; empty where there was none",
    },
    "evidence": {
        "time": "when it happened, or when the row says so; empty where it has no instant of its own",
        "kind": "what it says, such as agent_write, machine_stop or boot; see amakit.find.evidence",
        "operation": "operation of the activity log in lower case, or the event or process that wrote the row",
        "status": "started, succeeded or failed, where the row has one",
        "actor": "who asked for it: a person, or the id of an application",
        "text": "what the row says in its own words, cut at 300 characters",
    },
    "segments": {
        "kind": "outage (of the whole agent), stream or source (one of them alone), or unknown (of a table)",
        "data_type": "the table that lacks rows; empty for all that is sampled on a clock",
        "source": "the stream, or the source of events; empty for the whole agent or table",
        "cause": "of an outage: " + ", ".join(Cause),
        "start": "last row before: none is missing up to here",
        "end": "first row afterwards: none is missing from here; empty while it goes on",
        "sure_start": "from here on rows surely are missing; empty where perhaps none is",
        "sure_end": "up to here rows surely are missing; empty where perhaps none is, or while it goes on",
        "ongoing": "whether it went on at the horizon",
    },
    "inventory": {
        "kind": "virtual_machine, scale_set, scale_set_instance or arc",
        "region": "region of Azure",
        "resource_tags": "tags of the resource, as JSON",
        "power_state": "running, deallocated and so on; of an Arc-enabled server connected, disconnected or expired",
        "created": "when the machine was made, where Azure tells",
        "extension": "name of the agent's extension on it, or in the model of its scale set; empty where there is none",
        "version_asked": "version that the extension asks for, which is not the one that runs",
        "auto_upgrade_minor": "whether a newer minor version is taken when the extension is deployed",
        "automatic_upgrade": "whether newer versions are installed by themselves; empty where Azure does not tell",
        "provisioning_state": "how the last operation on the extension ended",
        "upgrade_policy": "of a scale set: Automatic, Rolling or Manual",
        "taken": "when Azure was asked: of earlier and later this says nothing",
        "listed": "whether the inventory has the machine",
        "heard": "whether it sent a heartbeat in the window, in the 14 days before it, or in the hour after it",
    },
    "destinations": {
        "silent_from": "from here on another workspace received samples of the machine and this one none",
        "silent_to": "up to here; empty while it goes on",
        "ongoing": "whether it went on at the horizon",
        "received_by": "the workspaces that received them meanwhile",
        "workspace": "the workspace that received nothing",
    },
}  # fmt: skip

#: The kit's own table: what `amakit inventory` reads of Resource Graph; TimeGenerated is when it was asked.
OWN = {
    "AgentInventory": {
        "TimeGenerated": "datetime", "Kind": "string", "_ResourceId": "string", "_SubscriptionId": "string",
        "Computer": "string", "OSType": "string", "VMUUID": "string", "Location": "string", "ResourceTags": "dynamic",
        "PowerState": "string", "TimeCreated": "datetime", "UpgradePolicy": "string", "ExtensionName": "string",
        "ExtensionType": "string", "TypeHandlerVersion": "string", "AutoUpgradeMinorVersion": "bool",
        "EnableAutomaticUpgrade": "bool", "ProvisioningState": "string", "Type": "string",
    },
}  # fmt: skip
#: When the service received the row.  Log Analytics hides it from ``*``, so the table reference does not
#: list it; every table has it.
RECEIVED = {"_TimeReceived": "datetime"}
#: Standard columns that a list of columns may leave out although they are there; see "Standard columns in Azure Monitor
#: Logs" at learn.microsoft.com.
STANDARD = {"_ResourceId", "_SubscriptionId", "_IsBillable", "_BilledSize", "Type", "TenantId"}

_DTYPES = {
    "string": "str", "guid": "str", "datetime": "datetime64[us, UTC]", "timespan": "timedelta64[us]",
    "int": "Int64", "long": "Int64", "real": "float64", "decimal": "float64", "bool": "boolean",
    "dynamic": "object",
}  # fmt: skip


def meanings(name: str) -> dict[str, str]:
    """Say what each column of a result table means, with its unit.

    Parameters
    ----------
    name : str
        A key of `RESULTS`.

    Returns
    -------
    dict of str to str
        By column, in order.

    Examples
    --------
    >>> meanings("transitions")["kind"]
    'upgrade or downgrade'
    """
    told = _SHARED | _MEANINGS[name]
    return {column: told[column] for column in RESULTS[name]}


def described(indent: str = "    ") -> str:
    """Write the columns of all result tables as a section of a docstring.

    Examples
    --------
    >>> print(*described("").splitlines()[5:9], sep="\\n")
    resource_id : string
        resource id of the machine in lower case; empty where its rows carry none
    computer : string
        computer name in lower case; with the resource id it tells machines apart
    """
    lines = ["", "Notes", "-----"]
    for name, types in RESULTS.items():
        lines += [f"Columns of ``{name}``:", ""]
        for column, meaning in meanings(name).items():
            lines += [f"{column} : {types[column]}", f"    {meaning}"]
        lines.append("")
    return "\n".join(f"{indent}{line}" if line else "" for line in lines) + indent


@functools.cache
def public_tables() -> dict[str, dict[str, str]]:
    """Give the columns of the Log Analytics tables that the kit knows.

    Returns
    -------
    dict of str to dict of str to str
        Table name to column name to KQL type, from the public table reference.

    Examples
    --------
    >>> public_tables()["Heartbeat"]["TimeGenerated"]
    'datetime'
    >>> len(public_tables())
    22
    """
    text = resources.files("amakit").joinpath("schemas.json").read_text(encoding="utf-8")
    return {table: columns | RECEIVED for table, columns in json.loads(text).items()}


@functools.cache
def tables() -> dict[str, dict[str, str]]:
    """Give the columns of all tables that the kit knows: those of Log Analytics, and its own.

    Examples
    --------
    >>> set(tables()) - set(public_tables())
    {'AgentInventory'}
    """
    return public_tables() | OWN


def table_name(name: str) -> str:
    """Give the usual spelling of a table's name; a table that is not known keeps its own.

    The containers of a data-export rule are called ``am-heartbeat`` and so on; that prefix is taken off.

    Examples
    --------
    >>> table_name("heartbeat"), table_name("am-insightsmetrics"), table_name("MyApp_CL")
    ('Heartbeat', 'InsightsMetrics', 'MyApp_CL')
    """
    bare = name[3:] if name.lower().startswith("am-") else name
    return {known.lower(): known for known in tables()}.get(bare.lower(), bare)


def frame_of(columns: "Mapping[str, ArrayLike]", types: Mapping[str, str]) -> pd.DataFrame:
    """Make a frame whose dtypes follow from the KQL types alone, so that both engines give equal frames.

    Parameters
    ----------
    columns : dict of str to array-like
        Values by column name; a missing value may be None, NaN, NaT or masked.
    types : dict of str to str
        KQL type by column name, in the order that the frame shall have.

    Returns
    -------
    pandas.DataFrame
        datetime as ``datetime64[us, UTC]``, timespan as ``timedelta64[us]``, int and long as ``Int64``,
        real as ``float64``, bool as ``boolean``, string and guid as ``str``, dynamic as Python values.  A
        string is never missing, only empty, as in KQL.

    Raises
    ------
    AmakitError
        When a value does not fit its type.

    Examples
    --------
    >>> frame_of({"n": [1, None]}, {"n": "long"}).dtypes["n"]
    Int64Dtype()
    """
    return pd.DataFrame({name: _cells(name, columns[name], kind) for name, kind in types.items()})


def no_rows(types: Mapping[str, str]) -> pd.DataFrame:
    """Make a frame of these columns that has no row.

    Examples
    --------
    >>> no_rows({"n": "long"})
    Empty DataFrame
    Columns: [n]
    Index: []
    """
    return _no_rows(tuple(types.items())).copy(deep=False)


@functools.lru_cache(maxsize=256)
def _no_rows(types):
    return frame_of({name: [] for name, _ in types}, dict(types))


def _cells(name, values, kind):
    """Give the cells of a column; those that are of their dtype already as they are."""
    dtype = _DTYPES.get(kind, "str")
    if not len(values):
        return pd.array([], dtype=dtype)
    if isinstance(values, pd.Series) and values.dtype == dtype and kind not in ("string", "dynamic"):
        return values.array
    values = _unmasked(values, kind)
    try:
        if kind == "datetime":
            return _instants(values)
        if kind == "timespan":
            values = [_timespan(v) for v in values] if not _is_time(values) else values
            return pd.Series(values, dtype="timedelta64[us]").array
        if kind == "dynamic":
            return pd.Series([_json(v) for v in values], dtype="object").array
        if kind in ("real", "decimal"):  # on the wire NaN and the infinities are words
            values = [np.nan if v is None else float(v) for v in values] if not _is_float(values) else values
        if isinstance(values, list):  # a list with None in it would become float64, which has no 64-bit integers
            values = pd.Series(values, dtype="object")
        return _text(values, kind) if dtype == "str" else pd.Series(values).astype(dtype).array
    except (ValueError, TypeError) as error:
        raise AmakitError(
            f"column {name!r} came as {kind}, but a value in it is not one: {str(error).splitlines()[0]}"
        ) from error


def _instants(values):
    """Make instants of times that know no zone, of such that do, or of their text."""
    if not _is_time(values):  # on the wire times count 100 ns, for which pandas knows too few years
        values = [re.sub(r"(\.\d{6})\d+", r"\1", v) if isinstance(v, str) else v for v in values]
        values = pd.to_datetime(values, utc=True, format="ISO8601")
    times = pd.DatetimeIndex(values)
    return (times.tz_localize("UTC") if times.tz is None else times.tz_convert("UTC")).as_unit("us").array


def _text(values, kind):
    """Make a column of text in which equal values are one object: whatever groups it compares them by identity."""
    codes, texts = pd.factorize(np.asarray(values, dtype="object"), use_na_sentinel=False)
    typed = pd.Series(texts).astype("str")
    typed = typed.fillna("") if kind == "string" else typed  # KQL has no null string, only an empty one
    return typed.array.take(codes)


def _unmasked(values, kind):
    """Turn DuckDB's masked arrays into plain ones with the missing value of their kind, and a column into its cells."""
    if not isinstance(values, np.ma.MaskedArray):
        return values.array if isinstance(values, pd.Series) else values
    mask, plain = np.ma.getmaskarray(values), np.asarray(values.data)
    if not mask.any():
        return plain
    if kind in ("datetime", "timespan"):
        return np.where(mask, np.array("NaT", dtype=plain.dtype), plain)
    if kind in ("real", "decimal"):
        return np.where(mask, np.nan, plain)
    if kind in ("int", "long"):
        return pd.arrays.IntegerArray(plain.astype("int64"), mask)
    cells: Any = plain.astype("object")
    return np.where(mask, None, cells)


def _is_time(values):
    return getattr(getattr(values, "dtype", None), "kind", "") in ("m", "M")


def _is_float(values):
    return getattr(getattr(values, "dtype", None), "kind", "") == "f"


def _json(value):
    if value is None or not isinstance(value, str):
        return value.tolist() if isinstance(value, np.ndarray) else value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):  # text, a number of thousands of digits, brackets by thousands
        return value


def _timespan(value):
    """Read ``[-][d.]hh:mm:ss[.fffffff]``, the form of a timespan on the wire."""
    if value is None or isinstance(value, pd.Timedelta):
        return value
    text = str(value)
    sign = -1 if text.startswith("-") else 1
    hours, minutes, seconds = text.lstrip("-").split(":")
    days, _, hours = hours.rpartition(".")
    micros = round(float(seconds) * 1_000_000)
    return sign * pd.Timedelta(days=int(days or 0), hours=int(hours), minutes=int(minutes), microseconds=micros)


def result(name: str, frame: pd.DataFrame) -> pd.DataFrame:
    """Bring a frame into the form of a result table: its columns in order, its dtypes, sorted.

    Parameters
    ----------
    name : str
        A key of `RESULTS`.
    frame : pandas.DataFrame
        Has at least the columns of that table.

    Returns
    -------
    pandas.DataFrame
        Sorted by machine, then by the instants in it; the index counts from 0.  Where the frame has a column
        ``workspace``, as it has of several of them, that stands last.

    Examples
    --------
    >>> list(result("transitions", pd.DataFrame(columns=list(RESULTS["transitions"]))).columns)[:3]
    ['resource_id', 'computer', 'os_type']
    """
    types = RESULTS[name] | ({"workspace": "string"} if "workspace" in frame else {})
    if frame.empty:
        return no_rows(types)
    typed = frame_of({column: frame[column] for column in types}, types)
    order = ["computer", "resource_id"] + [c for c, kind in types.items() if kind == "datetime"]
    return typed.sort_values(order, ignore_index=True, kind="stable")


def of_outages(rows: pd.DataFrame, outages: pd.DataFrame, how: Literal["inner", "left"] = "inner") -> pd.DataFrame:
    """Give the rows of gaps, events, sources or evidence that belong to some outages.

    Parameters
    ----------
    rows : pandas.DataFrame
        resource_id, computer and outage_start, beside others.
    outages : pandas.DataFrame
        Rows of the result table ``outages``.
    how : {'inner', 'left'}
        Left keeps the rows that belong to none of them; their outage is empty.

    Returns
    -------
    pandas.DataFrame
        The columns of ``rows``, and outage: the index of the outage.

    Examples
    --------
    >>> t = pd.to_datetime(["2026-03-02", "2026-03-03"], utc=True)
    >>> outages = pd.DataFrame({"resource_id": "", "computer": "a", "start_earliest": t})
    >>> of_outages(outages.rename(columns={"start_earliest": "outage_start"}), outages.iloc[1:])["outage"].tolist()
    [1]
    """
    keys = outages[[*MACHINE, "start_earliest"]].rename(columns={"start_earliest": "outage_start"})
    return rows.merge(keys.assign(outage=outages.index), how=how, on=[*MACHINE, "outage_start"])


def machine_labels(machines: pd.DataFrame) -> pd.Series:
    """Give each row the name that people call its machine by; where two share it, with their resource group.

    Parameters
    ----------
    machines : pandas.DataFrame
        Has resource_id and computer.

    Returns
    -------
    pandas.Series of str
        On the index of ``machines``.

    Examples
    --------
    >>> machine_labels(pd.DataFrame({"computer": ["app", "app", "db"], "resource_id":
    ...     ["/subscriptions/0/resourcegroups/east/x", "/subscriptions/0/resourcegroups/west/x", "/r/db"]})).tolist()
    ['app · east', 'app · west', 'db']
    """
    pairs = machines[MACHINE].drop_duplicates()
    twins = set(pairs.loc[pairs.duplicated("computer", keep=False), "computer"])
    group = machines["resource_id"].fillna("").str.extract(r"/resourcegroups/([^/]+)", expand=False)
    both = machines["computer"] + " · " + group.fillna(machines["resource_id"])
    return machines["computer"].where(~machines["computer"].isin(twins), both)
