"""An executed notebook in; the page, the Markdown, the PDF and the notebook for other people out."""

import base64
import functools
import gzip
import html
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from amakit.charts.colours import DARK
from amakit.charts.stills import picture, prefix_of
from amakit.errors import AmakitError
from amakit.output import temporary_folder
from amakit.prose.language import plain, visible
from amakit.report.pdf import printed
from amakit.report.tables import page_texts, script_words

if TYPE_CHECKING:
    from nbformat import NotebookNode

#: The ticket is of the facts that the notebook keeps, all others of the notebook as it was executed.
FORMS = ("html", "md", "pdf", "ipynb", "ticket")
#: Each form that has still pictures, and what these are.
STILLS = {"html": "svg", "pdf": "svg", "md": "png"}
_CHART = "application/vnd.plotly.v1+json"
#: Of the forms in which a cell gives its result, the first of these is shown.
_SHOWN = [_CHART, "text/html", "text/markdown", "text/plain"]
#: A table on paper cannot be searched.
_PRINTED_ROWS = 200
_FOLDER = Path(__file__).parent
#: Characters of a query on paper; the page has more of it, and run.json all.
_PRINTED_QUERY = 900
#: What the page lets run.
_SCRIPTS = "script-src 'unsafe-inline' 'unsafe-eval'"


@functools.cache
def load(forms: tuple[str, ...]) -> None:
    """Write a page with next to nothing on it, so that all that writes pages is there when the first is to be written.

    That takes a second, which can pass while a notebook runs.

    Parameters
    ----------
    forms : tuple of {'html', 'md', 'pdf', 'ipynb', 'ticket'}
    """
    from nbformat.v4 import new_markdown_cell, new_notebook

    if STILLS.keys() & set(forms):
        picture({})
    if {"html", "pdf"} & set(forms):
        page(new_notebook(cells=[new_markdown_cell("# A\n\n```kql\nHeartbeat\n```")]))
        _packed_plotly()


def page(notebook: "NotebookNode", language: str = "en", draw: Callable[..., bytes] = picture) -> str:
    """Turn an executed notebook into one HTML file without code.

    A cell that follows a chart and has the tag ``caption`` becomes the caption of the chart; one with the tag
    ``verdict`` is shown first among equals, one with the tag ``aside`` in small.

    Parameters
    ----------
    notebook : nbformat.NotebookNode
    language : {'en', 'ja'}
    draw : callable
        Gives a still picture: `amakit.charts.stills.picture`, or one that has drawn it before.

    Returns
    -------
    str
        The page: no address outside itself, no request when opened.  Without scripts it shows whole tables and
        a still picture of each chart.
    """
    from nbconvert import HTMLExporter
    from traitlets.config import Config

    from amakit import __version__

    notebook = _arranged(notebook)
    says = page_texts(language)
    for number, output in enumerate(_charts(notebook), 1):
        output.metadata["still"] = _still(output.data[_CHART], says, number, draw)
    exporter = HTMLExporter(
        config=Config({"NbConvertBase": {"display_data_priority": _SHOWN}}),
        template_name="page",
        extra_template_basedirs=[str(_FOLDER)],
        exclude_input=True,
        exclude_input_prompt=True,
        exclude_output_prompt=True,
        exclude_anchor_links=True,
        filters={
            "chart_json": for_script,
            "chart_title": functools.partial(_title, says=says),
            "uncoloured": _uncoloured,
            "chart_text": lambda text: visible(html.unescape(text)),
            "heading": lambda text: text.partition("</h2>")[0] + "</h2>",
            "below_heading": lambda text: text.partition("</h2>")[2],
            "anchored": lambda text, anchor: re.sub("^<h3>", f'<h3 id="{anchor}">', text) if anchor else text,
        },
    )
    shown = {
        "language": language,
        "title": title(notebook),
        "version": __version__,
        "says": says,
        "for_script": for_script(script_words(language)),
        "parts": [cell.metadata["part"] for cell in notebook.cells if "part" in cell.metadata],
        "shades": for_script(DARK),
        "scripts": _SCRIPTS,
        "plotly": _packed_plotly() if any(_charts(notebook)) else "",
    }
    body, _ = exporter.from_notebook_node(notebook, resources={"page": shown})
    return body


def markdown(
    notebook: "NotebookNode", pictures: str, language: str = "en", draw: Callable[..., bytes] = picture
) -> tuple[str, dict[str, bytes]]:
    """Turn an executed notebook into Markdown without code, for a ticket or a wiki.

    Parameters
    ----------
    notebook : nbformat.NotebookNode
    pictures : str
        Name of the folder beside the Markdown in which the pictures are to lie.
    language : {'en', 'ja'}
    draw : callable
        See `page`.

    Returns
    -------
    tuple of (str, dict of str to bytes)
        The text, and each picture by its name.
    """
    notebook, says = _arranged(notebook), page_texts(language)
    drawn, parts = {}, []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            parts.append(cell.source)
            continue
        told = []
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if _CHART in data:
                told.append(_pictured(output, drawn, pictures, says, draw))
            elif "text/markdown" in data:
                told.append(data["text/markdown"])
            elif "text/plain" in data or output.get("name") == "stdout":
                told.append(_indented(data.get("text/plain", output.get("text", ""))))
        mark = "> " if "verdict" in cell.metadata.get("tags", []) else ""
        parts += [re.sub("^", mark, text, flags=re.MULTILINE) for text in told]
    return "\n\n".join(part.strip("\n") for part in parts if part.strip()) + "\n", drawn


