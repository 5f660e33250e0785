"""Many pages: one for each machine or stretch of time, and the page that leads to them."""

import json
import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pandas as pd

from amakit.errors import AmakitError, UsageError
from amakit.fetch import coverage, heartbeats
from amakit.intervals import iso, window
from amakit.output import staged
from amakit.report.execute import displaced
from amakit.report.pages import index, title
from amakit.report.parameters import check, find
from amakit.report.run import report, translated
from amakit.report.tables import page_texts
from amakit.schemas import machine_labels
from amakit.share.pseudonyms import owner_key, pseudonym
from amakit.source.workspace import connect, shown

EACH = ("machine", "day", "week")
#: Grows when a key of ``index.json`` changes its meaning or goes away.
SCHEMA = "amakit.index/1"
#: What Windows keeps for itself, whatever the ending.
_RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))}
_LONGEST = 60


@dataclass(frozen=True)
class Part:
    """One page of many.

    Attributes
    ----------
    name : str
        What it is about, as it is told.
    machines : tuple of str
        What is asked for; empty for all.
    start, end : str
        The window; empty for everything that a folder holds.
    """

    name: str
    machines: tuple
    start: str
    end: str


def reports(
    notebook: str,
    workspace: str = "demo",
    start: str = "",
    end: str = "",
    machines: Iterable[str] = (),
    out: str | Path = ".",
    to: Iterable[str] = ("html",),
    timezone: str = "UTC",
    language: str = "en",
    extra: dict[str, str] | None = None,
    anonymise: bool = False,
    key: str | Path | None = None,
    each: str = "machine",
    tell: Callable[[str], object] | None = None,
) -> list[Path]:
    """Write one page for each machine, day or week, each into a folder of its own, and the page that leads to them.

    One that fails does not stop the others.  Each runs in a kernel of its own, so what one took is given back
    before the next begins.

    Parameters
    ----------
    notebook, workspace, start, end, machines, out, to, timezone, language, extra, anonymise, key
        See `amakit.report.run.report`.
    each : {'machine', 'day', 'week'}
        Machines are those asked for, or all of the window; days and weeks, which begin on Monday, are those of
        ``timezone``.
    tell : callable, optional
        Called with a line of text before each page.

    Returns
    -------
    list of pathlib.Path
        ``index.html``, ``index.json``, and the first form of each page.

    Raises
    ------
    UsageError
        When a parameter is unknown or unusable; then nothing runs.
    AmakitError
        When pages failed, after all others were written.
    """
    _, to, given = check(notebook, start, end, to, timezone, language, extra, anonymise)
    anonymise = given.get("anonymise", False)
    secret = owner_key(key) if anonymise else None
    parts = _parts(workspace, start, end, machines, timezone, each, secret)
    entries, failures = [], []
    for number, (folder, part) in enumerate(zip(folders([p.name for p in parts]), parts, strict=True), 1):
        if tell:
            tell(f"{number}/{len(parts)} {part.name}")
        entry = {"name": part.name, "folder": folder, "start": part.start, "end": part.end,
                 "sentence": "", "failed": None, "files": {}}  # fmt: skip
        before = _written(Path(out) / folder)
        try:
            report(notebook, workspace, part.start, part.end, part.machines, Path(out) / folder, to, timezone, language,
                   extra, anonymise=anonymise, key=key)  # fmt: skip
        except AmakitError as error:
            failures.append(f"{part.name}: {error}")
            places = {str(out): ".", str(workspace): shown(workspace), str(Path.home()): "~"}
            entry["failed"] = (
                page_texts(language)["told to the terminal"] if anonymise else displaced(str(error), places)
            )
        entries.append(entry | _made(Path(out), folder, Path(notebook).stem, to, before))
    _write_index(entries, Path(out), notebook, shown(workspace), timezone, language, each, secret)
    if failures:
        raise AmakitError(
            f"{len(failures)} of {len(parts)} pages failed, the others are in {out}:\n  " + "\n  ".join(failures)
        )
    made = [Path(out) / file for entry in entries for file in list(entry["files"].values())[:1]]
    return [Path(out) / "index.html", Path(out) / "index.json", *made]


