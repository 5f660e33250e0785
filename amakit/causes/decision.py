"""Why an agent was away: one cause for each outage, decided by rules from evidence that is kept as rows."""

from itertools import pairwise

import numpy as np
import pandas as pd

from amakit.causes.evidence import COLUMNS, HUNG, IN_PLACE, NEAR
from amakit.causes.operations import ATTEMPTS
from amakit.find.versions import version_key
from amakit.schemas import MACHINE, Cause, frame_of

#: How soon a failed upgrade is tried again.
_AGAIN = pd.Timedelta(days=3)
#: What Resource Health calls it when somebody, or the platform, stopped or restarted a machine.
_HEALTH = {"machine_stop": r"stopp|dealloc", "machine_restart": r"reboot|restart|redeploy"}


def decide(
    outages: pd.DataFrame, evidence: pd.DataFrame, undone: set[tuple[str, ...]], horizon: pd.Timestamp
) -> pd.Series:
    """Decide the cause of each outage.

    Parameters
    ----------
    outages : pandas.DataFrame
        resource_id, computer, from_version, to_version (empty where no version is known afterwards) and the four ends
        of each outage.
    evidence : pandas.DataFrame
        As `amakit.causes.evidence.gather` gives it.
    undone : set of tuple
        (resource_id, computer, from_version, to_version) of the changes that undo an earlier upgrade.
    horizon : pandas.Timestamp
        An attempt that began less than three quarters of an hour before may not be over yet.

    Returns
    -------
    pandas.Series of str
        A `Cause` for each, on the index of ``outages``.

    Notes
    -----
    What explains an outage lies at its beginning.  The rules, of which the first that fits decides:

    1. the machine was deleted, or its scale set scaled in and it has not come back: ``machine_removed``;
    2. it was stopped: ``machine_stopped``; 3. it was restarted, and is back: ``machine_restarted``;
    4. silent since: ``rollback_failed`` after an attempt, ``agent_removed`` after the extension was deleted,
       ``upgrade`` where an attempt may not be over yet, else ``unexplained``;
    5. a newer version: ``upgrade``; an older one: ``rolled_back`` where it undoes an upgrade, else ``downgrade``;
    6. the same version: ``rolled_back`` after an attempt that failed (on Arc, an upgrade that changed nothing),
       ``agent_restarted`` or ``agent_removed`` after an operation that succeeded, ``unexplained`` otherwise.

    Examples
    --------
    >>> t = pd.Timestamp("2026-03-02 10:00", tz="UTC")
    >>> outage = {"resource_id": "", "computer": "a", "start_earliest": t, "start_latest": t, "end_earliest": t,
    ...     "end_latest": t, "from_version": "1.37", "to_version": "1.38"}
    >>> from amakit.schemas import no_rows
    >>> decide(pd.DataFrame([outage]), no_rows(COLUMNS), set(), t).tolist()
    ['upgrade']
    """
    o = outages
    if o.empty:
        return pd.Series([], o.index, dtype="str")
    ongoing, unknown = o["end_latest"].isna(), o["to_version"] == ""
    newer, older = _direction(o)
    rows = evidence[~_consumed(o, evidence, newer)]
    begun, done = rows["at_start"], rows["status"] != "failed"
    beginning = {
        kind: _any(o, part) for kind, part in rows[begun & done].groupby("kind")
    }  # of each kind, whether it stands at the beginning
    has = lambda *kinds: np.logical_or.reduce([beginning.get(kind, _any(o, rows[:0])) for kind in kinds])  # noqa: E731

    attempt = _any(o, rows[begun & rows["kind"].isin(ATTEMPTS)])
    failed = _any(o, rows[begun & rows["kind"].isin(ATTEMPTS) & ~done])
    succeeded = rows["status"] == "succeeded"
    upgraded = _any(o, rows[begun & (rows["kind"] == "agent_upgrade")])
    written = _any(o, rows[begun & succeeded & rows["kind"].isin(ATTEMPTS)])
    deleted = _any(o, rows[begun & succeeded & (rows["kind"] == "agent_delete")])
    long = ((o["end_earliest"] - o["start_latest"]) > IN_PLACE) | ongoing

    stopped, restarted = _system(o, rows, attempt)
    by_health, again = _health(o, rows, long)
    kept = _any(o, rows[rows["kind"] == "uptime_kept"])
    patched = has("patching") & ~attempt & ~newer & ~older
    stopped = has("machine_stop") | (~kept & (stopped | by_health))
    restarted = ~ongoing & (has("machine_restart") | (~kept & (restarted | again | patched)))
    fresh = attempt & ~failed & (horizon - o["start_latest"] <= HUNG)
    back = pd.Series(
        [key in undone for key in o[[*MACHINE, "from_version", "to_version"]].itertuples(index=False, name=None)],
        index=o.index,
        dtype="bool",
    )
    gone = has("machine_delete") | (has("scale_in") & ongoing)
    rules = [
        (gone, Cause.MACHINE_REMOVED),
        (stopped, Cause.MACHINE_STOPPED),
        (restarted, Cause.MACHINE_RESTARTED),
        (ongoing & fresh & ~deleted, Cause.UPGRADE),
        (ongoing & failed, Cause.ROLLBACK_FAILED),
        (ongoing & deleted, Cause.AGENT_REMOVED),
        (ongoing & attempt, Cause.ROLLBACK_FAILED),
        (ongoing, Cause.UNEXPLAINED),
        (newer, Cause.UPGRADE),
        (older & back, Cause.ROLLED_BACK),
        (older, Cause.DOWNGRADE),
        (unknown & attempt & ~failed, Cause.UPGRADE),
        (failed | upgraded, Cause.ROLLED_BACK),
        (deleted & long, Cause.AGENT_REMOVED),
        (deleted | written, Cause.AGENT_RESTARTED),
    ]
    conditions, causes = zip(*rules, strict=True)
    chosen = np.select([np.asarray(c, dtype="bool") for c in conditions], [str(c) for c in causes], Cause.UNEXPLAINED)
    return pd.Series(chosen, index=o.index, dtype="str")


