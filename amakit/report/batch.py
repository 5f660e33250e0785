"""Many pages: one for each machine or stretch of time, and the page that leads to them."""

import html
import json
import re
import unicodedata
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from urllib.parse import quote

import pandas as pd

from amakit import inventory
from amakit.charts.stills import drawing_thread
from amakit.errors import AmakitError, UsageError
from amakit.facts.situation import group_of
from amakit.fetch import heartbeats
from amakit.intervals import iso, window
from amakit.output import check_writable, staged
from amakit.prose.language import texts, visible
from amakit.recorded.horizon import data_span
from amakit.report.execute import displaced, kernel
from amakit.report.pages import file_of, for_script, title
from amakit.report.parameters import HELD
from amakit.report.request import Request, notebooks
from amakit.report.run import executed, places, translated
from amakit.report.tables import page_texts, script_words
from amakit.schemas import MACHINE, machine_labels
from amakit.share.key import owner_key
from amakit.share.pseudonyms import pseudonym
from amakit.source.records import shown

EACH = ("machine", "group", "day", "week", "region", "tag:NAME", "notebook")
#: Grows when a key of ``index.json`` changes its meaning or goes away.
SCHEMA = "amakit.index/1"
#: What Windows keeps for itself, whatever the ending.
_RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))}
_LONGEST = 60
#: Numbers of a page that give a day of the calendar its colour, the worst first; see `amakit.facts.counts.COUNTS`.
_STATUSES = ("down", "rolled_back", "seen")
_TEMPLATES = Path(__file__).parent / "page"


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
    notebook : str
        Empty for the one that is asked for.
    partial : bool
        Whether the window cuts off a part of the day or the week.
    """

    name: str
    machines: tuple
    start: str
    end: str
    notebook: str = ""
    partial: bool = False

    def of(self, request: Request) -> Request:
        """Give the request for this page."""
        notebook = self.notebook or request.notebook
        return replace(request, notebook=notebook, machines=self.machines, start=self.start, end=self.end)


def reports(
    request: Request, out: str | Path, each: str = "machine", tell: Callable[[str], object] | None = None
) -> list[Path]:
    """Write one page for each machine, group, day or week into a folder of its own, and the page that leads to them.

    One that fails does not stop the others.  The kit's own notebooks run in one kernel, one after the other, and those
    that ask for the same share an analysis; a notebook of somebody's own may change more than its names, and has a
    kernel and an analysis for each page.

    Parameters
    ----------
    request : Request
        What each page is to be; its machines and its window are cut into parts.
    out : path-like
        Folder for the index and the folders of the pages.
    each : {'machine', 'group', 'day', 'week', 'region', 'tag:NAME', 'notebook'}
        Machines are those asked for, or all of the window, and so are their resource groups; days and weeks, which
        begin on Monday, are those of the request's zone.  Regions and the values of a tag are those of the workspace's
        inventory.  ``notebook`` is each notebook of the kit, about the same
        machines and window, in the place of the one that is asked for.
    tell : callable, optional
        Called with a line of text before each page.

    Returns
    -------
    list of pathlib.Path
        ``index.html``, ``index.json``, and the first form of each page.

    Raises
    ------
    UsageError
        When ``each`` is none of these, or the window cannot be told; then nothing runs.
    AmakitError
        When pages failed, after all others were written.  Where all notebooks end in the same error, no page is there,
        and no index.
    """
    secret = owner_key(request.key) if request.anonymise else None
    check_writable(out)
    parts = _parts(request, each, secret)
    names = folders([part.notebook or part.name for part in parts])
    before = {folder: _written(Path(out) / folder) for folder in names}
    of_kit = each == "notebook" or request.path in notebooks().values()
    entries, failures = [], []
    errors = _pages(request, parts, names, out, of_kit, tell)
    if each == "notebook" and errors[0] and len(set(map(str, errors))) == 1:
        raise errors[0]  # all are about the same, of which none can tell anything
    for folder, part, error in zip(names, parts, errors, strict=True):
        entry = {
            "name": part.name,
            "folder": folder,
            "start": part.start,
            "end": part.end,
            "partial": part.partial,
            "counts": {},
            "sentence": "",
            "failed": None,
            "files": {},
        }
        if error is not None:
            failures.append(f"{part.name}: {error}")
            named = places(request.workspace, shown(request.workspace))
            entry["failed"] = (
                page_texts(request.language)["told to the terminal"]
                if secret
                else displaced(str(error), {str(out): ".", str(Path.home()): "~"} | named)
            )
        entries.append(entry | _made(Path(out), folder, part.of(request), before[folder]))
    _link(entries, Path(out), request.language)
    _write_index(entries, Path(out), request, each, secret)
    if failures:
        raise AmakitError(
            f"{len(failures)} of {len(parts)} pages failed, the others are in {out}:\n  " + "\n  ".join(failures)
        )
    made = [Path(out) / file for entry in entries for file in list(entry["files"].values())[:1]]
    return [Path(out) / "index.html", Path(out) / "index.json", *made]


def _pages(request, parts, names, out, of_kit, tell):
    """Make the pages; give for each the error that it ended in, or None.  One is written while the next one runs."""
    jobs = []
    with ExitStack() as last, drawing_thread() as thread, ThreadPoolExecutor(1, "amakit-writer") as writer:
        shared = last.enter_context(kernel(request.environment | {HELD: "1"}, last)) if of_kit else None
        for number, (folder, part) in enumerate(zip(names, parts, strict=True), 1):
            if tell:
                tell(f"{number}/{len(parts)} {part.name}")
            job: Future = Future()
            try:
                with ExitStack() as own:
                    manager = shared or own.enter_context(kernel(request.environment, own))
                    write_page = executed(part.of(request), Path(out) / folder, manager, thread)
                wait(jobs[-1:])  # no more than one page is held beside the one that runs
                job = writer.submit(write_page)
            except AmakitError as error:
                job.set_exception(error)
            jobs.append(job)
    errors = [job.exception() for job in jobs]
    for error in errors:
        if error is not None and not isinstance(error, AmakitError):
            raise error
    return errors


def index(entries: list[dict], about: dict, language: str = "en") -> str:
    """Write the page that leads to many others.

    Parameters
    ----------
    entries : list of dict
        For each page: ``name``, ``sentence``, ``failed`` (a sentence, or None) and ``files``, by their form; it may
        have ``partial`` and ``counts``, see `amakit.facts.counts.COUNTS`.
    about : dict
        ``notebook``, ``workspace``, ``timezone``, ``each`` and ``title``.
    language : {'en', 'ja'}

    Returns
    -------
    str
        One HTML file that names nothing outside its folder.
    """
    import jinja2
    from babel.dates import get_day_names

    from amakit import __version__

    says, failed = page_texts(language), sum(bool(entry["failed"]) for entry in entries)
    counted = any(entry.get("counts") for entry in entries) and about["each"] != "notebook"
    loader = jinja2.FileSystemLoader(_TEMPLATES)
    template = jinja2.Environment(loader=loader, autoescape=True, keep_trailing_newline=True)
    template.filters |= {"address": quote, "visible": visible, "status": _status}
    by_day = about["each"] == "day" and len(entries) > 1
    return template.get_template("pages.html.j2").render(
        language=language,
        says=says,
        version=__version__,
        entries=entries,
        failed=failed,
        columns=["down", "off", "seen", "rolled_back", "lost_heartbeats"] if counted else [],
        for_script=for_script(script_words(language)),
        weeks=_weeks(entries) if by_day else [],
        statuses=_STATUSES,
        weekdays=[name for _, name in sorted(get_day_names("abbreviated", locale=language).items())],
        **about,
    )


def _weeks(entries):
    """Lay pages of days out in weeks that begin on Monday, with None where there is no page."""
    by_day = {date.fromisoformat(entry["name"]): entry for entry in entries}
    monday = min(by_day) - timedelta(days=min(by_day).weekday())
    weeks = range(0, (max(by_day) - monday).days + 1, 7)
    return [[by_day.get(monday + timedelta(days=week + day)) for day in range(7)] for week in weeks]


def _status(entry):
    """Name the worst of a page: what stands first has to be acted on first."""
    if entry["failed"]:
        return "failed"
    return next((name for name in _STATUSES if entry["counts"].get(name)), "quiet")


def linked(page: str, before: tuple[str, str] | None, after: tuple[str, str] | None, language: str = "en") -> str:
    """Give a page of many links to the one before, the one after and the index of all.

    Parameters
    ----------
    page : str
        As `page` gives it, lying in a folder of its own below that of the index.
    before, after : tuple of (str, str), optional
        Name and place of the page, as seen from the index; None where there is none.
    language : {'en', 'ja'}

    Returns
    -------
    str
    """
    says = page_texts(language)

    def link(sign, other, rel):
        name, place = other
        text = sign.format(html.escape(visible(name)))
        return f'<a rel="{rel}" href="../{quote(place)}">{text}</a>'

    links = [
        link("← {}", before, "prev") if before else "",
        f'<a href="../index.html">{says["all pages"]}</a>',
        link("{} →", after, "next") if after else "",
    ]
    nav = f'<nav class="beside" aria-label="{says["beside"]}">{" ".join(filter(None, links))}</nav>'
    return page.replace("<main ", f"{nav}\n<main ", 1)


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


def _parts(request, each, secret):
    """Give the pages to be made, those of machines in the order of what they are called."""
    of_tag = each.startswith("tag:") and len(each) > len("tag:")
    if each not in EACH and not of_tag:
        raise UsageError(f"each {each!r} is not known; it is {', '.join(EACH[:-1])} or {EACH[-1]}")
    if (of_tag or each in ("group", "region")) and request.machines:
        raise UsageError(f"each {each} takes all machines of one; leave the machines out, or ask for each machine")
    if each == "notebook":
        titles = {name: title(_read(path, request.language)) for name, path in notebooks().items()}
        return [Part(told, request.machines, request.start, request.end, name) for name, told in titles.items()]
    if each == "machine" and request.machines:
        parts = [
            Part(_called(name, secret), (name,), request.start, request.end) for name in dict.fromkeys(request.machines)
        ]
        # with pseudonyms the order that was given would tell which is which
        return sorted(parts, key=lambda part: part.name) if secret else parts
    with request.connect() as ws:
        if request.start and request.end:
            asked = window(request.start, request.end)
        else:
            span = data_span(ws)
            asked = window(request.start or span.start, request.end or span.end)
        if of_tag or each in ("machine", "group", "region"):
            fleet = heartbeats.fleet(ws, asked)
            everybody = heartbeats.everybody(fleet).drop_duplicates(MACHINE, ignore_index=True)
            if each == "machine":
                return _machines(everybody, request, secret)
            told = everybody["resource_id"].map(group_of) if each == "group" else _told(fleet, everybody, each)
            return _groups(everybody, told, each, request, secret)
    return [
        Part(name, request.machines, iso(first), iso(last), partial=cut)
        for name, first, last, cut in _stretches(asked, request.timezone, each)
    ]


def _called(name, secret):
    return pseudonym(secret, "resource" if "/" in name else "machine", name) if secret else name


def _asked(fleet):
    """Ask for each machine by its name; by its resource id where two share the name."""
    twins = fleet["computer"].duplicated(keep=False) | (fleet["computer"] == "")
    return fleet["computer"].where(~twins, fleet["resource_id"])


def _told(fleet, everybody, each):
    """Give the region or the tag of each machine, as the inventory has it."""
    listing, taken = inventory.read(fleet)
    if not taken:
        raise UsageError(
            f"each {each} is told by an inventory, which {fleet.workspace.name} has not; fetch one with 'amakit "
            "inventory'"
        )
    named = listing["region"] if each == "region" else inventory.tag(listing, each.removeprefix("tag:"))
    own = listing[MACHINE].assign(told=named).drop_duplicates(MACHINE)
    return everybody[MACHINE].merge(own, how="left", on=MACHINE)["told"].fillna("").astype("str")


def _groups(fleet, told, each, request, secret):
    """Give the machines of each group, region or value of a tag, and last those of none."""
    by_group = _asked(fleet).groupby(told)
    kind = each.partition(":")[0]
    hidden = secret and kind != "region"
    groups = {pseudonym(secret, kind, name) if hidden and name else name: rows for name, rows in by_group}
    words = page_texts(request.language)["none of these"]
    nowhere = texts(request.language)["charts"]["no place"] if each == "group" else words
    return [
        Part(name or nowhere, tuple(sorted(set(groups[name]))), request.start, request.end)
        for name in sorted(groups, key=lambda name: (name == "", name))
    ]


def _machines(fleet, request, secret):
    """Give each machine."""
    asked = _asked(fleet)
    told = fleet.assign(**{column: fleet[column].map(lambda name: _called(name, secret)) for column in fleet})
    labels = machine_labels(told).where(told["computer"] != "", told["resource_id"])
    pairs = sorted(set(zip(labels, asked, strict=True)))
    return [Part(label, (one,), request.start, request.end) for label, one in pairs]


def _stretches(asked, timezone, each):
    """Cut a window at the midnights of a zone, or at those of its Mondays."""
    first, last = (moment.tz_convert(timezone).tz_localize(None) for moment in (asked.start, asked.end))
    days = pd.date_range(first.normalize(), last, freq="D" if each == "day" else "W-MON")
    begun = days.tz_localize(timezone, nonexistent="shift_forward", ambiguous=True).tz_convert("UTC")
    cuts = [asked.start, *(cut for cut in begun if asked.start < cut < asked.end), asked.end]
    for begins, ends in pairwise(cuts):
        day = begins.tz_convert(timezone)
        year, week, _ = day.isocalendar()
        name = f"{day:%Y-%m-%d}" if each == "day" else f"{year}-W{week:02}"
        yield name, begins, ends, begins not in begun or ends not in begun


def _written(folder):
    return {path: path.stat().st_mtime_ns for path in folder.iterdir()} if folder.is_dir() else {}


def _made(out, folder, request, before):
    """List the files of a page that this run wrote; its counts, and the sentence that its facts begin with."""
    new = {path.name for path, when in _written(out / folder).items() if before.get(path) != when}
    if not new and (out / folder).is_dir() and not any((out / folder).iterdir()):
        (out / folder).rmdir()  # it would look as if something were in it
    name = request.path.stem
    files = {form: f"{folder}/{file_of(name, form)}" for form in request.forms if file_of(name, form) in new}
    facts = json.loads((out / folder / "facts.json").read_text(encoding="utf-8")) if "facts.json" in new else {}
    return {"files": files, "sentence": facts.get("sentence", ""), "counts": facts.get("counts", {})}


def _link(entries, out, language):
    """Let each page lead to the ones beside it; those that are not there are passed over."""
    there = [entry for entry in entries if "html" in entry["files"]]
    for before, entry, after in zip([None, *there], there, [*there[1:], None], strict=False):
        beside = [other and (other["name"], other["files"]["html"]) for other in (before, after)]
        path = out / entry["files"]["html"]
        text = linked(path.read_text(encoding="utf-8"), beside[0], beside[1], language)
        with staged(path.parent) as stage:
            (stage / path.name).write_text(text, encoding="utf-8", newline="\n")


def _read(path, language):
    import nbformat

    return translated(nbformat.read(path, as_version=4), language)


def _write_index(entries, out, request, each, secret):
    name, heading = request.path.stem, title(_read(request.path, request.language))
    if each == "notebook":
        name, heading = "all", page_texts(request.language)["all notebooks"]
    workspace = shown(request.workspace)
    workspace = pseudonym(secret, "workspace", workspace) if secret else workspace
    about = {"notebook": name, "workspace": workspace, "timezone": request.timezone, "each": each}
    told = {"schema": SCHEMA} | about | {"language": request.language, "pages": entries}
    with staged(out) as stage:
        (stage / "index.html").write_text(
            index(entries, about | {"title": heading}, request.language), encoding="utf-8", newline="\n"
        )
        (stage / "index.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8", newline="\n")
