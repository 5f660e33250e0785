"""A wrong clock is named; it is no outage, no loss and no network failure.  Late is a burst, not a delay."""

import numpy as np
import pandas as pd
import pytest
from fleet import analyzed, at, counters, every, heartbeats, received

DAYS = "2026-05-04", "2026-05-06"
NOON, NEVER = at("2026-05-04 12:00:20"), at("2027-01-01")


def right(names="nop"):
    return [received(heartbeats(name, every(60, *DAYS, phase=7 * n)), 5) for n, name in enumerate(names)]


def stepped(times, step, since=NOON, until=NEVER):
    """Set the clock forward by `step` seconds in [since, until) of true time; give its times and their delays."""
    off = np.where((times >= since) & (times < until), float(step), 0.0)
    return times + pd.to_timedelta(off, unit="s"), 5 - off


@pytest.mark.parametrize(("behind", "note"), [(180, "clock 3 min slow"), (-480, "clock 8 min fast"), (40, ""), (-50, ""),
                                              (7200, "clock 2 h slow")])  # fmt: skip
def test_a_clock_that_is_off_throughout_is_named_and_nothing_else(behind, note, tmp_path):
    beats = [received(heartbeats("m", every(60, *DAYS, phase=11)), 5 + behind), *right()]
    found = analyzed(tmp_path, *DAYS, Heartbeat=beats)
    assert found.outages.empty
    assert found.gaps.empty
    assert dict(found.machines.set_index("computer")["note"]) == {"m": note, "n": "", "o": "", "p": ""}


@pytest.mark.parametrize("odd", ["0001-01-01", "9999-12-31"])
def test_a_time_of_arrival_that_cannot_be_says_nothing(odd, tmp_path):
    beats = pd.concat([received(heartbeats("m", every(60, *DAYS, phase=11)), 5), *right()], ignore_index=True)
    beats["_TimeReceived"] = beats["_TimeReceived"].dt.as_unit("us")
    beats.loc[100, "_TimeReceived"] = pd.Timestamp(odd)
    found = analyzed(tmp_path, *DAYS, Heartbeat=[beats])
    assert found.outages.empty
    assert set(found.machines["note"]) == {""}


@pytest.mark.parametrize("step", [30, 91, 300, 3600, -30, -3600])
def test_a_clock_that_is_set_makes_neither_an_outage_nor_a_loss(step, tmp_path):
    times, delays = stepped(every(60, *DAYS, phase=11), step)
    perf = [counters("m", stepped(every(10, *DAYS, phase=3 + n), step)[0], name=f"c{n}") for n in range(2)]
    found = analyzed(tmp_path, *DAYS, Heartbeat=[received(heartbeats("m", times), delays), *right()], Perf=perf)
    assert found.outages.empty
    assert found.gaps.empty
    assert bool(found.machines.set_index("computer").loc["m", "note"]) == (abs(step) > 60)


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
