"""The door to papermill: a notebook and its parameters in, the executed notebook out, fit for other people's eyes."""

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amakit import errors
from amakit.errors import AmakitError, UsageError
from amakit.output import temporary_folder

if TYPE_CHECKING:
    from jupyter_client.manager import AsyncKernelManager
    from nbformat import NotebookNode

#: A path or an address, long enough to be told from other text.
_TELLS = re.compile(r"(?s)^(?=.{4}).*[/\\]")
#: Leaves nothing of the notebook before in a kernel: no name, no input, no count of cells, no open workspace.
_AS_NEW = "get_ipython().reset(new_session=True); __import__('gc').collect()"


@contextmanager
def kernel(environment: dict[str, str], last: ExitStack) -> "Iterator[AsyncKernelManager]":
    """Hold a kernel for notebooks that run one after the other; it starts at once and is as new for each.

    What a notebook changes beside its own names, such as an option of a library, the next one finds as well.

    Parameters
    ----------
    environment : dict of str to str
        What the kernel is to find in its environment, beside what is in that of this process.
    last : contextlib.ExitStack
        Where the end of the kernel is waited for; at the end of this context it is asked to end, which takes it a
        moment that pages can be written in.

    Yields
    ------
    jupyter_client.manager.AsyncKernelManager
        For `execute`.
    """
    from jupyter_core.utils import run_sync

    # not beside the output: what a killed run leaves there tells how to reach the kernel
    manager = _quiet_kernel(environment, last.enter_context(temporary_folder()))
    last.callback(_end, manager)
    run_sync(manager.start_kernel)()
    yield manager
    manager.stop_reading()
    if manager.has_kernel:
        run_sync(manager.request_shutdown)()
        manager.asked_to_end = True


def _end(manager):
    """Wait for the end of a kernel, and ask for it where nobody has."""
    from jupyter_core.utils import run_sync

    manager.stop_reading()
    if manager.has_kernel and manager.asked_to_end:
        run_sync(manager.finish_shutdown)()
        run_sync(manager.cleanup_resources)()
    elif manager.has_kernel:
        run_sync(manager.shutdown_kernel)()


def execute(
    notebook: "NotebookNode",
    values: dict,
    manager: Any,
    progress: bool,
    see: "Callable[[NotebookNode], object] | None" = None,
) -> "tuple[NotebookNode, str | None]":
    """Run a notebook.

    Parameters
    ----------
    notebook : nbformat.NotebookNode
    values : dict
        Its parameters.
    manager : jupyter_client.manager.AsyncKernelManager
        From `kernel`.
    progress : bool
        Show a bar on stderr.
    see : callable, optional
        Is called with each cell that has run.

    Returns
    -------
    tuple of (nbformat.NotebookNode, str or None)
        The notebook as it came out, and in which cell of which error it ended.

    Raises
    ------
    UsageError
    AmakitError
        What the notebook says of its input, or that its kernel died.
    """
    import nbformat
    import papermill
    from jupyter_core.utils import run_sync
    from papermill.exceptions import PapermillExecutionError

    async def as_new(notebook):
        await manager.reader.execute(_AS_NEW, silent=True, reply=True)

    failure = None
    # not beside the output: what a killed run leaves there may hold the names that the page must not
    with temporary_folder() as folder:
        work, ran = folder / "source.ipynb", folder / "executed.ipynb"
        nbformat.write(notebook, work)
        try:
            done = papermill.execute_notebook(
                str(work),
                str(ran),
                parameters=values,
                kernel_name="python3",
                language="python",
                progress_bar=progress,
                request_save_on_cell_execute=False,  # twice for each cell, which takes longer than most of them
                km=manager,
                on_notebook_start=as_new,
                on_cell_executed=see and (lambda cell, **_: see(cell)),
            )
        except RuntimeError as error:
            if manager.has_kernel:
                run_sync(manager.shutdown_kernel)(now=True)
            raise AmakitError(
                "the kernel of the notebook died, or gave no answer, most often for want of memory; ask for a shorter "
                "window or fewer machines"
            ) from error
        except PapermillExecutionError as error:
            sentence = f"{error.evalue}".split("\n")[0]
            kind = getattr(errors, error.ename, None)
            if isinstance(kind, type) and issubclass(kind, AmakitError):  # says what is the matter
                raise (UsageError if issubclass(kind, UsageError) else AmakitError)(sentence) from error
            failure = f"cell {error.cell_index} with {error.ename}: {sentence}"
            done = nbformat.read(ran, as_version=4)
        return done, failure


