"""The command line: parses, calls, prints."""

import errno
import logging
import os
import signal
import sys
import threading
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import click

from amakit import __version__
from amakit.errors import AmakitError, OverLimit, UsageError, say

#: Of writing: a full disk, a quota, a broken disk, a limit on the size of files.
_NO_ROOM = {getattr(errno, name, None) for name in ("ENOSPC", "EDQUOT", "EIO", "EFBIG")}
#: Signals that asked for the end of this run.
_HEARD: list[int] = []
#: What reports, and of a service lately: all that it keeps would be an expensive question.
_VERSIONS = """Heartbeat {}
| where Category == "Azure Monitor Agent"
| distinct OSType, Version
| project os_type = OSType, version = Version"""


class _Commands(click.Group):
    """Commands whose known failures are one sentence on stderr: status 1, or 2 for wrong use."""

    def invoke(self, context):  # noqa: C901 - one branch for each way to end
        try:
            answer = self._heeding_signals(context)
            if sys.stdout is not None:
                sys.stdout.flush()  # a full disk is noticed here, or not before Python ends
        except AmakitError as error:
            if context.params["debug"]:
                raise
            say(f"amakit: {error}", error=True)
            if error.place:
                say(error.place, error=True)
            context.exit(error.status)
        except KeyboardInterrupt:
            if context.params["debug"]:
                raise
            say("amakit: interrupted; what was being written is left out, everything else is as it was", error=True)
            context.exit(130)
        except MemoryError:
            if context.params["debug"]:
                raise
            say("amakit: there is not enough memory for this; ask for a shorter window or fewer machines", error=True)
            context.exit(1)
        except OSError as error:
            if context.params["debug"] or error.errno not in _NO_ROOM:
                raise
            # what is left in the buffer goes nowhere, or Python would try it once more at its end, and complain
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno())  # type: ignore[union-attr]
            say(f"amakit: there is no room for what is printed or written: {error.strerror}; make some", error=True)
            context.exit(1)
        return answer

    def _heeding_signals(self, context):
        try:
            return super().invoke(context)
        except Exception as error:
            if not _HEARD:
                raise
            # it came in the midst of DuckDB, which has made an error of its own of what was raised
            raise KeyboardInterrupt if _HEARD[0] == signal.SIGINT else SystemExit(128 + _HEARD[0]) from error

    def list_commands(self, context):
        return list(self.commands)  # in the order in which a newcomer meets them


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="amakit")
@click.option("--debug", is_flag=True, help="Show the whole traceback of a failure.")
def main(debug: bool) -> None:
    """Did the agent upgrade lose our logs?

    WORKSPACE is 'demo', a folder of exported tables, a .duckdb file, a Kusto endpoint such as
    http://127.0.0.1:PORT/DATABASE, or the ARM id of a Log Analytics workspace.
    """
    _HEARD.clear()
    if threading.current_thread() is threading.main_thread():  # what is half written is taken away
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            if number and signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):  # nohup ignores one
                signal.signal(number, _end)


def _end(number, _frame):
    _HEARD.append(number)
    for name in ("asyncio", "papermill"):  # a kernel that dies with its run is no news
        logging.getLogger(name).disabled = True
    if 1 < len(_HEARD) < 4:  # what is half written is being taken away; who insists is heard
        return
    raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)


def _window(command):
    for option in (
        click.option("--machine", "machines", multiple=True, metavar="M", help="Name or resource id; again for more."),
        click.option("--end", default="", metavar="T", help="First instant after the window, ISO 8601, UTC."),
        click.option("--start", default="", metavar="T", help="First instant; files are taken whole without."),
    ):
        command = option(command)
    return command


class _Each(click.Choice):
    """What there may be a page for; a tag is named."""

    def __init__(self) -> None:
        super().__init__(["machine", "group", "day", "week", "region", "tag:NAME"])

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        named = isinstance(value, str) and value.startswith("tag:") and value not in ("tag:", "tag:NAME")
        return value if named else super().convert(value, param, ctx)


