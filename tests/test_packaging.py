"""What packaging promises: one list of dependencies, imports downwards only, and KQL that travels in a wheel."""

import ast
import json
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def name_of(requirement):
    return re.split(r"[<>=!~\[ ;]", requirement)[0].lower()


#: What the kit, its tests and its documentation need.
DIRECT = {
    name_of(d)
    for d in [
        *PROJECT["project"]["dependencies"],
        *PROJECT["project"]["optional-dependencies"]["test"],
        *PROJECT["project"]["optional-dependencies"]["docs"],
    ]
}


def test_conda_and_pip_name_the_same_direct_dependencies():
    conda = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))["dependencies"]
    plain = {name_of(d).removeprefix("python-") for d in conda if isinstance(d, str)} - {"python", "pip"}
    by_pip = {name_of(d) for d in next(d["pip"] for d in conda if isinstance(d, dict)) if not d.startswith("-")}
    assert plain | by_pip == DIRECT | {name_of(d) for d in PROJECT["tool"]["uv"]["constraint-dependencies"]}


def test_the_lock_pins_every_direct_dependency_and_holds_no_address():
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    pinned = {name_of(line) for line in lines}
    assert pinned >= DIRECT
    assert all(re.fullmatch(r"[\w.\-]+==[\w.+!]+( ; .+)?", line) for line in lines)


def test_what_is_noted_as_slow_is_there():
    for name in (ROOT / "tests" / "slow.txt").read_text(encoding="utf-8").split():
        file, *parts = name.split("::")
        text = (ROOT / file).read_text(encoding="utf-8")
        # an example of a docstring is named after what it explains
        assert not parts or parts[-1].rpartition(".")[2] in text, name


def test_imports_go_one_way():
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports")], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def first_line(path):
    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))).partition("\n")[0].rstrip(".")


def test_the_map_in_the_readme_is_that_of_the_tree():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    chapter = re.search(r"^## Map of the code\n(.*?)^</details>", readme, flags=re.MULTILINE | re.DOTALL)[1]
    rows = re.findall(r"^\| `(\w+)/?` \| (.+) \|$", chapter, flags=re.MULTILINE)
    package = ROOT / "amakit"
    tree = {p.parent.name: first_line(p) for p in package.glob("*/__init__.py")}
    tree |= {p.stem: first_line(p) for p in package.glob("*.py") if not p.stem.startswith("__")}
    assert dict(rows) == tree
    (layers,) = (c["layers"] for c in PROJECT["tool"]["importlinter"]["contracts"] if c["type"] == "layers")
    assert [name for name, _ in rows] == [name.removeprefix("amakit.") for name in layers]


def test_files_stay_short():
    """Four hundred lines of code to a file at most, and five hundred in all.

    One that is a good deal longer than four hundred in all says why it is one file.
    """
    for path in (ROOT / "amakit").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        told = set()
        for node in ast.walk(ast.parse(text)):
            kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
            if isinstance(node, kinds) and ast.get_docstring(node) is not None:
                told |= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
        lines = enumerate(text.splitlines(), start=1)
        code = [line for n, line in lines if n not in told and line.strip() and not line.lstrip().startswith("#")]
        assert len(code) <= 400, f"{path} has {len(code)} lines of code; cut it by the question that it answers"
        count = len(text.splitlines())
        assert count <= 500, f"{path} has {count} lines; cut it by the question that it answers"
        assert count <= 450 or "\nOne file, as " in text, f"{path} has {count} lines and does not say why"


def test_folders_stay_small():
    """Eight files to a folder at most, so that a stranger finds the one that answers.

    Prose and charts have a file for each notebook beside what these share; exports one for each thing that a file shows.
    """
    more = {"prose": 10, "charts": 10, "exports": 9}
    package = ROOT / "amakit"
    counts = {
        folder: len([p for p in folder.glob("*.py") if not p.stem.startswith("__")])
        for folder in [package, *(p.parent for p in package.rglob("*/__init__.py"))]
    }
    assert {folder.name: count for folder, count in counts.items() if count > 8} == more


TREES = ("amakit", "tests", "benchmarks", "docs")


def tables_of(tree):
    """Give the last lines of what may be laid out by hand: literals of a module, and the cases of a test."""
    literal = (ast.Dict, ast.Set, ast.Tuple, ast.List, ast.ListComp)
    yield from (one.end_lineno for node in ast.walk(tree) for one in getattr(node, "decorator_list", []))
    yield from (n.end_lineno for n in tree.body if isinstance(getattr(n, "value", None), literal))


