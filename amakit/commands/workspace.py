"""Make, check, ask and copy a workspace."""

from pathlib import Path

import click

from amakit.commands import options
from amakit.errors import AmakitError, UsageError, say


@click.command()
@click.argument("folder", metavar="DIR")
@click.option("--machines", default=40, show_default=True, help="How many machines.")
@click.option("--days", default=14, show_default=True, help="How many days.")
@click.option("--seed", default=1, show_default=True, help="The same seed makes the same bytes.")
def demo(folder: str, machines: int, days: int, seed: int) -> None:
    """Make a synthetic workspace in DIR, and DIR/truth beside its tables."""
    from amakit.demo import write

    say(write(folder, machines=machines, days=days, seed=seed))


@click.command()
@options.workspaces
@options.dated
@options.beside
@options.remote
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
    with options.connected(workspace, **remote) as several:
        for ws in several.members:
            _check(ws)


def _check(ws):
    from amakit.events.silent_now import silences
    from amakit.recorded.survey import remarks, survey

    say(f"{ws.name} ({ws.kind}{', synthetic' if ws.synthetic else ''})")
    if ws.taken:
        say(f"all {len(ws.taken['files'])} files are as they were taken from {options.origin(ws.taken)}")
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


@click.command()
@click.argument("workspace")
@click.argument("kql")
@click.option("--out", metavar="FILE", help="Write to FILE.csv or .parquet; with | render also .html or .png.")
@options.dated
@options.remote
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
    with options.connected(workspace, **remote) as ws:
        try:
            frame = ws.query(text)
        except AmakitError as error:
            raise pointed(error, text) from None if isinstance(error, UsageError) else error
    if drawing and out and out.lower().endswith((".html", ".png")):
        from amakit.charts.render import save_drawing

        save_drawing(frame, drawing, out, ws.synthetic)
        say(f"{len(frame):,} rows drawn in {out}", error=True)
        return
    if drawing:
        say(f"render {drawing.kind} is drawn with --out FILE.html or FILE.png; these are its rows", error=True)
    options.show(frame, out)


@click.command()
@click.argument("name", required=False)
@click.option(
    "-p", "values", multiple=True, metavar="KEY=VALUE", callback=options.pairs, help="A value for a parameter."
)
def kql(name: str | None, values: dict[str, str]) -> None:
    """List the packaged queries, or print one, rendered if values are given."""
    from amakit.kql import catalog

    if name is None:
        for each in catalog.packaged().values():
            say(f"{each.name}\n    {each.question}")
        return
    say(catalog.render_text(name, values) if values else catalog.query(name).source)


@click.command()
@click.argument("workspace")
@click.argument("folder", metavar="DIR")
@options.window
@click.option("--anonymise", is_flag=True, help="Names and ids become pseudonyms.")
@click.option("--key", metavar="FILE", help="The key of the pseudonyms, made if it is not there; keep it to yourself.")
@options.dated
@options.beside
@options.remote
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
    from amakit.share.key import owner_key
    from amakit.share.snapshot import snapshot as run

    with options.connected(workspace, **remote) as ws:
        taken = run(ws, folder, start, end, machines, owner_key(key) if anonymise else None)
    rows, size = (sum(file[what] for file in taken["files"]) for what in ("rows", "bytes"))
    say(f"{len(taken['files'])} files, {rows:,} rows, {size / 1e6:,.1f} MB in {folder}, of {options.origin(taken)}")
