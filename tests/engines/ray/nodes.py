"""Ray's own simulation of several machines on one: real processes of Ray, each "machine" a raylet of its own.

    with Nodes(3) as nodes:
        start(*arguments(...), "--engine", "ray", "--address", nodes.address)
        nodes.kill()                        # as a machine loses its power: raylet first, then its workers

What is real: Ray, its actors and its death notices, the command, the models' server. What is simulated: the machines
and the network between them.
"""

from __future__ import annotations

import os
import re
import subprocess
import threading
import time
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.servers import world
from tests.servers.chat import Body, ChatServer, Fault, Reply

QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled", "OMP_NUM_THREADS": "1"}
"""Ray reports nothing, writes no token into the home folder, and takes the cores that it needs."""


class Nodes:
    """A head that runs no worker, and `count` machines with one CPU each."""

    def __init__(self, count: int) -> None:
        os.environ.update(QUIET)
        from ray.cluster_utils import Cluster

        self._cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        self._nodes = [self._cluster.add_node(num_cpus=1, include_dashboard=False) for _ in range(count)]

    @property
    def address(self) -> str:
        """For `--address`."""
        return str(self._cluster.address)

    @property
    def log_folder(self) -> Path:
        """Where Ray writes all its logs."""
        return Path(self._cluster.head_node.get_session_dir_path())

    def kill(self) -> None:
        """Kill one machine, without a chance to say so."""
        self._cluster.remove_node(self._nodes.pop(), allow_graceful=False)

    def __enter__(self) -> Nodes:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cluster.shutdown()


class Counting:
    """The world of `tests.servers.world`, counting how often each question was asked."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.enough = threading.Event()
        self.wait_for = 0

    def __call__(self, body: Body) -> Reply | Fault:
        self.asked[_question(body)] += 1
        if self.asked.total() == self.wait_for:
            self.enough.set()
        return world.answer(body)

    def wait_while(self, process: subprocess.Popen[str], most_s: float = 150.0) -> None:
        """Until `wait_for` requests have come; a failure if `process` ends before."""
        ends_at = time.monotonic() + most_s
        while not self.enough.wait(0.1):
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < ends_at

    def server(self, latency_s: float) -> ChatServer:
        """It, served."""
        return ChatServer(self, latency_s=latency_s, models=("target", "reviser"), keep_bodies=False)

    @property
    def asked_again(self) -> int:
        """Requests for something that had been asked before."""
        return sum(count - 1 for count in self.asked.values())


def _question(body: Body) -> str:
    """The row, the model, and the replies before: what tells one question of the world from another."""
    messages: list[dict[str, Any]] = body["messages"]
    found = re.search(r"about row (\d+)\.", " ".join(message["content"] for message in messages))
    replies = sum(message["role"] == "assistant" for message in messages)
    assert found is not None
    return f"{found[1]} {body['model']} {replies}"
