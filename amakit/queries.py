"""The packaged KQL, and the one function that writes a Python value as a KQL literal.

Log Analytics refuses ``declare query_parameters``, so values enter a query as literals.  They are rendered
here and nowhere else, so that no text from a machine can ever become a part of a query.
"""

import datetime as dt
import functools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources

import pandas as pd

from amakit.errors import UsageError, nearest
from amakit.intervals import instant

_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"})
_PLACE = re.compile(r"\{(\w+)\}")
_TABLE = re.compile(r"\w[\w .-]*")


def literal(value: object, kind: str | None = None) -> str:
    """Write a Python value as a KQL literal that means exactly that value.

    Parameters
    ----------
    value : str, bool, int, float, datetime, timedelta, list, dict, pandas.DataFrame or None
        A datetime needs a zone; a frame becomes a ``datatable`` whose column types follow from its dtypes.  One that
        an engine holds already is named.
    kind : str, optional
        The KQL type.  Only needed for None, whose literal depends on it; otherwise it is checked.

    Returns
    -------
    str
        Text that can stand wherever KQL takes a literal.

    Raises
    ------
    UsageError
        For a value that no literal can carry: half of a surrogate pair, a datetime without a zone, a
        time finer than a microsecond or beyond what KQL can hold, an integer beyond 64 bits, an object of
        another type.

    Notes
    -----
    Of the escapes that KQL knows only those are used that every engine reads alike; other control
    characters stand in the text as they are.

    Examples
    --------
    >>> print(literal('say "no" \\\\ yes'))
    "say \\"no\\" \\\\ yes"
    >>> literal(pd.Timestamp("2026-03-01", tz="UTC"))
    'datetime(2026-03-01T00:00:00.000000Z)'
    >>> literal(pd.Timedelta(days=1, seconds=90)), literal(["a", 1]), literal(None, "long")
    ('timespan(1.00:01:30.000000)', 'dynamic(["a",1])', 'long(null)')
    >>> print(literal(pd.DataFrame({"Name": ["x"], "Size": [3]})))
    datatable(Name:string, Size:long)["x",long(3)]
    """
    if isinstance(value, pd.DataFrame):
        return _datatable(value)
    if isinstance(value, Held):
        return f"{_table(value.name)} | project {', '.join(value.columns)}"
    found = _kind(value)
    if kind is not None and found not in (None, kind) and (found, kind) != ("long", "real"):
        raise UsageError(f"{value!r} is of the KQL type {found}, but {kind} is asked for")
    if found is None:
        if kind is None:
            raise UsageError("None needs a KQL type to be written; name it, for example 'long'")
        return '""' if kind == "string" else f"{kind}(null)"
    return _WRITERS[kind or found](value)


def _kind(value):
    if isinstance(value, str):
        return "string"
    if isinstance(value, bool) or type(value).__name__ == "bool":  # NumPy's own bool is no Python bool
        return "bool"
    if isinstance(value, (list, tuple, dict)):
        return "dynamic"
    if value is None or value is pd.NaT or value is pd.NA:
        return None
    if isinstance(value, dt.datetime):
        return "datetime"
    if isinstance(value, dt.timedelta):
        return "timespan"
    if hasattr(value, "__index__"):
        return "long"
    if isinstance(value, float):
        return "real"
    raise UsageError(f"{value!r} is a {type(value).__name__}, for which KQL has no literal")


def _string(value):
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UsageError(f"{value!r} holds half of a surrogate pair, which no query can carry") from error
    return f'"{value.translate(_ESCAPES)}"'


def _long(value):
    value = int(value)
    if not -(2**63) <= value < 2**63:
        raise UsageError(f"{value} does not fit into the 64 bits of a KQL long")
    return f"long({value})"


def _real(value):
    value = float(value)
    if math.isnan(value):
        return "real(nan)"
    if math.isinf(value):
        return "real(+inf)" if value > 0 else "real(-inf)"
    return f"real({value!r})"


