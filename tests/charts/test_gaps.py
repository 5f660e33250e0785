"""The notebook on upgrades and losses: its sentences, tables and charts against small hand-made outages."""

from dataclasses import replace

import nbformat
import numpy as np
import pandas as pd
import pytest
from fleet import at
from incident import ARC, SET, analysis, gap, outage, page_of, proof
from nbconvert.filters import markdown2html

import amakit
from amakit import charts
from amakit.facts.summary import worst
from amakit.report.run import report
from amakit.study import alert_coverage

CHARTS = [charts.around, charts.downtimes, charts.causes, charts.alerts]


@pytest.fixture(scope="module")
def small():
    """Two upgrades, one of which took a counter for good; a machine that stopped; an agent that never came back."""
    a = outage("a", "10:00:30", "10:04:30")
    written = proof(a, ("10:00:20", "agent_write", "write", "succeeded", "", ""))
    b = outage("b", "11:00:00", "11:01:30", os_type="Windows", pair=("1.37.0.0", "1.38.0.0"))
    c = outage("c", "12:00:00", "14:30:00", "machine_stopped", pair=("1.36", "1.36"))
    d = outage("d", "20:00:00", "", "rollback_failed")
    gaps = [
        gap(a, "Heartbeat", "10:00:00", "10:05:00", 4),
        gap(a, "Perf", "10:00:25", "10:04:40", 24, 23, 25, "x", 10.0),
        gap(a, "ConfigurationData", "06:00:00", "16:00:00", 0, 0, 1, "Files", 36000.0),
        gap(b, "Heartbeat", "10:59:50", "11:01:50", 1),
        gap(b, "Perf", "10:59:30", "", 700, stream="y \\ ", ongoing=True),
        gap(c, "Heartbeat", "11:59:50", "14:30:10", 150),
        gap(d, "Heartbeat", "19:59:55", "", 240, ongoing=True),
    ]
    beats = [
        (a["resource_id"], "a", "Heartbeat", "", at(f"2026-03-02 {t}")) for t in ("09:59", "10:00", "10:05", "10:06")
    ]
    return analysis([a, b, c, d], gaps, beats, evidence=written)


@pytest.fixture(scope="module")
def demo():
    return amakit.analyze(amakit.connect("demo"), "2026-03-02", "2026-03-16")


@pytest.fixture(scope="module")
def nothing():
    return analysis([])


# -- sentences ----------------------------------------------------------------------------------------------


def test_the_answer_of_the_demo_is_that_of_its_tables(demo):
    upgrades = demo.outages[demo.outages["cause"] == "upgrade"]
    machines = upgrades[["resource_id", "computer"]].drop_duplicates()
    keys = set(upgrades[["resource_id", "computer", "start_earliest"]].itertuples(index=False, name=None))
    gaps = demo.gaps[
        [k in keys for k in demo.gaps[["resource_id", "computer", "outage_start"]].itertuples(index=False, name=None)]
    ]
    beats = gaps[(gaps["data_type"] == "Heartbeat") & ~gaps["ongoing"]]
    text = page_of(demo, "gaps")["cost"]
    assert f"{len(upgrades)} upgrades on {len(machines)} machines" in text
    assert f"Heartbeat {beats['lost'].sum():,} ({beats['lost_low'].sum():,}–{beats['lost_high'].sum():,})" in text


def test_other_outages_come_in_the_order_in_which_they_matter(small):
    page = page_of(small, "gaps")
    assert page.facts["others"]["causes"] == {"rollback_failed": 1, "machine_stopped": 1}
    assert list(page.tables["others"].index) == ["d", "c"]
    assert list(page.tables["others"]["blind, min:s (bounds)"]) == ["not back", "150:00 (149:40–150:20)"]


def test_the_table_of_losses_puts_the_longest_first_and_owns_up_to_slow_streams(small):
    table = page_of(small, "gaps").tables["lost"]
    assert list(table.index) == ["a", "b"]
    assert table.loc["a"].tolist()[0] == "1.36 → 1.38"
    assert table.loc["a", ["Heartbeat", "Perf", "ConfigurationData"]].tolist() == ["4", "24 (23–25)", "cannot be seen"]
    assert table.loc["b", ["Heartbeat", "Perf", "ConfigurationData"]].tolist() == ["1", "0 + 1 not resumed", "–"]


