"""The event-driven check: did what is read from a log come after all, or was it lost with the outage?

That events are never lost is a claim, and this is a test of it.

*Inside* is the time in which the agent was certainly away, ``[start_latest, end_earliest)``: a row from there can
only have been read afterwards.  Where the brackets cross, their midpoints take its place.

*Expected* comes from bins as long as that time (at most three hours) in the day before and after (24 times the length,
if that is more), without the machine's other outages and five minutes after each.  The rows are taken as negative
binomial with the mean and variance of the bins: Poisson where they are no more uneven than that, wider where bins are
few.  The probability of so few is at least the share of bins that hold as few: no distribution is trusted against what
the machine does anyway.  A table that stayed silent after the outage is measured by the time before it alone.

*Record numbers* count what the system wrote, collected or not.  Those missing across the outage are beta-binomial, with
the share that is missing in the six hours on either side.  Where that is over 1 %, a filter is at work, and an upgrade
may just have written more of what is filtered: there they only count together with a low number of rows.

A probability under `ALPHA` is a possible loss: one false alarm in 1,000 tests of an undisturbed table, at most.
"""

from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from amakit.fetch import coverage
from amakit.intervals import Window
from amakit.kql.catalog import query
from amakit.schemas import MACHINE, RESULTS, frame_of, result

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from amakit.source.workspace import Workspace

#: A probability of so few rows below this is a possible loss.
ALPHA = 0.001
#: Zero rows are unremarkable where their probability is at least this: about three expected rows, or fewer.
QUIET = 0.05
#: Tables that are read from a log, beside every custom one.
TABLES = ("Event", "WindowsEvent", "SecurityEvent", "Syslog")

_DAY, _REPLAY, _NUMBERED = pd.Timedelta(days=1), pd.Timedelta(minutes=5), pd.Timedelta(hours=6)
_NARROWEST, _WIDEST, _FEWEST_BINS = pd.Timedelta(seconds=10), pd.Timedelta(hours=3), 12
_PARTS, _REACH = 250, pd.Timedelta(days=15)  # of one query; each part may stand under two keys
_OFF = ("machine_stopped", "machine_restarted")
MACHINE, _CHANNEL = MACHINE, ["outage", "Source", "Channel"]
_COUNTS = {"Rows": "sum", "Squares": "sum", "Above": "sum", "Late": "sum", "Known": "sum", "MaxDelay": "max"}
_RECORDS = {"Records": "sum", "Low": "min", "High": "max", "Bins": "sum", "Spans": "sum", "Evenness": "sum"}
_EVIDENCE = [*RESULTS["events"], "probability", "none_probability", "records_probability", "bins", "replayed",
             "stamped", "covered", "ongoing"]  # fmt: skip


