"""The query API of Azure Monitor Logs, asked by Microsoft's own client: the same tables, or one sentence."""

import json
import re
import subprocess
import sys

import pandas as pd
import pytest
from azure.core.exceptions import ClientAuthenticationError
from faulty import FAULTS, LIES, said
from served_fleet import END, OPS, START, TOKEN, FakeCredential, la_error, one_sentence, run

import amakit
from amakit.errors import AmakitError, UsageError
from amakit.service.logs import api, scope_of
from amakit.service.sign_in import credentials

VM = OPS.replace("OperationalInsights/workspaces/Ops", "Compute/virtualMachines/web-01")
GROUP = OPS.partition("/providers")[0]


def base(server):
    return f"http://127.0.0.1:{server.server_port}"


def opened(server, resource=OPS):
    return amakit.connect(resource, endpoint=base(server), transport="logs")


def test_the_analysis_is_that_of_the_files(service, expected):
    with opened(service) as workspace:
        found = amakit.analyze(workspace, START, END)
    for table in ("transitions", "outages", "gaps"):
        pd.testing.assert_frame_equal(getattr(found, table), getattr(expected, table), obj=table)
    assert list(found.events["verdict"]) == list(expected.events["verdict"])
    assert set(service.paths) == {f"/v1{OPS}/query"}
    assert found.run["versions"]["azure-monitor-query"]
    waits = {headers["Prefer"] for headers in service.headers}
    assert waits == {"wait=600"}


_START = pd.Timestamp(START, tz="UTC")


def beats(workspace, end=END):
    (rows,) = workspace.ask_all(
        "heartbeat_days", [{"start": _START, "end": pd.Timestamp(end, tz="UTC"), "machines": []}]
    )
    return rows.sort_values(list(rows.columns), ignore_index=True)


@pytest.fixture(scope="module")
def right(folder):
    with amakit.connect(folder) as workspace:
        return beats(workspace)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_changes_nothing_and_one_that_stays_is_one_sentence(service, right, fault, no_waiting):
    spoiled = []
    service.fault = lambda number, text: (
        spoiled.append(text) or fault if len(spoiled) < 2 and "TimeGenerated >=" in text else None
    )
    with opened(service) as workspace:
        pd.testing.assert_frame_equal(beats(workspace), right)
        assert len(spoiled) == 2
        assert sum(record.retries for record in workspace.log) >= 1
        service.fault = lambda number, text: fault if "TimeGenerated >=" in text else None
        with pytest.raises(AmakitError) as caught:
            beats(workspace, "2026-03-03")
    assert re.search(r"asked (once|\d+ times)", one_sentence(str(caught.value)))
    if fault == "too many requests":
        assert min(no_waiting) >= 7


@pytest.mark.parametrize("lie", LIES)
def test_an_answer_to_something_else_is_a_sentence(service, lie):
    service.fault = lambda number, text: LIES[lie] if "TimeGenerated >=" in text else None
    with opened(service) as workspace, pytest.raises(AmakitError) as caught:
        beats(workspace)
    assert "heartbeat_days on Heartbeat" in one_sentence(str(caught.value))


ODD = {
    "no tables": {}, "tables that are none": {"tables": 5}, "a table without rows": {"tables": [{"columns": []}]},
    "columns without a type": {"tables": [{"columns": [{"name": "x"}], "rows": []}]}, "rows that are none": {"tables": [
        {"columns": [{"name": "x", "type": "long"}], "rows": "no"}]}, "a list": [], "a text": "x", "nothing": None,
}  # fmt: skip


@pytest.mark.parametrize("case", ODD)
def test_what_is_no_answer_is_asked_again(service, case):
    service.fault = lambda number, text: said(200, json.dumps(ODD[case])) if number == 0 else None
    with opened(service) as workspace:
        assert list(workspace.query("print x = 1")["x"]) == [1]


def test_an_answer_in_part_is_no_success(service):
    """The client calls it a partial success, and its rows look whole."""
    body = {
        "tables": [{"name": "PrimaryResult", "columns": [{"name": "x", "type": "long"}], "rows": [[1]]}],
        "error": {
            "code": "PartialError",
            "message": "some errors",
            "details": [{"code": "EngineError", "message": "0x80DA0003 cut"}],
        },
    }
    service.fault = lambda number, text: said(200, json.dumps(body))
    with opened(service) as workspace, pytest.raises(AmakitError, match="a part of its answer and said so"):
        workspace.query("print x = 1")


