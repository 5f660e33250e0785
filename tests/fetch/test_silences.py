"""No pattern of holes, however regular, hides an outage; no steady interval and no pair of agents makes one."""

import numpy as np
import pandas as pd
import pytest
from fleet import analyzed, at, counters, every, heartbeats, write

DAY = pd.Timedelta(days=1)


def clock(text):
    return text if text.count(":") == 2 else f"{text}:00"


def nightly(computer, days, hole, phase, start="2026-05-04", interval=60.0, jitter=0.0):
    """Heartbeats of some days, each without the stretch `hole` (two times of the day)."""
    first = at(start)
    holes = [
        (
            str(first + n * DAY + pd.Timedelta(clock(hole[0])))[:-6],
            str(first + n * DAY + pd.Timedelta(clock(hole[1])))[:-6],
        )
        for n in range(days)
    ]
    return heartbeats(computer, every(interval, start, str(first + days * DAY)[:-6], holes, phase, jitter))


def edges(outages):
    return list(outages[["computer", "start_earliest", "end_latest"]].itertuples(index=False, name=None))


def true_edges(beats):
    """Find by walking the beats around every silence."""
    found = []
    for computer, rows in beats.groupby("Computer"):
        times = rows["TimeGenerated"].drop_duplicates().sort_values(ignore_index=True)
        at_ = np.flatnonzero(times.diff().dt.total_seconds() > 90)
        found += [(computer, times[n - 1], times[n]) for n in at_]
    return found


#: The shapes in which every outage is alike, so that days, or hours, or all of both have the same number of beats.
REGULAR = {
    "270 s each night": lambda: [nightly(f"m{n}", 5, ("03:00", "03:04:30"), 7 * n) for n in range(3)],
    "270 s each night, a creeping clock": lambda: [nightly("m", 5, ("03:00", "03:04:30"), 11, interval=60.05)],
    "270 s each night, jitter": lambda: [nightly("m", 5, ("03:00", "03:04:30"), 11, jitter=0.5)],
    "one beat each night": lambda: [nightly("m", 5, ("12:00", "12:01"), 11, interval=60.004)],
    "two beats each night, evenly around noon": lambda: [
        heartbeats("m", every(60, "2026-05-04", "2026-05-09", [
            (f"2026-05-{d:02d} {t}:00", f"2026-05-{d:02d} {t}:59") for d in range(4, 9) for t in ("05:04", "18:56")
        ], 11))],
    # an agent that was stopped samples in another phase; two that kept it would show a hole in the record instead
    "off from 10 to 22 each day": lambda: [heartbeats(f"m{n}", pd.concat([
        every(60, f"2026-05-{d - 1:02d} 22:00", f"2026-05-{d:02d} 10:00", phase=(7 * n + 17 * d) % 60)
        for d in range(5, 10)])) for n in range(2)],
    "off over midnight": lambda: [heartbeats("m", every(60, "2026-05-04 06:00", "2026-05-08 18:00", [
        (f"2026-05-{d:02d} 20:00", f"2026-05-{d + 1:02d} 05:00") for d in range(4, 8)], 11))],
    "200 s each hour": lambda: [heartbeats("m", every(60, "2026-05-04", "2026-05-08", [
        (f"2026-05-{d:02d} {h:02d}:20", f"2026-05-{d:02d} {h:02d}:23:20") for d in range(4, 8) for h in range(24)], 11))],
    "200 s each hour on one day of five": lambda: [heartbeats("m", every(60, "2026-05-04", "2026-05-09", [
        (f"2026-05-06 {h:02d}:20", f"2026-05-06 {h:02d}:23:20") for h in range(24)], 11))],
    "one beat of sixty": lambda: [
        heartbeats("m", (t := every(60, "2026-05-04", "2026-05-07", phase=11))[t.dt.minute != 30])],
    "one beat of sixty, the last of each hour": lambda: [
        heartbeats("m", (t := every(60, "2026-05-04", "2026-05-07", phase=11))[t.dt.minute != 59])],
    "one beat of ten": lambda: [
        heartbeats("m", (t := every(60, "2026-05-04", "2026-05-06", phase=11))[t.dt.minute % 10 != 3])],
}  # fmt: skip


def many(machines):
    """Number machines that are called alike, so that they stand in one workspace."""
    named = ["Computer", "_ResourceId", "SourceComputerId", "VMUUID"]
    return [rows.assign(**(rows[named] + f"-{n}")) for n, rows in enumerate(machines)]


