"""Every claim that a reader acts on, against slow readings of generated tables, and on the pages of both languages."""

import pytest
from generated import analyses
from hypothesis import given, settings
from incident import analysis, outage, proof

from amakit.study import claims


def by_machine(frame):
    return {
        name: part.sort_values(part.columns.intersection(["start_earliest"]).tolist() or ["computer"]).to_dict(
            "records"
        )
        for name, part in frame.groupby("computer")
    }


@settings(max_examples=60, deadline=None)
@given(analyses())
def test_claims_hold_on_the_tables(a):
    own, newer = by_machine(a.outages), by_machine(a.transitions)
    gone = {name for name, rows in own.items() if rows[-1]["ongoing"]}
    assert set(claims.silent(a.outages)["computer"]) == gone
    open_streams = {row.computer for row in a.gaps.itertuples() if row.ongoing} - gone
    assert set(claims.half_back(a.outages, a.gaps)["computer"]) == open_streams
    assert claims.all_back(a.outages, a.gaps, a.machines) is (not gone and not open_streams)

    counts = claims.upgrades(a.transitions, a.outages)
    assert counts["seen"] == sum(a.transitions["kind"] == "upgrade")
    ended = [
        o for rows in own.values() for o in rows if o["cause"] == "upgrade" and o["from_version"] != o["to_version"]
    ]
    assert len([o for o in ended if o["to_version"]]) + sum(counts["by_cause"].values()) == counts["seen"]
    if claims.no_upgrade_seen(a.transitions, a.outages):
        assert "upgrade" not in set(a.transitions["kind"])
        assert "upgrade" not in set(a.outages["cause"])

    changed = [o for rows in own.values() for o in rows if o["to_version"] and o["to_version"] != o["from_version"]]
    down = [o for o in changed if o["cause"] in ("machine_stopped", "machine_restarted")]
    assert sorted(claims.hidden_changes(a.outages)["start_earliest"]) == sorted(o["start_earliest"] for o in down)

    for row in claims.not_tried_again(a.outages, a.transitions).itertuples():
        later = [o for o in own[row.computer] if o["start_earliest"] > row.start_earliest]
        assert row.computer not in gone
        assert not any(o["cause"] in ("upgrade", "rolled_back", "rollback_failed") for o in later)
        later = [change for change in newer.get(row.computer, []) if change["kind"] == "upgrade"]
        assert not any(change["first_new"] > row.start_earliest for change in later)
    waiting = set(claims.not_tried_again(a.outages, a.transitions)["computer"])
    for name, rows in own.items():
        tried = [
            o
            for o in rows
            if o["cause"] in ("upgrade", "rolled_back", "rollback_failed")
            or (o["to_version"] and o["to_version"] != o["from_version"])
        ]
        if (
            tried
            and tried[-1]["cause"] == "rolled_back"
            and tried[-1]["to_version"] == tried[-1]["from_version"]
            and name not in gone
        ):
            assert name in waiting


@settings(max_examples=60, deadline=None)
@given(analyses())
def test_who_must_be_looked_at_is_silent_and_nobody_ordered_it(a):
    looked_at = claims.unattended(a.outages, a.evidence)
    assert looked_at["ongoing"].all()
    ordered = claims.silent(a.outages).drop(index=looked_at.index)
    assert not set(ordered["cause"]) & {"rollback_failed", "unexplained"}
    starts = a.evidence[a.evidence["kind"] == "machine_start"]["outage_start"]
    assert set(looked_at.loc[looked_at["cause"] == "machine_stopped", "start_earliest"]) <= set(starts)


@pytest.mark.parametrize(
    ("pieces", "looked_at"),
    [([], []), (["machine_stop"], []), (["machine_stop", "machine_start"], ["a"]), (["machine_start", "machine_stop"], [])],
)  # fmt: skip
def test_a_machine_that_was_started_again_without_its_agent_must_be_looked_at(pieces, looked_at):
    off = outage("a", "10:00:00", "", "machine_stopped")
    acts = [(f"{11 + n}:00:00", kind, "x", "succeeded", "", "") for n, kind in enumerate(pieces)]
    a = analysis([off], evidence=proof(off, *acts))
    assert claims.unattended(a.outages, a.evidence)["computer"].tolist() == looked_at
