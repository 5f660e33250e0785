"""What a report is asked to be: refused before anything runs, and whole in the kernel that runs it."""

import json
import os

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

import amakit
from amakit.errors import UsageError
from amakit.report import Request, report
from amakit.report.request import exceeded, limits
from amakit.report.run import places
from amakit.source.records import shown


def book(folder, parameters, *cells):
    """Write a notebook of one's own."""
    tagged = new_code_cell(parameters, metadata={"tags": ["parameters"]})
    path = folder / "own.ipynb"
    nbformat.write(new_notebook(cells=[tagged, *map(new_code_cell, cells)]), path)
    return path


SHARED = "workspace, start, end = 'demo', '', ''\nmachines, timezone, language, out_dir = [], 'UTC', 'en', ''\n"


def test_how_a_service_is_reached_is_known_to_the_kernel_and_to_no_other_process(tmp_path):
    before = dict(os.environ)
    path = book(tmp_path, SHARED, "import os\nprint({k: v for k, v in os.environ.items() if k.startswith('AMAKIT_')})")
    report(path, out=tmp_path, to=["ipynb"], cloud="usgov", credential="cli")
    (output,) = nbformat.read(tmp_path / "own.ipynb", as_version=4).cells[-1].outputs
    given = eval(output.text)
    assert (given["AMAKIT_CLOUD"], given["AMAKIT_CREDENTIAL"]) == ("usgov", "cli")
    assert "AMAKIT_ENDPOINT" not in given
    assert dict(os.environ) == before


@pytest.mark.parametrize(
    ("cell", "text", "value"),
    [
        ("a, b = 1, 2", "7", 7),
        ("(a, b), c = (1, 2), 3", "7", 7),
        ("a = b = 1.5", "7", 7.0),
        ("a, b = pair()", "7", "7"),
        ("import datetime\na = datetime.date(2026, 3, 2)", "2026-03-03", "2026-03-03"),
        ("self.a: int = 3\na: bool = False", "true", True),
        ("a: list[str] = []", "x, y", ["x", "y"]),
        ("a = None", "x", "x"),
    ],
)
def test_a_parameter_has_the_type_that_its_cell_shows(tmp_path, cell, text, value):
    assert Request(book(tmp_path, cell), extra={"a": text}).further == {"a": value}


def test_a_parameters_cell_that_is_no_python_is_named(tmp_path):
    with pytest.raises(amakit.UsageError, match="is no Python in line 2; keep nothing but"):
        Request(book(tmp_path, "a = 1\n%matplotlib inline"), extra={"a": "2"})


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"forms": ("docx",)}, "form 'docx' is not known"),
        ({"forms": ()}, "no form is named"),
        ({"start": "yesterday"}, "start 'yesterday' is not a time"),
        ({"start": "2026-03-02", "end": "2026-03-01"}, "is not after start"),
        ({"timezone": "Mars"}, "Mars"),
        ({"language": "xx"}, "xx"),
        ({"extra": {"mashines": "a"}}, "the nearest is 'machines'"),
        ({"extra": {"allow_unknown": "maybe"}}, "is not of the type bool"),
        ({"key": "k"}, "of use with anonymise only"),
    ],
)
def test_what_is_wrong_is_refused_when_it_is_asked(asked, sentence):
    with pytest.raises(amakit.UsageError, match=sentence):
        Request("01_version_transitions", **asked)


def test_several_workspaces_are_one_request_and_each_is_named_once(tmp_path):
    for name in ("east", "west"):
        (tmp_path / name).mkdir()
    east, west = str(tmp_path / "east"), str(tmp_path / "west")
    assert Request("01_version_transitions", [east, west, f"{east}/"]).values["workspace"] == [east, west]
    assert Request("01_version_transitions", [east, f"{east}/"]).values["workspace"] == east
    assert places([east, west], shown([east, west])) == {east: "east", west: "west"}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "facts.json").write_text(json.dumps({"counts": {"silent": 2, "median_s": 89.7, "longest_s": None}}))
    return tmp_path


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", []),
        ("silent>2", []),
        ("silent>1", ["silent is 2 (silent>1)"]),
        ("silent >= 2, median_s>60.5", ["silent is 2 (silent>=2)", "median_s is 89.7 (median_s>60.5)"]),
        ("silent==2,silent!=2", ["silent is 2 (silent==2)"]),
        ("silent<3,silent<=1", ["silent is 2 (silent<3)"]),
        ("longest_s>=0", []),  # nothing is known of it
    ],
)
def test_a_limit_is_exceeded_by_a_number_that_fulfils_it(folder, text, told):
    assert exceeded(limits(text), folder) == told


@pytest.mark.parametrize("text", ["silent", "silent>", "silent=>1", "silent>1;down>1", ">1", "silent>x", "silent 1"])
def test_what_is_no_limit_is_refused(text):
    with pytest.raises(UsageError, match=r"is not a name, a sign .* and a number; write silent>0 or so"):
        limits(text)
