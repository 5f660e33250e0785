"""The pages: one golden text for each notebook and language, the same numbers in both, and names that stay text.

`AMAKIT_GOLDEN=1 pytest tests/prose/test_pages.py` writes the golden texts anew; read what changed before it is committed.
"""

import html
import os
import re
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import pytest
import rollouts
from incident import RG, act, analysis, event, gap, mixed, outage, page_of, pages, proof
from nbconvert.filters import markdown2html
from said import shown_by

from amakit.prose.page import queries
from amakit.report.tables import Table

GOLDEN = Path(__file__).parent / "golden"
LISTED = rollouts.releases(rollouts.release("1.1", "2025-12-01"), rollouts.release("1.2", "2026-01-02"))


def told(page):
    """A page as Markdown, without charts and headings."""
    parts = [
        f"<!-- {key} -->\n\n"
        + (Table(page.tables[key], page.words.language)._repr_mimebundle_()["text/markdown"] if table else page[key])
        for table, key in shown_by(page.name)
    ]
    return "\n\n".join(parts) + "\n"


def quiet():
    return analysis([], spare=["f", "g"])


CASES = {
    "mixed": mixed,
    "quiet": quiet,
    "others": lambda: analysis([outage("e", "01:00:00", "03:00:00", "machine_stopped", pair=("1", "1"))], spare=["f"]),
    "perhaps": lambda: analysis([a := outage("a", "10:00:30", "10:04:30")],
                                [gap(a, "Heartbeat", "10:00:00", "10:05:00", 0, 0, 2)]),
    "never": lambda: analysis([outage("d", "20:00:00", "", "rollback_failed")]),
    "fleet": lambda: rollouts.fleet(3, machines=6)[0],
}  # fmt: skip


@cache
def made(case, language):
    return pages(CASES[case](), language, "Asia/Tokyo", LISTED)


@pytest.mark.parametrize("language", ["en", "ja"])
@pytest.mark.parametrize(
    ("name", "case"), [("transitions", "fleet"), ("gaps", "mixed"), ("incident", "mixed"), ("rollout", "fleet")]
)
def test_a_page_reads_as_its_golden_text(name, case, language):
    text = told(made(case, language)[name])
    golden = GOLDEN / f"{name}.{language}.md"
    if os.environ.get("AMAKIT_GOLDEN"):
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(text, encoding="utf-8", newline="\n")
    assert text == golden.read_text(encoding="utf-8")


def numbers(text):
    return Counter(re.findall(r"\d+(?:[.,:]\d+)*", html.unescape(re.sub(r"<[^>]*>", "", markdown2html(text)))))


@pytest.mark.parametrize("case", CASES)
def test_both_languages_tell_the_same_numbers(case):
    english, japanese = (made(case, language) for language in ("en", "ja"))
    for name in english:
        for table, key in shown_by(name):
            if not table:
                missing = set(numbers(english[name][key])) - set(numbers(japanese[name][key]))
                assert not missing, (name, key)  # what English writes in words may be a number in Japanese


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("language", ["en", "ja"])
def test_tables_have_headings_in_the_language_and_unique(case, language):
    for page in made(case, language).values():
        for name, table in page.tables.items():
            headings = [table.columns.name, *table.columns]
            assert len(set(headings)) == len(headings), name
            assert not [heading for heading in headings if "{" in heading or "_" in heading], name


def test_utc_stands_beside_another_zone_and_not_beside_itself():
    assert list(page_of(mixed(), "incident").tables["timeline"].columns)[:3] == [
        "resource group",
        "began (UTC)",
        "back",
    ]
    table = page_of(mixed(), "incident", "en", "Asia/Tokyo").tables["timeline"]
    assert table.loc["a"].tolist()[1:4] == ["2026-03-02 19:00:20", "2026-03-02 10:00:20", "2026-03-02 19:04:40"]


HOSTILE = ["<script>alert(1)</script>", "a|b", "=cmd|' /C calc'!A0", "*x* [y](http://z)", "r\u202etxt.exe", "w" * 10_000,
           "{start}", "%{x}", "`</summary>`", "nul\x00l", "{{ f }}", "{% if %}"]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_whatever_machines_are_called_it_is_shown_as_text(name):
    bad = outage("a", "10:00:00", "", "rollback_failed", resource=RG + "a")
    bad = {**bad, "computer": name, "from_version": name}
    given = analysis(
        [bad],
        [gap(bad, name, "09:59:50", "", 240, ongoing=True, stream=name)],
        events=[event(bad, name, "possible_loss", 0, 9.0)],
        activity=[act(bad, "09:59:00", 0, operation=name, status=name, caller=name)],
        evidence=proof(bad, ("09:59:00", "agent_write", name, name, name, name)),
    )
    for language in ("en", "ja"):
        for page in pages(given, language, names=("transitions", "gaps", "incident")).values():
            for table, key in shown_by(page.name):
                if table:
                    text = page.tables[key].to_string()
                    assert not {"\u202e", "\x00"} & set(text), (page.name, key)
                    continue
                shown = markdown2html(page[key])
                assert set(re.findall(r"<(\w+)", shown)) <= {"p", "strong", "code", "ul", "li"}, (page.name, key)
                assert "\u202e" not in shown
                assert len(shown) < 6_000


def test_a_section_in_plain_text_is_free_of_markup_and_of_escapes():
    page = page_of(analysis([{**outage("a", "10:00:00", "", "rollback_failed"), "computer": r"a_b\*<c>"}]), "incident")
    assert r"a_b\*<c>" in page.plain("verdict")
    assert "**" not in page.plain("verdict")
    assert "**" in page["verdict"]


def test_queries_are_shown_whole_folded_away_and_the_very_long_ones_cut():
    from dataclasses import replace

    asked = [
        {"name": "a_b", "text": "T\n| where x == '```'", "rows": 1, "bytes": 8, "seconds": 0.1, "sha256": "00"},
        {"name": "", "text": "x" * 30_000, "rows": 0, "bytes": 0, "seconds": 0.0, "sha256": "11"},
    ]
    given = quiet()
    shown = markdown2html(queries(replace(given, run=given.run | {"queries": asked})))
    assert "<summary>1. a_b</summary>" in shown
    assert "26,000 characters more in run.json" in shown
    assert "| where x == " in html.unescape(re.sub(r"<[^>]*>", "", shown))
    assert shown.count("<details>") == shown.count("</details>") == 2


def test_the_facts_of_a_page_are_gathered_once(monkeypatch):
    calls = Counter()
    homes = {"gather": "gather", "losses_of_outages": "summary", "verdict": "verdict", "attempts": "verdict"}
    for name, home in homes.items():
        own = getattr(sys.modules[f"amakit.facts.{home}"], name)
        counted = lambda *given, own=own, name=name: (calls.update([name]), own(*given))[1]  # noqa: E731
        for module in [m for n, m in sys.modules.items() if n.startswith("amakit.")]:
            if getattr(module, name, None) is own:
                monkeypatch.setattr(module, name, counted)
    page = page_of(mixed(), "incident")
    told(page)
    assert calls == {"gather": 1, "losses_of_outages": 1, "verdict": 1, "attempts": 1}
