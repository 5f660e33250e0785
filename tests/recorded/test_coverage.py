"""What is known of each table: holes, ends and beginnings that are nobody's outage, and rows that move none of them."""

import functools
from pathlib import Path

import pandas as pd
import pytest
from fleet import at, beats, write

import amakit

START, END = "2026-03-02", "2026-03-04"
UPGRADE = [("1.37", START, "2026-03-03 06:00:20"), ("1.38", "2026-03-03 06:04:50", END)]
CALM = [("1.37", START, END)]


def fleet(machines, upgraded=1, calm=CALM):
    """Heartbeats of so many machines, each in a phase of its own; the first ones are upgraded on the second day."""
    parts = []
    for number in range(machines):
        plan = UPGRADE if number < upgraded else calm
        rows = beats(f"m{number}", plan, source=f"s{number}")
        parts.append(rows.assign(TimeGenerated=rows["TimeGenerated"] + pd.Timedelta(seconds=7.1 * number)))
    return pd.concat(parts, ignore_index=True)


def counters(heartbeats, interval=30):
    """A counter of every machine that is alive as long as its heartbeats, by the same clock."""
    parts = []
    for (computer, resource), rows in heartbeats.groupby(["Computer", "_ResourceId"]):
        times = pd.concat([rows["TimeGenerated"], rows["TimeGenerated"] + pd.Timedelta(seconds=interval)])
        parts.append(pd.DataFrame({"TimeGenerated": times, "Computer": computer, "_ResourceId": resource}))
    return pd.concat(parts).assign(ObjectName="Processor", CounterName="Time", InstanceName="_Total", CounterValue=1.0)


def without(rows, start, end):
    return rows[(rows["TimeGenerated"] < at(start)) | (rows["TimeGenerated"] >= at(end))]


def analyzed(folder, start=START, end=END, machines=None):
    with amakit.connect(folder) as workspace:
        return amakit.analyze(workspace, start, end, machines)


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """Give the analysis of a fleet of which all is recorded, made once for each size, window, and choice of tables."""

    @functools.cache
    def found(machines, window=(START, END), perf=False):
        rows = fleet(machines)
        others = {"Perf": counters(rows)} if perf else {}
        return analyzed(write(tmp_path_factory.mktemp("sound"), Heartbeat=rows, **others), *window)

    return found


def unknown(found, table="Heartbeat"):
    return [
        (pd.Timestamp(u["start"]), pd.Timestamp(u["end"]), u["why"])
        for u in found.run["unknown"]
        if u["table"] == table
    ]


def claims(found):
    """What is said of outages and losses, but for what a cause rests on."""
    return [found.outages.drop(columns="evidence"), found.gaps]


# -- Heartbeat ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("machines", "length"), [(6, "00:40"), (6, "24:00"), (2, "07:00")])
def test_a_hole_of_nearly_every_machine_is_not_recorded_and_changes_no_number_elsewhere(
    tmp_path, sound, machines, length
):
    rows = fleet(machines)
    start = at("2026-03-03 12:00") - (pd.Timedelta(hours=33) if length == "24:00" else pd.Timedelta(0))
    end = start + pd.Timedelta(f"{length}:00")
    whole = sound(machines)
    holed = analyzed(write(tmp_path, Heartbeat=without(rows, str(start)[:19], str(end)[:19])))
    for with_hole, once in zip(claims(holed), claims(whole), strict=True):
        pd.testing.assert_frame_equal(with_hole, once)
    ((since, until, kind),) = unknown(holed)
    assert kind == "hole"
    assert start - pd.Timedelta(minutes=1) <= since <= start <= end <= until <= end + pd.Timedelta(minutes=1)
    lacking = (until - since).total_seconds()
    assert (whole.machines["known_s"] - holed.machines["known_s"]).tolist() == pytest.approx([lacking] * machines)
    assert (whole.machines["active_s"] - holed.machines["active_s"]).tolist() == pytest.approx([lacking] * machines)
    assert set(holed.machines["state"]) == {"reporting"}


