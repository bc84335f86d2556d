"""Evaluation sets: which prompts hold their text. Real: files in every format; no doubles."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clair.errors import UsageError
from clair.hygiene import Hygiene
from clair.hygiene.contamination import EvaluationSets, Overlap
from clair.records import Message
from tests.hygiene.rows import count, row, turns


def sets(*texts: str) -> EvaluationSets:
    return EvaluationSets(("test.jsonl", f"line {number}", text) for number, text in enumerate(texts, 1))


def shared(words: str, line: int = 1) -> Overlap:
    return Overlap(words, "test.jsonl", f"line {line}")


def test_thirteen_words_in_a_row_are_found_wherever_they_stand():
    index = sets("Other text of the first record.", count(1, 40))
    assert index.find(row(f"Solve this. {count(20, 32)} Thanks!")) == shared(count(20, 32), line=2)
    assert index.find(row(f"Solve this. {count(20, 31)} Thanks!")) is None
    assert index.find(row(f"{count(20, 26)} well {count(27, 40)}")) == shared(count(27, 39), line=2)


def test_case_and_punctuation_do_not_hide_them():
    text = "Ali's mother has 1,200 apples; she gives half-price ones to three friends, today!"
    index = sets(text)
    assert index.find(
        row("ALIS MOTHER - has 1200 APPLES she gives: half price ones, to (three) friends today")
    ) == shared("alis mother has 1200 apples she gives half price ones to three friends")


@pytest.mark.parametrize(
    ("field", "prompt", "found"),
    [
        (count(1, 12), f"before {count(1, 12)} after", count(1, 12)),
        (count(1, 8), f"before {count(1, 8)} after", count(1, 8)),
        (count(1, 8), count(1, 7), None),
        (count(1, 7), f"before {count(1, 7)} after", None),
        (count(1, 7), count(1, 7), count(1, 7)),
        ("Name a color", "name a COLOR!", "name a color"),
        ("Name a color", "Name a color, please", None),
        (count(1, 13), count(1, 12), None),
        (count(1, 30), count(4, 9), None),
        ("?", "?", None),
    ],
)
def test_short_texts(field: str, prompt: str, found: str | None):
    """A whole field of 8 words may stand in a longer prompt; a shorter one must be all that is asked."""
    assert sets(field).find(row(prompt)) == (found and shared(found))


def test_every_turn_but_the_system_ones_is_looked_at_and_only_the_last_one_as_a_whole():
    index = sets(count(1, 20), "thanks")
    system, thanks = Message(role="system", content=count(1, 20)), Message(role="user", content="Thanks!")
    answer, last = Message(role="assistant", content=count(3, 17)), Message(role="user", content="And now?")
    assert index.find(turns(system, thanks, last)) is None
    assert index.find(turns(thanks, answer, last)) == shared(count(3, 15))
    assert index.find(turns(last, thanks)) == shared("thanks", line=2)


def test_given_answers_are_looked_at_by_thirteen_words_alone():
    index = sets(count(1, 20), count(101, 109))
    assert index.find(row("Why?", response=count(2, 15))) == shared(count(2, 14))
    assert index.find(row("Why?", response=count(101, 109))) is None
    given_two = turns(Message(role="user", content="Why?"), answers=("Because.", count(1, 14)))
    assert index.find(given_two) == shared(count(1, 13))


def test_the_first_record_that_has_the_words_is_named():
    index = sets("nothing here", count(1, 13), count(1, 14))
    assert index.find(row(count(1, 14))) == shared(count(1, 13), line=2)


def test_every_text_of_a_record_counts_in_every_format(tmp_path: Path):
    question, answer = count(1, 15), count(101, 115)
    record = {"id": 7, "turns": [{"role": "user", "content": question}], "more": {"deep": [answer]}}
    (tmp_path / "a.jsonl").write_text(json.dumps(record) + "\n")
    (tmp_path / "b.json").write_text(json.dumps([record]))
    (tmp_path / "c.csv").write_text(f"x,y\n1,{question}\n2,{answer}\n")
    (tmp_path / "d.txt").write_text(f"{question}\n{answer}\n")
    pq.write_table(pa.Table.from_pylist([record]), tmp_path / "e.parquet")
    for path in sorted(tmp_path.iterdir()):
        index = EvaluationSets.read([str(path)])
        for text in (question, answer):
            found = index.find(row(f"please {text}"))
            assert found is not None
            assert (found.words, found.source) == (" ".join(text.split()[:13]), path.name)
    folder = EvaluationSets.read([str(tmp_path)]).find(row(answer))
    assert folder == Overlap(count(101, 113), "a.jsonl", "line 1")


def test_a_set_that_cannot_be_read_whole_is_refused(tmp_path: Path):
    """A record that is skipped is one that would not be found."""
    broken, empty = tmp_path / "broken.jsonl", tmp_path / "empty.jsonl"
    broken.write_text('{"q": "fine"}\n{"q": \n')
    empty.write_text('{"n": 1}\n')
    with pytest.raises(UsageError, match=r"--decontaminate .*broken\.jsonl, line 2: not JSON"):
        Hygiene(decontaminate=[str(broken)])
    with pytest.raises(UsageError, match="holds no text"):
        Hygiene(decontaminate=[str(empty)])
    with pytest.raises(UsageError, match="There is no file or folder"):
        Hygiene(decontaminate=[str(tmp_path / "missing.jsonl")])


def test_a_contaminated_prompt_is_not_what_later_ones_are_compared_with(tmp_path: Path):
    evaluation = tmp_path / "test.txt"
    evaluation.write_text(count(1, 13) + "\n")
    hygiene = Hygiene(near_duplicates=0.5, decontaminate=[str(evaluation)])
    first = hygiene.verdict(row(count(1, 40), 0))
    assert first is not None
    assert (first.stage, first.reason) == ("sample", "contaminated")
    assert first.detail == f'shares "{count(1, 13)}" with test.txt, line 1'
    assert hygiene.verdict(row(count(2, 40), 1)) is None
    second = hygiene.verdict(row(count(3, 40), 2))
    assert second is not None
    assert (second.stage, second.reason) == ("sample", "near_duplicate_prompt")
    assert second.detail == "similarity 0.971 (Jaccard, 5 words in a row) to prompts.jsonl, source_index 1"


def test_without_rules_and_for_rows_that_could_not_be_read_there_is_no_verdict():
    assert Hygiene().verdict(row(count(1, 20))) is None


@given(st.data(), st.lists(st.sampled_from("abcde"), max_size=60), st.lists(st.sampled_from("abcde"), max_size=60))
def test_found_exactly_if_thirteen_words_or_a_whole_short_text_are_shared(
    data: st.DataObject, field: list[str], prompt: list[str]
):
    if data.draw(st.booleans()) and field:
        start = data.draw(st.integers(0, len(field) - 1))
        prompt[len(prompt) // 2 : len(prompt) // 2] = field[start : start + 16]
    found = sets(" ".join(field)).find(row(" ".join(prompt)))
    size = min(len(field), 13)
    wanted = {tuple(field[start : start + size]) for start in range(len(field) - size + 1)} if size else set()
    there = [tuple(prompt[start : start + size]) for start in range(len(prompt) - size + 1)]
    if 0 < size < 8:
        there = there if len(prompt) == size else []
    expected = next((run for run in there if run in wanted), None)
    assert found == (expected and shared(" ".join(expected)))
