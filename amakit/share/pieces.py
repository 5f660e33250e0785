"""What a snapshot copies: the pieces, each with the query that fetches its rows.

Inside the window every row is copied that a packaged query may read, with the columns that their heads name.  What is
read beyond the window depends on what is found, so the analysis is made once, and listened to: the rows of a machine
are copied as far before and behind the window as it was asked about.
"""

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from amakit.events.counts import content_columns, log_tables, source_columns
from amakit.fetch import heartbeats, samples
from amakit.intervals import Window
from amakit.kql.catalog import Query, packaged, query, render, table_parts
from amakit.kql.literals import literal
from amakit.recorded.horizon import ALL
from amakit.schemas import RECEIVED, tables
from amakit.share.pseudonyms import pseudonym

if TYPE_CHECKING:
    from amakit.analysis import Analysis
    from amakit.share.pseudonyms import Pseudonyms
    from amakit.source.workspace import Workspace

#: Tables with queries of their own; all others are logs, and read by the same queries.
KNOWN = ("Heartbeat", "AzureActivity", *samples.STREAMS)
#: What is known of machines at one instant, mostly after the window, is copied whole.
INVENTORY = "AgentInventory"
#: Queries that look for few rows of a table: the columns that nobody else reads stay empty in the other rows.
_RESTART = {"Event": "system_events", "Syslog": "syslog_boots", "Perf": "perf_uptime"}
#: So many rows make a file, or fewer; a service gives 500,000.
_ROWS = 250_000
_WINDOWS = 500
_TICK = pd.Timedelta(microseconds=1)
_KINDS = {"table": "table", "start": "datetime", "end": "datetime", "machines": "dynamic", "shared": "dynamic",
          "reach": "datatable", "streams": "datatable", "since": "datetime", "until": "datetime"}  # fmt: skip


@dataclass(frozen=True)
class Piece:
    """One file to come: the query that fetches its rows, and the query as the manifest tells it."""

    file: str
    query: Query
    values: dict
    told: str


class Listener:
    """A workspace that remembers what it was asked."""

    def __init__(self, workspace: "Workspace") -> None:
        self._workspace, self.heard = workspace, []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._workspace, name)

    def ask(self, name: str | Query, **values: object) -> pd.DataFrame:
        """Ask as a workspace does."""
        return self.ask_all(name, [values])[0]

    def ask_all(self, name: str | Query, several: Iterable[dict]) -> list[pd.DataFrame]:
        """Ask as a workspace does, and remember."""
        several = list(several)
        answers = self._workspace.ask_all(name, several)
        self.heard += zip([name] * len(several), several, answers, strict=True)
        return answers


# -- what is to be copied ----------------------------------------------------------------------------------------


def plan(
    workspace: "Workspace", found: "Analysis", heard: list[tuple], machines: list[str], known: "Pseudonyms | None"
) -> Iterator[Piece]:
    """Give every piece: inside the window for all rows, beyond it for what the analysis asked about.

    Parameters
    ----------
    workspace : Workspace
    found : Analysis
    heard : list of tuple
        What the analysis asked, from a `Listener`.
    machines : list of str
        Those that are wanted, in lower case; none for all.
    known : amakit.share.pseudonyms.Pseudonyms or None
        For the text of the queries, as it is told.

    Yields
    ------
    Piece
    """
    span = found.window
    beyond = _beyond(heard, span, set(found.machines["computer"]) if machines else None)
    names = sorted({*machines, *found.machines["resource_id"], *found.machines["computer"]} - {""}) if machines else []
    sets = {name.partition("/virtualmachines/")[0] for name in names if "scalesets/" in name}
    wide = Window(span.start - pd.Timedelta(days=1), span.end + heartbeats.LOOKAHEAD)
    for table in _tables(workspace):
        shared = next((v["shared"] for _, v, _ in heard if v.get("table") == table and "shared" in v), [])
        given = {"table": table, "shared": shared, "machines": sorted({*names, *sets})}
        given |= {"since": wide.start, "until": wide.end}
        ask = lambda stem, made, cut, table=table, given=given, **more: _piece(  # noqa: E731
            f"{table}/{stem}.parquet", made, given | more | {"start": cut.start, "end": cut.end}, known
        )
        rows = _copy(workspace, table, bool(names))
        for cut in _cuts(workspace, table, span, given, bool(names)):
            yield ask(_stem(cut.start), rows, cut)
        if table in ("AzureActivity", "Event", "Syslog"):
            said = _copy(workspace, table, bool(names), "only")
            yield ask("before-said", said, Window(wide.start, span.start))
            yield ask("after-said", said, Window(span.end, wide.end))
        if names and table not in KNOWN:
            for cut in span.slices():
                yield ask(f"edges-{_stem(cut.start)}", _edges(workspace, table), cut)
        reach, streams = beyond.get(table, (None, None))
        if reach is not None:
            far = _copy(workspace, table, False, "not" if table in _RESTART and table != "Perf" else "", list(reach))
            for side, first, last in (("before", None, span.start), ("after", span.end, None)):
                since, until = reach["Since"].clip(lower=first), reach["Until"].clip(upper=last)
                own = reach.assign(Since=since, Until=until)[since < until].sort_values(list(reach), ignore_index=True)
                for at in range(0, len(own), _WINDOWS):
                    part = own.iloc[at : at + _WINDOWS]
                    for cut in Window(part["Since"].min(), part["Until"].max()).slices():
                        near = part[(part["Since"] < cut.end) & (part["Until"] > cut.start)]
                        stem = f"{side}-{at // _WINDOWS}-{_stem(cut.start)}"
                        yield ask(stem, far, cut, reach=near, streams=streams)
    yield from _of_inventory(workspace, heard, {*names, *sets}, known)


