"""Machines without an agent at once, against counting minute by minute."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from incident import analysis, outage

from amakit.intervals import window
from amakit.study.absences import REASONS, absences, peak

DAY = window("2026-03-02", "2026-03-03")
CAUSES = ["upgrade", "rollback_failed", "machine_stopped", "disconnected", "not_recorded"]


def clock(minute):
    return f"{minute // 60:02}:{minute % 60:02}:00"


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 1300), st.integers(1, 130), st.sampled_from(CAUSES),
                          st.booleans()), max_size=6))  # fmt: skip
def test_a_machine_counts_in_each_hour_that_an_outage_of_it_touches(drawn):
    outages = analysis(
        [
            outage(name, clock(start), "" if on else clock(start + length), cause, slack=0)
            for name, start, length, cause, on in drawn
        ]
    ).outages
    counted = absences(outages, DAY, DAY.end)
    by_hour = [set() for _ in range(24)]
    for name, start, length, cause, on in drawn:
        if cause not in CAUSES[3:]:
            for hour in range(start // 60, 24 if on else (start + length) // 60 + 1):
                by_hour[hour].add(name)
    assert counted[list(REASONS)].sum(axis=1).tolist() == [len(names) for names in by_hour]
    worst = peak(counted)
    assert (worst is None) == (not any(by_hour))
    assert worst is None or worst["machines"] == max(map(len, by_hour))


@pytest.mark.parametrize(("days", "hours"), [(16, 1), (17, 2), (365, 24), (3000, 336)])
def test_a_long_window_has_longer_steps(days, hours):
    end = DAY.start + pd.Timedelta(days=days)
    counted = absences(analysis([]).outages, window(DAY.start, end), end)
    assert counted["step_s"].iloc[0] == hours * 3600
    assert len(counted) <= 401
