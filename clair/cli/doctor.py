"""`clair doctor`: what is installed, which GPU there is, which endpoints answer."""

from __future__ import annotations

import json
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any

import click

from clair import __version__
from clair.api import run_async
from clair.cli.terminal import printable
from clair.errors import ClairError

CORE = ("openai", "aiohttp", "uvloop", "datasets", "pyarrow", "rapidfuzz", "genai-prices")
TRAIN = ("torch", "transformers", "accelerate", "peft", "safetensors")


@click.command()
@click.option("--endpoint", "endpoints", multiple=True, metavar="SPEC", help="MODEL@URL to reach (repeatable)")
@click.option("--key-env", default="OPENAI_API_KEY", show_default=True, help="environment variable with the key")
@click.option("--json", "as_json", is_flag=True, help="print one JSON object on stdout")
def command(endpoints: tuple[str, ...], key_env: str, as_json: bool) -> None:
    """Say what is installed, which GPU there is, and whether the given endpoints answer.

    Exit code 1 if an endpoint does not answer.
    """
    findings: dict[str, Any] = {
        "python": platform.python_version(),
        "packages": {"clair": __version__, **{name: _version(name) for name in (*CORE, *TRAIN)}},
        "gpu": _gpu(),
        "keys": {name: name in os.environ for name in dict.fromkeys(["OPENAI_API_KEY", key_env, "HF_TOKEN"])},
        "endpoints": {spec: _reach(spec, key_env) for spec in endpoints},
    }
    click.echo(json.dumps(findings) if as_json else printable(_text(findings)))
    if any(problem != "ok" for problem in findings["endpoints"].values()):
        raise SystemExit(1)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _gpu() -> str | None:
    if find_spec("torch") is None:
        return None
    import torch

    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else None


def _reach(spec: str, key_env: str) -> str:
    from clair.endpoints.endpoint import Endpoint, Limits, Sampling
    from clair.endpoints.spec import parse_spec

    notes = ["ok"]

    async def probe() -> None:
        endpoint = await Endpoint.connect(
            parse_spec(spec, env=os.environ, key_env=key_env), sampling=Sampling(), limits=Limits(timeout_s=20)
        )
        endpoint.listen(notes.append)
        await endpoint.aclose()

    try:
        run_async(probe())
    except ClairError as error:
        return str(error)
    return "; but ".join(notes)


def _text(findings: dict[str, Any]) -> str:
    lines = [f"python          {findings['python']}"]
    for name, found in findings["packages"].items():
        extra = "  (pip install 'clair[train]')" if name in TRAIN else ""
        lines.append(f"{name:<15} {found or 'not installed' + extra}")
    lines.append(f"GPU             {findings['gpu'] or 'none found'}")
    for name, is_set in findings["keys"].items():
        lines.append(f"{name:<15} {'set' if is_set else 'not set'}")
    for spec, problem in findings["endpoints"].items():
        lines.append(f"endpoint        {spec}: {problem}")
    return "\n".join(lines)
