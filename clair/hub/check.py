"""Whether a run may be shown to the world: it is whole, its pairs keep what they promise, and it holds no secrets.

    counts = check_run(run_dir, rejects=True, allowed={"0123..."})

Reads every row once; nothing that was computed before is trusted. Memory: a batch of rows, and 8 bytes per row.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple

from clair.contrast import Gate, check, measure
from clair.dataset.invariants import SeenIds, duplicates
from clair.dataset.reading import batches
from clair.dataset.schema import Kind
from clair.dataset.secrets import find_secrets, masked
from clair.errors import ClairError, RevisionError
from clair.hub.card import split_card
from clair.hub.files import AGAIN, CARD, REPORT, all_shards, read_card, read_run_json
from clair.records import Contrast

NAMED = 10  # findings of a kind that a message lists
_GATE = ("max_change", "min_char_similarity", "min_jaccard", "max_edits", "max_length_ratio")
_FIGURES = tuple(it.name for it in fields(Contrast))
_CONFIGS: dict[Kind, str] = {"pairs": "default", "rejects": "rejects"}

Row = Mapping[str, Any]


class Counts(NamedTuple):
    """Rows by kind. `pairs` are whole pairs; `rows` of the pairs' files may be more, by the steps of chains."""

    pairs: int
    rejects: int


@dataclass
class _Findings:
    """Things of one kind that are wrong: how many, and the first of them."""

    count: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, text: str) -> None:
        self.count += 1
        if len(self.first) < NAMED:
            self.first.append(text)

    def listed(self) -> str:
        more = [f"and {self.count - len(self.first):,} more"] if self.count > len(self.first) else []
        return "".join(f"\n    {text}" for text in [*self.first, *more])


def check_run(run_dir: Path, *, rejects: bool = True, allowed: Collection[str] = ()) -> Counts:
    """Read everything that would go up. `allowed` names rows (by id) and files that may hold what looks like a secret.

    Raises:
        UsageError: the folder is no run.
        ClairError: it is damaged or its parts disagree, pairs break the gate or an invariant, or secrets were found;
        the rows are named.
    """
    run = read_run_json(run_dir)
    card = read_card(run_dir)
    violations, secrets = _Findings(), _Findings()
    gate = _gate(run["settings"])
    rows: dict[Kind, int] = {}
    whole = 0
    kinds: tuple[Kind, ...] = ("pairs", "rejects") if rejects else ("pairs",)
    for kind in kinds:
        seen = SeenIds()
        rows[kind] = 0
        for row in _rows(run_dir, kind):
            rows[kind] += 1
            seen.add(row["id"])
            if kind == "pairs":
                whole += row.get("parent_id") is None
                _add(violations, row["id"], _violation(row, gate))
            if row["id"] not in allowed:
                _scan(secrets, f"row {row['id']}", row)
        for twice in _twice(run_dir, kind, seen):
            violations.add(f"{twice}: the id occurs twice")
    counts = Counts(whole, rows.get("rejects", _promised(run, "rejects")))
    _refuse_disagreement(run, card, counts, rows)
    for name, text in _files(run_dir, run, card):
        if name not in allowed:
            _scan(secrets, name, text)
    _refuse(violations, secrets)
    return counts


def _rows(run_dir: Path, kind: Kind) -> Iterator[Row]:
    all_shards(run_dir, kind)
    for batch in batches(run_dir, kind):
        yield from batch.to_pylist()


def _gate(settings: Mapping[str, Any]) -> Gate:
    bounds = {name: settings.get(name) for name in _GATE}
    if not all(bound is None or isinstance(bound, int | float) for bound in bounds.values()):
        raise ClairError(f"run.json has a gate of {bounds!r}, which are no numbers. {AGAIN}.")
    # No bound on the share of changed words is a bound of all words.
    return Gate(**{**bounds, "max_change": 1.0 if bounds["max_change"] is None else bounds["max_change"]})  # type: ignore[arg-type]


