"""`clair generate` as a user meets it: exit codes, what goes to stdout and stderr, configuration, forecasts.

Real: the command (as a process where something is bought), HTTP, server, files. Doubles: the two models.
"""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from tests.cli.conftest import Call
from tests.pipeline.runs import clair, pairs
from tests.servers.chat import ChatServer, error


def test_a_run_ends_with_a_table_on_stdout_and_plain_progress_on_stderr(
    prompts: Path, models: list[str], tmp_path: Path
):
    done = clair("generate", str(prompts), "-o", str(tmp_path / "run"), *models)
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[:8] == [
        "",
        "rows      30",
        "pairs     27 (90%)",
        "rejects   3",
        "               1  too_different (gate)",
        "               1  unchanged (parse)",
        "               1  truncated (sample)",
        "contrast  median 1% of the words changed in 1 edit, Jaccard 0.97, length ratio 1.00",
    ]
    assert lines[9] == "cost      unknown"
    assert lines[-2].startswith('read      python -c "import datasets; ')
    assert lines[-1].startswith("next      clair train-apo ")
    assert done.stderr.startswith("rows 30/30 · 27 pairs (90%) · ")
    assert "\x1b" not in done.stdout + done.stderr


def test_json_is_one_object_on_stdout_and_progress_stays_on_stderr(prompts: Path, models: list[str], tmp_path: Path):
    done = clair("generate", str(prompts), "-o", str(tmp_path / "run"), *models, "--json")
    found = json.loads(done.stdout)
    assert (done.returncode, found["counts"]) == (0, {"rows": 30, "pairs": 27, "rejects": 3})
    assert (found["run"], found["bought"]) == (str(tmp_path / "run"), 64)
    assert done.stderr.startswith("rows 30/30 · ")


def test_a_dry_run_forecasts_and_buys_nothing(
    call: Call, server: ChatServer, prompts: Path, models: list[str], tmp_path: Path
):
    config = tmp_path / "clair.yaml"
    config.write_text("prices: {target: [0, 0], reviser: [1000, 0]}\n")
    words = ["generate", prompts, "-o", tmp_path / "run", *models, "--config", config, "--dry-run"]
    done = call(*words)
    assert done.exit_code == 0
    head = [line.split()[0] for line in done.stdout.splitlines()]
    assert head == ["forecast", "rows", "requests", "tokens", "cost", "basis"]
    found = json.loads(call(*words, "--json").stdout)
    assert (found["rows"], found["requests"]) == (30, 66)  # 30 samples, 1.2 revisions each
    assert found["cost_usd"] == pytest.approx(30 * 1.2 * 1000 * (found["prompt_tokens"] / 30 - 6) / 1.2 / 1e6, rel=0.05)
    assert (server.count, (tmp_path / "run").exists()) == (0, False)


def test_a_dry_run_without_prices_says_so(call: Call, prompts: Path, models: list[str], tmp_path: Path):
    done = call("generate", prompts, "-o", tmp_path / "run", *models, "--dry-run")
    assert "cost      unknown: no list price for " in done.stdout
    assert json.loads(call("generate", prompts, *models, "--dry-run", "--json").stdout)["cost_usd"] is None


