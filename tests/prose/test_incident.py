"""The incident write-up: its facts, sentences and tables against incidents made by hand."""

import html
import json
import re
import string
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from incident import ARC, RG, act, analysis, event, gap, outage
from nbconvert.filters import markdown2html

import amakit
from amakit import charts
from amakit.prose import facts
from amakit.prose.incident import Writeup, document
from amakit.prose.language import texts

SENTENCES = ["verdict", "timeline", "periodic", "event_rows", "evidence", "attempts", "unshown", "actions", "made",
             "around"]  # fmt: skip
TABLES = ["timeline_table", "periodic_table", "events_table", "doubts_table", "evidence_table", "activity_table",
          "attempts_table", "parameters_table", "queries_table"]  # fmt: skip


def incident():
    """An upgrade; one that was rolled back and came the hour after; one that could not be rolled back; a stop."""
    a = outage("a", "10:00:30", "10:04:30")
    b = outage("b", "11:00:00", "11:02:00", "rolled_back", pair=("1.36", "1.36"))
    c = outage("b", "12:00:00", "12:01:00")
    d = outage("d", "20:00:00", "", "rollback_failed", os_type="Windows")
    e = outage("e", "01:00:00", "03:00:00", "machine_stopped", pair=("1.36", "1.38"))
    gaps = [
        gap(a, "Heartbeat", "10:00:00", "10:05:00", 4), gap(a, "Perf", "10:00:25", "10:04:40", 24, 23, 25, "x", 10.0),
        gap(b, "Heartbeat", "10:59:50", "11:02:50", 2), gap(c, "Heartbeat", "11:59:50", "12:01:50", 1),
        gap(c, "Perf", "11:59:50", "", 700, stream="y \\ ", ongoing=True),
        gap(d, "Heartbeat", "19:59:55", "", 240, ongoing=True), gap(e, "Heartbeat", "00:59:50", "03:00:10", 120),
    ]  # fmt: skip
    events = [event(a, "Syslog", "recovered", 3, 2.5, 240.0), event(b, "Syslog", "none_expected"),
              event(c, "Syslog", "possible_loss", 0, 12.0), event(d, "Event", "undetermined", 0, 80.0),
              event(e, "Syslog", "recovered", 9, 9.0, 7200.0)]  # fmt: skip
    # the table is sorted by computer: a, b, c (computer b), d, e
    acts = [act(b, "10:59:30", 1), act(c, "11:59:30", 2, status="succeeded"), act(d, "19:59:00", 3)]
    return analysis([a, b, c, d, e], gaps, events=events, activity=acts, spare=["f", "g"])


QUIET = analysis([], spare=["f", "g"])
OTHERS = analysis([outage("e", "01:00:00", "03:00:00", "machine_stopped", pair=("1.36", "1.36"))], spare=["f"])
ONE = analysis([a := outage("a", "10:00:30", "10:04:30")], [gap(a, "Heartbeat", "10:00:00", "10:05:00", 0, 0, 2)])
NEVER = analysis([outage("d", "20:00:00", "", "rollback_failed")])


@pytest.fixture(scope="module")
def found():
    return incident()


def read(markdown):
    """What a reader sees of Markdown."""
    return html.unescape(re.sub(r"<[^>]*>", "", markdown2html(markdown))).strip()


