"""The models of a judged evaluation: which they are, and opening them.

A model is an endpoint, `sandbox` (the bundled student; as judge the exact teacher), or a folder with a student of the
sandbox, such as `clair train-apo RUN --model sandbox` makes. Any other folder has to be served first.
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple

import httpx

from clair.endpoints.endpoint import Endpoint, Limits, Sampling
from clair.endpoints.spec import WEIGHTS_DOMAIN, EndpointSpec, parse_spec
from clair.errors import UsageError
from clair.evaluation.settings import EvalSettings
from clair.pipeline.parts import SANDBOX_MODELS, check_priced
from clair.records import Part

ARCHITECTURE = ("model_type", "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads")
STUDENT = SANDBOX_MODELS["target"]


class Contender(NamedTuple):
    """A model that is asked. `folder` holds its weights if it is a student of the sandbox's kind."""

    name: str
    spec: EndpointSpec
    folder: Path | None = None


def contenders(settings: EvalSettings) -> dict[Part, Contender]:
    """The models that are asked. Raises UsageError for a folder that must be served, or one model in both places."""
    named: tuple[tuple[Part, str, str | None], ...] = (
        ("target", "model", settings.model),
        ("baseline", "baseline", settings.baseline),
        ("judge", "judge", settings.judge),
    )
    found = {
        part: _contender(part, option, text, getattr(settings, f"{option}_key_env"))
        for part, option, text in named
        if text is not None
    }
    if "target" in found and "baseline" in found and found["target"].spec == found["baseline"].spec:
        raise UsageError(f"--model and --baseline are the same model, {settings.model!r}: nothing to compare")
    return found


def _contender(part: Part, option: str, text: str, key_env: str) -> Contender:
    folder = Path(text).expanduser()
    if text != "sandbox" and folder.is_dir():
        return _local(option, folder)
    model = SANDBOX_MODELS["judge" if part == "judge" else "target"]
    return Contender(text, parse_spec(text, env=os.environ, key_env=key_env, sandbox_model=model))


def _local(option: str, folder: Path) -> Contender:
    if option == "judge" or not _is_student(folder):
        raise UsageError(
            f"--{option} {str(folder)!r} is a folder: serve the model in it, for example with `vllm serve {folder}`, "
            f"and give its URL: --{option} http://localhost:8000/v1"
        )
    # The weights are part of the URL, and so of the key under which answers are kept: a student that was trained
    # again in the same folder is another model.
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()[:16]
    return Contender(str(folder), EndpointSpec(STUDENT, (f"http://{digest}{WEIGHTS_DOMAIN}/v1",)), folder)


def _is_student(folder: Path) -> bool:
    """Whether the folder holds whole weights of the bundled student's architecture."""
    from clair.sandbox.student import student_folder

    if not (folder / "model.safetensors").is_file():
        return False
    try:
        theirs, ours = (json.loads((path / "config.json").read_text("utf-8")) for path in (folder, student_folder()))
    except (OSError, ValueError):
        return False
    return all(theirs.get(name) == ours[name] for name in ARCHITECTURE)


async def open_models(
    found: dict[Part, Contender], settings: EvalSettings, stack: AsyncExitStack
) -> dict[Part, Endpoint]:
    """Every model that is asked, probed; all are closed when `stack` closes.

    Raises EndpointUnusable if a probe fails, UsageError if `max_cost` is set for a model without prices.
    """
    endpoints: dict[Part, Endpoint] = {}
    for part, contender in found.items():
        sampling = _sampling(part, settings)
        twin = next((other for other in endpoints if found[other].spec == contender.spec), None)
        if twin is not None:  # one model in two places shares its limits
            endpoints[part] = endpoints[twin].sampled_with(sampling)
            continue
        transport = _transport(contender, settings)
        free = dict.fromkeys(SANDBOX_MODELS.values(), (0.0, 0.0)) if transport else {}
        endpoint = await Endpoint.connect(
            contender.spec,
            sampling=sampling,
            limits=Limits(**settings.model_dump(include=_LIMITS)),
            prices={**settings.prices, **free},
            transport=transport,
        )
        stack.push_async_callback(endpoint.aclose)
        endpoints[part] = endpoint
        if settings.max_cost is not None:
            check_priced(endpoint, settings.max_cost)
    return endpoints


_LIMITS = {"concurrency", "rpm", "tpm", "timeout_s", "max_retries", "breaker_s"}


def _transport(contender: Contender, settings: EvalSettings) -> httpx.AsyncBaseTransport | None:
    if contender.folder is None and not contender.spec.sandbox:
        return None
    from clair.sandbox.transport import SandboxTransport

    return SandboxTransport(student=contender.folder, seed=settings.seed or 0)


def _sampling(part: Part, settings: EvalSettings) -> Sampling:
    if part == "judge":
        return Sampling(
            temperature=settings.judge_temperature, max_tokens=settings.judge_max_tokens, seed=settings.seed
        )
    return Sampling(
        temperature=settings.temperature, top_p=settings.top_p, max_tokens=settings.max_tokens, seed=settings.seed
    )
