"""Microsoft's documented examples of what the embedded engine has beyond duckdb-kql, with their documented answers."""

import json
import math
import re
from pathlib import Path

import pandas as pd
import pytest
from fleet import beats, write

from amakit import connect

#: Page of https://learn.microsoft.com/kusto/query, query, columns, and the cells of each row as the page shows them.
EXAMPLES = json.loads((Path(__file__).parent / "documented.json").read_text(encoding="utf-8"))

LIFE = [("1.38.1", "2026-03-10 00:00", "2026-03-10 00:30")]


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("logs")
    write(folder, Heartbeat=beats("web-1", LIFE))
    with connect(folder) as workspace:
        yield workspace


@pytest.mark.parametrize("example", EXAMPLES, ids=[f"{n}-{e['page']}" for n, e in enumerate(EXAMPLES)])
def test_an_example_of_the_documentation_gives_the_documented_rows(logs, example):
    frame = logs.query(example["kql"])
    rows, wanted = [list(row) for row in frame.itertuples(index=False)], list(example["rows"])
    assert len(rows) == len(wanted)
    for row in rows:  # most pages do not sort
        match = next((w for w in wanted if len(w) == len(row) and all(map(same, row, w))), None)
        assert match is not None, (row, wanted)
        wanted.remove(match)


def same(value, shown):
    """Compare a value with a cell of a page, which is text."""
    if isinstance(value, (list, dict)):
        return close(value, json.loads(shown))
    if pd.isna(value):
        return shown.lower() in ("", "null", "nan")
    if isinstance(value, pd.Timedelta):
        days, clock = re.fullmatch(r"(?:(\d+)\.)?([\d:.]+)", shown).groups()
        return value == pd.Timedelta(f"{days or 0} days {clock}")
    if isinstance(value, pd.Timestamp):
        return abs(value.tz_localize(None) - pd.Timestamp(shown).tz_localize(None)) < pd.Timedelta("10us")
    if isinstance(value, bool) or type(value).__name__ == "bool":
        return shown.lower() in (str(bool(value)).lower(), str(int(value)))
    if isinstance(value, (int, float)) or hasattr(value, "dtype"):
        return math.isclose(float(value), float(shown.replace(",", "")), rel_tol=1e-4, abs_tol=1e-9)
    return str(value).strip().strip('"') == shown.strip().strip('"')


def close(value, shown):
    if isinstance(value, list):
        return isinstance(shown, list) and len(value) == len(shown) and all(map(close, value, shown))
    if isinstance(value, dict):
        return (
            isinstance(shown, dict) and value.keys() == shown.keys() and all(close(value[k], shown[k]) for k in value)
        )
    if isinstance(value, float):
        return math.isclose(value, shown, rel_tol=1e-4, abs_tol=1e-9)
    return value == shown
