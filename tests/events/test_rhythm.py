"""The rhythm of a source: what it lets expect, and how seldom an undisturbed source is said to have fallen silent."""

import numpy as np
import pandas as pd
import pytest

from amakit.events.rhythm import Hours, cells_of, rhythm, silences

MONDAY = pd.Timestamp("2026-03-02", tz="UTC")


def times_of(kind, days, rate, rng, weekday=0):
    """Draw when an undisturbed source writes, in hours from midnight of the first day."""
    end = days * 24.0
    if kind == "poisson":
        times = rng.uniform(0, end, rng.poisson(rate * end))
    elif kind == "bursty":  # clusters of twenty rows, within minutes
        starts = rng.uniform(0, end, rng.poisson(rate * end / 20))
        times = np.concatenate([[], *(start + rng.exponential(0.05, rng.geometric(1 / 20)) for start in starts)])
    elif kind == "office":
        times = rng.uniform(0, end, rng.poisson(3 * rate * end))
        times = times[(times % 24 >= 8) & (times % 24 < 18) & ((times // 24 + weekday) % 7 < 5)]
    else:  # a batch each night, about a minute early or late, and little else
        nights = [24 * d + 2 + rng.normal(0, 1 / 60) + rng.uniform(0, 1, rng.poisson(12 * rate)) for d in range(days)]
        times = np.concatenate([rng.uniform(0, end, rng.poisson(0.1 * rate * end)), *nights])
    return np.sort(times[(times >= 0) & (times < end)])


def source(times, days, weekday=0):
    """Count the rows of one source by the hour, as the query does."""
    grid = pd.date_range(MONDAY + pd.Timedelta(days=weekday), periods=24 * days, freq="h")
    counts = np.bincount(times.astype(int), minlength=24 * days).astype("float64")
    there = np.flatnonzero(counts)
    first, last = times[np.searchsorted(times, there)], times[np.searchsorted(times, there + 1) - 1]
    return Hours(counts, np.ones(24 * days), first, last, 24.0 * days, cells_of(grid), np.ones(24 * days))


@pytest.mark.parametrize("kind", ["poisson", "bursty", "office", "nightly"])
def test_of_200_fleets_without_loss_at_most_two_percent_have_a_silent_source(kind):
    false = 0
    for seed in range(200):
        rng = np.random.default_rng([seed, 16])
        days, weekday, rate = int(rng.choice([3, 7, 14])), int(rng.integers(0, 7)), float(rng.choice([1, 5, 60]))
        times = times_of(kind, days, rate, rng, weekday)
        false += len(times) > 1 and bool(silences(source(times, days, weekday)))
    assert false <= 4


@pytest.mark.parametrize("kind", ["poisson", "office"])
def test_a_source_that_stays_away_for_a_day_is_seen(kind):
    times = times_of(kind, 14, 30, np.random.default_rng(1))
    away = times[(times < 56) | (times >= 80)]  # from Wednesday morning to Thursday morning
    (gap, rows, _), *others = silences(source(away, 14))
    starts, ends = source(away, 14).gaps()
    assert not others
    assert (round(starts[gap]), round(ends[gap])) == (round(times[times < 56][-1]), 80)
    assert rows == pytest.approx(np.sum((times >= 56) & (times < 80)), rel=0.1)


@pytest.mark.parametrize("weekday", range(7))
def test_three_hours_without_a_steady_source_are_seen_whenever_they_are(weekday):
    """Also in the hours of which a short window shows no other example, such as those of its one Monday."""
    times = np.arange(0, 144, 1 / 60) + 0.004
    for start in range(1, 140):
        away = source(times[(times < start) | (times >= start + 3)], 6, weekday)
        (gap, rows, _), *others = silences(away)
        assert not others
        assert round(away.gaps()[0][gap]) == start
        assert rows == pytest.approx(180, rel=0.02)


def test_a_longer_silence_is_never_more_probable():
    times = times_of("bursty", 7, 30, np.random.default_rng(2))
    probabilities = [1.0]
    for hours in (4, 8, 16, 32, 64):
        found = silences(source(times[(times < 50) | (times >= 50 + hours)], 7))
        probabilities.append(found[0][2] if found else 1.0)
    assert probabilities == sorted(probabilities, reverse=True)
    assert probabilities[-1] < 1e-4


def test_a_weekend_that_no_other_shows_is_no_silence():
    times = times_of("office", 7, 60, np.random.default_rng(3))
    told = source(times, 7).without([])
    assert told.rates[5 * 24 + 12] < 0.2
    assert not silences(source(times, 7))


def test_the_rate_of_an_hour_does_not_come_from_itself():
    counts = np.full(96, 30.0)
    counts[40] = 0
    grid = pd.date_range(MONDAY, periods=96, freq="h")
    assert rhythm(counts, np.ones(96), cells_of(grid)).rates[40] == pytest.approx(30, rel=0.01)
