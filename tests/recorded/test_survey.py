"""What is told of a folder before anything is analysed: here, which tables do not reach as far as the heartbeats."""

import pandas as pd
import pytest
from fleet import at, counters, every, heartbeats, write

import amakit
from amakit.recorded.survey import remarks, survey

START, END = "2026-05-04", "2026-05-06"


@pytest.mark.parametrize(
    ("since", "until", "interval", "told"),
    [
        (START, END, 60, []),
        (
            START,
            "2026-05-05 12:00",
            60,
            ["Perf: its rows end at 2026-05-05T11:59:00Z, 12 hours before those of Heartbeat"],
        ),
        (
            "2026-05-04 06:00",
            END,
            60,
            ["Perf: its rows begin at 2026-05-04T06:00:00Z, 6 hours after those of Heartbeat"],
        ),
        (START, "2026-05-05 23:30", 60, []),  # half an hour
        (START, "2026-05-05 12:00", 3600, []),  # twelve rows
    ],
)
def test_a_table_that_ends_before_the_heartbeats_is_told_where_rows_were_due(since, until, interval, told, tmp_path):
    beats = heartbeats("m", every(60, START, END))
    folder = write(tmp_path, Heartbeat=beats, Perf=counters("m", pd.Series(every(interval, since, until))))
    with amakit.connect(folder) as logs:
        lines = [line for line in remarks(logs, survey(logs)[0]) if "its rows" in line]
    assert lines == [f"{line}; of that time nothing is said" for line in told]


def test_tables_of_the_control_plane_are_looked_at_where_they_lie(tmp_path):
    act = pd.DataFrame({"TimeGenerated": [at("2026-03-02 04:00")], "OperationNameValue": "x", "_ResourceId": "/r"})
    with amakit.connect(
        write(tmp_path / "logs", Heartbeat=heartbeats("a", every(60, "2026-03-02", "2026-03-03")))
    ) as ws:
        ws.beside = amakit.connect(write(tmp_path / "control", AzureActivity=act))
        found, missing = survey(ws)
    assert found.set_index("Table")["Rows"].to_dict() == {"AzureActivity": 1, "Heartbeat": 1440}
    assert "AzureActivity" not in missing
