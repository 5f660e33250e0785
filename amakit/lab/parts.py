"""What the parts of the explorer are made of: a widget, what stands in its place on a page, a table that sorts."""

import html
import json
import re
from collections.abc import Callable
from importlib import resources

import anywidget
import ipywidgets
import pandas as pd
import plotly.graph_objects as go
import traitlets

from amakit import charts
from amakit.charts.render import render
from amakit.errors import AmakitError
from amakit.kql.rendering import drawing_of
from amakit.prose.language import visible
from amakit.report.tables import Table, script_words

#: Text of charts in the ink of JupyterLab, whose theme the kernel does not know; what lies in a bar keeps its own.  Two
#: parts of one cell stand beside each other where there is room.
STYLE = """<style>
.amakit-chart .main-svg :is(.gtitle, .xtick text, .ytick text, .xtitle, .ytitle, .legendtext, .cbaxis text,
  .annotation-text, .textpoint text) { fill: var(--jp-ui-font-color1, #737373) !important; }
.amakit-chart image { image-rendering: pixelated; }
.amakit-numbers .lm-TabBar-tab { flex: 0 0 auto; max-width: none; }
.amakit-error { color: var(--jp-error-color1, #b3261e); }
.jp-OutputArea:has(> .jp-OutputArea-child .amakit-beside) { display: flex; flex-wrap: wrap; align-items: flex-start; }
.jp-OutputArea:has(> .jp-OutputArea-child .amakit-beside) > .jp-OutputArea-child { flex: 1 1 32rem; width: 0; }
.jp-OutputArea:has(> .jp-OutputArea-child .amakit-beside) :is(.jp-OutputPrompt, .jp-OutputArea-promptOverlay) {
  display: none; }
</style>"""
#: The frame around the row of the machine that is looked at.
FRAME = {
    "type": "rect", "xref": "paper", "x0": 0, "x1": 1, "line": {"color": "#D6006C", "width": 2}, "name": "here",
}  # fmt: skip


class Part:
    """A part of the explorer: a widget where one can be pressed, and what stands in its place on a page.

    Attributes
    ----------
    widget : ipywidgets.Widget
    """

    def __init__(self, widget: ipywidgets.Widget, still: Callable[[], dict]) -> None:
        self.widget, self._still = widget, still

    def _repr_mimebundle_(self, include=None, exclude=None):
        return self.widget._repr_mimebundle_() | self._still()


class Eye(anywidget.AnyWidget):
    """Nothing to see; it tells that a browser shows what it lies in, and keeps charts as wide as that.

    Plotly's widget draws before it has a place, and afterwards heeds changes of the window only.
    """

    _esm = """export default {render({model, el}) {
      const fit = () => window.dispatchEvent(new Event("resize"));
      const observer = new ResizeObserver(fit);
      observer.observe(el);
      document.addEventListener("plotlywidget-after-render", fit);
      model.set("seen", true);
      model.save_changes();
      return () => { observer.disconnect(); document.removeEventListener("plotlywidget-after-render", fit); };
    }}"""
    seen = traitlets.Bool(False).tag(sync=True)

    def __init__(self, then: Callable[[], object]) -> None:
        super().__init__()
        self.observe(lambda _: then(), "seen")


class Grid(anywidget.AnyWidget):
    """A table that is sorted, searched, copied and saved as the tables of a page are.

    Parameters
    ----------
    label : str
        What it holds, for whoever cannot see it and for the name of the file that is saved.
    language : {'en', 'ja'}

    Attributes
    ----------
    value : str
        The table as HTML.
    """

    _esm = resources.files("amakit").joinpath("report/page/tables.js").read_text(encoding="utf-8") + (
        """export default {render({model, el}) {
      el.classList.add("amakit-grid");
      const draw = () => {
        const box = document.createElement("div");
        box.className = "table jp-RenderedHTMLCommon";
        for (const [name, value] of [["tabindex", "0"], ["role", "region"], ["aria-label", model.get("label")]])
          box.setAttribute(name, value);
        box.innerHTML = model.get("value");
        el.replaceChildren(box);
        dressTables(el, model.get("says"));
      };
      model.on("change:value", draw);
      draw();
    }}"""
    )
    _css = """.amakit-grid { --band: var(--jp-layout-color2, #f5f5f5); color: var(--jp-ui-font-color1, #222); }
    .amakit-grid .table { max-height: 24rem; overflow: auto; }
    .amakit-grid .table :is(td, th) { text-align: left; vertical-align: top; max-width: 36rem; }
    .amakit-grid .table .number { text-align: right; }
    .amakit-grid .table .short { white-space: nowrap; }
    .amakit-grid thead th { position: sticky; top: 0; background: var(--jp-layout-color1, #fff); }
    .amakit-grid thead button { all: unset; cursor: pointer; font-weight: 600; }
    .amakit-grid thead button:focus-visible { outline: 2px solid var(--jp-brand-color1, #0757ba); }
    .amakit-grid thead button::after { content: " ↕"; opacity: .6; }
    .amakit-grid [aria-sort=ascending] button::after { content: " ↑"; opacity: 1; }
    .amakit-grid [aria-sort=descending] button::after { content: " ↓"; opacity: 1; }
    .amakit-grid .tools { display: flex; flex-wrap: wrap; gap: .25rem 1rem; align-items: center; margin: .5rem 0; }
    .amakit-grid .tools input { margin-left: .4rem; }"""
    value = traitlets.Unicode().tag(sync=True)
    label = traitlets.Unicode().tag(sync=True)
    says = traitlets.Dict().tag(sync=True)

    def __init__(self, label: str, language: str) -> None:
        super().__init__(label=label, says=script_words(language))
        self._language = language

    def show(self, frame: pd.DataFrame, none: str = "") -> None:
        """Show a frame; where it has no row, a sentence in its place."""
        self.value = Table(frame, self._language)._repr_mimebundle_()["text/html"] or none


def half_as_wide(figure: go.Figure) -> go.Figure:
    """Let a chart do with the half of a screen: its title begins at the edge, its names are small.

    What stands below the plot, such as evidence, ends at the edge and begins under the names.
    """
    figure.update_layout(title={"x": 0.01, "xref": "container", "xanchor": "left", "font": {"size": 14}})
    figure.update_yaxes(tickfont={"size": 10})
    below = {"x": 1, "xanchor": "right", "xshift": figure.layout.margin.r, "font": {"size": 10}}
    return figure.update_annotations(below, selector={"y": 0, "yref": "paper"})


def drawn(frame: pd.DataFrame, kql: str) -> tuple[ipywidgets.Widget, ...]:
    """Draw the answer of a query as its render asks for; give no widget where it asks for nothing."""
    drawing = drawing_of(kql)
    if drawing is None:
        return ()
    try:
        return (charts.live(render(frame, drawing)),)
    except AmakitError as error:
        return (ipywidgets.HTML(html.escape(str(error))),)


def still_chart(figure: go.Figure, caption: str) -> dict:
    """Give a chart with its caption for a page."""
    return {"application/vnd.plotly.v1+json": json.loads(figure.to_json()), "text/markdown": caption}


def fenced(kql: str) -> str:
    """Show a query in Markdown, whatever names stand in it."""
    text = "\n".join(line if line.isascii() else visible(line) for line in kql.split("\n"))
    fence = "`" * (max(map(len, re.findall("`+", text)), default=0) + 3)
    return f"{fence}kql\n{text}\n{fence}"
