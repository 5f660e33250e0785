"""Names come from machines: hostile ones are shown as text in every form, and with pseudonyms none is told at all."""

import json
import re
from pathlib import Path

import nbformat
import pandas as pd
import plotly.graph_objects as go
import pytest
from fleet import at, beats, write
from nbconvert.filters import markdown2html
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from pypdf import PdfReader

import amakit
from amakit.analysis import TABLES
from amakit.charts.colours import PAPER, contrast, ramp
from amakit.report.execute import displaced
from amakit.report.pages import FORMS
from amakit.report.pages import write as write_page
from amakit.report.request import notebooks
from amakit.report.run import report, shown

RG = "/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/rg-secret/providers/Microsoft.Compute/virtualMachines/"
HOSTILE = [
    "<script>alert('x')</script>",
    '"><img src=x onerror=alert(1)>',
    "*bold*|cell",
    "x" * 10_000,
    "\u202eevil",
    "=cmd|' /C calc'!A0",
    "![p](http://evil.example/p.png)",
]
VERSIONS = ("1.37<b>", "1.38</script><script>alert(2)</script>")


def fleet(folder, names):
    """A fleet that upgrades at 03:00, with what the activity log and Syslog say of it."""
    plan = [(VERSIONS[0], "2026-03-02", "2026-03-02 03:00"), (VERSIONS[1], "2026-03-02 03:04", "2026-03-02 06:00")]
    rows = pd.concat(
        [beats(name, plan, resource=RG + str(n), source=str(n), os_type="Linux") for n, name in enumerate(names)]
    )
    count = len(names)
    activity = pd.DataFrame(
        {
            "TimeGenerated": [at("2026-03-02 02:59")] * count,
            "ActivityStatusValue": ["Success"] * count,
            "OperationNameValue": [f"microsoft.compute/virtualmachines/extensions/write {name}" for name in names],
            "_ResourceId": [f"{RG}{n}/extensions/{name}" for n, name in enumerate(names)],
            "Caller": names,
            "CorrelationId": names,
        }
    )
    syslog = pd.DataFrame(
        {
            "TimeGenerated": [at("2026-03-02 03:01")] * count,
            "Computer": names,
            "ProcessName": ["systemd"] * count,
            "SyslogMessage": [f"System is rebooting {name}" for name in names],
            "_ResourceId": [RG + str(n) for n in range(count)],
        }
    )
    return write(folder, Heartbeat=rows, AzureActivity=activity, Syslog=syslog)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """Give a folder of logs with hostile names; the pages of it share its analysis, as it is kept."""
    return fleet(tmp_path_factory.mktemp("hostile") / "logs", HOSTILE)


@pytest.mark.parametrize("name", notebooks())
def test_hostile_text_is_shown_as_text_in_every_form(tmp_path, hostile, opened, name):
    out = tmp_path / "out"
    report(name, hostile, "2026-03-02", "2026-03-03", out=out, to=FORMS)
    for scripts, width in ((True, 1200), (True, 400), (False, 400)):
        sheet = opened(out / f"{name}.html", scripts=scripts, viewport={"width": width, "height": 800})
        assert sheet.complaints == []
        assert sheet.asked == [(out / f"{name}.html").as_uri()]
        assert sheet.locator("main script:not([type='application/json'])").count() == 0
        assert sheet.locator("main img").count() == 0
        if scripts:
            assert sheet.evaluate("document.documentElement.scrollWidth <= innerWidth")
            assert any("<script>alert(" in text for text in sheet.locator("table").all_inner_texts())
    source = (out / f"{name}.md").read_text(encoding="utf-8")
    told = markdown2html(source)
    assert "\u202e" not in source
    assert "<script" not in told
    assert not re.search(r"<img(?![^>]*_files/chart-\d+\.png)", told)
    sheets = PdfReader(out / f"{name}.pdf").pages
    assert {tuple(map(round, map(float, sheet.mediabox[2:]))) for sheet in sheets} == {(595, 842)}
    assert len(sheets) < 40
    facts = json.loads((out / "facts.json").read_text(encoding="utf-8"))
    assert "<script>alert('x')</script>" in json.dumps(facts)


def test_the_write_up_on_its_page_says_what_its_facts_say(tmp_path, opened):
    out = tmp_path / "out"
    report("03_incident_writeup", "demo", "2026-03-10", "2026-03-11", ["sql-08"], out, language="ja")
    facts = json.loads((out / "facts.json").read_text(encoding="utf-8"))
    sheet = opened(out / "03_incident_writeup.html")
    assert facts["sentence"].replace(" ", "") in sheet.locator("main").inner_text().replace(" ", "")
    assert facts["verdict"]["rolled_back"] == 3
    assert facts["situation"]["recovered"]["rolled_back"] == 3
    queries = json.loads((out / "run.json").read_text(encoding="utf-8"))["queries"]
    assert sheet.locator("details details").count() == len(queries)
    assert sheet.locator("figure").count() == sheet.locator("figcaption").count() == 4
    assert len(sheet.locator("h2").all()) == 7


