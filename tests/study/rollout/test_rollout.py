"""The rollout against fleets in which it is known."""

import itertools
import json
import tracemalloc
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from rollouts import ROOT, analysis, days, fleet, gap, release, releases, run, stop, vm

from amakit import charts
from amakit.charts.stills import picture
from amakit.prose.rollout import rollout
from amakit.schemas import RESULTS, result
from amakit.study import excess_gaps
from amakit.study.rollout import lags, stragglers, survival

SEEDS = 200


def covered(seeds, **kind):
    """Give the share of fleets whose interval holds the true median, the estimates, and the naive means."""
    held, found, naive, methods = [], [], [], set()
    truth = kind.get("median", 15.0)
    for seed in range(seeds):
        given, known, _ = fleet(seed, **kind)
        table = lags.lags(given, known, "release")
        row = survival.summary(table, draws=100).iloc[0]
        held.append(row["median_low"] <= truth <= row["median_high"])
        found.append(row["median"])
        came = table[table["state"] == "upgraded"]
        naive.append(((came["low"] + came["high"]) / 2).mean())
        methods.add(row["method"])
    return np.mean(held), np.median(found), np.mean(naive), methods


def test_the_median_lag_lies_in_its_interval_in_95_of_100_fleets():
    held, middle, naive, methods = covered(SEEDS)
    print(f"narrow brackets: {held:.3f} of intervals hold the median; middle estimate {middle:.2f}, naive {naive:.2f}")
    assert methods == {"kaplan_meier"}
    assert 0.91 <= held <= 0.995  # 0.95 less 2.6 standard errors of 200 fleets
    assert abs(middle - 15) < 0.6
    assert naive < 15 * np.exp(0.6**2 / 2) - 3  # the true mean; what has not come yet is missing in the naive one
    assert naive < 14


def test_so_it_does_where_brackets_are_wide_and_some_came_before_the_window():
    held, middle, naive, methods = covered(80, bracket=4.0, released=-8.0, median=18.0)
    print(f"wide brackets: {held:.3f} of intervals hold the median; middle estimate {middle:.2f}, naive {naive:.2f}")
    assert methods == {"turnbull"}
    assert held >= 0.90
    assert abs(middle - 18) < 1.0


def test_a_release_known_to_the_month_widens_the_interval_by_the_month():
    given, known, _ = fleet(1)
    exact = survival.summary(lags.lags(given, known, "release")).iloc[0]
    wide = known.assign(
        released_earliest=known["released_earliest"] - pd.Timedelta(days=10),
        released_latest=known["released_latest"] + pd.Timedelta(days=10),
    )
    month = survival.summary(lags.lags(given, wide, "release")).iloc[0]
    assert month["median"] == pytest.approx(exact["median"])
    assert month["median_low"] == pytest.approx(exact["median_low"] - 10)
    assert month["median_high"] == pytest.approx(exact["median_high"] + 10)


def test_stopped_time_is_taken_out_and_told():
    runs = [run("a", "1.1", 0, 4), run("a", "1.2", 9, 40), run("b", "1.1", 0, 10), run("b", "1.2", 10, 40)]
    given = analysis(runs, [stop("a", 4, 9)])
    table = lags.lags(given, releases(release("1.2", "2026-01-02"))).set_index("computer")
    assert table["stopped"].tolist() == [0.0, 0.0]  # from the first sighting, which is its own
    table = lags.lags(given, releases(release("1.2", "2026-01-02")), "release").set_index("computer")
    assert table.loc["a", ["low", "high", "stopped"]].tolist() == [3, 3, 5]
    assert table.loc["b", ["low", "high", "stopped"]].tolist() == [9, 9, 0]


