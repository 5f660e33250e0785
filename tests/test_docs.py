"""What README and docs/ say is true: pages build without a warning, commands and code run and print what is shown.

A block that does not run is on the list `NOT_RUN` with its reason; what amakit commands it has are still parsed.
"""

import contextlib
import csv
import doctest
import io
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import duckdb
import pytest
import yaml
from click.testing import CliRunner
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from scores import run as score_of
from sybil import Sybil
from sybil.parsers.myst import CodeBlockParser, PythonCodeBlockParser

from amakit import cli, schemas
from amakit.kql import catalog
from amakit.study.rollout import releases

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    p
    for p in [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md")]
    if not {"_build", "_generated"} & set(p.relative_to(ROOT).parts)
)
#: Beginnings of commands that no test can run, and why.
NOT_RUN = {
    "make ": "makes an environment from a registry; CI runs `make test`, `make docs` and `make lint` themselves",
    "conda ": "needs conda; tests/test_packaging.py holds environment.yml to pyproject.toml",
    "python -m pip install ": "installs; tests/test_packaging.py installs the wheel",
    "az ": "needs a sign-in to Azure",
    "amakit inventory ": "needs Azure; tests/control_plane/test_resource_graph.py asks a server on loopback",
    "amakit activity ": "needs an Azure subscription; tests/control_plane/test_resource_manager.py asks a server on loopback",
    "amakit releases --location ": "the same",
    'amakit analyze "$WORKSPACE_ID" --start 2026-03-02 --end 2026-03-09 --control-plane': "needs a Log Analytics workspace; "
    "tests/service/test_refused_tables.py asks a server on loopback",
    'amakit check "$': "needs a Log Analytics workspace; tests/service/test_kusto.py asks a server on loopback",
    'amakit report 03_incident_writeup "$': "the same",
    "amakit snapshot logs shared": "takes as long as the one above it; tests/share/test_snapshot.py looks for names that are left",
    "amakit report 02_upgrade_gaps logs": "takes as long as the write-up; tests/report/test_run.py runs every notebook",
    "amakit report 04_rollout logs": "the same",
    "amakit report 03_incident_writeup demo": "the write-up of `logs` runs; tests/test_packaging.py runs this one in the wheel",
}
#: Languages of blocks that say what is, not what to do.
SHOWN = {"text", "{toctree}", "{include}", "{glossary}", "{eval-rst}"}


def reason(command):
    return next((why for start, why in NOT_RUN.items() if command.startswith(start)), None)


def parsed(command):
    """Hold a line to the command line of amakit: the command exists, its options do, and their values are allowed."""
    words = shlex.split(command, comments=True)
    if not words or words[0] != "amakit" or len(words) == 1:
        return
    at = next((n for n, word in enumerate(words) if n and not word.startswith("-")), len(words))
    with contextlib.suppress(click.exceptions.Exit):  # --help is right, and leaves
        context = cli.main.make_context("amakit", [*words[1:at], "demo"])
        name, found, rest = cli.main.resolve_command(context, words[at:])
        found.make_context(name, rest, parent=context)


class Console:
    """Runs the lines of a console block that begin with a dollar, and compares what is shown below them."""

    def __init__(self):
        self.printed = {}  # the same command gives the same answer, so pages share it
        self.ran, self.left = 0, []

    def __call__(self, example):
        for command, shown in self.steps(example.parsed):
            parsed(command)
            if reason(command):
                self.left.append(command)
                continue
            key = command, Path.cwd()
            if key not in self.printed:
                self.printed[key] = self.run(command)
                self.ran += 1
            if shown and not doctest.OutputChecker().check_output(
                shown, self.printed[key], doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
            ):
                return f"{command}\nshows\n{shown}\nand prints\n{self.printed[key]}"
        return None

    @staticmethod
    def steps(block):
        """Cut a block into pairs of a command and the lines shown below it."""
        found = re.split(r"^\$ ", block, flags=re.MULTILINE)
        assert not found[0].strip(), f"a console block begins with a command, not with {found[0]!r}"
        for part in found[1:]:
            command, _, shown = part.partition("\n")
            yield re.split(r"\s{2,}# ", command)[0].strip(), shown

    @staticmethod
    def run(command):
        if command.startswith("amakit "):
            answer = CliRunner().invoke(cli.main, shlex.split(command)[1:], catch_exceptions=False)
            assert answer.exit_code == 0, f"{command}: {answer.stderr}"
            return answer.stdout
        place = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-ec", command],
            capture_output=True,
            encoding="utf-8",
            check=False,
            env=os.environ | {"PATH": place, "PYTHONPATH": str(ROOT)},
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout


def scripts(node):
    """Give every script in a pipeline, whatever the service calls it."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key in ("run", "script", "inlineScript"):
                yield value
            else:
                yield from scripts(value)
    elif isinstance(node, list):
        for value in node:
            yield from scripts(value)


def pipeline(example):
    """Read a pipeline, and hold its amakit commands to the command line and the rest to bash."""
    lines = [line for script in scripts(yaml.safe_load(example.parsed)) for line in script.splitlines()]
    assert any(line.startswith("amakit ") for line in lines)
    for line in lines:
        parsed(line.replace("$(WORKSPACE)", "ID"))
        assert subprocess.run(["bash", "-n", "-c", line], check=False).returncode == 0
        assert not line.startswith("amakit ") or reason(line)


def bash(example):
    assert Console.run(example.parsed)


def kusto(example):
    import amakit

    with amakit.connect("logs") as logs:
        assert len(logs.query(example.parsed))


def cell(example):
    """Run a cell in the shell of its page, as JupyterLab would."""
    shell = example.namespace.get("shell") or InteractiveShell()
    example.namespace["shell"] = shell
    with capture_output():
        done = shell.run_cell(example.parsed)
    assert done.success, done.error_in_exec or done.error_before_exec


def own_releases(example):
    Path("own.csv").write_text(example.parsed, encoding="utf-8")
    given = list(csv.DictReader(io.StringIO(example.parsed)))
    found = releases.known("own.csv")
    assert {(row["os_type"], row["version"]) for row in given} <= set(
        zip(found["os_type"], found["version"], strict=True)
    )


CONSOLE = Console()
BLOCKS = {"console": CONSOLE, "yaml": pipeline, "bash": bash, "kusto": kusto, "csv": own_releases, "ipython": cell}
SYBIL = Sybil(
    [
        PythonCodeBlockParser(doctest_optionflags=doctest.NORMALIZE_WHITESPACE),
        *(CodeBlockParser(language, run) for language, run in BLOCKS.items()),
    ]
)


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """Give a folder with what the pages name: a small demo, and a part of it in each form of an export."""
    place = tmp_path_factory.mktemp("desk")
    (place / "notebooks").symlink_to(ROOT / "notebooks")
    made = "amakit demo logs --machines 10 --days 7"  # as the tutorial does
    with contextlib.chdir(place):
        CONSOLE.printed[made, place] = CONSOLE.run(made)
    beats = (
        f"(FROM '{place}/logs/Heartbeat.parquet' WHERE TimeGenerated >= '2026-03-06' AND TimeGenerated < '2026-03-07')"
    )
    hour = place / "export/am-heartbeat/WorkspaceResourceId=/subscriptions/0/workspaces/w/y=2026/m=03/d=06/h=11/m=10"
    for folder in (hour, place / "portal", place / "private" / "Heartbeat"):
        folder.mkdir(parents=True)
    duckdb.sql(f"COPY {beats} TO '{hour}/PT05M.json' (FORMAT json)")
    duckdb.sql(f"COPY {beats} TO '{place}/private/Heartbeat/2026-03-06.json' (FORMAT json, ARRAY true)")
    american = "strftime(TimeGenerated, '%-m/%-d/%Y, %-I:%M:%S.%g %p')"
    duckdb.sql(
        f'COPY (SELECT {american} AS "TimeGenerated [UTC]", * EXCLUDE (TimeGenerated) FROM {beats}) '
        f"TO '{place}/portal/Heartbeat.csv' (HEADER)"
    )
    return place


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_commands_and_code_run_and_print_what_is_shown(page, desk, monkeypatch):
    monkeypatch.chdir(desk)
    document = SYBIL.parse(page)
    document.namespace["__name__"] = "page"
    try:
        for example in document.examples():
            example.evaluate()
    finally:
        if shell := document.namespace.get("shell"):
            shell.history_manager.end_session()


def test_no_block_is_passed_over_in_silence():
    fence = re.compile(r"^\s*(?:```|:::)(\S.*)$", re.MULTILINE)
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        fences = re.findall(r"^\s*(```|:::)", text, re.MULTILINE)
        opened = [language.split()[0] for language in fence.findall(text)]
        assert len(fences) == 2 * len(opened), f"{page.name}: a block does not say what it is written in"
        assert set(opened) <= {*BLOCKS, *SHOWN, "python"}, page.name


def test_every_reason_not_to_run_is_needed():
    commands = [
        c
        for page in PAGES
        for block in re.findall(r"```console\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
        for c, _ in Console.steps(re.sub(r"^ +", "", block, flags=re.MULTILINE))
    ]
    lines = [
        line.strip().removeprefix("- run: ").removeprefix("- script: ")
        for page in PAGES
        for line in page.read_text(encoding="utf-8").splitlines()
    ]
    assert {start for start in NOT_RUN if not any(c.startswith(start) for c in commands + lines)} == set()


def test_the_readme_is_short_and_its_links_lead_somewhere():
    """Nine hundred words above what is folded away; the rest is in docs/."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.partition("<details>")[0].split()) < 900
    links = [link for link in re.findall(r"\]\(([^)#]+)", text) if "://" not in link]
    assert len(links) > 20
    assert [link for link in links if not (ROOT / link).exists()] == []


def options(text):
    return set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", text))