def test_an_upgrade_inside_such_a_hole_has_a_row_with_bounds_from_zero_and_no_loss(tmp_path):
    rows = without(fleet(10, upgraded=3), "2026-03-03 05:50", "2026-03-03 06:30")
    found = analyzed(write(tmp_path, Heartbeat=rows))
    assert len(found.transitions) == 3
    assert set(found.transitions["cause"]) == set(found.outages["cause"]) == {"not_recorded"}
    assert found.outages["downtime_low_s"].tolist() == found.outages["downtime_s"].tolist() == [0, 0, 0]
    assert (found.outages["downtime_high_s"] >= 40 * 60).all()
    assert found.gaps.empty
    assert set(found.machines["active_s"]) == set(found.machines["known_s"])


def test_a_machine_that_was_silent_before_the_hole_and_after_it_stays_so(tmp_path):
    """It loses what is due while the others report, and nothing is said of the time in which nobody is recorded."""
    rows = fleet(8, upgraded=0)
    dead = rows["Computer"].eq("m1") & (rows["TimeGenerated"] >= at("2026-03-03 11:00"))
    rows = without(rows[~dead], "2026-03-03 12:00", "2026-03-03 13:00")
    found = analyzed(write(tmp_path, Heartbeat=rows))
    (outage,) = found.outages.itertuples()
    assert (outage.computer, outage.ongoing) == ("m1", True)
    assert outage.start_earliest <= at("2026-03-03 11:00") <= outage.start_latest
    assert found.gaps["lost"].tolist() == pytest.approx([12 * 60], abs=1)  # of the 13 hours to the end
    machine = found.machines.set_index("computer").loc["m1"]
    assert machine["state"] == "silent"
    assert machine["known_s"] - machine["active_s"] == pytest.approx(12 * 3600, abs=90)


def test_a_machine_that_comes_back_while_nothing_is_recorded_has_an_end_inside_the_hole(tmp_path):
    rows = fleet(8, upgraded=0)
    away = rows["Computer"].eq("m1") & rows["TimeGenerated"].between(at("2026-03-03 11:00"), at("2026-03-03 12:10"))
    rows = without(rows[~away], "2026-03-03 12:00", "2026-03-03 13:00")
    (outage,) = analyzed(write(tmp_path, Heartbeat=rows)).outages.itertuples()
    assert outage.end_earliest <= at("2026-03-03 12:10") <= outage.end_latest
    assert outage.downtime_low_s <= 70 * 60 <= outage.downtime_high_s


@pytest.mark.parametrize(("start", "end"), [
    ("2026-03-03 12:00", "2026-03-03 12:40"), ("2026-03-02 13:00", "2026-03-02 23:00"),
    ("2026-03-03 05:50", "2026-03-03 06:30")])  # fmt: skip
def test_one_machine_alone_has_the_same_tables_beside_a_hole_of_all(tmp_path, start, end):
    folder = write(tmp_path, Heartbeat=without(fleet(7), start, end))
    whole, alone = analyzed(folder), analyzed(folder, machines=["m0"])
    for name in ("machines", "transitions", "outages", "gaps"):
        of_all = getattr(whole, name)
        of_all = of_all[of_all["computer"] == "m0"].reset_index(drop=True)
        pd.testing.assert_frame_equal(getattr(alone, name), of_all)
    assert unknown(alone) == unknown(whole)
    assert [kind for *_, kind in unknown(alone)] == ["hole"]


def test_one_machine_that_is_restarted_with_all_others_alone_has_its_outage(tmp_path):
    folder = write(tmp_path, Heartbeat=fleet(7, upgraded=7))
    found = analyzed(folder, machines=["m3"])
    assert found.outages["cause"].tolist() == ["upgrade"]
    assert unknown(found) == []


def test_machines_that_are_restarted_together_are_outages_of_their_own(tmp_path):
    rows = fleet(8, upgraded=8)
    found = analyzed(write(tmp_path, Heartbeat=rows))
    assert found.outages["cause"].tolist() == ["upgrade"] * 8
    assert unknown(found) == []


def test_a_timetable_of_the_machines_is_no_hole(tmp_path):
    nights = [("1.37", f"2026-03-0{day} 22:00", f"2026-03-0{day + 1} 10:00") for day in range(2, 7)]
    rows = fleet(6, upgraded=0, calm=nights)
    found = analyzed(write(tmp_path, Heartbeat=rows), "2026-03-02 22:00", "2026-03-07 10:00")
    assert len(found.outages) == 4 * 6


