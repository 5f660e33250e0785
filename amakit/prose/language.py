"""How a language counts, lists and tells times, and how text from outside is made safe to show.

Names come from machines and may hold anything, so each passes `visible` on its way to a reader, and `plain` on
its way into Markdown.
"""

import functools
import html
import math
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING

import pandas as pd
from babel import Locale
from babel.lists import format_list
from babel.numbers import format_decimal

from amakit.errors import UsageError, nearest

if TYPE_CHECKING:
    import jinja2

LANGUAGES = ("en", "ja")
#: Characters that draw nothing or turn the text around them: control, zero-width, direction, lone surrogates.
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")
#: What Markdown reads as markup: anywhere, at the start of a line, and in what becomes a link or a picture by itself.
_MARKUP = [
    re.compile(pattern)
    for pattern in (r"()([\\`*\[\]|~$])", r"^()([-+#=])", r"^(\d+)([.)](?=\s|$))", r"()(:(?=[/A-Za-z])|@)",
                    r"(?i)(\bwww)(\.)")
]  # fmt: skip
#: Between letters or digits this sign is none of Markdown's; elsewhere it may be.
_BETWEEN = re.compile(r"((?<=[^\W_])_+(?=[^\W_]))|_")


@functools.cache
def texts(language: str) -> dict[str, dict]:
    """Give what the kit says in a language.

    Parameters
    ----------
    language : {'en', 'ja'}

    Returns
    -------
    dict of str to dict
        Sections ``counted`` (a thing by the plural categories of CLDR, ``zero`` for none of it), ``patterns``,
        ``headings`` and ``charts``.

    Raises
    ------
    UsageError
        When the language is not known.

    Examples
    --------
    >>> texts("ja")["headings"]["computer"]
    'マシン'
    """
    if language not in LANGUAGES:
        raise UsageError(f"language {language!r} is not known; it is {' or '.join(LANGUAGES)}")
    return tomllib.loads(resources.files("amakit").joinpath(f"prose/{language}.toml").read_text(encoding="utf-8"))


def visible(text: str, limit: int | None = None) -> str:
    r"""Make text from outside safe to look at: nothing in it is unseen or turns the text around it.

    Parameters
    ----------
    text : str
    limit : int, optional
        What is longer is cut and ends in an ellipsis; the result tables have all of it.

    Returns
    -------
    str
        On one line.

    Examples
    --------
    >>> print(visible("web\u202e10-\n1"))
    web\u202e10- 1
    """
    line = _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", " ".join(text.split()))
    return line if limit is None or len(line) <= limit else line[: limit - 1] + "…"


def plain(text: str, limit: int | None = None) -> str:
    r"""Make text from outside safe to stand in Markdown: it is shown as it is, whatever it holds.

    Examples
    --------
    >>> print(plain("<script>*x*_y_"))
    &lt;script&gt;\*x\*\_y\_
    """
    shown = html.escape(visible(text, limit), quote=False)
    for pattern in _MARKUP:
        shown = pattern.sub(r"\1\\\2", shown)
    return _BETWEEN.sub(lambda found: found[1] or r"\_", shown)


def zone(name: str) -> str:
    """Check the name of a time zone.

    Parameters
    ----------
    name : str
        As in the tz database.

    Returns
    -------
    str
        The same name.

    Raises
    ------
    UsageError
        When there is no such zone; the nearest names are given.

    Examples
    --------
    >>> zone("Asia/Tokio")
    Traceback (most recent call last):
    amakit.errors.UsageError: time zone 'Asia/Tokio' is not known; the nearest is 'Asia/Tokyo'
    """
    from zoneinfo import ZoneInfo, available_timezones

    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        close = nearest(name, available_timezones(), limit=1)
        raise UsageError(f"time zone {name!r} is not known; {close}") from error
    return name