def folders(names: Iterable[str]) -> list[str]:
    r"""Give each name a folder: readable, unlike all others whatever the case, and good on Windows too.

    Parameters
    ----------
    names : iterable of str

    Returns
    -------
    list of str

    Examples
    --------
    >>> folders(["web-01", "WEB-01", "con", "../etc/passwd", "a" * 500, "\u202e"])[:4]
    ['web-01', 'WEB-01-2', 'con-', 'etc-passwd']
    """
    taken, found = {"index.html", "index.json"}, []
    for name in names:
        plain = re.sub(r"[^\w.-]+", "-", unicodedata.normalize("NFC", name))[:_LONGEST].strip("-. ") or "page"
        base = plain if plain.split(".")[0].casefold() not in _RESERVED else re.sub(r"^([^.]+)", r"\1-", plain)
        number, folder = 1, base
        while folder.casefold() in taken:
            number += 1
            folder = f"{base}-{number}"
        taken.add(folder.casefold())
        found.append(folder)
    return found


def _parts(workspace, start, end, machines, timezone, each, secret):
    """Give the pages to be made, those of machines in the order of what they are called."""
    if each not in EACH:
        raise UsageError(f"each {each!r} is not known; it is {', '.join(EACH[:-1])} or {EACH[-1]}")
    if each == "machine" and machines:
        parts = [Part(_called(name, secret), (name,), str(start), str(end)) for name in dict.fromkeys(machines)]
        # with pseudonyms the order that was given would tell which is which
        return sorted(parts, key=lambda part: part.name) if secret else parts
    with connect(workspace) as ws:
        span = None if start and end else coverage.data_span(ws)
        asked = window(start or span.start, end or span.end)
        if each == "machine":
            return _machines(heartbeats.everybody(heartbeats.fleet(ws, asked)), str(start), str(end), secret)
    return [
        Part(name, tuple(machines), iso(first), iso(last)) for name, first, last in _stretches(asked, timezone, each)
    ]


def _called(name, secret):
    return pseudonym(secret, "resource" if "/" in name else "machine", name) if secret else name


def _machines(fleet, start, end, secret):
    """Ask for each machine by its name; by its resource id where two share the name."""
    twins = fleet["computer"].duplicated(keep=False) | (fleet["computer"] == "")
    asked = fleet["computer"].where(~twins, fleet["resource_id"])
    told = fleet.assign(**{column: fleet[column].map(lambda name: _called(name, secret)) for column in fleet})
    labels = machine_labels(told).where(told["computer"] != "", told["resource_id"])
    pairs = sorted(set(zip(labels, asked, strict=True)))
    return [Part(label, (one,), start, end) for label, one in pairs]


def _stretches(asked, timezone, each):
    """Cut a window at the midnights of a zone, or at those of its Mondays."""
    first, last = (moment.tz_convert(timezone).tz_localize(None) for moment in (asked.start, asked.end))
    days = pd.date_range(first.normalize(), last, freq="D" if each == "day" else "W-MON")
    cuts = days.tz_localize(timezone, nonexistent="shift_forward", ambiguous=True).tz_convert("UTC")
    cuts = [asked.start, *(cut for cut in cuts if asked.start < cut < asked.end), asked.end]
    for begins, ends in pairwise(cuts):
        day = begins.tz_convert(timezone)
        year, week, _ = day.isocalendar()
        yield f"{day:%Y-%m-%d}" if each == "day" else f"{year}-W{week:02}", begins, ends


def _written(folder):
    return {path: path.stat().st_mtime_ns for path in folder.iterdir()} if folder.is_dir() else {}


def _made(out, folder, name, to, before):
    """List the files of a page that this run wrote, and the sentence that its facts begin with."""
    new = {path.name for path, when in _written(out / folder).items() if before.get(path) != when}
    if not new and (out / folder).is_dir() and not any((out / folder).iterdir()):
        (out / folder).rmdir()  # it would look as if something were in it
    files = {form: f"{folder}/{name}.{form}" for form in to if f"{name}.{form}" in new}
    facts = json.loads((out / folder / "facts.json").read_text(encoding="utf-8")) if "facts.json" in new else {}
    return {"files": files, "sentence": facts.get("sentence", "")}


def _write_index(entries, out, notebook, workspace, timezone, language, each, secret):
    import nbformat

    book = translated(nbformat.read(find(notebook), as_version=4), language)
    workspace = pseudonym(secret, "workspace", workspace) if secret else workspace
    about = {"notebook": Path(notebook).stem, "workspace": workspace, "timezone": timezone, "each": each}
    told = {"schema": SCHEMA} | about | {"language": language, "pages": entries}
    with staged(out) as stage:
        (stage / "index.html").write_text(
            index(entries, about | {"title": title(book)}, language), encoding="utf-8", newline="\n"
        )
        (stage / "index.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8", newline="\n")
