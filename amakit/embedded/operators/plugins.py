"""evaluate: pivot, bag_unpack, narrow."""

import json
import re

from amakit.embedded.names import PLUGINS
from amakit.embedded.operators.rewrites import operator
from amakit.embedded.operators.steps import refuse, sql_name
from amakit.errors import AmakitError, nearest
from amakit.kql.text import arguments, bare, calls, named, quoted, tokens

#: Aggregates that are 0 where there is no row.
_ZERO = {"count", "countif", "sum", "sumif", "dcount", "dcountif"}


@operator("evaluate")
def _evaluate(steps, text, rest, ordered):
    name, given, end = next(
        ((n, a, e) for n, a, s, e in calls(rest, PLUGINS) if s == 0 or "hint" in rest[:s]), ("", "", 0)
    )
    if name not in ("pivot", "bag_unpack", "narrow"):
        wanted = rest.partition("(")[0].strip()
        if wanted in PLUGINS:
            raise refuse(f"evaluate {wanted}()")
        raise AmakitError(f"there is no plugin {wanted!r}; {nearest(wanted, PLUGINS)}")
    relation = steps.relation(text)
    made = {"pivot": _pivot, "bag_unpack": _bag_unpack, "narrow": _narrow}[name](steps, relation, arguments(given))
    schema = re.fullmatch(r"\s*:\s*\((.*)\)\s*", rest[end:], re.DOTALL)
    return _with_schema(steps, relation, made, arguments(schema[1]), bare(arguments(given)[0])) if schema else made


def _with_schema(steps, relation, made, declared, taken):
    """Keep the columns that a schema declares, in its order; a star stands for those that came in."""
    columns, cells = steps.relation(made).columns, []
    for part in declared:
        name, _, kind = (word.strip() for word in part.partition(":"))
        if name == "*":
            own = {bare(d.partition(":")[0]) for d in declared}
            cells += [quoted(c) for c in relation.columns if c != taken and c not in own]
        else:
            cells.append(f"{name} = {f'to{kind}({name})' if bare(name) in columns else f'{kind}(null)'}")
    return f"{made}\n| project {', '.join(cells)}"


def _pivot(steps, relation, given):
    column, call, keys = given[0], given[1] if len(given) > 1 else "count()", given[2:]
    label, expression = named(call)
    used = {t.word for t in tokens(expression) if t.kind == "name"}
    keys = keys or [quoted(c) for c in relation.columns if c != bare(column) and c not in used]
    by = ", ".join([*keys, f"kql_column = tostring({column})"])
    summed = steps.relation(f"{quoted(relation.name)}\n| summarize kql_value = {expression} by {by}")
    names = [n for (n,) in steps.run(f'SELECT DISTINCT kql_column FROM "{summed.name}" ORDER BY ALL').fetchall()]
    empty = "0" if expression.partition("(")[0] in _ZERO else "NULL"
    kept = [c for c in summed.columns if c not in ("kql_column", "kql_value")]
    cells = [sql_name(c) for c in kept] + [
        f"coalesce(any_value(kql_value) FILTER (WHERE kql_column = '{n.replace(chr(39), chr(39) * 2)}'), {empty}) "
        f"AS {sql_name((label and label + '_') + n)}"
        for n in names
        if n
    ]
    grouped = f" GROUP BY {', '.join(map(sql_name, kept))}" if kept else ""
    return quoted(steps.relation_of_sql(f'SELECT {", ".join(cells)} FROM "{summed.name}"{grouped}').name)


_KINDS = {"BIGINT": "BIGINT", "UBIGINT": "BIGINT", "DOUBLE": "DOUBLE", "BOOLEAN": "BOOLEAN", "VARCHAR": "VARCHAR"}


def _bag_unpack(steps, relation, given):
    bag = bare(given[0])
    options = {k.strip(): v for k, v in (named(g) for g in given[1:]) if k}
    plain = [g for g in given[1:] if not named(g)[0]]
    prefix = (options.get("columnPrefix") or (plain[0] if plain else "''")).strip("'\"")
    conflict = (options.get("columnsConflict") or (plain[1] if len(plain) > 1 else "'error'")).strip("'\"")
    ignored = options.get("ignoredProperties") or (plain[2] if len(plain) > 2 else "")
    ignored = json.loads(ignored.partition("(")[2].rpartition(")")[0].replace("'", '"')) if ignored else []
    if bag not in relation.columns:
        raise AmakitError(f"there is no column {bag!r} where the query names it; {nearest(bag, relation.columns)}")
    value = f"TRY_CAST({sql_name(bag)} AS JSON)"
    keys = steps.run(
        f"SELECT k, list(DISTINCT json_type(v, '$.' || to_json(k))) FROM (SELECT {value} AS v, unnest(json_keys("
        f"{value})) AS k FROM \"{relation.name}\" WHERE json_type({value}) = 'OBJECT') GROUP BY k ORDER BY k"
    ).fetchall()
    cells = {c: sql_name(c) for c in relation.columns if c != bag}
    taken = set(cells)
    for key, kinds in keys:
        if key in ignored:
            continue
        name = prefix + key
        if name in taken and conflict == "error":
            raise AmakitError(
                f"bag_unpack() would make a second column {name!r}; give a prefix, or columnsConflict='keep_source'"
            )
        if name in taken and conflict == "keep_source":
            continue
        kinds = {_KINDS.get(kind, "JSON") for kind in kinds if kind not in ("NULL", None)} or {"JSON"}
        kind = "DOUBLE" if kinds == {"DOUBLE", "BIGINT"} else kinds.pop() if len(kinds) == 1 else "JSON"
        at = f"json_extract({value}, '$.{json.dumps(key).replace(chr(39), chr(39) * 2)}')"
        text = f"coalesce({at} ->> '$', '')"
        cells[name] = f"{text if kind == 'VARCHAR' else f'TRY_CAST({at} AS {kind})'} AS {sql_name(name)}"
    return quoted(steps.relation_of_sql(f'SELECT {", ".join(cells.values())} FROM "{relation.name}"').name)


def _narrow(steps, relation, given):
    texts = steps.relation(
        f"{quoted(relation.name)}\n| project "
        + ", ".join(f"{quoted(c)} = tostring({quoted(c)})" for c in relation.columns)
    )
    pairs = ", ".join(
        f"{{'Column': '{c.replace(chr(39), chr(39) * 2)}', 'Value': {sql_name(c)}}}" for c in relation.columns
    )
    sql = (
        'SELECT "Row", unnest(cells)."Column" AS "Column", unnest(cells)."Value" AS "Value" FROM (SELECT '
        f'row_number() OVER () - 1 AS "Row", [{pairs}] AS cells FROM "{texts.name}")'
    )
    return quoted(steps.relation_of_sql(sql).name)
