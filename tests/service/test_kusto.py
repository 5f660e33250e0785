"""A service that fails in every way it can: the same tables come out as from files, or one sentence."""

import contextlib
import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import traceback
from functools import partial

import numpy as np
import pandas as pd
import pytest
from faulty import FAULTS, LIES, api_error, said
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from served_fleet import ARM, END, OPS, SLOTS, START, TOKEN, FakeCredential, analyzed, la_error, one_sentence, run, same

import amakit
from amakit.errors import AmakitError, UsageError
from amakit.service import engine, kusto, retry
from amakit.service.kusto import KustoEngine
from amakit.service.sign_in import credentials
from amakit.service.sign_in.address import address

# -- where a workspace is --------------------------------------------------------------------------------------


ENDPOINTS = {
    "public": (ARM, "public", "", "https://ade.loganalytics.io" + ARM, "Ops-1"),
    "government": (ARM, "usgov", "", "https://adx.monitor.azure.us" + ARM, "Ops-1"),
    "China": (ARM, "china", "", "https://adx.monitor.azure.cn" + ARM, "Ops-1"),
    "lower case and a slash": (ARM.lower() + "/", "public", "", "https://ade.loganalytics.io" + ARM.lower(), "ops-1"),
    "the other host": (ARM, "public", "adx.monitor.azure.com", "https://adx.monitor.azure.com" + ARM, "Ops-1"),
    "the other host as a URL": (ARM, "public", "https://adx.monitor.azure.com/", "https://adx.monitor.azure.com" + ARM, "Ops-1"),
    "a server here": (ARM, "public", "http://127.0.0.1:8080", "http://127.0.0.1:8080" + ARM, "Ops-1"),
    "a URL with an id": ("https://adx.monitor.azure.us" + ARM, "public", "", "https://adx.monitor.azure.us" + ARM, "Ops-1"),
    "a group in parentheses": (ARM.replace("rg-1", "a.(b)_c"), "public", "", "https://ade.loganalytics.io" + ARM.replace("rg-1", "a.(b)_c"), "Ops-1"),
    "a cluster": ("https://help.kusto.windows.net/Samples", "public", "", "https://help.kusto.windows.net", "Samples"),
    "a database with a space": ("https://help.kusto.windows.net/My%20Logs", "public", "", "https://help.kusto.windows.net", "My Logs"),
    "loopback": ("http://127.0.0.1:31415/logs", "public", "", "http://127.0.0.1:31415", "logs"),
    "loopback of six": ("http://[::1]:31415/logs", "public", "", "http://[::1]:31415", "logs"),
}  # fmt: skip


@pytest.mark.parametrize("case", ENDPOINTS)
def test_an_id_or_a_url_becomes_cluster_and_database(case):
    *given_, cluster, database = ENDPOINTS[case]
    found, name = kusto.endpoint(*given_)
    assert (str(found), name) == (cluster, database)


MALFORMED = {
    "no workspace": (ARM.rpartition("/")[0], "copy it from the portal"),
    "no name": (ARM.rpartition("/")[0] + "/", "copy it from the portal"),
    "another provider": (ARM.replace("OperationalInsights", "Compute"), "copy it from the portal"),
    "a part too many": (ARM + "/tables/Heartbeat", "copy it from the portal"),
    "an empty group": (ARM.replace("rg-1", ""), "copy it from the portal"),
    "a group that climbs": (ARM.replace("rg-1", ".."), "copy it from the portal"),
    "a name with a query": (ARM + "?x=1", "copy it from the portal"),
    "a name with a fragment": (ARM + "#x", "copy it from the portal"),
    "a name with a line end": (ARM + "\n", "copy it from the portal"),
    "a name with a quote": (ARM + "']", "copy it from the portal"),
    "a name with a space": (ARM + " 1", "copy it from the portal"),
    "a name that ends in a dash": (ARM + "-", "copy it from the portal"),
    "a subscription that is none": (ARM.replace("01234567", "my_sub"), "copy it from the portal"),
    "no slash in front": (ARM[1:], "is no address"),
    "no host": ("https:///logs", "is no address"),
    "a user in the URL": ("https://me:pw@help.kusto.windows.net/Samples", "is no address"),
    "a query in the URL": ("https://help.kusto.windows.net/Samples?a=b", "is no address"),
    "no encryption": ("http://help.kusto.windows.net/Samples", "write https://"),
    "encryption on this machine": ("https://127.0.0.1:8080/logs", "write http://"),
    "nothing": ("", "is no address"),
    "no database": ("https://help.kusto.windows.net/", "no Kusto endpoint"),
    "a backslash": ("https://evil.test\\.kusto.windows.net/db", "is no address"),
    "a property of a connection string": ("https://x.kusto.windows.net/;Data Source=http://127.0.0.1:8080/db", "cannot stand in its path"),
    "the same, encoded": ("https://x.kusto.windows.net/%3BData%20Source%3Dhttp%3A%2F%2F127.0.0.1%3A8080/db", "cannot stand in its path"),
    "a path that climbs": ("https://x.kusto.windows.net/%2e%2e/db", "cannot stand in its path"),
    "a port that is none": ("https://x.kusto.windows.net:99999/db", "is no address"),
    "full-width letters": ("https://\uff45vil.kusto.windows.net/db", "is no address"),
    "a dot at the end of the host": ("https://help.kusto.windows.net./db", "is no address"),
}  # fmt: skip


