"""How a KQL text becomes SQL for DuckDB, and what is said where it does not."""

import functools
import re
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING

from amakit.embedded.names import AGGREGATES, FUNCTIONS, OPERATORS, TYPES
from amakit.errors import AmakitError, UsageError, nearest
from amakit.kql.text import tokens

if TYPE_CHECKING:
    from duckdb_kql.translate import TranslationResult

TOO_DEEP = "the query is nested too deeply for the embedded engine; take it apart with let"
_OPERATOR = re.compile(r"'(?:operator:|source:|expression:)?([A-Z]\w+?)(?:Operator|Expression|Statement)'")
_HINT = re.compile(r"\((.*)\)$")


def to_sql(
    kql: str, columns: Mapping[str, Iterable[str]], now: str | None, texts: frozenset = frozenset()
) -> "TranslationResult":
    """Translate a KQL text that duckdb-kql has.

    Parameters
    ----------
    kql : str
    columns : dict of str to iterable of str
        Columns by table; no other table is read, whatever a query names.
    now : str, optional
        What ``now()`` is.
    texts : frozenset of str, optional
        Columns that hold text wherever they stand in the query, which makes the SQL of them short.

    Raises
    ------
    AmakitError
        When it is no KQL, KQL that is not here, or names a table that is not there.
    """
    try:
        return _to_sql(kql, tuple((table, tuple(names)) for table, names in columns.items()), now, texts)
    except RecursionError:
        raise AmakitError(TOO_DEEP) from None


@functools.lru_cache(maxsize=256)
def _to_sql(kql, columns, now, texts):
    import duckdb_kql
    from duckdb_kql.errors import KqlError, KqlSyntaxError

    from amakit.embedded.library import extend_library, translating

    extend_library()
    schema = {table: list(names) for table, names in columns}
    try:
        with translating(schema, texts):
            sql = duckdb_kql.to_sql(kql, schema=schema, allow_write=False, query_now=now)
    except KqlSyntaxError as error:
        broken = _unparsed(error)
        broken.add_note(kql)
        raise broken from error
    except KqlError as error:
        raise explained(error, schema) from error
    if sql.unbound:
        raise UsageError(f"the query declares parameters without values: {', '.join(sql.unbound)}")
    return sql


def _unparsed(error):
    reason = re.sub(r" expecting \{.*", "", " ".join(str(error).split()))  # what could stand there are 100 words
    return AmakitError(f"the query cannot be parsed: {reason}; mend it there or just before")


def explained(error: Exception, schema: dict) -> AmakitError:
    """Say what is the matter in words of the user's, not of the library's."""
    told = " ".join(str(error).split())
    construct = str(getattr(error, "construct", ""))
    kind, _, name = construct.partition(":")
    if kind in ("function", "aggregate") and name:
        known = FUNCTIONS | AGGREGATES
        if name in known and "no DuckDB mapping" in told:
            return AmakitError(f"valid KQL that the embedded engine does not have: {name}()")
        if arguments := re.search(r" (?:got|not) (\d+)\)$", told):
            return AmakitError(
                f"valid KQL that the embedded engine does not have: {name}() with {arguments[1]} arguments"
            )
        if name not in known:
            return AmakitError(f"there is no function {name!r} in KQL; {nearest(name, known)}")
    if apart := re.search(r"columns '(.+?)' and '(.+?)' differ only in case", told):
        return AmakitError(
            f"valid KQL that the embedded engine does not have: {apart[2]} beside {apart[1]}; the engine does not tell "
            "names apart by case; project one of them away"
        )
    if match := _OPERATOR.search(told):
        operator = re.sub(r"(?<!^)(?=[A-Z])", "-", match[1]).lower()
        return AmakitError(f"valid KQL that the embedded engine does not have: {operator}")
    name = getattr(error, "name", None)
    if name is not None and (told.endswith(f"schema error for {name!r}") or "known" in told or "no table" in told):
        return AmakitError(f"there is no table {name!r}; {nearest(str(name), [t for t in schema if t[:4] != 'kql_'])}")
    if "command" in kind:
        return AmakitError("a command that begins with a dot is no query; take it out, a workspace is read only")
    told = re.sub(r"unsupported KQL construct '(.*?)'", r"\1", told)
    told = re.sub(r" *\((no DuckDB mapping|not implemented|statements other than|see allow_write)[^()]*\)", "", told)
    return AmakitError(f"valid KQL that the embedded engine does not have: {told}")


