"""Files appear whole or not at all."""

import contextlib
import json
import os
import shutil
import stat
import tempfile
import time
from pathlib import Path
from typing import BinaryIO

import pandas as pd

from amakit.errors import AmakitError, UsageError
from amakit.intervals import isos


class staged:
    """Write files into a folder whole or not at all.

    Gives a temporary folder beside the target; what lies in it at the end is moved over, each file by one
    rename.  After an error nothing is.

    Parameters
    ----------
    folder : path-like
        The target, made if it is not there.

    Raises
    ------
    AmakitError
        When the target cannot be written.

    Examples
    --------
    >>> target = Path(tempfile.mkdtemp())
    >>> with staged(target / "out") as stage:
    ...     _ = (stage / "a.txt").write_text("whole")
    >>> [p.name for p in (target / "out").iterdir()]
    ['a.txt']
    """

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)

    def __enter__(self) -> Path:
        self._made = not self._folder.exists()
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._remove_debris()
            self._stage = Path(tempfile.mkdtemp(prefix=".amakit-", dir=self._folder))
        except OSError as error:
            raise AmakitError(
                f"nothing can be written to {self._folder}: {error.strerror}; choose another folder"
            ) from error
        return self._stage

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, OSError):
            self._clean(kind)
            raise AmakitError(
                f"writing to {self._folder} failed: {error.strerror or error}; make room there or choose another folder"
            ) from error
        try:
            if kind is None:
                for path in sorted(self._stage.iterdir()):
                    os.replace(path, self._folder / path.name)  # noqa: PTH105 - replaces on Windows too
        except OSError as failed:
            raise AmakitError(
                f"{self._folder / path.name} cannot be replaced: {failed.strerror}; close what has it open"
            ) from failed
        finally:
            self._clean(kind)

    def _clean(self, kind):
        shutil.rmtree(self._stage, ignore_errors=True)
        if kind is not None and self._made:
            with contextlib.suppress(OSError):  # something may have been left there on purpose
                self._folder.rmdir()

    def _remove_debris(self):
        """Take away what runs that were killed left there, a day ago or earlier: a younger one may go on."""
        for left in self._folder.glob(".amakit-*"):
            if left.is_dir() and not left.is_symlink() and time.time() - left.stat().st_mtime > 86400:
                shutil.rmtree(left, ignore_errors=True)


def check_writable(folder: str | Path) -> None:
    """Find out before the work, not after it, whether files can be put into a folder; nothing is left of the trial.

    Raises
    ------
    AmakitError
        When they cannot.

    Examples
    --------
    >>> target = Path(tempfile.mkdtemp()) / "out"
    >>> check_writable(target)
    >>> target.exists()
    False
    """
    with contextlib.suppress(GeneratorExit), staged(folder) as stage:
        (stage / "trial").write_bytes(b"\n")
        raise GeneratorExit  # as after an error: what was made goes


def save_frame(frame: pd.DataFrame, target: str | Path | BinaryIO) -> None:
    """Write a frame as CSV or Parquet, whole or not at all.

    Parameters
    ----------
    frame : pandas.DataFrame
    target : path-like or binary file
        ``.csv`` or ``.parquet``; an open file gets CSV.  In CSV times are ISO 8601 with ``Z``, dynamic values JSON.

    Raises
    ------
    UsageError
        When the name ends otherwise.
    AmakitError
        When the file cannot be written.
    """
    if hasattr(target, "write"):
        return _csv(frame, target)
    target = Path(target)
    if target.suffix not in (".csv", ".parquet"):
        raise UsageError(f"{target} must end in .csv or .parquet, which says what to write")
    with staged(target.parent) as stage:
        (_csv if target.suffix == ".csv" else _parquet)(frame, stage / target.name)
    return None


def _csv(frame, target):
    cells = {c: isos(frame[c]) for c in frame.select_dtypes("datetimetz")}
    cells |= {c: frame[c].map(_dynamic) for c in frame if frame[c].dtype == "object"}
    frame.assign(**cells).to_csv(target, index=False, lineterminator="\n")


def _dynamic(value):
    """Write a list or an object as JSON, whole; everything else is as it is."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")) if isinstance(value, list | dict) else value


def _parquet(frame, target):
    import duckdb

    with duckdb.connect(config={"threads": 1}) as connection:
        connection.execute("SET enable_progress_bar = false")
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("result", frame)
        try:
            connection.sql("FROM result").write_parquet(str(target))
        except duckdb.IOException as error:  # a full disk, mostly
            raise OSError(str(error).splitlines()[0]) from error


def cache_homes() -> tuple[Path, Path]:
    """Give the folders that things made once may be kept in: the user's own (or ``AMAKIT_CACHE``), and a spare one."""
    from platformdirs import user_cache_dir

    home = Path(os.environ.get("AMAKIT_CACHE") or user_cache_dir("amakit"))
    return home, Path(tempfile.gettempdir()) / f"amakit-{getattr(os, 'getuid', int)()}"


def make_own(folder: Path) -> bool:
    """Make a folder where there is none yet; tell whether nobody else can have put something there."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return is_own(folder)


def is_own(path: Path) -> bool:
    """Tell whether a file or folder is this user's, and not open to everybody."""
    if not hasattr(os, "getuid"):
        return True  # on Windows these folders lie below the user's own, which others cannot write to
    about = path.stat()
    return about.st_uid == os.getuid() and not about.st_mode & stat.S_IWOTH