def test_every_type_comes_as_through_the_other_way(service):
    ask = """print b = true, n = 9007199254740993, t = datetime(2026-03-02T00:00:00.1234567Z), s = time(1.02:03:04.5),
        x = 0.5, w = 'é', d = dynamic({"a": [1]})"""
    with opened(service) as one, amakit.connect(service.address) as two:
        pd.testing.assert_frame_equal(one.query(ask), two.query(ask))


# -- who may be asked ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host", ["evil.test", "api.loganalytics.io.evil.test", "api.loganalytics.io:8443", "http://api.loganalytics.io",
             "api.loganalytics.io/x", "api.loganalytics.us", "https://evil.test\\.api.loganalytics.io", "ade.loganalytics.io"]
)  # fmt: skip
def test_no_token_goes_to_another_host(host, monkeypatch):
    monkeypatch.setattr(credentials, "credential", lambda *_, **__: pytest.fail("a credential was made"))
    with pytest.raises(UsageError, match="no token is sent there"):
        amakit.connect(OPS, endpoint=host, transport="logs")


@pytest.mark.parametrize(
    ("cloud_name", "host", "audience"),
    [("public", "api.loganalytics.io", "https://api.loganalytics.io/.default"),
     ("usgov", "api.loganalytics.us", "https://api.loganalytics.us/.default"),
     ("china", "api.loganalytics.azure.cn", "https://api.loganalytics.azure.cn/.default")],
)  # fmt: skip
def test_each_cloud_has_its_own_host_and_audience(cloud, cloud_name, host, audience):
    assert api(cloud_name)[0].host == host
    done = run("query", OPS, "Heartbeat | count", "--transport", "logs", "--cloud", cloud_name)
    assert done.exit_code == 0, done.output
    assert set(cloud.credential.scopes) == {audience}
    assert {headers["Host"] for headers in cloud.headers} == {host}
    assert {headers["Authorization"] for headers in cloud.headers} == {f"Bearer {TOKEN}"}
    assert TOKEN[:12] not in done.output


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_nobody_is_followed_elsewhere(cloud, status):
    cloud.fault = lambda number, text: lambda frames: (status, {"Location": "https://api.loganalytics.us/v1/x"}, "")
    done = run("query", OPS, "Heartbeat | count", "--transport", "logs")
    assert "sends you elsewhere" in one_sentence(done.stderr.splitlines()[-1])
    assert {headers["Host"] for headers in cloud.headers} == {"api.loganalytics.io"}


def test_what_cannot_be_asked_this_way_is_wrong_use(tmp_path):
    with pytest.raises(UsageError, match="--transport logs, which wants the ARM id"):
        amakit.connect("http://127.0.0.1:1/logs", transport="logs")
    with pytest.raises(UsageError, match="auto, kusto or logs"):
        amakit.connect(OPS, transport="rest")
    with pytest.raises(UsageError, match="is on this machine"):
        amakit.connect(tmp_path, transport="logs")


def test_without_the_extra_a_sentence_says_what_to_install(service, monkeypatch):
    monkeypatch.setitem(sys.modules, "azure.monitor.query", None)
    with opened(service) as workspace, pytest.raises(AmakitError, match=r"pip install amakit\[logs\]"):
        workspace.query("print 1")


def test_the_kit_does_not_import_it_until_it_is_asked():
    code = "import sys, amakit; amakit.connect('http://127.0.0.1:1/x'); sys.exit('azure.monitor.query' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# -- resources in the place of a workspace ------------------------------------------------------------------------

SCOPES = {OPS: "workspace", VM: "machine", GROUP: "group", GROUP + "/": "group", GROUP.partition("/resource")[0]: "subscription",
          VM.replace("Compute/virtualMachines", "HybridCompute/machines"): "machine", OPS + "/tables/x": "", VM + "?x=1": "",
          OPS.replace("OperationalInsights", "Storage"): "", "demo": "", GROUP + "/..": "",
          VM.replace("/resourceGroups/rg-1", ""): ""}  # fmt: skip


@pytest.mark.parametrize("resource", SCOPES)
def test_an_id_tells_what_is_asked(resource):
    assert scope_of(resource) == SCOPES[resource]


@pytest.mark.parametrize("resource", [VM, GROUP, GROUP.partition("/resource")[0]])
def test_a_machine_a_group_or_a_subscription_is_asked_like_a_workspace(service, resource):
    with amakit.connect(resource, endpoint=base(service)) as workspace:
        assert workspace.live
        found = amakit.analyze(workspace, "2026-03-03T06:00", "2026-03-03T12:00")
    assert found.transitions["computer"].tolist() == ["web-01"]
    assert set(service.paths) == {f"/v1{resource}/query"}
    assert [headers["Prefer"] for headers in service.headers].count("include-permissions=true") == 1


