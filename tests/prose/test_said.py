"""Everything that a page says of an analysis, held against its result tables, in both languages."""

import json
import re
from dataclasses import replace
from functools import cache
from importlib import resources
from itertools import combinations
from pathlib import Path

import pytest
import rollouts
from generated import analyses
from hypothesis import Phase, given, settings
from incident import analysis, blind, mixed, outage, pages
from said import said
from slowly import Tables, actions, expected

import amakit.facts.gather
from amakit.prose import gaps, incident, rollout, transitions
from amakit.prose.language import Language
from amakit.share.pseudonyms import anonymised

LISTED = rollouts.releases(rollouts.release("1.1", "2025-12-01"), rollouts.release("1.2", "2026-01-02"))
#: What is said of these has a slow reading of its own elsewhere, or is no fact of the analysis.
ELSEWHERE = {
    **dict.fromkeys(["standing", "spread", "claim", "stragglers", "reasons", "started", "effect"],
                    "study/rollout/test_rollout.py"),
    **dict.fromkeys(["concurrent", "alerts", "rule"], "study/test_alert_coverage.py"),
    "arrived": "study/rollout/test_releases.py", "compared": "study/test_compare.py",
    "by_inventory": "test_inventory.py",
    **dict.fromkeys([f"attempts.{name}" for name in ("waits", "median", "shortest", "longest")], "prose/test_incident.py"),
    **dict.fromkeys(["limits", "actions"], "prose/test_said.py"),  # `hold_limits`, `hold_actions`
    **dict.fromkeys([f"run.{name}" for name in ("amakit", "workspace", "queries", "rows", "bytes", "seconds", "hash")],
                    "report/test_run.py"),
    "links": "facts/test_links.py",
}  # fmt: skip
#: Parts of an entry that say what it is about or what to do, and no fact of the tables.
ABOUT = re.compile(r"\.(address|group|step|taken|why|reason|table)$")


def walk(tree, path):
    for part in path.split("."):
        tree = tree[int(part)] if isinstance(tree, list) else tree[part]
    return tree


def alike(got, want):
    if isinstance(want, (dict, list)):  # that it was asked for shows how many there are
        return got is not None and bool(got) == bool(want) and (isinstance(want, dict) or len(got) == len(want))
    if isinstance(want, float) and not isinstance(got, (str, type(None))):
        return got == pytest.approx(want, abs=1e-3, nan_ok=True)
    return got == want


def contradictions(page, tables, timezone):
    """Give the text of a page, and the facts that it says and the tables do not."""
    text, read = said(page)
    want, wrong = expected(tables, page.name, timezone), []
    for path in sorted(read):
        if any(path == name or path.startswith(f"{name}.") for name in ELSEWHERE) or ABOUT.search(path):
            continue
        if page.name == "rollout" and path == "inventory":
            continue
        try:
            right = alike(got := walk(page.facts, path), was := walk(want, path))
        except (KeyError, IndexError, TypeError) as error:
            wrong.append((path, "has no reading in slowly.py", repr(error)))
            continue
        if not right:
            wrong.append((path, got, was))
    return text, wrong


def hold(given, timezone="UTC", agreeing=True):
    """Hold all that is said of an analysis on its pages, in both languages, against its tables."""
    with pytest.MonkeyPatch.context() as patch:  # facts are gathered once for all pages, and languages
        gather = cache(amakit.facts.gather.gather)
        for module in (transitions, gaps, incident, rollout):
            patch.setattr(module, "gather", gather)
        told, tables = pages(given, "en", timezone, LISTED), Tables(given)
        for name, page in told.items():
            for language in ("en", "ja"):
                text, wrong = contradictions(replace(page, words=Language(language, timezone)), tables, timezone)
                assert not wrong, (name, language, wrong)
                hold_claims(name, language, text, tables)
        if agreeing:
            hold_count(told, given, json.loads(incident.document(given)))
        hold_actions(told["incident"], tables)
        hold_limits(told["incident"], tables)


def hold_count(page, given, facts):
    """Hold the one count of upgrades on all pages, and what reconciles it with what a page counts besides."""
    seen = sum(given.transitions["kind"] == "upgrade")
    told, now = facts["verdict"], facts["situation"]
    assert told["seen"] == facts["counts"]["seen"] == seen
    for name in ("changes", "hours"):
        assert (page["transitions"].facts[name] or {"upgrades": 0})["upgrades"] == seen
    more, recovered = told["elsewhere"] + told["unplaced"], now["recovered"]
    assert page["gaps"].facts["upgrades"]["outages"] + more - told["open"] == seen
    assert recovered["upgrades"] + more - recovered["open"] == seen
    assert facts["counts"]["upgrades"] == recovered["upgrades"]
    assert told["open"] - recovered["open"] == sum(one["cause"] == "upgrade" for one in now["down"])
    text = page["gaps"]["cost"] if page["gaps"].facts["upgrades"]["outages"] else page["incident"]["recovered"]
    assert ("more happened" in text) == bool(more) or not text
    if "rollout" in page:
        assert page["rollout"].facts["seen"] == seen


