"""Runs of versions and the changes between them."""

import functools
import re

import pandas as pd

from amakit.intervals import reached_before
from amakit.schemas import MACHINE

_MOST_DIGITS = 18


@functools.lru_cache(maxsize=4096)  # a fleet has few versions, and its tables name them in every row
def version_key(version: str) -> tuple[int, ...]:
    """Give what versions are compared by: numbers part by part; what follows a dash does not count.

    Missing parts are 0; one of more than 18 digits, which no release has, counts as the largest number.
    Windows and Linux are separate product lines, so compare within one only.

    Parameters
    ----------
    version : str
        As an agent reports it, with any number of parts.

    Returns
    -------
    tuple of int
        Without zeros at the end.  Empty where there is no number, which is before every version.

    Examples
    --------
    >>> version_key("1.9") < version_key("1.10"), version_key("1.34.5") == version_key("1.34.5.0")
    (True, True)
    >>> version_key("1.40.3-134"), version_key("unknown")
    ((1, 40, 3), ())
    """
    numbers = re.findall(r"\d+", version.partition("-")[0])
    parts = [int(part) if len(part) <= _MOST_DIGITS else 10**_MOST_DIGITS for part in numbers]
    while parts and parts[-1] == 0:
        parts.pop()
    return tuple(parts)


def runs(spans: pd.DataFrame) -> pd.DataFrame:
    """Order stretches of versions into runs: maximal stretches in which a machine's agent kept one version.

    A run begins with the first heartbeat that reports its version and ends with the last one before another
    version reports, so A→B→A are three runs.  Where stretches of different versions overlap, several agents
    report under the name of one machine; each then has a line of runs of its own.

    Parameters
    ----------
    spans : pandas.DataFrame
        As `amakit.fetch.heartbeats.version_spans` gives them.

    Returns
    -------
    pandas.DataFrame
        resource_id, computer, os_type, line (counts the agents that report at once, from 0), version (as its
        last heartbeat spells it) and spelled_first (as its first does), first and last heartbeat, beats;
        sorted by machine, line and time.

    Examples
    --------
    >>> day = pd.date_range("2026-03-02", periods=4, tz="UTC")
    >>> spans = pd.DataFrame({"resource_id": "", "computer": "a", "agent": "", "os_type": "Linux",
    ...     "version": ["1.38.1", "1.38.1", "1.36.1", "1.38.1.0"], "first": day,
    ...     "last": day + pd.Timedelta(hours=23), "beats": 1380})
    >>> runs(spans)[["version", "first", "beats"]]
        version                     first  beats
    0    1.38.1 2026-03-02 00:00:00+00:00   2760
    1    1.36.1 2026-03-04 00:00:00+00:00   1380
    2  1.38.1.0 2026-03-05 00:00:00+00:00   1380
    """
    spans = _lines(spans)
    spans["os_type"] = spans["os_type"].replace("", None)  # an aggregate passes over what is missing
    number, spelled = pd.factorize(spans["version"])
    key = pd.Series(pd.factorize(pd.Index([version_key(v) for v in spelled], tupleize_cols=False))[0][number])
    line = [*MACHINE, "line"]
    changed = (key != key.shift()) | (spans[line] != spans[line].shift()).any(axis=1)
    grouped = spans.groupby([*line, changed.cumsum().rename("run")], sort=False)
    found = grouped.agg(
        os_type=("os_type", "last"),
        version=("version", "last"),
        spelled_first=("version", "first"),
        first=("first", "min"),
        last=("last", "max"),
        beats=("beats", "sum"),
    ).reset_index()
    found["os_type"] = found.groupby(MACHINE)["os_type"].transform("last").fillna("")
    return found[[*MACHINE, "os_type", "line", "version", "spelled_first", "first", "last", "beats"]]


def transitions(found: pd.DataFrame) -> pd.DataFrame:
    """Give every change of version between two neighbouring runs.

    The change itself was not seen: it lies after ``last_old``, the last heartbeat of the old version, and
    not after ``first_new``, the first of the new one.  Two agents of a machine that take the same step within
    an hour are one change.

    Parameters
    ----------
    found : pandas.DataFrame
        As `runs` gives them.

    Returns
    -------
    pandas.DataFrame
        resource_id, computer, os_type, from_version, to_version, kind (``upgrade`` or ``downgrade``, by
        `version_key`), last_old, first_new.

    Examples
    --------
    >>> day = pd.date_range("2026-03-02", periods=3, tz="UTC")
    >>> found = pd.DataFrame({"resource_id": "", "computer": "a", "os_type": "Windows", "line": 0,
    ...     "version": ["1.9", "1.10", "1.9"], "first": day, "last": day + pd.Timedelta(hours=23)})
    >>> transitions(found.assign(spelled_first=found["version"]))[["from_version", "to_version", "kind"]]
      from_version to_version       kind
    0          1.9       1.10    upgrade
    1         1.10        1.9  downgrade
    """
    old = found.groupby([*MACHINE, "line"], sort=False)[["version", "last"]].shift()
    changes = found.assign(from_version=old["version"], last_old=old["last"])[old["last"].notna()]
    upward = [
        version_key(a) < version_key(b) for a, b in zip(changes["from_version"], changes["spelled_first"], strict=True)
    ]
    kind = pd.Series(upward, index=changes.index, dtype="bool").map({True: "upgrade", False: "downgrade"})
    changes = changes.assign(kind=kind.astype("str"))
    changes = changes.rename(columns={"spelled_first": "to_version", "first": "first_new"})
    columns = [*MACHINE, "os_type", "from_version", "to_version", "kind", "last_old", "first_new"]
    return _of_machines(changes)[columns].reset_index(drop=True)


