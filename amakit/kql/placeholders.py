"""A cell of KQL: Python values take their places in it, and what an engine complains of is found again in it.

KQL has braces of its own, in ``dynamic({"a": 1})`` and in the bodies of functions.  Only a name in braces, ``{name}``,
is a place for a value; ``{{name}}`` stands for the name in single braces.  A value brings its quotes along, so that a
place inside a string, or inside a literal such as ``datetime(…)``, is refused: there a value could end the literal
that it stands in.
"""

import re
import unicodedata
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from amakit.errors import AmakitError, UsageError, nearest
from amakit.kql.literals import literal

#: What KQL is made of, as far as it matters where a value may stand.  Where engines differ (may a string go over the
#: end of a line, may a space precede the parenthesis?) the larger part is taken: what is in it gets no value.
_PARTS = re.compile(
    r"""
    (?P<comment> //[^\n]* )
  | (?P<text> @"(?:[^"]|"")*"? | @'(?:[^']|'')*'? | "(?:[^"\\\n]|\\[^\n])*"? | '(?:[^'\\\n]|\\[^\n])*'?
              | ```.*?(?:```|\Z) | ~~~.*?(?:~~~|\Z) )
  | (?P<typed> (?<!\w)(?:bool|boolean|date|datetime|decimal|double|float|guid|u?int(?:8|16|32|64)?|u?long|real|string
              |time|timespan|typeof|uniqueid|uuid)\s*\([^)]*\)? )
  | \{\{(?P<kept>[^\W\d]\w*)\}\}
  | \{(?P<name>[^\W\d]\w*)\}
    """,
    re.VERBOSE | re.DOTALL,
)
_INSIDE = re.compile(r"\{\{(?P<kept>[^\W\d]\w*)\}\}|\{(?P<name>[^\W\d]\w*)\}")
#: How the engines tell a place in the query: the line from 1, the column from 0.
_TOLD = re.compile(
    r"(?:(?P<before>parse KQL|construct '[^']*') at |on line \[|\[line:position=)(?P<line>\d+)[:,](?P<column>\d+)\]?"
)
#: How they tell a name that they do not know, where they tell no place.
_NAMED = re.compile(
    r"""no (?:table|column|function|operator|plugin) '([^']+)'|does not have: (?:evaluate )?([\w-]+)"""
    r"""|named '([^']+)'|'(?:function|aggregate):(\w+)'|^(?:(\w+)\(\)|(make-series)) needs"""
    r"""|column "([^"]+)" not found|Table with name "?([^" ]+)"? does not exist"""
)


@dataclass(frozen=True)
class Filled:
    """A cell with its values in place.

    Attributes
    ----------
    cell : str
        As it was written.
    text : str
        The KQL that it became.
    pieces : tuple of (int, int, bool)
        For each piece of the text where it begins there and in the cell, and whether it stands in the cell as it is.
    first : int
        The number of the first line: that of a cell is below the magic.
    """

    cell: str
    text: str
    pieces: tuple
    first: int = 2

    def origin(self, offset: int) -> int:
        """Give the place in the cell that a place in the text comes from.

        Examples
        --------
        >>> filled = fill("T | where a == {a} and b", {"a": "long text"})
        >>> filled.cell[filled.origin(filled.text.index("b")):]
        'b'
        """
        there, here, same = next(piece for piece in reversed(self.pieces) if piece[0] <= offset)
        return min(here + (offset - there if same else 0), len(self.cell))


def fill(cell: str, values: Mapping[str, object]) -> Filled:
    """Put Python values into a cell of KQL, each as the literal that means it.

    Parameters
    ----------
    cell : str
        KQL with ``{name}`` where a value goes.  Comments stay as they are.
    values : dict
        By name: what `amakit.kql.literals.literal` can write, or a Series, an array or a set, which become a list.

    Returns
    -------
    Filled

    Raises
    ------
    UsageError
        When a name has no value, a value has no literal, or no value can stand where the braces are.

    Examples
    --------
    >>> print(fill('T | where a == {name} | extend Bag = dynamic({"a": {"b": 1}})', {"name": 'x" or "y'}).text)
    T | where a == "x\\" or \\"y" | extend Bag = dynamic({"a": {"b": 1}})
    >>> fill("let f = (T:(*)) {{T}}; f(Heartbeat)", {}).text
    'let f = (T:(*)) {T}; f(Heartbeat)'
    >>> fill("Heartbeat | where Computer == {nam}", {"name": "x"})
    Traceback (most recent call last):
    amakit.errors.UsageError: {nam} stands for a Python value, but there is none of this name; the nearest is 'name'
    """
    text, pieces, end = "", [(0, 0, True)], 0
    for found in _PARTS.finditer(cell):
        written, same = found[0], True
        if found["text"] or found["typed"]:
            written = _without_places(cell, found)
        elif found["kept"]:
            written = f"{{{found['kept']}}}"
        elif found["name"]:
            # the spaces keep a neighbour from becoming a part of the literal, as in @{path} or {a}{b}
            written, same = f"{_before(cell, found)}{_written(cell, found, values)}{_behind(cell, found)}", False
        if written == found[0]:
            continue
        text += cell[end : found.start()]
        pieces.append((len(text), found.start(), same))
        text += written
        pieces.append((len(text), found.end(), True))
        end = found.end()
    return Filled(cell, text + cell[end:], tuple(pieces))


