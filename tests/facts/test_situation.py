"""What has to be done, the most urgent first; ongoing and ended outages are never added up."""

import json

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from incident import act, analysis, event, gap, mixed, outage

from amakit.facts.gather import gather
from amakit.prose import incident
from amakit.prose.record import record
from amakit.schemas import Verdict


def situation(given):
    return record(gather(given))["situation"]


def test_the_situation_parts_what_is_down_from_what_came_back():
    now = situation(mixed())
    assert [(one["machine"], one["group"], one["cause"], one["step"]) for one in now["down"]] == [
        ("d", "rg", "rollback_failed", "support")
    ]
    assert now["down"][0]["lasted_s"] == 4 * 3600 + 10  # from 19:59:50 to the end of the day
    assert [(one["machine"], one["data_type"], one["streams"], one["lost"]) for one in now["partial"]] == [
        ("b", "Perf", ["y"], 700)
    ]
    assert [(one["machine"], one["data_types"], one["expected"]) for one in now["doubtful"]] == [("b", ["Syslog"], 12)]
    recovered = now["recovered"]
    assert (recovered["upgrades"], recovered["rolled_back"], recovered["machines"]) == (2, 1, 2)
    assert (recovered["heartbeats"], recovered["of_upgrades"]) == (4 + 2 + 1, 4 + 1)
    assert (recovered["longest_s"], recovered["longest_machine"]) == (240, "a")
    assert now["other"] == {"machine_stopped": 1}
    assert json.loads(json.dumps(now, allow_nan=False)) == now


@pytest.mark.parametrize(
    ("cause", "part", "step"),
    [
        ("rollback_failed", "down", "support"),
        ("unexplained", "down", "silent"),
        ("agent_removed", "down", "reinstall"),
        ("machine_stopped", "off", "silent"),
        ("machine_removed", "off", "silent"),
    ],
)
def test_an_agent_whose_machine_is_off_is_not_to_be_mended(cause, part, step):
    now = situation(analysis([outage("a", "10:00:00", "", cause)]))
    assert [one["machine"] for one in now[part]] == ["a"]
    assert not now[{"down": "off", "off": "down"}[part]]
    assert part == "off" or now["down"][0]["step"] == step


def test_a_stream_that_ended_outside_of_any_outage_is_partly_down():
    lone = gap(outage("a", "10:00:00", "10:01:00"), "Heartbeat", "12:00:00", "", 700, ongoing=True)
    now = situation(analysis([], [lone | {"outage_start": pd.NaT}], spare=["a"]))
    assert [(one["machine"], one["data_type"], one["lasted_s"]) for one in now["partial"]] == [
        ("a", "Heartbeat", 43200)
    ]
    assert not now["down"]


def test_a_dead_machine_stands_once_and_takes_no_part_in_what_came_back():
    dead, back = outage("a", "20:00:00", "", "rollback_failed"), outage("b", "10:00:00", "10:02:00")
    gaps = [
        gap(dead, "Heartbeat", "19:59:50", "", 240, ongoing=True),
        gap(back, "Heartbeat", "09:59:50", "10:02:10", 2),
    ]
    now = situation(
        analysis(
            [dead, back],
            gaps,
            events=[event(dead, "Event", "possible_loss", 0, 80.0)],
            activity=[act(dead, "19:59:00", 0)],
        )
    )
    assert now["recovered"]["heartbeats"] == 2
    assert (now["partial"], now["doubtful"]) == ([], [])


@pytest.mark.parametrize("language", ["en", "ja"])
@settings(max_examples=12, deadline=None)
@given(verdicts=st.lists(st.sampled_from([str(verdict) for verdict in Verdict]), min_size=1, max_size=4))
def test_what_is_said_of_events_is_contradicted_by_no_verdict(language, verdicts):
    """That all rows came, or that there were none to lose, is said where no verdict says otherwise."""
    away = [outage(name, "10:00:00", "10:02:00") for name, _ in zip("abcd", verdicts, strict=False)]
    events = [event(one, "Syslog", verdict, 1, 9) for one, verdict in zip(away, verdicts, strict=True)]
    told = incident.incident(analysis(away, events=events), language)["verdict"]
    few, came = {
        "en": ("too few to lose any", "were picked up afterwards"),
        "ja": ("行がもともとありません", "復帰後に収集されています"),
    }[language]
    assert (few in told) == (set(verdicts) == {"none_expected"})
    assert (came in told) == ("recovered" in verdicts and set(verdicts) <= {"recovered", "none_expected"})
