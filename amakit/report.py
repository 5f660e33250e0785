"""Notebook and parameters in, files out."""

import ast
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amakit.analysis import analyze, staged
from amakit.errors import AmakitError, UsageError, nearest
from amakit.intervals import instant, window
from amakit.pages import FORMS, write
from amakit.pseudonyms import anonymised, owner_key, pseudonym
from amakit.running import execute, for_others, silenced
from amakit.words import texts, zone
from amakit.workspace import shown
from amakit.writeup import document

if TYPE_CHECKING:
    from nbformat import NotebookNode

    from amakit.analysis import Analysis
    from amakit.workspace import Workspace

#: Parameters that hold no name, whatever their value.
_NAMELESS = ("start", "end", "timezone", "language", "out_dir")


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
        Whether names and ids are replaced by pseudonyms; see `amakit.pseudonyms`.
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
    here = Path(__file__).parent
    folder = next(f for f in (here / "notebooks", here.parent / "notebooks") if f.is_dir())
    return {path.stem: path for path in sorted(folder.glob("*.ipynb"))}


def report(
    notebook: str,
    workspace: str = "demo",
    start: str = "",
    end: str = "",
    machines: Iterable[str] = (),
    out: str | Path = ".",
    to: Iterable[str] = ("html",),
    timezone: str = "UTC",
    language: str = "en",
    extra: dict[str, str] | None = None,
    progress: bool = False,
    anonymise: bool = False,
    key: str | Path | None = None,
) -> list[Path]:
    """Run a notebook with nobody watching and write its page.

    Parameters
    ----------
    notebook : str
        The name of one of `notebooks`, or a path.
    workspace, start, end, machines, timezone, language
        See `Parameters`.
    out : path-like
        Folder for the files, which appear whole or not at all.
    to : iterable of {'html', 'md', 'pdf', 'ipynb'}
        The page, which is one file that asks nothing of any other place; Markdown with a folder of pictures
        beside it; the page in print, for which there must be a Chromium; the executed notebook.
    extra : dict of str to str, optional
        Further parameters of the notebook.
    progress : bool
        Show a bar on stderr.
    anonymise : bool
        Replace names and ids by pseudonyms in every file.
    key : path-like, optional
        The file with the key of the pseudonyms; see `amakit.pseudonyms.owner_key`.

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
        ``out`` with the failing cell marked, and no page.  Also when there is nothing to print a PDF with:
        the other files are there then.
    """
    import nbformat

    path, to, given = check(notebook, start, end, to, timezone, language, extra, anonymise)
    anonymise = given.get("anonymise", False)
    if key is not None and not anonymise:
        raise UsageError(f"a key {str(key)!r} is of use with anonymise only; ask for that too")
    values = {
        "workspace": str(workspace), "start": str(start), "end": str(end), "machines": list(machines),
        "timezone": timezone, "language": language,
    } | given  # fmt: skip
    told = values | {"workspace": shown(values["workspace"]), "out_dir": ""}
    environment = {}
    if anonymise:
        told = _unnamed(told, owner_key(key))
        environment = {"AMAKIT_KEY_FILE": str(Path(key).expanduser().resolve())} if key else {}
    with _Staged(out) as stage:
        source = translated(nbformat.read(path, as_version=4), language)
        executed, error = execute(source, values | {"out_dir": str(stage)}, stage, environment, progress)
        executed = for_others(executed, told, {str(stage): "", values["workspace"]: told["workspace"]})
        left = Path(out) / f"{path.stem}.failed.ipynb"
        if error is not None:
            nbformat.write(silenced(executed) if anonymise else executed, left)
            raise AmakitError(f"{path.stem} failed in {error}; the cell is marked in {left}")
        failed = write(executed, stage, path.stem, to, language)
        left.unlink(missing_ok=True)
    if failed is not None:
        raise failed
    return [Path(out) / f"{path.stem}.{form}" for form in to]


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


def translated(notebook: "NotebookNode", language: str) -> "NotebookNode":
    """Put a cell's translation in its place, where it carries one.

    Parameters
    ----------
    notebook : nbformat.NotebookNode
        It is changed.
    language : {'en', 'ja'}

    Returns
    -------
    nbformat.NotebookNode
    """
    for cell in notebook.cells:
        cell.source = cell.metadata.get(language, cell.source)
    return notebook


class _Staged(staged):
    """As `staged`, with folders: each takes the place of the one of its name."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if kind is not None:
            return super().__exit__(kind, error, trace)
        gone = Path(tempfile.mkdtemp(prefix=".amakit-", dir=self._folder))
        try:
            for folder in [path for path in self._stage.iterdir() if path.is_dir()]:
                target = self._folder / folder.name
                if target.is_dir():
                    target.rename(gone / folder.name)
                folder.rename(target)
        except OSError as failed:
            shutil.rmtree(self._stage, ignore_errors=True)
            raise AmakitError(f"{target} cannot be replaced: {failed.strerror}; close what has it open") from failed
        else:
            return super().__exit__(kind, error, trace)
        finally:
            shutil.rmtree(gone, ignore_errors=True)


def _unnamed(told, key):
    """Give the parameters of a run as they may be told where no name may be."""
    machines = [pseudonym(key, "resource" if "/" in name else "machine", name) for name in told["machines"]]
    hidden = {name: "" for name, value in told.items() if isinstance(value, (str, list)) and name not in _NAMELESS}
    return told | hidden | {"machines": machines, "workspace": pseudonym(key, "workspace", told["workspace"])}
