"""What is said of an analysis in a ticket: the same as on the first screen of the write-up, short enough to be pasted.

GitHub takes 65,536 characters, Jira 32,767, a work note of ServiceNow 4,000.  The Markdown is of the plainest: bold,
lists of one depth but for what is to be attached, no table, no HTML.
"""

import re
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from amakit.prose.page import Page

#: Characters of a ticket.
LONGEST = 4_000
#: What is told one by one, the most urgent first: heading, part of the situation, macro of ``parts.j2``.
_ENTRIES = [
    ("still down", "down", "down"),
    ("partly down", "partial", "lacking"), ("partly down", "stopped_sources", "stopped"),
    ("in doubt", "doubtful", "doubtful"), ("in doubt", "silences", "silence"),
    ("not everywhere", "destinations", "destination"),
]  # fmt: skip
#: What has a heading of its own.
_APART = ("next steps", "limits")
#: Limits that a reader of the ticket must know of.
_TOLD_LIMITS = ("unknown", "tables", "refused")


def ticket(page: "Page") -> str:
    """Tell a write-up in at most 4,000 characters, worst first.

    Parameters
    ----------
    page : Page
        That of `amakit.prose.incident.incident`.

    Returns
    -------
    str
        Markdown.  No sentence of it is cut: what does not fit is left out from the end, and a last sentence says how
        much of what that was.

    Examples
    --------
    >>> import amakit
    >>> from amakit.prose.incident import incident
    >>> found = amakit.analyze(amakit.connect("demo"), "2026-03-02", "2026-03-02T01:00")
    >>> ticket(incident(found)).split(". ")[0]
    '**Nothing is to be done: every agent was back by 2026-03-02 01:00'
    """
    facts = page.facts
    now = [
        (heading, page.told("entry", heading, macro, one if part == "down" else one | {"address": ""}))
        for heading, part, macro in _ENTRIES
        for one in facts["now"][part]
    ]
    limits = zip(facts["limits"], _items(page["limits"]), strict=True)
    told = [
        *now,
        *(("next steps", item) for item in _items(page["actions"])),
        *(("limits", item) for limit, item in limits if limit["kind"] in _TOLD_LIMITS),
    ]
    return next(text for n in range(len(told), -1, -1) if len(text := _composed(page, told, n)) <= LONGEST)


def _items(text):
    return re.split(r"\n(?=- )", text)


def _composed(page, told, n):
    """Put together all that is always told, the first so many items, and how many there are beyond."""
    kept, every = Counter(heading for heading, _ in told[:n]), Counter(heading for heading, _ in told)
    left = [
        {"n": every[name] - kept[name], "all": every[name], "heading": page.words.heading(name)}
        for name in every
        if every[name] > kept[name]
    ]
    items = {
        part: [item for heading, item in told[:n] if (heading if heading in _APART else "") == part]
        for part in ("", *_APART)
    }
    items[""] += [text for text in (page["recovered"], page["other"]) if text]
    parts = [f"**{page['headline']}**", page["data"], "\n".join(items.pop(""))]
    for heading, own in items.items():
        parts += [f"**{page.words.heading(heading)}**", "\n".join(own)] if own else []
    return "\n\n".join(filter(None, [*parts, page.told("closing", left)])) + "\n"
