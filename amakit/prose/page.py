"""A page: facts of an analysis, told by the templates of a language as named sections, and named tables."""

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import pandas as pd

from amakit.facts.actions import lacking_tables
from amakit.facts.gather import Facts
from amakit.facts.links import portal_links
from amakit.facts.silent_sources import stayed_away
from amakit.facts.situation import destinations, group_of, subscription_of
from amakit.facts.summary import by_type, worst
from amakit.prose.evidence import rendered
from amakit.prose.language import Language, environment, reflow, visible
from amakit.schemas import MACHINE, Cause
from amakit.study.groups import regions

if TYPE_CHECKING:
    from amakit.analysis import Analysis

#: Characters of a query on a page; all of them are in ``run.json``.
_LONGEST = 4_000
#: Columns that say where a machine is, as far as a table has them.
WHERE = ("place", "subscription id", "own region")
#: Rows of a table on a page; the worst come first, and all are in the result tables.
MOST = 500


@dataclass(frozen=True, eq=False)
class Page:
    """The named sections and tables of one page.

    A section is a macro of the template ``<name>.md.j2`` of the language, or of ``common.md.j2``; it is rendered when
    it is asked for.

    Attributes
    ----------
    name : str
        Of the template.
    words : Language
    facts : dict
        What the sections tell.
    tables : dict of str to pandas.DataFrame
        With headings in the language and times in its zone.

    Examples
    --------
    >>> import amakit
    >>> from amakit.prose.transitions import transitions
    >>> page = transitions(amakit.analyze(amakit.connect("demo"), "2026-03-02", "2026-03-02T01:00"))
    >>> page["timing"]
    'There was no upgrade whose time could be shown.'
    """

    name: str
    words: Language
    facts: dict
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)

    def __getitem__(self, section: str) -> str:
        """Give a section in Markdown."""
        return self.told(section)

    def told(self, section: str, *about: object) -> str:
        """Give a section in Markdown that is told about something."""
        return self._rendered(self._markdown, section, *about)

    @property
    def links(self) -> dict[str, str]:
        """Where the portal shows each machine, by its name as tables show it."""
        return {visible(name, 80): address for name, address in self.facts["links"].items()}

    def plain(self, section: str) -> str:
        """Give a section as plain text."""
        return self._rendered(self._plain, section)

    @cached_property
    def _markdown(self):
        return self._modules(markdown=True)

    @cached_property
    def _plain(self):
        return self._modules(markdown=False)

    def _modules(self, markdown):
        templates = environment(self.words, markdown)
        names = (f"{self.name}.md.j2", "common.md.j2")
        return [templates.get_template(name).make_module({"f": self.facts}) for name in names]

    def _rendered(self, modules, section, *about):
        told = next(getattr(module, section) for module in modules if hasattr(module, section))
        return reflow(str(told(*about)), self.words.joiner)


def common(known: Facts, words: Language) -> dict:
    """Give the facts that every page may tell: the window, the run, one outage closely, downtimes, hours of the week.

    Parameters
    ----------
    known : amakit.facts.gather.Facts
    words : Language
        Its zone is that in which hours are counted.

    Returns
    -------
    dict
    """
    from amakit.fetch.heartbeats import LOOKBACK

    analysis, run = known.analysis, known.analysis.run
    total = {name: sum(query[name] for query in run["queries"]) for name in ("rows", "bytes", "seconds")}
    links = portal_links(known)
    return {
        "links": links,
        "synthetic": run["synthetic"],
        "heartbeats": int(analysis.runs["beats"].sum()),
        "machines": len(analysis.machines),
        "start": analysis.window.start,
        "end": analysis.window.end,
        "horizon": known.horizon,
        "zone": words.timezone,
        "lookback": LOOKBACK.days,
        "run": {
            **total,
            "amakit": run["amakit"],
            "workspace": run["workspace"],
            "queries": len(run["queries"]),
            "hash": run["inputs_sha256"],
            "missing_tables": run["missing_tables"],
            "lacking": lacking_tables(run),
            "refused": run.get("refused"),
            "unknown": [with_instants(stretch) for stretch in run.get("unknown", [])],
        },
        "silent_sources": silent_sources(known),
        "destinations": [dated(one, links) for one in destinations(known)],
        "around": outage_closely(known),
        "downtimes": _downtimes(known),
        "hours": _hours(analysis, words.timezone),
    }


