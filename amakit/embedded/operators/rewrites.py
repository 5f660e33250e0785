"""Operators of KQL that duckdb-kql has not, or not in every form, as others that it has."""

import fnmatch
import re
from collections.abc import Callable

from amakit.embedded.operators.steps import Relation, Steps, refuse
from amakit.embedded.operators.windows import ROW_FUNCTIONS, windows
from amakit.errors import AmakitError, nearest
from amakit.kql.text import arguments, bare, calls, clauses, named, parameters, quoted, split, tokens

#: Name -> what takes the steps, the text before, the operator's own text, and whether rows have an order.
OPERATORS: dict[str, Callable[[Steps, str, str, bool], str]] = {}
#: Functions that give several columns -> the names of these, and where in the dynamic value they are.
SEVERAL = {
    "series_fit_line": "rsquare slope variance rvariance interception line_fit",
    "series_fit_2lines": "rsquare split_idx variance rvariance line_fit right.rsquare right.slope right.interception "
    "right.variance right.rvariance left.rsquare left.slope left.interception left.variance left.rvariance",
    "series_stats": "min min_idx max max_idx avg stdev variance",
}
NOT_HERE = {
    "assert-schema", "execute-and-cache", "facet", "fork", "graph-merge", "macro-expand",
    "partitionby", "project-by-names", "reduce", "scan", "top-nested",
}  # fmt: skip


def operator(*names: str) -> Callable:
    """Let a function be an operator of KQL."""

    def added(call):
        OPERATORS.update(dict.fromkeys(names, call))
        return call

    return added


for _name in NOT_HERE:

    def _refused(steps, text, rest, ordered, name=_name):
        raise refuse(name)

    OPERATORS[_name] = _refused


# -- columns ----------------------------------------------------------------------------------------------


def _matching(relation: Relation, patterns: list[str]) -> list[str]:
    """Give the columns that names or patterns with stars stand for, in the order of the patterns."""
    found = []
    for pattern in patterns:
        name = bare(pattern)
        hits = [c for c in relation.columns if fnmatch.fnmatchcase(c, name.replace("[", "[[]"))]
        if not hits and "*" not in name:
            raise AmakitError(
                f"there is no column {name!r} where the query names it; {nearest(name, relation.columns)}"
            )
        found += [c for c in hits if c not in found]
    return found


def _projected(relation, columns):
    return f"{quoted(relation.name)}\n| project {', '.join(map(quoted, columns))}"


@operator("project-away")
def _project_away(steps, text, rest, ordered):
    if "*" not in rest:
        return f"{text}\n| project-away {rest}"
    relation = steps.relation(text)
    away = _matching(relation, arguments(rest))
    return _projected(relation, [c for c in relation.columns if c not in away])


@operator("project-keep")
def _project_keep(steps, text, rest, ordered):
    relation = steps.relation(text)
    keep = _matching(relation, arguments(rest))
    return _projected(relation, [c for c in relation.columns if c in keep])


@operator("project-reorder")
def _project_reorder(steps, text, rest, ordered):
    relation, first = steps.relation(text), []
    for part in arguments(rest):
        order = re.search(r"\s+(asc|desc|granny-asc|granny-desc)\Z", part)
        columns = [c for c in _matching(relation, [part[: order.start()] if order else part]) if c not in first]
        if order:
            granny = order[1].startswith("granny")
            columns.sort(key=_granny if granny else str, reverse=order[1].endswith("desc"))
        first += columns
    return _projected(relation, [*first, *(c for c in relation.columns if c not in first)])


def _granny(name):
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


@operator("distinct")
def _distinct(steps, text, rest, ordered):
    if rest != "*":
        return f"{text}\n| distinct {rest}"
    relation = steps.relation(text)
    return steps.relation_of_sql(f'SELECT DISTINCT * FROM "{relation.name}"').name


@operator("getschema")
def _getschema(steps, text, rest, ordered):
    return f"{text}\n| getschema"


# -- rows -------------------------------------------------------------------------------------------------


@operator("where", "filter")
def _where(steps, text, rest, ordered):
    if any(t.word == "*" and t.kind == "sign" for t in tokens(rest)):
        relation = steps.relation(text)
        text, rest = quoted(relation.name), any_column(rest, relation)
    return _by_rows(steps, text, "where", rest, ordered)


