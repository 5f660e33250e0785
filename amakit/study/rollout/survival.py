"""What share of the fleet runs a release after so many days, with confidence bands?"""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from amakit.study.groups import in_days

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    pass


#: Brackets wider than this share of the mean lag call for the estimate that takes intervals as they are.
_WIDE = 0.1
#: Intervals drawn for a band, at most; but fifty fleets are drawn in any case.
_DRAWN = 400_000


def curve(lags: pd.DataFrame, level: float = 0.95, draws: int = 200) -> pd.DataFrame:
    """Estimate the share of machines that had upgraded, by lag, with a confidence band.

    Where brackets are narrow against the lags, upgrades are taken in the middle of theirs and the estimate is that of
    Kaplan and Meier [1]_, from `scipy.stats.ecdf`, whose band (log-log, from Greenwood's formula) is pointwise.
    Elsewhere, and where machines had upgraded before they were watched, it is the nonparametric maximum-likelihood
    estimate for interval-censored data, see `turnbull`, with a pointwise percentile band over resampled machines.  Half
    the width of the origin's interval is one shift for all machines, not noise of each, so the band is moved by it to
    both sides.

    Machines are taken as independent of each other.  Those of one batch are not quite, and the band is then too narrow.

    Parameters
    ----------
    lags : pandas.DataFrame
        As `lags` gives them; rows with a reason in ``left_out`` take no part.
    level : float
        Of the confidence band.
    draws : int
        Resamples for the band of the interval-censored estimate; the seed is fixed.

    Returns
    -------
    pandas.DataFrame
        By os_type and version, one row per step: day, share, low, high (from that day on), method (``kaplan_meier`` or
        ``turnbull``).  The first day is minus infinity where some had upgraded before they were watched.

    References
    ----------
    .. [1] E. L. Kaplan and P. Meier, "Nonparametric estimation from incomplete observations", J. Am. Stat. Assoc. 53
       (1958) 457-481.

    Examples
    --------
    >>> own = pd.DataFrame({"os_type": "Linux", "version": "1.38", "left_out": "", "low": [1.0, 2.0, 3.0, 4.0],
    ...     "high": [1.0, 2.0, np.inf, 4.0], "origin_earliest": 0, "origin_latest": 0})
    >>> curve(own)[["day", "share"]].values.tolist()
    [[1.0, 0.25], [2.0, 0.5], [3.0, 0.5], [4.0, 1.0]]
    """
    parts = [
        steps.assign(os_type=os_type, version=version, method=method)
        for (os_type, version), _, steps, method in adoption_curves(lags, [], level, draws)
    ]
    columns = ["os_type", "version", "day", "share", "low", "high", "method"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def turnbull(
    low: "ArrayLike", high: "ArrayLike", weights: "ArrayLike | None" = None, tolerance: float = 1e-7, most: int = 5000
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Estimate a distribution from intervals, of each of which is known only that it holds the value.

    The nonparametric maximum-likelihood estimate puts mass on certain innermost intervals only, and where within them
    does not matter to it; the mass is found by self-consistency, which is an EM algorithm [1]_.  Each observation holds
    a contiguous stretch of innermost intervals, so a step costs as much as there are observations.

    Parameters
    ----------
    low, high : array-like of float
        Each value lies in ``(low, high]``; equal ends are an exact value; ends may be infinite.
    weights : array-like of float, optional
        How often each interval counts; two-dimensional for several estimates at once, one a row.
    tolerance : float
        Stop when the distribution changes nowhere by more.
    most : int
        Stop after so many steps.

    Returns
    -------
    tuple of numpy.ndarray
        Left and right ends of the innermost intervals, and their mass, with a row for each row of ``weights``.

    References
    ----------
    .. [1] B. W. Turnbull, "The empirical distribution function with arbitrarily grouped, censored and truncated data",
       J. R. Stat. Soc. B 38 (1976) 290-295.

    Examples
    --------
    >>> left, right, mass = turnbull([0, 1, 3], [2, 4, np.inf])
    >>> left.tolist(), right.tolist(), mass.round(3).tolist()
    ([1.0, 3.0], [2.0, 4.0], [0.5, 0.5])
    """
    from scipy.sparse import csr_array

    low, high = np.asarray(low, dtype=float), np.asarray(high, dtype=float)
    if len(low) == 0 or np.isnan(low).any() or np.isnan(high).any() or (low > high).any():
        raise ValueError("intervals are needed that do not end before they begin")
    count = len(low)
    weights = np.ones((1, count)) if weights is None else np.atleast_2d(np.asarray(weights, dtype=float))
    # at one value come first the exact, then ends that belong to their interval, then beginnings that do not
    kind = np.concatenate([np.where(low == high, 0, 2), np.ones(count)])
    order = np.lexsort([kind, np.concatenate([low, high])])
    rank = np.empty(2 * count, dtype=np.int64)
    rank[order] = np.arange(2 * count)
    begins = order < count
    inner = np.flatnonzero(begins[:-1] & ~begins[1:])
    left, right = np.concatenate([low, high])[order[inner]], np.concatenate([low, high])[order[inner + 1]]
    first = np.searchsorted(inner, rank[:count])
    after = np.searchsorted(inner + 1, rank[count:], side="right")
    stretches, same = np.unique(np.stack([first, after], axis=1), axis=0, return_inverse=True)
    first, after = stretches.T
    put = csr_array((np.ones(count), (np.arange(count), same.ravel())), shape=(count, len(stretches)))
    weights = weights @ put
    rows = np.arange(len(first))
    ends = csr_array(
        (np.repeat([1.0, -1.0], len(rows)), (np.tile(rows, 2), np.concatenate([first, after]))),
        shape=(len(rows), len(inner) + 1),
    )
    total = weights.sum(axis=1, keepdims=True)
    mass = np.full((len(weights), len(inner)), 1 / len(inner))
    for _ in range(most):
        summed = np.pad(np.cumsum(mass, axis=1), ((0, 0), (1, 0)))
        held = summed[:, after] - summed[:, first]
        share = np.divide(weights, held, out=np.zeros_like(held), where=held > 0)
        new = mass * np.cumsum(share @ ends, axis=1)[:, :-1].clip(0) / total
        moved = np.abs(np.cumsum(new - mass, axis=1)).max()
        mass = new
        if moved < tolerance:
            break
    return left, right, mass[0] if len(mass) == 1 else mass


def adoption_curves(
    lags: pd.DataFrame, by: Sequence[str], level: float, draws: int
) -> Iterator[tuple[tuple, pd.DataFrame, pd.DataFrame, str]]:
    """Give for each version, and whatever else is asked for, its rows, the steps of its curve, and the method."""
    for key, own in lags.groupby(["os_type", "version", *by], sort=False):
        used = own[own["left_out"] == ""]
        width = (used["origin_latest"] - used["origin_earliest"]).max() if len(used) else 0
        half = in_days(width) / 2 if isinstance(width, pd.Timedelta) else 0.0
        low, high = used["low"].to_numpy("float64") + half, used["high"].to_numpy("float64") - half
        method = _method(low, high)
        estimate = {"kaplan_meier": _kaplan_meier, "turnbull": _interval_censored}[method]
        day, share, lower, upper = estimate(low, high, level, draws) if len(used) else [np.empty(0)] * 4
        yield key, own, _widened(day, share, lower, upper, half), method


def _method(low, high):
    event = np.isfinite(high)
    if not event.any() or np.isneginf(low).all():
        return "kaplan_meier" if not np.isneginf(low).any() else "turnbull"
    exact = event & np.isfinite(low)
    if (event & ~exact).any():
        return "turnbull"
    wide = np.quantile((high - low)[exact], 0.9) > _WIDE * np.abs((high + low)[exact] / 2).mean()
    return "turnbull" if wide and (high > low).any() else "kaplan_meier"


def _kaplan_meier(low, high, level, draws):
    from scipy import stats

    event = np.isfinite(high)
    if not event.any():
        return [np.unique(low), *[np.zeros(len(np.unique(low)))] * 2, np.zeros(len(np.unique(low)))]
    sample = stats.CensoredData(uncensored=(low[event] + high[event]) / 2, right=low[~event])
    found = stats.ecdf(sample).cdf
    with np.errstate(all="ignore"), warnings.catch_warnings(action="ignore"):
        band = found.confidence_interval(level, method="log-log")
    share = found.probabilities
    inner = (share > 0) & (share < 1)  # beyond, the formula has no value
    lower = pd.Series(band.low.probabilities).where(inner).ffill().fillna(0.0).to_numpy()
    upper = np.where(inner, band.high.probabilities, share)
    return found.quantiles, share, lower, upper


def _interval_censored(low, high, level, draws):
    left, right, mass = turnbull(low, high)
    draws = max(min(draws, _DRAWN // len(low)), 50)
    counts = np.random.default_rng(0).multinomial(len(low), np.full(len(low), 1 / len(low)), size=draws)
    # a first row holds the estimate itself, so that there are two rows at least
    *_, drawn = turnbull(low, high, np.vstack([np.ones(len(low)), counts]), tolerance=1e-4, most=500)
    reached = np.isfinite(right)
    day = np.where(np.isfinite(left), (left + right) / 2, right)[reached]
    summed = np.cumsum(drawn[1:], axis=1)[:, reached]
    tail = (1 - level) / 2
    steps = [day, np.cumsum(mass)[reached], np.quantile(summed, tail, axis=0), np.quantile(summed, 1 - tail, axis=0)]
    if np.isneginf(left[0]):  # how long before the first end is not known: the band is open there
        steps = [np.concatenate([[begin], own]) for begin, own in zip([-np.inf, 0, 0, steps[3][0]], steps, strict=True)]
    return steps


def _widened(day, share, low, high, half):
    """Move the band by half the width of the origin's interval: its lower edge later, its upper edge earlier."""
    if not half or not len(day):
        return pd.DataFrame({"day": day, "share": share, "low": low, "high": high})
    at = np.unique(np.concatenate([day, day + half, day - half]))
    return pd.DataFrame(
        {
            "day": at,
            "share": _step(at, day, share),
            "low": _step(at, day + half, low),
            "high": _step(at, day - half, high),
        }
    )


def _step(at, day, value):
    return np.concatenate([[0.0], value])[np.searchsorted(day, at, side="right")]


def summary(lags: pd.DataFrame, by: Iterable[str] = (), level: float = 0.95, draws: int = 200) -> pd.DataFrame:
    """Give the median lag and the time until 90 % had upgraded, each with its confidence interval.

    The interval holds the days at which the band of `curve` holds the share, after Brookmeyer and Crowley [1]_.

    Parameters
    ----------
    lags : pandas.DataFrame
        As `lags` gives them.
    by : iterable of {'place', 'resource_type'}
        Split further by these.
    level, draws
        See `curve`.

    Returns
    -------
    pandas.DataFrame
        By os_type, version and ``by``: machines (that take part), upgraded, before, waiting, never_changed, undone,
        left_out; median, median_low, median_high, ninety, ninety_low, ninety_high (days; infinite where the data do not
        reach that far, NaN where no machine takes part), method.

    References
    ----------
    .. [1] R. Brookmeyer and J. Crowley, "A confidence interval for the median survival time", Biometrics 38 (1982)
       29-41.

    Examples
    --------
    >>> own = pd.DataFrame({"os_type": "Linux", "version": "1.38", "left_out": "", "low": [1.0, 2.0, 3.0, 4.0],
    ...     "high": [1.0, 2.0, np.inf, 4.0], "origin_earliest": 0, "origin_latest": 0, "state": "", "undone": False,
    ...     "never_changed": False})
    >>> summary(own)[["machines", "median", "ninety"]].values.tolist()
    [[4.0, 2.0, 4.0]]
    """
    rows = []
    for key, own, steps, method in adoption_curves(lags, list(by), level, draws):
        used = own[own["left_out"] == ""]
        counts = {state: int((used["state"] == state).sum()) for state in ("upgraded", "before", "waiting")}
        marks = {name: int(used[name].sum()) for name in ("never_changed", "undone")}
        times = {
            f"{name}{end}": _crossing(steps["day"], steps[column], share) if len(used) else np.nan
            for name, share in (("median", 0.5), ("ninety", 0.9))
            for end, column in (("", "share"), ("_low", "high"), ("_high", "low"))
        }
        rows.append(
            dict(zip(["os_type", "version", *by], key, strict=True))
            | {"machines": len(used)}
            | counts
            | marks
            | {"left_out": len(own) - len(used)}
            | times
            | {"method": method}
        )
    ends = [f"{name}{end}" for name in ("median", "ninety") for end in ("", "_low", "_high")]
    counts = ["machines", "upgraded", "before", "waiting", "never_changed", "undone", "left_out"]
    return pd.DataFrame(rows, columns=["os_type", "version", *by, *counts, *ends, "method"])


def _crossing(day, value, share):
    """Give the first day from which on a curve has reached a share."""
    there = np.flatnonzero(np.asarray(value) >= share - 1e-9)
    return float(day.iloc[there[0]]) if len(there) else np.inf