@pytest.fixture
def parted(tmp_path):
    """A page with three parts, the last of which is folded, and a table, a long query and a lesser heading in it."""
    kql = f"let A = datatable(a:int) [{'1,' * 900}];\nA\n| take 5"
    query = f"<details><summary>1. rows</summary>\n\n```kql\n{kql}\n```\n\n</details>"
    cells = [
        new_markdown_cell("# Why?", id="title"),
        new_markdown_cell("## What *happened*\n\nThis.", id="happened-read"),
        new_markdown_cell("## And <b>then</b>", id="then"),
        new_markdown_cell("## Appendix", id="appendix-read", metadata={"tags": ["folded"]}),
        new_markdown_cell("### Every query", id="queries-read"),
        new_code_cell(outputs=[new_output("display_data", {"text/markdown": query})]),
    ]
    assert write_page(new_notebook(cells=cells), tmp_path, "parted", ["html", "pdf"]) is None
    return tmp_path / "parted.html"


def test_a_page_has_contents_that_lead_to_its_parts_and_unfold_them(parted, opened):
    sheet = opened(parted)
    links = sheet.locator("nav[aria-label=Contents] a")
    assert links.all_inner_texts() == ["What happened", "And <b>then</b>", "Appendix"]
    assert [link.get_attribute("href") for link in links.all()] == ["#happened", "#then", "#appendix"]
    folds = "[...document.querySelectorAll('.part > details')].map(fold => fold.open)"
    assert sheet.evaluate(folds) == [True, True, False]
    links.last.click()
    assert sheet.evaluate(folds) == [True, True, True]
    assert sheet.locator("#appendix h3#queries").count() == 1
    assert sheet.locator("h2").all_inner_texts() == ["What happened", "And then", "Appendix"]
    assert sheet.complaints == []
    inside = opened(parted)
    inside.goto(f"{parted.as_uri()}#queries")
    assert inside.evaluate(folds) == [True, True, True]
    assert opened(parted, scripts=False).locator("#happened > details[open] > p").inner_text() == "This."


def test_on_paper_nothing_is_folded_and_a_query_is_cut_in_the_middle(parted, opened):
    text = "".join(sheet.extract_text() for sheet in PdfReader(parted.with_suffix(".pdf")).pages)
    assert "let A = datatable(a:int)" in text
    assert "// run.json" in text
    assert "| take 5" in text
    assert "Contents" not in text
    sheet = opened(parted)
    sheet.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert sheet.locator("details:not([open])").count() == 0
    sheet.evaluate("dispatchEvent(new Event('afterprint'))")
    assert sheet.locator("details:not([open])").count() == 2


def test_no_folder_of_this_machine_is_told(tmp_path):
    logs = fleet(tmp_path / "home" / "jane" / "logs", ["web-01"])
    report("01_version_transitions", logs, "2026-03-02", "2026-03-03", out=tmp_path / "out", to=("html", "md", "ipynb"))
    for path in files(tmp_path / "out"):
        assert str(tmp_path) not in path.read_text(encoding="utf-8", errors="replace")
    assert json.loads((tmp_path / "out" / "run.json").read_text(encoding="utf-8"))["workspace"] == "logs"
    cells = nbformat.read(tmp_path / "out" / "01_version_transitions.ipynb", as_version=4).cells
    (injected,) = [cell for cell in cells if cell.id == "injected-parameters"]
    assert "workspace = 'logs'" in injected.source
    assert not [cell for cell in cells if "papermill" in cell.metadata or "execution" in cell.metadata]


def test_a_workspace_is_named_without_what_opens_it():
    assert shown("https://user:token@cluster.kusto.windows.net/Db?sig=abc#x") == "https://cluster.kusto.windows.net/Db"
    assert shown("C:\\logs") in ("C:\\logs", "logs")
    assert shown(".") == Path.cwd().name
    assert shown("/subscriptions/0/resourceGroups/r/providers/x/workspaces/w").endswith("/workspaces/w")


def test_no_address_with_a_password_is_left_in_what_failed():
    place = "https://user:token@cluster.kusto.windows.net/Db?sig=abc"
    told = displaced({"traceback": [f"cannot reach '{place}': no"]}, {place: shown(place), "logs": "x", "/": "x"})
    assert told == {"traceback": ["cannot reach 'https://cluster.kusto.windows.net/Db': no"]}
    windows = displaced(["C:\\Users\\jane\\logs\\a.csv", "logs/b"], {"C:\\Users\\jane\\logs": "logs"})
    assert windows == ["logs\\a.csv", "logs/b"]


def files(folder):
    return [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".png"]


