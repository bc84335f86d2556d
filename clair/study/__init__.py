"""`clair study`: the paper's comparison of datasets and objectives in miniature, inside the sandbox.

    from clair.study import StudySettings, run_study
    study = run_study(StudySettings(), Path("clair-study"))

    plan         what is compared: settings, cells, their keys
    datasets     every dataset, cut down to the prompts that all of them have
    cells        one model trained and scored
    store        what is finished, in the study's folder
    statistics   means, intervals, the choice of learning rates
    claims       what the paper says, held against the figures
    tables, page, plots     the result as Markdown and as a page
    run          all of it, in order, resumable

Names are loaded on first use, so that importing this costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clair.study.plan import StudySettings
    from clair.study.run import run_study

__all__ = ["StudySettings", "run_study"]

_HOME = {"StudySettings": "plan", "run_study": "run"}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
