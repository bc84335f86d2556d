"""`clair report` on a run of 200,000 pairs: seconds, memory and size of the page, beside a tenth of it.

python -m tests.benchmarks report

The run is made here: answers of about 120 words in which one word in 20 changed, and one reject for ten pairs. Memory
that does not grow with the rows shows in the last two columns.
"""

from __future__ import annotations

import random
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from clair.contrast import measure
from clair.dataset.run_json import write_run_json
from clair.dataset.summary import RunFacts, StageSpent, Tally
from clair.dataset.writer import write_split
from clair.records import Message, Pair, Reject, Spent
from tests.benchmarks.measure import run, table

SIZES = (20_000, 200_000)
WORDS = 120


def main() -> None:
    rows = []
    for size in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            run_dir = make_run(Path(folder, "run"), size)
            data = sum(path.stat().st_size for path in run_dir.rglob("*.parquet")) / 1e6
            cost = run([sys.executable, "-m", "clair", "report", str(run_dir)])
            page = (run_dir / "report.html").stat().st_size / 1e6
        rows.append((f"{size:,}", data, cost.wall_s, cost.cpu_s, page, round(cost.peak_mb)))
    table(("pairs", "Parquet MB", "wall s", "CPU s", "page MB", "peak MB"), rows)


def make_run(run_dir: Path, size: int) -> Path:
    """A run folder of `size` pairs and a tenth as many rejects; the same for the same size."""
    tally = Tally()
    write_split(tally.watch(pairs(size)), run_dir, "pairs")
    write_split(tally.watch(rejects(size // 10)), run_dir, "rejects")
    facts = RunFacts(name="made", command="made", recipe="clair", target_model="small", reviser_model="large")
    stages = {"sample": StageSpent(size, 80 * size, 160 * size, 0.0), "revise": StageSpent(size, 400 * size, size, 9.5)}
    write_run_json(run_dir, tally.summary(facts, stages=stages))
    return run_dir


def pairs(size: int) -> Iterator[Pair]:
    """Pairs of random words."""
    random_ = random.Random(0)
    vocabulary = _vocabulary(random_)
    for number in range(size):
        words = random_.choices(vocabulary, k=random_.randint(WORDS // 2, WORDS * 3 // 2))
        revised = [random_.choice(vocabulary) if random_.random() < 0.05 else word for word in words]
        revised[number % len(revised)] = f"right{number % 100}"
        rejected, chosen = _text(words), _text(revised)
        yield Pair(
            id=f"{number:032x}",
            prompt=(Message(role="user", content=f"Question {number}: {_text(words[:20])}?"),),
            chosen=chosen,
            rejected=rejected,
            rationale="A few words were wrong.",
            recipe="clair",
            protocol="edits",
            target_model="small",
            reviser_model="large",
            judge_model=None,
            contrast=measure(chosen, rejected),
            spent=Spent(attempts=1 + number % 3, prompt_tokens=480, completion_tokens=200, cost_usd=1e-4),
            source="made.jsonl",
            source_index=number,
        )


def rejects(size: int) -> Iterator[Reject]:
    """Rejects of three reasons."""
    random_ = random.Random(1)
    vocabulary = _vocabulary(random_)
    for number in range(size):
        response, revision = (_text(random_.choices(vocabulary, k=WORDS)) for _ in range(2))
        yield Reject(
            id=f"{(1 << 100) + number:032x}",
            prompt=(Message(role="user", content=f"Question {number}?"),),
            stage="gate",
            reason=("too_different", "too_many_edits", "length_ratio")[number % 3],
            detail="too much changed",
            response=response,
            revision=revision,
            spent=Spent(attempts=3, cost_usd=1e-4),
            source="made.jsonl",
            source_index=size + number,
        )


def _vocabulary(random_: random.Random) -> list[str]:
    letters = "abcdefghijklmnopqrstuvwxyz"
    return ["".join(random_.choices(letters, k=random_.randint(2, 10))) for _ in range(20_000)]


def _text(words: list[str]) -> str:
    """Sentences of ten words, four to a line."""
    sentences = [" ".join(words[start : start + 10]) + "." for start in range(0, len(words), 10)]
    return "\n".join(" ".join(sentences[start : start + 4]) for start in range(0, len(sentences), 4))