def dated(entry: dict, links: Mapping[str, str]) -> dict:
    """Give an entry of the situation with instants that a template can tell, and where the portal shows its machine."""
    return with_instants(entry) | {"address": links.get(entry["machine"], "")}


def with_instants(entry: dict) -> dict:
    """Turn the texts of instants in an entry into instants, which a page tells in its own zone."""
    own = ("since", "until", "taken", "start", "end")
    return entry | {name: value and pd.Timestamp(value) for name, value in entry.items() if name in own}


def silent_sources(known: Facts, most: int = 3) -> dict:
    """Give the worst silences of event sources that no outage of the agent explains, and how many more there are."""
    rows = stayed_away(known.analysis)
    worst = [
        {
            "source": visible(row.data_type if row.alone or not row.source else f"{row.data_type} ({row.source})", 120),
            "machine": visible(_name_in_workspace(known, row), 80),
            "since": row.silent_from,
            "until": None if row.ongoing else row.silent_to,
            "rows": int(float(f"{row.expected:.2g}")),
        }
        for row in rows.head(most).itertuples()
    ]
    return {"worst": worst, "more": max(0, len(rows) - most)}


def _name_in_workspace(known, row):
    name = known.names[row.resource_id, row.computer]
    return f"{name} · {row.workspace}" if hasattr(row, "workspace") else name


def outage_closely(known: Facts, outage: int | None = None) -> dict | None:
    """Give what one outage cost: by default that which `amakit.charts.around` shows; None where there is none."""
    outage = worst(known.outages) if outage is None else outage
    if outage is None:
        return None
    row = known.outages.loc[outage]
    lost = by_type(known.losses[known.losses["outage"] == outage])
    return {
        "machine": visible(row["machine"], 80),
        "cause": row["cause"],
        "ongoing": bool(row["ongoing"]),
        "span": span(row),
        "types": int((lost["lost_high"] > 0).sum()),
        "lost": {name: int(lost[name].sum()) for name in ("lost", "lost_low", "lost_high")},
    }


def span(outage: Mapping[str, float]) -> dict[str, float]:
    """Give the downtime of an outage with its bounds, in seconds."""
    return {"value": outage["downtime_s"], "low": outage["downtime_low_s"], "high": outage["downtime_high_s"]}


def causes(outages: pd.DataFrame) -> dict[str, int]:
    """Count outages by cause, in the order in which causes are listed."""
    counts = outages["cause"].value_counts()
    return {cause: int(counts[cause]) for cause in Cause if cause in counts}


def away_streams(known: Facts) -> list[dict]:
    """Give the streams that are missing although their agent goes on, with their machine and what they lost so far."""
    key = (known.away["data_type"] + " " + known.away["stream"].str.rstrip(" \\")).str.strip()
    return [
        {"stream": visible(stream, 120), "machine": visible(machine, 80), "lost": int(lost)}
        for stream, machine, lost in zip(key, known.away["machine"], known.away["lost"], strict=True)
    ]


def machines_of(frame: pd.DataFrame) -> int:
    """Count the machines of a frame."""
    return len(frame[MACHINE].drop_duplicates())


def shown_names(names: "pd.Series[str]") -> "pd.Series[str]":
    """Cut names as a table shows them."""
    return names.map(lambda name: visible(name, 80)).astype("str")


def outage_cells(known: Facts, outages: pd.DataFrame, words: Language) -> pd.DataFrame:
    """Give what every table of outages tells: machine, versions, when, why, and for how long with bounds."""
    told = rendered(outages, known.analysis.evidence, words.language, words.timezone)
    evidence = [visible("; ".join(statements), 2000) for statements in told]
    same = outages["from_version"] == outages["to_version"]
    pair = outages["from_version"] + " → " + outages["to_version"].replace("", "–")
    cells = {
        "computer": shown_names(outages["machine"]),
        **_where(known.analysis, outages),
        "pair": outages["from_version"].where(same, pair).map(lambda text: visible(text, 80)),
        "began": outages["start_earliest"].map(words.moment),
        "cause": outages["cause"].map(words.cause),
        "downtime": pd.Series([words.clock(span(row)) for _, row in outages.iterrows()], outages.index, dtype="object"),
        "evidence": pd.Series(evidence, outages.index, dtype="str"),
    }
    return pd.DataFrame(cells, index=outages.index)


