"""Workspaces that people had: what was away, what of it was lost, and whose rows they are."""

from pathlib import Path

import amakit

CASES = Path(__file__).parent / "cases"


def analyzed(case):
    with amakit.connect(str(CASES / case)) as workspace:
        return amakit.analyze(workspace)


def test_counters_that_run_on_show_that_the_agent_was_not_away():
    """The heartbeat has a hole of 20 minutes, three counters have none: 20 heartbeats are missing, no outage."""
    found = analyzed("b03_heartbeat_missing_perf_arrives")
    assert found.outages.empty
    gap = found.gaps[["data_type", "lost_low", "lost", "lost_high", "ongoing"]]
    assert gap.values.tolist() == [["Heartbeat", 20, 20, 20, False]]
    assert found.machines["state"].tolist() == ["reporting"]


def test_tables_with_short_and_long_names_are_of_one_machine():
    """Heartbeat has the long name, Perf and Syslog the short one: one upgrade took 3 samples of each stream."""
    found = analyzed("b05_fqdn_vs_short")
    assert found.machines["computer"].tolist() == ["web-01.corp.example"]
    assert found.outages[["cause", "from_version", "to_version"]].values.tolist() == [["upgrade", "1.38.1", "1.39.0"]]
    assert dict(found.gaps.set_index("data_type")["lost"]) == {"Heartbeat": 3, "Perf": 3}
    assert found.events["computer"].tolist() == ["web-01.corp.example"]


def test_a_machine_that_joins_a_domain_at_its_upgrade_stays_one():
    """The name grew longer with the upgrade: one machine beside the other, one upgrade, 3 heartbeats lost."""
    found = analyzed("b06_renamed_at_upgrade")
    assert found.machines[["computer", "state"]].values.tolist() == [
        ["db-01", "reporting"],
        ["web-01.corp.example", "reporting"],
    ]
    assert found.transitions["cause"].tolist() == ["upgrade"]
    assert found.outages[["cause", "ongoing"]].values.tolist() == [["upgrade", False]]
    assert found.gaps["lost"].tolist() == [3]


def test_two_agents_with_equal_ids_that_report_in_turns_were_never_away():
    found = analyzed("b08c_two_agents_same_ids")
    assert found.outages.empty
    assert found.gaps.empty
    assert found.machines[["state", "note"]].values.tolist() == [["reporting", "2 agents report at once"]]
