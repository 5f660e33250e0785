"""What commands share: options, a workspace that is opened, a frame that is shown."""

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from amakit.errors import say

if TYPE_CHECKING:
    import pandas as pd

    from amakit.control_plane.resource_manager import ControlPlane
    from amakit.source.workspace import Workspace

Command = TypeVar("Command", bound=Callable)


def window(command: Command) -> Command:
    """Let a command take the ends of a window, and machines."""
    for option in (
        click.option("--machine", "machines", multiple=True, metavar="M", help="Name or resource id; again for more."),
        click.option("--end", default="", metavar="T", help="First instant after the window, ISO 8601, UTC."),
        click.option("--start", default="", metavar="T", help="First instant; files are taken whole without."),
    ):
        command = option(command)
    return command


class Each(click.Choice):
    """What there may be a page for; a tag is named."""

    def __init__(self) -> None:
        super().__init__(["machine", "group", "day", "week", "region", "tag:NAME"])

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Take a tag by its name, and what else is listed."""
        named = isinstance(value, str) and value.startswith("tag:") and value not in ("tag:", "tag:NAME")
        return value if named else super().convert(value, param, ctx)


def workspaces(command: Command) -> Command:
    """Let a command take one workspace or several."""
    return click.argument("workspace", metavar="WORKSPACE...", nargs=-1, required=True)(command)


def remote(command: Command) -> Command:
    """Let a command say how a service is reached."""
    return signing(
        click.option("--transport", default="", metavar="auto|kusto|logs", help="Way to the service.")(command)
    )


def signing(command: Command) -> Command:
    """Let a command say how to sign in, and where."""
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


def beside(command: Command) -> Command:
    """Let a command take a folder with tables of the control plane."""
    return click.option(
        "--control-plane",
        default="",
        metavar="DIR",
        help="Read AzureActivity and AgentInventory of a service in DIR, as 'activity' and 'inventory' write them.",
    )(command)


def dated(command: Command) -> Command:
    """Let a command say in which order files write dates."""
    return click.option(
        "--date-format",
        type=click.Choice(["day-first", "month-first"]),
        callback=lambda _context, _parameter, value: value or "",
        help="Order of day and month in files, where no row shows it.",
    )(command)


def cached(command: Command) -> Command:
    """Let a command leave aside what earlier runs kept."""
    return click.option(
        "--no-cache",
        "cache",
        is_flag=True,
        flag_value=False,
        default=True,
        help="Work it out anew, and keep nothing for the next run.",
    )(command)


@contextmanager
def connected(workspace: str | tuple[str, ...], **remote: str) -> "Iterator[Workspace]":
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


def control_plane(
    subscription: str, *, cloud: str, endpoint: str, credential: str, tenant: str, transport: str = ""
) -> "ControlPlane":
    """Give the way to Azure Resource Manager; a transport of logs is none of its own."""
    from amakit.control_plane.resource_manager import ControlPlane

    return ControlPlane(subscription, cloud, endpoint, credential, tenant)


def pairs(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """Read values of the form key=value."""
    found = {}
    for value in values:
        key, equals, text = value.partition("=")
        if not equals:
            raise click.BadParameter(f"{value!r} is not of the form key=value")
        found[key.strip()] = text
    return found


def show(frame: "pd.DataFrame", out: str | None = None) -> None:
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


def origin(taken: dict) -> str:
    """Say of a snapshot what it is of."""
    machines = taken["machines"]
    which = f", {len(machines)} {'machine' if len(machines) == 1 else 'machines'}" if machines else ""
    marks = "".join(f", {mark}" for mark in ("anonymised", "synthetic") if taken[mark])
    return f"{taken['workspace']} at {taken['taken']}: {taken['start']} to {taken['end']}{which}{marks}"
