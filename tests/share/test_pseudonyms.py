"""Pseudonyms: no name remains, what was equal stays equal, and everything that is told can still be told."""

import dataclasses
import hashlib
import hmac
import itertools
import json
import re
from importlib import resources

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import amakit
from amakit import charts
from amakit.analysis import Analysis
from amakit.kql.literals import literal
from amakit.prose.gaps import gaps
from amakit.prose.incident import incident
from amakit.prose.transitions import transitions
from amakit.schemas import machine_labels
from amakit.share.key import owner_key
from amakit.share.pseudonyms import Pseudonyms, anonymised, pseudonym
from amakit.study import alert_coverage

KEY = bytes(range(32))
SUBSCRIPTION = "0b1e2d3c-4a5f-4687-9a0b-c0de00000001"
TIME = pd.Timestamp("2026-03-02 10:00", tz="UTC")


def digest(kind, text, key=KEY):
    whole = hmac.new(key, kind.encode() + bytes(1) + text.encode(), hashlib.sha256).hexdigest()
    return f"{kind}-{whole[:12]}"


def vm(name, group="rg", kind="microsoft.compute/virtualmachines"):
    return f"/subscriptions/{SUBSCRIPTION}/resourcegroups/{group}/providers/{kind}/{name}"


def analysis_of(run=None, **frames):
    """Make an analysis of a few frames; the others are empty."""
    empty = {f.name: pd.DataFrame() for f in dataclasses.fields(Analysis)}
    return Analysis(**empty | frames | {"window": None, "run": run or {}})


def written(analysis):
    """Give everything that an analysis holds as one text."""
    values = [getattr(analysis, f.name) for f in dataclasses.fields(analysis)]
    frames = [value.to_csv() for value in values if isinstance(value, pd.DataFrame)]
    return "\n".join([*frames, json.dumps(analysis.run, ensure_ascii=False)])


def stands_in(name, text):
    return re.search(rf"(?<![^\W_]){re.escape(name)}(?![^\W_])", text, re.IGNORECASE)


def left(names, text):
    """Give the names that still stand in a text; most are nowhere in it, which is quick to see."""
    text = text.lower()
    return [name for name in names if name.lower() in text and stands_in(name.lower(), text)]


@pytest.fixture(scope="module")
def real():
    return amakit.analyze(amakit.connect("demo"), "2026-03-02", "2026-03-16")


@pytest.fixture(scope="module")
def shown(real):
    return anonymised(real, KEY)


def originals(analysis):
    """Give every name and id in the frames of the demo."""
    found = set()
    for frame in (analysis.machines, analysis.runs, analysis.samples):
        for name in set(frame["computer"]):
            found |= {name, *name.split(".", 1)}
    targets = {*analysis.runs["resource_id"], *analysis.activity["target"]}
    for text in targets:
        found |= set(
            re.findall(
                r"/(?:subscriptions|resourcegroups|virtualmachines|machines|virtualmachinescalesets)/([^/]+)", text
            )
        )
    found |= set(analysis.activity["correlation"]) | set(analysis.activity["caller"])
    return found - {""} | {"contoso", "kovac"}


def test_pseudonyms_are_the_first_digits_of_an_hmac():
    assert pseudonym(KEY, "machine", "Web-01") == digest("machine", "web-01")
    assert pseudonym(KEY, "person", "Jane@Corp.example") == digest("person", "jane@corp.example")
    assert (
        pseudonym(KEY, "machine", "web-01.corp.example")
        == f"{digest('machine', 'web-01')}.{digest('domain', 'corp.example')}"
    )
    assert pseudonym(KEY, "machine", "10.0.0.4") == digest("machine", "10.0.0.4")
    assert pseudonym(b"other", "machine", "web-01") == digest("machine", "web-01", b"other")
    assert pseudonym(KEY, "machine", "") == ""


def test_a_hash_of_real_answers_cannot_be_tried():
    real = {"inputs_sha256": "ab" * 32, "queries": [{"name": "x", "text": "y", "sha256": "cd" * 32}, {"sha256": ""}]}
    run = anonymised(analysis_of(real), KEY).run
    assert run["inputs_sha256"] == hmac.new(KEY, b"ab" * 32, "sha256").hexdigest()
    assert [query["sha256"] for query in run["queries"]] == [hmac.new(KEY, b"cd" * 32, "sha256").hexdigest(), ""]