@pytest.fixture(scope="module")
def regular(tmp_path_factory):
    """Give the beats of each shape, and the outages in the whole window and in its two parts; those of one window together."""
    shapes = dict(zip(REGULAR, many(pd.concat(make(), ignore_index=True) for make in REGULAR.values()), strict=True))
    windows = {}
    for shape, beats in shapes.items():
        end = (beats["TimeGenerated"].max() + pd.Timedelta(minutes=1)).floor("min")
        windows.setdefault((beats["TimeGenerated"].min().floor("min"), end), []).append(shape)
    outages = {}
    for (start, end), alike in windows.items():
        folder = write(tmp_path_factory.mktemp("regular"), Heartbeat=pd.concat(shapes[shape] for shape in alike))
        cut = start + DAY + pd.Timedelta(hours=14, minutes=10)
        found = [analyzed(folder, *part).outages for part in ((start, end), (start, cut), (cut, end))]
        for shape in alike:
            own = set(shapes[shape]["Computer"])
            outages[shape] = [part[part["computer"].isin(own)].reset_index(drop=True) for part in found]
    return {shape: (beats, *outages[shape]) for shape, beats in shapes.items()}


@pytest.mark.parametrize("shape", REGULAR)
def test_a_regular_outage_is_found_each_time_in_windows_of_any_length(shape, regular):
    beats, whole, *parts = regular[shape]
    assert edges(whole) == true_edges(beats)
    both = pd.concat(parts).drop_duplicates(
        ["computer", "start_earliest"], keep="last"
    )  # one that goes on has ended by then
    columns = [c for c in both.columns if c != "os_type"]
    pd.testing.assert_frame_equal(
        both[columns].sort_values(["computer", "start_earliest"], ignore_index=True), whole[columns]
    )


#: An interval, and how far a beat may be off it.
STEADY = [(interval, jitter) for interval in (59.96, 60.003, 60.006, 60.05, 30.0, 300.0) for jitter in (0.0, 0.5)]


@pytest.fixture(scope="module")
def steady(tmp_path_factory):
    """Give what is found of a machine for each interval."""
    times = [every(interval, "2026-05-04", "2026-05-10", phase=11, jitter=jitter) for interval, jitter in STEADY]
    beats = many(heartbeats("m", each) for each in times)
    return analyzed(tmp_path_factory.mktemp("steady"), "2026-05-04", "2026-05-10", Heartbeat=beats)


@pytest.mark.parametrize(("interval", "jitter"), STEADY)
def test_a_steady_interval_is_no_outage(interval, jitter, steady):
    name = f"m-{STEADY.index((interval, jitter))}"
    assert name not in set(steady.outages["computer"])
    (machine,) = steady.machines[steady.machines["computer"] == name].itertuples()
    assert machine.active_s == machine.known_s


@pytest.mark.parametrize("apart", [4, 9, 51])
def test_two_agents_under_one_identity_are_no_outage_and_are_named(apart, tmp_path):
    times = [every(60.003, "2026-05-04", "2026-05-07", phase=phase) for phase in (0.5, 0.5 + apart)]
    beats = heartbeats("m", pd.concat(times))
    found = analyzed(tmp_path, "2026-05-04", "2026-05-07", Heartbeat=beats)
    assert found.outages.empty
    assert found.machines["note"].tolist() == ["2 agents report at once"]


def test_both_agents_of_one_identity_away_is_an_outage(tmp_path):
    hole = [("2026-05-05 10:00", "2026-05-05 10:05")]
    times = [every(60.003, "2026-05-04", "2026-05-07", hole, phase=phase) for phase in (0.5, 9.5)]
    found = analyzed(tmp_path, "2026-05-04", "2026-05-07", Heartbeat=heartbeats("m", pd.concat(times)))
    assert len(found.outages) == 1
    assert found.outages["downtime_s"].between(280, 320).all()


def test_an_agent_removed_beside_another_that_goes_on_is_no_endless_outage(tmp_path):
    goes_on = heartbeats("m", every(60, "2026-05-04", "2026-05-07"))
    removed = heartbeats("m", every(60, "2026-05-04", "2026-05-05 12:00", phase=20), SourceComputerId="second")
    found = analyzed(tmp_path, "2026-05-04", "2026-05-07", Heartbeat=[goes_on, removed])
    assert found.outages.empty
    assert found.machines["state"].tolist() == ["reporting"]
    assert found.machines["note"].tolist() == ["2 agents report at once"]


def test_beats_missing_one_by_one_beside_counters_are_gaps_without_an_outage(tmp_path):
    times = every(60, "2026-05-04", "2026-05-06", phase=11)
    rng = np.random.default_rng(3)
    gone = np.sort(rng.choice(np.arange(30, len(times) - 30, 4), 12, replace=False))
    perf = [counters("m", every(60, "2026-05-04", "2026-05-06", phase=11 + k), name=f"c{k}") for k in range(3)]
    found = analyzed(tmp_path, "2026-05-04", "2026-05-06", Heartbeat=heartbeats("m", times.drop(gone)), Perf=perf)
    assert found.outages.empty
    assert found.gaps["data_type"].tolist() == ["Heartbeat"] * 12
    assert found.gaps["lost"].tolist() == [1] * 12
    assert found.gaps["outage_start"].isna().all()
    assert found.gaps["last_before"].tolist() == times[gone - 1].tolist()
