"""The inventory, asked by Microsoft's own client of a server on this machine that answers the same KQL."""

import contextlib
import json
import sys

import pandas as pd
import pytest
from click.testing import CliRunner
from resource_graph import ONE, TWO, agent, resource, served, virtual_machine

import amakit
from amakit import cli
from amakit.control_plane import connection, resource_graph
from amakit.control_plane.resource_graph import QUERIES, ResourceGraph
from amakit.errors import AmakitError, UsageError
from amakit.service import retry
from amakit.service.retry import Pace

WEB = [virtual_machine(f"web-{n}", group="Web") for n in range(5)]
ARC = resource(
    f"/subscriptions/{TWO}/resourceGroups/arc/providers/Microsoft.HybridCompute/machines/branch-1",
    "Microsoft.HybridCompute/machines",
    location="japaneast",
    properties={
        "osType": "windows",
        "vmId": "not-this",
        "vmUuid": "uuid-of-branch-1",
        "status": "Disconnected",
        "osProfile": {"computerName": "BRANCH-1"},
    },
)
SET = resource(
    f"/subscriptions/{ONE}/resourceGroups/web/providers/Microsoft.Compute/virtualMachineScaleSets/front",
    "Microsoft.Compute/virtualMachineScaleSets",
    tags={"team": "front", "env": "prod"},
    properties={
        "upgradePolicy": {"mode": "Manual"},
        "virtualMachineProfile": {
            "storageProfile": {"osDisk": {"osType": "Linux"}},
            "extensionProfile": {
                "extensions": [
                    {
                        "name": "health",
                        "properties": {"publisher": "Microsoft.ManagedServices", "type": "ApplicationHealthLinux"},
                    },
                    {
                        "name": "ama",
                        "properties": agent("/subscriptions/x")["properties"] | {"enableAutomaticUpgrade": False},
                    },
                ]
            },
        },
    },
)
INSTANCES = [
    resource(
        f"{SET['id']}/virtualMachines/{n}",
        "Microsoft.Compute/virtualMachineScaleSets/virtualMachines",
        properties={"osProfile": {"computerName": f"front00000{n}"}},
    )
    for n in range(2)
]
RESOURCES = [
    *WEB,
    agent(WEB[0]["id"], enableAutomaticUpgrade=True),
    agent(WEB[1]["id"], enableAutomaticUpgrade=False),
    agent(WEB[2]["id"], provisioningState="Failed"),
    resource(f"{WEB[3]['id']}/extensions/dep", "Microsoft.Compute/virtualMachines/extensions", properties={"publisher": "Microsoft.Azure.Monitoring.DependencyAgent", "type": "DependencyAgentLinux"}),
    ARC,
    agent(ARC["id"], "Windows", "Microsoft.HybridCompute/machines", enableAutomaticUpgrade=True),
    SET,
]  # fmt: skip


@pytest.fixture(scope="module")
def running():
    with served(RESOURCES, INSTANCES) as server:
        yield server


@pytest.fixture(autouse=True)
def still(monkeypatch):
    """No test waits, pauses are noted instead."""
    pauses = []
    monkeypatch.setattr(connection, "Patience", lambda: retry.Patience(sleep=pauses.append))
    monkeypatch.setattr(resource_graph, "pace", Pace(10**9, sleep=pauses.append))
    monkeypatch.delenv("AZURE_AUTHORITY_HOST", raising=False)
    return pauses


@pytest.fixture
def arm(running):
    return running.renew()


@pytest.fixture
def graph(arm):
    with contextlib.closing(ResourceGraph(host=arm.base)) as found:
        yield found


def refusal(status, code, message="no", **headers):
    told = {
        "error": {
            "code": "BadRequest",
            "message": "Please provide below info when asking for support: x",
            "details": [{"code": code, "message": message}],
        }
    }
    return status, json.dumps(told), {name.replace("_", "-"): value for name, value in headers.items()}


def failed(graph):
    with pytest.raises(AmakitError) as error:
        graph.inventory()
    assert "\n" not in str(error.value)
    return str(error.value)


