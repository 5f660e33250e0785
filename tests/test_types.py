"""What a type checker and an editor see of the kit, with the settings of somebody who uses it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
RIGHT = """
import amakit

ws = amakit.connect("demo")
reveal_type(ws)
reveal_type(ws.query("Heartbeat | take 1"))
found = amakit.analyze(ws, "2026-03-09", machines=["web-28"])
reveal_type(found.outages)
reveal_type(found.window.start)
"""
WRONG = {
    "amakit.analyze(1)": "arg-type",
    "amakit.connect().query(1)": "arg-type",
    "amakit.connekt()": "attr-defined",
    "amakit.analyze(amakit.connect()).outage": "attr-defined",
}


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """Give what mypy says of each line of the snippet."""
    folder = tmp_path_factory.mktemp("types")
    snippet = folder / "snippet.py"
    lines = [*RIGHT.splitlines(), *WRONG]
    snippet.write_text("\n".join(lines), encoding="utf-8")
    (folder / "mypy.ini").write_text(f"[mypy]\nmypy_path = {ROOT.as_posix()}\nfollow_imports = silent\n")
    command = [sys.executable, "-m", "mypy", "--config-file", "mypy.ini", "snippet.py"]
    told = subprocess.run(command, cwd=folder, capture_output=True, encoding="utf-8", check=False)
    found = re.findall(r"^snippet\.py:(\d+): (.*)$", told.stdout, re.MULTILINE)
    assert found, told.stdout + told.stderr
    return [(lines[int(number) - 1], words) for number, words in found]


def test_public_names_have_their_types(said):
    revealed = [re.search(r'"(.*)"', words)[1].rsplit(".", 1)[-1] for _, words in said if "Revealed" in words]
    assert revealed == ["Workspace", "DataFrame", "DataFrame", "Timestamp"]


def test_only_wrong_use_is_reported(said):
    assert {line: re.search(r"\[([\w-]+)\]$", words)[1] for line, words in said if "error:" in words} == WRONG
