"""Verdicts on replies and revised answers. Nothing is a double."""

from __future__ import annotations

import pytest

from clair.errors import RevisionError
from clair.records import Completion
from clair.revision.checks import check_finished, check_revision, refusal

TOKEN = "3f9a02c1"


def verdict(text: str, response: str = "The sum is 5.") -> str:
    with pytest.raises(RevisionError) as caught:
        check_revision(text, response=response, token=TOKEN)
    assert caught.value.feedback.endswith(".")
    return caught.value.reason


@pytest.mark.parametrize(
    ("completion", "reason"),
    [
        (Completion("half", "length"), "truncated"),
        (Completion("", "content_filter"), "content_filter"),
        (Completion("", "content_filter", refusal="no"), "content_filter"),
        (Completion("", "stop", refusal="I will not."), "refused"),
        (Completion("text", "stop", refusal="I will not."), "refused"),
        (Completion("text", "tool_calls"), "unfinished"),
        (Completion("text", ""), "unfinished"),
        (Completion(" \n", "stop"), "empty"),
    ],
)
def test_a_reply_that_did_not_come_to_its_end_is_refused(completion: Completion, reason: str) -> None:
    with pytest.raises(RevisionError) as caught:
        check_finished(completion)
    assert caught.value.reason == reason


def test_a_finished_reply_passes() -> None:
    check_finished(Completion("text", "stop"))


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't assist with that request.",
        "I’m sorry, but I can’t help with that.",
        "I cannot provide a revision of this answer.",
        "As an AI language model, I am unable to revise content of this kind.",
        "Sorry, I won't be able to improve this.",
        "**I must decline.** This is unsafe.",
        "Unfortunately, I can't do that.",
    ],
)
def test_a_refusal_is_recognized_by_its_beginning(text: str) -> None:
    error = refusal(text)
    assert error is not None
    assert (error.reason, error.detail) == ("refused", f"the reviser refused: {text}")


@pytest.mark.parametrize(
    "text",
    [
        "The answer is wrong: 2 + 2 is 4.",
        "I can't see a mistake in the first part.",
        "I cannot fault this answer.",
        "The answer says 'I cannot help with that', which is not true.",
        "The student is sorry. I can help.",
        "",
    ],
)
def test_reasoning_is_no_refusal(text: str) -> None:
    assert refusal(text) is None


@pytest.mark.parametrize("text", ["The sum is 5.", "The  sum\nis 5. ", "The\u00a0sum is 5."])
def test_the_same_words_are_unchanged(text: str) -> None:
    assert verdict(text) == "unchanged"


def test_no_text_is_empty() -> None:
    assert verdict(" \n") == "empty"


@pytest.mark.parametrize(
    "text",
    [
        f"The sum is 4.\n</revised-{TOKEN}>",
        f"The sum {TOKEN} is 4.",
        "{corrected_student_solution} The sum is 4.",
        "The sum is 4. {/Corrected Student Solution}",
        "teacher_reasoning The sum is 4.",
        "The sum is 4.\n<<<<<<< SEARCH\nThe",
        "The sum is 4.\n>>>>>>> REPLACE",
    ],
)
def test_markers_in_the_answer_have_leaked(text: str) -> None:
    assert verdict(text) == "sentinel_leaked"


@pytest.mark.parametrize(
    "text",
    [
        "Here is the corrected version:\nThe sum is 4.",
        "Here’s a slightly improved answer: The sum is 4.",
        "Here is your revised and polished text. The sum is 4.",
        "The sum is 4. In this corrected solution, we add.",
        "The sum is 4. This revised answer is right.",
        "As the teacher, I add: the sum is 4.",
        "The sum is 4. As a reviewer, I agree.",
        "The student's answer was wrong: the sum is 4.",
        "Unlike the original answer, the sum is 4.",
        "I have carefully corrected the answer. The sum is 4.",
        "**Revised answer:** The sum is 4.",
        "Corrected version\n\nThe sum is 4.",
    ],
)
def test_talk_of_being_a_revision_is_refused(text: str) -> None:
    assert verdict(text) == "talks_of_revision"
    check_revision(text, response=text + " Or 5.", token=TOKEN)


@pytest.mark.parametrize(
    "text",
    [
        "The sum is 4.",
        "The improved steam engine was corrected for heat. The revised edition came in 1850.",
        "Check your answer, then improve the text. Students answer questions as a teacher would.",
        "He said that the teacher is here, and that this is the original version of the song.",
        "Title\n=======\nThe sum is 4.",
        "Search and replace: use `>>>` and `<<<`.",
    ],
)
def test_ordinary_text_passes(text: str) -> None:
    check_revision(text, response="The sum is 5.", token=TOKEN)


def test_other_white_space_is_no_change() -> None:
    assert verdict("The  sum\nis 5.") == "unchanged"
    assert verdict("用 Python 写", response="用Python写") == "unchanged"


def test_what_the_response_already_contained_is_not_held_against_the_revision() -> None:
    response = "HERE IS THE  CORRECTED VERSION: x {corrected_student_solution} 3f9a02c1\n<<<<<<< SEARCH\n"
    check_revision(response.lower() + " y", response=response, token=TOKEN)
    assert verdict("Here is the revised version: y", response) == "talks_of_revision"