def _violation(row: Row, gate: Gate) -> str | None:
    """What a pair breaks. The steps of a chain lie between the two answers that the gate compared."""
    turns = {name: row[name] for name in ("chosen", "rejected")}
    for name, messages in turns.items():
        if len(messages) != 1 or messages[0]["role"] != "assistant":
            return f"{name} is not one assistant turn"
        if not messages[0]["content"].split():
            return f"{name} is empty"
    if not row["prompt"] or row["prompt"][-1]["role"] != "user":
        return "the prompt does not end with a user turn"
    chosen, rejected = (messages[0]["content"] for messages in turns.values())
    if chosen.split() == rejected.split():
        return "chosen and rejected have the same words"
    contrast = measure(chosen, rejected)
    for name in _FIGURES:
        value = getattr(contrast, name)
        if name in row and abs(row[name] - value) > 1e-9:
            return f"{name} is {value:.6g}, the column says {row[name]:.6g}"
    if row.get("parent_id") is not None:
        return None
    try:
        check(contrast, gate)
    except RevisionError as error:
        return error.detail
    return None


def _add(findings: _Findings, row_id: str, problem: str | None) -> None:
    if problem:
        findings.add(f"{row_id}: {problem}")


def _twice(run_dir: Path, kind: Kind, seen: SeenIds) -> Iterator[str]:
    suspects = seen.suspects()
    return duplicates((row["id"] for row in _rows(run_dir, kind)), suspects) if suspects else iter(())


def _scan(findings: _Findings, where: str, value: Any) -> None:
    texts = list(_texts("", value))
    # Most rows have none, and one search of all texts costs a tenth of a search of each.
    if not find_secrets("\n".join(text for _, text in texts)):
        return
    for column, text in texts:
        for secret in find_secrets(text):
            findings.add(f"{where}{f' ({column})' if column else ''}: {secret.kind} {masked(text, secret)}")


def _texts(column: str, value: Any) -> Iterator[tuple[str, str]]:
    """Every text in a value, with the column it is in."""
    if isinstance(value, str):
        yield column, value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _texts(column or str(name), inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(column, inner)


def _files(run_dir: Path, run: Row, card: str) -> Iterator[tuple[str, Any]]:
    yield CARD, card
    yield "run.json", run
    report = run_dir / REPORT
    if report.is_file():
        yield REPORT, report.read_text(encoding="utf-8", errors="replace")


def _promised(run: Row, name: str) -> int:
    counts = run.get("counts")
    value = counts.get(name) if isinstance(counts, Mapping) else None
    if not isinstance(value, int):
        raise ClairError(f"run.json does not say how many {name} there are. {AGAIN}.")
    return value


def _refuse_disagreement(run: Row, card: str, counts: Counts, rows: Mapping[Kind, int]) -> None:
    front, _ = split_card(card, "the card of the run")
    in_card = {it["config_name"]: it["splits"][0]["num_examples"] for it in _infos(front)}
    claims: list[tuple[str, Any, int]] = [
        ("run.json counts {} pairs, data/ holds {}", _promised(run, "pairs"), counts.pairs),
        ("run.json counts {} rejects, rejects/ holds {}", _promised(run, "rejects"), counts.rejects),
        ("run.json counts {} rows, and {} ended as pairs and rejects", _promised(run, "rows"), sum(counts)),
        *(
            (f"the card promises {{}} rows of {name!r}, its files hold {{}}", in_card.get(name), rows[kind])
            for kind, name in _CONFIGS.items()
            if kind in rows
        ),
    ]
    for text, claimed, found in claims:
        if claimed != found:
            raise ClairError(f"{text.format(claimed, found)}. {AGAIN}.")


def _infos(front: Row) -> list[Row]:
    try:
        return [it for it in front["dataset_info"] if it["config_name"] and it["splits"][0]["num_examples"] >= 0]
    except (KeyError, TypeError, IndexError) as error:
        raise ClairError(f"the card of the run does not say how many rows there are. {AGAIN}.") from error


def _refuse(violations: _Findings, secrets: _Findings) -> None:
    parts = []
    if violations.count:
        parts.append(
            f"{violations.count:,} of the pairs break what the run promises:{violations.listed()}\n  {AGAIN}; "
            "it applies the gate again."
        )
    if secrets.count:
        parts.append(
            f"{secrets.count:,} texts hold what looks like a key or a token:{secrets.listed()}\n  Take such rows out "
            "of the input and run `clair generate` again; revoke a key that was real. Where it is none, allow the row "
            "or file by its name: --allow-secret ID."
        )
    if parts:
        raise ClairError("\n  ".join(["this run is not fit to be published:", *parts]))