def located(error: AmakitError, kql: str) -> AmakitError:
    """Let an error about one step tell the place in the whole query, where that can be found.

    Parameters
    ----------
    error : AmakitError
        Of `to_sql`, which notes the text that it was given.
    kql : str
        The whole query.

    Returns
    -------
    AmakitError
        The same.
    """
    from duckdb_kql.errors import KqlSyntaxError
    from duckdb_kql.parser import parse

    if not re.search("cannot be parsed|^Referenced column", str(error)):
        return error
    told = re.search(r"parse KQL at (\d+):(\d+)", str(error))
    for step in getattr(error, "__notes__", []):
        if not told:
            break
        rest = step.split("\n")[int(told[1]) - 1][int(told[2]) :]
        at = kql.find(rest) if rest.strip() else -1
        if at >= 0:
            line, column = kql.count("\n", 0, at) + 1, at - kql.rfind("\n", 0, at) - 1
            error.args = (str(error).replace(told[0], f"parse KQL at {line}:{column}"),)
            return error
    try:  # the step holds what the user never wrote: where the whole query breaks is the better answer
        parse(kql)
    except KqlSyntaxError as whole:
        return _unparsed(whole)
    except RecursionError:
        return AmakitError(TOO_DEEP)
    return error


def check_names(kql: str, tables: dict[str, dict[str, str]]) -> None:
    """Refuse names in another case than Log Analytics has them, which it would not take.

    Parameters
    ----------
    kql : str
    tables : dict of str to dict of str to str
        KQL type by column, by table.

    Raises
    ------
    AmakitError
        With the name as it must be.

    Examples
    --------
    >>> check_names("Heartbeat | where computer == 'a'", {"Heartbeat": {"Computer": "string"}})
    Traceback (most recent call last):
    amakit.errors.AmakitError: there is no column 'computer'; Log Analytics tells names apart by case: write 'Computer'
    """
    words = tokens(kql)
    functions = FUNCTIONS | AGGREGATES | TYPES
    lowered = {name.lower(): name for name in functions}
    written = {t.word for t in words if t.kind in ("name", "text")}
    named = {c for t, columns in tables.items() if t in written for c in columns}
    every = {c for columns in tables.values() for c in columns}
    columns = {c.lower(): c for c in named}
    made = _made_here(words)
    for before, token, after in zip([None, *words], words, [*words[1:], None], strict=False):
        word = token.word
        if token.kind != "name" or word in made or (before and before.word == "."):
            continue
        calls = after is not None and after.word == "("
        if calls and word not in functions and word.lower() in lowered and word.lower() not in OPERATORS:
            raise _case("function", word, lowered[word.lower()])
        if before and before.word == "|" and word not in OPERATORS and word.lower() in OPERATORS:
            raise _case("operator", word, word.lower())
        if calls or (after and after.word in ("=", ":", "-")) or word in functions | OPERATORS | every:
            continue
        if word.lower() in columns and word not in tables:
            raise _case("column", word, columns[word.lower()])


def _case(kind, word, right):
    return AmakitError(f"there is no {kind} {word!r}; Log Analytics tells names apart by case: write {right!r}")


def _made_here(words):
    """Give the names that a query makes itself, and words that are part of its grammar."""
    made = {a.word for a, b in pairwise(words) if a.kind == "name" and b.word in ("=", ":")}
    made |= {b.word for a, b in pairwise(words) if a.word in ("let", "as", "range", "with", "kind")}
    joined = any(t.word in ("parse", "mv-expand", "evaluate", "datatable", "externaldata", "search") for t in words)
    return made | ({t.word for t in words if t.kind == "name"} if joined else set()) | _GRAMMAR


_GRAMMAR = {
    "and", "asc", "by", "contains", "desc", "false", "first", "from", "has", "in", "last", "not", "null",
    "nulls", "of", "on", "or", "step", "to", "true", "typeof", "with",
}  # fmt: skip