def _quiet_kernel(environment, folder):
    """Give a manager whose kernel does not write to this terminal: what fails is told in one sentence.

    Nor does it note its cells, which name machines, in the history of the user, and what connects to it goes with the
    folder.
    """
    import subprocess

    from jupyter_client.manager import AsyncKernelManager
    from zmq.asyncio import Context

    class Quiet(AsyncKernelManager):
        reader: Any = None
        asked_to_end = False

        async def start_kernel(self, **options):  # type: ignore[override]
            if self.context.closed:  # with a kernel that died
                self.context = Context()
            options["env"] = (options.get("env") or dict(os.environ)) | environment
            options["extra_arguments"] = ["--HistoryManager.enabled=False"]
            return await self._async_start_kernel(stderr=subprocess.DEVNULL, **options)

        def client(self, **options):
            self.stop_reading()  # the notebook before
            self.reader = super().client(**options)
            return self.reader

        def stop_reading(self):
            if self.reader:
                self.reader.stop_channels()

    return Quiet(kernel_name="python3", connection_file=str(folder / "kernel.json"))


def for_others(notebook: "NotebookNode", told: dict, places: dict[str, str]) -> "NotebookNode":
    """Take out what differs from run to run, and where on this machine it ran: the file goes to other people.

    Parameters
    ----------
    notebook : nbformat.NotebookNode
        As it was executed; it is changed.
    told : dict
        The parameters as the cell that papermill put in is to name them.
    places : dict of str to str
        What stands for each path; see `displaced`.

    Returns
    -------
    nbformat.NotebookNode
    """
    import nbformat

    for key in ("papermill", "widgets"):
        notebook.metadata.pop(key, None)
    for number, cell in enumerate(notebook.cells):
        for key in ("papermill", "execution"):
            cell.metadata.pop(key, None)
        tags = cell.metadata.get("tags", [])
        if not tags:
            cell.metadata.pop("tags", None)
        if "injected-parameters" in tags:
            cell.id = "injected-parameters"
            cell.source = "# Parameters\n" + "\n".join(f"{name} = {value!r}" for name, value in told.items())
        elif any("papermill" in tag for tag in tags):  # what it adds where a cell failed
            cell.id = f"failed-{number}"
        for output in cell.get("outputs", []):
            output.get("data", {}).pop("application/vnd.jupyter.widget-view+json", None)  # dead without its kernel
            if output.output_type in ("error", "stream"):
                output.update(displaced(output, places | {str(Path.home()): "~", str(Path.cwd()): "."}))
    return nbformat.from_dict(displaced(notebook, places))


def displaced(value: Any, places: Mapping[str, str]) -> Any:
    """Replace paths of this machine in all text of a value.

    Parameters
    ----------
    value : str, list or dict
        Whatever JSON can hold.
    places : dict of str to str
        What stands for each path or address; a mere name tells nothing of the machine and stays.

    Returns
    -------
    str, list or dict

    Examples
    --------
    >>> displaced(["read /home/jane/logs/a.csv"], {"/home/jane/logs": "logs", ".": "here"})
    ['read logs/a.csv']
    """
    text = json.dumps(value)
    for place in sorted(filter(_TELLS.search, places), key=len, reverse=True):
        text = re.sub(re.escape(json.dumps(place)[1:-1]) + r"(?![\w.-])", lambda _, p=place: places[p], text)  # type: ignore[misc]
    return json.loads(text)


def silenced(notebook: "NotebookNode") -> "NotebookNode":
    """Leave of a failure its kind alone: what it says may name machines.

    Parameters
    ----------
    notebook : nbformat.NotebookNode
        It is changed.

    Returns
    -------
    nbformat.NotebookNode
    """
    for cell in notebook.cells:
        outputs = [o for o in cell.get("outputs", []) if o.output_type != "stream"]
        for output in outputs:
            if output.output_type == "error":
                output.update(evalue="", traceback=[])
        if "outputs" in cell:
            cell.outputs = outputs
    return notebook
