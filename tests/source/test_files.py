"""The embedded engine over files."""

import nbformat
from fleet import beats, write
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

HASTY = """
import duckdb
patient = duckdb.connect
def hasty(*given, **options):
    made = patient(*given, **options)
    made.execute("SET progress_bar_time = 1")
    return made
duckdb.connect = hasty
"""
SLOW = "{}.execute('SELECT count(DISTINCT hash(i)) FROM range(6000000) AS r(i)').fetchall();"


def test_a_slow_query_leaves_no_progress_widget_in_a_notebook(tmp_path):
    """DuckDB shows one after two seconds, which are one millisecond here; a connection of nobody's shows that it would."""
    logs = write(tmp_path / "logs", Heartbeat=beats("web-01", [("1.37", "2026-03-02", "2026-03-02 03:00")]))
    cells = [
        HASTY,
        f"import amakit\nws = amakit.connect({str(logs)!r})",
        SLOW.format("ws._engine._connection"),
        SLOW.format("duckdb.connect()"),
    ]
    book = new_notebook(cells=[new_code_cell(cell) for cell in cells])
    done = NotebookClient(book, timeout=300, kernel_name="python3").execute()
    shown = ["widget-view" in nbformat.writes(new_notebook(cells=[cell])) for cell in done.cells]
    assert shown[2:] == [False, True]  # to connect may take a millisecond on a busy machine, and never two seconds
