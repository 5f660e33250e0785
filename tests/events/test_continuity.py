"""Record numbers that are missing across an outage: the probability is that of a beta-binomial."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import betabinom

from amakit.events.continuity import _at_most

shapes = st.floats(1e-3, 1e5)


@given(numbers=st.integers(0, 400), share=st.floats(0, 1), yes=shapes, no=shapes)
def test_the_probability_is_that_of_scipy(numbers, share, yes, no):
    found = int(share * numbers)
    assert _at_most(found, numbers, yes, no) == pytest.approx(
        betabinom.cdf(found, numbers, yes, no), rel=1e-6, abs=1e-12
    )


def test_none_written_proves_nothing():
    assert _at_most(0, 0, 3.5, 0.5) == pytest.approx(1)


def test_all_missing_where_none_ever_was_is_beyond_chance():
    assert _at_most(0, 100, 500.5, 0.5) < 1e-6
