"""The mask of time without data, for frames of one's own."""

import numpy as np
import pandas as pd
import pytest
from incident import RG, analysis, blind, outage

import amakit


@pytest.fixture(scope="module")
def found():
    return blind()


def rows(computer, *times, **more):
    return pd.DataFrame(
        {"TimeGenerated": pd.to_datetime([f"2026-03-02 {t}" for t in times]), "Computer": computer} | more
    )


@pytest.mark.parametrize(
    ("computer", "options", "marked"),
    [
        ("A", {}, "10:00:25 10:03:00 10:04:35"),
        ("A", {"surely": True}, "10:03:00"),
        ("A", {"span": "5min"}, "09:58:00 10:00:25 10:03:00 10:04:35"),
        ("A", {"table": "Perf"}, "05:30:00 10:00:25 10:03:00 10:04:35 12:01:00 20:30:00"),
        ("A", {"table": "Heartbeat"}, "10:00:25 10:03:00 10:04:35 12:01:00"),
        ("b", {"table": "Syslog"}, "20:30:00"),
        ("d", {}, "20:30:00"),
        ("d", {"surely": True}, "20:30:00"),
        ("e", {}, ""),
        ("nobody", {}, ""),
    ],
)
def test_the_rows_of_that_time_are_marked(found, computer, options, marked):
    times = ["05:30:00", "09:58:00", "10:00:25", "10:03:00", "10:04:35", "12:01:00", "20:30:00"]
    mine = rows(computer, *times).set_index(np.arange(7) * 3)
    found_by = amakit.mask(mine, found, **options)
    assert found_by.index.equals(mine.index)
    assert " ".join(np.array(times)[found_by]) == marked


def test_machines_of_one_name_are_told_apart_by_their_id(found):
    twin = outage("a", "15:00:00", "15:10:00", resource="/r/2")
    both = analysis([outage("a", "10:00:30", "10:04:30"), twin])
    mine = rows("a", "10:03:00", "15:05:00")
    with pytest.raises(amakit.UsageError, match="'a' is 2 machines; give the frame"):
        amakit.mask(mine, both)
    assert amakit.mask(mine.assign(_ResourceId=(RG + "A").upper()), both).tolist() == [True, False]
    assert amakit.mask(mine.assign(_ResourceId="/R/2").drop(columns="Computer"), both).tolist() == [False, True]


def test_an_index_of_times_is_as_good_as_a_column_and_a_frame_without_either_is_refused(found):
    mine = rows("a", "10:03:00", "11:00:00").set_index("TimeGenerated")
    assert amakit.mask(mine, found).tolist() == [True, False]
    with pytest.raises(amakit.UsageError, match="the columns Computer do not say when a row was made"):
        amakit.mask(mine.reset_index(drop=True), found)
    with pytest.raises(amakit.UsageError, match="by which machine"):
        amakit.mask(mine.drop(columns="Computer").assign(cpu=1), found)


def test_a_frame_without_rows_gets_no_mark(found):
    assert amakit.mask(rows("a"), found).tolist() == []