def test_each_state_and_each_reason_to_leave_a_machine_out():
    runs = [
        run("old", "1.2", 0, 40),
        run("up", "1.1", 0, 5),
        run("up", "1.2", 5.1, 40),
        run("wait", "1.1", 0, 40),
        run("late", "1.1", 30, 40),
        run("born", "1.2", 8, 40),
        run("dead", "1.1", 0, 2),
        run("gone", "1.1", 0, 7),
        run("back", "1.1", 0, 6),
        run("back", "1.2", 6.1, 7),
        run("back", "1.1", 7.1, 40),
        run("else", "1.1", 0, 40, resource=""),
        run("win", "1.1", 0, 40, os_type="Windows"),
    ]
    given = analysis(runs, silent=["dead", "gone"])
    dated = lags.lags(given, releases(release("1.2", "2026-01-04")), "release").set_index("computer")
    assert dated["state"].to_dict() == {
        "old": "before",
        "up": "upgraded",
        "wait": "waiting",
        "late": "waiting",
        "born": "before",
        "dead": "waiting",
        "gone": "waiting",
        "back": "upgraded",
        "else": "waiting",
    }
    assert dated["left_out"][dated["left_out"] != ""].to_dict() == {"late": "new", "born": "new", "dead": "silent"}
    assert dated.loc["gone", ["low", "high"]].tolist() == [4, np.inf]  # it says nothing of later
    assert dated.loc["old", "low"] == -np.inf
    assert dated["undone"][dated["undone"]].index.tolist() == ["back"]
    assert set(dated.index[dated["never_changed"]]) == {"wait", "late", "dead", "gone"}
    assert (lags.lags(given, releases(), "release")["left_out"] == "no origin").all()
    assert (lags.lags(given, releases(), "fleet")["left_out"] == "no origin").all()  # it was there before
    without = analysis([r for r in runs if r["computer"] != "old"], silent=["dead", "gone"])
    first = lags.lags(without, releases(), "fleet").set_index("computer")
    assert (first["origin_earliest"] == days(5.1)).all()
    assert first.loc["up", "high"] == 0
    own = lags.lags(without, releases(), "group").set_index("computer")
    assert own.loc["else", "left_out"] == "no origin"  # it has no place
    by = survival.summary(lags.lags(without, releases(), "fleet"), ["resource_type"]).set_index("resource_type")
    assert by["machines"].to_dict() == {"virtual_machine": 4, "other": 1}


def obvious(low, high):
    """Turnbull's estimate the long way: every pair of ends, a matrix, and many steps."""
    ends = sorted(
        {(v, 0 if a == b else 2) for v, a, b in [(a, a, b) for a, b in zip(low, high, strict=True)]}
        | {(b, 1) for b in high}
    )
    inner = [(a[0], b[0]) for a, b in itertools.pairwise(ends) if a[1] != 1 and b[1] == 1]
    holds = np.array(
        [[a <= c and d <= b and (a < d or a == b == c == d) for c, d in inner] for a, b in zip(low, high, strict=True)],
        dtype=float,
    )
    mass = np.full(len(inner), 1 / len(inner))
    for _ in range(4000):
        mass = mass * (holds / (holds @ mass)[:, None]).mean(axis=0)
    return inner, mass


@pytest.mark.parametrize("seed", range(25))
def test_the_interval_censored_estimate_is_that_of_the_obvious_way(seed):
    draw = np.random.default_rng(seed)
    low = draw.integers(0, 12, 14).astype(float)
    high = low + draw.integers(0, 6, 14)
    high[draw.random(14) < 0.2] = np.inf
    low[draw.random(14) < 0.15] = -np.inf
    left, right, mass = survival.turnbull(low, high, tolerance=1e-9)
    inner, wanted = obvious(low, high)
    assert list(zip(left, right, strict=True)) == inner
    assert np.allclose(mass, wanted, atol=2e-3)
    held = np.array(
        [[(a <= c) & (d <= b) & ((a < d) | (a == b)) for c, d in inner] for a, b in zip(low, high, strict=True)]
    )
    assert np.log(held @ mass).sum() >= np.log(held @ wanted).sum() - 1e-6