def test_the_key_never_lands_in_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", "")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("AMAKIT_KEY_FILE", raising=False)
    owner_key()
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


LEAKS = {
    "an account, English": ("on behalf of CORPX\\janedoex at once", "janedoex"),
    "an account, German": ("für Benutzer CONTOSOX\\janedoex.", "janedoex"),
    "an account, French": ("l'utilisateur CONTOSOX\\janedoex a", "janedoex"),
    "an account, Japanese": ("ユーザー CONTOSOX\\janedoex が", "janedoex"),
    "an account in JSON": ('{"user":"CONTOSOX\\\\janedoex"}', "janedoex"),
    "an address after a colon": ("ip:10.77.88.98 and tcp:10.77.88.89", "10.77.88"),
    "an address after a letter": ("v10.77.88.92 host_10.77.88.91", "10.77.88"),
    "an address of six after a colon": ("ip:2001:db8:77::96 came", "db8:77"),
    "a GUID in a coded path": ("%2Fsubscriptions%2F0b1e2d3c-4a5f-4687-9a0b-c0de0000000f%2Fx", "c0de0000000f"),
    "a GUID without dashes": ("id 0b1e2d3c4a5f46879a0bc0de0000000f came", "c0de0000000f"),
    "a GUID with underscores": ("id 0b1e2d3c_4a5f_4687_9a0b_c0de0000000f came", "c0de0000000f"),
    "a security identifier": ("S-1-5-21-3623811015-3361044348-30300820-1013", "3623811015"),
    "a distinguished name": ("CN=janedoex,OU=Salesx,DC=corpx,DC=example", "x,"),
    "a name in a word": ("xweb-front-0734x and 1web-front-0734", "web-front-0734"),
    "a name cut for NetBIOS": ("WEB-FRONT-07341 joined", "WEB-FRONT-0734"),
    "a name in a coded path": ("a%20b%2Fdb%C3%A9%2D1".replace("%2D", "-"), "db%C3%A9-1"),
    "a name with escapes of JSON": ('{"host": "db\\u00e9-1"}', "db\\u00e9-1"),
}


@pytest.mark.parametrize("case", LEAKS)
def test_no_spelling_of_a_name_stays(case):
    text, secret = LEAKS[case]
    names = ["web-front-0734", "web-front-0734123456789", "dbé-1"]
    machines = pd.DataFrame({"resource_id": "", "computer": names, "note": ["", "", text]})
    after = anonymised(analysis_of({"queries": [{"name": "x", "text": text}]}, machines=machines), KEY)
    assert secret.lower() not in written(after).lower().replace("\\\\", "\\")


@pytest.mark.parametrize(
    "text",
    [
        "Processor \\ % Processor Time \\ _Total", "NT AUTHORITY\\SYSTEM stopped it", "C:\\Windows\\System32\\x.dll",
        "HKLM\\Software\\Microsoft\\Azure", "version 1.34.5.0-2 of 2026-03-02 10:00:00",
    ],
)  # fmt: skip
def test_what_names_nobody_stays(text):
    assert Pseudonyms(KEY, {"1.34.5.0-2": None}).text(text) == text


def test_a_resource_id_keeps_its_structure():
    name, group = digest("machine", "web-01"), digest("group", "rg-web")
    whole = f"/subscriptions/{digest('subscription', SUBSCRIPTION)}/resourcegroups/{group}/providers/microsoft.compute/virtualmachines/{name}"
    for kind in ("resource", "machine"):  # a caller may give an id where a machine is asked for
        assert pseudonym(KEY, kind, vm("Web-01", "RG-Web").replace("resourcegroups", "resourceGroups")) == whole
    agent = "/extensions/azuremonitorwindowsagent"
    assert pseudonym(KEY, "resource", vm("web-01", "rg-web") + agent) == whole + agent
    assert pseudonym(KEY, "resource", vm("web-01", "rg-web") + "/extensions/contoso").endswith(
        digest("extension", "contoso")
    )
    own = pseudonym(KEY, "resource", vm("web-01", "rg-web") + "/extensions/contoso-azuremonitorlinuxagent")
    assert re.fullmatch(r".*/extensions/extension-[0-9a-f]{12}-azuremonitorlinuxagent", own)
    sets = pseudonym(
        KEY, "resource", vm("front", kind="microsoft.compute/virtualmachinescalesets") + "/virtualmachines/3"
    )
    assert sets.endswith(
        f"/virtualmachinescalesets/{digest('scaleset', 'front')}/virtualmachines/{digest('machine', '3')}"
    )


