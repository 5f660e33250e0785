"""What packaging promises: one list of dependencies, imports downwards only, and KQL that travels in a wheel."""

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
#: The rooms of the house, from the roof down: each may import only from rooms below it.
ROOMS = [
    "__main__", "cli", "series", "explore", "gallery", "report", "running", "pages", "chromium", "still", "tables", "progress", "writeup",
    "narrative", "charts", "facts", "blindness", "rollout", "snapshots", "copies", "pseudonyms", "controlplane",
    "analysis", "events", "causes", "gaps", "outages", "releases", "transitions", "streams", "collect", "workspace",
    "azure", "local", "demo", "patience", "queries", "schemas", "intervals", "words", "errors", "__init__",
]  # fmt: skip
#: The only rooms that know a heavy library.
DOORS = {
    "plotly": {"charts", "pages"}, "nbconvert": {"pages"}, "papermill": {"running"}, "matplotlib": {"still"},
    "azure": {"azure", "controlplane"}, "duckdb_kql": {"local"}, "ipywidgets": {"explore"}, "anywidget": {"explore"},
}  # fmt: skip


def name_of(requirement):
    return re.split(r"[<>=!~\[ ;]", requirement)[0].lower()


def parsed(room):
    return ast.walk(ast.parse((ROOT / "amakit" / f"{room}.py").read_text(encoding="utf-8")))


def imported(room):
    for node in parsed(room):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module == "amakit":
            yield from (f"amakit.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module


def test_conda_and_pip_name_the_same_direct_dependencies():
    conda = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))["dependencies"]
    plain = {name_of(d) for d in conda if isinstance(d, str)} - {"python", "pip"}
    by_pip = {name_of(d) for d in next(d["pip"] for d in conda if isinstance(d, dict)) if not d.startswith("-")}
    wanted = PROJECT["project"]["dependencies"] + PROJECT["project"]["optional-dependencies"]["test"]
    assert plain | by_pip == {name_of(d) for d in wanted}


def test_the_lock_pins_every_direct_dependency_and_holds_no_address():
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    pinned = {name_of(line) for line in lines}
    wanted = PROJECT["project"]["dependencies"] + PROJECT["project"]["optional-dependencies"]["test"]
    assert {name_of(d) for d in wanted} <= pinned
    assert all(re.fullmatch(r"[\w.\-]+==[\w.+!]+( ; .+)?", line) for line in lines)


def test_every_room_is_on_the_list():
    assert {p.stem for p in (ROOT / "amakit").glob("*.py")} == set(ROOMS)


@pytest.mark.parametrize("room", [r for r in ROOMS if r != "__init__"])
def test_imports_go_down_only(room):
    below = set(ROOMS[ROOMS.index(room) + 1 :])
    own = {name.split(".")[1] for name in imported(room) if name.startswith("amakit.")} & set(ROOMS)
    assert own <= below


@pytest.mark.parametrize("library", DOORS)
def test_heavy_libraries_come_in_by_their_doors(library):
    assert {room for room in ROOMS for name in imported(room) if name.split(".")[0] == library} == DOORS[library]


def test_importing_the_kit_loads_no_heavy_library():
    code = "import amakit, sys; print(sorted({m.split('.')[0] for m in sys.modules} & {'pandas', 'plotly', 'duckdb', 'azure'}))"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )


def test_queries_schemas_notebooks_and_the_page_travel_in_a_wheel(tmp_path):
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "--quiet",
            "--no-deps",
            "--no-build-isolation",
            "--wheel-dir",
            tmp_path,
            ROOT,
        ],
        check=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())
    here = {
        p.relative_to(ROOT).as_posix()
        for p in (ROOT / "amakit").rglob("*")
        if p.is_file() and "__pycache__" not in p.parts
    }
    assert here | {f"amakit/notebooks/{p.name}" for p in (ROOT / "notebooks").glob("*.ipynb")} <= held