@dataclass(frozen=True)
class Language:
    """How one language tells numbers, lists, times and durations, in one time zone.

    Parameters
    ----------
    language : {'en', 'ja'}
    timezone : str
        Zone in which times are told, for example ``Asia/Tokyo``.

    Raises
    ------
    UsageError
        When the language or the zone is not known.

    Examples
    --------
    >>> english = Language("en", "Asia/Tokyo")
    >>> english.count(1200, "machine"), english.time(pd.Timestamp("2026-03-02T00:00Z")), english.duration(3725)
    ('1,200 machines', '2026-03-02 09:00', '1 h 2 min')
    """

    language: str = "en"
    timezone: str = "UTC"

    def __post_init__(self) -> None:
        texts(self.language)
        zone(self.timezone)

    @property
    def locale(self) -> Locale:
        """The locale of CLDR; English is that of Britain, whose lists have no comma before the last thing."""
        return Locale.parse({"en": "en_GB"}.get(self.language, self.language))

    @property
    def joiner(self) -> str:
        """What stands between two sentences."""
        return _pattern(self.language, "between sentences")

    def number(self, number: float) -> str:
        """Tell a number, its thousands parted; a whole one without decimals."""
        return format_decimal(number, locale=self.locale)

    def count(self, number: int, thing: str) -> str:
        """Tell how many of a thing there are: ``1 machine``, ``no machine``."""
        forms = texts(self.language)["counted"][thing]
        form = "zero" if number == 0 and "zero" in forms else self.locale.plural_form(number)
        return forms[form].format(n=self.number(number))

    def both(self, items: Iterable[str]) -> str:
        """List things as the language does it, the last joined with its own word."""
        return format_list(list(items), locale=self.locale)

    def listed(self, items: Iterable[str], most: int = 8) -> str:
        """List things; of many those that come first, and how many more there are."""
        items = [visible(item, 160) for item in items]
        more = len(items) - most
        return ", ".join(items[:most]) + (f" (+{self.number(more)})" if more > 0 else "")

    def names(self, names: Iterable[str], most: int = 8) -> str:
        """List machines by name; of many those that come first, and how many more there are."""
        names = [visible(name, 80) for name in names]
        text = ", ".join(names[:most])
        return text if len(names) <= most else self._pattern("and more", names=text, n=self.number(len(names) - most))

    def time(self, when: pd.Timestamp) -> str:
        """Tell an instant to the minute."""
        return f"{when.tz_convert(self.timezone):%Y-%m-%d %H:%M}"

    def moment(self, when: pd.Timestamp) -> str:
        """Tell an instant to the second."""
        return f"{when.tz_convert(self.timezone):%Y-%m-%d %H:%M:%S}"

    def duration(self, seconds: float) -> str:
        """Tell a duration in its two largest units."""
        minutes, s = divmod(round(seconds), 60)
        hours, m = divmod(minutes, 60)
        days, h = divmod(hours, 24)
        unit = "d" if days else "h" if hours else "m" if minutes else "s"
        return self._pattern(unit, d=days, h=h, m=m, s=s)

    def interval(self, seconds: float) -> str:
        """Tell a sample interval; of hours the hours alone."""
        if pd.isna(seconds):
            return "–"
        return self.count(round(seconds / 3600), "hour") if seconds >= 3600 else self.duration(seconds)

    def bounded(self, span: Mapping[str, float]) -> str:
        """Tell a downtime (value, low, high in seconds) with its bounds; of a range the unit is told each time."""
        if pd.isna(span["value"]):
            return self.heading("unended")
        value, low, high = (self.duration(span[end]) for end in ("value", "low", "high"))
        return value if value == low == high else self._pattern("bounded", value=value, low=low, high=high)

    def clock(self, span: Mapping[str, float]) -> str:
        """Tell a downtime in minutes and seconds, as narrow as a table needs it."""
        if pd.isna(span["value"]):
            return self.heading("unended")
        seconds = [round(span[end]) for end in ("value", "low", "high")]
        return self.bounds(*(f"{s // 60}:{s % 60:02}" for s in seconds))

    def range(self, value: float, low: float, high: float, thing: str = "") -> str:
        """Tell a number with its bounds where there is a choice."""
        told = self.count(int(value), thing) if thing else self.number(int(value))
        return told if low == high else self.bounds(told, self.number(int(low)), self.number(int(high)))

    def bounds(self, value: str, low: str, high: str) -> str:
        """Put bounds behind what is told already."""
        return self._pattern("bounded count", value=value, low=low, high=high)

    def days(self, days: Mapping[str, float]) -> str:
        """Tell a lag (value, low, high in days; infinite where it was not reached) in a sentence."""
        value, low, high = days["value"], days["low"], days["high"]
        if not math.isfinite(value):
            return (
                self._pattern("days never", low=self._days(low))
                if math.isfinite(low)
                else self._pattern("days unknown")
            )
        if low == -math.inf:
            return self._pattern("at most", days=self._days(high if math.isfinite(high) else value))
        key = "days range" if math.isfinite(high) else "days open"
        return self._pattern(key, days=self._days(value), low=self._short(low), high=self._short(high))

    def _days(self, days):
        return self.count(1 if self._short(days) == "1" else round(days, 1), "day")

    def _short(self, days):
        return f"{days:.1f}".removesuffix(".0")

    def heading(self, key: str) -> str:
        """Tell a column, a cause or a state; what has no word stays as it is."""
        return texts(self.language)["headings"].get(key, key)

    def cause(self, cause: str) -> str:
        """Tell the cause of an outage."""
        return visible(self.heading(cause), 40)

    def table(self, rows: Iterable[Mapping[str, object]], columns: list[str]) -> pd.DataFrame:
        """Make a table of rows, with headings in the language; its first column heads the rows."""
        known = texts(self.language)["headings"]
        first, *rest = [known[name].format(zone=self.timezone) if name in known else name for name in columns]
        table = pd.DataFrame(rows, columns=columns).set_axis([first, *rest], axis=1).set_index(first)
        return table.rename_axis(index=None).rename_axis(columns=first)  # one line of headings, not two

    def _pattern(self, key: str, **values: object) -> str:
        return _pattern(self.language, key).format(**values)


