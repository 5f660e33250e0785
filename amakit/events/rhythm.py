"""How many rows does a source of events write in an hour, as its other hours tell, and how unevenly?

The rate of an hour comes from the source's other hours, never from that hour itself: from all of them, from the same
hour of the day, from the same hour of weekdays or weekends, or from the same hour of the week, whichever foretells
left-out hours best (quasi-Poisson deviance, leaving one out; a finer profile is shrunk towards the coarser one).

Rows come in clusters.  With the variance ``F`` times the mean (the Fano factor), the probability of no row where ``E``
are expected is ``exp(-c E)`` with ``c = ln F / (F - 1)``: that of a negative binomial whose Fano factor holds at every
length.  ``c`` is lowered until the longest other silence of the source is nothing special for it either.
"""

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

#: A probability below this decides: one false alarm in 1,000 tests, at most.
ALPHA = 0.001
#: Hours of the day and parts of the week that the history does not show stay without a rate, unless the source was
#: watched for so many hours of the day and had a row in each: then its quietest hour stands for them.
LEAST_HOURS = 16
_PRIOR = 0.1  # rows that a finer profile borrows from the coarser one: an hour without any row is not impossible
_FINER = 0.9  # a finer profile is taken where it leaves less than this share of the deviance


@dataclass(frozen=True)
class Rhythm:
    """What the history of one source tells.

    Attributes
    ----------
    rates : numpy.ndarray
        Rows expected in each hour of the grid; 0 where the history does not carry a rate.
    fano : float
        Variance of the rows of an hour, in units of its mean; at least 1.
    clusters : float
        The ``c`` of the module: independent clusters for each row.
    rows : float
        Rows in the history.
    carried : numpy.ndarray of bool
        Hours of the grid for which the history carries a rate.
    """

    rates: np.ndarray
    fano: float
    clusters: float
    rows: float
    carried: np.ndarray


def cells_of(hours: pd.DatetimeIndex) -> list[np.ndarray]:
    """Number the cells of each profile, from the coarsest to the finest, for the hours of a grid.

    The weekend begins and ends at another hour in UTC than where the machine stands: the hours of Friday that are
    Saturday's working hours in the far east, and those of Monday that are Sunday's in the far west, are parts of
    their own.
    """
    clock, day = hours.hour.to_numpy(), hours.day_of_week.to_numpy()
    part = np.where(day >= 5, 1, 0)
    part = np.where((day == 4) & (clock >= 17), 2, np.where((day == 0) & (clock < 10), 3, part))
    return [np.zeros(len(hours), int), clock, part * 24 + clock, day * 24 + clock]


def rhythm(counts: np.ndarray, exposure: np.ndarray, cells: list[np.ndarray]) -> Rhythm:
    """Tell the rhythm of a source from the hours in which it was watched.

    Parameters
    ----------
    counts : numpy.ndarray
        Rows in each hour of the grid.
    exposure : numpy.ndarray
        Share of each hour that belongs to the history: 0 for what is in question.
    cells : list of numpy.ndarray
        From `cells_of`.

    Returns
    -------
    Rhythm

    Examples
    --------
    >>> hours = pd.date_range("2026-03-02", periods=96, freq="h", tz="UTC")
    >>> office = np.where((hours.hour >= 8) & (hours.hour < 18), 60.0, 0.0)
    >>> told = rhythm(office, np.ones(96), cells_of(hours))
    >>> [round(float(told.rates[h])) for h in (3, 12)], told.fano
    ([0, 60], 1.0)
    """
    there = exposure > 0.05
    many = int(there.sum())
    rows = float(counts[there].sum())
    nothing = np.zeros(len(counts))
    if many < 2 or rows == 0:
        return Rhythm(nothing, 1.0, 1.0, rows, nothing.astype(bool))
    seen, weight = np.where(there, counts, 0.0), np.where(there, exposure, 0.0)
    best, least, profiles = None, np.inf, []
    parent = np.full(len(counts), rows / weight.sum())
    for cell in cells:
        total, time = (np.bincount(cell, v, minlength=cell.max() + 1)[cell] - v for v in (seen, weight))
        rate = (total + _PRIOR) / (time + _PRIOR / np.maximum(parent, 1e-9))
        deviance = _deviance(seen[there], (rate * weight)[there])
        if best is None or deviance < _FINER * least:
            best, least = rate, deviance
        parent = rate
        profiles.append(rate)
    # one weekend is too few to choose a profile by, and enough to show that nobody works then
    best = np.where(cells[2] >= 24, np.minimum(best, profiles[2]), best)  # type: ignore[arg-type]
    mean = (best * weight)[there]
    squares, some = (seen[there] - mean) ** 2, mean >= 1
    fano = squares.sum() / mean.sum()
    if some.any():  # busy hours must not hide how uneven quieter ones are
        fano = max(fano, (squares[some] / mean[some]).mean())
    fano = max(1.0, 1 + (fano - 1) * (1 + np.sqrt(8 / many)))
    clusters = np.log(fano) / (fano - 1) if fano > 1 + 1e-9 else 1.0
    carried = np.bincount(cells[2], weight > 0.5, minlength=cells[2].max() + 1)[cells[2]] - (weight > 0.5) > 0
    whole = exposure > 0.95
    floor = counts[whole].min() if len(set(cells[1][whole])) >= LEAST_HOURS else 0.0
    rates = np.where(carried, best, np.minimum(floor, best))
    return Rhythm(rates, float(fano), float(clusters), rows, carried | (floor > 0))


