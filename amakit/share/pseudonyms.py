"""Names and ids become pseudonyms that stay the same for as long as their owner keeps the key."""

import functools
import hmac
import ipaddress
import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import TYPE_CHECKING
from urllib.parse import quote

import pandas as pd

from amakit.kql.catalog import packaged
from amakit.prose.evidence import ARC_SERVICE, rendered
from amakit.schemas import RESULTS, tables

if TYPE_CHECKING:
    from amakit.analysis import Analysis

#: What a column or key holds, spelled without case and ``_``: these values are mapped whole.
_IDENTITY = {
    "resourceid": "resource", "base": "resource", "target": "resource", "entity": "resource", "computer": "machine",
    "machines": "machine", "caller": "person", "actor": "person", "workspace": "workspace",
    "place": "workspace", "receivedby": "workspace", "correlation": "id",
    "correlationid": "id", "agent": "id", "sourcecomputerid": "id", "vmuuid": "id", "vm": "id",
    "subscription": "subscription", "subscriptionid": "subscription", "resourcetags": "tags", "extension": "extension",
    "extensionname": "extension",
}  # fmt: skip
#: These hold words of Azure and of the kit, which stay as they are.
_READABLE = {
    "os_type", "environment", "version", "from_version", "to_version", "spelled_first", "cause", "kind", "state",
    "verdict", "data_type", "operation", "status", "role", "name", "amakit", "start", "end", "horizon",
    "missing_tables", "region", "power_state", "provisioning_state", "upgrade_policy", "version_asked",
}  # fmt: skip
#: Hashes of answers with real names in them: whoever tries names against one finds those that are true.
_HASHES = {"sha256", "inputs_sha256"}
#: What a name in a resource id is, by the type before it.
_KINDS = {
    "subscriptions": "subscription", "resourcegroups": "group", "virtualmachines": "machine", "machines": "machine",
    "virtualmachinescalesets": "scaleset", "extensions": "extension", "workspaces": "workspace",
}  # fmt: skip
#: Between the names of several workspaces.
_SEVERAL = ", "
_AGENTS = {
    "azuremonitorwindowsagent", "azuremonitorlinuxagent", "microsoftmonitoringagent", "omsagentforlinux",
    "dependencyagentwindows", "dependencyagentlinux",
}  # fmt: skip
#: Words that stream keys and paths are made of, beside those of the packaged queries and the tables.
_SAID = """
    microsoft compute hybridcompute write action log logs data export exports event service machine machines workspace
    region system memory processor network disk logicaldisk physicaldisk total files software daemons windowsservices
    windows linux group local internal lan home users user
    bool datatable datetime dynamic int long real string timespan hash md5 materialize reach spelled streams tier
"""
_WORD = r"(?<![^\W_])"  # a name begins where no letter or digit stands before it
_TIME = _WORD + r"\d{4}-\d\d-\d\d(?:[T ][\d:.]+Z?)?(?![\w-])"
_PERSON = (
    r"(?<![\w.+#%-])\w[\w.+#%'-]*@[\w-]+(?:\.[\w-]+)*"
    r"|(?:(?<=/home/)|(?<=[/\\]users[/\\])|(?<=\\users\\))[^\\/\s\"']+"
    r"|(?:(?<=\bou=)|(?<=\bdc=)|(?<=\bcn=))[^,;\"'\s]+"  # of a directory's distinguished name
    r"|\bS-1-5-21(?:-\d+){3,4}\b"  # a security identifier
)
#: DOMAIN\user in any language: one step, where a path or a key of the registry has more.
_ACCOUNT = r"(?<![\w.\\/:%$-])(?!(?:authority|builtin|service)\\)\w[\w.-]*\\{1,4}\w[\w.$-]*(?![\w\\])"
_GUID = (
    r"(?:(?<=%2f)|(?<![^\W_]))[0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12}(?![^\W_])"
    r"|(?:(?<=%2f)|(?<![^\W_]))[0-9a-f]{32}(?![^\W_])"
)
_ARM = r"/subscriptions/[\w.()/~%-]*\w"
_MAC = r"(?:[0-9a-f]{2}[:-]){5}[0-9a-f]{2}"
_ADDRESS = (
    r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?!\.?\d)"
    rf"|(?:(?<![\w.:])|(?<=[g-z_]:))(?:{_MAC}(?![\w:-])"
    r"|[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){2,7}(?:(?:\.\d{1,3}){3})?(?![\w:]))"
)
#: A NetBIOS name is the first so many letters of a longer one.
_NETBIOS = 15
_TABLE = re.compile(r'datatable\((?P<head>[^)]*)\)\[(?P<cells>(?:"(?:[^"\\]|\\.)*"|[^"\]])*)\]')
_CELL = re.compile(r'"(?P<text>(?:[^"\\]|\\.)*)"|\w+\([^)]*\)')


