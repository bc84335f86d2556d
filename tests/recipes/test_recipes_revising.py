"""The recipes that edit an answer: clair, worsen, constitutional. Doubles: the models, as functions."""

from __future__ import annotations

from typing import Any

import pytest

from clair.contrast import Gate
from clair.errors import NotBought, RowFailure
from clair.recipes.constitutional import drawn
from clair.records import Ask, Edit, Pair, Reject
from clair.revision.edits import apply
from tests.recipes.driving import TOKEN, asked_text, block, completion, drive, edit, plan, row

PRINCIPLES = ("Be correct.", "Be brief.", "Be kind.")


def models(revise: Any, judge: str = "", critique: str = "It is wrong.") -> Any:
    """The target says "It is 5 .", the reviser what `revise` says, the judge prefers the answer `judge`."""

    def answer(ask: Ask) -> Any:
        if ask.part == "target":
            return "It is 5 ."
        if ask.part == "judge":
            return f"Hm.\n[[{'A' if block('answer-A', ask) == judge else 'B'}]]"
        if "Write the critique only" in asked_text(ask):
            return critique
        return revise(ask) if callable(revise) else revise

    return answer


def test_clair_chooses_the_revision_over_the_answer() -> None:
    outcome, asked = drive("clair", models(edit("5", "4")))
    assert [[(ask.part, ask.stage) for ask in group] for group in asked] == [  # type: ignore[union-attr]
        [("target", "sample")],
        [("reviser", "revise")],
    ]
    assert isinstance(outcome, Pair)
    assert (outcome.chosen, outcome.rejected, outcome.rationale) == ("It is 4 .", "It is 5 .", "Because.")
    assert (outcome.recipe, outcome.protocol, outcome.judge_model) == ("clair", "edits", None)
    assert outcome.edits == (Edit(6, 7, "4"),)
    assert (outcome.spent.attempts, outcome.spent.requests, outcome.spent.cost_usd) == (1, 2, 2.0)


def test_a_given_response_is_not_sampled() -> None:
    outcome, asked = drive("clair", models(edit("7", "4")), of=row(response="It is 7 ."))
    assert [ask.part for group in asked for ask in group] == ["reviser"]  # type: ignore[union-attr]
    assert isinstance(outcome, Pair)
    assert outcome.rejected == "It is 7 ."


def test_worsen_chooses_the_answer_over_the_edited_one() -> None:
    outcome, asked = drive("worsen", models(edit("5 .", "6 ?")))
    assert "Make this answer worse with the smallest edits." in asked_text(asked[1][0])  # type: ignore[arg-type]
    assert isinstance(outcome, Pair)
    assert (outcome.recipe, outcome.chosen, outcome.rejected) == ("worsen", "It is 5 .", "It is 6 ?")
    assert apply(outcome.rejected, outcome.edits) == outcome.chosen


def test_reasoning_of_the_reviser_is_in_no_edit_critique_or_rationale() -> None:
    critique = "<think>\nIs it 6?\n</think>\n\nIt is wrong."
    said = f"<think>\nPerhaps:\n{edit('It is', 'It was')}\nNo.\n</think>\n\n{edit('5', '4')}"
    outcome, asked = drive("constitutional", models(said, critique=critique), constitution=PRINCIPLES[:1])
    assert block("critique", asked[2][0]) == "It is wrong."  # type: ignore[arg-type]
    assert isinstance(outcome, Pair)
    assert (outcome.chosen, outcome.rationale) == ("It is 4 .", "Principle: Be correct.\n\nIt is wrong.\n\nBecause.")


def test_a_reviser_that_is_still_reasoning_is_asked_again() -> None:
    replies = {0: f"<think>\n{edit('It is', 'It was')}", 1: edit("5", "4")}
    outcome, asked = drive("clair", models(lambda ask: replies[ask.attempt]))
    assert asked_text(asked[2][0]).startswith("The reply ended within its reasoning")  # type: ignore[arg-type]
    assert isinstance(outcome, Pair)
    assert outcome.chosen == "It is 4 ."


@pytest.mark.parametrize("recipe", ["clair", "worsen"])
def test_the_gate_asks_again_with_feedback_and_its_edits_are_those_of_the_last_reply(recipe: str) -> None:
    replies = {0: edit("It is 5 .", "Four , I say !"), 1: edit("5", "4")}
    outcome, asked = drive(recipe, models(lambda ask: replies[ask.attempt]), gate=Gate(max_change=0.4))
    assert asked_text(asked[2][0]).startswith("100 % of the words changed, at most 40 % may")  # type: ignore[arg-type]
    assert isinstance(outcome, Pair)
    assert {outcome.chosen, outcome.rejected} == {"It is 4 .", "It is 5 ."}
    assert outcome.spent.attempts == 2
    assert len(outcome.edits) == 1