@pytest.mark.parametrize("machines", [1, 2, 6])
def test_files_whose_rows_end_before_the_window_say_nothing_of_the_rest(tmp_path, sound, machines):
    rows = fleet(machines)
    whole, longer = sound(machines), analyzed(write(tmp_path, Heartbeat=rows), end="2026-03-06")
    for told, once in zip(claims(longer), claims(whole), strict=True):
        pd.testing.assert_frame_equal(told, once)
    assert set(longer.machines["state"]) == {"reporting"}
    ((since, until, kind),) = unknown(longer)
    assert (kind, until) == ("ends", at("2026-03-06"))
    assert since == pd.Timestamp(longer.run["horizon"]) == rows["TimeGenerated"].max()


def test_one_of_four_machines_that_falls_silent_is_silent_and_the_others_show_it(tmp_path):
    rows = fleet(4, upgraded=0)
    found = analyzed(
        write(tmp_path, Heartbeat=rows[~(rows["Computer"].eq("m2") & (rows["TimeGenerated"] > at("2026-03-03 12:00")))])
    )
    assert found.machines.set_index("computer")["state"].to_dict() == {
        "m0": "reporting",
        "m1": "reporting",
        "m2": "silent",
        "m3": "reporting",
    }
    assert found.outages["computer"].tolist() == ["m2"]


@pytest.mark.parametrize("machines", [2, 12])
def test_a_clock_that_is_ahead_makes_nobody_silent(tmp_path, machines):
    rows = fleet(machines, upgraded=0)
    ahead = rows["Computer"].eq("m1")
    rows.loc[ahead, "TimeGenerated"] += pd.Timedelta(minutes=8)
    with amakit.connect(write(tmp_path, Heartbeat=rows)) as workspace:
        found = amakit.analyze(workspace)
    assert set(found.machines["state"]) == {"reporting"}
    assert found.outages.empty


@pytest.mark.parametrize("machines", [3, 6])
@pytest.mark.parametrize(("later", "window"), [("3 h", (START, "2026-03-06")), ("40 D", (None, None))])
def test_rows_of_the_future_change_nothing(tmp_path, sound, later, window, machines):
    rows = fleet(machines)
    once = rows.iloc[[-1]].assign(Version="9.9")
    once["TimeGenerated"] = rows["TimeGenerated"].max() + pd.Timedelta(later)
    expected = sound(machines, window)
    found = analyzed(write(tmp_path, Heartbeat=pd.concat([rows, once])), *window)
    for name in ("machines", "transitions", "outages", "gaps"):
        pd.testing.assert_frame_equal(getattr(found, name), getattr(expected, name))
    assert found.run["horizon"] == expected.run["horizon"]
    assert found.window == expected.window


def test_the_daily_cap_is_told_by_the_workspace_itself(tmp_path):
    rows = without(fleet(1, upgraded=0), "2026-03-02 17:00", "2026-03-03")
    said = pd.DataFrame(
        {
            "TimeGenerated": [at("2026-03-02 17:00"), at("2026-03-03")],
            "OperationCategory": "Data Collection Status",
            "OperationKey": ["Data collection stopped", "Data collection started"],
            "OperationStatus": ["Warning", "Succeeded"],
            "Detail": ["The data volume reached the daily cap. OverQuota", "Data collection has started again"],
        }
    )
    found = analyzed(write(tmp_path, Heartbeat=rows, Operation=said))
    assert found.outages.empty
    assert [kind for *_, kind in unknown(found)] == ["cap"]


# -- other tables ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("cut", "machines"), [
    ("2026-03-03 03:00", 2), ("2026-03-03 06:02", 2), ("2026-03-03 06:02", 7), ("2026-03-03 09:00", 7)])  # fmt: skip
def test_a_table_that_ends_before_or_in_an_outage_has_lost_nothing_that_is_known(tmp_path, sound, cut, machines):
    rows = fleet(machines)
    perf = counters(rows)
    whole = sound(machines, perf=True)
    ended = analyzed(write(tmp_path, Heartbeat=rows, Perf=without(perf, cut, END)))
    assert [kind for *_, kind in unknown(ended, "Perf")] == ["ends"]
    assert ended.run["coverage"]["Perf"]["ends"] < cut.replace(" ", "T") + "Z"
    own = [found.gaps[found.gaps["data_type"] == "Perf"] for found in (whole, ended)]
    assert own[0]["lost"].sum() > 0
    if cut > "2026-03-03 08":
        pd.testing.assert_frame_equal(own[1], own[0])
    else:
        assert own[1].empty
    assert ended.outages["computer"].tolist() == whole.outages["computer"].tolist()
    assert not ended.gaps["ongoing"].any()


