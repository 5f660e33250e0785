"""Analyses kept between runs: what was found in data that has not changed is not worked out again."""

import contextlib
import functools
import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pandas as pd

from amakit.errors import AmakitError
from amakit.intervals import iso
from amakit.output import cache_homes, is_own, make_own, save_frame, temporary_folder
from amakit.schemas import frame_of

#: Bytes that all of them may take; those that were used last stay.
LIMIT = 500_000_000
#: Days after which one that nobody used goes, as it holds names of machines.
DAYS = 30
_LOG = logging.getLogger("amakit")
#: The KQL type of what each dtype holds; a frame with another is not kept.
_TYPES = {
    "str": "string",
    "float64": "real",
    "int64": "long",
    "Int64": "long",
    "bool": "bool",
    "boolean": "bool",
    "datetime64[us, UTC]": "datetime",
}
_FOLDER, _ABOUT = "analyses", "about.json"
#: What goes wrong with an entry that is not as it was written.
_BROKEN = (OSError, ValueError, LookupError, TypeError, AttributeError, AmakitError)


def load(key: Mapping) -> tuple[dict[str, pd.DataFrame], dict] | None:
    """Take what an earlier run kept.

    Parameters
    ----------
    key : dict
        Whatever the frames depend on, as JSON can hold it.

    Returns
    -------
    tuple of (dict of str to pandas.DataFrame, dict), or None
        The frames by name, and what was kept beside them with ``kept``, the instant of that.  None where there is
        nothing, or something that is not whole, of another user, or of another key: a warning names it then.
    """
    for home in cache_homes():
        folder = _folder(home, key)
        if not os.path.isdir(folder):  # noqa: PTH112 - of a home that is closed to this user, Path.is_dir() raises
            continue
        try:
            about = _about(folder)
            if about["key"] != json.loads(json.dumps(key)):
                raise ValueError("it is of another key")
            frames = _read(folder, about["kinds"])
            os.utime(folder / _ABOUT)
        except _BROKEN as error:
            _LOG.warning("%s is left alone: %s", folder, error)
        else:
            return frames, about["beside"] | {"kept": about["made"]}
    return None


def keep(key: Mapping, frames: Mapping[str, pd.DataFrame], beside: Mapping) -> None:
    """Keep frames for the next run, whole or not at all; where nothing can be written, nothing is.

    Parameters
    ----------
    key : dict
        Whatever the frames depend on, as JSON can hold it.
    frames : dict of str to pandas.DataFrame
        A frame that does not come back from a file as it was is a reason to keep none.
    beside : dict
        What JSON can hold, to be given back beside them.
    """
    for home in cache_homes():
        with contextlib.suppress(*_BROKEN):
            folder = _folder(home, key)
            home.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not make_own(folder.parent):
                continue
            with temporary_folder(folder.parent) as made:
                stage = made / folder.name
                stage.mkdir()
                _write(stage, key, frames, beside)
                shutil.rmtree(folder, ignore_errors=True)
                stage.rename(folder)
            _bound(folder.parent)
            return


def entries() -> pd.DataFrame:
    """List what is kept.

    Returns
    -------
    pandas.DataFrame
        workspace, start, end (as they were asked for; empty for all that files hold), machines (how many were asked
        for; 0 for all), made and used (UTC), bytes, and state: empty, or why it is left alone.
    """
    rows = []
    for folder in _folders():
        row: dict = {"bytes": _size(folder), "used": pd.Timestamp(_used(folder), unit="s", tz="UTC").floor("s")}
        try:
            about = _about(folder)
            key = about["key"]
            row |= {name: key.get(name, "") for name in ("workspace", "start", "end")}
            row |= {"machines": len(key.get("machines", [])), "made": pd.Timestamp(about["made"]), "state": ""}
        except _BROKEN as error:
            row |= {"state": str(error)}
        rows.append(row)
    columns = ["workspace", "start", "end", "machines", "made", "used", "bytes", "state"]
    return pd.DataFrame(rows, columns=columns).sort_values("used", ascending=False, ignore_index=True)