def pseudonym(key: bytes, kind: str, text: str) -> str:
    """Give the pseudonym of one name: the same for every spelling of its case.

    A resource id, of whatever kind, keeps its structure: each name in it is replaced, types and the well-known names
    of agent extensions stay.  Its subscription becomes ``subscription-…``, no GUID: nothing reads it as one, and it
    must not look as if it were real.  A full computer name becomes that of its host and that of its domain, so that
    ``web-01.corp.example`` is seen to be ``web-01`` but is not the same.

    Parameters
    ----------
    key : bytes
        From `owner_key`.
    kind : str
        ``machine``, ``group``, ``subscription``, ``person``, ``workspace`` and so on.
    text : str

    Returns
    -------
    str
        Lower case.  Twelve digits are 48 bits: that any two of 10,000 names meet has a chance of 2 in 10 million, so
        a pseudonym need not know of the others.

    Examples
    --------
    >>> pseudonym(b"key", "machine", "Web-01") == pseudonym(b"key", "machine", "web-01")
    True
    >>> pseudonym(b"key", "machine", "web-01.corp.example")
    'machine-48e12937b600.domain-daa27a95e0a7'
    >>> pseudonym(b"key", "workspace", "demo")
    'demo'
    """
    lower = text.lower()
    if kind == "workspace" and _SEVERAL in text:
        return _SEVERAL.join(pseudonym(key, kind, name) for name in text.split(_SEVERAL))
    if _stays(kind, lower):
        return text
    if lower.startswith("/subscriptions/"):
        return "/" + "/".join(pseudonym(key, k, part) if k else part for k, part in _segments(lower))
    host, _, domain = lower.partition(".")
    if kind == "machine" and host and domain and not _is_address(lower):
        return f"{pseudonym(key, 'machine', host)}.{pseudonym(key, 'domain', domain)}"
    digest = hmac.new(key, f"{kind}\0{lower}".encode("utf-8", "surrogatepass"), "sha256").hexdigest()
    agent = re.search("azuremonitor(windows|linux)?agent$", lower) if kind == "extension" else None
    # under a name of one's own it is still the agent
    return f"{kind}-{digest[:12]}" + (f"-{agent[0]}" if agent else "")


def _stays(kind, lower):
    services = kind == "person" and re.fullmatch(r"(azure|microsoft)([ .][\w .]+)?", lower)
    services = services or (kind == "person" and lower == ARC_SERVICE)
    return not lower or services or (kind, lower) == ("workspace", "demo") or (kind == "extension" and lower in _AGENTS)


def _segments(path):
    """Split a resource id, which is pairs of a type and a name; give the kind of each name, none for a type."""
    parts = path.split("/")[1:]
    for n, part in enumerate(parts):
        if n % 2:
            yield None if parts[n - 1] == "providers" else _KINDS.get(parts[n - 1], "resource"), part
        else:
            yield "resource" if n == len(parts) - 1 else None, part


def _is_address(text):
    try:
        return bool(ipaddress.ip_address(text) and text.strip(":"))
    except ValueError:
        return bool(re.fullmatch(_MAC, text))


