"""Did the agent upgrade lose our logs?

amakit runs KQL over Heartbeat and other tables of a Log Analytics workspace, or over exported files, and finds
out when the Azure Monitor Agent changed its version and what was lost meanwhile.

>>> import amakit
>>> found = amakit.analyze(amakit.connect("demo"), "2026-03-09", "2026-03-10")
>>> found.transitions.shape[1]
9
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from amakit import charts, facts, prose, study
    from amakit.analysis import Analysis, analyze
    from amakit.errors import AmakitError, UsageError
    from amakit.report.parameters import parameters
    from amakit.share.snapshot import snapshot
    from amakit.source.connect import connect
    from amakit.source.workspace import Workspace
    from amakit.study.mask import mask

__version__ = "0.1.0"

__all__ = ["AmakitError", "Analysis", "UsageError", "Workspace", "analyze", "charts", "connect", "facts", "mask",
           "parameters", "prose", "snapshot", "study"]  # fmt: skip

_HOMES = {
    "AmakitError": "errors", "UsageError": "errors", "Analysis": "analysis", "analyze": "analysis",
    "mask": "study.mask",
    "Workspace": "source.workspace", "connect": "source.connect", "parameters": "report.parameters",
    "snapshot": "share.snapshot", "load_ipython_extension": "lab.magic", "unload_ipython_extension": "lab.magic",
}  # fmt: skip


if not TYPE_CHECKING:  # a checker would take any name for one of these

    def __getattr__(name):
        """Import a public name when it is first used: ``import amakit`` itself costs next to nothing."""
        if name in _HOMES:
            return getattr(import_module(f"amakit.{_HOMES[name]}"), name)
        if name in ("charts", "facts", "prose", "study"):
            return import_module(f"amakit.{name}")
        raise AttributeError(f"module 'amakit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
