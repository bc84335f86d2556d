"""Log-probs of completion tokens, and the loss and its gradient, without ever holding the logits of a row.

    prepare(model)                              once: the model's forward learns about rows
    model(row=row)["logps"]                     log-probs of the listed tokens, [t], float32, no gradient
    model(row=row, pair_loss=loss)["loss"]      sum of the pair losses times `scale`, where backward starts
                                  ["sums"]      log-prob sums [2 n]: chosen, rejected, chosen, ...

The head works through the pairs of a row in groups small enough for their logits. As the loss of a pair depends on
nothing but its own log-probs, its gradient is known while its logits still exist: they are turned into the gradient
in place, and no group is computed twice (a pair too long for one group is, in pieces). All of it happens inside the
model's forward, where autocast has not touched the hidden states, and inside the head's own, where FSDP has its
weight gathered.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import MethodType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from clair.errors import ClairError
from clair.train import vocabulary
from clair.train.attention import Backend, plan
from clair.train.layout import Row
from clair.train.objectives import PairLoss


@dataclass(frozen=True)
class Head:
    """How a model turns hidden states into logits: `cap * tanh(scale * (h W^T) / cap)`, without the cap if None.

    `max_logits` bounds how many logits exist at once.
    """

    scale: float = 1.0
    cap: float | None = None
    max_logits: int = 1 << 25

    def logits(self, hidden: Tensor, weight: Tensor, scratch: Scratch) -> Tensor:
        """float32 logits [t, vocabulary] in `scratch` from hidden states [t, width] and the head's weight."""
        if hidden.is_cuda and hidden.dtype != torch.float32:
            logits = torch.mm(hidden, weight.t(), out_dtype=torch.float32)
        else:
            logits = scratch.matrix(len(hidden), len(weight), hidden.device)
            torch.mm(hidden.float(), weight.float().t(), out=logits)
        if self.scale != 1.0:
            logits.mul_(self.scale)
        if self.cap is not None:
            logits.div_(self.cap).tanh_().mul_(self.cap)
        return logits

    def logits_gradient_(self, gradient: Tensor, logits: Tensor) -> Tensor:
        """In place, from the gradient of the returned logits to that of h W^T."""
        if self.cap is not None:
            gradient.mul_(1 - (logits / self.cap) ** 2)
        return gradient.mul_(self.scale) if self.scale != 1.0 else gradient


class Scratch:
    """Memory for one group's logits, kept from row to row.

    Fresh pages cost a CPU more than the softmax that fills them; on a GPU the caching allocator does this by itself.
    """

    def __init__(self) -> None:
        self._held: Tensor | None = None

    def matrix(self, rows: int, columns: int, device: torch.device) -> Tensor:
        """A float32 matrix with any content; the one given before is gone."""
        if device.type != "cpu":
            return torch.empty(rows, columns, device=device)
        if self._held is None or self._held.numel() < rows * columns:
            self._held = None
            self._held = torch.empty(rows * columns)
        return self._held[: rows * columns].view(rows, columns)


class Scored(NamedTuple):
    """The listed tokens of a row as the loss needs them; see `layout.Row` for shapes.

    The loss is multiplied by `scale`, a scalar. The gradient of the head's weight is added to `total` if that is
    given, and handed to autograd otherwise.
    """

    targets: Tensor
    branches: Tensor
    weights: Tensor
    reference: Tensor
    bounds: tuple[int, ...]
    pair_loss: PairLoss
    head: Head
    scratch: Scratch
    scale: Tensor
    total: Tensor | None