def test_a_slow_stream_that_surely_lost_something_is_counted(small):
    slow = small.gaps["data_type"] == "ConfigurationData"
    sure = small.gaps.assign(**{name: small.gaps[name].mask(slow, 1) for name in ("lost", "lost_low")})
    assert page_of(replace(small, gaps=sure), "gaps").tables["lost"].loc["a", "ConfigurationData"] == "1"


@pytest.mark.parametrize("chart", CHARTS)
def test_a_chart_of_nothing_says_so(nothing, chart):
    assert [a.text for a in chart(nothing).layout.annotations] == ["nothing to show"]


def test_names_from_machines_stay_text(small):
    bad = "<img src=x>*b*"
    swap = {
        name: getattr(small, name).replace({"computer": {"a": bad}})
        for name in ("machines", "outages", "gaps", "samples")
    }
    named = replace(small, **swap)
    assert "<img" not in markdown2html(page_of(named, "gaps")["cost"])
    assert "<img" not in page_of(named, "gaps").tables["lost"].to_html()
    assert charts.around(named, 0).layout.title.text.startswith("&lt;img src=x&gt;*b*")


# -- charts -------------------------------------------------------------------------------------------------


def traces(figure):
    return {trace.name: trace for trace in figure.data}


def test_around_draws_samples_losses_brackets_and_evidence(small):
    figure = charts.around(small, 0, timezone="Asia/Tokyo")
    marks = traces(figure)
    assert list(marks["sample"].x) == [np.datetime64(f"2026-03-02T{t}") for t in ("18:59", "19:00", "19:05", "19:06")]
    missing = pd.Series(marks["missing"].y).value_counts()
    assert missing.to_dict() == {"Perf · x (every 10 s)": 24, "Heartbeat (every 1 min)": 4}
    assert [pd.Timestamp(t).strftime("%H:%M:%S") for t in marks["evidence"].x] == ["19:00:20"]
    bands = [(shape.fillcolor[-5:-1], pd.Timestamp(shape.x0), pd.Timestamp(shape.x1)) for shape in figure.layout.shapes]
    ends = [pd.Timestamp(f"2026-03-02 {t}") for t in ("19:00:20", "19:00:40", "19:04:20", "19:04:40")]
    assert [(left, right) for _, left, right in bands] == [(ends[1], ends[2]), (ends[0], ends[1]), (ends[2], ends[3])]
    assert bands[0][0] > bands[1][0] == bands[2][0]  # darker where it surely was blind
    texts = [a.text for a in figure.layout.annotations]
    assert "began<br>19:00:20 – 19:00:40" in texts
    assert "ended<br>19:04:20 – 19:04:40" in texts
    assert {"lost 4", "lost 24 (23–25)", "cannot be seen"} <= set(texts)
    assert any("1. activity log 2026-03-02 19:00:20: write succeeded" in text for text in texts)


def test_around_takes_any_outage_also_one_that_goes_on(small):
    (index,) = small.outages.index[small.outages["computer"] == "d"]
    figure = charts.around(small, index)
    assert "not back by<br>03-03 00:00" in [a.text for a in figure.layout.annotations]
    assert figure.layout.title.text == "d: every stream around the outage (roll-back failed)"
    assert len(traces(figure)["missing"].x) == 59  # of the hour that is shown, not of the whole night


def test_around_shades_no_certain_part_where_the_brackets_meet():
    met = analysis([outage("a", "10:00:00", "10:00:05", slack=10)])
    (band,) = charts.around(met).layout.shapes
    assert (pd.Timestamp(band.x1) - pd.Timestamp(band.x0)).total_seconds() == 25


def test_the_worst_is_an_agent_that_is_not_back_then_the_longest_upgrade_then_the_longest_outage(small):
    outages = small.outages
    assert outages.loc[worst(outages), "computer"] == "d"  # after a roll-back that failed
    back = outages[outages["computer"] != "d"]
    assert back.loc[worst(back), "computer"] == "a"
    others = back[back["cause"] != "upgrade"]
    assert others.loc[worst(others), "computer"] == "c"  # longer than the roll-back of b
    unknown = back.assign(cause=back["cause"].replace("machine_stopped", "unexplained"))
    assert unknown.loc[worst(unknown), "computer"] == "a"  # it is back
    unknown["ongoing"] = unknown["cause"] == "unexplained"
    assert unknown.loc[worst(unknown), "computer"] == "c"
    ordered = back.assign(ongoing=back["cause"] == "machine_stopped")
    assert ordered.loc[worst(ordered), "computer"] == "a"  # somebody stopped it