@dataclass(frozen=True)
class Pseudonyms:
    """What is to be replaced in all that is told of an analysis.

    Attributes
    ----------
    key : bytes
        From `owner_key`.
    names : dict of str to str
        The pseudonym of each known name in lower case; None for a word that stays although a name may be in it.
    strict : frozenset of str
        Those of the names that are also words of the language, numbers or too short to be told from them: in text
        they are replaced only as a value in a list or table of KQL.

    Examples
    --------
    >>> known = Pseudonyms(b"key", {"app": "machine-1"})
    >>> known.text("App has happened; asked by jane@corp.example from 10.0.0.4 at 2026-03-02 10:00:00")
    'machine-1 has happened; asked by person-fd15969a7f3a from address-5af05839c172 at 2026-03-02 10:00:00'
    """

    key: bytes = field(repr=False)
    names: dict = field(repr=False)
    strict: frozenset = field(default=frozenset(), repr=False)

    @classmethod
    def of(cls, analysis: "Analysis", key: bytes) -> "Pseudonyms":
        """Collect the names that an analysis knows."""
        pairs, found, stay = set(), set(), set()
        _each_text(vars(analysis), "", lambda name, text: pairs.add((name, text)) or text)  # type: ignore[func-returns-value]
        for name, text in pairs:
            if name in _READABLE:
                stay.add(text.lower())
            elif kind := _IDENTITY.get(_plain(name)):
                found.update(_parts(kind, text))
            elif "datatable(" in text:  # an id and a name may share a cell
                found.update(
                    part for cell in _named_cells(text) for word in cell.split() for part in _parts("machine", word)
                )
        names = {}
        for kind, text in sorted(found, key=lambda pair: (pair[0] != "machine", pair)):
            own = pseudonym(key, kind, text)
            for spelled in _spellings(kind, text):
                names.setdefault(spelled.lower(), own)
        words = _words() | {word for word in stay if word.isalnum()} | {""}
        strict = {
            n for n in names if n in words | stay or len(n) < 3 or not (re.search(r"[^\W\d_]", n) or _is_address(n))
        }
        return cls(key, dict.fromkeys(stay - words) | names, frozenset(strict))

    @functools.cached_property
    def _pattern(self):
        free = [name for name in self.names if name not in self.strict]
        # so long, and with a digit or a dash in it, it is a name wherever it stands, also within another word
        anywhere = [name for name in free if len(name) > 5 and self.names[name] and re.search(r"[\d-]", name)]
        shapes = [f"(?P<time>{_TIME})", f"(?P<known>{_tree(anywhere)})"] if anywhere else [f"(?P<time>{_TIME})"]
        shapes += [f"(?P<person>{_PERSON})"]
        shapes += [f"{_WORD}{_tree(free)}(?![^\\W_])"] if free else []
        shapes += [f'(?<=[\\[,]"){_tree(self.strict)}(?="[\\],])'] if self.strict else []
        shapes += [f"(?P<account>{_ACCOUNT})", f"(?P<id>{_GUID})", f"(?P<resource>{_ARM})", f"(?P<address>{_ADDRESS})"]
        return re.compile("|".join(shapes), re.IGNORECASE)

    def text(self, text: str) -> str:
        """Replace every known name in a text, and what looks like a resource id, person, GUID or address."""
        return self._pattern.sub(self._found, text)

    def _found(self, match):
        text, kind = match[0], match.lastgroup
        own = self.names.get(text.lower(), "") if kind in (None, "known") else ""
        version = kind == "address" and (not _is_address(text.lower()) or text.lower() in self.strict)
        kind = "person" if kind == "account" else kind or "name"
        return text if own is None or kind == "time" or version else own or pseudonym(self.key, kind, text)

    def analysis(self, analysis: "Analysis") -> "Analysis":
        """Replace names in every frame and in the record of the run; see `anonymised`."""
        new = _each_text(vars(analysis), "", self._new)
        order = {name: _by_machine(frame) for name, frame in new.items() if isinstance(frame, pd.DataFrame)}
        for frame in order.values():
            if "outage" in frame:  # counts the rows of the outages, which stand in another order now
                frame["outage"] = frame["outage"].map({old: at for at, old in enumerate(order["outages"].index)})
        whole = new | {name: frame.reset_index(drop=True) for name, frame in order.items()}
        if len(whole["evidence"]):
            whole["outages"]["evidence"] = ["; ".join(told) for told in rendered(whole["outages"], whole["evidence"])]
        return replace(analysis, **whole)

    def frame(self, frame: pd.DataFrame, readable: Iterable[str] = ()) -> pd.DataFrame:
        """Replace names in the rows of a table, except in columns that hold words of the system only."""
        return frame.assign(**_each_text(frame.drop(columns=[c for c in frame if c in readable]), "", self._new))

    def _new(self, name, text):
        if name in _READABLE:
            return text
        if name in _HASHES:
            return hmac.new(self.key, text.encode(), "sha256").hexdigest() if text else ""
        kind = _IDENTITY.get(_plain(name))
        return pseudonym(self.key, kind, text) if kind else self.text(text)


