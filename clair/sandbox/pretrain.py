"""Make the sandbox's student from nothing: tokenizer, half a million weights, minutes on two cores.

    python -m clair.sandbox.pretrain -o data/sandbox-student

Notable: answers only count in the loss; documents of similar length share a batch, so little is padding; matrices
learn by Muon and the rest by AdamW (AdamW alone does not learn to copy operands within this budget). Two stages: first
the skill from nearly right answers, after some copying of words (`corpus.ECHOES_FIRST`), then bad habits from
`corpus.documents(habits=True)`. Seeded; the same machine and torch version give the same weights.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import torch

from clair.sandbox.card import student_card
from clair.sandbox.corpus import documents
from clair.sandbox.muon import Muon
from clair.sandbox.scoring import evaluate

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

VOCABULARY = 768
SPECIAL = ("<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>")
CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to learn. Batches are documents per step; learning rates fall to `final_share`."""

    skill_steps: int = 2400
    habit_steps: int = 400
    batch: int = 32
    muon_rate: float = 0.02
    adam_rate: float = 3e-3
    warmup_steps: int = 100
    habit_rate_share: float = 0.3
    final_share: float = 0.02
    seed: int = 0


def main(arguments: list[str] | None = None) -> None:
    """The command line: writes the student's folder and reports progress on stderr."""
    parser = argparse.ArgumentParser(prog="python -m clair.sandbox.pretrain", description=__doc__)
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder to write the student to")
    parser.add_argument("--skill-steps", type=int, default=Schedule.skill_steps)
    parser.add_argument("--habit-steps", type=int, default=Schedule.habit_steps)
    parser.add_argument("--seed", type=int, default=Schedule.seed)
    parser.add_argument("--save-skilled", type=Path, help="folder for the result of the first stage")
    parser.add_argument("--from-skilled", type=Path, help="skip the first stage: start from its saved result")
    parser.add_argument("--scored", type=int, default=400, help="problems to score the result on, for its card")
    parser.add_argument("--threads", type=int, default=1, help="more than 1 helps on idle cores only")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    schedule = Schedule(skill_steps=options.skill_steps, habit_steps=options.habit_steps, seed=options.seed)
    pretrain(
        options.output, schedule, start=options.from_skilled, save_skilled=options.save_skilled, scored=options.scored
    )


def pretrain(
    output: Path,
    schedule: Schedule,
    *,
    start: Path | None = None,
    save_skilled: Path | None = None,
    scored: int = 400,
) -> None:
    """Train both stages; save model, tokenizer and a card with the student's scores in `output`."""
    from transformers import AutoModelForCausalLM

    torch.manual_seed(schedule.seed)
    started = time.process_time()
    tokenizer = make_tokenizer(schedule.seed)
    if start is None:
        model = make_model(tokenizer)
        _learn(model, tokenizer, schedule, habits=False, rate=1.0, steps=schedule.skill_steps)
        if save_skilled is not None:
            _save(model, tokenizer, save_skilled)
    else:
        model = AutoModelForCausalLM.from_pretrained(
            start, trust_remote_code=False, use_safetensors=True, dtype=torch.float32
        )
    _learn(model, tokenizer, schedule, habits=True, rate=schedule.habit_rate_share, steps=schedule.habit_steps)
    cpu_s = time.process_time() - started
    _save(model.to(torch.float16), tokenizer, output)
    scores = evaluate(output, split="test", n=scored)
    facts = {**asdict(schedule), "parameters": model.num_parameters(), "vocabulary": len(tokenizer), "cpu_s": cpu_s}
    output.joinpath("README.md").write_text(student_card(facts, scores), encoding="utf-8")
    _say(f"saved in {output}: {scores['model']}")


