"""Limits that a pipeline sets: what they may be, and when they are exceeded."""

import json

import pytest

from amakit.errors import UsageError
from amakit.report.limits import exceeded, limits


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