def _datetime(value):
    value = pd.Timestamp(value)
    if value.tzinfo is None:
        raise UsageError(f"{value} has no time zone; KQL times are UTC, so say which one is meant")
    if value.nanosecond:
        raise UsageError(f"{value} is finer than the microseconds that both engines keep")
    utc = value.tz_convert("UTC")
    if not 1 <= utc.year <= 9999:
        raise UsageError(f"{value} lies outside the years 1 to 9999 of a KQL datetime")
    return f"datetime({utc.tz_localize(None).isoformat(timespec='microseconds')}Z)"


def _timespan(value):
    if getattr(value, "nanoseconds", 0):
        raise UsageError(f"{value} is finer than the microseconds that both engines keep")
    micros = (value.days * 86_400 + value.seconds) * 1_000_000 + value.microseconds
    if abs(micros) * 10 >= 2**63:
        raise UsageError(f"{value} is longer than a KQL timespan, which counts 100 ns in 64 bits")
    seconds, micros_left = divmod(abs(micros), 1_000_000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    sign = "-" if micros < 0 else ""
    return f"timespan({sign}{days}.{hours:02}:{minutes:02}:{seconds:02}.{micros_left:06})"


def _element(value):
    """Write what stands inside ``dynamic()``: JSON, with the escapes of `_string`."""
    if value is None:
        return "null"
    if isinstance(value, dict):
        return "{" + ",".join(f"{_string(str(k))}:{_element(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(_element(v) for v in value) + "]"
    kind = _kind(value)
    if kind == "real" and not math.isfinite(value):
        raise UsageError(f"{value!r} cannot stand in a dynamic value, which is JSON")
    if kind in ("string", "bool"):
        return _WRITERS[kind](value)
    if kind in ("long", "real"):
        return _WRITERS[kind](value).partition("(")[2][:-1]
    raise UsageError(f"{value!r} cannot stand in a dynamic value; write it as text")


_WRITERS = {
    "string": _string, "long": _long, "real": _real, "datetime": _datetime, "timespan": _timespan,
    "bool": lambda value: "true" if value else "false",
    "dynamic": lambda value: f"dynamic({_element(value)})",
}  # fmt: skip


def _datatable(frame):
    kinds = {}
    for name, dtype in frame.dtypes.items():
        letter = dtype.kind if hasattr(dtype, "kind") else "O"
        kind = {"M": "datetime", "m": "timespan", "i": "long", "u": "long", "f": "real", "b": "bool"}
        kinds[name] = kind.get(letter, "string")
        if not re.fullmatch(r"[A-Za-z_]\w*", str(name), re.ASCII):
            raise UsageError(f"{name!r} cannot name a column of a datatable; use letters, digits and _")
    head = ", ".join(f"{name}:{kind}" for name, kind in kinds.items())
    cells = (
        literal(None if not isinstance(v, (list, dict)) and pd.isna(v) else v, kind)
        for row in frame.itertuples(index=False)
        for v, kind in zip(row, kinds.values(), strict=True)
    )
    return f"datatable({head})[{','.join(cells)}]"


@dataclass(frozen=True)
class Held:
    """A frame that an engine on this machine holds as a table: to parse a long ``datatable`` takes longer than to run.

    Attributes
    ----------
    name : str
        Of the table.
    columns : tuple of str
    """

    name: str
    columns: tuple


@dataclass(frozen=True)
class Query:
    """A packaged query as its file describes it.

    Attributes
    ----------
    name : str
        The file's name without its ending.
    question : str
        What it answers, in one sentence.
    reads : dict of str to tuple of str
        The columns that it reads of each table.
    parameters : dict of str to tuple of (str, str)
        KQL type and meaning (with the unit) of each value that it takes.
    returns : dict of str to str
        KQL type of each column of the result, in order.
    cost : str
        What the engine has to do for it.
    parts : tuple of str
        How the answer may be cut where it is too large for one piece: at which times (``instants``, ``hours``,
        ``days``, or ``slices`` of whole days that whoever asked joins, whose rows do not grow fewer; ``none``
        where a cut would change the rows), then the columns by whose values rows are told apart.
    text : str
        The KQL, with ``{name}`` where a value goes.
    source : str
        The whole file, head and text.
    """

    name: str
    question: str
    reads: dict
    parameters: dict
    returns: dict
    cost: str
    parts: tuple
    text: str
    source: str


@functools.cache
def packaged() -> dict[str, Query]:
    """Read every packaged query.

    Returns
    -------
    dict of str to Query

    Raises
    ------
    ValueError
        When the head of a file is not as it must be; only somebody who writes a query sees this.

    Examples
    --------
    >>> packaged()["heartbeat_days"].parameters["start"]
    ('datetime', 'first instant of the window, inclusive')
    """
    folder = resources.files("amakit").joinpath("kql")
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".kql")), key=lambda f: f.name)
    return {f.name[:-4]: _parse(f.name[:-4], f.read_text(encoding="utf-8")) for f in files}


