"""The incident write-up: its facts, tables and charts against incidents made by hand."""

import json
from dataclasses import replace

import pandas as pd
import pytest
from incident import ARC, analysis, gap, mixed, outage, page_of

import amakit
from amakit import charts
from amakit.facts.gather import gather
from amakit.prose.incident import document
from amakit.prose.record import record

QUIET = analysis([], spare=["f", "g"])


@pytest.fixture(scope="module")
def found():
    return mixed()


def gathered(given):
    return gather(given)


def page(given, language="en", timezone="UTC"):
    return page_of(given, "incident", language, timezone)


def test_the_verdict_counts_what_happened_to_how_many_how_long_and_what_it_cost(found):
    told = gathered(found).verdict
    assert (told["upgrades"], told["rolled_back"], told["rollback_failed"]) == (2, 1, 1)
    assert (told["touched"], told["machines"], told["streams_away"]) == (3, 6, 1)
    assert (told["blind"]["median_s"], told["blind"]["low_s"], told["blind"]["high_s"]) == (120, 100, 140)
    assert told["lost"] == {
        "Heartbeat": {"lost": 247, "lost_low": 247, "lost_high": 247},
        "Perf": {"lost": 24, "lost_low": 23, "lost_high": 25},
    }
    assert told["events"] == {"none_expected": 1, "possible_loss": 1, "recovered": 1, "undetermined": 1}
    assert told["others"] == {"machine_stopped": 1}


def test_attempts_that_failed_are_told_with_what_followed(found):
    assert page(found).plain("attempts") == (
        "On 2 machines an upgrade failed: 1 upgraded in the end and 1 could not be rolled back. The next attempt came "
        "after 1 h 0 min."
    )
    table = page(found).tables["attempts"]
    assert table.loc["b"].tolist() == [
        "upgrade rolled back 2026-03-02 10:59:50 → upgrade 2026-03-02 11:59:50",
        "upgrade",
        "1 h 0 min",
    ]
    assert table.loc["d", "first to last"] == "–"


def test_losses_are_told_by_data_type_apart_for_upgrades_and_for_what_else_happened(found):
    table = page(found).tables["periodic"]
    assert table.loc["Heartbeat"].tolist() == ["1 min 0 s", "247", "120", "4"]
    assert table.loc["Perf"].tolist() == ["10 s", "24 (23–25)", "–", "1"]  # the stream that stayed away is not summed
    said = page(found).plain("periodic")
    assert said.startswith("Of 4 outages by upgrades and failed attempts, 4 certainly cost samples.")
    assert "Other outages cost 120 samples of Heartbeat." in said
    assert said.endswith("1 stream is missing although the agent goes on, 700 samples lost so far: Perf y on b.")


def test_event_tables_count_the_verdicts_of_upgrades_and_failed_attempts_only(found):
    table = page(found).tables["events"]
    assert table.loc["Syslog"].tolist() == ["1", "1", "0", "1", "3", "14.5", "4 min 0 s"]
    assert table.loc["Event"].tolist() == ["0", "0", "1", "0", "0", "80.0", "–"]
    doubts = page(found).tables["doubts"]
    assert doubts[["data type", "verdict"]].to_numpy().tolist() == [["Syslog", "possible loss"], ["Event", "undecided"]]


def test_what_to_do_names_the_machines_and_what_to_attach(found):
    kinds = [(one["kind"], one.get("machines")) for one in gathered(found).actions]
    assert kinds == [("support", ["d"]), ("rule", ["b"]), ("events", ["b"]), ("alert", None)]
    said = page(found).plain("actions")
    assert "AgentTroubleshooter.exe --ama" in said
    assert "ama_troubleshooter.sh" not in said  # the machine that needs help runs Windows
    assert [one["kind"] for one in gathered(QUIET).actions] == ["nothing"]
    assert page(QUIET).plain("actions").startswith("- Nothing: every agent is back")


@pytest.mark.parametrize("language", ["en", "ja"])
def test_where_insights_metrics_stop_the_move_to_opentelemetry_is_named(language):
    short = outage("a", "10:00:30", "10:04:30")
    stopped = gap(short, "InsightsMetrics", "10:00:00", "", 700, stream="Computer \\ Heartbeat", ongoing=True)
    assert "OpenTelemetry" in page(analysis([short], [stopped]), language)["actions"]
    other = gap(short, "Perf", "10:00:00", "", 700, stream="y", ongoing=True)
    assert "OpenTelemetry" not in page(analysis([short], [other]), language)["actions"]


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
        (analysis([outage("a", "10:00:00", "", "machine_stopped")]), ["ordered"]),
        (analysis([outage("a", "10:00:00", "", "agent_removed")]), ["reinstall"]),
    ],
)  # fmt: skip
def test_each_state_of_affairs_has_its_next_step(given, kinds):
    assert [one["kind"] for one in gathered(given).actions] == kinds


def test_the_alert_is_widened_to_a_window_that_would_not_have_fired():
    long = outage("a", "10:00:00", "10:20:00")
    given = analysis([long], [gap(long, "Heartbeat", "09:59:50", "10:20:10", 20)])
    assert gathered(given).actions == [{"kind": "alert", "window": 5, "fires": 1, "depends": 0, "safe": 30}]
    assert "With 30 min, the next that Azure offers, none of them would" in page(given)["actions"]