def test_every_upgrade_of_a_small_fleet_is_a_point_with_its_bounds(small):
    marks = traces(charts.downtimes(small))
    assert list(marks["Linux"].x) == [4.0]
    assert marks["Linux"].x[0] + marks["Linux"].error_x.array[0] == pytest.approx(260 / 60)
    assert marks["Windows"].x[0] - marks["Windows"].error_x.arrayminus[0] == pytest.approx(70 / 60)
    assert marks["Linux"].marker.symbol != marks["Windows"].marker.symbol


def test_the_downtimes_of_five_thousand_upgrades_are_boxes_and_light():
    rows = [
        outage(f"m{n:04}", "10:00:00", f"10:{1 + n % 9:02}:{n % 60:02}", pair=(f"1.{n % 5}", "1.9"))
        for n in range(5000)
    ]
    found = analysis(rows)
    figure = charts.downtimes(found)
    assert len(figure.data) == 5
    own = found.outages[found.outages["from_version"] == "1.0"]["downtime_s"] / 60
    box = next(b for b in figure.data if b.y[0].startswith("Linux 1.0 → 1.9 (1,000)"))
    assert (box.q1[0], box.median[0], box.q3[0]) == pytest.approx(own.quantile([0.25, 0.5, 0.75]).tolist())
    assert len(figure.to_json()) < 100_000


def test_causes_are_bars_with_their_numbers(small):
    figure = charts.causes(small)
    assert {bar.y[0]: (bar.x[0], bar.text[0]) for bar in figure.data} == {
        "roll-back failed": (1, "1"),
        "machine stopped": (1, "1"),
    }
    assert len({(bar.marker.color, bar.marker.pattern.shape) for bar in figure.data}) == 2


def test_the_bars_of_alerts_are_the_table_of_alerts(demo):
    table = page_of(demo, "gaps").tables["alerts"]
    bars = [list(bar.x) for bar in charts.alerts(demo).data]
    assert bars == table.T.to_numpy().tolist()
    assert set(table.sum(axis=1)) == {len(demo.outages)}


# -- blindness ----------------------------------------------------------------------------------------------


def silence(low, high=None, **more):
    known = {
        "cause": "upgrade",
        "last_before": pd.NaT,
        "first_after": pd.NaT,
        "interval_s": 60.0,
        "lost_low": 0,
        "lost_high": 0,
        "silence_low_s": float(low),
        "silence_high_s": float(low if high is None else high),
    }
    return known | more


def judged(*rows, **options):
    frame = pd.DataFrame(rows)
    for column in ("last_before", "first_after"):
        frame[column] = pd.to_datetime(frame[column], utc=True)
    return alert_coverage.verdicts(frame, at("2026-03-03"), **options)


def test_an_alert_fires_surely_maybe_or_never():
    seconds = [299.9, 300.0, 359.9, 360.0, np.inf]
    assert judged(*map(silence, seconds))["alert 5"].tolist() == ["misses", "depends", "depends", "fires", "fires"]
    assert judged(silence(400), frequency=5)["alert 5"].tolist() == ["depends"]
    assert judged(silence(200, 400), windows=[5]).iloc[0]["alert 5"] == "depends"


def fires_when_evaluated(length, width, frequency):
    """Walk: for every alignment, is there an evaluation with nothing in its window?"""
    verdicts = set()
    for phase in np.arange(0.05, frequency, 0.1):
        moments = np.arange(phase, length / 60 + frequency, frequency)
        verdicts.add(bool(((moments - width > 0) & (moments < length / 60)).any()))
    return {frozenset({True}): "fires", frozenset({False}): "misses"}.get(frozenset(verdicts), "depends")


@pytest.mark.parametrize("length", [90, 119, 150, 181, 299, 330, 361, 500, 580, 640, 700, 1000])
@pytest.mark.parametrize("frequency", [1, 5])
def test_verdicts_on_alerts_agree_with_walking_over_all_alignments(length, frequency):
    found = judged(silence(length), frequency=frequency).iloc[0]
    for width in alert_coverage.WINDOWS:
        assert found[f"alert {width}"] == fires_when_evaluated(length, width, frequency)


