"""One table that is refused is missing evidence with its reason; only Heartbeat is indispensable."""

import json
import re

import pandas as pd
import pytest
from faulty import said
from fleet import at, write
from inventories import known, subscription, vm
from served_fleet import END, OPS, START, la_error, one_sentence, run

import amakit
from amakit.errors import Refused
from amakit.schemas import tables

#: Tables that an analysis reads beside Heartbeat; the service has rows of the first two.
OTHERS = ("Event", "Perf", "Syslog", "SecurityEvent", "WindowsEvent", "AMAHealth", "AzureActivity", "InsightsMetrics",
          "ConfigurationData", "Operation", "AppLog_CL")  # fmt: skip
_LINE = {"TimeGenerated": "datetime", "Computer": "string", "_ResourceId": "string", "RawData": "string"}
LISTED = {table: tables().get(table, _LINE) for table in OTHERS[2:]}


def refusal(kind, table):
    """Give what the service says of one table, nested as it nests it."""
    unresolved = f"'where' operator: Failed to resolve table or column expression named '{table}'"
    status, body = {
        "no right": (
            403,
            la_error("InsufficientAccessError", f"The provided credentials have insufficient access to table {table}"),
        ),
        "plan": (400, la_error("BadArgumentError", f"Table {table} is on the Basic plan and cannot be queried here")),
        "no table": (
            400,
            json.dumps(
                {
                    "error": {
                        "message": "The request had some invalid properties",
                        "code": "BadArgumentError",
                        "innererror": {
                            "code": "SemanticError",
                            "message": "A semantic error occurred.",
                            "information": {
                                "details": json.dumps(
                                    {"error": {"innererror": {"code": "SEM0100", "message": unresolved}}}
                                )
                            },
                        },
                    }
                }
            ),
        ),
    }[kind]
    return said(status, body)


def reads(text, table):
    return re.search(rf"(?<![\w\"' ]){table}\b|\['{table}'\]", text) is not None


def refusing(kind, *refused):
    return lambda number, text: next((refusal(kind, table) for table in refused if reads(text, table)), None)


KINDS = ("no right", "plan", "no table")
WORDS = {"no right": "does not let you read it", "plan": "Basic or Auxiliary plan", "no table": "has no table"}


@pytest.fixture
def listing(cloud):
    cloud.listed = LISTED
    return cloud


@pytest.mark.parametrize(("kind", "table"), [("plan", "Event"), ("no right", "Perf"), ("no table", "AppLog_CL")])
def test_one_table_that_is_refused_is_missing_evidence_with_its_reason(cloud, expected, kind, table):
    cloud.listed = {table: _LINE} if table == "AppLog_CL" else {}
    cloud.fault = refusing(kind, table)
    with amakit.connect(OPS) as workspace:
        found = amakit.analyze(workspace, START, END)
    assert set(found.run["refused"]) == {table}
    assert WORDS[kind] in one_sentence(found.run["refused"][table])
    assert OPS not in found.run["refused"][table]  # it stands on pages that are given away
    assert table in found.run["missing_tables"]
    assert found.run["coverage"][table]["missing"] == found.run["refused"][table]
    assert found.transitions["computer"].tolist() == expected.transitions["computer"].tolist()
    for frame, own in ((found.gaps, expected.gaps), (found.events, expected.events)):
        assert set(frame["data_type"]) == set(own["data_type"]) - {table}


@pytest.mark.parametrize("kind", KINDS)
def test_with_heartbeat_alone_check_and_analyze_say_the_same(listing, expected, kind, tmp_path):
    listing.fault = refusing(kind, *OTHERS)
    checked = run("check", OPS)
    done = run("analyze", OPS, "--start", START, "--end", END, "--out", tmp_path)
    assert (checked.exit_code, done.exit_code) == (0, 0), checked.output + done.output
    told = {
        line.split()[1].rstrip(":") for line in checked.stdout.splitlines() if re.match(rf"no .*{WORDS[kind]}", line)
    }
    said_at_end = {line.split()[1] for line in done.stderr.splitlines() if "missing evidence" in line}
    refused = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))["refused"]
    # of inventories and of the workspace's own messages only those are asked that something happened for
    assert set(refused) == said_at_end == set(OTHERS) - ({"Operation"} - set(refused))
    assert told >= said_at_end - {"Operation"}
    machines = pd.read_csv(tmp_path / "machines.csv")
    assert machines["computer"].tolist() == expected.machines["computer"].tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_heartbeat_is_indispensable_and_the_sentence_says_so(cloud, kind):
    cloud.fault = refusing(kind, "Heartbeat")
    with amakit.connect(OPS) as workspace, pytest.raises(Refused) as caught:
        amakit.analyze(workspace, START, END)
    assert one_sentence(str(caught.value)).endswith("Heartbeat is the one table that an analysis cannot do without")
    assert "no Heartbeat: " in (checked := run("check", OPS)).stdout, checked.output


