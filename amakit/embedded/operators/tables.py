"""Several tables at once: union, search, find."""

import fnmatch
import itertools
import re
from collections.abc import Callable

from amakit.embedded.operators.rewrites import any_column, operator
from amakit.embedded.operators.steps import Relation, Steps, refuse, sql_name
from amakit.errors import AmakitError
from amakit.kql.text import arguments, bare, clauses, operator_of, parameters, quoted, split, tokens

#: What a query can begin with -> what takes the steps and the rest of the text.
SOURCES: dict[str, Callable[[Steps, str], str]] = {}
_NULLS = {"string": "''", "guid": "guid(null)", "decimal": "real(null)"}
_DUCKDB = {
    "string": "VARCHAR", "guid": "VARCHAR", "datetime": "TIMESTAMP", "timespan": "INTERVAL", "int": "INTEGER",
    "long": "BIGINT", "real": "DOUBLE", "decimal": "DECIMAL(38, 17)", "bool": "BOOLEAN", "dynamic": "JSON",
}  # fmt: skip


def _source(name):
    def added(call):
        SOURCES[name] = call
        return call

    return added


for _name in ("externaldata", "external_table", "evaluate"):

    def _refused(steps, rest, name=_name):
        why = "a query reads the tables of the workspace only" if name.startswith("external") else ""
        raise refuse(name, why)

    SOURCES[_name] = _refused


# -- union ------------------------------------------------------------------------------------------------


@_source("union")
def _union(steps, rest):
    return _united(steps, rest, [])


@operator("union")
def _piped_union(steps, text, rest, ordered):
    return _united(steps, rest, [("union_arg0", steps.relation(text))])


def _united(steps, rest, before):
    given, tail = parameters(rest)
    fuzzy = given.get("isfuzzy", "false").lower() == "true"
    arms = list(before)
    for part in arguments(tail):
        words = tokens(part)
        if "*" in part and all(t.kind == "name" or t.word == "*" for t in words):
            hits = [t for t in steps.every_table() if fnmatch.fnmatchcase(t, part.replace(" ", ""))]
            if not hits and not fuzzy:
                raise AmakitError(f"no table is called like {part!r} in the union")
            arms += [(table, steps.known(table)) for table in hits]
            continue
        if part.startswith("(") and part.endswith(")") and len(words) > 2:
            inner = part[words[0].end : words[-1].start].strip()
        else:
            inner = part
        if fuzzy and bare(inner) == inner and re.fullmatch(r"\w+", inner) and inner not in steps.relations:
            continue
        arms.append((_label(steps, inner, len(arms)), steps.relation(steps.pipeline(inner))))
    if not arms:
        raise AmakitError("none of the tables of the union is there")
    return one_below_the_other(steps, arms, given.get("withsource", ""), given.get("kind", "outer") == "inner")


def _label(steps, text, number):
    """Name an arm of a union as KQL does: by its table, its view, or the name that it gives itself."""
    if bare(text) in steps.every_table():
        return bare(text)
    name, rest = operator_of(split(text, "|")[-1])
    return bare(parameters(rest)[1]) if name == "as" else f"union_arg{number}"


def one_below_the_other(steps: Steps, arms: list[tuple[str, Relation]], source: str = "", common: bool = False) -> str:
    """Put relations below each other, column by name; a name with several types becomes several, as in KQL."""
    kinds: dict[str, list[str]] = {}
    for _, relation in arms:
        for column, kind in relation.columns.items():
            kinds.setdefault(column, [])
            if kind not in kinds[column]:
                kinds[column].append(kind)
    if common:
        kinds = {c: k for c, k in kinds.items() if all(c in relation.columns for _, relation in arms)}
    columns: dict[str, tuple[str, str]] = {}  # name in the union -> name and type in a relation
    for column, several in kinds.items():
        for kind in several:
            name = column if len(several) == 1 else f"{column}_{kind}"
            if len(several) > 1 and name in kinds:  # a column has that name already
                name = next(free for i in itertools.count(1) if (free := f"{name}{i}") not in kinds)
            columns[name] = (column, kind)
    columns = _told_apart(steps, columns, arms)
    selects = []
    for label, relation in arms:
        cells = [
            f"{sql_name(column)} AS {sql_name(name)}"
            if relation.columns.get(column) == kind
            else f"{_nothing(kind)} AS {sql_name(name)}"
            for name, (column, kind) in columns.items()
        ]
        if source:
            cells.insert(0, f"'{label}' AS {sql_name(source)}")
        selects.append(f"SELECT {', '.join(cells)} FROM {sql_name(relation.name)}")
    return steps.without_null_text(quoted(steps.relation_of_sql(" UNION ALL ".join(selects)).name))


def _nothing(kind):
    return "''" if kind == "string" else f"NULL::{_DUCKDB[kind]}"


def _told_apart(steps, columns, arms):
    """Let names that differ in case only be told apart: the one that the query names keeps its name."""
    by_fold: dict[str, list[str]] = {}
    for name in columns:
        by_fold.setdefault(name.lower(), []).append(name)
    renamed = {}
    for names in by_fold.values():
        used = [name for name in names if name in steps.words]
        if len(used) > 1:
            raise refuse(
                f"{used[0]} beside {used[1]}", "the engine does not tell names apart by case; project one of them away"
            )
        keep = used[0] if used else names[0]
        for name in names:
            table = next(label for label, relation in arms if columns[name][0] in relation.columns)
            renamed[name] = name if name == keep else f"{name} ({table})"
    return {renamed[name]: where for name, where in columns.items()}


# -- search and find --------------------------------------------------------------------------------------


@_source("search")
def _search(steps, rest):
    return _searched(steps, rest, None)


