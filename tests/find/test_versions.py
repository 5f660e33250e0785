"""Runs of versions and their changes, against fleets with a known answer and against walking over every beat."""

import pandas as pd
import pytest
from fleet import at, beats, changes_by_walking, write
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import amakit
from amakit.fetch import heartbeats
from amakit.find.versions import rolled_back, runs, transitions, version_key
from amakit.intervals import window

COLUMNS = ["resource_id", "computer", "from_version", "to_version", "kind", "last_old", "first_new"]


def found(folder, start="2026-03-01", end="2026-03-08", machines=None):
    with amakit.connect(folder) as workspace:
        return amakit.analyze(workspace, start, end, machines)


def changes(folder, start="2026-03-01", end="2026-03-08"):
    """Take the way of an analysis to its transitions, and no further: outages and logs have tests of their own."""
    with amakit.connect(folder) as workspace:
        asked = window(start, end)
        fleet = heartbeats.fleet(workspace, asked, [])
        known = transitions(runs(heartbeats.version_spans(fleet)))
    return list(known.loc[known["first_new"] >= asked.start, COLUMNS].itertuples(index=False, name=None))


def versions(folder, *window):
    return [(old, new, kind) for _, _, old, new, kind, *_ in changes(folder, *window)]


def test_a_change_lies_between_the_last_old_and_the_first_new_beat(tmp_path):
    rows = beats(
        "web-01",
        [
            ("1.37.0.0", "2026-03-02 00:00:10", "2026-03-02 10:00"),
            ("1.38.1.0", "2026-03-02 10:03:42.123456", "2026-03-03"),
        ],
    )
    (change,) = changes(write(tmp_path, Heartbeat=rows))
    assert change == (
        "/subscriptions/0/resourcegroups/rg/vm/web-01",
        "web-01",
        "1.37.0.0",
        "1.38.1.0",
        "upgrade",
        at("2026-03-02 09:59:10"),
        at("2026-03-02 10:03:42.123456"),
    )


def test_there_and_back_are_two_changes_even_within_one_hour(tmp_path):
    rows = beats(
        "a",
        [
            ("1.37", "2026-03-02 09:00", "2026-03-02 10:00"),
            ("1.38", "2026-03-02 10:04", "2026-03-02 10:11"),
            ("1.37", "2026-03-02 10:15", "2026-03-02 12:00"),
        ],
    )
    result = found(write(tmp_path, Heartbeat=rows))
    assert list(result.transitions["kind"]) == ["upgrade", "downgrade"]
    assert list(result.transitions["cause"].fillna("")) == ["upgrade", "rolled_back"]
    assert result.machines["version"].item() == "1.37"


def test_a_single_beat_of_another_version_is_a_run(tmp_path):
    rows = beats(
        "a",
        [
            ("1.37", "2026-03-02 09:00", "2026-03-02 10:00"),
            ("1.38", "2026-03-02 10:01", "2026-03-02 10:01:30"),
            ("1.37", "2026-03-02 10:03", "2026-03-02 12:00"),
        ],
    )
    assert versions(write(tmp_path, Heartbeat=rows)) == [("1.37", "1.38", "upgrade"), ("1.38", "1.37", "downgrade")]


def test_a_double_hop_within_minutes_is_two_upgrades(tmp_path):
    rows = beats(
        "a",
        [
            ("1.32.6", "2026-03-02", "2026-03-02 08:11:24"),
            ("1.33.4", "2026-03-02 08:13", "2026-03-02 08:21:02"),
            ("1.34.5", "2026-03-02 08:23", "2026-03-05"),
        ],
        os_type="Linux",
    )
    assert versions(write(tmp_path, Heartbeat=rows)) == [
        ("1.32.6", "1.33.4", "upgrade"),
        ("1.33.4", "1.34.5", "upgrade"),
    ]


def test_a_flapping_machine_shows_every_turn(tmp_path):
    turns, start = [], at("2026-03-02")
    for n in range(24):  # an Arc machine that is tried again every hour
        turns += [("1.37", start, start + pd.Timedelta(minutes=50))]
        turns += [("1.38", start + pd.Timedelta(minutes=52), start + pd.Timedelta(minutes=57))]
        start = at("2026-03-02") + pd.Timedelta(hours=n + 1)
    rows = beats("arc", [(v, str(a)[:19], str(b)[:19]) for v, a, b in turns])
    assert [kind for *_, kind in versions(write(tmp_path, Heartbeat=rows))] == (["upgrade", "downgrade"] * 24)[:-1]


def test_versions_compare_by_number_and_spelling_makes_no_change(tmp_path):
    rows = beats(
        "a",
        [
            ("1.9", "2026-03-02", "2026-03-03"),
            ("1.10.0", "2026-03-03 00:05", "2026-03-04"),
            ("1.10.0.0", "2026-03-04 00:05", "2026-03-05"),
            ("1.10-77", "2026-03-05", "2026-03-06"),
        ],
    )
    assert versions(write(tmp_path, Heartbeat=rows)) == [("1.9", "1.10.0", "upgrade")]
    assert version_key("1.9") < version_key("1." + "9" * 5000) == version_key("1." + "8" * 6000)
    assert version_key("1.10") == version_key("1.10.0.0") == version_key("1.10-77") > version_key("1.9.99")


