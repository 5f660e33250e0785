"""Pages at size: what stands in them is bounded, however large the fleet; counted, never timed."""

import importlib.util
import json
from functools import cache
from pathlib import Path

import pytest

from amakit import charts
from amakit.facts.gather import gather
from amakit.prose.gaps import gaps
from amakit.prose.incident import incident
from amakit.prose.record import record
from amakit.prose.rollout import rollout
from amakit.prose.transitions import transitions

FIGURES = {
    "inventory": charts.inventory, "timeline": charts.timeline, "adoption": charts.adoption, "clock": charts.clock,
    "around": charts.around, "incident": charts.incident, "downtimes": charts.downtimes, "causes": charts.causes,
    "alerts": charts.alerts, "rollout": charts.rollout, "arrivals": charts.arrivals, "behind": charts.behind,
}  # fmt: skip
PAGES = {"transitions": transitions, "gaps": gaps, "incident": incident, "rollout": rollout}


@cache
def benchmark():
    path = Path(__file__).parents[2] / "benchmarks" / "pages.py"
    spec = importlib.util.spec_from_file_location("benchmark_of_pages", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def drawn(machines):
    return benchmark().fleet(machines)


def test_the_benchmark_of_pages_writes_those_of_the_fleet_that_it_draws(tmp_path):
    assert benchmark().written(drawn(500), "03_incident_writeup", tmp_path) > 0
    told = json.loads((tmp_path / "facts.json").read_text(encoding="utf-8"))
    assert len(told["outages"]) == len(drawn(500).outages)
    assert {source for _, source in benchmark().cells(drawn(500), "03_incident_writeup")} >= {'Markdown(page["data"])'}


@pytest.mark.parametrize("name", FIGURES)
def test_a_chart_of_a_fleet_four_times_as_large_has_no_more_traces(name):
    """Versions and causes make traces; both fleets have them all."""
    assert len(FIGURES[name](drawn(2000)).data) <= len(FIGURES[name](drawn(500)).data) + 1


@pytest.mark.parametrize("name", FIGURES)
def test_a_chart_of_a_large_fleet_stays_small(name):
    assert len(FIGURES[name](drawn(2000)).to_json()) < 1_500_000


def test_machines_that_share_a_line_are_all_counted_on_the_axis():
    figure = charts.timeline(drawn(2000))
    assert figure.data[0].z.shape[0] == len(set(figure.data[0].y)) == 1000
    assert figure.layout.yaxis.title.text.startswith("2,000 machines, 2 in each row")
    assert charts.timeline(drawn(500)).data[0].z.shape[0] == 500


@pytest.mark.parametrize("name", PAGES)
def test_a_table_on_a_page_of_a_large_fleet_is_cut(name):
    for key, table in PAGES[name](drawn(2000)).tables.items():
        assert len(table) <= 500, key


def test_the_facts_hold_every_outage():
    given = drawn(500)
    told = record(gather(given))["outages"]
    assert len(told) == len(given.outages)
    lost = sum(one["lost"].get("Heartbeat", {"lost": 0})["lost"] for one in told if not one["ongoing"])
    own = given.gaps[(given.gaps["data_type"] == "Heartbeat") & ~given.gaps["ongoing"].astype("bool")]
    assert lost == own["lost"].sum()