def test_a_table_of_one_machine_that_stops_with_its_outage_has_stopped(tmp_path):
    rows = fleet(6)
    perf = counters(rows)
    stopped = perf["Computer"].eq("m0") & (perf["TimeGenerated"] > at("2026-03-03 06:02"))
    found = analyzed(write(tmp_path, Heartbeat=rows, Perf=perf[~stopped]))
    assert unknown(found, "Perf") == []
    assert found.gaps.set_index("data_type").loc["Perf", "ongoing"]


@pytest.mark.parametrize(("start", "end", "lost"), [
    ("2026-03-03 03:00", "2026-03-03 05:00", True), ("2026-03-03 05:00", "2026-03-03 06:02", False),
    ("2026-03-03 06:02", "2026-03-03 07:00", False), ("2026-03-03 05:30", "2026-03-03 09:00", False)])  # fmt: skip
@pytest.mark.parametrize("machines", [None, ["m0"]])
def test_a_hole_of_a_table_for_all_machines_is_no_loss_and_makes_nobody_partial(
    tmp_path, sound, start, end, lost, machines
):
    rows = fleet(7)
    perf = counters(rows)
    whole = sound(7, perf=True)
    folder = write(tmp_path, Heartbeat=rows, Perf=without(perf, start, end))
    holed = analyzed(folder, machines=machines)
    own = [found.gaps[found.gaps["data_type"] == "Perf"] for found in (whole, holed)]
    assert own[0]["lost"].sum() > 0
    if lost:  # far from any outage nothing is claimed, and nothing is asked
        pd.testing.assert_frame_equal(own[1], own[0])
    else:
        assert own[1].empty
        ((since, until, kind),) = unknown(holed, "Perf")
        assert kind == "hole"
        assert since <= at(start) + pd.Timedelta(minutes=1) < at(end) - pd.Timedelta(minutes=1) <= until
    assert holed.outages["computer"].tolist() == ["m0"]
    assert set(holed.machines["state"]) == {"reporting"}


def test_counters_that_come_back_late_after_an_upgrade_of_all_are_lost(tmp_path):
    rows = fleet(7, upgraded=7)
    late = without(counters(rows), "2026-03-03 06:00", "2026-03-03 06:08")
    found = analyzed(write(tmp_path, Heartbeat=rows, Perf=late))
    assert unknown(found, "Perf") == []
    assert found.gaps["data_type"].value_counts()["Perf"] == 7


# -- cases as people have them, each with a README that states the right value ---------------------------------


@pytest.mark.parametrize(("case", "why"), [
    ("b11_clock_8min_ahead", []), ("b16_daily_cap", ["cap"]), ("f20_cut_at_30000", ["limit"])])  # fmt: skip
def test_a_fast_clock_a_daily_cap_and_a_cut_file_are_nobodys_outage(case, why):
    found = analyzed(Path(__file__).with_name("cases") / case, None, None)
    assert found.outages.empty
    assert found.gaps.empty
    assert set(found.machines["state"]) == {"reporting"}
    assert [kind for *_, kind in unknown(found)] == why
    assert len(found.machines) == 4


def test_a_silent_machine_is_silent_up_to_the_end_of_the_files_when_it_alone_is_asked_for(tmp_path):
    rows = [
        beats(f"m{n}", [("1.37", f"2026-03-02 00:00:{n:02}", "2026-03-02 04:00" if n else "2026-03-02 02:00")])
        for n in range(6)
    ]
    with amakit.connect(write(tmp_path, Heartbeat=pd.concat(rows))) as logs:
        found = [amakit.analyze(logs, "2026-03-02", "2026-03-03", asked) for asked in (None, ["m0"])]
    assert len({one.run["horizon"] for one in found}) == 1
    for one in found:
        assert one.outages.query("ongoing")["computer"].tolist() == ["m0"]
        assert one.machines.set_index("computer").loc["m0", "state"] == "silent"
