"""JupyterLab as an analyst has it: its server, its page, a kernel, and the notebook to explore with."""

import json
import os
import re
import secrets
import socket
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest

from amakit.report.request import notebooks

ROOT = Path(__file__).parents[2]
#: A day of the demo with outages of several causes: enough to look at, and soon analysed.
DAY = {"start": "2026-03-10", "end": "2026-03-11"}
PATIENCE = 300_000


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Start JupyterLab on a copy of the notebook, with nothing of this user's settings; give its address."""
    home = tmp_path_factory.mktemp("lab")
    book = nbformat.read(notebooks()["00_explore"], as_version=4)
    cell = next(cell for cell in book.cells if cell.id == "parameters")
    for name, value in DAY.items():
        cell.source = cell.source.replace(f'{name}: str = ""', f'{name}: str = "{value}"')
    (home / "books").mkdir()
    nbformat.write(book, home / "books" / "00_explore.ipynb")
    settings = home / "settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    quiet = {"fetchNews": "false", "checkForUpdates": False}
    (settings / "notification.jupyterlab-settings").write_text(json.dumps(quiet), encoding="utf-8")
    places = {f"JUPYTER_{name}_DIR": str(home / name) for name in ("CONFIG", "DATA", "RUNTIME")}
    places |= {"JUPYTERLAB_SETTINGS_DIR": str(home / "settings"), "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces")}
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    token = secrets.token_hex(16)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "jupyterlab",
        "--no-browser",
        "--allow-root",
        "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.port={port}",
        "--ServerApp.port_retries=0",
        f"--IdentityProvider.token={token}",
        f"--ServerApp.root_dir={home / 'books'}",
        "--LabApp.extension_manager=readonly",
        "--LabApp.news_url=",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]
    with (home / "log").open("w") as log:
        server = subprocess.Popen(command, env=os.environ | places | {"PYTHONPATH": path}, stdout=log, stderr=log)
    try:
        for _ in range(6000):
            assert server.poll() is None, (home / "log").read_text(encoding="utf-8")
            with socket.socket() as attempt:
                if attempt.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        else:
            pytest.fail("JupyterLab was not ready after ten minutes")
        yield f"http://127.0.0.1:{port}/lab/tree/00_explore.ipynb?token={token}&reset"
    finally:
        server.terminate()
        server.wait(300)


