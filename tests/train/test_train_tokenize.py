"""Token pairs worked by hand, with a real tokenizer of one token per character."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from tiny_models import CHAT_TEMPLATE, tiny_tokenizer

from clair.errors import UsageError
from clair.train.data import TextPair
from clair.train.layout import PairTokens
from clair.train.tokenize import TokenReport, token_weights, tokenize_pairs

END = 1


def chat(question: str, good: str, bad: str) -> TextPair:
    answers = ({"role": "assistant", "content": text} for text in (good, bad))
    return TextPair(({"role": "user", "content": question},), *answers)


def tokens(pairs: list[TextPair], *, max_length: int = 100, **changes: Any) -> tuple[list[PairTokens], TokenReport]:
    return tokenize_pairs(pairs, tiny_tokenizer(**changes), max_length=max_length)


def text(ids: Any) -> str:
    return tiny_tokenizer().decode(list(ids))


def test_the_answer_begins_after_the_prompt_and_ends_once() -> None:
    """The template writes one end of turn; none is added, and it belongs to the answer."""
    (pair,), report = tokens([chat("hi", "yes", "no")])
    assert [text(part) for part in pair] == ["<u>hi<a>", "yes</s>", "no</s>"]
    assert report == TokenReport(given=1, kept=1)


def test_a_template_without_an_end_gets_one() -> None:
    template = CHAT_TEMPLATE.replace("{{ eos_token }}", "")
    (pair,), _ = tokens([chat("hi", "yes", "no")], chat_template=template)
    assert [text(part) for part in pair] == ["<u>hi<a>", "yes</s>", "no</s>"]


def test_a_special_token_of_the_prompt_is_no_end_of_a_short_answer() -> None:
    """One token long: the opening of the turn is the last but one."""
    template = CHAT_TEMPLATE.replace("{{ eos_token }}", "")
    (pair,), _ = tokens([chat("hi", "A", "B")], chat_template=template)
    assert [text(part) for part in pair] == ["<u>hi<a>", "A</s>", "B</s>"]


def test_a_row_that_cannot_be_rendered_is_named() -> None:
    """Half of a surrogate pair, a template's own refusal, and one that trips over the messages; rows count from 0."""
    good, half = chat("hi", "yes", "no"), chat("hi \ud83d", "yes", "no")
    with pytest.raises(UsageError, match=r"row 1: its text holds '\\ud83d', half a character"):
        tokens([good, half])
    for said, message in (
        ("raise_exception('no system turns')", "row 1: the chat template does not take it: no system turns"),
        ("1 + m['content']", "row 1: the chat template does not take it: unsupported operand"),
    ):
        template = f"{{% for m in messages %}}{{% if m['content'] == 'x' %}}{{{{ {said} }}}}{{% endif %}}{{% endfor %}}"
        with pytest.raises(UsageError, match=message):
            tokens([good, chat("x", "yes", "no")], chat_template=template + CHAT_TEMPLATE)


def test_a_line_break_after_the_end_of_turn_is_left_alone() -> None:
    template = CHAT_TEMPLATE.replace("{{ eos_token }}", "{{ eos_token }} ")
    (pair,), _ = tokens([chat("hi", "yes", "no")], chat_template=template)
    assert text(pair.chosen) == "yes</s> "


def test_plain_text_needs_no_template_and_gets_one_end() -> None:
    (pair,), _ = tokens([TextPair("sky is", " blue", " red</s>")], chat_template=None)
    assert [text(part) for part in pair] == ["sky is", " blue</s>", " red</s>"]


