"""What an analysis asks for, counted: queries, rows, passes over the large table.  No clock is looked at."""

import importlib.util
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from fleet import write

import amakit
from amakit.fetch import dry_run, heartbeats, requests, samples, silences
from amakit.intervals import Window, window

_SPEC = importlib.util.spec_from_file_location("fleets", Path(__file__).parents[2] / "benchmarks" / "fleets.py")
fleets = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(fleets)
DAYS, MACHINES = 10, 20
START = pd.Timestamp(fleets.START, tz="UTC")
END = START + pd.Timedelta(days=DAYS)


def analyzed(folder):
    """Analyze a folder; count queries, and the rows that came back, by the name of the query."""
    with amakit.connect(folder) as workspace:
        found = amakit.analyze(workspace, START, END)
        queries, rows = Counter(), Counter()
        for record in workspace.log:
            queries[record.name] += 1
            rows[record.name] += record.rows
        total = workspace.query("Heartbeat | count").iloc[0, 0]
    return SimpleNamespace(folder=folder, found=found, queries=queries, rows=rows, share=rows.total() / total)


def fleet(folder, machines=MACHINES, **how):
    fleets.write(folder, machines, DAYS, 1, **how)
    return analyzed(folder)


@pytest.fixture(scope="module")
def calm(tmp_path_factory):
    return fleet(tmp_path_factory.mktemp("calm"))


def test_heartbeat_is_read_four_times_and_little_comes_back(calm):
    assert len(calm.found.transitions) == len(calm.found.outages) == MACHINES
    # before and after the window, all days, the minutes around upgrades; no day needs a closer look
    assert calm.queries == {"heartbeat_machines": 2, "heartbeat_days": 1, "heartbeat_rows": 1}
    assert calm.rows["heartbeat_days"] == MACHINES * (DAYS + 1)  # the day of an upgrade has two versions
    assert MACHINES * 78 <= calm.rows["heartbeat_rows"] <= MACHINES * 82  # forty minutes on either side


def test_over_a_month_with_an_upgrade_half_a_percent_of_the_rows_come_back(calm):
    month = calm.rows["heartbeat_days"] / DAYS * 30 + calm.rows["heartbeat_rows"]
    assert month < 0.005 * MACHINES * 30 * 1440


def test_the_number_of_queries_does_not_grow_with_the_fleet(calm, tmp_path):
    large = fleet(tmp_path, 3 * MACHINES)
    assert large.queries == calm.queries
    assert large.share == pytest.approx(calm.share, rel=0.02)


def test_doubled_rows_cost_a_row_for_each_day_that_has_any(calm, tmp_path):
    doubled = fleet(tmp_path, doubled=0.0005)
    pd.testing.assert_frame_equal(doubled.found.outages, calm.found.outages)
    pd.testing.assert_frame_equal(doubled.found.gaps, calm.found.gaps)
    assert MACHINES < doubled.rows["heartbeat_hours"] < MACHINES * (DAYS + 1)
    assert doubled.queries - calm.queries == {"heartbeat_hours": 1}
    extra = doubled.rows - calm.rows
    assert extra.total() == extra["heartbeat_hours"] + extra["heartbeat_rows"]
    assert extra["heartbeat_rows"] <= 0.002 * calm.rows["heartbeat_rows"] + 5  # the doubled ones around upgrades


def test_jitter_does_not_make_days_look_as_if_a_beat_were_missing(calm, tmp_path):
    shaky = fleet(tmp_path, jitter=0.5)
    assert shaky.rows["heartbeat_hours"] < 0.1 * MACHINES * DAYS
    assert len(shaky.found.outages) == MACHINES