def any_column(predicate: str, relation: Relation) -> str:
    """Write out a predicate about every column, such as ``* has "x"``."""
    words, pieces, last = tokens(predicate), [], 0
    columns = [quoted(c) for c in relation.texts()]
    texts = [f"tostring({c})" for c in columns]
    for i, token in enumerate(words):
        before = words[i - 1].word if i else "("
        if token.word != "*" or token.kind != "sign" or before not in ("(", "and", "or", "not") or i + 2 >= len(words):
            continue
        how, value = words[i + 1], words[i + 2]
        pieces.append(predicate[last : token.start])
        if how.word in ("matches", "==", "=~", "startswith", "endswith", "startswith_cs", "endswith_cs"):
            sign = f"{how.word} regex" if how.word == "matches" else how.word
            value = words[i + 3] if how.word == "matches" else value
            pieces.append("(" + " or ".join(f"{c} {sign} {value.word}" for c in texts) + ")")
            last = value.end
        else:
            pieces.append(f"kql_any_text({', '.join(columns)})")
            last = token.end
    return "".join([*pieces, predicate[last:]])


@operator("serialize")
def _serialize(steps, text, rest, ordered):
    return _by_rows(steps, text, "extend", rest, True) if rest else text


@operator("as")
def _as(steps, text, rest, ordered):
    given, name = parameters(rest)
    relation = steps.relation(text, as_table=given.get("hint.materialized") == "true")
    steps.bind(bare(name), relation)
    return quoted(relation.name)


@operator("sample")
def _sample(steps, text, rest, ordered):
    relation = steps.relation(text)
    return steps.relation_of_sql(f'SELECT * FROM "{relation.name}" USING SAMPLE {int(rest)} ROWS').name


@operator("sample-distinct")
def _sample_distinct(steps, text, rest, ordered):
    count, _, column = rest.partition(" of ")
    return f"{text}\n| distinct {column}\n| take {count}"


@operator("consume")
def _consume(steps, text, rest, ordered):
    return f"{text}\n| take 0"


@operator("top-hitters")
def _top_hitters(steps, text, rest, ordered):
    parts = clauses(rest, ("of", "by"))
    of, by = parts["of"], parts.get("by")
    name = f"approximate_sum_{by}" if by else f"approximate_count_{of}"
    value = f"sum({by})" if by else "count()"
    return f"{text}\n| summarize {name} = {value} by {of}\n| top {parts['']} by {name}"


@operator("take", "limit")
def _take(steps, text, rest, ordered):
    return f"{text}\n| take {_number(steps, rest)}"


@operator("top")
def _top(steps, text, rest, ordered):
    parts = clauses(rest, ("by",))
    return f"{text}\n| top {_number(steps, parts[''])} by {parts['by']}"


def _number(steps, text):
    """Give the value of a number that may be the name of a let."""
    if re.fullmatch(r"-?\d+", text):
        return text
    relation = steps.relation(f"print kql_n = tolong({text})")
    return steps.run(f'SELECT * FROM "{relation.name}"').fetchall()[0][0]


@operator("sort", "order")
def _sort(steps, text, rest, ordered):
    return f"{text}\n| sort {rest}"


# -- joins ------------------------------------------------------------------------------------------------


def _joined(name):
    def join(steps, text, rest, ordered):
        given, tail = parameters(rest)
        condition = clauses(tail, ("on", "where"))
        on = condition.get("on", "")
        on = ", ".join(part.strip() for part in re.split(r"\s+and\s+", on))
        plain = " ".join(f"{k}={v}" for k, v in given.items() if not k.startswith("hint"))
        right = condition[""]
        if any(not re.fullmatch(r"[\w\s=$.,\[\]'\"]*", part) for part in [on]):
            raise AmakitError(
                f"{name} on {on!r} is no list of columns; write the columns, or $left.a == $right.b, with commas"
            )
        if not right.startswith("("):
            right = f"({steps.pipeline(right)})"
        made = f"{text}\n| {name} {plain} {right} on {on}"
        outer = given.get("kind", "innerunique" if name == "join" else "leftouter")
        return steps.without_null_text(made) if outer.endswith("outer") else made

    return join


OPERATORS["join"], OPERATORS["lookup"] = _joined("join"), _joined("lookup")


@operator("invoke")
def _invoke(steps, text, rest, ordered):
    name, given = next(((n, a) for n, a, _, _ in calls(rest, steps.functions)), ("", ""))
    if not name:
        raise AmakitError(f"there is no function {rest.partition('(')[0]!r} with a table; make one with let")
    return quoted(steps._call(name, ", ".join([f"({text})", *arguments(given)])).name)


