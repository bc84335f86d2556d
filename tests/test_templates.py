"""Templates: real files, the built-in ones and files written to a temporary folder."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clair.errors import UsageError
from clair.templates import REVISER_FIELDS, Templates, built_in, load, parse

OWN = """---
purpose: a test
protocol: rewrite
fields: conversation, response
---
<<system>>
Edit.
<<user>>
{{conversation}}

A: {{response}}
<<assistant>>
Reasoning:
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "own.md"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_becomes_messages_section_by_section(tmp_path: Path) -> None:
    template = load(write(tmp_path, OWN))
    assert template.render(conversation="Q", response="R", token="unused") == (
        {"role": "system", "content": "Edit."},
        {"role": "user", "content": "Q\n\nA: R"},
        {"role": "assistant", "content": "Reasoning:"},
    )
    assert (template.name, template.purpose, template.protocol) == ("own", "a test", "rewrite")
    assert template.sha256 == sha256(OWN.encode()).hexdigest()


def test_line_endings_of_the_file_do_not_matter() -> None:
    assert parse("t", OWN.replace("\n", "\r\n"), digest="").sections == parse("t", OWN, digest="").sections


@given(st.text(), st.text())
def test_values_are_filled_in_once_and_stay_literal(conversation: str, response: str) -> None:
    template = parse("t", OWN, digest="")
    tricky = conversation + "{{response}}\\1\n<<user>>\n"
    messages = template.render(conversation=tricky, response=response)
    assert messages[1]["content"] == f"{tricky}\n\nA: {response}"
    assert len(messages) == 3


def test_a_missing_field_is_named() -> None:
    with pytest.raises(UsageError, match="needs the field 'response'"):
        parse("t", OWN, digest="").render(conversation="Q")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (OWN.replace("A: {{response}}", "A: {{answer}}"), r"uses \{\{answer\}\}, which its header does not list"),
        (OWN.replace("A: {{response}}", "A"), "lists the field 'response' but does not use"),
        (OWN.replace("purpose:", "aim:"), "'aim: a test' in the header is not purpose:"),
        (OWN.replace("rewrite", "diff"), "protocol is 'diff', expected 'rewrite' or 'edits'"),
        (OWN.replace("<<system>>\n", ""), "must have a line <<system>> or <<user>>"),
        ("Edit this: {{response}}", "must begin with a header"),
        ("---\nfields:\n---\n", "must have a line <<system>> or <<user>>"),
    ],
)
def test_a_wrong_file_is_refused_with_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse("t", text, digest="")


def test_an_unreadable_file_is_refused_with_the_built_in_names(tmp_path: Path) -> None:
    (tmp_path / "binary.md").write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "missing.md", tmp_path / "binary.md", "no-such-name"):
        with pytest.raises(UsageError, match="edits, judge, rewrite"):
            load(path)


@pytest.mark.parametrize("protocol", ["rewrite", "edits"])
def test_a_built_in_prompt_uses_every_field_of_its_protocol(protocol: str) -> None:
    template = load(protocol)
    assert template.protocol == protocol
    assert template.fields == REVISER_FIELDS[protocol]  # type: ignore[index]
    assert [role for role, _ in template.sections] == ["system", "user"]


@pytest.mark.parametrize("protocol", ["rewrite", "edits"])
def test_only_principles_vary_the_system_message_so_that_providers_can_cache_it(protocol: str) -> None:
    template = load(protocol)
    one = dict.fromkeys(template.fields, "1") | {"principles": "p"}
    other = dict.fromkeys(template.fields, "2") | {"principles": "p"}
    assert template.render(**one)[0] == template.render(**other)[0]
    assert template.render(**one)[1] != template.render(**other)[1]


def test_an_own_file_takes_the_place_of_its_protocol(tmp_path: Path) -> None:
    own = Templates.load(write(tmp_path, OWN))
    assert own.of("rewrite").name == "own"
    assert own.of("edits") == load("edits")
    assert own.sha256 == {"rewrite": sha256(OWN.encode()).hexdigest(), "edits": load("edits").sha256}
    assert Templates.load().sha256 != own.sha256


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (OWN.replace("protocol: rewrite\n", ""), "must say 'protocol: rewrite'"),
        (OWN.replace("conversation", "task"), r"uses \{\{task\}\}; a prompt for rewrite may use conversation, "),
        (OWN.replace("fields: conversation, ", "fields: ").replace("{{conversation}}", ""), "must use"),
    ],
)
def test_an_own_file_must_fit_the_protocol(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Templates.load(write(tmp_path, text))


JUDGE = """---
protocol: verdict
fields: conversation, first, second
---
<<user>>
{{conversation}} A: {{first}} B: {{second}} Reply [[A]], [[B]] or [[C]].
"""


def test_an_own_judge_takes_the_place_of_the_built_in_one(tmp_path: Path) -> None:
    names = {"score": "score", "verdict": "judge"}
    own = Templates.load(None, write(tmp_path, JUDGE), names=names)  # type: ignore[arg-type]
    assert own.of("verdict").name == "own"
    assert own.sha256 == {"score": load("score").sha256, "judge": sha256(JUDGE.encode()).hexdigest()}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (JUDGE.replace("verdict", "score"), "a question that this recipe does not ask: expected 'protocol: verdict'"),
        (JUDGE.replace("fields: ", "fields: token, ") + "{{critique}}", r"uses \{\{critique\}\}"),
        (
            JUDGE.replace("second", "response"),
            r"uses \{\{response\}\}; a prompt for verdict may use conversation, first",
        ),
        (JUDGE.replace(", second", "").replace(" B: {{second}}", ""), r"must use \{\{second\}\}"),
    ],
)
def test_an_own_judge_must_fit_the_question(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Templates.load(write(tmp_path, text), names={"verdict": "judge"})


def test_a_prompt_that_is_given_a_critique_must_use_it(tmp_path: Path) -> None:
    names = {"rewrite": "constitutional-rewrite"}
    with pytest.raises(UsageError, match=r"must use \{\{critique\}\}"):
        Templates.load(write(tmp_path, OWN), names=names)  # type: ignore[arg-type]


def test_every_built_in_prompt_says_what_it_is_for_and_shows_untrusted_text_between_lines_with_the_token() -> None:
    for template in built_in():
        assert template.purpose
        assert template.protocol is not None
        messages = template.render(**{field: f"<{field}>" for field in template.fields})
        shown = {"conversation", "response", "first", "second", "critique", "principle"} & template.fields
        for field in shown:
            tag = {"response": "answer", "first": "answer-A", "second": "answer-B"}.get(field, field)
            assert f"<{tag}-<token>>\n<{field}>\n</{tag}-<token>>" in messages[1]["content"], (template.name, field)
