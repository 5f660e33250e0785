"""Colours that can be read on light paper and on dark, and a ramp whose newest version stands out most."""

import itertools

import pytest
import rollouts

from amakit import charts
from amakit.charts.colours import DARK, INK, PAPER, STILL_DOWN, contrast, ramp
from amakit.charts.versions import version_styles

LINES = ["Windows", "Linux", "Another"]


def on(paper, colour):
    return contrast(DARK.get(colour, colour) if paper == "dark" else colour, PAPER[paper])


@pytest.mark.parametrize("paper", PAPER)
def test_text_and_what_still_is_down_can_be_read_on_either_paper(paper):
    assert contrast(INK[paper], PAPER[paper]) >= 4.5
    assert on(paper, STILL_DOWN) >= 4.5
    assert charts.theme(paper == "dark").layout.font.color == INK[paper]


@pytest.mark.parametrize("paper", PAPER)
@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("versions", [1, 2, 5, 12, 40])
def test_the_newest_version_can_be_read_and_each_stands_out_more_than_the_one_before(paper, line, versions):
    shades = [on(paper, colour) for colour in ramp(line, versions)]
    assert len(shades) == versions
    assert shades[-1] >= 4.5
    assert all(older <= newer for older, newer in itertools.pairwise(shades))
    assert len(set(shades)) == min(versions, 12)
    assert shades[0] >= 1.3  # still something where nothing is drawn


def test_no_two_lines_share_a_shade_and_red_is_in_none():
    every = [colour for line in LINES for colour in ramp(line, 12)]
    assert len(set(every)) == 36
    assert STILL_DOWN not in every
    assert len({DARK[colour] for colour in every}) == 36


def test_versions_have_the_ramp_of_their_line_also_on_dark(monkeypatch):
    found = rollouts.fleet(3, machines=6)[0]
    light = version_styles(found)
    for os in {style["key"][0] for style in light.values()}:
        own = [style["colour"] for style in light.values() if style["key"][0] == os]
        assert own == ramp(os, len(own))
    monkeypatch.setattr("plotly.io.templates.default", "plotly_dark")
    dark = version_styles(found)
    assert [dark[name]["colour"] for name in light] == [DARK[style["colour"]] for style in light.values()]