def test_the_verdict_says_what_happened_to_how_many_how_long_what_it_cost_and_what_is_open(found):
    said = read(Writeup(found).verdict())
    assert said == (
        "Between 2026-03-02 00:00 and 2026-03-03 00:00 (UTC), 2 upgrades, 1 upgrade that was rolled back and 1 failed "
        "roll-back on 3 of 6 machines left agents blind for a median of 2 min 0 s (1 min 40 s – 2 min 20 s) and for "
        "4 min 0 s (3 min 40 s – 4 min 20 s) at the longest, on a, and cost 271 samples (270–272) of Heartbeat and Perf "
        "so far. Events read from logs may be incomplete in 1 of 4 pairs of outage and event table, on b, and 1 cannot "
        "be decided; 1 machine is still silent at 2026-03-03 00:00: d; 1 stream has not resumed."
    )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (QUIET, "No upgrade of the agent was seen on any of 2 machines between 2026-03-02 00:00 and 2026-03-03 00:00 "
                "(UTC), so none cost data. No agent was blind; every agent was back by 2026-03-03 00:00."),
        (OTHERS, "No upgrade of the agent was seen on any of 2 machines between 2026-03-02 00:00 and 2026-03-03 00:00 "
                 "(UTC), so none cost data. Agents were blind for other reasons: 1 outage on 1 machine (machine stopped "
                 "1); every agent was back by 2026-03-03 00:00."),
        (ONE, "Between 2026-03-02 00:00 and 2026-03-03 00:00 (UTC), 1 upgrade on 1 of 1 machine left the agent blind for "
              "4 min 0 s (3 min 40 s – 4 min 20 s), and cost perhaps up to 2 samples of Heartbeat. No table of events met "
              "these outages, so nothing is said of events; every agent was back by 2026-03-03 00:00."),
        (NEVER, "Between 2026-03-02 00:00 and 2026-03-03 00:00 (UTC), 1 failed roll-back on 1 of 1 machine left the agent "
                "blind for a time that has no known end, and cost no sample that can be counted. No table of events met "
                "these outages, so nothing is said of events; 1 machine is still silent at 2026-03-03 00:00: d."),
    ],
)  # fmt: skip
def test_the_verdict_knows_none_one_and_unknown(given, said):
    assert read(Writeup(given).verdict()) == said


def test_attempts_that_failed_are_told_with_what_followed(found):
    assert read(Writeup(found).attempts()) == (
        "On 2 machines an upgrade failed: 1 upgraded in the end and 1 could not be rolled back. The next attempt came "
        "after 1 h 0 min."
    )
    table = Writeup(found).attempts_table()
    assert table.loc["b"].tolist() == [
        "upgrade rolled back 2026-03-02 10:59:50 → upgrade 2026-03-02 11:59:50", "upgrade", "1 h 0 min",
    ]  # fmt: skip
    assert table.loc["d", "first to last"] == "–"


def test_losses_are_told_by_data_type_apart_for_upgrades_and_for_what_else_happened(found):
    table = Writeup(found).periodic_table()
    assert table.loc["Heartbeat"].tolist() == ["1 min 0 s", "247", "120", "4"]
    assert table.loc["Perf"].tolist() == ["10 s", "24 (23–25)", "–", "1"]  # the stream that stayed away is not summed
    said = read(Writeup(found).periodic())
    assert said.startswith("Of 4 outages by upgrades and failed attempts, 4 certainly cost samples.")
    assert "Other outages cost 120 samples of Heartbeat." in said
    assert said.endswith("1 stream did not resume although the agent did, 700 samples lost so far: Perf y on b.")


def test_event_tables_count_the_verdicts_of_upgrades_and_failed_attempts_only(found):
    table = Writeup(found).events_table()
    assert table.loc["Syslog"].tolist() == ["1", "1", "0", "1", "3", "14.5", "4 min 0 s"]
    assert table.loc["Event"].tolist() == ["0", "0", "1", "0", "0", "80.0", "–"]
    assert [tuple(row)[1:3] for row in Writeup(found).doubts_table().itertuples(index=False)] == [
        ("Syslog", "possible loss"), ("Event", "undecided"),
    ]  # fmt: skip


def test_what_to_do_names_the_machines_and_what_to_attach(found):
    kinds = [(one["kind"], one.get("machines")) for one in facts.actions(found)]
    assert kinds == [("support", ["d"]), ("rule", ["b"]), ("events", ["b"]), ("alert", None)]
    said = read(Writeup(found).actions())
    assert "AgentTroubleshooter.exe --ama" in said
    assert "ama_troubleshooter.sh" not in said  # the machine that needs help runs Windows
    assert [one["kind"] for one in facts.actions(QUIET)] == ["nothing"]
    assert read(Writeup(QUIET).actions()).startswith("Nothing: every agent is back")