@pytest.mark.parametrize("case", MALFORMED)
def test_what_is_no_id_and_no_url_is_refused(case):
    workspace, advice = MALFORMED[case]
    with pytest.raises(UsageError) as caught:
        kusto.endpoint(workspace)
    assert advice in one_sentence(str(caught.value)).replace("\\n", "")


@pytest.mark.parametrize("host", ["evil host", "a/b", "ftp://x", "http://adx.monitor.azure.com", "a@b", "", "x?y"])
def test_a_host_that_is_none_is_refused(host):
    if host:
        with pytest.raises(UsageError):
            kusto.endpoint(ARM, "public", host)


def test_a_host_of_its_own_goes_with_an_id_only():
    with pytest.raises(UsageError, match="names its host itself"):
        kusto.endpoint("https://help.kusto.windows.net/Samples", "public", "adx.monitor.azure.com")


@pytest.mark.parametrize(
    ("authority", "cloud"),
    [("", "public"), ("https://login.microsoftonline.com/", "public"), ("login.microsoftonline.us", "usgov"),
     ("https://login.partner.microsoftonline.cn", "china"), ("https://login.chinacloudapi.cn/", "china")],
)  # fmt: skip
def test_the_cloud_follows_from_the_authority_in_the_environment(authority, cloud):
    assert kusto.cloud_of("", {"AZURE_AUTHORITY_HOST": authority}) == cloud
    assert kusto.cloud_of("china", {"AZURE_AUTHORITY_HOST": authority}) == "china"


def test_a_cloud_or_an_authority_that_is_none_is_refused():
    with pytest.raises(UsageError, match="public, usgov or china"):
        kusto.cloud_of("german")
    with pytest.raises(UsageError, match="say --cloud"):
        kusto.cloud_of("", {"AZURE_AUTHORITY_HOST": "login.example.com"})


@pytest.mark.parametrize(
    ("host", "cloud"),
    [("ade.loganalytics.io", "public"), ("adx.monitor.azure.com", "public"), ("adx.monitor.azure.us", "usgov"),
     ("adx.monitor.azure.cn", "china"), ("help.kusto.windows.net", "public"), ("c.kusto.usgovcloudapi.net", "usgov"),
     ("127.0.0.1", "")],
)  # fmt: skip
def test_a_trusted_host_belongs_to_a_cloud(host, cloud):
    assert kusto.trusted(address(f"http{'' if host[0].isdigit() else 's'}://{host}/x")) == cloud


@pytest.mark.parametrize(
    "host",
    ["example.com", "ade.loganalytics.io.example.com", "evil-ade.loganalytics.io", "kusto.windows.net.example.com",
     "api.loganalytics.io.example.com", "10.0.0.4", "localhost.example.com", "127.0.0.1.example.com"],
)  # fmt: skip
def test_nobody_signs_in_for_another_host(host, monkeypatch):
    monkeypatch.setattr(credentials, "credential", lambda *_, **__: pytest.fail("a credential was made"))
    with pytest.raises(UsageError, match="no token is sent there"):
        amakit.connect(f"https://{host}/logs")
    with pytest.raises(UsageError, match="no token is sent there"):
        amakit.connect(ARM, endpoint=host)


def test_a_host_of_another_cloud_is_refused():
    with pytest.raises(UsageError, match="belongs to 'usgov'"):
        kusto.trusted(address("https://adx.monitor.azure.us"), "china")


_PIECES = ["https://", "HTTPS://", "http://", "evil.test", "help.kusto.windows.net", ".kusto.windows.net", "127.0.0.1", "localhost",
           "[::1]", "adx.monitor.azure.com", "\\", "/", "//", "@", "#", "?", ";", "%", "%5c", "%2f", "%00", ":", ":443", ":80@", ".", "..", " ",
           "\t", "\n", "\u3002", "\uff0e", "\u2044", "Data Source=", ";Data Source=https://evil.test", "Fed=True;", "db", ARM]  # fmt: skip


@given(st.lists(st.sampled_from(_PIECES) | st.text(max_size=3), max_size=8).map("".join), st.sampled_from(["", "id"]))
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example("https://evil.test\\.kusto.windows.net/db", "")
@example("https://x.kusto.windows.net/;Data Source=http://127.0.0.1:1/db", "")
@example("https://help.kusto.windows.net/db", "")
@example("help.kusto.windows.net", "id")
def test_only_the_host_that_was_judged_is_asked(text, form):
    """For any text: every name that a socket is opened for is trusted, or on this machine and asked without a token."""
    from azure.kusto.data._cloud_settings import CloudSettings

    asked, credential = [], FakeCredential()

    def nowhere(host, *_rest, **_options):
        asked.append(host)
        raise socket.gaierror("no network in this test")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", nowhere)
        patch.setattr(CloudSettings, "_cloud_cache", {})
        for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            patch.delenv(name, raising=False)
        try:
            workspace = KustoEngine(ARM if form else text, "public" if form else "", text if form else "", credential)
        except UsageError:
            return
        with contextlib.suppress(AmakitError):
            workspace.run("print 1")
    host = workspace.cluster.host.strip("[]")
    assert {name.decode() if isinstance(name, bytes) else name for name in asked} == {host}
    assert workspace.cluster.loopback or host.endswith(
        ("kusto.windows.net", "adx.monitor.azure.com", "ade.loganalytics.io")
    )
    assert not (workspace.cluster.loopback and credential.scopes)


