"""Which parameters does a notebook take, and are these values right?"""

import ast
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amakit.analysis import analyze
from amakit.errors import UsageError, nearest
from amakit.intervals import instant, window
from amakit.output import staged
from amakit.prose.incident import document
from amakit.prose.language import texts, zone
from amakit.report.pages import FORMS
from amakit.share.pseudonyms import anonymised, owner_key

if TYPE_CHECKING:
    from amakit.analysis import Analysis
    from amakit.source.workspace import Workspace

#: Parameters that hold no name, whatever their value.
NAMELESS = ("start", "end", "timezone", "language", "out_dir")


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
    anonymise : bool
        Whether names and ids are replaced by pseudonyms; see `amakit.share.pseudonyms`.
    allow_unknown : bool
        Whether what a service cannot give becomes unknown instead of a failure; see `amakit.analyze`.
    """

    workspace: str
    start: str
    end: str
    machines: tuple
    timezone: str
    language: str
    out_dir: str
    anonymise: bool = False
    allow_unknown: bool = False

    def analyze(self, workspace: "Workspace") -> "Analysis":
        """Run the analysis that is asked for, with pseudonyms in the place of names if that is asked for.

        Parameters
        ----------
        workspace : Workspace

        Returns
        -------
        Analysis
        """
        found = analyze(workspace, self.start, self.end, self.machines, self.allow_unknown)
        return anonymised(found, owner_key()) if self.anonymise else found

    def keep(self, analysis: "Analysis") -> list[Path]:
        """Write the result tables of an analysis and its facts to ``out_dir``, if one is given.

        Parameters
        ----------
        analysis : Analysis

        Returns
        -------
        list of pathlib.Path
            What was written.
        """
        if not self.out_dir:
            return []
        told = document(analysis, self.language, self.timezone)
        with staged(self.out_dir) as stage:
            (stage / "facts.json").write_text(told, encoding="utf-8", newline="\n")
        return [*analysis.save(self.out_dir), Path(self.out_dir) / "facts.json"]


def parameters(namespace: Mapping[str, Any]) -> Parameters:
    """Check the parameters of a notebook; the first thing that it does after its imports.

    Papermill only warns of a parameter that a notebook does not have, and then runs on the default.  Here it
    is refused, under plain papermill too.

    Parameters
    ----------
    namespace : dict
        ``globals()`` of the notebook.

    Returns
    -------
    `Parameters`

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
    given = {field.name: namespace.get(field.name, False) for field in fields(Parameters) if field.type is bool}
    for name, value in given.items():
        if not isinstance(value, bool):
            raise UsageError(f"{name} {value!r} is neither true nor false")
    values = {field.name: namespace[field.name] for field in fields(Parameters) if field.name not in given}
    machines = values.pop("machines") or ()
    machines = machines.split(",") if isinstance(machines, str) else machines
    if not all(isinstance(m, str) for m in machines):
        raise UsageError(f"machines {machines!r} must be names; write a list of text")
    given = Parameters(machines=tuple(m.strip() for m in machines if m.strip()), **given,
                       **{name: str(value) for name, value in values.items()})  # type: ignore[arg-type]  # fmt: skip
    _check(given.start, given.end, given.timezone, given.language)
    return given


def notebooks() -> dict[str, Path]:
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
    here = Path(__file__).parent.parent
    folder = next(f for f in (here / "notebooks", here.parent / "notebooks") if f.is_dir())
    return {path.stem: path for path in sorted(folder.glob("*.ipynb"))}


def check(
    notebook: str,
    start: str,
    end: str,
    to: Iterable[str],
    timezone: str,
    language: str,
    extra: dict[str, str] | None,
    anonymise: bool,
) -> tuple[Path, list[str], dict]:
    """Refuse what can be seen to be wrong before anything runs.

    Parameters
    ----------
    notebook, start, end, to, timezone, language, extra, anonymise
        See `report`.

    Returns
    -------
    tuple of (pathlib.Path, list of str, dict)
        The notebook, the forms, and the further parameters with their types.

    Raises
    ------
    UsageError
        With what is wrong.

    Examples
    --------
    >>> check("01_version_transitions", "", "", ["docx"], "UTC", "en", None, False)
    Traceback (most recent call last):
    amakit.errors.UsageError: form 'docx' is not known; it is html, md, pdf or ipynb
    """
    to = list(dict.fromkeys(to))
    for form in to:
        if form not in FORMS:
            raise UsageError(f"form {form!r} is not known; it is {', '.join(FORMS[:-1])} or {FORMS[-1]}")
    _check(start, end, timezone, language)
    path = find(notebook)
    return path, to, _typed(path, (extra or {}) | ({"anonymise": "true"} if anonymise else {}))


def _check(start, end, timezone, language):
    if start and end:
        window(start, end)
    for name, value in (("start", start), ("end", end)):
        if value:
            instant(value, name)
    zone(timezone)
    texts(language)


def find(notebook: str) -> Path:
    """Give the file of a notebook.

    Parameters
    ----------
    notebook : str
        The name of one of `notebooks`, or a path.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    UsageError
        When there is none; the nearest names are given.

    Examples
    --------
    >>> find("02_upgrade_gap")
    Traceback (most recent call last):
    amakit.errors.UsageError: no notebook is called '02_upgrade_gap'; the nearest is '02_upgrade_gaps'
    """
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