@pytest.mark.parametrize(
    ("given", "kinds"),
    [
        (analysis([outage("a", "10:00:00", "10:20:00")], [gap(outage("a", "10:00:00", "10:20:00"), "Heartbeat",
                                                              "09:59:50", "10:20:10", 20)]), ["alert"]),
        (analysis([outage("a", "10:00:00", "10:02:00", "rolled_back")]), ["retry"]),
        (analysis([outage("a", "10:00:00", "10:02:00", "rolled_back"), outage("a", "11:00:00", "11:02:00",
                                                                             "rolled_back")]), ["support"]),
        (analysis([outage("a", "10:00:00", "", "unexplained")]), ["silent"]),
        (analysis([outage("a", "10:00:00", "10:10:00", "unexplained")]), ["unexplained"]),
        (analysis([], spare=["a"], missing=["AzureActivity"]), ["activity"]),
        (analysis([outage("a", "10:00:00", "", "machine_stopped")]), ["nothing"]),
    ],
)  # fmt: skip
def test_each_state_of_affairs_has_its_next_step(given, kinds):
    assert [one["kind"] for one in facts.actions(given)] == kinds


def test_the_alert_is_widened_to_a_window_that_would_not_have_fired():
    long = outage("a", "10:00:00", "10:20:00")
    given = analysis([long], [gap(long, "Heartbeat", "09:59:50", "10:20:10", 20)])
    assert facts.actions(given) == [{"kind": "alert", "window": 5, "fires": 1, "depends": 0, "safe": 21}]
    assert "With 21 min none of them would." in Writeup(given).actions()


def test_a_machine_on_arc_and_one_on_linux_have_logs_of_their_own_to_attach():
    dead = [outage("a", "10:00:00", "", "rollback_failed", resource=ARC + "a")]
    said = Writeup(analysis(dead)).actions()
    assert "azcmagent logs" in said
    assert "ama_troubleshooter.sh -A" in said
    assert "AgentTroubleshooter" not in said


def test_limits_tell_of_unknown_time_missing_tables_and_what_cannot_be_decided(found):
    holed = replace(found, run=found.run | {"missing_tables": ["Perf"], "unknown": [
        {"start": "2026-03-02T05:00:00Z", "end": "2026-03-02T06:00:00Z", "table": "Heartbeat", "reason": "cut off"}]})  # fmt: skip
    kinds = [one["kind"] for one in facts.limits(holed)]
    assert kinds == ["brackets", "unknown", "tables", "hidden", "undetermined", "horizon", "lookback"]
    said = read(Writeup(holed).unshown())
    assert "nothing is known of Heartbeat: cut off" in said
    assert "1 change of version happened while the machine itself was stopped" in said


def test_facts_are_json_and_agree_with_the_tables(found):
    told = json.loads(document(found, "en", "Asia/Tokyo"))
    assert told["schema"] == "amakit.facts/1"
    assert told["sentence"].startswith("Between 2026-03-02 09:00 and 2026-03-03 09:00 (Asia/Tokyo), 2 upgrades")
    assert len(told["outages"]) == len(found.outages)
    for one, (_, row) in zip(told["outages"], found.outages.iterrows(), strict=True):
        assert one["cause"] == row["cause"]
        assert one["start_earliest"] == row["start_earliest"].isoformat().replace("+00:00", "Z")
        assert one["downtime_s"] == (None if pd.isna(row["downtime_s"]) else row["downtime_s"])
    lost = sum(type_["lost"] for one in told["outages"] for type_ in one["lost"].values())
    away = found.gaps["ongoing"] & (found.gaps["computer"] == "b")
    assert lost == found.gaps.loc[~away.astype("bool"), "lost"].sum()
    assert [len(one["activity"]) for one in told["outages"]] == [0, 1, 1, 1, 0]
    assert told["outages"][1]["evidence"] == ["1.36 reports again"]
    assert told["verdict"]["silent"] == [
        {"machine": "d", "cause": "rollback_failed", "since": "2026-03-02T19:59:50Z"},
    ]  # fmt: skip
    assert document(found) == document(found)


def test_facts_of_the_demo_sum_up_to_its_tables():
    given = amakit.analyze(amakit.connect("demo"), "2026-03-09", "2026-03-10")
    told = facts.facts(given)
    for cause, part in told["causes"].items():
        own = given.outages[given.outages["cause"] == cause]
        keys = set(own[["resource_id", "computer", "start_earliest"]].itertuples(index=False, name=None))
        rows = given.gaps[[k in keys for k in given.gaps[["resource_id", "computer", "outage_start"]].itertuples(
            index=False, name=None)]]  # fmt: skip
        back = rows[~rows["ongoing"].astype("bool") | own["ongoing"].any()]
        assert part["outages"] == len(own)
        for name, numbers in part["lost"].items():
            for column, number in numbers.items():
                assert number == back.loc[back["data_type"] == name, column].sum()
    assert json.loads(json.dumps(told, allow_nan=False)) == told