@pytest.mark.parametrize(
    "audience", ["https://graph.microsoft.com", "https://management.azure.com", "https://evil.test", "api://x", ""]
)
def test_no_token_is_asked_for_another_audience(cloud, audience, monkeypatch):
    from azure.kusto.data._cloud_settings import CloudInfo, CloudSettings

    known = CloudSettings.DEFAULT_CLOUD
    told = CloudInfo(**{**known.__dict__, "kusto_service_resource_id": audience})
    monkeypatch.setattr(CloudSettings, "get_cloud_info_for_cluster", classmethod(lambda *_: told))
    done = run("query", OPS, "Heartbeat | count")
    assert (done.exit_code, cloud.credential.scopes) == (1, [])
    assert "which is none of Azure Data Explorer or Azure Monitor" in one_sentence(done.stderr.strip())


@pytest.mark.parametrize("status", [400, 401, 403, 500])
def test_a_service_that_tells_the_token_back_gets_it_nowhere(cloud, status, caplog):
    body = la_error("BadArgumentError", f"you sent Authorization: Bearer {TOKEN} " * 3)
    cloud.fault = lambda number, text: said(status, body)
    with caplog.at_level(logging.DEBUG):
        done = run("query", OPS, "Heartbeat | count")
        loud = run("--debug", "query", OPS, "Heartbeat | count")
    told = [done.output, loud.output, caplog.text, "".join(traceback.format_exception(loud.exception))]
    assert (done.exit_code, loud.exit_code) == (1, 1)
    assert not any(TOKEN[:12] in text for text in told), told


def test_a_token_is_never_sent_to_this_machine(service):
    asked = []
    fake = type("Fake", (), {"get_token": lambda self, *scopes, **_: asked.append(scopes)})()
    with amakit.connect(service.address, credential=fake) as workspace:
        workspace.query("Heartbeat | count")
    assert asked == []
    assert not any("Authorization" in headers for headers in service.headers)


@pytest.mark.parametrize(
    ("name", "kind", "cloud"),
    [("default", "DefaultAzureCredential", "public"), ("cli", "AzureCliCredential", "public"),
     ("managed", "ManagedIdentityCredential", "public"), ("device", "DeviceCodeCredential", "usgov"),
     ("browser", "InteractiveBrowserCredential", "china"), ("environment", "EnvironmentCredential", "usgov")],
)  # fmt: skip
def test_a_credential_is_made_by_its_name(name, kind, cloud):
    made = credentials.credential(name, cloud, {})
    assert type(made).__name__ == kind
    if name in ("device", "browser"):
        assert kusto.CLOUDS[cloud].authority.endswith(made._authority.removeprefix("https://"))
    made.close()


def test_a_service_principal_signs_in_at_its_own_cloud(monkeypatch):
    for key in ("TENANT_ID", "CLIENT_ID", "CLIENT_SECRET"):
        monkeypatch.setenv(f"AZURE_{key}", "11111111-1111-1111-1111-111111111111")
    made = credentials.credential("environment", "china")
    assert made._credential._authority.endswith("login.partner.microsoftonline.cn")
    made.close()


def test_a_workload_identity_without_its_variables_is_a_sentence(monkeypatch):
    for key in ("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_FEDERATED_TOKEN_FILE"):
        monkeypatch.delenv(key, raising=False)
    with pytest.raises(UsageError, match="credential 'workload' cannot be used here"):
        credentials.credential("workload")


def test_options_for_a_service_are_refused_for_files(folder):
    with pytest.raises(UsageError, match="is on this machine"):
        amakit.connect(folder, cloud="usgov")


# -- whole, or one sentence ------------------------------------------------------------------------------------


