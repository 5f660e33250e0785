"""By which names the clouds and their login hosts are known."""

import pytest
from served_fleet import OPS, run

from amakit.service.sign_in.clouds import cloud_of


@pytest.mark.parametrize(
    ("host", "cloud"),
    [
        ("login.windows.net", "public"),
        ("https://login.microsoft.com/", "public"),
        ("login-us.microsoftonline.com", "usgov"),
    ],
)
def test_other_names_of_the_login_hosts_are_known(host, cloud):
    assert cloud_of("", {"AZURE_AUTHORITY_HOST": host}) == cloud


@pytest.mark.parametrize(
    "login", ["https://login.windows.net/", "https://login.microsoftonline.com/", "https://LOGIN.windows.net"]
)
def test_an_endpoint_may_name_its_login_host_by_an_alias(cloud, login):
    cloud.metadata = {
        "AzureAD": {
            "LoginEndpoint": login,
            "LoginMfaRequired": False,
            "KustoClientAppId": "x",
            "KustoClientRedirectUri": "x",
            "FirstPartyAuthorityUrl": "x",
            "KustoServiceResourceId": "https://kusto.kusto.windows.net",
        }
    }
    done = run("query", OPS, "Heartbeat | count")
    assert done.exit_code == 0, done.output
