"""What several test files share: Microsoft's own KQL parser under Node, a Kusto server on loopback, a browser."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import hypothesis
import pytest
import shared_analyses
import shared_kernels

os.environ.setdefault("AMAKIT_NO_CACHE", "1")  # tests of an analysis make it; what is kept has tests of its own
hypothesis.settings.register_profile("amakit", deadline=None)  # a busy machine is slow, and nothing here tells seconds
hypothesis.settings.load_profile("amakit")

_FOLDER = Path(__file__).parent / "kql_parser"
#: Mark by the fixture that a test asks for, itself or through others.
_MARKS = {"browser": "browser", "kusto_server": "server", "service": "server", "running": "server", "lab": "lab"}
#: Tests, and whole files, that are left out of `make quick`; written by ``--note-slow``.
_SLOW = Path(__file__).with_name("slow.txt")
#: Seconds from which a test is one of them, and from which what the tests of a file share makes the file one.
_LONG, _LONG_SHARED = 1.0, 4.0
_TOOK: "dict[str, dict[str, float]]" = {}


def pytest_addoption(parser):
    """Offer to note which tests are slow."""
    parser.addoption(
        "--note-slow", action="store_true", help="write into tests/slow.txt which of the tests that run are slow"
    )


def pytest_configure(config):
    """Let examples of docstrings share their analyses as tests do, and pages their kernels."""
    config.pluginmanager.register(shared_analyses)
    config.pluginmanager.register(shared_kernels)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Mark each test by what it needs, and as slow what was when it was noted."""
    slow = set(_SLOW.read_text(encoding="utf-8").split())
    for item in items:
        for name in set(getattr(item, "fixturenames", ())) & set(_MARKS):
            item.add_marker(_MARKS[name])
        if slow & {item.nodeid.partition("[")[0], item.nodeid.partition("::")[0]}:
            item.add_marker("slow")


def pytest_runtest_logreport(report):
    """Keep how long each test took."""
    took = _TOOK.setdefault(report.nodeid, {"setup": 0.0, "call": 0.0, "teardown": 0.0})
    took[report.when] += report.duration


def pytest_sessionfinish(session):
    """Note the slow tests, where that was asked for: in the process that hears of all of them."""
    if session.config.getoption("--note-slow") and not hasattr(session.config, "workerinput"):
        ran = {name.partition("[")[0] for name in _TOOK} | {name.partition("::")[0] for name in _TOOK}
        kept = set(_SLOW.read_text(encoding="utf-8").split()) - ran  # a run of some tests tells nothing of the others
        _SLOW.write_text("\n".join(sorted(kept | set(slow_ones(_TOOK)))) + "\n", encoding="utf-8")


def slow_ones(took):
    """Give the names of slow tests, without their parameters, and of files whose tests share what takes long to make."""
    shared = {}
    for name, seconds in took.items():
        file = name.partition("::")[0]
        shared[file] = shared.get(file, 0) + seconds["setup"]
    files = {file for file, seconds in shared.items() if seconds > _LONG_SHARED}
    tests = {name.partition("[")[0] for name, seconds in took.items() if seconds["call"] > _LONG}
    return sorted(files | {name for name in tests if name.partition("::")[0] not in files})


def _needed(reason):
    """Skip a test for want of a program; in CI, where all are there, fail."""
    pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)


class KqlParser:
    """The official KQL parser, asked line by line."""

    def __init__(self, process):
        self._process = process

    def know(self, tables):
        """Set which tables exist: table to column to KQL type."""
        self._write({"tables": tables})

    def check(self, kql):
        """Give the diagnostics, the literals and the result's columns of a query."""
        self._write({"kql": kql})
        return json.loads(self._process.stdout.readline())

    def _write(self, request):
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()


@pytest.fixture(scope="session")
def parser_process():
    """Start Node with the parser once."""
    node = shutil.which("node") or shutil.which("node", path=str(Path(sys.executable).parent))
    if node is None or not (_FOLDER / "node_modules" / "@kusto" / "language-service-next").is_dir():
        _needed(
            "the official KQL parser is missing; `make test` brings it, and so does `npm install --prefix tests/kql_parser`"
        )
    command = [node, str(_FOLDER / "check.cjs")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8") as process:
        yield process
        process.stdin.close()


@pytest.fixture
def kql_parser(parser_process):
    """Give the parser, knowing the tables of Log Analytics."""
    from amakit.schemas import tables

    parser = KqlParser(parser_process)
    parser.know(tables())
    return parser


@contextlib.contextmanager
def _served(path):
    """Run the real REST server over a DuckDB file; give the workspace's address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # the program that pip makes of it calls just this
    program = "import sys; from duckdb_kql.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", program, "serve", str(path), "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            for _ in range(6000):
                assert server.poll() is None, "the server ended before it was ready"
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                    break
                time.sleep(0.1)
            else:
                pytest.fail("the server was not ready after ten minutes")
            yield f"http://127.0.0.1:{port}/{path.stem}"
        finally:
            server.terminate()


@pytest.fixture(scope="session")
def kusto_server():
    """Give the way to run a Kusto server over a DuckDB file, as a context that knows its address."""
    return _served


@pytest.fixture(scope="session")
def browser():
    """Give the Chromium of this machine, which a package of the system brings."""
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
    if path is None:
        _needed("there is no Chromium to open the page in; install it, on Debian with `apt-get install chromium`")
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

    def open_page(path, scheme="light", scripts=True, **options):
        context = browser.new_context(offline=True, color_scheme=scheme, java_script_enabled=scripts, **options)
        contexts.append(context)
        sheet = context.new_page()
        sheet.asked, sheet.complaints = [], []
        sheet.on("request", lambda request: sheet.asked.append(request.url))
        sheet.on("console", lambda message: sheet.complaints.append(message.text))
        sheet.on("pageerror", lambda error: sheet.complaints.append(str(error)))
        sheet.on("dialog", lambda dialog: sheet.complaints.append(f"dialog {dialog.message}"))
        sheet.goto(Path(path).as_uri())
        if scripts and sheet.locator("#plotly-packed, .chart").count():
            sheet.wait_for_selector("body[data-charts=drawn]")
        return sheet

    yield open_page
    for context in contexts:
        context.close()
