"""Whether the nodes of a Ray cluster can run the trials of one study, and with equal results.

`attentune doctor --pool ray` shows all checks; a search refuses a cluster in which one of them
fails, with the same words. A node that joins later is checked before it gets a worker.
"""

from __future__ import annotations

import contextlib
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ...cache_folders import ABANDONED_AFTER_SECONDS
from ...errors import MachineError
from ...files import make_folder
from ..artifacts.location import is_url
from ..artifacts.remote_store import RemoteStore, hide_secrets
from . import node_facts
from .node_facts import PACKAGES, describe_node
from .ray_cluster import ClusterNode, RayCluster, first_line

VERSIONS = ("python", *PACKAGES, "plug-ins")
CHECK_SECONDS = 120.0
"""Time that a node has for its facts; the first process of a node may need long to begin."""
MAX_CLOCK_SECONDS = 5.0
"""Clocks that differ by more than this, and by more than the answer took, are reported."""
CHECK_FOLDER = ".attentune-nodes-"
"""How the folder is called that is made in a shared folder for the time of a check."""
TOKEN_FILE = "token"


@dataclass(frozen=True)
class NodeCheck:
    """What was checked on one node.

    Attributes:
        node: its name.
        versions: by name.
        gpus: the names of those that torch sees, or why it sees none; None if that was not asked.
        clock_seconds: by how much its clock is ahead of this machine's, if that is noticeable.
        problems: why it cannot take part, each as a clause about the node.
        is_reachable: False for a node that has left the cluster, or has only just joined it: Ray
            lists both as alive for some seconds.
    """

    node: str
    versions: dict[str, str] = field(default_factory=dict)
    gpus: list[str] | str | None = None
    clock_seconds: float = 0.0
    problems: tuple[str, ...] = ()
    is_reachable: bool = True


class ClusterCheck:
    """Checks nodes, one after the other or many at once; a context.

    Args:
        cluster: the connection.
        shared: folders and URLs that all nodes have to read and write. Folders are made if they
            are missing.
        files: that have to be the same on all nodes.
        count_gpus: whether to ask torch for the GPUs of nodes that have some.
    """

    def __init__(
        self,
        cluster: RayCluster,
        shared: Sequence[str],
        files: Sequence[Path] = (),
        *,
        count_gpus: bool = False,
    ) -> None:
        self._cluster, self._count_gpus = cluster, count_gpus
        self._folders = [make_token(location) for location in shared]
        self._files = [str(file) for file in files]
        self.here = describe_node({}, "", self._files, count_gpus=False)
        self._started_at: dict[str, float] = {}

    def __enter__(self) -> ClusterCheck:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Delete what was written for the checks."""
        for folder in self._folders:
            folder.delete()

    def start(self, node: ClusterNode) -> Any:
        """Start to check a node; returns the reference of Ray with which `judge` is called."""
        ray = self._cluster.ray
        tokens = {folder.token: folder.text for folder in self._folders}
        self._started_at[node.id] = time.time()
        with _sent_as_code(ray):
            task = ray.remote(num_cpus=0, max_retries=0)(describe_node)
            options = self._cluster.on_node(node.id)
            count_gpus = self._count_gpus and node.gpus > 0
            return task.options(**options).remote(tokens, node.id, self._files, count_gpus)

    def judge(self, node: ClusterNode, reference: Any) -> NodeCheck:
        """The outcome of a check that has ended.

        Args:
            node: the node.
            reference: what `start` has returned.
        """
        arrived = time.time()
        try:
            facts = self._cluster.ray.get(reference, timeout=0)
        except self._cluster.ray.exceptions.GetTimeoutError:
            return NodeCheck(node.name, problems=(f"has not answered for {CHECK_SECONDS:.0f} s",))
        except _unreachable(self._cluster.ray):
            return NodeCheck(node.name, is_reachable=False)
        except self._cluster.ray.exceptions.RayError as error:
            return NodeCheck(node.name, problems=(f"cannot be checked ({first_line(error)})",))
        problems = [
            f"has {name} {facts['versions'][name]}, and this machine {self.here['versions'][name]}"
            for name in VERSIONS
            if facts["versions"][name] != self.here["versions"][name]
        ]
        for folder in self._folders:
            problem = folder.problem_of(node, facts["folders"][folder.token])
            problems += [] if problem is None else [problem]
        for file, digest in facts["files"].items():
            if digest != self.here["files"][file]:
                problems.append(
                    f"cannot read {file}" if digest is None else f"has another file {file}"
                )
        gpus = facts["gpus"]
        if gpus is not None and (isinstance(gpus, str) or len(gpus) < node.gpus):
            seen = gpus if isinstance(gpus, str) else f"torch sees {len(gpus)}"
            problems.append(f"has {node.gpus} GPUs for Ray, but {seen}")
        clock = _clock_difference(self._started_at[node.id], arrived, facts["time"])
        return NodeCheck(node.name, facts["versions"], gpus, clock, tuple(problems))

    def check(self, nodes: Sequence[ClusterNode]) -> list[NodeCheck]:
        """Check nodes at the same time."""
        return self.await_all(nodes, [self.start(node) for node in nodes])

    def await_all(self, nodes: Sequence[ClusterNode], references: Sequence[Any]) -> list[NodeCheck]:
        """The outcomes of checks that have been started.

        Args:
            nodes: that are checked.
            references: what `start` has returned for each.
        """
        references = list(references)
        self._cluster.ray.wait(references, num_returns=len(references), timeout=CHECK_SECONDS)
        return list(map(self.judge, nodes, references))


def require_equal_nodes(checks: Sequence[NodeCheck]) -> None:
    """Raise a MachineError if a node cannot take part."""
    problems = [sentence for check in checks for sentence in describe_problems(check)]
    if problems:
        raise MachineError(
            f"the nodes of the Ray cluster cannot run one study together: {'; '.join(problems)}. "
            "`attentune doctor --pool ray` shows all of them."
        )


def describe_problems(check: NodeCheck) -> list[str]:
    """Each problem of a node, as a clause with its name."""
    return [f"{check.node} {problem}" for problem in check.problems]


class SharedToken(Protocol):
    """A token at a place that nodes should share; each node reads it, and answers beside it.

    Attributes:
        token: the path or URL of the file.
        text: its content.
    """

    token: str
    text: str

    def has_answer(self, node_id: str) -> bool:
        """Whether the answer of a node is there."""

    def problem_of(self, node: ClusterNode, answer: str | None) -> str | None:
        """Why a node cannot use the place, as a clause; None if it can.

        Args:
            node: which has tried.
            answer: what it says of the token.
        """

    def delete(self) -> None:
        """Delete the token and the answers."""


def make_token(location: str) -> SharedToken:
    """Write a token to a folder or URL.

    Raises:
        MachineError: this machine cannot write there.
        UsageError: a package is missing that a URL needs.
    """
    return _TokenAtUrl(location) if is_url(location) else _TokenFolder(Path(location))


class _TokenFolder(SharedToken):
    """A token in a folder.

    Args:
        folder: it is made if it is missing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self.text = folder, secrets.token_hex(16)
        try:
            make_folder(folder)
            for earlier in folder.glob(f"{CHECK_FOLDER}*"):  # Of processes that were killed.
                if time.time() - earlier.stat().st_mtime > ABANDONED_AFTER_SECONDS:
                    shutil.rmtree(earlier, ignore_errors=True)
            self._inner = folder / f"{CHECK_FOLDER}{self.text[:8]}"
            self._inner.mkdir()
            self.token = str(self._inner / TOKEN_FILE)
            Path(self.token).write_text(self.text, "utf-8")
        except OSError as error:
            raise MachineError(
                f"{folder} cannot be written ({error.strerror or error}); choose a folder that all "
                "nodes of the cluster can read and write with --artifacts"
            ) from error

    def has_answer(self, node_id: str) -> bool:
        """Whether the answer of a node is there."""
        with contextlib.suppress(OSError):
            return (self._inner / node_id).read_text("utf-8") == self.text
        return False

    def problem_of(self, node: ClusterNode, answer: str | None) -> str | None:
        """See `SharedToken`."""
        if answer is None and self.has_answer(node.id):
            return None
        return (
            f"{answer or 'has another folder at this path'}: {self._folder}, where all nodes keep "
            "checkpoints and weights. Choose a folder that all of them share with --artifacts"
        )

    def delete(self) -> None:
        """Delete the token and the answers, and the folder if nothing else is in it."""
        shutil.rmtree(self._inner, ignore_errors=True)
        with contextlib.suppress(OSError):
            self._folder.rmdir()


