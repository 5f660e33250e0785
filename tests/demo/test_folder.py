import hashlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from functools import partial
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from amakit import AmakitError, UsageError, demo
from amakit.demo import folder as demo_folder
from amakit.demo import machines as demo_machines

CAUSES = {
    "upgrade", "downgrade", "rolled_back", "rollback_failed", "agent_restarted", "agent_removed", "machine_stopped",
    "machine_restarted", "machine_removed", "disconnected", "not_recorded", "unexplained",
}  # fmt: skip
EVERY_ROLE = len(demo_machines._CAST)
KEYS = {
    "Heartbeat": [],
    "Perf": ["ObjectName", "CounterName", "InstanceName"],
    "InsightsMetrics": ["Namespace", "Name", "Disk"],
    "ConfigurationData": ["ConfigDataType"],
    "AMAHealth": [],
}


def digests(folder):
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def read(folder, table, where="true"):
    with duckdb.connect(config={"threads": 1}) as connection:  # several would mix the order of the rows
        frame = connection.execute(f"FROM '{folder / table}.parquet' WHERE {where}").df()
    if "_ResourceId" in frame:
        frame["resource_id"] = frame["_ResourceId"].str.lower().str.partition("/extensions/")[0]
    if "Computer" in frame:
        frame["computer"] = frame["Computer"].str.lower()
    return frame


def truth(folder, name):
    frame = pd.read_csv(folder / "truth" / f"{name}.csv", dtype=str, keep_default_na=False)
    for column in frame.columns.intersection(["start", "end", "outage_start", "last_old", "first_new"]):
        assert frame[column].str.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z)?").all()
        frame[column] = pd.to_datetime(frame[column].str.rstrip("Z"), errors="coerce")
    return frame.assign(ongoing=frame["ongoing"] == "true") if "ongoing" in frame else frame


def unrecorded(folder):
    """From when to when the workspace recorded nothing."""
    ((since, until),) = truth(folder, "unrecorded").to_numpy()
    return since, until