def test_without_intervals_it_is_the_estimate_of_kaplan_and_meier():
    draw = np.random.default_rng(3)
    low = draw.exponential(5, 40)
    high = np.where(draw.random(40) < 0.3, np.inf, low)
    left, right, mass = survival.turnbull(low, high, tolerance=1e-12)
    frame = pd.DataFrame(
        {
            "os_type": "Linux",
            "version": "1",
            "left_out": "",
            "low": low,
            "high": high,
            "origin_earliest": 0,
            "origin_latest": 0,
        }
    )
    steps = survival.curve(frame)
    exact = left == right
    jumps = steps["share"].diff().fillna(steps["share"].iloc[0])
    assert set(steps["method"]) == {"kaplan_meier"}
    assert np.allclose(mass[exact], jumps[jumps > 1e-12], atol=1e-4)
    assert ((steps["low"] <= steps["share"]) & (steps["share"] <= steps["high"])).all()


@pytest.mark.parametrize(("low", "high"), [([], []), ([np.nan], [1.0]), ([2.0], [1.0])])
def test_what_is_no_interval_is_refused(low, high):
    with pytest.raises(ValueError, match="intervals"):
        survival.turnbull(low, high)


def test_an_unknown_origin_is_refused():
    given, known, _ = fleet(0, machines=3)
    with pytest.raises(ValueError, match="'relase' is not known"):
        lags.lags(given, known, "relase")


def test_a_fleet_without_upgrades_has_no_lags_and_no_curve():
    given = analysis([run("a", "1.1", 0, 40)])
    for origin in lags.ORIGINS:
        table = lags.lags(given, releases(), origin)
        assert table.empty
        assert survival.curve(table).empty
        assert survival.summary(table).empty
        assert lags.batches(table).empty
    told = excess_gaps.self_controlled(given)
    assert (told["upgrades"], told["p_value"], told["placebo"]) == (0, None, {})


def test_nobody_has_followed_yet_and_everybody_has():
    frame = pd.DataFrame(
        {
            "os_type": "Linux",
            "version": "1",
            "left_out": "",
            "low": [3.0, 4.0],
            "high": np.inf,
            "origin_earliest": 0,
            "origin_latest": 0,
            "state": "waiting",
            "undone": False,
            "never_changed": False,
        }
    )
    row = survival.summary(frame).iloc[0]
    assert (row["median"], row["median_high"]) == (np.inf, np.inf)
    row = survival.summary(frame.assign(high=frame["low"], state="upgraded")).iloc[0]
    assert (row["median"], row["ninety"]) == (3.0, 4.0)
    row = survival.summary(frame.assign(left_out="new")).iloc[0]
    assert np.isnan(row["median"])
    assert row["left_out"] == 2


def test_where_most_came_before_they_were_watched_the_median_is_open_downwards():
    frame = pd.DataFrame(
        {
            "os_type": "Linux",
            "version": "1",
            "left_out": "",
            "low": [-np.inf] * 8 + [9.0] * 2,
            "high": [8.0] * 8 + [np.inf] * 2,
            "origin_earliest": 0,
            "origin_latest": 0,
            "state": "before",
            "undone": False,
            "never_changed": False,
        }
    )
    row = survival.summary(frame).iloc[0]
    assert (row["median_low"], row["median"]) == (-np.inf, 8.0)


def test_batches_are_the_upgrades_between_pauses():
    at = [2, 2.1, 2.2, 5, 5.1, 9]
    runs = [r for n, t in enumerate(at) for r in (run(f"m{n}", "1.1", 0, t), run(f"m{n}", "1.2", t + 0.01, 40))]
    found = lags.batches(lags.lags(analysis([*runs, run("w", "1.1", 0, 40)]), releases()))
    assert found["machines"].tolist() == [3, 2, 1]
    assert found["share"].tolist() == [3 / 7, 2 / 7, 1 / 7]


SET = f"{ROOT}rg/providers/microsoft.compute/virtualmachinescalesets/s"
LISTED = releases(
    *(release(f"1.{n}", f"2025-{n:02}-01", f"2025-{n + 1:02}-01") for n in range(1, 11)),
    release("1.11", "2026-01-01", bad=True),
    release("1.0", "2024-10-01"),
    release("1.40", "2026-03-01"),
)


