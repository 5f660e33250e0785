"""Where statements, operators and arguments begin in a KQL text."""

import re
from collections.abc import Collection, Iterator
from typing import NamedTuple

from amakit.errors import AmakitError

_TOKEN = re.compile(
    r"""(?P<space>\s+)
    |(?P<comment>//[^\n]*)
    |(?P<text>[hH]?(?:@"(?:[^"]|"")*"|@'(?:[^']|'')*'|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|```.*?```|~~~.*?~~~))
    |(?P<number>\d+(?:\.(?!\.)\d*)?(?:[eE][+-]?\d+)?\w*)
    |(?P<name>[A-Za-z_$]\w*)
    |(?P<sign>==|=~|!=|!~|<=|>=|<>|\.\.|=>|.)""",
    re.VERBOSE | re.DOTALL,
)
_OPENING, _CLOSING = "([{", ")]}"
#: How deep brackets may lie in each other: the parser recurses, and nobody writes that many.
DEEPEST = 100


class Token(NamedTuple):
    """A word of a KQL text: its kind (text, number, name, sign), itself, where it lies, and how deep in brackets."""

    kind: str
    word: str
    start: int
    end: int
    depth: int


def tokens(text: str) -> list[Token]:
    """Cut a KQL text into words, without spaces and comments; a closing bracket is as deep as its opening one.

    Examples
    --------
    >>> [(t.word, t.depth) for t in tokens("print f(x) // a comment")]
    [('print', 0), ('f', 0), ('(', 0), ('x', 1), (')', 0)]
    """
    found, depth = [], 0
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup or ""
        if kind in ("space", "comment"):
            continue
        word = match[0]
        if kind == "sign" and word in _CLOSING:
            depth = max(depth - 1, 0)
        found.append(Token(kind, word, *match.span(), depth))
        if kind == "sign" and word in _OPENING:
            depth += 1
            if depth > DEEPEST:
                raise AmakitError(
                    f"the query has brackets more than {DEEPEST} deep in each other, which the embedded engine does "
                    "not read; give parts of it names with let"
                )
    return found


def without_comments(text: str) -> str:
    """Put spaces in place of comments, so that every other character stays where it is.

    Examples
    --------
    >>> without_comments("print 1 // one").rstrip()
    'print 1'
    """
    return _TOKEN.sub(lambda match: " " * len(match[0]) if match.lastgroup == "comment" else match[0], text)


def with_plain_literals(text: str) -> str:
    """Write hidden text (``h'…'``) and text of several lines between backticks or tildes as plain text in quotes.

    Examples
    --------
    >>> print(with_plain_literals("print h'a', ```it's b```"))
    print 'a', 'it\\'s b'
    """

    def plain(match):
        word = match[0]
        if match.lastgroup != "text":
            return word
        word = word[1:] if word[0] in "hH" else word
        if word[:3] not in ("```", "~~~"):
            return word
        inside = word[3:-3].replace("\\", "\\\\").replace("'", "\\'").replace("\r", "\\r").replace("\n", "\\n")
        return f"'{inside}'"

    return _TOKEN.sub(plain, text)


def split(text: str, sign: str) -> list[str]:
    """Cut a text at a sign that stands outside all brackets.

    Examples
    --------
    >>> split("a, f(b, c), '1,2'", ",")
    ['a', ' f(b, c)', " '1,2'"]
    """
    cuts = [t for t in tokens(text) if t.depth == 0 and t.word == sign and t.kind == "sign"]
    starts, ends = [0, *(t.end for t in cuts)], [*(t.start for t in cuts), len(text)]
    return [text[start:end] for start, end in zip(starts, ends, strict=True)]


def arguments(text: str) -> list[str]:
    """Give the arguments of a call or an operator, without the spaces around them.

    Examples
    --------
    >>> arguments("a, f(b, c)"), arguments("  ")
    (['a', 'f(b, c)'], [])
    """
    parts = [part.strip() for part in split(text, ",")]
    return [] if parts == [""] else parts


def clauses(text: str, words: tuple[str, ...]) -> dict[str, str]:
    """Cut an operator at some of its keywords; what stands before the first is under the empty word.

    Examples
    --------
    >>> clauses("count() on t step 1h by c", ("on", "step", "by"))
    {'': 'count()', 'on': 't', 'step': '1h', 'by': 'c'}
    """
    found = [t for t in tokens(text) if t.depth == 0 and t.kind == "name" and t.word in words]
    starts, ends = [0, *(t.end for t in found)], [*(t.start for t in found), len(text)]
    names = ["", *(t.word for t in found)]
    return {name: text[start:end].strip() for name, start, end in zip(names, starts, ends, strict=True)}