def test_machines_and_the_agent_on_each(graph, arm):
    found = graph.inventory()
    assert graph.notes == []
    assert set(arm.authorized) == {None}
    counts = found.drop_duplicates("_ResourceId").groupby("Kind").size().to_dict()
    assert counts == {"arc": 1, "scale_set": 1, "scale_set_instance": 2, "subscription": 2, "virtual_machine": 5}
    assert found["TimeGenerated"].nunique() == 1
    assert abs(pd.Timestamp.now("UTC") - found["TimeGenerated"][0]) < pd.Timedelta(minutes=1)
    web = found[found["Kind"] == "virtual_machine"].set_index("Computer")
    assert (web["_ResourceId"] == web["_ResourceId"].str.lower()).all()
    assert web["ExtensionType"].tolist() == ["AzureMonitorLinuxAgent"] * 3 + ["", ""]
    assert web["EnableAutomaticUpgrade"].tolist() == [True, False, pd.NA, pd.NA, pd.NA]
    assert web.loc["web-2", ["ProvisioningState", "Location", "PowerState", "VMUUID"]].tolist() == [
        "Failed",
        "westeurope",
        "running",
        "vm-of-web-2",
    ]
    assert web["TimeCreated"].iloc[0] == pd.Timestamp("2025-01-02T03:04:05.678Z")
    arc = found[found["Kind"] == "arc"].iloc[0]
    assert arc[["Computer", "OSType", "VMUUID", "PowerState", "Location", "_SubscriptionId"]].tolist() == [
        "BRANCH-1",
        "Windows",
        "uuid-of-branch-1",
        "disconnected",
        "japaneast",
        TWO,
    ]
    sets = found[found["Kind"] == "scale_set"].iloc[0]
    assert sets[["UpgradePolicy", "ExtensionName", "ExtensionType"]].tolist() == [
        "Manual",
        "ama",
        "AzureMonitorLinuxAgent",
    ]
    assert not sets["EnableAutomaticUpgrade"]
    assert json.loads(sets["ResourceTags"]) == {"team": "front", "env": "prod"}
    assert found.loc[found["Kind"] == "scale_set_instance", "Computer"].tolist() == ["front000000", "front000001"]


@pytest.mark.parametrize("most", [1, 2, 3, 1000])
def test_pages_make_the_whole(most, graph, arm):
    whole = graph.inventory()
    before = len(arm.asked)
    arm.most = most
    columns = [name for name in whole if name != "TimeGenerated"]
    pd.testing.assert_frame_equal(graph.inventory()[columns], whole[columns])
    assert len(arm.asked) - before == {1: 16, 2: 9, 3: 8, 1000: 5}[most]
    assert all(one["options"]["$top"] == 1000 and one["query"].endswith("| order by id asc") for one in arm.asked)


def test_a_page_that_is_too_large_is_halved(graph, arm):
    whole = graph.inventory()
    too_large = refusal(400, "ResponsePayloadTooLarge", "Response payload size is 24813879")
    arm.fault = lambda number: too_large if arm.asked[-1]["options"]["$top"] > 200 else None
    assert len(graph.inventory()) == len(whole)
    assert {one["options"]["$top"] for one in arm.asked} == {1000, 500, 250, 125}


def test_a_page_without_rows_enough_is_asked_anew_and_in_the_end_refused(graph, arm):
    whole, lost = graph.inventory(), []

    def once(told):
        if told["data"] and not lost:
            lost.append(told["data"].pop())
        return told

    arm.change = once
    assert len(graph.inventory()) == len(whole)
    arm.change = lambda told: told | {"data": told["data"][1:]}
    assert "gave 1 of 2 rows; try again later" in failed(graph)


def test_a_row_that_comes_twice_stands_for_one_that_is_missing(graph, arm):
    arm.change = lambda told: told | {"data": [told["data"][0]] * len(told["data"])}
    assert "gave 2 of 2 rows" in failed(graph)


@pytest.mark.parametrize(("headers", "wait"), [
    ({"Retry_After": "4"}, 4), ({"x_ms_user_quota_resets_after": "00:00:05", "x_ms_user_quota_remaining": "0"}, 5), ({}, 0),
])  # fmt: skip
def test_too_many_questions_are_asked_again_when_there_is_room(headers, wait, graph, arm, still):
    whole = graph.inventory()
    begun = len(arm.asked)
    arm.fault = lambda number: refusal(429, "RateLimiting", **headers) if (number - begun) % 2 == 0 else None
    assert len(graph.inventory()) == len(whole)
    assert len(still) == 5
    assert min(still) >= wait


def test_where_the_quota_is_used_up_the_next_question_waits(graph, arm, still):
    arm.headers = {"x-ms-user-quota-remaining": "3", "x-ms-user-quota-resets-after": "00:00:03"}
    graph.inventory()
    assert still == []
    arm.headers["x-ms-user-quota-remaining"] = "0"
    graph.inventory()
    assert still == [3.0] * 4


def test_what_may_not_be_read_is_missing_and_said(arm):
    arm.readable = {ONE}
    with contextlib.closing(ResourceGraph([ONE, TWO.upper()], host=arm.base)) as graph:
        found = graph.inventory()
    assert set(found["_SubscriptionId"]) == {ONE}
    assert [note.partition(":")[0] for note in graph.notes] == [f"subscription {TWO} gave nothing"]
    assert all(one["subscriptions"] == [ONE, TWO] for one in arm.asked)


def test_where_nothing_may_be_read_there_is_no_inventory(arm):
    arm.readable = set()
    with contextlib.closing(ResourceGraph(host=arm.base)) as graph:
        assert "holds no subscription that you may read" in failed(graph)
    assert all(one.get("subscriptions") is None for one in arm.asked)


