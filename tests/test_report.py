"""Notebooks and their pages: run for real, opened in a real browser with the network shut."""

import json
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from fleet import beats, write

import amakit
from amakit.report import notebooks, page, report

NAME = "01_version_transitions"
WEEKS = {"start": "2026-03-02", "end": "2026-03-16"}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("made")
    report(NAME, "demo", **WEEKS, out=out, to=("html", "ipynb"))
    return out


@pytest.fixture(scope="module")
def found():
    return amakit.analyze(amakit.connect("demo"), **WEEKS)


@pytest.fixture(scope="module")
def browser():
    """Give the Chromium of this machine, which a package of the system brings."""
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
    if path is None:
        reason = "there is no Chromium to open the page in; install it, on Debian with `apt-get install chromium`"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"]
        chromium = playwright.chromium.launch(executable_path=path, args=flags)
        yield chromium
        chromium.close()


@pytest.fixture
def opened(browser):
    """Open a page with no network; what it asks for and what it complains of is kept."""
    contexts = []

    def open_page(path, scheme="light"):
        context = browser.new_context(offline=True, color_scheme=scheme)
        contexts.append(context)
        sheet = context.new_page()
        sheet.asked, sheet.complaints = [], []
        sheet.on("request", lambda request: sheet.asked.append(request.url))
        sheet.on("console", lambda message: sheet.complaints.append(message.text))
        sheet.on("pageerror", lambda error: sheet.complaints.append(str(error)))
        sheet.on("dialog", lambda dialog: sheet.complaints.append(f"dialog {dialog.message}"))
        sheet.goto(Path(path).as_uri())
        sheet.wait_for_selector("body[data-charts=drawn]")
        return sheet

    yield open_page
    for context in contexts:
        context.close()


class Tags(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))


def test_the_page_is_one_file_that_names_no_other_place(made):
    text = (made / f"{NAME}.html").read_text(encoding="utf-8")
    tags = Tags(text).found
    assert len(text) < 6_000_000
    assert not [tag for tag, a in tags if a.get("src") or (tag == "link") or "://" in (a.get("href") or "")]
    assert "http://" not in text
    assert "https://" not in text
    assert [tag for tag, _ in tags if tag in ("h1", "h2", "h3")] == ["h1"] + ["h2"] * 8


def test_the_page_shows_no_code_and_no_path_of_this_machine(made):
    for form in ("html", "ipynb"):
        text = (made / f"{NAME}.{form}").read_text(encoding="utf-8")
        assert str(made) not in text
        assert str(Path.home()) + "/" not in text
    assert "amakit.connect" not in (made / f"{NAME}.html").read_text(encoding="utf-8")


def test_the_numbers_of_the_page_are_those_of_the_tables(made, found):
    text = (made / f"{NAME}.html").read_text(encoding="utf-8")
    kinds = found.transitions["kind"].value_counts()
    machines = found.transitions[["resource_id", "computer"]].drop_duplicates()
    assert f"{kinds['upgrade']} upgrades and {kinds['downgrade']} downgrades on {len(machines)} machines" in text
    assert text.count("<tr") == len(found.transitions) + 2 + len(
        found.transitions.groupby(["resource_id", "computer"]).filter(lambda part: len(part) > 1).drop_duplicates(
            ["resource_id", "computer"])) + sum(
        len(part) == 1 and amakit.transitions.rolled_back(part).any()
        for _, part in found.transitions.groupby(["resource_id", "computer"]))  # fmt: skip
    assert "Synthetic data." in text
    saved = pd.read_csv(made / "transitions.csv")
    assert len(saved) == len(found.transitions)


def test_the_page_opens_offline_draws_all_charts_and_asks_for_nothing(made, opened):
    sheet = opened(made / f"{NAME}.html")
    assert sheet.complaints == []
    assert sheet.asked == [(made / f"{NAME}.html").as_uri()]
    drawn = sheet.evaluate(
        "[...document.querySelectorAll('.js-plotly-plot')].map(d => d.querySelectorAll('path, image').length)"
    )
    assert len(drawn) == 4
    assert min(drawn) > 3


