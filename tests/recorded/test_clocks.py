"""A wrong clock is named; it is no outage, no loss and no network failure.  Late is a burst, not a delay."""

import numpy as np
import pandas as pd
import pytest
from fleet import analyzed, at, counters, every, heartbeats, received

from amakit.recorded.clocks import clock_steps

DAYS = "2026-05-04", "2026-05-06"
NOON, NEVER = at("2026-05-04 12:00:20"), at("2027-01-01")


def right(names="nop"):
    return [received(heartbeats(name, every(60, *DAYS, phase=7 * n)), 5) for n, name in enumerate(names)]


def stepped(times, step, since=NOON, until=NEVER):
    """Set the clock forward by `step` seconds in [since, until) of true time; give its times and their delays."""
    off = np.where((times >= since) & (times < until), float(step), 0.0)
    return times + pd.to_timedelta(off, unit="s"), 5 - off


#: More machines with a right clock than there are with a wrong one in any workspace here.
MANY = "abcdefghijkl"


def of(found, name):
    """Give the outages, the gaps and the note of a machine."""
    own = (frame[frame["computer"] == name] for frame in (found.outages, found.gaps))
    return *own, found.machines.set_index("computer").loc[name, "note"]


#: By how many seconds a clock is behind, and what is noted.
OFF = [(180, "clock 3 min slow"), (-480, "clock 8 min fast"), (40, ""), (-50, ""), (7200, "clock 2 h slow")]


@pytest.fixture(scope="module")
def off_throughout(tmp_path_factory):
    """Give what is found of a machine for each of these clocks, beside others."""
    beats = [
        received(heartbeats(f"m{n}", every(60, *DAYS, phase=11 + n)), 5 + behind) for n, (behind, _) in enumerate(OFF)
    ]
    return analyzed(tmp_path_factory.mktemp("off"), *DAYS, Heartbeat=[*beats, *right(MANY)])


@pytest.mark.parametrize(("behind", "note"), OFF)
def test_a_clock_that_is_off_throughout_is_named_and_nothing_else(behind, note, off_throughout):
    outages, gaps, noted = of(off_throughout, f"m{OFF.index((behind, note))}")
    assert outages.empty
    assert gaps.empty
    assert noted == note


@pytest.mark.parametrize("odd", ["0001-01-01", "9999-12-31"])
def test_a_time_of_arrival_that_cannot_be_says_nothing(odd, tmp_path):
    beats = pd.concat([received(heartbeats("m", every(60, *DAYS, phase=11)), 5), *right()], ignore_index=True)
    beats["_TimeReceived"] = beats["_TimeReceived"].dt.as_unit("us")
    beats.loc[100, "_TimeReceived"] = pd.Timestamp(odd)
    found = analyzed(tmp_path, *DAYS, Heartbeat=[beats])
    assert found.outages.empty
    assert set(found.machines["note"]) == {""}


STEPS = [30, 91, 300, 3600, -30, -3600]


@pytest.fixture(scope="module")
def set_once(tmp_path_factory):
    """Give what is found of a machine for each step of a clock, beside others."""
    beats, perf = [], []
    for n, step in enumerate(STEPS):
        times, delays = stepped(every(60, *DAYS, phase=11 + n), step)
        beats.append(received(heartbeats(f"m{n}", times), delays))
        for k in range(2):
            perf.append(counters(f"m{n}", stepped(every(10, *DAYS, phase=3 + k), step)[0], name=f"c{k}"))
    return analyzed(tmp_path_factory.mktemp("set"), *DAYS, Heartbeat=[*beats, *right(MANY)], Perf=perf)


@pytest.mark.parametrize("step", STEPS)
def test_a_clock_that_is_set_makes_neither_an_outage_nor_a_loss(step, set_once):
    outages, gaps, note = of(set_once, f"m{STEPS.index(step)}")
    assert outages.empty
    assert gaps.empty
    assert bool(note) == (abs(step) > 60)


@pytest.mark.parametrize("name", MANY)
def test_beside_them_nothing_is_said_of_a_right_clock(name, off_throughout, set_once):
    for found in (off_throughout, set_once):
        outages, gaps, note = of(found, name)
        assert (len(outages), len(gaps), note) == (0, 0, "")


def test_a_clock_an_hour_off_for_half_a_day_is_named(tmp_path):
    times, delays = stepped(every(60, *DAYS, phase=11), -3600, NOON, at("2026-05-05 12:00"))
    found = analyzed(tmp_path, *DAYS, Heartbeat=[received(heartbeats("m", times), delays), *right()])
    assert found.outages.empty
    assert found.gaps.empty


def test_an_outage_beside_a_wrong_clock_is_still_one(tmp_path):
    times = every(60, *DAYS, [("2026-05-05 03:00", "2026-05-05 03:05")], phase=11)
    found = analyzed(tmp_path, *DAYS, Heartbeat=[received(heartbeats("m", times), 185), *right()])
    assert found.outages["computer"].tolist() == ["m"]
    assert found.gaps["lost"].tolist() == [5]


