"""Pairs of keys and values in a text: the operator parse-kv."""

import json
import re

from amakit.embedded.functions.scalars import function
from amakit.embedded.operators.rewrites import operator
from amakit.errors import AmakitError
from amakit.kql.literals import literal
from amakit.kql.text import arguments, bare, clauses, named, quoted

_OPTIONS = {"pair_delimiter", "kv_delimiter", "quote", "escape", "greedy", "regex"}


@operator("parse-kv")
def _parse_kv(steps, text, rest, ordered):
    """Read the pairs into a dynamic value, and take the keys that are named out of it, each as its type."""
    parts = clauses(rest, ("as", "with"))
    keys = [part.rpartition(":")[::2] for part in arguments(_inside(parts.get("as", "")))]
    options: dict[str, list] = {}
    for part in arguments(_inside(parts.get("with", "()"))):
        name, value = named(part)
        options.setdefault(name, []).append(_constant(steps, value))
    if not keys or not all(name for name, _ in keys) or options.keys() - _OPTIONS:
        raise AmakitError(
            f"parse-kv takes 'expression as (key: type, …) with ({', '.join(sorted(_OPTIONS))})'; here stands {rest!r}"
        )
    if ("pair_delimiter" in options) != ("kv_delimiter" in options):
        raise AmakitError("parse-kv takes pair_delimiter and kv_delimiter together, or neither of them")
    given = json.dumps(options | {"keys": [bare(name) for name, _ in keys]})
    columns = [f"{quoted(bare(name))} = to{kind.strip()}(kql_kv[{literal(bare(name))}])" for name, kind in keys]
    read = f"extend kql_kv = kql_pairs({parts['']}, {literal(given)})"
    return f"{text}\n| {read}\n| extend {', '.join(columns)}\n| project-away kql_kv"


def _inside(text):
    return text.strip().removeprefix("(").removesuffix(")")


def _constant(steps, text):
    relation = steps.relation(f"print kql_n = {text}")
    return steps.run(f'SELECT * FROM "{relation.name}"').fetchall()[0][0]


@function("ss", "j", "kql_pairs")
def _pairs(text, given):
    """Give the first value of each key that is asked for; a key that is not there has none."""
    options = json.loads(given)
    if "regex" in options:
        found = ((match[1], match[2]) for match in re.finditer(options["regex"][0], text))
    elif "pair_delimiter" in options:
        found = _delimited(text, options)
    else:
        found = _undelimited(text, options)
    first: dict[str, str] = {}
    for key, value in found:
        first.setdefault(key.strip(), value.strip())
    return {key: first[key] for key in options["keys"] if key in first}


def _delimited(text, options):
    """Cut a text at delimiters that do not stand in quotes; greedily, a part without a key goes on the value before."""
    pair, between = options["pair_delimiter"][0], options["kv_delimiter"][0]
    pending: tuple[str, str] | None = None
    for part in _cut(text, pair, options):
        pieces = _cut(part, between, options)
        if len(pieces) > 1:
            if pending:
                yield pending
            pending = _unquoted(pieces[0], options), _unquoted(between.join(pieces[1:]), options)
        elif pending and any(options.get("greedy", [])):
            pending = pending[0], pending[1] + pair + part
    if pending:
        yield pending


def _undelimited(text, options):
    """Take the letters and digits, or the quotation, that follow each key behind whatever is neither."""
    for key in options["keys"]:
        for match in re.finditer(rf"(?<![^\W_]){re.escape(key)}(?![^\W_])[\W_]*", text):
            behind = text[match.end() :]
            for quote in options.get("quote", []):
                if text[: match.end()].endswith(quote[0]) and quote[-1] in behind:
                    yield key, _ended(behind, quote[-1], options.get("escape", []))
                    break
            else:
                yield key, re.split(r"[\W_]", behind, maxsplit=1)[0]


def _ended(text, quote, escapes):
    value, at = "", 0
    while at < len(text) and text[at] != quote:
        at += text[at] in escapes and at + 1 < len(text)
        value, at = value + text[at], at + 1
    return value


def _cut(text, delimiter, options):
    """Split at a delimiter outside of quotes."""
    parts, start, at, closing = [], 0, 0, ""
    opening, escapes = {quote[0]: quote[-1] for quote in options.get("quote", [])}, options.get("escape", [])
    while at < len(text):
        if closing:
            if text[at] in escapes:
                at += 1
            elif text[at] == closing:
                closing = ""
        elif text[at] in opening:
            closing = opening[text[at]]
        elif text.startswith(delimiter, at):
            parts.append(text[start:at])
            at += len(delimiter)
            start = at
            continue
        at += 1
    return [*parts, text[start:]]


def _unquoted(text, options):
    text = text.strip()
    for quote in options.get("quote", []):
        if len(text) > 1 and text[0] == quote[0] and text[-1] == quote[-1]:
            return _ended(text[1:], quote[-1], options.get("escape", []))
    return text