def _direction(o):
    """Say where a newer and where an older version reports afterwards."""
    pairs = [
        (version_key(a), version_key(b)) if a and b else ((), ())
        for a, b in zip(o["from_version"], o["to_version"], strict=True)
    ]
    newer = pd.Series([old < new for old, new in pairs], index=o.index, dtype="bool")
    return newer, pd.Series([old > new for old, new in pairs], index=o.index, dtype="bool")


def _any(o, rows):
    """Mark the outages that have any of some rows of evidence."""
    return pd.Series(o.index.isin(rows["outage"]), index=o.index, dtype="bool")


def _consumed(o, evidence, newer):
    """Mark attempts whose new version had reported before: they explain no later outage."""
    attempts = evidence[evidence["kind"].isin(ATTEMPTS) & evidence["act"].notna()]
    start = attempts["outage"].map(o["start_earliest"])
    machine = o.groupby(MACHINE, sort=False).ngroup()
    reported = start.where(attempts["outage"].map(newer).astype("bool") & attempts["at_start"])
    first = reported.groupby([attempts["outage"].map(machine), attempts["act"]]).transform("min")
    return (first < start).reindex(evidence.index, fill_value=False)


def _times(o, rows, how):
    """Give the earliest or latest instant of some rows for each outage."""
    return rows.groupby("outage")["time"].agg(how).reindex(o.index)


