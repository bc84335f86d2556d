"""One torch thread for the tiny student: more threads only wait for each other. No access to the network."""

from __future__ import annotations

import os

import pytest

pytest.importorskip("transformers")
os.environ["HF_HUB_OFFLINE"] = "1"

import torch

torch.set_num_threads(1)
