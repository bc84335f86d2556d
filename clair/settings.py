"""Every setting of a generation run, with its default and its reason: one model for command line, YAML and library.

    settings = GenerateSettings(prompts="prompts.jsonl", out="run", target="m@http://host:8000/v1", reviser="gpt-5")

A field's name is the option's name (`--max-change` is `max_change`) and the key in a `--config` file. Settings fall
into two groups: those that decide what is asked (`IDENTITY`, a run refuses to change them) and those that decide
how fast, how much, or what is kept of the answers (free to change between two invocations on the same run).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from clair.errors import UsageError

RecipeName = Literal["clair"]
ProtocolSetting = Literal["auto", "edits", "rewrite"]

SANDBOX = "sandbox"
DEFAULT_OUT = "clair-run"


class GenerateSettings(BaseModel):
    """Settings of `clair generate`. Units are in the names or the descriptions; None means "not set, not sent"."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    prompts: str = Field(SANDBOX, description="file, folder or Hugging Face dataset id[:config][/split]")
    out: str = Field(DEFAULT_OUT, description="run folder; the same folder again resumes")
    target: str | None = Field(None, description="model to improve: MODEL, MODEL@URL, URL or sandbox")
    reviser: str | None = Field(None, description="stronger model that revises: same forms as the target")
    target_key_env: str = Field("OPENAI_API_KEY", description="environment variable with the target's key")
    reviser_key_env: str = Field("OPENAI_API_KEY", description="environment variable with the reviser's key")

    prompt_column: str | None = Field(None, description="column with the prompt (found by convention)")
    response_column: str | None = Field(None, description="column with existing responses: skip sampling")
    on_bad_row: Literal["stop", "reject"] = Field("stop", description="what an unreadable input row does")
    samples: int = Field(1, ge=1, description="responses per prompt")
    limit: int | None = Field(None, ge=1, description="read at most this many prompts")
    target_pairs: int | None = Field(None, ge=1, description="stop after this many pairs")

    recipe: RecipeName = Field("clair", description="how pairs are made")
    protocol: ProtocolSetting = Field("auto", description="how the reviser answers")
    template: str | None = Field(None, description="own reviser prompt instead of the built-in one")
    principle: tuple[str, ...] = Field((), description="what better means here (repeatable)")
    max_attempts: int = Field(3, ge=1, description="questions to the reviser per row before it is a reject")

    max_change: float = Field(0.5, gt=0, le=1, description="largest allowed share of words changed")
    min_char_similarity: float | None = Field(None, ge=0, le=1, description="smallest character similarity")
    min_jaccard: float | None = Field(None, ge=0, le=1, description="smallest overlap of the two word sets")
    max_edits: int | None = Field(None, ge=1, description="largest number of separate changed spans")
    max_length_ratio: float | None = Field(
        None, ge=1, description="chosen may be this many times as long as rejected, or as short"
    )

    allow_talk: bool = Field(False, description="keep revisions that speak of being one (texts about editing do)")

    temperature: float | None = Field(None, ge=0, description="target's temperature")
    top_p: float | None = Field(None, gt=0, le=1, description="target's nucleus")
    max_tokens: int | None = Field(1024, ge=1, description="target's longest answer, tokens")
    reviser_temperature: float | None = Field(None, ge=0, description="reviser's temperature")
    reviser_max_tokens: int | None = Field(4096, ge=1, description="reviser's longest reply, tokens")
    seed: int | None = Field(None, description="seed sent with every request; sample i gets seed + i")

    concurrency: int | None = Field(None, ge=1, description="requests in flight per endpoint (adaptive below)")
    rpm: float | None = Field(None, gt=0, description="requests per minute per endpoint")
    tpm: float | None = Field(None, gt=0, description="tokens per minute per endpoint")
    timeout_s: float = Field(600, gt=0, description="seconds for one request")
    max_retries: int = Field(6, ge=0, description="tries after the first for a request that failed in transit")
    breaker_s: float = Field(120, gt=0, description="stop after this many seconds without one success")
    max_cost: float | None = Field(
        None, gt=0, description="USD that this run may cost in all, earlier invocations and forked answers included"
    )
    prices: dict[str, tuple[float, float]] = Field(
        default_factory=dict, description="model: [USD per million input tokens, output tokens]"
    )
    sandbox_faults: float = Field(0.04, ge=0, le=1, description="share of flawed replies of the sandbox's teacher")

    @field_validator("prompts", "out", "template", mode="before")
    @classmethod
    def _path_as_text(cls, value: Any) -> Any:
        return os.fspath(value) if isinstance(value, os.PathLike) else value

    @field_validator("principle", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _parts_fit(self) -> GenerateSettings:
        if self.prompts == SANDBOX and self.response_column:
            raise ValueError("response_column needs prompts: the sandbox's problems have no responses")
        if self.prompts == SANDBOX and (self.target, self.reviser) != (SANDBOX, SANDBOX):
            raise ValueError(
                "prompts are missing. Name a file, a folder or a dataset id; the sandbox's problems "
                "are only for the sandbox's models"
            )
        if self.target is None and self.response_column is None:
            raise ValueError("target is missing: MODEL@URL of the model to improve (or response_column)")
        if self.reviser is None:
            raise ValueError("reviser is missing: MODEL@URL of the stronger model that revises")
        return self

    @property
    def in_sandbox(self) -> bool:
        """Whether every model is the built-in one."""
        return self.reviser == SANDBOX and self.target in (SANDBOX, None)

    @property
    def run_dir(self) -> Path:
        """The run folder as a path."""
        return Path(self.out)


FREE = frozenset(
    {
        "out", "on_bad_row", "samples", "limit", "target_pairs", "max_attempts", "max_change", "min_char_similarity",
        "min_jaccard", "max_edits", "allow_talk", "max_length_ratio", "concurrency", "rpm", "tpm", "timeout_s",
        "max_retries", "breaker_s", "max_cost", "prices", "target_key_env", "reviser_key_env",
    }
)  # fmt: skip
"""Settings that may change between two invocations on one run. All others are refused: they would mix data."""

IDENTITY = tuple(name for name in GenerateSettings.model_fields if name not in FREE)


def identity_of(settings: GenerateSettings) -> dict[str, object]:
    """The settings that decide what is asked, as JSON values; stored in the ledger and compared on resume."""
    values = settings.model_dump(mode="json")
    return {name: values[name] for name in IDENTITY}


def resolve(values: dict[str, Any], config: Path | None = None) -> GenerateSettings:
    """Settings from explicit values over a YAML file over defaults; neither prompts nor models means the sandbox.

    Raises UsageError naming the option and what was wrong with it.
    """
    merged = {**(_read_config(config) if config else {}), **values}
    if not any(merged.get(name) for name in ("prompts", "target", "reviser", "response_column")):
        merged |= {"prompts": SANDBOX, "target": SANDBOX, "reviser": SANDBOX}
        merged.setdefault("max_tokens", 160)
    try:
        return GenerateSettings(**merged)
    except ValidationError as error:
        raise UsageError("\n".join(_sentence(problem) for problem in error.errors())) from error


def _read_config(path: Path) -> dict[str, Any]:
    import yaml

    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"cannot read the config file {str(path)!r}: {error}") from error
    if values is None:
        return {}
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise UsageError(f"the config file {str(path)!r} must hold one mapping of option: value")
    return {key.replace("-", "_"): value for key, value in values.items()}


def _sentence(problem: Any) -> str:
    name = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return f"unknown option {name!r}: see clair generate --help for those there are"
    message = str(problem["msg"]).removeprefix("Value error, ")
    if not name:
        return message
    return f"--{name.replace('_', '-')} {problem['input']!r}: {message}"
