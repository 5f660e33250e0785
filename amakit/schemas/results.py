"""The tables that go out: their columns, what these mean, and which rows belong together."""

from enum import StrEnum
from typing import Literal

import pandas as pd

from amakit.schemas.frames import frame_of, no_rows


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
        "kind": "what it says, such as agent_write, machine_stop or boot; see amakit.causes.evidence",
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
