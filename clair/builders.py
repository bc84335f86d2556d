"""Dataset builders: one call each, prompts in, `datasets.Dataset` out. Named after the recipes.

    from clair import builders
    pairs = builders.clair(["Name a prime above 10."], out="run", target="m@http://localhost:8000/v1", reviser="gpt-5")

A builder is `clair.generate` plus loading the result: same parameters, same run folder, same resume. `prompts` may
also be an iterable of strings or of records (dicts); it is then kept as `prompts.jsonl` in the run folder.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from clair.settings import DEFAULT_OUT

if TYPE_CHECKING:
    from datasets import Dataset, IterableDataset

Kind = Literal["pairs", "rejects"]
Prompts = str | Path | Iterable[str | dict[str, Any]]


def clair(prompts: Prompts | None = None, *, out: str | Path = DEFAULT_OUT, **options: Any) -> Dataset:
    """Pairs of the `clair` recipe: chosen is a minimal revision of the target's answer, rejected the answer.

    Options are those of `clair.generate`. Returns the pairs with the columns of the dataset card; raises what
    `clair.generate` raises.
    """
    return _build("clair", prompts, out, options)


async def aclair(prompts: Prompts | None = None, *, out: str | Path = DEFAULT_OUT, **options: Any) -> Dataset:
    """`clair` inside an event loop."""
    return await _abuild("clair", prompts, out, options)


def judge_on_policy(prompts: Prompts | None = None, *, out: str | Path = DEFAULT_OUT, **options: Any) -> Dataset:
    """Pairs of the `judge_on_policy` recipe: of two answers of the target, the one that the judge prefers in both
    orders is chosen.
    """
    return _build("judge_on_policy", prompts, out, options)


async def ajudge_on_policy(prompts: Prompts | None = None, *, out: str | Path = DEFAULT_OUT, **options: Any) -> Dataset:
    """`judge_on_policy` inside an event loop."""
    return await _abuild("judge_on_policy", prompts, out, options)


def judge_off_policy(prompts: Prompts | None = None, *, out: str | Path = DEFAULT_OUT, **options: Any) -> Dataset:
    """Pairs of the `judge_off_policy` recipe: of two given answers (`candidate_columns=("a", "b")`), the one that
    the judge prefers is chosen.
    """
    return _build("judge_off_policy", prompts, out, options)


async def ajudge_off_policy(
    prompts: Prompts | None = None, *, out: str | Path = DEFAULT_OUT, **options: Any
) -> Dataset:
    """`judge_off_policy` inside an event loop."""
    return await _abuild("judge_off_policy", prompts, out, options)


def stronger_preferred(prompts: Prompts | None = None, *, out: str | Path = DEFAULT_OUT, **options: Any) -> Dataset:
    """Pairs of the `stronger_preferred` recipe: the stronger model's own answer is chosen, the target's is rejected."""
    return _build("stronger_preferred", prompts, out, options)


async def astronger_preferred(
    prompts: Prompts | None = None, *, out: str | Path = DEFAULT_OUT, **options: Any
) -> Dataset:
    """`stronger_preferred` inside an event loop."""
    return await _abuild("stronger_preferred", prompts, out, options)


def worsen(prompts: Prompts | None = None, *, out: str | Path = DEFAULT_OUT, **options: Any) -> Dataset:
    """Pairs of the `worsen` recipe: chosen is the target's answer, rejected the same with a flaw that the reviser
    put in by minimal edits.
    """
    return _build("worsen", prompts, out, options)


async def aworsen(prompts: Prompts | None = None, *, out: str | Path = DEFAULT_OUT, **options: Any) -> Dataset:
    """`worsen` inside an event loop."""
    return await _abuild("worsen", prompts, out, options)


def constitutional(prompts: Prompts | None = None, *, out: str | Path = DEFAULT_OUT, **options: Any) -> Dataset:
    """Pairs of the `constitutional` recipe: chosen is the answer after critiques and revisions by drawn
    principles, rejected the answer before.
    """
    return _build("constitutional", prompts, out, options)


async def aconstitutional(prompts: Prompts | None = None, *, out: str | Path = DEFAULT_OUT, **options: Any) -> Dataset:
    """`constitutional` inside an event loop."""
    return await _abuild("constitutional", prompts, out, options)


def best_of_n(prompts: Prompts | None = None, *, out: str | Path = DEFAULT_OUT, **options: Any) -> Dataset:
    """Pairs of the `best_of_n` recipe: the best of several answers of the target is chosen, the worst rejected, by
    judge or `checker`.
    """
    return _build("best_of_n", prompts, out, options)


async def abest_of_n(prompts: Prompts | None = None, *, out: str | Path = DEFAULT_OUT, **options: Any) -> Dataset:
    """`best_of_n` inside an event loop."""
    return await _abuild("best_of_n", prompts, out, options)


@overload
def load(run: str | Path, kind: Kind = "pairs", *, streaming: Literal[False] = False) -> Dataset: ...
@overload
def load(run: str | Path, kind: Kind = "pairs", *, streaming: Literal[True]) -> IterableDataset: ...
def load(run: str | Path, kind: Kind = "pairs", *, streaming: bool = False) -> Dataset | IterableDataset:
    """The pairs or the rejects of a run folder, with typed features, also where there are none.

    Memory-mapped from the cache of `datasets`; with `streaming`, read while iterated over and cached nowhere, for
    runs larger than the disk has room for twice. Raises UsageError where the folder holds no such split.
    """
    from clair.dataset.loading import load_split, stream_split

    return stream_split(Path(run), kind) if streaming else load_split(Path(run), kind)


def _build(recipe: str, prompts: Prompts | None, out: str | Path, options: dict[str, Any]) -> Dataset:
    from clair.api import generate

    generate(recipe=recipe, **_source(prompts, Path(out)), out=str(out), **options)
    return load(out)


async def _abuild(recipe: str, prompts: Prompts | None, out: str | Path, options: dict[str, Any]) -> Dataset:
    from clair.api import agenerate

    await agenerate(recipe=recipe, **_source(prompts, Path(out)), out=str(out), **options)
    return load(out)


def _source(prompts: Prompts | None, out: Path) -> dict[str, Any]:
    if prompts is None:
        return {}
    if isinstance(prompts, str | Path):
        return {"prompts": str(prompts)}
    out.mkdir(parents=True, exist_ok=True)
    path = out / "prompts.jsonl"
    partial = path.with_suffix(".partial")
    with partial.open("w", encoding="utf-8") as file:
        for prompt in prompts:
            record = {"prompt": prompt} if isinstance(prompt, str) else prompt
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
    partial.replace(path)
    return {"prompts": str(path)}
