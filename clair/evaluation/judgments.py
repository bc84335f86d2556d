"""Judgments as bytes for the ledger, as lines of judgments.jsonl, and added up.

tally = Tally()
tally.add(outcome)                  # each Judgment or Reject of the evaluation
tally.figures(seed=0)               # what eval.json says of them
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from statistics import fmean
from typing import Any

from clair.dataset.codec import decode_outcome, encode_outcome
from clair.errors import LedgerError
from clair.evaluation.winrate import Rate, WinRates, win_rates
from clair.recipes.comparison import NAMES, Answers, Judgment, Result
from clair.recipes.judging import Opinion
from clair.records import Message, Reject, Spent
from clair.words import words

PREFERENCE: dict[Result, float] = {"win": 1.0, "loss": 0.0, "tie": 0.5, "disagreement": 0.5, "identical": 0.5}


def encode(outcome: Judgment | Reject) -> bytes:
    """The outcome as one JSON object."""
    if isinstance(outcome, Reject):
        return encode_outcome(outcome)
    return json.dumps({"kind": "judgment", **asdict(outcome)}, separators=(",", ":")).encode("ascii")


def decode(body: bytes) -> Judgment | Reject:
    """The outcome that was encoded. Raises LedgerError if the bytes are none of this version."""
    try:
        values: dict[str, Any] = json.loads(body)
        if values.pop("kind") == "judgment":
            return _judgment(values)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise LedgerError(
            f"A stored judgment cannot be read ({error!r}). It is damaged or of another version of clair; run with the "
            "version that made it, or start a new folder with --fork."
        ) from error
    outcome = decode_outcome(body)
    assert isinstance(outcome, Reject)
    return outcome


def _judgment(values: dict[str, Any]) -> Judgment:
    values["prompt"] = tuple(Message(role=it["role"], content=it["content"]) for it in values["prompt"])
    values["answers"] = Answers(*values["answers"])
    values["spent"] = Spent(**values["spent"])
    if values["opinions"] is not None:
        one, other = values["opinions"]
        values["opinions"] = (Opinion(*one), Opinion(*other))
    return Judgment(**values)


def line(outcome: Judgment | Reject) -> dict[str, Any]:
    """One prompt as in judgments.jsonl; `result` is null where the prompt failed, and `reason` where it did not."""
    return {
        "id": outcome.id,
        "prompt": [dict(message) for message in outcome.prompt],
        **(_failed(outcome) if isinstance(outcome, Reject) else _judged(outcome)),
        "prompt_tokens": outcome.spent.prompt_tokens,
        "completion_tokens": outcome.spent.completion_tokens,
        "cost_usd": outcome.spent.cost_usd,
        "source": outcome.source,
        "source_index": outcome.source_index,
    }


def _judged(judgment: Judgment) -> dict[str, Any]:
    return {
        "model_answer": judgment.answers.model,
        "baseline_answer": judgment.answers.baseline,
        "result": judgment.result,
        "verdicts": _verdicts(judgment),
        **dict.fromkeys(("stage", "reason", "detail")),
    }


def _failed(reject: Reject) -> dict[str, Any]:
    return {
        "model_answer": reject.response,
        "baseline_answer": reject.revision,
        "result": None,
        "verdicts": [],
        "stage": reject.stage,
        "reason": reject.reason,
        "detail": reject.detail,
    }


def _verdicts(judgment: Judgment) -> list[dict[str, str]]:
    """What the judge said, by whose answer it saw first; `winner` is "model", "baseline" or "tie"."""
    places = {"A": 0, "B": 1}
    shown = (NAMES, NAMES[::-1])
    return [
        {
            "shown_first": names[0],
            "winner": names[places[opinion.label]] if opinion.label in places else "tie",
            "reasoning": opinion.reasoning,
        }
        for names, opinion in zip(shown, judgment.opinions or (), strict=False)
    ]


class Tally:
    """Adds judgments up; keeps a few numbers of each."""

    def __init__(self) -> None:
        self._results: Counter[Result] = Counter()
        self._failed: Counter[tuple[str, str]] = Counter()
        self._labels: Counter[str] = Counter()
        self._preferences: list[float] = []
        self._characters: list[tuple[int, int]] = []
        self._words: list[tuple[int, int]] = []

    def add(self, outcome: Judgment | Reject) -> None:
        """Count one prompt."""
        if isinstance(outcome, Reject):
            self._failed[outcome.stage, outcome.reason] += 1
            return
        model, baseline = outcome.answers
        self._results[outcome.result] += 1
        self._labels.update(opinion.label for opinion in outcome.opinions or ())
        self._preferences.append(PREFERENCE[outcome.result])
        self._characters.append((len(model), len(baseline)))
        self._words.append((len(words(model)), len(words(baseline))))

    def figures(self, *, seed: int) -> dict[str, Any]:
        """Counts, both win rates, the judge's position bias and mean lengths. Figures of no prompt are null."""
        rates = None
        if self._preferences:
            rates = win_rates(self._preferences, [one - other for one, other in self._characters], seed=seed)
        failed = sorted(self._failed.items())
        return {
            "judged": len(self._preferences),
            "failed": sum(self._failed.values()),
            "failures": [{"stage": stage, "reason": reason, "prompts": n} for (stage, reason), n in failed],
            "results": {result: self._results[result] for result in PREFERENCE},
            "win_rate": rates and _rate(rates.raw),
            "length_controlled": rates and _length_controlled(rates),
            "position": self._position(),
            "length": {
                name: {"words": _mean(self._words, side), "characters": _mean(self._characters, side)}
                for side, name in enumerate(NAMES)
            },
        }

    def _position(self) -> dict[str, Any]:
        """`first` and `second` are shares of the verdicts, `disagreement` is one of the prompts that were judged."""
        verdicts = self._labels.total()
        shares = {name: self._labels[label] for name, label in (("first", "A"), ("second", "B"), ("tie", "C"))}
        return {
            "verdicts": verdicts,
            **{name: count / verdicts if verdicts else None for name, count in shares.items()},
            "disagreement": 2 * self._results["disagreement"] / verdicts if verdicts else None,
        }


def _rate(rate: Rate) -> dict[str, float]:
    return rate._asdict()


def _length_controlled(rates: WinRates) -> dict[str, float | None] | None:
    if rates.length_controlled is None:
        return None
    return {**_rate(rates.length_controlled), "length_effect": rates.length_effect}


def _mean(pairs: list[tuple[int, int]], side: int) -> float | None:
    return fmean(pair[side] for pair in pairs) if pairs else None