def _workspaces(command):
    return click.argument("workspace", metavar="WORKSPACE...", nargs=-1, required=True)(command)


def _remote(command):
    return _signing(
        click.option("--transport", default="", metavar="auto|kusto|logs", help="Way to the service.")(command)
    )


def _signing(command):
    for option in (
        click.option("--endpoint", default="", metavar="HOST", help="Ask HOST, not the cloud's own, for an ARM id."),
        click.option("--cloud", default="", metavar="public|usgov|china", help="Else as AZURE_AUTHORITY_HOST says."),
        click.option("--tenant", default="", metavar="ID", help="Sign in to this tenant; else AZURE_TENANT_ID."),
        click.option(
            "--credential",
            default="",
            metavar="HOW",
            help="Sign in by default (a chain), cli, managed, device, browser, workload, environment or pipelines.",
        ),
    ):
        command = option(command)
    return command


def _beside(command):
    return click.option(
        "--control-plane",
        default="",
        metavar="DIR",
        help="Read AzureActivity and AgentInventory of a service in DIR, as 'activity' and 'inventory' write them.",
    )(command)


def _dated(command):
    return click.option(
        "--date-format",
        type=click.Choice(["day-first", "month-first"]),
        callback=lambda _context, _parameter, value: value or "",
        help="Order of day and month in files, where no row shows it.",
    )(command)


def _cached(command):
    return click.option(
        "--no-cache",
        "cache",
        is_flag=True,
        flag_value=False,
        default=True,
        help="Work it out anew, and keep nothing for the next run.",
    )(command)


@contextmanager
def _connected(workspace, **remote):
    """Open a workspace; for a service tell how far the queries are, and in the end what they cost."""
    from amakit.source.connect import connect

    log, lines = logging.getLogger("amakit"), logging.StreamHandler()
    with connect(workspace, **remote) as ws:
        service = any(member.kind == "kusto" for member in ws.members)
        for one in ws.members:
            for why in [*one.refused.values(), *(r for r in one.unread.values() if not r.endswith("it is left alone"))]:
                say(f"amakit: not read: {why}", error=True)
        if service and not sys.stderr.isatty():
            log.addHandler(lines)
            log.setLevel(logging.INFO)
        try:
            yield ws
        finally:
            log.removeHandler(lines)
            ws.rest()
            for note in ws.notes:
                say(f"amakit: {note}", error=True)
            if service and ws.log:
                say(ws.total(), error=True)


def _control_plane(subscription, *, cloud, endpoint, credential, tenant, transport=""):
    from amakit.control_plane.resource_manager import ControlPlane

    return ControlPlane(subscription, cloud, endpoint, credential, tenant)


def _pairs(_context, _parameter, values):
    pairs = {}
    for value in values:
        key, equals, text = value.partition("=")
        if not equals:
            raise click.BadParameter(f"{value!r} is not of the form key=value")
        pairs[key.strip()] = text
    return pairs


@main.command()
@click.argument("folder", metavar="DIR")
@click.option("--machines", default=40, show_default=True, help="How many machines.")
@click.option("--days", default=14, show_default=True, help="How many days.")
@click.option("--seed", default=1, show_default=True, help="The same seed makes the same bytes.")
def demo(folder: str, machines: int, days: int, seed: int) -> None:
    """Make a synthetic workspace in DIR, and DIR/truth beside its tables."""
    from amakit.demo import write

    say(write(folder, machines=machines, days=days, seed=seed))


@main.command()
@_workspaces
@_dated
@_beside
@_remote
def check(workspace: tuple[str, ...], **remote: str) -> None:
    """Show what can be reached: the way there, the tables, their span, and what is missing.

    The first step that fails says what to do about it.  Of a snapshot it tells each file that is not as it was taken.
    """
    from amakit.share.snapshot import changed

    for name in workspace:
        if found := changed(name):
            for line in found:
                say(line)
            raise AmakitError(
                f"{name} is not as the snapshot was taken: {len(found)} {'file' if len(found) == 1 else 'files'}; "
                "put them right, or take it again with the same `amakit snapshot`"
            )
    with _connected(workspace, **remote) as several:
        for ws in several.members:
            _check(ws)


