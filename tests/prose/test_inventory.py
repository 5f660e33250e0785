"""What pages say of an inventory: only where there is one, only what it has, and of when it is."""

import json

import pandas as pd
import pytest
from incident import RG, analysis, outage, page_of

from amakit.facts.gather import gather
from amakit.prose.incident import document
from amakit.prose.record import record
from amakit.prose.ticket import ticket

TAKEN = "2026-03-03 06:00"


def row(computer, **columns):
    usual = {
        "resource_id": RG + computer,
        "computer": computer,
        "kind": "virtual_machine",
        "region": "westeurope",
        "os_type": "Linux",
        "power_state": "running",
        "extension": "ama",
        "automatic_upgrade": True,
        "provisioning_state": "Succeeded",
        "upgrade_policy": "",
        "taken": pd.Timestamp("2026-03-03 06:00", tz="UTC"),
        "listed": True,
        "heard": True,
        "resource_tags": "",
        "version_asked": "1.0",
    }
    return usual | columns


SILENT = outage("gone", "10:00:00", None, "unexplained")
STUCK = outage("stuck", "11:00:00", None, "unexplained")
ROWS = [
    row("web"), row("stuck", provisioning_state="Failed"), row("gone", listed=False, extension=""),
    row("mute", heard=False), row("off", heard=False, power_state="deallocated"), row("bare", heard=False, extension=""),
    row("later", heard=False, created=pd.Timestamp("2026-03-03 02:00", tz="UTC")),
]  # fmt: skip
FOUND = analysis([SILENT, STUCK], spare=["web"], inventory=ROWS)


def page(found, language="en"):
    return page_of(found, "incident", language)


@pytest.mark.parametrize("language", ["en", "ja"])
def test_without_an_inventory_no_word_of_it(language):
    without = analysis([SILENT, STUCK], spare=["web"])
    told = page(without, language)
    said = " ".join(told[part] for part in ("verdict", "limits", "actions")) + ticket(told)
    assert "nventory" not in said
    assert "インベントリ" not in said
    known = json.loads(document(without))
    assert "inventory" not in known
    assert known["counts"]["unheard"] is None


def test_what_to_do_names_who_never_reported_and_whose_extension_failed():
    kinds = {one["kind"]: one for one in gather(FOUND).actions}
    assert kinds["unheard"]["machines"] == ["mute", "off"]
    assert kinds["unheard"]["off"] == 1
    assert kinds["provisioning"]["machines"] == ["stuck"]
    said = page(FOUND).plain("actions")
    assert f"from mute, off: by the inventory of {TAKEN} the agent's extension is on them" in said
    assert "Not running then: 1." in said
    assert f"extension on stuck: by the inventory of {TAKEN} the last operation on it had failed" in said
    assert "removed since" not in said
    early = analysis([], spare=["web"], inventory=[row("web"), row("mute", heard=False)])
    early.run["inventory"][0]["taken"] = "2026-03-02T06:00:00Z"
    assert "or the machine has been removed since." in page(early).plain("actions")
    assert "その後にマシンが削除されている" in page(early, "ja").plain("actions")
    running = analysis([], spare=["web"], inventory=[row("web"), row("mute", heard=False)])
    assert "Not running" not in page(running).plain("actions")
    assert [one["kind"] for one in gather(running).actions] == ["unheard"]


def test_a_table_tells_regions_where_an_inventory_does_and_subscriptions_where_there_are_several():
    def headings(found):
        return [name for name in page(found).tables["timeline"] if name in ("resource group", "subscription", "region")]

    assert headings(analysis([SILENT, STUCK], spare=["web"])) == ["resource group"]
    assert headings(FOUND) == ["resource group", "region"]
    assert set(page(FOUND).tables["timeline"]["region"]) == {"westeurope"}
    far = SILENT | {"resource_id": "/subscriptions/2" + RG.removeprefix("/subscriptions/0") + "gone"}
    several = analysis([far, STUCK], spare=["web"])
    assert headings(several) == ["resource group", "subscription"]
    assert page(several).tables["timeline"]["subscription"].to_dict() == {"gone": "2", "stuck": RG.split("/")[2]}


def test_the_next_step_of_a_silent_machine_is_that_of_the_inventory():
    told = page(FOUND).plain("verdict")
    assert f"it is not in the inventory of {TAKEN}, look whether it still exists" in told
    assert f"look at the extension: it had failed to provision by the inventory of {TAKEN}" in told
    assert f"not in the inventory of {TAKEN}" in ticket(page(FOUND))
    steps = {one["machine"]: one["step"] for one in record(gather(FOUND))["situation"]["down"]}
    assert steps == {"gone": "unlisted", "stuck": "provisioning"}
    failed = analysis([outage("gone", "10:00:00", None, "rollback_failed")], inventory=[row("gone", listed=False)])
    assert record(gather(failed))["situation"]["down"][0]["step"] == "support"  # what is sure comes first


@pytest.mark.parametrize("language", ["en", "ja"])
def test_nobody_says_that_nothing_is_to_be_done_where_the_inventory_names_somebody(language):
    nothing = {"en": "Nothing is to be done", "ja": "対応は不要です"}[language]
    calm = analysis([], spare=["web"], inventory=[row("web")])
    assert nothing in page(calm, language).plain("headline")
    for one in (row("mute", heard=False), row("web", provisioning_state="Failed")):
        found = page(analysis([], spare=["web"], inventory=[row("web"), one]), language)
        assert nothing not in found.plain("headline")
        assert TAKEN in found.plain("headline")
    assert "by the inventory of 2026-03-03 06:00 2 machines should" not in page(FOUND).plain(
        "headline"
    )  # who is down comes first


def test_limits_say_of_when_the_inventory_is_and_whom_it_has_not():
    said = page(FOUND).plain("limits")
    assert (
        f"The inventory of 1 subscription was taken at {TAKEN}, and tells nothing of earlier or later. It has no gone, which reported before: deleted or moved since, or hidden from whoever took it."
        in said
    )
    every = analysis([], spare=["web"], inventory=[row("web")])
    assert "It has no" not in page(every).plain("limits")
    assert f"taken at {TAKEN}" in page(every).plain("limits")


def test_the_document_has_the_facts():
    known = json.loads(document(FOUND))
    stock = known["inventory"]
    assert (stock["taken"], stock["subscriptions"], stock["agents"]) == ("2026-03-03T06:00:00Z", 1, 5)
    names = {part: [one["machine"] for one in stock[part]] for part in ("unheard", "failed", "opted_out", "unlisted")}
    assert names == {"unheard": ["mute", "off"], "failed": ["stuck"], "opted_out": [], "unlisted": ["gone"]}
    assert stock["unheard"][0] == {"machine": "mute", "group": "rg", "region": "westeurope", "power_state": "running"}
    assert known["counts"]["unheard"] == 2


@pytest.mark.parametrize("part", ["verdict", "limits", "actions"])
def test_in_japanese_the_instant_stands_as_well(part):
    assert "2026-03-03 06:00 のインベントリ" in page(FOUND, "ja").plain(
        part
    ) or "インベントリは 2026-03-03 06:00" in page(FOUND, "ja").plain(part)
