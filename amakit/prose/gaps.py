"""Notebook 02: did upgrades cost data, and how long were agents down?"""

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

import pandas as pd

from amakit.facts.gather import gather
from amakit.facts.summary import by_severity, by_type
from amakit.prose.language import Language, visible
from amakit.prose.page import Page, away_streams, causes, common, machines_of, outage_cells, span
from amakit.schemas import LOST, Cause
from amakit.study import alert_coverage
from amakit.study.alert_coverage import SLOW

if TYPE_CHECKING:
    from amakit.analysis import Analysis

#: Rows of the tables; all are in the result tables.
_OUTAGES, _CONCURRENT = 200, 100


def gaps(
    analysis: "Analysis",
    language: str = "en",
    timezone: str = "UTC",
    windows: Iterable[int] = alert_coverage.WINDOWS,
    frequency: float = 1,
) -> Page:
    """Tell what each upgrade lost, how long each agent was down, which outages were something else, what alerts saw.

    Parameters
    ----------
    analysis : Analysis
    language : {'en', 'ja'}
    timezone : str
        Zone in which times are told.
    windows : iterable of int
        Windows of heartbeat alerts, in minutes.
    frequency : float
        Minutes between evaluations of an alert.

    Returns
    -------
    Page
        Sections data, cost, events, around, downtimes, others, concurrent, alerts, rule, limits, record;
        tables lost (the longest upgrade first), others (those that go on, then the longest), concurrent (whole groups
        first, then the longest certain overlap), alerts, and fired (each outage and alert, those that go on first).

    Examples
    --------
    >>> import amakit
    >>> page = gaps(amakit.analyze(amakit.connect("demo"), "2026-03-02", "2026-03-02T01:00"))
    >>> page["downtimes"]
    'There was no upgrade with a known end.'
    """
    known, words = gather(analysis), Language(language, timezone)
    upgrade = known.outages["cause"] == Cause.UPGRADE
    upgrades, others = (by_severity(known.outages[rows]) for rows in (upgrade, ~upgrade))
    concurrent = alert_coverage.together(analysis.outages, analysis.machines, known.horizon)
    noticed = alert_coverage.verdicts(known.silent, known.horizon, windows, frequency)
    slow = analysis.gaps.loc[analysis.gaps["interval_s"] >= SLOW, "data_type"]
    told = common(known, words) | {
        "upgrades": _upgrades(known),
        "back": known.verdict,
        "away": away_streams(known),
        "events": _events(known),
        "others": {"outages": len(others), "machines": machines_of(others), "causes": causes(others)},
        "concurrent": _concurrent(known, concurrent),
        "alerts": _alerts(known, noticed, windows, frequency),
        "slow": sorted(slow.unique()),
        "rule": _rule(known),
    }
    tables = {
        "lost": _lost_table(known, upgrades.head(_OUTAGES), words),
        "others": words.table(
            outage_cells(known, others.head(_OUTAGES), words),
            ["computer", "cause", "pair", "began", "downtime", "evidence"],
        ),
        "concurrent": _concurrent_table(known, concurrent.head(_CONCURRENT), words),
        "alerts": _alerts_table(known, noticed, words),
        "fired": _fired_table(known, windows, frequency, words),
    }
    return Page("gaps", words, told, tables)


def _upgrades(known):
    """Give the `summary` of upgrades, and the longest of them with a known end."""
    longest = known.upgrades["blind"]["longest"]
    row = None if longest is None else known.outages.loc[longest]
    return known.upgrades | {
        "longest": None if row is None else {"machine": visible(row["machine"], 80), "span": span(row)},
    }


def _events(known):
    events = known.events[known.events["cause"] == Cause.UPGRADE]
    loss = events[events["verdict"].isin(LOST)]
    return {
        "n": len(events),
        "loss": len(loss),
        "verdicts": Counter(events["verdict"]),
        "lost": loss[["data_type", "machine"]].drop_duplicates().to_dict("records"),
    }


def _concurrent(known, found):
    """Give the overlaps of outages in one group: how many, and the first of them."""
    if found.empty:
        return None
    certain = found[found["certain_s"] > 0]
    first = (certain if len(certain) else found).iloc[0]
    return {
        "certain": len(certain),
        "possible": len(found) - len(certain),
        "whole": int((certain["at_once"] == certain["members"]).sum()),
        "names": _members(known, first),
        "group": _group(first),
        "seconds": first["certain_s"] if len(certain) else first["possible_s"],
    }


def _members(known, stretch):
    return known.machines(known.outages.loc[list(stretch["rows"])])


def _group(stretch):
    return visible(stretch["group"].rsplit("/", 1)[-1], 80)


