"""Files appear whole or not at all, also where a disk is full or a run was killed."""

import errno
import os
import time

import pandas as pd
import pytest

from amakit.errors import AmakitError
from amakit.output import save_frame, staged

FRAME = pd.DataFrame({"a": range(3)})


def listed(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_a_full_disk_is_a_sentence_and_leaves_what_was_there(tmp_path, monkeypatch, name):
    save_frame(FRAME, tmp_path / name)
    before = (tmp_path / name).read_bytes()

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("amakit.output._csv", full)
    monkeypatch.setattr("amakit.output._parquet", full)
    with pytest.raises(AmakitError, match="No space left on device; make room"):
        save_frame(FRAME.head(1), tmp_path / name)
    assert listed(tmp_path) == [name]
    assert (tmp_path / name).read_bytes() == before


def test_a_folder_of_its_own_goes_again_when_nothing_came_into_it(tmp_path):
    with pytest.raises(ZeroDivisionError), staged(tmp_path / "new"):
        raise ZeroDivisionError
    assert listed(tmp_path) == []


def test_what_a_killed_run_left_is_taken_away_a_day_later(tmp_path):
    for name, age in ((".amakit-old", 90_000), (".amakit-young", 60)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "half.csv").write_text("a")
        os.utime(tmp_path / name, times=(time.time() - age,) * 2)
    (tmp_path / "linked").mkdir()
    (tmp_path / ".amakit-link").symlink_to(tmp_path / "linked")
    save_frame(FRAME, tmp_path / "t.csv")
    assert listed(tmp_path) == [".amakit-link", ".amakit-young", "linked", "t.csv"]