def test_only_tables_are_laid_out_by_hand():
    files = [path for name in TREES for path in (ROOT / name).rglob("*.py") if "node_modules" not in path.parts]
    assert len(files) > 200
    strays = []
    for path in files:
        text = path.read_text(encoding="utf-8")
        marked = {n for n, line in enumerate(text.splitlines(), start=1) if line.endswith("# fmt: " + "skip")}
        if marked:
            strays += [f"{path.relative_to(ROOT)}:{n}" for n in marked - {*tables_of(ast.parse(text))}]
    assert strays == []


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("amakit", {"pandas", "plotly", "duckdb", "azure"}),
        ("amakit.charts", {"ipywidgets", "anywidget", "matplotlib"}),
        ("amakit.report.run", {"ipywidgets", "anywidget", "matplotlib", "papermill", "nbconvert", "azure"}),
    ],
)
def test_importing_a_part_loads_no_library_that_it_may_not_need(module, heavy):
    code = f"import {module}, sys; print(*{{m.split('.')[0] for m in sys.modules}})"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert heavy & {*loaded} == set()


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda p: p.stem)
def test_cells_keep_their_ids(path):
    """Stored, and not made up anew by whoever opens the file."""
    book = json.loads(path.read_text(encoding="utf-8"))
    assert (book["nbformat"], book["nbformat_minor"]) >= (4, 5)
    assert all(re.fullmatch(r"[\w-]{1,64}", cell["id"]) for cell in book["cells"])


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Make the sdist, and the wheel out of it, as somebody who publishes does."""
    place = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", place, ROOT]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
    (wheel,), (sdist,) = place.glob("*.whl"), place.glob("*.tar.gz")
    return wheel, sdist


@pytest.mark.wheel
def test_queries_schemas_notebooks_and_the_page_travel_in_a_wheel(made):
    held = set(zipfile.ZipFile(made[0]).namelist())
    here = {
        p.relative_to(ROOT).as_posix()
        for p in (ROOT / "amakit").rglob("*")
        if p.is_file() and "__pycache__" not in p.parts
    }
    assert here | {f"amakit/notebooks/{p.name}" for p in (ROOT / "notebooks").glob("*.ipynb")} <= held
    assert any(name.endswith("licenses/LICENSE") for name in held)


@pytest.mark.wheel
def test_what_the_tests_and_the_pages_need_travels_in_the_sdist(made):
    with tarfile.open(made[1]) as sdist:
        held = {name.partition("/")[2] for name in sdist.getnames()}
    made_here = {"__pycache__", "node_modules", "_build", "_generated", ".ipynb_checkpoints"}
    kept = {
        p.relative_to(ROOT)
        for folder in ("tests", "docs", "notebooks")
        for p in (ROOT / folder).rglob("*")
        if p.is_file()
    }
    assert {p.as_posix() for p in kept if not made_here & set(p.parts)} <= held
    assert {"pyproject.toml", "README.md", "CHANGELOG.md", "CITATION.cff", "LICENSE", "environment.yml"} <= held
    assert not [name for name in held if "_build/" in name or "_generated/" in name]


@pytest.mark.wheel
def test_the_wheel_alone_writes_up_the_demo(made, tmp_path):
    """In an empty environment that sees the libraries of this one, but not this folder."""
    home = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", home], check=True)
    (site,) = home.glob("[Ll]ib/**/site-packages")
    zipfile.ZipFile(made[0]).extractall(site)
    (site / "libraries.pth").write_text("\n".join(p for p in map(str, map(Path, sys.path)) if "site-packages" in p))
    python = next(home.glob("[bS]*/python*"))
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    environment["JUPYTER_PATH"] = str(Path(sys.prefix) / "share" / "jupyter")  # nbconvert's own templates
    code = "import amakit, sys; from amakit.cli import main; print(amakit.__file__, file=sys.stderr); sys.exit(main())"
    done = subprocess.run(
        [
            python,
            "-c",
            code,
            "report",
            "03_incident_writeup",
            "demo",
            "--start",
            "2026-03-09",
            "--end",
            "2026-03-10",
            "--out",
            "out",
        ],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert str(site) in done.stderr
    page = (tmp_path / "out" / "03_incident_writeup.html").read_text(encoding="utf-8")
    assert "Synthetic" in page
    assert (tmp_path / "out" / "facts.json").exists()
