"""What a run will ask and cost, before it is bought.

    expected = forecast(settings)                     # from the input's length and stated assumptions
    expected = forecast(settings, finished=outcomes)  # from rows that are finished: `clair preview`

The assumptions come from recorded runs: answers of 7B to 8B chat models to 400 AlpacaEval prompts are about 450 tokens
long (4 bytes a token), and GPT-4's 12 recorded CLAIR replies take 617 tokens for answers of 470, reasoning included.
How long search/replace replies are depends on the answers; 300 is our assumption.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

from clair.endpoints.pricing import find_price
from clair.endpoints.spec import parse_spec
from clair.pipeline.run import expected_rows, read_input
from clair.records import Outcome, Pair, Row
from clair.settings import GenerateSettings
from clair.templates import Template, Templates

BYTES_PER_TOKEN = 4
ANSWER_TOKENS = 450
REPLY_TOKENS = {"rewrite": 620, "edits": 300, "auto": 300}
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


def _measured(finished: Sequence[Outcome]) -> PerRow:
    count = len(finished)
    spent = [outcome.spent for outcome in finished]
    sampled = sum(outcome.spent.prompt_tokens != 0 for outcome in finished)
    return PerRow(
        requests=(sum(used.attempts for used in spent) + sampled) / count,
        prompt_tokens=_mean([used.prompt_tokens for used in spent]),
        completion_tokens=_mean([used.completion_tokens for used in spent]),
        cost_usd=_mean([used.cost_usd for used in spent]),
        acceptance=sum(isinstance(outcome, Pair) for outcome in finished) / count,
        basis=f"measured on {count} finished rows",
    )


def _assumed(settings: GenerateSettings, rows: list[Row]) -> PerRow:
    prompt = _mean([_tokens(*(message["content"] for message in row.messages)) for row in rows]) or 0.0
    given = [_tokens(row.response) for row in rows if row.response is not None]
    answer = _mean(given) or min(ANSWER_TOKENS, settings.max_tokens or ANSWER_TOKENS)
    instructions = _tokens(*(text for _, text in _instructions(settings).sections))
    sample = (prompt, answer) if settings.response_column is None else (0.0, 0.0)
    reply = min(REPLY_TOKENS[settings.protocol], settings.reviser_max_tokens or REPLY_TOKENS[settings.protocol])
    revise = (ATTEMPTS * (instructions + prompt + answer), ATTEMPTS * reply)
    cost_usd, unpriced = _priced(settings, sample, revise)
    return PerRow(
        requests=ATTEMPTS + (settings.response_column is None),
        prompt_tokens=sample[0] + revise[0],
        completion_tokens=sample[1] + revise[1],
        cost_usd=cost_usd,
        acceptance=None,
        unpriced=unpriced,
        basis=(
            f"prompts of {prompt:.0f} tokens as they are; assumed: answers of {answer:.0f} tokens, replies of "
            f"{reply:.0f}, {ATTEMPTS} attempts a row, every row a pair. clair preview measures them"
        ),
    )


def _instructions(settings: GenerateSettings) -> Template:
    templates = Templates.load(Path(settings.template) if settings.template else None)
    return templates.rewrite if settings.protocol == "rewrite" else templates.edits


def _priced(
    settings: GenerateSettings, sample: tuple[float, float], revise: tuple[float, float]
) -> tuple[float | None, tuple[str, ...]]:
    known: list[float] = []
    unpriced = []
    for spec, key_env, (prompt, completion) in (
        (settings.target, settings.target_key_env, sample),
        (settings.reviser, settings.reviser_key_env, revise),
    ):
        if spec is None or not prompt:
            continue
        endpoint = parse_spec(spec, env=os.environ, key_env=key_env)
        price = find_price(endpoint.model or "", endpoint.base_urls[0], settings.prices)
        cost = None if price is None else price.cost_usd(round(prompt), round(completion))
        if cost is None:
            unpriced.append(endpoint.model or spec)
        else:
            known.append(cost)
    return (sum(known) if known else None), tuple(unpriced)


def _tokens(*texts: str) -> float:
    return sum(len(text.encode()) for text in texts) / BYTES_PER_TOKEN


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None


def _times(count: int, mean: float | None) -> int | None:
    return None if mean is None else round(count * mean)


def _number(value: int | None) -> str:
    return "unknown" if value is None else f"{value:,}"
