"""One machine stays one through new names; tables are joined by id first; what was made anew is another machine."""

import pandas as pd
import pytest
from fleet import analyzed, counters, every, heartbeats

from amakit.fetch.identity import with_machines

DAY = "2026-05-04", "2026-05-05"
DOWN = "2026-05-04 10:00:00", "2026-05-04 10:04:10"
OLD, NEW = "/subscriptions/0/resourceGroups/a/VM/m", "/subscriptions/1/resourceGroups/b/VM/m"


def two(before, after, version="1.39.0", down=DOWN, day=DAY):
    """Heartbeats before and after an outage, each with columns of its own."""
    return [
        heartbeats("m", every(60, day[0], down[0], phase=20), **before),
        heartbeats("m", every(60, down[1], day[1], phase=33), **({"Version": version} | after)),
    ]


#: What changes at the outage while the machine stays the same one.
STAYS = {
    "FQDN to short name": ({"Computer": "m.corp.example"}, {}),
    "short name to FQDN": ({}, {"Computer": "m.corp.example"}),
    "another name": ({}, {"Computer": "web-01"}),
    "another group": ({"_ResourceId": OLD}, {"_ResourceId": NEW}),
    "another group, only the agent's id stays": ({"_ResourceId": OLD}, {"_ResourceId": NEW, "VMUUID": "other"}),
    "another group, only the hardware's id stays": (
        {"_ResourceId": OLD},
        {"_ResourceId": NEW, "SourceComputerId": "x"},
    ),
    "another name, only the hardware's id stays": ({}, {"Computer": "web-01", "SourceComputerId": "x"}),
    "another name, and no column for the hardware": ({"VMUUID": ""}, {"Computer": "web-01", "VMUUID": ""}),
    "another group and name": ({"_ResourceId": OLD}, {"_ResourceId": NEW, "Computer": "web-01"}),
}


@pytest.mark.parametrize("change", STAYS)
def test_one_machine_with_a_new_name_has_one_upgrade_and_one_outage(change, tmp_path):
    beats = [*two(*STAYS[change]), heartbeats("n", every(60, *DAY, phase=3))]
    found = analyzed(tmp_path, *DAY, Heartbeat=beats)
    named = beats[1].iloc[0]
    assert found.machines["state"].tolist() == ["reporting"] * 2
    own = found.machines[found.machines["computer"] != "n"].iloc[0]
    assert (own["computer"], own["resource_id"]) == (named["Computer"].lower(), named["_ResourceId"].lower())
    assert found.transitions[["from_version", "to_version"]].values.tolist() == [["1.38.0", "1.39.0"]]
    (outage,) = found.outages.itertuples()
    assert (outage.cause, outage.ongoing) == ("upgrade", False)
    assert len(found.gaps) == 1


@pytest.mark.parametrize("asked", ["m", "m.corp.example", "M"])
def test_a_machine_is_found_by_any_of_its_names(asked, tmp_path):
    beats = [*two({"Computer": "m.corp.example"}, {}), heartbeats("n", every(60, *DAY, phase=3))]
    found = analyzed(tmp_path, *DAY, Heartbeat=beats)
    own = analyzed(tmp_path, *DAY, [asked], Heartbeat=beats)
    for table in ("machines", "transitions", "outages", "gaps"):
        whole = getattr(found, table)
        pd.testing.assert_frame_equal(getattr(own, table), whole[whole["computer"] == "m"].reset_index(drop=True))


def test_renaming_a_machine_changes_only_its_name(tmp_path):
    plain = analyzed(tmp_path, *DAY, Heartbeat=two({}, {}))
    other = {"Computer": "q", "_ResourceId": "/subscriptions/0/resourceGroups/rg/VM/q"}
    renamed = analyzed(tmp_path, *DAY, Heartbeat=two(other, other))
    for table in ("machines", "transitions", "outages", "gaps"):
        one, two_ = (getattr(found, table).drop(columns=["resource_id", "computer"]) for found in (plain, renamed))
        pd.testing.assert_frame_equal(one, two_)


def test_a_name_that_changes_back_and_forth_is_one_machine(tmp_path):
    beats = heartbeats("m", every(60, *DAY, phase=20))
    beats["Computer"] = ["m.corp.example" if n % 3 else "m" for n in range(len(beats))]
    found = analyzed(tmp_path, *DAY, Heartbeat=beats)
    assert len(found.machines) == 1
    assert found.outages.empty


def test_cloned_agents_that_report_at_once_are_two_machines(tmp_path):
    clones = [heartbeats(name, every(60, *DAY, phase=20), SourceComputerId="same") for name in "mn"]
    found = analyzed(tmp_path, *DAY, Heartbeat=clones)
    assert found.machines["computer"].tolist() == ["m", "n"]


def test_instances_of_a_scale_set_are_machines_of_their_own(tmp_path):
    one = {"_ResourceId": "/subscriptions/0/resourceGroups/rg/VMSS/s"}
    first = heartbeats("s_0", every(60, DAY[0], "2026-05-04 10:00"), **one)
    second = heartbeats("s_1", every(60, "2026-05-04 10:10", DAY[1]), **one)
    assert len(analyzed(tmp_path, *DAY, Heartbeat=[first, second]).machines) == 2