def _of_inventory(workspace, heard, names, known):
    """Give the piece of the inventory, if there is one; of some machines by what their heartbeats call them."""
    if INVENTORY in workspace.tables:
        hardware = {vm for name, _, rows in heard if name == "heartbeat_days" for vm in rows["Vm"].dropna()} - {""}
        given = {"machines": sorted(names | hardware) if names else [], "start": ALL.start, "end": ALL.end}
        yield _piece(f"{INVENTORY}/all.parquet", _inventory(workspace, bool(names)), given, known)


def _tables(workspace):
    known = [table for table in workspace.tables if table in KNOWN and "TimeGenerated" in workspace.columns(table)]
    return [*known, *log_tables(workspace)]


def _stem(when):
    return when.strftime("%Y%m%dT%H%M%S.%fZ" if when.microsecond else "%Y%m%dT%H%M%SZ").replace(".", "_")


def _beyond(heard, span, computers):
    """Say for each table how far its rows were asked for, for each machine and, where there are any, stream.

    A machine is read from the first instant before the window that was asked about to the last behind it.  A stream
    that is asked for with several reaches has the widest.
    """
    asked = {}
    for name, values, answer in heard:
        table = values.get("table") or next(iter(query(name).reads))
        groups = asked.setdefault(table, {})
        if "windows" in values:
            streams = ("",) if name == "perf_uptime" else tuple(values.get("streams", ()))
            groups.setdefault(streams, []).append(values["windows"])
        elif name == "heartbeat_machines":
            beat = answer["LastBeat" if values["start"] < span.start else "FirstBeat"]
            one = answer[["ResourceId", "Computer"]].assign(Start=beat, End=beat + _TICK)
            groups.setdefault((), []).append(one if computers is None else one[one["Computer"].isin(computers)])
    found = {}
    for table, groups in ((table, groups) for table, groups in asked.items() if groups):
        frames = {streams: pd.concat(parts, ignore_index=True) for streams, parts in groups.items()}
        wide = sorted(frames, key=lambda streams: ((frames[streams]["End"] - frames[streams]["Start"]).sum(), streams))
        tier = {stream: number for number, streams in enumerate(wide) for stream in streams}
        whole = pd.concat([frame.assign(Tier=wide.index(streams)) for streams, frame in frames.items()])
        if table == "Perf":
            tier[""] = len(wide) - 1  # every uptime counter
        keys = [c for c in ("ResourceId", "Computer", "Key", "Tier") if c in whole and (c != "Tier" or tier)]
        reach = whole.groupby(keys).agg(Since=("Start", "min"), Until=("End", "max")).reset_index()
        reach = reach[(reach["Since"] < span.start) | (reach["Until"] > span.end)]
        if len(reach):
            found[table] = reach, pd.DataFrame(sorted(tier.items()), columns=["Stream", "Tier"])
    return found


