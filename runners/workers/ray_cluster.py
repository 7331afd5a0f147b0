"""The connection to a Ray cluster. This module and `ray_pool` are the only ones that import Ray.

Ray is imported, and its cluster joined, when a search asks for `--pool ray`, and not before.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import logging
import os
import shutil
import signal
import socket
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from ...errors import MachineError, UsageError
from ...interrupts import SIGNALS
from ...sanitize import clean_text
from ..cores import usable_cores
from .socket_folders import short_temporary_folder

logger = logging.getLogger(__name__)

OBJECT_STORE_BYTES = 200 * 2**20
"""Shared memory of a cluster that is started here. Through it go parts of prepared data only."""
FOLDER_PREFIX = "at-ray-"
SESSION_BYTES = len(f"/{FOLDER_PREFIX}12345678/session_2026-01-01_00-00-00_000000_1234567/sockets/")
SESSION_BYTES += len("plasma_store.1234567")
"""What Ray adds to the folder of temporary files for the sockets of a cluster."""
CONNECT_SECONDS = 5.0
"""Time in which the head node of a cluster has to answer."""
HEAD_SECONDS = 20.0
"""Time after which a head node that does not answer is lost; less than Ray's minute."""
HOW_TO_START = "start one with `ray start --head`, or use --ray-address local"
INSTALL = "run `pip install 'attentune[ray]'`"


@dataclass(frozen=True)
class ClusterNode:
    """A machine of the cluster.

    Attributes:
        id: Ray's.
        name: of its host, with the beginning of its id if several nodes have one host.
        cpus, gpus: that Ray may use there.
    """

    id: str
    name: str
    cpus: int
    gpus: int


class RayCluster:
    """A connection to a cluster; made by `connect`.

    Attributes:
        ray: the module.
    """

    def __init__(self, ray: Any, *, is_ours: bool, folder: Path | None = None) -> None:
        """See `connect`.

        Args:
            ray: the module, connected.
            is_ours: whether to disconnect in `close`.
            folder: to delete in `close`.
        """
        self.ray, self._is_ours, self._folder = ray, is_ours, folder
        self._nodes: list[ClusterNode] = []
        self._answered_at = time.monotonic()

    @classmethod
    def connect(cls, address: str) -> RayCluster:
        """Connect to a cluster, or start one on this machine.

        If this process is connected already, that connection is used, and stays open.

        Args:
            address: `auto` for the cluster that this machine belongs to, `HOST:PORT` of a head
                node, or `local` to start one on this machine.

        Raises:
            MachineError: Ray is not installed, or the cluster cannot be reached.
            UsageError: the cluster is on another machine and open to everybody.
        """
        _refuse_usage_statistics()
        if address != "local":
            _prepare_tokens(address)
        ray = import_ray()
        if ray.is_initialized():
            return cls(ray, is_ours=False)
        if address == "auto" and "RAY_ADDRESS" not in os.environ:
            _require_head_node()
        folder: Path | None = None
        options: dict[str, Any] = {"address": address}
        if address == "local":
            # Paths of sockets have to be short, and /tmp/ray belongs to its first user.
            parent = short_temporary_folder(SESSION_BYTES)
            folder = Path(tempfile.mkdtemp(prefix=FOLDER_PREFIX, dir=parent))
            options |= {
                "num_cpus": usable_cores(),
                "include_dashboard": False,
                "object_store_memory": OBJECT_STORE_BYTES,
                "_temp_dir": str(folder),
            }
        try:
            with _kept_signal_handlers():
                ray.init(log_to_driver=False, logging_level=logging.ERROR, **options)
        except BaseException as error:
            cls(ray, is_ours=True, folder=folder).close()
            if isinstance(error, Exception):
                raise _explain(error, address) from error
            raise
        _keep_quiet()
        return cls(ray, is_ours=True, folder=folder)

    def nodes(self) -> list[ClusterNode]:
        """The nodes that are alive, this machine's first, then by name.

        While the head node does not answer, they are those that it has named last.

        Raises:
            MachineError: the connection was lost.
        """
        with self.explained_errors():
            if not self._head_answers():
                return self._nodes
            facts = [node for node in self.ray.nodes() if node["Alive"]]
            here = self.ray.get_runtime_context().get_node_id()
        hosts = Counter(node["NodeManagerHostname"] for node in facts)
        nodes = []
        for node in facts:
            host, resources = node["NodeManagerHostname"], node["Resources"]
            name = host if hosts[host] == 1 else f"{host}-{node['NodeID'][:4]}"
            cpus, gpus = int(resources.get("CPU", 0)), int(resources.get("GPU", 0))
            nodes.append(ClusterNode(node["NodeID"], name, cpus, gpus))
        self._nodes = sorted(nodes, key=lambda node: (node.id != here, node.name))
        return self._nodes

    def _head_answers(self) -> bool:
        """Whether the head node answers; a MachineError if it has not for `HEAD_SECONDS`.

        Ray ends this process, without an exception, a minute after the head node was lost.
        """
        try:
            _reach(str(self.ray.get_runtime_context().gcs_address))
        except MachineError:
            if time.monotonic() - self._answered_at > HEAD_SECONDS:
                raise ConnectionError("its head node does not answer") from None
            return False
        self._answered_at = time.monotonic()
        return True

    @property
    def own_node_id(self) -> str:
        """The id of this machine's node."""
        return str(self.ray.get_runtime_context().get_node_id())

    def on_node(self, node_id: str) -> dict[str, Any]:
        """Options of an actor or a task that runs on this node and on no other."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        return {"scheduling_strategy": NodeAffinitySchedulingStrategy(node_id, soft=False)}

    @contextlib.contextmanager
    def explained_errors(self) -> Iterator[None]:
        """Raise a MachineError in place of what Ray raises when the cluster is gone."""
        try:
            yield
        except (self.ray.exceptions.RaySystemError, ConnectionError, RuntimeError) as error:
            raise MachineError(
                f"the connection to the Ray cluster was lost ({first_line(error)}). When it runs "
                "again, continue with `attentune resume`."
            ) from error

    def close(self) -> None:
        """Disconnect, and end a cluster that was started here."""
        if self._is_ours:
            with _kept_signal_handlers():
                self.ray.shutdown()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


def import_ray() -> Any:
    """The module `ray`.

    Raises:
        MachineError: it is not installed.
    """
    try:
        return importlib.import_module("ray")
    except ImportError as error:
        raise MachineError(f"--pool ray needs Ray, which is not installed; {INSTALL}") from error


def describe_count(number: int, noun: str) -> str:
    """A number and what it counts: `1 node`, `2 nodes`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def first_line(error: BaseException) -> str:
    """The first line of an error's message that says something, without what hides it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return clean_text(lines[0] if lines else type(error).__name__, 300, one_line=True)


def _refuse_usage_statistics() -> None:
    """Send no usage statistics, unless the user has decided about them."""
    file = os.environ.get("RAY_USAGE_STATS_CONFIG_PATH") or Path.home() / ".ray" / "config.json"
    decided = False
    with contextlib.suppress(OSError, ValueError, TypeError):
        decided = "usage_stats" in json.loads(Path(file).read_text("utf-8"))
    if not decided:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")


def _prepare_tokens(address: str) -> None:
    """Pass on the authentication token that there is.

    Ray 2.60 does so by itself for `auto` alone. Without a token anybody who reaches the head node
    can run programs on the cluster, and on this machine, which takes part in it.

    Raises:
        UsageError: the head node is on another machine, and there is no token.
        MachineError: no head node answers.
    """
    explicit = os.environ.get("RAY_ADDRESS", "auto") if address == "auto" else address
    if explicit == "auto":
        return
    is_foreign = _reach(explicit) not in _own_addresses()
    if "RAY_AUTH_MODE" in os.environ:
        return
    if _has_token():
        os.environ["RAY_AUTH_MODE"] = "token"
    elif is_foreign:
        raise UsageError(
            f"the Ray cluster at {explicit} is on another machine, and there is no authentication "
            "token here, so anybody in its network could run programs on this one. Make a token "
            "with `ray get-auth-token --generate`, start the cluster with RAY_AUTH_MODE=token, and "
            "copy ~/.ray/auth_token to all nodes; or go on without with RAY_AUTH_MODE=disabled."
        )


def _reach(address: str) -> str:
    """The IP address of a head node that answers; raises a MachineError if none does."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS) as probe:
            return str(probe.getpeername()[0])
    except (OSError, ValueError) as error:
        raise MachineError(
            f"no Ray cluster answers at {address} ({getattr(error, 'strerror', None) or error}); "
            f"{HOW_TO_START}"
        ) from None


