"""What Azure itself tells: releases, the activity log, the inventory."""

from contextlib import closing

import click

from amakit.commands import options
from amakit.errors import UsageError, say

#: What reports, and of a service lately: all that it keeps would be an expensive question.
_VERSIONS = """Heartbeat {}
| where Category == "Azure Monitor Agent"
| distinct OSType, Version
| project os_type = OSType, version = Version"""


@click.command()
@click.option("--os", "system", type=click.Choice(["Windows", "Linux"], case_sensitive=False), help="One line only.")
@click.option("--releases", "extra", metavar="FILE", help="Your own rows over the list; else AMAKIT_RELEASES.")
@click.option("--workspace", metavar="WORKSPACE", help="Say where the versions that report there stand instead.")
@click.option("--location", metavar="REGION", help="List what is deployed in a region of Azure instead.")
@click.option("--subscription", default="", metavar="ID", help="Asks for the region; else AZURE_SUBSCRIPTION_ID.")
@click.option("--out", metavar="FILE", help="Write to FILE.csv or .parquet; with | render also .html or .png.")
@options.remote
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
        with options.connected(workspace, **remote) as ws:
            found = seen(ws.query(_VERSIONS.format("| where TimeGenerated > ago(30d)" if ws.live else "")), found)
    elif location is not None:
        with closing(options.control_plane(subscription, **remote)) as plane:
            found = plane.deployed(location, found)
    if system:
        found = found[found["os_type"].str.lower() == system.lower()]
    options.show(found, out)


@click.command()
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
@options.signing
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
        with closing(options.control_plane(subscription, **remote)) as plane:
            parts.append(plane.activity(wanted, groups, resources))
    rows = pd.concat(parts, ignore_index=True)
    path = save(rows, folder)
    say(f"{len(rows):,} rows", error=True)
    say(path)


@click.command()
@click.argument("folder", metavar="DIR")
@click.option(
    "--subscription",
    "subscriptions",
    multiple=True,
    metavar="ID",
    help="One of those to look through; again for more; else all that you may read in the tenant.",
)
@options.signing
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
