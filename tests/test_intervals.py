"""Intervals: unions of those that overlap, against comparing each with each."""

from itertools import combinations

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amakit.errors import UsageError
from amakit.intervals import coalesce, instant, iso, reached_before

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
        before = [
            b + width
            for m, (other, b, width) in enumerate(rows)
            if other == name and (b, width, m) < (start, length, n)
        ]
        assert reached[n] == max(before) if before else pd.isna(reached[n])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-03-01", "2026-03-01T00:00:00Z"),
        ("20260301T0830Z", "2026-03-01T08:30:00Z"),
        ("2026-03-01T08", "2026-03-01T08:00:00Z"),
        ("2026-03-01 08:30:15,25", "2026-03-01T08:30:15.250000Z"),
        ("2026-03-01T08:30:15.1234567Z", "2026-03-01T08:30:15.123456Z"),
        ("2026-03-01T09:00+09:00", "2026-03-01T00:00:00Z"),
        ("2026-03-01t09:00 +0900", "2026-03-01T00:00:00Z"),
        (" 2026-03-01 08:30 UTC ", "2026-03-01T08:30:00Z"),
    ],
)
def test_an_instant_of_iso_8601_is_read(text, expected):
    assert iso(instant(text)) == expected


@pytest.mark.parametrize(
    "text",
    ["2026", "2026-03", "2026 March 5", "2026-01-02-03", "2026-13-01", "2026-02-30", "2026-03-01T25:00", "2026-3-1",
     "2026/03/01", "2026-03-01T", "2026-03-01T08:30:00Q", "now", "today", "", "1 March 2026", "03/01/2026"],
)  # fmt: skip
def test_what_is_no_instant_of_iso_8601_is_refused(text):
    with pytest.raises(UsageError, match="is not a time; write it as 2026-03-01 or"):
        instant(text)