def read(path):
    """Give all text of a file, that of a PDF and of what is packed in it too."""
    if path.suffix != ".pdf":
        return path.read_text(encoding="utf-8")
    reader = PdfReader(path)
    outline = [item.title for item in reader.outline if not isinstance(item, list)]
    return "\n".join([*(sheet.extract_text() for sheet in reader.pages), *outline, str(reader.metadata)])


@pytest.fixture(scope="module")
def named(tmp_path_factory):
    """Give a folder of logs whose path, machines and ids are names; the pages of it share its analysis, as it is kept."""
    return fleet(tmp_path_factory.mktemp("named") / "okapi-logs", ["zebra-01.corp.secret.example", "quokka-02"])


@pytest.mark.parametrize("name", ["00_explore", "02_upgrade_gaps", "03_incident_writeup", "04_rollout"])
def test_with_pseudonyms_no_name_is_in_any_file(tmp_path, named, name):
    names = ["zebra-01.corp.secret.example", "quokka-02"]
    out = tmp_path / "out"
    report(name, named, "2026-03-02", "2026-03-03", names, out, FORMS, anonymise=True, key=tmp_path / "key")
    leak = re.compile(r"zebra|quokka|okapi|secret|11111111-2222|" + re.escape(str(tmp_path)), re.IGNORECASE)
    assert leak.search(str(named))
    assert len(files(out)) == len(TABLES) + 8
    for path in files(out):
        assert not leak.search(read(path)), path.name
        assert not leak.search(path.name)
    assert len(re.findall("machine-[0-9a-f]{12}", (out / "machines.csv").read_text())) >= 2
    cells = nbformat.read(out / f"{name}.ipynb", as_version=4).cells
    (injected,) = [cell for cell in cells if cell.id == "injected-parameters"]
    assert re.search(r"machines = \['machine-\w+\.domain-\w+', 'machine-\w+'\]", injected.source)
    assert "anonymise = True" in injected.source


def test_with_pseudonyms_a_failed_notebook_keeps_what_failed_to_itself(tmp_path):
    broken = nbformat.read(notebooks()["01_version_transitions"], as_version=4)
    broken.cells = broken.cells[:5]
    broken.cells.append(nbformat.v4.new_code_cell("print(given.machines); raise ValueError(given.machines)"))
    nbformat.write(broken, tmp_path / "broken.ipynb")
    logs = fleet(tmp_path / "logs", ["quokka-02"])
    with pytest.raises(amakit.AmakitError, match="ValueError"):
        report(
            tmp_path / "broken.ipynb",
            logs,
            "2026-03-02",
            "2026-03-03",
            ["quokka-02"],
            tmp_path / "out",
            anonymise=True,
            key=tmp_path / "key",
        )
    (left,) = (tmp_path / "out").iterdir()
    assert left.name == "broken.failed.ipynb"
    assert "ValueError" in left.read_text()
    assert "quokka" not in left.read_text()


def test_pseudonyms_need_a_notebook_that_knows_them_and_a_key_needs_pseudonyms(tmp_path):
    old = nbformat.read(notebooks()["01_version_transitions"], as_version=4)
    cell = next(cell for cell in old.cells if cell.id == "parameters")
    cell.source = "\n".join(line for line in cell.source.split("\n") if "anonymise" not in line)
    nbformat.write(old, tmp_path / "old.ipynb")
    with pytest.raises(amakit.UsageError, match="the notebook has no parameter 'anonymise'"):
        report(tmp_path / "old.ipynb", out=tmp_path / "out", anonymise=True)
    with pytest.raises(amakit.UsageError, match="of use with anonymise only"):
        report("01_version_transitions", out=tmp_path / "out", key="k")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_charts_have_the_colours_of_the_paper_that_they_stand_on(tmp_path, opened, scheme):
    bar = go.Figure(go.Bar(x=[3], y=["a"], orientation="h", marker_color=ramp("Windows", 1)[0])).to_plotly_json()
    cell = new_code_cell(outputs=[new_output("display_data", {"application/vnd.plotly.v1+json": bar})])
    write_page(new_notebook(cells=[cell]), tmp_path, "bars", ["html"])
    sheet = opened(tmp_path / "bars.html", scheme)
    fill = sheet.evaluate("getComputedStyle(document.querySelector('.drawn .bars path')).fill")
    drawn = "#" + "".join(f"{int(part):02X}" for part in re.findall(r"\d+", fill)[:3])
    paper = sheet.evaluate("getComputedStyle(document.body).backgroundColor")
    assert "#" + "".join(f"{int(part):02X}" for part in re.findall(r"\d+", paper)[:3]) == PAPER[scheme]
    assert contrast(drawn, PAPER[scheme]) >= 4.5
    bare = opened(tmp_path / "bars.html", scheme, scripts=False)
    still = bare.evaluate("getComputedStyle(document.querySelector('.still')).backgroundColor")
    assert still == {"light": "rgba(0, 0, 0, 0)", "dark": "rgb(255, 255, 255)"}[scheme]  # drawn for light paper
