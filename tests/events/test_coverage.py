"""What nearly every machine lacks at once was not recorded: no source is said to have lost it."""

import pandas as pd
import pytest
from fleet import analyzed, at, every, heartbeats, write

import amakit

START, END = "2026-05-04", "2026-05-08"  # Monday to Thursday
EIGHT = range(8)


def syslog(computer, times):
    one = {"Computer": computer, "_ResourceId": f"/subscriptions/0/resourceGroups/rg/VM/{computer}"}
    return pd.DataFrame({"TimeGenerated": times}).assign(
        **one, Facility="daemon", SeverityLevel="info", SyslogMessage=""
    )


def upgraded(number, down):
    """Heartbeats of a machine that is upgraded once, in another phase afterwards."""
    before = every(60, START, down[0], phase=7 * number) if down else every(60, START, END, phase=7 * number)
    after = every(60, down[1], END, phase=5 + 3 * number) if down else before.iloc[:0]
    versions = ["1.38.0"] * len(before) + ["1.40.0"] * len(after)
    return heartbeats(f"m{number}", pd.concat([before, after]), versions)


def fleet(folder, machines, hole, lacking, rate=60, away=((), None), asked=None, end=END):
    """Analyse machines that write steadily, some of which lack a hole, and some of which are upgraded meanwhile."""
    beats, rows = [], []
    for n in machines:
        beats.append(upgraded(n, away[1] if n in away[0] else None))
        holes = [hole] if hole and n in lacking else []
        rows.append(syslog(f"m{n}", every(rate, START, end, phase=3 * n, jitter=rate / 20, seed=n, without=holes)))
    return analyzed(folder, START, END, asked, Heartbeat=beats, Syslog=rows)


FIVE_HOURS, A_DAY = ("2026-05-05 05:00", "2026-05-05 10:00"), ("2026-05-05 05:00", "2026-05-06 05:00")


@pytest.mark.parametrize(
    ("hole", "machines", "lacking", "recorded", "asked"),
    [
        (FIVE_HOURS, EIGHT, EIGHT, False, None),
        (FIVE_HOURS, EIGHT, EIGHT, False, ["m0", "m2"]),
        (A_DAY, EIGHT, EIGHT, False, None),
        (FIVE_HOURS, EIGHT, range(7), False, None),  # more than four fifths lack it
        (FIVE_HOURS, EIGHT, range(6), True, None),
        (FIVE_HOURS, EIGHT, range(6), True, ["m0", "m7"]),
        (FIVE_HOURS, EIGHT, [2], True, None),
        (FIVE_HOURS, range(4), range(4), True, None),  # four cannot show it
    ],
)
def test_a_hole_of_nearly_all_machines_is_unknown_time_and_of_fewer_a_silence(
    hole, machines, lacking, recorded, asked, tmp_path
):
    found = fleet(tmp_path, machines, hole, lacking, asked=asked)
    silent = {f"m{n}" for n in lacking if recorded}
    assert set(found.sources["computer"]) == (silent & {*asked} if asked else silent)
    unknown = [u for u in found.run["unknown"] if u["table"] == "Syslog"]
    assert len(unknown) == (not recorded)
    for stretch in unknown:
        assert stretch["why"] == "hole"
        start, end = (pd.Timestamp(stretch[name]) for name in ("start", "end"))
        assert abs(start - at(hole[0])) <= pd.Timedelta(minutes=2)
        assert abs(end - at(hole[1])) <= pd.Timedelta(minutes=2)


@pytest.mark.parametrize("asked", [None, ["m0"]])
@pytest.mark.parametrize(
    ("hole", "rate"),
    [(FIVE_HOURS, 60), (("2026-05-05 07:00", "2026-05-05 07:40"), 5)],
)
def test_an_outage_inside_a_hole_of_its_table_lost_nothing_that_can_be_told(hole, rate, asked, tmp_path):
    away = ([0], ("2026-05-05 07:10", "2026-05-05 07:18"))
    (row,) = fleet(tmp_path, EIGHT, hole, EIGHT, rate, away, asked).events.itertuples()
    assert (row.verdict, row.rows_inside) == ("undetermined", 0)
    assert pd.isna(row.expected)