def _check(ws):
    from amakit.events.silent_now import silences
    from amakit.fetch.survey import remarks, survey

    say(f"{ws.name} ({ws.kind}{', synthetic' if ws.synthetic else ''})")
    if ws.taken:
        say(f"all {len(ws.taken['files'])} files are as they were taken from {_origin(ws.taken)}")
    for step, shown in ws.proof():
        say(f"{step:<12}{shown}")
    found, missing = survey(ws)
    say(found.to_string(index=False, na_rep=""))
    for table, cost in missing.items():
        say(f"no {table}: {cost}")
    for line in remarks(ws, found):
        say(line)
    for line in silences(ws) if ws.kind != "kusto" else ():
        say(line)


@main.command()
@click.argument("workspace")
@click.argument("kql")
@click.option("--out", metavar="FILE", help="Write to FILE.csv or .parquet; with | render also .html or .png.")
@_dated
@_remote
def query(workspace: str, kql: str, out: str | None, **remote: str) -> None:
    """Run any KQL.  KQL may be '-' to read it from standard input.

    The answer is a table on a terminal, CSV in a pipe.  A query that ends in | render, such as | render timechart, is
    drawn into FILE.html or FILE.png.
    """
    from amakit.kql.placeholders import pointed
    from amakit.kql.rendering import drawing_of
    from amakit.output import check_writable

    text = click.get_text_stream("stdin").read() if kql == "-" else kql  # type: ignore[operator]
    drawing = drawing_of(text)
    if out and out.lower().endswith((".html", ".png")) and drawing is None:
        raise UsageError(f"{out} is a chart, and the query asks for none; end it in | render timechart, for example")
    if out:
        check_writable(Path(out).parent)
    with _connected(workspace, **remote) as ws:
        try:
            frame = ws.query(text)
        except AmakitError as error:
            raise pointed(error, text) from None if isinstance(error, UsageError) else error
    if drawing and out and out.lower().endswith((".html", ".png")):
        from amakit.charts.drawing import save_drawing

        save_drawing(frame, drawing, out, ws.synthetic)
        say(f"{len(frame):,} rows drawn in {out}", error=True)
        return
    if drawing:
        say(f"render {drawing.kind} is drawn with --out FILE.html or FILE.png; these are its rows", error=True)
    _show(frame, out)


def _show(frame, out=None):
    """Write a frame to a file, or give it as a table on a terminal and as CSV in a pipe."""
    from amakit.output import save_frame

    if out:
        save_frame(frame, out)
        say(f"{len(frame):,} rows in {out}", error=True)
    elif sys.stdout is None:  # closed by whoever calls
        return
    elif sys.stdout.isatty():
        say(frame.to_string(index=False))
    else:
        save_frame(frame, sys.stdout.buffer)


@main.command()
@click.argument("name", required=False)
@click.option("-p", "values", multiple=True, metavar="KEY=VALUE", callback=_pairs, help="A value for a parameter.")
def kql(name: str | None, values: dict[str, str]) -> None:
    """List the packaged queries, or print one, rendered if values are given."""
    from amakit.kql import catalog

    if name is None:
        for each in catalog.packaged().values():
            say(f"{each.name}\n    {each.question}")
        return
    say(catalog.render_text(name, values) if values else catalog.query(name).source)