LETTERS = st.sampled_from('abcxyzéж0123456789-_. "\\')
NAMES = st.text(LETTERS, min_size=3, max_size=20).filter(
    lambda name: re.search(r"[^\W\d_]", name) and name == name.strip()
)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(NAMES, st.sampled_from(["", "rg-one", "rg-two"])), min_size=1, max_size=6),
    st.lists(NAMES, max_size=2),
)
def test_no_name_remains_and_what_was_equal_stays_equal(machines, asked):
    ids = [vm(name, group) if group else "" for name, group in machines]
    names = [name for name, _ in machines]
    frame = pd.DataFrame(
        {
            "resource_id": ids,
            "computer": names,
            "row": range(len(ids)),
            "note": [
                f"Syslog: {name.upper()} started ({name}); by o'neil@corp.example at 2026-03-02 10:00:00"
                for name in names
            ],
        }
    )
    table = pd.DataFrame({"ResourceId": ids, "Computer": names, "Start": [TIME] * len(ids)})
    run = {
        "machines": asked,
        "queries": [
            {"name": "x", "text": f"let W = {literal(table)};\nHeartbeat | where Computer in ({literal(names)})"}
        ],
    }
    before = analysis_of(run, outages=frame, runs=frame.astype({"computer": "category"}))
    after = anonymised(before, KEY)
    text = written(after)
    for name in {*names, *asked, "rg-one", "rg-two", SUBSCRIPTION, "neil"}:
        for spelled in (name, json.dumps(name, ensure_ascii=False)[1:-1]):
            assert not stands_in(spelled, text)
    assert "2026-03-02 10:00:00" in text
    new_names = [pseudonym(KEY, "machine", name) for name in names]
    table = table.assign(ResourceId=[pseudonym(KEY, "resource", text) for text in ids], Computer=new_names)
    told = f"let W = {literal(table)};\nHeartbeat | where Computer in ({literal(new_names)})"
    assert after.run["queries"][0]["text"] == told
    for new in (after.outages, after.runs):
        new = new.sort_values("row")
        for column in ("resource_id", "computer"):
            for one, two in itertools.combinations(range(len(new)), 2):
                assert (frame[column][one] == frame[column][two]) == (new[column].iloc[one] == new[column].iloc[two])
        assert new["computer"].tolist() == [pseudonym(KEY, "machine", name) for name in names]
    assert after.run["machines"] == [pseudonym(KEY, "machine", name) for name in asked]


def test_a_name_inside_a_longer_word_is_none():
    known = Pseudonyms.of(analysis_of(machines=pd.DataFrame({"computer": ["app", "app-2", "db", "naïve"]})), KEY)
    assert known.text("what happened to APP, app-2, applications and app_disk") == (
        f"what happened to {digest('machine', 'app')}, {digest('machine', 'app-2')}, applications"
        f" and {digest('machine', 'app')}_disk"
    )
    assert known.text("a db of NAÏVE people") == f"a db of {digest('machine', 'naïve')} people"


def test_a_machine_called_like_a_word_leaves_the_word_alone():
    words = [
        "heartbeat",
        "windows",
        "summarize",
        "computer",
        "upgrade",
        "1.38.1.0",
        "2026",
        "kernel",
        "myapp",
        "timegenerated",
    ]
    ids = [vm(word, "production") for word in words]
    versions = pd.DataFrame(
        {"version": ["1.38.1.0"], "data_type": "MyApp_CL", "cause": "upgrade", "os_type": "Windows"}
    )
    table = literal(pd.DataFrame({"ResourceId": ids, "Computer": words, "Start": [TIME] * len(ids)}))
    text = "Heartbeat | where OSType == 'Windows' | summarize max(TimeGenerated) by Computer; ['MyApp_CL']"
    frame = pd.DataFrame(
        {"resource_id": ids, "computer": words, "evidence": "1.38.1.0 reports (upgrade), at 2026-03-02T10:00:00Z"}
    )
    after = anonymised(
        analysis_of({"queries": [{"text": f"let W = {table};\n{text}"}]}, outages=frame, gaps=versions), KEY
    )
    assert set(after.outages["evidence"]) == {"1.38.1.0 reports (upgrade), at 2026-03-02T10:00:00Z"}
    pd.testing.assert_frame_equal(after.gaps, versions)
    told, kept = after.run["queries"][0]["text"].split(";\n")
    assert kept == text
    assert not any(stands_in(f'"{word}"', told) or stands_in(f"/{word}", told) for word in words)
    assert set(after.outages["computer"]) == {pseudonym(KEY, "machine", word) for word in words}


