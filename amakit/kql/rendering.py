"""What ``| render`` at the end of a query asks for."""

import re
from dataclasses import dataclass, field

from amakit.kql.text import arguments, bare, named, operator_of, split, without_comments

#: Kinds that are drawn.
DRAWN = ("timechart", "linechart", "barchart", "columnchart", "areachart", "stackedareachart", "piechart",
         "scatterchart")  # fmt: skip


@dataclass(frozen=True)
class Drawing:
    """A chart that a query asks for.

    Attributes
    ----------
    kind : str
        The word after ``render``, such as ``timechart``.
    properties : dict of str to str or list of str
        What stands behind ``with``: lists for ``ycolumns`` and ``series``.
    """

    kind: str
    properties: dict = field(default_factory=dict)

    @property
    def drawn(self) -> bool:
        """Whether amakit draws this kind."""
        return self.kind in DRAWN


def drawing_of(kql: str) -> Drawing | None:
    """Read the ``render`` at the end of a query.

    Parameters
    ----------
    kql : str

    Returns
    -------
    Drawing or None
        None where the query ends in no ``render``.

    Examples
    --------
    >>> drawing_of('T | render timechart with (title="Beats, by hour", ycolumns=a, b)')
    Drawing(kind='timechart', properties={'title': 'Beats, by hour', 'ycolumns': ['a', 'b']})
    >>> drawing_of("T | count")
    """
    statements = [part for part in split(without_comments(kql), ";") if part.strip()]
    name, rest = operator_of(split(statements[-1], "|")[-1]) if statements else ("", "")
    if name != "render":
        return None
    kind, _, more = rest.partition(" ")
    kind, bracket, inside = kind.partition("(")
    given = re.search(r"\((.*)\)", f"{bracket}{inside} {more}", re.DOTALL)
    found: dict = {}
    for part in arguments(given[1] if given else ""):
        key, value = named(part)
        if key:
            last = key
            found[key] = [bare(value)] if key in ("ycolumns", "series") else value.strip("\"'")
        elif found and isinstance(found[last], list):
            found[last].append(bare(part))
    if not given and (older := re.search(r"\bkind\s*=\s*(\w+)", more)):
        found["kind"] = older[1]
    return Drawing(kind.strip().lower(), found)
