"""What an outage cost each stream, where streams end, change or have two schedules; the truth is counted from the data."""

import numpy as np
import pandas as pd
import pytest
from fleet import analyzed, at, counters, every, heartbeats

DAY = "2026-05-04", "2026-05-05"
DOWN = "2026-05-04 10:00:00", "2026-05-04 10:04:10"


def upgraded(computer="m", phase=20, again=33, down=DOWN):
    return [
        heartbeats(computer, every(60, DAY[0], down[0], phase=phase)),
        heartbeats(computer, every(60, down[1], DAY[1], phase=again), "1.39.0"),
    ]


def sampled(name, before, after=None, phase=5.0, again=17.0, down=DOWN, computer="m"):
    """Samples of a counter before and after the outage, each at its own interval."""
    parts = [every(before, DAY[0], down[0], phase=phase), every(after or before, down[1], DAY[1], phase=again)]
    return counters(computer, pd.concat(parts), name=name)


def due(interval, phase, down=DOWN):
    """Count what the schedule of before would have produced while the agent was down."""
    times = every(interval, *DAY, phase=phase)
    return int(((times >= at(down[0])) & (times < at(down[1]))).sum())


def down_of(n):
    """Give the ends of the outage of the nth machine: no two of a workspace are away at once."""
    return tuple(str(pd.Timestamp(time) + n * pd.Timedelta(minutes=40)) for time in DOWN)


def of(frame, n):
    return frame[frame["computer"] == f"m{n}"].reset_index(drop=True)


#: The interval before an upgrade and after it.
CHANGES = [(10, 60), (60, 10), (10, 15), (30, 300)]
PHASES = [5.0, 8.0, 9.5]


@pytest.fixture(scope="module")
def changed(tmp_path_factory):
    """Give what is found of a machine for each change, with three streams."""
    beats, perf = [], []
    for n, (before, after) in enumerate(CHANGES):
        beats += upgraded(f"m{n}", down=down_of(n))
        for k, phase in enumerate(PHASES):  # each begins again within its new interval of the agent's start
            again = (7 + 4 * k) % after
            perf.append(sampled(f"c{k}", before, after, phase, again, down=down_of(n), computer=f"m{n}"))
    return analyzed(tmp_path_factory.mktemp("changed"), *DAY, Heartbeat=beats, Perf=perf)


@pytest.mark.parametrize(("before", "after"), CHANGES)
def test_an_interval_that_changes_with_the_upgrade_keeps_the_truth_inside(before, after, changed):
    n = CHANGES.index((before, after))
    down = down_of(n)
    (outage,) = of(changed.outages, n).itertuples()
    assert outage.start_earliest <= at(down[0]) <= outage.start_latest
    assert outage.end_earliest <= at(down[1]) <= outage.end_latest
    gaps = of(changed.gaps, n)
    gaps = gaps[gaps["data_type"] == "Perf"]
    assert len(gaps) == 3
    for gap, phase in zip(gaps.itertuples(), PHASES, strict=True):
        assert gap.lost_low <= due(before, phase, down) <= gap.lost_high
        assert gap.lost_low <= gap.lost <= gap.lost_high
        assert gap.interval_s == pytest.approx(before, abs=0.01)


#: The interval of a stream, and how many minutes before the outage it had ended.
ENDED = [(60, 15), (60, 30), (10, 2), (300, 15), (10, 30)]


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """Give what is found of a machine for each of these, with a stream that lives."""
    beats, perf = [], []
    for n, (interval, minutes) in enumerate(ENDED):
        down = down_of(n)
        last = str(at(down[0]) - pd.Timedelta(minutes=minutes))[:-6]
        beats += upgraded(f"m{n}", down=down)
        perf.append(sampled("lives", 60, down=down, computer=f"m{n}"))
        perf.append(counters(f"m{n}", every(interval, DAY[0], last, phase=5), name="ended"))
    return analyzed(tmp_path_factory.mktemp("ended"), *DAY, Heartbeat=beats, Perf=perf)


@pytest.mark.parametrize(("interval", "minutes"), ENDED)
def test_a_stream_that_had_ended_before_lost_nothing(interval, minutes, ended):
    n = ENDED.index((interval, minutes))
    assert len(of(ended.outages, n)) == 1
    gaps = of(ended.gaps, n)
    assert set(gaps["stream"]) == {"", "Processor \\ lives \\ _Total"}
    assert not gaps["ongoing"].any()


