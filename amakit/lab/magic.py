"""``%load_ext amakit``: the magic ``%%kql``, which runs a cell of KQL on the connected workspace."""

import contextlib
import re
from typing import TYPE_CHECKING

from IPython.core.completer import SimpleCompletion, context_matcher
from IPython.core.error import UsageError as BadLine
from IPython.core.magic import Magics, line_cell_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments
from IPython.utils.process import arg_split

from amakit.errors import AmakitError, UsageError
from amakit.kql.catalog import packaged, query
from amakit.kql.placeholders import blank, fill, marked
from amakit.kql.rendering import drawing_of
from amakit.source.connect import connect
from amakit.source.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd
    from IPython.core.completer import CompletionContext, SimpleMatcherResult
    from IPython.core.interactiveshell import InteractiveShell

_WAYS = ("cloud", "endpoint", "credential", "tenant", "transport")


@magics_class
class KqlMagics(Magics):
    """The magic and the workspace that it is connected to.

    Attributes
    ----------
    workspace : amakit.Workspace or None
    """

    def __init__(self, shell: "InteractiveShell") -> None:
        super().__init__(shell)
        self.workspace: Workspace | None = None
        self._opened = False

    @magic_arguments()
    @argument("name", nargs="?", help="bind the result to this name instead of showing it")
    @argument("-w", "--connect", metavar="WORKSPACE", help="connect first: demo, a folder of exports, a .duckdb file, "
              "a Kusto endpoint, an ARM id, or a variable that holds an amakit workspace")  # fmt: skip
    @argument("--cloud", help="public, usgov or china; as for amakit.connect")
    @argument("--endpoint", help="the host to ask for an ARM id; as for amakit.connect")
    @argument("--credential", help="how to sign in, for example cli; as for amakit.connect")
    @argument("--tenant", help="in which to sign in; as for amakit.connect")
    @argument("--transport", help="kusto, logs or auto; as for amakit.connect")
    @argument("-l", "--list", nargs="?", const="", metavar="QUERY", help="list the packaged queries, or print one")
    @line_cell_magic
    def kql(self, line: str, cell: str | None = None) -> "pd.DataFrame | Workspace | None":
        """Run the cell as KQL on the connected workspace and give the result as a DataFrame.

        A render at the end, such as | render timechart, draws a chart above the rows.
        {name} in the cell stands for the value of the Python variable and is written as a KQL literal; {{name}} means
        the braces themselves.  As a line, %kql -w WORKSPACE connects, and %kql shows what is connected.
        """
        asked = self._asked(line)
        if asked.list is not None:
            return print(_listed() if asked.list == "" else query(asked.list).source)
        if cell is None and asked.name:
            raise UsageError(f"%kql {asked.name} holds no query; write it in a cell, below the line %%kql {asked.name}")
        if asked.name and not asked.name.isidentifier():
            raise UsageError(f"the result cannot be bound to {asked.name!r}, which is no Python name")
        if asked.connect:
            self._connect(asked)
        elif given := next((way for way in _WAYS if getattr(asked, way)), None):
            raise UsageError(f"--{given} says how to connect, but not to what; give the workspace with -w")
        if self.workspace is None:
            raise UsageError(self._not_connected())
        return self.workspace if cell is None else self._run(self.workspace, cell, asked.name)

    def _asked(self, line):
        try:
            words = [re.sub(r"""^(["'])(.*)\1$""", r"\2", word) for word in arg_split(line)]
            return self.kql.parser.parse_args(words)
        except (BadLine, ValueError) as error:
            raise UsageError(
                f"the line of %kql cannot be read: {str(error).rstrip('.')}; the query goes below the line of %%kql, "
                "and %kql? lists the options"
            ) from error

    @property
    def _names(self):
        assert self.shell is not None
        return self.shell.user_ns

    def _connect(self, asked):
        ways = {way: getattr(asked, way) or "" for way in _WAYS}
        held = self._names.get(asked.connect)
        if isinstance(held, Workspace) and any(ways.values()):
            raise UsageError(f"{asked.connect!r} is connected already; cloud, endpoint and credential are for others")
        opened = not isinstance(held, Workspace)
        workspace = connect(asked.connect, **ways) if opened else held
        try:
            _ = workspace.tables  # a service is asked once: that proves the way, and completion has names to offer
        except AmakitError:
            if opened:
                workspace.close()
            raise
        self.let_go()
        self.workspace, self._opened = workspace, opened

    def let_go(self) -> None:
        """Forget the workspace, and close it if the magic has opened it."""
        if self._opened:
            self.workspace.close()  # type: ignore[union-attr]
        self.workspace, self._opened = None, False

    def _not_connected(self):
        held = [
            name for name, value in self._names.items() if isinstance(value, Workspace) and not name.startswith("_")
        ]
        return (
            "no workspace is connected, and a kernel that was restarted has lost its own; connect one with %kql -w "
            f"WORKSPACE, for example %kql -w {held[-1] if held else 'demo'}"
        )

    def _run(self, workspace, cell, name):
        if blank(cell):
            raise UsageError("the cell holds no query; write KQL below the line of %%kql")
        filled = fill(cell, self._names)
        try:
            frame = workspace.query(filled.text)
        except AmakitError as error:
            marked(error, filled)
            raise
        told = ", ".join(
            f"{n:,} {thing}{'s' * (n != 1)}" for n, thing in zip(frame.shape, ("row", "column"), strict=True)
        )
        told += ", synthetic data" if workspace.synthetic else ""
        if name is not None:
            self._names[name] = frame
            told = f"{name}: {told}"
        print(told)
        _draw(filled.text, frame)
        return frame if name is None else None

    # -- completion ------------------------------------------------------------------------------------------

    @context_matcher()
    def complete(self, context: "CompletionContext") -> "SimpleMatcherResult":
        """Offer tables, columns of the tables that the cell names, Python names after a brace, and packaged queries.

        Nothing is asked for it: of a service only what is known already.
        """
        found, fragment = [], ""
        with contextlib.suppress(Exception):  # a key that was pressed is no place for an error
            found, fragment = self._completions(context)
        return {"completions": found, "matched_fragment": fragment, "suppress": bool(found)}

    def _completions(self, context):
        first, _, cell = context.full_text.lstrip().partition("\n")
        before = context.text_until_cursor
        fragment = before[len(re.sub(r"\w*$", "", before)) :]
        if re.match(r"\s*%%?kql\b.*\s(-l|--list)\s+\w*$", before):
            offers = dict.fromkeys(packaged(), "query")
        elif not re.match(r"%%kql\b", first) or re.match(r"\s*%%kql\b", before):
            return [], ""
        elif re.search(r"(?<!\{)\{\w*$", before):
            offers = {
                name: "instance"
                for name, value in self._names.items()
                if not name.startswith("_") and not callable(value)
            }
        else:
            known = self.workspace.known if self.workspace is not None else {}
            named = [columns for table, columns in known.items() if re.search(rf"\b{re.escape(table)}\b", cell)]
            offers = {column: kind for columns in named for column, kind in columns.items()}
            offers |= dict.fromkeys(known, "table")
        return [
            SimpleCompletion(name, type=kind)
            for name, kind in sorted(offers.items())
            if name.lower().startswith(fragment.lower())
        ], fragment


def _draw(text, frame):
    """Show the chart that a query asks for, above its rows, or say why there is none."""
    drawing = drawing_of(text)
    if drawing is None:
        return
    from IPython.display import display

    from amakit.charts.render import render

    try:
        display(render(frame, drawing))
    except AmakitError as error:
        print(error)


def _listed():
    width = max(map(len, packaged()))
    return "\n".join(f"{name:{width}}  {each.question}" for name, each in packaged().items())


def load_ipython_extension(shell: "InteractiveShell") -> None:
    """Give IPython the magic; called by ``%load_ext amakit``."""
    unload_ipython_extension(shell)
    magics = KqlMagics(shell)
    shell.register_magics(magics)
    shell.Completer.custom_matchers.append(magics.complete)


def unload_ipython_extension(shell: "InteractiveShell") -> None:
    """Take the magic away; called by ``%unload_ext amakit``."""
    magics = shell.magics_manager.registry.pop(KqlMagics.__name__, None)
    if magics is not None:
        magics.let_go()
        for kind in ("line", "cell"):
            shell.magics_manager.magics[kind].pop("kql", None)
        shell.Completer.custom_matchers.remove(magics.complete)
