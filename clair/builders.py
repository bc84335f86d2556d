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
from typing import TYPE_CHECKING, Any, Literal

from clair.settings import DEFAULT_OUT

if TYPE_CHECKING:
    from datasets import Dataset

Prompts = str | Path | Iterable[str | dict[str, Any]]


def clair(prompts: Prompts | None = None, *, out: str | Path = DEFAULT_OUT, **options: Any) -> Dataset:
    """Pairs of the `clair` recipe: chosen is a minimal revision of the target's answer, rejected the answer.

    Options are those of `clair.generate`. Returns the pairs with the columns of the dataset card; raises what
    `clair.generate` raises.
    """
    from clair.api import generate

    generate(recipe="clair", **_source(prompts, Path(out)), out=str(out), **options)
    return load(out)


async def aclair(prompts: Prompts | None = None, *, out: str | Path = DEFAULT_OUT, **options: Any) -> Dataset:
    """`clair` inside an event loop."""
    from clair.api import agenerate

    await agenerate(recipe="clair", **_source(prompts, Path(out)), out=str(out), **options)
    return load(out)


def load(run: str | Path, kind: Literal["pairs", "rejects"] = "pairs") -> Dataset:
    """The pairs or the rejects of a run folder, memory-mapped, also where there are none."""
    from clair.dataset.loading import load_split

    return load_split(Path(run), kind)


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
