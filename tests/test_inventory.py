"""The inventory beside the machines that report: found by id, by set and name, by hardware; and what follows."""

import json

import pandas as pd
import pytest
from fleet import analyzed, at, write
from inventories import END, LATER, OTHER, SET, START, SUB, beating, found_in, known, subscription, vm

import amakit
from amakit import inventory
from amakit.share.pseudonyms import anonymised


def test_machines_that_report_are_found_and_those_that_should_are_named(tmp_path):
    beats = [
        beating("web-1"),
        beating("WEB-2"),
        beating("moved", VMUUID="HW-1"),
        beating("gone", end="2026-03-02T12:00"),
    ]
    found = found_in(
        tmp_path,
        beats,
        [
            subscription(),
            known(vm("web-1"), ResourceTags=json.dumps({"env": "prod"})),
            known(vm("web-2"), EnableAutomaticUpgrade=False),
            known(vm("now-elsewhere"), "moved", VMUUID="hw-1", ProvisioningState="Failed"),
            known(vm("mute"), Location="japaneast"),
            known(vm("off"), PowerState="deallocated"),
            known(vm("bare"), agent=False),
            known(vm("later"), TimeCreated=at("2026-03-03T01:00").tz_localize(None)),
        ],
    )
    stock = found.inventory.set_index("computer")
    assert stock["heard"].to_dict() == {
        "bare": False,
        "gone": True,
        "later": False,
        "moved": True,
        "mute": False,
        "off": False,
        "web-1": True,
        "web-2": True,
    }
    assert stock["listed"].to_dict() == dict.fromkeys(stock.index, True) | {"gone": False}
    assert stock.loc["moved", ["resource_id", "region"]].tolist() == [vm("moved"), "westeurope"]
    assert json.loads(stock.loc["web-1", "resource_tags"]) == {"env": "prod"}
    horizon = pd.Timestamp(found.run["horizon"])
    assert inventory.unheard(found.inventory, horizon)["computer"].tolist() == ["mute", "off"]
    assert inventory.failed(found.inventory)["computer"].tolist() == ["moved"]
    assert inventory.unlisted(found.inventory)["computer"].tolist() == ["gone"]
    assert inventory.automatic(found.inventory)[[(vm("web-1"), "web-1"), (vm("web-2"), "web-2")]].tolist() == [
        True,
        False,
    ]
    notes = found.machines.set_index("computer")["note"]
    assert notes.to_dict() == dict.fromkeys(["moved", "web-1", "web-2"], "") | {
        "gone": "not in the inventory of 2026-03-03T06:00:00Z"
    }
    assert found.run["inventory"] == [{"subscription": SUB.split("/")[2], "taken": "2026-03-03T06:00:00Z"}]
    names = {path.name for path in found.save(tmp_path / "out")}
    assert "inventory.csv" in names
    read = pd.read_csv(tmp_path / "out" / "inventory.csv")
    assert read.loc[read["computer"] == "gone", "taken"].tolist() == ["2026-03-03T06:00:00Z"]


@pytest.mark.parametrize("taken", ["2026-03-01", "2026-03-02T11:00"])
def test_an_inventory_says_nothing_of_what_came_after_it(taken, tmp_path):
    found = found_in(
        tmp_path,
        [beating("web-1"), beating("gone", end="2026-03-02T12:00")],
        [subscription(taken=taken), known(vm("web-1"), taken=taken)],
    )
    assert inventory.unlisted(found.inventory).empty
    assert set(found.machines["note"]) == {""}


def test_nothing_is_said_of_a_subscription_that_was_not_read(tmp_path):
    beats = [
        beating("web-1"),
        beating("far", end="2026-03-02T12:00", resource=vm("far", OTHER)),
        beating("own", end="2026-03-02T12:00", resource="/subscriptions/11111111-1111-1111-1111-111111111111/x"),
    ]
    found = found_in(tmp_path, beats, [subscription(), known(vm("web-1"))])
    assert found.inventory["computer"].tolist() == ["web-1"]


def test_instances_of_a_scale_set_have_what_its_model_says(tmp_path):
    beats = [beating(f"front00000{n}", resource=SET, end="2026-03-02T12:00" if n == 2 else END) for n in range(3)]
    beats[1]["Computer"] = "front000001.corp.example"
    model = known(SET, kind="scale_set", UpgradePolicy="Manual", EnableAutomaticUpgrade=False, Computer="")
    by_set = found_in(tmp_path / "a", beats, [subscription(), model]).inventory
    assert by_set["computer"].tolist() == ["front000000", "front000001.corp.example", "front000002"]
    assert by_set["listed"].all()
    instances = [
        known(f"{SET}/virtualmachines/{n}", f"front00000{n}", "scale_set_instance", agent=False) for n in (0, 1, 7)
    ]
    found = found_in(tmp_path / "b", beats, [subscription(), model, *instances])
    told = found.inventory.set_index("computer")
    assert told["kind"].to_dict() == dict.fromkeys(
        ["front000000", "front000001.corp.example", "front000007"], "scale_set_instance"
    ) | {"front000002": ""}
    assert told["heard"].to_dict() == dict.fromkeys(
        ["front000000", "front000001.corp.example", "front000002"], True
    ) | {"front000007": False}
    assert set(told.loc[told["listed"], "upgrade_policy"]) == {"Manual"}
    assert told.loc["front000002", "listed"] == False  # noqa: E712
    assert inventory.unheard(found.inventory, at(END))["computer"].tolist() == ["front000007"]


