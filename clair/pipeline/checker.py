"""The user's own checker: a Python function that scores answers in place of a judge.

    def score(messages, answer, metadata): return "42" in answer        # in mychecks.py: --checker mychecks:score

`messages` is the prompt as a list of {role, content}, `metadata` the input row's other columns as a dict. It returns a
number, higher is better, or True or False. It is called in worker threads, several at a time.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import math
import os
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

from clair.errors import RunStopped, UsageError
from clair.records import Check

Score = Callable[[list[dict[str, str]], str, dict[str, Any]], float | bool]


class Checker:
    """A loaded `module:function`. Raises UsageError where there is none; the working folder is searched first."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._score = _load(name)

    def __call__(self, check: Check) -> float:
        """The score of one answer. Raises RunStopped if the function fails or returns anything but a number."""
        messages = [{"role": message["role"], "content": message["content"]} for message in check.messages]
        try:
            score = self._score(messages, check.answer, json.loads(check.metadata))
        except Exception as error:
            raise RunStopped(
                f"the checker {self.name} raised {error!r} on the answer {check.answer[:80]!r}. Mend it and run the "
                "same command again: nothing is bought twice"
            ) from error
        if not isinstance(score, bool | int | float) or not math.isfinite(score):
            raise RunStopped(
                f"the checker {self.name} returned {score!r} for the answer {check.answer[:80]!r}; expected a finite "
                "number, or True or False. Mend it and run the same command again: nothing is bought twice"
            )
        return float(score)

    @property
    def version(self) -> str:
        """Changes when the source file of the function changes: finished rows are then checked again."""
        try:
            source = inspect.getsource(inspect.getmodule(self._score) or self._score)
        except (OSError, TypeError):
            source = ""
        return f"{self.name} {hashlib.sha256(source.encode()).hexdigest()[:16]}"


def _load(name: str) -> Score:
    module, colon, function = name.partition(":")
    if not (module and colon and function):
        raise UsageError(f"--checker {name!r}: expected module:function")
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found: Any = import_module(module)
        for part in function.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise UsageError(
            f"--checker {name!r}: {error}. It is looked for in {here!r} and in what is installed"
        ) from error
    if not callable(found):
        raise UsageError(f"--checker {name!r} is {type(found).__name__}, not a function")
    score: Score = found
    return score