def test_pairs_are_dropped_never_cut_and_every_one_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    """Room for 4 + 5 tokens; the same text twice; nothing to say."""
    given = [
        chat("hi", "yes!", "no"), chat("hi", "yes!!", "no"), chat("hi", "no", "yes!!"), chat("hi", "same", "same"),
        TextPair("", "", ""),
    ]  # fmt: skip
    kept, report = tokens(given, max_length=9)
    assert [text(pair.chosen) for pair in kept] == ["yes!</s>"]
    assert (report.given, report.kept, report.too_long, report.same, report.empty) == (5, 1, 2, 1, 1)
    assert "4 of 5 pairs dropped: 2 longer than 9 tokens, 1 the same in tokens, 1 empty" in caplog.text


def test_nothing_left_is_an_error_with_the_counts() -> None:
    with pytest.raises(UsageError, match="no pair is left of 1: 1 longer than --max-length 5 tokens"):
        tokens([chat("hi", "yes", "no")], max_length=5)


def test_a_small_change_at_the_border_moves_the_split_and_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    """A template that opens a thought in its generation prompt, which a finished answer does not have."""
    template = CHAT_TEMPLATE.replace("{{ '<a>' }}", "{{ '<a>(' }}")
    with caplog.at_level(logging.WARNING):
        (pair,), report = tokens([chat("hi", "yes", "no")], chat_template=template)
    assert [text(part) for part in pair] == ["<u>hi<a>", "yes</s>", "no</s>"]
    assert (report.border_changed, report.rerendered) == (1, 0)
    assert "1 of 1 prompts end in other tokens once an answer follows" in caplog.text


def test_a_template_that_rewrites_the_prompt_is_refused() -> None:
    template = "{% if not add_generation_prompt %}earlier: {% endif %}" + CHAT_TEMPLATE
    with pytest.raises(UsageError, match="changes the prompt once an answer follows it, in 1 of 1 pairs"):
        tokens([chat("a long question", "yes", "no")], chat_template=template)


def test_a_template_prints_the_date_it_is_given() -> None:
    """In every format it asks for, inside of macros too, and where it reckons with a part of it."""
    template = (
        "{% macro day() %}{{ strftime_now('%d %b %Y') }}{% endmacro %}{{ day() + strftime_now(' %A:') }}"
        "{% set before = strftime_now('%-d')|int - 1 %}{{ before if strftime_now is defined }}"
    ) + CHAT_TEMPLATE
    given = [chat("hi", "yes", "no")]
    (pair,), _ = tokenize_pairs(given, tiny_tokenizer(chat_template=template), max_length=100, date="2026-11-21")
    assert text(pair.prompt) == "21 Nov 2026 Saturday:20<u>hi<a>"


def test_calls_and_tools_reach_the_template() -> None:
    template = "{% for t in tools or [] %}{{ '[' + t['function']['name'] + ']' }}{% endfor %}" + CHAT_TEMPLATE.replace(
        "m['content'] }}",
        "m['content'] }}{% for c in m['tool_calls'] %}{{ '(' + c['function']['name'] + ')' }}{% endfor %}",
    )
    call, tool = {"function": {"name": "look"}}, {"type": "function", "function": {"name": "look"}}
    pair = chat("hi", "", "no")._replace(tools=(tool,))
    pair = pair._replace(chosen={**pair.chosen, "tool_calls": [call]})
    (found,), _ = tokens([pair], chat_template=template)
    assert [text(part) for part in found] == ["[look]<u>hi<a>", "(look)</s>", "no</s>"]


def test_a_chat_without_template_is_refused() -> None:
    with pytest.raises(UsageError, match="the tokenizer has no chat template, but the pairs are chat messages"):
        tokens([chat("hi", "yes", "no")], chat_template=None)


def test_weights_mark_the_tokens_that_differ() -> None:
    """a b c d against a x c e f: common 'a' listed once; b, d and x, e, f differ; c is common in both."""
    pair = PairTokens((9,), (1, 2, 3, 4), (1, 5, 3, 6, 7))
    assert token_weights(pair, 0.25) == [0.25, 1, 0.25, 1, 1, 0.25, 1, 1]
    assert len(token_weights(pair, 0.25)) == pair.listed_length
