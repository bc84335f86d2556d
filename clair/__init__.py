"""Minimally contrastive preference data (CLAIR) and an Anchored Preference Optimization (APO) trainer.

    import clair
    summary = clair.generate(prompts="prompts.jsonl", out="run", target="m@http://localhost:8000/v1", reviser="gpt-5")

The names below are loaded on first use, so importing the package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clair import builders, train
    from clair.api import agenerate, generate
    from clair.errors import ClairError

__version__ = "0.1.0"

__all__ = ["ClairError", "__version__", "agenerate", "builders", "generate", "train"]

_HOME = {"agenerate": "clair.api", "generate": "clair.api", "ClairError": "clair.errors"}


def __getattr__(name: str) -> Any:
    if name in ("builders", "train"):
        return import_module(f"clair.{name}")
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'clair' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
