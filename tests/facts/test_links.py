"""Links into the portal: of real machines, into the right cloud, and never where names are pseudonyms."""

from dataclasses import replace

import pytest
from incident import analysis, outage, page_of

from amakit.prose.ticket import ticket
from amakit.report.tables import Table
from amakit.share.pseudonyms import anonymised

ID = "/subscriptions/0b1e2d3c-4a5f-4687-9a0b-c0de00000001/resourcegroups/rg (east)/providers/microsoft.compute/virtualmachines/a"
SHOWN = ID.replace("rg (east)", "rg%20%28east%29")


def incident(cloud="public", synthetic=False, resource=ID, key=None):
    given = analysis([outage("a", "20:00:00", "", "rollback_failed", resource=resource)])
    given = replace(given, run=given.run | {"cloud": cloud, "synthetic": synthetic})
    return page_of(anonymised(given, key) if key else given, "incident")


@pytest.mark.parametrize("cloud", ["public", "usgov", "china"])
def test_a_machine_leads_to_its_resource_in_its_cloud(cloud):
    host = {"public": "portal.azure.com", "usgov": "portal.azure.us", "china": "portal.azure.cn"}[cloud]
    page, address = incident(cloud), f"https://{host}/#@/resource{SHOWN}"
    assert f"**[a]({address})** (rg (east)), nothing since" in page["verdict"]
    assert f"[a]({address})" in ticket(page)
    shown = Table(page.tables["timeline"], links=page.links)._repr_mimebundle_()
    assert f'<th scope="row" class="short"><a href="{address}" rel="noreferrer">a</a></th>' in shown["text/html"]
    assert f"| [a]({address}) |" in shown["text/markdown"]
    assert "https" not in page.plain("verdict")


@pytest.mark.parametrize(
    "given",
    [
        {"synthetic": True},
        {"cloud": ""},
        {"resource": ""},
        {"resource": "/subscriptions/0/resourcegroups/rg/providers/x"},
        {"resource": ID.replace("/subscriptions", "/x")},
        {"key": b"key"},
    ],
)
def test_what_is_made_up_unknown_or_a_pseudonym_leads_nowhere(given):
    page = incident(**given)
    assert page.links == {}
    assert "](" not in page["verdict"] + ticket(page)
    assert "<a " not in Table(page.tables["timeline"], links=page.links)._repr_mimebundle_()["text/html"]