def verdicts(
    workspace: "Workspace", outages: pd.DataFrame, window: Window, machines: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Say for each outage and each event-driven table of its machine whether the events came after all.

    Parameters
    ----------
    workspace : Workspace
    outages : pandas.DataFrame
        Columns as in ``RESULTS["outages"]``.
    window : Window
        What is under analysis; nothing outside of it is asked for.
    machines : pandas.DataFrame, optional
        resource_id and computer of all machines there are, to know which names stand for one only.  Asked of
        Heartbeat by default.

    Returns
    -------
    pandas.DataFrame
        The result table ``events``.

    Examples
    --------
    >>> from amakit import connect
    >>> from amakit.intervals import window
    >>> len(verdicts(connect("demo"), pd.DataFrame(), window("2026-03-02", "2026-03-16")))
    0
    """
    return result("events", evidence(workspace, outages, window, machines))


def evidence(
    workspace: "Workspace", outages: pd.DataFrame, window: Window, machines: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Give the verdicts, as `verdicts` does, with what they rest on.

    Returns
    -------
    pandas.DataFrame
        The columns of ``events``, and: probability (of so few rows), none_probability (of no row),
        records_probability (of so many missing record numbers), bins, replayed (the rows came stamped with the
        minutes after the outage), stamped (the table tells when a row arrived, not when it was written), covered
        (the table reaches from before the outage to after it), ongoing.
    """
    horizon = coverage.horizon(window)
    names = [name for name in workspace.tables if name in TABLES or name.lower().endswith("_cl")]
    names = [name for name in names if "TimeGenerated" in workspace.columns(name)]
    parts = []
    if len(outages) and names:
        asked = _stretches(outages, horizon)
        keys, shared = _identities(asked, _machines(workspace, window) if machines is None else machines)
        parts = [_of_table(workspace, name, asked, keys, shared, Window(window.start, horizon)) for name in names]
    found = pd.concat([part for part in parts if len(part)] or [pd.DataFrame(columns=_EVIDENCE)], ignore_index=True)
    found = found.assign(verdict=judge(found), source="", p_value=found["probability"])
    never = pd.Series(pd.NaT, found.index, dtype="datetime64[us, UTC]")
    return found.assign(silent_from=never, silent_to=never)[_EVIDENCE]


def rate(total: "ArrayLike", squares: "ArrayLike", bins: "ArrayLike") -> tuple[np.ndarray, np.ndarray]:
    """Fit the distribution of the rows in one bin.

    Parameters
    ----------
    total, squares, bins : array-like
        Sum and sum of squares of the numbers of rows in the bins, and the number of bins.

    Returns
    -------
    tuple of (numpy.ndarray, numpy.ndarray)
        The mean, and the spread: the variance beyond Poisson (its own uncertainty added) and that of the mean
        itself, in squares of the mean.

    Examples
    --------
    >>> mean, spread = rate([200], [2190], [20])  # ten rows, give or take 3.2: Poisson
    >>> float(mean[0]), round(float(spread[0]), 4)
    (10.0, 0.005)
    """
    total, squares, bins = (np.asarray(v, dtype="float64") for v in (total, squares, bins))
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = total / bins
        excess = np.fmax((squares - total * mean) / (bins - 1) - mean, 0) * (1 + np.sqrt(8 / (bins - 1)))
        spread = (excess + (mean + excess) / bins) / mean**2
    return mean, np.where(mean > 0, spread, 0.0)


def tail(rows: "ArrayLike", mean: "ArrayLike", spread: "ArrayLike", share: "ArrayLike" = 0.0) -> np.ndarray:
    """Give the probability of so few rows or fewer.

    Parameters
    ----------
    rows, mean, spread : array-like
        Rows seen, rows expected, and the spread from `rate`.
    share : array-like
        Share of the bins around that hold as few: the answer is never below it.

    Returns
    -------
    numpy.ndarray

    Examples
    --------
    >>> tail([0, 0, 12], [7.0, 7.0, 12.0], [0.0, 1.0, 0.0]).round(4)
    array([0.0009, 0.125 , 0.576 ])
    """
    from scipy.special import betainc  # the negative binomial's; scipy.stats takes longer to import than the analysis

    rows, mean, size = (
        np.asarray(rows, dtype="float64"),
        np.asarray(mean, dtype="float64"),
        1 / np.maximum(spread, 1e-9),
    )
    few = np.where(rows < 0, 0.0, betainc(size, np.floor(np.maximum(rows, 0.0)) + 1, size / (size + mean)))
    return np.fmax(few, share)


def continuity(records: pd.DataFrame) -> pd.DataFrame:
    """Give the probability that so many record numbers are missing across an outage.

    Parameters
    ----------
    records : pandas.DataFrame
        One row per outage, side (0 before, 1 the outage with its brackets, 2 after), Source and Channel: Records
        (different numbers), Low, High, and over bins of time: Bins, Spans (sum of high − low + 1) and Evenness
        (sum of records² / span).

    Returns
    -------
    pandas.DataFrame
        outage, Source, Channel, numbers (written between the last before and the first after), found of them,
        share (of the numbers around that are there), probability.  Channels whose numbers began anew, or that
        have none on either side, are left out.

    Examples
    --------
    >>> rows = [[0, 0, 101, 1, 101, 2, 101, 101.0], [0, 2, 101, 120, 220, 2, 101, 101.0]]  # 18 are missing
    >>> columns = ["outage", "side", "Records", "Low", "High", "Bins", "Spans", "Evenness"]
    >>> found = continuity(pd.DataFrame(rows, columns=columns).assign(Source="a", Channel="System"))
    >>> int(found["numbers"][0]), int(found["found"][0]), bool(found["probability"][0] < 1e-10)
    (18, 0, True)
    """
    from scipy.stats import betabinom

    sides = [records[records["side"] == s].set_index(_CHANNEL)[[*_RECORDS]].astype("float64") for s in (0, 1, 2)]
    before, after = sides[0].align(sides[2], join="inner", axis=0)
    bins, there, spans, evenness = (before[c] + after[c] for c in ("Bins", "Records", "Spans", "Evenness"))
    numbers = after["Low"] - before["High"] - 1
    # a leap far beyond what is usual is a new count, not a loss
    usable = (numbers > 0) & (numbers <= 10 * (after["High"] - before["Low"] - numbers)) & (spans > bins)
    found = np.minimum(sides[1]["Records"].reindex(before.index).fillna(0), numbers)
    share = there / spans
    with np.errstate(divide="ignore", invalid="ignore"):  # how alike the numbers of one bin are, by their chi-squared
        uneven = (evenness - there * share) / (share * (1 - share)) / (bins - 1)
        alike = ((uneven - 1) / (spans / bins - 1)).where(share < 1, 0.0).fillna(1.0).clip(1e-12, 0.99)
        share = (there - bins) / (spans - bins)  # the first number of each bin is there by definition
    yes, no = there - bins + 0.5, spans - there + 0.5
    weight = np.minimum(1.0, (1 / alike - 1) / (yes + no))
    probability = betabinom.cdf(found, numbers.where(usable, 1), yes * weight, no * weight)
    tested = pd.DataFrame({"numbers": numbers, "found": found, "share": share, "probability": probability})
    return tested[usable].reset_index()


def judge(found: pd.DataFrame) -> pd.Series:
    """Give the verdict on each outage and table.

    Parameters
    ----------
    found : pandas.DataFrame
        Columns as `evidence` gives them.

    Returns
    -------
    pandas.Series of str

    Examples
    --------
    >>> found = pd.DataFrame({"cause": "upgrade", "ongoing": False, "rows_inside": [9, 0, 0], "expected": [9., 9., 1.],
    ...     "probability": [.6, 1e-4, .4], "none_probability": [1e-4, 1e-4, .4], "records_probability": np.nan,
    ...     "bins": 99, "replayed": False, "stamped": False, "covered": True})
    >>> judge(found).tolist()
    ['recovered', 'possible_loss', 'none_expected']
    """
    rows, few, off = found["rows_inside"] > 0, found["probability"] < ALPHA, found["cause"].isin(_OFF)
    rules = [
        (found["ongoing"], "undetermined"),
        (found["records_probability"] < ALPHA, "possible_loss"),
        (found["stamped"], "undetermined"),
        (off & rows, "recovered"),
        (off, "none_expected"),  # how long it was on meanwhile is not known
        (found["expected"].isna(), "undetermined"),
        (few & (found["replayed"] | ~found["covered"].astype("bool") | (found["bins"] < _FEWEST_BINS)), "undetermined"),
        (few, "possible_loss"),
        (rows, "recovered"),
        (found["none_probability"] >= QUIET, "none_expected"),
    ]
    conditions = [condition.to_numpy(dtype="bool", na_value=False) for condition, _ in rules]
    return pd.Series(np.select(conditions, [said for _, said in rules], "undetermined"), found.index, dtype="str")


def _stretches(outages, horizon):
    """Say for each outage which time lies inside it for certain, and which it may have touched (outer).

    An outage that goes on ends at the horizon; one whose start is not known counts as going on.
    """
    over = outages["ongoing"].fillna(False).astype("bool")
    low, high = outages["start_earliest"], outages["start_latest"]
    early, late = (outages[c].where(~over, horizon) for c in ("end_earliest", "end_latest"))
    low, high = low.fillna(high), high.fillna(low)
    early, late = early.fillna(late).fillna(horizon), late.fillna(early).fillna(horizon)
    crossed = high >= early
    start, end = high.where(~crossed, low + (high - low) / 2), early.where(~crossed, early + (late - early) / 2)
    end = end.clip(upper=horizon)
    return pd.DataFrame({
        "resource_id": outages["resource_id"].str.lower(), "computer": outages["computer"].str.lower(),
        "cause": outages["cause"], "outage_start": outages["start_earliest"], "ongoing": over | start.isna(),
        "start": start, "end": end.where(end > start, start), "outer_start": low, "outer_end": late,
    }).reset_index(drop=True)  # fmt: skip


def _machines(workspace, window):
    """List the machines that sent heartbeats."""
    parts = [pd.DataFrame(columns=["ResourceId", "Computer"], dtype="str")]
    if "Heartbeat" in workspace.tables:
        parts += workspace.ask_all("heartbeat_machines", [vars(part) for part in window.slices()])
    return pd.concat(parts)[["ResourceId", "Computer"]].set_axis(MACHINE, axis=1).drop_duplicates()


def _identities(asked, machines):
    """Say under which keys the rows of each machine stand, and which of the resource ids several computers share.

    A row's key is its resource id; with the computer behind it where several report under the id (a scale set);
    the computer alone where the id is empty, which tells a machine only if no other has that name.
    """
    both = pd.concat([asked[MACHINE], machines[MACHINE].apply(lambda c: c.str.lower())]).drop_duplicates()
    named = both[both["resource_id"] != ""]
    computers = named.groupby("resource_id")["computer"].nunique()
    owners = named.groupby("computer")["resource_id"].nunique()
    shared = sorted(set(computers.index[computers > 1]) & set(asked["resource_id"]))
    resource, computer = asked["resource_id"], asked["computer"]
    alone = (computer.map(owners) == 1) & (resource != "") & ~computer.isin(computer[resource == ""])
    first = resource.where(~resource.isin(shared), resource + " " + computer).where(resource != "", computer)
    keys = pd.concat([first, computer[alone]])
    return pd.DataFrame({"outage": keys.index, "Key": keys.array})[(keys != "").array], shared


def _neighbourhoods(asked, span, reach):
    """Find the time before (side 0) and after (1) each outage in which the machine had no other.

    An outage is over when what it held up has come, too; how far is looked is said for each.
    """
    parts = []
    for _, own in asked.groupby(MACHINE, sort=False):
        known = own[own["outer_start"].notna()]
        busy = sorted(zip(known["outer_start"], known["outer_end"] + _REPLAY, known.index, strict=True))
        for start, end, at in busy:
            sides = (max(span.start, start - reach[at]), start), (end, min(span.end, end + reach[at]))
            parts += [(at, side, a, b) for side, edges in enumerate(sides) for a, b in _free(*edges, busy)]
    return pd.DataFrame(parts, columns=["outage", "side", "Start", "End"])


def _free(start, end, busy):
    """Cut what is busy out of ``[start, end)``."""
    for since, until, _ in busy:
        if since >= end:
            break
        if start < since:
            yield start, since
        start = max(start, until)
    if start < end:
        yield start, end


def _binned(parts, width):
    """Cut parts to a whole number of bins, from the edge that faces the outage."""
    width = parts["outage"].map(width)
    bins, before = (parts["End"] - parts["Start"]) // width, parts["side"] == 0
    start, end = parts["End"] - bins * width, parts["Start"] + bins * width
    cut = parts.assign(Start=start.where(before, parts["Start"]), End=end.where(~before, parts["End"]), bins=bins)
    return cut.assign(Width=width.dt.total_seconds())[bins > 0]


def _of_table(workspace, table, asked, keys, shared, window):
    """Test every outage of the machines that have rows in a table."""
    slices = [{"table": table, "shared": shared, **vars(part)} for part in window.slices()]
    seen = pd.concat(workspace.ask_all("event_machines", slices))
    last = keys.merge(seen, on="Key").groupby("outage")["LastRow"].max()
    mine = asked.loc[last.index]
    if mine.empty:
        return mine
    ask = partial(_ask, workspace, table, keys, shared)
    span = Window(seen["FirstRow"].min(), seen["LastRow"].max() + pd.Timedelta(microseconds=1))
    length = mine["end"] - mine["start"]
    inside, after = _inside(ask, mine, window)
    around = _around(ask, mine, span, length, inside["Rows"], last)
    found = mine.assign(data_type=table, **_tested(mine, length, inside, after, around), records_probability=np.nan)
    if "EventRecordId" in workspace.columns(table):
        found["records_probability"] = _records(ask, mine, span, found["probability"])
    # a custom log without a time of its own is stamped when it is read: its rows seem to take no time at all
    stamped = (around["Known"] > 0) & (around["Late"] < 0.05 * around["Known"]) & table.lower().endswith("_cl")
    return found.assign(stamped=stamped, covered=(mine["start"] >= span.start) & (mine["end"] <= span.end))


def _ask(workspace, table, keys, shared, name, parts, combine, by=()):
    """Ask a query that takes windows, so many at a time, the neighbours in time together; give a row per side."""
    returns = query(name).returns
    calls = []
    for group in _groups(parts[parts["End"] > parts["Start"]].sort_values(["Start", "outage", "side"])):
        windows = group.assign(Window=4 * group["outage"] + group["side"]).merge(keys, on="outage")
        windows = windows[[c for c in ("Key", "Window", "Start", "End", "Width", "Few") if c in windows]]
        start, end = group["Start"].min(), group["End"].max()
        calls.append({"table": table, "shared": shared, "start": start, "end": end, "windows": windows})
    nothing = frame_of({column: [] for column in returns}, returns)
    answer = pd.concat([nothing, *workspace.ask_all(name, calls)]).astype(dict.fromkeys(combine, "float64"))
    outage, side = divmod(answer["Window"].astype("int64"), 4)
    return answer.assign(outage=outage, side=side).groupby(["outage", "side", *by]).agg(combine).reset_index()


def _groups(parts):
    """Cut sorted parts into what one query can carry: so many of them, over so long a time."""
    while len(parts):
        near = parts["End"].iloc[:_PARTS] <= parts["Start"].iloc[0] + _REACH
        size = max(1, int(near.cummin().sum()))  # one that is longer than that is asked alone
        yield parts.iloc[:size]
        parts = parts.iloc[size:]


def _side(answer, side, index):
    """Take one side, a row for each outage; where there are no rows there is nothing to count."""
    found = answer[answer["side"] == side].set_index("outage")[[*_COUNTS]].reindex(index)
    return found.fillna(dict.fromkeys([c for c in _COUNTS if c != "MaxDelay"], 0.0))


def _inside(ask, mine, window):
    """Count the rows inside, and in the minutes after it, which would hold a replay that is stamped at arrival."""
    edges = [mine["start"], mine["end"], (mine["outer_end"] + _REPLAY).clip(upper=window.end)]
    parts = _sides(mine, edges)
    width = (parts["End"] - parts["Start"]).dt.total_seconds()
    answer = ask("event_windows", parts.assign(Width=width, Few=0.0), _COUNTS)
    seconds = (edges[2] - edges[1]).dt.total_seconds().clip(lower=0)
    return _side(answer, 0, mine.index), _side(answer, 1, mine.index).assign(seconds=seconds)


def _sides(mine, edges):
    """Make a part of the time between neighbouring edges, numbered from 0."""
    return pd.concat([
        pd.DataFrame({"outage": mine.index, "side": side, "Start": start.array, "End": end.array})
        for side, (start, end) in enumerate(pairwise(edges))
    ], ignore_index=True)  # fmt: skip


def _around(ask, mine, span, length, rows, last):
    """Count the rows in the bins around each outage, and the bins that hold as few as the outage does."""
    width = length.clip(_NARROWEST, _WIDEST)
    parts = _neighbourhoods(mine, span, (24 * length).clip(_DAY, 7 * _DAY))
    parts = _binned(parts[parts["outage"].map(length) > pd.Timedelta(0)], width)
    few = parts["outage"].map(rows / length.dt.total_seconds()).astype("float64") * parts["Width"]
    answer = ask("event_windows", parts.assign(Few=few), _COUNTS)
    bins = parts.groupby(["side", "outage"])["bins"].sum()
    bins = [pd.Series({o: float(bins.get((side, o), 0)) for o in mine.index}, dtype="float64") for side in (0, 1)]
    before, after = (_side(answer, side, mine.index).assign(bins=bins[side]) for side in (0, 1))
    after["bins"] = after["bins"].mask((after["Rows"] == 0) & (before["Rows"] > 0) & (last <= mine["end"]), 0.0)
    both = before + after
    return both.assign(share=1 - both["Above"] / both["bins"], Width=width.dt.total_seconds())


def _tested(mine, length, inside, after, around):
    """Hold what is inside against what is around, as columns of the evidence."""
    seconds = length.dt.total_seconds()
    mean, spread = rate(around["Rows"], around["Squares"], around["bins"])
    each = mean / around["Width"]
    expected = (each * seconds).mask(mine["cause"].isin(_OFF)).mask(seconds == 0, 0.0)
    few, none = (pd.Series(tail(n, expected, spread, around["share"]), mine.index) for n in (inside["Rows"], 0))
    burst = 1 - tail(after["Rows"] - 1, each * after["seconds"], spread)
    surplus = after["Rows"] - each * after["seconds"]
    return {
        "rows_inside": inside["Rows"], "expected": expected, "max_delay_s": inside["MaxDelay"], "bins": around["bins"],
        "probability": few.mask(seconds == 0, 1.0).where(expected.notna()),
        "none_probability": none.mask(seconds == 0, 1.0).where(expected.notna()),
        "replayed": (burst < 0.01) & (surplus >= 0.5 * (expected - inside["Rows"])),
    }  # fmt: skip


def _records(ask, mine, span, probability):
    """Give for each outage the probability of the record numbers that are missing, the worst of its channels."""
    ended = mine[~mine["ongoing"]]
    # other outages stay in: what was read again after them is no hole, and the last record before may be theirs
    edges = [(ended["outer_start"] - _NUMBERED).clip(lower=span.start), ended["outer_start"], ended["outer_end"],
             (ended["outer_end"] + _NUMBERED).clip(upper=span.end)]  # fmt: skip
    parts = _sides(ended, edges).assign(Width=1800.0)
    tested = continuity(ask("event_records", parts, _RECORDS, _CHANNEL[1:]))
    alone = tested["share"] >= 0.99  # nearly all is collected: a filter cannot be what took the rest
    counts = alone | (tested["outage"].map(probability) < QUIET)
    worst = tested["probability"] * tested.groupby("outage")["outage"].transform("size")
    return worst.clip(upper=1.0).where(counts, 1.0).groupby(tested["outage"]).min()