def _cuts(workspace, table, span, given, some):
    """Cut the window into days, and days with many rows into parts of the same length."""
    text = "\n| ".join([*_lines(table, some), "summarize Rows = count() by Day = startofday(TimeGenerated)"])
    counting = _made(table, text, _reads(workspace, table)[0], {"Day": "datetime", "Rows": "long"}, ("days",))
    calls = [given | {"start": cut.start, "end": cut.end} for cut in span.slices()]
    days = pd.concat(workspace.ask_all(counting, [_fitting(counting, call) for call in calls]))
    many = days.set_index("Day")["Rows"].to_dict()
    for day in span.slices(1):
        parts = 2 ** max(0, math.ceil(math.log2(max(1, many.get(day.start.normalize(), 0)) / _ROWS)))
        length = (day.end - day.start) / parts
        edges = [(day.start + n * length).floor("us") for n in range(parts)] + [day.end]
        yield from map(Window, edges, edges[1:])


# -- the queries -------------------------------------------------------------------------------------------------


def _reads(workspace, table):
    """Give the columns that packaged queries read of a table, with the type of those that are there.

    And those of them that only queries which look for few rows read; and those that only tell rows apart, of which a
    hash does as well as the text.
    """
    reads = {}
    for name, packed in packaged().items():
        stands = any(kind == "table" for kind, _ in packed.parameters.values())
        first = next(iter(packed.reads.values()))
        reads[name] = (first if table not in KNOWN else ()) if stands else packed.reads.get(table, ())
    there = workspace.columns(table) | (RECEIVED if workspace.live else {})
    content = () if table in KNOWN else tuple(content_columns(workspace, table))
    reads["source"] = () if table in KNOWN else tuple(source_columns(workspace, table))
    usual = tables()[table if table in tables() else "WindowsEvent"]
    read = dict.fromkeys([*(c for columns in reads.values() for c in columns), *content])
    wanted = [c for c in read if c in there or c in usual]
    rare = set(reads.pop(_RESTART.get(table, ""), ())) - {c for columns in reads.values() for c in columns}
    apart = {c for c in content if there.get(c) in ("string", "dynamic")}
    apart -= {c for columns in reads.values() for c in columns}
    types = {c: "string" if c in apart else there[c] for c in wanted if c in there}
    return wanted, types, rare - apart, apart


def _condition(table, key):
    """Write a condition on the rows of a table, if there is one."""
    return " and ".join(f"({text})" for text in table_parts().get(table, {}).get(key, ()))


def _lines(table, some):
    """Begin a query over a table as the packaged ones do; ``some`` machines or all."""
    parts, condition = table_parts(), _condition(table, "where")
    lines = ["{table}", "where TimeGenerated >= {start} and TimeGenerated < {end}"]
    lines += [f"extend {text}" for text in (parts["events"] | parts.get(table, {}))["extend"]]
    lines += [f"where {condition}"] if condition else []
    if some and table == "AzureActivity":
        ids = (f'tostring(split(tolower({column}), "/extensions/")[0])' for column in ("_ResourceId", "ResourceId"))
        lines.append("where " + " or ".join(f"{one} in ({{machines}})" for one in ids))
    elif some:
        lines.append("where ResourceId in ({machines}) or Computer in ({machines})")
    return lines


