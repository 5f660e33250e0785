"""What is said where one of several workspaces received nothing and another one did, and where unknown time lies."""

import json
from dataclasses import replace

import pytest
from fleet import at
from incident import analysis, event, outage, pages, table

from amakit.facts.gather import gather
from amakit.prose.incident import document
from amakit.share.pseudonyms import anonymised
from amakit.study.absences import REASONS, absences

EAST, WEST = "east<b>", "west"


def destination(computer, since, until=None, silent=EAST, received_by=WEST):
    return {
        "resource_id": f"/subscriptions/0/resourcegroups/rg/{computer}",
        "computer": computer,
        "silent_from": at(f"2026-03-02 {since}"),
        "silent_to": None if until is None else at(f"2026-03-02 {until}"),
        "ongoing": until is None,
        "received_by": received_by,
        "workspace": silent,
    }


def of_two(rows, outages=(), **more):
    """An analysis of two workspaces to which all its machines report."""
    whole = analysis(list(outages), spare=["a", "b", "c", "d", "e"], **more)
    names = whole.machines.set_index("computer")["resource_id"]
    found = table("destinations", [row | {"resource_id": names[row["computer"]]} for row in rows])
    told = [{"workspace": name, "machines": 5, "missing_tables": [], "refused": {}} for name in (EAST, WEST)]
    told[0] |= {"horizon": "2026-03-02T20:00:00Z", "missing_tables": ["Perf"]}
    told[1] |= {"horizon": "2026-03-03T00:00:00Z"}
    frames = {
        name: getattr(whole, name).assign(workspace=f"{EAST}, {WEST}")
        for name in ("machines", "outages", "gaps", "events", "sources", "evidence")
    }
    return replace(whole, destinations=found, **frames, run=whole.run | {"workspaces": told})


def told(rows, language="en", **more):
    return pages(of_two(rows, **more), language, names=("gaps", "incident"))


def test_a_destination_that_fails_is_said_on_both_pages_and_is_to_be_looked_at():
    page = told([destination("a", "10:00:00"), destination("b", "11:00:00", "12:00:00")])
    words = page["incident"]["verdict"]
    assert words.startswith("**No machine needs you now, but 1 machine should be looked at.")
    assert (
        "- **Not received everywhere:** **a** (rg): east&lt;b&gt; has received nothing since 2026-03-02 10:00, west has; "
        "the agent lives, its destination fails or was taken away: look at the destinations of its data collection rules; "
        "**b** (rg): east&lt;b&gt; received nothing from 2026-03-02 11:00 to 2026-03-02 12:00, west did; the agent lived, "
        "its destination failed or was taken away."
    ) in words
    assert "**b** (rg): east&lt;b&gt; received nothing from 2026-03-02 11:00" in page["gaps"]["cost"]


def test_the_same_in_japanese():
    page = told([destination("a", "10:00:00"), destination("b", "11:00:00", "12:00:00")], "ja")
    for words in (page["incident"]["verdict"], page["gaps"]["cost"]):
        assert "2026-03-02 10:00 から east&lt;b&gt; には何も届かず、west には届いています。" in words
        assert (
            "2026-03-02 11:00 から 2026-03-02 12:00 まで east&lt;b&gt; には何も届かず、west には届いていました。"
            in words
        )


def test_one_that_is_over_leaves_nothing_to_do():
    words = told([destination("b", "11:00:00", "12:00:00")])["incident"]["headline"]
    assert words.startswith("Nothing is to be done")


def test_of_many_the_longest_are_told_and_the_others_counted():
    rows = [destination(name, f"0{n}:00:00", "09:00:00") for n, name in enumerate("abcde", start=1)]
    page = told(rows)
    assert "and 2 more" in page["incident"]["verdict"]
    assert "The table `destinations` has 2 more." in page["gaps"]["cost"]
    assert "**e**" not in page["gaps"]["cost"]


def test_no_word_of_it_where_one_workspace_was_analysed():
    page = pages(analysis([outage("a", "10:00:30", "10:04:30")]), names=("gaps", "incident"))
    assert "received" not in page["gaps"]["cost"] + page["incident"]["verdict"]


@pytest.mark.parametrize("language", ["en", "ja"])
def test_what_a_workspace_lacks_is_said_of_it(language):
    sentence = {"en": "east&lt;b&gt; has no Perf", "ja": "east&lt;b&gt; に Perf がない"}[language]
    assert sentence in told([], language)["gaps"]["limits"]
    assert sentence in told([], language)["incident"]["limits"]


def test_how_long_an_agent_is_away_is_known_up_to_the_end_of_its_own_workspace():
    away = outage("x", "19:00:00", "", "unexplained")
    found = of_two([], [away])
    east = {name: getattr(found, name).assign(workspace=EAST) for name in ("machines", "outages")}
    (down,) = json.loads(document(replace(found, **east)))["situation"]["down"]
    assert down["workspace"] == EAST
    assert 3500 < down["lasted_s"] < 3700  # and not to the end of the other one


def test_rows_that_may_be_missing_are_told_of_each_workspace():
    away = outage("a", "10:00:00", "10:10:00")
    lost = [event(away, "Syslog", "possible_loss", 0, 40.0), event(away, "Syslog", "recovered", 40, 40.0)]
    found = of_two([], [away], events=lost)
    found = replace(found, events=found.events.assign(workspace=[EAST, WEST]))
    page = pages(found, names=("incident", "gaps"))
    assert page["gaps"].facts["events"]["lost"] == [{"data_type": "Syslog", "machine": f"a · {EAST}"}]
    words = page["incident"]["verdict"]
    assert "**a** (rg, east&lt;b&gt;), Syslog around 2026-03-02 09:59: 0 of about 40 rows came" in words


def test_facts_and_limits_count_them_and_pseudonyms_hide_the_names():
    found = of_two([destination("a", "10:00:00"), destination("b", "11:00:00", "12:00:00")])
    facts = json.loads(document(anonymised(found, b"k" * 32)))
    assert facts["counts"]["destinations"] == 2
    first = facts["situation"]["destinations"][0]
    assert first["until"] is None
    assert first["silent"] in facts["run"]["workspaces"][0]["workspace"]
    assert "east" not in json.dumps(facts)


def test_charts_and_alerts_count_an_agent_as_away_up_to_the_end_of_its_own_workspace():
    found = of_two([], [outage("x", "19:00:00", "", "unexplained")])
    found = replace(found, outages=found.outages.assign(workspace=EAST))
    counted = absences(found.outages, found.window, found.known_until(found.outages))
    assert counted.loc[counted[REASONS[0]] > 0, "start"].dt.hour.tolist() == [19, 20]
    (silent,) = gather(found).silent.itertuples()
    assert 3500 < silent.silence_low_s < 3700