# -- expressions ------------------------------------------------------------------------------------------


def several_columns(text: str) -> bool:
    """Say whether a text calls a function that gives several columns."""
    return any(calls(text, SEVERAL))


@operator("extend")
def _extend(steps, text, rest, ordered):
    return _by_rows(steps, text, "extend", rest, ordered)


@operator("project")
def _project(steps, text, rest, ordered):
    return _by_rows(steps, text, "project", rest, ordered)


def _by_rows(steps, text, name, rest, ordered):
    """Write out what depends on the columns that there are, and what reads other rows."""
    if any(calls(rest, {"pack_all", "column_ifexists", "columnifexists", "iscolumnexists", "bag_pack_columns"})):
        relation = steps.relation(text)
        text, rest = quoted(relation.name), _known_columns(rest, relation)
    if re.search(r"\w\s*/\s*[A-Za-z_]\w*", rest):
        relation = steps.relation(text)
        text, rest = quoted(relation.name), _ratios(rest, relation)
    if several_columns(rest):
        rest = ", ".join(piece for part in split(rest, ",") for piece in _several(part))
    if any(calls(rest, ROW_FUNCTIONS)):
        return windows(steps, text, name, rest, ordered)
    return f"{text}\n| {name} {rest}"


def _ratios(rest, relation):
    """Write how often one timespan goes into another, where both are columns, with their ticks."""
    words = tokens(rest)
    spans = {column for column, kind in relation.columns.items() if kind == "timespan"}
    for one, sign, two in reversed(list(zip(words, words[1:], words[2:], strict=False))):
        if sign.word == "/" and {one.word, two.word} <= spans:
            ratio = f"(toreal(tolong({one.word})) / toreal(tolong({two.word})))"
            rest = rest[: one.start] + ratio + rest[two.end :]
    return rest


def _known_columns(rest, relation):
    while True:
        for name, given, start, end in calls(
            rest, {"pack_all", "column_ifexists", "columnifexists", "iscolumnexists", "bag_pack_columns"}
        ):
            parts = arguments(given)
            if name == "pack_all":
                pairs = (f'"{c}", {quoted(c)}' for c in relation.columns)
                bag = f"bag_pack({', '.join(pairs)})"
                made = f"kql_without_empty({bag})" if parts == ["true"] else bag
            elif name == "bag_pack_columns":
                made = "bag_pack(" + ", ".join(f'"{bare(c)}", {c}' for c in parts) + ")"
            else:
                column = parts[0].strip("\"'")
                there = column in relation.columns
                made = str(there).lower() if name == "iscolumnexists" else quoted(column) if there else parts[1]
            rest = rest[:start] + made + rest[end:]
            break
        else:
            return rest


def _several(part):
    """Write ``(a, b) = series_fit_line(y)`` as one column after the other."""
    names, expression = named(part)
    call = next(((n, a, s, e) for n, a, s, e in calls(expression, SEVERAL)), None)
    if not call or call[2:] != (0, len(expression)):
        return [part.strip()]
    function, given = call[:2]
    words = SEVERAL[function].split()
    first = arguments(given)[0]
    base = names if names and not names.startswith("(") else f"{function}_{first if first.isidentifier() else ''}"
    wanted = arguments(names[1:-1]) if names.startswith("(") else []
    dynamic = f"{function}_dynamic({given})"
    for i, word in enumerate(words):
        value = f"{dynamic}.{word}"
        kind = "" if word == "line_fit" else "tolong" if word.endswith("_idx") else "toreal"
        column = wanted[i] if i < len(wanted) else f"{base}_{word.replace('.', '_')}"
        if wanted and i >= len(wanted):
            break
        yield f"{column} = {kind}({value})" if kind else f"{column} = {value}"


# -- parse, expand ----------------------------------------------------------------------------------------

_MARK = "\ue000"


def _parsed(name):
    def parse(steps, text, rest, ordered):
        given, tail = parameters(rest)
        plain = "".join(f"{k}={v} " for k, v in given.items())
        parts = clauses(tail, ("with",))
        pattern = tokens(parts["with"])
        if pattern and pattern[0].kind == "name" and given.get("kind", "simple") == "simple":
            whole = f'strcat("{_MARK}", {parts[""]}) with "{_MARK}" {parts["with"]}'
            return f"{text}\n| {name} {plain}{whole}"
        return f"{text}\n| {name} {rest}"

    return parse


OPERATORS["parse"], OPERATORS["parse-where"] = _parsed("parse"), _parsed("parse-where")
