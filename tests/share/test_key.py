"""The key of the pseudonyms is made once, for its owner alone, and refused where it cannot serve."""

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from amakit.errors import AmakitError
from amakit.share.key import owner_key


def test_the_key_is_made_once_and_for_its_owner_alone(tmp_path, monkeypatch):
    file = tmp_path / "new" / "folder" / "key"
    key = owner_key(file)
    assert len(key) == 32
    assert owner_key(str(file)) == key == file.read_bytes()
    assert [p.name for p in file.parent.iterdir()] == ["key"]
    if sys.platform != "win32":
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    monkeypatch.setenv("AMAKIT_KEY_FILE", str(tmp_path / "other"))
    assert owner_key() == (tmp_path / "other").read_bytes() != key
    monkeypatch.delenv("AMAKIT_KEY_FILE")
    monkeypatch.setattr("click.get_app_dir", lambda name: str(tmp_path / "configuration" / name))
    assert owner_key() == (tmp_path / "configuration" / "amakit" / "pseudonyms.key").read_bytes()


def test_a_key_is_made_where_a_file_can_have_one_name_only(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    key = owner_key(tmp_path / "key")
    assert len(key) == 32
    assert owner_key(tmp_path / "key") == key
    assert [p.name for p in tmp_path.iterdir()] == ["key"]
    if sys.platform != "win32":
        assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    monkeypatch.setattr(Path, "exists", lambda self, **_: False)  # as it was a moment ago
    assert owner_key(tmp_path / "key") == key


def test_who_comes_second_takes_the_first_one_s_key(tmp_path, monkeypatch):
    key = owner_key(tmp_path / "key")
    monkeypatch.setattr(Path, "exists", lambda self, **_: False)  # as it was a moment ago
    assert owner_key(tmp_path / "key") == key
    assert [p.name for p in tmp_path.iterdir()] == ["key"]


def test_processes_that_start_at_once_end_with_one_key(tmp_path):
    code = f"from amakit.share.key import owner_key; print(owner_key({str(tmp_path / 'key')!r}).hex())"
    started = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert {process.communicate()[0] for process in started} == {(tmp_path / "key").read_bytes().hex() + "\n"}


def test_a_key_file_that_cannot_serve_is_refused(tmp_path):
    (tmp_path / "short").write_bytes(b"secret")
    with pytest.raises(AmakitError, match=r"short holds 6 bytes where at least 32 are needed; delete it") as refused:
        owner_key(tmp_path / "short")
    assert "secret" not in str(refused.value)
    for bad in (tmp_path, tmp_path / "short" / "key"):
        with pytest.raises(
            AmakitError, match=r"cannot be read or made: .*; mend it, or name another in AMAKIT_KEY_FILE"
        ):
            owner_key(bad)
