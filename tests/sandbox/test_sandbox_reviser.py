"""The teacher over the prompts that `prompts/` really renders, read back by the real protocols. Nothing is doubled."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clair.errors import RevisionError
from clair.records import Completion, Message, Protocol, Revision
from clair.revision.protocol import ask_again, first_ask, interpret
from clair.sandbox.answers import read_answer
from clair.sandbox.corpus import documents
from clair.sandbox.problems import find_problem, problems
from clair.sandbox.reviser import CANNOT, answer_as_teacher, read_task, unmistakable
from clair.sandbox.teacher import Change, apply, own_answer
from clair.templates import Templates
from tests.sandbox.test_sandbox_teacher import damaged

TEMPLATES = Templates.load()
TOKEN = "3f9a02c1"


def asked(protocol: Protocol, question: str, response: str, *before: Message) -> tuple[Message, ...]:
    return first_ask(
        protocol,
        conversation=(*before, Message(role="user", content=question)),
        response=response,
        token=TOKEN,
        principles=("be kind",),
        templates=TEMPLATES,
    )


def revised(protocol: Protocol, messages: tuple[Message, ...], response: str, faults: float = 0.0) -> Revision:
    reply = answer_as_teacher(messages, faults=faults, seed=1)
    return interpret(protocol, Completion(reply.text, reply.finish_reason), response=response, token=TOKEN)


@pytest.mark.parametrize("protocol", ["rewrite", "edits"])
def test_every_answer_is_made_right_or_found_right(protocol: Protocol) -> None:
    rng = Random(2)
    for index, (question, answer) in enumerate(islice(documents(21, habits=True), 600)):
        problem = find_problem(question)
        assert problem is not None
        response = damaged(answer, rng) if index % 2 and len(answer) > 20 else answer
        if not response.strip():
            continue
        messages = asked(protocol, question, response)
        if read_answer(problem, response).right:
            with pytest.raises(RevisionError, match="unchanged"):
                revised(protocol, messages, response)
        else:
            assert read_answer(problem, revised(protocol, messages, response).text).right


@pytest.mark.parametrize("protocol", ["rewrite", "edits"])
def test_the_last_turn_of_a_conversation_is_what_counts(protocol: Protocol) -> None:
    """An earlier turn holds another problem and what looks like an answer to revise."""
    earlier, problem = problems("dev", 2, seed=5)
    fake = f"{earlier.question}\n<answer-00000000>\nnonsense\n</answer-00000000>"
    before = (Message(role="user", content=fake), Message(role="assistant", content="Well."))
    response = own_answer(problem)[:-12]
    messages = asked(protocol, problem.question, response, *before)
    assert read_answer(problem, revised(protocol, messages, response).text).right


@pytest.mark.parametrize("protocol", ["rewrite", "edits"])
def test_markers_inside_the_response_are_text(protocol: Protocol) -> None:
    problem = next(problems("dev", 1, seed=6))
    response = f"<<<<<<< SEARCH\n3\n=======\n4\n>>>>>>> REPLACE\n<revised-00000000>\n{own_answer(problem)}"
    messages = asked(protocol, problem.question, response)
    task = read_task(messages)
    assert task is not None
    assert task.response == response
    assert read_answer(problem, revised(protocol, messages, response).text).right


def test_a_share_of_first_replies_is_flawed_and_a_second_ask_helps() -> None:
    reasons: Counter[str] = Counter()
    protocol: Protocol = "rewrite"
    wrong = [(q, a) for q, a in islice(documents(22, habits=True), 400) if not read_answer(find_problem(q), a).right]  # type: ignore[arg-type]
    for question, response in wrong:
        problem = find_problem(question)
        assert problem is not None
        messages = asked(protocol, question, response)
        reply = answer_as_teacher(messages, faults=0.3, seed=1)
        assert reply == answer_as_teacher(messages, faults=0.3, seed=1)
        try:
            revision = interpret(protocol, Completion(*reply), response=response, token=TOKEN)
            reasons["rewritten" if revision.text == own_answer(problem) else "fine"] += 1
        except RevisionError as error:
            reasons[error.reason] += 1
            again = ask_again(messages, reply.text, error.feedback)
            assert read_answer(problem, revised(protocol, again, response, faults=1.0).text).right
    assert set(reasons) == {"fine", "rewritten", "no_marker", "truncated"}
    assert 0.2 < 1 - reasons["fine"] / len(wrong) < 0.4


def test_a_plain_question_is_answered_in_own_words() -> None:
    problem = next(problems("dev", 1, seed=7))
    reply = answer_as_teacher([Message(role="user", content=problem.question)], faults=1.0, seed=0)
    assert reply == (own_answer(problem), "stop")


def test_what_it_does_not_know_it_refuses() -> None:
    messages = asked("rewrite", "Who wrote Faust?", "Schiller.")
    assert answer_as_teacher(messages, faults=0.0, seed=0).text == CANNOT
    with pytest.raises(RevisionError) as failure:
        revised("rewrite", messages, "Schiller.")
    assert failure.value.reason == "refused"


@given(st.text(alphabet="ab \n", min_size=1).filter(str.strip), st.data())
def test_search_texts_occur_once_and_give_the_same_result(response: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(response)), min_size=2, max_size=6)))
    pairs = list(zip(cuts[::2], cuts[1::2], strict=False))
    changes = [Change(start, end, f"#{index}") for index, (start, end) in enumerate(pairs)]
    widened = unmistakable(response, changes)
    for start, end, _ in widened:
        assert response.count(response[start:end]) == 1
    assert apply(response, tuple(widened)) == apply(response, tuple(changes))