def _parse(name, text):
    lines = text.splitlines()
    split = next(i for i, line in enumerate(lines) if not line.startswith("//"))
    sections, current = {"Question": []}, "Question"
    for line in (line[2:].strip() for line in lines[:split]):
        word, colon, rest = line.partition(":")
        if colon and word in ("Reads", "Parameters", "Returns", "Parts", "Cost"):
            current, line = word, rest.strip()
            sections[current] = []
        if line:
            sections[current].append(line)
    body = "\n".join(lines[split:]).strip()
    parameters = {}
    for line in sections["Parameters"]:
        key, kind, meaning = line.split(maxsplit=2)
        parameters[key] = (kind, meaning)
    if set(parameters) != set(_PLACE.findall(body)):
        raise ValueError(f"{name}.kql: the parameters of the head are not those of the text")
    return Query(
        name,
        " ".join(sections["Question"]),
        {t: tuple(c.split()) for t, _, c in (line.partition(":") for line in sections["Reads"])},
        parameters,
        dict(pair.split(":") for pair in " ".join(sections["Returns"]).split()),
        " ".join(sections["Cost"]),
        tuple(" ".join(sections["Parts"]).split()),
        body,
        text.rstrip(),
    )


def query(name: str | Query) -> Query:
    """Give a packaged query by its name; one that was made elsewhere is given back.

    Raises
    ------
    UsageError
        When there is no such query; the nearest names are given.

    Examples
    --------
    >>> query("heartbeat_dayz")
    Traceback (most recent call last):
    amakit.errors.UsageError: no packaged query is called 'heartbeat_dayz'; the nearest are 'heartbeat_days', \
'heartbeat_span'
    """
    if isinstance(name, Query):
        return name
    try:
        return packaged()[name]
    except KeyError:
        close = nearest(name, packaged(), limit=2)
        raise UsageError(f"no packaged query is called {name!r}; {close}") from None


def render_text(name: str, values: Mapping[str, str]) -> str:
    """Render a packaged query from values that are text, as they come from a command line.

    Parameters
    ----------
    name : str
        Which query.
    values : dict of str to str
        Times in ISO 8601, lists with commas, datatables as a path to a CSV file with their columns.

    Returns
    -------
    str

    Raises
    ------
    UsageError
        When a value cannot be read as the type of its parameter.

    Examples
    --------
    >>> text = render_text("heartbeat_machines", {"start": "2026-03-01", "end": "2026-03-02"})
    >>> "datetime(2026-03-02T00:00:00.000000Z)" in text
    True
    """
    return render(name, **{key: _from_text(key, value, query(name)) for key, value in values.items()})


def _from_text(key, value, wanted):
    kind, meaning = wanted.parameters.get(key, ("string", ""))
    if kind == "datetime":
        return instant(value, key)
    if kind == "dynamic":
        return [part.strip() for part in value.split(",") if part.strip()]
    try:
        if kind == "datatable":
            frame = pd.read_csv(value, dtype="str", keep_default_na=False)
            types = dict(re.findall(r"(\w+):(datetime|long|real)", meaning))
            read = {"datetime": instant, "long": lambda v, _: int(v), "real": lambda v, _: float(v)}
            return frame.assign(**{c: [read[types[c]](v, c) for v in frame[c]] for c in frame if c in types})
        return {"long": int, "real": float, "timespan": pd.Timedelta}.get(kind, str)(value)
    except (ValueError, OSError) as error:
        raise UsageError(f"{key} = {value!r} cannot be read as {kind}: {error}") from error