def operator_of(text: str) -> tuple[str, str]:
    """Give the name of an operator and what follows it.

    Examples
    --------
    >>> operator_of(" project-away a, b")
    ('project-away', 'a, b')
    """
    match = re.match(r"\s*([A-Za-z_]+(?:-[a-z]+)*)(?![\w(.])\s*", text) or re.match(r"\s*([a-z]+(?:-[a-z]+)*)\s*", text)
    return (match[1], text[match.end() :].strip()) if match else ("", text.strip())


_PARAMETERS = r"kind|hint\.[\w.]+|withsource|with_source|isfuzzy|bagexpansion|with_itemindex|flags|id"


def parameters(text: str) -> tuple[dict[str, str], str]:
    """Take ``name=value`` from the front of an operator's text; give them and the rest.

    Examples
    --------
    >>> parameters("kind=outer hint.remote=auto (A), B")
    ({'kind': 'outer', 'hint.remote': 'auto'}, '(A), B')
    """
    found = {}
    while match := re.match(rf"\s*({_PARAMETERS})\s*=\s*(\[[^\]]*\]|\"[^\"]*\"|'[^']*'|[\w.-]+)(?=[\s(*]|$)", text):
        found[match[1]] = bare(match[2]).strip("\"'")
        text = text[match.end() :]
    return found, text.strip()


def named(text: str) -> tuple[str, str]:
    """Cut ``name = expression``; the name is empty where there is none.

    Examples
    --------
    >>> named("n = count()"), named("a == b"), named("(T, V) = arg_max(t, v)"), named("['a b'] = 1")
    (('n', 'count()'), ('', 'a == b'), ('(T, V)', 'arg_max(t, v)'), ("['a b']", '1'))
    """
    cut = next((t for t in tokens(text) if t.depth == 0 and t.word == "=" and t.kind == "sign"), None)
    return (text[: cut.start].strip(), text[cut.end :].strip()) if cut else ("", text.strip())


def calls(text: str, wanted: Collection[str]) -> Iterator[tuple[str, str, int, int]]:
    """Give each call of some functions, inner ones before those around them: name, arguments, start and end.

    Examples
    --------
    >>> list(calls("prev(next(x), 2)", {"prev", "next"}))
    [('next', 'x', 5, 12), ('prev', 'next(x), 2', 0, 16)]
    """
    words, open_calls, done = tokens(text), [], []
    for before, token in zip([None, *words], words, strict=False):
        if token.kind != "sign":
            continue
        if token.word == "(":
            known = before if before is not None and before.kind == "name" and before.word in wanted else None
            open_calls.append((known, token) if known is not None else None)
        elif token.word in "[{":
            open_calls.append(None)
        elif token.word in _CLOSING and open_calls and (call := open_calls.pop()):
            done.append((call[0].word, text[call[1].end : token.start].strip(), call[0].start, token.end))
    yield from done


def groups(text: str) -> Iterator[tuple[int, int]]:
    """Give where the outermost round brackets of a text begin and end, the brackets themselves left out."""
    opened = None
    for token in tokens(text):
        if token.depth == 0 and token.word == "(" and token.kind == "sign":
            opened = token.end
        elif token.depth == 0 and token.word == ")" and token.kind == "sign" and opened is not None:
            yield opened, token.start
            opened = None


def bare(name: str) -> str:
    """Give a name without the brackets and quotes that KQL may need around it.

    Examples
    --------
    >>> bare("['a b']"), bare("x")
    ('a b', 'x')
    """
    match = re.fullmatch(r"""\[\s*(["'])(.*)\1\s*\]""", name.strip(), re.DOTALL)
    return match[2] if match else name.strip()


def quoted(name: str) -> str:
    """Write the name of a column or table as KQL reads it.

    Examples
    --------
    >>> quoted("Computer"), quoted("a b"), quoted("count")
    ('Computer', "['a b']", "['count']")
    """
    if re.fullmatch(r"[A-Za-z_]\w*", name) and name not in _WORDS:
        return name
    escaped = name.replace("\\", "\\\\").replace("'", "\\'")
    return f"['{escaped}']"


#: Words that the grammar would not take for a name.
_WORDS = {
    "and", "as", "asc", "between", "bool", "boolean", "by", "contains", "count", "datatable", "date", "datetime",
    "decimal", "desc", "distinct", "double", "dynamic", "extend", "false", "find", "first", "float", "from",
    "getschema", "guid", "has", "has_all", "has_any", "in", "int", "join", "kind", "last", "let", "like", "limit",
    "long", "lookup", "materialize", "mv", "notlike", "null", "nulls", "of", "on", "order", "parse", "print",
    "project", "range", "real", "reduce", "regex", "render", "sample", "search", "serialize", "set", "simple",
    "sort", "step", "string", "summarize", "table", "take", "time", "timespan", "to", "top", "toscalar", "true",
    "typeof", "union", "uniqueid", "where", "with",
}  # fmt: skip
