"""What a run records of a workspace: its name as others may see it, and each query with its cost and its hash."""

import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pandas as pd


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
    retries : int
        Attempts before it that gave no whole answer.
    sha256 : str
        Of the answer, whatever order its rows came in: the same data gives the same hash.
    """

    name: str
    text: str
    rows: int
    bytes: int
    seconds: float
    retries: int = 0
    sha256: str = ""


def record_of(name: str, text: str, frame: pd.DataFrame, begun: float, retries: int) -> Record:
    """Record a query that was begun at a reading of `time.perf_counter`, and its answer."""
    size = int(frame.memory_usage(index=False).sum())
    return Record(name, text, len(frame), size, round(time.perf_counter() - begun, 3), retries, _digest(frame))


def _digest(frame):
    """Hash a frame so that engines which run in parallel give one hash: rows in any order, six digits of a sum."""
    import hashlib

    told = {"object": lambda column: column.map(repr), "float64": lambda column: column.map("{:.6g}".format)}
    plain = frame.apply(lambda column: told.get(str(column.dtype), lambda same: same)(column)) if len(frame) else frame
    rows = pd.util.hash_pandas_object(plain, index=False).sort_values().to_numpy()
    return hashlib.sha256("\n".join(frame.columns).encode() + rows.tobytes()).hexdigest()


def shown(workspace: str | Path) -> str:
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