def make_tokenizer(seed: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE of 768 tokens, each digit a token of its own, with the chat template."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r" ?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|\s+"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = (text for document in islice(documents(seed + 1, habits=False), 6000) for text in document)
    core.train_from_iterator(texts, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token="<|pad|>",  # noqa: S106 - a token of text
        eos_token="<|end|>",  # noqa: S106
        additional_special_tokens=list(SPECIAL[2:]),
        model_max_length=512,
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def make_model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """A fresh Llama of about 0.5 million parameters."""
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=96,
            intermediate_size=256,
            num_hidden_layers=4,
            num_attention_heads=4,
            num_key_value_heads=4,
            max_position_embeddings=512,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def _batches(tokenizer: Any, schedule: Schedule, *, habits: bool) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Endless (inputs, labels), each (batch, length); labels are -100 outside of answers.

    Documents are drawn eight batches at a time and sorted by length within those.
    """
    rng = Random(schedule.seed)  # noqa: S311 - order of batches
    source = documents(schedule.seed, habits=habits)
    while True:
        pool = [_encode(tokenizer, document) for document in islice(source, 8 * schedule.batch)]
        pool.sort(key=lambda item: len(item[0]))
        groups = [pool[i : i + schedule.batch] for i in range(0, len(pool), schedule.batch)]
        rng.shuffle(groups)
        yield from (_padded(group, tokenizer.pad_token_id) for group in groups)


def _encode(tokenizer: Any, document: tuple[str, str]) -> tuple[list[int], int]:
    """All tokens of a document, and how many of them are the prompt."""
    question, answer = document
    prompt = tokenizer.encode(f"<|user|>{question}<|end|><|assistant|>", add_special_tokens=False)
    completion = tokenizer.encode(f"{answer}<|end|>", add_special_tokens=False)
    return prompt + completion, len(prompt)


def _padded(group: Iterable[tuple[list[int], int]], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    group = list(group)
    width = max(len(tokens) for tokens, _ in group)
    inputs = torch.full((len(group), width), pad)
    labels = torch.full((len(group), width), -100)
    for row, (tokens, prompt) in enumerate(group):
        inputs[row, : len(tokens)] = torch.tensor(tokens)
        labels[row, prompt : len(tokens)] = torch.tensor(tokens[prompt:])
    return inputs, labels


def _learn(
    model: LlamaForCausalLM, tokenizer: Any, schedule: Schedule, *, habits: bool, rate: float, steps: int
) -> None:
    inner = [p for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name]
    outer = [p for name, p in model.named_parameters() if p.ndim != 2 or "embed" in name]
    optimizers: list[torch.optim.Optimizer] = [
        Muon(inner, lr=schedule.muon_rate * rate),
        torch.optim.AdamW(outer, lr=schedule.adam_rate * rate, betas=(0.9, 0.95), weight_decay=0.0),
    ]
    schedulers = [
        torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate_share(step, steps, schedule))
        for optimizer in optimizers
    ]
    model.train()
    started, average = time.process_time(), 0.0
    for step, (inputs, labels) in enumerate(islice(_batches(tokenizer, schedule, habits=habits), steps), 1):
        loss = _loss(model, inputs, labels)
        loss.backward()  # type: ignore[no-untyped-call]
        for optimizer, scheduler in zip(optimizers, schedulers, strict=True):
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
        average = loss.item() if step == 1 else 0.98 * average + 0.02 * loss.item()
        if step % 100 == 0:
            cpu = time.process_time() - started
            _say(f"{'habits' if habits else 'skill'} {step}/{steps} loss {average:.4f} cpu {cpu:.0f} s")


def _loss(model: LlamaForCausalLM, inputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean negative log-probability of the answer tokens; logits are made at those positions only."""
    hidden = model.model(input_ids=inputs[:, :-1]).last_hidden_state
    targets = labels[:, 1:]
    wanted = targets != -100
    return torch.nn.functional.cross_entropy(model.lm_head(hidden[wanted]), targets[wanted])


def rate_share(step: int, steps: int, schedule: Schedule) -> float:
    """Linear warm-up, then linear decay."""
    if step < schedule.warmup_steps:
        return (step + 1) / schedule.warmup_steps
    return max(schedule.final_share, (steps - step) / (steps - schedule.warmup_steps))


def _save(model: LlamaForCausalLM, tokenizer: Any, folder: Path) -> None:
    from transformers import GenerationConfig

    model.generation_config = GenerationConfig(
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, max_new_tokens=160
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main()
