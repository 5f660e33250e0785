"""The control plane, asked by Microsoft's own clients, and served by this machine as Azure Resource Manager would."""

import contextlib
import json
import logging
import re
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import threading
import tomllib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import duckdb
import pandas as pd
import pytest
from azure.core.exceptions import ClientAuthenticationError
from click.testing import CliRunner
from faulty import _Nothing
from served_fleet import TOKEN, FakeCredential

import amakit
from amakit import cli
from amakit.analysis import TABLES
from amakit.control_plane import connection, resource_manager
from amakit.control_plane.connection import manager
from amakit.control_plane.resource_manager import ControlPlane, save
from amakit.demo import write as demo
from amakit.errors import AmakitError, UsageError
from amakit.intervals import window
from amakit.schemas import tables
from amakit.service import retry
from amakit.service.sign_in import clouds, credentials
from amakit.study.rollout.releases import known

SUBSCRIPTION = "01234567-89ab-cdef-0123-456789abcdef"
WINDOW = window("2026-03-02", "2026-03-09")
#: What `Get-AzVMExtensionImage` gives, in the order in which Azure gives it.
DEPLOYED = {
    "AzureMonitorWindowsAgent": ["1.10.0.0", "1.9.0.0", "1.39.0.0", "1.44.1.0"],
    "AzureMonitorLinuxAgent": ["1.38.1", "1.36.1", "1.99.0"],
}
WORDS = {"Start": "Started", "Accept": "Accepted", "Success": "Succeeded", "Failure": "Failed"}
REGIONS = "eastus, eastus2, westeurope, northeurope"


def arm_error(status, code, message="no", **headers):
    body = json.dumps({"error": {"code": code, "message": message}})
    return status, body, {name.replace("_", "-"): value for name, value in headers.items()}


class Arm(ThreadingHTTPServer):
    """Azure Resource Manager over the rows of an exported AzureActivity.

    Attributes
    ----------
    fault : callable
        Is given the number of the request (from 0), and gives status, body and headers, a word for a connection that
        breaks, or None.
    page : int
        So many events on each page.
    token : str
        Must stand in every request, when there is one; without, no request may have any.
    """

    daemon_threads = True

    def __init__(self, rows):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.rows = rows
        self.base = f"http://127.0.0.1:{self.server_port}"
        self.renew()

    def renew(self):
        self.fault, self.page, self.token = (lambda number: None), 40, ""
        self.asked, self.headers, self.change, self.lock = [], [], (lambda told: told), threading.Lock()
        return self

    def images(self, path):
        found = re.fullmatch(
            r"/subscriptions/([^/]+)/providers/Microsoft.Compute/locations/([^/]+)/publishers"
            r"/Microsoft.Azure.Monitor/artifacttypes/vmextension/types/([^/]+)/versions",
            path,
        )
        assert found, path
        if found[2] not in REGIONS.split(", "):
            return arm_error(
                400,
                "NoRegisteredProviderFound",
                f"No registered resource provider found for location '{found[2]}' "
                "and API version '2026-04-01' for type 'locations/publishers'. The supported api-versions are "
                f"'2015-06-15, 2016-03-30'. The supported locations are ', {REGIONS}'.",
            )
        listed = [{"name": version, "location": found[2], "id": f"{path}/{version}"} for version in DEPLOYED[found[3]]]
        return 200, json.dumps(listed), {}

    def events(self, query):
        """Answer as the filter of the activity log is documented: time, and one of group, resource, provider."""
        limits = query["$filter"][0]
        found = re.fullmatch(
            r"eventTimestamp ge '(.+?)' and eventTimestamp le '(.+?)' and "
            r"(resourceGroupName|resourceUri|resourceProvider) eq '([^']+)'",
            limits,
        )
        assert found, limits
        column = {
            "resourceGroupName": "ResourceGroup",
            "resourceUri": "ResourceId",
            "resourceProvider": "ResourceProviderValue",
        }
        rows, wanted = self.rows, found[4].lower()
        text = rows[column[found[3]]].str.lower()
        of = text.str.startswith(wanted) if found[3] == "resourceUri" else text == wanted
        times = rows["TimeGenerated"]
        rows = rows[of & (times >= pd.Timestamp(found[1])) & (times <= pd.Timestamp(found[2]))]
        rows = rows.sort_values("TimeGenerated", ascending=False)  # the newest come first
        first = int(query.get("$skipToken", ["0"])[0])
        told = {"value": [event(row) for row in rows.iloc[first : first + self.page].to_dict("records")]}
        if first + self.page < len(rows):
            told["nextLink"] = (
                f"{self.base}/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Insights/eventtypes/management/values"
            )
            told["nextLink"] += (
                f"?api-version=2015-04-01&$filter={limits.replace(' ', '%20')}&$skipToken={first + self.page}"
            )
        return 200, json.dumps(self.change(told)), {}