def test_a_machine_made_anew_under_its_name_was_neither_upgraded_nor_silent(tmp_path):
    beats = two({}, {"SourceComputerId": "new", "VMUUID": "new-vm"}, down=("2026-05-04 10:00", "2026-05-04 14:00"))
    found = analyzed(tmp_path, *DAY, Heartbeat=beats)
    assert found.transitions.empty
    assert found.outages.empty
    assert found.machines["note"].str.startswith("made anew 2026-05-04T14:00:33Z").all()


def syslog(times, computer="m"):
    one = {"Computer": computer, "_ResourceId": f"/subscriptions/0/resourceGroups/rg/VM/{computer}"}
    return pd.DataFrame({"TimeGenerated": times}).assign(
        **one, Facility="daemon", SeverityLevel="info", SyslogMessage=""
    )


@pytest.mark.parametrize(
    ("agent", "down", "kept"),
    [  # the same agent; another machine; another machine whose predecessor's source had ended five hours before it did
        ({}, ("2026-05-04 10:00", "2026-05-04 14:00"), 1),
        ({"SourceComputerId": "new", "VMUUID": "new-vm"}, ("2026-05-04 10:00", "2026-05-04 14:00"), 0),
        ({"SourceComputerId": "new", "VMUUID": "new-vm"}, ("2026-05-04 05:00", "2026-05-04 14:00"), 1),
    ],
)
@pytest.mark.parametrize("spoke_again", [True, False])
def test_between_two_machines_of_one_name_no_time_is_known_and_no_source_lost_rows(
    agent, down, kept, spoke_again, tmp_path
):
    window = ("2026-05-01", "2026-05-07")
    beats = two({}, agent, down=("2026-05-04 10:00", "2026-05-04 14:00"), day=window)
    rows = [syslog(every(20, window[0], down[0]))] + [syslog(every(20, down[1], window[1]))] * spoke_again
    beats.append(heartbeats("other", every(60, *window)))
    rows.append(syslog(every(20, *window), "other"))  # so that the table goes on
    found = analyzed(tmp_path, *window, Heartbeat=beats, Syslog=rows)
    assert len(found.sources) == kept
    machine = found.machines.iloc[0]
    away = pd.Timedelta(days=6).total_seconds() - machine.active_s
    assert away == pytest.approx(4 * 3600, abs=100)
    assert machine.active_s == machine.known_s or not agent


@pytest.mark.parametrize("perf", ["m", "m.corp.example", "m.other.example"])
@pytest.mark.parametrize("beat", ["m", "m.corp.example"])
def test_other_tables_are_joined_by_id(beat, perf, tmp_path):
    parts = [every(60, DAY[0], DOWN[0], phase=5), every(60, DOWN[1], DAY[1], phase=17)]
    samples = counters("m", pd.concat(parts), Computer=perf)
    found = analyzed(tmp_path, *DAY, Heartbeat=two({"Computer": beat}, {"Computer": beat}), Perf=samples)
    assert len(found.machines) == 1
    gaps = found.gaps.set_index("data_type")["lost"]
    assert dict(gaps) == {"Heartbeat": 4, "Perf": 4}


def test_without_an_id_another_table_is_joined_by_the_short_name(tmp_path):
    parts = [every(60, DAY[0], DOWN[0], phase=5), every(60, DOWN[1], DAY[1], phase=17)]
    long = {"Computer": "m.corp.example"}
    found = analyzed(tmp_path, *DAY, Heartbeat=two(long, long), Perf=counters("m", pd.concat(parts), _ResourceId=""))
    assert set(found.gaps["data_type"]) == {"Heartbeat", "Perf"}


#: Under which name and id the rows of a log come, where the heartbeats name the machine by its long name.
LINES = {
    "the short name under its id": {"Computer": "m"},
    "the short name without an id": {"Computer": "m", "_ResourceId": ""},
    "the long name without an id": {"Computer": "m.corp.example", "_ResourceId": ""},
    "both names": {"Computer": ["m", "m.corp.example"] * 10_000},
}


@pytest.mark.parametrize(
    ("lines", "machines"), [*((lines, None) for lines in LINES), ("the short name without an id", ["M.Corp.Example"])]
)
def test_the_events_of_a_machine_with_two_names_are_its_own(lines, machines, tmp_path):
    long = {"Computer": "m.corp.example"}
    times = every(10, *DAY, without=[DOWN])
    columns = {name: value[: len(times)] if isinstance(value, list) else value for name, value in LINES[lines].items()}
    logged = counters("m", times, **columns)[["TimeGenerated", "Computer", "_ResourceId"]].assign(Facility="cron")
    found = analyzed(tmp_path, *DAY, machines, Heartbeat=two(long, long), Syslog=logged)
    assert found.events[["computer", "source", "verdict"]].values.tolist() == [
        ["m.corp.example", "cron", "possible_loss"]
    ]


def test_names_do_not_join_what_has_nothing_else_in_common():
    t = pd.date_range("2026-03-02", periods=4, tz="UTC")
    rows = pd.DataFrame(
        {
            "ResourceId": ["/a", "/b"],
            "Computer": "m",
            "Agent": ["s", "t"],
            "Vm": ["v", "w"],
            "FirstBeat": t[[0, 2]],
            "LastBeat": t[[1, 3]],
        }
    )
    assert with_machines(rows)["resource_id"].tolist() == ["/a", "/b"]
