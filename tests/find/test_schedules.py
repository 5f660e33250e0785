"""Schedules of a stream: jitter does not make several of one, and two that take turns are told apart."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amakit.find.schedules import _median, schedule, split


@pytest.mark.parametrize("interval", [10, 15, 30, 60])
@pytest.mark.parametrize("jitter", [0.1, 0.5, 1.0])
def test_one_schedule_with_jitter_is_not_taken_for_several(interval, jitter):
    random = np.random.default_rng(1)
    for _ in range(20):
        samples = np.arange(0.0, 3600, interval)
        samples = samples + random.normal(0, jitter, len(samples))
        assert len(split(samples, samples + 4000)) == 1


@pytest.mark.parametrize("apart", [9, 20, 28])
@pytest.mark.parametrize("jitter", [0.0, 0.1, 0.3])
def test_two_schedules_that_take_turns_are_told_apart(apart, jitter):
    random = np.random.default_rng(1)
    rule = np.arange(0.0, 3600, 60)
    samples = np.sort(np.r_[rule, rule + apart] + random.normal(0, jitter, 120))
    assert [len(before) for before, _ in split(samples, samples + 4000)] == [60, 60]


SPACINGS = st.lists(st.sampled_from([60.0, 60.0, 60.0, 180.0, 30.0, 11.3711, 1.0, 0.02]), min_size=2, max_size=60)


@given(st.lists(SPACINGS, min_size=1, max_size=3))
def test_whatever_feeds_a_stream_each_sample_belongs_to_one_schedule(rules):
    samples = np.unique(np.concatenate([np.cumsum(rule) + n * 7.3 for n, rule in enumerate(rules)]))
    parts = split(samples, samples + 40_000)
    assert all(len(before) for before, _ in parts)
    assert np.array_equal(np.sort(np.concatenate([before for before, _ in parts])), samples)
    assert len(samples) < 3 or schedule(samples).interval > 0


def test_a_turn_in_which_two_samples_lie_at_one_place_is_no_error():
    """Found by chance: the fifth place of this turn is nearest to no sample, and ended the analysis in a traceback."""
    samples = np.array(
        [0, 11.3711, 60, 61, 71.3711, 72.3711, 121, 132.3711, 181, 182, 192.3711, 193.3711, 242, 253.3711]
    )
    parts = split(samples, samples + 4000)
    assert sum(len(before) for before, _ in parts) == len(samples)


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=30))
def test_the_median_is_that_of_numpy(values):
    assert _median(np.array(values)) == np.median(values)
