"""The sandbox: a whole run of `clair generate` in process, and the student alone.

What is above the student's time is the teacher, the client and the pipeline.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

from clair.records import Message
from clair.sandbox.problems import problems
from clair.sandbox.student import Sample, Student
from tests.benchmarks.measure import run, table

PROMPTS = 2000
MOST_S = 180


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        out = str(Path(folder, "run"))
        whole = run([sys.executable, "-m", "clair", "generate", "-o", out, "--limit", str(PROMPTS), "--json"])
    wall_s, cpu_s, tokens = sample()
    rows = [
        (f"clair generate, {PROMPTS:,} sandbox prompts", whole.wall_s, whole.cpu_s, PROMPTS / whole.wall_s),
        (f"the student alone, {tokens:,} tokens", wall_s, cpu_s, PROMPTS / wall_s),
    ]
    table(("", "wall s", "CPU s", "prompts/s"), rows)
    print(f"\n{json.loads(whole.output)['counts']}; at most {MOST_S} s are allowed")


def sample() -> tuple[float, float, int]:
    """Wall time, processor time and tokens of one answer per prompt, without loading."""
    student = Student.load()
    asked = problems("align", PROMPTS, seed=0)
    samples = [Sample([Message(role="user", content=problem.question)], seed=i) for i, problem in enumerate(asked)]
    wall, cpu = time.perf_counter(), time.process_time()
    tokens = sum(made.completion_tokens for made in student.generate(samples))
    return time.perf_counter() - wall, time.process_time() - cpu, tokens
