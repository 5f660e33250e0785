"""What a run records of a workspace: its name as others may see it, and each query with its cost and its hash."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pandas as pd

if TYPE_CHECKING:
    from amakit.source.workspace import Workspace


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


def remote(workspace: str) -> bool:
    """Tell whether a name is that of a service."""
    return "://" in workspace or (workspace.lower().startswith("/subscriptions/") and not Path(workspace).exists())


def distinct(workspaces: Iterable[str | Path]) -> list[str]:
    """Give each of several workspaces once, however it is spelled.

    Examples
    --------
    >>> distinct(["demo", "/home/jane/logs/", "demo", "/home/jane/logs"])
    ['demo', '/home/jane/logs/']
    """
    found: dict[str, str] = {}
    for name in map(str, workspaces):
        place = name.lower().rstrip("/") if remote(name) else name
        found.setdefault(place if remote(name) or name == "demo" else str(Path(name).expanduser().resolve()), name)
    return list(found.values())


def shown(workspace: str | Path | Sequence[str | Path]) -> str:
    """Name a workspace as others may see it: no folder of this machine, no name or password in an address.

    Parameters
    ----------
    workspace : str, or sequence of str
        See `amakit.connect`; of several the `labels`.

    Returns
    -------
    str

    Examples
    --------
    >>> shown("/home/jane/exports/logs"), shown("https://jane:secret@host/Db?token=1"), shown("demo")
    ('logs', 'https://host/Db', 'demo')
    """
    if not isinstance(workspace, str | Path):
        names = distinct(workspace)
        return shown(names[0]) if len(names) == 1 else ", ".join(labels(names))
    name = str(workspace)
    if "://" in name:
        address = urlsplit(name)
        return f"{address.scheme}://{address.netloc.rpartition('@')[2]}{address.path}"
    if name.lower().startswith("/subscriptions/") and not Path(name).exists():
        return name
    return Path(name).name or Path(name).resolve().name


def labels(workspaces: Sequence[str | Path]) -> list[str]:
    """Give several workspaces names as others may see them: the last part of each, and more where that is not its own.

    Parameters
    ----------
    workspaces : sequence of str
        See `amakit.connect`.

    Returns
    -------
    list of str

    Examples
    --------
    >>> labels(["/home/jane/east/logs", "/home/jane/west/logs", "demo"])
    ['east/logs', 'west/logs', 'demo']
    """
    names = [str(name) if "://" not in str(name) else shown(name) for name in workspaces]
    whole = [name if remote(name) or name == "demo" else str(Path(name).expanduser().resolve()) for name in names]
    parts = [[part for part in name.replace("\\", "/").split("/") if part] for name in whole]
    tails = [["/".join(own[-n:]) for n in range(1, len(own) + 1)] for own in parts]
    others = [{tail for other, all_of in enumerate(tails) if other != n for tail in all_of} for n in range(len(tails))]
    return [next((t for t in own if t not in others[n]), own[-1]) for n, own in enumerate(tails)]


def told_name(workspace: "Workspace") -> str:
    """Name a workspace as others may see it; several are called so already."""
    return shown(workspace.name) if len(workspace.members) == 1 else workspace.name
