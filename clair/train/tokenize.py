"""Text pairs to token pairs: the only place that knows tokenizers and chat templates.

Prompt and prompt + answer are rendered and tokenized apart, and the answer begins where their token ids part: a
tokenizer may merge characters across the border, and some templates render a prompt differently once an answer
follows. Both are counted; templates that really change the prompt are refused above a small share. The end of the
answer is learned: a template's own end-of-turn token, or one end-of-sequence token where there is none. Pairs that
are too long, empty or the same in tokens are dropped and counted; nothing is ever cut.
"""

from __future__ import annotations

import logging
import re
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from difflib import SequenceMatcher
from functools import lru_cache
from typing import Any

from jinja2 import TemplateError

from clair.errors import UsageError
from clair.train.data import TextPair
from clair.train.layout import PairTokens, common_prefix

logger = logging.getLogger(__name__)

MERGED_TOKENS = 4
"""Up to so many prompt tokens may change at the border (merged characters, an opening tag of a reasoning model)."""
RERENDERED_SHARE = 0.01
"""Largest share of pairs whose prompt may change by more than that."""
_BATCH = 1000
_DATE_PART = re.compile("%[-#]?[aAbBcdDeFgGhHIjklmMpPrRSTuUVwWxXyYzZ]")


@dataclass
class TokenReport:
    """What happened to the pairs. `given == kept + too_long + same + empty`."""

    given: int = 0
    kept: int = 0
    too_long: int = 0
    same: int = 0
    empty: int = 0
    border_changed: int = 0
    rerendered: int = 0
    example: str = field(default="", repr=False)


def tokenize_pairs(
    pairs: Sequence[TextPair], tokenizer: Any, *, max_length: int, date: str | None = None
) -> tuple[list[PairTokens], TokenReport]:
    """Token pairs of at most `max_length` tokens of prompt plus completion, and the counts. Raises UsageError.

    A template that prints the date prints `date` (YYYY-MM-DD), so that the pairs are the same on another day.
    """
    report = TokenReport(given=len(pairs))
    kept: list[PairTokens] = []
    for start in range(0, len(pairs), _BATCH):
        for tokens in _tokenize(pairs[start : start + _BATCH], tokenizer, date, report, first=start):
            if not tokens.prompt or not tokens.chosen or not tokens.rejected:
                report.empty += 1
            elif tokens.chosen == tokens.rejected:
                report.same += 1
            elif len(tokens.prompt) + max(len(tokens.chosen), len(tokens.rejected)) > max_length:
                report.too_long += 1
            else:
                kept.append(tokens)
    report.kept = len(kept)
    _judge(report, max_length)
    return kept, report


def _judge(report: TokenReport, max_length: int) -> None:
    if report.rerendered > RERENDERED_SHARE * report.given:
        raise UsageError(
            f"the chat template changes the prompt once an answer follows it, in {report.rerendered} of "
            f"{report.given} pairs (for example {report.example}), so that prompt and answer cannot be told apart; "
            "use a template that renders the prompt the same way"
        )
    if not report.kept:
        raise UsageError(
            f"no pair is left of {report.given}: {report.too_long} longer than --max-length {max_length} tokens, "
            f"{report.same} with chosen and rejected the same, {report.empty} empty"
        )
    if report.border_changed:
        logger.warning(
            "%d of %d prompts end in other tokens once an answer follows (for example %s); "
            "those tokens count as part of the answer",
            report.border_changed, report.given, report.example,
        )  # fmt: skip
    if report.kept < report.given:
        logger.warning(
            "%d of %d pairs dropped: %d longer than %d tokens, %d the same in tokens, %d empty",
            report.given - report.kept, report.given, report.too_long, max_length, report.same, report.empty,
        )  # fmt: skip


def _tokenize(
    pairs: Sequence[TextPair], tokenizer: Any, date: str | None, report: TokenReport, *, first: int
) -> Iterable[PairTokens]:
    rendered = [_rendered(pair, tokenizer, date, row) for row, pair in enumerate(pairs, first)]
    is_chat = [not isinstance(pair.prompt, str) for pair in pairs]
    ids = iter(_ids(tokenizer, rendered, is_chat))
    for chat in is_chat:
        prompt, chosen, rejected = next(ids), next(ids), next(ids)
        at = min(common_prefix(prompt, chosen), common_prefix(prompt, rejected))
        _count_border(prompt, chosen, at, tokenizer, report)
        good, bad = (array("i", _ended(ids[at:], tokenizer, chat)) for ids in (chosen, rejected))
        yield PairTokens(array("i", prompt[:at]), good, bad)


