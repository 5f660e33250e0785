"""Analyses drawn at random whose tables agree with each other."""

import pandas as pd
from fleet import at
from hypothesis import strategies as st
from incident import RG, analysis, event, gap, outage, proof, table

from amakit.schemas import Cause, Verdict

CAUSES = [str(cause) for cause in Cause]
#: In these the version may change as well; these go on, or do not.
CHANGING = ("upgrade", "downgrade", "machine_stopped", "machine_restarted", "not_recorded", "disconnected")
ENDLESS, ENDED = ("rollback_failed",), ("rolled_back", "downgrade", "agent_restarted", "not_recorded", "disconnected")
STREAMS = [("Heartbeat", "", 60.0), ("Perf", "y \\ ", 10.0), ("ConfigurationData", "Software", 36000.0)]
VERDICTS = [str(verdict) for verdict in Verdict]


@st.composite
def analyses(draw):
    """Outages of a few machines on one day, each with a cause, and all other tables that go with them."""
    outages, changes, gaps, pieces, events = [], [], [], [], []
    for computer in draw(st.lists(st.sampled_from("abcd"), unique=True)):
        version = 36
        for hour in (hours := sorted(draw(st.lists(st.integers(0, 22), unique=True, max_size=4)))):
            last = hour == hours[-1]
            ongoing = last and draw(st.booleans())
            causes = [c for c in CAUSES if c not in (ENDED if ongoing else ENDLESS)]
            cause = draw(st.sampled_from(causes))
            step = {"upgrade": 1, "downgrade": -1}.get(cause, draw(st.sampled_from([0, 1])))
            step = step if cause in CHANGING and not ongoing else 0
            pair = (f"1.{version}", f"1.{version + step}")
            one = outage(
                computer,
                f"{hour:02}:10:00",
                "" if ongoing else f"{hour:02}:{draw(st.integers(11, 50))}:00",
                cause,
                pair=pair,
                os_type="Windows" if computer in "ab" else "Linux",
            )
            if cause == "upgrade" and last and not ongoing and draw(st.booleans()):
                one["to_version"], step = "", 0  # its other streams are back, its heartbeat is not yet
            version += step
            outages.append(one)
            for data_type, stream, interval in draw(st.lists(st.sampled_from(STREAMS), unique=True)):
                away = ongoing or (last and draw(st.booleans()))
                lost, low, high = sorted(draw(st.tuples(*[st.integers(0, 9)] * 3))), None, None
                low, lost, high = lost
                until = "" if away else f"{hour:02}:59:10"
                gaps.append(gap(one, data_type, f"{hour:02}:09:50", until, lost, low, high, stream, interval, away))
            if step:
                times = {"last_old": one["start_earliest"], "first_new": one["end_latest"]}
                kind = "upgrade" if step > 0 else "downgrade"
                own = {name: one[name] for name in ("resource_id", "computer", "os_type", "from_version", "to_version")}
                changes.append(own | {"kind": kind, "cause": cause} | times)
            verb = draw(st.sampled_from(["", "machine_stop", "machine_start", "agent_write"]))
            pieces += (
                proof(one, (f"{hour:02}:55:00", verb, "x", "failed" if verb == "agent_write" else "succeeded", "", ""))
                if verb
                else []
            )
            for source in ("Event", "Syslog")[: draw(st.integers(0, 2))]:
                verdict = "undetermined" if ongoing or cause == "not_recorded" else draw(st.sampled_from(VERDICTS))
                events.append(event(one, source, verdict, draw(st.integers(0, 9)), draw(st.integers(0, 99)) / 4))
    lone = draw(st.booleans())
    if lone:  # a stream that ended without any outage
        gaps.append(gap(outage("g", "01:00:00", "02:00:00"), *("Perf", "12:00:00", "", 700)) | {"outage_start": pd.NaT})
        gaps[-1] |= {"ongoing": True, "cause": ""}
    unknown = [
        {
            "start": "2026-03-02T05:00:00Z",
            "end": "2026-03-02T06:00:00.5Z",
            "table": "Heartbeat",
            "why": "hole",
            "reason": "x",
        }
    ]
    made = analysis(
        outages,
        gaps,
        evidence=pieces,
        spare=["f", "g"],
        events=events,
        missing=draw(st.sampled_from([(), ("AzureActivity",), ("Perf", "Syslog")])),
    )
    made.run["unknown"] = unknown[: draw(st.integers(0, 1))]
    made.run["refused"] = {"SecurityEvent": "you lack the role"} if draw(st.booleans()) else {}
    gone = {o["computer"] for o in outages if o["ongoing"] is True}
    state = ["silent" if c in gone else "reporting" for c in made.machines["computer"]]
    state = ["partial" if lone and c == "g" else s for c, s in zip(made.machines["computer"], state, strict=True)]
    made.machines["state"] = pd.Series(state, dtype="str")
    made.machines["version"] = pd.Series("1.36", made.machines.index, dtype="str")
    sources = [
        {
            "resource_id": RG + computer,
            "computer": computer,
            "data_type": "Syslog",
            "source": source,
            "silent_from": at("2026-03-02 13:00"),
            "silent_to": at("2026-03-02 15:00") if back else pd.NaT,
            "expected": 123.0,
            "ongoing": not back,
            "outage_start": pd.NaT,
        }
        for computer, source, back in draw(
            st.lists(
                st.tuples(st.sampled_from("fg"), st.sampled_from(["", "cron"]), st.booleans()),
                max_size=2,
                unique_by=lambda one: one[:2],
            )
        )
    ]
    object.__setattr__(made, "transitions", table("transitions", changes))
    object.__setattr__(made, "sources", table("sources", sources))
    return made
