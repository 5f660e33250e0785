"""Notebook 04: does the fleet follow its releases, who is left behind, and did upgrades cause gaps?"""

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from amakit import inventory
from amakit.facts.gather import gather
from amakit.find.versions import version_key
from amakit.prose.language import Language, visible
from amakit.prose.page import Page, common, parameters_table, queries_table, shown_names
from amakit.schemas import MACHINE
from amakit.study import claims, excess_gaps
from amakit.study.compare import releases_compared
from amakit.study.groups import regions
from amakit.study.rollout import lags, stragglers, survival
from amakit.study.rollout import releases as known_releases

if TYPE_CHECKING:
    from amakit.analysis import Analysis

#: "Several weeks", as the documentation bounds it: a rollout takes eight weeks at most.
SEVERAL_WEEKS = 56
#: A chance smaller than this is taken for none.
_CERTAIN = 0.01
_ORIGINS = ("fleet", "group", "release")
_CELLS = ["machines", "reached", "before", "still waiting", "never", "undone", "left out", "median", "ninety"]
#: Reasons whose next step is to look at the switch for automatic upgrade.
_SWITCH = ("never_changed", "unsupported", "waiting")
#: Rows of the table of stragglers, those furthest behind first.
_STRAGGLERS = 500


def rollout(
    analysis: "Analysis", language: str = "en", timezone: str = "UTC", releases: pd.DataFrame | None = None
) -> Page:
    """Tell how late a fleet follows the releases, who is left behind and why, and whether upgrades caused gaps.

    Parameters
    ----------
    analysis : Analysis
    language : {'en', 'ja'}
    timezone : str
        Zone in which times are told.
    releases : pandas.DataFrame, optional
        As `amakit.study.rollout.releases.known` gives it, which is the default.

    Returns
    -------
    Page
        Sections data, standing, spread, claim, arrived, left, timing, effect, compared, limits, made; tables lags (of
        each version from each origin), places (from the first sighting in the fleet, by place and kind of machine),
        state, batches, stragglers (those furthest behind first), compared (upgrades to each release and to those before
        it), parameters, queries.

    Examples
    --------
    >>> import amakit
    >>> page = rollout(amakit.analyze(amakit.connect("demo"), "2026-03-02", "2026-03-02T01:00"))
    >>> page["spread"]
    'No version came into this fleet during the window.'
    """
    releases = known_releases.known() if releases is None else releases
    known, words = gather(analysis), Language(language, timezone)
    lag = {origin: lags.lags(analysis, releases, origin) for origin in ("start", *_ORIGINS)}
    curves = {origin: survival.summary(table) for origin, table in lag.items()}
    standing, left = stragglers.standing(analysis, releases), stragglers.stragglers(analysis, releases)
    left = left.assign(machine=[known.names[m] for m in left[MACHINE].itertuples(index=False, name=None)])
    started = stragglers.after_start(analysis)
    comparison = releases_compared(analysis)
    at = "region" if (regions(analysis) != "").any() else "place"
    told = common(known, words) | {
        "standing": _standing(standing),
        "inventory": _inventory(known),
        "stragglers": len(left),
        "spread": _spread(curves, lag),
        "claim": _claim(curves["release"]),
        "arrived": _arrived(known, releases),
        "reasons": Counter(left["reasons"].str[0]),
        "started": len(started.drop_duplicates(MACHINE)),
        "effect": _effect(excess_gaps.self_controlled(analysis)),
        "compared": _compared(comparison, words),
        "seen": claims.upgrades(analysis.transitions, analysis.outages)["seen"],
    }
    tables = {
        "lags": _lags_table(curves, words, at),
        "places": _places_table(lag["fleet"], curves["fleet"], words, at),
        "state": _state_table(standing, words, at),
        "batches": _batches_table(lag["start"], words),
        "stragglers": _stragglers_table(left.head(_STRAGGLERS), words),
        "compared": _compared_table(comparison, words),
        "parameters": parameters_table(known, words),
        "queries": queries_table(known, words),
    }
    return Page("rollout", words, told, tables)


def _inventory(known):
    """Say of how many machines an inventory tells the region, and whether automatic upgrade is on."""
    if known.inventory is None:
        return None
    analysis = known.analysis
    machines = pd.MultiIndex.from_frame(analysis.machines[MACHINE])
    return {
        "taken": pd.Timestamp(known.inventory["taken"]),
        "regions": int((regions(analysis) != "").sum()),
        "automatic": int(machines.isin(inventory.automatic(analysis.inventory).index).sum()),
    }


def _standing(standing):
    """Count the machines that have the newest release and those behind; None where none can be placed."""
    placed = standing[standing["behind"].notna()]
    late = placed[placed["behind"] > 0]
    if placed.empty:
        return None
    return {
        "placed": len(placed),
        "newest": len(placed) - len(late),
        "late": len(late),
        "unread": len(standing) - len(placed),
        "most": int(late["behind"].max()) if len(late) else 0,
    }


