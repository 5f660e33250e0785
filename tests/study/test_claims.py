"""Every claim that a reader acts on, against slow readings of generated tables, and on the pages of both languages."""

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from incident import analysis, gap, outage, proof, table

from amakit.schemas import Cause
from amakit.study import claims

CAUSES = [str(cause) for cause in Cause]
CHANGING = ("upgrade", "downgrade", "machine_stopped", "machine_restarted", "not_recorded", "rolled_back")


@st.composite
def analyses(draw):
    """Outages of a few machines on one day, each with a cause; transitions and gaps that agree with them."""
    outages, changes, gaps, pieces = [], [], [], []
    for computer in draw(st.lists(st.sampled_from("abcd"), unique=True)):
        hours = sorted(draw(st.lists(st.integers(0, 22), unique=True, max_size=4)))
        for hour in hours:
            cause = draw(st.sampled_from(CAUSES))
            ongoing = hour == hours[-1] and draw(st.booleans())
            changed = not ongoing and cause in CHANGING and draw(st.booleans())
            versions = ("1.36", "1.38" if changed else "1.36")
            one = outage(computer, f"{hour:02}:10:00", "" if ongoing else f"{hour:02}:14:00", cause, pair=versions)
            outages.append(one)
            away = ongoing or draw(st.booleans())
            gaps.append(gap(one, "Heartbeat", f"{hour:02}:09:50", "" if away else f"{hour:02}:14:10", 3, ongoing=away))
            if changed:
                changes.append(
                    {
                        "resource_id": one["resource_id"],
                        "computer": computer,
                        "os_type": "Linux",
                        "from_version": "1.36",
                        "to_version": "1.38",
                        "kind": "upgrade",
                        "cause": cause,
                        "last_old": one["start_earliest"],
                        "first_new": one["end_latest"],
                    }
                )
            verb = draw(st.sampled_from(["", "machine_stop", "machine_start"]))
            pieces += proof(one, (f"{hour:02}:40:00", verb, "x", "succeeded", "", "")) if verb else []
    made = analysis(outages, gaps, evidence=pieces, spare=["f"])
    gone = {o["computer"] for o in outages if o["ongoing"] is True}
    state = ["silent" if c in gone else "reporting" for c in made.machines["computer"]]
    made.machines["state"] = pd.Series(state, dtype="str")
    object.__setattr__(made, "transitions", table("transitions", changes))
    return made


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
    assert counts["seen"] == len(a.transitions)
    ended = [
        o for rows in own.values() for o in rows if o["cause"] == "upgrade" and o["from_version"] != o["to_version"]
    ]
    assert len([o for o in ended if o["to_version"]]) + sum(counts["by_cause"].values()) == counts["seen"]
    if claims.no_upgrade_seen(a.transitions, a.outages):
        assert a.transitions.empty
        assert "upgrade" not in set(a.outages["cause"])

    changed = [o for rows in own.values() for o in rows if o["to_version"] and o["to_version"] != o["from_version"]]
    down = [o for o in changed if o["cause"] in ("machine_stopped", "machine_restarted")]
    assert sorted(claims.hidden_changes(a.outages)["start_earliest"]) == sorted(o["start_earliest"] for o in down)

    for row in claims.not_tried_again(a.outages, a.transitions).itertuples():
        later = [o for o in own[row.computer] if o["start_earliest"] > row.start_earliest]
        assert row.computer not in gone
        assert not any(o["cause"] in ("upgrade", "rolled_back", "rollback_failed") for o in later)
        assert not any(change["first_new"] > row.start_earliest for change in newer.get(row.computer, []))
    waiting = set(claims.not_tried_again(a.outages, a.transitions)["computer"])
    for name, rows in own.items():
        tried = [
            o
            for o in rows
            if o["cause"] in ("upgrade", "rolled_back", "rollback_failed")
            or (o["to_version"] and o["to_version"] != o["from_version"])
        ]
        if tried and tried[-1]["cause"] == "rolled_back" and tried[-1]["to_version"] == "1.36" and name not in gone:
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