@pytest.mark.parametrize("method", SENTENCES)
@pytest.mark.parametrize("given", ["incident", "quiet", "others", "one", "never"])
def test_both_languages_tell_the_same_numbers(given, method):
    given = {"incident": incident(), "quiet": QUIET, "others": OTHERS, "one": ONE, "never": NEVER}[given]
    told = []
    for language in ("en", "ja"):
        text = read(getattr(Writeup(given, language, "Asia/Tokyo"), method)())
        told.append(sorted(re.findall(r"\d+(?:[.,:]\d+)*", text)))
    assert [n for n in told[0] if n != "0"] == [n for n in told[1] if n != "0"]


@pytest.mark.parametrize("method", TABLES)
@pytest.mark.parametrize("language", ["en", "ja"])
def test_tables_have_headings_in_the_language_and_unique(found, language, method):
    table = getattr(Writeup(found, language, "Asia/Tokyo"), method)()
    headings = [table.columns.name, *table.columns]
    assert len(set(headings)) == len(headings)
    assert not [h for h in headings if "{" in h]
    known = set(texts("en")["headings"].values()) - set(texts("ja")["headings"].values())
    assert language == "en" or not known & set(headings)


def test_utc_stands_beside_another_zone_and_not_beside_itself(found):
    assert list(Writeup(found, "en", "UTC").timeline_table().columns)[:2] == ["began (UTC)", "back"]
    table = Writeup(found, "en", "Asia/Tokyo").timeline_table()
    assert table.loc["a"].tolist()[:3] == ["2026-03-02 19:00:20", "2026-03-02 10:00:20", "2026-03-02 19:04:40"]


def test_no_sentence_of_an_empty_fleet_fails():
    for method in (*SENTENCES, *TABLES):
        for language in ("en", "ja"):
            getattr(Writeup(QUIET, language), method)()


def test_a_large_incident_is_cut_on_the_page_worst_first_and_never_in_the_facts():
    many = [outage(f"m{n:03}", f"{n // 60:02}:{n % 60:02}:00", f"{n // 60:02}:{n % 60:02}:40") for n in range(300)]
    long = outage("z", "10:00:00", "10:50:00")
    given = analysis([*many, long])
    table = Writeup(given).timeline_table(most=50)
    assert len(table) == 50
    assert "z" in table.index
    shown = charts.incident(given)
    rows = {label for trace in shown.data if trace.mode == "markers" for label in trace.y}
    assert len(rows) == 40
    assert "z" in rows
    assert "40 machines" in shown.layout.title.text
    assert len(facts.facts(given)["outages"]) == 301


def test_the_chart_draws_each_outage_from_its_earliest_beginning_to_its_latest_end(found):
    shown = charts.incident(found, timezone="Asia/Tokyo")
    marks = {trace.name: trace for trace in shown.data if trace.mode == "markers"}
    assert set(marks) == {"upgrade", "upgrade rolled back", "roll-back failed", "machine stopped"}
    assert list(marks["upgrade"].y) == ["a", "b"]
    assert pd.Timestamp(marks["upgrade"].x[0]) == pd.Timestamp("2026-03-02 19:00:20")
    lines = {trace.name: trace for trace in shown.data if trace.mode == "lines"}
    assert pd.Timestamp(lines["upgrade"].x[1]) == pd.Timestamp("2026-03-02 19:04:40")
    assert pd.Timestamp(lines["roll-back failed"].x[1]) == pd.Timestamp("2026-03-03 09:00:00")  # it goes on
    assert len({(t.marker.color, t.marker.symbol) for t in marks.values()}) == len(marks)
    assert "%{" not in "".join(marks["upgrade"].y)