def write(
    notebook: "NotebookNode",
    stage: Path,
    name: str,
    forms: Iterable[str],
    language: str = "en",
    draw: Callable[..., bytes] = picture,
) -> AmakitError | None:
    """Write an executed notebook in the forms that are asked for.

    Parameters
    ----------
    notebook : nbformat.NotebookNode
    stage : pathlib.Path
        Folder for the files.
    name : str
        Of each file, before its ending.
    forms : iterable of {'html', 'md', 'pdf', 'ipynb', 'ticket'}
    language : {'en', 'ja'}
    draw : callable
        See `page`.

    Returns
    -------
    AmakitError or None
        Why the PDF could not be printed; all other forms are there then.
    """
    import nbformat

    sheet = page(notebook, language, draw) if {"html", "pdf"} & set(forms) else ""
    if "html" in forms:
        (stage / f"{name}.html").write_text(sheet, encoding="utf-8", newline="\n")
    failed = _print(sheet, stage / f"{name}.pdf", page_texts(language)) if "pdf" in forms else None
    if "md" in forms:
        text, drawn = markdown(notebook, f"{name}_files", language, draw)
        (stage / f"{name}.md").write_text(text, encoding="utf-8", newline="\n")
        for file, content in drawn.items():
            (stage / f"{name}_files").mkdir(exist_ok=True)
            (stage / f"{name}_files" / file).write_bytes(content)
    if "ticket" in forms:
        facts = json.loads((stage / "facts.json").read_text(encoding="utf-8"))
        (stage / file_of(name, "ticket")).write_text(facts["ticket"], encoding="utf-8", newline="\n")
    if "ipynb" in forms:
        nbformat.write(notebook, stage / f"{name}.ipynb")
    return failed


def file_of(name: str, form: str) -> str:
    """Give the name of a form's file.

    Examples
    --------
    >>> file_of("03_incident_writeup", "html"), file_of("03_incident_writeup", "ticket")
    ('03_incident_writeup.html', '03_incident_writeup.ticket.md')
    """
    return f"{name}.{form}.md" if form == "ticket" else f"{name}.{form}"


def title(notebook: "NotebookNode") -> str:
    """Give the first heading of a notebook.

    Examples
    --------
    >>> import nbformat
    >>> title(nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# Why?")]))
    'Why?'
    """
    cells = (cell for cell in notebook.cells if cell.cell_type == "markdown")
    return next((cell.source.split("\n")[0].lstrip("# ") for cell in cells), "amakit")


def _arranged(notebook):
    """Give a copy in which each output knows the heading above it, and each chart its caption."""
    import nbformat

    notebook = nbformat.from_dict(json.loads(json.dumps(notebook)))
    cells, heading, chart, tables = [], "", None, Counter()
    for cell in notebook.cells:
        if _left_out(cell):
            continue
        if cell.cell_type == "markdown":
            _anchor(cell, len(cells), not any("part" in before.metadata for before in cells))
            heading = next(
                (
                    re.sub(r"[*_`\\]", "", line.lstrip("# "))
                    for line in reversed(cell.source.split("\n"))
                    if line.startswith("#")
                ),
                heading,
            )
        outputs = cell.get("outputs", [])
        if chart is not None and outputs and "caption" in cell.metadata.get("tags", []):
            chart.metadata["caption"] = "\n\n".join(o.get("data", {}).get("text/markdown", "") for o in outputs)
            chart = None
            continue
        for output in outputs:
            if "data" in output:
                tables[heading] += "text/html" in output.data
                output.metadata["heading"] = heading + (f" ({tables[heading]})" if tables[heading] > 1 else "")
                chart = output if _CHART in output.data else None
                if chart is not None and "text/markdown" in output.data:  # a part of the explorer brings its own
                    chart.metadata["caption"] = output.data["text/markdown"]
        if cell.cell_type == "markdown":
            chart = None
        cells.append(cell)
    notebook.cells = cells
    return notebook


def _anchor(cell, number, first):
    """Give a cell that begins a part of the page its place in the contents, and one with a lesser heading an anchor."""
    begins = re.match("(##|###) +(.+)", cell.source)
    if begins is None:
        return
    anchor = re.sub(r"[^\w-]+", "-", cell.get("id", "")).removesuffix("-read") or f"part-{number}"
    if begins[1] == "###":
        cell.metadata["anchor"] = anchor
        return
    title = re.sub(r"[*_`\\]", "", begins[2])
    cell.metadata["part"] = {
        "id": anchor,
        "title": title,
        "first": first,
        "folded": "folded" in cell.metadata.get("tags", []),
    }