def hold_actions(page, tables):
    want = actions(tables)
    kinds = [one["kind"] for one in page.facts["actions"]]
    for one in page.facts["actions"]:
        if one["kind"] in want:
            assert one["machines"] == want[one["kind"]], one["kind"]
    named = [kind for kind in want if kind not in ("now", "ordered") and want[kind]]
    assert set(named) <= set(kinds), "whoever is concerned is named"
    if "ordered" in kinds or "nothing" in kinds:
        assert len(kinds) == 1


def hold_limits(page, tables):
    want = expected(tables, "incident")["limited"]
    told = {one["kind"]: one.get("n") for one in page.facts["limits"]}
    assert {kind: n for kind, n in want.items() if n} == {kind: told[kind] for kind in want if kind in told}
    assert sum(one["kind"] == "unknown" for one in page.facts["limits"]) == len(tables.run["unknown"])


def _attempted(t):
    return [o for o in t.outages if o["cause"] in ("upgrade", "rolled_back", "rollback_failed")]


def _verdicts(t, outages):
    return {e["verdict"] for o in outages for e in t.of(o)}


def _open(t):
    """Whether somebody has to look at something."""
    now = actions(t)["now"]
    return any(now[part] for part in ("down", "partial", "stopped_sources", "silences", "doubtful"))


def _lost(t, column):
    return any(g[column] for o in t.with_cause("upgrade") for g in t.gaps_of(o))