def test_a_machine_on_arc_and_one_on_linux_have_logs_of_their_own_to_attach():
    dead = [outage("a", "10:00:00", "", "rollback_failed", resource=ARC + "a")]
    said = page(analysis(dead))["actions"]
    assert "azcmagent logs" in said
    assert "ama_troubleshooter.sh -A" in said
    assert "AgentTroubleshooter" not in said


def test_limits_tell_of_unknown_time_missing_tables_and_what_cannot_be_decided(found):
    holed = replace(
        found,
        run=found.run
        | {
            "missing_tables": ["Perf"],
            "unknown": [
                {
                    "start": "2026-03-02T05:00:00Z",
                    "end": "2026-03-02T06:00:00Z",
                    "table": "Heartbeat",
                    "reason": "cut off",
                }
            ],
        },
    )
    kinds = [one["kind"] for one in gathered(holed).limits]
    assert kinds == ["brackets", "unknown", "tables", "hidden", "undetermined", "horizon", "lookback"]
    said = page(holed).plain("limits")
    assert "nothing is known of Heartbeat: cut off" in said
    assert "1 change of version happened while the machine itself was stopped" in said


@pytest.mark.parametrize(
    ("language", "told"),
    [("en", "SecurityEvent was refused: you lack the role"), ("ja", "SecurityEvent は読めませんでした")],
)
@pytest.mark.parametrize("name", ["incident", "gaps", "transitions"])
def test_a_table_that_was_refused_is_told_with_its_reason_on_each_page(found, name, language, told):
    refused = replace(
        found, run=found.run | {"refused": {"SecurityEvent": "you lack the role", "W3CIISLog": "a Basic plan"}}
    )
    said = page_of(refused, name, language).plain("limits")
    assert told in said.replace("`", "")
    assert "W3CIISLog" in said
    assert "\n\n-" not in said


def test_facts_are_json_and_agree_with_the_tables(found):
    told = json.loads(document(found, "en", "Asia/Tokyo"))
    assert told["schema"] == "amakit.facts/2"
    assert told["sentence"].startswith("1 machine needs you now, 1 more should be looked at.")
    assert len(told["outages"]) == len(found.outages)
    for one, (_, row) in zip(told["outages"], found.outages.iterrows(), strict=True):
        assert one["cause"] == row["cause"]
        assert one["start_earliest"] == row["start_earliest"].isoformat().replace("+00:00", "Z")
        assert one["downtime_s"] == (None if pd.isna(row["downtime_s"]) else row["downtime_s"])
    lost = sum(type_["lost"] for one in told["outages"] for type_ in one["lost"].values())
    away = found.gaps["ongoing"] & (found.gaps["computer"] == "b")
    assert lost == found.gaps.loc[~away.astype("bool"), "lost"].sum()
    assert [len(one["activity"]) for one in told["outages"]] == [0, 1, 1, 1, 0]
    assert told["outages"][1]["evidence"] == [
        "activity log 2026-03-02 10:59:30: extensions/write failed by admin@example.com",
        "1.36 reports again",
    ]
    assert told["verdict"]["silent"] == [
        {"machine": "d", "cause": "rollback_failed", "since": "2026-03-02T19:59:50Z"},
    ]
    assert document(found) == document(found)


def test_facts_of_the_demo_sum_up_to_its_tables():
    given = amakit.analyze(amakit.connect("demo"), "2026-03-09", "2026-03-10")
    told = record(gathered(given))
    for cause, part in told["causes"].items():
        own = given.outages[given.outages["cause"] == cause]
        keys = set(own[["resource_id", "computer", "start_earliest"]].itertuples(index=False, name=None))
        rows = given.gaps[
            [
                k in keys
                for k in given.gaps[["resource_id", "computer", "outage_start"]].itertuples(index=False, name=None)
            ]
        ]
        back = rows[~rows["ongoing"].astype("bool") | own["ongoing"].any()]
        assert part["outages"] == len(own)
        for name, numbers in part["lost"].items():
            for column, number in numbers.items():
                assert number == back.loc[back["data_type"] == name, column].sum()
    assert json.loads(json.dumps(told, allow_nan=False)) == told


def test_a_large_incident_is_cut_on_the_page_worst_first_and_never_in_the_facts():
    many = [outage(f"m{n:03}", f"{n // 60:02}:{n % 60:02}:00", f"{n // 60:02}:{n % 60:02}:40") for n in range(600)]
    long = outage("z", "10:00:00", "10:50:00")
    given = analysis([*many, long])
    table = page(given).tables["timeline"]
    assert len(table) == 500
    assert "z" in table.index
    shown = charts.incident(given)
    rows = {label for trace in shown.data if trace.mode == "markers" for label in trace.y}
    assert len(rows) == 40
    assert "z" in rows
    assert "40 machines" in shown.layout.title.text
    assert len(record(gathered(given))["outages"]) == 601


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
