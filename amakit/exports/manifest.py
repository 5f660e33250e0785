"""A snapshot's own description: what it was taken of, and whether it is whole."""

import json
import os
from pathlib import Path

from amakit.errors import AmakitError
from amakit.exports.table_files import MANIFEST, PARTIAL, one_line
from amakit.intervals import instant


def read_manifest(folder: str | Path, name: str = MANIFEST) -> dict | None:
    """Read the manifest of a snapshot; None where there is none.

    Raises
    ------
    AmakitError
        When it is there, and broken.
    """
    path = Path(folder) / name
    try:
        # of a folder that is closed to this user Path.is_file() raises; who opens the folder tells of it
        found = json.loads(path.read_text(encoding="utf-8")) if os.path.isfile(path) else None  # noqa: PTH113
        if isinstance(found, dict) and "amakit_snapshot" in found:
            _look_through(found, {"planned"} if name == PARTIAL else {"machines", "taken", "synthetic"})
    except (OSError, ValueError, AttributeError, TypeError, RecursionError, AmakitError) as error:
        reason = one_line(error)
        raise AmakitError(f"{path} cannot be read: {reason}; copy the snapshot again, or take it anew") from error
    return found if isinstance(found, dict) and "amakit_snapshot" in found else None


def _look_through(found, needs):
    lacking = {"files", "start", "end", "workspace", *needs} - found.keys()
    if lacking or not all({"file", "bytes"} <= file.keys() for file in found["files"]):
        raise ValueError(f"it lacks {', '.join(sorted(lacking)) or 'what its files are'}")
    instant(found["end"])


def made_up(folder: str | Path) -> dict | None:
    """Read what a made-up fleet says of itself; None where the folder holds none.

    Raises
    ------
    AmakitError
        When it is there, and broken.
    """
    path = Path(folder) / "_demo.json"
    try:
        about = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
        if about is not None:
            instant(about["end"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError, AmakitError) as error:
        raise AmakitError(
            f"{path} is broken: {type(error).__name__} {one_line(error)}; take it away, or make the fleet again with "
            "`amakit demo`"
        ) from error
    return about


def snapshot_files(folder: str | Path) -> dict[str, int]:
    """Give the size of each file in the folder of a snapshot beside its manifest; hidden ones are nobody's."""
    paths = {p.relative_to(folder): p for p in Path(folder).rglob("*") if p.is_file()}
    held = {at.as_posix(): p for at, p in paths.items() if not any(part.startswith(".") for part in at.parts)}
    return {at: path.stat().st_size for at, path in held.items() if at not in (MANIFEST, PARTIAL)}


def whole_snapshot(folder: str | Path) -> dict | None:
    """Give the manifest of a snapshot with all its files; None for any other folder.

    Raises
    ------
    AmakitError
        When it is not finished, or its files are not those of the manifest: a part that is missing would look like
        an outage.
    """
    begun, taken = read_manifest(folder, PARTIAL), read_manifest(folder)
    if begun is not None:
        done = len(begun["files"])
        raise AmakitError(
            f"{folder} is a snapshot that was not finished ({done} of {begun['planned']} files, {begun['start']} to "
            f"{begun['end']} of {begun['workspace']}); run the same `amakit snapshot` again, it fetches what is missing"
        )
    if taken is None:
        return None
    wanted, held = {file["file"]: file["bytes"] for file in taken["files"]}, snapshot_files(folder)
    odd = sorted(wanted.items() ^ held.items())
    if odd:
        raise AmakitError(
            f"{folder} is not as the snapshot was taken: {odd[0][0]} is missing, changed or additional; `amakit check` "
            "lists all such files, and the same `amakit snapshot` again mends them"
        )
    return taken
