"""Files appear whole or not at all, also where a disk is full or a run was killed."""

import contextlib
import errno
import os
import time

import pandas as pd
import pytest
from click.testing import CliRunner

from amakit.cli import main
from amakit.errors import AmakitError
from amakit.output import check_writable, save_frame, staged, temporary_folder

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


def test_folders_that_are_made_for_a_run_that_fails_go_with_it(tmp_path):
    with contextlib.suppress(ZeroDivisionError), staged(tmp_path / "a" / "b" / "c"):
        (tmp_path / "a" / "kept").touch()
        raise ZeroDivisionError
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")] == ["a", "a/kept"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no locks of folders")
def test_what_a_killed_run_left_is_taken_away_and_what_one_works_in_is_not(tmp_path):
    dead, linked = tmp_path / ".amakit-dead", tmp_path / "linked"
    for folder in (dead, linked):
        folder.mkdir()
        (folder / "half.csv").write_text("a")
    (tmp_path / ".amakit-link").symlink_to(linked)
    with temporary_folder(tmp_path) as alive:
        save_frame(FRAME, tmp_path / "t.csv")
        assert listed(tmp_path) == sorted([".amakit-link", alive.name, "linked", "t.csv"])
        assert listed(linked) == ["half.csv"]
    assert not alive.exists()


def test_what_is_no_place_of_ours_is_named_by_itself(tmp_path):
    with pytest.raises(AmakitError, match="writing to /nowhere/x failed: No such file"), staged(tmp_path):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "/nowhere/x")


def test_where_no_lock_tells_a_folder_is_left_a_day_later(tmp_path, monkeypatch):
    monkeypatch.setattr("amakit.output.fcntl", None)
    for name, age in ((".amakit-old", 90_000), (".amakit-young", 60)):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, times=(time.time() - age,) * 2)
    save_frame(FRAME, tmp_path / "t.csv")
    assert listed(tmp_path) == [".amakit-young", "t.csv"]


def test_without_a_place_for_temporary_files_a_sentence_says_what_to_set(monkeypatch):
    def none():
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found")

    monkeypatch.setattr("tempfile.gettempdir", none)
    with pytest.raises(AmakitError, match=r"temporary directory: No usable .*; name in TMPDIR another folder"):
        temporary_folder().__enter__()


def test_a_folder_that_cannot_be_written_is_told_before_the_work(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(AmakitError, match="nothing can be written"):
        check_writable(tmp_path / "file" / "out")
    check_writable(tmp_path / "new" / "out")
    assert not list(tmp_path.rglob("new"))
    assert not list(tmp_path.rglob(".amakit*"))


@pytest.mark.parametrize("command", [
    ["analyze", "demo", "--start", "2026-03-09", "--end", "2026-03-10", "--out"],
    ["report", "01_version_transitions", "demo", "--each", "machine", "--out"],
    ["query", "demo", "Heartbeat | count", "--out"],
    ["snapshot", "demo"],
])  # fmt: skip
def test_no_command_works_for_files_that_it_cannot_write(command, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setattr("amakit.source.workspace.Workspace.ask_all", None)  # whatever is asked would fail otherwise
    end = [] if command[0] != "snapshot" else ["--start", "2026-03-09", "--end", "2026-03-10"]
    place = str(tmp_path / "file" / ("x.csv" if command[0] == "query" else "x"))
    done = CliRunner().invoke(main, [*command, place, *end])
    assert done.exit_code == 1, done.output
    assert "nothing can be written to" in done.output
