"""What plotly says in a chart: its arrays, texts and colours; what a still picture does not know is refused."""

import base64
import html
import re
import unicodedata
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from amakit.errors import AmakitError


def decoded(value: Any) -> Any:
    """Turn plotly's base64 arrays into lists, wherever they are."""
    if isinstance(value, dict) and "bdata" in value:
        flat = np.frombuffer(base64.b64decode(value["bdata"]), np.dtype(value["dtype"]).newbyteorder("<"))
        return flat.reshape([int(n) for n in re.findall(r"\d+", str(value.get("shape", len(flat))))]).tolist()
    if isinstance(value, dict):
        return {key: decoded(part) for key, part in value.items()}
    return [decoded(part) for part in value] if isinstance(value, (list, tuple)) else value


def plain(text: object, most: int = 120) -> str:
    """Turn plotly's little HTML into text: no line too long, nothing that steers a reader's eye or a terminal."""
    text = re.sub(r"<br\s*/?>", "\n", str(text))
    text = html.unescape(re.sub(r"</?(?:b|i|em|strong|s|u|su[bp]|span|a)(?:\s[^<>]*)?>", "", text))
    lines = "".join(c if c == "\n" or c.isprintable() else " " * c.isspace() for c in text).split("\n")
    ends = [np.cumsum([1 + (unicodedata.east_asian_width(c) in "WF") for c in line[:500]]) for line in lines]
    fits = [np.searchsorted(end, most, side="right") for end in ends]
    return "\n".join(line if len(line) <= n else line[: n - 1] + "…" for line, n in zip(lines, fits, strict=True))


def known(table: Any, key: Any, what: str) -> Any:
    """Look up what a still picture has; what it has not is refused."""
    if key not in table:
        raise AmakitError(f"a still picture has no {what} {key!r}; it has {', '.join(map(repr, table))}")
    return table[key] if isinstance(table, dict) else key


def rgba(css: Any) -> tuple:
    """Read a colour as plotly writes it."""
    from matplotlib.colors import to_rgba

    called = re.fullmatch(r"rgba?\(([^()]+)\)", str(css).replace(" ", ""))
    try:
        red, green, blue, alpha = [*map(float, called[1].split(",")), 1][:4] if called else to_rgba(css)
    except ValueError:
        raise AmakitError(f"a still picture has no colour {css!r}; write '#RRGGBB' or 'rgba(r, g, b, a)'") from None
    return (red / 255, green / 255, blue / 255, alpha) if called else (red, green, blue, alpha)


def along(values: Iterable) -> np.ndarray:
    """Turn what lies along x, numbers or times as text, into matplotlib's numbers."""
    from matplotlib.dates import date2num

    if not any(isinstance(value, str) for value in values):
        return np.array(values, dtype=float)
    times = pd.to_datetime(pd.Series(values, dtype=object), format="ISO8601", utc=True)
    return date2num(times.dt.tz_localize(None).to_numpy())
