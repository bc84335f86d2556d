"""The variable-length kernel of CUDA in plain torch: its call arguments, its semantics, and what it refuses.

The semantics are flash attention's: causal and windowed from the bottom right. The refusals are those of
`mha_varlen_fwd` in PyTorch's sources.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def emulated_varlen(
    q: Tensor, k: Tensor, v: Tensor, ends_q: Tensor, ends_k: Tensor, longest_q: int, longest_k: int, *, scale: float,
    window_size: tuple[int, int], enable_gqa: bool,
) -> Tensor:  # fmt: skip
    """The kernel in any precision, its sums in float32."""
    outputs = []
    groups = q.shape[1] // k.shape[1]
    assert enable_gqa == (groups > 1)
    assert window_size[1] == 0
    for i in range(len(ends_q) - 1):
        n_q, n_k = int(ends_q[i + 1] - ends_q[i]), int(ends_k[i + 1] - ends_k[i])
        assert n_q <= longest_q
        assert n_k <= longest_k
        own_q = q[ends_q[i] : ends_q[i + 1]].transpose(0, 1).float()
        own_k, own_v = (
            x[ends_k[i] : ends_k[i + 1]].transpose(0, 1).repeat_interleave(groups, 0).float() for x in (k, v)
        )
        behind = torch.arange(n_q)[:, None] + (n_k - n_q) - torch.arange(n_k)[None]
        seen = (behind >= 0) & ((window_size[0] < 0) | (behind <= window_size[0]))
        scores = torch.einsum("hqd,hkd->hqk", own_q, own_k) * scale
        weights = scores.masked_fill(~seen, float("-inf")).softmax(-1)
        outputs.append(torch.einsum("hqk,hkd->qhd", weights, own_v))
    return torch.cat(outputs).to(q.dtype)


def strict_varlen(q: Tensor, k: Tensor, v: Tensor, ends_q: Tensor, ends_k: Tensor, *rest: int, **named: Any) -> Tensor:
    """The kernel as it is on a GPU: RuntimeError for what it does not take."""
    for x in (q, k, v):
        if x.dtype not in (torch.float16, torch.bfloat16):
            raise RuntimeError(f"FlashAttention only support fp16 and bf16 data type, got {x.dtype}")
        if x.dtype != q.dtype:
            raise RuntimeError("query and key must have the same dtype")
        if x.dim() != 3 or x.stride(-1) != 1:
            raise RuntimeError("Input tensor must have three dimensions, the last contiguous")
        if x.shape[-1] != q.shape[-1] or x.shape[-1] > 256 or x.shape[-1] % 8:
            raise RuntimeError("FlashAttention forward only supports head dimension at most 256")
    for ends, total in ((ends_q, len(q)), (ends_k, len(k))):
        if ends.dtype != torch.int32 or ends.device != q.device or not ends.is_contiguous():
            raise RuntimeError("cu_seqlens must have dtype int32, on the device, contiguous")
        assert int(ends[0]) == 0
        assert int(ends[-1]) == total
    with torch.autocast(q.device.type, enabled=False):
        return emulated_varlen(q, k, v, ends_q, ends_k, *rest, **named)