@pytest.mark.parametrize(
    ("recipe", "better", "worse"), [("clair", "It is 4 .", "It is 5 ."), ("worsen", "It is 5 .", "It is 4 .")]
)
def test_verify_keeps_only_what_the_judge_confirms(recipe: str, better: str, worse: str) -> None:
    outcome, asked = drive(recipe, models(edit("5", "4"), judge=better), verify=True)
    assert [len(group) for group in asked] == [1, 1, 2]
    assert isinstance(outcome, Pair)
    assert (outcome.chosen, outcome.judge_model, outcome.rationale) == (better, "fair", "Because.")
    outcome, _ = drive(recipe, models(edit("5", "4"), judge=worse), verify=True)
    assert isinstance(outcome, Reject)
    assert (outcome.stage, outcome.reason) == ("judge", "not_better")
    assert outcome.detail == "the judge prefers the other answer in both orders"
    outcome, _ = drive(recipe, models(edit("5", "4"), judge="neither"), verify=True)
    assert isinstance(outcome, Reject)
    assert (outcome.reason, outcome.detail) == ("not_better", "the judge says B in one order and B in the other")


def test_a_row_rejected_before_the_judge_costs_no_judgment() -> None:
    outcome, asked = drive("clair", models(edit("5", "5")), verify=True)
    assert isinstance(outcome, Reject)
    assert (outcome.reason, outcome.stage, len(asked)) == ("unchanged", "parse", 2)


def test_constitutional_criticizes_in_the_light_of_the_drawn_principle_then_revises() -> None:
    outcome, asked = drive("constitutional", models(edit("5", "4")), constitution=PRINCIPLES, seed=3)
    _, (critique,), (revise,) = asked
    assert isinstance(critique, Ask)
    assert isinstance(revise, Ask)
    principle = drawn(plan("constitutional", constitution=PRINCIPLES, seed=3), row(), 0)
    assert principle in PRINCIPLES
    assert (critique.stage, block("principle", critique), block("answer", critique)) == (
        "revise",
        principle,
        "It is 5 .",
    )
    assert (block("principle", revise), block("critique", revise)) == (principle, "It is wrong.")
    assert isinstance(outcome, Pair)
    assert (outcome.chosen, outcome.rejected) == ("It is 4 .", "It is 5 .")
    assert outcome.rationale == f"Principle: {principle}\n\nIt is wrong.\n\nBecause."
    assert outcome.edits == (Edit(6, 7, "4"),)
    assert (outcome.spent.attempts, outcome.spent.requests) == (1, 3)


def test_principles_are_drawn_by_seed_row_and_round_and_all_of_them_come_up() -> None:
    def draws(seed: int) -> list[str]:
        made = plan("constitutional", constitution=PRINCIPLES, seed=seed)
        return [drawn(made, row(id=f"r{n}"), number) for n in range(200) for number in range(2)]

    assert draws(1) == draws(1)
    assert draws(1) != draws(2)
    counts = [draws(1).count(principle) for principle in PRINCIPLES]
    assert sum(counts) == 400
    assert min(counts) > 100


def test_each_round_works_on_the_text_of_the_one_before_and_the_pair_spans_them_all() -> None:
    """Round 1: 5 -> 6. Round 2: nothing to change. Round 3: 6 -> 4. The gate sees only the first and the last text."""

    def revise(ask: Ask) -> str:
        shown = block("answer", ask)
        return {0: edit("5", "6"), 1: edit("6", "6"), 2: edit("6", "4")}[rounds(ask)] if shown else ""

    def rounds(ask: Ask) -> int:
        return int(block("critique", ask)[-1])

    said = iter("012")
    answer = models(revise)

    def with_numbered_critiques(ask: Ask) -> Any:
        text = answer(ask)
        return f"round {next(said)}" if text == "It is wrong." else text

    outcome, asked = drive("constitutional", with_numbered_critiques, constitution=PRINCIPLES, rounds=3)
    assert [block("answer", group[0]) for group in asked[1:]] == [  # type: ignore[arg-type]
        "It is 5 .",
        "It is 5 .",
        "It is 6 .",
        "It is 6 .",
        "It is 6 .",
        "It is 6 .",
    ]
    assert isinstance(outcome, Pair)
    assert (outcome.chosen, outcome.rejected, outcome.edits) == ("It is 4 .", "It is 5 .", ())
    assert outcome.rationale.count("Principle: ") == 2