def test_of_two_inventories_the_newer_counts_for_each_subscription(tmp_path):
    old, new = "2026-03-03T04:00", LATER
    found = found_in(
        tmp_path,
        [beating("web-1"), beating("far", resource=vm("far", OTHER))],
        [
            subscription(taken=old),
            known(vm("web-1"), taken=old),
            known(vm("mute"), taken=old),
            subscription(taken=new),
            known(vm("web-1"), taken=new, EnableAutomaticUpgrade=False),
            subscription(OTHER, old),
            known(vm("far", OTHER), taken=old),
        ],
    )
    assert found.inventory[["computer", "automatic_upgrade"]].to_numpy().tolist() == [["far", True], ["web-1", False]]
    assert [one["taken"] for one in found.run["inventory"]] == ["2026-03-03T06:00:00Z", "2026-03-03T04:00:00Z"]


def test_of_machines_that_were_asked_for_no_other_is_told(tmp_path):
    rows = [subscription(), known(vm("web-1")), known(vm("web-2")), known(vm("mute"))]
    found = found_in(tmp_path, [beating("web-1"), beating("web-2")], rows, ["WEB-1"])
    assert found.inventory["computer"].tolist() == ["web-1"]
    assert found.inventory["heard"].tolist() == [True]


def test_without_an_inventory_nothing_is_said(tmp_path):
    found = analyzed(tmp_path / "logs", START, END, Heartbeat=[beating("web-1"), beating("web-2")])
    assert found.inventory.empty
    assert "inventory" not in found.run
    assert "inventory.csv" not in {path.name for path in found.save(tmp_path / "out")}


def test_with_pseudonyms_it_tells_the_same_of_nobody(tmp_path):
    found = found_in(
        tmp_path,
        [beating("web-1"), beating("gone-9", end="2026-03-02T12:00")],
        [
            subscription(),
            known(vm("web-1"), ResourceTags=json.dumps({"owner": "Jane Doe"})),
            known(vm("mute-7"), ExtensionName="AzureMonitorLinuxAgent", ProvisioningState="Failed"),
        ],
    )
    nobody = anonymised(found, b"key")
    horizon = pd.Timestamp(found.run["horizon"])
    before, after = (
        inventory.summary(one.inventory, one.run["inventory"], one.machines, horizon) for one in (found, nobody)
    )
    assert {part: len(before[part]) for part in ("unheard", "failed", "unlisted")} == {
        "unheard": 1,
        "failed": 1,
        "unlisted": 1,
    }
    assert {name: len(part) if isinstance(part, list) else part for name, part in before.items()} == {
        name: len(part) if isinstance(part, list) else part for name, part in after.items()
    }
    told = nobody.inventory.to_csv() + json.dumps([after, nobody.run])
    assert not [name for name in ("Jane", "web-1", "mute-7", "gone-9", "11111111-1111") if name in told]
    assert set(nobody.inventory["region"]) == {"", "westeurope"}


def test_it_comes_back_from_the_cache_as_it_was(tmp_path, monkeypatch):
    monkeypatch.setenv("AMAKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("AMAKIT_NO_CACHE", raising=False)
    first = found_in(tmp_path, [beating("web-1")], [subscription(), known(vm("web-1")), known(vm("mute"))])
    with amakit.connect(tmp_path / "logs") as logs:
        again = amakit.analyze(logs, START, END)
        assert logs.log == []
    pd.testing.assert_frame_equal(first.inventory, again.inventory)
    assert again.run["inventory"] == first.run["inventory"]


def test_agent_inventory_equals_pandas(tmp_path):
    rows = [
        subscription(),
        known(
            vm("Web-1").upper(),
            "WEB-1",
            ResourceTags='{"a":1}',
            PowerState="Running",
            VMUUID="HW",
            AutoUpgradeMinorVersion=True,
        ),
        known(SET, kind="scale_set", agent=False),
    ]
    frame = pd.DataFrame(rows).astype({"EnableAutomaticUpgrade": "boolean", "AutoUpgradeMinorVersion": "boolean"})
    with amakit.connect(write(tmp_path / "logs", AgentInventory=frame)) as logs:
        answer = logs.ask("agent_inventory")
    names = {
        "TimeGenerated": "Taken",
        "_ResourceId": "ResourceId",
        "_SubscriptionId": "Subscription",
        "VMUUID": "Vm",
        "Location": "Region",
        "PowerState": "Power",
        "UpgradePolicy": "Policy",
        "ExtensionName": "Extension",
        "TypeHandlerVersion": "Wanted",
        "AutoUpgradeMinorVersion": "Minor",
        "EnableAutomaticUpgrade": "Automatic",
        "ProvisioningState": "Provisioning",
    }
    expected = frame.rename(columns=names).assign(Created=pd.NaT).fillna({"Wanted": ""})
    for column in ("ResourceId", "Computer", "Vm", "Power"):
        expected[column] = expected[column].str.lower()
    pd.testing.assert_frame_equal(answer, expected[list(answer.columns)], check_dtype=False)
