"""`clair export` as a user calls it. Real: the command in this process, a run folder of `clair generate`'s writer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from clair.cli import main
from clair.exports.formats import FORMATS
from tests.exports.examples import numbered, pair, write_run


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path / "run", [numbered(number) for number in range(40)])


def call(*words: object) -> Result:
    return CliRunner().invoke(main, ["export", *map(str, words)])


def test_it_prints_a_short_table(run: Path, tmp_path: Path):
    done = call(run, "--format", "kto", "-o", tmp_path / "out", "--test-share", "0.2")
    assert (done.exit_code, done.stderr) == (0, "")
    out = tmp_path / "out"
    lines = done.stdout.splitlines()
    assert lines[:2] == ["format    unpaired: " + FORMATS["unpaired"].about, "pairs     40"]
    assert lines[3] == f"files     {out}/train.jsonl, {out}/test.jsonl, {out}/README.md, {out}/export.json"


def test_json_prints_one_summary(run: Path, tmp_path: Path):
    done = call(run, "--format", "nemo", "-o", tmp_path / "out", "--json", "--seed", 5)
    assert done.exit_code == 0
    assert json.loads(done.stdout) == {
        "format": "nemo",
        "run": str(run),
        "out": str(tmp_path / "out"),
        "pairs": 40,
        "records": {"train": 40},
        "left_out": {},
        "notes": [],
        "files": ["train.jsonl", "README.md", "export.json"],
    }


def test_rows_left_out_are_noted(tmp_path: Path):
    odd = pair(5, prompt=(*pair(0).prompt, *pair(0).prompt))
    done = call(write_run(tmp_path / "run", [pair(0), odd]), "--format", "llama-factory", "-o", tmp_path / "out")
    assert done.exit_code == 0
    assert "note      left out, 1 pair: after an optional system turn, user and assistant turns do not" in done.stdout


def test_help_names_every_format():
    text = call("--help").stdout
    assert all(f"\n  {name} " in text for name in FORMATS)
    assert "also: kto = unpaired, prompt-completion = sft, nemo-rl = nemo" in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--format", "implicit"], "the answers would be eaten"),
        (["--format", "csv"], "is unknown; expected one of jsonl"),
        (["--format", "sft", "--test-share", "1"], "--test-share 1 must be at least 0 and below 1"),
        (["--format", "sft", "--pairs", "half"], "Invalid value for '--pairs'"),
        ([], "Missing option '--format'"),
    ],
)
def test_wrong_options_exit_with_2(options: list[str], message: str, run: Path, tmp_path: Path):
    done = call(run, "-o", tmp_path / "out", *options)
    assert (done.exit_code, done.stdout) == (2, "")
    assert message in done.stderr
    assert not (tmp_path / "out").exists()


def test_no_run_exits_with_2_and_a_damaged_one_with_1(run: Path, tmp_path: Path):
    assert call(tmp_path / "none", "--format", "sft", "-o", tmp_path / "out").exit_code == 2
    (path,) = (run / "data").iterdir()
    path.write_bytes(b"PAR1")
    done = call(run, "--format", "sft", "-o", tmp_path / "out")
    assert done.exit_code == 1
    assert "again from the ledger" in done.stderr
