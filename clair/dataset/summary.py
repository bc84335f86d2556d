"""The figures of a run, computed in one pass over its outcomes.

    tally = Tally()
    for outcome in tally.watch(outcomes): ...
    summary = tally.summary(facts)

All that the card says of the rows is here, so that nothing has to read them again. Quartiles are exact: the
tally keeps eight bytes per pair and figure. A sum of tokens or dollars is None where one part of it is unknown,
because a guess would read like a measurement.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from clair.dataset.audit import Audit, AuditFigures
from clair.dataset.examples import Draw
from clair.dataset.quartiles import Quartiles, quartiles
from clair.records import Outcome, Pair, Reject, Spent
from clair.words import words


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """What the outcomes do not say. `settings` is JSON-like and free of secrets; `templates` and `versions`
    map names to sha256 and to version numbers; `license` is a Hub identifier or None where the user gave
    none.
    """

    name: str
    command: str
    recipe: str
    target_model: str
    reviser_model: str
    judge_model: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    templates: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    license: str | None = None
    finished_at: str | None = None


@dataclass(frozen=True)
class Total:
    """A sum over rows: `known` is the sum of what is known, `unknown_rows` how many rows lack it."""

    known: float
    unknown_rows: int

    @property
    def value(self) -> float | None:
        """The sum, None if a part of it is unknown."""
        return None if self.unknown_rows else self.known


@dataclass(frozen=True)
class Rejected:
    """Rejects of one stage and reason. `cost_usd` is None if unknown."""

    stage: str
    reason: str
    rows: int
    cost_usd: float | None


@dataclass(frozen=True)
class Lengths:
    """Lengths in words; the three shares (of pairs) add up to 1. None of it without pairs."""

    chosen: Quartiles
    rejected: Quartiles
    chosen_longer: float
    chosen_shorter: float
    equal: float


@dataclass(frozen=True)
class StageSpent:
    """What the requests of one stage used, over every invocation of the run, as far as the servers said.

    `known_usd` and the tokens are sums over the requests for which they are known; `requests_without_cost` is the
    number of the others.
    """

    requests: int
    prompt_tokens: int
    completion_tokens: int
    known_usd: float
    requests_without_cost: int = 0

    @property
    def cost_usd(self) -> float | None:
        """The sum, None if a part of it is unknown."""
        return None if self.requests_without_cost else self.known_usd


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """What a run made and what it cost. `contrast` maps figure names to quartiles; empty without pairs. `audit` is
    that of the whole pairs.

    `pairs` are whole pairs; `step_pairs`, the steps of their chains, count nowhere else.

    `stages` maps "sample", "revise", ... to all that the run ever bought, also for rows that are no part of the
    dataset as it is now; the other sums are over its rows.
    """

    facts: RunFacts
    pairs: int
    rejects: tuple[Rejected, ...]
    contrast: Mapping[str, Quartiles]
    lengths: Lengths | None
    attempts: Mapping[int, int]
    protocols: Mapping[str, int]
    prompt_tokens: Total
    completion_tokens: Total
    cost_usd: Total
    audit: AuditFigures
    stages: Mapping[str, StageSpent] = field(default_factory=dict)
    step_pairs: int = 0

    @property
    def rejected(self) -> int:
        return sum(reject.rows for reject in self.rejects)

    @property
    def rows(self) -> int:
        return self.pairs + self.rejected

    @property
    def cost_per_pair_usd(self) -> float | None:
        """All that was spent, on rejects too, per accepted pair; None if unknown or without pairs."""
        total = self.cost_usd.value
        return None if total is None or not self.pairs else total / self.pairs


class Sum:
    """A running sum in which None means unknown."""

    def __init__(self) -> None:
        self._known = 0.0
        self._unknown = 0

    def add(self, value: float | None) -> None:
        if value is None:
            self._unknown += 1
        else:
            self._known += value

    def total(self) -> Total:
        return Total(self._known, self._unknown)


CONTRAST = (
    "words_changed",
    "edits",
    "word_distance",
    "char_similarity",
    "jaccard",
    "shared_prefix",
    "length_ratio",
)
"""Figures of `RunSummary.contrast`; `words_changed` is 1 - word_similarity, the share that the gate
bounds."""


class Tally:
    """Collects the figures of a run while its outcomes pass by, in any order."""

    def __init__(self) -> None:
        self._contrast: dict[str, array[float]] = {name: array("d") for name in CONTRAST}
        self._chosen, self._rejected = array("d"), array("d")
        self._rejects: dict[tuple[str, str], tuple[int, Sum]] = {}
        self._attempts: dict[int, int] = {}
        self._protocols: dict[str, int] = {}
        self._prompt_tokens, self._completion_tokens, self._cost_usd = Sum(), Sum(), Sum()
        self._audit, self._draw = Audit(), Draw()
        self._step_pairs = 0

    def watch(self, outcomes: Iterable[Outcome]) -> Iterator[Outcome]:
        """Yield the outcomes unchanged, adding each."""
        for outcome in outcomes:
            self.add(outcome)
            yield outcome

    def add(self, outcome: Outcome) -> None:
        """Count one outcome. Of a step of a chain nothing is counted but that it is there."""
        if isinstance(outcome, Pair) and outcome.parent_id is not None:
            self._step_pairs += 1
            return
        self._add_spent(outcome.spent)
        if isinstance(outcome, Pair):
            self._add_pair(outcome)
        else:
            self._add_reject(outcome)

    def _add_spent(self, spent: Spent) -> None:
        self._prompt_tokens.add(spent.prompt_tokens)
        self._completion_tokens.add(spent.completion_tokens)
        self._cost_usd.add(spent.cost_usd)

    def _add_pair(self, pair: Pair) -> None:
        self._audit.add(pair)
        self._draw.add(pair)
        values = {"words_changed": 1 - pair.contrast.word_similarity}
        for name, held in self._contrast.items():
            held.append(values[name] if name in values else getattr(pair.contrast, name))
        self._chosen.append(len(words(pair.chosen)))
        self._rejected.append(len(words(pair.rejected)))
        self._attempts[pair.spent.attempts] = self._attempts.get(pair.spent.attempts, 0) + 1
        self._protocols[pair.protocol] = self._protocols.get(pair.protocol, 0) + 1

    def _add_reject(self, reject: Reject) -> None:
        rows, cost = self._rejects.get((reject.stage, reject.reason), (0, Sum()))
        cost.add(reject.spent.cost_usd)
        self._rejects[reject.stage, reject.reason] = (rows + 1, cost)

    def summary(self, facts: RunFacts, *, stages: Mapping[str, StageSpent] | None = None) -> RunSummary:
        """The figures so far. Rejects are sorted by number, then by stage and reason."""
        rejects = [
            Rejected(stage, reason, rows, cost.total().value) for (stage, reason), (rows, cost) in self._rejects.items()
        ]
        pairs = len(self._chosen)
        return RunSummary(
            facts=facts,
            pairs=pairs,
            rejects=tuple(sorted(rejects, key=lambda it: (-it.rows, it.stage, it.reason))),
            contrast={name: quartiles(held) for name, held in self._contrast.items()} if pairs else {},
            lengths=self._lengths() if pairs else None,
            attempts=dict(sorted(self._attempts.items())),
            protocols=dict(sorted(self._protocols.items())),
            prompt_tokens=self._prompt_tokens.total(),
            completion_tokens=self._completion_tokens.total(),
            cost_usd=self._cost_usd.total(),
            audit=self._audit.figures(),
            stages=dict(stages or {}),
            step_pairs=self._step_pairs,
        )

    def examples(self) -> list[Pair]:
        """A few whole pairs, drawn by a hash of their ids."""
        return self._draw.drawn()

    def _lengths(self) -> Lengths:
        count = len(self._chosen)
        longer = sum(c > r for c, r in zip(self._chosen, self._rejected, strict=True))
        shorter = sum(c < r for c, r in zip(self._chosen, self._rejected, strict=True))
        return Lengths(
            chosen=quartiles(self._chosen),
            rejected=quartiles(self._rejected),
            chosen_longer=longer / count,
            chosen_shorter=shorter / count,
            equal=(count - longer - shorter) / count,
        )