@torch.no_grad()
def token_logps(hidden: Tensor, weight: Tensor, targets: Tensor, head: Head, scratch: Scratch | None = None) -> Tensor:
    """float32 log-probs [t] of `targets` after hidden states [t, width]."""
    step = max(1, head.max_logits // weight.shape[0])
    scratch = scratch or Scratch()
    parts = [
        _pick(head.logits(hidden[i : i + step], weight, scratch), targets[i : i + step])
        for i in range(0, len(targets), step)
    ]
    return torch.cat(parts) if parts else hidden.new_zeros(0, dtype=torch.float32)


def _pick(logits: Tensor, targets: Tensor) -> Tensor:
    """Log-probs [t] of `targets`; turns `logits` into log-probs in place."""
    torch.log_softmax(logits, 1, out=logits)
    return logits.gather(1, targets[:, None]).squeeze(1)


def groups(bounds: tuple[int, ...], limit: int) -> Iterator[tuple[int, int, int, int]]:
    """(first pair, last pair + 1, first token, last token + 1): consecutive pairs of at most `limit` tokens.

    A pair longer than that is a group of its own.
    """
    first, start = 0, 0
    for i, end in enumerate(bounds):
        if end - start > limit and i > first:
            yield first, i, start, bounds[i - 1]
            first, start = i, bounds[i - 1]
    if bounds:
        yield first, len(bounds), start, bounds[-1]


class HeadLoss(torch.autograd.Function):
    """Scaled sum of the pair losses from hidden states [t, width] and the head's weight.

    Gradients are made on the way. With `Scored.total` the weight's are already added up when backward runs, so the
    returned loss must be what backward starts from.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, scored: Scored) -> tuple[Tensor, Tensor, Tensor]:
        with torch.autocast(hidden.device.type, enabled=False):
            grad_weight = scored.total
            if ctx.needs_input_grad[1] and grad_weight is None:
                grad_weight = torch.zeros_like(weight, dtype=torch.float32)
            grad_hidden = torch.empty_like(hidden)
            compute_weight = weight.detach().to(hidden.dtype)
            limit = max(1, scored.head.max_logits // weight.shape[0])
            sums = hidden.new_empty(2 * len(scored.bounds), dtype=torch.float32)
            losses = hidden.new_empty(len(scored.bounds), dtype=torch.float32)
            for group in groups(scored.bounds, limit):
                _group(group, limit, hidden, compute_weight, scored, sums, losses, grad_hidden, grad_weight)
        ctx.added = scored.total is not None
        ctx.grad_hidden = grad_hidden
        ctx.grad_weight = None if ctx.added or grad_weight is None else grad_weight.to(weight.dtype)
        ctx.mark_non_differentiable(losses, sums)
        return losses.sum() * scored.scale, losses, sums

    @staticmethod
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        grad_hidden, grad_weight = ctx.grad_hidden, ctx.grad_weight
        ctx.grad_hidden = ctx.grad_weight = None
        if ctx.added:
            torch._assert_async(grad == 1, "the loss was changed after the head's gradient was added")
            return grad_hidden, None, None
        return grad_hidden.mul_(grad), None if grad_weight is None else grad_weight.mul_(grad), None


def _group(
    group: tuple[int, int, int, int],
    limit: int,
    hidden: Tensor,
    weight: Tensor,
    scored: Scored,
    sums: Tensor,
    losses: Tensor,
    grad_hidden: Tensor,
    grad_weight: Tensor | None,
) -> None:
    """Log-probs, losses and gradients of some pairs, written into the last four arguments."""
    first, last, start, end = group
    pieces = [(i, min(i + limit, end)) for i in range(start, end, limit)]
    logps = hidden.new_empty(end - start, dtype=torch.float32)
    head, scratch = scored.head, scored.scratch
    logits = capped = hidden.new_empty(0)
    for a, b in pieces:
        logits = head.logits(hidden[a:b], weight, scratch)
        capped = logits.clone() if head.cap is not None and len(pieces) == 1 else logits
        logps[a - start : b - start] = _pick(logits, scored.targets[a:b])
    pairs = slice(2 * first, 2 * last)
    sums[pairs], losses[first:last], grads = _token_gradients(logps, scored, pairs, slice(start, end))
    for a, b in pieces:
        if len(pieces) > 1:
            logits = head.logits(hidden[a:b], weight, scratch)
            capped = logits.clone() if head.cap is not None else logits
            torch.log_softmax(logits, 1, out=logits)
        gradient = _softmax_gradient_(logits, scored.targets[a:b], grads[a - start : b - start])
        grad_logits = head.logits_gradient_(gradient, capped).to(hidden.dtype)
        torch.mm(grad_logits, weight, out=grad_hidden[a:b])
        if grad_weight is not None:
            _add_product_(grad_weight, grad_logits, hidden[a:b])


def score(row: Row, logps: Tensor, pair_loss: PairLoss) -> tuple[Tensor, Tensor]:
    """(log-prob sums [2 n], losses [n]) from the log-probs [t] of a row with its reference; no gradient."""
    assert row.reference is not None, "the reference log-probs of this row are missing"
    counted = row.branches * row.weights
    losses = pair_loss((counted * logps).sum(1), (counted * row.reference).sum(1), counted.sum(1))
    return (row.branches * logps).sum(1), losses


def _token_gradients(logps: Tensor, scored: Scored, pairs: slice, tokens: slice) -> tuple[Tensor, Tensor, Tensor]:
    """Log-prob sums [2 n], losses [n] and the derivative of their scaled sum by each token's log-prob [t]."""
    members = scored.branches[pairs, tokens]
    counted = members * scored.weights[tokens]
    with torch.enable_grad():
        weighted = (counted * logps).sum(1).requires_grad_()
        reference = (counted * scored.reference[tokens]).sum(1)
        losses = scored.pair_loss(weighted, reference, counted.sum(1))
        (gradient,) = torch.autograd.grad(losses.sum(), weighted)
    return (members * logps).sum(1), losses.detach(), (counted * gradient[:, None]).sum(0) * scored.scale


def _softmax_gradient_(log_probs: Tensor, targets: Tensor, grads: Tensor) -> Tensor:
    """In place: the gradient of sum(grads * logps) by the logits, [t, vocabulary]."""
    gradient = log_probs.exp_().mul_(-grads[:, None])
    return gradient.scatter_add_(1, targets[:, None], grads[:, None])


def _add_product_(total: Tensor, left: Tensor, right: Tensor) -> None:
    if left.dtype == torch.float32:
        total.addmm_(left.t(), right)
    elif left.is_cuda:
        total.add_(torch.mm(left.t(), right, out_dtype=torch.float32))
    else:
        total.addmm_(left.t().float(), right.float())


def prepare(model: Any, *, backend: Backend, max_logits: int | None = None, add_in_place: bool = False) -> None:
    """Teach `model` (a causal language model of transformers, not yet wrapped) to take `row`, `pair_loss`, `scale`.

    Calls without `row` go to the original forward. `add_in_place` is for a process that holds the whole weights and
    shares no gradients, see `vocabulary`. Raises ClairError for a head it cannot compute exactly.
    """
    head, scratch = head_of(model, max_logits), Scratch()
    # Kept on the model, so that a copy of it calls its own.
    model._clair_original = getattr(model, "_clair_original", model.forward)

    def forward(
        self: Any,
        *args: Any,
        row: Row | None = None,
        pair_loss: PairLoss | None = None,
        scale: Tensor | float = 1.0,
        **kwargs: Any,
    ) -> Any:
        if row is None:
            return self._clair_original(*args, **kwargs)
        adds = add_in_place and pair_loss is not None
        with vocabulary.sparse_embedding(self) if adds else contextlib.nullcontext():
            hidden = _hidden_states(self, row, backend)

        def logps(hidden: Tensor, weight: Tensor) -> Tensor:
            with torch.autocast(hidden.device.type, enabled=False):
                return token_logps(hidden, weight.to(hidden.dtype), row.targets, head, scratch)

        def loss(hidden: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            assert pair_loss is not None
            assert row.reference is not None, "the reference log-probs of this row are missing"
            total = vocabulary.total_of(weight) if adds else None
            listed = (row.targets, row.branches, row.weights, row.reference, row.bounds)
            factor = torch.as_tensor(scale, dtype=torch.float32, device=hidden.device)
            scored = Scored(*listed, pair_loss, head, scratch, factor, total)
            found: tuple[Tensor, Tensor, Tensor] = HeadLoss.apply(hidden, weight, scored)  # type: ignore[no-untyped-call]
            return found

        if pair_loss is None:
            return {"logps": self.get_output_embeddings()(hidden, logps)}
        names = ("loss", "losses", "sums")
        return dict(zip(names, self.get_output_embeddings()(hidden, loss), strict=True))

    model.forward = MethodType(forward, model)
    _open(model.get_output_embeddings())


def _open(output: Any) -> None:
    """Let the head run a function of hidden states and its weight in place of its own forward.

    FSDP gathers the weight for a call of the module, and hands on its gradient after one.
    """

    def forward(self: Any, hidden: Tensor, compute: Callable[[Tensor, Tensor], Any] | None = None) -> Any:
        return type(self).forward(self, hidden) if compute is None else compute(hidden, self.weight)

    output.forward = MethodType(forward, output)


def _hidden_states(model: Any, row: Row, backend: Backend) -> Tensor:
    """Hidden states [t, width] that predict the listed tokens, in the dtype of the forward pass."""
    extra: dict[str, Any] = {"attention_mask": row.attention_mask}
    if row.spans is not None:
        extra["tree"] = plan(row.spans, backend, row.input_ids.device)
        # A 4D mask is passed on as it is: no model builds a mask of its own or takes restarting positions for
        # separate documents. The tree attention never looks at it.
        extra["attention_mask"] = torch.ones(1, 1, 1, 1, dtype=torch.bool, device=row.input_ids.device)
    # Llama4ForCausalLM names its decoder otherwise than it says, and is then its own base model.
    decoder = model.model if model.base_model is model else model.base_model
    output = decoder(input_ids=row.input_ids, position_ids=row.position_ids, use_cache=False, return_dict=True, **extra)
    hidden: Tensor = output.last_hidden_state.flatten(0, 1)[row.predictors]
    if torch.is_autocast_enabled(hidden.device.type):
        hidden = hidden.to(torch.get_autocast_dtype(hidden.device.type))
    return hidden


def head_of(model: Any, max_logits: int | None = None) -> Head:
    """The head's arithmetic, from the model's config. Raises ClairError if it is not a plain linear map."""
    output = model.get_output_embeddings()
    kind = model.config.model_type
    if getattr(type(output), "forward", None) is not nn.Linear.forward:
        raise ClairError(
            f"the output head of {kind} is {type(output).__name__}, but only a plain linear head can be trained; "
            "leave lm_head out of the LoRA target modules, or choose another model"
        )
    if output.bias is not None:
        raise ClairError(f"the output head of {kind} has a bias, which is not supported; choose another model")
    config = model.config.get_text_config()
    divide = getattr(config, "logits_scaling", None) or 1.0
    scale = (getattr(config, "logit_scale", None) or 1.0) / divide
    if max_logits is None:
        max_logits = 1 << (28 if output.weight.is_cuda else 25)
    return Head(scale=scale, cap=getattr(config, "final_logit_softcapping", None), max_logits=max_logits)