@pytest.mark.parametrize(
    ("hole", "rate"), [(FIVE_HOURS, 60), (A_DAY, 60), (("2026-05-05 07:00", "2026-05-05 07:25"), 20)]
)
def test_sources_that_are_silent_while_no_heartbeat_is_recorded_are_not_said_to_be(hole, rate, tmp_path):
    """Nothing of anything was recorded; an upgrade in it changes nothing."""
    beats, rows = [], []
    for n in EIGHT:
        times = heartbeats(f"m{n}", every(60, START, END, phase=7 * n, without=[hole]))
        new = times["TimeGenerated"] >= at(hole[1])
        beats.append(times.assign(Version=new.map({True: "1.40.0", False: "1.38.0"})) if n == 3 else times)
        rows.append(syslog(f"m{n}", every(rate, START, END, phase=3 * n, jitter=rate / 20, seed=n, without=[hole])))
    found = analyzed(tmp_path, START, END, Heartbeat=beats, Syslog=rows)
    assert found.sources.empty
    assert found.outages["cause"].tolist() == ["not_recorded"]
    assert found.events["verdict"].tolist() == ["undetermined"]


def test_a_source_that_stops_where_no_heartbeat_is_recorded_and_stays_away_has_stopped(tmp_path):
    beats = [heartbeats(f"m{n}", every(60, START, END, phase=7 * n, without=[FIVE_HOURS])) for n in EIGHT]
    rows = [syslog(f"m{n}", every(60, START, END if n else FIVE_HOURS[0], without=[FIVE_HOURS])) for n in EIGHT]
    (silence,) = analyzed(tmp_path, START, END, Heartbeat=beats, Syslog=rows).sources.itertuples()
    assert (silence.computer, silence.ongoing) == ("m0", True)
    due = (at(END) - at(FIVE_HOURS[1])).total_seconds() / 60
    assert silence.expected == pytest.approx(due, rel=0.05)  # none of the time that nobody recorded


def test_machines_that_are_upgraded_together_do_not_show_that_the_table_was_not_recorded(tmp_path):
    down = ("2026-05-05 07:10", "2026-05-05 07:18")
    found = fleet(tmp_path, EIGHT, down, EIGHT, 5, (EIGHT, down))
    assert set(found.events["verdict"]) == {"possible_loss"}
    assert not [u for u in found.run["unknown"] if u["table"] == "Syslog"]


def test_sources_that_an_upgrade_of_all_machines_stopped_have_stopped(tmp_path):
    """Their silences begin in outages of their own, an hour apart."""
    beats, rows = [], []
    for n in EIGHT:
        down = f"2026-05-05 {7 + n:02}:00", f"2026-05-05 {7 + n:02}:08"
        beats.append(upgraded(n, down))
        rows.append(syslog(f"m{n}", every(60, START, down[0] if n else END, phase=3 * n)))
    found = analyzed(tmp_path, START, END, Heartbeat=beats, Syslog=rows)
    verdicts = found.events.set_index("computer")["verdict"]
    assert verdicts.drop("m0").eq("stopped").all()
    assert len(found.sources) == 7


@pytest.mark.parametrize("machines", [range(1), EIGHT])
def test_files_that_end_early_are_unknown_from_there(machines, tmp_path):
    found = fleet(tmp_path, machines, None, [], end="2026-05-06 12:00")
    assert found.sources.empty
    (stretch,) = (u for u in found.run["unknown"] if u["table"] == "Syslog")
    assert stretch["why"] == "ends"
    assert abs(pd.Timestamp(stretch["start"]) - at("2026-05-06 12:00")) <= pd.Timedelta(minutes=2)


def test_a_source_is_not_silent_where_only_its_own_workspace_recorded_nothing(tmp_path):
    """Machines report to two workspaces, of which one recorded nothing for a while: its destination failed."""
    folders = []
    for name, holes in (("whole", []), ("lacking", [FIVE_HOURS])):
        beats = [heartbeats(f"m{n}", every(60, START, END, phase=7 * n, without=holes)) for n in EIGHT]
        rows = [syslog(f"m{n}", every(60, START, END, phase=3 * n, jitter=3, seed=n, without=holes)) for n in EIGHT]
        folders.append(str(write(tmp_path / name, Heartbeat=pd.concat(beats), Syslog=pd.concat(rows))))
    with amakit.connect(folders) as workspaces:
        found = amakit.analyze(workspaces, START, END)
    assert found.outages.empty
    assert set(found.destinations["workspace"]) == {"lacking"}
    assert found.sources.empty
