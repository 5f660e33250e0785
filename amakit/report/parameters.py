"""What a notebook of the kit is asked, checked inside its kernel."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amakit.analysis import analyze
from amakit.errors import UsageError
from amakit.output import staged
from amakit.prose.incident import document
from amakit.report.request import assigned, check, refuse_unknown
from amakit.share.key import owner_key
from amakit.share.pseudonyms import anonymised

if TYPE_CHECKING:
    from amakit.analysis import Analysis
    from amakit.source.workspace import Workspace

#: Is in the environment of a kernel in which notebooks run that share an analysis, and change nothing of it.
HELD = "AMAKIT_HOLD_ANALYSIS"
_HELD: "dict[Parameters, Analysis]" = {}
#: Parameters that hold no name, whatever their value.
NAMELESS = ("start", "end", "timezone", "language", "out_dir")


@dataclass(frozen=True)
class Parameters:
    """What a notebook of the kit is asked, checked.  Made by `parameters`.

    Attributes
    ----------
    workspace : str, or tuple of str
        See `amakit.connect`; several are analysed as one.
    start, end : str
        The window; empty for everything that a folder holds.
    machines : tuple of str
        Computer names or resource ids; empty means all.
    timezone : str
        Zone in which times are told.
    language : str
        ``en`` or ``ja``.
    out_dir : str
        Folder for the result tables; empty for none.
    anonymise : bool
        Whether names and ids are replaced by pseudonyms; see `amakit.share.pseudonyms`.
    allow_unknown : bool
        Whether what a service cannot give becomes unknown instead of a failure; see `amakit.analyze`.
    """

    workspace: str | tuple[str, ...]
    start: str
    end: str
    machines: tuple
    timezone: str
    language: str
    out_dir: str
    anonymise: bool = False
    allow_unknown: bool = False

    def analyze(self, workspace: "Workspace") -> "Analysis":
        """Run the analysis that is asked for, with pseudonyms in the place of names if that is asked for.

        Of notebooks that run one after the other in one kernel, as `amakit.report.batch` has them, those that ask for
        the same share one.

        Parameters
        ----------
        workspace : Workspace

        Returns
        -------
        Analysis
        """
        if not os.environ.get(HELD):
            return self._analyze(workspace)
        asked = replace(self, timezone="", language="", out_dir="")
        if asked not in _HELD:
            _HELD.clear()
            _HELD[asked] = self._analyze(workspace)
        return _HELD[asked]

    def _analyze(self, workspace):
        # one with pseudonyms leaves no names behind on this machine
        found = analyze(workspace, self.start, self.end, self.machines, self.allow_unknown, not self.anonymise)
        return anonymised(found, owner_key()) if self.anonymise else found

    def keep(self, analysis: "Analysis") -> list[Path]:
        """Write the result tables of an analysis and its facts to ``out_dir``, if one is given.

        Parameters
        ----------
        analysis : Analysis

        Returns
        -------
        list of pathlib.Path
            What was written.
        """
        if not self.out_dir:
            return []
        told = document(analysis, self.language, self.timezone)
        with staged(self.out_dir) as stage:
            (stage / "facts.json").write_text(told, encoding="utf-8", newline="\n")
        return [*analysis.save(self.out_dir), Path(self.out_dir) / "facts.json"]


def parameters(namespace: Mapping[str, Any]) -> Parameters:
    """Check the parameters of a notebook; the first thing that it does after its imports.

    Papermill only warns of a parameter that a notebook does not have, and then runs on the default.  Here it
    is refused, under plain papermill too.

    Parameters
    ----------
    namespace : dict
        ``globals()`` of the notebook.

    Returns
    -------
    `Parameters`

    Raises
    ------
    UsageError
        When a parameter is unknown or its value cannot be used.

    Examples
    --------
    >>> given = parameters({"workspace": "demo", "start": "", "end": "", "machines": "web-01, web-02",
    ...     "timezone": "Asia/Tokyo", "language": "ja", "out_dir": ""})
    >>> given.machines
    ('web-01', 'web-02')
    """
    cells = namespace.get("In", [])
    for before, cell in pairwise(cells):
        if cell.startswith("# Parameters\n"):  # papermill puts its own cell right behind the notebook's
            refuse_unknown(assigned(cell, "the notebook"), assigned(before, "the notebook"))
    given = {field.name: namespace.get(field.name, False) for field in fields(Parameters) if field.type is bool}
    for name, value in given.items():
        if not isinstance(value, bool):
            raise UsageError(f"{name} {value!r} is neither true nor false")
    values = {field.name: namespace[field.name] for field in fields(Parameters) if field.name not in given}
    workspace, machines = values.pop("workspace"), values.pop("machines") or ()
    if not isinstance(workspace, str | Path) and not all(isinstance(one, str | Path) for one in workspace):
        raise UsageError(f"workspace {workspace!r} must be a name, or a list of names")
    machines = machines.split(",") if isinstance(machines, str) else machines
    if not all(isinstance(m, str) for m in machines):
        raise UsageError(f"machines {machines!r} must be names; write a list of text")
    given = Parameters(
        workspace=str(workspace) if isinstance(workspace, str | Path) else tuple(map(str, workspace)),
        machines=tuple(m.strip() for m in machines if m.strip()),
        **given,
        **{name: str(value) for name, value in values.items()},  # type: ignore[arg-type]
    )
    check(given.start, given.end, given.timezone, given.language)
    return given