def _deviance(seen, mean):
    mean = np.maximum(mean, 1e-9)
    return 2 * float((seen * np.log(np.maximum(seen, 1e-300) / mean) * (seen > 0) - (seen - mean)).sum())


def evenly(told: Rhythm, start: float, end: float) -> float:
    """Give the rows that a rhythm lets expect between instants, were those of each hour spread evenly over it."""
    sums = np.append(0.0, told.rates.cumsum())
    return float(np.diff(np.interp([start, end], np.arange(len(sums)), sums))[0])


def expected(told: Rhythm, start: "ArrayLike", end: "ArrayLike") -> np.ndarray:
    """Give the rows that a rhythm lets expect between instants, which are hours from the start of the grid.

    Where within an hour its rows lie is not known, and a batch may fill a part of it only: of the hours at both ends
    the lower rate of the hour and its neighbour in the stretch counts.

    Examples
    --------
    >>> hours = pd.date_range("2026-03-02", periods=96, freq="h", tz="UTC")
    >>> told = rhythm(np.full(96, 30.0), np.ones(96), cells_of(hours))
    >>> expected(told, 5 + 50 / 60, 6 + 10 / 60).round(6)
    np.float64(10.0)
    """
    start, end = (np.asarray(when, dtype="float64") for when in (start, end))
    sums = np.append(0.0, told.rates.cumsum())
    rates = np.append(told.rates, 0.0)
    low, high = (np.minimum(when.astype(int), len(told.rates)) for when in (start, end))
    before, after = np.maximum(high - 1, 0), np.minimum(low + 1, len(told.rates))
    edges = (low + 1 - start) * np.minimum(rates[low], rates[after])
    edges = edges + (end - high) * np.minimum(rates[high], rates[before])
    return np.where(low == high, (end - start) * rates[low], sums[high] - sums[np.minimum(low + 1, high)] + edges)


def none_probability(told: Rhythm, rows: "ArrayLike") -> np.ndarray:
    """Give the probability of no row where so many are expected; that the rate is an estimate makes it larger.

    Examples
    --------
    >>> none_probability(Rhythm(np.ones(1), 1.0, 1.0, 1000.0, np.ones(1, bool)), [0.0, 7.0]).round(4)
    array([1.e+00, 9.e-04])
    """
    rows = np.maximum(np.asarray(rows, dtype="float64"), 0.0)
    if told.rows <= 0:
        return np.ones_like(rows)
    return np.exp(-told.clusters * told.rows * np.log1p(rows / told.rows))


