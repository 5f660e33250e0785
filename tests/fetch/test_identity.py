"""One machine stays one through new names; tables are joined by id first; what was made anew is another machine."""

import pandas as pd
import pytest
from fleet import analyzed, counters, every, heartbeats

from amakit.fetch.identity import with_machines

DAY = "2026-05-04", "2026-05-05"
DOWN = "2026-05-04 10:00:00", "2026-05-04 10:04:10"
OLD, NEW = "/subscriptions/0/resourceGroups/a/VM/m", "/subscriptions/1/resourceGroups/b/VM/m"


def two(before, after, version="1.39.0", down=DOWN, day=DAY, computer="m"):
    """Heartbeats before and after an outage, each with columns of its own."""
    return [
        heartbeats(computer, every(60, day[0], down[0], phase=20), **before),
        heartbeats(computer, every(60, down[1], day[1], phase=33), **({"Version": version} | after)),
    ]


def numbered(columns, n):
    """Give what names a machine a number, so that several of them stand in one workspace; what is empty stays so."""
    return {
        column: "".join([(parts := text.partition("."))[0], str(n), *parts[1:]]) if text else ""
        for column, text in columns.items()
    }


def later(times, n):
    """Move the two ends of an outage by so many times twenty minutes: no two machines are away at once."""
    return tuple(str(pd.Timestamp(time) + n * pd.Timedelta(minutes=20)) for time in times)


def of_machine(frame, beats):
    """Give the rows of the machine that ended with these heartbeats."""
    return frame[frame["computer"] == beats["Computer"].iloc[-1].lower()]


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


@pytest.fixture(scope="module")
def renamed(tmp_path_factory):
    """Give the heartbeats of a machine for each change, and what is found of all of them beside one without any."""
    beats = {
        change: two(*(numbered(columns, n) for columns in columns_of), down=later(DOWN, n), computer=f"m{n}")
        for n, (change, columns_of) in enumerate(STAYS.items())
    }
    rows = [*(part for parts in beats.values() for part in parts), heartbeats("n", every(60, *DAY, phase=3))]
    return beats, analyzed(tmp_path_factory.mktemp("renamed"), *DAY, Heartbeat=rows)


@pytest.mark.parametrize("change", STAYS)
def test_one_machine_with_a_new_name_has_one_upgrade_and_one_outage(change, renamed):
    beats, found = renamed
    last = beats[change][1].iloc[0]
    own, transitions, outages, gaps = (
        of_machine(frame, beats[change][1]) for frame in (found.machines, found.transitions, found.outages, found.gaps)
    )
    assert own[["resource_id", "state"]].values.tolist() == [[last["_ResourceId"].lower(), "reporting"]]
    assert transitions[["from_version", "to_version"]].values.tolist() == [["1.38.0", "1.39.0"]]
    assert outages[["cause", "ongoing"]].values.tolist() == [["upgrade", False]]
    assert len(gaps) == 1


def test_of_nobody_else_anything_is_found(renamed):
    _, found = renamed
    assert len(found.machines) == len(STAYS) + 1
    for frame in (found.transitions, found.outages, found.gaps):
        assert len(frame) == len(STAYS)


@pytest.fixture(scope="module")
def with_two_names(tmp_path_factory):
    """Give a folder in which a machine has two names, and what is found of all in it."""
    beats = [*two({"Computer": "m.corp.example"}, {}), heartbeats("n", every(60, *DAY, phase=3))]
    folder = tmp_path_factory.mktemp("names")
    return folder, analyzed(folder, *DAY, Heartbeat=beats)


@pytest.mark.parametrize("asked", ["m", "m.corp.example", "M"])
def test_a_machine_is_found_by_any_of_its_names(asked, with_two_names):
    folder, found = with_two_names
    own = analyzed(folder, *DAY, [asked])
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


_NEW = {"SourceComputerId": "new", "VMUUID": "new-vm"}
_AWAY = ("2026-05-04 10:00", "2026-05-04 14:00")
#: Who comes after four hours, when the source was away, how many of its silences are told, whether it speaks again:
#: the same agent; another machine; another machine whose predecessor's source had ended five hours before it did.
AFTER = [
    (agent, down, kept, spoke_again)
    for agent, down, kept in (({}, _AWAY, 1), (_NEW, _AWAY, 0), (_NEW, ("2026-05-04 05:00", _AWAY[1]), 1))
    for spoke_again in (True, False)
]


