"""Which facts the sections of a page read: each by its path, whatever the language says of it."""

import re
from dataclasses import replace
from functools import cache

import nbformat

from amakit.report.request import notebooks

BOOKS = {"transitions": "01_version_transitions", "gaps": "02_upgrade_gaps", "incident": "03_incident_writeup",
         "rollout": "04_rollout"}  # fmt: skip


@cache
def shown_by(name):
    """The sections and tables that a notebook shows, in its order, as (whether it is a table, name)."""
    cells = nbformat.read(notebooks()[BOOKS[name]], as_version=4).cells
    source = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    return [(bool(table), key) for table, key in re.findall(r'page(\.tables)?\["(\w+)"\]', source)]


class _Read:
    """Remember under which path something is read; what is inside is wrapped when it is asked for."""

    def _inside(self, key, value):
        path = f"{self._path}.{key}".lstrip(".")
        if isinstance(value, dict):
            return ReadDict(value, path, self._log)
        if isinstance(value, list):
            return ReadList(value, path, self._log)
        self._log.add(path)
        return value

    def __len__(self):
        self._log.add(self._path)
        return len(self._of)


class ReadDict(_Read, dict):
    """A dictionary that remembers what is read of it."""

    def __init__(self, of, path="", log=None):
        super().__init__(of)
        self._of, self._path, self._log = of, path, set() if log is None else log

    def __getitem__(self, key):
        return self._inside(key, self._of[key])

    def __iter__(self):
        return iter(self._of)

    def get(self, key, default=None):
        return self[key] if key in self._of else default

    def values(self):
        return [self[key] for key in self._of]

    def items(self):
        return [(key, self[key]) for key in self._of]


class ReadList(_Read, list):
    """A list that remembers what is read of its elements."""

    def __init__(self, of, path, log):
        super().__init__(of)
        self._of, self._path, self._log = of, path, log

    def __iter__(self):
        return (self._inside(n, value) for n, value in enumerate(self._of))

    def __getitem__(self, key):
        if isinstance(key, slice):
            return list(self)[key]
        return self._inside(key, self._of[key])


def said(page, *sections):
    """Give the text of sections, those that the notebook shows by default, and the paths of the facts they read."""
    facts = ReadDict(page.facts)
    reading = replace(page, facts=facts)
    names = sections or [key for table, key in shown_by(page.name) if not table]
    return {name: reading[name] for name in names}, facts._log
