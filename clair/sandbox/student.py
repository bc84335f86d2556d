"""The student: a half-million-parameter language model in Hugging Face format, sampled in batches.

    student = Student.load()                       # the one shipped in data/; or any Hugging Face folder
    student.generate([Sample(messages, temperature=0.0), Sample(messages, seed=7)])

Each sample draws from a random stream of its own, so its text depends on its seed, not on its neighbors in the batch
(up to the rounding of float sums).
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import torch

from clair.errors import UsageError
from clair.records import Message

MAX_BATCH = 128
TINY_PARAMETERS = 10_000_000

_ONE_AT_A_TIME = threading.RLock()
"""Two students in two threads take turns: the number of torch's threads and the lazy imports of transformers belong to
the whole process."""


@dataclass(frozen=True)
class Sample:
    """One answer wanted. `temperature` 0 is greedy; `seed` None draws anew each time; `max_tokens` None: to the end."""

    messages: Sequence[Message]
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int | str | None = None
    max_tokens: int | None = None


class Generated(NamedTuple):
    """The text, why it ends ("stop" or "length"), and token counts as an API reports them."""

    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int


@contextlib.contextmanager
def _threads_for(model: Any) -> Iterator[None]:
    """One thread for a tiny model: its operations are too short to share, and on busy cores waiting for the other
    thread at the end of each one was measured to take six times the work."""
    before = torch.get_num_threads()
    if model.num_parameters() < TINY_PARAMETERS:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Without the progress bar of loading weights, which lasts milliseconds here."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


class PromptTooLong(ValueError):
    """The prompt leaves no room for an answer."""


def student_folder() -> Path:
    """Where the shipped student is: beside the package in an installed wheel, in `data/` of a checkout."""
    package = Path(__file__).resolve().parent.parent
    folders = [package / "_data" / "sandbox-student", package.parent / "data" / "sandbox-student"]
    for folder in folders:
        if (folder / "model.safetensors").is_file():
            return folder
    raise UsageError(
        f"the sandbox's student is missing: expected it in {folders[0]} or {folders[1]}; "
        "`python -m clair.sandbox.pretrain -o FOLDER` makes one"
    )


class Student:
    """A causal language model with its tokenizer, ready to answer chats."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.context = int(model.config.max_position_embeddings)

    @classmethod
    def load(cls, path: str | Path | None = None) -> Student:
        """The shipped student, or the model at `path` (a folder or a hub id). UsageError if it cannot be read."""
        with _ONE_AT_A_TIME:
            from transformers import AutoModelForCausalLM, AutoTokenizer

        source = student_folder() if path is None else path
        try:
            with _ONE_AT_A_TIME, _quietly():
                tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
                model = AutoModelForCausalLM.from_pretrained(
                    source, trust_remote_code=False, use_safetensors=True, dtype=torch.float32
                )
        except (OSError, ValueError) as error:
            raise UsageError(f"cannot load a model from {str(source)!r}: {error}") from error
        tokenizer.padding_side = "left"
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token
        return cls(model.eval(), tokenizer)

    def encode(self, messages: Sequence[Message]) -> list[int]:
        """The prompt's tokens, up to where the answer begins. PromptTooLong if no room is left."""
        text = self.tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True)
        tokens: list[int] = self.tokenizer.encode(text, add_special_tokens=False)
        if len(tokens) >= self.context:
            raise PromptTooLong(
                f"the prompt has {len(tokens)} tokens, and the model's context is {self.context} with the answer"
            )
        return tokens

    def generate(self, samples: Sequence[Sample]) -> list[Generated]:
        """Answers in the order of `samples`. Similar lengths share a batch of at most `MAX_BATCH`."""
        prompts = [self.encode(sample.messages) for sample in samples]
        order = sorted(range(len(samples)), key=lambda index: len(prompts[index]))
        answers: dict[int, Generated] = {}
        with _ONE_AT_A_TIME, _threads_for(self.model):
            for at in range(0, len(order), MAX_BATCH):
                batch = order[at : at + MAX_BATCH]
                made = self._decode([prompts[i] for i in batch], [samples[i] for i in batch])
                answers.update(zip(batch, made, strict=True))
        return [answers[index] for index in range(len(samples))]

    @torch.inference_mode()
    def _decode(self, prompts: list[list[int]], samples: list[Sample]) -> list[Generated]:
        """One batch, token by token with a KV cache; rows that are done leave the batch when half of it is."""
        chooser = _Chooser(samples)
        limits = [
            min(sample.max_tokens or self.context, self.context - len(prompt))
            for sample, prompt in zip(samples, prompts, strict=True)
        ]
        written: list[list[int]] = [[] for _ in samples]
        alive = list(range(len(samples)))
        step = self._prefill(prompts)
        while True:
            tokens = chooser.choose(step.logits, alive)
            for row, token in zip(alive, tokens, strict=True):
                if not self._is_done(written[row], limits[row]):
                    written[row].append(token)
            running = [i for i, row in enumerate(alive) if not self._is_done(written[row], limits[row])]
            if not running:
                break
            if len(running) <= len(alive) // 2:
                step = step.keep(running)
                tokens = [tokens[i] for i in running]
                alive = [alive[i] for i in running]
            step = self._advance(step, tokens)
        return [self._finished(*item) for item in zip(prompts, written, strict=True)]

    def _is_done(self, tokens: list[int], limit: int) -> bool:
        return len(tokens) >= limit or (bool(tokens) and tokens[-1] == self.tokenizer.eos_token_id)

    def _finished(self, prompt: list[int], tokens: list[int]) -> Generated:
        ended = bool(tokens) and tokens[-1] == self.tokenizer.eos_token_id
        text = self.tokenizer.decode(tokens[:-1] if ended else tokens, skip_special_tokens=True)
        return Generated(text, "stop" if ended else "length", len(prompt), len(tokens))

    def _prefill(self, prompts: list[list[int]]) -> _Step:
        width = max(map(len, prompts))
        pad = self.tokenizer.pad_token_id
        inputs = torch.tensor([[pad] * (width - len(prompt)) + prompt for prompt in prompts])
        mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
        positions = (mask.cumsum(1) - 1).clamp_min(0)
        made = self.model(
            input_ids=inputs, attention_mask=mask, position_ids=positions, use_cache=True, logits_to_keep=1
        )
        return _Step(made.logits[:, -1], made.past_key_values, mask, positions[:, -1:])

    def _advance(self, step: _Step, tokens: list[int]) -> _Step:
        mask = torch.cat([step.mask, step.mask.new_ones(len(tokens), 1)], dim=1)
        positions = step.positions + 1
        made = self.model(
            input_ids=torch.tensor(tokens)[:, None],
            attention_mask=mask,
            position_ids=positions,
            past_key_values=step.cache,
            use_cache=True,
        )
        return _Step(made.logits[:, -1], made.past_key_values, mask, positions)