def test_on_dark_paper_the_text_of_charts_is_light(made, opened):
    colours = [
        opened(made / f"{NAME}.html", scheme).eval_on_selector(".chart .xtick text", "t => getComputedStyle(t).fill")
        for scheme in ("light", "dark")
    ]
    assert colours == ["rgb(89, 89, 89)", "rgb(164, 173, 184)"]


def test_names_from_machines_never_run_and_never_break_the_page(tmp_path, opened):
    names = [
        "<script>alert('x')</script>",
        '"><img src=x onerror=alert(1)>',
        "*bold*|cell",
        "x" * 10_000,
        "\u202eevil",
        "=1+1",
    ]
    plan = [
        ("1.37<b>", "2026-03-02", "2026-03-02 03:00"),
        ("1.38</script><script>alert(2)</script>", "2026-03-02 03:04", "2026-03-02 06:00"),
    ]
    rows = pd.concat([beats(name, plan, resource=f"/r/{n}", source=str(n)) for n, name in enumerate(names)])
    report(NAME, write(tmp_path / "logs", Heartbeat=rows), "2026-03-02", "2026-03-03", out=tmp_path / "out")
    sheet = opened(tmp_path / "out" / f"{NAME}.html")
    assert sheet.complaints == []
    assert sheet.locator("main script:not([type='application/json'])").count() == 0
    assert sheet.locator("main img").count() == 0
    assert "<script>alert('x')</script>" in sheet.locator("table").first.inner_text()
    assert sheet.evaluate("document.documentElement.scrollWidth <= innerWidth + 1")


def test_japanese_tells_headings_sentences_and_charts_in_japanese(tmp_path, opened):
    report(
        NAME,
        "demo",
        **WEEKS,
        out=tmp_path,
        timezone="Asia/Tokyo",
        language="ja",
        machines=["web-01.corp.contoso.example", "sql-07"],
    )
    sheet = opened(tmp_path / f"{NAME}.html")
    assert sheet.get_attribute("html", "lang") == "ja"
    assert all(re.search(r"[\u3040-\u30ff\u4e00-\u9fff]", h) for h in sheet.locator("h1, h2").all_inner_texts())
    assert "2 台" in sheet.locator("main").inner_text()
    assert sheet.locator(".chart .xtitle").last.text_content() == "時 (Asia/Tokyo)"


def papermill(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "papermill", "--kernel", "python3", *map(str, arguments)],
        capture_output=True,
        encoding="utf-8",
    )


def test_plain_papermill_runs_the_notebook_and_keeps_the_tables(tmp_path):
    done = papermill(notebooks()[NAME], tmp_path / "ran.ipynb", "-p", "start", "2026-03-02", "-p", "end", "2026-03-09",
                     "-p", "out_dir", tmp_path / "tables")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "tables" / "run.json").read_text())["end"] == "2026-03-09T00:00:00Z"
    cells = nbformat.read(tmp_path / "ran.ipynb", as_version=4).cells
    assert not [o for c in cells for o in c.get("outputs", []) if o["output_type"] in ("error", "stream")]


def test_plain_papermill_with_a_wrong_parameter_fails_with_our_sentence(tmp_path):
    done = papermill(notebooks()[NAME], tmp_path / "ran.ipynb", "-p", "strat", "2026-03-02")
    assert done.returncode != 0
    assert "the notebook has no parameter 'strat'; the nearest is 'start'" in done.stderr


def test_a_failure_in_mid_run_leaves_the_marked_notebook_and_no_page(tmp_path):
    broken = nbformat.read(notebooks()[NAME], as_version=4)
    broken.cells.append(nbformat.v4.new_code_cell("1 / 0"))
    nbformat.write(broken, tmp_path / "broken.ipynb")
    with pytest.raises(amakit.AmakitError, match=r"broken failed in cell \d+ with ZeroDivisionError: division by zero"):
        report(tmp_path / "broken.ipynb", "demo", "2026-03-02", "2026-03-03", out=tmp_path / "out")
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["broken.failed.ipynb"]
    assert "ZeroDivisionError" in (tmp_path / "out" / "broken.failed.ipynb").read_text(encoding="utf-8")


def test_the_same_notebook_gives_the_same_page(made):
    executed = nbformat.read(made / f"{NAME}.ipynb", as_version=4)
    assert page(executed) == page(executed) == (made / f"{NAME}.html").read_text(encoding="utf-8")
