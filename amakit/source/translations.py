"""Translations of packaged queries, made once and kept between runs: to parse KQL takes longer than to run it."""

import contextlib
import functools
import hashlib
import json
import os
import re
from collections.abc import Collection, Mapping
from pathlib import Path

import pandas as pd

from amakit import embedded
from amakit.embedded.translate import to_sql
from amakit.kql.literals import literal
from amakit.output import cache_homes, is_own, make_own

#: How many translations are kept; one is about 10 kB.
KEPT = 1_000
#: So many columns of text, or more, are grouped by their hash.
_HASHED = 3
#: A grouping by columns under their own names, as duckdb-kql writes it.
_GROUPING = re.compile(
    r'SELECT (?P<cells>(?:(?!SELECT ).)*?) FROM (?P<source>_s\d+) GROUP BY (?P<keys>"\w+"(?:, "\w+")*)(?=\))'
)
_FIRST = pd.Timestamp("1900-01-01", tz="UTC")


def stand_in(value: object, number: int) -> object:
    """Give what stands for a value in the text that is translated, so that texts differ in what they ask alone.

    Parameters
    ----------
    value : object
    number : int
        Which value of the query it is.

    Returns
    -------
    object
        Another instant, or another list of text; any other value as it is.

    Examples
    --------
    >>> stand_in(["web-01"], 2), stand_in(5, 3)
    (['value 2'], 5)
    """
    if isinstance(value, pd.Timestamp):
        return _FIRST + pd.Timedelta(microseconds=number)
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return [f"value {number}"]
    return value


def with_values(sql: str, values: Mapping[int, object]) -> str:
    """Put values in the place of what stood for them.

    Parameters
    ----------
    sql : str
        Translated from a text with stand-ins.
    values : dict of int to object
        By the number that `stand_in` was given.

    Returns
    -------
    str

    Raises
    ------
    RuntimeError
        When the translation does not hold a value as it was written; only another release of duckdb-kql can do that.

    Examples
    --------
    >>> print(with_values("SELECT '[\\"value 0\\"]'", {0: ["o'hara"]}))
    SELECT '["o''hara"]'
    """
    written = {_in_sql(stand_in(value, number)): _in_sql(value) for number, value in values.items()}
    if lost := [text for text in written if text not in sql]:
        raise RuntimeError(f"the translation holds no {lost[0]}")
    every = re.compile("|".join(map(re.escape, written)) or "(?!)")
    return every.sub(lambda place: written[place[0]], sql)


def _in_sql(value):
    text = (
        json.dumps(value, separators=(",", ":")) if isinstance(value, list) else literal(value)[len("datetime(") : -1]
    )
    return text.replace("'", "''")


def translated(kql: str, columns: Mapping[str, list], texts: frozenset, now: str | None) -> tuple[str, dict]:
    """Translate a packaged query, or take the translation that an earlier run has kept.

    Parameters
    ----------
    kql : str
    columns : dict of str to list of str
        Columns by table.
    texts : frozenset of str
        Columns that hold text wherever they stand in the query.
    now : str, optional
        What ``now()`` is.

    Returns
    -------
    sql : str
    parameters : dict
        What DuckDB binds to it.

    Notes
    -----
    What is kept is the user's own file, named by a hash of the text, the columns and this code.  One that is
    somebody else's, broken or of another text is made anew.
    """
    named = tuple((table, tuple(names)) for table, names in columns.items() if table in kql)
    return _translated(kql, named, _texts_in(kql, texts), now)


@functools.lru_cache(maxsize=256)
def _translated(kql, columns, texts, now):
    key = json.dumps([_code(), kql, columns, sorted(texts)])
    kept = _kept(key)
    if kept is not None:
        return kept, {}
    made = to_sql(kql, dict(columns), now, texts)
    sql = grouped_by_hash(str(made), texts)
    if not made.parameters:
        _keep(key, sql)
    return sql, dict(made.parameters)


def grouped_by_hash(sql: str, texts: Collection[str]) -> str:
    """Group by one hash in the place of several columns of text, which costs a third less.

    Parameters
    ----------
    sql : str
        As duckdb-kql writes it.
    texts : collection of str
        The columns that hold text; groupings by fewer than three of them stay as they are.

    Returns
    -------
    str

    Notes
    -----
    The hash has 64 bits: of a query with a million groups in one of some 30 million two share it.

    Examples
    --------
    >>> grouped_by_hash('(SELECT "a" AS "a", count(*) AS "n" FROM _s1 GROUP BY "a")', ["a"])
    '(SELECT "a" AS "a", count(*) AS "n" FROM _s1 GROUP BY "a")'
    >>> sql = grouped_by_hash('(SELECT "a" AS "a", "b" AS "b", "c" AS "c" FROM _s1 GROUP BY "a", "b", "c")', "abc")
    >>> print(sql[-51:])
    )."c" AS "c" FROM _s1 GROUP BY hash("a", "b", "c"))
    """

    def by_hash(grouping):
        keys = re.findall(r'"(\w+)"', grouping["keys"])
        if len(set(keys) & set(texts)) < _HASHED:
            return grouping[0]
        cells, row = grouping["cells"], ", ".join(f'"{key}" := "{key}"' for key in keys)
        for key in keys:
            cells = cells.replace(f'"{key}" AS "{key}"', f'any_value(struct_pack({row}))."{key}" AS "{key}"', 1)
        return f"SELECT {cells} FROM {grouping['source']} GROUP BY hash({grouping['keys']})"

    return _GROUPING.sub(by_hash, sql)


def _texts_in(kql, texts):
    """Leave out the columns to which the query gives what may be no text."""
    other = re.findall(r"\b(\w+) *=(?![=~]) *+(?!(?:tolower|tostring|strcat|substring)\(|\")", kql)
    return frozenset(texts & set(re.findall(r"\w+", kql))) - set(other)


def _kept(key):
    for home in cache_homes():
        with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
            path = _path(home, key)
            found = json.loads(path.read_text(encoding="utf-8"))
            if is_own(path.parent) and is_own(path) and found["key"] == key and isinstance(found["sql"], str):
                return found["sql"]
    return None


def _keep(key, sql):
    for home in cache_homes():
        with contextlib.suppress(OSError):
            path = _path(home, key)
            if not make_own(path.parent):
                continue
            part = path.with_suffix(f".{os.getpid()}")
            try:
                part.write_text(json.dumps({"key": key, "sql": sql}), encoding="utf-8")
                part.replace(path)
            finally:  # on a full disk
                part.unlink(missing_ok=True)
            for old in sorted(path.parent.iterdir(), key=lambda p: p.stat().st_mtime)[:-KEPT]:
                old.unlink(missing_ok=True)
            return


def _path(home, key):
    return home / "translations" / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"


@functools.cache
def _code():
    """Give a digest of what translates: a change of it, or of the library, makes all translations anew."""
    from importlib.metadata import version

    here = Path(embedded.__file__).parent
    files = [Path(__file__), *sorted(path for path in here.rglob("*") if path.suffix in (".py", ".toml"))]
    code = b"".join(path.read_bytes() for path in files)
    return f"{version('duckdb-kql')} {hashlib.sha256(code).hexdigest()}"