class _Step(NamedTuple):
    """Where a batch stands: next-token logits (rows, vocabulary), the cache, its mask, and each row's position."""

    logits: torch.Tensor
    cache: Any
    mask: torch.Tensor
    positions: torch.Tensor

    def keep(self, rows: list[int]) -> _Step:
        index = torch.tensor(rows)
        self.cache.batch_select_indices(index)
        return _Step(self.logits[index], self.cache, self.mask[index], self.positions[index])


class _Chooser:
    """Picks the next token of each row: the likeliest, or by inverse transform of one uniform number per row."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self.samples = samples
        self.streams = [Random() if s.seed is None else Random(f"{s.seed}") for s in samples]  # noqa: S311

    def choose(self, logits: torch.Tensor, rows: list[int]) -> list[int]:
        """One token per row of `logits` (len(rows), vocabulary)."""
        greedy = logits.argmax(dim=1)
        samples = [self.samples[row] for row in rows]
        if all(sample.temperature == 0 for sample in samples):
            return [int(token) for token in greedy]
        drawn = self._drawn(logits.double(), rows, samples)
        picked = torch.tensor([sample.temperature > 0 for sample in samples])
        return [int(token) for token in torch.where(picked, drawn, greedy)]

    def _drawn(self, logits: torch.Tensor, rows: list[int], samples: list[Sample]) -> torch.Tensor:
        temperature = torch.tensor([[sample.temperature or 1.0] for sample in samples], dtype=torch.float64)
        uniform = torch.tensor([[self.streams[row].random()] for row in rows], dtype=torch.float64)
        probabilities = (logits / temperature).softmax(dim=1)
        if any(sample.top_p < 1 for sample in samples):
            nucleus = torch.tensor([[sample.top_p] for sample in samples], dtype=torch.float64)
            probabilities = torch.where(_in_nucleus(probabilities, nucleus), probabilities, 0.0)
        reached = probabilities.cumsum(dim=1)
        place = torch.searchsorted(reached, uniform * reached[:, -1:], right=True)
        return place[:, 0].clamp_max(logits.shape[1] - 1)


def _in_nucleus(probabilities: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """Which tokens (rows, vocabulary) are among the likeliest that together have at least `share` (rows, 1)."""
    ranked, tokens = probabilities.sort(dim=1, descending=True)
    inside = (ranked.cumsum(dim=1) - ranked < share) | (share >= 1)
    return torch.zeros_like(inside).scatter(1, tokens, inside)