@functools.cache
def code() -> str:
    """Give a digest of what finds out: a change of the kit or of what it computes with makes all anew."""
    from importlib.metadata import version

    package = Path(__file__).parent.parent
    # also the words, in which the evidence of an outage is kept
    files = sorted(path for path in package.rglob("*") if path.suffix in (".py", ".kql", ".template", ".json", ".toml"))
    text = b"".join(path.read_bytes() for path in files)
    used = [version(name) for name in ("duckdb", "duckdb-kql", "numpy", "pandas", "scipy")]
    return hashlib.sha256(text + "".join(used).encode()).hexdigest()


def clear() -> tuple[int, int]:
    """Take away all that is kept; give the number of analyses and of bytes."""
    folders = list(_folders())
    size = sum(map(_size, folders))
    for folder in folders:
        shutil.rmtree(folder)
    return len(folders), size


def _folder(home, key):
    return home / _FOLDER / hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:32]


def _folders() -> Iterator[Path]:
    for home in cache_homes():
        with contextlib.suppress(OSError):
            if is_own(home) and is_own(home / _FOLDER):  # else a link of somebody else's could have anything cleared
                yield from (f for f in sorted((home / _FOLDER).iterdir()) if f.is_dir() and not f.name.startswith("."))


def _about(folder):
    """Read what stands beside the frames, of a folder that nobody else wrote and whose files have their length."""
    if not all(map(is_own, [folder.parent, folder, *folder.iterdir()])):
        raise ValueError("it belongs to somebody else, or everybody may write to it")
    about = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
    if {path.name: path.stat().st_size for path in folder.glob("*.parquet")} != about["bytes"]:
        raise ValueError("it is not whole")
    return about


def _write(stage, key, frames, beside):
    for name, frame in frames.items():
        save_frame(frame, stage / f"{name}.parquet")
    kinds = {name: {column: str(kind) for column, kind in frame.dtypes.items()} for name, frame in frames.items()}
    for name, frame in _read(stage, kinds).items():
        if not frame.equals(frames[name]):
            raise ValueError(f"{name} does not come back as it was")
    about: dict = {
        "key": key,
        "made": iso(pd.Timestamp.now("UTC").floor("s")),
        "kinds": kinds,
        "bytes": {path.name: path.stat().st_size for path in stage.iterdir()},
        "beside": beside,
    }
    (stage / _ABOUT).write_text(json.dumps(about), encoding="utf-8")


def _read(folder, kinds):
    """Read frames, each from the file of its name."""
    import duckdb

    off: dict = {"threads": 1, "autoinstall_known_extensions": False, "autoload_known_extensions": False}
    frames = {}
    with duckdb.connect(config=off) as connection:
        connection.execute("SET enable_progress_bar = false")
        connection.execute("SET TimeZone = 'UTC'")
        for name, own in kinds.items():
            path = folder / f"{name}.parquet"
            try:
                columns = connection.read_parquet(str(path)).fetchnumpy()
            except duckdb.Error as error:
                raise ValueError(f"{path.name}: {str(error).splitlines()[0]}") from error
            frames[name] = frame_of(columns, {column: _TYPES[kind] for column, kind in own.items()}).astype(own)
    return frames


def _bound(parent):
    """Let the oldest go until the rest fits, and what nobody used for a month."""
    left = LIMIT
    for folder in sorted(parent.iterdir(), key=_used, reverse=True):
        if folder.name.startswith("."):
            continue  # on its way
        left -= _size(folder)
        if left < 0 or time.time() - _used(folder) > DAYS * 86_400:
            shutil.rmtree(folder, ignore_errors=True)


def _used(folder):
    about = folder / _ABOUT
    return about.stat().st_mtime if about.exists() else 0.0


def _size(folder):
    return sum(path.stat().st_size for path in folder.iterdir())