@operator("search")
def _piped_search(steps, text, rest, ordered):
    return _searched(steps, rest, steps.relation(text))


def _searched(steps, rest, piped):
    given, tail = parameters(rest)
    has = "has_cs" if given.get("kind") == "case_sensitive" else "has"
    chosen, predicate = _in_tables(steps, tail)
    predicate = _search_predicate(predicate, has)
    arms = [("", piped)] if piped else [(table, steps.known(table)) for table in chosen]
    found = []
    for label, relation in arms:
        if not _names(predicate) <= set(relation.columns):
            continue
        text = f"{quoted(relation.name)}\n| where {any_column(predicate, relation)}"
        found.append((label, steps.relation(text)))
    if not found:
        raise AmakitError(f"no table of the search has the columns {', '.join(sorted(_names(predicate)))}")
    return one_below_the_other(steps, found, "" if piped else "$table")


def _in_tables(steps, text):
    match = re.match(r"\s*in\s*\(([^)]*)\)", text)
    if not match:
        return steps.every_table(), text
    chosen = []
    for pattern in arguments(match[1]):
        hits = [t for t in steps.every_table() if fnmatch.fnmatchcase(t, bare(pattern))]
        chosen += hits or [bare(pattern)]
    return chosen, text[match.end() :]


def _search_predicate(text, has):
    """Write ``"a" and Column:"b"`` with has; a star in a term stands for the rest of a word."""
    words, pieces, last = tokens(text), [], 0
    for i, token in enumerate(words):
        before = words[i - 1].word if i else "("
        after = words[i + 1].word if i + 1 < len(words) else ")"
        if token.kind == "sign" and token.word == "*" and before in _OPEN and after in _CLOSE:
            pieces += [text[last : token.start], "true"]
            last = token.end
        elif token.kind == "text" and before in _OPEN and after in _CLOSE:
            pieces += [text[last : token.start], f"* {_term(token.word, has)}"]
            last = token.end
        elif token.word == ":" and i + 1 < len(words):
            pieces += [text[last : token.start], f" {_term(words[i + 1].word, has)}"]
            last = words[i + 1].end
    return "".join([*pieces, text[last:]])


_OPEN, _CLOSE = ("(", "and", "or", "not"), (")", "and", "or")


def _term(word, has):
    quote, inner = word[-1], word.lstrip("hH@")[1:-1]
    if re.fullmatch(r"\d+(\.\d+)?", word):
        return f"has '{word}'"
    start, end = inner.startswith("*"), inner.endswith("*")
    term = inner.strip("*")
    how = {
        (True, True): "contains",
        (False, True): has.replace("has", "hasprefix"),
        (True, False): has.replace("has", "hassuffix"),
        (False, False): has,
    }[start, end]
    if "*" in term:
        parts = [re.escape(part) for part in term.split("*")]
        return f'matches regex @"(?i){".*".join(parts)}"'
    return f"{how} {word[: len(word) - len(word.lstrip('hH@'))]}{quote}{term}{quote}"


def _names(predicate):
    """Give the columns that a predicate names."""
    words = tokens(predicate)
    return {
        token.word
        for before, token, after in zip([None, *words], words, [*words[1:], None], strict=False)
        if token.kind == "name"
        and token.word not in _WORDS
        and not (after and after.word == "(")
        and not (before and before.word in (".", "!"))
    }


_WORDS = {
    "and", "between", "contains", "contains_cs", "dynamic", "endswith", "endswith_cs", "false", "has",
    "has_all", "has_any", "has_cs", "hasprefix", "hasprefix_cs", "hassuffix", "hassuffix_cs", "in", "in~",
    "matches", "not", "or", "regex", "startswith", "startswith_cs", "true",
}  # fmt: skip


@_source("find")
def _find(steps, rest):
    given, tail = parameters(rest)
    chosen, tail = _in_tables(steps, tail)
    parts = clauses(tail, ("where", "project"))
    predicate = _search_predicate(parts.get("where", parts[""]), "has")
    source = given.get("withsource", "source_")
    wanted = arguments(parts.get("project", ""))
    arms = []
    for table in chosen:
        relation = steps.known(table)
        lacking = _names(predicate) - set(relation.columns)
        if lacking:
            continue
        made = steps.relation(f"{quoted(table)}\n| where {any_column(predicate, relation)}")
        arms.append((table, made))
    if not arms:
        raise AmakitError(f"no table has the columns that find is about: {', '.join(sorted(_names(predicate)))}")
    common = set.intersection(*(set(relation.columns) for _, relation in arms))
    named_here = [c for c in arms[0][1].columns if c in _names(predicate) or (c in common and not wanted)]
    projected = []
    for label, relation in arms:
        cells = []
        for column in wanted or [*map(quoted, named_here), "pack_all()"]:
            name, _, kind = column.partition(":")
            if name.startswith(("pack_all", "pack(")):
                rest_of = [c for c in relation.columns if wanted or c not in named_here]
                cells.append("pack_ = bag_pack(" + ", ".join(f'"{c}", {quoted(c)}' for c in rest_of) + ")")
            elif bare(name.strip()) in relation.columns:
                value = name.strip()
                cells.append(f"{value} = to{kind}({value})" if kind else value)
            else:
                usual = kind or next(
                    (r.columns[c] for _, r in arms if (c := bare(name.strip())) in r.columns), "string"
                )
                cells.append(f"{name.strip()} = {_NULLS.get(usual, usual + '(null)')}")
        projected.append((label, steps.relation(f"{quoted(relation.name)}\n| project {', '.join(cells)}")))
    return one_below_the_other(steps, projected, source)
