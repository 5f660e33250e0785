"""`amakit check` tells the sources that are silent while their agent reports, and no others."""

import numpy as np
import pandas as pd
import pytest
from fleet import every, heartbeats, write

import amakit
from amakit.events.silent_now import silences, silent_now

START, END = "2026-05-04", "2026-05-06"


def syslog(computer, facility, until, seed):
    """About a row in 30 s, until it ends."""
    rng = np.random.default_rng(seed)
    times = pd.to_datetime(START, utc=True) + pd.to_timedelta(np.cumsum(rng.exponential(30, 8000)), unit="s")
    resource = f"/subscriptions/0/resourceGroups/rg/VM/{computer}"
    rows = pd.DataFrame({"TimeGenerated": times, "Computer": computer, "_ResourceId": resource, "Facility": facility})
    return rows[rows["TimeGenerated"] < pd.to_datetime(until, utc=True)]


@pytest.fixture
def logs(tmp_path):
    def made(**ends):
        """Two machines with two facilities each; `ends` says when facilities, or the agent, end earlier."""
        beats, lines = [], []
        for n, computer in enumerate(["a", "b"]):
            last = ends.get(f"{computer}_agent", END)
            beats.append(heartbeats(computer, every(60, START, last, phase=7 * n)))
            lines += [
                syslog(computer, f, ends.get(f"{computer}_{f}", last), 10 * n + i)
                for i, f in enumerate(["cron", "auth"])
            ]
        return amakit.connect(write(tmp_path / "logs", Heartbeat=pd.concat(beats), Syslog=pd.concat(lines)))

    return made


def test_nothing_is_said_where_all_sources_go_on(logs):
    assert silences(logs()) == []


def test_one_of_two_facilities_that_died_is_told_with_what_was_to_be_expected(logs):
    (one,) = silent_now(logs(a_cron="2026-05-05 06:00")).itertuples()
    assert (one.computer, one.data_type, one.source) == ("a", "Syslog", "cron")
    assert abs((one.silent_from - pd.Timestamp("2026-05-05 06:00", tz="UTC")).total_seconds()) < 300
    assert one.expected == pytest.approx(18 * 120, rel=0.1)


def test_the_sentence_names_source_machine_and_time(logs):
    (line,) = silences(logs(b_auth="2026-05-05 06:00"))
    assert line.startswith("Syslog auth of b has been silent since 2026-05-05T05:5")
    assert line.endswith("rows were to be expected")


def test_a_machine_that_is_silent_itself_has_no_silent_source(logs):
    assert silences(logs(a_agent="2026-05-05 06:00")) == []


def test_a_folder_without_events_or_heartbeats_has_none(tmp_path):
    one = write(tmp_path / "one", Heartbeat=heartbeats("a", every(60, START, END)))
    other = write(tmp_path / "other", Syslog=syslog("a", "cron", "2026-05-05", 1))
    assert silences(amakit.connect(one)) == silences(amakit.connect(other)) == []
