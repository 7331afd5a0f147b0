"""Clusters of Ray nodes on this machine, for tests; what they leave is deleted.

Each node has a cache folder of its own, as machines have. Nothing is written to the user's folders.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

OBJECT_STORE_BYTES = 80 * 2**20
ENVIRONMENT = {
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",  # Tests wait for workers.
}


class NodesHere:
    """A cluster whose nodes are processes of this machine.

    Args:
        folder: for the files of Ray; its path has to be short.
    """

    def __init__(self, folder: Path) -> None:
        from ray.cluster_utils import Cluster

        self._folder = folder
        self._cluster = Cluster(
            initialize_head=True,
            head_node_args={
                "num_cpus": 1,
                "object_store_memory": OBJECT_STORE_BYTES,
                "include_dashboard": False,
            },
        )
        self._num_added = 0
        self._caches: dict[object, Path] = {}

    @property
    def address(self) -> str:
        return self._cluster.address

    def add_node(self, *, cpus: int = 1, gpus: int = 0):
        """Add a node, whose cache folder is empty; returns Ray's value for it."""
        self._num_added += 1
        cache = self._folder / f"cache-{self._num_added}"
        node = self._cluster.add_node(
            num_cpus=cpus,
            num_gpus=gpus,
            object_store_memory=OBJECT_STORE_BYTES,
            env_vars={"ATTENTUNE_CACHE": str(cache)},
        )
        self._caches[node] = cache
        return node

    def cache_of(self, node) -> Path:
        """The cache folder of a node that was added."""
        return self._caches[node]

    def kill_node(self, node) -> None:
        """Kill a node with all its processes, as a loss of power would; nothing if it is dead."""
        if self._caches.pop(node, None) is not None:
            self._cluster.remove_node(node, allow_graceful=False)

    def close(self) -> None:
        self._cluster.shutdown()


@contextmanager
def nodes_here() -> Iterator[NodesHere]:
    """A cluster with one node of one CPU, to which nodes can be added."""
    folder = Path(tempfile.mkdtemp(prefix="at-", dir="/tmp"))  # Paths of sockets are short.
    before = dict(os.environ)
    os.environ.update(ENVIRONMENT, RAY_TMPDIR=str(folder))
    cluster = None
    try:
        cluster = NodesHere(folder)
        yield cluster
    finally:
        if cluster is not None:
            cluster.close()
        os.environ.clear()
        os.environ.update(before)
        shutil.rmtree(folder, ignore_errors=True)


def ray_workers() -> list[psutil.Process]:
    """The processes of the workers' actors, on the nodes that this process has started."""
    children = psutil.Process().children(recursive=True)
    return [child for child in children if "RayWorker" in _command(child)]


def trial_process(actor: psutil.Process) -> psutil.Process:
    """The process below an actor that trains: the newest."""
    return max(actor.children(recursive=True), key=lambda child: child.create_time())


def _command(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""
