"""Does it align? The sandbox's student trained on its own CLAIR pairs, over seeds, on problems it has never seen.

    python -m tests.benchmarks.bench_align [--seeds 0 1 2] [--limit 1300] [--problems 400]

Each seed is a run of `clair generate` of its own (other problems, other samples, other order of training). Every
way starts from the same student and sees the same pairs; settings are the sandbox's defaults unless its name says so.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.benchmarks.measure import run, table

WAYS: dict[str, tuple[str, ...]] = {
    "apo_zero": (),
    "apo_zero, SFT term of weight 60": ("--sft-weight", "60"),
    "dpo": ("--objective", "dpo"),
    "sft on chosen": ("--objective", "sft"),
}
LEAST_MEAN, LEAST_EACH, MOST_S = 0.10, 0.08, 300


def main(arguments: list[str] | None = None) -> None:
    options = _options(arguments or [])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        base = evaluate("sandbox", options.problems)
        results: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
        for seed in options.seeds:
            pairs = str(folder / f"run-{seed}")
            clair("generate", "-o", pairs, "--limit", str(options.limit), "--seed", str(seed), "--json")
            for number, (way, changes) in enumerate(WAYS.items()):
                out = folder / f"model-{seed}-{number}"
                results[way].append(align(pairs, out, seed, changes, options.problems))
                print(f"seed {seed}, {way}: {results[way][-1]['exact']:.3f}", file=sys.stderr, flush=True)
    report(base, results)


def align(pairs: str, out: Path, seed: int, changes: tuple[str, ...], problems: int) -> dict[str, float]:
    """Train one model and score it: exact answers, seconds of training, log-probs at the first and the last step."""
    made = clair(
        "train-apo", pairs, "--model", "sandbox", "-o", str(out), "--seed", str(seed), "--json",
        "--reference-cache", str(out.parent / "reference"), *changes,
    )  # fmt: skip
    found = {"exact": evaluate(str(out), problems), "seconds": made["seconds"], "steps": made["steps"]}
    for side in ("chosen", "rejected"):
        found[f"{side} before"] = made["first"][f"logps/{side}"]
        found[f"{side} after"] = made["last"][f"logps/{side}"]
        found[f"{side} reward"] = made["last"][f"rewards/{side}"]
    return found


def evaluate(model: str, problems: int) -> float:
    """Share of greedy exact answers on the test split."""
    exact: float = clair("eval", "--model", model, "-n", str(problems), "--json")["model"]["exact"]
    return exact


def clair(*arguments: str) -> dict[str, Any]:
    """One command of clair; its JSON summary."""
    cost = run([sys.executable, "-m", "clair", *arguments])
    if cost.code:
        sys.exit(f"clair {' '.join(arguments)} ended with exit code {cost.code}")
    summary: dict[str, Any] = json.loads(cost.output.splitlines()[-1])
    return summary


def report(base: float, results: dict[str, list[dict[str, float]]]) -> None:
    """Print means over seeds; `nats` is the log-prob of whole answers at the first and the last step."""
    rows = []
    for way, runs in results.items():
        gains = [100 * (one["exact"] - base) for one in runs]
        spread = statistics.stdev(gains) if len(gains) > 1 else 0.0
        mean = {name: statistics.mean(one[name] for one in runs) for name in runs[0]}
        rows.append((
            way,
            f"{100 * mean['exact']:.1f} ± {spread:.1f}",
            " ".join(f"{gain:+.1f}" for gain in gains),
            f"{mean['chosen before']:.2f} -> {mean['chosen after']:.2f}",
            f"{mean['rejected before']:.2f} -> {mean['rejected after']:.2f}",
            f"{mean['chosen reward']:+.1f} / {mean['rejected reward']:+.1f}",
            round(max(one["seconds"] for one in runs)),
        ))  # fmt: skip
    print(f"the student before: {100 * base:.1f} % exact\n")
    names = ("", "exact %", "gain by seed", "chosen, nats", "rejected, nats", "rewards", "most s of training")
    table(names, rows)
    gains = [one["exact"] - base for one in results["apo_zero"]]
    mean_gain = 100 * statistics.mean(gains)
    print(
        f"\napo_zero: {mean_gain:+.1f} points on average (at least {100 * LEAST_MEAN:.0f} expected), least "
        f"{100 * min(gains):+.1f} ({100 * LEAST_EACH:.0f}), training at most {MOST_S} s expected"
    )


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--limit", type=int, default=1300)
    parser.add_argument("--problems", type=int, default=400)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
