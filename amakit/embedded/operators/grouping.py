"""Summaries that duckdb-kql has not in every form, and operators that run once a group."""

from amakit.embedded.operators.rewrites import operator
from amakit.embedded.operators.steps import Steps, refuse
from amakit.kql.text import arguments, bare, calls, clauses, named, operator_of, parameters, quoted, split, tokens

_LISTS = {"make_list": "kql_ordered_list", "make_set": "kql_ordered_set", "makelist": "kql_ordered_list",
          "makeset": "kql_ordered_set"}  # fmt: skip
#: The old names cut after so many elements.
_OLD = {"makelist": "128", "makeset": "128"}
#: Aggregates that need to know whether they are about times.
_OF_TIMES = ("avg", "avgif")
_REWRITTEN = frozenset(
    {"percentiles", "percentiles_array", "any", "take_any", "arg_max", "arg_min", "argmax", "argmin", *_LISTS}
)


@operator("summarize")
def _summarize(steps, text, rest, ordered):
    _, tail = parameters(rest)
    text, tail = _timespans(steps, text, _counts_of_values(tail))
    if not any(calls(tail, _REWRITTEN)):
        return f"{text}\n| summarize {tail}"
    parts = clauses(tail, ("by",))
    by = f" by {parts['by']}" if parts.get("by") else ""
    lists = ordered and any(calls(parts[""], _LISTS))
    if lists:
        text = quoted(steps.in_order(text).name)
    wanted = [piece for part in split(parts[""], ",") for piece in aggregate(steps, text, part.strip(), parts, lists)]
    return f"{text}\n| summarize {', '.join(wanted)}{by}"


def _counts_of_values(tail):
    """Write count(x) as duckdb-kql can read it."""
    for _, given, start, end in reversed([call for call in calls(tail, {"count"}) if call[1]]):
        tail = f"{tail[:start]}kql_count({given}){tail[end:]}"
    return tail


def _timespans(steps, text, tail):
    """Let the mean of timespans be a timespan: of columns that the query made, and of differences."""
    done = 0
    while call := next((c for c in calls(tail, _OF_TIMES) if c[2] >= done), None):
        function, given, start, end = call
        done = start + 1
        value = arguments(given)[0]
        if (value in steps.words and _plain(value)) or any(t.word == "-" for t in tokens(value)):
            relation = steps.relation(text)
            text = quoted(relation.name)
            kind = relation.columns.get(value) if _plain(value) else None
            if kind is None:
                kind = next(iter(steps.relation(f"{text}\n| project kql_value = {value}").columns.values()))
            if kind == "timespan":
                tail = f"{tail[:start]}kql_{function}_timespan({given}){tail[end:]}"
                done = end
    return text, tail


def aggregate(steps: Steps, text: str, part: str, parts: dict, lists: bool = False) -> list[str]:
    """Write one aggregate as those that duckdb-kql has."""
    names, expression = named(part)
    call = next((c for c in calls(expression, _REWRITTEN) if c[2:] == (0, len(expression))), None)
    several = arguments(names[1:-1]) if names.startswith("(") else [names] if names else []
    if call is None or (call[0] in _LISTS):
        for function, given, start, end in calls(expression, _LISTS):
            if len(arguments(given)) == 1 and function in _OLD:
                given = f"{given}, {_OLD[function]}"
            called = _LISTS[function] if lists else function
            expression = f"{expression[:start]}{called}({given}){expression[end:]}"
            break
        return [f"{names} = {expression}" if names else expression]
    function, given = call[:2]
    given = arguments(given)
    if function in ("percentiles", "percentiles_array"):
        return _percentiles(function, given, several)
    if function in ("any", "take_any"):
        if given == ["*"]:
            keys = {bare(named(key)[1]) for key in arguments(parts.get("by", ""))}
            given = [quoted(c) for c in steps.relation(text).columns if c not in keys]
        if len(given) == 1:
            return [part]
        prefix = "any_" if function == "any" else ""
        return [f"{_name(several, i, prefix + bare(g))} = take_any({g})" for i, g in enumerate(given)]
    return _extremes(steps, text, part, parts, function.replace("argm", "arg_m"), given, several, names)


def _name(several, i, usual):
    return several[i] if i < len(several) else quoted(usual)


def _percentiles(function, given, several):
    value, *at = given
    if len(at) == 1 and at[0].startswith("dynamic"):
        at = arguments(at[0].partition("[")[2].rpartition("]")[0])
    made = [f"percentile({value}, {p})" for p in at]
    if function == "percentiles_array":
        name = several[0] if several else f"percentiles_{bare(value)}" if _plain(value) else "percentiles_"
        return [f"{name} = pack_array({', '.join(made)})"]
    base = f"percentile_{bare(value) if _plain(value) else ''}_"
    return [
        f"{_name(several, i, base + p.replace('.', '_'))} = {m}" for i, (p, m) in enumerate(zip(at, made, strict=True))
    ]


def _plain(value):
    words = tokens(value)
    return (len(words) == 1 and words[0].kind == "name") or bare(value) != value


