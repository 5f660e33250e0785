"""Intervals: unions of those that overlap, against comparing each with each."""

from itertools import combinations

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amakit.intervals import coalesce, reached_before

INTERVALS = st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 12), st.integers(0, 6)), max_size=8)


def frame_of(rows):
    rows = [(name, start, start + length) for name, start, length in rows]
    return pd.DataFrame(rows, columns=["name", "start", "end"]).astype({"start": "int64", "end": "int64"})


@pytest.mark.parametrize("touching", [True, False])
@given(INTERVALS)
def test_intervals_have_one_number_where_a_chain_of_overlaps_joins_them(touching, rows):
    groups = {n: {n} for n in range(len(rows))}
    for (n, (name, a, length)), (m, (other, b, width)) in combinations(enumerate(rows), 2):
        overlap = a <= b + width and b <= a + length if touching else a < b + width and b < a + length
        if name == other and overlap:
            union = groups[n] | groups[m]
            groups |= dict.fromkeys(union, union)
    number = coalesce(frame_of(rows), ["name"], "start", "end", touching)
    assert [set(number.index[number == number[n]]) for n in groups] == list(groups.values())


@given(INTERVALS)
def test_what_was_reached_before_is_the_latest_end_of_those_that_began_earlier(rows):
    reached = reached_before(frame_of(rows), ["name"], "start", "end")
    for n, (name, start, length) in enumerate(rows):
        before = [b + width for m, (other, b, width) in enumerate(rows)
                  if other == name and (b, width, m) < (start, length, n)]  # fmt: skip
        assert reached[n] == max(before) if before else pd.isna(reached[n])
