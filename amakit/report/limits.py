"""Does what was found exceed the limits that a pipeline sets?"""

import json
import operator
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from amakit.errors import UsageError, nearest
from amakit.facts.counts import COUNTS

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
