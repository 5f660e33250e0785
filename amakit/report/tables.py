"""Tables as a notebook shows them: HTML, Markdown and plain text in which whatever a cell holds is shown as text."""

import functools
import html
import tomllib
from collections.abc import Mapping
from importlib import resources
from numbers import Integral
from types import MappingProxyType

import pandas as pd

from amakit.prose.language import plain, texts, visible

#: A table in a ticket is read, not searched: so many rows stand in its Markdown.
_MARKDOWN_ROWS = 50
#: As long as a time with seconds.
_SHORT = 19


@functools.cache
def page_texts(language: str) -> dict[str, str]:
    """Give what pages say of themselves in a language.

    Parameters
    ----------
    language : {'en', 'ja'}

    Returns
    -------
    dict of str to str

    Examples
    --------
    >>> page_texts("ja")["search"]
    '検索'
    """
    texts(language)  # refuses one that is not known
    return tomllib.loads(resources.files("amakit").joinpath(f"report/page/{language}.toml").read_text(encoding="utf-8"))


def script_words(language: str) -> dict[str, str]:
    """Give the words of the script that sorts, searches, copies and saves tables.

    Examples
    --------
    >>> script_words("en")["copy"]
    'Copy'
    """
    says = page_texts(language)
    return {name: says[name] for name in ("search", "filter", "shown", "copy", "copied", "save")} | {
        "language": language
    }


class Table:
    r"""A frame, to be the result of a notebook's cell.

    Parameters
    ----------
    frame : pandas.DataFrame
        Its index heads the rows; the name of its column axis heads the index.  One without rows shows nothing.
    language : {'en', 'ja'}
        In which the Markdown says how many rows it leaves out.
    links : mapping of str to str
        Addresses by the heading of a row.

    Examples
    --------
    >>> frame = pd.DataFrame({"lost": [3, 0]}, index=["web|1", "<b>"]).rename_axis(columns="machine")
    >>> print(Table(frame)._repr_mimebundle_()["text/markdown"])
    | machine | lost |
    | --- | --: |
    | web\|1 | 3 |
    | &lt;b&gt; | 0 |
    """

    def __init__(
        self, frame: pd.DataFrame, language: str = "en", links: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        self._frame, self._more, self._links = frame, page_texts(language)["more"], links

    def _repr_mimebundle_(self, include=None, exclude=None):
        return {"text/html": self._html(), "text/markdown": self._markdown(), "text/plain": self._text()}

    def _html(self):
        if self._frame.empty:
            return ""
        rows = self._rows(self._frame)
        kinds = [
            _marked(number, column)
            for (_, number), column in zip(self._columns(), zip(*rows, strict=True), strict=True)
        ]
        head = "".join(
            f'<th scope="col"{kind}>{html.escape(name)}</th>'
            for (name, _), kind in zip(self._columns(), kinds, strict=True)
        )
        body = "\n".join(
            f'<tr><th scope="row"{kinds[0]}>{self._linked(heading)}</th>'
            + "".join(f"<td{kind}>{html.escape(cell)}</td>" for cell, kind in zip(cells, kinds[1:], strict=True))
            + "</tr>"
            for heading, *cells in rows
        )
        return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>"

    def _markdown(self):
        if self._frame.empty:
            return ""
        names, numbers = zip(*self._columns(), strict=True)
        shown = self._frame.head(_MARKDOWN_ROWS)
        lines = [list(map(plain, names)), ["--:" if number else "---" for number in numbers]]
        lines += [[self._linked_plain(heading), *map(plain, cells)] for heading, *cells in self._rows(shown)]
        if left := len(self._frame) - len(shown):
            lines.append(["… " + self._more.format(n=f"{left:,}")] + [""] * (len(names) - 1))
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)

    def _linked(self, heading):
        text, address = html.escape(heading), self._links.get(heading)
        return f'<a href="{html.escape(address)}" rel="noreferrer">{text}</a>' if address else text

    def _linked_plain(self, heading):
        return f"[{plain(heading)}]({self._links[heading]})" if heading in self._links else plain(heading)

    def _text(self):
        names = [name for name, _ in self._columns()]
        return pd.DataFrame(self._rows(self._frame), columns=names).to_string(index=False)

    def _columns(self):
        """Give the heading of each column, and whether it holds numbers."""
        yield visible(str(self._frame.columns.name or "")), False
        for name, kind in zip(self._frame.columns, self._frame.dtypes, strict=True):
            yield visible(str(name)), pd.api.types.is_numeric_dtype(kind)

    def _rows(self, frame):
        return [tuple(map(_told, row)) for row in frame.itertuples(name=None)]


def _marked(number, cells):
    """Mark a column for the page: numbers stand at the right, what is short is not broken."""
    kind = "number" if number else "short" if max(map(len, cells)) <= _SHORT else ""
    return f' class="{kind}"' if kind else ""


def _told(value):
    if pd.api.types.is_scalar(value) and pd.isna(value):
        return ""
    counted = isinstance(value, Integral) and not isinstance(value, bool)
    return f"{value:,}" if counted else visible(str(value))
