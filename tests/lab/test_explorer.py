"""The explorer: one selection that every view follows, and what stands in its place where nobody is at the keyboard."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fleet import at, beats, every, heartbeats, write

import amakit
from amakit import charts
from amakit.charts.gallery import gallery
from amakit.lab import explorer
from amakit.lab.explorer import Explorer
from amakit.lab.selection import Choice, chosen, settled
from amakit.prose.language import texts

VIEW = "application/vnd.jupyter.widget-view+json"
CHART = "application/vnd.plotly.v1+json"


@pytest.fixture(scope="module")
def logs():
    with amakit.connect("demo") as workspace:
        yield workspace


@pytest.fixture(scope="module")
def found(logs):
    return amakit.analyze(logs, "2026-03-09", "2026-03-11")


@pytest.fixture
def view(found, logs):
    return Explorer(found, logs)


def told(widget):
    return re.sub(r"<[^>]*>", "", widget.value)


def choose_from(widget, start):
    widget.value = next(value for label, value in widget.options if label.startswith(start))


def test_a_filter_leaves_what_the_tables_have(found):
    machines, outages = chosen(found, Choice(os_type="Linux", cause="upgrade"))
    expected = found.outages.query("os_type == 'Linux' and cause == 'upgrade'")
    assert outages.index.tolist() == expected.index.tolist()
    assert set(machines["computer"]) == set(expected["computer"])
    changed = found.outages.query("from_version != to_version").iloc[0]
    pair = (changed["os_type"], changed["from_version"], changed["to_version"])
    _, outages = chosen(found, Choice(pair=pair))
    assert set(outages[["os_type", "from_version", "to_version"]].itertuples(index=False, name=None)) == {pair}
    machines, outages = chosen(found, Choice())
    assert (len(machines), len(outages)) == (len(found.machines), len(found.outages))


def test_a_machine_brings_its_longest_outage_and_an_outage_its_machine(found):
    several = found.outages.groupby(["resource_id", "computer"]).size().idxmax()
    own = found.outages[(found.outages[["resource_id", "computer"]] == list(several)).all(axis=1)]
    assert settled(found, Choice(machine=several)).outage in own.index
    assert settled(found, Choice(outage=own.index[0])).machine == several
    quiet = found.machines[~found.machines["computer"].isin(found.outages["computer"])].iloc[0]
    machine = (quiet["resource_id"], quiet["computer"])
    assert settled(found, Choice(machine=machine)) == Choice(machine=machine)


def test_every_view_follows_a_filter(view, found):
    view.look()
    choose_from(view._filters["cause"], "machine restarted")
    assert view.choice.cause == "machine_restarted"
    rows = found.outages.query("cause == 'machine_restarted'")
    name = rows.loc[view.choice.outage, "computer"]
    assert f"and {len(rows)} of {len(found.outages)} outages are shown" in told(view._left)
    marks = [trace for trace in view._figures["fleet"].data if trace.type == "scatter"]
    assert [trace.name for trace in marks] == ["machine restarted"]
    assert view._figures["machine"].layout.title.text.startswith(name)
    assert view._machine.value == name
    assert view._tables["outages"].value.count("<tr") == len(rows) + 1
    assert name in view._text.value
    assert name in told(view._cost)


def test_colours_of_versions_stay_when_a_filter_takes_others_away(view, found):
    everything = {t.name: t.marker.color for t in charts.fleet(found).data if t.type == "bar"}
    view.look()
    view.choose(os_type="Windows")
    bars = {t.name: t.marker.color for t in view._figures["fleet"].data if t.type == "bar"}
    assert bars
    assert bars.items() <= everything.items()


def test_a_click_on_a_mark_shows_its_outage_and_one_on_a_row_its_machine(view, found):
    view.look()
    marks = next(t for t in view._figures["fleet"].data if t.type == "scatter")
    point = type("Points", (), {"point_inds": [len(marks.x) - 1], "ys": [marks.y[-1]]})
    view._clicked(marks, point, None)
    outage = int(marks.customdata[-1][-1])
    assert view.choice.outage == outage
    assert view._figures["machine"].layout.title.text.startswith(found.outages.loc[outage, "computer"])
    (frame,) = [shape for shape in view._figures["fleet"].layout.shapes if shape.name == "here"]
    rows = list(view._figures["fleet"].layout.yaxis.categoryarray)
    assert rows[int(frame.y0 + 0.5)] == marks.y[-1]
    bar = next(t for t in view._figures["fleet"].data if t.type == "bar")
    view._clicked(bar, type("Points", (), {"point_inds": [0], "ys": [bar.y[0]]}), None)
    assert view._rows[view.choice.machine] == bar.y[0]


def test_machines_are_found_in_any_case_and_without_their_domain(view):
    view._machine.value = "WEB-25"
    assert view.choice.machine[1] == "web-25.corp.contoso.example"
    view.choose(os_type="Windows")
    view._machine.value = "web-02"  # a Linux machine, which the filter had left out
    assert (view.choice.machine[1], view.choice.os_type) == ("web-02", "")


def test_a_query_of_ones_own_stays_when_the_selection_moves_on(view):
    view._text.value = "Heartbeat | take 3"
    view.choose(cause="machine_stopped")
    assert view._text.value == "Heartbeat | take 3"
    assert len(view.query(view._text.value)) == 3
    assert told(view._asked) == "3 rows, 3 of them shown; `answer` of the explorer holds all."
    assert view._answer.value.count("<tr") == 4
    view._suggest()
    assert "where Computer =~" in view._text.value
    assert len(view.query(view._text.value)) > 5


BAD = {
    "machine": (lambda v: setattr(v._machine, "value", "web-99x"), "_left", "no machine is called 'web-99x' here; the nearest"),
    "query": (lambda v: v._try(v._asked, v.query, kql="Hartbeat | count"), "_asked", "there is no table 'Hartbeat'"),
    "workspace": (lambda v: field(v, workspace="nowhere"), "_status", "workspace 'nowhere' does not exist"),
    "window": (lambda v: field(v, start="2026-04-01", end="2026-03-01"), "_status", "a window needs an end that is later"),
    "time": (lambda v: field(v, start="yesterday"), "_status", "start 'yesterday' is not a time"),
    "empty": (lambda v: field(v, start="2024-01-01", end="2024-01-02"), "_status", "no heartbeat"),
    "names": (lambda v: field(v, machines="nix-77"), "_status", "nix-77"),
}  # fmt: skip


def field(view, **values):
    for name, value in values.items():
        view._fields[name].value = value
    view._try(view._status, view._analyse)


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_sentence_and_the_old_view_stays(view, case):
    act, place, words = BAD[case]
    before = (view.analysis, view.choice, view.workspace)
    act(view)
    said = getattr(view, place)
    assert 'role="alert"' in said.value
    assert words in told(said).replace("&#x27;", "'")
    assert "\n" not in told(said)
    assert (view.analysis, view.choice, view.workspace) == before


def test_a_query_that_fails_leaves_no_older_answer_behind(view):
    view.query("Heartbeat | summarize Beats = count() by Version | render barchart")
    assert view._answer.value
    assert view._drawn.children
    view._try(view._asked, view.query, kql="Hartbeat | count")
    assert (view.answer, view._answer.value, view._drawn.children) == (None, "", ())


SPANS = {
    "day": ("2026-03-10T00:00:00Z", "2026-03-11T00:00:00Z"),
    "week": ("2026-03-04T00:00:00Z", "2026-03-11T00:00:00Z"),
    "month": ("2026-02-09T00:00:00Z", "2026-03-11T00:00:00Z"),
    "everything": ("", ""),
    "analysed": ("2026-03-09T00:00:00Z", "2026-03-11T00:00:00Z"),
}


def test_a_window_that_is_asked_for_by_name_fills_its_fields_and_analyses_nothing(view, found):
    for name, ends in SPANS.items():
        view._span.value = name
        assert (view._fields["start"].value, view._fields["end"].value) == ends
    view._span.value = "outage"
    start, end = (pd.Timestamp(view._fields[name].value) for name in ("start", "end"))
    row = found.outages.loc[view.choice.outage]
    assert row["start_earliest"] - start == pd.Timedelta(hours=12)
    assert row["start_latest"] < end <= found.window.end
    assert view.analysis is found


def test_an_explorer_without_a_workspace_offers_no_window_that_only_files_have(found):
    assert "everything" not in [value for _, value in Explorer(found)._span.options]


def test_while_it_works_the_answered_queries_are_counted(view, tmp_path, monkeypatch):
    write(tmp_path, Heartbeat=beats("a", [("1.1", "2026-03-02", "2026-03-02 06:00")]))
    sentences = []
    say = view._say
    monkeypatch.setattr(view, "_say", lambda place, text, **more: sentences.append(text) or say(place, text, **more))
    field(view, workspace=str(tmp_path), start="2026-03-02", end="2026-03-03")
    counted = [
        int(re.search(r"(\d+) queries answered, the last \w", text)[1]) for text in sentences if "answered" in text
    ]
    assert counted == sorted(counted)
    assert counted[-1] == len(view.workspace.log)
    assert told(view._status) == ""
    assert view.workspace.watched is None


def test_an_expired_sign_in_is_one_sentence(view, monkeypatch):
    said = "you are not signed in; run az login"

    def refused(_):
        raise amakit.AmakitError(said)

    monkeypatch.setattr("amakit.lab.explorer.connect", refused)
    before = view.analysis
    field(view, workspace="/subscriptions/0/resourceGroups/r/providers/x/workspaces/w")
    assert told(view._status) == said
    assert view.analysis is before


def test_another_window_replaces_all_views(view):
    view.look()
    view.choose(os_type="Linux")
    field(view, start="2026-03-02", end="2026-03-03")
    assert view.analysis.run["start"] == "2026-03-02T00:00:00Z"
    assert view.choice.os_type == ""
    assert told(view._status) == ""
    assert "2026-03-02 00:00 to 2026-03-03 00:00" in told(view._data)
    assert "2026-03-02" in str(view._figures["fleet"].layout.xaxis.range[0])


def test_what_is_not_there_is_refused_by_name(view):
    with pytest.raises(amakit.UsageError, match="cause 'boredom' is not in this analysis"):
        view.choose(cause="boredom")
    with pytest.raises(amakit.UsageError, match="give it the workspace"):
        Explorer(view.analysis).query("print 1")
    with pytest.raises(amakit.UsageError, match="its answer would tell names"):
        Explorer(view.analysis, view.workspace, anonymise=True).query("print 1")


def test_on_a_page_each_part_is_a_chart_a_table_or_a_sentence(view, found):
    bundles = {
        name: getattr(view, name)._repr_mimebundle_() for name in ("scope", "fleet", "machine", "numbers", "ask")
    }
    assert all(VIEW in bundle for bundle in bundles.values())
    assert [name for name, bundle in bundles.items() if CHART in bundle] == ["fleet", "machine"]
    assert "Synthetic data." in bundles["scope"]["text/markdown"]
    assert bundles["numbers"]["text/html"].count("<tr") == len(found.outages) + 1
    assert bundles["ask"]["text/markdown"].startswith("```kql\nHeartbeat\n")
    assert not view._figures  # nobody looks, so no figure became a widget


def test_an_analysis_without_outages_says_so(found):
    nothing = replace(
        found, **{n: getattr(found, n).iloc[:0] for n in ("outages", "gaps", "events", "sources", "transitions")}
    )
    view = Explorer(nothing)
    view.look()
    assert told(view._cost) == "There is no outage that the filters leave."
    assert view._figures["machine"].layout.annotations[0].text == "nothing to show"


def test_hostile_names_stay_text(tmp_path):
    name = "<img src=x onerror=alert(1)>"
    rows = beats(
        name, [("1.37<b>", "2026-03-02", "2026-03-02 03:00"), ("1.38", "2026-03-02 03:04", "2026-03-02 06:00")]
    )
    with amakit.connect(write(tmp_path / "logs", Heartbeat=rows)) as workspace:
        view = Explorer(amakit.analyze(workspace), workspace)
        view.look()
        assert view.choice.machine[1] == name
        for widget in (view._left, view._cost, view._data, *view._tables.values()):
            assert "<img" not in widget.value
            assert "<b>" not in widget.value
        assert len(view.query(view._text.value)) > 5
        assert "<img" not in view._answer.value


@pytest.fixture(scope="module")
def large(found):
    """The fleet of the demo, 125 times: 5,000 machines."""
    frames = {}
    for table in ("machines", "transitions", "outages", "gaps", "events", "sources", "runs", "samples"):
        frame = getattr(found, table)
        parts = [
            frame.assign(computer=frame["computer"] + f"-{n:03}", resource_id=frame["resource_id"] + f"-{n:03}")
            for n in range(125)
        ]
        frames[table] = pd.concat(parts, ignore_index=True)
    return replace(found, **frames)


def test_five_thousand_machines_are_one_image_that_agrees_with_the_raster(large):
    raster = next(trace for trace in charts.fleet(large).data if trace.type == "heatmap")
    assert raster.z.shape == (5000, 720)
    cells = raster.z.copy()
    widget = charts.live(charts.fleet(large))
    import base64
    import io

    from PIL import Image

    (image,) = widget.layout.images
    drawn = np.array(Image.open(io.BytesIO(base64.b64decode(image.source.partition(",")[2]))))
    assert (drawn == cells).all()
    assert (image.y, image.sizey) == (-0.5, 5000)
    assert pd.Timestamp(image.x) == large.window.start.tz_localize(None)
    assert image.sizex == pytest.approx(large.window.seconds * 1000)
    marks = [t for t in widget.data if t.type == "scatter" and t.customdata is not None]
    assert 0 < sum(len(t.x) for t in marks) <= 1000
    assert len(marks) <= 8


def test_a_filter_of_five_thousand_machines_takes_no_analysis_and_no_query(large):
    """A view that has no workspace could ask nothing; what it shows comes from the tables that it holds."""
    view = Explorer(large)
    view.look()
    for change in ({"cause": "upgrade"}, {"cause": ""}, {"os_type": "Linux"}, {"os_type": ""}):
        view.choose(**change)
        assert view.analysis is large
        machines, outages = chosen(large, view.choice)
        assert f"{len(machines):,}" in told(view._left)
        assert f"{len(outages):,}" in told(view._left)


def test_a_gap_under_one_version_is_not_drawn(found):
    stopped = found.outages.query("cause == 'machine_stopped' and from_version == to_version").iloc[0]
    bars = [t for t in charts.fleet(found).data if t.type == "bar"]
    own = [
        (pd.Timestamp(base), pd.Timestamp(base) + pd.Timedelta(milliseconds=length))
        for bar in bars
        for base, length, y in zip(bar.base, bar.x, bar.y, strict=True)
        if y == stopped["computer"]
    ]
    gone, back = (stopped[end].tz_localize(None) for end in ("start_latest", "end_earliest"))
    assert len(own) >= 2
    assert all(last <= gone + pd.Timedelta(seconds=1) or first >= back - pd.Timedelta(seconds=1) for first, last in own)


def test_every_chart_has_a_caption_and_one_template_for_either_paper(found, monkeypatch):
    drawn = gallery(found)
    assert {name for name, _, _ in drawn} == set(charts.__all__) - {"live", "redraw", "row_names", "theme"}
    for name, figure, caption in drawn:
        assert figure.layout.template.layout.font.color == "#737373", name
        assert figure.layout.title.text, name
        assert re.search(r"\d|no ", caption), name
        if figure.layout.xaxis.type == "date":
            assert "(UTC)" in figure.layout.xaxis.title.text, name
            assert figure.layout.xaxis.hoverformat.endswith("%S"), name
    monkeypatch.setattr("plotly.io.templates.default", "plotly_dark")
    assert charts.inventory(found).layout.template.layout.font.color == "#A4ADB8"


def test_a_version_has_one_colour_in_all_charts(found):
    colours = {}
    for _, figure, _ in gallery(found):
        for trace in figure.data:
            if re.match(r"(Linux|Windows) \d", trace.name or "") and "band" not in trace.name and trace.type != "box":
                shades = (
                    {trace.marker.color, trace.fillcolor, trace.line.color}
                    if trace.type == "scatter"
                    else {trace.marker.color}
                )
                colours.setdefault(trace.name, set()).update(c for c in shades if c and c.startswith("#"))
    assert len(colours) >= 4
    assert all(len(shades) == 1 for shades in colours.values()), colours


def test_every_word_of_the_explorer_is_used():
    folder = Path(amakit.__file__).parent
    code = "".join(
        path.read_text(encoding="utf-8") for part in ("lab", "charts") for path in (folder / part).glob("*.py")
    )
    for key in texts("en")["explore"]:
        assert f'"{key}"' in code or key.startswith(("tab ", "span ")), key


def test_the_explorer_closes_what_it_opened_and_nothing_else(found, logs, tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr(explorer, "connect", lambda name: opened.append(amakit.connect(name)) or opened[-1])
    view = Explorer(found, logs)
    for name in ("a", "b"):
        write(tmp_path / name, Heartbeat=beats(name, [("1.1", "2026-03-02", "2026-03-02 06:00")]))
        view.analyse(str(tmp_path / name), "2026-03-02", "2026-03-03")
    with pytest.raises(Exception, match=r"(?i)closed"):
        opened[0].query("Heartbeat | count")
    assert len(opened[1].query("Heartbeat | count")) == len(logs.query("Heartbeat | count")) == 1
    view.close()
    with pytest.raises(Exception, match=r"(?i)closed"):
        opened[1].query("Heartbeat | count")
    assert len(logs.query("Heartbeat | count")) == 1


def test_a_source_that_stayed_away_is_told_with_what_was_to_be_expected(tmp_path):
    rng = np.random.default_rng(1)
    resource = "/subscriptions/0/resourceGroups/rg/VM/a"
    times = at("2026-03-02") + pd.to_timedelta(np.cumsum(rng.exponential(30, 6000)), unit="s")
    lines = pd.DataFrame({"TimeGenerated": times, "Computer": "a", "_ResourceId": resource, "Facility": "cron"})
    going_on, lines = lines.assign(Facility="auth"), lines[lines["TimeGenerated"] < at("2026-03-03")]
    logs = {"Heartbeat": heartbeats("a", every(60, "2026-03-02", "2026-03-04")), "Syslog": pd.concat([lines, going_on])}
    with amakit.connect(write(tmp_path, **logs)) as workspace:
        silent = Explorer(amakit.analyze(workspace), workspace)._tables["sources"].value
    cells = re.findall(r"<td[^>]*>([^<]*)</td>", silent)
    last = lines["TimeGenerated"].max().floor("s")
    assert cells[:4] == ["Syslog", "cron", f"{last:%Y-%m-%d %H:%M:%S}", "–"]  # the machine heads the row