def blank(cell: str) -> bool:
    """Tell whether a cell holds no query, only space and comments.

    Examples
    --------
    >>> blank("\\n // later\\n"), blank("Heartbeat // all")
    (True, False)
    """
    return not _PARTS.sub(lambda found: "" if found["comment"] else found[0], cell).strip(" \t\r\n;")


def marked(error: AmakitError, filled: Filled) -> AmakitError:
    """Let an error show the place in the cell that it speaks of, where it does.

    Parameters
    ----------
    error : AmakitError
        Of an engine; its own line and column become those of the cell, whose first line is that of ``%%kql``.
    filled : Filled

    Returns
    -------
    AmakitError
        The same.

    Examples
    --------
    >>> from amakit import connect
    >>> from amakit.errors import AmakitError
    >>> filled = fill("Heartbeat\\n| take take", {})
    >>> try:
    ...     connect("demo").query(filled.text)
    ... except AmakitError as error:
    ...     print(marked(error, filled).place)
       3 | take take
                ^
    """
    sentence = str(error)
    told, named = _TOLD.search(sentence), _NAMED.search(sentence)
    if told:
        lines = filled.text.split("\n")
        line = min(max(int(told["line"]), 1), len(lines))
        offset = filled.origin(sum(len(other) + 1 for other in lines[: line - 1]) + int(told["column"]))
        line, column = _line_and_column(filled.cell, offset, filled.first)
        where = f"{told['before'] or ''} at line {line}, column {column}".strip()
        error.args = (f"{sentence[: told.start()]}{where}{sentence[told.end() :]}",)
        error.place = _excerpt(filled.cell, offset, filled.first)
    elif named:
        offset = _first(filled.cell, next(filter(None, named.groups())))
        error.place = _excerpt(filled.cell, offset, filled.first) if offset is not None else ""
    return error


def pointed(error: AmakitError, text: str) -> AmakitError:
    """Let an error show the place in a query that it speaks of, where no values were filled in.

    Parameters
    ----------
    error : AmakitError
    text : str
        The query as it was run.

    Returns
    -------
    AmakitError
        The same.

    Examples
    --------
    >>> print(pointed(AmakitError("there is no table 'Heartbeet'"), "Heartbeet | take 1").place)
       1 Heartbeet | take 1
         ^
    """
    return marked(error, Filled(text, text, ((0, 0, True),), first=1))


def _first(cell, name):
    """Find where a cell first names something, outside comments and strings but for names in brackets."""
    hidden = _PARTS.sub(lambda p: " " * len(p[0]) if p["comment"] or (p["text"] and p[0][1:-1] != name) else p[0], cell)
    found = re.search(rf"(?<!\w){re.escape(name)}(?!\w)", hidden)
    return found.start() if found else None


def _without_places(cell, part):
    """Give a string or a typed literal as it is, without a value in it."""

    def kept(found):
        if found["kept"]:
            return f"{{{found['kept']}}}"
        kind = "a string" if part["text"] else f"{part[0].partition('(')[0].strip()}(…)"
        with _pointing(cell, part.start() + found.start()):
            raise UsageError(
                f"{found[0]} stands inside {kind}, where no value goes; write {found[0]} alone, as a value brings its "
                f"quotes and its type along, or {{{found[0]}}} for the braces themselves"
            )

    return _INSIDE.sub(kept, part[0])


def _written(cell, found, values):
    name = found["name"]
    with _pointing(cell, found.start()):
        if name not in values:
            close = nearest(name, [key for key in values if not key.startswith("_")])
            if not close.startswith("the nearest"):
                close = f"set it first, or write {{{found[0]}}} for the braces themselves"
            raise UsageError(f"{found[0]} stands for a Python value, but there is none of this name; {close}")
        try:
            return literal(_listed(values[name]))
        except UsageError as error:
            raise UsageError(f"{found[0]} cannot be written as KQL: {error}") from error


@contextmanager
def _pointing(cell, offset):
    """Let an error show the place in the cell."""
    try:
        yield
    except UsageError as error:
        error.place = _excerpt(cell, offset)
        raise


def _listed(value):
    """Turn what holds several values, but is no list, into one."""
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=repr)
    return value.tolist() if getattr(value, "ndim", 0) == 1 else value


def _before(cell, found):
    return "" if cell[: found.start()][-1:] in ("", *" \t\n(,[=") else " "


def _behind(cell, found):
    return "" if cell[found.end() :][:1] in ("", *" \t\n),];") else " "


def _line_and_column(cell, offset, first=2):
    """Count columns from 1, and lines from the line of the magic, as the reader of the cell does."""
    return cell.count("\n", 0, offset) + first, offset - cell.rfind("\n", 0, offset)


def _excerpt(cell, offset, first=2, width=100):
    line, column = _line_and_column(cell, offset, first)
    text = cell.split("\n")[line - first].replace("\t", " ").rstrip("\r")
    cut = max(0, column - width)
    shown = ("…" if cut else "") + text[cut : cut + width + 20]
    ahead = shown[: column - 1 - cut + bool(cut)]
    indent = sum(2 if unicodedata.east_asian_width(sign) in "WF" else not unicodedata.combining(sign) for sign in ahead)
    return f"{line:>4} {shown}\n     {' ' * indent}^"
