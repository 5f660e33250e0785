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

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

#: How the names of folders begin that last as long as a run, and seconds after which one is left for sure.
_PREFIX, _DAY = ".amakit-", 86_400


class temporary_folder:
    """A folder for this run alone, which goes with it; what killed runs left in the same place goes as it is made.

    It is locked while its run lives, also where that is killed: so the next one knows which folder is nobody's.

    Parameters
    ----------
    home : path-like, optional
        Where it is made; the temporary directory without.  Made if it is not there, and after an error taken away
        again with whatever else was made for it and is empty.

    Raises
    ------
    AmakitError
        When nothing can be written there.

    Examples
    --------
    >>> with temporary_folder() as folder:
    ...     folder.is_dir()
    True
    >>> folder.exists()
    False
    """

    def __init__(self, home: str | Path | None = None) -> None:
        self._home, self._made = home, []

    def __enter__(self) -> Path:
        try:
            return self._enter(Path(self._home or tempfile.gettempdir()))
        except OSError as error:
            where, way = (self._home, "choose") if self._home else ("the temporary directory", "name in TMPDIR")
            raise AmakitError(f"nothing can be written to {where}: {error.strerror}; {way} another folder") from error

    def _enter(self, home):
        self._made = [folder for folder in (home, *home.parents) if not folder.exists()]
        home.mkdir(parents=True, exist_ok=True)
        for left in home.glob(f"{_PREFIX}*"):
            _remove_left(left)
        while True:
            self.path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=home))
            self._lock = _locked(self.path)
            if self.path.exists():  # else another run was quicker to lock it, took it for left, and took it away
                return self.path

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)
        with contextlib.suppress(OSError):  # something may have been left there on purpose
            for folder in self._made if kind is not None else ():
                folder.rmdir()


def _locked(folder, wait=True):
    """Lock a folder until its handle is closed, or this process ends; None where folders cannot be locked."""
    if fcntl is None:
        return None
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError as error:
        os.close(handle)
        if isinstance(error, BlockingIOError):
            raise
        return None  # a drive of the network
    return handle


def _remove_left(folder):
    """Take away a folder of a run that was killed; where no lock tells, a day later."""
    with contextlib.suppress(OSError):
        if folder.is_symlink() or not folder.is_dir() or not is_own(folder):
            return
        lock = _locked(folder, wait=False)
        if lock is not None or time.time() - folder.stat().st_mtime > _DAY:
            shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)


class staged(temporary_folder):
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
        super().__init__(folder)
        self._folder = Path(folder)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            super().__exit__(kind, error, trace)
            own = error.filename is None or str(error.filename).startswith(str(self.path))
            raise AmakitError(
                f"writing to {self._folder if own else error.filename} failed: {error.strerror or error}; make room "
                "there or choose another folder"
            ) from error
        try:
            if kind is None:
                for path in sorted(self.path.iterdir()):
                    os.replace(path, self._folder / path.name)  # noqa: PTH105 - replaces on Windows too
        except OSError as failed:
            raise AmakitError(
                f"{self._folder / path.name} cannot be replaced: {failed.strerror}; close what has it open"
            ) from failed
        finally:
            super().__exit__(kind, error, trace)


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
    return home.resolve(), Path(tempfile.gettempdir()) / f"amakit-{getattr(os, 'getuid', int)()}"


def make_own(folder: Path) -> bool:
    """Make a folder where there is none yet; tell whether nobody else can have put something there."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return is_own(folder)


def is_own(path: Path) -> bool:
    """Tell whether a file or folder is this user's, and not open to everybody."""
    if not hasattr(os, "getuid"):
        return True  # on Windows these folders lie below the user's own, which others cannot write to
    about = path.lstat()  # a link, whose mode is open to everybody, may lead to what somebody else has written
    return about.st_uid == os.getuid() and not about.st_mode & stat.S_IWOTH