def test_a_missing_beat_is_seen_under_jitter_and_doubled_rows(tmp_path):
    """The beat is taken from a day and another of that day is doubled: only the places tell."""
    import duckdb

    fleets.write(tmp_path, MACHINES, DAYS, 0, jitter=0.5, doubled=0.0005)
    path = tmp_path / "Heartbeat" / "004.parquet"
    with duckdb.connect() as db:
        db.execute(f"CREATE TABLE day AS FROM '{path}' ORDER BY Computer, TimeGenerated")
        lost = db.execute("SELECT Computer, TimeGenerated FROM day WHERE Computer = 'vm-00007' LIMIT 1 OFFSET 700").df()
        db.execute("DELETE FROM day WHERE (Computer, TimeGenerated) IN (SELECT Computer, TimeGenerated FROM lost)")
        db.execute("INSERT INTO day SELECT * FROM day WHERE Computer = 'vm-00007' LIMIT 1 OFFSET 702")
        db.execute(f"COPY day TO '{path}' (FORMAT parquet)")
    with amakit.connect(tmp_path) as workspace:
        first = heartbeats.fleet(workspace, window(START, END))
        found = silences.silences(first)
    at = lost["TimeGenerated"].item().tz_localize("UTC")
    assert found["computer"].tolist() == ["vm-00007"]
    assert found["last"].item() < at < found["first"].item()


def test_stretches_of_time_without_a_window_are_not_asked_for(calm, monkeypatch):
    whole = Window.slices
    monkeypatch.setattr(Window, "slices", lambda self, _=15: whole(self, 1))
    sliced = analyzed(calm.folder)
    days = {
        day
        for outage in calm.found.outages.itertuples()
        for day in (outage.start_earliest - samples.REACH / 216, outage.end_latest + samples.REACH / 216)
    }
    assert sliced.queries["heartbeat_days"] == DAYS
    assert sliced.queries["heartbeat_rows"] <= len({day.floor("D") for day in days})


def test_the_plan_bounds_what_is_asked(calm, monkeypatch):
    monkeypatch.setattr("amakit.fetch.requests.WINDOWS_PER_QUERY", 7)
    monkeypatch.setattr(Window, "slices", lambda self, _=15, whole=Window.slices: whole(self, 4))
    asked = analyzed(calm.folder).queries
    planned = dry_run.plan(window(START, END), silences=MACHINES).groupby("Query")[["Least", "Most"]].sum()
    here = planned[planned.index.str.startswith("heartbeat")]
    counted = pd.Series(asked).reindex(here.index, fill_value=0)
    assert counted["heartbeat_rows"] == 3  # 20 windows, seven at a time
    assert (here["Least"] <= counted).all()
    assert (counted <= here["Most"]).all()


@pytest.mark.parametrize(
    ("machines", "days", "upgrades", "least", "most"), [(10_000, 30, 20_000, 21, 1_170), (100, 365, 1_200, 202, 1_030)]
)
def test_large_fleets_and_long_windows_stay_within_the_limits_of_the_service(
    calm, machines, days, upgrades, least, most
):
    span = Window(START, START + pd.Timedelta(days=days))
    planned = dry_run.plan(span, silences=upgrades)
    assert planned["Least"].sum() == least
    assert planned["Most"].sum() <= most
    assert max(part.end - part.start for part in span.slices()) == pd.Timedelta(days=15)
    # rows of the largest answers: 500,000 are the limit
    per_day = calm.rows["heartbeat_days"] / MACHINES / DAYS
    assert machines * 15 * per_day < 0.5 * 500_000
    assert requests.WINDOWS_PER_QUERY * calm.rows["heartbeat_rows"] / MACHINES < 0.1 * 500_000


def test_sources_of_events_cost_a_row_for_each_hour_and_more_only_around_outages(calm, tmp_path):
    """Two facilities of two machines, a row each minute; one of them is upgraded."""
    import shutil

    shutil.copytree(calm.folder, tmp_path / "fleet")
    names = sorted(calm.found.machines["computer"])[:2]
    ids = calm.found.machines.set_index("computer")["resource_id"]
    times = pd.date_range(START, END, freq="1min", inclusive="left")
    lines = [
        pd.DataFrame({"TimeGenerated": times, "Computer": name, "_ResourceId": ids[name], "Facility": facility})
        for name in names
        for facility in ("auth", "daemon")
    ]
    write(tmp_path / "fleet", Syslog=pd.concat(lines))
    asked = analyzed(tmp_path / "fleet")
    assert asked.rows["event_hours"] == 2 * 2 * DAYS * 24
    assert asked.queries["event_hours"] == 1
    planned = dry_run.plan(window(START, END), silences=MACHINES).groupby("Query")["Most"].sum()
    assert asked.queries["event_windows"] <= planned["event_windows"]
    assert asked.rows["event_windows"] <= 4 * len(asked.found.events)
    assert set(asked.found.events["source"]) == {"auth", "daemon"}
