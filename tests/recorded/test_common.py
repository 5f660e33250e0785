"""Common ends and holes, on frames: halves make the whole, and what lies in the future moves nothing."""

import pandas as pd
from fleet import at
from hypothesis import given
from hypothesis import strategies as st

from amakit.recorded.common import _Ends, common_end, common_holes

START, END = at("2026-03-02"), at("2026-03-04")
phases = st.lists(st.integers(0, 59), min_size=5, max_size=9)
#: When holes begin, in minutes of the two days, and how long they are: each in hours of its own, none across midnight.
starts = st.lists(st.sampled_from([61, 400, 770, 1100, 1500, 1903, 2500]), max_size=2, unique=True)
lengths = st.integers(3, 200)


def minutes(number):
    return pd.Timedelta(minutes=number)


def fleet(phases, starts, length):
    """Machines that send a heartbeat each minute, each in its phase, but for the same holes."""
    spans, silent = [], []
    for number, phase in enumerate(phases):
        key, shift = {"resource_id": "", "computer": f"m{number}"}, pd.Timedelta(seconds=phase)
        spans.append(key | {"first": START + shift, "last": END - minutes(1) + shift})
        for start in starts:
            last = START + minutes(start) + shift
            silent.append(key | {"last": last, "first": last + minutes(length)})
    return pd.DataFrame(silent, columns=["resource_id", "computer", "last", "first"]), pd.DataFrame(spans)


def holes(silences, spans):
    keys = pd.MultiIndex.from_frame(spans[["resource_id", "computer"]])
    found = common_holes(silences, spans, pd.Series(60.0, keys), 60)
    return [tuple(row) for row in found.itertuples(index=False)]


@given(phases, starts, lengths)
def test_every_hole_of_all_is_found_and_the_halves_make_the_whole(phases, starts, length):
    silent, spans = fleet(phases, starts, length)
    cut = START + minutes(1440)
    left, right = spans.assign(last=cut), spans.assign(first=cut)
    whole = holes(silent, spans)
    assert len(whole) == len(starts)
    assert whole == holes(silent[silent["first"] < cut], left) + holes(silent[silent["last"] >= cut], right)


@given(phases, st.integers(1, 2000), st.booleans())
def test_a_row_of_the_future_moves_no_end_and_no_hole(phases, later, twice):
    silent, spans = fleet(phases, [400], 30)
    before = common_end(spans["last"], 60)
    assert before == spans["last"].max()
    moved = spans.copy()
    changed = 1 + (twice and len(spans) >= 8)  # four fifths of eight may be seven, of fewer all but one
    kept = len(spans) - changed
    moved.loc[moved.index[:changed], "last"] += minutes(later + 10)
    if kept >= 5 and kept >= 0.8 * len(spans):
        assert common_end(moved["last"], 60) == spans["last"].iloc[changed:].max()
    assert holes(silent, moved) == holes(silent, spans)


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 40), st.integers(1, 30)), min_size=1), st.integers(0, 60))
def test_machines_on_both_sides_are_those_that_a_loop_counts(silent, start):
    silences = pd.DataFrame(
        [("", f"m{m}", START + minutes(last), START + minutes(last + long)) for m, last, long in silent],
        columns=["resource_id", "computer", "last", "first"],
    )
    spans = pd.DataFrame({"resource_id": "", "computer": [f"m{m}" for m in range(7)]})
    spans = spans.assign(first=START + pd.to_timedelta(range(7), unit="min"), last=START + minutes(60))
    near, begin, end = minutes(2), START + minutes(start), START + minutes(start + 5)
    counted = sum(
        span.first <= begin
        and span.last >= end
        and not any(
            one.last < end and one.first > begin and (one.last < begin - near or one.first > end + near)
            for one in silences.itertuples()
            if one.computer == span.computer
        )
        for span in spans.itertuples()
    )
    instants = [int(when.value // 1000) for when in (begin, end)]
    assert _Ends(silences, spans, near).on_both_sides(*instants) == counted
