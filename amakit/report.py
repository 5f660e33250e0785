"""Notebook and parameters in, files out: the door to papermill and nbconvert."""

import ast
import base64
import functools
import gzip
import json
from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path

from amakit.analysis import staged
from amakit.errors import AmakitError, UsageError, nearest
from amakit.intervals import instant, window
from amakit.words import texts, zone

FORMS = ("html", "ipynb")
#: Of the forms in which a cell gives its result, the first of these is shown.
_SHOWN = ["application/vnd.plotly.v1+json", "text/html", "text/markdown", "text/plain"]


@dataclass(frozen=True)
class Parameters:
    """What a notebook of the kit is asked, checked.  Made by `parameters`.

    Attributes
    ----------
    workspace : str
        See `amakit.connect`.
    start, end : str
        The window; empty for everything that a folder holds.
    machines : tuple of str
        Computer names or resource ids; empty means all.
    timezone : str
        Zone in which times are told.
    language : str
        ``en`` or ``ja``.
    out_dir : str
        Folder for the result tables; empty for none.
    """

    workspace: str
    start: str
    end: str
    machines: tuple
    timezone: str
    language: str
    out_dir: str

    def keep(self, analysis):
        """Write the result tables of an analysis to ``out_dir``, if one is given.

        Parameters
        ----------
        analysis : Analysis

        Returns
        -------
        list of pathlib.Path
            What was written.
        """
        return analysis.save(self.out_dir) if self.out_dir else []


def parameters(namespace):
    """Check the parameters of a notebook; the first thing that it does after its imports.

    Papermill only warns of a parameter that a notebook does not have, and then runs on the default.  Here it
    is refused, under plain papermill too.

    Parameters
    ----------
    namespace : dict
        ``globals()`` of the notebook.

    Returns
    -------

    Parameters
    ----------

    Raises
    ------
    UsageError
        When a parameter is unknown or its value cannot be used.

    Examples
    --------
    >>> given = parameters({"workspace": "demo", "start": "", "end": "", "machines": "web-01, web-02",
    ...     "timezone": "Asia/Tokyo", "language": "ja", "out_dir": ""})
    >>> given.machines
    ('web-01', 'web-02')
    """
    cells = namespace.get("In", [])
    for before, cell in pairwise(cells):
        if cell.startswith("# Parameters\n"):  # papermill puts its own cell right behind the notebook's
            _refuse_unknown(_assigned(cell), _assigned(before))
    values = {field.name: namespace[field.name] for field in fields(Parameters)}
    machines = values.pop("machines") or ()
    machines = machines.split(",") if isinstance(machines, str) else machines
    if not all(isinstance(m, str) for m in machines):
        raise UsageError(f"machines {machines!r} must be names; write a list of text")
    given = Parameters(machines=tuple(m.strip() for m in machines if m.strip()),
                       **{name: str(value) for name, value in values.items()})  # fmt: skip
    _check(given.start, given.end, given.timezone, given.language)
    return given


def notebooks():
    """Give the notebooks of the kit.

    Returns
    -------
    dict of str to pathlib.Path
        By name, without the ending.

    Examples
    --------
    >>> "01_version_transitions" in notebooks()
    True
    """
    here = Path(__file__).parent
    folder = next(f for f in (here / "notebooks", here.parent / "notebooks") if f.is_dir())
    return {path.stem: path for path in sorted(folder.glob("*.ipynb"))}


def report(notebook, workspace="demo", start="", end="", machines=(), out=".", to=("html",), timezone="UTC",
           language="en", extra=None, progress=False):  # fmt: skip
    """Run a notebook with nobody watching and write its page.

    Parameters
    ----------
    notebook : str
        The name of one of `notebooks`, or a path.
    workspace, start, end, machines, timezone, language
        See `Parameters`.
    out : path-like
        Folder for the files, which appear whole or not at all.
    to : iterable of {'html', 'ipynb'}
        The page, which is one file that asks nothing of any other place; the executed notebook.
    extra : dict of str to str, optional
        Further parameters of the notebook.
    progress : bool
        Show a bar on stderr.

    Returns
    -------
    list of pathlib.Path
        The files, in the order of ``to``.

    Raises
    ------
    UsageError
        When a parameter is unknown or unusable.
    AmakitError
        When the notebook fails.  Where that is no fault of the input, the executed notebook is left in
        ``out`` with the failing cell marked, and no page.
    """
    import nbformat

    to = list(dict.fromkeys(to))
    for form in to:
        if form not in FORMS:
            raise UsageError(f"form {form!r} is not known; it is {' or '.join(FORMS)}")
    _check(start, end, timezone, language)
    path = _find(notebook)
    values = {
        "workspace": str(workspace), "start": str(start), "end": str(end), "machines": list(machines),
        "timezone": timezone, "language": language,
    }  # fmt: skip
    given = _typed(path, extra or {})
    with staged(out) as stage:
        source = _translated(nbformat.read(path, as_version=4), language)
        executed = _execute(source, values | given | {"out_dir": str(stage)}, stage, Path(out), path.stem, progress)
        if "html" in to:
            (stage / f"{path.stem}.html").write_text(page(executed, language), encoding="utf-8", newline="\n")
        if "ipynb" in to:
            nbformat.write(executed, stage / f"{path.stem}.ipynb")
    return [Path(out) / f"{path.stem}.{form}" for form in to]