@pytest.mark.parametrize(
    ("last", "first", "verdict"),
    [
        ("10:01", "11:58", "misses"),  # one beat in each of two hours, an hour and 57 minutes apart
        ("10:59", "12:00", "fires"),
        ("10:00", "11:59", "misses"),
        ("10:59:59", "12:00:01", "fires"),
    ],
)
def test_the_hourly_share_shows_only_an_hour_without_any_heartbeat(last, first, verdict):
    row = silence(0, last_before=f"2026-03-02 {last}", first_after=f"2026-03-02 {first}")
    frame = pd.DataFrame([row])
    for column in ("last_before", "first_after"):
        frame[column] = pd.to_datetime(frame[column], utc=True)
    assert alert_coverage.verdicts(frame, at("2026-03-03"))["hourly share"].tolist() == [verdict]


def test_the_hourly_count_needs_two_missing_in_one_hour():
    row = {"last_before": at("2026-03-02 10:58:30"), "first_after": at("2026-03-02 11:01:30")}
    verdicts = judged(
        silence(180, lost_low=2, lost_high=2, **row),  # one in either hour
        silence(180, **row | {"last_before": at("2026-03-02 11:00:30")}, lost_low=2, lost_high=2),
        silence(90, **row),
        silence(90, **row, lost_high=1),
        silence(9000, **row, cause="disconnected", lost_low=9),
    )["hourly count"]
    assert verdicts.tolist() == ["depends", "fires", "misses", "depends", "misses"]


def test_silences_come_from_heartbeats_of_any_agent_and_from_arrival_where_the_network_was_away():
    twice = outage("a", "10:00:30", "10:03:00")
    away = outage("b", "11:00:00", "11:30:00", "disconnected", slack=60)
    gone, blank = outage("c", "20:00", "", "rollback_failed"), outage("d", "12:00", "12:01:40")
    rows = [
        gap(twice, "Heartbeat", "10:00:00", "10:04:00", 3, stream="1"),
        gap(twice, "Heartbeat", "10:00:20", "10:03:20", 2, stream="2"),
        gap(away, "Heartbeat", "11:00:00", "11:01:00", 0) | {"last_before": pd.NaT, "first_after": pd.NaT},
        gap(gone, "Heartbeat", "19:59:00", "", 240, ongoing=True),
    ]
    found = analysis([twice, away, gone, blank], rows)
    silent = alert_coverage.silences(found.outages, found.gaps, at("2026-03-03"))
    bounds = silent.set_index("computer")[["silence_low_s", "silence_high_s"]]
    assert bounds.loc["a"].tolist() == [180, 180]
    assert bounds.loc["b"].tolist() == [1680, 1920]
    assert bounds.loc["c"].tolist() == [14460, np.inf]
    assert bounds.loc["d"].tolist() == [80, np.inf]


def test_the_safe_window_trips_on_no_upgrade_and_one_minute_less_might(demo):
    silent = alert_coverage.silences(demo.outages, demo.gaps, at("2026-03-16"))
    upgrades = silent[silent["cause"] == "upgrade"]
    safe = alert_coverage.safe_window(upgrades)
    shorter = max(window for window in alert_coverage.OFFERED if window < safe)
    late = upgrades.assign(**{name: upgrades[name] + 180 for name in ("silence_low_s", "silence_high_s")})
    found = alert_coverage.verdicts(late, at("2026-03-16"), [safe, shorter])
    assert set(found[f"alert {safe}"]) == {"misses"}
    assert set(found[f"alert {shorter}"]) > {"misses"}
    assert page_of(demo, "gaps").facts["alerts"]["safe"] == safe
    assert alert_coverage.safe_window(upgrades.assign(silence_high_s=np.inf)) is None
    assert alert_coverage.safe_window(upgrades.iloc[:0]) is None


def together(*rows):
    found = analysis(list(rows))
    return alert_coverage.together(found.outages, found.machines, at("2026-03-03"))


def test_a_pair_that_overlaps_for_sure():
    (row,) = together(outage("a", "10:00", "10:05"), outage("b", "10:03", "10:09")).to_dict("records")
    assert (row["kind"], row["members"], row["at_once"], row["at_once_high"]) == ("resource_group", 2, 2, 2)
    assert (row["certain_s"], row["possible_s"]) == (100, 140)  # 10:03:10–10:04:50 and 10:02:50–10:05:10
    assert (row["start"], row["end"]) == (at("2026-03-02 10:02:50"), at("2026-03-02 10:05:10"))


