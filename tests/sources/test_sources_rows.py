"""Rows from files on a real disk: what is read, in which order, under which id, and what is refused."""

from __future__ import annotations

import hashlib
import json

import pytest

from clair.errors import UsageError
from clair.records import Row
from clair.sources import check_rows, read_rows


def write(path, *records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return str(path)


def user(text):
    return {"role": "user", "content": text}


def assistant(text):
    return {"role": "assistant", "content": text}


def contents(rows):
    return [row.messages[-1]["content"] if row.problem is None else row.problem for row in rows]


def test_a_row_has_everything(tmp_path):
    path = write(tmp_path / "prompts.jsonl", {"question": "Why?", "level": 3, "by": "é"})
    text = '[[{"content":"Why?","role":"user"}],null,0]'
    assert list(read_rows(path)) == [
        Row(
            id=hashlib.sha256(text.encode()).hexdigest()[:32],
            ordinal=0,
            messages=(user("Why?"),),
            sample_index=0,
            source="prompts.jsonl",
            source_index=0,
            response=None,
            metadata='{"by":"é","level":3}',
        )
    ]


def test_samples_multiply_rows_and_limit_counts_prompts(tmp_path):
    path = write(tmp_path / "p.jsonl", *({"prompt": f"p{n}"} for n in range(5)))
    rows = list(read_rows(path, samples=2, limit=3))
    assert [(row.ordinal, row.source_index, row.sample_index) for row in rows] == [
        (0, 0, 0),
        (1, 0, 1),
        (2, 1, 0),
        (3, 1, 1),
        (4, 2, 0),
        (5, 2, 1),
    ]
    assert len({row.id for row in rows}) == 6
    assert check_rows(path, samples=2, limit=3) == 6
    with pytest.raises(UsageError, match="at least 1"):
        read_rows(path, samples=0)


def test_the_id_depends_on_content_and_not_on_place(tmp_path):
    first = list(read_rows(write(tmp_path / "a.jsonl", {"prompt": "x"}, {"prompt": "y", "n": 1})))
    second = list(read_rows(write(tmp_path / "b.jsonl", {"question": "y"}, {"question": "x"})))
    given = list(read_rows(write(tmp_path / "c.jsonl", {"prompt": "x", "r": "z"}), response_column="r"))
    assert [first[0].id, first[1].id] == [second[1].id, second[0].id]
    assert given[0].id != first[0].id


BAD = [
    b'{"prompt": "ok"}',
    b"",
    b"not json",
    b'["a"]',
    b'{"prompt": "\xff"}',
    b'{"prompt": " "}',
    b'{"other": 1}',
    b'{"prompt": 5}',
    b'{"prompt": "a\\u0000b"}',
    b'{"prompt": "a\\ud800b"}',
    b'{"prompt": [{"role": "robot", "content": "x"}]}',
    b'{"prompt": "last"}',
]


def test_bad_lines_become_rows_with_a_problem(tmp_path):
    path = tmp_path / "p.jsonl"
    path.write_bytes(b"\r\n".join(BAD))
    rows = list(read_rows(str(path), on_bad_row="reject", samples=2))
    assert contents(rows) == [
        "ok",
        "ok",
        "p.jsonl, line 3: not JSON (Expecting value at column 1)",
        "p.jsonl, line 4: expected a JSON object, got a list",
        "p.jsonl, line 5: not UTF-8 (byte 13)",
        "p.jsonl, line 6: the prompt is empty",
        "p.jsonl, line 7: there is no column 'prompt' (found: other)",
        "p.jsonl, line 8: column 'prompt' must be a text or a list of messages, got a number",
        "p.jsonl, line 9: the text has a NUL character",
        "p.jsonl, line 10: the text has a lone surrogate ('\\ud800')",
        "p.jsonl, line 11: message 1 has the role 'robot', expected one of system, user, assistant, tool",
        "last",
        "last",
    ]
    assert [row.ordinal for row in rows] == list(range(13))
    assert [row.source_index for row in rows] == [0, 0, *range(1, 11 - 1), 10, 10]
    assert len({row.id for row in rows}) == 13
    assert check_rows(str(path), on_bad_row="reject", samples=2) == 13


def test_bad_lines_stop_the_check_before_anything_is_read(tmp_path):
    path = tmp_path / "p.jsonl"
    path.write_bytes(b"\n".join(BAD))
    with pytest.raises(UsageError) as caught:
        check_rows(str(path))
    lines = str(caught.value).splitlines()
    assert lines[0] == "9 of 11 rows cannot be used:"
    assert lines[1] == "  p.jsonl, line 3: not JSON (Expecting value at column 1)"
    assert lines[-2:] == ["  ... and 4 more", "Fix them, or go on without them: --on-bad-row reject."]
    assert check_rows(str(path), limit=1) == 1


def test_a_bad_line_stops_the_stream(tmp_path):
    path = write(tmp_path / "p.jsonl", {"prompt": "ok"}, {"prompt": ""})
    rows = read_rows(path)
    assert next(rows).messages == (user("ok"),)
    with pytest.raises(UsageError, match=r"p\.jsonl, line 2: the prompt is empty"):
        next(rows)


def test_a_response_column_skips_sampling(tmp_path):
    path = write(
        tmp_path / "p.jsonl",
        {"prompt": "a", "outputs": {"m-v0.2": "answer", "other": "x"}},
        {"prompt": "b", "outputs": {"m-v0.2": ""}},
        {"prompt": "c", "outputs": {"m-v0.2": [user("c"), assistant("from messages")]}},
        {"prompt": "d", "outputs": {}},
    )
    rows = list(read_rows(path, response_column="outputs.m-v0.2", on_bad_row="reject"))
    assert [row.response for row in rows] == ["answer", None, "from messages", None]
    assert rows[0].metadata == '{"outputs":{"other":"x"}}'
    assert rows[2].metadata == "{}"
    assert rows[1].problem == "p.jsonl, line 2: the response is empty"
    assert rows[3].problem == "p.jsonl, line 4: there is no column 'outputs.m-v0.2' (found: prompt, outputs)"


def test_the_last_answer_of_a_conversation_is_revised_only_when_asked_for(tmp_path):
    talk = [user("a"), assistant("b"), user("c"), assistant("d")]
    path = write(tmp_path / "p.jsonl", {"messages": talk, "id": 1})
    (row,) = read_rows(path, response_column="messages")
    assert (row.messages, row.response, row.metadata) == (tuple(talk[:3]), "d", '{"id":1}')
    (bad,) = read_rows(path, on_bad_row="reject")
    assert bad.problem is not None
    assert "ends with an assistant turn (to revise that answer: --response-column messages" in bad.problem


def test_messages_stands_for_the_column_with_the_conversation(tmp_path):
    talk = [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]
    (row,) = read_rows(write(tmp_path / "p.jsonl", {"conversations": talk}), response_column="messages")
    assert (row.messages, row.response) == ((user("a"),), "b")


def test_a_separate_prompt_column_wins_over_the_column_of_the_response(tmp_path):
    record = {"prompt": "a", "messages": [user("a"), assistant("b")]}
    (row,) = read_rows(write(tmp_path / "p.jsonl", record), response_column="messages")
    assert (row.messages, row.response, row.metadata) == ((user("a"),), "b", "{}")


def test_columns_that_cannot_be_decided_are_a_usage_error(tmp_path):
    ambiguous = write(tmp_path / "a.jsonl", {"question": "x", "problem": "y", "n": 1})
    with pytest.raises(UsageError, match=r"question, problem.*--prompt-column.*question \(a string\).*n \(a number\)"):
        list(read_rows(ambiguous))
    assert contents(read_rows(ambiguous, prompt_column="problem")) == ["y"]
    nothing = write(tmp_path / "b.jsonl", {"headline": "x"})
    with pytest.raises(UsageError, match=r"No column holds a prompt.*Columns found: headline \(a string\)"):
        list(read_rows(nothing, on_bad_row="reject"))
    for option in ("prompt_column", "response_column"):
        with pytest.raises(UsageError, match=f"--{option.replace('_', '-')} 'nope': no such column"):
            list(read_rows(write(tmp_path / "c.jsonl", {"prompt": "x"}), **{option: "nope"}))


def test_text_is_the_prompt_only_if_nothing_else_is(tmp_path):
    assert contents(read_rows(write(tmp_path / "a.jsonl", {"text": "t", "question": "q"}))) == ["q"]
    assert contents(read_rows(write(tmp_path / "b.jsonl", {"text": "t", "label": "q"}))) == ["t"]


def test_alpaca_input_follows_the_instruction(tmp_path):
    path = write(
        tmp_path / "p.jsonl",
        {"instruction": "Add.", "input": "1 2", "output": "3"},
        {"instruction": "Sing.", "input": "", "output": "la"},
    )
    rows = list(read_rows(path))
    assert contents(rows) == ["Add.\n\n1 2", "Sing."]
    assert [row.metadata for row in rows] == ['{"output":"3"}', '{"input":"","output":"la"}']


def test_a_folder_is_read_in_the_order_of_names(tmp_path):
    write(tmp_path / "b.jsonl", {"question": "second"})
    (tmp_path / "a.txt").write_text("first\n")
    (tmp_path / "c.csv").write_text("prompt\nthird\n")
    (tmp_path / "notes.md").write_text("ignored")
    (tmp_path / ".hidden.jsonl").write_text("ignored")
    rows = list(read_rows(str(tmp_path)))
    assert [(row.source, row.source_index, row.ordinal) for row in rows] == [
        ("a.txt", 0, 0),
        ("b.jsonl", 0, 1),
        ("c.csv", 0, 2),
    ]
    assert contents(rows) == ["first", "second", "third"]


def test_inputs_without_prompts_are_refused(tmp_path):
    with pytest.raises(UsageError, match=r"no \.jsonl.*found: no files"):
        read_rows(str(tmp_path))
    (tmp_path / "notes.md").write_text("x")
    with pytest.raises(UsageError, match=r"found: notes\.md"):
        read_rows(str(tmp_path))
    with pytest.raises(UsageError, match="no known ending"):
        read_rows(str(tmp_path / "notes.md"))
    (tmp_path / "e.jsonl").write_text("\n \n")
    with pytest.raises(UsageError, match="holds no prompts"):
        check_rows(str(tmp_path / "e.jsonl"))
    (tmp_path / "f.jsonl").write_text("x\ny\n")
    with pytest.raises(UsageError, match=r"None of the first 2 rows can be read\. The first: f\.jsonl, line 1"):
        list(read_rows(str(tmp_path / "f.jsonl"), on_bad_row="reject"))


def test_memory_does_not_hold_the_file(tmp_path):
    """The stream is lazy: a bad line far behind is not met by a reader who stops before it."""
    path = write(tmp_path / "p.jsonl", *({"prompt": f"p{n}"} for n in range(1000)), {"prompt": ""})
    rows = read_rows(path)
    assert [next(rows).source_index for _ in range(999)] == list(range(999))
