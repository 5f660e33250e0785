"""What one report is asked to be, from the command line or a Python caller to the kernel that runs it."""

import ast
import json
import operator
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amakit.errors import UsageError, nearest
from amakit.facts.counts import COUNTS
from amakit.intervals import instant, window
from amakit.prose.language import texts, zone
from amakit.report.pages import FORMS
from amakit.source.records import distinct

if TYPE_CHECKING:
    from amakit.source.workspace import Workspace


_SIGNS = {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le, "==": operator.eq,
          "!=": operator.ne}  # fmt: skip
_LIMIT = re.compile(r"\s*(?P<name>\w+)\s*(?P<sign>[<>]=?|[=!]=)\s*(?P<number>-?\d+(?:\.\d+)?)\s*")


@dataclass(frozen=True)
class Limit:
    """One limit: a key of `amakit.facts.counts.COUNTS`, a sign and a number; what fulfils it is to fail.

    Attributes
    ----------
    name, sign : str
    number : float
    """

    name: str
    sign: str
    number: float

    def __str__(self) -> str:
        return f"{self.name}{self.sign}{self.number:g}"


@dataclass(frozen=True)
class Request:
    """One report as it was asked for.

    Whatever can be seen to be wrong is refused when it is made, before anything runs.

    Attributes
    ----------
    notebook : str
        The name of one of `notebooks`, or a path.
    workspace : str, or tuple of str
        See `amakit.connect`; several are analysed as one.
    start, end : str
        The window; empty for everything that a folder holds.
    machines : tuple of str
        Computer names or resource ids; empty for all.
    forms : tuple of {'html', 'md', 'pdf', 'ipynb', 'ticket'}
        The page, which is one file that asks nothing of any other place; Markdown with a folder of pictures beside it;
        the page in print, for which there must be a Chromium; the executed notebook; the most urgent in at most 4,000
        characters of Markdown.
    timezone, language : str
        Zone in which times are told; ``en`` or ``ja``.
    extra : dict of str to str
        Further parameters of the notebook, as text.
    anonymise : bool
        Replace names and ids by pseudonyms in every file.
    key : path-like, optional
        The file with the key of the pseudonyms; see `amakit.share.key.owner_key`.
    cloud, endpoint, credential, tenant, transport, control_plane, date_format : str
        How a service is reached, and in which order files write dates; see `amakit.connect`.
    cache : bool
        Whether an analysis may be taken from an earlier run, and kept for a later one; see `amakit.analyze`.
    fail_on : str
        Limits to numbers of ``facts.json``, as in ``silent>0,longest_s>=600``; see `amakit.report.request.exceeded`.

    Raises
    ------
    UsageError
        With what is wrong.

    Examples
    --------
    >>> Request("01_version_transitions", forms=("docx",))
    Traceback (most recent call last):
    amakit.errors.UsageError: form 'docx' is not known; it is html, md, pdf, ipynb or ticket
    """

    notebook: str
    workspace: str | Sequence[str] = "demo"
    start: str = ""
    end: str = ""
    machines: tuple[str, ...] = ()
    forms: tuple[str, ...] = ("html",)
    timezone: str = "UTC"
    language: str = "en"
    extra: Mapping[str, str] = field(default_factory=dict)
    anonymise: bool = False
    key: str | Path | None = None
    cloud: str = ""
    endpoint: str = ""
    credential: str = ""
    tenant: str = ""
    transport: str = ""
    control_plane: str | Path = ""
    date_format: str = ""
    cache: bool = True
    fail_on: str = ""

    def __post_init__(self) -> None:
        plain = {
            "workspace": self._workspace(),
            "start": str(self.start),
            "end": str(self.end),
            "machines": tuple(self.machines),
            "forms": tuple(dict.fromkeys(self.forms)),
            "extra": dict(self.extra or {}) | ({"anonymise": "true"} if self.anonymise else {}),
        }
        for name, value in plain.items():
            object.__setattr__(self, name, value)
        if not self.forms:
            raise UsageError(f"no form is named to write the page in; name {', '.join(FORMS[:-1])} or {FORMS[-1]}")
        for form in self.forms:
            if form not in FORMS:
                raise UsageError(f"form {form!r} is not known; it is {', '.join(FORMS[:-1])} or {FORMS[-1]}")
        self.limits  # noqa: B018 - refuses what is none
        check(self.start, self.end, self.timezone, self.language)
        object.__setattr__(self, "anonymise", self.further.get("anonymise", False))
        if self.key is not None and not self.anonymise:
            raise UsageError(f"a key {str(self.key)!r} is of use with anonymise only; ask for that too")

    def _workspace(self):
        if isinstance(self.workspace, str | Path):
            return str(self.workspace)
        names = distinct(self.workspace)
        return names[0] if len(names) == 1 else tuple(names)

    @cached_property
    def path(self) -> Path:
        """The notebook's file."""
        return find(self.notebook)

    @cached_property
    def further(self) -> dict[str, Any]:
        """The further parameters, each of the type that the notebook declares."""
        declared = declared_parameters(self.path)
        refuse_unknown(self.extra, declared)
        return {name: _value(name, text, declared[name]) for name, text in self.extra.items()}

    @cached_property
    def limits(self) -> list[Limit]:
        """The limits that are set to numbers of the facts."""
        return limits(self.fail_on)

    @property
    def values(self) -> dict[str, Any]:
        """All parameters of the notebook but the folder that it writes to."""
        return {
            "workspace": self.workspace if isinstance(self.workspace, str) else list(self.workspace),
            "start": self.start,
            "end": self.end,
            "machines": list(self.machines),
            "timezone": self.timezone,
            "language": self.language,
        } | self.further

    @property
    def environment(self) -> dict[str, str]:
        """What the kernel finds in its environment, and no other process does."""
        key = str(Path(self.key).expanduser().resolve()) if self.key else ""
        given = {
            "CLOUD": self.cloud,
            "ENDPOINT": self.endpoint,
            "CREDENTIAL": self.credential,
            "TENANT": self.tenant,
            "TRANSPORT": self.transport,
            "DATE_FORMAT": self.date_format,
            "CONTROL_PLANE": str(Path(self.control_plane).expanduser().resolve()) if self.control_plane else "",
            "KEY_FILE": key,
            "NO_CACHE": "" if self.cache else "1",
        }
        return {f"AMAKIT_{name}": value for name, value in given.items() if value}

    def connect(self) -> "AbstractContextManager[Workspace]":
        """Open the workspace."""
        from amakit.source.connect import connect

        return connect(
            self.workspace,
            self.cloud,
            self.endpoint,
            self.credential,
            self.date_format,
            self.tenant,
            self.transport,
            self.control_plane,
        )


