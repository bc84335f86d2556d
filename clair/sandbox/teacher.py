"""The teacher: an exact solver that corrects an answer by changing only what is wrong.

    correction = correct(problem, "The apples cost 3 x 4 = 13 dollars. ...")
    correction.text        # ... 3 x 4 = 12 dollars. ...
    correction.reasoning   # "12" in place of "13". ...

`judge` compares two answers. How requests and replies look is the business of `reviser`.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from clair.sandbox.answers import RESEMBLES, Reading, Sentence, read_answer, resemblance
from clair.sandbox.corpus import write_answer
from clair.sandbox.problems import Problem
from clair.sandbox.wordings import Values, Wording


class Change(NamedTuple):
    """`text[start:end]` of the answer becomes `new`."""

    start: int
    end: int
    new: str


class Correction(NamedTuple):
    """The corrected answer, the changes that lead to it (sorted, not overlapping; none if all was right), and why."""

    text: str
    changes: tuple[Change, ...]
    reasoning: str


def own_answer(problem: Problem) -> str:
    """The solution in the teacher's own words."""
    return write_answer(problem, problem.solution, problem.family.writers - 1)


def judge(problem: Problem, first: str, second: str) -> Literal["first", "second", "tie"]:
    """Which answer is better: the one with the right result, then the one with more right steps."""
    scores = [read_answer(problem, text).score for text in (first, second)]
    if scores[0] == scores[1]:
        return "tie"
    return "first" if scores[0] > scores[1] else "second"


def correct(problem: Problem, text: str) -> Correction:
    """Correct `text`, an answer of unknown origin. The result is always right (`Reading.right`).

    A value that is wrong is replaced where it stands. A sentence that only resembles a step is put in the nearest
    wording, missing steps are added in the wording of the rest, and what claims values without being a step goes.
    """
    reading = read_answer(problem, text)
    if reading.right:
        return Correction(text, (), "Every step of the answer is right, and so is the result. Nothing needs to change.")
    changes = tuple(sorted(_changes(reading)))
    corrected = apply(text, changes)
    if not read_answer(problem, corrected).right:
        corrected = write_answer(problem, problem.solution, reading.writer)
        changes = (Change(0, len(text), corrected),)
    return Correction(corrected, changes, _reasoning(text, changes))


def apply(text: str, changes: tuple[Change, ...]) -> str:
    """`text` with the changes made."""
    parts, at = [], 0
    for start, end, new in changes:
        parts += [text[at:start], new]
        at = end
    return "".join([*parts, text[at:]])


def _changes(reading: Reading) -> list[Change]:
    changes: list[Change] = []
    solution = reading.problem.solution
    for sentence in reading.sentences:
        if sentence.step is None:
            if sentence in reading.strays or _is_garbled(reading, sentence):
                changes.append(_removal(reading, sentence))
        elif sentence.wording is None:
            near = _nearest(reading, sentence.step, reading.words(sentence)).write(solution)
            changes.append(Change(sentence.start, sentence.end, near))
        else:
            changes += _wrong_values(reading, sentence, sentence.wording, solution)
    return changes + _missing(reading)


def _wrong_values(reading: Reading, sentence: Sentence, wording: Wording, solution: Values) -> list[Change]:
    match = wording.pattern.fullmatch(reading.text, sentence.start, sentence.end)
    if match is None:
        return []
    return [
        Change(*match.span(group), solution[slot])
        for group, slot in enumerate(wording.slots, 1)
        if match[group] != solution[slot]
    ]


def _nearest(reading: Reading, step: int, words: str) -> Wording:
    solution = reading.problem.solution
    return max(reading.problem.family.steps[step], key=lambda wording: resemblance(words, wording.write(solution)))


def _is_garbled(reading: Reading, sentence: Sentence) -> bool:
    """Whether a sentence without values is a broken one rather than an opening or closing word."""
    words, solution = reading.words(sentence), reading.problem.solution
    return words[-1] not in ".!?" or any(
        resemblance(words, wording.write(solution)) >= RESEMBLES
        for step in reading.problem.family.steps
        for wording in step
    )


def _removal(reading: Reading, sentence: Sentence) -> Change:
    """Without the sentence and the white space after it (before it, at the end of the text)."""
    text, start, end = reading.text, sentence.start, sentence.end
    while end < len(text) and text[end].isspace():
        end += 1
    while end == len(text) and start > 0 and text[start - 1].isspace():
        start -= 1
    return Change(start, end, "")


def _missing(reading: Reading) -> list[Change]:
    """Steps that no sentence stands for, each run of them in one change, where it belongs."""
    places = {s.step: s for s in reading.sentences if s.step is not None}
    runs: dict[int, list[str]] = {}
    for index, step in enumerate(reading.problem.family.steps):
        if index not in places:
            before = [s.end for i, s in places.items() if i is not None and i < index]
            at = max(before) if before else _first_place(reading)
            runs.setdefault(at, []).append(step[reading.writer].write(reading.problem.solution))
    return [Change(at, at, _joined(reading, at, " ".join(sentences))) for at, sentences in runs.items()]


def _first_place(reading: Reading) -> int:
    """Where the first step goes if it is missing: after an opener, else at the start."""
    steps = [s.start for s in reading.sentences if s.step is not None]
    fillers = [s for s in reading.sentences if s.step is None and s not in reading.strays]
    if not fillers or (steps and fillers[0].start > steps[0]):
        return 0
    return fillers[0].end


def _joined(reading: Reading, at: int, sentences: str) -> str:
    return f"{sentences} " if at == 0 and reading.text else f" {sentences}" if at else sentences


def _reasoning(text: str, changes: tuple[Change, ...]) -> str:
    points = []
    for start, end, new in changes:
        old = text[start:end].strip()
        if not old:
            points.append(f'A step is missing: "{new.strip()}"')
        elif not new:
            points.append(f'"{old}" does not belong here.')
        else:
            points.append(f'"{new}" is right in place of "{old}".')
    return "I solved the problem step by step and compared. " + " ".join(points)
