"""What is added to duckdb-kql itself: rows of its tables of functions, and what it renders wrongly, mended.

Tried with duckdb-kql 1.1.2 to 1.1.x: `pyproject.toml` names the range.  What a later one does by itself goes out here.
"""

import contextlib
import contextvars
import functools
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from duckdb_kql import ir, translate
from duckdb_kql.errors import KqlSchemaError, KqlUnsupportedError
from duckdb_kql.translate import functions as registry
from duckdb_kql.translate import naming

from amakit.embedded.functions import addresses, dynamic  # noqa: F401 - their functions are among PYTHON
from amakit.embedded.functions.aggregates import AGGREGATES, ORIGIN
from amakit.embedded.functions.scalars import PYTHON
from amakit.embedded.functions.series import SERIES
from amakit.embedded.functions.sql import FORMS, NAME_PRESERVING
from amakit.embedded.operators import pairs  # noqa: F401 - so is its function

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

#: What passes a value of KQL to Python, by its kind, and what DuckDB calls it there.
_PASSED = {
    "s": ("coalesce(CAST({} AS VARCHAR), '')", "VARCHAR"),
    "l": ("TRY_CAST({} AS BIGINT)", "BIGINT"),
    "r": ("TRY_CAST({} AS DOUBLE)", "DOUBLE"),
    "m": ("CAST({} AS VARCHAR)", "VARCHAR"),
    "b": ("TRY_CAST({} AS BOOLEAN)", "BOOLEAN"),
    "d": ("TRY_CAST({} AS TIMESTAMP)", "TIMESTAMP"),
    "t": ("epoch_us({})", "BIGINT"),
    "j": ("CAST(to_json({}) AS VARCHAR)", "VARCHAR"),
}
_CALLS = {**PYTHON, **SERIES}
#: After how many elements a list of KQL ends, counted from 0.
_MOST = 1_048_575


@dataclass(frozen=True)
class _Function(registry.FunctionSpec):
    """A function whose SQL depends on how many arguments it has."""

    forms: dict = field(default_factory=dict)

    def render(self, args):
        form = self.forms.get(len(args), self.forms.get("any"))
        if form is None:
            wanted = " or ".join(str(n) for n in self.forms)
            raise ValueError(f"{self.name}() takes {wanted} arguments, not {len(args)}")
        return form.format(*args, all=", ".join(args))


@dataclass(frozen=True)
class _Aggregate(registry.AggregateSpec):
    """An aggregate whose SQL depends on how many arguments it has."""

    forms: dict = field(default_factory=dict)

    def render(self, args):
        form = self.forms.get(len(args))
        if form is None:
            wanted = " or ".join(str(n) for n in self.forms)
            raise ValueError(f"{self.name}() takes {wanted} arguments, not {len(args)}")
        return form.format(*args)


@functools.cache
def extend_library() -> None:
    """Add what amakit knows to duckdb-kql, once in a process."""
    for name, forms in FORMS.items():
        _add(name, forms)
    for name, (_, arguments, value) in _CALLS.items():
        least = sum(letter.islower() for letter in arguments)
        _add(name, {n: _python_call(name, arguments[:n], value) for n in range(least, len(arguments) + 1)})
    for name, (prefix, forms) in AGGREGATES.items():
        registry.AGGREGATE_FUNCTIONS[name] = _Aggregate(name, "", (), name_prefix=prefix, forms=forms)
    naming.NAME_PRESERVING = naming.NAME_PRESERVING | NAME_PRESERVING
    translate.render_bin = _bin
    translate._SPECIAL_FORMS |= {
        "bin": _bin_call,
        "floor": _bin_call,
        "bin_at": _bin_at,
        "datetime_diff": _datetime_diff,
        "split": _split,
        "datepart": translate._SPECIAL_FORMS["datetime_part"],
        "range": _range,
        **{name: _branches(translate._SPECIAL_FORMS[name]) for name in ("iff", "iif", "case")},
    }
    translate._is_dynamic = _dynamic(translate._is_dynamic)
    translate.render_expr = _timespans(translate.render_expr)
    translate.render_kql_tostring = _tostring_once(translate.render_kql_tostring)
    translate.render_table_ref = _checked_table(translate.render_table_ref)
    for name in translate._SPECIAL_FORMS:  # a form without a row is no function to summarize
        registry.SCALAR_FUNCTIONS.setdefault(name, registry.FunctionSpec(name, "template", ""))


def _add(name, forms):
    registry.SCALAR_FUNCTIONS[name] = _Function(name, "template", "", forms=forms)
    translate._SPECIAL_FORMS.pop(name, None)


def _python_call(name, arguments, value):
    passed = ", ".join(_PASSED[kind.lower()][0].format(f"{{{i}}}") for i, kind in enumerate(arguments))
    call = f"kqlpy_{name}_{len(arguments)}({passed})"
    return {"j": f"CAST({call} AS JSON)", "m": f"CAST({call} AS DECIMAL(38, 0))", "t": f"to_microseconds({call})"}.get(
        value, call
    )