def event(row):
    """Tell a row of AzureActivity as the REST API does, which has other words and other letters for some of it."""

    def both(value, shown=""):
        return {"value": value, "localizedValue": shown or value}

    status = WORDS.get(row["ActivityStatusValue"], row["ActivityStatusValue"])
    return {
        "eventTimestamp": row["TimeGenerated"].isoformat().replace("+00:00", "0Z"),  # the service writes seven digits
        "submissionTimestamp": row["EventSubmissionTimestamp"].isoformat().replace("+00:00", "Z"),
        "operationName": both(row["OperationNameValue"].title(), "Create or Update"),
        "status": both(status),
        "subStatus": both("OK", row["ActivitySubstatusValue"]),
        "caller": row["Caller"],
        "level": row["Level"],
        "category": both(row["CategoryValue"]),
        "resourceProviderName": both(row["ResourceProviderValue"].title()),
        "resourceId": row["ResourceId"],
        "resourceGroupName": row["ResourceGroup"],
        "correlationId": row["CorrelationId"],
        "eventDataId": row["EventDataId"],
        "subscriptionId": row["SubscriptionId"],
        "tenantId": "t",
        "properties": json.loads(row["Properties_d"]),
        "claims": {"name": "Ada"} | json.loads(row["Claims"] or "{}"),
        "httpRequest": {"clientIpAddress": "10.0.0.1"},
        "channels": "Operation",
        "eventName": both("EndRequest"),
        "operationId": "o",
        "description": "",
    }


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 20

    def log_message(self, *_):
        pass

    def do_GET(self):
        server, url = self.server, urlsplit(self.path)
        with server.lock:
            number = len(server.asked)
            server.asked.append(unquote(self.path))
            server.headers.append(dict(self.headers))
        fault = server.fault(number)
        if fault == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.connection.close()
            self.rfile = self.wfile = _Nothing()
            return
        right = f"Bearer {server.token}" if server.token else None
        if self.headers.get("Authorization") != right:
            answer = arm_error(401, "InvalidAuthenticationToken", "the token is not ours")
        elif url.path.endswith("/eventtypes/management/values"):
            answer = server.events(parse_qs(url.query))
        else:
            answer = server.images(url.path)
        status, body, headers = answer if fault in (None, "cut") else fault
        data = body.encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data[: len(data) // 2] if fault == "cut" else data)
        self.close_connection = fault == "cut"


@contextlib.contextmanager
def served(rows):
    server = Arm(rows)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The demo's heartbeats, events and activity log: enough to decide causes, and quickly analysed."""
    made = demo(tmp_path_factory.mktemp("demo") / "all", machines=24, days=8, seed=5)
    kept = ("_demo.json", "Heartbeat.parquet", "AzureActivity.parquet", "Event.parquet")
    found = tmp_path_factory.mktemp("logs")
    for name in kept:
        shutil.move(made / name, found / name)
    return found


@pytest.fixture(scope="module")
def rows(folder):
    with amakit.connect(folder) as logs:
        found = logs.query("AzureActivity")
    return found.assign(Properties_d=[json.dumps(each) for each in found["Properties_d"]])


@pytest.fixture(scope="module")
def running(rows):
    with served(rows) as server:
        yield server


@pytest.fixture
def arm(running):
    return running.renew()


@pytest.fixture(autouse=True)
def still(monkeypatch):
    """No test waits, pauses are noted instead; and it is the day after the demo ends."""
    pauses = []
    monkeypatch.setattr(connection, "Patience", lambda: retry.Patience(sleep=pauses.append))
    monkeypatch.setattr(resource_manager, "pace", retry.Pace(10**9))
    monkeypatch.setattr(resource_manager, "_now", lambda: pd.Timestamp("2026-03-11", tz="UTC"))
    for name in ("AZURE_SUBSCRIPTION_ID", "AZURE_AUTHORITY_HOST", "AMAKIT_RELEASES"):
        monkeypatch.delenv(name, raising=False)
    return pauses


@pytest.fixture
def plane(arm):
    with contextlib.closing(ControlPlane(SUBSCRIPTION, host=arm.base)) as found:
        yield found


def run(*arguments):
    return CliRunner().invoke(cli.main, [str(argument) for argument in arguments])


def failed(call, *arguments):
    with pytest.raises(AmakitError) as error:
        call(*arguments)
    text = str(error.value)
    assert "\n" not in text
    assert 20 < len(text) < 700
    assert "Traceback" not in text
    return text


# -- where it is, and who may know the token -----------------------------------------------------------------------


def test_each_cloud_has_its_own_manager_as_the_client_knows_it():
    from azure.core import AzureClouds
    from azure.mgmt.core.tools import get_arm_endpoints

    theirs = {
        "public": AzureClouds.AZURE_PUBLIC_CLOUD,
        "usgov": AzureClouds.AZURE_US_GOVERNMENT,
        "china": AzureClouds.AZURE_CHINA_CLOUD,
    }
    for name, cloud in clouds.CLOUDS.items():
        wanted = get_arm_endpoints(theirs[name])
        assert manager(name) == (wanted["resource_manager"].rstrip("/"), name)
        assert [f"{cloud.manager_audience}/.default"] == wanted["credential_scopes"]


@pytest.mark.parametrize("host", [
    "management.azure.com.example.org", "https://management.azure.com@example.org", "http://management.azure.com",
    "management.chinacloudapi.cn", "https://127.0.0.1:443", "https://management.azure.com:8443", "10.0.0.1", "[::1",
    "https://me:secret@management.azure.com", "http://localhost.example.org", "ftp://127.0.0.1",
])  # fmt: skip
def test_no_token_goes_to_another_host(host, monkeypatch):
    monkeypatch.setattr(credentials, "credential", lambda *_, **__: pytest.fail("a credential was made"))
    assert "no token is sent there" in failed(ControlPlane, SUBSCRIPTION, "public", host)


@pytest.mark.parametrize("host", ["management.azure.com", "https://Management.Azure.com/"])
def test_the_own_host_may_be_named(host):
    assert manager("public", host) == ("https://management.azure.com", "public")


@pytest.mark.parametrize("subscription", ["", "ops", "0123", SUBSCRIPTION + "/x", "../" + SUBSCRIPTION])
def test_a_subscription_that_is_none_is_wrong_use(subscription):
    with pytest.raises(UsageError, match="subscription"):
        ControlPlane(subscription)


def test_the_environment_names_the_subscription(monkeypatch):
    monkeypatch.setenv("AZURE_SUBSCRIPTION_ID", SUBSCRIPTION)
    assert ControlPlane().subscription == SUBSCRIPTION


def test_without_the_extra_a_sentence_says_what_to_install(monkeypatch, plane):
    for package in ("azure.mgmt.compute", "azure.mgmt.monitor"):
        monkeypatch.setitem(sys.modules, package, None)
    assert "pip install amakit[control-plane]" in failed(plane.deployed, "westeurope", known())
    assert "azure-mgmt-monitor" in failed(plane.activity, WINDOW)


def test_the_tests_bring_what_the_extra_brings():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    assert {*extras["control-plane"], *extras["logs"]} <= set(extras["test"])


def test_the_kit_works_without_the_extra():
    code = (
        "import sys; sys.modules['azure.mgmt'] = None\n"
        "from amakit.control_plane import resource_manager; from amakit import cli; cli.main(['releases', '--os', 'Linux'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


# -- what is deployed ----------------------------------------------------------------------------------------------


def test_deployed_versions_of_both_types_in_order(arm, plane):
    found = plane.deployed("West Europe", known())
    assert list(found.columns) == ["os_type", "version", "listed", "publisher", "type", "location"]
    assert found["version"].tolist() == ["1.36.1", "1.38.1", "1.99.0", "1.9.0.0", "1.10.0.0", "1.39.0.0", "1.44.1.0"]
    assert found["listed"].tolist() == [True, True, False, True, True, True, False]
    assert set(found["location"]) == {"westeurope"}
    assert found.groupby("type")["os_type"].unique().str[0].to_dict() == {
        "AzureMonitorLinuxAgent": "Linux",
        "AzureMonitorWindowsAgent": "Windows",
    }
    assert len(arm.asked) == 2
    assert all("Authorization" not in headers for headers in arm.headers)


def test_the_command_lists_what_is_deployed(arm):
    done = run(
        "releases", "--location", "westeurope", "--subscription", SUBSCRIPTION, "--endpoint", arm.base, "--os", "linux"
    )
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[:2] == [
        "os_type,version,listed,publisher,type,location",
        "Linux,1.36.1,True,Microsoft.Azure.Monitor,AzureMonitorLinuxAgent,westeurope",
    ]


def test_a_type_that_is_not_published_there_has_no_rows(arm, plane):
    arm.fault = lambda number: arm_error(404, "NotFound", "VM extension type not found") if number == 0 else None
    assert set(plane.deployed("eastus", known())["os_type"]) == {"Windows"}


def test_a_region_that_does_not_exist_is_named_with_its_neighbours(arm):
    done = run("releases", "--location", "westeurop", "--subscription", SUBSCRIPTION, "--endpoint", arm.base)
    assert done.exit_code == 1
    assert done.stderr.startswith(
        "amakit: there is no region 'westeurop' in this cloud; the nearest is 'westeurope'"
    ) or ("the nearest are 'westeurope'" in done.stderr)


@pytest.mark.parametrize("region", ["", "west/../europe", "east us?x=1", "日本"])
def test_a_region_that_cannot_be_one_is_wrong_use(region, arm):
    done = run("releases", f"--location={region}", "--subscription", SUBSCRIPTION, "--endpoint", arm.base)
    assert done.exit_code == 2
    assert "write for example westeurope" in done.stderr
    assert arm.asked == []


REFUSED = {
    "no right": (arm_error(403, "AuthorizationFailed", "The client does not have authorization"), "ask its owner for the role Reader"),
    "not accepted": (arm_error(401, "ExpiredAuthenticationToken", "expired"), "did not accept the sign-in; sign in again"),
    "another tenant": (arm_error(401, "InvalidAuthenticationTokenTenant", "wrong issuer"), "az login --tenant TENANT"),
    "no subscription": (arm_error(404, "SubscriptionNotFound", "could not be found"), "deleted, or in another tenant or cloud"),
    "bad subscription": (arm_error(400, "InvalidSubscriptionId", "malformed"), "check --subscription and --cloud"),
    "elsewhere": ((302, "", {"Location": "https://login.example.org/"}), "where no token follows"),
    "a proxy's page": ((404, "<html>nothing here</html>", {"Content-Type": "text/html"}), "status 404"),
    "an unknown refusal": (arm_error(409, "Odd", "An odd thing\nhappened."), "did not answer: An odd thing happened; check"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_refusal_is_a_sentence_of_its_own_and_not_asked_again(case, arm, plane):
    fault, told = REFUSED[case]
    arm.fault = lambda number: fault
    for call in (lambda: plane.deployed("westeurope", known()), lambda: plane.activity(WINDOW)):
        before = len(arm.asked)
        assert told in failed(call)
        assert len(arm.asked) == before + 1


def test_nobody_there(monkeypatch):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{probe.getsockname()[1]}"
    assert "cannot be reached; check the network" in failed(ControlPlane(SUBSCRIPTION, host=address).activity, WINDOW)


# -- the activity log ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bare(folder, tmp_path_factory):
    """The demo as a workspace to which no activity log is exported."""
    found = tmp_path_factory.mktemp("bare") / "logs"
    shutil.copytree(folder, found, ignore=lambda _, names: [n for n in names if n.startswith("AzureActivity")])
    return found


def analyzed(folder):
    with amakit.connect(folder) as logs:
        return amakit.analyze(logs, WINDOW.start, WINDOW.end)


def fetched(arm, folder, *more):
    """Fetch the activity log of the week into a folder, by the command."""
    asked = ["--start", "2026-03-02", "--end", "2026-03-09", "--subscription", SUBSCRIPTION, "--endpoint", arm.base]
    return run("activity", folder, *asked, *more)


def test_the_analysis_finds_the_same_as_with_the_exported_table(arm, folder, bare, tmp_path):
    logs = shutil.copytree(bare, tmp_path / "logs")
    arm.page = 7
    done = fetched(arm, logs)
    assert done.exit_code == 0, done.output
    assert done.stdout.strip() == str(logs / "AzureActivity" / "activity-log.parquet")
    assert len(arm.asked) > 10
    expected, without, found = analyzed(folder), analyzed(bare), analyzed(logs)
    for table in TABLES:
        pd.testing.assert_frame_equal(getattr(found, table), getattr(expected, table), obj=table)
    assert not expected.outages["cause"].equals(without.outages["cause"]), "the log makes no difference here"
    assert "AzureActivity" in without.run["missing_tables"]
    assert "AzureActivity" not in found.run["missing_tables"]


def test_the_rows_have_the_columns_and_words_of_the_table(arm, plane, rows):
    found = plane.activity(WINDOW)
    assert list(found.columns) == [name for name in tables()["AzureActivity"] if name != "_TimeReceived"]
    inside = rows[
        (rows["TimeGenerated"] >= WINDOW.start - pd.Timedelta(days=1))
        & (rows["TimeGenerated"] < WINDOW.end + pd.Timedelta(hours=1))
    ]
    both = found.merge(inside, on="EventDataId", suffixes=("", "_wanted"))
    assert len(found) == len(both) == len(inside) > 50
    for name in (
        "TimeGenerated",
        "EventSubmissionTimestamp",
        "Caller",
        "CorrelationId",
        "ResourceId",
        "OperationNameValue",
    ):
        assert (both[name] == both[f"{name}_wanted"]).all(), name
    assert set(found["ActivityStatusValue"]) <= set(WORDS)
    assert set(found["ActivityStatus"]) <= set(WORDS.values())
    assert (found["_ResourceId"] == found["ResourceId"].str.lower()).all()
    assert found["Claims"].isin({"", *rows["Claims"]}).all()
    assert not found[["HTTPRequest", "CallerIpAddress", "Authorization"]].ne("").any(axis=None)


def test_a_group_or_a_resource_alone_may_be_asked_for(arm, plane, rows):
    machine = rows["ResourceId"].str.replace("/extensions/.*", "", regex=True).iloc[0]
    group = rows["ResourceGroup"].iloc[0]
    of_group = plane.activity(WINDOW, groups=[group])
    assert set(of_group["ResourceGroup"].str.lower()) == {group.lower()}
    of_both = plane.activity(WINDOW, groups=[group], resources=[machine])
    pd.testing.assert_frame_equal(of_both, of_group)  # the machine is in the group, and nothing counts twice
    assert len(plane.activity(WINDOW, resources=[machine])) < len(of_group)


@pytest.mark.parametrize("options", [["--group", "x' or 'a' eq 'a"], ["--group", ""], ["--resource", "web-01"],
                                     ["--resource", "/subscriptions/1/x' or resourceUri ne '"]])  # fmt: skip
def test_what_would_change_the_question_is_refused(options, arm, tmp_path):
    done = run(
        "activity",
        tmp_path / "logs",
        "--start",
        "2026-03-02",
        "--end",
        "2026-03-03",
        "--subscription",
        SUBSCRIPTION,
        "--endpoint",
        arm.base,
        *options,
    )
    assert done.exit_code == 2
    assert arm.asked == []
    assert not (tmp_path / "logs").exists()


def test_the_end_does_not_belong_to_the_window_and_other_providers_do_not_count(arm, plane, rows):
    last = rows.sort_values("TimeGenerated").iloc[len(rows) // 2]
    foreign = event(last.to_dict()) | {
        "operationName": {"value": "Microsoft.ComputeSchedule/x/write"},
        "eventDataId": "foreign",
    }
    arm.change = lambda told: told | {"value": [*told["value"], foreign | {"eventTimestamp": "2026-03-04T12:00:00Z"}]}
    end = last["TimeGenerated"]
    found = plane.activity(window("2026-03-03", end - pd.Timedelta(hours=1)), groups=rows["ResourceGroup"].unique())
    assert found["TimeGenerated"].max() < end
    assert len(found) == ((rows["TimeGenerated"] >= "2026-03-02") & (rows["TimeGenerated"] < end)).sum() > 5
    assert "foreign" not in set(found["EventDataId"])


def test_more_than_ninety_days_back_is_refused_and_the_last_day_is_not_widened(arm, plane, monkeypatch):
    monkeypatch.setattr(resource_manager, "_now", lambda: pd.Timestamp("2026-06-01 00:30", tz="UTC"))
    text = failed(plane.activity, window("2026-03-03", "2026-03-05"))
    assert "more than 90 days back" in text
    assert "begin at 2026-03-03T01:00:00Z or later" in text
    assert arm.asked == []
    plane.activity(window("2026-03-03T01:00Z", "2026-03-05"))
    assert all("ge '2026-03-03T00:30:00Z'" in path for path in arm.asked if "skipToken" not in path)


def test_an_empty_log_is_a_table_without_rows(arm, bare, tmp_path):
    logs = shutil.copytree(bare, tmp_path / "logs")
    arm.change = lambda told: {"value": []}
    done = fetched(arm, logs)
    assert (done.exit_code, done.stderr) == (0, "0 rows\n")
    with amakit.connect(logs) as found:
        assert len(found.query("AzureActivity")) == 0


def test_a_table_from_elsewhere_is_not_doubled_and_own_rows_are_replaced(arm, plane, folder, tmp_path):
    rows = plane.activity(WINDOW)
    assert "has the table AzureActivity already" in failed(save, rows, folder)
    assert sorted(p.name for p in folder.iterdir() if "Activity" in p.name) == ["AzureActivity.parquet"]
    for _ in range(2):
        path = save(rows, tmp_path / "new")
    assert [p.name for p in path.parent.iterdir()] == ["activity-log.parquet"]
    assert duckdb.sql(f"SELECT count(*) FROM '{path}'").fetchall() == [(len(rows),)]


PASSING = {
    "too often": arm_error(429, "TooManyRequests", Retry_After="7"),
    "too often, no time": arm_error(429, "TooManyRequests"),
    "busy": arm_error(503, "ServerBusy", Retry_After="2"),
    "broken": arm_error(500, "InternalServerError"),
    "a gateway's page": (502, "<html>Bad Gateway</html>", {"Content-Type": "text/html"}),
    "a gateway's timeout": (504, "{}", {}),
    "an empty 200": (200, "", {}),
    "an empty object": (200, "{}", {}),
    "null": (200, "null", {}),
    "words": (200, "all is well", {"Content-Type": "text/plain"}),
    "a page": (200, "<html>Sign in to the guest network</html>", {"Content-Type": "text/html"}),
    "an error in a 200": (200, json.dumps({"error": {"code": "PartialError", "message": "half"}}), {}),
    "rows that are none": (200, json.dumps({"value": [None, 1]}), {}),
    "no list": (200, json.dumps({"value": {"a": 1}}), {}),
    "an event without a time": (200, json.dumps({"value": [{"caller": "x"}]}), {}),
    "a time that is none": (200, json.dumps({"value": [{"eventTimestamp": "noon"}]}), {}),
    "a reset": "reset",
    "half an answer": "cut",
}  # fmt: skip


@pytest.fixture(scope="module")
def whole(running):
    running.renew()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resource_manager, "_now", lambda: pd.Timestamp("2026-03-11", tz="UTC"))
        with contextlib.closing(ControlPlane(SUBSCRIPTION, host=running.base)) as plane:
            return plane.activity(WINDOW)


@pytest.mark.parametrize("case", PASSING)
def test_what_passes_is_asked_again_and_the_table_is_the_same(case, arm, plane, whole, still):
    """Every third request goes wrong, also in the midst of the pages."""
    arm.fault = lambda number: PASSING[case] if number % 3 == 1 else None
    pd.testing.assert_frame_equal(plane.activity(WINDOW), whole)
    assert len(still) >= 2
    if case in ("too often", "busy"):
        assert min(still) >= {"too often": 7, "busy": 2}[case]


@pytest.mark.parametrize("case", PASSING)
def test_what_passes_is_asked_again_for_a_region_too(case, arm, plane, still):
    arm.fault = lambda number: PASSING[case] if number in (0, 2) else None
    assert len(plane.deployed("westeurope", known())) == 7
    assert len(still) == 2


@pytest.mark.parametrize("case", PASSING)
def test_what_does_not_pass_ends_in_a_sentence_and_no_file(case, arm, tmp_path, still):
    arm.fault = lambda number: PASSING[case] if number > 1 else None
    done = run(
        "activity",
        tmp_path / "logs",
        "--start",
        "2026-03-02",
        "--end",
        "2026-03-09",
        "--subscription",
        SUBSCRIPTION,
        "--endpoint",
        arm.base,
    )
    assert done.exit_code == 1
    assert "gave no whole answer: " in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.rglob("*"))
    assert len(arm.asked) == 2 + 7


def test_a_link_to_another_host_is_not_followed(arm, plane):
    arm.change = lambda told: told | {"nextLink": "https://collector.example.org/values?page=2"}
    assert "sends you to 'collector.example.org', where no token follows" in failed(plane.activity, WINDOW)


def test_a_circle_of_pages_ends(arm, plane):
    arm.page = 10**6
    arm.change = lambda told: (
        told
        | {
            "nextLink": f"{arm.base}/x/eventtypes/management/values?$filter=eventTimestamp ge "
            "'2026-03-02T00:00Z' and eventTimestamp le '2026-03-03T00:00Z' and resourceProvider eq 'x'"
        }
    )
    assert "in a circle" in failed(plane.activity, WINDOW)


# -- Azure under its true name, on this machine ---------------------------------------------------------------------


@pytest.fixture
def cloud(rows, tmp_path, monkeypatch):
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, names = ec.generate_private_key(ec.SECP256R1()), [c.manager for c in clouds.CLOUDS.values()]
    name, now = (
        x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")]),
        pd.Timestamp.now("UTC").to_pydatetime(),
    )
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - pd.Timedelta(days=1))
        .not_valid_after(now + pd.Timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(n) for n in names]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "test.pem"
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(secret + made.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    with served(rows) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        plain = socket.getaddrinfo

        def here(host, port, *rest, **options):
            at = ("127.0.0.1", server.server_port) if host in names else (host, port)
            return plain(*at, *rest, **options)

        monkeypatch.setattr(socket, "getaddrinfo", here)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(path))
        for proxy in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.delenv(proxy, raising=False)
        server.token, server.credential = TOKEN, FakeCredential()
        monkeypatch.setattr(credentials, "credential", lambda *_, **__: server.credential)
        yield server


@pytest.mark.parametrize("name", ["public", "usgov"])
def test_the_token_is_for_the_cloud_of_its_manager_and_is_nowhere_else(name, cloud, caplog, tmp_path):
    caplog.set_level(logging.DEBUG)
    cloud.base = f"https://{clouds.CLOUDS[name].manager}"
    done = run(
        "activity",
        tmp_path / "logs",
        "--start",
        "2026-03-02",
        "--end",
        "2026-03-09",
        "--subscription",
        SUBSCRIPTION,
        "--cloud",
        name,
    )
    assert done.exit_code == 0, done.output
    assert set(cloud.credential.scopes) == {f"{clouds.CLOUDS[name].manager_audience}/.default"}
    assert all(headers["Authorization"] == f"Bearer {TOKEN}" for headers in cloud.headers)
    assert TOKEN not in caplog.text + done.output


def test_a_link_to_another_host_gets_no_token(cloud):
    cloud.base = "https://management.chinacloudapi.cn"  # its name leads here, too
    with contextlib.closing(ControlPlane(SUBSCRIPTION)) as plane:
        assert "sends you to 'management.chinacloudapi.cn'" in failed(plane.activity, WINDOW)
    assert len(cloud.asked) == 1


SIGN_INS = {
    "nobody": (
        "DefaultAzureCredential failed to retrieve a token\nAttempted credentials: …",
        "failed: DefaultAzureCredential",
    ),
    "another tenant": (
        "AADSTS50020: user account from identity provider does not exist in tenant",
        "az login --tenant TENANT",
    ),
}


@pytest.mark.parametrize("case", SIGN_INS)
def test_not_signed_in_is_a_sentence(case, cloud):
    words, told = SIGN_INS[case]
    cloud.credential = FakeCredential(ClientAuthenticationError(words))
    done = run("releases", "--location", "westeurope", "--subscription", SUBSCRIPTION)
    assert done.exit_code == 1
    assert told in done.stderr
    assert "az login" in done.stderr
    assert done.stderr.count("\n") == 1
    assert cloud.asked == []