def test_a_pair_whose_brackets_only_touch_may_have_been_blind_together():
    (row,) = together(outage("a", "10:00", "10:05"), outage("b", "10:05:15", "10:09")).to_dict("records")
    assert (row["certain_s"], row["possible_s"], row["at_once"], row["at_once_high"]) == (0, 5, 0, 2)


@pytest.mark.parametrize(
    "other",
    [
        {"computer": "b", "start": "10:06", "end": "10:09"},  # later
        {"computer": "b", "start": "10:03", "end": "10:09", "resource": ARC + "b"},  # another group
        {"computer": "b", "start": "10:03", "end": "10:09", "resource": ""},  # no group
        {"computer": "b", "start": "10:03", "end": "10:09", "cause": "disconnected"},  # nothing was lost
        {"computer": "a", "start": "10:03", "end": "10:09"},  # the same machine
    ],
)
def test_what_is_not_together(other):
    assert together(outage("a", "10:00", "10:05"), outage(**other)).empty


def test_scale_sets_are_named_as_such_and_not_again_as_resource_groups():
    found = together(outage("i1", "10:00", "10:05", resource=SET), outage("i2", "10:01", "10:06", resource=SET))
    assert found["kind"].tolist() == ["scale_set"]
    mixed = together(outage("i1", "10:00", "10:05", resource=SET), outage("vm", "10:01", "10:06"))
    assert mixed["kind"].tolist() == ["resource_group"]
    arc = together(outage("x", "10:00", "10:05", resource=ARC + "x"), outage("y", "10:01", "10:06", resource=ARC + "y"))
    assert arc["kind"].tolist() == ["arc_group"]


def test_a_long_outage_does_not_glue_others_into_one_and_whole_groups_come_first():
    rows = [
        outage("a", "08:00", ""),
        outage("b", "10:00", "10:05"),
        outage("c", "12:00", "12:30"),
        outage("d", "23:00", "23:01"),
        outage("x", "10:00", "10:01", resource=ARC + "x"),
        outage("y", "10:00", "10:01", resource=ARC + "y"),
    ]
    found = together(*rows)
    assert found["kind"].tolist() == ["arc_group", *["resource_group"] * 3]
    assert found["certain_s"].tolist() == [40, 1780, 280, 40]
    page = page_of(analysis(rows), "gaps")
    assert page.facts["concurrent"] == {
        "certain": 4,
        "possible": 0,
        "whole": 1,
        "names": ["x", "y"],
        "group": "site",
        "seconds": 40,
    }
    assert page.tables["concurrent"]["blind at once"].tolist() == ["2 of 2", "2 of 4", "2 of 4", "2 of 4"]


def overlapping_by_the_second(rows):
    """Count the slow way: look at every second."""
    seconds = np.zeros(86_400, dtype="int64")
    for row in rows:
        begin, end = ((row[name] - at("2026-03-02")).total_seconds() for name in ("start_latest", "end_earliest"))
        seconds[int(begin) : max(int(end), int(begin))] += 1
    return int((seconds >= 2).sum())


@pytest.mark.parametrize("seed", range(5))
def test_certain_overlaps_agree_with_looking_at_every_second(seed):
    random = np.random.default_rng(seed)
    rows = []
    for n in range(40):
        start = int(random.integers(3600, 20_000))
        end = start + int(random.integers(30, 900))
        clock = [str(pd.Timedelta(seconds=s)).split()[-1] for s in (start, end)]
        rows.append(outage(f"m{n}", *clock))
    assert together(*rows)["certain_s"].sum() == overlapping_by_the_second(rows)


# -- the notebook -------------------------------------------------------------------------------------------


def test_the_notebook_runs_and_tells_what_the_tables_say(tmp_path):
    machine = "web-37.corp.contoso.example"
    files = report("02_upgrade_gaps", "demo", "2026-03-02", "2026-03-03", [machine], out=tmp_path, to=("html", "ipynb"))
    page = files[0].read_text(encoding="utf-8")
    (own,) = pd.read_csv(tmp_path / "outages.csv").to_dict("records")
    assert own["cause"] == "upgrade"
    assert "1 upgrade on 1 machine: 1 certainly lost samples" in page
    assert f"{round(own['downtime_s']) // 60} min {round(own['downtime_s']) % 60} s" in page
    assert page.count('class="chart"') == 4
    assert "http://" not in page
    assert "https://" not in page
    cells = nbformat.read(files[1], as_version=4).cells
    assert not [o for c in cells for o in c.get("outputs", []) if o["output_type"] in ("error", "stream")]
