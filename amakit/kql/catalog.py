"""The packaged queries: what each reads, takes and returns, and its text with values filled in."""

import functools
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources

import pandas as pd

from amakit.errors import UsageError, nearest
from amakit.intervals import instant
from amakit.kql.literals import columns_literal, literal, table_literal

_PLACE = re.compile(r"\{(\w+)\}")


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
    texts = {f.name[:-4]: f.read_text(encoding="utf-8") for f in folder.iterdir() if f.name.endswith(".kql")}
    tables = table_parts()
    shared = {f"{table}.{key}": part for table, parts in tables.items() for key, part in parts.items()}
    texts = {name: _filled(text, shared) for name, text in texts.items()}
    for kind in ("streams", "rows"):
        template = folder.joinpath(f"{kind}.template").read_text(encoding="utf-8")
        sampled = {parts["queries"]: parts | {"table": table} for table, parts in tables.items() if "queries" in parts}
        texts |= {f"{name}_{kind}": _filled(template, parts) for name, parts in sampled.items()}
    return {name: _parse(name, texts[name]) for name in sorted(texts)}


@functools.cache
def table_parts() -> dict[str, dict]:
    """Read what several queries say of a table in the same words.

    Returns
    -------
    dict of str to dict
        Table to key to text, or to the texts of several ``extend`` or ``where`` that follow each other; ``events``
        stands for every table without ``extend`` of its own.  ``tables.toml`` tells the keys.

    Examples
    --------
    >>> table_parts()["Perf"]["restart"]
    ['CounterName in~ ("System Up Time", "Uptime")']
    """
    text = resources.files("amakit").joinpath("kql", "tables.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def _filled(text, parts):
    """Put what is said of tables in its places: ``<name>``."""
    for name, part in parts.items():
        operator = "extend" if name.endswith("extend") else "where"
        text = text.replace(f"<{name}>", part if isinstance(part, str) else f"\n| {operator} ".join(part))
    return text


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


def table_of(wanted: Query, several: Sequence[Mapping]) -> str:
    """Name the table that a query reads, or that its values put in the place of that.

    Examples
    --------
    >>> table_of(query("table_rows"), [{"table": "Perf"}]), table_of(query("perf_uptime"), [])
    ('Perf', 'Perf')
    """
    stand_in = next((key for key, (kind, _) in wanted.parameters.items() if kind == "table"), None)
    return next((values[stand_in] for values in several if stand_in in values), next(iter(wanted.reads)))


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
    if kind in ("dynamic", "columns"):
        return [part.strip() for part in value.split(",") if part.strip()]
    try:
        if kind == "datatable":
            frame = pd.read_csv(value, dtype="str", keep_default_na=False)
            types = dict(re.findall(r"(\w+):(datetime|timespan|long|real)", meaning))
            read = {
                "datetime": instant,
                "long": lambda v, _: int(v),
                "real": lambda v, _: float(v),
                "timespan": lambda v, _: pd.Timedelta(v),
            }
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
        ``table`` the name of a table, one of type ``columns`` a list of names.

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
            text = text.replace(f"{{{key}}}", table_literal(values[key]))
        elif kind == "columns":
            written[key] = columns_literal(values[key])
        else:
            written[key] = literal(values[key], None if kind == "datatable" else kind)
    for table, columns in (lacking or {}).items():
        if not columns:
            continue
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
