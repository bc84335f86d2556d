"""Gradients of weights as large as the vocabulary, added where they are kept.

    total = total_of(weight)        before each row: where its gradient is added up, None if autograd does it
    with sparse_embedding(model):   around the forward pass of a row

For every row autograd makes a gradient of the embedding and one of the head, each of vocabulary times width numbers,
to add them to those of the rows before: with a vocabulary of 128k more memory and traffic than the activations of the
row. Instead the head's gradient is added up as it is computed (the fused accumulation of Megatron-LM), and that of
the embedding is sparse: the tokens of the row are all that is added.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn


@contextlib.contextmanager
def sparse_embedding(model: Any) -> Iterator[None]:
    """What the embedding of `model` looks up in here has a sparse gradient, if there is a dense total to add it to.

    An optimizer would not know a sparse one, and this trainer's rows may not be all that the model is used for.
    """
    embedding = model.get_input_embeddings()
    if not isinstance(embedding, nn.Embedding) or total_of(embedding.weight) is None:
        yield
        return
    before, embedding.sparse = embedding.sparse, True
    try:
        yield
    finally:
        embedding.sparse = before


def total_of(weight: Tensor) -> Tensor | None:
    """The gradient of `weight` so far, zeros before the first row; None where gradients are not added in place.

    That is for frozen weights, and for those in half precision, which would round at every group.
    """
    if not (torch.is_grad_enabled() and weight.requires_grad and weight.is_leaf and weight.dtype == torch.float32):
        return None
    if weight.grad is None:
        weight.grad = torch.zeros_like(weight)
    return weight.grad
