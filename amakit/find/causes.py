"""Why an agent was away: one cause for each outage, decided from stated evidence."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import pandas as pd

from amakit.schemas import MACHINE

if TYPE_CHECKING:
    import numpy as np

_SECOND, _MINUTE = pd.Timedelta(seconds=1), pd.Timedelta(minutes=1)
#: How far from an outage the control plane's rows may lie: they are stamped when the platform acts, not the
#: agent, and the guest agent takes up to 40 minutes over a failing sequence.
_BEFORE, _AFTER = 45 * _MINUTE, 15 * _MINUTE
#: Evidence of the machine's own must be this close to the outage's edges.
_CLOSE = 10 * _MINUTE
#: A system that is up again this soon was restarted in place; a longer absence means that it was off.
_IN_PLACE = 15 * _MINUTE
#: How soon a failed upgrade is tried again.
_AGAIN = pd.Timedelta(days=3)
#: Two machines that fall silent this close together fell silent at once.
_AT_ONCE = 90 * _SECOND
_AGENT = re.compile(r"/extensions/[^/]*azuremonitor(windows|linux)?agent")
_POWER_OFF = ("deallocate", "poweroff", "hibernate", "/delete")
_RESTART = ("/restart/", "redeploy", "reimage", "performmaintenance")


@dataclass
class Case:
    """What is known about one outage, before its cause is decided.

    Attributes
    ----------
    outage : dict
        The four ends, from_version, to_version, and returned: whether an earlier upgrade is undone.
    attempts, power, system : list
        Operations on the agent's extension; power operations; what the operating system said; each
        (instant, text).
    booted : pandas.Timestamp or None
        When the uptime counter says that the system started.
    stayed_up : bool
        Whether the uptime counter ran on over the outage.
    company : int
        How many other machines fell silent at the same time.
    """

    outage: dict
    attempts: list = field(default_factory=list)
    power: list = field(default_factory=list)
    system: list = field(default_factory=list)
    booted: pd.Timestamp | None = None
    stayed_up: bool = False
    company: int = 0


def operations(activity: pd.DataFrame) -> pd.DataFrame:
    """Make one row of each operation from the rows that the activity log writes of it.

    Parameters
    ----------
    activity : pandas.DataFrame
        TimeGenerated, Operation, Status, Target, Entity, Caller, CorrelationId; lower case but for the caller.

    Returns
    -------
    pandas.DataFrame
        operation, target, base (the machine or set), began, ended, status (``started``, ``succeeded`` or
        ``failed``), caller, correlation; both spellings of a status are understood.

    Examples
    --------
    >>> t = pd.to_datetime(["2026-03-02 10:00", "2026-03-02 10:03"], utc=True)
    >>> rows = pd.DataFrame({"TimeGenerated": t, "Operation": "x/extensions/write", "Status": ["started", "failure"],
    ...     "Target": "/vm", "Entity": "/vm/extensions/e", "Caller": "c", "CorrelationId": "1"})
    >>> operations(rows)[["target", "status"]]
                 target  status
    0  /vm/extensions/e  failed
    """
    rows = activity.sort_values("TimeGenerated")
    longer = rows["Entity"].str.len() > rows["Target"].str.len()
    rows = rows.assign(target=rows["Target"].mask(longer, rows["Entity"]).astype("str"))
    word = rows["Status"].str[:4]
    rows["rank"] = word.map({"fail": 2, "succ": 1}).fillna(0)
    grouped = rows.groupby(["CorrelationId", "Operation", "target"], sort=False)
    found = grouped.agg(began=("TimeGenerated", "min"), ended=("TimeGenerated", "max"), rank=("rank", "max"),
                        caller=("Caller", "last")).reset_index()  # fmt: skip
    found["status"] = found["rank"].map({2: "failed", 1: "succeeded", 0: "started"}).astype("str")
    found["base"] = found["target"].str.replace(r"/extensions/.*$", "", regex=True)
    return found.rename(columns={"Operation": "operation", "CorrelationId": "correlation"})[
        ["operation", "target", "base", "began", "ended", "status", "caller", "correlation"]
    ].sort_values("began", ignore_index=True)


def concerns_agent(operation: str, target: str) -> bool:
    """Say whether an operation is one on the agent's extension.

    Rows of other extensions are not.  Arc's upgrade action names no extension and may be.

    Examples
    --------
    >>> concerns_agent("microsoft.compute/virtualmachines/extensions/write", "/vm/extensions/azuremonitorlinuxagent")
    True
    >>> concerns_agent("microsoft.compute/virtualmachines/extensions/write", "/vm/extensions/keyvault")
    False
    """
    if operation.endswith("upgradeextensions/action"):
        return True
    if not operation.endswith(("extensions/write", "extensions/delete")):
        return False
    return bool(_AGENT.search(target)) or "/extensions/" not in target


def on_agent(acts: pd.DataFrame) -> pd.DataFrame:
    """Keep the operations that concern the agent's extension.

    Parameters
    ----------
    acts : pandas.DataFrame
        As `operations` gives them.

    Returns
    -------
    pandas.DataFrame
    """
    pairs = zip(acts["operation"], acts["target"], strict=True)
    return acts[pd.Series([concerns_agent(*pair) for pair in pairs], index=acts.index, dtype="bool")]


def decide(case: Case) -> tuple[str, str]:
    """Decide the cause of an outage.

    Parameters
    ----------
    case : Case

    Returns
    -------
    tuple of (str, str)
        The cause, and the evidence in words.

    Examples
    --------
    >>> t = pd.Timestamp("2026-03-02 10:00", tz="UTC")
    >>> outage = {"start_earliest": t, "start_latest": t, "end_earliest": t, "end_latest": t, "from_version": "1.37",
    ...     "to_version": "1.38", "returned": False}
    >>> decide(Case(outage))
    ('upgrade', '1.38 reports after 1.37; nothing says that the machine was down')
    """
    o = case.outage
    ongoing = pd.isna(o["end_latest"])
    notes = [text for _, text in sorted(case.power + case.system + case.attempts)]
    if case.stayed_up:
        notes.append("the uptime counter ran on, so the system stayed up")
    if case.booted is not None:
        notes.append(f"the uptime counter began anew at {case.booted:%Y-%m-%d %H:%M:%S}")
    if case.company:
        notes.append(f"{case.company} other machines fell silent at the same time, which points to the workspace "
                     "or the region")  # fmt: skip
    down = _down(case)
    changed = bool(o["to_version"]) and o["to_version"] != o["from_version"]
    if down:
        if changed:
            notes.append(f"{o['to_version']} reports after {o['from_version']}; what the upgrade took cannot be seen")
        return down, _join(notes)
    if ongoing:
        if case.attempts:
            notes.append("silent since, and nothing says that the machine was stopped; collect the agent's logs and "
                         "the extension's status, and open a support request")  # fmt: skip
            return "rollback_failed", _join(notes)
        return "unexplained", _join([*notes, "silent since; nothing says why"])
    if changed and o["returned"]:
        return "rolled_back", _join([*notes, f"{o['from_version']} was left again for {o['to_version']}"])
    if changed:
        text = f"{o['to_version']} reports after {o['from_version']}"
        return "upgrade", _join([*notes, text if notes else f"{text}; nothing says that the machine was down"])
    if case.attempts:
        return "rolled_back", _join([*notes, f"{o['from_version']} reports again"])
    return "unexplained", _join([*notes, "the same version reports again and nothing says why it was away"])


def _join(notes):
    return "; ".join(dict.fromkeys(notes))


def _down(case):
    """Say whether the machine itself was stopped or restarted; an empty text for neither."""
    texts = [text.lower() for _, text in case.power + case.system]
    if any(word in text for text in texts for word in _POWER_OFF):
        return "machine_stopped"
    if any(word in text for text in texts for word in _RESTART):
        return "machine_restarted"
    spoken = bool(case.system) or case.booted is not None
    if case.stayed_up or not spoken:
        return ""
    if any(re.search(r"power(ing|ed)? ?-?(off|down)|halt", text) for text in texts):
        return "machine_stopped"
    o = case.outage
    if any(re.search(r"restart|reboot", text) for text in texts):
        return "machine_restarted"
    boots = [when for when, text in case.system if re.search(r"6005|kernel|startup|boot", text.lower())]
    boot = case.booted if case.booted is not None else min(boots, default=o["end_latest"])
    if pd.isna(boot):
        return "machine_stopped"
    return "machine_restarted" if boot - o["start_latest"] <= _IN_PLACE else "machine_stopped"


def explain(
    table: pd.DataFrame, acts: pd.DataFrame, evidence: Mapping[str, pd.DataFrame], returned: set[tuple[str, ...]]
) -> pd.DataFrame:
    """Give each outage its cause and its evidence.

    Parameters
    ----------
    table : pandas.DataFrame
        resource_id, computer, from_version, to_version and the four ends of each outage.
    acts : pandas.DataFrame
        As `operations` gives them.
    evidence : dict of str to pandas.DataFrame
        As `amakit.fetch.samples.evidence_around` gives it; what a workspace does not have is empty.
    returned : set of tuple
        (resource_id, computer, from_version, to_version) of the changes that undo an earlier upgrade.

    Returns
    -------
    pandas.DataFrame
        cause and evidence, on the index of ``table``.
    """
    told = dict(list(rests_on(table, acts).groupby("outage")))
    system = dict(list(evidence["system"].groupby(MACHINE)))
    uptime = dict(list(evidence["uptime"].groupby(MACHINE)))
    others = company(table)
    rows = []
    for number, (index, o) in enumerate(zip(table.index, table.to_dict("records"), strict=True)):
        machine = o["resource_id"], o["computer"]
        o["returned"] = (*machine, o["from_version"], o["to_version"]) in returned
        case = Case(o, company=int(others[number]))
        if index in told:
            _weigh_operations(case, told[index])
        if machine in system:
            _weigh_system(case, system[machine])
        if machine in uptime:
            _weigh_uptime(case, uptime[machine])
        rows.append(decide(case))
    return pd.DataFrame(rows, columns=["cause", "evidence"], index=table.index)


def rests_on(table: pd.DataFrame, acts: pd.DataFrame) -> pd.DataFrame:
    """Give the operations of the control plane that may have to do with each outage.

    Parameters
    ----------
    table : pandas.DataFrame
        resource_id and the four ends of each outage.
    acts : pandas.DataFrame
        As `operations` gives them.  An instance of a scale set is also touched by what is done to its set.

    Returns
    -------
    pandas.DataFrame
        The columns of ``acts``, and outage (index of ``table``), role (``attempt``: on the agent's extension;
        ``power``: on the machine's power).

    Examples
    --------
    >>> t = pd.to_datetime(["2026-03-02 10:00", "2026-03-02 10:05", "2026-03-02 18:00"], utc=True)
    >>> acts = pd.DataFrame({"operation": "microsoft.compute/virtualmachines/deallocate/action", "target": "/vm",
    ...     "base": "/vm", "began": t, "ended": t, "status": "succeeded", "caller": "", "correlation": ""})
    >>> outage = {"resource_id": "/vm", "start_earliest": t[0], "start_latest": t[0], "end_earliest": t[1],
    ...     "end_latest": t[1]}
    >>> rests_on(pd.DataFrame([outage]), acts)["role"].tolist()
    ['power', 'power']
    """
    by_base = dict(list(acts.groupby("base")))
    found = []
    for index, o in zip(table.index, table.to_dict("records"), strict=True):
        whole_set = o["resource_id"].partition("/virtualmachines/")[0] if "scalesets/" in o["resource_id"] else ""
        for base in sorted({o["resource_id"], whole_set} & set(by_base) - {""}):
            own = by_base[base]
            end = own["began"].max() if pd.isna(o["end_latest"]) else o["end_latest"]
            near = own[(own["ended"] >= o["start_earliest"] - _BEFORE) & (own["began"] <= end + _AFTER)]
            found += [(*act[1:], index, role) for act in near.itertuples() if (role := _role(o, act))]
    return pd.DataFrame(found, columns=[*acts.columns, "outage", "role"])


def linked(table: pd.DataFrame) -> pd.Series:
    """Tie an attempt that was rolled back to the one that followed it, in the evidence of both; see `series`.

    Parameters
    ----------
    table : pandas.DataFrame
        resource_id, computer, cause, from_version, to_version, start_earliest and evidence.

    Returns
    -------
    pandas.Series of str
        The evidence, on the index of ``table``.

    Examples
    --------
    >>> t = pd.to_datetime(["2026-03-02", "2026-03-03"], utc=True)
    >>> linked(pd.DataFrame({"resource_id": "", "computer": "a", "cause": ["rolled_back", "upgrade"],
    ...     "start_earliest": t, "from_version": "1.37", "to_version": ["1.37", "1.38"],
    ...     "evidence": ["x", "y"]})).tolist()
    ['x; tried again at 2026-03-03 00:00:00 (upgrade)', 'y; attempt 2, after 2026-03-02 00:00:00']
    """
    evidence = table["evidence"].copy()
    for rows in series(table):
        for number, (before, index) in enumerate(pairwise(rows), start=2):
            first, again = table.loc[before, "start_earliest"], table.loc[index, "start_earliest"]
            evidence[before] += f"; tried again at {again:%Y-%m-%d %H:%M:%S} ({table.loc[index, 'cause']})"
            evidence[index] += f"; attempt {number}, after {first:%Y-%m-%d %H:%M:%S}"
    return evidence


def series(table: pd.DataFrame) -> list[list[int]]:
    """Put together the attempts that followed each other on a machine.

    A failed upgrade is tried again on the next day, on Arc within the next hour; what comes more than three days
    later is taken for an upgrade of its own.

    Parameters
    ----------
    table : pandas.DataFrame
        resource_id, computer, cause, from_version, to_version and start_earliest.

    Returns
    -------
    list of list of int
        Indexes of outages in the order of time; each but the last of a list was rolled back.

    Examples
    --------
    >>> t = pd.to_datetime(["2026-03-02", "2026-03-03", "2026-03-09"], utc=True)
    >>> series(pd.DataFrame({"resource_id": "", "computer": "a", "cause": ["rolled_back", "upgrade", "upgrade"],
    ...     "start_earliest": t, "from_version": "1.37", "to_version": ["1.37", "1.38", "1.39"]}))
    [[0, 1], [2]]
    """
    tries = table[
        table["cause"].isin(["rolled_back", "rollback_failed"]) | (table["from_version"] != table["to_version"])
    ]
    tries = tries.sort_values([*MACHINE, "start_earliest"], kind="stable")
    follows = (tries[MACHINE] == tries[MACHINE].shift()).all(axis=1) & (tries["cause"].shift() == "rolled_back")
    follows &= tries["start_earliest"].diff() <= _AGAIN
    found = []
    for index, again in zip(tries.index, follows, strict=True):
        if again:
            found[-1].append(index)
        else:
            found.append([index])
    return found


def _weigh_operations(case, acts):
    for act in acts.itertuples():
        text = f"activity log {act.began:%Y-%m-%d %H:%M:%S}: {act.operation} {act.status}"
        if act.role == "power":
            case.power.append((act.began, text))
        else:
            kind = "automatic (Arc's own service)" if "regional service manager" in act.caller.lower() else ""
            kind = f"by {act.caller}" if "@" in act.caller else kind
            case.attempts.append((act.began, f"{text} {kind}".rstrip()))


def _role(outage, act):
    """Say what an operation near an outage may have to do with it; an empty text for nothing."""
    ongoing = pd.isna(outage["end_latest"])
    if concerns_agent(act.operation, act.target):
        # an operation that was over long before, or came long after, has nothing to do with it
        late = ongoing and act.began > outage["start_latest"] + _BEFORE
        return "" if late or act.ended < outage["start_earliest"] - _AFTER else "attempt"
    during = outage["start_earliest"] - _CLOSE <= act.ended and (ongoing or act.began <= outage["end_latest"])
    return "power" if _on_power(act.operation) and during else ""


def _on_power(operation):
    return "/extensions" not in operation and any(word in operation for word in (*_POWER_OFF, *_RESTART))


def _weigh_system(case, said):
    o = case.outage
    end = said["TimeGenerated"].max() if pd.isna(o["end_latest"]) else o["end_latest"]
    near = said[(said["TimeGenerated"] >= o["start_earliest"] - _CLOSE) & (said["TimeGenerated"] <= end + _CLOSE)]
    for row in near.itertuples():
        case.system.append((row.TimeGenerated, f"{row.Said} at {row.TimeGenerated:%Y-%m-%d %H:%M:%S}"))


def _weigh_uptime(case, uptime):
    """Compare when the system started, as the counter says before and after: it is one instant unless it restarted."""
    o = case.outage
    if pd.isna(o["end_latest"]):
        return
    after = uptime[uptime["TimeGenerated"] >= o["end_latest"]].head(1)
    if after.empty:
        return
    booted = (after["TimeGenerated"] - pd.to_timedelta(after["Uptime"], unit="s")).iloc[0]
    if booted > o["start_earliest"] - _MINUTE:
        case.booted = booted
    else:
        case.stayed_up = True


def company(starts: pd.DataFrame) -> "np.ndarray":
    """Count for each outage the other machines that fell silent within a minute and a half of it.

    Parameters
    ----------
    starts : pandas.DataFrame
        resource_id, computer, start_latest.

    Returns
    -------
    numpy.ndarray of int
        0 where fewer than three did, or fewer than half of the machines that had any outage.

    Examples
    --------
    >>> t = pd.to_datetime(["2026-03-02"] * 4 + ["2026-03-05"], utc=True)
    >>> company(pd.DataFrame({"resource_id": "", "computer": list("abcde"), "start_latest": t})).tolist()
    [3, 3, 3, 3, 0]
    """
    machines = len(starts[MACHINE].drop_duplicates())
    times = starts["start_latest"].astype("int64").to_numpy()
    near = 1_000_000 * _AT_ONCE.total_seconds()
    order = times.copy()
    order.sort()
    counts = order.searchsorted(times + near, "right") - order.searchsorted(times - near, "left") - 1
    counts[(counts < 3) | (2 * counts < machines)] = 0
    return counts
