"""Notebooks and their pages: run for real, in every form."""

import csv
import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from nbconvert.filters import markdown2html
from pypdf import PdfReader

import amakit
from amakit.report.pages import FORMS, file_of, page, write
from amakit.report.parameters import parameters
from amakit.report.pdf import chromium
from amakit.report.request import notebooks
from amakit.report.run import report
from amakit.report.tables import Table

NAME = "01_version_transitions"
WEEKS = {"start": "2026-03-02", "end": "2026-03-16"}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("made")
    report(NAME, "demo", **WEEKS, out=out, to=FORMS)
    return out


@pytest.fixture(scope="module")
def found():
    return amakit.analyze(amakit.connect("demo"), **WEEKS)


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
    for form in ("html", "md", "ipynb"):
        text = (made / f"{NAME}.{form}").read_text(encoding="utf-8")
        assert str(made) not in text
        assert str(Path.home()) + "/" not in text
        assert ("amakit.connect" in text) == (form == "ipynb")


def test_the_numbers_of_the_page_are_those_of_the_tables(made, found):
    text = (made / f"{NAME}.html").read_text(encoding="utf-8")
    kinds = found.transitions["kind"].value_counts()
    machines = found.transitions[["resource_id", "computer"]].drop_duplicates()
    assert f"{kinds['upgrade']} upgrades and {kinds['downgrade']} downgrades on {len(machines)} machines" in text
    assert text.count("<tr") == len(found.transitions) + 2 + len(
        found.transitions.groupby(["resource_id", "computer"])
        .filter(lambda part: len(part) > 1)
        .drop_duplicates(["resource_id", "computer"])
    ) + sum(
        len(part) == 1 and amakit.find.versions.rolled_back(part).any()
        for _, part in found.transitions.groupby(["resource_id", "computer"])
    )
    assert "Synthetic data." in text
    saved = pd.read_csv(made / "transitions.csv")
    assert len(saved) == len(found.transitions)


def test_markdown_reads_as_a_page_with_its_pictures_beside_it(made):
    source = (made / f"{NAME}.md").read_text(encoding="utf-8")
    pictures = re.findall(r"!\[([^\]]+)\]\(([^)]+)\)", source)
    assert [path for _, path in pictures] == [f"{NAME}_files/chart-{n}.png" for n in (1, 2, 3, 4)]
    for _, path in pictures:
        assert (made / path).read_bytes().startswith(b"\x89PNG")
    tags = [tag for tag, _ in Tags(markdown2html(source)).found]
    assert [tag for tag in tags if tag in ("h1", "h2", "h3")] == ["h1"] + ["h2"] * 8
    assert tags.count("img") == 4
    assert tags.count("table") == 2
    assert not {"script", "style", "iframe"} & set(tags)


def test_the_pdf_is_the_page_on_a4_with_pictures_and_whole_tables(made, found):
    sheets = PdfReader(made / f"{NAME}.pdf").pages
    text = "\n".join(sheet.extract_text() for sheet in sheets)
    assert 3 <= len(sheets) <= 20
    assert [round(float(side) / 72 * 25.4) for side in sheets[0].mediabox[2:]] == [210, 297]
    assert "Which machines changed their" in text
    assert "Search" not in text
    computers = re.sub(r"\s", "", text)
    assert all(name.split(".")[0] in computers for name in found.transitions["computer"])
    assert not re.findall(rb"(?:Creation|Mod)Date ?\(D:(?!2000)", (made / f"{NAME}.pdf").read_bytes())


def test_tables_facts_and_the_record_lie_beside_the_page(made):
    assert {p.name for p in made.iterdir()} == {
        *(f"{name}.csv" for name in (*amakit.analysis.TABLES, "segments")),
        "run.json",
        "facts.json",
        f"{NAME}_files",
        *(file_of(NAME, form) for form in FORMS),
    }
    facts = (made / "facts.json").read_bytes()
    assert json.loads(facts)["schema"].startswith("amakit.facts/")
    assert facts.isascii()
    ticket = (made / f"{NAME}.ticket.md").read_text(encoding="utf-8")
    assert ticket == json.loads(facts)["ticket"]


