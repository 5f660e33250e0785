"""The releases of the agent that are known, and where the versions that report stand among them.

They are in ``releases.csv``.  To add some for good, add rows there; to add or correct some for yourself, write a file
with the same columns and give it as ``--releases FILE`` or in ``AMAKIT_RELEASES``: its rows replace those of the same
system and version, and the others stay.

=================  ===================================================================================================
column             what it holds
=================  ===================================================================================================
os_type            ``Windows`` or ``Linux``: two product lines, whose equal numbers mean different code
version            two to four numbers with points, as ``1.38.1``; missing parts are 0
released_earliest  a month ``2025-10``, a day ``2025-03-11``, or an instant ``2025-03-11T00:00:00Z``
released_latest    the same; a month or a day belongs to the interval whole, an instant ends it
known_bad          ``yes`` or ``no``: whether Microsoft said not to use it; ``no`` where it is left out
note               what it changes about how a gap looks, or about who gets it; may be left out
source             where that is written; may be left out
=================  ===================================================================================================

Up to October 2025 the dates are those of Microsoft's page, which prints months and is edited when somebody gets to it:
a version may have been there somewhat earlier, and reaches a region weeks later.  Later versions are those that were
seen elsewhere in public, mostly with months between the two dates; there may be others between them.
"""

import csv
import os
import re
from importlib import resources
from pathlib import Path
from typing import Protocol

import pandas as pd

from amakit.errors import AmakitError, nearest
from amakit.find.versions import version_key
from amakit.schemas import frame_of

#: What `known` gives, with its KQL types.
COLUMNS = {
    "os_type": "string", "version": "string", "released_earliest": "datetime", "released_latest": "datetime",
    "known_bad": "bool", "note": "string", "source": "string",
}  # fmt: skip
#: Where a version stands among the known ones, by the word that `seen` has for it.
STANDINGS = {
    "listed": "is in the list",
    "between": "is not in the list, which is normal: the list is never complete",
    "newer": "is newer than every version in the list, which is normal: it came out after the list was made",
    "older": "is older than every version in the list",
    "unreadable": "is no version of the agent for Windows or Linux that can be read",
}

_NEEDED = list(COLUMNS)[:4]
_SYSTEMS = {"windows": "Windows", "linux": "Linux"}
_VERSION = re.compile(r"\d{1,8}(\.\d{1,8}){1,3}", re.ASCII)
_MONTH = re.compile(r"\d{4}-\d\d", re.ASCII)
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)?", re.ASCII)


def known(extra: str | Path | None = None) -> pd.DataFrame:
    """Give the releases of the agent that are known.

    Parameters
    ----------
    extra : path-like, optional
        A file of the user's own, laid over the list; else the one that ``AMAKIT_RELEASES`` names, if it does.

    Returns
    -------
    pandas.DataFrame
        os_type, version, released_earliest and released_latest (it came out in that half-open interval), known_bad,
        note, source; by system and, within it, in the order of the versions.

    Raises
    ------
    AmakitError
        When a row of a file is not as it must be.

    Examples
    --------
    >>> found = known()
    >>> found.groupby("os_type").size().to_dict()
    {'Linux': 50, 'Windows': 49}
    >>> found[found["known_bad"]]["version"].tolist()
    ['1.10.7', '1.15.1', '1.25.2', '1.1.3.1', '1.1.5.0', '1.25.0']
    """
    text = resources.files("amakit").joinpath("study/rollout/releases.csv").read_text(encoding="utf-8")
    found = _read("releases.csv", text)
    extra = extra or os.environ.get("AMAKIT_RELEASES")
    if extra:
        found |= _read(extra, _text(extra))
    rows = [found[key] for key in sorted(found)]
    return frame_of({name: [row[name] for row in rows] for name in COLUMNS}, COLUMNS)


