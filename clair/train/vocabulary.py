"""Gradients of weights as large as the vocabulary, added where they are kept.

    in_place(model, True)           once, where one process holds the whole weights
    total = total_of(weight)        before each row: where its gradient is added up, None if autograd does it

For every row autograd makes a gradient of the embedding and one of the head, each of vocabulary times width numbers,
to add them to those of the rows before: with a vocabulary of 128k more memory and traffic than the activations of the
row. Instead the head's gradient is added up as it is computed (the fused accumulation of Megatron-LM), and that of
the embedding is sparse: the tokens of the row are all that is added.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def in_place(model: Any, enabled: bool) -> None:
    """Let the embedding of `model` give sparse gradients, or dense ones as it comes.

    Sparse ones need a dense total to be added to, see `total_of`: an optimizer would not know them.
    """
    embedding = model.get_input_embeddings()
    if isinstance(embedding, nn.Embedding):
        embedding.sparse = enabled


def total_of(weight: Tensor) -> Tensor | None:
    """The gradient of `weight` so far, zeros before the first row; None where gradients are not added in place.

    That is for frozen weights, and for those in half precision, which would round at every group.
    """
    if not (torch.is_grad_enabled() and weight.requires_grad and weight.is_leaf and weight.dtype == torch.float32):
        return None
    if weight.grad is None:
        weight.grad = torch.zeros_like(weight)
    return weight.grad
