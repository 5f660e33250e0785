"""The chart of a query as one file: a page, or a picture."""

import json
from pathlib import Path

import pandas as pd

from amakit.charts.render import render
from amakit.errors import UsageError
from amakit.kql.rendering import Drawing
from amakit.output import staged


def save_drawing(frame: pd.DataFrame, drawing: Drawing, target: str | Path, synthetic: bool = False) -> None:
    """Draw the answer of a query into a file, whole or not at all.

    Parameters
    ----------
    frame : pandas.DataFrame
    drawing : amakit.kql.rendering.Drawing
    target : path-like
        ``.html``, a page that asks nothing of the network, or ``.png``.
    synthetic : bool
        Whether the data is made up, which the title then says.

    Raises
    ------
    UsageError
        When the name ends otherwise.
    AmakitError
        When the answer cannot be drawn, or the file not be written.
    """
    target = Path(target)
    form = target.suffix.lower()
    if form not in (".html", ".png"):
        raise UsageError(f"{target} must end in .html or .png, which says what to draw")
    figure = render(frame, drawing)
    if synthetic:
        title = figure.layout.title.text or ""
        figure.update_layout(title_text=f"{title} (synthetic data)".strip())
    if form == ".html":
        figure.update_layout(paper_bgcolor="#FFFFFF", plot_bgcolor="#FFFFFF")
        page = figure.to_html(include_plotlyjs=True, full_html=True, config={"displaylogo": False}).encode()
    else:
        if drawing.kind == "piechart":
            raise UsageError(f"{target}: a piechart is drawn as .html only; write barchart, or .html")
        from amakit.charts.stills import picture

        page = picture(json.loads(figure.to_json()), "png")
    with staged(target.parent) as stage:
        (stage / target.name).write_bytes(page)