def test_other_agents_of_the_machine_do_not_count(tmp_path):
    mma = beats("a", [("10.20.18053.0", "2026-03-02 00:00:30", "2026-03-03")], category="Direct Agent")
    ama = beats("a", [("1.37", "2026-03-02", "2026-03-03")])
    result = found(write(tmp_path, Heartbeat=pd.concat([mma, ama])))
    assert result.transitions.empty
    assert result.machines["version"].item() == "1.37"


def test_the_same_version_from_two_agents_is_no_change(tmp_path):
    one = beats("a", [("1.37", "2026-03-02", "2026-03-03"), ("1.38", "2026-03-03 00:04", "2026-03-05")], source="one")
    two = beats("a", [("1.37", "2026-03-02 00:00:30", "2026-03-05")], source="two")
    result = found(write(tmp_path, Heartbeat=pd.concat([one, two])))
    assert list(result.transitions[["from_version", "to_version"]].itertuples(index=False, name=None)) == [
        ("1.37", "1.38")
    ]
    assert result.machines["note"].item() == "2 agents report at once"


def test_two_agents_that_upgrade_together_are_one_change_of_the_machine(tmp_path):
    one = beats("a", [("1.37", "2026-03-02 00:00:47", "2026-03-03"), ("1.38", "2026-03-03 00:01:47", "2026-03-05")])
    two = beats(
        "a", [("1.37", "2026-03-02", "2026-03-03 00:01"), ("1.38", "2026-03-03 00:02", "2026-03-05")], source="t"
    )
    assert changes(write(tmp_path, Heartbeat=pd.concat([one, two]))) == [
        (
            "/subscriptions/0/resourcegroups/rg/vm/a",
            "a",
            "1.37",
            "1.38",
            "upgrade",
            at("2026-03-03 00:00"),
            at("2026-03-03 00:01:47"),
        )
    ]


def test_two_agents_that_share_an_identity_are_told_apart_by_their_beats(tmp_path):
    old = beats("a", [("1.37", "2026-03-02", "2026-03-02 06:00")])
    new = beats("a", [("1.38", "2026-03-02 00:00:30", "2026-03-02 06:00")])
    assert changes(write(tmp_path, Heartbeat=pd.concat([old, new]))) == []


def test_twins_with_one_name_are_two_machines(tmp_path):
    east = beats(
        "app", [("1.37", "2026-03-02", "2026-03-03"), ("1.38", "2026-03-03", "2026-03-04")], resource="/r/east/app"
    )
    west = beats("APP", [("1.36", "2026-03-02 00:00:20", "2026-03-04")], resource="/R/West/app", source="t")
    result = found(write(tmp_path, Heartbeat=pd.concat([east, west])))
    assert list(result.machines["resource_id"]) == ["/r/east/app", "/r/west/app"]
    assert list(result.transitions["resource_id"]) == ["/r/east/app"]


def test_instances_of_a_scale_set_share_an_id_and_are_machines_of_their_own(tmp_path):
    rows = [
        beats(f"vmss_{n}", [("1.37", "2026-03-02", "2026-03-03")], resource="/r/set", source=str(n)) for n in range(3)
    ]
    assert len(found(write(tmp_path, Heartbeat=pd.concat(rows))).machines) == 3


def test_rows_without_an_id_just_after_the_start_belong_to_the_machine_of_that_name(tmp_path):
    rows = beats("a", [("1.37", "2026-03-02", "2026-03-03"), ("1.38", "2026-03-03 00:04", "2026-03-04")])
    late = (rows["Version"] == "1.38") & (rows["TimeGenerated"] < at("2026-03-03 00:20"))
    rows.loc[late, "_ResourceId"] = None
    result = found(write(tmp_path, Heartbeat=rows))
    assert len(result.machines) == 1
    assert result.transitions["first_new"].item() == at("2026-03-03 00:04")


def test_a_change_across_the_start_belongs_to_the_window_of_its_first_new_beat(tmp_path):
    rows = beats("a", [("1.37", "2026-03-02", "2026-03-02 11:59"), ("1.38", "2026-03-02 12:01", "2026-03-03")])
    folder = write(tmp_path, Heartbeat=rows)
    whole = changes(folder, "2026-03-02", "2026-03-03")
    assert changes(folder, "2026-03-02 12:00", "2026-03-03") == whole
    assert changes(folder, "2026-03-02", "2026-03-02 12:00") == []
    assert changes(folder, "2026-03-02 12:01", "2026-03-03") == whole  # the start belongs to the window …
    assert changes(folder, "2026-03-02", "2026-03-02 12:01") == []  # … and the end does not