def notebooks() -> dict[str, Path]:
    """Give the notebooks of the kit.

    Returns
    -------
    dict of str to pathlib.Path
        By name, without the ending.

    Examples
    --------
    >>> "01_version_transitions" in notebooks()
    True
    """
    package = Path(__file__).parent.parent
    folder = next(f for f in (package / "notebooks", package.parent / "notebooks") if f.is_dir())
    return {path.stem: path for path in sorted(folder.glob("*.ipynb"))}


def find(notebook: str) -> Path:
    """Give the file of a notebook.

    Parameters
    ----------
    notebook : str
        The name of one of `notebooks`, or a path.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    UsageError
        When there is none; the nearest names are given.

    Examples
    --------
    >>> find("02_upgrade_gap")
    Traceback (most recent call last):
    amakit.errors.UsageError: no notebook is called '02_upgrade_gap'; the nearest is '02_upgrade_gaps'
    """
    path = Path(notebook)
    if path.suffix == ".ipynb" and path.is_file():
        return path
    known = notebooks()
    if str(notebook) not in known:
        raise UsageError(f"no notebook is called {str(notebook)!r}; {nearest(str(notebook), known)}")
    return known[str(notebook)]


def check(start: str, end: str, timezone: str, language: str) -> None:
    """Refuse a window, a zone or a language that is none."""
    if start and end:
        window(start, end)
    for name, value in (("start", start), ("end", end)):
        if value:
            instant(value, name)
    zone(timezone)
    texts(language)


