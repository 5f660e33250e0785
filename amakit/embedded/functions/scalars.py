"""Scalar functions of KQL over text and time that are Python, and how a Python function becomes one of KQL."""

import base64
import csv
import io
import itertools
import re
import urllib.parse
from collections.abc import Callable
from datetime import UTC, datetime
from xml.etree import ElementTree
from zoneinfo import ZoneInfo

#: Function -> (what computes it, kinds of its arguments, kind of its value).  A kind is a letter: s string, l long,
#: r real, m decimal, b bool, d datetime, t timespan in microseconds, j dynamic.  An argument in capitals may be left
#: out.
PYTHON: dict[str, tuple] = {}


def function(arguments: str, value: str, *names: str) -> Callable[[Callable], Callable]:
    """Let a Python function be one of KQL, under its own name without the underscore, or under others."""

    def added(call):
        for name in names or (call.__name__.strip("_"),):
            PYTHON[name] = (call, arguments, value)
        return call

    return added


# -- text -------------------------------------------------------------------------------------------------


@function("ssLLL", "l")
def _indexof(text, wanted, start=0, length=-1, occurrence=1):
    if occurrence == 0 or length < -1:
        return None
    begin = max(len(text) + start, 0) if start < 0 else start
    end = len(text) if length in (-1, None) else begin + length
    places = [m.start() + begin for m in re.finditer(f"(?={re.escape(wanted)})", text[begin:end])]
    places = [p for p in places if p + len(wanted) <= end]
    at = occurrence - 1 if occurrence > 0 else occurrence
    return places[at] if -len(places) <= at < len(places) else -1


@function("ss", "l")
def _strcmp(left, right):
    return (left > right) - (left < right)


@function("s", "s", "url_decode")
def _url_decode(text):
    return urllib.parse.unquote_plus(text)


@function("s", "s")
def _url_encode(text):
    return _lower_hex(urllib.parse.quote_plus(text, safe="!*()-_."))


@function("s", "s")
def _url_encode_component(text):
    return _lower_hex(urllib.parse.quote(text, safe="!*()-_.~'"))


def _lower_hex(text):
    return re.sub(r"%[0-9A-F]{2}", lambda match: match[0].lower(), text)


@function("s", "s", "base64_decode_tostring", "base64_decodestring")
def _base64_decode_tostring(text):
    try:
        return base64.b64decode(text, validate=True).decode("utf-8")
    except ValueError:
        return ""


@function("s", "j")
def _base64_decode_toarray(text):
    try:
        return list(base64.b64decode(text, validate=True))
    except ValueError:
        return None


@function("jJJJJ", "s", "make_string", "unicode_codepoints_to_string")
def _make_string(*points):
    return "".join(chr(p) for part in points for p in (part if isinstance(part, list) else [part]))


@function("sjj", "s")
def _replace_strings(text, wanted, given):
    """Replace one text after the other; what has been replaced is not looked into again."""
    given = given if isinstance(given, list) else [given] * len(wanted)
    pieces = [(text, False)]
    for word, by in zip(wanted, given, strict=False):
        if not isinstance(word, str) or not word:
            continue
        by = by if isinstance(by, str) else word
        pieces = [
            (part, done or i % 2 == 1)
            for piece, done in pieces
            for i, part in enumerate([piece] if done else _between(by, piece.split(word)))
        ]
    return "".join(piece for piece, _ in pieces)


def _between(by, parts):
    return [piece for part in parts for piece in (by, part)][1:]


@function("ssLL", "l")
def _indexof_regex(text, pattern, start=0, length=-1):
    end = len(text) if length in (-1, None) else start + length
    found = re.compile(pattern).search(text, start, end)
    return found.start() if found else -1


@function("sss", "s")
def _translate(search, replacement, text):
    if not search or not replacement:
        return "" if not replacement else text
    last = replacement[-1]
    return text.translate({ord(c): replacement[i] if i < len(replacement) else last for i, c in enumerate(search)})


@function("s", "s")
def _regex_quote(text):
    return re.sub(r"([^\w\s])", r"\\\1", text)


@function("s", "j", "to_utf8", "unicode_codepoints_from_string")
def _to_utf8(text):
    return [ord(c) for c in text]


@function("s", "s")
def _punycode_from_string(text):
    return text.encode("punycode").decode("ascii")


@function("s", "s")
def _punycode_to_string(text):
    try:
        return text.encode("ascii").decode("punycode")
    except UnicodeError:
        return ""


@function("s", "j")
def _parse_csv(text):
    return next(csv.reader(io.StringIO(text)), [""])


