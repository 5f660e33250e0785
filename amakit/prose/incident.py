"""Notebook 03: did the agent upgrade lose our logs?  The write-up of a window, as an incident needs it."""

import functools
import json
from collections import Counter
from typing import TYPE_CHECKING

import pandas as pd

from amakit.causes.operations import ON_AGENT
from amakit.facts.gather import gather
from amakit.facts.situation import situation
from amakit.facts.summary import blind, by_severity, by_type
from amakit.prose.language import Language, visible
from amakit.prose.page import (
    MOST,
    WHERE,
    Page,
    away_streams,
    causes,
    common,
    dated,
    machines_of,
    outage_cells,
    parameters_table,
    queries_table,
    shown_names,
    span,
    with_instants,
)
from amakit.prose.record import SCHEMA, record
from amakit.prose.ticket import ticket
from amakit.schemas import MACHINE, Cause, Verdict, of_outages
from amakit.study.absences import absences, peak
from amakit.study.groups import ATTEMPTS, FAILED

if TYPE_CHECKING:
    from amakit.analysis import Analysis

#: Parts of the situation with an instant in each entry.
_DATED = ("down", "off", "partial", "stopped_sources", "silences", "doubtful", "destinations")
_DECIDED = (Verdict.RECOVERED, Verdict.NONE_EXPECTED)


def incident(analysis: "Analysis", language: str = "en", timezone: str = "UTC") -> Page:
    """Tell what a window did to the logs: what happened, what it cost, on what evidence, and what to do next.

    Parameters
    ----------
    analysis : Analysis
    language : {'en', 'ja'}
    timezone : str
        Zone in which times are told; UTC stands beside them where it is another one.

    Returns
    -------
    Page
        Sections data, verdict, timeline, periodic, event_rows, downtimes, evidence, around, attempts, limits, actions,
        made; tables timeline (in the order of time), periodic, events, doubts (pairs of outage and event table that may
        have lost rows, or cannot be decided), evidence (the worst outage first), activity, attempts, parameters,
        queries.  Of more than 500 rows the worst stay.

    Examples
    --------
    >>> import amakit
    >>> page = incident(amakit.analyze(amakit.connect("demo"), "2026-03-02", "2026-03-02T01:00"))
    >>> page["attempts"]
    'No outage between 2026-03-02 00:00 and 2026-03-02 01:00 was an upgrade that failed.'
    """
    return _page(gather(analysis), Language(language, timezone))


@functools.lru_cache(maxsize=1)  # lies beside each page of a window
def document(analysis: "Analysis", language: str = "en", timezone: str = "UTC") -> str:
    """Give all facts as the text of ``facts.json``.

    Parameters
    ----------
    analysis : Analysis
    language : {'en', 'ja'}
        Of the sentence in it.
    timezone : str
        Zone of the sentence; every other time is in UTC.

    Returns
    -------
    str
        JSON in ASCII, so that nothing in it is unseen: what `amakit.prose.record.record` gives, its headline as
        ``sentence``, and the whole in words as ``ticket``.

    Examples
    --------
    >>> import amakit
    >>> found = amakit.analyze(amakit.connect("demo"), "2026-03-02", "2026-03-02T01:00")
    >>> json.loads(document(found))["schema"]
    'amakit.facts/2'
    """
    known, words = gather(analysis), Language(language, timezone)
    page = Page("incident", words, _told(known, words))
    head = {"schema": SCHEMA, "sentence": page.plain("headline"), "language": language, "timezone": timezone}
    head["ticket"] = ticket(page)
    return json.dumps(head | record(known), indent=1, allow_nan=False) + "\n"


def _page(known, words):
    tables = {
        "timeline": _timeline_table(known, words),
        "periodic": _periodic_table(known, words),
        "events": _events_table(known, words),
        "doubts": _doubts_table(known, words),
        "evidence": _evidence_table(known, words),
        "activity": _activity_table(known, words),
        "attempts": _attempts_table(known, words),
        "parameters": parameters_table(known, words),
        "queries": queries_table(known, words),
    }
    return Page("incident", words, _told(known, words), tables)