def _require_head_node() -> None:
    """Check that the head node of this machine's cluster answers.

    Ray itself tries for minutes to reach one that has ended without `ray stop`. What it remembers
    is read with a private function (2.60), if that is there.

    Raises:
        MachineError: it does not.
    """
    private = importlib.import_module("ray._private.utils")
    read_address = getattr(private, "read_ray_address", None)
    if read_address is not None and (address := read_address()):
        _reach(str(address))


def _has_token() -> bool:
    if os.environ.get("RAY_AUTH_TOKEN"):
        return True
    file = os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token"
    return Path(file).is_file()


def _own_addresses() -> set[str]:
    addresses = psutil.net_if_addrs().values()
    return {"127.0.0.1", "::1", *(a.address.partition("%")[0] for each in addresses for a in each)}


@contextlib.contextmanager
def _kept_signal_handlers() -> Iterator[None]:
    """Restore the handlers of signals afterwards: Ray replaces that of SIGTERM."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):  # Another thread than the main one may not.
            for number, handler in before.items():
                if handler is not None and signal.getsignal(number) is not handler:
                    signal.signal(number, handler)


def _keep_quiet() -> None:
    """Log what Ray would print of the nodes' troubles, over many lines and into the display.

    Ray has no setting for that (2.60), so this replaces a private function, if it is there.
    """
    import ray._private.worker as driver

    def log(data: dict[str, Any], **_: Any) -> None:
        logger.debug("Ray: %s", "\n".join(data.get("lines", [])))

    if hasattr(driver, "print_to_stdstream"):
        driver.print_to_stdstream = log


def _explain(error: Exception, address: str) -> Exception:
    """What to raise in place of an error of `ray.init`."""
    message = "\n".join(map(str, _chain(error)))
    if "Version mismatch" in message:
        text = message.partition("Version mismatch:")[2].partition("\n\n")[0]
        versions = clean_text(" ".join(text.split()), 300, one_line=True)
        return MachineError(f"{versions}. All nodes need the same versions, Python's to the patch.")
    if any(word in message for word in ("authentication", "Unauthenticated", "InvalidAuthToken")):
        return MachineError(
            "the Ray cluster asks for another authentication token than this machine has; copy "
            "~/.ray/auth_token from the head node, or set RAY_AUTH_TOKEN to its token"
        )
    if "node_ip_address" in message or "matching IP" in message:
        return MachineError(
            f"this machine is no node of the Ray cluster at {address}; join it with `ray start "
            f"--address={address}`"
        )
    if address == "auto" and "Could not find" in message:
        return MachineError(f"there is no Ray cluster on this machine; {HOW_TO_START}")
    reason = first_line(error)
    return MachineError(f"the Ray cluster ({address}) cannot be used: {reason}; is it running?")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what has led to it."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