def answers(workspace):
    """Ask every kind of question that an analysis asks, sorted by all columns."""
    start, end = (pd.Timestamp(t, tz="UTC").as_unit("us") for t in (START, END))
    window = {"start": start, "end": end}
    ids = [f"/subscriptions/0/resourcegroups/rg/vm/{name}" for name, _ in SLOTS]
    around = pd.DataFrame({"ResourceId": ids, "Computer": [name for name, _ in SLOTS]})
    around["Start"] = [start + pd.Timedelta(days=n + 1, hours=hour - 1) for n, (_, hour) in enumerate(SLOTS)]
    around["End"] = around["Start"] + pd.Timedelta(hours=2)
    keyed = around.rename(columns={"ResourceId": "Key"}).assign(Window=[4, 5, 8], Width=60.0, Few=0.0, Source="")
    events = {"table": "Event", "shared": []}
    asked = {
        "heartbeat_machines": {},
        "heartbeat_days": {"machines": []},
        "heartbeat_hours": {"windows": around.assign(Interval=60.0)},
        "heartbeat_rows": {"windows": around},
        "perf_streams": {"machines": []},
        "event_machines": events,
        "perf_rows": {"windows": around, "streams": ["Processor \\ % Processor Time \\ _Total"]},
        "event_hours": events | {"source": [], "machines": []},
        "event_windows": events
        | {"source": [], "content": [], "windows": keyed[["Key", "Source", "Window", "Start", "End", "Width", "Few"]]},
    }
    for name, values in asked.items():
        frame = pd.concat(workspace.ask_all(name, [window | values]))
        if name in ("heartbeat_machines", "event_machines", "perf_streams"):  # as whoever asks for slices does
            keys = [c for c in ("ResourceId", "Computer", "Agent", "Key", "Stream") if c in frame]
            last = next(c for c in ("LastBeat", "LastRow", "Last") if c in frame)
            first = next(c for c in ("FirstBeat", "FirstRow", "First") if c in frame)
            grouped = frame.sort_values(last).groupby(keys)
            rows = {c: "sum" for c in ("Rows", "Samples") if c in frame}
            rest = {c: "last" for c in ("Version", "OSType", "Environment") if c in frame}
            frame = grouped.agg({first: "min", last: "max"} | rows | rest).reset_index()
        yield name, frame.sort_values(list(frame.columns), ignore_index=True)


@pytest.fixture(scope="module")
def right(folder):
    with amakit.connect(folder) as workspace:
        return dict(answers(workspace))


def fetched(service, right):
    """Ask a service, compare with what the files say, and give the retries."""
    with amakit.connect(service.address) as workspace:
        for name, frame in answers(workspace):
            pd.testing.assert_frame_equal(frame, right[name], obj=name)
        return sum(record.retries for record in workspace.log)


def test_a_good_service_gives_the_tables_of_the_files(service, expected, right):
    found = analyzed(service)
    same(found, expected)
    assert found.run["unknown"] == []
    assert not any(query["retries"] for query in found.run["queries"])
    assert fetched(service, right) == 0


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_on_every_query_once_changes_nothing(service, right, fault, no_waiting):
    seen = set()

    def first_time(_, text):
        question = re.sub(
            r"(?s)datatable.*?\]|datetime\(.*?\)|\| extend AnswerShare.*?project-away AnswerShare", "", text
        )
        new = question not in seen
        seen.add(question)
        return fault if new else None

    service.fault = first_time
    assert fetched(service, right) >= 8
    if fault == "too many requests":
        assert min(no_waiting) >= 7


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_that_stays_is_one_sentence(service, fault):
    service.fault = lambda number, text: fault if "TimeGenerated >=" in text else None
    window = {"start": pd.Timestamp(START, tz="UTC"), "end": pd.Timestamp(END, tz="UTC")}
    with amakit.connect(service.address) as workspace, pytest.raises(AmakitError) as caught:
        workspace.ask("heartbeat_days", machines=[], **window)
    text = one_sentence(str(caught.value))
    assert text.startswith(service.address)
    assert re.search(r"asked (once|\d+ times)", text)
    assert "--allow-unknown" in text
    assert len(service.asked) < 60


@pytest.mark.parametrize("lie", LIES)
def test_an_answer_to_something_else_is_a_sentence_and_no_outage(service, lie):
    """Whole by its count, and not what was asked for: it is neither believed nor told by a traceback."""
    service.fault = lambda number, text: LIES[lie] if "TimeGenerated >=" in text else None
    window = {"start": pd.Timestamp(START, tz="UTC"), "end": pd.Timestamp(END, tz="UTC")}
    with amakit.connect(service.address) as workspace, pytest.raises(AmakitError) as caught:
        workspace.ask("heartbeat_days", machines=[], **window)
    assert "heartbeat_days on Heartbeat" in one_sentence(str(caught.value))


@pytest.mark.parametrize("lie", LIES)
def test_an_answer_to_something_else_becomes_unknown_where_that_is_allowed(service, lie):
    spoiled = []
    service.fault = lambda number, text: spoiled.append(number) or LIES[lie] if hits(text, "Perf", START, END) else None
    found = analyzed(service, allow_unknown=True)
    assert spoiled
    assert {stretch["table"] for stretch in found.run["unknown"]} == {"Perf"}
    assert not found.gaps["data_type"].eq("Perf").any()


@pytest.mark.parametrize("fault", FAULTS)
def test_a_query_of_ones_own_is_whole_or_a_sentence(service, fault):
    ask = "Heartbeat | where Computer == 'db-01' | project TimeGenerated | sort by TimeGenerated asc"
    service.fault = lambda number, text: fault if number < 3 else None
    with amakit.connect(service.address) as workspace:
        frame = workspace.query(ask)
        assert workspace.log[-1].retries >= 1
        assert len(frame) == 4 * 1440 - 3
        assert frame["TimeGenerated"].is_monotonic_increasing
        service.fault = lambda number, text: fault
        with pytest.raises(AmakitError) as caught:
            workspace.query(ask)
    one_sentence(str(caught.value))


#: Few, because each asks for everything; no state is left between them.
FEW = {"deadline": None, "suppress_health_check": list(HealthCheck), "database": None}