def left_behind():
    """One machine for each reason, by its name."""
    new = [run("new", "1.8", 0, 5), run("new", "1.10", 5.1, 40)]
    plain = [run(n, "1.8", 0, 40) for n in ("never_changed",)]
    alone = run("waiting", "1.8", 0, 40, resource=vm("waiting", "other"))
    bad = [run("known_bad", "1.10", 0, 3), run("known_bad", "1.11", 3.1, 40)]
    runs = [
        *new,
        *plain,
        alone,
        *bad,
        run("silent", "1.8", 0, 20),
        run("stopped", "1.8", 0, 12),
        run("rollback_failed", "1.8", 0, 30),
        run("retrying", "1.9", 0, 40),
        run("scale_set", "1.8", 0, 40, resource=SET),
        run("unsupported", "1.0", 0, 40, resource=vm("unsupported", "far")),
        run("current", "1.10", 0, 40),
    ]
    tries = [stop("retrying", t, t + 0.01, "rolled_back", pair=("1.9", "1.9")) for t in (10, 11, 12.5)]
    tries.append(stop("rollback_failed", 30, None, "rollback_failed", pair=("1.8", "")))
    return analysis(runs, [*tries, stop("stopped", 12, None)], silent=["silent", "stopped", "rollback_failed"])


def test_the_reason_why_a_machine_is_behind_is_its_own():
    found = stragglers.stragglers(left_behind(), LISTED).set_index("computer")
    assert set(found.index) == {*stragglers.REASONS} - {"opted_out"}  # which only an inventory tells
    first = {name: reasons[0] for name, reasons in found["reasons"].items()}
    assert first.pop("known_bad") in ("known_bad", "waiting")
    assert first.pop("unsupported") in ("unsupported", "waiting")
    assert first == {name: name for name in first}
    assert "known_bad" in found.loc["known_bad", "reasons"]
    assert "unsupported" in found.loc["unsupported", "reasons"]
    assert found.loc["retrying", ["attempts", "spacing_s"]].tolist() == [3, 1.25 * 86400]
    assert found["behind"].drop("known_bad").to_dict() == {
        "rollback_failed": 2,
        "silent": 2,
        "stopped": 2,
        "retrying": 1,
        "scale_set": 2,
        "never_changed": 2,
        "unsupported": 10,
        "waiting": 2,
    }
    assert (found["newest"] == "1.10").all()  # bad ones and those of the future are none


def test_reasons_are_right_on_seeded_fleets():
    for seed in range(20):
        draw = np.random.default_rng(seed)
        runs, outages, truth, quiet = [run("new", "1.1", 0, 1), run("new", "1.10", 1.1, 40)], [], {}, []
        for n in range(40):
            name, kind = f"m{n}", draw.choice(["silent", "stopped", "retrying", "scale_set", "never_changed", "fine"])
            resource, at = SET if kind == "scale_set" else vm(name), draw.uniform(2, 15)
            last = at if kind in ("silent", "stopped") else 40
            runs.append(run(name, "1.9", 0, 3 if kind == "fine" else last, resource))
            runs += [run(name, "1.10", 3.1, 40, resource)] if kind == "fine" else []
            outages += [stop(name, at, None)] if kind == "stopped" else []
            outages += [stop(name, at + k, at + k + 0.01, "rolled_back") for k in range(2) if kind == "retrying"]
            quiet += [name] if kind in ("silent", "stopped") else []
            truth |= {name: kind} if kind != "fine" else {}
        found = stragglers.stragglers(analysis(runs, outages, silent=quiet), LISTED).set_index("computer")["reasons"]
        assert found.str[0].to_dict() == truth


def test_a_machine_that_upgraded_after_its_start_is_seen():
    runs = [run("a", "1.1", 0, 4), run("a", "1.2", 9, 40), run("b", "1.1", 0, 20), run("b", "1.2", 20.1, 40)]
    found = stragglers.after_start(analysis(runs, [stop("a", 4, 9), stop("b", 4, 9)]))
    assert found["computer"].tolist() == ["a"]


