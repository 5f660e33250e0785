"""Run one notebook and write its page, with nobody watching."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amakit.charts.stills import Drawer, drawing_thread
from amakit.errors import AmakitError
from amakit.output import staged, temporary_folder
from amakit.report.execute import execute, for_others, kernel, silenced
from amakit.report.pages import STILLS, charts_of, file_of, load, write
from amakit.report.parameters import NAMELESS
from amakit.report.request import Request
from amakit.share.key import owner_key
from amakit.share.pseudonyms import pseudonym
from amakit.source.records import shown

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

    from jupyter_client.manager import AsyncKernelManager
    from nbformat import NotebookNode


def report(
    notebook: str,
    workspace: str | Sequence[str] = "demo",
    start: str = "",
    end: str = "",
    machines: Iterable[str] = (),
    out: str | Path = ".",
    to: Iterable[str] = ("html",),
    **options: Any,
) -> list[Path]:
    """Run a notebook with nobody watching and write its page.

    Parameters
    ----------
    notebook, workspace, start, end, machines, to
        See `Request`, which calls the last ``forms``.
    out : path-like
        Folder for the files, which appear whole or not at all.
    **options
        Further fields of `Request`: timezone, language, extra, anonymise, key, cloud, endpoint, credential,
        date_format, cache, fail_on.

    Returns
    -------
    list of pathlib.Path
        The files, in the order of ``to``.

    Raises
    ------
    UsageError
        When a parameter is unknown or unusable.
    AmakitError
        See `run`.
    """
    return run(Request(notebook, workspace, start, end, tuple(machines), tuple(to), **options), out)


def run(request: Request, out: str | Path, progress: bool = False) -> list[Path]:
    """Run the notebook that is asked for and write its page.

    Parameters
    ----------
    request : Request
    out : path-like
        Folder for the files, which appear whole or not at all.
    progress : bool
        Show a bar on stderr.

    Returns
    -------
    list of pathlib.Path
        The files, in the order of the forms.

    Raises
    ------
    AmakitError
        When the notebook fails.  Where that is no fault of the input, the executed notebook is left in
        ``out`` with the failing cell marked, and no page.  Also when there is nothing to print a PDF with:
        the other files are there then.
    """
    with ExitStack() as last, drawing_thread() as thread:
        with kernel(request.environment, last) as manager:
            write_page = executed(request, out, manager, thread, progress)
        return write_page()


def executed(
    request: Request,
    out: str | Path,
    manager: "AsyncKernelManager",
    thread: "ThreadPoolExecutor",
    progress: bool = False,
) -> Callable[[], list[Path]]:
    """Run the notebook that is asked for; its page is yet to be written, which needs the kernel no longer.

    Parameters
    ----------
    request, out, progress
        See `run`.
    manager : jupyter_client.manager.AsyncKernelManager
        Of a kernel with the environment of the request.
    thread : concurrent.futures.ThreadPoolExecutor
        From `amakit.charts.stills.drawing_thread`.

    Returns
    -------
    callable
        Writes the files and gives them, or raises; see `run`.  It is to be called once.
    """
    import nbformat

    path, values = request.path, request.values
    told = values | {"workspace": shown(request.workspace), "out_dir": ""}
    if request.anonymise:
        told = _unnamed(told, owner_key(request.key))
    stills = {STILLS[form] for form in request.forms if form in STILLS}
    drawer = Drawer(stills, thread, partial(load, request.forms))
    with ExitStack() as begun:
        stage = begun.enter_context(_Staged(out))
        source = translated(nbformat.read(path, as_version=4), request.language)
        values["out_dir"] = str(stage)
        notebook, error = execute(source, values, manager, progress, lambda cell: drawer.show(charts_of(cell)))
        rest = begun.pop_all()

    def write_page():
        with rest:
            ready = for_others(notebook, told, {str(stage): ""} | places(request.workspace, told["workspace"]))
            left = Path(out) / f"{path.stem}.failed.ipynb"
            if error is not None:
                nbformat.write(silenced(ready) if request.anonymise else ready, left)
                raise AmakitError(f"{path.stem} failed in {error}; the cell is marked in {left}")
            if ("ticket" in request.forms or request.limits) and not (stage / "facts.json").exists():
                raise AmakitError(
                    f"{path.stem} keeps no facts, which a ticket and limits rest on; call keep() as the kit's "
                    "notebooks do"
                )
            failed = write(ready, stage, path.stem, list(request.forms), request.language, drawer.draw)
            left.unlink(missing_ok=True)
        if failed is not None:
            raise failed
        return [Path(out) / file_of(path.stem, form) for form in request.forms]

    return write_page


def places(workspace: str | Sequence[str], told: str) -> dict[str, str]:
    """Say what stands for the place of each workspace: its name as others may see it.

    Examples
    --------
    >>> places(["/home/jane/east", "/home/jane/west"], "east, west")
    {'/home/jane/east': 'east', '/home/jane/west': 'west'}
    """
    names = [workspace] if isinstance(workspace, str) else workspace
    shown_as = [told] if len(names) == 1 else told.split(", ")
    return dict(zip(names, shown_as, strict=len(names) == len(shown_as)))


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
        with temporary_folder(self._folder) as gone:
            try:
                for folder in [path for path in self.path.iterdir() if path.is_dir()]:
                    target = self._folder / folder.name
                    if target.is_dir():
                        target.rename(gone / folder.name)
                    folder.rename(target)
            except OSError as failed:
                super().__exit__(OSError, None, trace)
                raise AmakitError(f"{target} cannot be replaced: {failed.strerror}; close what has it open") from failed
        return super().__exit__(kind, error, trace)


def _unnamed(told, key):
    """Give the parameters of a run as they may be told where no name may be."""
    machines = [pseudonym(key, "resource" if "/" in name else "machine", name) for name in told["machines"]]
    hidden = {name: "" for name, value in told.items() if isinstance(value, (str, list)) and name not in NAMELESS}
    return told | hidden | {"machines": machines, "workspace": pseudonym(key, "workspace", told["workspace"])}