def render(name: str | Query, lacking: Mapping[str, Mapping[str, str]] | None = None, **values: object) -> str:
    """Give the text of a packaged query with its values in place.

    Parameters
    ----------
    name : str
        Which query.
    lacking : dict of str to dict of str to str, optional
        Table to column to KQL type: columns that the workspace does not have.  They are read as null,
        because exports often leave columns out.
    **values
        One for each parameter of the query; a parameter of type ``datatable`` takes a frame, one of type
        ``table`` the name of a table.

    Returns
    -------
    str

    Raises
    ------
    UsageError
        When a value is missing, unknown or of another type than the query's head says.

    Examples
    --------
    >>> print(render("heartbeat_span").splitlines()[0])
    Heartbeat
    >>> render("heartbeat_machines", start="2026-03-01")
    Traceback (most recent call last):
    amakit.errors.UsageError: query 'heartbeat_machines' needs a value for 'end' (datetime: first instant \
after the window)
    """
    wanted = query(name)
    for key in values:
        if key not in wanted.parameters:
            close = nearest(key, wanted.parameters)
            raise UsageError(f"query {name!r} has no parameter {key!r}; {close}")
    for key, (kind, meaning) in wanted.parameters.items():
        if key not in values:
            raise UsageError(f"query {name!r} needs a value for {key!r} ({kind}: {meaning})")
    written, text = {}, wanted.text
    for key, (kind, _) in wanted.parameters.items():
        if kind == "table":
            text = text.replace(f"{{{key}}}", _table(values[key]))
        else:
            written[key] = literal(values[key], None if kind == "datatable" else kind)
    for table, columns in (lacking or {}).items():
        nulls = ", ".join(f"{column} = {literal(None, kind)}" for column, kind in columns.items())
        name = re.escape(table)
        alone = rf"(?m)^ *(?:{name}|\['{name}'\])$"
        text = re.sub(alone, lambda line, nulls=nulls: f"{line[0]}\n| extend {nulls}", text)  # type: ignore[misc]
    return _PLACE.sub(lambda place: written[place[1]], text)


def counted(text: str) -> str:
    """Let the answer of a packaged query carry its own number of rows, counted where it is made.

    Parameters
    ----------
    text : str
        As `render` gives it.

    Returns
    -------
    str
        The same rows and one more, in which only the further column ``AnswerRows`` is filled.

    Notes
    -----
    An answer without that row is not whole, nor is one with fewer rows than it says.  Everything is read once
    and from one state of the table, which a second query for the count would not be.

    Examples
    --------
    >>> print(counted("Heartbeat | take 3"))
    let Answer = materialize(Heartbeat | take 3);
    union Answer, (Answer | summarize AnswerRows = count())
    """
    head, ending, body = text.rpartition(";\n")  # no literal holds a line end
    return f"{head}{ending}let Answer = materialize({body});\nunion Answer, (Answer | summarize AnswerRows = count())"


def share(columns: Sequence[str], bits: Sequence[int]) -> str:
    """Write the end of a query that keeps a share of its rows, told apart by a hash of some columns.

    Parameters
    ----------
    columns : sequence of str
    bits : sequence of int
        One more halves the share; the shares of all values of the last bit make up that of the others.

    Returns
    -------
    str

    Examples
    --------
    >>> print(share(["Key", "Hour"], [1, 0]).strip())
    | extend AnswerShare = hash_md5(strcat(Key, "|", Hour))
    | where AnswerShare matches regex "^[89a-f][0-7]"
    | project-away AnswerShare
    """
    if not bits:
        return ""
    key, digits = ', "|", '.join(columns), "".join(("[0-7]", "[89a-f]")[bit] for bit in bits)
    return (  # in steps: the parser of the embedded engine takes seconds for functions inside functions
        f'\n| extend AnswerShare = hash_md5(strcat({key}))\n| where AnswerShare matches regex "^{digits}"'
        "\n| project-away AnswerShare"
    )


def _table(name):
    """Write the name of a table, which no literal can stand for; what could end the brackets is refused."""
    if not isinstance(name, str) or not _TABLE.fullmatch(name):
        raise UsageError(f"{name!r} cannot be the name of a table; it has letters, digits, spaces and _ . - only")
    return f"['{name}']"
