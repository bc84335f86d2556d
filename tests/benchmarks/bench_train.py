"""The trainer beside TRL's on the same pairs, in one run: CPU seconds a pair and peak memory.

python -m tests.benchmarks.bench_train --quick                              minutes
python -m tests.benchmarks.bench_train [--real 12] [--made 400] [--repeats 3] [--threads 1]      hours

trl               DPOTrainer as it comes: gradient checkpointing, reference forward in every step
trl-precomputed   the same with precompute_ref_log_probs
trl-lean          precomputed, no checkpointing, pairs sorted by length, two at a time (all a user can set)
clair             APOTrainer as it comes: gradient checkpointing, too
clair-activations the same, keeping all activations of a row

Each measurement is a process of its own, in the environment of `trl_environment.py`; ways alternate, the median
counts. One thread by default: then CPU seconds hold no waiting of one core for another. A step is 8 pairs, in
float32, with AdamW; see `trl_pairs.py` for the pairs and `trl_variant.py` for what is counted.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from tests.benchmarks import trl_environment, trl_pairs
from tests.benchmarks.measure import run, table

WAYS = ("trl", "trl-precomputed", "trl-lean", "clair", "clair-activations")
FULL = {"real": 12, "made": 400, "longest": 1024, "repeats": 3, "threads": 1, "vocabularies": (32_000, 128_256)}
QUICK = {"real": 4, "made": 4, "longest": 512, "repeats": 1, "threads": 2, "vocabularies": (32_000,)}
"""Texts of more than 1,024 tokens are left out: TRL would cut them, clair would drop them."""
TARGETS = {"trl": 3.0, "trl-precomputed": 2.4}
MEMORY_TARGET = 2.2


class Measured(NamedTuple):
    """CPU seconds a pair, of start-up and of the kernel in all; peak memory of the process in MB."""

    training: float
    reference: float
    start_up: float
    system: float
    peak_mb: float


def main(arguments: list[str] | None = None) -> None:
    options = _options(arguments or [])
    why = trl_pairs.missing()
    if why:
        print(f"skipped: {why}")
        return
    os.environ.update(trl_environment.variables(), OMP_NUM_THREADS=str(options.threads))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        inputs = make_inputs(folder, options)
        print(
            f"{inputs['real']} real and {inputs['made']} made pairs, {inputs['tokens']:,} tokens apart, "
            f"{inputs['tokens'] / inputs['shared']:.2f} times fewer shared; Llama of 8 layers, width 512; "
            f"{options.threads} thread(s), {options.repeats} run(s) of each",
            flush=True,
        )
        for vocabulary in options.vocabularies:
            results: dict[str, list[Measured]] = {way: [] for way in options.ways}
            for _ in range(options.repeats):
                for way in options.ways:
                    results[way].append(measure(way, folder / str(vocabulary), folder / "pairs.jsonl"))
            report(vocabulary, {way: _median(runs) for way, runs in results.items()})


def make_inputs(folder: Path, options: argparse.Namespace) -> dict[str, int]:
    """Pairs, tokenizer and models in `folder`; the counts of `trl_inputs`."""
    numbers = [str(number) for number in (options.real, options.made, options.longest, *options.vocabularies)]
    command = [trl_environment.python(), "-m", "tests.benchmarks.trl_inputs", str(folder), *numbers]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    counts: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return counts


def measure(way: str, model: Path, pairs: Path) -> Measured:
    """One process that trains one epoch."""
    cost = run([trl_environment.python(), "-m", "tests.benchmarks.trl_variant", way, str(model), str(pairs)])
    if cost.code:
        sys.exit(f"{way} on {model.name} ended with exit code {cost.code}")
    seen: dict[str, Any] = json.loads(cost.output.splitlines()[-1])
    return Measured(
        training=seen["training"] / seen["pairs"],
        reference=seen["reference"] / seen["pairs"],
        start_up=seen["start_up"],
        system=seen["system"],
        peak_mb=cost.peak_mb,
    )


def report(vocabulary: int, results: dict[str, Measured]) -> None:
    """Print the costs and how many times more each way of TRL takes."""
    print(f"\nvocabulary {vocabulary:,}\n")
    ours = results["clair"]
    rows = []
    for way, it in results.items():
        first_epoch = (it.training + it.reference) / (ours.training + ours.reference)
        more = (f"{x:.2f}x" for x in (it.training / ours.training, first_epoch, it.peak_mb / ours.peak_mb))
        rows.append((way, it.training, it.reference, it.start_up, it.system, round(it.peak_mb), *more))
    names = ("", "CPU s/pair", "reference s/pair", "start-up s", "system s", "peak MB")
    names = (*names, "an epoch", "with reference", "memory")
    table(names, rows)
    print()
    for us in (way for way in results if way.startswith("clair")):
        for way, goal in TARGETS.items():
            if way in results:
                faster, leaner = (
                    results[way].training / results[us].training,
                    results[way].peak_mb / results[us].peak_mb,
                )
                print(
                    f"{us} beside {way}: {faster:.2f} (target {goal}), memory {leaner:.2f} (target {MEMORY_TARGET})",
                    flush=True,
                )


def _median(runs: list[Measured]) -> Measured:
    return Measured(*(statistics.median(values) for values in zip(*runs, strict=True)))


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="8 shorter pairs, one vocabulary, one run: minutes")
    for name in FULL:
        parser.add_argument(f"--{name}", type=int, nargs="+" if name == "vocabularies" else None)
    parser.add_argument("--ways", nargs="+", choices=WAYS)
    options = parser.parse_args(arguments)
    defaults = (
        {**QUICK, "ways": ("trl", "trl-precomputed", "clair", "clair-activations")}
        if options.quick
        else {**FULL, "ways": WAYS}
    )
    given = {name: value for name, value in vars(options).items() if value is not None}
    return argparse.Namespace(**{**defaults, **given})


if __name__ == "__main__":
    main(sys.argv[1:])
