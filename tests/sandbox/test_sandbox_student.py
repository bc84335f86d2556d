"""The shipped student, really sampled. Nothing is doubled. Bounds are loose: other processors round differently."""

from __future__ import annotations

from statistics import median

import pytest

pytest.importorskip("torch")

from clair.errors import UsageError
from clair.records import Message
from clair.sandbox.answers import read_answer, resemblance
from clair.sandbox.problems import problems
from clair.sandbox.student import PromptTooLong, Sample, Student, student_folder
from clair.sandbox.teacher import correct

ASKED = list(problems("test", 200, seed=9))
CHATS = [[Message(role="user", content=problem.question)] for problem in ASKED]


@pytest.fixture(scope="module")
def student() -> Student:
    return Student.load()


def test_it_is_small_and_complete(student: Student) -> None:
    assert student_folder().joinpath("model.safetensors").stat().st_size < 3_000_000
    assert 400_000 < sum(parameter.numel() for parameter in student.model.parameters()) < 600_000
    assert student.tokenizer.chat_template
    assert "bad habit" in student_folder().joinpath("README.md").read_text(encoding="utf-8")


def test_it_loads_as_any_hugging_face_model() -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(student_folder())
    model = AutoModelForCausalLM.from_pretrained(student_folder(), dtype="float32")
    assert model.config.model_type == "llama"
    encoded = tokenizer.apply_chat_template(CHATS[0], add_generation_prompt=True, return_tensors="pt", return_dict=True)
    written = model.generate(**encoded, do_sample=False)[0, encoded["input_ids"].shape[1] :]
    text = tokenizer.decode(written, skip_special_tokens=True)
    assert text == Student.load().generate([Sample(CHATS[0], temperature=0)])[0].text


def test_digits_are_single_tokens_and_text_survives(student: Student) -> None:
    text = "On 17 May, 2048 = 2 * 1024; naïve “quotes”."
    tokens = student.tokenizer.encode(text, add_special_tokens=False)
    assert student.tokenizer.decode(tokens) == text
    assert len(student.tokenizer.encode("2048", add_special_tokens=False)) == 4


def test_greedy_it_gets_nearly_half_right_and_the_teacher_leaves_most_words(student: Student) -> None:
    greedy = [made.text for made in student.generate([Sample(chat, temperature=0, max_tokens=200) for chat in CHATS])]
    readings = [read_answer(problem, text) for problem, text in zip(ASKED, greedy, strict=True)]
    assert 0.33 < sum(reading.score.exact for reading in readings) / len(readings) < 0.57


def test_the_teacher_makes_samples_right_and_leaves_most_words(student: Student) -> None:
    samples = [Sample(chat, seed=index, max_tokens=200) for index, chat in enumerate(CHATS)]
    kept = []
    for problem, made in zip(ASKED, student.generate(samples), strict=True):
        corrected = correct(problem, made.text).text
        assert read_answer(problem, corrected).right
        if not read_answer(problem, made.text).right:
            kept.append(resemblance(made.text, corrected))
    assert len(kept) > 50
    assert median(kept) > 0.85


def test_a_seed_gives_the_same_text_whatever_the_neighbors(student: Student) -> None:
    samples = [Sample(chat, seed=index, top_p=0.9) for index, chat in enumerate(CHATS[:24])]
    together = student.generate(samples)
    alone = [student.generate([sample])[0] for sample in samples]
    assert sum(a.text == b.text for a, b in zip(together, alone, strict=True)) >= 23


def test_counts_and_limits(student: Student) -> None:
    short, whole = student.generate([Sample(CHATS[0], seed=1, max_tokens=5), Sample(CHATS[0], seed=1)])
    assert (short.finish_reason, short.completion_tokens) == ("length", 5)
    assert whole.finish_reason == "stop"
    assert whole.text.startswith(short.text)
    assert whole.prompt_tokens == short.prompt_tokens == len(student.encode(CHATS[0]))


def test_a_tiny_nucleus_is_greedy(student: Student) -> None:
    greedy = student.generate([Sample(CHATS[1], temperature=0)])
    assert student.generate([Sample(CHATS[1], seed=3, top_p=1e-6)]) == greedy


def test_unseeded_samples_differ(student: Student) -> None:
    assert len({made.text for made in student.generate([Sample(CHATS[2])] * 6)}) > 1


def test_what_does_not_fit_or_does_not_exist_is_said(student: Student, tmp_path: object) -> None:
    with pytest.raises(PromptTooLong, match="context is 512"):
        student.generate([Sample([Message(role="user", content="cups " * 600)])])
    with pytest.raises(UsageError, match="cannot load a model"):
        Student.load(f"{tmp_path}/nothing")
