"""Did what is read from a log come after all, source by source, or was it lost, and which sources fell silent?

That events are never lost is a claim, and this is a test of it.  Four tests could contradict it, each with a
probability below `ALPHA`:

*Inside*: fewer rows than bins of the same length hold in hours of the same rate, in the time in which the agent was
certainly away, ``[start_latest, end_earliest)``: a row from there can only have been read afterwards.  The rows are
negative binomial with the mean and variance of the bins; the probability is at least the share of bins with as few.

*Hours*: fewer rows than the hours that the outage touches should have, as `amakit.events.rhythm` foretells them.

*Silence*: no row until long after the outage, where the source's own rhythm lets expect some.  Where only the time
before the outage makes a silence long, it is a silence, but not the outage's: undetermined.

*Record numbers*: see `amakit.events.continuity`.

That nothing was lost is a claim as well: ``recovered`` is said where so many rows came that with half of them lost
that would be as improbable, or where every record number is there.
"""

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from amakit.events.rhythm import ALPHA
from amakit.schemas import Verdict

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

#: Rows are in keeping with what is expected where the probability of so few is at least this.
QUIET = 0.05
#: So few expected rows are next to nothing: none of them came in one of twenty times by chance.
SMALL = 3.0
#: Fewer than one expected row: that nothing could be lost is said of no more.
LITTLE = 1.0
FEWEST_BINS = 12
#: While a machine is off, nothing is written.
OFF = ("machine_stopped", "machine_restarted", "machine_removed")


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
        itself, in squares of the mean; below zero where the rows are more even than Poisson.

    Examples
    --------
    >>> mean, spread = rate([200], [2190], [20])  # ten rows, give or take 3.2: Poisson
    >>> float(mean[0]), round(float(spread[0]), 4)
    (10.0, 0.005)
    """
    total, squares, bins = (np.asarray(v, dtype="float64") for v in (total, squares, bins))
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = total / bins
        excess = (squares - total * mean) / (bins - 1) - mean
        unsure = np.sqrt(8 / (bins - 1))  # of the variance itself: rows are no more even than it surely says
        excess *= np.where(excess > 0, 1 + unsure, np.fmax(1 - unsure, 0))
        spread = (excess + (mean + np.fmax(excess, 0)) / bins) / mean**2
    return mean, np.where(mean > 0, spread, 0.0)


def tail(rows: "ArrayLike", mean: "ArrayLike", spread: "ArrayLike", share: "ArrayLike" = 0.0) -> np.ndarray:
    """Give the probability of so few rows or fewer; rows that are more even than Poisson are taken as Poisson.

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

    rows, mean = (np.asarray(v, dtype="float64") for v in (rows, mean))
    size = 1 / np.maximum(spread, 1e-9)
    few = np.where(rows < 0, 0.0, betainc(size, np.floor(np.maximum(rows, 0.0)) + 1, size / (size + mean)))
    return np.fmax(np.where(mean > 0, few, 1.0), share)


def half_lost(rows: "ArrayLike", mean: "ArrayLike", spread: "ArrayLike") -> np.ndarray:
    """Give the probability of so many rows or more, had each of the expected ones been lost with one half.

    Examples
    --------
    >>> half_lost([6, 40, 40, 20], [6.0, 40.0, 40.0, 20.0], [0.0, 0.0, 0.5, -1 / 20]).round(4)
    array([8.390e-02, 1.000e-04, 1.024e-01, 0.000e+00])
    """
    from scipy.special import betainc

    rows, mean, spread = (np.asarray(v, dtype="float64") for v in (rows, mean, spread))
    half = mean / 2
    more = 1 - tail(rows - 1, half, spread)  # thinned rows have the same spread
    with np.errstate(divide="ignore", invalid="ignore"):
        certain = np.clip(-spread * half, 1e-9, 0.5)  # of a binomial with the variance that thinning leaves
        draws = half / certain
        even = np.where(rows <= draws, betainc(np.maximum(rows, 1e-9), np.maximum(draws - rows, 0) + 1, certain), 0.0)
    return np.where(spread < 0, even, more)