def test_what_looks_like_an_identifier_is_replaced_without_being_known():
    known = Pseudonyms.of(analysis_of(machines=pd.DataFrame({"version": ["1.38.1.0"], "computer": "web-01"})), KEY)
    for text, kind, name in (
        ("asked by jane_x.com#EXT#@corp.example.", "person", "jane_x.com#ext#@corp.example"),
        ("on behalf of user CORP\\jane for", "person", "corp\\jane"),
        ("out_dir = '/home/jane/reports'", "person", "jane"),
        (r"C:\Users\jane\reports", "person", "jane"),
        ("from 10.1.2.3:443", "address", "10.1.2.3"),
        ("from fe80::1ff:fe23:4567:890a.", "address", "fe80::1ff:fe23:4567:890a"),
        ("adapter 00:0d:3a:aa:bb:cc", "address", "00:0d:3a:aa:bb:cc"),
        ("id 4cc82620-1C66-43f0-abd6-220ec5a35d52", "id", "4cc82620-1c66-43f0-abd6-220ec5a35d52"),
    ):
        assert known.text(text) == re.sub(re.escape(name), digest(kind, name), text, flags=re.IGNORECASE)
    assert known.text(f"see {vm('x.y', 'Other')}.") == f"see {pseudonym(KEY, 'resource', vm('x.y', 'other'))}."
    for text in (
        "1.38.1.0 at 10:00:00",
        "version 10.0.20348.2227",
        "on behalf of user NT AUTHORITY\\SYSTEM",
        r"Memory \ Available MBytes \ ",
    ):
        assert known.text(text) == text


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("demo", "demo"),
        ("/home/jane/exports/contoso", "workspace-[0-9a-f]{12}"),
        ("https://contoso.kusto.windows.net/logs", "workspace-[0-9a-f]{12}"),
        (vm("Ops", kind="Microsoft.OperationalInsights/workspaces"), r"/subscriptions/subscription-\w+/.*/workspaces/workspace-\w+"),
    ],
)  # fmt: skip
def test_the_workspace_is_named_by_its_pseudonym(name, pattern):
    run = {"workspace": name, "synthetic": True, "note": f"read from {name} just now"}
    after = anonymised(analysis_of(run), KEY).run
    assert re.fullmatch(pattern, after["workspace"])
    assert after["note"] == f"read from {after['workspace']} just now"
    assert after["synthetic"] is True


def test_nothing_of_the_demo_remains(real, shown):
    text = written(shown).lower()
    assert left(originals(real), text) == []
    assert SUBSCRIPTION[:-1] not in text
    told = shown.activity["caller"]
    assert all(caller.startswith("person-") for caller in told[told != ""])
    assert (told == "").tolist() == (
        real.activity["caller"] == ""
    ).tolist()  # nobody called where the platform tells it