@pytest.mark.parametrize("asked", [{"to": ["ticket"]}, {"fail_on": "silent>0"}])
def test_a_notebook_that_keeps_no_facts_can_be_no_ticket_and_exceed_no_limit(tmp_path, asked):
    book = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_code_cell(
                "workspace = start = end = timezone = language = out_dir = ''\nmachines = []",
                metadata={"tags": ["parameters"]},
            )
        ]
    )
    nbformat.write(book, tmp_path / "own.ipynb")
    (tmp_path / "facts.json").write_text('{"ticket": "of another run", "counts": {"silent": 9}}')
    with pytest.raises(amakit.AmakitError, match="own keeps no facts, which a ticket and limits rest on; call"):
        report(tmp_path / "own.ipynb", "demo", out=tmp_path, **asked)


def undated(path):
    """Give a file without the seconds that its queries took."""
    data = path.read_bytes()
    data = re.sub(rb'("seconds": )[0-9.e-]+', rb"\1 0", data)
    return re.sub(rb"(fetched in )[0-9.]+", rb"\1 0", data) if path.suffix != ".pdf" else data


def test_the_same_inputs_give_the_same_bytes_in_every_form(tmp_path):
    # a notebook that does not tell how long its queries took
    plain = nbformat.read(notebooks()[NAME], as_version=4)
    plain.cells = [cell for cell in plain.cells if cell.id not in ("record-say", "record-read", "clock-chart")]
    plain.cells.append(nbformat.v4.new_code_cell("_ = given.keep(found)", id="keep"))
    nbformat.write(plain, tmp_path / "plain.ipynb")
    runs = []
    for cache in (True, False):  # the second over what the first left, worked out anew
        report(
            tmp_path / "plain.ipynb",
            "demo",
            "2026-03-09",
            "2026-03-10",
            ["web-02"],
            tmp_path / "out",
            FORMS,
            cache=cache,
        )
        runs.append({p.name: undated(p) for p in (tmp_path / "out").rglob("*") if p.is_file()})
    one, two = runs
    assert one.keys() == two.keys()
    assert [name for name in one if one[name] != two[name]] == []
    assert not [p for p in (tmp_path / "out").iterdir() if p.name.startswith(".")]


def test_without_a_chromium_all_other_forms_are_written_and_a_sentence_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setenv("AMAKIT_CHROMIUM", str(tmp_path / "nowhere"))
    book = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_markdown_cell("# Hello"),
            nbformat.v4.new_code_cell(
                "workspace = start = end = timezone = language = out_dir = ''\nmachines = []",
                metadata={"tags": ["parameters"]},
            ),
        ]
    )
    nbformat.write(book, tmp_path / "small.ipynb")
    with pytest.raises(amakit.AmakitError, match=r"AMAKIT_CHROMIUM names '.*nowhere', which is no program; give"):
        report(tmp_path / "small.ipynb", "demo", out=tmp_path / "out", to=("html", "md", "pdf", "ipynb"))
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"small.html", "small.md", "small.ipynb"}
    monkeypatch.delenv("AMAKIT_CHROMIUM")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(amakit.AmakitError, match="install Chromium, Chrome or Edge"):
        chromium()


def test_a_long_table_is_cut_on_paper_and_says_so(tmp_path):
    frame = pd.DataFrame({"n": [f"row-{n}" for n in range(1_300)]}).rename_axis(columns="row")
    book = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_code_cell(
                outputs=[nbformat.v4.new_output("display_data", Table(frame)._repr_mimebundle_())]
            )
        ]
    )
    assert write(book, tmp_path, "long", ["html", "pdf"]) is None
    text = "\n".join(sheet.extract_text() for sheet in PdfReader(tmp_path / "long.pdf").pages)
    assert "row-199" in text
    assert "row-200" not in text
    assert "… 1,100 more in the result tables" in text
    assert "row-1299" in (tmp_path / "long.html").read_text(encoding="utf-8")


