"""Words: the sentences of each language, how numbers and times are told, how text from outside is shown.

Names come from machines and may hold anything, so each passes `visible` on its way to a reader, and `plain` on
its way into Markdown.
"""

import functools
import html
import re
import tomllib
from importlib import resources

from amakit.errors import UsageError, nearest

LANGUAGES = ("en", "ja")
#: Characters that draw nothing or turn the text around them: control, zero-width, direction, lone surrogates.
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")
#: What Markdown reads as markup: anywhere, at the start of a line, and in what becomes a link or a picture by itself.
_MARKUP = [
    re.compile(pattern)
    for pattern in (r"()([\\`*_\[\]|~$])", r"^()([-+#=])", r"^(\d+)([.)](?=\s|$))", r"()(:(?=[/A-Za-z])|@)",
                    r"(?i)(\bwww)(\.)")
]  # fmt: skip


@functools.cache
def texts(language: str) -> dict[str, dict]:
    """Give what the kit says in a language.

    Parameters
    ----------
    language : {'en', 'ja'}

    Returns
    -------
    dict of str to dict
        Sections ``counted`` (one, many and none of a thing), ``sentences``, ``headings`` and ``charts``.

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
    return shown


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


class Words:
    """How numbers, times and lists are told in one language and one time zone.

    Attributes
    ----------
    language : {'en', 'ja'}
    timezone : str
    """

    language: str
    timezone: str

    def _text(self, key, **facts):
        return texts(self.language)["sentences"][key].format(**facts)

    def _sentence(self, key, **facts):
        return self._begun(self._text(key, **facts))

    def _begun(self, text):
        return text[0].upper() + text[1:] if self.language == "en" else text

    def _some(self, prefix, counts, **facts):
        """List those things of which there are any."""
        return [self._text(f"{prefix} {name}", n=self._number(n), **facts) for name, n in counts.items() if n]

    def _and(self, told):
        """List things as the language does it, the last joined with its own word."""
        *first, last = told
        return self._text("and", first=self._text("comma").join(first), last=last) if first else last

    def _heading(self, key):
        return texts(self.language)["headings"].get(key, key)

    def _headings(self, columns):
        return {column: self._heading(column) for column in columns}

    def _cause(self, cause):
        return visible(self._heading(cause), 40)

    def _join(self, parts):
        return (" " if self.language == "en" else "").join(parts)

    def _number(self, number):
        return f"{number:,}"

    def _count(self, number, thing):
        forms = texts(self.language)["counted"][thing]
        form = {0: forms[-1], 1: forms[0]}.get(number, forms[len(forms) // 2])
        return form.format(n=self._number(number))

    def _listed(self, told, most=8):
        more = len(told) - most
        return ", ".join(told[:most]) + (f" (+{more:,})" if more > 0 else "")

    def _time(self, when):
        return f"{when.tz_convert(self.timezone):%Y-%m-%d %H:%M}"

    def _moment(self, when):
        return f"{when.tz_convert(self.timezone):%Y-%m-%d %H:%M:%S}"

    def _duration(self, seconds):
        minutes, s = divmod(round(seconds), 60)
        hours, m = divmod(minutes, 60)
        days, h = divmod(hours, 24)
        key = "d" if days else "h" if hours else "m" if minutes else "s"
        return self._text(key, d=days, h=h, m=m, s=s)

    def _counted(self, number, low, high):
        if low == high:
            return self._number(number)
        return self._text("bounded count", value=self._number(number), low=self._number(low), high=self._number(high))
