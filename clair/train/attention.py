"""What a token of a shared row may see, and the kernels that compute it.

A token sees its own pair only: its path from the start of the prompt to itself. So the attention of a pair is two
causal problems, [trunk + chosen] on itself and [rejected] on [trunk + rejected], and no mask over the whole row is
ever built. Queries keep their order; only the keys of the trunk are used twice.

    sdpa      one call of PyTorch's attention per path; any device
    varlen    one call of `torch.nn.attention.varlen.varlen_attn` per layer; CUDA, 16 bit (not yet measured on a GPU).
              Layers wider than its kernel take the paths one by one
    padded    no sharing: two padded sequences per pair, the model's own attention; any model

The kernels hang in transformers' `AttentionInterface` under the name "clair_tree". Without a `tree` argument they
behave as "sdpa" does, so that a prepared model still generates.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from clair.train.layout import Span

Backend = Literal["sdpa", "varlen", "padded"]
NAME = "clair_tree"

_VARLEN_WIDTH = 256
"""Widest attention head of the variable-length kernel."""

_PLAIN_LAYERS = {"full_attention", "sliding_attention"}
_DENIED = {"lfm2", "jamba", "bamba", "falcon_h1", "zamba", "zamba2", "granitemoehybrid", "nemotron_h"}
_DENIED |= {"rwkv", "mamba", "mamba2"}


class CannotFollow(Exception):
    """This layer's attention has what the tree kernels lack; the trainer then takes unshared rows."""


UNFIT = (CannotFollow, RuntimeError, TypeError, ValueError)
"""What a kernel raises that does not know this model's shapes, this card, or this torch's way of calling it."""


class Tree(NamedTuple):
    """The shape of a shared row, and which kernel is to follow it.

    `keys` [tokens of all paths], `ends_q`, `ends_k` [2 pairs + 1] int32 and `longest_*` are for varlen only.
    """

    spans: tuple[Span, ...]
    keys: Tensor | None = None
    ends_q: Tensor | None = None
    ends_k: Tensor | None = None
    longest_q: int = 0
    longest_k: int = 0


def plan(spans: tuple[Span, ...], backend: Backend, device: torch.device) -> Tree:
    """The `tree` argument of the attention function for one row."""
    if backend != "varlen":
        return Tree(spans)
    keys: list[Tensor] = []
    lengths_q: list[int] = []
    lengths_k: list[int] = []
    for span in spans:
        keys += [torch.arange(span.start, span.chosen)]
        lengths_q += [span.chosen - span.start]
        lengths_k += [span.chosen - span.start]
        if span.end > span.chosen:
            keys += [torch.arange(span.start, span.trunk), torch.arange(span.chosen, span.end)]
            lengths_q += [span.end - span.chosen]
            lengths_k += [span.trunk - span.start + span.end - span.chosen]
    return Tree(
        spans,
        keys=torch.cat(keys).to(device),
        ends_q=_ends(lengths_q).to(device),
        ends_k=_ends(lengths_k).to(device),
        longest_q=max(lengths_q),
        longest_k=max(lengths_k),
    )


def _ends(lengths: list[int]) -> Tensor:
    return F.pad(torch.tensor(lengths).cumsum(0), (1, 0)).to(torch.int32)


