"""What a run will ask and cost, before it is bought.

    expected = forecast(settings)                     # from the input's length and stated assumptions
    expected = forecast(settings, finished=outcomes)  # from rows that are finished: `clair preview`

The assumptions come from recorded runs: answers of 7B to 8B chat models to 400 AlpacaEval prompts are about 450 tokens
long (4 bytes a token), and GPT-4's 12 recorded CLAIR replies take 617 tokens for answers of 470, reasoning included.
How long search/replace replies, critiques and judgments are depends on the answers; 300 is our assumption.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import NamedTuple

from clair.pipeline.parts import price_of, spec_of, specs_of
from clair.pipeline.planning import templates_of
from clair.pipeline.run import expected_rows, read_input
from clair.records import Outcome, Pair, Part, Row
from clair.settings import REVISING, GenerateSettings

BYTES_PER_TOKEN = 4
ANSWER_TOKENS = 450
REPLY_TOKENS = {"rewrite": 620, "edits": 300, "auto": 300}
JUDGMENT_TOKENS = 300
ATTEMPTS = 1.2
LOOK_AT = 500  # rows read to learn how long the prompts are


@dataclass(frozen=True, slots=True)
class PerRow:
    """Means per row. `acceptance` is the share of rows that become pairs, None if nothing is known of it."""

    requests: float
    prompt_tokens: float | None
    completion_tokens: float | None
    cost_usd: float | None
    acceptance: float | None
    basis: str
    unpriced: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Forecast:
    """Totals over `rows`; where the input's length is unknown `rows` is None and the totals are for 1,000 rows.

    `cost_usd` is without the models in `unpriced`, for which no price is known; None if none is known at all.
    """

    rows: int | None
    requests: int
    prompt_tokens: int | None
    completion_tokens: int | None
    cost_usd: float | None
    pairs: int | None
    cost_per_1000_pairs_usd: float | None
    basis: str
    unpriced: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, object]:
        """For `--json`."""
        return asdict(self)

    def as_text(self) -> str:
        """For a person."""
        rows = "of unknown number, so per 1,000" if self.rows is None else f"{self.rows:,}"
        tokens = f"{_number(self.prompt_tokens)} in, {_number(self.completion_tokens)} out"
        lines = [
            f"rows      {rows}",
            f"requests  {self.requests:,}",
            f"tokens    {tokens}",
            f"cost      {self._cost()}",
        ]
        if self.pairs is not None:
            lines.append(f"pairs     {self.pairs:,}")
        return "\n".join(["forecast", *lines, f"basis     {self.basis}"])

    def _cost(self) -> str:
        if self.cost_usd is None:
            return f"unknown: no list price for {', '.join(self.unpriced) or 'a model'} (set prices in a --config file)"
        text = f"${self.cost_usd:,.2f}"
        if self.cost_per_1000_pairs_usd is not None:
            text += f", ${self.cost_per_1000_pairs_usd:,.2f} per 1,000 pairs"
        if self.unpriced:
            text += f"; without {', '.join(self.unpriced)}, which has no list price"
        return text


def forecast(settings: GenerateSettings, *, finished: Sequence[Outcome] = ()) -> Forecast:
    """Totals of the whole run. Reads the input (UsageError if it is bad); asks no model."""
    rows = expected_rows(settings)
    per_row = _measured(finished) if finished else _assumed(settings, list(islice(read_input(settings), LOOK_AT)))
    count = 1000 if rows is None else rows
    per_pair = None
    if per_row.cost_usd is not None and per_row.acceptance != 0:
        per_pair = 1000 * per_row.cost_usd / (per_row.acceptance or 1.0)
    return Forecast(
        rows=rows,
        requests=round(count * per_row.requests),
        prompt_tokens=_times(count, per_row.prompt_tokens),
        completion_tokens=_times(count, per_row.completion_tokens),
        cost_usd=None if per_row.cost_usd is None else count * per_row.cost_usd,
        pairs=_times(count, per_row.acceptance),
        cost_per_1000_pairs_usd=per_pair,
        basis=per_row.basis,
        unpriced=per_row.unpriced,
    )


class Question(NamedTuple):
    """What one model is asked for a row: how often, and the mean tokens of one request and one reply."""

    part: Part
    times: float
    prompt_tokens: float
    reply_tokens: float


def _measured(finished: Sequence[Outcome]) -> PerRow:
    count = len(finished)
    spent = [outcome.spent for outcome in finished]
    return PerRow(
        requests=sum(used.requests for used in spent) / count,
        prompt_tokens=_mean([used.prompt_tokens for used in spent]),
        completion_tokens=_mean([used.completion_tokens for used in spent]),
        cost_usd=_mean([used.cost_usd for used in spent]),
        acceptance=sum(isinstance(outcome, Pair) for outcome in finished) / count,
        basis=f"measured on {count} finished rows",
    )


def _assumed(settings: GenerateSettings, rows: list[Row]) -> PerRow:
    prompt = _mean([_tokens(*(message["content"] for message in row.messages)) for row in rows]) or 0.0
    given = [_tokens(text) for row in rows for text in (row.response, *row.answers) if text is not None]
    answer = _mean(given) or min(ANSWER_TOKENS, settings.max_tokens or ANSWER_TOKENS)
    asked = questions(settings, prompt, answer)
    cost_usd, unpriced = _priced(settings, asked)
    replies = f"replies of {_reply_tokens(settings):.0f}, {ATTEMPTS} attempts a row, "
    return PerRow(
        requests=sum(question.times for question in asked),
        prompt_tokens=sum(question.times * question.prompt_tokens for question in asked),
        completion_tokens=sum(question.times * question.reply_tokens for question in asked),
        cost_usd=cost_usd,
        acceptance=None,
        unpriced=unpriced,
        basis=(
            f"prompts of {prompt:.0f} tokens as they are; assumed: answers of {answer:.0f} tokens, "
            f"{replies if settings.recipe in REVISING else ''}every row a pair. clair preview measures them"
            f"{_discount(settings)}"
        ),
    )


def questions(settings: GenerateSettings, prompt: float, answer: float) -> list[Question]:
    """What is asked for one row with a prompt and answers of so many tokens."""
    templates = templates_of(settings)
    shown = {reading: _tokens(*(text for _, text in templates.of(reading).sections)) for reading in templates.names}
    reply, judgment = _reply_tokens(settings), min(JUDGMENT_TOKENS, settings.judge_max_tokens or JUDGMENT_TOKENS)
    samples = {"judge_on_policy": 2, "best_of_n": settings.candidates}.get(settings.recipe, 1)
    rated = len(settings.candidate_columns) or settings.candidates
    asked = [Question("target", samples, prompt, answer)]
    if settings.recipe in REVISING:
        rounds = settings.rounds if settings.recipe == "constitutional" else 1
        critique = JUDGMENT_TOKENS if "critique" in shown else 0
        instructions = shown["rewrite" if settings.protocol == "rewrite" else "edits"]
        asked.append(Question("reviser", ATTEMPTS * rounds, instructions + prompt + answer + critique, reply))
        if critique:
            asked.append(Question("reviser", rounds, shown["critique"] + prompt + answer, critique))
    else:
        asked.append(Question("reviser", 1, prompt, answer))
    if "score" in shown:
        asked.append(Question("judge", rated, shown["score"] + prompt + answer, judgment))
    asked.append(Question("judge", 2, shown.get("verdict", 0) + prompt + 2 * answer, judgment))
    return [question for question in asked if question.part in settings.asked]


def _reply_tokens(settings: GenerateSettings) -> float:
    return min(REPLY_TOKENS[settings.protocol], settings.reviser_max_tokens or REPLY_TOKENS[settings.protocol])


def _priced(settings: GenerateSettings, asked: Sequence[Question]) -> tuple[float | None, tuple[str, ...]]:
    known: list[float] = []
    unpriced: list[str] = []
    for question in asked:
        model = spec_of(question.part, settings).model or ""
        price = price_of(question.part, model, settings)
        cost = None if price is None else price.cost_usd(round(question.prompt_tokens), round(question.reply_tokens))
        if cost is None:
            unpriced.append(model or specs_of(settings)[question.part])
        else:
            known.append(cost * question.times)
    return (sum(known) if known or not asked else None), tuple(dict.fromkeys(unpriced))


def _discount(settings: GenerateSettings) -> str:
    by_batch = " and ".join(sorted(settings.by_batch))
    return f". {by_batch} by batch: at half the price, or as batch_prices say" if by_batch else ""


def _tokens(*texts: str) -> float:
    return sum(len(text.encode()) for text in texts) / BYTES_PER_TOKEN


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None


def _times(count: int, mean: float | None) -> int | None:
    return None if mean is None else round(count * mean)


def _number(value: int | None) -> str:
    return "unknown" if value is None else f"{value:,}"