def _spread(curves, lag):
    """Give how the version with the most followers spread in each product line, from its first sighting or before."""
    table = curves["fleet"]
    table = table[table["upgraded"] > 1].sort_values("upgraded", ascending=False, kind="stable")
    table, batches, lines = table.drop_duplicates("os_type").sort_values("os_type"), lags.batches(lag["fleet"]), []
    for row in table.itertuples():
        own = batches[(batches["os_type"] == row.os_type) & (batches["version"] == row.version)]
        largest = own.loc[own["machines"].idxmax()]
        lines.append(
            {
                "os": row.os_type,
                "version": row.version,
                "machines": row.machines,
                "upgraded": row.upgraded,
                "half": _days(row, "median"),
                "ninety": _days(row, "ninety"),
                "batches": len(own),
                "most": int(largest["machines"]),
                "start": largest["start"],
            }
        )
    rest = curves["start"]
    rest = rest[~rest["os_type"].isin(table["os_type"])].sort_values("upgraded", ascending=False, kind="stable")
    before = [
        {
            "os": row.os_type,
            "version": row.version,
            "before": row.before,
            "after": row.before + row.upgraded,
            "machines": row.machines,
        }
        for row in rest.drop_duplicates("os_type").sort_values("os_type").itertuples()
    ]
    return {"lines": lines, "before": before}


def _claim(table):
    """Set the median lag of each version against "several weeks"."""
    table = table[(table["machines"] > 0) & (table["upgraded"] > 1)]
    later, within = table["median_low"] > SEVERAL_WEEKS, table["median_high"] <= SEVERAL_WEEKS
    return [
        {"os": row.os_type, "version": row.version, "days": _days(row, "median"), "verdict": verdict}
        for row, verdict in zip(
            table.itertuples(), np.select([later, within], ["later", "within"], "open"), strict=True
        )
    ]


def _arrived(known, releases):
    """Count the releases of the last year, and those that this fleet has seen; None where none is listed."""
    machines, runs = known.analysis.machines, known.analysis.runs
    recent = releases[
        releases["os_type"].isin(set(machines["os_type"]))
        & (releases["released_latest"] > known.horizon - stragglers.SUPPORTED)
        & (releases["released_earliest"] < known.horizon)
    ]
    if recent.empty:
        return None
    reported, listed = (
        [(os, version_key(version)) for os, version in frame[["os_type", "version"]].itertuples(index=False)]
        for frame in (runs, recent)
    )
    return {"versions": len(recent), "seen": sum(build in set(reported) for build in listed)}


def _effect(test):
    """Say what the test of gaps around upgrades gave; None where no upgrade could be compared."""
    if not test["upgrades"]:
        return None
    shares = [round(100 * one["gaps"] / one["upgrades"]) for one in test["placebo"].values()]
    return {
        "gaps": test["gaps"],
        "upgrades": test["upgrades"],
        "expected": test["expected"],
        "beside": test["beside"],
        "p": test["p_value"],
        "certain": test["p_value"] < _CERTAIN and test["gaps"] > test["expected"],
        "placebo": shares and {"days": max(map(abs, test["placebo"])), "least": min(shares), "most": max(shares)},
    }


def _compared(table, words):
    """Count what was compared, and give what differs."""
    shown = [
        {
            "os": row.os_type,
            "version": visible(row.release, 40),
            "measure": row.measure,
            "more": row.verdict == "more",
            "now": _measured(row.measure, row.now, words),
            "before": _measured(row.measure, row.before, words),
        }
        for row in table[table["verdict"].isin(["more", "less"])].itertuples()
    ]
    return {"n": len(table), "shown": shown, "few": int((table["verdict"] == "too_few").sum())}


def _measured(measure, value, words):
    """Tell a share, a length or a mean."""
    if pd.isna(value):
        return "–"
    if measure == "downtime_s":
        return words.duration(value)
    return f"{100 * value:.0f} %" if measure == "failed" else f"{value:.1f}"


def _compared_table(table, words):
    """Give what was compared, a row for each release and measure."""
    rows = [
        {
            "pair": visible(f"{row.os_type} {row.release}", 80),
            "measure": words.heading(f"measure {row.measure}"),
            "compared now": row.n_now,
            "value now": _measured(row.measure, row.now, words),
            "compared with": row.n_before,
            "value before": _measured(row.measure, row.before, words),
            "chance": "–"
            if pd.isna(row.p_value)
            else f"{100 * row.p_value:.1f} %"
            if row.p_value >= 0.001
            else "< 0.1 %",
            "verdict": words.heading(f"compared {row.verdict}"),
        }
        for row in table.itertuples()
    ]
    columns = ["compared now", "value now", "compared with", "value before", "chance", "verdict"]
    return words.table(rows, ["pair", "measure", *columns])