def tree_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    tree: Tree | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attention [1, tokens, heads, width] over query, key, value [1, heads, tokens, width] of a shared row."""
    if tree is None:
        output, weights = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
        return output, weights
    if dropout or kwargs.get("softcap") is not None or kwargs.get("s_aux") is not None:
        raise CannotFollow("attention with dropout, soft-cap or sinks cannot follow a tree")
    query, key, value = _one_dtype(query, key, value)
    if tree.keys is not None and query.shape[-1] <= _VARLEN_WIDTH:
        return varlen_paths(query, key, value, tree, scaling, sliding_window), None
    return sdpa_paths(query, key, value, tree.spans, scaling, sliding_window), None


def _one_dtype(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """All in the precision of the forward pass, which a kernel that autocast does not know asks for.

    Position encodings and norms with float32 weights leave queries and keys in float32 under autocast.
    """
    device = value.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else value.dtype
    return query.to(dtype), key.to(dtype), value.to(dtype)


def sdpa_paths(
    query: Tensor, key: Tensor, value: Tensor, spans: tuple[Span, ...], scale: float | None, window: int | None
) -> Tensor:
    """Path by path. A window is counted in positions along the path, which differ from places in the row."""
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    outputs: list[Tensor] = []
    for start, trunk, chosen, end in spans:
        outputs.append(
            _causal(query[:, :, start:chosen], key[:, :, start:chosen], value[:, :, start:chosen], scale, window)
        )
        if end > chosen:
            path_key = torch.cat([key[:, :, start:trunk], key[:, :, chosen:end]], 2)
            path_value = torch.cat([value[:, :, start:trunk], value[:, :, chosen:end]], 2)
            outputs.append(_causal(query[:, :, chosen:end], path_key, path_value, scale, window))
    return torch.cat(outputs, 2).transpose(1, 2).contiguous()


def _causal(query: Tensor, key: Tensor, value: Tensor, scale: float | None, window: int | None) -> Tensor:
    """Causal attention whose last query is at the place of the last key."""
    n_q, n_k = query.shape[2], key.shape[2]
    windowed = window is not None and window < n_k
    if n_q == n_k and not windowed:
        return F.scaled_dot_product_attention(query, key, value, is_causal=True, scale=scale)
    mask = torch.ones(n_q, n_k, dtype=torch.bool, device=query.device).tril(n_k - n_q)
    if windowed:
        assert window is not None
        mask = mask.triu(n_k - n_q - window + 1)
    return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scale)


def varlen_paths(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    tree: Tree,
    scale: float | None,
    window: int | None,
    kernel: Callable[..., Any] | None = None,
) -> Tensor:
    """All paths in one kernel: keys gathered per path, causal from the bottom right."""
    if kernel is None:
        from torch.nn.attention.varlen import varlen_attn

        kernel = cast(Callable[..., Any], varlen_attn)
    assert tree.keys is not None
    q, k, v = (x[0].transpose(0, 1) for x in (query, key, value))
    output: Tensor = kernel(
        q.contiguous(),
        k.index_select(0, tree.keys),
        v.index_select(0, tree.keys),
        tree.ends_q,
        tree.ends_k,
        tree.longest_q,
        tree.longest_k,
        scale=scale,
        window_size=(-1 if window is None else window - 1, 0),
        enable_gqa=q.shape[1] != k.shape[1],
    )
    return output[None]


def choose(model: Any, *, device: torch.device, half: bool, max_length: int) -> tuple[Backend, str]:
    """The fastest exact backend for this model on this device, and the reason in words for the log.

    `half`: the forward pass runs in 16 bit. A start-up probe checks the choice, see `probe.py`.
    """
    problem = _tree_problem(model, max_length)
    if problem:
        return "padded", problem
    if device.type == "cuda" and half:
        try:
            from torch.nn.attention.varlen import varlen_attn  # noqa: F401
        except ImportError:
            return "sdpa", "this torch has no variable-length attention"
        return "varlen", "16-bit CUDA"
    return "sdpa", f"{'16' if half else '32'}-bit {device.type}"


def candidates(first: Backend) -> tuple[Backend, ...]:
    """What to try, in this order, when `first` is wanted: a kernel may have limits that only a call finds out."""
    return tuple(dict.fromkeys((first, *(("sdpa",) if first == "varlen" else ()), "padded")))


def _tree_problem(model: Any, max_length: int) -> str | None:
    config = model.config.get_text_config()
    kind = config.model_type
    layers = set(getattr(config, "layer_types", None) or ())
    if kind in _DENIED or not layers <= _PLAIN_LAYERS:
        return f"{kind} has layers that are not plain attention ({', '.join(sorted(layers - _PLAIN_LAYERS)) or kind})"
    if not getattr(model, "_supports_sdpa", False):
        return f"{kind} does not support PyTorch's own attention"
    if getattr(config, "attn_logit_softcapping", None):
        return f"{kind} soft-caps its attention"
    rope = getattr(config, "rope_parameters", None) or {}
    types = {r.get("rope_type") for r in (rope.values() if "rope_type" not in rope else [rope]) if isinstance(r, dict)}
    original = rope.get("original_max_position_embeddings") or getattr(config, "max_position_embeddings", None)
    if types & {"dynamic", "longrope"} and original is not None and max_length > original:
        return f"{kind} changes its position encoding with the length of a row"
    return None


def use_tree(model: Any) -> None:
    """Let `model` run shared rows."""
    model.set_attn_implementation(NAME)


AttentionInterface.register(NAME, tree_attention)
AttentionMaskInterface.register(NAME, sdpa_mask)
