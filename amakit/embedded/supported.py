"""What KQL the embedded engine has: every operator, function, aggregate and plugin, and what it refuses."""

from amakit.embedded.names import AGGREGATES, FUNCTIONS, PLUGINS
from amakit.embedded.names import OPERATORS as KQL_OPERATORS
from amakit.embedded.operators import grouping, pairs, plugins, time_series  # noqa: F401 - each adds its operators
from amakit.embedded.operators.rewrites import NOT_HERE, OPERATORS, SEVERAL
from amakit.embedded.operators.tables import SOURCES
from amakit.embedded.operators.windows import ROW_FUNCTIONS

__all__ = ["OPERATORS", "SOURCES", "refused", "supported"]

#: What is written out before duckdb-kql sees it, and so stands in none of its tables.
_WRITTEN = {"pack_all", "column_ifexists", "columnifexists", "iscolumnexists", "bag_pack_columns", "ingestion_time",
            "percentiles", "percentiles_array", "argmax", "argmin", *SEVERAL}  # fmt: skip
#: Operators that duckdb-kql has and nothing here changes.
_ALONE = {"count", "mv-expand", "mvexpand", "project-rename", "render", "range", "make-graph", "graph-match",
          "graph-to-table", "graph-mark-components", "graph-shortest-paths"}  # fmt: skip


def supported() -> dict[str, set[str]]:
    """Give the names that the embedded engine has.

    Returns
    -------
    dict of str to set of str
        Under ``operators``, ``functions``, ``aggregates`` and ``plugins``.

    Examples
    --------
    >>> names = supported()
    >>> "make-series" in names["operators"], "prev" in names["functions"], "scan" in names["operators"]
    (True, True, False)
    """
    from duckdb_kql.translate import functions as registry

    from amakit.embedded.library import extend_library

    extend_library()
    here = set(registry.SCALAR_FUNCTIONS) | _WRITTEN | ROW_FUNCTIONS
    return {
        "operators": ((set(OPERATORS) | set(SOURCES) | _ALONE) - NOT_HERE - {"externaldata", "external_table"})
        & KQL_OPERATORS
        | {"evaluate"},
        "functions": here & FUNCTIONS,
        "aggregates": (set(registry.AGGREGATE_FUNCTIONS) | _WRITTEN) & AGGREGATES,
        "plugins": {"pivot", "bag_unpack", "narrow"},
    }


def refused() -> dict[str, set[str]]:
    """Give the names of KQL that the embedded engine refuses, under the same words as `supported`.

    Returns
    -------
    dict of str to set of str

    Examples
    --------
    >>> sorted(refused()["plugins"])[:2]
    ['active_users_count', 'activity_counts_metrics']
    """
    here = supported()
    every = {"operators": KQL_OPERATORS, "functions": FUNCTIONS, "aggregates": AGGREGATES, "plugins": PLUGINS}
    return {kind: set(names) - here[kind] for kind, names in every.items()}