def charts_of(cell: "NotebookNode") -> list[dict]:
    """Give the charts of a cell, plotly figures as JSON; none of one that is left out of the page."""
    return [] if _left_out(cell) else [output.data[_CHART] for output in _charts_in(cell)]


def _charts_in(cell):
    return [output for output in cell.get("outputs", []) if _CHART in output.get("data", {})]


def _charts(notebook):
    return [output for cell in notebook.cells for output in _charts_in(cell)]


def _left_out(cell):
    return "notebook" in cell.metadata.get("tags", [])  # prose for whoever runs it


def _title(chart, says):
    """Give the title of a chart without plotly's HTML."""
    text = chart.get("layout", {}).get("title", {})
    text = text.get("text") if isinstance(text, dict) else text
    return visible(html.unescape(re.sub(r"<[^<>]*>", " ", text or ""))) or says["chart"]


def _still(chart, says, number, draw):
    try:
        return draw(chart, "svg", prefix_of(number)).decode("utf-8")
    except AmakitError:  # a chart of a notebook of the user's own may be of any kind
        return f"<p>{html.escape(says['undrawn'])}</p>"


def _pictured(output, drawn, folder, says, draw):
    """Draw a chart into ``drawn``; give the Markdown that shows it."""
    chart, file = output.data[_CHART], f"chart-{len(drawn) + 1}.png"
    name, caption = plain(_title(chart, says)), output.metadata.get("caption", "")
    try:
        drawn[file] = draw(chart, "png")
    except AmakitError:
        return f"{name}: {says['undrawn']}\n\n{caption}"
    return f"![{name}]({quote(folder)}/{file})\n\n{caption}"


def _print(sheet, target, says):
    """Print the page with its scripts shut out, so that still pictures stand in it."""
    sheet = sheet.replace("<details>", "<details open>")  # nobody can unfold what is on paper
    sheet = _shortened(sheet.replace(_SCRIPTS, "script-src 'none'", 1), says["more"])
    with temporary_folder() as folder:
        copy = folder / "page.html"
        copy.write_text(sheet, encoding="utf-8", newline="\n")
        try:
            printed(copy, target)
        except AmakitError as error:
            return error
    return None


def _uncoloured(page):
    """Take the colours out of code in HTML: their spans would be ten times as long as a query."""
    bare = functools.partial(re.sub, r"</?span[^>]*>", "")
    return re.sub(r'<div class="highlight">.*?</pre></div>', lambda code: bare(code[0]), page, flags=re.DOTALL)


def _shortened(page, more):
    """Leave out the rows of a table and the ends of queries that nobody will read on paper, and say so."""

    def shorten(table):
        rows = re.findall(r"<tr.*?</tr>", table[0], re.DOTALL)
        if len(rows) <= _PRINTED_ROWS:
            return table[0]
        left = more.format(n=f"{len(rows) - _PRINTED_ROWS:,}")
        rows[_PRINTED_ROWS:] = [
            f'<tr><td colspan="{len(re.findall("</t[dh]>", rows[0]))}">… {html.escape(left)}</td></tr>'
        ]
        return "<tbody>\n" + "\n".join(rows) + "\n</tbody>"

    def cut(query):  # in the middle, where its rows of values are; at spaces and line ends, so that no entity is halved
        begins, ends = query[1][: _PRINTED_QUERY // 3].rpartition(" ")[0], query[1][-2 * _PRINTED_QUERY // 3 :]
        whole = len(query[1]) <= _PRINTED_QUERY
        return query[0] if whole else f"<pre>{begins} … // run.json\n{ends.partition(chr(10))[2]}</pre>"

    page = re.sub(r"<pre>(.*?)</pre>", cut, page, flags=re.DOTALL)
    return re.sub(r"<tbody>.*?</tbody>", shorten, page, flags=re.DOTALL)


def _indented(text):
    """Make a block of code of it: no text can end one that is indented."""
    return re.sub("^", "    ", text.strip("\n"), flags=re.MULTILINE)


def for_script(value: object) -> str:
    """Write a value as JSON that can stand inside a script element, the same whatever the order of its keys.

    Examples
    --------
    >>> for_script({"b": "</script>", "a": 1})
    '{"a":1,"b":"\\\\u003c/script>"}'
    """
    return json.dumps(value, separators=(",", ":"), sort_keys=True).replace("<", "\\u003c")


@functools.cache
def _packed_plotly():
    # as plotly.offline does, which imports the rest of plotly
    script = resources.files("plotly").joinpath("package_data", "plotly.min.js").read_bytes()
    return base64.b64encode(gzip.compress(script, 9, mtime=0)).decode("ascii")