def test_columns_that_cannot_be_asked_for_are_let_pass_where_that_is_allowed(service, expected):
    service.fault = lambda number, text: "broken" if "['Perf'] | getschema" in text else None
    with amakit.connect(service.address) as workspace, pytest.raises(amakit.AmakitError, match="columns of Perf"):
        amakit.analyze(workspace, START, END)
    with amakit.connect(service.address) as workspace:
        found = amakit.analyze(workspace, START, END, allow_unknown=True)
    assert list(found.run["refused"]) == ["Perf"]
    assert found.outages["computer"].tolist() == expected.outages["computer"].tolist()


def test_a_snapshot_goes_without_a_table_that_is_refused(listing, tmp_path):
    listing.fault = refusing("no right", *OTHERS)
    done = run("snapshot", OPS, tmp_path / "taken", "--start", "2026-03-03T09:30", "--end", "2026-03-03T11:00")
    assert done.exit_code == 0, done.output
    manifest = json.loads((tmp_path / "taken" / "manifest.json").read_text(encoding="utf-8"))
    assert {"Event", "Perf", "AzureActivity"} <= set(manifest["missing_tables"])
    with amakit.connect(tmp_path / "taken") as copy:
        found = amakit.analyze(copy)
    assert {"Event", "Perf"} <= set(found.run["missing_tables"])
    assert len(found.transitions) == 1


@pytest.fixture
def aside(tmp_path):
    """What `amakit activity` and `amakit inventory` put into a folder; one machine was stopped, another never reported."""
    operation = "MICROSOFT.COMPUTE/VIRTUALMACHINES/EXTENSIONS/WRITE"
    target = "/subscriptions/0/resourceGroups/rg/VM/web-01"
    acts = pd.DataFrame(
        {
            "TimeGenerated": [at("2026-03-03 10:00:10"), at("2026-03-03 10:04:00")],
            "OperationNameValue": operation,
            "ActivityStatusValue": ["Start", "Success"],
            "_ResourceId": f"{target}/extensions/AzureMonitorWindowsAgent",
            "ResourceId": f"{target}/extensions/AzureMonitorWindowsAgent",
            "Caller": "somebody",
            "CorrelationId": "c",
        }
    )
    stock = pd.DataFrame(
        [subscription("/subscriptions/0"), known(target.lower()), known(vm("mute", "/subscriptions/0"))]
    )
    return write(
        tmp_path / "aside", AzureActivity=acts, AgentInventory=stock.astype({"EnableAutomaticUpgrade": "boolean"})
    )


def test_tables_of_the_control_plane_may_lie_in_a_folder_beside_the_service(cloud, aside, tmp_path):
    done = run("analyze", OPS, "--start", START, "--end", END, "--control-plane", aside, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert record["control_plane"] == "aside"
    assert "AzureActivity" not in record["missing_tables"]
    assert record["inventory"] == [{"subscription": "0", "taken": "2026-03-03T06:00:00Z"}]
    assert not any("AzureActivity" in text or "AgentInventory" in text for text in cloud.asked)
    rows = {query["name"]: query["rows"] for query in record["queries"]}
    assert (rows["activity"], rows["agent_inventory"]) == (2, 3)
    away = pd.read_csv(tmp_path / "out" / "outages.csv")
    assert away["evidence"].str.contains("activity log").tolist() == [name == "web-01" for name in away["computer"]]
    stock = pd.read_csv(tmp_path / "out" / "inventory.csv")
    assert stock.set_index("computer")["heard"].to_dict() == {"mute": False, "web-01": True}


def test_what_lies_beside_a_service_must_be_of_the_control_plane(cloud, folder, tmp_path):
    for given, told in ((tmp_path / "none", "is no folder"), (folder, "has neither AgentInventory nor AzureActivity")):
        done = run("analyze", OPS, "--start", START, "--end", END, "--control-plane", given, "--out", tmp_path / "out")
        assert done.exit_code == 1
        assert told in one_sentence(done.stderr.strip())
    done = run("analyze", folder, "--start", START, "--end", END, "--control-plane", folder, "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert "leave --control-plane out" in one_sentence(done.stderr.strip())
    assert not (tmp_path / "out").exists()
