"""Upgrades against earlier ones: differences that are there are found, chance is not, few prove nothing."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from incident import analysis, gap, outage

from amakit.study.compare import MEASURES, compared, releases_compared, upgrades


def drawn(n, seed, scale=1.0, failed=0.1):
    random = np.random.default_rng(seed)
    downtime = 90 * scale * np.exp(0.5 * random.standard_normal(n))
    return pd.DataFrame(
        {
            "failed": (random.random(n) < failed).astype(int),
            "downtime_s": downtime,
            "heartbeats": np.floor(downtime / 60 + random.random(n)),
        }
    )


def test_without_a_difference_one_is_told_no_more_often_than_allowed():
    told = [set(compared(drawn(60, 2 * n), drawn(80, 2 * n + 1))["verdict"]) != {"no_difference"} for n in range(200)]
    assert sum(told) <= 200 * 0.05 + 3 * np.sqrt(200 * 0.05 * 0.95)


def test_a_difference_is_found_on_its_side():
    table = compared(drawn(200, 1, 2.0, 0.3), drawn(200, 2)).set_index("measure")
    assert table["verdict"].tolist() == ["more", "more", "more"]
    table = compared(drawn(200, 2), drawn(200, 1, 2.0, 0.3)).set_index("measure")
    assert table["verdict"].tolist() == ["less", "less", "less"]
    assert table.loc["downtime_s", "before"] > table.loc["downtime_s", "now"]


@settings(max_examples=60)
@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 1000), st.sampled_from([0.0, 0.5, 1.0]))
def test_swapped_sides_swap_the_verdict_and_nothing_else(n, m, seed, failed):
    one, two = drawn(n, seed, failed=failed), drawn(m, seed + 1, failed=failed)
    table, other = compared(one, two), compared(two, one)
    assert np.allclose(table["p_value"], other["p_value"], equal_nan=True)
    assert other["verdict"].replace({"more": "less", "less": "more"}).tolist() == table["verdict"].tolist()
    assert table["n_now"].tolist() == other["n_before"].tolist() == [n] * 3
    if min(n, m) < 2:
        assert set(table["verdict"]) == {"too_few"}


def test_attempts_that_follow_each_other_are_one_upgrade_to_the_version_that_came():
    same, newer = ("1.37", "1.37"), ("1.37", "1.38")
    failed, came = outage("a", "01:00", "01:05", "rolled_back", pair=same), outage("a", "07:00", "07:01", pair=newer)
    other, last = outage("b", "01:00", "01:02", pair=newer), outage("c", "05:00", "05:02", "rolled_back", pair=same)
    gone = outage("e", "09:00", None, "rollback_failed", pair=same)
    away = outage("d", "05:00", "05:02", "machine_restarted", pair=same)
    lost = [(failed, "01:00", "01:05", 5), (came, "07:00", "07:01", 1), (other, "01:00", "01:02", 2)]
    gaps = [gap(of, "Heartbeat", begin, end, n) for of, begin, end, n in lost]
    found = analysis(
        [failed, came, other, last, away, gone],
        [*gaps, gap(gone, "Heartbeat", "09:00", None, 900, ongoing=True), gap(came, "Perf", "07:00", "07:01", 9)],
    )
    table = upgrades(found).set_index("computer")
    assert table["release"].to_dict() == {"a": "1.38", "b": "1.38", "c": "", "e": ""}
    assert table["failed"].to_dict() == {"a": 1, "b": 0, "c": 1, "e": 1}
    assert table["heartbeats"].dropna().to_dict() == {"a": 6, "b": 2, "c": 0}
    assert table["downtime_s"].dropna().to_dict() == {"a": 60, "b": 120}


def test_each_release_is_set_against_all_earlier_ones_of_its_line(monkeypatch):
    rows = pd.concat(
        [
            drawn(60, 1).assign(os_type="Linux", release="1.9.0"),
            drawn(60, 2).assign(os_type="Linux", release="1.10.0"),
            drawn(60, 3, 4.0).assign(os_type="Linux", release="1.11.0"),
            drawn(60, 4, 4.0).assign(os_type="Windows", release="1.10.0"),
        ]
    )
    monkeypatch.setattr("amakit.study.compare.upgrades", lambda _: rows)
    table = releases_compared(None)
    assert table[["os_type", "release"]].drop_duplicates().to_numpy().tolist() == [
        ["Linux", "1.10.0"],
        ["Linux", "1.11.0"],
    ]
    told = table.set_index(["release", "measure"])
    assert told.loc[("1.11.0", "downtime_s"), "n_before"] == 120
    assert told.loc[("1.11.0", "downtime_s"), "verdict"] == "more"
    assert {told.loc[("1.10.0", measure), "verdict"] for measure in MEASURES} == {"no_difference"}


@pytest.mark.parametrize("equal", [0, 1])
def test_values_that_are_all_equal_are_no_difference(equal):
    frame = pd.DataFrame({"failed": [equal] * 50, "downtime_s": [60.0] * 50, "heartbeats": [1.0] * 50})
    assert set(compared(frame, frame)["verdict"]) <= {"no_difference", "too_few"}
