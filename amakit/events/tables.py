"""The tables ``events`` and ``sources``, of all tables that may hold events."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from amakit.events import counts as event_counts
from amakit.events.coverage import unrecorded
from amakit.events.event_table import EVIDENCE, EventTable
from amakit.events.verdicts import stretches
from amakit.fetch.identity import short_name
from amakit.intervals import Window
from amakit.recorded.horizon import horizon as known_until
from amakit.schemas import KQL_MACHINE, MACHINE, RESULTS, result

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from amakit.source.workspace import Workspace


def check(
    workspace: "Workspace",
    outages: pd.DataFrame,
    window: Window,
    machines: pd.DataFrame,
    asked: "Sequence[str]" = (),
    unknown: "Sequence[Mapping]" = (),
    stopped: "Sequence[Mapping]" = (),
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, list]]:
    """Say for each outage and source of events whether the rows came after all, and which sources fell silent.

    Parameters
    ----------
    workspace : Workspace
    outages : pandas.DataFrame
        Columns as in ``RESULTS["outages"]``.
    window : Window
        What is under analysis; nothing outside of it is asked for.
    machines : pandas.DataFrame
        resource_id and computer of all machines there are, to know which names stand for one only; with ResourceId
        and Computer, the names that their rows bear.
    asked : sequence of str
        Computer names or resource ids of the machines under analysis, any that they bear; all by default.
    unknown : sequence of mapping
        start, end and table of what could not be fetched.
    stopped : sequence of mapping
        start and end of stretches in which no heartbeat was recorded: what else was is not known, so no row is
        expected there.

    Returns
    -------
    tuple of (pandas.DataFrame, pandas.DataFrame, dict of str to list)
        The result tables ``events`` and ``sources``, and by table the stretches that were not recorded: start, end and
        how many machines lack it, none where the table's rows begin or end there.

    Examples
    --------
    >>> from amakit import connect
    >>> from amakit.intervals import window
    >>> nobody = pd.DataFrame(columns=["resource_id", "computer"], dtype="str")
    >>> none = pd.DataFrame(columns=list(RESULTS["outages"]))
    >>> [len(part) for part in check(connect("demo"), none, window("2026-03-02", "2026-03-03"), nobody)]
    [0, 0, 0]
    """
    found, silent, holes = evidence(workspace, outages, window, machines, asked, unknown, stopped)
    return result("events", found), result("sources", silent), holes


def evidence(
    workspace: "Workspace",
    outages: pd.DataFrame,
    window: Window,
    machines: pd.DataFrame,
    asked: "Sequence[str]" = (),
    unknown: "Sequence[Mapping]" = (),
    stopped: "Sequence[Mapping]" = (),
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, list]]:
    """Give what `check` does, the first table with all that `amakit.events.verdicts.judge` rests on."""
    horizon = known_until(window)
    away = stretches(outages, horizon)
    everybody = pd.concat([machines.apply(lambda c: c.str.lower()), away[MACHINE]], ignore_index=True)
    for borne, name in zip(KQL_MACHINE, MACHINE, strict=True):
        everybody[borne] = everybody.get(borne, everybody[name]).fillna(everybody[name])
    keys, shared = event_counts.keys_of(everybody)
    every_key = keys
    asked = sorted({name.strip().lower() for name in asked})
    if asked:  # by any of the names that a machine bears, and with all of them
        chosen = everybody.loc[everybody.isin(list(asked)).any(axis=1), MACHINE].drop_duplicates()
        names = everybody.merge(chosen, on=MACHINE)
        names = pd.concat([names["ResourceId"], names["Computer"], short_name(names["Computer"])]).to_numpy()
        asked, keys = sorted({*asked, *names[~np.isin(names, ["", *shared])]}), keys.merge(chosen, on=MACHINE)
    events, silent, holes = [], [], {}
    for table in event_counts.log_tables(workspace):
        hours = event_counts.hours(workspace, table, window, shared, asked)
        own = event_counts.with_short_names(keys, hours["Key"], everybody)
        own = own.merge(keys[MACHINE].drop_duplicates(), on=MACHINE)
        if len(hours) and len(own):
            spans = [(u["start"], u["end"]) for u in [*stopped, *(u for u in unknown if u["table"] == table)]]
            given = (workspace, table, Window(window.start, horizon), hours, own, shared, asked, away)
            one = EventTable(*given, spans)
            judged = one.events()
            quiet = one.silences(judged)
            questioned, machines = one.questioned(judged, quiet), one.machines
            lacking = unrecorded(
                workspace, table, questioned, one.window, every_key, everybody, shared, hours, machines
            )
            if lacking:  # judged again, with nothing expected there
                one = EventTable(*given, spans + [part[:2] for part in lacking])
                judged = one.events()
                quiet = one.silences(judged)
            holes[table] = [*one.edges(), *lacking]
            events.append(judged)
            silent.append(quiet)
    found = pd.concat([e for e in events if len(e)] or [pd.DataFrame(columns=EVIDENCE)], ignore_index=True)
    silent = [s for s in silent if len(s)] or [pd.DataFrame(columns=list(RESULTS["sources"]))]
    return found[EVIDENCE], pd.concat(silent, ignore_index=True), {name: told for name, told in holes.items() if told}