@main.command()
@_workspaces
@_window
@click.option("--out", metavar="DIR", help="Folder for the result tables.")
@click.option("--format", "form", type=click.Choice(["csv", "parquet"]), default="csv", show_default=True)
@click.option("--allow-unknown", is_flag=True, help="What cannot be fetched becomes unknown instead of a failure.")
@click.option("--dry-run", is_flag=True, help="Print what would be asked, and ask nothing.")
@_cached
@_dated
@_beside
@_remote
def analyze(
    workspace: tuple[str, ...],
    start: str,
    end: str,
    machines: tuple[str, ...],
    out: str | None,
    form: str,
    allow_unknown: bool,
    dry_run: bool,
    cache: bool,
    **remote: str,
) -> None:
    """Write the result tables machines, transitions, outages, gaps, events, sources and evidence, and run.json."""
    if dry_run:
        return _plan(start, end)
    if not out:
        raise click.UsageError("Missing option '--out'.")
    from amakit.analysis import analyze as run
    from amakit.output import check_writable

    check_writable(out)
    with _connected(workspace, **remote) as ws:
        found = run(ws, start, end, machines, allow_unknown, cache)
        for note in found.run["notes"]:
            if note not in ws.notes:  # of an analysis that was kept
                say(f"amakit: {note}", error=True)
        for table, why in found.run["refused"].items():
            say(f"amakit: {table} is missing evidence: {why}", error=True)
        for path in found.save(out, form):
            say(path)
    return None


def _origin(taken):
    machines = taken["machines"]
    which = f", {len(machines)} {'machine' if len(machines) == 1 else 'machines'}" if machines else ""
    marks = "".join(f", {mark}" for mark in ("anonymised", "synthetic") if taken[mark])
    return f"{taken['workspace']} at {taken['taken']}: {taken['start']} to {taken['end']}{which}{marks}"


@main.command()
@click.argument("workspace")
@click.argument("folder", metavar="DIR")
@_window
@click.option("--anonymise", is_flag=True, help="Names and ids become pseudonyms.")
@click.option("--key", metavar="FILE", help="The key of the pseudonyms, made if it is not there; keep it to yourself.")
@_dated
@_beside
@_remote
def snapshot(
    workspace: str,
    folder: str,
    start: str,
    end: str,
    machines: tuple[str, ...],
    anonymise: bool,
    key: str | None,
    **remote: str,
) -> None:
    """Copy what an analysis needs into DIR, a workspace of its own, with a manifest.

    After an interruption the same command fetches only what is missing.
    """
    if key and not anonymise:
        raise UsageError(f"the key {key!r} is of no use without --anonymise; add that, or leave the key out")
    from amakit.share.pseudonyms import owner_key
    from amakit.share.snapshot import snapshot as run

    with _connected(workspace, **remote) as ws:
        taken = run(ws, folder, start, end, machines, owner_key(key) if anonymise else None)
    rows, size = (sum(file[what] for file in taken["files"]) for what in ("rows", "bytes"))
    say(f"{len(taken['files'])} files, {rows:,} rows, {size / 1e6:,.1f} MB in {folder}, of {_origin(taken)}")


def _plan(start, end):
    from amakit.fetch.dry_run import plan
    from amakit.intervals import window
    from amakit.service.retry import LIMITS

    if not (start and end):
        raise UsageError("a dry run asks nothing, so it cannot find the window itself; give --start and --end")
    found = plan(window(start, end), 1000)
    say(found.to_string(index=False))
    say(
        f"at least {found['Least'].sum()} requests, at most {found['Most'].sum()} for 1,000 silences and one table of "
        f"events; {LIMITS}"
    )