def rolled_back(changes: pd.DataFrame) -> pd.Series:
    """Mark the downgrades that undo an earlier upgrade: back to the version from which it had set out.

    Parameters
    ----------
    changes : pandas.DataFrame
        As `transitions` gives them.

    Returns
    -------
    pandas.Series of bool
        On the index of ``changes``; True for a downgrade to the version from which an earlier upgrade of the
        same machine had set out.

    Examples
    --------
    >>> changes = pd.DataFrame({"resource_id": "", "computer": ["a", "a", "b"], "kind":
    ...     ["upgrade", "downgrade", "downgrade"], "from_version": ["1.1", "1.2", "1.2"],
    ...     "to_version": ["1.2", "1.1", "1.1"]})
    >>> rolled_back(changes).tolist()
    [False, True, False]
    """
    before, marks = {}, []
    columns = [*MACHINE, "kind", "from_version", "to_version"]
    for resource, computer, kind, old, new in changes[columns].itertuples(index=False):
        left = before.setdefault((resource, computer), set())
        marks.append(kind == "downgrade" and version_key(new) in left)
        if kind == "upgrade":
            left.add(version_key(old))
    return pd.Series(marks, index=changes.index, dtype="bool")


def _of_machines(changes):
    """Make one change of the same step that several agents of a machine take within the hour.

    It lies between the last old beat of any of them and the first new beat of any of them.
    """
    step = [*MACHINE, "from_version", "to_version"]
    changes = changes.sort_values([*step, "first_new"], kind="stable")
    same = changes.duplicated(step) & (changes["line"] != changes["line"].shift())
    same &= changes["first_new"].diff() <= pd.Timedelta(hours=1)
    first = changes[~same].copy()
    number = (~same).cumsum()
    earliest = changes["first_new"].groupby(number).transform("first")
    old = changes["last_old"].where(changes["last_old"] < earliest)
    first["last_old"] = old.groupby(number).max().array
    return first.sort_values([*MACHINE, "line", "first_new"], kind="stable")


def _lines(spans):
    """Number the agents of each machine that report at once, so that within a line nothing overlaps."""
    spans = spans.sort_values([*MACHINE, "first", "last"], ignore_index=True, kind="stable")
    reached = reached_before(spans, MACHINE, "first", "last")
    spans["line"] = 0
    several = (spans["first"] <= reached).groupby([spans[k] for k in MACHINE]).transform("any")
    for _, part in spans[several].groupby(MACHINE, sort=False):
        spans.loc[part.index, "line"] = _split(part)
    return spans.sort_values([*MACHINE, "line", "first"], ignore_index=True, kind="stable")


def _split(part):
    """Give each stretch the line that ended before it, the one of its own agent and version before others."""
    ends, numbers = [], []
    for agent, version, first, last in part[["agent", "version", "first", "last"]].itertuples(index=False):
        free = [n for n, (end, *_) in enumerate(ends) if end < first]
        number = max(free, key=lambda n: (ends[n][1] == agent, ends[n][2] == version, ends[n][0]), default=len(ends))
        ends[number : number + 1] = [(last, agent, version)]
        numbers.append(number)
    return numbers


def versions_around(stretches: pd.DataFrame, runs: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Give the version of each machine before and after a stretch (last, first); empty where there was none.

    Of several that report at once it is the one that reported longest, and the one that reported first.
    """
    past = runs.sort_values("first", kind="stable", ignore_index=True)
    longest = past["last"] == past.groupby(MACHINE)["last"].cummax()
    past["version"] = past["version"].where(longest).groupby([past[key] for key in MACHINE]).ffill()
    coming = runs.sort_values("last", kind="stable", ignore_index=True)[::-1]
    earliest = coming["first"] == coming.groupby(MACHINE)["first"].cummin()
    named = coming["spelled_first"].where(earliest)
    coming = coming.assign(spelled_first=named.groupby([coming[key] for key in MACHINE]).ffill())[::-1]
    before = _beside(
        stretches, past[[*MACHINE, "first", "version"]].rename(columns={"first": "at"}), "last", "backward"
    )
    after = _beside(
        stretches, coming[[*MACHINE, "last", "spelled_first"]].rename(columns={"last": "at"}), "first", "forward"
    )
    return before, after


def _beside(stretches, named, edge, direction):
    """Give the name that stands nearest to an edge of each stretch, on its side, of the same machine."""
    left = stretches[[*MACHINE, edge]].rename_axis("row").reset_index().dropna(subset=[edge]).sort_values(edge)
    found = pd.merge_asof(left, named, left_on=edge, right_on="at", by=MACHINE, direction=direction)
    return found.set_index("row").iloc[:, -1].reindex(stretches.index).fillna("")
