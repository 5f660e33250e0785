"""Who would sign in, told from what lies on this machine."""

import json

import pytest
from served_fleet import OPS

from amakit.service.kusto import KustoEngine
from amakit.service.logs import LogsEngine
from amakit.service.sign_in.signer import signer


def signed_in(folder, *accounts):
    folder.mkdir(exist_ok=True)
    known = [
        {"id": str(n), "user": {"name": name}, "tenantId": "t", "isDefault": n == 0} for n, name in enumerate(accounts)
    ]
    (folder / "azureProfile.json").write_text(json.dumps({"subscriptions": known}), encoding="utf-8-sig")
    return {"AZURE_CONFIG_DIR": str(folder)}


def test_another_account_of_the_cli_is_another_signer_and_none_is_named(tmp_path):
    nobody = signer("cli", {"AZURE_CONFIG_DIR": str(tmp_path / "none")})
    ada = signer("cli", signed_in(tmp_path / "ada", "ada@contoso.example"))
    again = signer("cli", signed_in(tmp_path / "again", "ada@contoso.example"))
    both = signer("cli", signed_in(tmp_path / "both", "bob@contoso.example", "ada@contoso.example"))
    assert ada == again
    assert len({nobody, ada, both, signer("default", signed_in(tmp_path / "ada", "ada@contoso.example"))}) == 4
    assert "ada" not in ada


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"subscriptions": [{"user": null}]}'])
def test_where_the_profile_cannot_be_read_nobody_can_tell(text, tmp_path):
    (tmp_path / "azureProfile.json").write_text(text)
    assert signer("default", {"AZURE_CONFIG_DIR": str(tmp_path)}) == ""
    assert signer("managed", {"AZURE_CONFIG_DIR": str(tmp_path)}) != ""


@pytest.mark.parametrize("engine", [KustoEngine, LogsEngine])
def test_what_one_user_was_shown_is_not_kept_for_another(engine, tmp_path, monkeypatch):
    states = []
    for name in ("ada", "bob", "ada"):
        monkeypatch.setenv("AZURE_CONFIG_DIR", signed_in(tmp_path / name, name)["AZURE_CONFIG_DIR"])
        states.append(engine(OPS).state())
    assert states[0] == states[2] != states[1]
    assert all(states)
    assert engine(OPS, sign_in="device").state() == ""