@pytest.fixture(scope="module")
def made_anew(tmp_path_factory):
    """Give what is found of a machine for each of these, no two of which are away at once, and of one that goes on."""
    window = ("2026-05-01", "2026-05-07")
    beats = [heartbeats("other", every(60, *window))]
    rows = [syslog(every(20, *window), "other")]  # so that the table goes on
    for n, (agent, down, _, spoke_again) in enumerate(AFTER):
        down, away = later(down, 54 * n - 120), later(_AWAY, 54 * n - 120)
        beats += two({}, numbered(agent, n), down=away, day=window, computer=f"m{n}")
        rows += [syslog(every(20, window[0], down[0]), f"m{n}")]
        rows += [syslog(every(20, down[1], window[1]), f"m{n}")] * spoke_again
    return analyzed(tmp_path_factory.mktemp("anew"), *window, Heartbeat=beats, Syslog=rows)


@pytest.mark.parametrize("case", AFTER, ids=str)
def test_between_two_machines_of_one_name_no_time_is_known_and_no_source_lost_rows(case, made_anew):
    agent, _, kept, _ = case
    name = f"m{AFTER.index(case)}"
    assert made_anew.sources["computer"].eq(name).sum() == kept
    (machine,) = made_anew.machines[made_anew.machines["computer"] == name].itertuples()
    away = pd.Timedelta(days=6).total_seconds() - machine.active_s
    assert away == pytest.approx(4 * 3600, abs=100)
    assert machine.active_s == machine.known_s or not agent


#: What a machine is called in its heartbeats, and in another table under the same id.
NAMES = [(beat, perf) for beat in ("m", "m.corp.example") for perf in ("m", "m.corp.example", "m.other.example")]


@pytest.fixture(scope="module")
def joined(tmp_path_factory):
    """Give what is found of a machine for each pair of names."""
    beats, samples = [], []
    for n, (beat, perf) in enumerate(NAMES):
        down, named = later(DOWN, n), numbered({"Computer": beat}, n)
        beats += two(named, named, down=down, computer=f"m{n}")
        parts = [every(60, DAY[0], down[0], phase=5), every(60, down[1], DAY[1], phase=17)]
        samples.append(counters(f"m{n}", pd.concat(parts), **numbered({"Computer": perf}, n)))
    return analyzed(tmp_path_factory.mktemp("joined"), *DAY, Heartbeat=beats, Perf=samples)


@pytest.mark.parametrize(("beat", "perf"), NAMES)
def test_other_tables_are_joined_by_id(beat, perf, joined):
    name = numbered({"Computer": beat}, NAMES.index((beat, perf)))["Computer"]
    gaps = joined.gaps[joined.gaps["computer"] == name].set_index("data_type")["lost"]
    assert gaps.to_dict() == {"Heartbeat": 4, "Perf": 4}
    assert joined.machines["computer"].str.split(".").str[0].value_counts()[name.partition(".")[0]] == 1


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


def logged(folder, lines, machines=None):
    """Give what is found of a machine with two names for each of these ways to name it in a log."""
    beats, rows = [], []
    for n, way in enumerate(lines):
        down = later(DOWN, n)
        beats += two(*[{"Computer": f"m{n}.corp.example"}] * 2, down=down, computer=f"m{n}")
        times = every(10, *DAY, without=[down])
        named = {
            column: [numbered({column: text}, n)[column] for text in texts[: len(times)]]
            if isinstance(texts, list)
            else numbered({column: texts}, n)[column]
            for column, texts in LINES[way].items()
        }
        rows.append(counters(f"m{n}", times, **named)[["TimeGenerated", "Computer", "_ResourceId"]])
    return analyzed(folder, *DAY, machines, Heartbeat=beats, Syslog=pd.concat(rows).assign(Facility="cron"))


@pytest.fixture(scope="module")
def logged_in_all_ways(tmp_path_factory):
    return logged(tmp_path_factory.mktemp("logged"), LINES)


@pytest.mark.parametrize("lines", LINES)
def test_the_events_of_a_machine_with_two_names_are_its_own(lines, logged_in_all_ways):
    found, name = logged_in_all_ways.events, f"m{[*LINES].index(lines)}"
    own = found.loc[found["computer"].str.split(".").str[0] == name, ["computer", "source", "verdict"]]
    assert own.values.tolist() == [[f"{name}.corp.example", "cron", "possible_loss"]]


def test_they_are_so_where_it_alone_is_asked_for(tmp_path):
    found = logged(tmp_path, ["the short name without an id"], ["M0.Corp.Example"])
    assert found.events[["computer", "source", "verdict"]].values.tolist() == [
        ["m0.corp.example", "cron", "possible_loss"]
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