def _days(row, name):
    """Give the days after which a share was reached with their bounds; infinite where it was not."""
    return {"value": getattr(row, name), "low": getattr(row, f"{name}_low"), "high": getattr(row, f"{name}_high")}


def _lags_table(curves, words, at):
    """Give how many take part, had upgraded, had it before, have not yet, and by when half and nine in ten had."""
    rows = [
        {
            "pair": visible(f"{row.os_type} {row.version}", 80),
            "origin": words.heading(f"origin {'region' if (origin, at) == ('group', 'region') else origin}"),
            **_lag_cells(row, words),
        }
        for origin in _ORIGINS
        for row in curves[origin].itertuples()
        if row.machines and row.upgraded > 1
    ]
    return words.table(sorted(rows, key=lambda row: row["pair"]), ["pair", "origin", *_CELLS])


def _places_table(lag, curve, words, at):
    often = {(row.os_type, row.version) for row in curve.itertuples() if row.upgraded > 1}
    rows = [
        {
            "pair": visible(f"{row.os_type} {row.version}", 80),
            at: _place(row.place, words),
            "kind of machine": words.heading(row.resource_type),
            **_lag_cells(row, words),
        }
        for row in survival.summary(lag, ["place", "resource_type"], draws=100).itertuples()
        if row.machines and (row.os_type, row.version) in often
    ]
    return words.table(rows, ["pair", at, "kind of machine", *_CELLS])


def _state_table(standing, words, at):
    rows = []
    for (os_type, place, kind), own in standing.groupby(["os_type", "place", "resource_type"]):
        rows.append(
            {
                "os_type": visible(os_type, 40),
                at: _place(place, words),
                "kind of machine": words.heading(kind),
                "machines": len(own),
                "on newest": int((own["behind"] == 0).sum()),
                "silent": int((own["state"] == "silent").sum()),
                "releases behind": _whole(own["behind"].max(), words),
                "newest": visible(own["newest"].iloc[0], 40),
            }
        )
    return words.table(
        rows, ["os_type", at, "kind of machine", "machines", "on newest", "silent", "releases behind", "newest"]
    )


def _batches_table(lag, words):
    rows = [
        {
            "pair": visible(f"{row.os_type} {row.version}", 80),
            "when": words.time(row.start),
            "until": words.time(row.end),
            "machines": row.machines,
            "share": f"{100 * row.share:.0f} %",
        }
        for row in lags.batches(lag).itertuples()
    ]
    return words.table(rows, ["pair", "when", "until", "machines", "share"])


def _stragglers_table(left, words):
    """Give the machines that are left behind, why, and what to do."""
    rows = []
    for name, row in zip(shown_names(left["machine"]), left.itertuples(), strict=True):
        tries = "–" if not row.attempts else words.number(row.attempts)
        if row.attempts and pd.notna(row.spacing_s):
            tries = words.heading("apart").format(n=tries, spacing=words.duration(row.spacing_s))
        rows.append(
            {
                "computer": name,
                "pair": visible(f"{row.os_type} {row.version}", 80),
                "releases behind": _whole(row.behind, words),
                "age": _whole(row.age, words),
                "reasons": "; ".join(map(words.heading, row.reasons)),
                "tries": tries,
                "step": words.joiner.join(map(words.heading, _steps(row.reasons, row.automatic))),
            }
        )
    return words.table(rows, ["computer", "pair", "releases behind", "age", "reasons", "tries", "step"])


def _lag_cells(row, words):
    counts = (row.machines, row.upgraded, row.before, row.waiting, row.never_changed, row.undone, row.left_out)
    spans = (_narrow(_days(row, "median"), words), _narrow(_days(row, "ninety"), words))
    return dict(zip(_CELLS, [*counts, *spans], strict=True))


def _narrow(days, words):
    """Tell days with their bounds, as narrow as a table needs it."""
    value, low, high = (f"{v:.1f}" if np.isfinite(v) else "∞" if v > 0 else "…" for v in days.values())
    return value if value == low == high else words.bounds(value, low, high)


def _whole(number, words):
    return "–" if np.isnan(number) else words.number(round(number))


def _place(place, words):
    return visible(place.rsplit("/", 1)[-1], 80) if place else words.heading("nowhere")


def _steps(reasons, automatic):
    """Give the next steps that are worth telling: of the first reason, and of what is urgent by itself."""
    first, *others = reasons
    urgent = [reason for reason in others if reason in ("known_bad", "unsupported")]
    told = urgent if first == "waiting" and urgent else [first, *urgent]
    # nobody is to look whether it is on where the inventory says so
    on = automatic is not pd.NA and bool(automatic)
    return [f"step {reason} on" if on and reason in _SWITCH else f"step {reason}" for reason in told]