@settings(max_examples=15, **FEW)
@given(st.lists(st.sampled_from([None, None, *FAULTS]), min_size=1, max_size=40))
def test_faults_in_any_order_give_the_same_answers_or_one_sentence(running, right, script):
    running.renew().fault = lambda number, text: script[number] if number < len(script) else None
    try:
        fetched(running, right)
    except AmakitError as error:
        one_sentence(str(error))


@settings(max_examples=2, **FEW)
@given(st.integers(0, 2**32))
def test_a_service_that_fails_every_third_time_gives_the_same_tables(running, expected, seed):
    dice = np.random.default_rng(seed)
    plan = [list(FAULTS)[dice.integers(len(FAULTS))] if dice.random() < 0.33 else None for _ in range(2000)]
    running.renew().fault = lambda number, text: plan[number]
    same(analyzed(running), expected)


def test_a_cap_of_400_rows_gives_the_same_tables(service, expected, right):
    service.cap = 400
    same(analyzed(service), expected)
    service.cap = 200
    assert fetched(service, right) > 0


@pytest.mark.parametrize("name", ["heartbeat_machines", "heartbeat_days", "perf_streams", "heartbeat_late"])
def test_machines_are_halved_where_time_does_not_help(service, name, monkeypatch):
    monkeypatch.setattr(engine, "FEW", 1)
    values = {"start": pd.Timestamp(START, tz="UTC"), "end": pd.Timestamp("2026-03-03", tz="UTC"), "machines": []}
    values |= {"delay": -pd.Timedelta(seconds=1)} if name == "heartbeat_late" else {}
    wanted = amakit.kql.catalog.query(name).parameters
    with amakit.connect(service.address) as workspace:
        if name == "heartbeat_late":
            names = workspace.ask("heartbeat_machines", start=values["start"], end=values["end"])
            values["windows"] = names[["ResourceId", "Computer"]].assign(
                Start=values["start"], End=values["end"], Usual=pd.Timedelta(0)
            )
        values = {key: value for key, value in values.items() if key in wanted}
        whole = workspace.ask(name, **values)
        service.cap = 3  # of which one is the count
        if name == "heartbeat_late":
            service.cap, values["end"] = 5, pd.Timestamp("2026-03-02 00:10", tz="UTC")
            whole = whole[whole["TimeGenerated"] < values["end"]]
        parts = workspace.ask(name, **values)
    order = list(whole.columns)
    pd.testing.assert_frame_equal(
        parts.sort_values(order, ignore_index=True), whole.sort_values(order, ignore_index=True)
    )


def test_every_packaged_query_may_be_cut_by_columns_that_it_returns():
    for name, wanted in amakit.kql.catalog.packaged().items():
        kind, *columns = wanted.parts
        assert kind in ("instants", "hours", "days", "slices", "none"), name
        assert set(columns) <= set(wanted.returns), name


def test_a_service_that_hangs_is_left_behind(service, monkeypatch):
    monkeypatch.setattr(engine, "DEADLINE", 0.2)
    monkeypatch.setattr("amakit.source.workspace.Patience", lambda: retry.Patience(tries=2, sleep=lambda _: None))
    service.delay = 1.5
    with amakit.connect(service.address) as workspace, pytest.raises(AmakitError) as caught:
        workspace.query("Heartbeat | count")
    assert "did not answer within" in one_sentence(str(caught.value))


# -- politely --------------------------------------------------------------------------------------------------


def test_no_more_than_four_at_once(service):
    service.delay = 0.1
    day = pd.Timedelta(days=1)
    calls = [
        {"start": pd.Timestamp(START, tz="UTC") + n * day / 4, "end": pd.Timestamp(START, tz="UTC") + (n + 1) * day / 4}
        for n in range(12)
    ]
    with amakit.connect(service.address) as workspace:
        frames = workspace.ask_all("heartbeat_machines", calls)
        assert [len(frame) for frame in frames] == [4] * 12
        assert [record.name for record in workspace.log] == ["heartbeat_machines"] * 12
    assert 2 <= service.busiest <= 4


def test_queries_are_paced(service, monkeypatch):
    pauses = []
    monkeypatch.setattr(engine, "pace", retry.Pace(5, 30, lambda: 0.0, pauses.append))
    with amakit.connect(service.address) as workspace:
        for _ in range(5):
            workspace.query("print 1")  # and its count
    assert len(pauses) == 5
    assert min(pauses) == 30


def test_at_most_15_days_are_asked_at_once(service):
    with amakit.connect(service.address) as workspace:
        amakit.analyze(workspace, "2026-02-10", "2026-03-20")
    spans = [
        re.findall(r"TimeGenerated >= datetime\((.+?)\) and TimeGenerated < datetime\((.+?)\)", text)
        for text in service.asked
    ]
    spans = [pd.Timestamp(end) - pd.Timestamp(start) for ((start, end),) in (found[:1] for found in spans if found)]
    assert len(spans) > 10
    assert max(spans) <= pd.Timedelta(days=15)


def test_a_pause_that_is_too_long_is_not_waited_for(service, no_waiting):
    service.fault = lambda number, text: said(429, "{}", Retry_After="86400")
    with amakit.connect(service.address) as workspace, pytest.raises(AmakitError, match="asked once: it was asked too"):
        workspace.query("print 1")
    assert no_waiting == []