def test_everything_else_of_the_demo_is_unchanged(real, shown):
    free = {"evidence", "stream", "note", "text"}
    kinds = {
        "resource_id": "resource",
        "base": "resource",
        "target": "resource",
        "computer": "machine",
        "caller": "person",
        "actor": "person",
    }
    for field in dataclasses.fields(real):
        frame, new = getattr(real, field.name), getattr(shown, field.name)
        if not isinstance(frame, pd.DataFrame):
            continue
        assert (frame.dtypes == new.dtypes).all(), field.name
        mapped = {
            c: frame[c].map(lambda text, kind=kind: pseudonym(KEY, kind, text))
            for c, kind in kinds.items()
            if c in frame
        }
        expected = frame.assign(**mapped).drop(columns=[*free, "correlation", "outage"], errors="ignore")
        by = list(expected.columns)
        left, right = (f[by].sort_values(by, ignore_index=True) for f in (expected, new))
        pd.testing.assert_frame_equal(left, right)
        if {"computer", "resource_id"} <= set(new):
            pd.testing.assert_frame_equal(new, new.sort_values(["computer", "resource_id"], kind="stable"))
    hashed = ("queries", "inputs_sha256")
    assert {k: v for k, v in shown.run.items() if k not in hashed} == {
        k: v for k, v in real.run.items() if k not in hashed
    }
    for old, new in zip(real.run["queries"], shown.run["queries"], strict=True):
        assert new == old | {"text": new["text"], "sha256": new["sha256"]}
        assert new["sha256"] != old["sha256"]
        assert re.findall(r"datetime\([^)]*\)", new["text"]) == re.findall(r"datetime\([^)]*\)", old["text"])
        assert re.sub('"[^"]*"', '""', new["text"]) == re.sub('"[^"]*"', '""', old["text"])


def test_operations_still_point_to_their_outages(real, shown):
    def pairs(analysis):
        own = analysis.activity.join(analysis.outages[["start_earliest", "cause"]], on="outage")
        return own[["began", "operation", "start_earliest", "cause"]].sort_values(
            ["began", "start_earliest"], ignore_index=True
        )

    pd.testing.assert_frame_equal(pairs(real), pairs(shown))


def test_one_key_gives_the_same_and_another_gives_others(real, shown):
    assert written(anonymised(real, KEY)) == written(shown)
    other = anonymised(real, b"another key that nobody has seen")
    assert not set(other.machines["computer"]) & set(shown.machines["computer"])
    pd.testing.assert_series_equal(
        real.outages["downtime_s"].sort_values(ignore_index=True),
        other.outages["downtime_s"].sort_values(ignore_index=True),
    )


def test_groups_and_labels_still_meet(real, shown):
    def stretches(analysis):
        found = alert_coverage.together(analysis.outages, analysis.machines, analysis.window.end)
        columns = ["kind", "members", "start", "end", "certain_s", "possible_s", "at_once", "at_once_high"]
        return found[columns].sort_values(columns, ignore_index=True)

    pd.testing.assert_frame_equal(stretches(real), stretches(shown))
    assert machine_labels(shown.machines).nunique() == machine_labels(real.machines).nunique()
    assert machine_labels(shown.machines).str.contains(" · group-", regex=False).sum() == 2


def test_charts_and_sentences_can_be_made_and_name_nobody(real, shown):
    told = [
        getattr(charts, name)(shown).to_json()
        for name in ("inventory", "timeline", "adoption", "clock", "around", "downtimes", "causes", "alerts")
    ]
    for page in (transitions(shown), gaps(shown), incident(shown)):
        told += [table.to_csv() for table in page.tables.values()]
        sections = re.findall(
            r"macro (\w+)\(\)",
            resources.files("amakit").joinpath(f"prose/templates/en/{page.name}.md.j2").read_text(encoding="utf-8"),
        )
        told += [page[section] for section in sections]
    assert len(told) > 20
    assert left(originals(real), "\n".join(told)) == []


def test_the_key_is_not_shown():
    assert "key" not in repr(Pseudonyms(KEY, {"web-01": "machine-1"})).replace("key=", "")
    assert "web-01" not in repr(Pseudonyms(KEY, {"web-01": "machine-1"}))


@pytest.mark.parametrize("word", ["cache", "index", "health", "insights", "control", "demo", "example"])
def test_a_word_of_the_code_alone_is_a_name_where_a_machine_is_called_so(word):
    machines = pd.DataFrame({"resource_id": [vm(word, "production")], "computer": [word]})
    told = machines.assign(evidence=f"The service on {word} stopped; {word.upper()} was started")
    (sentence,) = anonymised(analysis_of({}, outages=told), KEY).outages["evidence"]
    own = pseudonym(KEY, "machine", word)
    assert sentence == f"The service on {own} stopped; {own} was started"


def test_several_workspaces_are_named_by_one_pseudonym_each():
    east, west = (pseudonym(b"key", "workspace", name) for name in ("east", "west"))
    assert pseudonym(b"key", "workspace", "east, west") == f"{east}, {west}"
