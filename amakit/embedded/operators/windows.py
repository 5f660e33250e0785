"""Functions of KQL that read other rows: neighbours, numbers, sums on the way, sessions."""

from amakit.embedded.operators.steps import ROW, Steps, sql_name
from amakit.errors import AmakitError
from amakit.kql.text import arguments, calls, quoted

#: Functions that read rows before or after theirs.
ROW_FUNCTIONS = {
    "next", "prev", "row_cumsum", "row_number", "row_rank", "row_rank_dense", "row_rank_min",
    "row_window_session",
}  # fmt: skip


def windows(steps: Steps, text: str, name: str, rest: str, ordered: bool) -> str:
    """Compute what reads other rows in columns of their own, in the order of the rows, before the operator."""
    used = sorted({n for n, *_ in calls(rest, ROW_FUNCTIONS)})
    if not ordered:
        raise AmakitError(f"{used[0]}() needs rows in an order; put '| sort by …' or '| serialize' before it")
    current, hidden = quoted(steps.in_order(text).name), []

    def column(expression):
        nonlocal current
        hidden.append(f"kql_window_{len(hidden) + 1}")
        current += f"\n| extend {hidden[-1]} = {expression}"
        return hidden[-1]

    while True:
        for function, given, start, end in calls(rest, ROW_FUNCTIONS):
            if function == "row_window_session":
                parts = [column(part) for part in (*arguments(given), "false")][:4]
                hidden.append(f"kql_window_{len(hidden) + 1}")
                current, made = _sessions(steps, current, parts, hidden[-1]), hidden[-1]
            else:
                made = column(_window(function, arguments(given), column))
            rest = rest[:start] + made + rest[end:]
            break
        else:
            break
    if name == "project":
        rest = f"{rest}, {quoted(ROW)}"
    relation = steps.relation(f"{current}\n| {name} {rest}")
    away = [c for c in (*hidden, ROW) if c in relation.columns]
    sql = f'SELECT * EXCLUDE ({", ".join(map(sql_name, away))}) FROM "{relation.name}" ORDER BY "{ROW}"'
    return steps.without_null_text(steps.relation_of_sql(sql).name)


def _sessions(steps, text, parts, name):
    """Add the beginning of the session that each row is in; which it is hangs on all the rows before it."""
    relation = steps.relation(text)
    if len(parts) < 4 or relation.columns[parts[0]] != "datetime":
        raise AmakitError("row_window_session() takes times, two timespans, and perhaps where to begin anew")
    at, first, between, anew = map(sql_name, parts)
    row = sql_name(ROW)
    sql = (
        f"WITH lists AS (SELECT list(epoch_us({at}) ORDER BY {row}) AS times, list({row} ORDER BY {row}) AS rows, "
        f"list({anew} ORDER BY {row}) AS anew, any_value({first}) AS first, any_value({between}) AS between_two "
        f'FROM "{relation.name}"), begun AS (SELECT unnest(rows) AS row, unnest(CAST(kqlpy_kql_sessions_4('
        f"CAST(to_json(times) AS VARCHAR), epoch_us(first), epoch_us(between_two), CAST(to_json(anew) AS VARCHAR)) "
        f'AS BIGINT[])) AS begun FROM lists) SELECT r.*, make_timestamp(begun) AS "{name}" '
        f'FROM "{relation.name}" r JOIN begun ON r.{row} = begun.row'
    )
    return quoted(steps.relation_of_sql(sql).name)


def _window(function, given, column):
    match function:
        case "row_cumsum" if len(given) == 2:
            return f"row_cumsum({given[0]}, {column(f'kql_restarts({given[1]})')})"
        case "row_number" if len(given) == 2:
            return f"row_number({given[0]}, {column(f'kql_restarts({given[1]})')})"
        case "row_rank_dense" | "row_rank_min" | "row_rank":
            part = f", {column(f'kql_restarts({given[1]})')}" if len(given) == 2 else ""
            change = column(f"kql_changes({given[0]}{part})")
            if function != "row_rank_min":
                return f"kql_adds_up({change}{part})"
            return f"kql_first_of({column(f'row_number(1{part})')}, {column(f'kql_adds_up({change}{part})')}{part})"
    return f"{function}({', '.join(given)})"
