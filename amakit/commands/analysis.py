"""Analyse a workspace, write it up, and see which analyses are kept."""

import sys
from functools import partial
from typing import Any

import click

from amakit.commands import options
from amakit.errors import OverLimit, UsageError, say


@click.command()
@options.workspaces
@options.window
@click.option("--out", metavar="DIR", help="Folder for the result tables.")
@click.option("--format", "form", type=click.Choice(["csv", "parquet"]), default="csv", show_default=True)
@click.option("--allow-unknown", is_flag=True, help="What cannot be fetched becomes unknown instead of a failure.")
@click.option("--dry-run", is_flag=True, help="Print what would be asked, and ask nothing.")
@options.cached
@options.dated
@options.beside
@options.remote
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
    with options.connected(workspace, **remote) as ws:
        found = run(ws, start, end, machines, allow_unknown, cache)
        for note in found.run["notes"]:
            if note not in ws.notes:  # of an analysis that was kept
                say(f"amakit: {note}", error=True)
        for table, why in found.run["refused"].items():
            say(f"amakit: {table} is missing evidence: {why}", error=True)
        for path in found.save(out, form):
            say(path)
    return None


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


@click.command()
@click.argument("notebook")
@options.workspaces
@options.window
@click.option("-p", "extra", multiple=True, type=(str, str), metavar="KEY VALUE", help="A further parameter.")
@click.option("--out", required=True, metavar="DIR", help="Folder for the page and the result tables.")
@click.option(
    "--to", default="html", show_default=True, metavar="FORMS", help="html, md, pdf, ipynb, ticket, with commas."
)
@click.option("--timezone", default="UTC", show_default=True, metavar="ZONE", help="In which times are told.")
@click.option("--language", default="en", show_default=True, metavar="en|ja", help="Of the sentences.")
@click.option("--each", type=options.Each(), help="One page for each, and an index page.")
@click.option("--together", is_flag=True, help="One page about all --machine instead of one for each.")
@click.option("--anonymise", is_flag=True, help="Replace names and ids by pseudonyms in every file.")
@click.option("--key", metavar="FILE", help="File with the key of the pseudonyms; made if it is not there.")
@click.option("--allow-unknown", is_flag=True, help="Let what cannot be fetched be unknown, and say so.")
@options.cached
@click.option("--fail-on", default="", metavar="LIMITS", help="End with status 3 on, for example, silent>0,doubtful>0.")
@options.dated
@options.beside
@options.remote
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
    from amakit.report.request import Request, exceeded

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


@click.command()
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
        options.show(kept.entries())