@function("s", "j", "parse_urlquery", "parseurlquery")
def _parse_urlquery(text):
    return {"Query Parameters": dict(urllib.parse.parse_qsl(text.lstrip("?"), keep_blank_values=True))}


@function("s", "j")
def _parse_path(path):
    scheme = re.match(r"^([A-Za-z][\w+.-]*)://", path)
    rest = path[scheme.end() :] if scheme else path
    stream = re.search(r"(?<!^.):([^:\\/]+)$", rest) if not scheme else None
    bare = rest[: stream.start()] if stream else rest
    cut = max(bare.rfind("/"), bare.rfind("\\"))
    folder, name = bare[: max(cut, 0)], bare[cut + 1 :]
    root = re.match(r"^([A-Za-z]:|\\\\[^\\]+\\[^\\]+)", bare)
    if scheme:
        root = re.match(r"^[^/]*", bare)
    inner = re.sub(r".*[\\/]", "", folder[len(root[0]) :] if root else folder)
    dot = name.rpartition(".")[2] if "." in name else ""
    return {
        "Scheme": scheme[1] if scheme else "",
        "RootPath": root[0] if root else "",
        "DirectoryPath": folder,
        "DirectoryName": inner,
        "Filename": name,
        "Extension": dot,
        "AlternateDataStreamName": stream[1] if stream else "",
    }


@function("s", "m")
def _parse_version(text):
    parts = re.fullmatch(r"(\d+)(?:\.(\d+))?(?:\.(\d+))?(?:\.(\d+))?", text.strip())
    if not parts or any(len(p or "") > 8 for p in parts.groups()):
        return None
    return str(sum(int(p or 0) * 10 ** (8 * (3 - i)) for i, p in enumerate(parts.groups())))


@function("s", "j")
def _parse_xml(text):
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        return None
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError:
        return None
    return {_tag(root): _element(root)}


def _tag(element):
    return element.tag.rpartition("}")[2]


def _element(element):
    inside = {f"@{key.rpartition('}')[2]}": value for key, value in element.attrib.items()}
    for name, children in itertools.groupby(sorted(element, key=lambda e: _order(element, e)), key=_tag):
        several = [_element(child) for child in children]
        inside[name] = several[0] if len(several) == 1 else several
    text = (element.text or "").strip()
    if not inside:
        return text or None
    return inside | ({"#text": text} if text else {})


def _order(parent, child):
    return [_tag(e) for e in parent].index(_tag(child))


@function("lL", "s")
def _format_bytes(size, precision=0):
    units = ["Bytes", "KB", "MB", "GB", "TB", "PB"]
    power = 0
    while abs(size) >= 1024 and power < len(units) - 1:
        size, power = size / 1024, power + 1
    return f"{round(size, precision):.{precision}f}".rstrip("0").rstrip(".") + f" {units[power]}"


# -- time -------------------------------------------------------------------------------------------------


@function("ts", "s")
def _format_timespan(microseconds, pattern):
    if microseconds is None:
        return ""
    ticks = abs(microseconds) * 10
    seconds, fraction = divmod(ticks, 10_000_000)
    parts = {"d": seconds // 86400, "h": seconds // 3600 % 24, "m": seconds // 60 % 60, "s": seconds % 60}
    parts["H"] = parts["h"]

    def element(match):
        run = match[0]
        if run[0] == "f":
            return f"{fraction:07}"[: len(run)]
        if run[0] == "F":
            return f"{fraction:07}"[: len(run)].rstrip("0")
        return str(parts[run[0]]).rjust(len(run), "0")

    return re.sub(r"d+|h+|H+|m+|s+|f+|F+", element, pattern)


@function("ds", "d")
def _datetime_utc_to_local(at, zone):
    return at.replace(tzinfo=UTC).astimezone(ZoneInfo(zone)).replace(tzinfo=None) if at else None


@function("ds", "d")
def _datetime_local_to_utc(at, zone):
    return at.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC).replace(tzinfo=None) if at else None


def _unixtime(per_second):
    def converted(number):
        return None if number is None else datetime.fromtimestamp(0, UTC).replace(tzinfo=None) + _delta(number)

    def _delta(number):
        from datetime import timedelta

        return timedelta(microseconds=number * 1_000_000 / per_second)

    return converted


for _unit, _per in (("seconds", 1), ("milliseconds", 1000), ("microseconds", 10**6), ("nanoseconds", 10**9)):
    function("r", "d", f"unixtime_{_unit}_todatetime")(_unixtime(_per))