def test_a_stream_that_ends_with_the_outage_goes_on_being_lost(tmp_path):
    perf = [sampled("lives", 60), counters("m", every(60, DAY[0], DOWN[0], phase=5), name="ended")]
    found = analyzed(tmp_path, *DAY, Heartbeat=upgraded(), Perf=perf)
    (gap,) = found.gaps[found.gaps["ongoing"]].itertuples()
    assert gap.stream == "Processor \\ ended \\ _Total"
    assert gap.lost == 14 * 60


#: The interval and the phase of a second rule beside one of a minute, at the fifth second.
SECOND = [(60, 25.0), (60, 35.0), (10, 2.0), (15, 1.0)]


@pytest.fixture(scope="module")
def of_two_rules(tmp_path_factory):
    """Give what is found of a machine for each second rule."""
    beats, perf = [], []
    for n, (interval, phase) in enumerate(SECOND):
        one = {"down": down_of(n), "computer": f"m{n}"}
        beats += upgraded(**one)
        perf.append(sampled("c", 60, phase=5.0, again=16.0, **one))
        perf.append(sampled("c", interval, phase=phase, again=phase + 11, **one))
    return analyzed(tmp_path_factory.mktemp("rules"), *DAY, Heartbeat=beats, Perf=perf)


@pytest.mark.parametrize("second", SECOND)
def test_two_collection_rules_in_one_stream_are_two_schedules(second, of_two_rules):
    interval, phase = second
    n = SECOND.index(second)
    gaps = of(of_two_rules.gaps, n)
    (gap,) = gaps[gaps["data_type"] == "Perf"].itertuples()
    truth = due(60, 5.0, down_of(n)) + due(interval, phase, down_of(n))
    assert gap.lost_low <= truth <= gap.lost_high
    assert gap.lost_high - gap.lost_low <= 4 * 60 / interval
    assert not gap.ongoing


def test_the_numbers_of_one_machine_are_those_of_the_fleet(tmp_path):
    rng = np.random.default_rng(5)
    beats, perf = [], []
    for n in range(4):
        down = DOWN[0], str(at(DOWN[0]) + pd.Timedelta(seconds=100 + 70 * n))[:-6]
        beats += upgraded(f"m{n}", rng.uniform(0, 59), rng.uniform(0, 59), down)
        if n % 2:
            again = float(rng.uniform(0, 9))
            perf += [sampled(f"c{k}", 10, None, k, again, down, f"m{n}") for k in range(2)]
    found = analyzed(tmp_path, *DAY, Heartbeat=beats, Perf=perf)
    for n in range(2):
        own = analyzed(tmp_path, *DAY, [f"m{n}"], Heartbeat=beats, Perf=perf)
        for table in ("machines", "transitions", "outages", "gaps"):
            whole = getattr(found, table)
            whole = whole[whole["computer"] == f"m{n}"].reset_index(drop=True)
            numbers = [c for c in whole if c != "evidence"]  # which may name the other machines
            pd.testing.assert_frame_equal(getattr(own, table)[numbers], whole[numbers])


def test_a_slow_stream_that_had_no_time_to_come_back_before_the_next_outage_lost_nothing_twice(tmp_path):
    """Each ten hours, last at 9:00: between the upgrade at 10:00 and the end of all at 12:30 nothing was due."""
    beats = [*upgraded()]
    beats[1] = beats[1][beats[1]["TimeGenerated"] < at("2026-05-04 12:30")]
    other = heartbeats("n", every(60, DAY[0], "2026-05-08", phase=3))
    slow = counters("m", every(36_000, "2026-05-02 07:00", "2026-05-04 10:00"), name="slow")
    perf = [slow, sampled("fast", 60)]
    perf[1] = perf[1][perf[1]["TimeGenerated"] < at("2026-05-04 12:30")]
    found = analyzed(tmp_path, "2026-05-02", "2026-05-08", Heartbeat=[*beats, other], Perf=perf)
    gaps = found.gaps[found.gaps["stream"].str.contains("slow")].reset_index(drop=True)
    assert found.outages["ongoing"].tolist() == [False, True]
    first = gaps[gaps["outage_start"] == found.outages["start_earliest"][0]]
    assert first[["lost", "ongoing"]].values.tolist() == [[0, False]]