def test_rounds_that_find_nothing_or_lead_back_give_no_pair() -> None:
    outcome, asked = drive("constitutional", models(edit("5", "5")), constitution=PRINCIPLES, rounds=2)
    assert isinstance(outcome, Reject)
    assert (outcome.reason, len(asked)) == ("unchanged", 5)
    to_and_fro = models(lambda ask: edit("5", "6") if "5" in block("answer", ask) else edit("6", "5"))
    outcome, _ = drive("constitutional", to_and_fro, constitution=PRINCIPLES, rounds=2)
    assert isinstance(outcome, Reject)
    assert (outcome.reason, outcome.detail) == ("unchanged", "the rounds led back to the answer")


def test_only_the_last_round_is_gated_so_that_regating_asks_nothing_new() -> None:
    far, near = edit("It is 5 .", "Four , I say !"), edit("Four , I say !", "It is 4 .")
    answer = models(lambda ask: far if "5" in block("answer", ask) else near)
    outcome, asked = drive("constitutional", answer, constitution=PRINCIPLES, rounds=2, gate=Gate(max_change=0.4))
    assert isinstance(outcome, Pair)
    assert (outcome.chosen, len(asked)) == ("It is 4 .", 5)


def test_a_critique_that_fails_ends_the_row() -> None:
    outcome, asked = drive(
        "constitutional", models("", critique=completion("It is", "length")), constitution=PRINCIPLES
    )
    assert isinstance(outcome, Reject)
    assert (outcome.stage, outcome.reason, outcome.response, len(asked)) == ("revise", "truncated", "It is 5 .", 2)


def test_where_a_further_attempt_is_not_bought_the_verdict_on_the_last_reply_stands() -> None:
    answer = models(lambda ask: NotBought() if ask.attempt else edit("It is 5 .", "Four , I say !"))
    outcome, _ = drive("clair", answer, gate=Gate(max_change=0.4))
    assert isinstance(outcome, Reject)
    assert (outcome.stage, outcome.reason, outcome.spent.cost_usd) == ("gate", "too_different", 2.0)


LETTERS = "首都是悉尼。" * 12


def rewritten(text: str) -> str:
    return f"Because.\n\n<revised-{TOKEN}>\n{text}\n</revised-{TOKEN}>"


def test_a_text_of_many_letters_without_spaces_is_edited() -> None:
    reply = edit(LETTERS, LETTERS.replace("悉尼", "堪培拉", 1))
    outcome, asked = drive("clair", models(reply), of=row(response=LETTERS), protocol="auto", gate=Gate())
    assert isinstance(outcome, Pair)
    assert (outcome.protocol, len(asked), outcome.contrast.edits) == ("edits", 1, 1)


@pytest.mark.parametrize("known", ["rewrite", "edits"])
def test_a_finished_row_of_such_letters_is_read_from_the_protocol_that_was_bought(known: str) -> None:
    """A ledger from when such a text counted as one word has the reply to a rewrite; nothing is bought beside it."""
    better = LETTERS.replace("悉尼", "堪培拉", 1)

    def ledger(ask: Ask) -> Any:
        asks_rewrite = f"<revised-{TOKEN}>" in ask.messages[1]["content"]
        if asks_rewrite == (known == "rewrite"):
            return rewritten(better) if asks_rewrite else edit(LETTERS, better)
        return NotBought() if ask.attempt else pytest.fail("bought")

    outcome, _ = drive("clair", ledger, of=row(response=LETTERS), protocol="auto", gate=Gate())
    assert isinstance(outcome, Pair)
    assert (outcome.protocol, outcome.chosen, outcome.spent.requests) == (known, better, 1)


@pytest.mark.parametrize("recipe", ["clair", "worsen", "constitutional"])
def test_a_failed_sample_asks_nobody_else(recipe: str) -> None:
    outcome, asked = drive(recipe, lambda ask: RowFailure("overloaded", "503"), constitution=PRINCIPLES)
    assert isinstance(outcome, Reject)
    assert (outcome.stage, outcome.reason, len(asked)) == ("sample", "overloaded", 1)
