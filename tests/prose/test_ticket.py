"""The ticket: short, worst first, whole sentences, and nothing left out in silence."""

import json
import re
from dataclasses import replace

import pytest
from incident import analysis, blind, event, gap, mixed, outage, page_of
from nbconvert.filters import markdown2html

from amakit.facts.counts import COUNTS
from amakit.prose.incident import document
from amakit.prose.ticket import LONGEST, ticket

HOSTILE = "<b>*_[x](y)`|" * 6


def made(given, language="en"):
    return ticket(page_of(given, "incident", language))


def dead(n, name="dead-{}"):
    """A fleet of which so many machines are down, one is in doubt and one was upgraded."""
    down = [outage(name.format(i), f"{i // 60:02}:{i % 60:02}:00", "", "rollback_failed") for i in range(n)]
    doubt, well = outage("doubt", "10:00:00", "10:02:00"), outage("well", "11:00:00", "11:03:00")
    beats = [gap(well, "Heartbeat", "10:59:50", "11:03:10", 3)]
    return analysis([*down, doubt, well], beats, events=[event(doubt, "Syslog", "possible_loss", 0, 40.0)])


@pytest.mark.parametrize("language", ["en", "ja"])
@pytest.mark.parametrize("n", [0, 1, 20, 300])
@pytest.mark.parametrize("name", ["dead-{}", HOSTILE + "{}"])
def test_it_never_is_longer_and_always_says_what_is_most_urgent_and_what_it_cost(n, name, language):
    page = page_of(dead(n, name), "incident", language)
    text = ticket(page)
    assert len(text) <= LONGEST
    assert text.startswith(f"**{page['headline']}**\n")
    assert page["recovered"] in text
    lead = page.words.heading("still down")
    shown = text.count(f"- **{lead}:**")
    told = [page.told("entry", "still down", "down", one) for one in page.facts["now"]["down"]]
    assert [item for item in told if item in text] == told[:shown]  # from the worst on, whole
    rest = {"en": f"{n - shown} of {n} under “{lead}”", "ja": f"「{lead}」{n} 件のうち {n - shown} 件"}[language]
    assert (rest in text) == (shown < n)
    assert shown == n or "doubt**" not in text  # nothing milder before what is worse


def test_what_fits_is_all_there_and_nothing_is_said_to_be_left_out():
    text = made(mixed())
    assert "Left out" not in text
    lines = [line for line in text.splitlines() if line.startswith("- ")]
    leads = [re.match(r"- \*\*(.*?):?\*\*", line)[1] for line in lines]
    assert leads == [
        "Still down",
        "Partly down",
        "In doubt",
        "Recovered",
        "Other reasons",
        "Collect logs and open a support request",
        "Check the data collection rule",
        "Compare with the source",
        "Widen the heartbeat alert",
    ]
    assert all(line.rstrip().endswith(".") for line in lines)


def test_each_table_that_was_refused_is_told():
    refused = {"SecurityEvent": "you lack the role", "W3CIISLog": "a Basic plan"}
    text = made(replace(mixed(), run=mixed().run | {"refused": refused}))
    assert "`SecurityEvent` was refused: you lack the role" in text
    assert "`W3CIISLog` was refused: a Basic plan" in text


def test_time_of_which_nothing_is_known_is_told():
    assert "nothing is known of Perf" in made(blind())


@pytest.mark.parametrize("language", ["en", "ja"])
def test_it_is_plain_markdown_that_says_the_same_when_it_is_rendered(language):
    text = made(dead(3, HOSTILE + "{}"), language)
    assert not re.search(r"^ *(\||#|>|```|<)", text, re.MULTILINE)
    html = markdown2html(text)
    assert set(re.findall(r"<(\w+)", html)) <= {"p", "ul", "li", "strong", "code"}
    assert html.count("&lt;b&gt;*_[x](y)`|") >= 3 * 3


def test_facts_hold_the_ticket_and_the_numbers_that_limits_may_be_set_to():
    told = json.loads(document(mixed(), "ja"))
    assert told["ticket"] == made(mixed(), "ja")
    assert list(told["counts"]) == list(COUNTS)
    assert told["counts"] == {
        "machines": 6,
        "silent": 1,
        "down": 1,
        "off": 0,
        "partial": 1,
        "stopped_sources": 0,
        "silences": 0,
        "doubtful": 1,
        "destinations": 0,
        "seen": 0,
        "upgrades": 2,
        "rolled_back": 1,
        "rollback_failed": 1,
        "lost_heartbeats": 7,
        "median_s": 120.0,
        "longest_s": 240.0,
        "unexplained": 0,
        "undecided": 1,
        "unknown": 0,
        "missing_tables": 0,
        "unheard": None,
    }
    assert json.loads(document(dead(2)))["counts"]["down"] == 2
    quiet = json.loads(document(analysis([], spare=["f"])))["counts"]
    assert {name for name, number in quiet.items() if number} == {"machines"}
    assert quiet["longest_s"] is None