@main.command()
@click.argument("notebook")
@_workspaces
@_window
@click.option("-p", "extra", multiple=True, type=(str, str), metavar="KEY VALUE", help="A further parameter.")
@click.option("--out", required=True, metavar="DIR", help="Folder for the page and the result tables.")
@click.option(
    "--to", default="html", show_default=True, metavar="FORMS", help="html, md, pdf, ipynb, ticket, with commas."
)
@click.option("--timezone", default="UTC", show_default=True, metavar="ZONE", help="In which times are told.")
@click.option("--language", default="en", show_default=True, metavar="en|ja", help="Of the sentences.")
@click.option("--each", type=_Each(), help="One page for each, and an index page.")
@click.option("--together", is_flag=True, help="One page about all --machine instead of one for each.")
@click.option("--anonymise", is_flag=True, help="Replace names and ids by pseudonyms in every file.")
@click.option("--key", metavar="FILE", help="File with the key of the pseudonyms; made if it is not there.")
@click.option("--allow-unknown", is_flag=True, help="Let what cannot be fetched be unknown, and say so.")
@_cached
@click.option("--fail-on", default="", metavar="LIMITS", help="End with status 3 on, for example, silent>0,doubtful>0.")
@_dated
@_beside
@_remote
def report(
    out: str,
    to: str,
    extra: tuple[tuple[str, str], ...],
    each: str | None,
    together: bool,
    allow_unknown: bool,
    **asked: Any,
) -> None:
    """Run a notebook with nobody watching; write a page that needs no network and shows no code.

    NOTEBOOK may be all: each in a folder of its own, and DIR/index.html leads to them.
    Beside the page lie the result tables, run.json and facts.json.  Several machines get a page each, in a
    folder each, and DIR/index.html leads to them.  For pdf there must be a Chromium, Chrome or Edge; one in an
    unusual place is named in AMAKIT_CHROMIUM.

    LIMITS are keys of "counts" in facts.json with a sign and a number, as in silent>0,longest_s>=600.  Everything is
    written, whether one is exceeded or not.
    """
    if each == "machine" and together:
        raise UsageError("--each machine and --together ask for opposite things; leave one of them out")
    if asked["notebook"] == "all":
        if each:
            raise UsageError(
                f"all asks for each notebook once, about everything; ask for one notebook with --each {each}"
            )
        asked["notebook"], each = "03_incident_writeup", "notebook"
    from amakit.report.limits import exceeded
    from amakit.report.request import Request

    forms = tuple(form.strip() for form in to.split(",") if form.strip())
    further = dict(extra) | ({"allow_unknown": "true"} if allow_unknown else {})
    request, watched = Request(forms=forms, extra=further, **asked), sys.stderr.isatty()
    if each or (len(request.machines) > 1 and not together):
        from amakit.report.batch import reports

        paths = reports(request, out, each or "machine", partial(say, error=True) if watched else None)
    else:
        from amakit.report.run import run

        paths = run(request, out, watched)
    for path in paths:
        say(path)
    if request.limits:
        folders = dict.fromkeys(path.parent for path in paths if not path.name.startswith("index."))
        told = [f"{folder}: {one}" for folder in folders for one in exceeded(request.limits, folder)]
        if told:
            raise OverLimit(f"{'; '.join(told)}; all is written, look there")


@main.command()
@click.option("--os", "system", type=click.Choice(["Windows", "Linux"], case_sensitive=False), help="One line only.")
@click.option("--releases", "extra", metavar="FILE", help="Your own rows over the list; else AMAKIT_RELEASES.")
@click.option("--workspace", metavar="WORKSPACE", help="Say where the versions that report there stand instead.")
@click.option("--location", metavar="REGION", help="List what is deployed in a region of Azure instead.")
@click.option("--subscription", default="", metavar="ID", help="Asks for the region; else AZURE_SUBSCRIPTION_ID.")
@click.option("--out", metavar="FILE", help="Write to FILE.csv or .parquet; with | render also .html or .png.")
@_remote
def releases(
    system: str | None,
    extra: str | None,
    workspace: str | None,
    location: str | None,
    subscription: str,
    out: str | None,
    **remote: str,
) -> None:
    """List the releases of the agent that are known.

    The list is a table on a terminal, CSV in a pipe.  It is never complete: a version that is not in it is normal.
    """
    from amakit.study.rollout.releases import known, seen

    if workspace and location:
        raise UsageError("--workspace and --location ask for different lists; leave one of them out")
    found = known(extra)
    if workspace:
        with _connected(workspace, **remote) as ws:
            found = seen(ws.query(_VERSIONS.format("| where TimeGenerated > ago(30d)" if ws.live else "")), found)
    elif location is not None:
        with closing(_control_plane(subscription, **remote)) as plane:
            found = plane.deployed(location, found)
    if system:
        found = found[found["os_type"].str.lower() == system.lower()]
    _show(found, out)