def judge(found: pd.DataFrame) -> pd.Series:
    """Give the verdict on each source and outage.

    Parameters
    ----------
    found : pandas.DataFrame
        cause; ongoing (the outage); apart (rows of the source cannot be told apart by machine); rows_inside, expected
        and spread inside; carried (whether the history carries a rate for all of it); inside_probability and
        hours_probability (of so few); bins; replayed (the missing rows came stamped with the minutes after the outage);
        stamped (the source tells when a row arrived); covered (the table reaches to the outage on both sides);
        silence_probability (of no row in the silence over the outage), after_probability (in its part after the
        outage), before_probability (in its part before), returned (whether the source came back);
        records_probability, records_whole (no record number is missing); outage and data_type, to tell which rows are
        of one table in one outage.

    Returns
    -------
    pandas.Series of str

    Examples
    --------
    >>> found = pd.DataFrame({"cause": "upgrade", "ongoing": False, "apart": False, "rows_inside": [40, 0, 0, 19],
    ...     "expected": [40., 9., .4, 40.], "spread": 0., "inside_probability": [.5, 1e-4, .4, 1e-4],
    ...     "hours_probability": 1., "bins": 99, "replayed": False, "stamped": False, "covered": True,
    ...     "silence_probability": 1., "after_probability": 1., "before_probability": 1., "returned": True,
    ...     "records_probability": np.nan, "records_whole": False, "outage": range(4),
    ...     "data_type": "Syslog", "carried": True})
    >>> judge(found).tolist()
    ['recovered', 'possible_loss', 'none_expected', 'partial_loss']
    """
    rows, off = found["rows_inside"] > 0, found["cause"].isin(OFF)
    away = found["after_probability"] < ALPHA
    few = found[["inside_probability", "hours_probability"]].min(axis=1) < ALPHA
    loss = [Verdict.PARTIAL_LOSS, Verdict.POSSIBLE_LOSS]
    rules: list[tuple[pd.Series, str]] = [
        (found["ongoing"] | found["apart"] | (found["cause"] == "not_recorded"), Verdict.UNDETERMINED),
        (found["records_whole"] & rows, Verdict.RECOVERED),
        (found["records_whole"], Verdict.NONE_EXPECTED),
        (found["before_probability"] < ALPHA, Verdict.UNDETERMINED),  # it was silent already
        (away & ~found["returned"], Verdict.STOPPED),
        (away & (found["stamped"] | found["replayed"]), Verdict.UNDETERMINED),
        (away, Verdict.RETURNED_LATE),
        *(
            ((found["records_probability"] < ALPHA) & (rows == part), said)
            for part, said in zip((True, False), loss, strict=True)
        ),
        (found["stamped"] | (~found["covered"].astype("bool") & ~rows), Verdict.UNDETERMINED),
        (off & ~rows, Verdict.NONE_EXPECTED),
        (few & (found["replayed"] | ~found["covered"]), Verdict.UNDETERMINED),
        *((few & (rows == part), said) for part, said in zip((True, False), loss, strict=True)),
        (found["silence_probability"] < ALPHA, Verdict.UNDETERMINED),
        (off | ~found["carried"] | found["expected"].isna(), Verdict.UNDETERMINED),  # how long it was on is not known
    ]
    conditions = [condition.to_numpy(dtype="bool", na_value=False) for condition, _ in rules]
    firm = np.select(conditions, [str(said) for _, said in rules], "")
    return pd.Series(np.where(firm == "", _of_many(found, firm == ""), firm), found.index, dtype="str")


def _of_many(found, weak):
    """Judge the sources that are too quiet to tell anything alone, those of one table and outage together.

    What several quiet sources lost together is a loss of each of them; and little is expected only where little is
    expected of all of them.
    """
    pool = found[weak]
    keys = [pool["outage"], pool["data_type"]]
    own = pd.DataFrame({"rows": pool["rows_inside"].astype("float64"), "mean": pool["expected"].astype("float64")})
    own["excess"] = pool["spread"] * own["mean"] ** 2
    joint = own.groupby(keys).transform("sum")
    many = own["rows"].groupby(keys).transform("size") > 1
    spread = (joint["excess"] / joint["mean"] ** 2).where(joint["mean"] > 0, 0.0)
    together = pd.Series(tail(joint["rows"], joint["mean"], spread), pool.index)
    alone = pool["inside_probability"].fillna(1.0)
    lost = many & (together < ALPHA) & ~pool["replayed"] & pool["covered"]
    fits = (together.where(many, alone) >= QUIET) & (alone >= QUIET)
    proven = fits & (half_lost(joint["rows"], joint["mean"], spread) < ALPHA)
    proven |= (alone >= QUIET) & (half_lost(own["rows"], own["mean"], pool["spread"]) < ALPHA)
    rows = own["rows"] > 0
    # nor where the source stayed away for so long afterwards that some were due in all
    little = ~rows & (own["mean"] < LITTLE) & (pool["after_probability"] >= QUIET)
    rules = [
        (lost & rows, Verdict.PARTIAL_LOSS),
        (lost, Verdict.POSSIBLE_LOSS),
        (proven & rows, Verdict.RECOVERED),
        (little & (joint["mean"] < LITTLE), Verdict.NONE_EXPECTED),
        (little & proven, Verdict.NONE_EXPECTED),
    ]
    said = np.select([rule.to_numpy(bool) for rule, _ in rules], [str(word) for _, word in rules], "undetermined")
    return pd.Series(said, pool.index).reindex(found.index, fill_value="").to_numpy()


def stretches(outages: pd.DataFrame, horizon: pd.Timestamp) -> pd.DataFrame:
    """Say for each outage which time lies inside it for certain, and which it may have touched (outer).

    An outage that goes on ends at the horizon; one whose start is not known counts as going on.  Where the brackets
    cross, their midpoints take the place of the certain ends.
    """
    over = outages["ongoing"].fillna(False).astype("bool")
    low, high = outages["start_earliest"], outages["start_latest"]
    early, late = (outages[c].where(~over, horizon) for c in ("end_earliest", "end_latest"))
    low, high = low.fillna(high), high.fillna(low)
    early, late = early.fillna(late).fillna(horizon), late.fillna(early).fillna(horizon)
    crossed = high >= early
    start, end = high.where(~crossed, low + (high - low) / 2), early.where(~crossed, early + (late - early) / 2)
    end = end.clip(upper=horizon)
    return pd.DataFrame(
        {
            "resource_id": outages["resource_id"].str.lower(),
            "computer": outages["computer"].str.lower(),
            "cause": outages["cause"],
            "outage_start": outages["start_earliest"],
            "ongoing": over | start.isna(),
            "start": start,
            "end": end.where(end > start, start),
            "outer_start": low,
            "outer_end": late,
        }
    ).reset_index(drop=True)


def sides_of(items: pd.DataFrame, edges: list[pd.Series]) -> pd.DataFrame:
    """Make a part of the time between neighbouring edges, numbered from 0, for each item."""
    return pd.concat(
        [
            pd.DataFrame({"item": items.index, "side": side, "Start": start.array, "End": end.array})
            for side, (start, end) in enumerate(pairwise(edges))
        ],
        ignore_index=True,
    )