def test_a_pause_may_be_a_date(service, no_waiting):
    until = (pd.Timestamp.now("UTC") + pd.Timedelta(seconds=90)).strftime("%a, %d %b %Y %H:%M:%S GMT")
    service.fault = lambda number, text: said(503, "{}", Retry_After=until) if number == 0 else None
    with amakit.connect(service.address) as workspace:
        workspace.query("print 1")
    assert 60 < no_waiting[0] <= 91


def test_nulls_and_empty_answers_keep_their_types(service):
    ask = "print b = bool(null), n = long(null), t = datetime(null), s = timespan(null), x = real(null), w = ''"
    with amakit.connect(service.address) as workspace:
        one, none = workspace.query(ask), workspace.query(f"{ask} | where w == 'no'")
    assert list(one.dtypes) == list(none.dtypes)
    assert one.iloc[0, :5].isna().all()


def test_each_query_is_one_line_where_nobody_watches(service, caplog):
    with caplog.at_level(logging.INFO, "amakit"), amakit.connect(service.address) as workspace:
        workspace.query("print 1")
        workspace.ask("heartbeat_span")
    lines = [record.getMessage() for record in caplog.records if record.name == "amakit"]
    assert [line.split(":")[0] for line in lines] == ["query", "heartbeat_span"]
    assert all(re.fullmatch(r"\w+: 1 rows in \d+\.\d s, 0 retries", line) for line in lines)