def test_a_hole_in_what_a_reconnected_machine_sends_is_still_an_outage(tmp_path):
    """Everything was received in one burst, so that the reception shows no hole; the delays are not those of a clock."""
    times = every(60, *DAYS, [("2026-05-04 10:05", "2026-05-04 10:10")], phase=11)
    arrived = (times + pd.Timedelta(seconds=5)).mask(
        (times >= at("2026-05-04 09:50")) & (times < at("2026-05-04 10:30")), at("2026-05-04 10:30:05")
    )
    beats = heartbeats("m", times).assign(_TimeReceived=arrived.dt.tz_localize(None))
    found = analyzed(tmp_path, *DAYS, Heartbeat=[beats, *right()])
    lost = found.gaps[found.gaps["lost"] > 0]
    assert lost["lost"].tolist() == [5]


@pytest.mark.parametrize("machines", [None, ["m2"]])
@pytest.mark.parametrize("burst", [False, True])
def test_a_region_that_lags_makes_nobody_disconnected(burst, machines, tmp_path):
    beats = []
    for n in range(6):
        times = every(60, *DAYS, phase=9 * n)
        late = (times >= at("2026-05-04 10:00")) & (times < at("2026-05-04 13:00"))
        arrived = times + pd.to_timedelta(np.where(late, 605.0, 5.0), unit="s")
        arrived = arrived.mask(late & burst, at("2026-05-04 13:10"))
        beats.append(heartbeats(f"m{n}", times).assign(_TimeReceived=arrived.dt.tz_localize(None)))
    found = analyzed(tmp_path, *DAYS, machines, Heartbeat=beats)
    assert found.outages.empty
    assert set(found.machines["note"]) == {""}


@pytest.mark.parametrize("machines", [None, ["m"]])
def test_one_machine_whose_beats_arrive_in_a_burst_was_disconnected(machines, tmp_path):
    times = every(60, *DAYS, phase=11)
    late = (times >= at("2026-05-04 10:00")) & (times < at("2026-05-04 10:20"))
    arrived = (times + pd.Timedelta(seconds=5)).mask(late, at("2026-05-04 10:20:05"))
    beats = heartbeats("m", times).assign(_TimeReceived=arrived.dt.tz_localize(None))
    found = analyzed(tmp_path, *DAYS, machines, Heartbeat=[beats, *right()])
    assert found.outages[["computer", "cause"]].values.tolist() == [["m", "disconnected"]]
    assert found.gaps["lost"].tolist() == [0]


def slow_steps(around, beats):
    """Mark clocks that were set forward, stretch by stretch: `clock_steps` as its rule is told."""
    marks = []
    for stretch in around.itertuples():
        own = beats[beats["computer"] == stretch.computer].dropna().sort_values("TimeGenerated")
        before, after = own[own["TimeGenerated"] <= stretch.last].tail(3), own[own["TimeGenerated"] >= stretch.first]
        after = after.head(3)
        if pd.isna(stretch.first) or len(before) < 3 or len(after) < 3:
            marks.append(False)
            continue
        old, new = ((side["Received"] - side["TimeGenerated"]).dt.total_seconds() for side in (before, after))
        usual = before["TimeGenerated"].diff().min()
        steady = all(wait.max() - wait.min() < 30 for wait in (old, new))
        apart = after["Received"].iloc[0] - before["Received"].iloc[-1]
        marks.append(steady and apart < 1.5 * usual and old.median() - new.median() > 0.25 * usual.total_seconds())
    return marks


@pytest.mark.parametrize("seed", range(10))
def test_steps_of_clocks_are_those_of_the_rule_told_stretch_by_stretch(seed):
    random, rows, found = np.random.default_rng(seed), [], []
    for machine in ("a", "b", "c"):
        sent = np.cumsum(random.choice([60.0] * 12 + [600.0, 20.0], 120)) + random.normal(0, 0.01, 120)
        late = np.where(np.arange(120) < 60, 400.0, 400.0 - random.choice([0, 300, 50, 10]))
        came = sent + late + random.normal(0, random.choice([0.01, 15]), 120)
        rows += [(machine, *pair) for pair in zip(sent, np.where(random.random(120) < 0.98, came, np.nan), strict=True)]
        holes = [59, *random.integers(0, 118, 5)]
        found += [(machine, sent[n], sent[n + 1] if random.random() < 0.9 else np.nan) for n in holes]
    beats = pd.DataFrame(rows, columns=["computer", "TimeGenerated", "Received"])
    around = pd.DataFrame([*found, ("nobody", 0.0, 60.0)], columns=["computer", "last", "first"])
    for frame in (beats, around):
        for name in frame.columns[1:]:
            frame[name] = pd.to_datetime((frame[name] * 1e6).round(), unit="us", utc=True).astype("datetime64[us, UTC]")
        frame.insert(0, "resource_id", "")
    around.index = random.permutation(len(around))
    told = clock_steps(around, beats)
    assert told.index.equals(around.index)
    assert told.tolist() == slow_steps(around, beats)
