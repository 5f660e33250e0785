"""Evidence in words, in both languages, from its rows."""

import re
from zoneinfo import ZoneInfo

import pandas as pd
from incident import analysis, outage, proof

import amakit
from amakit.prose.evidence import ARC_SERVICE, rendered, timed

WRITE = "microsoft.hybridcompute/machines/extensions/write"
A = outage("a", "10:00:00", "10:04:00", "rolled_back", pair=("1.36", "1.36"))


def test_every_statement_is_told_in_japanese_with_its_names_and_times():
    given = amakit.analyze(amakit.connect("demo"), "2026-03-02", "2026-03-16")
    english, japanese = (rendered(given.outages, given.evidence, language) for language in ("en", "ja"))
    assert ["; ".join(told) for told in english] == given.outages["evidence"].tolist()
    pairs = {pair for both in zip(english, japanese, strict=True) for pair in zip(*both, strict=True)}
    assert len(pairs) > 60
    for part, told in pairs:
        assert re.search(r"[\u3040-\u30ff\u4e00-\u9fff]", told) or part.startswith("Syslog"), part
        assert set(re.findall(r"\d[\d.:-]+", part)) <= set(re.findall(r"\d[\d.:-]+", told))


def test_who_asked_is_a_person_a_service_or_nobody_that_says_something():
    pieces = [
        ("10:00:01", "agent_write", WRITE, "failed", actor, text)
        for actor, text in (
            ("ines@contoso.example", ""),
            (ARC_SERVICE, ""),
            ("0b1e2d3c-4a5f-4687-9a0b-c0de00000001", ""),
            ("x", "own name"),
        )
    ]
    given = analysis([A], evidence=proof(A, *pieces))
    begin = f"activity log 2026-03-02 10:00:01: {WRITE} failed"
    assert sorted(rendered(given.outages, given.evidence)[0]) == sorted(
        [
            f"{begin} by ines@contoso.example",
            f"{begin} automatic (Arc's own service)",
            begin,
            f"{begin} (own name)",
            "1.36 reports again",
        ]
    )


def test_text_from_outside_is_no_pattern_and_parts_nothing():
    given = analysis([A], evidence=proof(A, ("10:00:01", "boot", "", "", "", "at {when} at 2026-03-02; y")))
    given.evidence["data_type"] = "Syslog"
    assert rendered(given.outages, given.evidence)[0][0] == "Syslog: at {when} at 2026-03-02; y at 2026-03-02 10:00:01"


def test_times_are_in_the_zone_of_the_page_and_marks_are_instants():
    given = analysis([A], evidence=proof(A, ("23:30:00", "agent_write", WRITE, "failed", "", "")))
    ((told, times),) = timed(given.outages, given.evidence, "en", "Asia/Tokyo")
    assert "2026-03-03 08:30:00" in told[0]
    assert times[0] == pd.Timestamp("2026-03-03 08:30", tz=ZoneInfo("Asia/Tokyo"))
    assert pd.isna(times[1])


def test_what_follows_from_versions_and_ends():
    cases = {
        "rollback_failed": "silent since, and nothing says that the machine was stopped then",
        "agent_removed": "silent since",
        "unexplained": "silent since; nothing says why",
        "upgrade": "how the upgrade ended is not known yet",
    }
    for cause, told in cases.items():
        given = analysis([outage("a", "10:00:00", "", cause)])
        assert rendered(given.outages, given.evidence) == [told.split("; ")]
    given = analysis([outage("a", "10:00:00", "11:00:00", "machine_stopped")])
    assert rendered(given.outages, given.evidence)[0] == [
        "1.38 reports after 1.36",
        "what the upgrade took cannot be seen",
    ]
