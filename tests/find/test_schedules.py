"""Schedules of a stream: jitter does not make several of one, and two that take turns are told apart."""

import numpy as np
import pytest

from amakit.find.schedules import split


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