def test_a_bar_moves_where_somebody_watches(service, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with amakit.connect(service.address) as workspace:
        workspace.ask("heartbeat_span")
    shown = capsys.readouterr()
    assert "heartbeat_span" in shown.err
    assert shown.out == ""


def command(*arguments, **options):
    return subprocess.Popen(
        [sys.executable, "-m", "amakit", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        **options,
    )


@pytest.mark.skipif(os.name == "nt", reason="a process cannot be sent Ctrl-C alone there")
def test_an_interruption_is_one_sentence_and_leaves_nothing(service, tmp_path):
    held, ended = threading.Event(), threading.Event()

    def hold(number, text):
        held.set()
        ended.wait(600)

    service.fault = lambda number, text: hold(number, text) if number == 4 else None
    out = tmp_path / "out"
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # what runs in the background may be deaf to it
    with command("analyze", service.address, "--start", START, "--end", END, "--out", out, preexec_fn=heard) as process:
        assert held.wait(600)
        process.send_signal(signal.SIGINT)
        shown, told = process.communicate(timeout=600)
    ended.set()
    assert process.returncode == 130
    assert shown == ""
    assert "Traceback" not in told
    assert told.splitlines()[-1].startswith("amakit: interrupted")
    assert not out.exists() or not list(out.iterdir())


# -- unknown ---------------------------------------------------------------------------------------------------


def hits(text, table, start, end):
    """Tell whether a query reads a table at a time."""
    spans = re.findall(r"TimeGenerated >= datetime\((.+?)\) and TimeGenerated < datetime\((.+?)\)", text)
    reads = (
        re.search(rf"^\[?'?{table}\b", text, re.MULTILINE)
        or f"materialize({table}" in text
        or f"materialize(['{table}" in text
    )
    return bool(reads) and any(
        pd.Timestamp(a) < pd.Timestamp(end, tz="UTC") and pd.Timestamp(b) > pd.Timestamp(start, tz="UTC")
        for a, b in spans
    )


def rows_of(frame):
    return set(map(tuple, frame.astype(str).to_numpy()))


@pytest.mark.parametrize("fault", ["broken", "no end", "cut at the row cap", "a gateway's timeout"])
def test_a_day_that_cannot_be_fetched_is_unknown_and_nothing_arises_from_it(service, expected, fault):
    day, next_day = "2026-03-04", "2026-03-05"
    service.fault = lambda number, text: fault if hits(text, "Heartbeat", day, next_day) else None
    with pytest.raises(AmakitError, match="--allow-unknown"):
        analyzed(service)
    found = analyzed(service, allow_unknown=True)
    assert {(u["start"][:10], u["table"]) for u in found.run["unknown"]} >= {(day, "Heartbeat")}
    assert all(set(u) == {"start", "end", "table", "reason"} for u in found.run["unknown"])
    assert all(u["reason"] for u in found.run["unknown"])
    assert rows_of(found.outages.drop(columns="evidence")) < rows_of(expected.outages.drop(columns="evidence"))
    assert "web-01" in set(found.outages["computer"])
    assert "web-02" not in set(found.outages["computer"])
    assert "web-02" in set(found.transitions["computer"])  # the version did change, between two known beats
    assert set(found.gaps["computer"]) <= set(found.outages["computer"])
    assert set(found.events["computer"]) <= set(found.outages["computer"])
    assert (found.machines["known_s"] <= expected.machines["known_s"] - 86400 + 1).all()
    assert (found.machines["active_s"] <= found.machines["known_s"]).all()


@pytest.mark.parametrize("table", ["Perf", "Event"])
def test_another_table_that_cannot_be_fetched_takes_only_its_own_rows_away(service, expected, table):
    service.fault = lambda number, text: "broken" if hits(text, table, START, END) else None
    found = analyzed(service, allow_unknown=True)
    assert {u["table"] for u in found.run["unknown"]} == {table}
    assert list(found.outages["computer"]) == list(expected.outages["computer"])
    assert table not in set(found.gaps["data_type"]) | set(found.events["data_type"])
    assert (found.outages["start_earliest"] <= expected.outages["start_earliest"]).all()  # wider, never narrower
    pd.testing.assert_series_equal(found.machines["known_s"], expected.machines["known_s"])


def test_a_tail_that_cannot_be_fetched_makes_nobody_silent(service):
    service.fault = lambda number, text: "broken" if hits(text, "Heartbeat", "2026-03-05", "2026-03-07") else None
    found = analyzed(service, allow_unknown=True)
    assert found.run["horizon"] <= "2026-03-05T00:00:00Z"  # what is said is said as of then
    assert set(found.machines["state"]) == {"reporting"}
    assert not found.outages["ongoing"].any()


@settings(max_examples=2, **FEW)
@given(st.integers(0, 2**32))
def test_whatever_stays_unknown_no_outage_is_invented(running, expected, seed):
    dice = np.random.default_rng(seed)
    lost = {n for n in range(5000) if dice.random() < 0.6}
    running.renew().fault = lambda number, text: "broken" if number in lost and "TimeGenerated >=" in text else None
    try:
        found = analyzed(running, allow_unknown=True)
    except AmakitError as error:
        one_sentence(str(error))
        return
    true = set(expected.outages[["computer", "to_version"]].itertuples(index=False, name=None))
    assert set(found.outages[["computer", "to_version"]].itertuples(index=False, name=None)) <= true
    assert set(found.events["verdict"]) <= set(expected.events["verdict"])


def test_nothing_at_all_is_a_sentence_even_so(service):
    service.fault = lambda number, text: "broken" if "TimeGenerated >=" in text else None
    with pytest.raises(AmakitError, match="could be fetched"):
        analyzed(service, allow_unknown=True)


# -- a workspace as Azure has it, on this machine --------------------------------------------------------------


def test_a_workspace_is_reached_by_its_id_and_the_token_is_nowhere(cloud, expected, tmp_path, caplog):
    out = tmp_path / "out"
    with caplog.at_level(logging.DEBUG):
        checked = run("check", OPS)
        done = run("analyze", OPS, "--start", START, "--end", END, "--out", out)
        asked = run("query", OPS, "Heartbeat | count", "--out", tmp_path / "n.csv")
        cloud.token = "another"
        failed = run("--debug", "query", OPS, "Heartbeat | count")
    assert (checked.exit_code, done.exit_code, asked.exit_code) == (0, 0, 0), done.output + asked.output
    assert set(cloud.credential.scopes) == {"https://kusto.kusto.windows.net/.default"}
    assert {path.rpartition("/v")[0] for path in cloud.paths} == {OPS}
    assert any(headers["Authorization"] == f"Bearer {TOKEN}" for headers in cloud.headers)
    machines = pd.read_csv(out / "machines.csv")
    assert list(machines["computer"]) == list(expected.machines["computer"])
    told = [r.stdout + r.stderr + str(r.exception) for r in (checked, done, asked, failed)] + [caplog.text]
    told += [path.read_text(encoding="utf-8") for path in out.iterdir()]
    assert failed.exit_code == 1
    assert not any("secret-token" in text for text in told)


def test_check_proves_the_way_step_by_step(cloud):
    done = run("check", OPS)
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines[1:4]] == ["endpoint", "credential", "permission"]
    assert "no AzureActivity: attempts that failed" in done.stdout


def test_check_shows_rows_per_hour(service):
    done = run("check", service.address)
    assert re.search(r"Heartbeat +\d+ .* 239\.\d", done.stdout), done.stdout
    assert "no AzureActivity" in done.stdout


def test_another_cloud_asks_its_own_host_for_its_own_token(cloud):
    with amakit.connect(OPS, cloud="usgov") as workspace:
        assert list(workspace.query("Heartbeat | count")["Count"]) == [4 * 4 * 1440 - 9]
    assert set(cloud.credential.scopes) == {"https://kusto.kusto.usgovcloudapi.net/.default"}


def test_one_credential_is_asked_once_for_a_run(cloud):
    with amakit.connect(OPS) as workspace:
        for _ in range(3):
            workspace.query("print 1")
    assert len(cloud.credential.scopes) == 1


REFUSALS = {
    "no right": (403, la_error("InsufficientAccessError", "The provided credentials have insufficient access to perform the requested operation"), "Log Analytics Reader"),
    "a forbidden id": (403, json.dumps(api_error("Forbidden", "Principal is not authorized to access the workspace", True)), "Log Analytics Reader"),
    "a sign-in that ended": (401, la_error("AuthenticationFailed", "The token has expired"), "sign in again"),
    "no body": (401, "", "sign in again"),
    "a token that is none": (403, la_error("InvalidAuthenticationToken", "The access token is invalid"), "sign in again"),
    "another tenant": (401, la_error("InvalidAuthenticationTokenTenant", "The access token is from the wrong issuer"), "az login --tenant"),
    "deleted": (404, la_error("PathNotFoundError", "The requested path does not exist"), "recovered for 14 days"),
    "not found": (404, la_error("WorkspaceNotFoundError", "The workspace could not be found"), "recovered for 14 days"),
    "private": (403, la_error("InsufficientAccessError", "Access to workspace was denied from public network", "NspValidationFailedError"), "private link only"),
    "basic": (400, la_error("BadArgumentError", "Table Heartbeat is on the Basic plan and cannot be queried here"), "Analytics plan"),
    "elsewhere": (302, "", "sends you elsewhere"),
    "broken KQL": (400, la_error("BadArgumentError", "The request had some invalid properties", "SemanticError"), "check the query"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSALS)
def test_a_refusal_says_what_to_do(cloud, case):
    status, body, advice = REFUSALS[case]
    cloud.fault = lambda number, text: lambda frames: (status, {}, body)
    done = run("check", OPS)
    assert done.exit_code == 1
    lines = [line for line in done.stderr.splitlines() if line.startswith("amakit: ")]
    assert advice in one_sentence(lines[-1])
    # to ask again would not help, but behind a private link the other way may, which is said
    assert len(cloud.asked) == len(lines) == (2 if case == "private" else 1)


SIGN_INS = {
    "not signed in": ("Please run 'az login' to set up an account", "sign in, for example with 'az login'"),
    "another tenant": ("AADSTS50020: User account from identity provider does not exist in tenant", "az login --tenant"),
    "no such tenant": ("AADSTS90002: Tenant 'x' not found.", "az login --tenant"),
    "wrong secret": ("AADSTS7000215: Invalid client secret provided.", "AADSTS7000215"),
}  # fmt: skip


@pytest.mark.parametrize("case", SIGN_INS)
def test_a_sign_in_that_fails_says_what_to_do(cloud, case):
    from azure.core.exceptions import ClientAuthenticationError

    words, advice = SIGN_INS[case]
    cloud.credential = FakeCredential(ClientAuthenticationError(words))
    for arguments in (["check", OPS], ["query", OPS, "Heartbeat"]):
        done = run(*arguments)
        assert done.exit_code == 1
        (line,) = [line for line in done.stderr.splitlines() if line.startswith("amakit: ")]
        assert advice in one_sentence(line)
    assert cloud.asked == []


def test_a_table_on_the_basic_plan_is_missing_evidence_for_check(cloud):
    words = "Table Event is on the Basic plan"
    cloud.fault = lambda number, text: said(400, la_error("BadArgumentError", words)) if "['Event']" in text else None
    done = run("check", OPS)
    assert done.exit_code == 0, done.stderr
    assert "no Event: " in done.stdout
    assert "Analytics plan" in done.stdout


# -- what it costs ---------------------------------------------------------------------------------------------


def test_what_a_run_cost_is_in_its_record_and_in_the_last_line(service, tmp_path):
    service.fault = lambda number, text: "busy" if number % 9 == 4 else None
    done = run("analyze", service.address, "--start", START, "--end", END, "--out", tmp_path)
    assert done.exit_code == 0
    queries = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))["queries"]
    assert all({"name", "text", "rows", "bytes", "seconds", "retries", "sha256"} == set(query) for query in queries)
    last = done.stderr.splitlines()[-1]
    rows, retries = (sum(query[key] for query in queries) for key in ("rows", "retries"))
    assert re.fullmatch(rf"{len(queries)} queries, {rows:,} rows, [\d.]+ MB, [\d.]+ s, {retries} (retry|retries)", last)
    assert retries > 0