class _TokenAtUrl(SharedToken):
    """A token at a URL.

    Args:
        url: of the artifacts.
    """

    def __init__(self, url: str) -> None:
        self._store, self.text = RemoteStore(url, retry_seconds=0.0), secrets.token_hex(16)
        self._key = f"{CHECK_FOLDER}{self.text[:8]}"
        self.token = f"{url}/{self._key}/{TOKEN_FILE}"
        with tempfile.TemporaryDirectory(prefix="attentune-nodes-") as folder:
            source = Path(folder, TOKEN_FILE)
            source.write_text(self.text, "utf-8")
            self._store.upload(source, f"{self._key}/{TOKEN_FILE}")

    def has_answer(self, node_id: str) -> bool:
        """Whether the answer of a node is there."""
        with contextlib.suppress(MachineError):
            return self._store.exists(f"{self._key}/{node_id}")
        return False

    def problem_of(self, node: ClusterNode, answer: str | None) -> str | None:
        """See `SharedToken`."""
        if answer is None and self.has_answer(node.id):
            return None
        return (
            f"{hide_secrets(answer or 'has other files at this URL')}: {self._store.name}, where "
            "all nodes keep checkpoints and weights. Install what it needs on every node, with "
            "credentials"
        )

    def delete(self) -> None:
        """Delete the token and the answers."""
        self._store.delete(self._key)


def _unreachable(ray: Any) -> tuple[type[Exception], ...]:
    """What Ray raises for a task on a node that is no part of the cluster."""
    names = (
        "TaskUnschedulableError",
        "WorkerCrashedError",
        "NodeDiedError",
        "LocalRayletDiedError",
    )
    return tuple(getattr(ray.exceptions, name) for name in names if hasattr(ray.exceptions, name))


@contextlib.contextmanager
def _sent_as_code(ray: Any) -> Iterator[None]:
    """Inside the context, Ray sends `describe_node` itself and not the name to import it by."""
    ray.cloudpickle.register_pickle_by_value(node_facts)
    try:
        yield
    finally:
        ray.cloudpickle.unregister_pickle_by_value(node_facts)


def _clock_difference(asked: float, arrived: float, clock: float) -> float:
    """By how many seconds a clock is ahead, as far as that is certain; 0 if it may be right.

    The clock was read at some time between the question and the arrival of the answer.
    """
    ahead = max(0.0, clock - arrived) or min(0.0, clock - asked)
    return ahead if abs(ahead) > MAX_CLOCK_SECONDS else 0.0