def test_commands_that_are_told_of_exist():
    """In the synopsis, and between backticks in prose, where a command is often not whole."""
    reference = (ROOT / "docs/reference/command_line.md").read_text(encoding="utf-8")
    (synopsis,) = re.findall(r"```text\n(amakit demo .*?)```", reference, re.DOTALL)
    told = re.findall(r"^amakit (\w+)(.*?)(?=^amakit|\Z)", synopsis, re.DOTALL | re.MULTILINE)
    assert {name for name, _ in told} == set(cli.main.commands)
    for page in PAGES:
        told += re.findall(r"`amakit ([a-z]+)([^`]*)`", page.read_text(encoding="utf-8"))
    for name, text in told:
        assert name in cli.main.commands
        assert options(text) <= {o for p in cli.main.commands[name].params for o in p.opts} | {"--help"}, (name, text)


def test_a_cell_that_fails_fails(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("```ipython\n%no_such_magic\n```\n", encoding="utf-8")
    document = SYBIL.parse(page)
    (example,) = document.examples()
    with pytest.raises(AssertionError):
        example.evaluate()
    document.namespace["shell"].history_manager.end_session()


def test_what_is_typed_wrong_is_found():
    with pytest.raises(click.UsageError, match="No such option"):
        parsed("amakit report 03_incident_writeup demo --outt out")
    with pytest.raises(click.UsageError, match="No such command"):
        parsed("amakit reprot 03_incident_writeup demo --out out")
    assert list(Console.steps("$ amakit kql      # why\na\nb\n$ make\n")) == [("amakit kql", "a\nb\n"), ("make", "")]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Build the documentation as `make docs` does."""
    place = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "sphinx",
            "--builder",
            "html",
            "--fail-on-warning",
            "--nitpicky",
            "--quiet",
            "--doctree-dir",
            place / "trees",
            ROOT / "docs",
            place / "html",
        ],
        capture_output=True,
        encoding="utf-8",
        check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    return place / "html"


def test_the_pages_hold_every_query_command_column_and_public_name(built):
    def page(name):
        return (built / name).read_text(encoding="utf-8")

    assert all(
        f"<h2>{name}" in re.sub(r"<code.*?>|<span.*?>|</?code>|</span>", "", page("_generated/queries.html"))
        for name in catalog.packaged()
    )
    assert all(f'id="amakit-{name}"' in page("reference/command_line.html") for name in cli.main.commands)
    assert all(
        f">{column}<" in page("reference/results.html") for table in schemas.RESULTS.values() for column in table
    )
    for name in (
        "amakit.connect",
        "amakit.analyze",
        "amakit.charts.timeline",
        "amakit.study.rollout.survival.turnbull",
    ):
        assert (built / "_generated" / "api" / f"{name}.html").exists()
    assert page("_generated/charts.html").count('<div class="chart"><svg') >= 12
    assert "synthetic" in page("_generated/charts.html")


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_every_file_that_a_page_names_is_there(page):
    named = re.findall(r"`((?:amakit|tests|docs|benchmarks|notebooks)/[\w./-]*)`", page.read_text(encoding="utf-8"))
    assert [name for name in named if not (ROOT / name).exists() and not name.startswith("docs/_")] == []


def test_the_pages_ask_nothing_of_the_network(built):
    for page in built.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert not re.findall(
            r'<(?:script|img|iframe)[^>]+src="(?:https?:)?//[^"]*"|<link[^>]+rel="(?:stylesheet|preload|preconnect)"[^>]+href="(?:https?:)?//[^"]*"',
            text,
        ), page.name
    for sheet in built.rglob("*.css"):
        assert not re.findall(r"(?:@import\s*|url\()['\"]?(?:https?:)?//", sheet.read_text(encoding="utf-8")), (
            sheet.name
        )


def test_what_other_tools_see_is_what_the_truth_says(built):
    """The upgrade took three heartbeats of a minute, so no window of five minutes was empty, and no hour."""
    text = re.sub(r"<[^>]+>", "", (built / "_generated" / "other_tools.html").read_text(encoding="utf-8"))
    text = re.sub(r"\s+", " ", text)
    assert "3 heartbeats were lost" in text
    assert "3 heartbeats lost (3 to 3)" in text
    assert "100 % available; the emptiest hour held 58 heartbeats not seen" in text
    assert "fired at 0 of 288 evaluations" in text


def test_the_figures_of_the_method_come_from_the_scorer():
    """One fleet again: its column in the file that the page shows is what the scorer says."""
    lines = (
        (ROOT / "docs" / "figures" / "scores_simulator.txt")
        .read_text(encoding="utf-8")
        .partition("\n\n")[0]
        .splitlines()
    )
    column = lines[0].split().index("9") + 1
    again = score_of(9)[0]
    told = {line[:28].strip(): line for line in lines[1:] if " of " in line}
    assert set(told) == set(again.figures)
    for name, figure in again.figures.items():
        shown = told[name][47 + 9 * (column - 3) :][:9].strip()
        assert shown == ("" if not figure.total else f"{figure.value:.4f}"), name


def test_the_citation_names_this_version():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    import amakit

    assert cited["version"] == amakit.__version__
    assert {"cff-version", "message", "title", "authors"} <= set(cited)
    assert cited["authors"]