def test_a_chromium_that_prints_nothing_is_told(tmp_path, monkeypatch):
    from amakit.report.pdf import printed

    (tmp_path / "page.html").write_text("<p>hello")
    monkeypatch.setenv("AMAKIT_CHROMIUM", sys.executable)
    with pytest.raises(amakit.AmakitError, match="printed nothing and ended with status"):
        printed(tmp_path / "page.html", tmp_path / "page.pdf")


def test_a_notebook_of_ones_own_without_the_newer_parameter_works():
    given = {
        "workspace": "demo",
        "start": "",
        "end": "",
        "machines": [],
        "timezone": "UTC",
        "language": "en",
        "out_dir": "",
    }
    assert parameters(given).anonymise is False
    assert parameters(given | {"anonymise": True}).anonymise is True
    with pytest.raises(amakit.UsageError, match="'yes' is neither true nor false"):
        parameters(given | {"anonymise": "yes"})


def test_the_page_opens_offline_draws_all_charts_and_asks_for_nothing(made, opened):
    sheet = opened(made / f"{NAME}.html")
    assert sheet.complaints == []
    assert sheet.asked == [(made / f"{NAME}.html").as_uri()]
    drawn = sheet.evaluate(
        "[...document.querySelectorAll('.js-plotly-plot')].map(d => d.querySelectorAll('path, image').length)"
    )
    assert len(drawn) == 4
    assert min(drawn) > 3
    assert sheet.locator(".still:visible").count() == 0
    assert sheet.locator("figcaption").count() == 4
    assert sheet.locator(".modebar").count() == 0  # one of its buttons sends the chart to a service


def test_without_scripts_tables_are_whole_and_each_figure_has_its_picture(made, found, opened):
    sheet = opened(made / f"{NAME}.html", scripts=False, viewport={"width": 400, "height": 800})
    assert sheet.locator("figure").count() == sheet.locator("figure svg:visible").count() == 4
    assert sheet.locator("table").first.locator("tbody tr").count() == len(found.transitions)
    assert sheet.locator("input, button").count() == 0
    assert sheet.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert min(svg.bounding_box()["height"] for svg in sheet.locator("figure svg").all()) > 60


def test_on_paper_pictures_stand_in_for_charts_and_nothing_is_to_be_pressed(made, opened):
    sheet = opened(made / f"{NAME}.html", "dark")
    sheet.get_by_role("searchbox").first.fill("web-02")
    sheet.emulate_media(media="print")
    assert sheet.locator(".still svg:visible").count() == 4
    assert sheet.locator(".drawn:visible, input:visible").count() == 0
    assert sheet.locator("tbody tr:visible").count() == sheet.locator("tbody tr").count()
    assert sheet.evaluate("getComputedStyle(document.body).color") == "rgb(31, 35, 40)"


def test_on_dark_paper_the_text_of_charts_is_light(made, opened):
    colours = [
        opened(made / f"{NAME}.html", scheme).eval_on_selector(".chart .xtick text", "t => getComputedStyle(t).fill")
        for scheme in ("light", "dark")
    ]
    assert colours == ["rgb(115, 115, 115)", "rgb(164, 173, 184)"]


def test_tables_are_searched_and_sorted_by_keyboard(made, found, opened):
    sheet = opened(made / f"{NAME}.html")
    changes = sheet.locator("table").first
    column = "tbody tr:not([hidden]) > :nth-child({})".format
    sheet.keyboard.press("Tab")
    assert sheet.evaluate("document.activeElement.className") == "skip"
    for _ in range(30):
        sheet.keyboard.press("Tab")
        if sheet.evaluate("document.activeElement.type") == "search":
            break
    status = sheet.get_by_role("status").first
    assert status.inner_text() == f"{len(found.transitions)} of {len(found.transitions)} rows"
    sheet.keyboard.type("WEB- windows")
    named = found.transitions["computer"].str.contains("web-") & (found.transitions["os_type"] == "Windows")
    assert status.inner_text() == f"{named.sum()} of {len(named)} rows"
    assert changes.locator("tbody tr:visible").count() == named.sum()
    sheet.keyboard.press("ControlOrMeta+a")
    sheet.keyboard.press("Delete")
    before = changes.locator(column(1)).all_inner_texts()
    for _ in ("copy", "save", "the table itself, which can be scrolled"):
        sheet.keyboard.press("Tab")
    for _ in range(4):
        sheet.keyboard.press("Tab")
    assert sheet.evaluate("document.activeElement.innerText") == "to"
    versions = []
    for key, order in (("Enter", "ascending"), ("Space", "descending")):
        sheet.keyboard.press(key)
        assert changes.locator("thead th").nth(3).get_attribute("aria-sort") == order
        versions.append(changes.locator(column(4)).all_inner_texts())
    numeric = [[int(part) for part in v.split(".")] for v in versions[0]]
    assert numeric == sorted(numeric)
    assert versions[1] == sorted(versions[0], key=versions[0].index, reverse=True) or numeric[::-1] == [
        [int(part) for part in v.split(".")] for v in versions[1]
    ]
    sheet.keyboard.press("Enter")
    assert changes.locator(column(1)).all_inner_texts() == before
    assert changes.locator("[aria-sort]").count() == 0


