"""Every setting of a judged evaluation, with its default: one model for command line, YAML and library.

    settings = resolve({"model": "m@http://host:8000/v1", "baseline_column": "reference", "judge": "gpt-5", ...})

As for `clair generate`, the settings that decide what is asked may not change while an evaluation is resumed; those
that decide how fast or how much (`FREE`) may.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from clair.errors import UsageError
from clair.settings import SANDBOX, read_config, sentence

DEFAULT_OUT = "clair-eval"
SANDBOX_TOKENS = 256  # the student's longest right answer has well under half of it


class EvalSettings(BaseModel):
    """Settings of `clair eval --judge`. Units are in the names or the descriptions; None means "not set, not sent"."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    model: str | None = Field(None, description="model to score: MODEL@URL, URL, sandbox, or a folder")
    baseline: str | None = Field(None, description="model to compare with: same forms")
    judge: str | None = Field(None, description="model that compares the answers; without it: exact scores")
    prompts: str | None = Field(None, description="file, folder or Hugging Face dataset id[:config][/split]")
    out: str = Field(DEFAULT_OUT, description="folder of the evaluation; the same folder again resumes")
    model_column: str | None = Field(None, description="column with the model's answers: it is not asked")
    baseline_column: str | None = Field(None, description="column with the baseline's answers: it is not asked")
    prompt_column: str | None = Field(None, description="column with the prompt (found by convention)")
    on_bad_row: Literal["stop", "reject"] = Field("stop", description="what an unreadable input row does")
    limit: int | None = Field(None, ge=1, description="use at most this many prompts (exact scores: 400)")
    model_key_env: str = Field("OPENAI_API_KEY", description="environment variable with the model's key")
    baseline_key_env: str = Field("OPENAI_API_KEY", description="environment variable with the baseline's key")
    judge_key_env: str = Field("OPENAI_API_KEY", description="environment variable with the judge's key")

    judge_template: str | None = Field(None, description="own prompt for the judge (see clair templates)")
    principle: tuple[str, ...] = Field((), description="what better means here (repeatable)")
    max_attempts: int = Field(3, ge=1, description="questions for one verdict before the prompt has failed")
    temperature: float | None = Field(None, ge=0, description="temperature of model and baseline")
    top_p: float | None = Field(None, gt=0, le=1, description="nucleus of model and baseline")
    max_tokens: int | None = Field(2048, ge=1, description="longest answer, tokens; a longer one is a failure")
    judge_temperature: float | None = Field(None, ge=0, description="judge's temperature")
    judge_max_tokens: int | None = Field(2048, ge=1, description="judge's longest reply, tokens")
    seed: int | None = Field(None, description="seed of the bootstrap, sent with every request if given")

    concurrency: int | None = Field(None, ge=1, description="requests in flight per endpoint (adaptive)")
    rpm: float | None = Field(None, gt=0, description="requests per minute per endpoint")
    tpm: float | None = Field(None, gt=0, description="tokens per minute per endpoint")
    timeout_s: float = Field(600, gt=0, description="seconds for one request")
    max_retries: int = Field(6, ge=0, description="tries after the first for a request that failed in transit")
    breaker_s: float = Field(120, gt=0, description="stop after this many seconds without one success")
    max_cost: float | None = Field(
        None, gt=0, description="USD that this evaluation may cost in all, earlier invocations included"
    )
    prices: dict[str, tuple[float, float]] = Field(
        default_factory=dict, description="model: [USD per million input tokens, output tokens]"
    )

    @field_validator("prompts", "out", "judge_template", "model", "baseline", mode="before")
    @classmethod
    def _path_as_text(cls, value: Any) -> Any:
        return os.fspath(value) if isinstance(value, os.PathLike) else value

    @field_validator("principle", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _fit(self) -> EvalSettings:
        for name in ("model", "baseline"):
            spec, column = getattr(self, name), getattr(self, f"{name}_column")
            if spec and column:
                raise ValueError(f"{name} and {name}_column exclude each other: a model that is asked, or its answers")
            if not (spec or column):
                raise ValueError(f"{name} is missing: MODEL@URL, or {name}_column for answers that exist already")
        if not self.judge:
            raise ValueError("judge is missing: MODEL@URL of the model that compares the answers")
        if self.prompts is None:
            raise ValueError("prompts are missing: name a file, a folder or a dataset id")
        if self.model_column and self.model_column == self.baseline_column:
            raise ValueError(f"model_column and baseline_column are the same, {self.model_column!r}")
        if self.prompts == SANDBOX and any(self.columns):
            raise ValueError("the sandbox's problems have no columns of answers")
        return self

    @property
    def columns(self) -> tuple[str, str]:
        """The columns of given answers, "" for a model that is asked."""
        return self.model_column or "", self.baseline_column or ""

    @property
    def answer_columns(self) -> tuple[str, ...]:
        """The columns of given answers that there are."""
        return tuple(column for column in self.columns if column)

    @property
    def folder(self) -> Path:
        """The evaluation's folder as a path."""
        return Path(self.out)


FREE = frozenset(
    {
        "out", "on_bad_row", "limit", "max_attempts", "concurrency", "rpm", "tpm", "timeout_s", "max_retries",
        "breaker_s", "max_cost", "prices", "model_key_env", "baseline_key_env", "judge_key_env", "judge_template",
    }
)  # fmt: skip
"""Settings that may change between two invocations. (Of `judge_template` it is the content that may not change.)"""


def resolve(values: dict[str, Any], config: Path | None = None) -> EvalSettings:
    """Settings from explicit values over a YAML file over defaults. Without prompts, models of the sandbox and folders
    answer the sandbox's problems, greedily.

    Raises UsageError naming the option and what was wrong with it.
    """
    merged = {**(read_config(config) if config else {}), **values}
    if not merged.get("prompts") and all(_is_local(merged.get(name)) for name in ("model", "baseline")):
        merged |= {"prompts": SANDBOX}
        merged.setdefault("temperature", 0.0)
        merged.setdefault("max_tokens", SANDBOX_TOKENS)
    try:
        return EvalSettings(**merged)
    except ValidationError as error:
        raise UsageError("\n".join(sentence(it, command="eval") for it in error.errors())) from error


def _is_local(model: Any) -> bool:
    return model is not None and (str(model) == SANDBOX or Path(model).is_dir())