def page(notebook, language="en"):
    """Turn an executed notebook into one HTML file without code.

    Parameters
    ----------
    notebook : nbformat.NotebookNode
    language : {'en', 'ja'}

    Returns
    -------
    str
        The page: no address outside itself, no request when opened.
    """
    from nbconvert import HTMLExporter
    from traitlets.config import Config

    from amakit import __version__

    exporter = HTMLExporter(
        config=Config({"NbConvertBase": {"display_data_priority": _SHOWN}}),
        template_name="page",
        extra_template_basedirs=[str(Path(__file__).parent)],
        exclude_input=True,
        exclude_input_prompt=True,
        exclude_output_prompt=True,
        exclude_anchor_links=True,
        filters={"chart_json": _chart_json, "chart_title": lambda chart: chart["layout"]["title"]["text"]},
    )
    heading = next(
        (c.source.split("\n")[0].lstrip("# ") for c in notebook.cells if c.cell_type == "markdown"), "amakit"
    )
    shown = {"language": language, "title": heading, "version": __version__, "plotly": _packed_plotly()}
    body, _ = exporter.from_notebook_node(notebook, resources={"page": shown})
    return body


def _check(start, end, timezone, language):
    if start and end:
        window(start, end)
    for name, value in (("start", start), ("end", end)):
        if value:
            instant(value, name)
    zone(timezone)
    texts(language)


def _find(notebook):
    path = Path(notebook)
    if path.suffix == ".ipynb" and path.is_file():
        return path
    known = notebooks()
    if str(notebook) not in known:
        raise UsageError(f"no notebook is called {str(notebook)!r}; {nearest(str(notebook), known)}")
    return known[str(notebook)]


def _assigned(source):
    """Give the names that a parameters cell assigns."""
    names = []
    for statement in ast.parse(source).body:
        targets = getattr(statement, "targets", [getattr(statement, "target", None)])
        names += [target.id for target in targets if isinstance(target, ast.Name)]
    return names


def _refuse_unknown(names, known):
    for name in names:
        if name not in known:
            raise UsageError(f"the notebook has no parameter {name!r}; {nearest(name, known)}")


def _typed(path, extra):
    """Read the values of ``-p`` as the types that the notebook's parameters cell declares."""
    import nbformat

    cells = [c.source for c in nbformat.read(path, as_version=4).cells if "parameters" in c.metadata.get("tags", [])]
    declared = {}
    for statement in (s for cell in cells for s in ast.parse(cell).body):
        if isinstance(statement, ast.AnnAssign):
            declared[statement.target.id] = ast.unparse(statement.annotation)
        elif isinstance(statement, ast.Assign):
            declared |= {t.id: type(ast.literal_eval(statement.value)).__name__ for t in statement.targets}
    _refuse_unknown(extra, declared)
    return {name: _value(name, text, declared[name]) for name, text in extra.items()}


def _value(name, text, kind):
    try:
        if kind == "bool":
            return {"true": True, "false": False}[text.lower()]
        if kind in ("int", "float"):
            return {"int": int, "float": float}[kind](text)
    except (KeyError, ValueError):
        raise UsageError(f"parameter {name} = {text!r} is not of the type {kind}") from None
    return [part.strip() for part in text.split(",") if part.strip()] if kind.startswith("list") else text


def _translated(notebook, language):
    """Put a cell's translation in its place, where it carries one."""
    for cell in notebook.cells:
        cell.source = cell.metadata.get(language, cell.source)
    return notebook


def _execute(notebook, values, stage, out, name, progress):
    import nbformat
    import papermill
    from papermill.exceptions import PapermillExecutionError

    work, ran = stage / ".source.ipynb", stage / ".executed.ipynb"
    nbformat.write(notebook, work)
    try:
        papermill.execute_notebook(
            str(work), str(ran), parameters=values, kernel_name="python3", progress_bar=progress,
            kernel_manager_class=_quiet_kernel(),
        )  # fmt: skip
    except PapermillExecutionError as error:
        sentence = f"{error.evalue}".split("\n")[0]
        if error.ename == "UsageError":
            raise UsageError(sentence) from error
        if error.ename == "AmakitError":
            raise AmakitError(sentence) from error
        left = out / f"{name}.failed.ipynb"
        nbformat.write(_without_paths(nbformat.read(ran, as_version=4), stage), left)
        raise AmakitError(
            f"{name} failed in cell {error.cell_index} with {error.ename}: {sentence}; the cell is marked in {left}"
        ) from error
    executed = _without_paths(nbformat.read(ran, as_version=4), stage)
    for done in (work, ran, out / f"{name}.failed.ipynb"):
        done.unlink(missing_ok=True)
    return executed


def _quiet_kernel():
    """Give a kernel manager whose kernels do not write to this terminal: what fails is told in one sentence."""
    import subprocess

    from jupyter_client.manager import AsyncKernelManager

    class Quiet(AsyncKernelManager):
        async def start_kernel(self, **options):
            return await self._async_start_kernel(stderr=subprocess.DEVNULL, **options)

    return Quiet


def _without_paths(notebook, stage):
    """Take out where on this machine the notebook ran: the file goes to other people."""
    import nbformat

    notebook.metadata.get("papermill", {}).update(input_path="", output_path="")
    text = json.dumps(notebook).replace(json.dumps(str(stage))[1:-1], "")
    return nbformat.from_dict(json.loads(text))


def _chart_json(chart):
    """Write a chart so that it can stand inside a script element."""
    return json.dumps(chart, separators=(",", ":")).replace("<", "\\u003c")


@functools.cache
def _packed_plotly():
    from plotly.offline import get_plotlyjs

    return base64.b64encode(gzip.compress(get_plotlyjs().encode("utf-8"), 9, mtime=0)).decode("ascii")
