"""Why nobody is signed in, in one sentence each; and in which tenant tokens are asked for."""

import pytest
from azure.core.exceptions import ClientAuthenticationError
from served_fleet import OPS, TOKEN, FakeCredential, one_sentence, run

import amakit
from amakit.errors import UsageError
from amakit.service.sign_in.credentials import CachedCredential, credential, not_signed_in

SAID = {
    "a new password": ("AADSTS50173: The provided grant has expired due to it being revoked", "revoked", "sign in again"),
    "an unknown service": ("AADSTS500011: The resource principal named https://kusto.kusto.windows.net was not found in the tenant named X",
                           "--tenant", "az ad sp create --id 2746ea77-4702-4b45-80ca-3c97e680e8b7", "--transport logs"),
    "a second factor": ("AADSTS50076: you must use multi-factor authentication", "az login --scope https://kusto.kusto.windows.net/.default"),
    "a second factor, new": ("AADSTS50079: the user is required to use multi-factor authentication", "az login --scope"),
    "Conditional Access": ("AADSTS53003: Access has been blocked by Conditional Access policies", "Conditional Access", "--transport logs"),
    "consent": ("AADSTS65001: The user or administrator has not consented", "administrator must"),
    "a token too old": ("AADSTS700082: The refresh token has expired due to inactivity", "has ended", "sign in again"),
    "no federation": ("AADSTS70021: No matching federated identity record found", "federated credential"),
    "no federated subject": ("AADSTS700213: No matching federated identity record found for presented assertion subject", "federated credential"),
    "an assertion too old": ("AADSTS700024: Client assertion is not within its valid time range", "for minutes"),
    "a slow az": ("Failed to invoke the Azure CLI", "az was slow", "60 seconds"),
    "another tenant": ("AADSTS90072: User account does not exist in tenant", "another tenant", "--tenant"),
    "a wrong secret": ("AADSTS7000215: Invalid client secret provided", "--credential"),
}  # fmt: skip
CHAIN = """DefaultAzureCredential failed to retrieve a token from the included credentials.
Attempted credentials:
\tEnvironmentCredential: EnvironmentCredential authentication unavailable.
\tManagedIdentityCredential: no response from the IMDS endpoint.
\tAzureCliCredential: {}
\tAzurePowerShellCredential: PowerShell is not installed
To mitigate this issue, please refer to the troubleshooting guidelines"""


@pytest.mark.parametrize("case", SAID)
@pytest.mark.parametrize("form", ["{}", CHAIN])
def test_what_the_sign_in_says_is_a_sentence_wherever_it_stands(case, form):
    words, *advice = SAID[case]
    error = ClientAuthenticationError(form.format(words))
    text = one_sentence(str(not_signed_in("Ops", error, "https://kusto.kusto.windows.net/.default")))
    assert all(one in text for one in advice), text
    code = words.partition(":")[0]
    assert not code.startswith("AADSTS") or f"({code})" in text


def test_without_a_code_the_way_that_people_use_tells_why():
    text = str(
        not_signed_in("Ops", ClientAuthenticationError(CHAIN.format("Please run 'az login' to set up an account")))
    )
    assert "AzureCliCredential: Please run 'az login'" in one_sentence(text)


def test_tokens_are_asked_for_in_the_tenant_that_is_named(cloud, monkeypatch):
    asked = []

    class Asked(FakeCredential):
        def get_token(self, *scopes, **options):
            asked.append(options)
            return super().get_token(*scopes)

    cloud.credential = Asked()
    done = run("query", OPS, "Heartbeat | count", "--tenant", "contoso.onmicrosoft.com")
    assert done.exit_code == 0, done.output
    assert asked[0]["tenant_id"] == "contoso.onmicrosoft.com"
    monkeypatch.setenv("AMAKIT_TENANT", "fabrikam.com")
    assert run("query", OPS, "Heartbeat | count").exit_code == 0
    assert asked[1]["tenant_id"] == "fabrikam.com"


def test_the_cli_of_the_chain_heeds_the_tenant_and_has_time(monkeypatch):
    import subprocess

    commands = []

    def az(arguments, **options):
        commands.append((arguments, options["timeout"]))
        raise subprocess.TimeoutExpired(arguments, 60)

    monkeypatch.setattr(
        "azure.identity._credentials.azure_cli.shutil.which", lambda name: f"/usr/bin/{name}" if name == "az" else None
    )
    monkeypatch.setattr("azure.identity._credentials.azure_cli.subprocess.check_output", az)
    with pytest.raises(ClientAuthenticationError) as caught:
        CachedCredential("cli", "public", "contoso.com").get_token("https://kusto.kusto.windows.net/.default")
    (arguments, seconds), *_ = commands
    assert "contoso.com" in " ".join(arguments)
    assert seconds == 60
    assert "az was slow" in str(not_signed_in("Ops", caught.value))


def test_a_pipeline_of_azure_devops_signs_in_by_its_service_connection():
    told = {
        "AZURESUBSCRIPTION_TENANT_ID": "t",
        "AZURESUBSCRIPTION_CLIENT_ID": "c",
        "AZURESUBSCRIPTION_SERVICE_CONNECTION_ID": "s",
        "SYSTEM_ACCESSTOKEN": TOKEN,
    }
    with pytest.raises(UsageError, match="AZURESUBSCRIPTION_TENANT_ID"):
        credential("pipelines", "public", {})
    made = credential("pipelines", "usgov", told)
    assert type(made).__name__ == "AzurePipelinesCredential"
    made.close()


@pytest.mark.parametrize("tenant", ["a b", "../x", "t;x", "\u00e9"])
def test_a_tenant_that_is_none_is_wrong_use(tenant):
    with pytest.raises(UsageError, match="give its id, or a domain"):
        CachedCredential("cli", "public", tenant)


def test_a_tenant_is_refused_for_files(tmp_path):
    with pytest.raises(UsageError, match="is on this machine"):
        amakit.connect(tmp_path, tenant="contoso.com")