@functools.lru_cache(maxsize=1)  # for the page and for what lies beside it
def _told(known, words):
    analysis, outages = known.analysis, known.outages
    longest = blind(outages)["longest"]
    hardest = known.verdict["blind"]["longest"]
    counted = {*known.attempted["lost"], *known.others["lost"]}
    unseen = sorted(visible(name, 80) for name in {*known.attempted["unseen"], *known.others["unseen"]} - counted)
    acts = len(set(analysis.activity["outage"])) if len(analysis.activity) else 0
    now, shared = situation(known), common(known, words)
    return shared | {
        "now": now | {key: [dated(one, shared["links"]) for one in now[key]] for key in _DATED},
        "urgent": _urgent(now),
        "by_inventory": _by_inventory(known.inventory),
        "verdict": known.verdict,
        "total": _total(known.attempted),
        "peak": _peak(known),
        "longest": None if hardest is None else _longest(outages, hardest),
        "outages": {
            "n": len(outages),
            "machines": machines_of(outages),
            "causes": causes(outages),
            "longest": None if longest is None else _longest(outages, longest),
        },
        "attempted": known.attempted,
        "others": known.others | {"total": _total(known.others)},
        "unseen": unseen,
        "away": away_streams(known),
        "acts": acts,
        "unexplained": int((outages["cause"] == Cause.UNEXPLAINED).sum()),
        "attempts": _attempts(known.attempts) | {"beside": _failed_beside(known)},
        "limits": [with_instants(one) for one in known.limits],
        "actions": [with_instants(one) | _to_attach(known, one) for one in known.actions],
    }


def _peak(known):
    """Give the hour with the most machines without an agent."""
    worst = peak(absences(known.outages, known.analysis.window, known.analysis.known_until(known.outages)))
    return None if worst is None else worst.to_dict()


def _urgent(now):
    """Count the machines that need somebody now, and those that are to be looked at."""
    down = {one["machine"] for one in now["down"]}
    look = {one["machine"] for key in ("partial", "stopped_sources", "silences", "doubtful") for one in now[key]}
    look |= {one["machine"] for one in now["destinations"] if one["until"] is None}
    look -= down
    return {"down": len(down), "look": len(look)}


def _by_inventory(listing):
    """Count the machines that an inventory says are to be looked at; None where there is none of them."""
    look = {one["machine"] for part in ("unheard", "failed") for one in listing[part]} if listing else set()
    return {"n": len(look), "taken": pd.Timestamp(listing["taken"])} if look else None


def _longest(outages, index):
    return {"machine": visible(outages.loc[index, "machine"], 80), "span": span(outages.loc[index])}


def _total(summary):
    """Add up the losses of a summary over its data types."""
    total = {name: sum(row[name] for row in summary["lost"].values()) for name in ("lost", "lost_low", "lost_high")}
    return total | {"types": [visible(name, 80) for name, row in summary["lost"].items() if row["lost_high"]]}


def _attempts(chains):
    """Count the outcomes of upgrades that failed, and how long the next attempt was waited for."""
    last = {chain["machine"]: chain["outcome"] for chain in chains}
    waits = pd.Series(
        [t["wait_s"] for chain in chains for t in chain["attempts"] if t["wait_s"] is not None], dtype="float64"
    )
    return {
        "machines": len(last),
        "outcomes": Counter(last.values()),
        "waits": len(waits),
        "median": waits.quantile(0.5, interpolation="higher"),
        "shortest": waits.min(),
        "longest": waits.max(),
    }


def _failed_beside(known):
    """Count the outages of other causes beside which an operation on the agent's extension failed."""
    evidence = known.analysis.evidence
    failed = of_outages(evidence[evidence["kind"].isin(ON_AGENT) & (evidence["status"] == "failed")], known.outages)
    return int((~known.outages.loc[failed["outage"].unique(), "cause"].isin(FAILED)).sum())


def _to_attach(known, action):
    """Give for a support request the systems whose logs are to be attached."""
    if action["kind"] != "support":
        return {}
    fleet = known.analysis.machines
    called = [known.names[machine] for machine in fleet[MACHINE].itertuples(index=False, name=None)]
    concerned = fleet[pd.Series(called, index=fleet.index).isin(action["machines"])]
    systems = [os for os in ("Windows", "Linux") if (concerned["os_type"] == os).any()]
    arc = concerned["resource_id"].str.contains("/microsoft.hybridcompute/", regex=False).any()
    return {"systems": [*systems, *(["Arc"] if arc else [])] or ["Windows", "Linux"]}


def _timeline_table(known, words):
    """Give the outages in the order of time; where there are too many, the worst of them."""
    outages = by_severity(known.outages).head(MOST).sort_values("start_earliest", kind="stable")
    back = [words.heading("unended") if pd.isna(end) else words.moment(end) for end in outages["end_latest"]]
    lost = [words.range(*row) for row in outages[["lost", "lost_low", "lost_high"]].itertuples(index=False, name=None)]
    cells = outage_cells(known, outages, words).rename(columns={"began": "when"})
    cells = cells.assign(
        **{
            "when utc": outages["start_earliest"].map(lambda when: f"{when:%Y-%m-%d %H:%M:%S}"),
            "back at": pd.Series(back, outages.index, dtype="str"),
            "lost": pd.Series(lost, outages.index, dtype="str"),
        }
    )
    utc = [] if words.timezone == "UTC" else ["when utc"]
    where = [name for name in WHERE if name in cells]
    return words.table(cells, ["computer", *where, "when", *utc, "back at", "cause", "pair", "downtime", "lost"])