def _rendered(pair: TextPair, tokenizer: Any, date: str | None, row: int) -> tuple[str, str, str]:
    try:
        texts = _render(pair, tokenizer, date)
        for text in texts:
            text.encode()
    except UnicodeEncodeError as error:
        half = error.object[error.start]
        raise UsageError(f"row {row}: its text holds {half!r}, half a character; mend or leave out the row") from error
    except (TemplateError, TypeError, ValueError) as error:
        raise UsageError(f"row {row}: the chat template does not take it: {error}") from error
    return texts


def _render(pair: TextPair, tokenizer: Any, date: str | None) -> tuple[str, str, str]:
    if isinstance(pair.prompt, str):
        return pair.prompt, f"{pair.prompt}{pair.chosen}", f"{pair.prompt}{pair.rejected}"
    if not getattr(tokenizer, "chat_template", None):
        raise UsageError(
            "the tokenizer has no chat template, but the pairs are chat messages; take an instruction-tuned model, "
            "or set tokenizer.chat_template and save the model folder again"
        )
    prompt = list(pair.prompt)
    tools = list(pair.tools) or None
    template = _dated(tokenizer.get_chat_template(tools=tools), date)
    shared = {"tokenize": False, "tools": tools, "chat_template": template}
    return (
        tokenizer.apply_chat_template(prompt, add_generation_prompt=True, **shared),
        tokenizer.apply_chat_template([*prompt, pair.chosen], **shared),
        tokenizer.apply_chat_template([*prompt, pair.rejected], **shared),
    )


@lru_cache
def _dated(template: str, date: str | None) -> str:
    """The template with a `strftime_now` of its own, which formats `date`.

    transformers lets no function through to a template, but a macro stands before what it provides itself.
    """
    if date is None or "strftime_now" not in template:
        return template
    day = datetime.fromisoformat(date)
    parts = sorted(set(_DATE_PART.findall(template)))
    filters = "".join(f"|replace({part!r}, {day.strftime(part)!r})" for part in parts)
    return f"{{% macro strftime_now(format) %}}{{{{ format{filters} }}}}{{% endmacro %}}\n{template}"


def _ids(tokenizer: Any, rendered: list[tuple[str, str, str]], is_chat: list[bool]) -> list[list[int]]:
    """Token ids of every text in order. A template has written its own special tokens; plain text gets the usual."""
    texts = [text for triple in rendered for text in triple]
    if all(is_chat) or not any(is_chat):
        ids: list[list[int]] = tokenizer(texts, add_special_tokens=not is_chat[0])["input_ids"]
        return ids
    return [
        tokenizer(text, add_special_tokens=not chat)["input_ids"]
        for triple, chat in zip(rendered, is_chat, strict=True)
        for text in triple
    ]


def _ended(answer: list[int], tokenizer: Any, chat: bool) -> list[int]:
    """With its end in place: a turn's own special token (a line break may follow it), else one end of sequence."""
    end = tokenizer.eos_token_id
    if chat and any(_is_special(tokenizer, token) for token in answer[-2:]):
        return answer
    return answer if end is None or answer[-1:] == [end] else [*answer, end]


def _is_special(tokenizer: Any, token: int) -> bool:
    added = tokenizer.added_tokens_decoder.get(token)
    return token == tokenizer.eos_token_id or (added is not None and added.special)


def _count_border(prompt: list[int], chosen: list[int], at: int, tokenizer: Any, report: TokenReport) -> None:
    if at < len(prompt):
        report.border_changed += 1
        report.rerendered += len(prompt) - at > MERGED_TOKENS
        if not report.example or len(prompt) - at > MERGED_TOKENS:
            changed = tokenizer.decode(prompt[at : at + 12]), tokenizer.decode(chosen[at : at + 12])
            report.example = f"{changed[0]!r} becomes {changed[1]!r}"


def token_weights(pair: PairTokens, shared_weight: float) -> list[float]:
    """Weight in the loss of each listed token: 1 where chosen and rejected differ, `shared_weight` elsewhere."""
    chosen, rejected = list(pair.chosen), list(pair.rejected)
    of_chosen, of_rejected = [1.0] * len(chosen), [1.0] * len(rejected)
    for i, j, size in SequenceMatcher(None, chosen, rejected, autojunk=False).get_matching_blocks():
        of_chosen[i : i + size] = [shared_weight] * size
        of_rejected[j : j + size] = [shared_weight] * size
    return of_chosen + of_rejected[pair.shared :]
