"""Run one notebook and write its page, with nobody watching."""

import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from amakit.errors import AmakitError, UsageError
from amakit.output import staged
from amakit.report.execute import execute, for_others, silenced
from amakit.report.pages import write
from amakit.report.parameters import NAMELESS, check
from amakit.share.pseudonyms import owner_key, pseudonym
from amakit.source.workspace import shown

if TYPE_CHECKING:
    from nbformat import NotebookNode


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
        The file with the key of the pseudonyms; see `amakit.share.pseudonyms.owner_key`.

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
        executed, error = execute(source, values | {"out_dir": str(stage)}, environment, progress)
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
    hidden = {name: "" for name, value in told.items() if isinstance(value, (str, list)) and name not in NAMELESS}
    return told | hidden | {"machines": machines, "workspace": pseudonym(key, "workspace", told["workspace"])}
