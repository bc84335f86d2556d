"""`clair eval`: what it prints, what it refuses, and students of the sandbox in folders.

Real: the command, client, HTTP, ledger, files, the sandbox with its student and its exact judge. Doubles: the models of
`contest`.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from safetensors.numpy import load_file, save_file

from clair.sandbox.student import student_folder
from tests.cli.conftest import Call
from tests.evaluation import contest
from tests.servers.chat import ChatServer


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with ChatServer(contest.answer, models=contest.MODELS) as running:
        yield running


@pytest.fixture
def words(server: ChatServer, tmp_path: Path) -> list[str]:
    """The command on 40 prompts."""
    names = (("--model", "new"), ("--baseline", "old"), ("--judge", "judge"))
    specs = [word for option, name in names for word in (option, f"{name}@{server.base_url}")]
    prompts = contest.write_prompts(tmp_path / "prompts.jsonl")
    return ["eval", *specs, "--prompts", str(prompts), "-o", str(tmp_path / "eval")]


def test_the_table_of_a_judged_evaluation(call: Call, words: list[str], tmp_path: Path):
    done = call(*words)
    assert done.exit_code == 0, done.stderr
    found = json.loads((tmp_path / "eval/eval.json").read_text())
    raw, controlled = (
        f"{rate['value']:.1%} ({rate['low']:.1%} to {rate['high']:.1%})"
        for rate in (found["win_rate"], found["length_controlled"])
    )
    assert done.stdout.splitlines() == [
        "new against old, judged by judge: 36 of 40 prompts judged",
        f"win rate          {raw}",
        f"at equal lengths  {controlled}",
        "results           16 won, 8 lost, 4 tied, 4 tied because the orders disagree, 4 of the same words",
        "position          50% of the verdicts for the answer shown first, 38% for the second, 12% ties; the orders "
        "disagree on 12% of the prompts",
        "mean length       model 5 words (19 characters) and baseline 3 words (11 characters)",
        "failed            2 judge_unparsable (judge)",
        "failed            2 truncated (sample)",
        "cost              unknown",
        f"files             {tmp_path}/eval/eval.json, {tmp_path}/eval/judgments.jsonl",
    ]
    assert raw.startswith("61.1% (")


def test_json_is_what_the_file_holds_and_what_was_bought(call: Call, words: list[str], tmp_path: Path):
    done = call(*words, "--json")
    found = json.loads((tmp_path / "eval/eval.json").read_text())
    assert json.loads(done.stdout) == found | {"bought": 156}
    assert json.loads(call(*words, "--json").stdout) == found | {"bought": 0}


def test_a_fork_asks_another_judge_about_the_same_answers(
    call: Call, words: list[str], server: ChatServer, tmp_path: Path
):
    assert call(*words, "-n", "10").exit_code == 0
    server.bodies.clear()
    server.answer = contest.always_first
    done = call(*words, "-n", "10", "--principle", "Short is good.", "--fork", tmp_path / "other", "--json")
    assert {body["model"] for body in server.bodies} == {"judge"}
    assert json.loads(done.stdout)["results"]["disagreement"] == 9
    assert (tmp_path / "other/eval.json").exists()


def test_prices_and_everything_else_may_come_from_a_file(call: Call, words: list[str], tmp_path: Path):
    config = tmp_path / "eval.yaml"
    config.write_text("limit: 5\nmax-cost: 1.0\nprices: {new: [1, 1], old: [1, 1], judge: [1, 1]}\n")
    found = json.loads(call(*words, "--config", config, "--json").stdout)
    # 5 prompts: 10 + 20, 10 + 10 and two times 200 + 5 tokens each, at a dollar per million
    assert found["cost"]["usd"] == pytest.approx(5 * (30 + 20 + 410) / 1e6)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--max-cost", "3", "--model", "sandbox"], "--max-cost is for judged evaluation: add --judge SPEC"),
        (["--fork", "x", "--model", "sandbox"], "--fork is for judged evaluation"),
        ([], "--model is missing"),
        (["--judge", "sandbox", "--split", "dev"], "--split dev is for exact scores"),
        (["--judge", "sandbox", "--model", "sandbox", "--baseline", "sandbox"], "are the same model"),
        (["--judge", "x@http://h:1/v1", "--model", "m@http://h:1/v1", "--baseline", "sandbox"], "prompts are missing"),
    ],
)
def test_options_that_do_not_fit_exit_with_2(call: Call, words: list[str], says: str):
    done = call("eval", *words)
    assert (done.exit_code, done.stdout) == (2, "")
    assert says in done.stderr


def test_a_student_in_a_folder_is_run_by_the_sandbox_and_told_from_one_trained_again(call: Call, tmp_path: Path):
    """The copy's weights are scaled by a hundredth: near enough to answer, another model all the same."""
    other = tmp_path / "aligned"
    scaled_copy(other, 1.01)
    command = ["eval", "--model", other, "--baseline", "sandbox", "--judge", "sandbox", "-n", 12, "-o", tmp_path / "e"]
    done = call(*command, "--json")
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["model"], found["baseline"], found["judge"]) == (str(other), "sandbox-student", "sandbox-teacher")
    assert (found["prompts"], found["judged"] + found["failed"], found["cost"]["usd"]) == (12, 12, 0.0)
    assert json.loads((tmp_path / "e/judgments.jsonl").read_text().splitlines()[0])["source"] == "sandbox/test"
    scaled_copy(other, 1.02)
    again = call(*command)
    assert again.exit_code == 1
    assert "model: " in again.stderr
    assert "was made with other settings" in again.stderr


def scaled_copy(folder: Path, factor: float) -> None:
    shutil.copytree(student_folder(), folder, dirs_exist_ok=True)
    weights = load_file(folder / "model.safetensors")
    save_file({name: value * factor for name, value in weights.items()}, folder / "model.safetensors", {"format": "pt"})
