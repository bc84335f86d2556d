"""Sharding over CPU processes."""

from __future__ import annotations

from typing import Any

from accelerate.state import DistributedType, PartialState


def shard_over_processes() -> None:
    """Let accelerate shard over gloo processes as it does over GPUs.

    It shards whatever `PartialState` calls a kind of accelerator and takes processes on CPUs for nothing but data
    parallel: `AcceleratorState` has no entry for them. This changes that name and nothing else; process group,
    device, device mesh, `fully_shard`, collectives and checkpoints are accelerate's and torch's own.
    """
    made = PartialState.__init__

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        made(self, *args, **kwargs)
        if self.distributed_type == DistributedType.MULTI_CPU:
            self.distributed_type = DistributedType.MULTI_GPU

    PartialState.__init__ = init
