"""Notebooks are thin, stored without outputs, and say the same in both languages."""

import ast

import nbformat
import papermill
import pytest

from amakit.report.parameters import Parameters
from amakit.report.request import notebooks

BOOKS = {name: nbformat.read(path, as_version=4) for name, path in notebooks().items()}
SHARED = ["workspace", "start", "end", "machines", "timezone", "language", "out_dir", "anonymise",
          "allow_unknown"]  # fmt: skip


def code(book):
    return [cell for cell in book.cells if cell.cell_type == "code"]


@pytest.mark.parametrize("name", BOOKS)
def test_stored_without_outputs_and_valid(name):
    nbformat.validate(BOOKS[name])
    assert all(not cell.outputs and cell.execution_count is None for cell in code(BOOKS[name]))
    assert len({cell.id for cell in BOOKS[name].cells}) == len(BOOKS[name].cells)


@pytest.mark.parametrize("name", BOOKS)
def test_thin(name):
    cells = code(BOOKS[name])
    assert len(cells) <= 30
    for cell in cells:
        assert len(cell.source.splitlines()) <= 10
        kinds = {type(node) for node in ast.walk(ast.parse(cell.source))}
        assert not kinds & {ast.FunctionDef, ast.Lambda, ast.For, ast.While, ast.ListComp, ast.If, ast.ClassDef}


@pytest.mark.parametrize("name", BOOKS)
def test_parameters_come_first_and_are_typed_and_told(name):
    first = code(BOOKS[name])[0]
    assert first.metadata.tags == ["parameters"]
    inferred = papermill.inspect_notebook(str(notebooks()[name]))
    assert list(inferred)[: len(SHARED)] == SHARED == list(Parameters.__dataclass_fields__)
    for parameter in inferred.values():
        assert parameter["inferred_type_name"] != "None"
        assert len(parameter["help"]) > 10
    assert all(
        isinstance(s, ast.AnnAssign) and isinstance(ast.literal_eval(s.value), (str, list, bool))
        for s in ast.parse(first.source).body
    )


@pytest.mark.parametrize("name", BOOKS)
def test_prose_holds_no_typed_results_and_has_both_languages(name):
    for cell in (c for c in BOOKS[name].cells if c.cell_type == "markdown"):
        assert cell.metadata["ja"].count("#") == cell.source.count("#")
        for text in (cell.source, cell.metadata["ja"]):
            assert not [
                w
                for w in text.replace("01_", "").split()
                if w.strip(".,").isdigit() and w.strip(".,") not in ("200", "1", "2")
            ]