def python_functions(sql: str) -> set[tuple[str, int]]:
    """Give the functions that are Python in an SQL text, with how many arguments they have there."""
    return {(name, int(n)) for name, n in re.findall(r"\bkqlpy_(\w+)_(\d)\(", sql)}


def register_python(connection: "DuckDBPyConnection", name: str, n: int) -> None:
    """Give a DuckDB connection a function that is Python, for so many arguments."""
    from duckdb.func import FunctionNullHandling

    call, arguments, value = _CALLS[name]
    kinds = arguments[:n].lower()
    passing = _passing(call, kinds, value)
    counted: dict[int, Callable] = {
        1: lambda a: passing(a),
        2: lambda a, b: passing(a, b),
        3: lambda a, b, c: passing(a, b, c),
        4: lambda a, b, c, d: passing(a, b, c, d),
        5: lambda a, b, c, d, e: passing(a, b, c, d, e),
    }
    passed: list = [_PASSED[kind][1] for kind in kinds]
    connection.create_function(
        f"kqlpy_{name}_{n}",
        counted[n],
        passed,
        _PASSED[value][1],
        null_handling=FunctionNullHandling.SPECIAL,
    )


def _passing(call, kinds, value):
    """Take dynamic values of their JSON, and put one into it; a number that is not there gives none back."""

    def called(*given):
        read = [json.loads(v) if kind == "j" and v is not None else v for kind, v in zip(kinds, given, strict=True)]
        if any(v is None and kind in "lrdb" for kind, v in zip(kinds, read, strict=True)):
            return None
        try:
            found = call(*read)
        except (TypeError, AttributeError):
            if "j" not in kinds:
                raise
            return None  # a dynamic value of another shape than the function is for
        if value == "j" and found is not None:
            return json.dumps(found, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return found

    return called


# -- mended -----------------------------------------------------------------------------------------------


def _is_timespan(node):
    if isinstance(node, ir.BinaryOp) and node.op in ("/", "%"):  # of a timespan by a number, or the rest of two
        return _is_timespan(node.left) and (node.op == "%") == _is_timespan(node.right)
    return translate._is_timespan_expr(node)


def _bin_call(node):
    return _bin(node, node.name)


def _bin(node, name="bin"):
    """Round down: times in whole microseconds, counted from the year 1 and so from a Monday, as KQL does."""
    if len(node.args) != 2:
        raise KqlUnsupportedError(name, hint="expects (value, roundTo)")
    value, size = (translate.render_expr(argument) for argument in node.args)
    if not _is_timespan(node.args[1]):
        return translate._numeric_bin(value, size)
    return _rounded(value, size, f"CASE typeof({value}) WHEN 'INTERVAL' THEN 0 ELSE {ORIGIN} END")


def _bin_at(node):
    if len(node.args) != 3:
        raise KqlUnsupportedError("bin_at", hint="expects (value, bin_size, fixed_point)")
    value, size, fixed = (translate.render_expr(argument) for argument in node.args)
    if _is_timespan(node.args[1]):
        return _rounded(value, size, f"-epoch_us({fixed})")
    return f"({fixed} + floor(({value} - {fixed}) / CAST({size} AS DOUBLE)) * {size})"


def _rounded(value, size, shift):
    step = f"epoch_us({size})"
    rest = f"(((epoch_us({value}) + {shift}) % {step} + {step}) % {step})"
    return f"({value} - to_microseconds({rest}))"


def _dynamic(original):
    """Know more functions whose value is dynamic."""
    names = {"split", "bag_pack", "pack", "pack_dictionary", "range", "extract_all"}
    names |= {name for name, (_, _, value) in _CALLS.items() if value == "j"}

    def is_dynamic(node):
        if isinstance(node, ir.FunctionCall) and node.name in ("iff", "iif", "case"):
            return any(map(translate._is_dynamic_expr, _values(node)))
        return original(node) or (isinstance(node, ir.FunctionCall) and node.name in names)

    return is_dynamic


def _values(node):
    """Give what iff() or case() may come to."""
    return node.args[1:] if node.name != "case" else (*node.args[1::2], *node.args[-1:])


def _branches(original):
    """Let iff() and case() of a dynamic value and text be dynamic, as in KQL."""

    def rendered(node):
        if not any(map(translate._is_dynamic_expr, _values(node))):
            return original(node)
        conditions = node.args[:1] if node.name != "case" else node.args[:-1:2]
        values = [
            translate.render_expr(v) if translate._is_dynamic_expr(v) else f"to_json({translate.render_expr(v)})"
            for v in _values(node)
        ]
        whens = " ".join(f"WHEN {translate.render_expr(c)} THEN {v}" for c, v in zip(conditions, values, strict=False))
        return f"CASE {whens} ELSE {values[-1]} END"

    return rendered


def _timespans(original):
    """Divide timespans by numbers, and take the rest of one by another."""

    def rendered(node):
        if isinstance(node, ir.BinaryOp) and node.op in ("/", "%") and _is_timespan(node.left):
            left, right = original(node.left), original(node.right)
            if node.op == "%" and _is_timespan(node.right):
                step = f"epoch_us({right})"
                return f"to_microseconds(((epoch_us({left}) % {step}) + {step}) % {step})"
            if node.op == "/" and isinstance(node.right, ir.Literal) and node.right.kind in ("long", "int", "real"):
                return f"to_microseconds(CAST(trunc(epoch_us({left}) / CAST({right} AS DOUBLE)) AS BIGINT))"
        return original(node)

    return rendered


def _datetime_diff(node):
    """Count the borders between two times; weeks begin on Sunday in KQL."""
    part = node.args[0].value if node.args and isinstance(node.args[0], ir.Literal) else ""
    if str(part).lower() == "nanosecond":
        raise KqlUnsupportedError("datetime_diff() in nanoseconds", hint="times are kept in microseconds")
    if len(node.args) == 3 and str(part).lower() == "week":
        first, second = (translate.render_expr(argument) for argument in node.args[1:])
        weeks = [f"date_trunc('week', {at} + INTERVAL 1 DAY)" for at in (second, first)]
        return f"(date_diff('day', {', '.join(weeks)}) // 7)"
    return translate._render_datetime_diff(node)


def _split(node):
    """Cut a text; a list of KQL is JSON, so that it is written and compared as one."""
    text, sign, *index = node.args
    parts = f"str_split({translate.render_kql_tostring(text)}, {translate.render_expr(sign)})"
    if not index:
        return f"to_json({parts})"
    return f"to_json(list_slice({parts}, {translate.render_expr(index[0])} + 1, {translate.render_expr(index[0])} + 1))"


def _range(node):
    """Count from one value to another; a list of KQL has no more than so many elements."""
    start, stop, *step = (translate.render_expr(argument) for argument in node.args)
    if any(map(_is_timespan, node.args[:2])):
        size = f"epoch_us({step[0]})" if step else "3600000000"
        points = (
            f"generate_series(epoch_us({start}), least(epoch_us({stop}), epoch_us({start}) + {size} * {_MOST}), {size})"
        )
        return f"to_json(list_transform({points}, lambda i: {translate._kql_timespan_text('to_microseconds(i)')}))"
    if any(map(translate._is_datetime_expr, node.args[:2])) or any(map(_is_timespan, node.args[2:])):
        size = step[0] if step else "INTERVAL 1 HOUR"
        points = f"generate_series({start}, least({stop}, {start} + {_MOST} * {size}), {size})"
        return f"to_json(list_transform({points}, lambda t: {translate._kql_datetime_text('t')}))"
    size = step[0] if step else "1"
    last = f"CAST(least(floor(({stop} - {start}) / {size}), {_MOST}) AS BIGINT)"
    return f"to_json(list_transform(generate_series(0, {last}), lambda i: {start} + i * {size}))"


@dataclass(frozen=True)
class _Sql(ir.Expr):
    """SQL in place of an expression; duckdb-kql knows it by this name."""

    sql: str


_TEXTS: contextvars.ContextVar = contextvars.ContextVar("texts", default=frozenset())
_GIVE_TEXT = {"strcat", "substring", "tolower", "tostring", "toupper"}


def _tostring_once(original):
    """Write what is text as it is, and a long expression once; it stands there nine times otherwise, and so on."""

    def tostring(node):
        if isinstance(node, _Sql) or translate._is_dynamic_expr(node):
            return original(node)
        rendered = translate.render_expr(node)
        if getattr(node, "name", None) in (_TEXTS.get() if isinstance(node, ir.ColumnRef) else _GIVE_TEXT):
            return f"coalesce({rendered}, '')"
        if len(rendered) < 60:
            return original(node)
        return f"list_transform([{rendered}], lambda _text: {original(_Sql('_text'))})[1]"

    return tostring


# -- what may be read -------------------------------------------------------------------------------------

_TABLES: contextvars.ContextVar = contextvars.ContextVar("tables", default=None)


@contextlib.contextmanager
def translating(tables: dict, texts: frozenset) -> Iterator[None]:
    """Let a query read these tables and its own lets, and take these columns for text, while it is translated.

    DuckDB would take another name for a file, or a table of its own; duckdb-kql knows no types: it writes SQL for each.
    """
    tokens = [(_TABLES, _TABLES.set(tables)), (_TEXTS, _TEXTS.set(texts))]
    try:
        yield
    finally:
        for variable, token in tokens:
            variable.reset(token)


def _checked_table(original):
    def rendered(source):
        known = _TABLES.get()
        if known is not None and not (source.database or source.cluster):
            if translate._let_cte(source.name) is None and source.name not in known:
                raise KqlSchemaError(source.name)
        elif known is not None:
            raise KqlUnsupportedError("database()", hint="a workspace on this machine is one database")
        return original(source)

    return rendered
