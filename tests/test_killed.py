"""What a run leaves behind that is killed at any moment: whole files or none, no names, and a folder for the next run.

A few moments here; ``AMAKIT_MOMENTS=50`` asks for fifty of each command.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys

import nbformat
import pandas as pd
import pytest
from fleet import beats, write

from amakit.report.request import notebooks

pytestmark = [
    pytest.mark.skipif(os.name == "nt", reason="Windows has neither fork nor signals"),
]

MOMENTS = int(os.environ.get("AMAKIT_MOMENTS", "0"))
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
WINDOW = ["--start", "2026-03-02", "--end", "2026-03-02 06:00"]
NAME = "payroll-7"
#: Each command and how many moments.
COMMANDS = {
    "analyze": (["analyze", "{logs}", *WINDOW, "--out", "{out}"], 4),
    "snapshot": (["snapshot", "{logs}", "{out}", *WINDOW, "--anonymise"], 3),
    "report": (["report", "{notebook}", "{logs}", *WINDOW, "--anonymise", "--out", "{out}"], 2),
}
RECORDS = ("facts.json", "run.json", "manifest.json", "manifest.partial.json")
#: A process in which all is imported; for each line it runs a command in a child, and kills it after some seconds.
HOST = """
import json, os, signal, sys, time
from amakit.cli import main
import amakit.analysis, amakit.share.snapshot, amakit.report.run, duckdb_kql, papermill, nbconvert, scipy.stats
for line in sys.stdin:
    asked = json.loads(line)
    started, child = time.monotonic(), os.fork()
    if not child:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        with open(asked["log"], "w") as log:
            os.dup2(log.fileno(), 1), os.dup2(log.fileno(), 2)
        main(asked["command"])
    ended = 0
    while not ended and time.monotonic() - started < asked["after"]:
        time.sleep(0.002)
        ended, status = os.waitpid(child, os.WNOHANG)
    if not ended:
        os.kill(child, asked["signal"])
        _, status = os.waitpid(child, 0)
    print(json.dumps([os.waitstatus_to_exitcode(status), time.monotonic() - started, not ended]), flush=True)
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("killed")


@pytest.fixture(scope="module")
def run(home, logs, notebook):
    """Give the way to run a command, killed after some seconds: its status, how long it took, whether it was killed."""
    for place in ("tmp", "config"):
        (home / place).mkdir(mode=0o700)
    environment = {**os.environ, "TMPDIR": str(home / "tmp"), "AMAKIT_CACHE": str(home / "cache")}
    environment |= {"XDG_CONFIG_HOME": str(home / "config")}
    environment.pop("AMAKIT_NO_CACHE", None)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "encoding": "utf-8"}
    with subprocess.Popen([sys.executable, "-c", HOST], env=environment, **pipes) as host:

        def go(folder, command, after=300.0, by=signal.SIGKILL):
            places = {"out": folder / "a" / "b", "logs": logs, "notebook": notebook}
            asked = {"command": [part.format(**places) for part in command], "after": after, "signal": by}
            asked |= {"log": str(home / "log")}
            host.stdin.write(json.dumps(asked) + "\n")
            host.stdin.flush()
            return json.loads(host.stdout.readline())

        yield go
        host.stdin.close()


@pytest.fixture(scope="module")
def logs(home):
    """An agent that upgraded and one that did not."""
    lives = [("1.37.0", "2026-03-02", "2026-03-02 03:00"), ("1.38.0", "2026-03-02 03:05", "2026-03-02 06:00")]
    rows = [beats(NAME, lives), beats("other", [("1.37.0", "2026-03-02", "2026-03-02 06:00")])]
    return write(home / "logs", Heartbeat=pd.concat(rows, ignore_index=True), My_CL=rows[0].assign(RawData=NAME))


@pytest.fixture(scope="module")
def notebook(home):
    """Give the page of versions without what only takes time: its charts and its prose."""
    book = nbformat.read(notebooks()["01_version_transitions"], as_version=4)
    book.cells = [cell for cell in book.cells if cell.id in ("title", "parameters", "imports", "setup", "load")]
    book.cells.append(nbformat.v4.new_code_cell("_ = given.keep(found)"))
    nbformat.write(book, home / "own.ipynb")
    return home / "own.ipynb"


def files(folder):
    """Give what lies in a folder and is meant to be seen; of a record its keys, as its figures are those of one run."""
    found = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and ".amakit-" not in str(p)):
        held = path.read_bytes()
        found[f"{path.parent.name}/{path.name}"] = sorted(json.loads(held)) if path.name in RECORDS else held
    return found


def moments(whole, number):
    """Spread moments over the time that a whole run takes, each with the signal that ends it."""
    draw = random.Random(7)
    return [((n + draw.random()) / number * whole, SIGNALS[n % len(SIGNALS)]) for n in range(number)]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_run_that_is_killed_leaves_whole_files_or_none_and_no_names(name, run, home):
    command, number = COMMANDS[name]
    number = MOMENTS or number
    run(home / "first", command)  # what is imported late, and the key of the pseudonyms
    shutil.rmtree(home / "cache" / "analyses", ignore_errors=True)
    status, whole, _ = run(home / f"{name}-whole", command)
    assert status == 0, (home / "log").read_text()
    wanted, ended = files(home / f"{name}-whole" / "a"), 0
    for n, (after, by) in enumerate(moments(whole, number)):
        folder = home / f"{name}-{n}"
        shutil.rmtree(home / "cache" / "analyses", ignore_errors=True)  # or nothing would be left to do
        status, _, killed = run(folder, command, after, by)
        if not killed:
            continue
        ended += 1
        told, found = (home / "log").read_text(), files(folder / "a")
        if "--anonymise" in command:
            left = [path for path in folder.glob("a/**/*") if path.is_file()]
            assert not [path for path in left if NAME.encode() in path.read_bytes()], (after, by)
        if by != signal.SIGKILL:
            at_its_end = status == -by and found == wanted
            assert at_its_end or status in (128 + by, 130), (after, by, told)
            assert "Traceback" not in told, (after, by, told)
            assert not [*folder.rglob(".amakit-*")], (after, by)
            assert found or not (folder / "a").exists(), (after, by)
        partly = found.pop("b/manifest.partial.json", None)  # of a snapshot, what was fetched stays
        assert all(wanted[file] == held for file, held in found.items()), (after, by)
        assert partly or found in ({}, wanted), (after, by)
    assert ended  # how many depends on how busy the machine is
    for _ in range(1 + (name == "report")):  # the first may find a kernel that has not ended yet
        status, *_ = run(home / f"{name}-0", command)
        assert (status, files(home / f"{name}-0" / "a")) == (0, wanted), (home / "log").read_text()
    left = [*(home / f"{name}-0").rglob(".amakit-*"), *(home / "cache").rglob(".amakit-*")]
    assert not [*(home / "tmp").iterdir(), *left]
    print(name, ended, "of", number, f"in mid-run; a whole one takes {whole:.1f} s")