def test_many_subscriptions_are_asked_for_in_parts(arm):
    others = [f"00000000-0000-0000-0000-{n:012x}" for n in range(1200)]
    with contextlib.closing(ResourceGraph([ONE, *others, TWO], host=arm.base)) as graph:
        assert set(graph.inventory()["_SubscriptionId"]) == {ONE, TWO}
    assert sorted(len(one["subscriptions"]) for one in arm.asked) == [202] * 5 + [1000] * 5


def test_a_cloud_that_has_no_instances_of_scale_sets_has_the_rest(graph, arm):
    wrong = refusal(400, "InvalidQuery", "'computeresources' is not a table")
    arm.fault = lambda number: wrong if arm.asked[-1]["query"].startswith("computeresources") else None
    assert "scale_set_instance" not in set(graph.inventory()["Kind"])
    assert graph.notes == [
        "instances of scale sets are left out: Resource Graph refused the question: 'computeresources' is not a table "
        "(InvalidQuery)"
    ]
    arm.fault = lambda number: wrong
    assert "refused the question" in failed(graph)


REFUSED = {
    "no right": (refusal(403, "AccessDenied"), "does not let you read this; ask its owner for the role Reader"),
    "another tenant": (refusal(401, "InvalidAuthenticationTokenTenant", "wrong issuer"), "az login --tenant TENANT"),
    "all of a large tenant": (refusal(400, "TooManySubscriptionsUnderScope"), "name yours with --subscription"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_refusal_is_a_sentence_and_not_asked_again(case, graph, arm):
    fault, sentence = REFUSED[case]
    arm.fault = lambda number: fault
    assert sentence in failed(graph)
    assert len(arm.asked) == 1


def test_a_tenant_that_is_cut_at_its_subscriptions_is_no_whole(graph, arm):
    arm.headers = {"x-ms-tenant-subscription-limit-hit": "true"}
    assert "name yours with --subscription" in failed(graph)


@pytest.mark.parametrize(
    "body", ["", "{}", "null", "<html>", '{"data": [null]}', '{"data": [{"a": 1}], "totalRecords": 1}']
)
def test_what_is_no_answer_is_asked_again(body, graph, arm):
    whole = graph.inventory()
    begun = len(arm.asked)
    arm.fault = lambda number: (200, body, {}) if number == begun + 1 else None
    assert len(graph.inventory()) == len(whole)
    assert len(arm.asked) == begun + 6


def test_wrong_use_and_a_stranger_who_wants_a_token():
    with pytest.raises(UsageError, match="is no id"):
        ResourceGraph(["ops"])
    with pytest.raises(UsageError, match="no token is sent there"):
        ResourceGraph(host="management.example.com")


def test_without_the_extra_a_sentence_says_what_to_install(graph, monkeypatch):
    monkeypatch.setitem(sys.modules, "azure.mgmt.resourcegraph", None)
    monkeypatch.setitem(sys.modules, "azure.mgmt.resourcegraph.models", None)
    assert "pip install amakit[control-plane]" in failed(graph)


def test_the_official_parser_takes_what_is_asked(kql_parser):
    columns = dict.fromkeys(("id", "type", "name", "subscriptionId", "location"), "string")
    columns |= {"tags": "dynamic", "properties": "dynamic"}
    kql_parser.know(dict.fromkeys(("resources", "resourcecontainers", "computeresources"), columns))
    for name, kql in QUERIES.items():
        assert kql_parser.check(f"{kql}\n| order by id asc")["diagnostics"] == [], name


def test_the_command_writes_a_table_that_check_lists_and_writes_it_again(arm, tmp_path):
    for _ in range(2):
        done = CliRunner().invoke(cli.main, ["inventory", str(tmp_path), "--endpoint", arm.base])
        assert done.exit_code == 0, done.output
    assert done.stdout.split() == [str(tmp_path / "AgentInventory" / "inventory.parquet")]
    lines = done.stderr.splitlines()
    assert lines[0].endswith(": 9 machines, scale sets and instances, 5 with the agent's extension")
    assert lines[1:] == [f"subscription {ONE}: 8", f"subscription {TWO}: 1"]
    with amakit.connect(tmp_path) as logs:
        of_sets = logs.query("AgentInventory | where ResourceTags.env == 'prod' | project UpgradePolicy")
        assert of_sets["UpgradePolicy"].tolist() == ["Manual"]
        assert logs.query("AgentInventory | where EnableAutomaticUpgrade == false | count")["Count"].tolist() == [2]
    shown = CliRunner().invoke(cli.main, ["check", str(tmp_path)])
    assert "AgentInventory" in shown.stdout
    assert "no table of Log Analytics" not in shown.stdout
