"""The script that makes the student, run for a few steps. Nothing is doubled."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch

from clair.sandbox.corpus import documents
from clair.sandbox.muon import Muon, orthogonalized
from clair.sandbox.pretrain import Schedule, main, rate_share
from clair.sandbox.problems import find_problem
from clair.sandbox.student import Student


def test_a_few_steps_make_a_loadable_student(tmp_path: Path) -> None:
    options = ["--skill-steps", "2", "--habit-steps", "1", "--seed", "3", "--scored", "2"]
    main(["-o", str(tmp_path / "student"), *options])
    student = Student.load(tmp_path / "student")
    assert student.tokenizer.eos_token == "<|end|>"
    assert student.context == 512
    assert "--skill-steps 2 --habit-steps 1 --seed 3" in tmp_path.joinpath("student", "README.md").read_text(
        encoding="utf-8"
    )


def test_documents_follow_from_the_seed() -> None:
    first, again, other = (list(islice(documents(seed, habits=True), 50)) for seed in (1, 1, 2))
    assert first == again != other


def test_documents_come_from_the_pretraining_split() -> None:
    for question, _ in islice(documents(4, habits=True), 200):
        problem = find_problem(question)
        assert problem is not None
        assert problem.split == "pretrain"


def test_orthogonalized_matrices_have_singular_values_near_one() -> None:
    torch.manual_seed(0)
    for shape in ((3, 8, 32), (2, 32, 8)):
        values = torch.linalg.svdvals(orthogonalized(torch.randn(shape)))
        assert values.min() > 0.6
        assert values.max() < 1.3


def test_one_muon_step_worked_by_hand() -> None:
    """The first momentum is 0.05 g, Nesterov's look-ahead a positive multiple of g: the update is orthogonalized g,
    times sqrt(rows / columns) = 2 for four rows and one column. Its one singular value runs through the quintic five
    times: 1, 0.701, 1.114, 0.721, 1.090, 0.697."""
    weight = torch.nn.Parameter(torch.zeros(4, 1))
    weight.grad = torch.tensor([[0.0], [0.0], [3.0], [4.0]])
    Muon([weight], lr=0.1).step()
    direction = weight.detach() / weight.detach().norm()
    torch.testing.assert_close(direction, torch.tensor([[0.0], [0.0], [-0.6], [-0.8]]))
    assert weight.detach().norm() == pytest.approx(0.1 * 2 * 0.697, abs=1e-3)


def test_learning_rates_rise_and_fall() -> None:
    schedule = Schedule(warmup_steps=10, final_share=0.1)
    shares = [rate_share(step, 100, schedule) for step in (0, 9, 50, 75, 99)]
    assert shares == pytest.approx([0.1, 1.0, 50 / 90, 25 / 90, 0.1])