def listed(versions: pd.DataFrame, releases: pd.DataFrame) -> pd.Series:
    """Tell which versions are among the known ones; 1.34.5 and 1.34.5.0 are the same.

    Parameters
    ----------
    versions : pandas.DataFrame
        Has os_type and version.
    releases : pandas.DataFrame
        As `known` gives it.

    Returns
    -------
    pandas.Series of bool
        On the index of ``versions``.

    Examples
    --------
    >>> listed(pd.DataFrame({"os_type": "Linux", "version": ["1.34.5.0", "1.34.6"]}), known()).tolist()
    [True, False]
    """
    there = set(_keys(releases))
    return pd.Series([key in there for key in _keys(versions)], index=versions.index, dtype="bool")


class _Analysis(Protocol):
    """What is read of an analysis, whose room lies above."""

    @property
    def machines(self) -> pd.DataFrame: ...


def seen(versions: pd.DataFrame | _Analysis, releases: pd.DataFrame) -> pd.DataFrame:
    """Say where versions that report stand among the known ones.

    Parameters
    ----------
    versions : amakit.analysis.Analysis or pandas.DataFrame
        A frame has os_type and version; of an analysis its machines are taken.
    releases : pandas.DataFrame
        As `known` gives it.

    Returns
    -------
    pandas.DataFrame
        One row for each system and version as they are written, in their order: os_type, version, standing (a key of
        `STANDINGS`), known_bad, released_earliest, released_latest, behind, newest, remark.  ``newest`` is the newest
        version of its line that is not known to be bad.  ``behind`` counts the releases of its line that came after it:
        builds with the same ``released_earliest`` are one release, and bad builds are none.

    Examples
    --------
    >>> versions = pd.DataFrame({"os_type": "Linux", "version": ["1.35.1", "1.38.1", "1.38.7", "1.35.1"]})
    >>> seen(versions, known())[["version", "standing", "behind"]]
      version standing  behind
    0  1.35.1   listed       6
    1  1.38.1   listed       2
    2  1.38.7  between       2
    """
    frame = getattr(versions, "machines", versions)[["os_type", "version"]].drop_duplicates()  # type: ignore[index]
    frame = frame[frame["version"] != ""]  # of a machine that never said
    # 1.38 and 1.38.0 are one version, and yet each machine is found by what it says
    keys = sorted(zip(_keys(frame), frame.itertuples(index=False, name=None), strict=True))
    by_key = dict(zip(_keys(releases), releases.itertuples(index=False), strict=True))
    rows = [_standing(key, *told, by_key) for key, told in keys]  # type: ignore[call-arg]
    types = {
        "os_type": "string",
        "version": "string",
        "standing": "string",
        "known_bad": "bool",
        "released_earliest": "datetime",
        "released_latest": "datetime",
        "behind": "long",
        "newest": "string",
        "remark": "string",
    }
    return frame_of({name: [row.get(name) for row in rows] for name in types}, types)


def _standing(key, os_type, version, by_key):
    system, number = key
    line = [each for each in sorted(by_key) if each[0] == system]
    row = {"os_type": os_type, "version": version, "newest": ""}
    if not line or not number:
        standing = "unreadable"
    else:
        good = [each for each in line if not by_key[each].known_bad] or line
        own = by_key.get(key)
        later = {by_key[each].released_earliest for each in good if each > key}
        row |= {"behind": len(later - {own.released_earliest} if own else later), "newest": by_key[good[-1]].version}
        if own:
            row |= {name: getattr(own, name) for name in ("known_bad", "released_earliest", "released_latest")}
        standing = "listed" if own else "older" if key < line[0] else "newer" if key > line[-1] else "between"
    behind, newest = row.get("behind"), row["newest"]
    remark = f"{os_type} {version} {STANDINGS[standing]}".strip()
    if row.get("known_bad"):
        remark += " as one that is not to be used"
    if behind:
        remark += f"; {behind} release{'s' * (behind > 1)} behind {newest}"
    return row | {"standing": standing, "remark": remark}


def _keys(frame):
    return [
        (str(os_type).lower(), version_key(str(version)))
        for os_type, version in zip(frame["os_type"], frame["version"], strict=True)
    ]


# -- files ------------------------------------------------------------------------------------------------