def test_what_a_table_shows_can_be_copied_and_saved(tmp_path, opened):
    names = ["web-1", "db,2", '"x"', "=cmd()", "-12", "-x", "a\tb", "web-3", "web-10"]
    frame = pd.DataFrame({"n": range(9)}, index=names).rename_axis(columns="machine")
    book = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_markdown_cell("# A/B: costs"),
            nbformat.v4.new_code_cell(
                outputs=[nbformat.v4.new_output("display_data", Table(frame)._repr_mimebundle_())]
            ),
        ]
    )
    (tmp_path / "copy.html").write_text(page(book), encoding="utf-8")
    sheet = opened(tmp_path / "copy.html", permissions=["clipboard-read", "clipboard-write"], accept_downloads=True)
    with sheet.expect_download() as saved:
        sheet.get_by_role("button", name="CSV").click()
    assert saved.value.suggested_filename == "A-B-costs.csv"
    with saved.value.path().open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["machine", "n"]
    assert [row[0] for row in rows[1:]] == ["web-1", "db,2", '"x"', "'=cmd()", "-12", "'-x", "a b", "web-3", "web-10"]
    sheet.get_by_role("searchbox").fill("web")
    for _ in range(2):
        sheet.locator("thead button").last.click()
    sheet.get_by_role("button", name="Copy").click()
    assert sheet.get_by_role("status").inner_text() == "copied"
    assert sheet.evaluate("navigator.clipboard.readText()") == "machine\tn\nweb-10\t8\nweb-3\t7\nweb-1\t0"
    assert sheet.complaints == []


def test_a_search_may_name_the_column(tmp_path, opened):
    rows = {
        "web-1": "app",
        "web-2": "db",
        "app-1": "web",
        "db-1": "10:05",
        "db-2": "10",
        "db-3": "x",
        "db-4": "x",
        "e": "x",
        "f": "x",
    }
    frame = pd.DataFrame({"Resource group": list(rows.values())}, index=list(rows)).rename_axis(columns="machine")
    table = nbformat.v4.new_output("display_data", Table(frame)._repr_mimebundle_())
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(outputs=[table])])
    (tmp_path / "columns.html").write_text(page(book), encoding="utf-8")
    sheet = opened(tmp_path / "columns.html")
    box, left = sheet.get_by_role("searchbox"), sheet.locator("tbody tr:not([hidden]) > :first-child")
    for asked, found in {
        "web": ["web-1", "web-2", "app-1"],
        "machine:web": ["web-1", "web-2"],
        "MACH：web": ["web-1", "web-2"],
        "resource:web": ["app-1"],
        "machine:web resource:db": ["web-2"],
        "10:05": ["db-1"],
        "resource:10:0": ["db-1"],
        "nothing:web": [],
        "machine:": [],
    }.items():
        box.fill(asked)
        assert left.all_inner_texts() == found, asked
    assert box.get_attribute("placeholder") == "words, or column:word"
    assert sheet.complaints == []