@dataclass(frozen=True)
class Hours:
    """One source, hour by hour; instants are hours from the start of the grid.

    Attributes
    ----------
    counts : numpy.ndarray
        Rows in each hour of the grid.
    exposure : numpy.ndarray
        Share of each hour that may serve as history.
    first, last : numpy.ndarray
        First and last row of each hour that has any.
    until : float
        Where the table ends.
    cells : list of numpy.ndarray
        From `cells_of`.
    alive : numpy.ndarray
        Share of each hour in which the machine was on and its table recorded: nothing is expected of the rest.
    """

    counts: np.ndarray
    exposure: np.ndarray
    first: np.ndarray
    last: np.ndarray
    until: float
    cells: list[np.ndarray]
    alive: np.ndarray
    _told: dict[tuple[int, ...], Rhythm] = field(init=False, repr=False, default_factory=dict)

    def gaps(self) -> tuple[np.ndarray, np.ndarray]:
        """Give where the stretches between the rows of different hours start and end; the last ends with the table."""
        return self.last, np.append(self.first[1:], max(self.until, self.last[-1]))

    def without(self, gaps: "ArrayLike") -> Rhythm:
        """Tell the rhythm as if nothing were known of some gaps; what remains must not find its own silences rare."""
        gaps = np.atleast_1d(np.asarray(gaps, int))
        asked = tuple(sorted(gaps.tolist()))
        if asked not in self._told:  # the same are asked for at each outage, and where silences are sought
            self._told[asked] = self._without(gaps)
        return self._told[asked]

    def _without(self, gaps):
        starts, ends = self.gaps()
        questioned = np.zeros(len(self.counts), bool)
        for start, end in zip(starts[gaps], ends[gaps], strict=True):
            questioned[int(start) : int(np.ceil(end))] = True
        told = rhythm(self.counts, np.where(questioned, 0.0, self.exposure), self.cells)
        told = replace(told, rates=told.rates * self.alive)
        others = np.delete(expected(told, starts, ends)[:-1], gaps[gaps < len(starts) - 1])
        longest = others.max(initial=0.0)
        many = max(2, int((self.exposure > 0).sum()))
        if longest * told.clusters > np.log(many):
            told = replace(told, clusters=float(np.log(many) / longest))
        return told


def silences(source: Hours, questioned: "ArrayLike" = (), most: int = 12) -> list[tuple[int, float, float]]:
    """Find the gaps of a source that its own rhythm does not explain, the longest first.

    Parameters
    ----------
    source : Hours
    questioned : array-like of int
        Gaps that are under question anyway, such as those at outages; they are no history.
    most : int
        So many at most.

    Returns
    -------
    list of (int, float, float)
        Place among the gaps, rows expected in it, and the probability of none, for as many hours as were watched.

    Examples
    --------
    >>> hours = pd.date_range("2026-03-02", periods=96, freq="h", tz="UTC")
    >>> counts, there = np.full(96, 30.0), np.r_[0:40, 50:96]
    >>> counts[40:50] = 0
    >>> source = Hours(counts, np.ones(96), there + 0.01, there + 0.99, 96.0, cells_of(hours), np.ones(96))
    >>> [(gap, round(rows)) for gap, rows, _ in silences(source)]
    [(39, 301)]
    """
    found: list[tuple[int, float, float]] = []
    known = list(np.asarray(questioned, int))
    starts, ends = source.gaps()
    many = max(1, int((source.exposure > 0).sum()))
    # a batch that begins a minute early writes into another hour: an hour at both ends proves nothing
    middle = np.minimum(starts + 1, ends), np.maximum(ends - 1, np.minimum(starts + 1, ends))
    middle[1][-1] = max(ends[-1], middle[0][-1])
    while len(found) < most:
        told = source.without(known)
        # hours of which there is no other example, such as those of the one Monday of a week, have no rate while they
        # count as history; those of the quietest hour with rows say which gap to look at
        other = np.where(told.carried, told.rates, source.counts[source.counts > 0].min(initial=source.counts.max()))
        for rates in (told.rates, other * source.alive):
            lengths = expected(replace(told, rates=rates), *middle)
            lengths[known] = 0.0
            gap = int(lengths.argmax())
            alone = source.without([*known, gap])
            probability = min(
                1.0, many * float(none_probability(alone, expected(alone, middle[0][gap], middle[1][gap])))
            )
            if lengths[gap] > 0 and probability < ALPHA:
                break
        else:
            break
        found.append((gap, float(expected(alone, starts[gap], ends[gap])), probability))
        known.append(gap)
    return found