def _periodic_table(known, words):
    """Give for each data type how it is sampled and what was lost."""
    of_attempts = known.losses["outage"].isin(known.outages.index[known.outages["cause"].isin(ATTEMPTS)])
    parts = {"attempts lost": known.losses[of_attempts], "others lost": known.losses[~of_attempts]}
    by_part = {name: by_type(part) for name, part in parts.items()}
    surely = parts["attempts lost"].query("not away and lost_low > 0").groupby("data_type")["outage"].nunique()
    rows = [
        {
            "data_type": visible(name, 80),
            "every": words.interval(row["interval_s"]),
            **{part: _lost_of(table, name, words) for part, table in by_part.items()},
            "hit": words.number(int(surely.get(name, 0))),
        }
        for name, row in by_type(known.losses).iterrows()
    ]
    return words.table(rows, ["data_type", "every", "attempts lost", "others lost", "hit"])


def _lost_of(by_type, data_type, words):
    if data_type not in by_type.index:
        return "–"
    row = by_type.loc[data_type]
    return words.heading("unseen") if row["unseen"] else words.range(*row[["lost", "lost_low", "lost_high"]])


def _events_table(known, words):
    """Give for each table of events how many outages by upgrades and failed attempts ended in which verdict."""
    events, rows = known.events[known.events["cause"].isin(ATTEMPTS)], []
    verdicts = [verdict for verdict in Verdict if (events["verdict"] == verdict).any()]
    for name, part in events.groupby("data_type"):
        delay = part["max_delay_s"].max()
        rows.append(
            {
                "data_type": visible(name, 80),
                **{str(kind): words.number(int((part["verdict"] == kind).sum())) for kind in verdicts},
                "rows_inside": words.number(int(part["rows_inside"].sum())),
                "expected": f"{part['expected'].sum():,.1f}",
                "max_delay": "–" if pd.isna(delay) else words.duration(delay),
            }
        )
    return words.table(rows, ["data_type", *verdicts, "rows_inside", "expected", "max_delay"])


def _doubts_table(known, words):
    """Give the pairs of outage and event table that may have lost rows, or cannot be decided."""
    rows = known.events[~known.events["verdict"].isin(_DECIDED)]
    rows = rows.assign(open=rows["verdict"] == Verdict.UNDETERMINED)
    rows = rows.sort_values(["open", "verdict", "outage_start"]).head(MOST)
    cells = rows.assign(
        computer=shown_names(rows["machine"]),
        when=rows["outage_start"].map(words.moment),
        data_type=shown_names(rows["data_type"]),
        verdict=rows["verdict"].map(words.heading),
        source=shown_names(rows["source"]),
        rows_inside=["–" if pd.isna(n) else words.number(int(n)) for n in rows["rows_inside"]],
        expected=["–" if pd.isna(n) else f"{n:,.1f}" for n in rows["expected"]],
    )
    return words.table(cells, ["computer", "when", "data_type", "source", "verdict", "rows_inside", "expected"])


def _evidence_table(known, words):
    """Give each outage with its cause and every statement that the cause rests on, the worst first."""
    cells = outage_cells(known, by_severity(known.outages).head(MOST), words).rename(columns={"began": "when"})
    return words.table(cells, ["computer", "cause", "pair", "when", "evidence"])


def _activity_table(known, words):
    """Give the rows of the activity log that lie beside outages."""
    acts, rows = known.analysis.activity, []
    for act in acts.sort_values(["began", "operation", "correlation", "outage"]).itertuples() if len(acts) else ():
        rows.append(
            {
                "computer": visible(known.outages["machine"][act.outage], 80),
                "when": words.moment(act.began),
                "operation": visible(act.operation.partition("/")[2] or act.operation, 200),  # without its provider
                "status": visible(act.status, 80),
                "caller": visible(act.caller, 200),
                "correlation": visible(act.correlation, 80),
            }
        )
    rows = list({tuple(row.values()): row for row in rows}.values())[:MOST]  # one may lie beside two outages
    return words.table(rows, ["computer", "when", "operation", "status", "caller", "correlation"])


def _attempts_table(known, words):
    """Give each chain of attempts."""
    rows = []
    for chain in known.attempts[:MOST]:
        starts = [pd.Timestamp(attempt["start"]) for attempt in chain["attempts"]]
        steps = [
            f"{words.cause(attempt['cause'])} {words.moment(start)}"
            for attempt, start in zip(chain["attempts"], starts, strict=True)
        ]
        took = words.duration((starts[-1] - starts[0]).total_seconds()) if len(starts) > 1 else "–"
        rows.append(
            {
                "computer": visible(chain["machine"], 80),
                "series": " → ".join(steps),
                "outcome": words.cause(chain["outcome"]),
                "took": took,
            }
        )
    return words.table(rows, ["computer", "series", "outcome", "took"])
