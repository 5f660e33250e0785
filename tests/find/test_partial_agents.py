"""What is missing while the agent goes on; and another agent's rows, which prove nothing of a dead one."""

import pandas as pd
import pytest
from fleet import analyzed, at, counters, every, heartbeats

DAY = "2026-05-04", "2026-05-05"
SIX = "2026-05-04 06:00"


def perf(computer, end=DAY[1], phase=5):
    return [counters(computer, every(60, DAY[0], end, phase=phase + 7 * n), name=f"c{n}") for n in range(2)]


def other():
    return heartbeats("n", every(60, *DAY, phase=3))


def states(found):
    return dict(found.machines.set_index("computer")["state"])


def test_a_heartbeat_that_stays_away_while_counters_come_is_a_partial_agent(tmp_path):
    beats = [heartbeats("m", every(60, DAY[0], SIX)), other()]
    found = analyzed(tmp_path, *DAY, Heartbeat=beats, Perf=perf("m") + perf("n"))
    assert found.outages.empty
    assert states(found) == {"m": "partial", "n": "reporting"}
    (gap,) = found.gaps.itertuples()
    assert (gap.computer, gap.data_type, gap.ongoing, gap.lost) == ("m", "Heartbeat", True, 18 * 60)
    assert pd.isna(gap.outage_start)
    assert gap.last_before == at("2026-05-04 05:59")


def test_counters_that_stay_away_while_heartbeats_come_are_a_partial_agent(tmp_path):
    beats = [heartbeats("m", every(60, *DAY)), other()]
    found = analyzed(tmp_path, *DAY, Heartbeat=beats, Perf=perf("m", SIX) + perf("n"))
    assert found.outages.empty
    assert states(found) == {"m": "partial", "n": "reporting"}
    assert set(found.gaps["computer"]) == {"m"}
    assert len(found.gaps) == 2
    assert found.gaps["ongoing"].all()
    assert (found.gaps["lost_low"] == 0).all()  # the rule may have been taken away


def test_a_table_that_ends_for_everybody_makes_nobody_partial(tmp_path):
    beats = [heartbeats("m", every(60, *DAY)), other()]
    found = analyzed(tmp_path, *DAY, Heartbeat=beats, Perf=perf("m", SIX) + perf("n", SIX))
    assert found.gaps.empty
    assert states(found) == {"m": "reporting", "n": "reporting"}


@pytest.mark.parametrize("told", [True, False], ids=["its heartbeats are there", "its heartbeats are not exported"])
def test_the_rows_of_another_agent_do_not_hide_a_dead_one(told, tmp_path):
    """The Log Analytics agent writes the same counters; both its heartbeats and the second schedule show it."""
    mma = heartbeats("m", every(60, *DAY, phase=33), Category="Direct Agent", SourceComputerId="mma")
    beats = [heartbeats("m", every(60, DAY[0], SIX)), other(), *([mma] if told else [])]
    found = analyzed(tmp_path, *DAY, Heartbeat=beats, Perf=[*perf("m", SIX), *perf("m", phase=25), *perf("n")])
    (outage,) = found.outages.itertuples()
    assert (outage.computer, outage.ongoing) == ("m", True)
    assert outage.start_earliest <= at(SIX) <= outage.start_latest + pd.Timedelta(milliseconds=10)
    assert states(found) == {"m": "silent", "n": "reporting"}


def test_the_rows_of_another_agent_under_counters_of_its_own_do_not_hide_a_dead_one(tmp_path):
    mma = heartbeats("m", every(60, *DAY, phase=33), Category="Direct Agent", SourceComputerId="mma")
    beats = [heartbeats("m", every(60, DAY[0], SIX)), other(), mma]
    found = analyzed(tmp_path, *DAY, Heartbeat=beats, Perf=perf("m") + perf("n"))
    assert found.outages[["computer", "ongoing"]].values.tolist() == [["m", True]]


def test_twenty_missing_heartbeats_beside_counters_are_told_and_are_no_outage(tmp_path):
    times = every(60, *DAY, [("2026-05-04 10:00", "2026-05-04 10:20")], 29.5)
    found = analyzed(tmp_path, *DAY, Heartbeat=heartbeats("m", times), Perf=perf("m"))
    assert found.outages.empty
    assert found.gaps[["data_type", "lost", "ongoing"]].values.tolist() == [["Heartbeat", 20, False]]
    assert states(found) == {"m": "reporting"}
