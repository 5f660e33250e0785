"""``connect()``: one face over the embedded engine and over the service."""

import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from amakit import queries
from amakit.errors import AmakitError, UsageError, nearest
from amakit.schemas import RECEIVED, tables


@dataclass(frozen=True)
class Record:
    """One query as it ran.

    Attributes
    ----------
    name : str
        The packaged query's name; empty for a query of the user's own.
    text : str
        The KQL as it was sent.
    rows, bytes : int
        Size of the answer: its rows, and the bytes that it takes in memory.
    seconds : float
        From asking to having the whole answer.
    sha256 : str
        Of the answer, whatever order its rows came in: the same data gives the same hash.
    """

    name: str
    text: str
    rows: int
    bytes: int
    seconds: float
    sha256: str = ""


class Workspace:
    """Tables of logs that answer KQL, wherever they are.  Made by `connect`.

    Attributes
    ----------
    name : str
        What was given to `connect`.
    kind : str
        ``demo``, ``folder``, ``duckdb`` or ``kusto``.
    synthetic : bool
        Whether the data was made by ``amakit demo``; then everything shown must say so.
    log : list of Record
        Every query so far.
    """

    def __init__(self, name, kind, engine, synthetic=False):
        self.name, self.kind, self.synthetic = name, kind, synthetic
        self.log = []
        self._engine = engine

    def __repr__(self):
        made_up = ", synthetic" if self.synthetic else ""
        return f"<amakit workspace {self.name!r} ({self.kind}{made_up}): {', '.join(self.tables) or 'no tables'}>"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    @property
    def tables(self):
        """Names of the tables, sorted."""
        return self._engine.tables()

    def columns(self, table):
        """KQL type of each column of a table.

        Raises
        ------
        UsageError
            When there is no such table.
        """
        if table not in self.tables:
            raise UsageError(f"there is no table {table!r} here; {nearest(table, self.tables)}")
        return self._engine.columns(table)

    def query(self, kql):
        """Run any KQL.

        Parameters
        ----------
        kql : str
            The query.  The embedded engine knows a large part of KQL and refuses the rest.

        Returns
        -------
        pandas.DataFrame
            Columns as the query gives them; times in UTC with microseconds.

        Raises
        ------
        AmakitError
            When it cannot be run.

        Examples
        --------
        >>> with connect("demo") as ws:
        ...     ws.query("Heartbeat | where Category == 'Azure Monitor Agent' | summarize Machines = dcount(Computer)")
           Machines
        0        39
        """
        return self._ask("", kql)

    def ask(self, name, **values):
        """Run a packaged query.

        Parameters
        ----------
        name : str
            Which query.
        **values
            One for each of its parameters.

        Returns
        -------
        pandas.DataFrame
            The columns that the query's head names.

        Raises
        ------
        AmakitError
            When a table that it reads is not there, or the query cannot be run.
        """
        wanted = queries.query(name)
        lacking = {}
        stand_in = next((key for key, (kind, _) in wanted.parameters.items() if kind == "table"), None)
        for reads, columns in wanted.reads.items():
            table = values.get(stand_in, reads)
            if table not in self.tables:
                raise AmakitError(f"{self.name} has no table {table}; it holds {', '.join(self.tables) or 'nothing'}")
            present = self._engine.columns(table)
            if self.kind == "kusto" and self.name.lower().startswith("/subscriptions/"):
                present = present | RECEIVED  # every table of Log Analytics has it, but hides it from its schema
            missing = {c: tables()[reads][c] for c in columns if c not in present}
            if missing:
                lacking[table] = missing
        frame = self._ask(name, queries.render(name, lacking, **values))
        return frame[list(wanted.returns)]

    def close(self):
        """Let go of files and connections."""
        self._engine.close()

    def _ask(self, name, text):
        begun = time.perf_counter()
        frame = self._engine.run(text)
        seconds = time.perf_counter() - begun
        size = int(frame.memory_usage(index=False).sum())
        self.log.append(Record(name, text, len(frame), size, round(seconds, 3), _digest(frame)))
        return frame


def _digest(frame):
    """Hash a frame so that engines which run in parallel give one hash: rows in any order, six digits of a sum."""
    import hashlib

    import pandas as pd

    told = {"object": lambda column: column.map(repr), "float64": lambda column: column.map("{:.6g}".format)}
    plain = frame.apply(lambda column: told.get(str(column.dtype), lambda same: same)(column)) if len(frame) else frame
    rows = pd.util.hash_pandas_object(plain, index=False).sort_values().to_numpy()
    return hashlib.sha256("\n".join(frame.columns).encode() + rows.tobytes()).hexdigest()


def shown(workspace):
    """Name a workspace as others may see it: no folder of this machine, no name or password in an address.

    Parameters
    ----------
    workspace : str
        See `amakit.connect`.

    Returns
    -------
    str

    Examples
    --------
    >>> shown("/home/jane/exports/logs"), shown("https://jane:secret@host/Db?token=1"), shown("demo")
    ('logs', 'https://host/Db', 'demo')
    """
    name = str(workspace)
    if "://" in name:
        address = urlsplit(name)
        return f"{address.scheme}://{address.netloc.rpartition('@')[2]}{address.path}"
    if name.lower().startswith("/subscriptions/") and not Path(name).exists():
        return name
    return Path(name).name or Path(name).resolve().name


def connect(workspace="demo"):
    """Open a workspace.

    Parameters
    ----------
    workspace : str or path-like
        ``demo``; a folder of exported tables; a ``.duckdb`` file; ``http://127.0.0.1:PORT/DATABASE`` or another
        Kusto endpoint; or the ARM id of a Log Analytics workspace.

    Returns
    -------
    Workspace

    Raises
    ------
    AmakitError
        When there is nothing there that can be read.

    Examples
    --------
    >>> connect("demo").tables[:3]
    ['AMAHealth', 'AppLog_CL', 'AzureActivity']
    >>> connect("nowhere")
    Traceback (most recent call last):
    amakit.errors.AmakitError: workspace 'nowhere' does not exist; give a folder of exported tables, a .duckdb \
file, a Kusto endpoint, the ARM id of a workspace, or 'demo'
    """
    name = str(workspace)
    if name == "demo":
        from amakit import demo
        from amakit.local import LocalEngine

        return Workspace(name, "demo", LocalEngine(demo.cached()), synthetic=True)
    if "://" in name or (name.lower().startswith("/subscriptions/") and not Path(name).exists()):
        from amakit.azure import KustoEngine

        return Workspace(name, "kusto", KustoEngine(name))
    path = Path(name).expanduser()
    if path.is_dir() or (path.is_file() and path.suffix.lower() in (".duckdb", ".db")):
        from amakit.local import LocalEngine

        kind = "folder" if path.is_dir() else "duckdb"
        return Workspace(name, kind, LocalEngine(path), synthetic=(path / "_demo.json").exists())
    if path.is_file():
        raise AmakitError(f"workspace {name!r} is a single file; give the folder that it lies in, or a .duckdb file")
    raise AmakitError(
        f"workspace {name!r} does not exist; give a folder of exported tables, a .duckdb file, a Kusto endpoint, "
        "the ARM id of a workspace, or 'demo'"
    )