def declared_parameters(path: Path) -> dict[str, str]:
    """Give the parameters of a notebook, and the type of each as its cell declares it."""
    import nbformat

    cells = nbformat.read(path, as_version=4).cells
    tagged = [cell.source for cell in cells if "parameters" in cell.metadata.get("tags", [])]
    return {name: kind for source in tagged for name, kind in assigned(source, path.name).items()}


def assigned(source: str, place: str) -> dict[str, str]:
    """Give the names that a cell assigns, each with the type that is written there, or empty where none can be seen.

    Examples
    --------
    >>> assigned("a, b = 1, 'x'\\nsince: str = date.today()\\nuntil = date.today()", "a cell")
    {'a': 'int', 'b': 'str', 'since': 'str', 'until': ''}
    """
    try:
        statements = ast.parse(source).body
    except SyntaxError as error:
        raise UsageError(
            f"the parameters cell of {place} is no Python in line {error.lineno}; keep nothing but assignments in it"
        ) from error
    kinds = {}
    for statement in statements:
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            kinds[statement.target.id] = ast.unparse(statement.annotation)
        elif isinstance(statement, ast.Assign):
            for target in statement.targets:
                kinds |= _kinds(target, statement.value)
    return kinds


def _kinds(target, value):
    if isinstance(target, ast.Name):
        try:
            return {target.id: type(ast.literal_eval(value)).__name__}
        except ValueError:  # a call, or another name
            return {target.id: ""}
    targets = getattr(target, "elts", [])
    values = getattr(value, "elts", [])
    values = values if len(values) == len(targets) else [value] * len(targets)
    return {name: kind for pair in zip(targets, values, strict=True) for name, kind in _kinds(*pair).items()}


def refuse_unknown(names: Iterable[str], known: Iterable[str]) -> None:
    """Refuse a parameter that a notebook does not have."""
    known = list(known)
    for name in names:
        if name not in known:
            raise UsageError(f"the notebook has no parameter {name!r}; {nearest(name, known)}")


def _value(name, text, kind):
    try:
        if kind == "bool":
            return {"true": True, "false": False}[text.lower()]
        if kind in ("int", "float"):
            return {"int": int, "float": float}[kind](text)
    except (KeyError, ValueError):
        raise UsageError(f"parameter {name} = {text!r} is not of the type {kind}") from None
    return [part.strip() for part in text.split(",") if part.strip()] if kind.startswith("list") else text


def limits(text: str) -> list[Limit]:
    """Read limits.

    Parameters
    ----------
    text : str
        With commas between them; empty for none.

    Returns
    -------
    list of Limit

    Raises
    ------
    UsageError
        When one has another form, or names nothing that is counted.

    Examples
    --------
    >>> [str(limit) for limit in limits("silent>0, longest_s >= 600")]
    ['silent>0', 'longest_s>=600']
    >>> limits("upgrade>0")
    Traceback (most recent call last):
    amakit.errors.UsageError: limit 'upgrade>0' names nothing that is counted; the nearest is 'upgrades'
    """
    found = []
    for part in filter(str.strip, text.split(",")):
        match = _LIMIT.fullmatch(part)
        if match is None:
            raise UsageError(
                f"limit {part.strip()!r} is not a name, a sign ({' '.join(_SIGNS)}) and a number; write silent>0 or so"
            )
        if match["name"] not in COUNTS:
            raise UsageError(f"limit {part.strip()!r} names nothing that is counted; {nearest(match['name'], COUNTS)}")
        found.append(Limit(match["name"], match["sign"], float(match["number"])))
    return found


def exceeded(set_to: Iterable[Limit], folder: str | Path) -> list[str]:
    """Say which limits the facts in a folder exceed.

    Parameters
    ----------
    set_to : iterable of Limit
    folder : path-like
        Holds a ``facts.json``.

    Returns
    -------
    list of str
        For each limit that is exceeded what the number is; one that is unknown exceeds none.
    """
    told = json.loads((Path(folder) / "facts.json").read_text(encoding="utf-8"))["counts"]
    numbers = ((limit, told[limit.name]) for limit in set_to)
    return [
        f"{limit.name} is {number:g} ({limit})"
        for limit, number in numbers
        if number is not None and _SIGNS[limit.sign](number, limit.number)
    ]