LOSSES = {"possible_loss", "partial_loss", "returned_late", "stopped"}
#: Sentences without a number: page, English, Japanese, and when they are true; those marked True are said whenever.
CLAIMS = [
    ("transitions", "No machine changed its version", "バージョンが変わったマシンはありません",
     lambda t: not t.transitions, True),
    ("transitions", "still reported at", "報告を続けて", lambda t: bool(t.machines) or True, False),
    ("transitions", "No version gained machines", "マシンが増えたバージョンはありません", lambda t: not t.runs, False),
    ("transitions", "No machine went back", "一度離れたバージョンに戻ったマシンはありません",
     lambda t: not any(c["kind"] == "downgrade" and c["cause"] == "rolled_back" for c in t.transitions), False),
    ("gaps", "Every agent was back by", "までにすべてのエージェントが復帰しています",
     lambda t: not t.gone and all(m["state"] in ("reporting", "partial") for m in t.machines), True),
    ("gaps", "No outage was going on", "時点で続いている停止はありません", lambda t: not t.gone, False),
    ("gaps", "Not back by", "復帰していないもの", lambda t: bool(t.gone), True),
    ("gaps", "No upgrade was seen between", "アップグレードは確認されておらず",
     lambda t: not t.newer and not t.with_cause("upgrade"), True),
    ("gaps", "How long the agent was blind is not known", "停止時間は分かりません",
     lambda t: all(o["ongoing"] for o in t.with_cause("upgrade")) and bool(t.with_cause("upgrade")), True),
    ("gaps", "Upgrades cost data.", "アップグレードによりデータが欠損しました", lambda t: _lost(t, "lost_low"), True),
    ("gaps", "Upgrades may have cost data.", "アップグレードによりデータが欠損した可能性",
     lambda t: _lost(t, "lost_high") and not _lost(t, "lost_low"), True),
    ("gaps", "No upgrade cost data that can be counted", "数えられるデータの欠損はありません",
     lambda t: bool(t.with_cause("upgrade")) and not _lost(t, "lost_high"), True),
    ("gaps", "No upgrade here met a table of events", "イベントのテーブル（Windows イベント、Syslog、カスタム ログ）に関わるアップグレードはありません",
     lambda t: not _verdicts(t, t.with_cause("upgrade")), True),
    ("gaps", "There was no outage that was not an upgrade", "アップグレード以外の停止はありません",
     lambda t: all(o["cause"] == "upgrade" for o in t.outages), True),
    ("gaps", "No two machines of one resource group", "2 台以上が同時に停止したことはありません",
     lambda t: not any(_overlap(t, a, b) for a, b in combinations(t.outages, 2)), False),
    ("gaps", "There was no outage that an alert could have noticed", "アラートで検知できるような停止はありません",
     lambda t: not t.outages, True),
    ("incident", "every agent was back by", "までにすべてのエージェントが復帰しています",
     lambda t: not t.gone and not _open(t) and all(m["state"] == "reporting" for m in t.machines), False),
    ("incident", "no outage that needs anybody was going on", "対応の必要な停止は続いていません", lambda t: not _open(t), False),
    ("incident", "Nothing is to be done", "対応は不要です", lambda t: not _open(t), True),
    ("incident", "as far as the data reach", "期間の一部は不明", lambda t: bool(t.run["unknown"]) and not _open(t), True),
    ("incident", "No machine needs you now", "直ちに対応が必要なマシンはありません", lambda t: not actions(t)["now"]["down"] and _open(t), True),
    ("incident", "No upgrade was seen between", "にアップグレードはありません", lambda t: not t.newer and not _attempted(t), True),
    ("incident", "How long upgrades took agents away is not known", "アップグレードによる収集停止時間は不明です",
     lambda t: bool(_attempted(t)) and all(o["ongoing"] for o in _attempted(t)), True),
    ("incident", "failed upgrades took", "失敗したアップグレードによる収集停止は",
     lambda t: not any(o["cause"] == "upgrade" and not o["ongoing"] for o in t.outages), False),
    ("incident", "No table of events met them", "関係するイベントのテーブルはありません", lambda t: not _verdicts(t, _attempted(t)), False),
    ("incident", "Events read from logs: see “In doubt”", "「欠損の可能性」を参照", lambda t: bool(actions(t)["now"]["doubtful"] or actions(t)["now"]["silences"]), False),
    ("incident", "Events read from logs: see “Partly down”", "「一部が停止中」を参照", lambda t: bool(actions(t)["now"]["stopped_sources"]), False),
    ("incident", "Rows of events may be lost", "イベントの行が欠損した可能性があります", lambda t: bool(_verdicts(t, _attempted(t)) & LOSSES), False),
    ("incident", "were picked up afterwards, as far as", "復帰後に収集されています", lambda t: "recovered" in _verdicts(t, _attempted(t)) and _verdicts(t, t.outages) <= {"recovered", "none_expected", *LOSSES} and not _verdicts(t, _attempted(t)) & LOSSES, False),
    ("incident", "too few to lose any", "欠損するほどの行がもともとありません", lambda t: _verdicts(t, _attempted(t)) == {"none_expected"}, False),
    ("incident", "No outage was found", "までの間に停止はありません", lambda t: not t.outages, True),
    ("incident", "None of them has a known end", "終わりの分かるものはありません", lambda t: bool(t.outages) and all(o["ongoing"] for o in t.outages), True),
    ("incident", "No machine was without its agent", "エージェントが停止していたマシンはありません",
     lambda t: all(o["cause"] in ("disconnected", "not_recorded") for o in t.outages), True),
    ("incident", "No upgrade and no failed attempt touched a stream", "ストリームに関わるアップグレードや失敗した試行はありません", lambda t: not _attempted(t), True),
    ("incident", "No upgrade or failed attempt met a table of events", "カスタム ログ）に関わるアップグレードや失敗した試行はありません", lambda t: not _verdicts(t, _attempted(t)), True),
    ("incident", "There was no outage whose cause could be asked for", "原因を問うべき停止はありません", lambda t: not t.outages, True),
    ("incident", "The activity log is not in this workspace", "このワークスペースにはアクティビティ ログがない", lambda t: "AzureActivity" in t.run["missing_tables"] and bool(t.outages), True),
    ("incident", "was an upgrade that failed", "失敗したアップグレードによるものはありません", lambda t: not t.with_cause("rolled_back", "rollback_failed"), True),
    ("incident", "Nothing: every agent is back, nothing is in doubt", "すべてのエージェントが復帰し、疑わしい点はなく", lambda t: not t.gone and not _open(t) and not t.run["unknown"] and not _verdicts(t, t.outages) - {"recovered", "none_expected"}, False),
    ("incident", "Nothing that follows from these tables", "これらのテーブルから必要と分かる対応はありません", lambda t: not _open(t), False),
    ("incident", "Send the activity log to this workspace", "アクティビティ ログをこのワークスペースに送って", lambda t: "AzureActivity" in t.run["missing_tables"], True),
    ("incident", "Nothing else is in doubt", "ほかに疑わしい点はありません", lambda t: bool(t.gone) and not _open(t), False),
    ("incident", "no outage to look at", "詳しく見るべき停止はありません", lambda t: not t.outages, True),
    ("gaps", "no outage to look at", "詳しく見るべき停止はありません", lambda t: not t.outages, True),
    ("gaps", "There was no upgrade with a known end", "終わりの分かるアップグレードはありません", lambda t: all(o["ongoing"] for o in t.with_cause("upgrade")), True),
    ("transitions", "There was no upgrade whose time could be shown", "時刻を示せるアップグレードはありません", lambda t: not t.newer, True),
]  # fmt: skip