def test_what_is_hidden_of_resources_is_said(service, tmp_path):
    service.permissions = {
        "resources": [
            {"resourceId": VM, "dataSources": [OPS, OPS + "2"]},
            {"resourceId": VM + "2", "denyTables": ["SecurityEvent"]},
        ],
        "dataSources": [{"resourceId": OPS.lower()}],
    }
    done = run(
        "analyze", GROUP, "--endpoint", base(service), "--start", START, "--end", "2026-03-04", "--out", tmp_path
    )
    assert done.exit_code == 0, done.output
    assert "amakit: rows of SecurityEvent are hidden from you for some resources" in done.stderr.splitlines()
    assert f"amakit: rows in the workspace {OPS}2 are hidden from you" in done.stderr.splitlines()
    assert len(json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))["notes"]) == 2


# -- over to it, where the first way is closed --------------------------------------------------------------------

CLOSED = {
    "a private link": (said(403, la_error("InsufficientAccessError", "Access was denied from public network", "NspValidationFailedError")), None),
    "Conditional Access": (None, "AADSTS53003: Access has been blocked by Conditional Access policies"),
    "a tenant without it": (None, "AADSTS500011: The resource principal named https://kusto.kusto.windows.net was not found"),
    "the Cloud Shell": (None, "Audience https://kusto.kusto.windows.net is not a supported MSI token audience"),
}  # fmt: skip


class OnlyLogs(FakeCredential):
    """Gives a token for the query API only."""

    def get_token(self, *scopes, **options):
        if self.error and "kusto" in scopes[0]:
            raise self.error
        return FakeCredential.get_token(type("Never", (), {"scopes": self.scopes, "error": None})(), *scopes, **options)


def close_the_first(cloud, case):
    answer, words = CLOSED[case]
    cloud.credential = OnlyLogs(ClientAuthenticationError(words)) if words else FakeCredential()
    cloud.fault = lambda number, text: answer if not cloud.paths[number].startswith("/v1/subscriptions") else None


@pytest.mark.parametrize("case", CLOSED)
def test_auto_goes_over_for_these_reasons_and_says_so(cloud, case, tmp_path):
    close_the_first(cloud, case)
    checked = run("check", OPS)
    assert checked.exit_code == 0, checked.output
    steps = [line.split()[0] for line in checked.stdout.splitlines()[1:7]]
    assert steps[steps.index("transport") :][:4] == ["transport", "endpoint", "credential", "permission"]
    done = run("analyze", OPS, "--start", "2026-03-03T06:00", "--end", "2026-03-03T12:00", "--out", tmp_path)
    assert done.exit_code == 0, done.output
    (note,) = [line for line in done.stderr.splitlines() if "asked with the query API" in line]
    assert OPS not in one_sentence(note)
    assert "closed" in note
    assert json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))["notes"] == [note.removeprefix("amakit: ")]
    assert pd.read_csv(tmp_path / "transitions.csv")["computer"].tolist() == ["web-01"]
    done = run("query", OPS, "print 1", "--transport", "kusto")
    assert done.exit_code == 1
    assert "--transport logs" in one_sentence(done.stderr.splitlines()[-1])


STAYS = {
    "no right": said(403, la_error("InsufficientAccessError", "insufficient access")),
    "deleted": said(404, la_error("WorkspaceNotFoundError", "not found")), "busy": said(503, "{}"),
}  # fmt: skip


@pytest.mark.parametrize("case", STAYS)
def test_auto_stays_for_every_other_reason(cloud, case):
    cloud.fault = lambda number, text: STAYS[case]
    done = run("query", OPS, "print 1")
    assert done.exit_code == 1
    assert not any(path.startswith("/v1/subscriptions") for path in cloud.paths)


def test_auto_does_not_change_its_way_in_the_midst_of_a_run(cloud):
    answer, _ = CLOSED["a private link"]
    with amakit.connect(OPS) as workspace:
        workspace.query("print 1")
        cloud.fault = lambda number, text: answer
        with pytest.raises(AmakitError, match="private link"):
            workspace.query("print 2")
        assert workspace.notes == []
    assert not any(path.startswith("/v1/subscriptions") for path in cloud.paths)


def test_without_the_extra_auto_says_what_would_open_the_other_way(cloud, monkeypatch):
    close_the_first(cloud, "the Cloud Shell")
    monkeypatch.setitem(sys.modules, "azure.monitor.query", None)
    done = run("query", OPS, "print 1")
    line = one_sentence(done.stderr.splitlines()[-1])
    assert "Cloud Shell" in line
    assert "pip install amakit[logs]" in line
