"""The tables that come in, the tables that go out, and the one pandas dtype of each KQL type."""

from amakit.schemas.frames import frame_of, no_rows
from amakit.schemas.log_tables import OWN, RECEIVED, STANDARD, public_tables, table_name, tables
from amakit.schemas.results import (
    KQL_MACHINE,
    LOST,
    MACHINE,
    RESULTS,
    Cause,
    Verdict,
    described,
    machine_labels,
    meanings,
    of_outages,
    result,
)

__all__ = [
    "KQL_MACHINE", "LOST", "MACHINE", "OWN", "RECEIVED", "RESULTS", "STANDARD", "Cause", "Verdict", "described",
    "frame_of", "machine_labels", "meanings", "no_rows", "of_outages", "public_tables", "result", "table_name",
    "tables",
]  # fmt: skip