def _overlap(t, a, b):
    there = [o["cause"] != "disconnected" and t.group(o) for o in (a, b)]
    ends = [t.horizon if o["ongoing"] else o["end_latest"] for o in (a, b)]
    meet = max(a["start_earliest"], b["start_earliest"]) < min(ends)
    return t.key(a) != t.key(b) and there[0] and there[0] == there[1] and meet


def hold_claims(name, language, text, tables):
    """Hold the sentences without a number of one page."""
    whole = "\n".join(text.values()).replace("**", "")
    for page, english, japanese, true, whenever in CLAIMS:
        if page == name:
            said_so = {"en": english, "ja": japanese}[language] in whole
            assert not said_so or true(tables), (english, "is said and is not so")
            assert said_so or not whenever or not true(tables), (english, "is so and is not said")


@pytest.mark.parametrize(("language", "place"), [("en", 1), ("ja", 2)])
def test_every_sentence_without_a_number_is_a_claim_that_is_held_or_is_general(language, place):
    """A line of a template without a value in it says something of the analysis, or something that is always so."""
    claims = [one[place] for one in CLAIMS]
    unheld = []
    for path in resources.files("amakit").joinpath(f"prose/templates/{language}").iterdir():
        if path.name.removesuffix(".md.j2") in ("rollout", "explorer"):  # tests/study/test_rollout.py, tests/lab
            continue
        for line in path.read_text(encoding="utf-8").splitlines():
            general = line.startswith(("- ", "{%", "{#", "```", "  ", "]", "`Conf"))
            if line.strip() and "{{" not in line and not general and not any(part in line for part in claims):
                unheld.append(line)
    assert [line for line in unheld if not line.startswith(GENERAL[language])] == []
    assert len(unheld) == len(GENERAL[language]), "none of them has gone"


#: What is always so, stands before what is, or is held in tests/study/test_alert_coverage.py.
GENERAL = {
    "en": ("**Synthetic data.**", "By product line:", "Events in logs are read afterwards, so they should not", "No window can be",
           "No window is long enough", "Samples lost to upgrades, with", "All of it, with the evidence",
           "Rows that an agent reads from logs should be", "No end of an outage was seen."),
    "ja": ("**デモ用の架空データです。**", "製品ライン別:", "ログから読み取るイベントは後から", "このデータから推奨できる集計期間は",
           "すべてのアップグレードで発報しない", "アップグレードによるサンプルの欠損数", "根拠を含むすべての内容は",
           "ログから読み取る行は、停止のあとで", "停止の始まりと終わりそのものは"),
}  # fmt: skip


@settings(max_examples=6, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(analyses())
def test_what_is_said_of_any_analysis_stands_in_its_tables(given):
    hold(given)


ODD = {
    "mixed": mixed,
    "blind": blind,
    "quiet": lambda: analysis([], spare=["f"]),
    "nobody": lambda: analysis([]),
    "all dead": lambda: analysis([outage(c, "20:00:00", "", "rollback_failed") for c in "abc"]),
    "one": lambda: analysis([outage("a", "10:00:30", "10:04:30")]),
    "crosses the end": lambda: analysis([outage("a", "23:59:00", "", "upgrade")]),
    "fleet": lambda: rollouts.fleet(3, machines=6)[0],
}


def test_what_is_held_elsewhere_has_its_tests():
    assert {name for name in ELSEWHERE.values() if not (Path(__file__).parents[1] / name).is_file()} == set()


@pytest.mark.parametrize("case", ODD)
def test_what_is_said_of_odd_analyses_stands_in_their_tables(case):
    hold(ODD[case](), agreeing=False)  # their changes of version have no outages, or the other way round


def test_what_is_said_of_the_demo_stands_in_its_tables_under_its_names_and_under_others():
    names = [
        "sql-07",
        "batch-12",
        "sql-18",
        "batch-22",
        "vmssapi000025",
        "web-27",
        "batch-33.corp.contoso.example",
        "web-40",
    ]
    given = amakit.analyze(amakit.connect("demo"), "2026-03-09", "2026-03-11", names)
    hold(given, "Asia/Tokyo")
    hold(anonymised(given, b"k" * 32))