def _where(analysis, rows):
    """Give the resource group of each machine; its subscription where there are several, its region where known."""
    subscriptions = analysis.machines["resource_id"].map(subscription_of)
    told = {"place": rows["resource_id"].map(group_of)}
    if subscriptions[subscriptions != ""].nunique() > 1:
        told["subscription id"] = rows["resource_id"].map(subscription_of)
    known = analysis.machines[MACHINE].assign(region=regions(analysis))
    if (known["region"] != "").any():
        told["own region"] = rows[MACHINE].merge(known, how="left", on=MACHINE)["region"].set_axis(rows.index)
    return {name: cells.map(lambda text: visible(text, 60)).astype("str") for name, cells in told.items()}


def parameters_table(known: Facts, words: Language) -> pd.DataFrame:
    """Give what was asked for, and with which versions it was answered."""
    run = known.analysis.run
    rows = {
        "workspace": run["workspace"],
        "window": f"{run['start']} – {run['end']}",
        "horizon": run["horizon"],
        "machines": ", ".join(run["machines"]) or words.heading("all machines"),
        "timezone": words.timezone,
        "language": words.language,
        **{name: run[name] for name in ("kept",) if name in run},
    }
    told = [{"parameter": words.heading(name), "value": visible(value, 2000)} for name, value in rows.items()]
    told += [
        {"parameter": words.heading("version of").format(name=name), "value": version}
        for name, version in {"amakit": run["amakit"], **run["versions"]}.items()
    ]
    return words.table(told, ["parameter", "value"])


def queries_table(known: Facts, words: Language) -> pd.DataFrame:
    """Give the size and the hash of each answer."""
    rows = [
        {
            "query": f"{n}. {visible(q['name'], 80)}",
            "rows": words.number(q["rows"]),
            "bytes": words.number(q["bytes"]),
            "seconds": f"{q['seconds']:.3f}",
            "sha256": q["sha256"][:16],
        }
        for n, q in enumerate(known.analysis.run["queries"], start=1)
    ]
    return words.table(rows, ["query", "rows", "bytes", "seconds", "sha256"])


def queries(analysis: "Analysis", language: str = "en") -> str:
    """Give every query as it was sent, in Markdown, folded away; a very long one is cut, and whole in ``run.json``.

    Parameters
    ----------
    analysis : Analysis
    language : {'en', 'ja'}

    Returns
    -------
    str
    """
    words, parts = Language(language), []
    for number, query in enumerate(analysis.run["queries"], start=1):
        text, more = query["text"][:_LONGEST], len(query["text"]) - _LONGEST
        text += f"\n{words.heading('cut').format(n=words.number(more))}" if more > 0 else ""
        text = "\n".join(visible(line) if not line.isascii() else line for line in text.split("\n"))
        fence = "`" * (max(map(len, re.findall("`+", text)), default=0) + 3)
        name = html.escape(f"{number}. {visible(query['name'], 80)}")  # Markdown is not read inside of HTML
        parts.append(f"<details><summary>{name}</summary>\n\n{fence}kql\n{text}\n{fence}\n\n</details>")
    return "\n\n".join(parts)


def _downtimes(known):
    """Say how long upgrades lasted, and how the product lines differ; None where none has a known end."""
    ended = known.outages.loc[(known.outages["cause"] == Cause.UPGRADE) & known.outages["downtime_s"].notna()]
    if ended.empty:
        return None
    middle = ended["downtime_s"].quantile([0.5, 0.9], interpolation="higher")
    lines = [{"os": os, "n": len(part), "median": part.median()} for os, part in ended.groupby("os_type")["downtime_s"]]
    return {"n": len(ended), "median": middle[0.5], "most": middle[0.9], "lines": lines}


def _hours(analysis, timezone):
    """Say when in the week and in the day upgrades came; None where there was none."""
    seen = analysis.transitions.query("kind == 'upgrade'")["first_new"].dt.tz_convert(timezone)
    if seen.empty:
        return None
    cells = pd.DataFrame({"day": seen.dt.day_of_week, "hour": seen.dt.hour}).value_counts().sort_index()
    day, hour = cells.idxmax()
    outside = int((~((seen.dt.day_of_week < 5) & seen.dt.hour.between(8, 17))).sum())
    return {"day": int(day), "hour": int(hour), "most": int(cells.max()), "upgrades": len(seen), "outside": outside}
