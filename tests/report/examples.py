"""Run folders for the tests of the report, written as `clair generate` writes them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from clair.contrast import measure
from clair.dataset.run_json import write_run_json
from clair.dataset.summary import RunFacts, StageSpent, Tally
from clair.dataset.writer import write_split
from clair.records import Message, Pair, Reject
from tests.dataset.dataset_examples import FACTS, pair, reject

STAGES = {"sample": StageSpent(9, 90, 180, 0.25), "revise": StageSpent(11, 900, 300, 2.0, 1)}


def measured(number: int, chosen: str, rejected: str, **changes: Any) -> Pair:
    """A pair of these texts with its true figures."""
    return pair(number, chosen=chosen, rejected=rejected, contrast=measure(chosen, rejected), **changes)


def asking(text: str) -> tuple[Message, ...]:
    """A prompt of one turn."""
    return (Message(role="user", content=text),)


def write_run(
    run_dir: Path, pairs: Iterable[Pair], rejects: Iterable[Reject] = (), *, facts: RunFacts = FACTS, **sizes: Any
) -> Path:
    """The splits and run.json, without card and ledger."""
    tally = Tally()
    write_split(tally.watch(pairs), run_dir, "pairs", **sizes)
    write_split(tally.watch(rejects), run_dir, "rejects", **sizes)
    write_run_json(run_dir, tally.summary(facts, stages=STAGES))
    return run_dir


def small_run(run_dir: Path) -> Path:
    """Ten pairs that differ more and more, and three rejects of two reasons."""
    return write_run(run_dir, small_pairs(), [
        reject(20, prompt=asking("Why is the sky blue?")),
        reject(21, reason="length_ratio", prompt=asking("What is a quark?"), revision="Because it is."),
        reject(22, stage="sample", reason="truncated", prompt=asking("Name all primes."), revision=None),
    ])  # fmt: skip


def small_pairs() -> Iterator[Pair]:
    """Pair n: n + 1 of ten words changed, its prompt named by a Greek letter."""
    letters = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa"]
    for number, letter in enumerate(letters):
        words = [f"word{place}" for place in range(10)]
        changed = [f"new{place}" if place <= number else word for place, word in enumerate(words)]
        yield measured(number, " ".join(changed), " ".join(words), prompt=asking(f"Tell me about {letter}."))


HOSTILE = (
    "<script>window.hacked = 1</script>",
    "</script><script>window.hacked = 2</script>",
    "</textarea></title></style><img src=x onerror='window.hacked = 3'>",
    "<a href='javascript:window.hacked = 4'>click</a> javascript:window.hacked=5",
    "<!-- <script> --!> ]]> <svg onload=window.hacked=6><style>*{display:none}</style>",
    "\u2028\u2029\u0000\u001b[2J\u202egnp.exe\ufeff \\u003cscript\\u003e &lt;b&gt; {{7*7}} `${window.hacked=8}`",
    "<base href=//evil.example/><meta http-equiv=refresh content='0;url=//evil.example'><iframe srcdoc='<b>'>",
)
"""Texts that would do something on a page that took them for markup, script or a template."""


def hostile_run(run_dir: Path) -> Path:
    """Every hostile text in every place that a model or a user fills, and an answer of a megabyte."""
    pairs, rejects = [], []
    for number, text in enumerate(HOSTILE):
        pairs.append(
            measured(
                number,
                f"chosen {text}",
                f"rejected {text}",
                prompt=(Message(role=text, content=text),),
                rationale=text,
                source=text,
                metadata=json.dumps({text: text}),
            )
        )
        rejects.append(reject(100 + number, prompt=asking(text), detail=text, response=text, revision=f"new {text}"))
    # The same words in all pairs, so that they come up in the audit's tables.
    pairs += [measured(50 + n, f"{HOSTILE[0]} {HOSTILE[4]} {n}", f"{HOSTILE[2]} {n}") for n in range(3)]
    huge = "lorem ipsum <b> " * 66_000
    pairs.append(pair(60, chosen=f"{huge} right {huge[:90]}", rejected=f"{huge} wrong {huge[:90]}"))
    facts = replace(FACTS, name=HOSTILE[1], recipe=HOSTILE[0], target_model=HOSTILE[2], reviser_model='"><b onx=1>')
    return write_run(run_dir, pairs, rejects, facts=facts)