@pytest.fixture(scope="module")
def sheet(lab, browser):
    """Open the notebook and run all of it; what leaves this machine and what the browser complains of is kept."""
    context = browser.new_context(viewport={"width": 1500, "height": 1300})
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.away, page.complaints = [], []
    page.on("request", lambda r: None if r.url.startswith((lab[:17], "data:", "blob:")) else page.away.append(r.url))
    page.on("console", lambda message: page.complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.goto(lab)
    page.wait_for_selector(".jp-NotebookPanel .jp-CodeCell")
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
    page.complaints.clear()  # what JupyterLab says while it starts is its own
    menu(page, "Run", "Run All Cells")
    drawn(page)
    yield page
    context.close()


def menu(page, name, entry):
    page.locator(".lm-MenuBar-itemLabel", has_text=name).first.click()
    page.locator(".lm-Menu-itemLabel").get_by_text(entry, exact=True).click()


def drawn(page):
    page.wait_for_function("document.querySelectorAll('.amakit-chart .js-plotly-plot .main-svg').length >= 4")


def title(page, which):
    return page.evaluate(f"document.querySelectorAll('.amakit-chart .js-plotly-plot')[{which}].layout.title.text")


def titled(page, words):
    page.wait_for_function(
        "w => document.querySelectorAll('.amakit-chart .js-plotly-plot')[1].layout.title.text.includes(w)", arg=words
    )


def marks(page):
    """Give the marks of outages in the map: trace by trace, the machine of each."""
    return page.evaluate(
        "Object.fromEntries(document.querySelector('.amakit-chart .js-plotly-plot').data"
        ".filter(t => t.type == 'scatter').map(t => [t.name, [...t.y]]))"
    )


def place_of(page, trace, number):
    page.evaluate("document.querySelector('.amakit-chart .js-plotly-plot').scrollIntoView({block: 'start'})")
    page.wait_for_timeout(400)
    return page.evaluate(
        """([name, n]) => {
          const plot = document.querySelector('.amakit-chart .js-plotly-plot'), {xaxis, yaxis} = plot._fullLayout;
          const t = plot._fullData.find(t => t.name == name), box = plot.getBoundingClientRect();
          return [box.x + xaxis._offset + xaxis.d2p(t.x[n]), box.y + yaxis._offset + yaxis.d2p(t.y[n])];
        }""",
        [trace, number],
    )


def click_mark(page, trace, number):
    before, at = None, place_of(page, trace, number)
    while before != at:  # outputs above and below may still be growing
        before, at = at, place_of(page, trace, number)
    page.mouse.move(*at)
    page.wait_for_timeout(300)
    page.mouse.click(*at)


def test_the_notebook_runs_without_an_error_and_asks_nothing_of_the_network(sheet):
    assert sheet.locator(".jp-OutputArea-output[data-mime-type*='error']").count() == 0
    assert title(sheet, 0) == "Versions and outages of each machine over time"
    # JupyterLab keeps the cells that are seen, and has run down to the last one
    sheet.evaluate("document.querySelector('.jp-NotebookPanel .jp-WindowedPanel-outer').scrollTo(0, 0)")
    sheet.get_by_text("Synthetic data.").first.wait_for()
    box, place = (sheet.locator(where).first.bounding_box() for where in (".amakit-chart .main-svg", ".amakit-chart"))
    assert box["width"] == pytest.approx(place["width"], abs=8)
    assert sheet.away == []
    assert sheet.complaints == []


def test_the_legend_of_the_map_ends_above_its_rows(sheet):
    below = sheet.evaluate("""() => {
        const chart = document.querySelector('.amakit-chart .js-plotly-plot')
        const rows = chart.getBoundingClientRect().top + chart._fullLayout._size.t
        return rows - chart.querySelector('.legend .bg').getBoundingClientRect().bottom }""")
    assert below >= 0


def test_map_and_machine_stand_beside_each_other_where_there_is_room(sheet):
    def places():
        sheet.wait_for_timeout(1000)
        return sheet.evaluate("""[...document.querySelectorAll('.amakit-beside')].map(part => {
            const {left, right, top} = part.getBoundingClientRect(); return [left, right, top] })""")

    (left, right, top), (other_left, other_right, other_top) = places()
    assert right <= other_left
    assert top == pytest.approx(other_top, abs=40)
    assert other_right <= sheet.viewport_size["width"]
    sheet.set_viewport_size({"width": 1000, "height": 1300})
    (left, right, top), (other_left, other_right, other_top) = places()
    assert left == pytest.approx(other_left, abs=2)
    assert other_top > top + 300
    sheet.set_viewport_size({"width": 1500, "height": 1300})
    places()


def test_a_table_is_sorted_and_searched(sheet):
    grid = sheet.locator(".amakit-grid").first
    cells = grid.locator("tbody tr:visible > :nth-child(1)")
    before = cells.all_text_contents()
    assert len(before) > 8
    grid.get_by_role("button", name="machine").click()
    kinds = [re.match(r"([a-z]+)\D*(\d+)", name).groups() for name in cells.all_text_contents()]
    assert kinds == sorted(kinds, key=lambda kind: (kind[0], int(kind[1])))
    grid.get_by_role("searchbox").fill("upgrade rolled")
    at = [head.split()[0] for head in grid.locator("thead th").all_text_contents()].index("cause") + 1
    causes = grid.locator(f"tbody tr:visible > :nth-child({at})").all_text_contents()
    assert 0 < len(causes) < len(before)
    assert set(causes) == {"upgrade rolled back"}
    assert grid.get_by_role("status").inner_text() == f"{len(causes)} of {len(before)} rows"
    grid.get_by_role("searchbox").fill("")
    assert sheet.complaints == []


def test_a_widget_that_is_changed_redraws_the_charts(sheet):
    before = marks(sheet)
    assert len(before) > 2
    sheet.get_by_label("cause", exact=True).select_option(label=f"machine stopped ({len(before['machine stopped'])})")
    sheet.wait_for_function(
        "document.querySelector('.amakit-chart .js-plotly-plot').data.filter(t => t.type == 'scatter').length == 1"
    )
    assert marks(sheet) == {"machine stopped": before["machine stopped"]}
    titled(sheet, "machine stopped")
    sheet.get_by_role("button", name="Clear").click()
    sheet.wait_for_function(
        "n => document.querySelector('.amakit-chart .js-plotly-plot').data.filter(t => t.type == 'scatter').length == n",
        arg=len(before),
    )
    assert marks(sheet) == before
    assert sheet.complaints == []


def test_a_click_on_a_mark_shows_its_machine(sheet):
    machines = marks(sheet)["upgrade"]
    for number in (0, len(machines) - 1):
        click_mark(sheet, "upgrade", number)
        titled(sheet, machines[number])
        assert sheet.get_by_role("combobox", name="machine").input_value() == machines[number]
    assert sheet.complaints == []


def test_a_wrong_machine_is_one_sentence_and_the_old_view_stays(sheet):
    before = title(sheet, 1)
    field = sheet.get_by_role("combobox", name="machine")
    field.fill("web-99x")
    field.press("Enter")
    alert = sheet.locator(".amakit-error")
    alert.wait_for()
    assert alert.inner_text().startswith("no machine is called 'web-99x' here; the nearest")
    assert title(sheet, 1) == before


def test_after_a_restart_of_the_kernel_widgets_rest_until_the_notebook_runs_again(sheet):
    menu(sheet, "Kernel", "Restart Kernel…")
    sheet.get_by_role("button", name="Confirm Kernel Restart").click()
    sheet.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
    before = title(sheet, 1)
    sheet.get_by_label("cause", exact=True).select_option(index=1)
    sheet.wait_for_timeout(1000)
    assert sheet.locator(".jp-OutputArea-output[data-mime-type*='error']").count() == 0
    assert title(sheet, 1) == before
    menu(sheet, "Run", "Run All Cells")
    sheet.wait_for_function(
        "t => { const p = document.querySelectorAll('.amakit-chart .js-plotly-plot');"
        " return p.length == 2 && p[1].layout.title.text != t }",
        arg=before,
    )
    machines = marks(sheet)["upgrade"]
    click_mark(sheet, "upgrade", 0)
    titled(sheet, machines[0])
    assert sheet.locator(".jp-OutputArea-output[data-mime-type*='error']").count() == 0
