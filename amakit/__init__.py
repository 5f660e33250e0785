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
    from amakit import charts, explore, gallery, narrative, progress, releases, rollout, writeup
    from amakit.analysis import Analysis, analyze
    from amakit.errors import AmakitError, UsageError
    from amakit.report import parameters
    from amakit.snapshots import snapshot
    from amakit.workspace import Workspace, connect

__version__ = "0.1.0"

__all__ = ["AmakitError", "Analysis", "UsageError", "Workspace", "analyze", "charts", "connect", "explore",
           "gallery", "narrative", "parameters", "progress", "releases", "rollout", "snapshot", "writeup"]  # fmt: skip

_HOMES = {
    "AmakitError": "errors", "UsageError": "errors", "Analysis": "analysis", "analyze": "analysis",
    "Workspace": "workspace", "connect": "workspace", "parameters": "report",
    "snapshot": "snapshots", "load_ipython_extension": "magic", "unload_ipython_extension": "magic",
}  # fmt: skip


if not TYPE_CHECKING:  # a checker would take any name for one of these

    def __getattr__(name):
        """Import a public name when it is first used: ``import amakit`` itself costs next to nothing."""
        if name in _HOMES:
            return getattr(import_module(f"amakit.{_HOMES[name]}"), name)
        if name in ("charts", "explore", "gallery", "narrative", "progress", "releases", "rollout", "writeup"):
            return import_module(f"amakit.{name}")
        raise AttributeError(f"module 'amakit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