def restless(seed, effect, machines=60, length=20.0):
    """Machines with gaps at rates of their own, and upgrades at chance times that cause a gap with some probability."""
    draw = np.random.default_rng(seed)
    runs, gaps = [], []
    for n in range(machines):
        name, at = f"m{n:02}", draw.uniform(1, length - 1)
        own = [(t, t + 0.01) for t in draw.uniform(0, length - 0.1, draw.poisson(draw.exponential(20)))]
        inside = [(a, b) for a, b in own if a < at < b]
        before, after = inside[0] if inside else (at - 0.0003, at + 0.0003)
        if draw.random() < effect and not inside:
            before, after = at - 0.002, at + 0.002
            own.append((before, after))
        runs += [run(name, "1.1", 0, before), run(name, "1.2", after, length)]
        gaps += [gap(name, a, b) for a, b in own]
    return analysis(runs, gaps=gaps, length=length)


def test_upgrades_without_an_effect_are_found_guilty_no_more_often_than_allowed():
    told = [excess_gaps.self_controlled(restless(seed, 0.0, machines=40), shifts=0) for seed in range(80)]
    share = np.mean([one["p_value"] <= 0.05 for one in told])
    print(
        f"without an effect: {share:.3f} of fleets at 5 %; gaps {np.mean([o['gaps'] for o in told]):.2f}, "
        f"expected {np.mean([o['expected'] for o in told]):.2f}"
    )
    assert share <= 0.05 + 2.6 * np.sqrt(0.05 * 0.95 / 80)
    assert np.mean([o["gaps"] for o in told]) == pytest.approx(np.mean([o["expected"] for o in told]), rel=0.1)


def test_upgrades_with_an_effect_are_found_and_placebo_times_are_not():
    told = [excess_gaps.self_controlled(restless(seed, 0.3, machines=40), shifts=3) for seed in range(12)]
    assert all(one["p_value"] < 0.01 for one in told)
    placebo = [p["p_value"] for one in told for p in one["placebo"].values()]
    print(
        f"with an effect: largest p {max(o['p_value'] for o in told):.1e}; placebo at 5 %: "
        f"{np.mean(np.array(placebo) <= 0.05):.3f} of {len(placebo)}"
    )
    assert np.mean(np.array(placebo) <= 0.05) <= 0.11


def test_the_exact_law_is_that_of_drawing_again_and_again():
    given = restless(4, 0.1, machines=12)
    told = excess_gaps.self_controlled(given, shifts=0)
    hours = excess_gaps._Hours(given)
    cases, _ = excess_gaps._cases(given)
    draw, sums = np.random.default_rng(0), np.zeros(20_000)
    for resource, computer, hour in cases[["resource_id", "computer", "hour"]].itertuples(index=False):
        row, at = hours.machines.get_loc((resource, computer)), slice((hour - hours.start) % 24, None, 24)
        own = hours.gaps[row, at][hours.watched[row, at]]
        sums += own[draw.integers(0, len(own), len(sums))]
    assert told["expected"] == pytest.approx(sums.mean(), abs=0.05)
    assert told["p_value"] == pytest.approx((sums >= told["gaps"]).mean(), abs=0.015)


def test_an_hour_of_a_machine_costs_a_few_bytes():
    """A thousand machines for a year: 8.8 million hours, of which a mark each is kept."""
    runs = [run(f"m{n}", "1.1", 0, 365) for n in range(1000)]
    given = analysis(runs, [stop("m1", 4.4, 4.505)], [gap("m2", 4.4, 4.505)], length=365.0)
    tracemalloc.start()
    try:
        hours = excess_gaps._Hours(given)
        assert tracemalloc.get_traced_memory()[1] < 6 * hours.watched.size
    finally:
        tracemalloc.stop()


def test_hours_in_which_the_machine_was_stopped_are_no_evidence():
    runs = [run("a", "1.1", 0, 4.5), run("a", "1.2", 4.51, 40)]
    given = analysis(runs, [stop("a", 4.4, 4.505)], [gap("a", 4.4, 4.505, "machine_stopped")])
    told = excess_gaps.self_controlled(given)
    assert (told["upgrades"], told["left_out"]) == (0, 1)