@main.command()
@click.argument("folder", metavar="DIR")
@click.option("--start", required=True, metavar="T", help="First instant of the window that will be analysed.")
@click.option("--end", required=True, metavar="T", help="First instant after the window.")
@click.option(
    "--subscription",
    "subscriptions",
    multiple=True,
    default=[""],
    metavar="ID",
    help="Whose log; again for more; else AZURE_SUBSCRIPTION_ID.",
)
@click.option("--group", "groups", multiple=True, metavar="RG", help="A resource group only; again for more.")
@click.option("--resource", "resources", multiple=True, metavar="ID", help="A resource only; again for more.")
@_signing
def activity(
    folder: str,
    start: str,
    end: str,
    subscriptions: tuple[str, ...],
    groups: tuple[str, ...],
    resources: tuple[str, ...],
    **remote: str,
) -> None:
    """Fetch the activity log into the folder DIR of exported tables, as its table AzureActivity.

    For a workspace that has no such table.  Azure keeps the log for 90 days.  A day before the window and an hour
    after it are fetched too, because the analysis looks at them.
    """
    import pandas as pd

    from amakit.control_plane.resource_manager import save
    from amakit.intervals import window
    from amakit.output import check_writable

    wanted, parts = window(start, end), []
    check_writable(folder)
    for subscription in subscriptions:
        with closing(_control_plane(subscription, **remote)) as plane:
            parts.append(plane.activity(wanted, groups, resources))
    rows = pd.concat(parts, ignore_index=True)
    path = save(rows, folder)
    say(f"{len(rows):,} rows", error=True)
    say(path)


@main.command()
@click.argument("folder", metavar="DIR")
@click.option(
    "--subscription",
    "subscriptions",
    multiple=True,
    metavar="ID",
    help="One of those to look through; again for more; else all that you may read in the tenant.",
)
@_signing
def inventory(folder: str, subscriptions: tuple[str, ...], **remote: str) -> None:
    """Fetch what Azure Resource Graph knows of machines and of the agent's extension on them into the folder DIR.

    It becomes the table AgentInventory: virtual machines, scale sets and Arc-enabled servers, with region and tags, and
    the version, automatic upgrade and provisioning of the extension, as they are now.  An analysis of DIR then tells
    which machines should report and do not, and which are opted out of automatic upgrades.
    """
    from amakit.control_plane.resource_graph import TABLE, ResourceGraph, told
    from amakit.control_plane.resource_manager import save
    from amakit.output import check_writable

    check_writable(folder)
    asked = (remote[name] for name in ("cloud", "endpoint", "credential", "tenant"))
    with closing(ResourceGraph(subscriptions, *asked)) as graph:
        rows = graph.inventory()
    path = save(rows, folder, TABLE, "inventory.parquet")
    for line in [*told(rows), *graph.notes]:
        say(line, error=True)
    say(path)


@main.command()
@click.option("--clear", is_flag=True, help="Take all of them away.")
def cache(clear: bool) -> None:
    """List the analyses that earlier runs kept, which hold names of machines.

    `analyze` and `report` take one of them where the files have not changed, or where the window of a workspace of Log
    Analytics has been over for two days; with --no-cache they do not.  Those used last stay, up to 500 MB and 30 days.
    """
    from amakit.source import cache as kept

    if clear:
        number, size = kept.clear()
        say(f"{number} {'analysis' if number == 1 else 'analyses'} taken away, {size / 1e6:,.1f} MB", error=True)
    else:
        _show(kept.entries())
