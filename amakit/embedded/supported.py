"""What KQL the embedded engine has: every operator, function, aggregate and plugin, and what it refuses."""

from amakit.embedded import grouping, plugins, time_series  # noqa: F401 - each adds its operators
from amakit.embedded.operators import OPERATORS
from amakit.embedded.tables import SOURCES

__all__ = ["OPERATORS", "SOURCES"]
