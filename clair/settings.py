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

RecipeName = Literal[
    "clair",
    "judge_on_policy",
    "judge_off_policy",
    "stronger_preferred",
    "worsen",
    "constitutional",
    "best_of_n",
]
ProtocolSetting = Literal["auto", "edits", "rewrite"]

SANDBOX = "sandbox"
SANDBOX_CANDIDATES = ("careful", "hasty")
DEFAULT_OUT = "clair-run"

REVISING = frozenset({"clair", "worsen", "constitutional"})
"""Recipes that edit an answer and promise minimal contrast. The others compare answers: there the gate is open."""
JUDGING = frozenset({"judge_on_policy", "judge_off_policy", "best_of_n"})


class GenerateSettings(BaseModel):
    """Settings of `clair generate`. Units are in the names or the descriptions; None means "not set, not sent"."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    prompts: str = Field(SANDBOX, description="file, folder or Hugging Face dataset id[:config][/split]")
    out: str = Field(DEFAULT_OUT, description="run folder; the same folder again resumes")
    target: str | None = Field(None, description="model to improve: MODEL, MODEL@URL, URL or sandbox")
    reviser: str | None = Field(None, description="stronger model that revises: same forms as the target")
    judge: str | None = Field(None, description="model that judges: same forms (the reviser)")
    target_key_env: str = Field("OPENAI_API_KEY", description="environment variable with the target's key")
    reviser_key_env: str = Field("OPENAI_API_KEY", description="environment variable with the reviser's key")
    judge_key_env: str = Field("OPENAI_API_KEY", description="environment variable with the judge's key, if --judge")

    prompt_column: str | None = Field(None, description="column with the prompt (found by convention)")
    response_column: str | None = Field(None, description="column with existing responses: skip sampling")
    candidate_columns: tuple[str, ...] = Field(
        (), description="columns with given answers to compare, A,B (judge_off_policy; more for best_of_n)"
    )
    stronger_column: str | None = Field(None, description="column with a stronger answer (stronger_preferred)")
    on_bad_row: Literal["stop", "reject"] = Field("stop", description="what an unreadable input row does")
    samples: int = Field(1, ge=1, description="responses per prompt")
    limit: int | None = Field(None, ge=1, description="read at most this many prompts")
    near_duplicates: float | None = Field(
        None,
        gt=0,
        le=1,
        description="drop prompts this similar to an earlier one (Jaccard of 5-word runs, say 0.7)",
    )
    decontaminate: tuple[str, ...] = Field(
        (), description="drop prompts that share 13 words in a row with this evaluation set (repeatable)"
    )
    target_pairs: int | None = Field(None, ge=1, description="stop after this many pairs")

    recipe: RecipeName = Field("clair", description="how pairs are made")
    protocol: ProtocolSetting = Field("auto", description="how the reviser answers")
    template: str | None = Field(None, description="own prompt instead of a built-in one (see clair templates)")
    judge_template: str | None = Field(None, description="own prompt for the judge")
    principle: tuple[str, ...] = Field((), description="what better means here (repeatable)")
    principles: str | None = Field(None, description="file of principles to draw from, one a line (constitutional)")
    rounds: int = Field(1, ge=1, description="critiques and revisions, one after the other (constitutional)")
    candidates: int = Field(4, ge=2, description="samples per prompt to choose from (best_of_n)")
    checker: str | None = Field(
        None, description="module:function that scores (messages, answer, metadata) in place of a judge (best_of_n)"
    )
    verify: bool = Field(False, description="keep a revision only if the judge prefers it in both orders")
    chain: bool = Field(False, description="add one pair per edit, from step to step (arXiv 2512.23693)")
    max_attempts: int = Field(3, ge=1, description="questions for one revision or verdict before the row is a reject")

    max_change: float = Field(
        0.5,
        gt=0,
        le=1,
        description="largest allowed share of words changed; recipes that only compare have no gate "
        "unless a bound is given",
    )
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
    judge_temperature: float | None = Field(None, ge=0, description="judge's temperature")
    judge_max_tokens: int | None = Field(2048, ge=1, description="judge's longest reply, tokens")
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

    engine: Literal["here", "ray", "batch"] = Field(
        "here", description="where it runs: this process, a Ray cluster, or the provider's Batch API"
    )
    address: str | None = Field(
        None, description="Ray cluster: HOST:PORT, or auto for the one on this machine ($RAY_ADDRESS, or a new one)"
    )
    workers: int | None = Field(None, ge=1, description="worker processes on Ray (one for each machine)")
    detach: bool = Field(False, description="submit the batches and return; the same command collects (batch)")
    batch_parts: tuple[str, ...] = Field(
        (), description="who is asked by batch, of target,reviser,judge (reviser and judge; others are asked online)"
    )
    batch_requests: int = Field(50_000, ge=1, le=50_000, description="requests in one batch at most")
    batch_tokens: int | None = Field(
        None, ge=1, description="prompt tokens enqueued at a time and model at most (found out, if not given)"
    )
    batch_poll_s: float = Field(30, gt=0, description="seconds between two looks at a batch")
    batch_prices: dict[str, tuple[float, float]] = Field(
        default_factory=dict, description="as prices, by batch (half of them)"
    )

    @model_validator(mode="before")
    @classmethod
    def _open_gate(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("recipe", "clair") not in REVISING:
            return {"max_change": 1.0, **values}
        return values

    @field_validator("candidate_columns", "batch_parts", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        texts = (value,) if isinstance(value, str) else value
        return tuple(name.strip() for text in texts for name in str(text).split(",") if name.strip())

    @field_validator("out")
    @classmethod
    def _on_a_file_system(cls, value: str) -> str:
        if "://" in value:
            raise ValueError(
                "a run folder is on a file system, for its ledger is a database there. Take a folder, and copy the "
                "finished dataset (or clair publish)"
            )
        return value

    @field_validator("prompts", "out", "template", "judge_template", "principles", mode="before")
    @classmethod
    def _path_as_text(cls, value: Any) -> Any:
        return os.fspath(value) if isinstance(value, os.PathLike) else value

    @field_validator("principle", "decontaminate", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _recipe_fits(self) -> GenerateSettings:
        for name, recipes in ONLY_FOR.items():
            if getattr(self, name) != type(self).model_fields[name].default and self.recipe not in recipes:
                raise ValueError(
                    f"{name} has no meaning in the recipe {self.recipe}: it is for {', '.join(sorted(recipes))}"
                )
        if self.recipe == "judge_off_policy" and len(self.candidate_columns) != 2:
            raise ValueError(
                "judge_off_policy compares two given answers: candidate_columns A,B (for more there is best_of_n)"
            )
        if len(self.candidate_columns) == 1 or len(set(self.candidate_columns)) != len(self.candidate_columns):
            raise ValueError("candidate_columns must be two or more different columns")
        if self.checker and (self.judge or self.judge_template):
            raise ValueError("checker and judge exclude each other: the checker takes the judge's place")
        return self

    @model_validator(mode="after")
    def _parts_fit(self) -> GenerateSettings:
        if self.prompts == SANDBOX:
            self._sandbox_fits()
        if "target" in self.asked and self.target is None:
            raise ValueError("target is missing: MODEL@URL of the model to improve (or response_column)")
        if "reviser" in self.asked and self.reviser is None:
            raise ValueError("reviser is missing: MODEL@URL of the stronger model that revises")
        if "judge" in self.asked and self.judge_spec is None:
            raise ValueError("judge is missing: MODEL@URL of the model that judges (or reviser)")
        return self

    @model_validator(mode="after")
    def _engine_fits(self) -> GenerateSettings:
        for name, engine in ENGINE_OF.items():
            if getattr(self, name) != type(self).model_fields[name].get_default(call_default_factory=True) and (
                self.engine != engine
            ):
                raise ValueError(f"{name} has no meaning with --engine {self.engine}: it is for --engine {engine}")
        if self.workers and self.concurrency and self.workers > self.concurrency:
            raise ValueError(
                f"concurrency {self.concurrency} is for all workers together and cannot be shared by {self.workers}: "
                "raise it, or take fewer workers"
            )
        return self

    @model_validator(mode="after")
    def _batch_fits(self) -> GenerateSettings:
        unknown = set(self.batch_parts) - self.asked
        if unknown:
            raise ValueError(
                f"batch_parts names {', '.join(sorted(unknown))}: this run asks {', '.join(sorted(self.asked))} only"
            )
        named = {"target": self.target, "reviser": self.reviser, "judge": self.judge_spec}
        for part in sorted(self.by_batch):
            if named[part] == SANDBOX:
                raise ValueError(
                    f"the sandbox has no Batch API: name a {part} elsewhere, as MODEL@URL, or leave out --engine batch"
                )
        return self

    def _sandbox_fits(self) -> None:
        if self.response_column or self.stronger_column:
            raise ValueError("response_column needs prompts: the sandbox's problems have no responses")
        if self.candidate_columns and self.candidate_columns != SANDBOX_CANDIDATES:
            raise ValueError(f"the sandbox's problems have the candidate_columns {','.join(SANDBOX_CANDIDATES)} only")
        if {self.target, self.reviser, self.judge_spec} != {SANDBOX}:
            raise ValueError(
                "prompts are missing. Name a file, a folder or a dataset id; the sandbox's problems "
                "are only for the sandbox's models"
            )

    @property
    def asked(self) -> frozenset[str]:
        """The parts that are asked: of "target", "reviser" and "judge"."""
        given = self.response_column or self.candidate_columns
        asked = set() if given else {"target"}
        if self.recipe in REVISING or (self.recipe == "stronger_preferred" and not self.stronger_column):
            asked.add("reviser")
        if self.verify or (self.recipe in JUDGING and not self.checker):
            asked.add("judge")
        return frozenset(asked)

    @property
    def by_batch(self) -> frozenset[str]:
        """The parts that are asked by batch: those named, or reviser and judge, or whoever is asked at all."""
        if self.engine != "batch":
            return frozenset()
        return frozenset(self.batch_parts) or (self.asked - {"target"}) or self.asked

    @property
    def answer_columns(self) -> tuple[str, ...]:
        """The columns of further given answers."""
        return self.candidate_columns or ((self.stronger_column,) if self.stronger_column else ())

    @property
    def judge_spec(self) -> str | None:
        """The model that judges: the reviser, if no other is named."""
        return self.judge or self.reviser

    @property
    def in_sandbox(self) -> bool:
        """Whether every model is the built-in one."""
        named = {self.target, self.reviser, self.judge} - {None}
        return named == {SANDBOX}

    @property
    def run_dir(self) -> Path:
        """The run folder as a path."""
        return Path(self.out)


FREE = frozenset(
    {
        "out", "on_bad_row", "samples", "limit", "target_pairs", "near_duplicates", "decontaminate",
        "max_attempts", "max_change", "min_char_similarity",
        "min_jaccard", "max_edits", "allow_talk", "max_length_ratio", "concurrency", "rpm", "tpm", "timeout_s",
        "max_retries", "breaker_s", "max_cost", "prices", "target_key_env", "reviser_key_env",
        "judge_key_env", "chain", "principles", "engine", "address", "workers", "detach",
        "batch_parts", "batch_requests", "batch_tokens", "batch_poll_s", "batch_prices",
    }
)  # fmt: skip
"""Settings that may change between two invocations on one run. All others are refused: they would mix data. (Of
`principles` it is the content that may not change.)"""

IDENTITY = tuple(name for name in GenerateSettings.model_fields if name not in FREE)

LATER = frozenset(
    {
        "judge", "candidate_columns", "stronger_column", "judge_template", "rounds", "candidates",
        "checker", "verify", "judge_temperature", "judge_max_tokens",
    }
)  # fmt: skip
"""Settings that the first ledgers do not know. At their defaults they are left out, so that those still open."""

ENGINE_OF = {
    "address": "ray", "workers": "ray", "detach": "batch", "batch_parts": "batch", "batch_requests": "batch",
    "batch_tokens": "batch", "batch_poll_s": "batch", "batch_prices": "batch",
}  # fmt: skip
"""Settings that only one engine has a use for."""

PLACE = frozenset({"engine", *ENGINE_OF})
"""Settings that say where a run takes place: the dataset is the same everywhere, and does not name them."""

ONLY_FOR: dict[str, frozenset[str]] = {
    "response_column": REVISING | {"stronger_preferred"},
    "candidate_columns": frozenset({"judge_off_policy", "best_of_n"}),
    "stronger_column": frozenset({"stronger_preferred"}),
    "principles": frozenset({"constitutional"}),
    "rounds": frozenset({"constitutional"}),
    "candidates": frozenset({"best_of_n"}),
    "checker": frozenset({"best_of_n"}),
    "verify": REVISING,
    "chain": REVISING,
}
"""Settings that only some recipes have a use for."""


def identity_of(settings: GenerateSettings) -> dict[str, object]:
    """The settings that decide what is asked, as JSON values; stored in the ledger and compared on resume."""
    values = settings.model_dump(mode="json")
    defaults = GenerateSettings.model_fields
    return {
        name: values[name]
        for name in IDENTITY
        if name not in LATER or getattr(settings, name) != defaults[name].default
    }


def resolve(values: dict[str, Any], config: Path | None = None) -> GenerateSettings:
    """Settings from explicit values over a YAML file over defaults; neither prompts nor models means the sandbox.

    Raises UsageError naming the option and what was wrong with it.
    """
    merged = {**(read_config(config) if config else {}), **values}
    if not any(merged.get(name) for name in ("prompts", "target", "reviser", "judge", "response_column")):
        merged |= {"prompts": SANDBOX, "target": SANDBOX, "reviser": SANDBOX}
        merged.setdefault("max_tokens", 160)
        if merged.get("recipe") == "judge_off_policy":
            merged.setdefault("candidate_columns", SANDBOX_CANDIDATES)
    try:
        return GenerateSettings(**merged)
    except ValidationError as error:
        raise UsageError("\n".join(sentence(problem) for problem in error.errors())) from error


def read_config(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file, option names with underscores. Raises UsageError."""
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


def sentence(problem: Any, *, command: str = "generate") -> str:
    """One of pydantic's problems, in the words of the command line."""
    name = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return f"unknown option {name!r}: see clair {command} --help for those there are"
    message = str(problem["msg"]).removeprefix("Value error, ")
    if not name:
        return message
    return f"--{name.replace('_', '-')} {problem['input']!r}: {message}"