def _extremes(steps, text, part, parts, function, given, several, names):
    """Write arg_max() whose columns bear names of their own, or that is about an expression."""
    value, *beside = given
    plain = _plain(value) and all(b == "*" or _plain(b) for b in beside)
    if plain and not names.startswith("(") and beside:
        return [part]
    if "*" in beside:
        keys = {bare(named(key)[1]) for key in arguments(parts.get("by", ""))} | {bare(value)}
        star = [quoted(c) for c in steps.relation(text).columns if c not in keys]
        at = beside.index("*")
        beside = [*beside[:at], *star, *beside[at + 1 :]]
    extreme = function[-3:]
    if not _plain(value) and not several:
        raise refuse(f"{function}() of an expression without a name", f"write Name = {function}(…)")
    first = _name(several, 0, bare(value))
    rest = [f"{_name(several, i, bare(b))} = kql_at_{extreme}({value}, {b})" for i, b in enumerate(beside, 1)]
    return [f"{first} = {extreme}({value})", *rest]


# -- once a group -----------------------------------------------------------------------------------------


@operator("mv-apply", "mvapply")
def _mv_apply(steps, text, rest, ordered):
    _, tail = parameters(rest)
    parts = clauses(tail, ("on",))
    targets, inner = parts[""], parts["on"].strip()[1:-1]
    relation = steps.relation(text)
    numbered = steps.relation_of_sql(
        f'SELECT *, row_number() OVER () AS "kql_group" FROM "{relation.name}"', as_table=True
    )
    current, columns = quoted(numbered.name), []
    for target in arguments(targets):
        name, expression = named(target)
        value = expression.partition(" to ")[0]
        column = bare(name or value)
        columns.append(column)
        if name or not _plain(value):
            current += f"\n| extend {quoted(column)} = {value}"
    to = {
        bare(named(t)[0] or named(t)[1].partition(" to ")[0]): named(t)[1].partition(" to ")[2]
        for t in arguments(targets)
    }
    expanded = ", ".join(f"{quoted(c)} to {to[c]}" if to[c] else quoted(c) for c in columns)
    current += f"\n| mv-expand {expanded}"
    made = steps.relation(grouped(steps, current, inner, ["kql_group"]))
    produced = [c for c in made.columns if c != "kql_group"]
    kept = [c for c in relation.columns if c not in produced]
    left = steps.relation(f"{quoted(numbered.name)}\n| project {', '.join(map(quoted, ['kql_group', *kept]))}")
    order = [c for c in relation.columns if c in kept] + produced
    joined = f"{quoted(left.name)}\n| join kind=inner ({quoted(made.name)}) on kql_group"
    return f"{joined}\n| project {', '.join(map(quoted, order))}"


@operator("partition")
def _partition(steps, text, rest, ordered):
    _, tail = parameters(rest)
    parts = clauses(tail, ("by",))
    column, _, inner = parts["by"].partition("(")
    inner = inner.rpartition(")")[0]
    if tokens(inner) and tokens(inner)[0].word not in _IN_GROUP:
        raise refuse("partition with a query of its own inside", "write operators only, such as (top 1 by x)")
    key = bare(column.strip())
    relation = steps.relation(text)
    made = grouped(steps, quoted(relation.name), inner, [key])
    narrowing = [p for p in split(inner, "|") if operator_of(p)[0] in ("project", "summarize", "distinct", "count")]
    kept = not narrowing or any(t.word == key for t in tokens(narrowing[-1]))
    return made if kept else f"{made}\n| project-away {quoted(key)}"


_IN_GROUP = {
    "count", "distinct", "extend", "filter", "limit", "mv-expand", "order", "parse", "project", "project-away",
    "project-rename", "serialize", "sort", "summarize", "take", "top", "where",
}  # fmt: skip


def grouped(steps: Steps, text: str, inner: str, keys: list[str]) -> str:  # noqa: C901 - a branch for each operator
    """Run operators once a group of rows that have the same keys, by giving each operator the keys."""
    by = ", ".join(map(quoted, keys))
    ordered = False
    for part in split(inner, "|"):
        name, rest = operator_of(part)
        if name not in _IN_GROUP:
            raise refuse(f"{name or part.strip()} inside a group", f"there are {', '.join(sorted(_IN_GROUP))}")
        rest = steps.scalar(rest)
        match name:
            case "summarize":
                before, after = (clauses(rest, ("by",)).get(word, "") for word in ("", "by"))
                both = f"{by}, {after}" if after else by
                from amakit.embedded.operators.rewrites import OPERATORS

                text = OPERATORS["summarize"](steps, text, f"{before} by {both}", ordered)
            case "project":
                there = {bare(named(part)[0] or part) for part in arguments(rest)}
                first = "".join(f"{quoted(key)}, " for key in keys if key not in there)
                text = f"{text}\n| project {first}{rest}"
            case "distinct":
                text = f"{text}\n| distinct {by}, {rest}"
            case "count":
                text = f"{text}\n| summarize Count = count() by {by}"
            case "top":
                parts = clauses(rest, ("by",))
                text = _first_of_group(steps, f"{text}\n| sort by {parts['by']}", by, parts[""])
            case "take" | "limit":
                text = _first_of_group(steps, text, by, rest)
            case "sort" | "order":
                text, ordered = f"{text}\n| sort {rest}", True
            case "serialize":
                ordered = True
            case _:
                text = f"{text}\n| {name} {rest}"
    return text


def _first_of_group(steps, text, by, count):
    relation = steps.in_order(text)
    names = by.replace("['", '"').replace("']", '"')
    place = f'row_number() OVER (PARTITION BY {names} ORDER BY "kql row")'
    ranked = steps.relation_of_sql(f'SELECT * FROM "{relation.name}" QUALIFY {place} <= {int(count)}')
    return steps.relation_of_sql(f'SELECT * EXCLUDE ("kql row") FROM "{ranked.name}" ORDER BY "kql row"').name
