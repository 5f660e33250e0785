"""make-series: one row for each group, with a value for each step of time."""

import re
from datetime import UTC, datetime, timedelta

from amakit.embedded.functions.aggregates import ORIGIN
from amakit.embedded.operators.grouping import aggregate
from amakit.embedded.operators.rewrites import operator
from amakit.embedded.operators.steps import sql_name
from amakit.errors import AmakitError
from amakit.kql.text import arguments, calls, clauses, named, parameters, quoted, split, tokens

#: More points than this have no place in one series.
_MOST = 1_048_576
_TIME = "strftime(axis, '%Y-%m-%dT%H:%M:%S.%f') || '0Z'"


@operator("make-series")
def _make_series(steps, text, rest, ordered):  # noqa: C901 - one step for each clause
    given, tail = parameters(rest)
    parts = clauses(tail, ("on", "from", "to", "step", "by", "in"))
    if not parts.get("on"):
        raise AmakitError("make-series needs an axis: make-series … on TimeGenerated from … to … step …")
    step, bounds, closed = parts.get("step", ""), [parts.get("from", ""), parts.get("to", "")], False
    axis = parts["on"]
    if "in" in parts:  # the older form: in range(start, stop, step), the stop included
        inner = next((a for n, a, *_ in calls(parts["in"], {"range"})), "")
        (*bounds, step), closed = arguments(inner), True
    values, defaults = [], []
    for piece in split(parts[""], ","):
        plain, _, default = _default(piece)
        values.append(aggregate(steps, text, plain.strip(), parts)[0])
        defaults.append(default or "0")
    edges = _edges(steps, [bounds[0], bounds[1], step, *defaults])
    low, high, width = edges[:3]
    if width is None or not width:
        raise AmakitError("make-series needs a step larger than nothing; write step 1h for example")
    span = isinstance(width, timedelta)
    size = _literal(width)
    binned = f"bin_at({axis}, {size}, {_literal(low)})" if low is not None and not closed else f"bin({axis}, {size})"
    where = [f"{axis} >= {_literal(low)}"] if low is not None else []
    where += [f"{axis} {'<=' if closed else '<'} {_literal(high)}"] if high is not None else []
    if where:
        text += f"\n| where {' and '.join(where)}"
    by = f"{parts['by']}, " if parts.get("by") else ""
    summed = steps.relation(
        f"{text}\n| where isnotnull({axis})\n| summarize {', '.join(values)} by {by}kql_axis = {binned}"
    )
    columns = list(summed.columns)
    place = columns.index("kql_axis")
    nonempty = given.get("kind") == "nonempty"
    keys, aggregates = columns[:place], columns[place + 1 :]
    name = named(axis)[0] or (axis if re.fullmatch(r"\w+", axis) else "Column1")
    unit = "epoch_us(kql_axis)" if span else "kql_axis"
    first = _number(low) if low is not None else f"min({unit})"
    if closed and low is not None:
        first = (_number(low) + ORIGIN * span) // _number(width) * _number(width) - ORIGIN * span
    if None not in (low, high) and (_number(high) - _number(low)) / _number(width) > _MOST:
        raise AmakitError(f"make-series has no more than {_MOST:,} points; take a larger step")
    last = (
        (f"{_number(high)}" if closed else f"{_number(high)} - {_number(width)} * 1e-6")
        if high is not None
        else f"max({unit})"
    )
    if span and high is not None:
        last = f"{_number(high)}" if closed else f"{_number(high)} - 1"
    by_keys = ", ".join(map(sql_name, keys))
    groups = f"SELECT {by_keys + ', ' if keys else ''}{first} AS low, {last} AS high FROM {sql_name(summed.name)}"
    groups += f" GROUP BY {by_keys}" if keys else f" HAVING {'true' if nonempty else 'count(*) > 0'}"
    points = f"unnest(generate_series(CAST(low AS {'BIGINT' if span else 'DOUBLE'}), high, {_number(width)})) AS point"
    if not span:
        steps_there = f"generate_series(0, CAST(floor((high - low) / {_number(width)}) AS BIGINT))"
        points = f"unnest(list_transform({steps_there}, lambda i: low + i * {_number(width)})) AS point"
    on = " AND ".join(["d.point = g.point", *(f"d.{sql_name(k)} IS NOT DISTINCT FROM g.{sql_name(k)}" for k in keys)])
    lists = [
        f"to_json(list(coalesce(d.{sql_name(a)}, {_sql_default(value, summed.columns[a])}) ORDER BY g.point)) "
        f"AS {sql_name(a)}"
        for a, value in zip(aggregates, edges[3:], strict=True)
    ]
    shown = _TIME.replace("axis", "make_timestamp(g.point)") if span else "g.point"
    kept = "".join(f"g.{sql_name(k)}, " for k in keys)
    grouped = f" GROUP BY {', '.join(f'g.{sql_name(k)}' for k in keys)}" if keys else ""
    sql = (
        f"WITH g AS (SELECT *, {points} FROM ({groups})), "
        f"d AS (SELECT *, {unit} AS point FROM {sql_name(summed.name)}) "
        f"SELECT {kept}{', '.join(lists)}, to_json(list({shown} ORDER BY g.point)) AS {sql_name(name)} "
        f"FROM g LEFT JOIN d ON {on}{grouped}"
    )
    if not keys and not nonempty:
        sql += " HAVING count(*) > 0"
    return quoted(steps.relation_of_sql(sql).name)


def _default(piece):
    words = tokens(piece)
    at = next((i for i, t in enumerate(words) if t.depth == 0 and t.word == "default"), None)
    if at is None:
        return piece, "", ""
    return piece[: words[at].start], "default", piece[words[at + 1].end :].strip()


def _edges(steps, texts):
    """Compute the bounds, the step and the defaults, which may be expressions."""
    wanted = ", ".join(f"kql_{i} = {text}" for i, text in enumerate(texts) if text)
    relation = steps.relation(f"print {wanted}")
    row = dict(zip(relation.columns, steps.run(f'SELECT * FROM "{relation.name}"').fetchall()[0], strict=True))
    return [row.get(f"kql_{i}") for i in range(len(texts))]


def _literal(value):
    if isinstance(value, timedelta):
        return f"{value // timedelta(microseconds=1)}microsecond"
    if isinstance(value, datetime):
        return f"datetime({value.replace(tzinfo=None).isoformat(timespec='microseconds')}Z)"
    return str(value)


def _number(value):
    if isinstance(value, timedelta):
        return value // timedelta(microseconds=1)
    if isinstance(value, datetime):
        return (value.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    return value


def _sql_default(value, kind):
    if value is None:
        return "NULL"
    return f"CAST({value} AS DOUBLE)" if kind in ("real", "decimal") else str(value)