# -- what is said and drawn -----------------------------------------------------------------------------------------


def followers(number, waiting=1, released="2026-01-02"):
    """Machines of which some follow a release, one day after the other, and some wait."""
    runs = [r for n in range(number) for r in (run(f"m{n}", "1.1", 0, n + 1), run(f"m{n}", "1.2", n + 1.01, 40))]
    runs += [run(f"w{n}", "1.1", 0, 40) for n in range(waiting)]
    return analysis(runs), releases(release("1.1", "2025-12-01"), release("1.2", released))


def told(given, known):
    return rollout(given, releases=known).facts


def test_the_standing_knows_all_one_many_and_none():
    known = releases(release("1.1", "2025-12-01"), release("1.2", "2026-01-02"))
    only = told(analysis([run("a", "1.2", 0, 40)]), known)
    assert (only["standing"], only["stragglers"]) == ({"placed": 1, "newest": 1, "late": 0, "unread": 0, "most": 0}, 0)
    some = told(followers(3, 2)[0], known)
    assert (some["standing"], some["stragglers"]) == ({"placed": 5, "newest": 3, "late": 2, "unread": 0, "most": 1}, 2)
    assert told(analysis([run("a", "?", 0, 40)]), known)["standing"] is None


def test_lags_are_told_with_what_is_not_reached_yet():
    given, known = followers(9)
    (line,) = told(given, known)["spread"]["lines"]
    assert line["half"] == pytest.approx({"value": 4.0, "low": 0.0, "high": 7.0}, abs=0.06)
    assert line["ninety"] == pytest.approx({"value": 8.0, "low": 6.0, "high": np.inf}, abs=0.06)
    assert (line["upgraded"], line["machines"], line["batches"], line["most"]) == (9, 10, 9, 1)
    (slow,) = told(followers(3, 9)[0], known)["spread"]["lines"]
    assert slow["ninety"]["value"] == np.inf
    assert told(analysis([run("a", "1.1", 0, 40)]), known)["spread"] == {"lines": [], "before": []}
    there = analysis([run("a", "1.2", 0, 40), run("b", "1.1", 0, 4), run("b", "1.2", 4.1, 40)])
    assert told(there, known)["spread"]["before"] == [
        {"os": "Linux", "version": "1.2", "before": 1, "after": 2, "machines": 2}
    ]


@pytest.mark.parametrize(
    ("released", "verdict"), [("2025-06-01", "later"), ("2026-01-02", "within"), ("2025-11-10", "open")]
)
def test_the_claim_of_several_weeks_is_set_against_the_bounds(released, verdict):
    given, known = followers(12, 0, released)
    assert verdict in [line["verdict"] for line in told(given, known)["claim"]]
    assert told(given, releases())["claim"] == []


def test_the_fact_on_gaps_is_that_of_the_test():
    given = restless(0, 0.5, machines=20)
    test, effect = excess_gaps.self_controlled(given), told(given, releases())["effect"]
    assert (effect["gaps"], effect["upgrades"], effect["certain"]) == (test["gaps"], test["upgrades"], True)
    assert told(restless(1, 0.0, machines=20), releases())["effect"]["certain"] is False


def test_pages_and_charts_of_odd_names_can_be_made_and_tell_text():
    given = analysis([run("<b>*x*", "%{x}", 0, 4, resource=""), run("<b>*x*", "1.2", 4.1, 40, resource="")])
    page = rollout(given, releases=LISTED)
    for section in ("standing", "spread", "claim", "arrived", "left", "effect", "limits"):
        assert "<b>" not in page[section]
    for made in (charts.rollout(given, LISTED), charts.arrivals(given, LISTED), charts.behind(given, LISTED)):
        assert picture(json.loads(made.to_json()))[:5] == b"<svg "
        assert "<b>*x*" not in made.to_json()


