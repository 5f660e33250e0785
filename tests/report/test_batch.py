"""Many pages: one for each machine, group, day or week, whatever happens to some of them, and the page that leads to them."""

import json
import os
import re
from contextlib import ExitStack
from dataclasses import replace

import nbformat
import pandas as pd
import pytest
from click.testing import CliRunner
from fleet import beats, write
from hypothesis import given, settings
from hypothesis import strategies as st
from inventories import beating, found_in, known, subscription, vm

import amakit
from amakit.cli import main
from amakit.report import batch
from amakit.report.batch import folders, index, reports
from amakit.report.execute import execute, kernel
from amakit.report.request import Request, notebooks
from amakit.report.run import run

NAME = "01_version_transitions"


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Give a notebook that writes its tables and nothing else."""
    book = nbformat.read(notebooks()[NAME], as_version=4)
    book.cells = [cell for cell in book.cells if cell.id in ("title", "parameters", "imports", "setup", "load")]
    book.cells.append(nbformat.v4.new_code_cell("_ = given.keep(found)"))
    path = tmp_path_factory.mktemp("book") / "small.ipynb"
    nbformat.write(book, path)
    return path


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    plan = [("1.37", "2026-03-02", "2026-03-02 03:00"), ("1.38", "2026-03-02 03:04", "2026-03-02 06:00")]
    rows = [
        beats("app", plan, resource=f"/subscriptions/0/resourceGroups/{g}/vm/app", source=g) for g in ("east", "west")
    ]
    return write(tmp_path_factory.mktemp("many") / "logs", Heartbeat=pd.concat([*rows, beats("db<b>", plan)]))


@pytest.fixture(scope="module")
def made(small, logs, tmp_path_factory):
    """Run the command over three machines, one of which is not there; give its outcome and its folder."""
    out = tmp_path_factory.mktemp("made") / "out"
    asked = ["report", str(small), str(logs), "--start", "2026-03-02", "--end", "2026-03-03", "--out", str(out)]
    machines = ["--machine", "db<b>", "--machine", "gone", "--machine", "app"]
    return CliRunner().invoke(main, asked + machines + ["--to", "html,md"]), out


def test_all_notebooks_are_about_one_window_and_the_index_leads_to_each(small, logs, tmp_path, monkeypatch):
    book = nbformat.read(small, as_version=4)
    for number in (1, 2):
        book.cells[0].source = f"# Question {number}"
        book.cells[0].metadata.pop("ja", None)
        nbformat.write(book, tmp_path / f"book{number}.ipynb")
    monkeypatch.setattr(batch, "notebooks", lambda: {f"book{n}": tmp_path / f"book{n}.ipynb" for n in (1, 2)})
    monkeypatch.setattr("amakit.report.request.notebooks", batch.notebooks)
    request = Request("book1", logs, "2026-03-02", "2026-03-03")
    files = reports(request, tmp_path / "out", "notebook")
    assert [str(path.relative_to(tmp_path / "out")) for path in files] == [
        "index.html",
        "index.json",
        "book1/book1.html",
        "book2/book2.html",
    ]
    told = json.loads((tmp_path / "out" / "index.json").read_text(encoding="utf-8"))
    assert (told["notebook"], told["each"]) == ("all", "notebook")
    assert [page["name"] for page in told["pages"]] == ["Question 1", "Question 2"]
    assert len({page["sentence"] for page in told["pages"]}) == 1
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert page.count(told["pages"][0]["sentence"]) == 1  # of all of them alike
    assert "2 pages about one window of logs" in page
    both = [(tmp_path / "out" / name / "outages.csv").read_bytes() for name in ("book1", "book2")]
    assert both[0] == both[1]


def test_all_and_each_ask_for_different_things(logs, tmp_path):
    done = CliRunner().invoke(main, ["report", "all", str(logs), "--each", "day", "--out", str(tmp_path / "out")])
    assert done.exit_code == 2
    assert "ask for one notebook with --each day" in done.stderr


def test_a_limit_that_one_page_exceeds_is_status_3_and_everything_is_written(small, logs, tmp_path):
    asked = [
        "report",
        str(small),
        str(logs),
        "--start",
        "2026-03-02",
        "--end",
        "2026-03-03",
        "--to",
        "ticket",
        "--machine",
        "db<b>",
        "--out",
        str(tmp_path),
    ]
    over = CliRunner().invoke(main, [*asked, "--machine", "app", "--fail-on", "upgrades>1, machines>1"])
    assert over.exit_code == 3
    assert len(over.stdout.splitlines()) == 4  # the index in two forms, and both pages
    place = str(tmp_path / "app")
    assert over.stderr == (
        f"amakit: {place}: upgrades is 2 (upgrades>1); {place}: machines is 2 (machines>1); all is written, look there\n"
    )
    assert (tmp_path / "db-b" / "small.ticket.md").read_text().startswith("**Nothing is to be done")
    within = CliRunner().invoke(main, [*asked, "--fail-on", "upgrades>1"])
    assert (within.exit_code, within.stderr) == (0, "")


def test_one_that_fails_does_not_stop_the_others_and_is_told_at_the_end(made):
    outcome, out = made
    assert outcome.exit_code == 1
    assert outcome.stdout == ""
    assert re.search(r"^amakit: 1 of 3 pages failed, .*\n  gone: no machine 'gone' has reported", outcome.stderr)
    assert sorted(p.name for p in out.iterdir()) == ["app", "db-b", "index.html", "index.json"]
    assert {"small.html", "small.md", "machines.csv", "run.json", "facts.json"} <= {
        p.name for p in (out / "app").iterdir()
    }


def test_the_index_leads_to_each_page_and_says_which_one_is_not_there(made, opened):
    _, out = made
    told = json.loads((out / "index.json").read_text(encoding="utf-8"))
    assert told["schema"] == "amakit.index/1"
    assert [page["name"] for page in told["pages"]] == ["db<b>", "gone", "app"]
    assert [page["files"] for page in told["pages"]] == [
        {"html": "db-b/small.html", "md": "db-b/small.md"},
        {},
        {"html": "app/small.html", "md": "app/small.md"},
    ]
    assert "no machine 'gone' has reported to logs;" in told["pages"][1]["failed"]
    assert str(out.parent) not in (out / "index.json").read_text() + (out / "index.html").read_text()
    sheet = opened(out / "index.html")
    assert sheet.complaints == []
    assert sheet.get_attribute("html", "lang") == "en"
    links = [link.get_attribute("href") for link in sheet.get_by_role("link").all()]
    assert all((out / link).is_file() for link in links if not link.startswith("#"))
    assert "not made: no machine 'gone' has reported" in sheet.locator("tbody tr").nth(1).inner_text()
    assert sheet.locator("thead th").all_inner_texts()[2:7] == [
        "down",
        "off",
        "upgrades",
        "failed attempts",
        "heartbeats lost",
    ]
    for row, page in enumerate(told["pages"]):
        numbers = sheet.locator("tbody tr").nth(row).locator("td.number").all_inner_texts()
        names = ("down", "off", "seen", "rolled_back", "lost_heartbeats")
        assert numbers == [str(page["counts"].get(name, "")) for name in names]
    assert told["pages"][2]["counts"]["upgrades"] == 2
    # a page leads to the index and to those beside it; one that was not made is passed over
    for name, beside in {"db-b": ["All pages", "app →"], "app": ["← db<b>", "All pages"]}.items():
        sheet = opened(out / name / "small.html")
        links = sheet.get_by_role("navigation", name="Pages beside this one").get_by_role("link")
        assert links.all_inner_texts() == beside
        assert all((out / name / link.get_attribute("href")).is_file() for link in links.all())


def test_each_machine_is_asked_for_by_a_name_that_is_its_own(logs):
    parts = batch._parts(Request(NAME, logs), "machine", None)
    assert [(part.name, part.machines) for part in parts] == [
        ("app · east", ("/subscriptions/0/resourcegroups/east/vm/app",)),
        ("app · west", ("/subscriptions/0/resourcegroups/west/vm/app",)),
        ("db<b>", ("db<b>",)),
    ]


def test_each_group_is_asked_for_with_all_of_its_machines(logs):
    app = "/subscriptions/0/resourcegroups/{}/vm/app"
    parts = batch._parts(Request(NAME, logs), "group", None)
    assert [(part.name, part.machines) for part in parts] == [
        ("east", (app.format("east"),)),
        ("rg", ("db<b>",)),
        ("west", (app.format("west"),)),
    ]
    hidden = batch._parts(Request(NAME, logs), "group", b"k" * 32)
    assert all(re.fullmatch("group-[0-9a-f]{12}", part.name) for part in hidden)
    assert [part.name for part in hidden] == sorted(part.name for part in hidden)
    fleet = pd.DataFrame({"resource_id": ["/subscriptions/0/resourcegroups/a/x", ""], "computer": ["x", "y"]})
    told = pd.Series(["a", ""])
    names = [part.name for part in batch._groups(fleet, told, "group", Request(NAME, logs, language="ja"), None)]
    assert names == ["a", "リソース グループなし"]
    with pytest.raises(amakit.UsageError, match="each group takes all machines of one; leave the machines out"):
        batch._parts(Request(NAME, logs, machines=("app",)), "group", None)


def test_each_region_and_each_value_of_a_tag_is_that_of_the_inventory(logs, tmp_path):
    beats = [beating("web-1"), beating("web-2"), beating("far"), beating("own", resource="/x")]
    rows = [
        subscription(),
        known(vm("web-1"), ResourceTags=json.dumps({"Env": "prod"})),
        known(vm("web-2"), ResourceTags=json.dumps({"env": "test"})),
        known(vm("far"), Location="japaneast"),
    ]
    found_in(tmp_path, beats, rows)
    request = Request(NAME, tmp_path / "logs")
    parts = batch._parts(request, "region", None)
    assert [(part.name, part.machines) for part in parts] == [
        ("japaneast", ("far",)),
        ("westeurope", ("web-1", "web-2")),
        ("none told", ("own",)),
    ]
    parts = batch._parts(request, "tag:env", None)
    assert [(part.name, part.machines) for part in parts] == [
        ("prod", ("web-1",)),
        ("test", ("web-2",)),
        ("none told", ("far", "own")),
    ]
    assert [part.name for part in batch._parts(request, "region", b"k" * 32)] == [
        "japaneast",
        "westeurope",
        "none told",
    ]
    hidden = [part.name for part in batch._parts(request, "tag:env", b"k" * 32)]
    assert all(re.fullmatch("tag-[0-9a-f]{12}|none told", name) for name in hidden)
    with pytest.raises(amakit.UsageError, match="each region is told by an inventory"):
        batch._parts(Request(NAME, logs), "region", None)
    with pytest.raises(amakit.UsageError, match="each 'tag:' is not known"):
        batch._parts(request, "tag:", None)


def test_with_pseudonyms_machines_are_neither_named_nor_in_the_order_of_their_names(logs):
    for asked in ((), ("zebra", "app", "db<b>", "quokka")):
        parts = batch._parts(Request(NAME, logs, machines=asked), "machine", b"k" * 32)
        names = [part.name for part in parts]
        assert names == sorted(names)
        assert all(re.fullmatch(r"machine-\w{12}( · group-\w{12})?", name) for name in names)


def test_days_and_weeks_begin_at_midnight_of_the_zone_and_cover_the_window():
    asked = Request(NAME, "demo", "2026-03-06T12:00", "2026-03-09T12:00", ("web-02",), timezone="America/New_York")
    days = batch._parts(asked, "day", None)
    assert [part.name for part in days] == ["2026-03-06", "2026-03-07", "2026-03-08", "2026-03-09"]
    assert [part.start for part in days] == [
        "2026-03-06T12:00:00Z",
        "2026-03-07T05:00:00Z",
        "2026-03-08T05:00:00Z",
        "2026-03-09T04:00:00Z",
    ]
    assert [part.end for part in days] == [part.start for part in days[1:]] + ["2026-03-09T12:00:00Z"]
    assert [part.partial for part in days] == [True, False, False, True]
    weeks = batch._parts(asked, "week", None)
    assert [(part.name, part.machines) for part in weeks] == [("2026-W10", ("web-02",)), ("2026-W11", ("web-02",))]
    whole = replace(asked, start="2026-03-02T05:00", end="2026-03-16T04:00")  # the clock is set forward on the 8th
    assert [part.partial for part in batch._parts(whole, "week", None)] == [False, False]
    assert [part.partial for part in batch._parts(replace(whole, end="2026-03-16T05:00"), "week", None)] == [
        False,
        False,
        True,
    ]


@given(st.lists(st.text(max_size=90), max_size=8))
@settings(max_examples=150, deadline=None)
def test_folders_are_good_names_everywhere_and_unlike_each_other(names):
    found = folders(names)
    assert len({name.casefold() for name in found}) == len(names)
    for name in found:
        assert 0 < len(name) <= 70
        assert not re.search(r'[<>:"/\\|?*\x00-\x1f\u202e]', name)
        assert name[-1] not in ". "
        assert name.split(".")[0].casefold() not in ("con", "nul", "com1", "aux")
        assert name.casefold() not in ("index.html", "index.json")


def test_wrong_use_is_told_before_anything_runs(tmp_path, small):
    run = CliRunner().invoke
    base = ["report", str(small), "demo", "--out", str(tmp_path / "out")]
    for more, sentence in [
        (["--each", "machine", "--together"], "opposite things"),
        (["--each", "day", "-p", "strat", "x"], "the nearest is 'start'"),
        (["--each", "hour"], "'machine', 'group', 'day', 'week'"),
        (["--machine", "a", "--machine", "b", "--to", "docx"], "it is html, md, pdf, ipynb or ticket"),
    ]:
        outcome = run(main, base + more)
        assert outcome.exit_code == 2
        assert sentence in outcome.stderr
    assert not (tmp_path / "out").exists()
    with pytest.raises(amakit.UsageError, match="it is machine, group, day, week, region, tag:NAME or notebook"):
        reports(Request(small), tmp_path / "out", each="hour")


@pytest.mark.parametrize(("language", "names"), [("en", "Mon Tue Wed Thu Fri Sat Sun"), ("ja", "月 火 水 木 金 土 日")])
def test_days_stand_in_a_calendar_under_their_weekday_with_the_worst_of_each(language, names):
    days = pd.date_range("2026-02-26", "2026-03-10")  # a Thursday, and a Tuesday
    counts = {
        "2026-02-27": {"down": 1, "seen": 2},
        "2026-02-28": {"rolled_back": 3},
        "2026-03-01": {"seen": 1, "off": 4},
    }
    entries = [
        {
            "name": f"{day:%Y-%m-%d}",
            "sentence": "",
            "failed": "no heartbeat" if day.day == 5 else None,
            "partial": day == days[-1],
            "counts": counts.get(f"{day:%Y-%m-%d}", {}),
            "files": {} if day.day == 5 else {"html": f"{day:%Y-%m-%d}/p.html"},
        }
        for day in days
    ]
    about = {"notebook": "n", "workspace": "w", "timezone": "UTC", "each": "day", "title": "t"}
    sheet = index(entries, about, language)
    calendar = re.search(r'<table class="calendar".*?</table>', sheet, re.DOTALL)[0]
    assert re.findall(r'<th scope="col">(.*?)</th>', calendar) == names.split()
    weeks = [re.findall(r"<td.*?</td>", row) for row in re.findall(r"<tr>(<td.*?)</tr>", calendar, re.DOTALL)]
    assert [len(week) for week in weeks] == [7, 7, 7]
    placed = {
        (number, weekday): cell
        for number, week in enumerate(weeks)
        for weekday, cell in enumerate(week)
        if cell != "<td></td>"
    }
    assert len(placed) == len(days)
    for day, ((_, weekday), cell) in zip(days, placed.items(), strict=True):
        assert weekday == day.weekday()
        assert f"{day:%m-%d}" in cell
    status = {
        f"{day:%m-%d}": re.search(r'class="(\w+)"', cell)[1] for day, cell in zip(days, placed.values(), strict=True)
    }
    odd = {"02-27": "down", "02-28": "rolled_back", "03-01": "seen", "03-05": "failed"}
    assert status == dict.fromkeys(status, "quiet") | odd
    assert "href" not in placed[1, 3]  # it failed
    by_machine = index(entries, about | {"each": "machine"}, language)
    assert '<table class="calendar"' not in by_machine


def test_an_index_shows_hostile_names_as_text(tmp_path, opened):
    names = [
        "<img src=x onerror=alert(1)>",
        "x" * 10_000,
        "\u202eevil",
        '"><script>alert(1)</script>',
        *map(str, range(9)),
    ]
    entries = [
        {"name": name, "sentence": name, "failed": None, "files": {"html": f"{folder}/p.html"}}
        for name, folder in zip(names, folders(names), strict=True)
    ]
    about = {"notebook": "n", "workspace": "<b>", "timezone": "UTC", "each": "machine", "title": "<i>t</i>"}
    (tmp_path / "index.html").write_text(index(entries, about, "ja"), encoding="utf-8")
    sheet = opened(tmp_path / "index.html", viewport={"width": 400, "height": 800})
    assert sheet.complaints == []
    assert sheet.locator("main img, main script, main b, main i").count() == 0
    assert sheet.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert sheet.get_by_role("searchbox").count() == 1
    assert "\u202e" not in sheet.content()


def book_of(path, source):
    """Write a notebook of one cell that keeps nothing."""
    cells = [nbformat.v4.new_code_cell("", metadata={"tags": ["parameters"]}), nbformat.v4.new_code_cell(source)]
    book = nbformat.v4.new_notebook(cells=cells)
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(book, path)
    return nbformat.read(path, as_version=4)


def results(book):
    return [(cell.execution_count, [output.get("text") for output in cell.outputs]) for cell in book.cells[1:]]


def test_in_a_kernel_that_is_held_each_notebook_finds_nothing_of_the_one_before(tmp_path):
    ask = book_of(
        tmp_path / "ask.ipynb", "print(sorted(name for name in globals() if name.startswith('own')), len(In))"
    )
    leave = book_of(tmp_path / "leave.ipynb", "own, own_too = 1, 2\nimport os; os.environ['OWN'] = '1'")
    with ExitStack() as last, kernel({"ASKED": "yes"}, last) as manager:
        first, _ = execute(ask, {}, manager, progress=False)
        execute(leave, {}, manager, progress=False)
        process = manager.provisioner.pid
        again, _ = execute(ask, {}, manager, progress=False)
        assert manager.provisioner.pid == process
    assert results(again) == results(first) == [(1, ["[] 2\n"])]
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


def test_after_a_notebook_that_failed_or_took_its_kernel_along_the_next_one_runs(tmp_path):
    ask, fail, die = (
        book_of(tmp_path / f"{number}.ipynb", source)
        for number, source in enumerate(("print('here')", "1 / 0", "import os; os._exit(9)"))
    )
    with ExitStack() as last, kernel({}, last) as manager:
        assert execute(fail, {}, manager, progress=False)[1] == "cell 1 with ZeroDivisionError: division by zero"
        assert results(execute(ask, {}, manager, progress=False)[0])[-1][1] == ["here\n"]
        with pytest.raises(amakit.AmakitError, match="the kernel of the notebook died"):
            execute(die, {}, manager, progress=False)
        assert results(execute(ask, {}, manager, progress=False)[0])[-1][1] == ["here\n"]
        manager.provisioner.process.kill()  # between two notebooks
        with pytest.raises(amakit.AmakitError, match="the kernel of the notebook died, or gave no answer"):
            execute(ask, {}, manager, progress=False)
        assert results(execute(ask, {}, manager, progress=False)[0])[-1][1] == ["here\n"]


def test_pages_of_the_kit_share_a_kernel_and_are_those_that_each_makes_alone(logs, small, tmp_path, monkeypatch):
    monkeypatch.delenv("AMAKIT_NO_CACHE", raising=False)  # so that seconds of queries are those of one run
    monkeypatch.setenv("AMAKIT_CACHE", str(tmp_path / "cache"))
    begun = []
    monkeypatch.setattr(batch, "kernel", lambda *asked: begun.append(asked) or kernel(*asked))
    request = Request("02_upgrade_gaps", logs, "2026-03-02", "2026-03-03", ("app", "db<b>"))
    shared = [path for path in reports(request, tmp_path / "both") if path.parent.name in ("app", "db-b")]
    assert (len(begun), len(shared)) == (1, 2)
    for path, machine in zip(shared, request.machines, strict=True):
        (alone,) = run(replace(request, machines=(machine,)), tmp_path / path.parent.name)
        in_batch, by_itself = (one.read_text(encoding="utf-8") for one in (path, alone))
        assert re.sub('<nav class="beside".*?</nav>\n', "", in_batch) == by_itself
    reports(replace(request, notebook=str(small)), tmp_path / "own")
    # a kernel for each page of somebody's own notebook, and none in which an analysis is kept for the next
    assert ["AMAKIT_HOLD_ANALYSIS" in environment for environment, _ in begun] == [True, False, False]


@pytest.mark.parametrize("more", [{"cache": False}, {"anonymise": True}])
def test_the_notebooks_of_one_window_rest_on_one_analysis(logs, tmp_path, monkeypatch, more):
    """Also where no run may take what another one kept: a page names the seconds of its queries, which never come twice."""
    monkeypatch.setenv("AMAKIT_KEY_FILE", str(tmp_path / "key"))
    request = Request("03_incident_writeup", logs, "2026-03-02", "2026-03-03", ("app",), **more)
    reports(request, tmp_path / "out", "notebook")
    runs = {path.read_bytes() for path in (tmp_path / "out").glob("*/run.json")}
    facts = {path.read_bytes() for path in (tmp_path / "out").glob("*/facts.json")}
    assert (len(notebooks()), len(runs), len(facts)) == (5, 1, 1)


def test_pages_about_others_rest_on_analyses_of_their_own(logs, tmp_path):
    request = Request("01_version_transitions", logs, "2026-03-02", "2026-03-03", ("app", "db<b>"), cache=False)
    reports(request, tmp_path / "out")
    asked = [json.loads(path.read_text(encoding="utf-8"))["machines"] for path in (tmp_path / "out").glob("*/run.json")]
    assert sorted(asked) == [["app"], ["db<b>"]]


def test_a_page_that_cannot_be_written_does_not_stop_the_others(logs, tmp_path, monkeypatch):
    """One page is written while the next notebook runs; what fails is told of the page that it belongs to."""
    from amakit.report import run as module

    whole = module.write

    def write(notebook, stage, *more):
        if "app" in str(stage.parent):
            raise amakit.AmakitError("no room for it; make some")
        return whole(notebook, stage, *more)

    monkeypatch.setattr(module, "write", write)
    request = Request("01_version_transitions", logs, "2026-03-02", "2026-03-03", ("app", "db<b>"))
    with pytest.raises(amakit.AmakitError, match=r"1 of 2 pages failed.*\n  app: no room for it; make some"):
        reports(request, tmp_path / "out")
    pages = json.loads((tmp_path / "out" / "index.json").read_text(encoding="utf-8"))["pages"]
    assert [(page["name"], page["failed"], bool(page["files"])) for page in pages] == [
        ("app", "no room for it; make some", False),
        ("db<b>", None, True),
    ]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["db-b", "index.html", "index.json"]


def test_of_what_is_not_there_all_notebooks_say_so_once(tmp_path):
    done = CliRunner().invoke(main, ["report", "all", str(tmp_path / "nowhere"), "--out", str(tmp_path / "out")])
    assert (done.exit_code, done.output.count("does not exist")) == (1, 1)
    assert not (tmp_path / "out").exists()