def anonymised(analysis: "Analysis", key: bytes) -> "Analysis":
    """Give an analysis in which every name and id is a pseudonym, before anything is told or drawn of it.

    Computer names, the names in resource ids, callers, GUIDs, addresses and the workspace are replaced, in columns
    and keys that hold them and in any text; hashes of answers become keyed ones.  Versions, causes, times, numbers and
    the names of tables, counters, channels and processes stay; so does the order of rows within a machine, while
    machines are sorted anew.

    Parameters
    ----------
    analysis : Analysis
    key : bytes
        From `owner_key`.

    Returns
    -------
    Analysis

    Examples
    --------
    >>> import amakit
    >>> found = amakit.analyze(amakit.connect("demo"), "2026-03-09", "2026-03-10", ["sql-07"])
    >>> anonymised(found, b"key").machines["computer"].tolist() == [pseudonym(b"key", "machine", "SQL-07")]
    True
    """
    return Pseudonyms.of(analysis, key).analysis(analysis)


def _by_machine(frame):
    """Sort anew, as the order of the real names would tell which is which; within a machine it stays."""
    order = [column for column in ("computer", "resource_id") if column in frame]
    return frame.sort_values(order, kind="stable") if order else frame


def _plain(name):
    return str(name).lower().replace("_", "")


def _each_text(value, name, change):
    """Put another text for every text in a value, by what its column or key is called and what it is."""
    if isinstance(value, str):
        return change(name, value)
    if isinstance(value, dict):
        return {key: _each_text(part, key, change) for key, part in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_each_text(part, name, change) for part in value)
    if not isinstance(value, pd.DataFrame):
        return value
    frame = value.copy()
    for column, old in frame.select_dtypes(["str", "object", "category"]).items():
        if old.dtype == "object":  # what is in it may not be hashable
            frame[column] = old.map(lambda part, column=column: _each_text(part, column, change))
        else:
            new = {part: _each_text(part, column, change) for part in old.dropna().unique()}
            frame[column] = old.astype("object").map(new).astype("str" if old.dtype == "str" else "category")
    return frame


def _parts(kind, text):
    """Give every name that is in a name, with its kind: what other text may call the thing by."""
    lower = text.lower()
    if kind == "workspace" and _SEVERAL in text:
        for name in text.split(_SEVERAL):
            yield from _parts(kind, name)
        return
    if lower.startswith("/subscriptions/"):
        for part_kind, part in _segments(text):
            if part_kind:
                yield from _parts(part_kind, part)
        if re.fullmatch(_ARM, text, re.IGNORECASE):
            return
    elif kind == "machine" and not _is_address(lower):
        host, _, domain = text.partition(".")
        if host and domain:
            yield from (("machine", host), ("domain", domain))
    if not _stays(kind, lower):
        yield kind, text


def _named_cells(text):
    """Give the cells of the datatables in a query that name a machine: an id and a computer name may share one."""
    for table in _TABLE.finditer(text):
        columns = [column.partition(":")[0].strip().lower() for column in table["head"].split(",")]
        for n, cell in enumerate(_CELL.finditer(table["cells"])):
            if cell["text"] and columns[n % len(columns)] in ("resourceid", "computer", "key"):
                yield re.sub(r"\\(.)", r"\1", cell["text"])


def _spellings(kind, text):
    """Give the ways in which a name may be written: in KQL, JSON and addresses it is escaped, NetBIOS cuts it."""
    yield from (text, json.dumps(text, ensure_ascii=False)[1:-1], json.dumps(text)[1:-1], quote(text, safe=""))
    if kind == "machine" and len(text) > _NETBIOS:
        yield text[:_NETBIOS]


@functools.cache
def _words():
    """Give the words, in lower case, that texts of the kit are made of."""
    columns = [" ".join([table, *held]) for table, held in (tables() | RESULTS).items()]
    whole = "\n".join([_SAID, *(query.text for query in packaged().values()), *columns]).lower()
    return {*re.findall(r"[^\W_]+", whole), *re.findall(r"\w+", whole)}


def _tree(names):
    """Write an expression for any of the names, the longest first, as a tree: the time does not grow with them."""
    branches = []
    for first, group in groupby(sorted(names), key=lambda name: name[:1]):
        group = list(group)
        if first:
            stem = os.path.commonprefix(group)  # noqa: RUF071 - of letters is meant
            rest = [name[len(stem) :] for name in group]
            branches.append(re.escape(stem) + (_tree(rest) if len(rest) > 1 else ""))
    return f"(?:{'|'.join(branches)})" + ("?" if "" in names else "")
