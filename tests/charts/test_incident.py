"""How long agents were away, and how many at once."""

import json
import unicodedata

import numpy as np
import pytest
from incident import analysis, mixed, outage

from amakit import charts
from amakit.charts.colours import STILL_DOWN
from amakit.facts.gather import gather
from amakit.facts.situation import situation

WIDE = 140  # letters that fit beside each other in a plot


@pytest.fixture(scope="module")
def found():
    return mixed()


def marks(figure):
    return [
        (x, y, trace.marker.color, told)
        for trace in figure.data
        for x, y, told in zip(trace.x, trace.y, trace.customdata, strict=True)
    ]


def test_each_outage_has_a_mark_in_the_row_of_its_cause_as_far_out_as_it_lasted(found):
    figure = charts.durations(found)
    rows = list(figure.layout.yaxis.ticktext)
    assert rows == ["upgrade", "upgrade rolled back", "roll-back failed", "machine stopped"]
    seen = sorted((rows[round(y)], told[0], round(10**x)) for x, y, _, told in marks(figure))
    down = 4 * 3600 - 10  # from the end of its bracket to the horizon
    assert seen == [
        ("machine stopped", "e", 7200),
        ("roll-back failed", "d", down),
        ("upgrade", "a", 240),
        ("upgrade", "b", 60),
        ("upgrade rolled back", "b", 120),
    ]


def test_an_outage_that_nobody_recorded_is_told_by_what_it_may_have_lasted_at_most():
    unseen = outage("a", "02:39:40", "03:05:40", "not_recorded") | {"downtime_s": 1e-7, "downtime_low_s": 0.0}
    found = analysis([unseen | {"downtime_high_s": 1560.0}, outage("b", "04:00:00", "04:01:00")])
    seen = {told[0]: (round(10**x), told[1]) for x, _, _, told in marks(charts.durations(found))}
    assert seen == {"a": (1560, "at most 26 min 0 s"), "b": (60, "1 min 0 s")}
    assert "a, at most 26 min 0 s" in [note.text for note in charts.durations(found).layout.annotations]
    assert charts.durations(found, "ja").layout.meta["list"][-1].endswith("最大 26 分 0 秒")


def test_red_is_what_goes_on_and_nothing_else(found):
    figure = charts.durations(found)
    assert {told[0] for _, _, colour, told in marks(figure) if colour == STILL_DOWN} == {"d"}
    assert [note.text for note in figure.layout.annotations] == [
        "b, 2 min 0 s",
        "a, 4 min 0 s",
        "e, 2 h 0 min",
        "d, 3 h 59 min so far",
    ]
    assert figure.layout.meta["list"] == [
        "d: roll-back failed, 3 h 59 min so far",
        "e: machine stopped, 2 h 0 min",
        "a: upgrade, 4 min 0 s",
        "b: upgrade rolled back, 2 min 0 s",
        "b: upgrade, 1 min 0 s",
    ]


def test_the_title_says_what_the_first_screen_says(found):
    now = situation(gather(found))["recovered"]
    assert (now["median_s"], now["longest_s"]) == (120, 240)
    assert charts.durations(found).layout.title.text == (
        "1 machine is still silent · upgrades: 2 min 0 s at the median, 4 min 0 s at most"
    )
    assert charts.durations(analysis([])).layout.title.text == "How long agents were away, by cause"
    stopped = analysis([outage("e", "01:00:00", "03:00:00", "machine_stopped")])
    assert charts.durations(stopped).layout.title.text == "How long agents were away, by cause"


@pytest.mark.parametrize("language", ["en", "ja"])
def test_every_name_fits_into_the_plot(language):
    long = analysis([outage("x" * 60, "20:00:00", "", "rollback_failed"), outage("b", "10:00:00", "10:00:00.5")])
    axis = (figure := charts.durations(long, language)).layout.xaxis
    for note in figure.layout.annotations:
        wide = sum(1 + (unicodedata.east_asian_width(letter) in "WF") for letter in note.text)
        assert (note.x - axis.range[0]) / (axis.range[1] - axis.range[0]) + min(wide, 80) / WIDE <= 1.001
    assert all(axis.range[0] <= tick <= axis.range[1] for tick in axis.tickvals)
    assert np.isfinite([x for x, *_ in marks(figure)]).all()


def test_machines_without_an_agent_are_counted_once_in_each_hour_for_the_worst_reason(found):
    figure = charts.absent(found)
    hours = {
        trace.name: dict(zip((str(t)[11:13] for t in trace.x[:-1]), trace.y[:-1], strict=True)) for trace in figure.data
    }
    seen = {name: {hour: int(n) for hour, n in by.items() if n} for name, by in hours.items()}
    assert seen == {
        "still away": dict.fromkeys(("20", "21", "22", "23"), 1),
        "upgrades and failed attempts": {"10": 1, "11": 1, "12": 1},
        "other outages": {"01": 1, "02": 1, "03": 1},
    }
    assert figure.layout.title.text == (
        "At most 1 of 6 machines were without an agent in 1 hour: that from 2026-03-02 01:00"
    )
    assert figure.layout.meta["list"] == [f"2026-03-02 {hour}:00: 1 machine" for hour in ("01", "02", "03", "10", "11")]
    assert json.loads(charts.absent(analysis([])).to_json())["layout"]["annotations"][0]["text"] == "nothing to show"