def own(frame, row):
    """The rows of one machine; AMAHealth knows no computer."""
    mine = frame["resource_id"] == row["resource_id"]
    return frame[mine & (frame["computer"] == row["computer"])] if "computer" in frame else frame[mine]


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Every role once, for two days."""
    return demo.write(tmp_path_factory.mktemp("demo") / "small", machines=EVERY_ROLE, days=2)


@pytest.fixture(scope="module")
def default():
    return demo.cached()


@pytest.fixture(scope="module")
def beats(small):
    return read(small, "Heartbeat", "Category = 'Azure Monitor Agent'").sort_values("TimeGenerated")


def test_the_same_seed_gives_the_same_bytes(small, tmp_path):
    again = demo.write(tmp_path / "again", machines=EVERY_ROLE, days=2)
    assert digests(again) == digests(small)


def test_files_are_written_by_one_thread(tmp_path, monkeypatch):
    """With several, the dictionaries in a file follow their race: seen with 8 on 2 cores, but not every time."""
    connect, seen = duckdb.connect, []
    monkeypatch.setattr(duckdb, "connect", lambda config: seen.append(config) or connect(config=config))
    demo.write(tmp_path / "one", machines=1, days=1)
    assert [config["threads"] for config in seen] == [1]


def test_another_process_gives_the_same_bytes(tmp_path):
    here = demo.write(tmp_path / "here", machines=6, days=1, seed=7)
    code = f"from amakit import demo; demo.write({str(tmp_path / 'there')!r}, 6, 1, 7)"
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | {"PYTHONHASHSEED": "99"})
    assert digests(tmp_path / "there") == digests(here)


def test_another_seed_gives_other_data(tmp_path):
    one = digests(demo.write(tmp_path / "one", machines=2, days=1, seed=1))
    two = digests(demo.write(tmp_path / "two", machines=2, days=1, seed=2))
    differ = {name for name in one if one[name] != two.get(name)}
    assert {"Heartbeat.parquet", "Perf.parquet", "Event.parquet", "truth/outages.csv"} <= differ


def test_one_more_machine_changes_no_other(small, tmp_path):
    few = demo.write(tmp_path / "few", machines=7, days=2)
    computers = tuple(m.computer for m in demo.fleet(7, 2))
    compared = set()
    for path in sorted(few.glob("*.parquet")):
        if path.stem not in ("Usage", "Operation", "AzureActivity", "AMAHealth"):  # these name no computer
            here, there = read(few, path.stem), read(small, path.stem, f"Computer IN {computers}")
            here = here[~here["TimeGenerated"].between(*unrecorded(small), inclusive="left")].reset_index(drop=True)
            pd.testing.assert_frame_equal(here, there)
            compared.add(path.stem)
    assert {"Heartbeat", "Perf", "Event", "Syslog"} < compared
    known = [computer.lower() for computer in computers]
    for name in ("machines", "outages", "transitions", "losses", "events"):
        here, there = truth(few, name), truth(small, name)
        pd.testing.assert_frame_equal(here, there[there["computer"].isin(known)].reset_index(drop=True))


def test_default_fleet_holds_every_cause_role_and_shape(default):
    outages, machines = truth(default, "outages"), truth(default, "machines")
    assert set(outages["cause"]) == CAUSES
    assert set(machines["role"]) == {role for _, _, role in demo_machines._CAST}
    assert len(machines) == 40
    assert machines["computer"].nunique() == 39, "two resources share one computer name"
    assert machines["resource_id"].nunique() == 38, "three instances share the id of their scale set"
    assert (machines["resource_id"] == "").sum() == 1
    assert set(machines["environment"]) == {"Azure", "Non-Azure"}
    assert set(truth(default, "transitions")["kind"]) == {"upgrade", "downgrade"}
    about = json.loads((default / "_demo.json").read_text())
    assert about["synthetic"] is True
    assert (about["start"], about["end"]) == ("2026-03-02T00:00:00Z", "2026-03-16T00:00:00Z")


def test_twists_show_in_the_rows_of_the_default_fleet(default):
    with duckdb.connect() as connection:
        categories, agents = connection.execute(
            "SELECT count(DISTINCT Category), max(agents) FROM (SELECT Category, Computer, _ResourceId, "
            "count(DISTINCT SourceComputerId) FILTER (Category = 'Azure Monitor Agent') AS agents "
            f"FROM '{default}/Heartbeat.parquet' GROUP BY ALL)"
        ).fetchone()
        mixed = connection.execute(
            f"SELECT count(DISTINCT _ResourceId) FROM '{default}/Perf.parquet' WHERE _ResourceId <> lower(_ResourceId)"
        ).fetchone()[0]
        in_order = connection.execute(
            f"SELECT bool_and(ordered) FROM (SELECT _TimeReceived >= lag(_TimeReceived, 1, _TimeReceived) "
            f"OVER (ORDER BY file_row_number) AS ordered "
            f"FROM read_parquet('{default}/Syslog.parquet', file_row_number = true))"
        ).fetchone()[0]
        types = {
            kind
            for path in sorted(default.glob("*.parquet"))
            for _, kind, *_ in connection.execute(f"DESCRIBE FROM '{path}'").fetchall()
        }
    assert (categories, agents) == (2, 2)
    assert mixed > 1
    assert in_order
    assert types == {"VARCHAR", "TIMESTAMP", "DOUBLE", "INTEGER", "BOOLEAN"}


def test_no_heartbeat_lies_inside_an_outage_and_late_ones_are_not_lost(small, beats):
    outages = truth(small, "outages")
    assert set(outages["cause"]) == CAUSES
    for _, row in outages.iterrows():
        mine = own(beats, row)
        end = pd.Timestamp.max if row["ongoing"] else row["end"]
        inside = mine[(mine["TimeGenerated"] > row["start"]) & (mine["TimeGenerated"] < end)]
        if row["cause"] == "disconnected":
            length = (row["end"] - row["start"]).total_seconds()
            assert abs(inside["TimeGenerated"].nunique() - length / 60) <= 1
            assert (inside["_TimeReceived"] >= row["end"]).all()
        else:
            assert inside.empty
        if not row["ongoing"]:
            after = mine.loc[mine["TimeGenerated"] >= row["end"], "TimeGenerated"].min()
            back = unrecorded(small)[1] if row["cause"] == "not_recorded" else row["end"]
            assert (after - back).total_seconds() < 60.1


def test_transitions_are_those_that_a_reader_of_the_heartbeats_sees(small, beats):
    seen = []
    for (resource_id, computer), rows in beats.groupby(["resource_id", "computer"]):
        changed = rows["Version"].ne(rows["Version"].shift()) & rows["Version"].shift().notna()
        for at in changed.to_numpy().nonzero()[0]:
            old, new = rows.iloc[at - 1], rows.iloc[at]
            times = (old["TimeGenerated"], new["TimeGenerated"])
            seen.append((resource_id, computer, old["Version"], new["Version"], *times))
    columns = ["resource_id", "computer", "from_version", "to_version", "last_old", "first_new"]
    told = truth(small, "transitions")
    assert sorted(seen) == sorted(told[columns].itertuples(index=False, name=None))
    assert len(told) > 15
    outages = truth(small, "outages")
    changed = outages[(outages["from_version"] != outages["to_version"]) & ~outages["ongoing"]]
    assert len(changed) == len(told), "every version change has its outage"


def test_nothing_is_recorded_in_a_stretch_into_which_one_upgrade_falls(small):
    since, until = unrecorded(small)
    assert until - since == pd.Timedelta(minutes=25)
    for path in sorted(small.glob("*.parquet")):
        if path.stem not in ("AzureActivity", "Usage", "Operation"):  # which no agent sends
            assert not read(small, path.stem)["TimeGenerated"].between(since, until, inclusive="left").any(), path.stem
    ((_, row),) = truth(small, "outages").query("cause == 'not_recorded'").iterrows()
    assert since < row["start"] < row["end"] < until
    ((_, change),) = truth(small, "transitions").query("cause == 'not_recorded'").iterrows()
    assert change["last_old"] < since < until <= change["first_new"]
    for name in ("losses", "events"):
        told = truth(small, name)
        assert not (told["outage_start"] == row["start"]).any(), "what it cost nobody can tell"
    assert truth(small, "machines").query("role == 'unrecorded'")["computer"].tolist() == [row["computer"]]


def test_losses_match_a_slow_recount_where_the_phase_is_kept(small):
    machines, losses, outages = (truth(small, name) for name in ("machines", "losses", "outages"))
    kept = machines[(machines["phase"] == "kept") & (machines["role"] != "two_agents")]
    keys = ["resource_id", "computer"]
    losses = losses.merge(kept[keys], on=keys).merge(
        outages[[*keys, "cause", "start", "end"]].rename(columns={"start": "outage_start"}), on=[*keys, "outage_start"]
    )
    some = f"lower(Computer) IN {tuple(kept['computer'])}"
    tables = {table: read(small, table, some) for table in losses["data_type"].unique() if table != "AMAHealth"}
    tables["AMAHealth"] = read(small, "AMAHealth")
    tables["Heartbeat"] = tables["Heartbeat"].query("Category == 'Azure Monitor Agent'")
    tables["InsightsMetrics"]["Disk"] = [
        json.loads(tags).get("vm.azm.ms/mountId", "") for tags in tables["InsightsMetrics"]["Tags"]
    ]
    groups = {
        table: dict(list(frame.groupby([key for key in keys if key in frame]))) for table, frame in tables.items()
    }
    counted = 0
    for _, row in losses.iterrows():
        key = (row["resource_id"], row["computer"])
        rows = groups[row["data_type"]].get(key[:1] if row["data_type"] == "AMAHealth" else key)
        for column, part in zip(KEYS[row["data_type"]], row["stream"].split(" \\ "), strict=False):
            rows = rows[rows[column] == part]
        times = rows["TimeGenerated"].drop_duplicates()
        interval = float(row["interval_s"])
        before = times[times < row["outage_start"]].max()
        if row["ongoing"]:
            window_end = pd.Timestamp("2026-03-04")
            assert times[times >= row["outage_start"]].empty
            expected = int((window_end - before).total_seconds() / (interval * (1 + 0.004 / 60)))
        else:
            after = times[times >= row["end"]].min()
            if pd.isna(before) or pd.isna(after):  # a stream of ten hours may have no neighbour in two days
                continue
            if before < unrecorded(small)[0] < after:
                continue
            if row["cause"] == "disconnected":
                after = times[times > before].min()
            expected = round((after - before).total_seconds() / interval) - 1
        assert int(row["lost"]) == expected, row.to_dict()
        counted += expected > 0
    assert counted > 20


def test_losses_of_a_restarted_phase_stay_within_one_sample(small):
    machines, losses, outages = (truth(small, name) for name in ("machines", "losses", "outages"))
    keys = ["resource_id", "computer"]
    losses = losses[losses["data_type"] == "Perf"].merge(machines[machines["phase"] == "restarted"][keys], on=keys)
    outages = outages.rename(columns={"start": "outage_start"})[[*keys, "outage_start", "end", "cause"]]
    losses = losses.merge(outages, on=[*keys, "outage_start"])
    losses = losses[~losses["ongoing"] & (losses["cause"] != "disconnected")]
    ideal = (losses["end"] - losses["outage_start"]).dt.total_seconds() / losses["interval_s"].astype(float)
    assert ((losses["lost"].astype(int) - ideal).abs() < 1.01).all()
    assert len(losses) > 30


def test_a_dual_homed_machine_counts_only_the_azure_monitor_agent_and_two_agents_count_twice(small):
    machines, losses = truth(small, "machines"), truth(small, "losses")
    role = machines.set_index("computer")["role"]
    counts = losses[losses["data_type"] == "Heartbeat"].groupby("computer").size()
    assert counts[role.index[role == "dual_homed"]].eq(1).all()
    twice = losses[losses["computer"].isin(role.index[role == "two_agents"])]
    lost = twice.set_index(["data_type", "stream"])["lost"].astype(int)
    assert abs(lost["Heartbeat", ""] - 2 * lost["Perf", "System \\ System Up Time \\ "]) <= 2
    partial_agent = losses[losses["computer"].isin(role.index[role == "partial"])]
    assert partial_agent.loc[partial_agent["ongoing"], "stream"].tolist() == ["Memory \\ Available MBytes \\ "]


def test_events_of_an_outage_arrive_after_it_or_not_at_all(small):
    events, outages = truth(small, "events"), truth(small, "outages")
    outages = outages.rename(columns={"start": "outage_start"})
    events = events.merge(outages, on=["resource_id", "computer", "outage_start"])
    tables = {table: read(small, table) for table in events["data_type"].unique()}
    assert set(tables) == {"Event", "WindowsEvent", "SecurityEvent", "Syslog", "AppLog_CL"}
    for _, row in events.iterrows():
        mine = own(tables[row["data_type"]], row)
        end = pd.Timestamp.max if row["ongoing"] else row["end"]
        inside = mine[(mine["TimeGenerated"] >= row["outage_start"]) & (mine["TimeGenerated"] < end)]
        if row["cause"] != "disconnected":
            assert (inside["_TimeReceived"] >= end).all()
        inside = inside.drop(columns="_TimeReceived").drop_duplicates()
        assert len(inside) == int(row["arrived"])
        assert int(row["lost"]) == int(row["happened_inside"]) - int(row["arrived"])
    lossy = events[(events["lost"].astype(int) > 0) & ~events["ongoing"]]
    roles = truth(small, "machines").set_index("computer")["role"]
    assert set(roles[lossy["computer"].unique()]) == {"event_loss"}
    assert (events["arrived"].astype(int) > 0).sum() > 10


def test_record_numbers_have_a_hole_only_where_events_were_lost(small):
    roles = truth(small, "machines").set_index("computer")["role"]
    for table in ("WindowsEvent", "SecurityEvent"):
        numbers = read(small, table).astype({"EventRecordId": "int64"}).drop_duplicates(["computer", "EventRecordId"])
        ordered = numbers.sort_values(["computer", "TimeGenerated", "EventRecordId"])
        steps = ordered.groupby("computer")["EventRecordId"].diff().dropna()
        holes = ordered.loc[steps.index[steps != 1]]
        after = ordered["TimeGenerated"] >= unrecorded(small)[1]
        holes = holes.drop(after[after].groupby(ordered["computer"]).apply(lambda rows: rows.index[0]), errors="ignore")
        holes = holes["computer"]
        assert set(roles[holes.unique()]) == {"event_loss"}


def test_a_stopped_machine_says_nothing_and_begins_its_uptime_anew(small):
    outages = truth(small, "outages")
    uptime = read(small, "Perf", "CounterName = 'System Up Time'").sort_values("TimeGenerated")
    logs = pd.concat([read(small, "Event"), read(small, "Syslog")])
    halted = outages[outages["cause"].isin(["machine_stopped", "machine_restarted"])]
    assert len(halted) == 6
    for _, row in halted.iterrows():
        mine = own(uptime, row)
        after = mine[mine["TimeGenerated"] >= row["end"]].iloc[0]
        assert after["CounterValue"] < 240
        inside = own(logs, row).query("@row.start <= TimeGenerated < @row.end")
        texts = " ".join(inside["EventID"].dropna().astype(int).astype(str)) + " ".join(
            inside["SyslogMessage"].dropna()
        )
        assert "6005" in texts or "Linux version" in texts
        mine = own(logs, row)
        before = mine[(row["start"] - mine["TimeGenerated"]).dt.total_seconds().between(0, 10)]
        going = " ".join([*before["RenderedDescription"].dropna(), *before["SyslogMessage"].dropna()])
        assert ("power" in going) is (row["cause"] == "machine_stopped")
    others = outages[~outages.index.isin(halted.index) & ~outages["ongoing"]]
    for _, row in others.iterrows():
        assert own(uptime, row).query("TimeGenerated >= @row.end")["CounterValue"].iloc[0] > 86400


def test_the_activity_log_tells_attempts_stops_and_the_person(small):
    activity = read(small, "AzureActivity")
    assert {"Start", "Accept", "Success", "Failure", "Started", "Succeeded"} <= set(activity["ActivityStatusValue"])
    names = set(activity["OperationNameValue"])
    assert "MICROSOFT.COMPUTE/VIRTUALMACHINES/INSTALLPATCHES/ACTION" in names
    assert "MICROSOFT.HYBRIDCOMPUTE/MACHINES/UPGRADEEXTENSIONS/ACTION" in names
    assert {f"MICROSOFT.COMPUTE/VIRTUALMACHINES/{v}/ACTION" for v in ("DEALLOCATE", "START", "RESTART")} <= names
    health = activity[activity["CategoryValue"] == "ResourceHealth"]
    assert health["ActivityStatusValue"].tolist() == ["Active", "Resolved"]
    assert activity.drop(health.index).groupby("CorrelationId").size().eq(3).all()
    agent = activity[activity["ResourceId"].str.contains("/extensions/AzureMonitor(?:Windows|Linux)Agent$")]
    person = agent[agent["Caller"].str.contains("@")]
    roles = truth(small, "machines").query("role in ['downgraded', 'removed']")
    assert set(person["resource_id"]) == set(roles["resource_id"])
    failed = agent[agent["ActivityStatusValue"].isin(["Failure", "Failed"])]
    tried = truth(small, "machines").query("role in ['rolled_back', 'rolled_back_seen', 'rollback_failed']")
    assert set(failed["resource_id"]) == set(tried["resource_id"])


def test_one_machine_for_one_day(tmp_path):
    folder = demo.write(tmp_path / "one", machines=1, days=1)
    assert len(read(folder, "Heartbeat")) > 1430
    assert len(truth(folder, "outages")) == 1


def test_a_folder_with_something_in_it_is_left_alone(tmp_path):
    (tmp_path / "mine").mkdir()
    note = tmp_path / "mine" / "note.txt"
    note.write_text("keep me")
    with pytest.raises(
        AmakitError, match=r"holds something already; a demo is written only to a new or an empty folder"
    ):
        demo.write(tmp_path / "mine", machines=1, days=1)
    assert [p.name for p in tmp_path.rglob("*")] == ["mine", "note.txt"]
    assert note.read_text() == "keep me"


def test_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "new").mkdir()
    assert demo.write(tmp_path / "new", machines=1, days=1) == tmp_path / "new"
    assert (tmp_path / "new" / "_demo.json").exists()


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), duckdb.IOException("disk is full")])
def test_a_failure_in_mid_write_leaves_nothing(tmp_path, monkeypatch, error):
    def fail(folder, records):
        raise error

    monkeypatch.setattr(demo_folder, "_write_truth", fail)
    with pytest.raises(AmakitError, match=r"cannot be written: .*(No space left|disk is full).*choose another place"):
        demo.write(tmp_path / "new", machines=1, days=1)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_is_no_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(AmakitError, match="holds something already"):
        demo.write(tmp_path / "file", machines=1, days=1)
    with pytest.raises(AmakitError, match=r"nothing can be written to .*choose another folder"):
        demo.write(tmp_path / "file" / "below", machines=1, days=1)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"machines": 0}, "machines is 0"),
        ({"days": -1}, "days is -1"),
        ({"seed": -1}, "seed is -1"),
        ({"machines": 100_000}, "machine days"),
    ],
)
def test_numbers_out_of_range(tmp_path, wrong, says):
    with pytest.raises(UsageError, match=says):
        demo.write(tmp_path / "new", **wrong)
    assert list(tmp_path.iterdir()) == []


def test_two_at_once_share_one_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("AMAKIT_CACHE", str(tmp_path / "cache"))
    barrier, folders, write = threading.Barrier(2, timeout=600), [], partial(demo.write, machines=1, days=1)

    def meet(folder):  # both have seen that there is no cache yet
        barrier.wait()
        return write(folder)

    monkeypatch.setattr(demo_folder, "write", meet)
    threads = [threading.Thread(target=lambda: folders.append(demo.cached())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert folders == [folders[0]] * 2
    assert list((tmp_path / "cache").iterdir()) == [folders[0]]
    assert (folders[0] / "Heartbeat.parquet").exists()
    monkeypatch.setattr(demo_folder, "write", None)
    assert demo.cached() == folders[0], "the third finds it"


def test_a_cache_that_cannot_be_written_moves_to_the_temporary_directory(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("AMAKIT_CACHE", str(tmp_path / "file"))
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path / "tmp"))
    monkeypatch.setattr(demo_folder, "write", partial(demo.write, machines=1, days=1))
    folder = demo.cached()
    assert Path(tmp_path / "tmp") in folder.parents
    assert (folder / "_demo.json").exists()


@pytest.fixture
def small_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("AMAKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path / "tmp"))
    monkeypatch.setattr(demo_folder, "write", partial(demo.write, machines=1, days=1))
    return demo.cached()


DAMAGE = {
    "a table is gone": lambda folder: (folder / "Perf.parquet").unlink(),
    "a table is cut": lambda folder: (folder / "Heartbeat.parquet").write_bytes(b"PAR1"),
    "a table is empty": lambda folder: (folder / "Heartbeat.parquet").write_bytes(b""),
    "another table": lambda folder: (folder / "More.parquet").write_bytes(b"x"),
    "no description": lambda folder: (folder / "_demo.json").unlink(),
    "an empty description": lambda folder: (folder / "_demo.json").write_text(""),
    "a description of another kind": lambda folder: (folder / "_demo.json").write_text("[1]"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_cache_is_made_anew(small_cache, damage):
    right = {path.name: path.stat().st_size for path in small_cache.glob("*.parquet")}
    DAMAGE[damage](small_cache)
    assert demo.cached() == small_cache
    assert {path.name: path.stat().st_size for path in small_cache.glob("*.parquet")} == right


@pytest.mark.skipif(os.name == "nt", reason="Windows has no permission bits to tell whose a folder is")
def test_a_cache_that_everybody_may_write_to_is_not_believed(small_cache):
    small_cache.parent.chmod(0o777)
    assert demo.cached().parent != small_cache.parent