def _system(o, rows, attempt):
    """Say where the system's own log, or its uptime counter, tells of a stop or of a restart at the beginning.

    A system that came up in an outage without having said that it went down was cut off; it went down with the agent
    unless an attempt on the agent explains the silence better.  One that went down later, with the agent long silent,
    did not silence it.
    """
    down = rows[rows["kind"].isin(["power_off", "reboot", "shutdown"])]
    boots = rows[rows["kind"].isin(["boot", "crash", "uptime_reset"])]
    boots = boots[boots["time"] >= boots["outage"].map(o["start_earliest"]) - NEAR / 2]
    off = _any(o, down[down["at_start"] & (down["kind"] == "power_off")])
    asked = _any(o, down[down["at_start"] & (down["kind"] == "reboot")])
    went = _any(o, down[down["at_start"] & (down["kind"] == "shutdown")])
    later = _any(o, down[~down["at_start"]])
    up = _times(o, boots, "min")
    apart = up - o["start_latest"]
    crashed = up.notna() & ~later & ~(attempt & (apart > IN_PLACE))
    silent = went | crashed
    up = up.fillna(o["end_latest"])
    quick = (up - o["start_latest"]) <= IN_PLACE
    stopped = off | (silent & ~asked & ~quick & ~(o["end_latest"].isna() & up.notna()))
    return stopped, (asked | (silent & quick)) & ~off


def _health(o, rows, long):
    """Say where Resource Health tells of a machine that was stopped, and of one that was restarted."""
    health = rows[rows["kind"] == "health"]
    down = health[health["at_start"] & (health["status"] == "unavailable")]
    any_down, text = _any(o, down), down["text"].str.lower()
    stop = _any(o, down[text.str.contains(_HEALTH["machine_stop"])])
    again = _any(o, down[text.str.contains(_HEALTH["machine_restart"])])
    resolved = _any(o, health[health["status"] == "available"]) & o["end_latest"].isna()
    return stop | (any_down & ~again & long & ~resolved), any_down & ~stop & (again | ~long)


def linked(table: pd.DataFrame) -> pd.DataFrame:
    """Tie an attempt that was rolled back to the one that followed it, in the evidence of both; see `series`.

    Parameters
    ----------
    table : pandas.DataFrame
        resource_id, computer, cause, from_version, to_version and start_earliest.

    Returns
    -------
    pandas.DataFrame
        Rows of evidence: ``next_attempt``, with its cause as status, and ``previous_attempt``, whose text counts.

    Examples
    --------
    >>> t = pd.to_datetime(["2026-03-02", "2026-03-03"], utc=True)
    >>> linked(pd.DataFrame({"resource_id": "", "computer": "a", "cause": ["rolled_back", "upgrade"],
    ...     "start_earliest": t, "from_version": "1.37", "to_version": ["1.37", "1.38"]}))["kind"].tolist()
    ['next_attempt', 'previous_attempt']
    """
    rows = []
    for indexes in series(table):
        for number, (before, index) in enumerate(pairwise(indexes), start=2):
            first, again = table.loc[before], table.loc[index]
            rows.append((before, again["start_earliest"], "next_attempt", again["cause"], ""))
            rows.append((index, first["start_earliest"], "previous_attempt", "", str(number)))
    told = pd.DataFrame(rows, columns=["outage", "time", "kind", "status", "text"])
    return frame_of({column: told.get(column, [None] * len(told)) for column in COLUMNS}, COLUMNS)


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
    changed = (table["from_version"] != table["to_version"]) & (table["to_version"] != "")
    tries = table[table["cause"].isin([Cause.UPGRADE, Cause.ROLLED_BACK, Cause.ROLLBACK_FAILED]) | changed]
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


def of_changes(changes: pd.DataFrame, outages: pd.DataFrame) -> pd.DataFrame:
    """Give each change of version the cause of the outage in which it happened."""
    left = changes[[*MACHINE, "last_old", "first_new"]].rename_axis("row").reset_index().sort_values("last_old")
    right = outages[[*MACHINE, "start_earliest", "end_latest", "cause"]].sort_values("start_earliest", kind="stable")
    pairs = pd.merge_asof(
        left, right, left_on="last_old", right_on="start_earliest", by=MACHINE, direction="forward"
    ).set_index("row")
    return changes.assign(cause=pairs["cause"].where(pairs["end_latest"] <= pairs["first_new"]).fillna(""))