def test_a_failed_run_leaves_no_file_and_one_sentence(service, tmp_path):
    service.fault = lambda number, text: "broken" if number > 6 else None
    done = run("analyze", service.address, "--start", START, "--end", END, "--out", tmp_path / "out")
    assert done.exit_code == 1
    assert done.stdout == ""
    one_sentence(done.stderr.splitlines()[-1])
    assert not (tmp_path / "out").exists()


def test_a_dry_run_prints_the_plan_and_asks_nothing(service, cloud):
    done = run("analyze", OPS, "--start", "2026-03-01", "--end", "2026-04-01", "--dry-run")
    assert done.exit_code == 0
    assert re.search(r"heartbeat_days +Heartbeat +\S+ +\S+ +always +3 +3", done.stdout)
    assert "at most 4 at once" in done.stdout
    assert (service.asked, cloud.asked, cloud.credential.scopes) == ([], [], [])
    without = run("analyze", service.address, "--dry-run", "--out", "x")
    assert without.exit_code == 2
    assert "give --start and --end" in without.stderr


def test_an_interrupted_pause_gives_its_place_back(service, monkeypatch):
    """As often as there are places, and then a query that needs one."""
    monkeypatch.setattr(engine, "DEADLINE", 5)
    with amakit.connect(service.address) as workspace:
        with monkeypatch.context() as patched:
            patched.setattr(engine, "pace", lambda: (_ for _ in ()).throw(KeyboardInterrupt))
            for _ in range(engine.AT_ONCE):
                with pytest.raises(KeyboardInterrupt):
                    workspace.query("print x = 1")
        assert workspace.query("print x = 1")["x"].tolist() == [1]
