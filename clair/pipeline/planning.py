"""From settings to what is the same for every row: the recipe's prompts, its principles, the gate, the plan."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from pathlib import Path

from clair.contrast import Gate
from clair.endpoints.endpoint import Endpoint
from clair.errors import UsageError
from clair.recipes.base import Plan
from clair.recipes.catalog import prompts_of
from clair.records import Part
from clair.settings import GenerateSettings, identity_of
from clair.templates import Reading, Templates, prompt_file


def templates_of(settings: GenerateSettings) -> Templates:
    """The prompts that the run asks with. Raises UsageError for an own one that does not fit or would not be used."""
    names = prompts_of(settings.recipe, verify=settings.verify, checked=settings.checker is not None)
    own = [Path(path) if path else None for path in (settings.template, settings.judge_template)]
    templates = Templates.load(*own, names=names)
    unused: Reading | None = {"edits": "rewrite", "rewrite": "edits"}.get(settings.protocol)  # type: ignore[assignment]
    if settings.template and unused in names and templates.of(unused).name == Path(settings.template).stem:
        raise UsageError(
            f"--template {settings.template!r} is for the protocol {unused!r}, and --protocol {settings.protocol} "
            "asks no question in it"
        )
    return templates


def constitution_of(settings: GenerateSettings) -> tuple[str, ...]:
    """The principles that `constitutional` draws from, () for other recipes. Raises UsageError."""
    if settings.recipe != "constitutional":
        return ()
    path = Path(settings.principles) if settings.principles else prompt_file("principles.txt")
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read the principles {str(path)!r}: {error}") from error
    found = tuple(line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#"))
    if not found:
        raise UsageError(f"the file {str(path)!r} holds no principle: expected one on each line")
    return found


def identity(settings: GenerateSettings, templates: Templates, constitution: tuple[str, ...]) -> dict[str, object]:
    """All that decides what is asked, for the ledger to compare on resume."""
    found = {**identity_of(settings), "templates": dict(templates.sha256)}
    if constitution:
        found["principles"] = hashlib.sha256("\n".join(constitution).encode()).hexdigest()
    return found


def gate_of(settings: GenerateSettings) -> Gate:
    """The contrast gate that the settings describe."""
    return Gate(
        max_change=settings.max_change,
        min_char_similarity=settings.min_char_similarity,
        min_jaccard=settings.min_jaccard,
        max_edits=settings.max_edits,
        max_length_ratio=settings.max_length_ratio,
    )


def plan_of(
    settings: GenerateSettings,
    *,
    templates: Templates,
    constitution: tuple[str, ...],
    endpoints: Mapping[Part, Endpoint],
    secret: bytes,
) -> Plan:
    """The plan of a run over these endpoints; `secret` makes the markers of its requests."""
    target, reviser, judge = (endpoints.get(part) for part in ("target", "reviser", "judge"))
    columns = settings.answer_columns
    target_model = target.model if target else f"column:{settings.response_column or ','.join(columns)}"
    other = f"column:{settings.stronger_column}" if settings.stronger_column else target_model
    return Plan(
        target_model=target_model,
        reviser_model=reviser.model if reviser else other,
        judge_model=judge.model if judge else None,
        protocol=settings.protocol,
        templates=templates,
        principles=settings.principle,
        gate=gate_of(settings),
        allow_talk=settings.allow_talk,
        max_attempts=settings.max_attempts,
        token=lambda content: hmac.new(secret, content.encode(), hashlib.sha256).hexdigest()[:12],
        verify=settings.verify,
        checked=settings.checker is not None,
        rounds=settings.rounds,
        candidates=settings.candidates,
        constitution=constitution,
        seed=settings.seed or 0,
        columns=columns,
    )