def _text(path):
    try:
        return Path(path).expanduser().read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise AmakitError(f"{path} cannot be read as text: {error}; save it as CSV in UTF-8") from error
    except OSError as error:
        raise AmakitError(
            f"the releases in {path} cannot be read: {error.strerror}; check --releases and AMAKIT_RELEASES"
        ) from error


def _read(path, text):
    """Read rows by system and version; the first that is not as it must be stops."""
    reader = csv.reader(text.splitlines(keepends=True), strict=True)
    found, lines = {}, {}
    try:
        names = _header(path, [name.strip() for name in next(reader, [])])
        for cells in reader:
            where = f"{path}, line {reader.line_num}"
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(names):
                raise AmakitError(
                    f"{where}: {len(cells)} fields where the header has {len(names)}; a note with commas needs quotes, "
                    "so mend that row"
                )
            row = _row(where, dict(zip(names, map(str.strip, cells), strict=True)))
            key = (row["os_type"].lower(), version_key(row["version"]))
            if key in found:
                raise AmakitError(
                    f"{where}: {row['os_type']} {row['version']!r} stands in line {lines[key]} already as "
                    f"{found[key]['version']!r}, and every version may stand once; take out one of the two rows"
                )
            found[key], lines[key] = row, reader.line_num
    except csv.Error as error:
        raise AmakitError(f"{path}, line {reader.line_num}: broken CSV ({error}); mend that row") from error
    return found


def _header(path, names):
    columns = ", ".join(COLUMNS)
    for name in names:
        if name not in COLUMNS:
            raise AmakitError(
                f"{path}, line 1: there is no column {name!r}, {nearest(name, COLUMNS)}; the columns are {columns}"
            )
        if names.count(name) > 1:
            raise AmakitError(f"{path}, line 1: column {name!r} stands there twice; take out one of the two")
    for name in _NEEDED:
        if name not in names:
            raise AmakitError(f"{path}, line 1: column {name!r} is missing; the columns are {columns}, so add it")
    return names


def _row(where, row):
    system = _SYSTEMS.get(row["os_type"].lower())
    if system is None:
        raise AmakitError(f"{where}: os_type {row['os_type']!r} is not known; it is Windows or Linux, so mend that row")
    if not _VERSION.fullmatch(row["version"]):
        raise AmakitError(
            f"{where}: version {row['version']!r} cannot be read; it is two to four numbers with points such as "
            "1.38.1, so mend that row"
        )
    earliest, _ = _date(where, "released_earliest", row["released_earliest"])
    _, latest = _date(where, "released_latest", row["released_latest"])
    if latest <= earliest:
        raise AmakitError(
            f"{where}: released_latest {row['released_latest']!r} is not after released_earliest "
            f"{row['released_earliest']!r}, and an interval must not end before it begins; mend that row"
        )
    bad = row.get("known_bad", "").lower() or "no"
    if bad not in ("yes", "no", "true", "false"):
        raise AmakitError(f"{where}: known_bad {row['known_bad']!r} is neither yes nor no; mend that row")
    return (
        {"note": "", "source": ""}
        | row
        | {
            "os_type": system,
            "released_earliest": earliest,
            "released_latest": latest,
            "known_bad": bad in ("yes", "true"),
        }
    )


def _date(where, column, text):
    """Give the first instant of a date, and the first one after it."""
    try:
        if _MONTH.fullmatch(text):
            month = pd.Timestamp(f"{text}-01", tz="UTC")
            return month, month + pd.DateOffset(months=1)
        if _DAY.fullmatch(text):
            day = pd.Timestamp(text, tz="UTC")
            return day, day + pd.Timedelta(days=1)
        if _INSTANT.fullmatch(text):
            instant = pd.Timestamp(text)
            instant = instant.tz_localize("UTC") if instant.tzinfo is None else instant.tz_convert("UTC")
            return instant, instant
    except ValueError:  # such as the 30th of February
        pass
    raise AmakitError(
        f"{where}: {column} {text!r} is no date; write a month as 2025-10 or a day as 2025-03-11, so mend that row"
    )