def test_silence_and_absence_show_in_the_state(tmp_path):
    rows = pd.concat(
        [
            beats("alive", [("1.37", "2026-03-02", "2026-03-04")]),
            beats("stopped", [("1.37", "2026-03-02", "2026-03-03 12:00")], source="t"),
            beats("before", [("1.36", "2026-03-02", "2026-03-02 01:00")], source="u"),
        ]
    )
    machines = found(write(tmp_path, Heartbeat=rows), "2026-03-03", "2026-03-04").machines.set_index("computer")
    assert dict(machines["state"]) == {"alive": "reporting", "stopped": "silent", "before": "silent"}
    assert machines.loc["before", "note"] == "no heartbeat in the window"
    assert machines.loc["before", "last_seen"] == at("2026-03-02 00:59")
    assert pd.isna(machines.loc["before", "first_seen"])
    # an outage begins in the middle of its bracket, here half an interval after the last beat
    assert machines.loc["alive", "active_s"] == 86400
    assert machines.loc["stopped", "active_s"] == pytest.approx(43170, abs=0.1)
    assert machines.loc["before", "active_s"] == 0
    assert set(machines["known_s"]) == {86400}


VERSIONS = st.sampled_from(["1.9", "1.10.0.0", "1.36.1", "1.37", "1.37.0", "1.38.1-5", "2.0.0.1"])
STRETCHES = st.lists(st.tuples(VERSIONS, st.integers(3, 3000), st.integers(2, 200)), min_size=1, max_size=7)


def fleet_of(machines):
    parts = []
    for n, stretches in enumerate(machines):
        now = at("2026-03-01 00:00:07") + pd.Timedelta(seconds=n * 17)
        plan = []
        for version, minutes, silent in stretches:
            end = now + pd.Timedelta(minutes=minutes)
            plan.append((version, str(now)[:19], str(end)[:19]))
            now = end + pd.Timedelta(minutes=silent)
        parts.append(beats(f"m{n}", plan, source=f"s{n}"))
    return pd.concat(parts, ignore_index=True)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(STRETCHES, min_size=1, max_size=4), st.integers(0, 99), st.integers(1, 20_000))
def test_any_fleet_gives_what_walking_over_its_beats_gives(tmp_path_factory, machines, seed, cut):
    """Shuffled, with duplicates, cut anywhere: the changes are those that the slow way finds."""
    rows = fleet_of(machines)
    expected = changes_by_walking(rows)
    twice = pd.concat([rows.sample(frac=1, random_state=seed), rows.sample(frac=0.01, random_state=seed)])
    folder = write(tmp_path_factory.mktemp("fleet"), Heartbeat=twice)
    start, end = at("2026-03-01"), rows["TimeGenerated"].max() + pd.Timedelta(seconds=1)
    assert changes(folder, start, end) == expected
    middle = start + pd.Timedelta(minutes=cut)
    if middle < end and middle > rows.groupby("Computer")["TimeGenerated"].min().max():
        parts = changes(folder, start, middle) + changes(folder, middle, end)
        assert sorted(parts, key=lambda c: (c[1], c[0], c[5])) == expected


@pytest.mark.parametrize("days", [1, 100])
def test_moving_the_fleet_in_time_moves_its_changes(tmp_path, days):
    rows = fleet_of([[("1.9", 100, 5), ("1.10.0.0", 2000, 3), ("1.9", 50, 2)]])
    shift = pd.Timedelta(days=days)
    here = changes(write(tmp_path / "a", Heartbeat=rows), "2026-03-01", "2026-03-08")
    moved = rows.assign(TimeGenerated=rows["TimeGenerated"] + shift)
    there = changes(write(tmp_path / "b", Heartbeat=moved), at("2026-03-01") + shift, at("2026-03-08") + shift)
    assert there == [(*change[:5], change[5] + shift, change[6] + shift) for change in here]
    assert len(here) == 2


def test_only_the_version_that_an_upgrade_left_is_one_to_roll_back_to():
    """Down to 1.2, up to 1.4, down to 1.3: what was left by a downgrade is not what an upgrade had set out from."""
    changes = pd.DataFrame(
        {
            "resource_id": "",
            "computer": "a",
            "kind": ["downgrade", "upgrade", "downgrade", "downgrade"],
            "from_version": ["1.3", "1.2", "1.4", "1.3"],
            "to_version": ["1.2", "1.4", "1.3", "1.2"],
        }
    )
    assert rolled_back(changes).tolist() == [False, False, False, True]


def test_a_machine_that_reports_only_after_the_window_has_reported(tmp_path):
    early, late = (
        beats(name, [("1.1", begin, end)])
        for name, begin, end in [
            ("early", "2026-03-02", "2026-03-03"),
            ("late", "2026-03-03 00:10", "2026-03-03 02:00"),
        ]
    )
    with amakit.connect(write(tmp_path / "logs", Heartbeat=pd.concat([early, late]))) as workspace:
        with pytest.raises(amakit.UsageError, match=r"no heartbeat .* in 2026-03-02T00:00:00Z to 2026-03-03T00:00:00Z"):
            amakit.analyze(workspace, "2026-03-02", "2026-03-03", ["late"])
        both = amakit.analyze(workspace, "2026-03-02", "2026-03-03", ["early", "late"])
        assert "early" in both.machines["computer"].tolist()
        with pytest.raises(amakit.UsageError, match="no machine 'lat' has reported"):
            amakit.analyze(workspace, "2026-03-02", "2026-03-03", ["lat"])