def _alerts(known, noticed, windows, frequency):
    """Count the outages that heartbeat alerts would have noticed; None where there was none to notice."""
    if noticed.empty:
        return None
    upgrade = known.silent["cause"] == Cause.UPGRADE
    safe, tripped = alert_coverage.safe_window(known.silent[upgrade]), []
    for window in windows:
        counts = noticed.loc[upgrade, f"alert {window}"].value_counts()
        if counts.get("misses", 0) < upgrade.sum():
            tripped.append({"window": window, **{name: int(counts.get(name, 0)) for name in ("fires", "depends")}})
    caught = None
    if safe is not None:
        by_safe = alert_coverage.verdicts(known.silent, known.horizon, [safe], frequency)[f"alert {safe}"]
        caught = int((by_safe[~upgrade] == "fires").sum())
    return {
        "upgrades": int(upgrade.sum()),
        "others": int((~upgrade).sum()),
        "frequency": f"{frequency:g}",
        "tripped": tripped,
        "safe": safe,
        "caught": caught,
        "outages": len(noticed),
        "shown": int((noticed["hourly share"] == "fires").sum()),
    }


def _rule(known):
    """Give the alert rule whose window no upgrade here trips; None where none can be recommended."""
    window = alert_coverage.safe_window(known.silent[known.silent["cause"] == Cause.UPGRADE])
    return None if window is None else {"window": window, "frequency": 5} | alert_coverage.rule(window, 5)


def _fired_table(known, windows, frequency, words):
    """Say of each outage which alerts fired, and from when on."""
    rows = by_severity(known.outages).head(_OUTAGES)
    table = outage_cells(known, rows, words)[["computer", "cause", "began"]]
    for window in windows:
        alert = alert_coverage.fired(known.silent.loc[rows.index], known.horizon, window, frequency)
        at = [
            words.heading("alert then") if pd.isna(when) else _after(words.moment(when), began)
            for when, began in zip(alert["earliest"], table["began"], strict=True)
        ]
        said = [
            words.heading(f"alert {verdict}").format(time=time)
            for verdict, time in zip(alert["verdict"], at, strict=True)
        ]
        table[words.heading("alert").format(n=window)] = said
    return words.table(table, list(table.columns))


def _after(when, began):
    """Leave out the day of an instant where it is that of another."""
    day, _, clock = when.partition(" ")
    return clock if began.startswith(f"{day} ") else when


def _lost_table(known, upgrades, words):
    """Give what each upgrade cost each data type, with the bounds where the brackets leave a choice."""
    lost = known.losses[known.losses["outage"].isin(upgrades.index)]
    types = list(by_type(lost).index)
    types += sorted(set(lost["data_type"]) - set(types))  # those of which every stream stayed away
    rows = {index: dict.fromkeys(types, "–") for index in upgrades.index}
    for (index, name), part in lost.groupby(["outage", "data_type"]):
        back = part[~part["away"]]
        away = words.heading("away").format(n=len(part) - len(back)) if len(back) < len(part) else ""
        numbers = [back[column].sum() for column in ("lost", "lost_low", "lost_high")]
        rows[index][name] = words.heading("unseen") if part["unseen"].all() else words.range(*numbers) + away
    cells = outage_cells(known, upgrades, words)[["computer", "pair", "began", "downtime"]]
    told = pd.concat([cells, pd.DataFrame.from_dict(rows, orient="index", columns=types)], axis=1)
    return words.table(told, list(told.columns))


def _concurrent_table(known, found, words):
    rows = []
    for _, row in found.iterrows():
        of = words.heading("of" if row["at_once"] == row["at_once_high"] else "of range")
        rows.append(
            {
                "machines": words.listed([visible(name, 80) for name in _members(known, row)]),
                "group": _group(row),
                "kind of group": words.heading(row["kind"]),
                "began": words.moment(row["start"]),
                "at_once": of.format(n=row["at_once"], high=row["at_once_high"], all=row["members"]),
                "certain": words.duration(row["certain_s"]),
                "possible": words.duration(row["possible_s"]),
            }
        )
    return words.table(rows, ["machines", "group", "kind of group", "began", "at_once", "certain", "possible"])


def _alerts_table(known, noticed, words):
    """Give for each alert and each availability figure how many outages it would have noticed."""
    upgrade = known.silent["cause"] == Cause.UPGRADE
    methods = [
        words.heading("alert").format(n=column.split()[1]) if column.startswith("alert ") else words.heading(column)
        for column in noticed
    ]
    counts = {
        words.heading(who) + words.heading(verdict): (noticed[rows] == verdict).sum().astype("int64").tolist()
        for who, rows in (("upgrades", upgrade), ("others", ~upgrade))
        for verdict in ("fires", "depends", "misses")
    }
    return pd.DataFrame(counts, index=methods).rename_axis(columns=words.heading("method"))