def _pattern(language, key):
    return texts(language)["patterns"][key]


@functools.cache
def environment(words: Language, markdown: bool = True) -> "jinja2.Environment":
    """Give what renders the templates of a language: every value that a template shows is escaped at this edge.

    Parameters
    ----------
    words : Language
    markdown : bool
        Whether values are to stand in Markdown; else in plain text.

    Returns
    -------
    jinja2.Environment
        Its filters are methods of `Language`, and ``cut`` (to a length), ``linked`` (a machine, to the portal),
        ``code`` (text of the kit's own, between fences), ``cap`` (begins a sentence), ``counted`` and ``some`` (of
        pairs of a number and a thing, or a phrase with braces for the number, those of which there are any) and
        ``phrased`` (rows as a phrase that names their keys).
    """
    import jinja2
    from markupsafe import Markup

    def shown(value):
        if hasattr(value, "__html__"):
            return value
        text = words.number(value) if isinstance(value, (int, float)) else str(value)
        safe = plain(text) if markdown else visible(text)
        return Markup(" " * text.startswith(" ") + safe + " " * text.endswith(" "))

    def linked(name, address):
        return Markup(f"[{shown(name)}]({address})") if address else name

    def source(name):
        text = (
            resources.files("amakit").joinpath(f"prose/templates/{words.language}/{name}").read_text(encoding="utf-8")
        )
        return text if markdown else text.replace("**", "").replace("`", "")

    made = jinja2.Environment(
        loader=jinja2.FunctionLoader(source),
        autoescape=True,
        finalize=shown,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    named = [
        "number",
        "count",
        "both",
        "listed",
        "names",
        "time",
        "moment",
        "duration",
        "interval",
        "bounded",
        "clock",
        "range",
        "days",
        "heading",
        "cause",
    ]
    made.filters |= {name: getattr(words, name) for name in named}
    made.filters |= {
        "cut": visible,
        "linked": lambda one: linked(visible(one["machine"], 80), one["address"] if markdown else ""),
        "code": Markup,
        "cap": lambda text: text[:1].upper() + text[1:],
        "counted": lambda pairs: [words.count(n, thing) for n, thing in pairs if n],
        "some": lambda pairs: [phrase.format(words.number(n)) for n, phrase in pairs if n],
        "phrased": lambda rows, phrase: [phrase.format(**row) for row in rows],
    }
    made.tests["finite"] = math.isfinite
    return made


def reflow(text: str, joiner: str) -> str:
    """Join the lines of each paragraph and each item of a list: in a template a sentence has a line of its own.

    Lines between fences of code stay as they are.

    Parameters
    ----------
    text : str
    joiner : str
        What stands between two lines that are joined.

    Returns
    -------
    str

    Examples
    --------
    >>> reflow("One.\\nTwo.\\n\\n- a\\n  b\\n  - c", " ")
    'One. Two.\\n\\n- a b\\n  - c'
    """
    paragraphs = []
    for part in re.split(r"(^```.*?^```$)", text.strip("\n"), flags=re.DOTALL | re.MULTILINE):
        paragraphs += [part] if part.startswith("```") else _paragraphs(part, joiner)
    return "\n\n".join(filter(None, paragraphs))


def _paragraphs(text, joiner):
    paragraphs = []
    for paragraph in re.split(r"\n\s*\n", text.strip("\n")):
        lines: list[str] = []
        for line in paragraph.split("\n"):
            if not line.strip():
                continue
            if not lines or re.match(r" *- ", line):
                lines.append(line.rstrip())
            else:
                lines[-1] += joiner + line.strip()
        paragraphs.append("\n".join(lines))
    return paragraphs