def test_the_chart_of_the_rollout_ends_at_the_share_that_followed():
    given, known = followers(3)
    line = next(t for t in charts.rollout(given, known).data if t.name == "Linux 1.2" and t.showlegend is not False)
    assert line.y[-1] == 75
    assert line.y[0] == 0
    assert (np.diff(line.y) >= 0).all()
    low, high = (np.array(t.y) for t in charts.rollout(given, known).data[:2])
    share = np.append(line.y[::2], [])
    assert (low <= share + 1e-9).all()
    assert (share <= low + high + 1e-9).all()


def with_inventory(given, rows):
    """Add an inventory of the end of the window: columns by computer, over those of a machine that is in order."""
    usual = {
        "kind": "virtual_machine",
        "region": "westeurope",
        "extension": "ama",
        "automatic_upgrade": True,
        "upgrade_policy": "",
        "taken": days(40),
        "listed": True,
        "heard": True,
    }
    machines = given.machines.set_index("computer")["resource_id"]
    made = [usual | {"computer": name, "resource_id": machines[name]} | own for name, own in rows.items()]
    stock = result("inventory", pd.DataFrame(made, columns=list(RESULTS["inventory"])))
    return replace(
        given, inventory=stock, run=given.run | {"inventory": [{"subscription": "0", "taken": "2026-02-10T00:00:00Z"}]}
    )


def test_who_is_opted_out_is_told_by_the_inventory_and_the_step_knows_who_is_not():
    sets = {name: run(name, "1.8", 0, 40, resource=SET) for name in ("manual", "rolling", "unknown")}
    given = analysis(
        [
            run("new", "1.8", 0, 10),
            run("new", "1.9", 10.1, 40),
            run("off", "1.8", 0, 40),
            run("on", "1.8", 0, 40),
            run("untold", "1.8", 0, 40),
            *sets.values(),
        ]
    )
    given = with_inventory(
        given,
        {
            "new": {},
            "off": {"automatic_upgrade": False},
            "on": {},
            "manual": {"upgrade_policy": "Manual", "automatic_upgrade": None},
            "rolling": {"upgrade_policy": "Rolling"},
        },
    )
    known = releases(release("1.9", "2026-01-06"))
    left = stragglers.stragglers(given, known).set_index("computer")
    first = left["reasons"].str[0].to_dict()
    assert first["off"] == "opted_out"
    assert first["manual"] == first["unknown"] == "scale_set"
    assert first["rolling"] != "scale_set"
    assert left["automatic"].dropna().to_dict() == {"off": False, "on": True, "rolling": True}
    assert set(left.index[left["automatic"].isna()]) == {"untold", "manual", "unknown"}
    page = rollout(given, releases=known)
    steps = page.tables["stragglers"]["next step"].to_dict()
    assert steps["off"].startswith("Switch automatic upgrade of the extension on")
    assert (
        "Automatic upgrade is on by the inventory" in steps["on"]
        or "by the inventory automatic upgrade is on" in steps["on"]
    )
    assert "whether automatic upgrade" in steps["untold"]
    assert "1 opted out of automatic upgrades" in page.plain("left")
    limits = page.plain("limits")
    assert "Regions are those of the inventory of 2026-02-10 00:00, which tells them of 5 of 7 machines" in limits
    assert "as the inventory of 2026-02-10 00:00 has it, for 4 of 7 machines" in limits
    assert "westeurope" in set(page.tables["state"]["region, or else resource group"])
    japanese = rollout(given, "ja", releases=known)
    assert "2026-02-10 00:00 のインベントリによります" in japanese.plain("limits")
    assert "自動アップグレードが無効 1 台" in japanese.plain("left")


def test_without_an_inventory_regions_and_switches_are_not_known():
    given = analysis([run("new", "1.8", 0, 10), run("new", "1.9", 10.1, 40), run("old", "1.8", 0, 40)])
    page = rollout(given, releases=releases(release("1.9", "2026-01-06")))
    assert "nventory" not in page.plain("limits") + page.plain("left")
    assert "resource group" in page.tables["state"]
    assert stragglers.stragglers(given, releases(release("1.9", "2026-01-06")))["automatic"].isna().all()
