"""`clair generate` against an OpenAI-compatible server that nobody here wrote: `transformers serve`.

python -m tests.benchmarks.interop_server

Target and reviser are one tiny model with random weights: it answers with noise, sometimes cut off, so every row
must end as a reject with a reason, and nothing may crash. The server runs in the environment of
`trl_environment.py`, on loopback, without a hub. Exits 1 if a run does not end as it should.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from tests.benchmarks import trl_environment
from tests.benchmarks.measure import run, table

PROMPTS = (
    "What is the capital of France?", "Explain photosynthesis to a child.", "Write a haiku about rain.",
    "How do I boil an egg?", "Name three prime numbers.", "Say 'good morning' in German.", "Why is the sky blue?",
    "Summarize Hamlet in one sentence.", "What is 17 times 23?", "Give me a synonym for happy.",
    "How does a bicycle stay upright?", "Write a limerick about a cat.", "What causes tides?", "List the planets.",
    "What is recursion?", "Describe a sunset.",
)  # fmt: skip
TRANSIENT = {"rate_limited", "overloaded", "timeout", "connection", "malformed_body"}
START_S = 180


def main() -> None:
    problems: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prompts = folder / "prompts.jsonl"
        prompts.write_text("".join(json.dumps({"prompt": text}) + "\n" for text in PROMPTS), encoding="utf-8")
        model = make_model(folder / "model")
        with transformers_serve(model, folder / "hub") as url:
            print(f"transformers serve on loopback; GET /models: {_ask(f'{url}/models')}\n")
            run_dir = folder / "run"
            made = generate(prompts, run_dir, model, url)
            again = generate(prompts, run_dir, model, url)
            problems += check(run_dir, made, again)
        _list_another_model(folder / "hub", model)
        with transformers_serve(model, folder / "hub") as url:
            other = generate(prompts, folder / "unlisted", model, url, "--limit", "4")
            print(f"\nserved, but /models lists only {_ask(f'{url}/models')}: exit code {other['code']}")
            problems += [f"an unlisted model: exit code {other['code']}"] if other["code"] else []
    if problems:
        sys.exit("; ".join(problems))


def make_model(folder: Path) -> Path:
    """A tiny Llama that stops after about 30 tokens: a tenth of its bytes end an answer."""
    program = (
        "import sys; from pathlib import Path; from tests.benchmarks.trl_models import byte_pairs, save, small_llama;"
        "tokenizer = byte_pairs(['a'], 259); model = small_llama(tokenizer);"
        "model.generation_config.update(do_sample=True, eos_token_id=[2, *range(40, 48)]);"
        "save(Path(sys.argv[1]), tokenizer, model)"
    )
    command = [trl_environment.python(), "-c", program, str(folder)]
    subprocess.run(command, check=True, env=trl_environment.variables(), stderr=subprocess.DEVNULL)
    return folder


@contextlib.contextmanager
def transformers_serve(model: Path, hub: Path) -> Iterator[str]:
    """The server as a process of its own; yields its base URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [trl_environment.python(), "-m", "transformers.cli.transformers", "serve", str(model)]
    command += ["--device", "cpu", "--host", "127.0.0.1", "--port", str(port)]
    with (model.parent / "server.log").open("ab") as log:
        variables = {**trl_environment.variables(), "HF_HOME": str(hub), "HF_HUB_CACHE": str(hub)}
        process = subprocess.Popen(command, stdout=log, stderr=log, env=variables)
        try:
            _wait(f"http://127.0.0.1:{port}/health", process)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.terminate()
            process.wait(timeout=30)


def generate(prompts: Path, out: Path, model: Path, url: str, *more: str) -> dict[str, Any]:
    """`clair generate` with the model as target and reviser; its summary, and `code`."""
    command = [sys.executable, "-m", "clair", "generate", str(prompts), "-o", str(out), "--json", "--seed", "5"]
    command += ["--target", f"{model}@{url}", "--reviser", f"{model}@{url}", "--max-tokens", "60"]
    cost = run([*command, "--reviser-max-tokens", "60", "--concurrency", "4", *more])
    return {**(json.loads(cost.output) if cost.output.strip() else {}), "code": cost.code, "wall_s": cost.wall_s}


def check(run_dir: Path, made: dict[str, Any], again: dict[str, Any]) -> Iterator[str]:
    """Print how the rows ended; yields what is not as it should be."""
    if made["code"] or again["code"]:
        yield f"exit codes {made['code']} and {again['code']}"
        return
    table(("stage", "reason", "rows"), [(it["stage"], it["reason"], it["rows"]) for it in made["rejects"]])
    counts, tokens = made["counts"], made["tokens"]
    print(
        f"\n{counts['rows']} rows, {counts['pairs']} pairs, {made['bought']} answers, {made['wall_s']:.0f} s, {tokens}"
    )
    rejects = pq.read_table(run_dir / "rejects").to_pylist()
    if counts["rows"] != len(PROMPTS) or counts["pairs"] + len(rejects) != len(PROMPTS):
        yield f"{len(PROMPTS)} prompts became {counts['pairs']} pairs and {len(rejects)} rejects"
    failed = {reject["reason"] for reject in rejects} & (TRANSIENT | {"bad_request"})
    if failed:
        yield f"rows failed in transit: {', '.join(sorted(failed))}"
    if not any(reject["stage"] in ("revise", "parse", "gate") for reject in rejects):
        yield "no row reached the reviser"
    if again["bought"] or again["counts"] != counts:
        yield f"the same command bought {again['bought']} answers again"


def _list_another_model(hub: Path, model: Path) -> None:
    """Put a model into the hub's cache: `transformers serve` then lists it, and not the one it was started with."""
    folder = hub / "models--someone--other"
    (folder / "refs").mkdir(parents=True)
    (folder / "snapshots" / "0").mkdir(parents=True)
    (folder / "refs" / "main").write_text("0")
    (folder / "snapshots" / "0" / "config.json").write_bytes((model / "config.json").read_bytes())


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(START_S):
        if process.poll() is not None:
            sys.exit(f"the server ended at once with exit code {process.returncode}")
        with contextlib.suppress(urllib.error.URLError, ConnectionError), urllib.request.urlopen(url, timeout=5):
            return
        time.sleep(1)
    sys.exit(f"the server did not start within {START_S} s")


def _ask(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=10) as reply:
            return str(reply.read(200).decode())
    except urllib.error.HTTPError as error:
        return f"HTTP {error.code}"


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    main()