def test_unknown_time_is_hatched_in_every_row(found):
    unknown = {
        "start": "2026-03-02T05:00:00Z",
        "end": "2026-03-02T06:00:00Z",
        "table": "Heartbeat",
        "reason": "cut off",
    }
    holed = replace(found, run=found.run | {"unknown": [unknown, unknown | {"table": "Perf"}]})
    (hatch,) = [trace for trace in charts.incident(holed, timezone="Asia/Tokyo").data if trace.name == "unknown"]
    assert list(hatch.y) == ["e", "a", "b", "d"]  # as their outages came
    assert pd.Timestamp(hatch.base[0]) == pd.Timestamp("2026-03-02 14:00")
    assert set(hatch.x) == {3_600_000}
    assert hatch.marker.pattern.shape == "/"
    assert "unknown" not in {trace.name for trace in charts.incident(found).data}


def test_queries_are_shown_whole_folded_away_and_the_very_long_ones_cut(found):
    queries = [{"name": "a_b", "text": "T\n| where x == '```'", "rows": 1, "bytes": 8, "seconds": 0.1, "sha256": "00"},
               {"name": "", "text": "x" * 30_000, "rows": 0, "bytes": 0, "seconds": 0.0, "sha256": "11"}]  # fmt: skip
    given = replace(found, run=found.run | {"queries": queries})
    shown = markdown2html(Writeup(given).queries())
    assert "<summary>1. a_b</summary>" in shown
    assert "26,000 characters more in run.json" in shown
    assert "| where x == " in html.unescape(re.sub(r"<[^>]*>", "", shown))
    assert shown.count("<details>") == shown.count("</details>") == 2


HOSTILE = ["<script>alert(1)</script>", "a|b", "=cmd|' /C calc'!A0", "*x* [y](http://z)", "r\u202etxt.exe", "w" * 10_000,
           "{start}", "%{x}", "`</summary>`", "nul\x00l"]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_whatever_machines_are_called_it_is_shown_as_text(name):
    bad = outage("a", "10:00:00", "", "rollback_failed", resource=RG + "a")
    bad = {**bad, "computer": name, "from_version": name}
    given = analysis([bad], [gap(bad, name, "09:59:50", "", 240, ongoing=True, stream=name)],
                     events=[event(bad, name, "possible_loss", 0, 9.0)],
                     activity=[act(bad, "09:59:00", 0, operation=name, status=name, caller=name)])  # fmt: skip
    for language in ("en", "ja"):
        say = Writeup(given, language)
        for method in SENTENCES:
            shown = markdown2html(getattr(say, method)())
            assert set(re.findall(r"<(\w+)", shown)) <= {"p", "strong", "code", "ul", "li"}, method
            assert "\u202e" not in shown
            assert len(shown) < 6_000
        for method in TABLES:
            text = getattr(say, method)().to_string()
            assert "\u202e" not in text
            assert "\x00" not in text
    told = document(given)
    assert told.isascii()
    assert json.loads(told)["outages"][0]["computer"] == name
    figure = charts.incident(given).to_json()
    assert "<script" not in figure
    assert "%{x}<br>" not in "".join(charts.incident(given).data[1].y)


def test_the_sentence_for_pipelines_is_free_of_markup():
    bad = {**outage("a", "10:00:00", "", "rollback_failed"), "computer": r"a_b\*<c>"}
    told = json.loads(document(analysis([bad])))["sentence"]
    assert r"a_b\*<c>" in told
    assert "**" not in told


def test_every_sentence_is_used():
    """A text that nothing says is a text that nobody reads again."""
    code = "".join(path.read_text(encoding="utf-8") for path in Path(amakit.__file__).parent.rglob("*.py"))
    code = code.replace("'", '"')
    prefixes = (
        "periodic ",
        "event rows ",
        "attempts ",
        "alert ",
        "do ",
        "logs ",
        "limit ",
        "cause ",
        "left ",
        "step ",
        "claim ",
        "effect ",
    )
    for section in ("sentences", "charts"):
        for key in texts("en")[section]:
            assert f'"{key}"' in code or key.startswith(prefixes), (section, key)


def test_plain_words_have_no_placeholder_that_is_not_filled():
    for language in ("en", "ja"):
        for key, text in texts(language)["sentences"].items():
            assert all(name.isidentifier() for _, name, *_ in string.Formatter().parse(text) if name), key