def test_a_config_file_has_a_key_for_every_option_and_options_win(server: ChatServer, prompts: Path, tmp_path: Path):
    config = tmp_path / "clair.yaml"
    config.write_text(
        f"prompts: {prompts}\ntarget: target@{server.base_url}\nreviser: reviser@{server.base_url}\n"
        "limit: 3\nmax-change: 0.001\nallow_talk: true\nprinciple: [Be exact., Be kind.]\n"
        "prices:\n  target: [1.0, 2.0]\n  reviser: [1.0, 2.0]\n"
    )
    run = tmp_path / "run"
    none = clair("generate", "-o", str(run), "--config", str(config), "--json")
    assert (none.returncode, json.loads(none.stdout)["counts"]) == (0, {"rows": 3, "pairs": 0, "rejects": 3})
    some = clair("generate", "-o", str(run), "--config", str(config), "--max-change", "0.5", "--no-allow-talk")
    assert "pairs     3 (100%)" in some.stdout
    assert "cost      $0.0" in some.stdout
    settings = json.loads((run / "run.json").read_text())["settings"]
    assert (settings["max_change"], settings["allow_talk"], settings["limit"]) == (0.5, False, 3)
    assert settings["principle"] == ["Be exact.", "Be kind."]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("- 1", "must hold one mapping of option: value"),
        ("limit: [", "cannot read the config file"),
        ("sampels: 3", "unknown option 'sampels'"),
        ("limit: many", "--limit 'many': Input should be a valid integer"),
        ("prices: {m: 3}", "--prices"),
    ],
)
def test_a_config_file_that_cannot_be_used_is_refused(call: Call, tmp_path: Path, text: str, says: str):
    config = tmp_path / "clair.yaml"
    config.write_text(text)
    done = call("generate", "p.jsonl", "--target", "m", "--reviser", "n", "--config", config)
    assert (done.exit_code, done.stdout) == (2, "")
    assert says in done.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--limit", "0"], "--limit 0: Input should be greater than or equal to 1"),
        (["--limit", "x"], "'--limit'"),
        (["--max-change", "1.5"], "--max-change 1.5: Input should be less than or equal to 1"),
        (["--max-cost", "inf"], "--max-cost inf: Input should be a finite number"),
        (["--max-change", "nan"], "--max-change nan: Input should be"),
        (["--protocol", "diff"], "'--protocol'"),
        (["--no-such-thing"], "--no-such-thing"),
        (["--template", "nowhere.md"], "cannot read the template 'nowhere.md'"),
        (["--config", "nowhere.yaml"], "cannot read the config file 'nowhere.yaml'"),
        (["--prompt-column", "question"], "--prompt-column 'question': no such column"),
        (["--target", "a b@http://h/v1"], "'a b'"),
        (["--target", "m@http://user:secret@h/v1"], "must not hold a user name or password"),
        (["--concurrency", "100000000"], "--concurrency 100000000"),
    ],
)
def test_a_wrong_option_is_named_and_nothing_is_bought(
    call: Call, server: ChatServer, prompts: Path, models: list[str], tmp_path: Path, words: list[str], says: str
):
    done = call("generate", prompts, "-o", tmp_path / "run", *models, *words)
    assert (done.exit_code, done.stdout) == (2, "")
    assert says in done.stderr
    assert "secret" not in done.stderr
    assert server.count == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            ["nowhere.jsonl", "--target", "m@http://h/v1", "--reviser", "n@http://h/v1"],
            "no file or folder 'nowhere.jsonl'",
        ),
        (["--target", "m@http://h/v1", "--reviser", "n@http://h/v1"], "prompts are missing"),
        (["p.jsonl", "--reviser", "n@http://h/v1"], "target is missing"),
        (["p.jsonl", "--target", "m@http://h/v1"], "reviser is missing"),
    ],
)
def test_what_is_missing_is_named(call: Call, tmp_path: Path, words: list[str], says: str):
    done = call("generate", *words, "-o", tmp_path / "run")
    assert done.exit_code == 2
    assert says in done.stderr


def test_an_endpoint_that_fails_in_the_middle_ends_with_exit_code_1(
    server: ChatServer, prompts: Path, models: list[str], tmp_path: Path
):
    answer, server.answer = server.answer, lambda body: error(401, "expired") if server.count > 20 else answer(body)
    command = ["generate", str(prompts), "-o", str(tmp_path / "run"), *models, "--concurrency", "2"]
    failed = clair(*command)
    assert (failed.returncode, failed.stdout) == (1, "")
    last = failed.stderr.splitlines()[-1]
    assert last.startswith("clair: ")
    assert "HTTP 401: expired. Check the API key." in last
    assert last.endswith("the same command goes on from there.")
    assert 0 < len(pairs(tmp_path / "run")) < 20
    server.answer = answer
    assert clair(*command).returncode == 0


def test_the_given_command_is_the_command_that_the_card_shows(prompts: Path, models: list[str], tmp_path: Path):
    words = ["generate", str(prompts), "-o", str(tmp_path / "run"), *models, "--limit", "2", "--allow-talk"]
    words += ["--principle", "Be exact.", "--principle", "Be kind."]
    assert clair(*words).returncode == 0
    shown = json.loads((tmp_path / "run/run.json").read_text())["command"]
    first, *rest = shlex.split(shown)
    before = (tmp_path / "run/README.md").read_bytes()
    assert first == "clair"
    assert clair(*rest).returncode == 0
    assert (tmp_path / "run/README.md").read_bytes() == before