def test_sorting_knows_thousands_minutes_versions_and_what_is_missing(tmp_path, opened):
    cells = ["1,234", "99", "10:05", "9:59", "1.10.0", "1.9.0", "–", "", "12,000,000", "2026-03-02"]
    frame = pd.DataFrame({"n": cells}).rename_axis(columns="row")
    book = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_code_cell(
                outputs=[nbformat.v4.new_output("display_data", Table(frame)._repr_mimebundle_())]
            )
        ]
    )
    (tmp_path / "sort.html").write_text(page(book), encoding="utf-8")
    sheet = opened(tmp_path / "sort.html")
    assert sheet.complaints == []
    sheet.get_by_role("button", name="n").click()
    ups = sheet.locator("tbody td").all_inner_texts()
    assert ups == ["1.9.0", "1.10.0", "9:59", "10:05", "99", "1,234", "2026-03-02", "12,000,000", "–", ""]
    sheet.get_by_role("button", name="n").click()
    assert sheet.locator("tbody td").all_inner_texts() == [*ups[7::-1], "–", ""]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_against_the_page(made, opened, scheme):
    script = Path(__file__).parents[1] / "kql_parser" / "node_modules" / "axe-core" / "axe.min.js"
    if not script.is_file():
        reason = "axe-core is missing; `make test` brings it, and so does `npm install --prefix tests/kql_parser`"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    sheet = opened(made / f"{NAME}.html", scheme, bypass_csp=True)
    sheet.evaluate(script.read_text(encoding="utf-8"))
    found = sheet.evaluate(
        "axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice']})"
    )
    assert [(v["id"], v["nodes"][0]["html"]) for v in found["violations"]] == []
    assert len(found["passes"]) > 20


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_colours_of_text_stand_out_from_every_paper(scheme):
    style = (Path(amakit.__file__).parent / "report" / "page" / "style.css").read_text(encoding="utf-8")
    colours = dict(re.findall(r"--(\w+): #(\w+)", re.findall(r":root \{([^}]*)\}", style)[scheme]))
    for text in ("ink", "soft", "mark", "bad"):
        for paper in ("paper", "band", "tint"):
            light, dark = sorted((luminance(colours[text]), luminance(colours[paper])), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (text, paper)


def luminance(colour):
    colour = colour if len(colour) == 6 else "".join(2 * c for c in colour)
    parts = [int(colour[n : n + 2], 16) / 255 for n in (0, 2, 4)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


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
    done = papermill(
        notebooks()[NAME],
        tmp_path / "ran.ipynb",
        "-p",
        "start",
        "2026-03-02",
        "-p",
        "end",
        "2026-03-09",
        "-p",
        "out_dir",
        tmp_path / "tables",
    )
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
    broken.cells.append(nbformat.v4.new_code_cell("import pathlib; print(pathlib.Path.home()); 1 / 0"))
    nbformat.write(broken, tmp_path / "broken.ipynb")
    with pytest.raises(amakit.AmakitError, match=r"broken failed in cell \d+ with ZeroDivisionError: division by zero"):
        report(tmp_path / "broken.ipynb", "demo", "2026-03-02", "2026-03-03", out=tmp_path / "out")
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["broken.failed.ipynb"]
    text = (tmp_path / "out" / "broken.failed.ipynb").read_text(encoding="utf-8")
    assert "ZeroDivisionError" in text
    assert str(Path.home()) not in text
    assert str(tmp_path) not in text


def test_the_same_notebook_gives_the_same_page(made):
    executed = nbformat.read(made / f"{NAME}.ipynb", as_version=4)
    assert page(executed) == page(executed) == (made / f"{NAME}.html").read_text(encoding="utf-8")


def test_a_wrong_machine_leaves_no_folder_behind(tmp_path):
    with pytest.raises(amakit.AmakitError, match="no machine 'web-1' has reported"):
        report(NAME, "demo", "2026-03-02", "2026-03-03", ["web-1"], tmp_path / "out")
    assert not (tmp_path / "out").exists()
    (tmp_path / "kept").mkdir()
    with pytest.raises(amakit.AmakitError):
        report(NAME, "demo", "2026-03-02", "2026-03-03", ["web-1"], tmp_path / "kept")
    assert (tmp_path / "kept").is_dir()
