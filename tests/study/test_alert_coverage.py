"""The alert rule that is handed out finds exactly the machines whose silence is as long as its window."""

import re

import numpy as np
import pandas as pd
import pytest
from fleet import at, every, heartbeats, write

import amakit
from amakit.study.alert_coverage import fired, rule

END = "2026-05-05"


def test_the_query_finds_the_machines_whose_newest_heartbeat_is_older_than_the_window(
    tmp_path, kql_parser, monkeypatch
):
    """On files as in Azure; another agent's heartbeats do not keep a machine alive."""
    silent = {"m0": 0, "m1": 9, "m2": 14, "m3": 16, "m4": 300}
    beats = [
        heartbeats(name, every(60, "2026-05-04", END)[: -minutes or None], _ResourceId=f"/vm/{name}")
        for name, minutes in silent.items()
    ]
    beats.append(heartbeats("m4", every(60, "2026-05-04", END), Category="Direct Agent", _ResourceId="/vm/m4"))
    query = rule(15)["kql"]
    assert kql_parser.check(query)["diagnostics"] == []
    fixed = re.sub(r"ago\((\w+)\)", rf"datetime({END}) - \1", query)
    with amakit.connect(write(tmp_path, Heartbeat=pd.concat(beats))) as logs:
        assert sorted(logs.query(fixed)["Computer"]) == ["m3", "m4"]


@pytest.mark.parametrize(("window", "frequency"), [(10, 5), (60, 1)])
def test_the_bicep_holds_the_query_and_its_window(window, frequency):
    given = rule(window, frequency)
    assert re.search(r"query: '''\n(.*?)\n'''", given["bicep"], re.DOTALL)[1] == given["kql"]
    assert f"ago({window}m)" in given["kql"]
    assert f"windowSize: 'PT{window}M'" in given["bicep"]
    assert f"evaluationFrequency: 'PT{frequency}M'" in given["bicep"]
    assert all(given["bicep"].count(a) == given["bicep"].count(b) for a, b in ("{}", "[]", "()"))


@pytest.mark.parametrize("phase", np.arange(0, 300, 47))
@pytest.mark.parametrize("minutes", [4, 12, 17, 19, 21, 40])
def test_an_alert_fires_when_evaluating_it_every_five_minutes_says_so(minutes, phase):
    """The slow way: walk over the evaluations, and look back at each."""
    last = at("2026-05-04 10:00:00")
    first, horizon = last + pd.Timedelta(minutes=minutes), at("2026-05-04 12:00")
    silent = pd.DataFrame(
        {
            "cause": ["upgrade"],
            "last_before": last,
            "first_after": first,
            "interval_s": 60.0,
            "silence_low_s": 60.0 * minutes,
            "silence_high_s": 60.0 * minutes,
            "lost_low": minutes - 1,
            "lost_high": minutes - 1,
        }
    )
    one = fired(silent, horizon, 15, 5).iloc[0]
    evaluated = last + pd.to_timedelta(phase + 300 * np.arange(20), unit="s")
    firing = evaluated[(evaluated - last > pd.Timedelta(minutes=15)) & (evaluated < first)]
    assert one["verdict"] != ("misses" if len(firing) else "fires")
    if len(firing):
        assert one["earliest"] <= firing[0] <= one["latest"]
    assert pd.isna(one["earliest"]) == (one["verdict"] == "misses")