def _copy(workspace, table, some, saying="", reach=()):
    """Make the query for rows of a table: all, ``only`` or ``not`` those that say something, or within a reach."""
    wanted, there, rare, apart = _reads(workspace, table)
    lines = _lines(table, some)
    if "Computer" in there:
        lines.insert(2, "extend Spelled = Computer")  # before it becomes lower case
    condition = _condition(table, "restart")
    if table == "Perf":
        lines.append(f'extend Stream = iff({condition}, "", Stream)')
    if saying and condition:
        own = f"{condition} and TimeGenerated >= {{since}} and TimeGenerated < {{until}}"
        lines.append(f"where {own}" if saying == "only" else f"where not({own})")
    head = ""
    if reach:
        head = "let Reach = {reach};\n"
        if "Tier" in reach:
            head += "let Streams = {streams};\n"
            lines.append("join kind=inner Streams on Stream")
        lines.append(f"join kind=inner Reach on {', '.join(c for c in reach if c not in ('Since', 'Until'))}")
        lines.append("where TimeGenerated >= Since and TimeGenerated < Until")
    cells = {c: f"{c} = Spelled" if c == "Computer" else c for c in there}
    cells |= {c: f"{c} = iff({condition}, {c}, {literal(None, there[c])})" for c in there if c in rare}
    for column in sorted(apart):  # equal texts have equal hashes, and what else is in them is nobody's
        text = f'iff(isempty({column}), "", hash_md5(tostring({column})))'
        cells[column] = f"{column} = " + (f"iff({condition}, tostring({column}), {text})" if condition else text)
    if "Claims" in cells:  # they hold names and addresses of people; of them the application's id alone is read
        cells["Claims"] = r'Claims = extract("\"appid\"\\s*:\\s*\"[^\"]+\"", 0, Claims)'
        cells |= {c: f"{c} = {literal(None, there[c])}" for c in ("Claims_d",) if c in there}
    text = head + "\n| ".join([*lines, f"project {', '.join(cells.values())}"])
    strings = [column for column, kind in there.items() if kind in ("string", "guid")]
    return _made(table, text, wanted, there, ("instants", "TimeGenerated", *strings))


def _inventory(workspace, some):
    """Make the query for an inventory, whenever it was taken: all of it, or the subscriptions and some machines."""
    there = {c: kind for c, kind in workspace.columns(INVENTORY).items() if c in tables()[INVENTORY]}
    lines = [INVENTORY, "where TimeGenerated >= {start} and TimeGenerated < {end}"]
    if some:
        owns = " or ".join(f"{column} in~ ({{machines}})" for column in ("_ResourceId", "Computer", "VMUUID"))
        lines.append(f'where Kind == "subscription" or {owns}')
    lines.append(f"project {', '.join(there)}")
    return _made(INVENTORY, "\n| ".join(lines), list(there), there, ("none",))


def _edges(workspace, table):
    """Make the query for the first and last row of each day, whosever: between them a table of events is trusted."""
    ends = ", ".join(f"(Times | summarize TimeGenerated = {end}(TimeGenerated) by Day)" for end in ("min", "max"))
    text = "let Times = materialize({table}\n| where TimeGenerated >= {start} and TimeGenerated < {end}\n"
    text += "| project TimeGenerated, Day = startofday(TimeGenerated));\n" + f"union {ends}\n| distinct TimeGenerated"
    return _made(table, text, ["TimeGenerated"], {"TimeGenerated": "datetime"}, ("days",))


def _made(table, text, wanted, returns, parts):
    usual = table if table in tables() else "WindowsEvent"
    places = dict.fromkeys(re.findall(r"\{(\w+)\}", text))
    parameters = {place: (_KINDS[place], "of the snapshot") for place in places}
    return Query(f"snapshot of {table}", "", {usual: tuple(wanted)}, parameters, returns, "", parts, text, text)


def _fitting(made, values):
    return {key: values[key] for key in made.parameters}


def _piece(file, made, values, known):
    values = _fitting(made, values)
    told = values if known is None else {key: _veiled(value, known) for key, value in values.items()}
    return Piece(file, made, values, render(made, **told))


# -- pseudonyms --------------------------------------------------------------------------------------------------


def alias(name: str, key: bytes) -> str:
    """Give the pseudonym of a machine's name or id, or of both as events are told apart by them."""
    if key is None:
        return name
    if not name.startswith("/"):
        return pseudonym(key, "machine", name)
    resource, space, computer = name.partition(" ")
    return pseudonym(key, "resource", resource) + (space + pseudonym(key, "machine", computer) if space else "")


def _veiled(value, known):
    """Replace names in a value of a query."""
    if isinstance(value, list):
        return sorted(alias(name, known.key) for name in value)
    if not isinstance(value, pd.DataFrame):
        return value
    named = [column for column in ("ResourceId", "Computer", "Key") if column in value]
    mapped = {column: value[column].map(lambda name: alias(name, known.key)) for column in named}
    mapped |= {"Stream": value["Stream"].map(known.text)} if "Stream" in value else {}
    return value.assign(**mapped).sort_values(list(value), ignore_index=True)
