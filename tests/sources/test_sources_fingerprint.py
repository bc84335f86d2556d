"""What a fingerprint notices. Everything is real."""

from __future__ import annotations

import os
from pathlib import Path

from clair.sources.fingerprint import content_hash, fingerprint


def test_it_follows_content_and_name_and_nothing_else(tmp_path: Path, monkeypatch):
    path = tmp_path / "a.jsonl"
    path.write_text('{"prompt": "x"}\n')
    first = fingerprint(str(path))
    os.utime(path, (1, 1))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert fingerprint("~/a.jsonl") == fingerprint(str(path)) == first
    path.write_text('{"prompt": "y"}\n')
    assert fingerprint(str(path)) not in (first, None)
    path.write_text('{"prompt": "x"}\n')
    assert fingerprint(str(path.rename(tmp_path / "b.jsonl"))) not in (first, None)


def test_of_a_folder_it_follows_the_files_that_are_read(tmp_path: Path):
    for name in ("a.jsonl", "b.csv"):
        (tmp_path / name).write_text(name)
    first = fingerprint(str(tmp_path))
    (tmp_path / "notes.md").write_text("not read")
    assert fingerprint(str(tmp_path)) == first
    (tmp_path / "c.txt").write_text("read")
    assert fingerprint(str(tmp_path)) not in (first, None)


def test_what_only_reading_could_tell_has_none(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe.jsonl")
    (tmp_path / "empty").mkdir()
    names = ("owner/name", str(tmp_path / "pipe.jsonl"), str(tmp_path / "empty"), str(tmp_path / "none.jsonl"))
    assert [fingerprint(name) for name in names] == [None] * 4


def test_a_content_hash_is_the_sha256_of_the_bytes(tmp_path: Path):
    (tmp_path / "abc").write_bytes(b"abc")
    assert content_hash(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    (tmp_path / "zeros").write_bytes(bytes(3 * 2**20 + 1))
    (tmp_path / "fewer").write_bytes(bytes(3 * 2**20))
    assert content_hash(tmp_path / "zeros") != content_hash(tmp_path / "fewer")
