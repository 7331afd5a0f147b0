"""The pool of workers on the nodes of a Ray cluster.

Each worker is an actor (`ray_worker.RayWorker`) that is created once and pinned to its node, with a
CPU, or with a GPU or a fraction of one. Ray starts actors, carries messages and notices deaths; the
coordinator alone decides what is trained. A node that joins the cluster gets workers, once it has
been checked (`cluster_check`); of one that leaves, the trials are reported as `WorkerDied`.

The coordinator has one unfinished call of `RayWorker.events` for each worker. Ray ends it with an
error as soon as the actor or its node has died.
"""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Literal

from ...cache_folders import cache_root
from ...errors import MachineError, UsageError
from ..events import END_OF_TRIAL, Decision, Event, WorkerDied
from ..results import Job
from .cluster_check import ClusterCheck, describe_problems, require_equal_nodes
from .pool import PoolSettings
from .ray_cluster import ClusterNode, RayCluster, describe_count, first_line
from .ray_worker import DataServer, RayWorker, WorkerSetup

logger = logging.getLogger(__name__)

EVENTS_SECONDS = 60.0
"""How long a call of `RayWorker.events` waits. A shorter time would only make more calls."""
REFRESH_SECONDS = 2.0
"""Time between two readings of the list of nodes."""
KILL_SECONDS = 30.0
"""Time in which a worker has to end its trial; afterwards the actor is ended."""
BUSY_SECONDS = 20.0
"""The wait for the first worker is announced after this time."""
MAX_FAILED_STARTS = 3
"""A node on which so many workers in a row end without having reported anything gets no more."""
GPU_DIGITS = 4
"""Decimals of a share of a GPU that Ray keeps."""


@dataclass
class _Slot:
    """A worker.

    Attributes:
        name: of the worker.
        node: where it is.
        actor: of its `RayWorker`.
        stage: whether the actor is being created, copies prepared data, or runs trials.
        pending: the call whose answer shows the end of the stage, or brings events.
        job: the number of its trial; None while it is idle.
        run: the number of trials that were given to it. Events of earlier ones are ignored.
    """

    name: str
    node: ClusterNode
    actor: Any
    stage: Literal["starting", "copying", "ready"]
    pending: Any
    job: int | None = None
    run: int = 0


class RayPool:
    """Workers on the nodes of a Ray cluster; see `pool.Pool`.

    Args:
        settings: the address of the cluster, and which workers to have; without a number of
            workers, as many as the cluster has room for at any time.

    Raises:
        UsageError: the device is none that Ray gives out.
        MachineError: there is no cluster, or its nodes cannot run one study together.
    """

    def __init__(self, settings: PoolSettings) -> None:
        check_device(settings.device)
        self._settings = settings
        self._slots: list[_Slot] = []
        self._checks: dict[Any, ClusterNode] = {}
        self._known: set[str] = set()
        self._usable: dict[str, ClusterNode] = {}
        self._failed_starts: Counter[str] = Counter()
        self._num_created = 0
        self._data_server: Any = None
        self._refreshed_at = -math.inf
        self._last_problem = "the cluster has no nodes"
        self._cluster = RayCluster.connect(settings.ray_address)
        self._errors = self._cluster.ray.exceptions
        self._check: ClusterCheck | None = None
        try:
            self._check = check_of(self._cluster, settings)
            self._start()
        except BaseException:
            self.close()
            raise

    def _start(self) -> None:
        nodes = self._cluster.nodes()
        require_room(nodes, self._settings)
        if self._settings.device == "cpu" and any(node.gpus for node in nodes):
            logger.info(
                "the Ray cluster has GPUs that are not used, because this study trains on CPUs; "
                "--device auto takes GPUs if the search is started on a node that has one"
            )
        assert self._check is not None
        references = [self._check.start(node) for node in nodes]
        self._usable = {node.id: node for node in nodes}
        self._known = set(self._usable)
        self._refresh()  # Workers begin while their nodes are being checked.
        checks = self._check.await_all(nodes, references)
        require_equal_nodes(checks)
        for node, check in zip(nodes, checks, strict=True):
            if not check.is_reachable:
                self._forget(node)
        began, is_announced = time.monotonic(), False
        while not self.idle:
            self.events(0.5)
            if not self._slots and not self._checks:  # Nodes with room may just have left.
                require_room(self._cluster.nodes(), self._settings)
            copying = any(slot.stage == "copying" for slot in self._slots)
            if not is_announced and not copying and time.monotonic() - began > BUSY_SECONDS:
                is_announced = True
                logger.info("waiting for a free worker of the Ray cluster")
        num_nodes = len({slot.node.id for slot in self._slots})
        logger.info(
            "%s on %s of a Ray cluster",
            describe_count(len(self._slots), "worker"),
            describe_count(num_nodes, "node"),
        )

    @property
    def size(self) -> int:
        """The number of workers, those that are starting included."""
        return len(self._slots)

    @property
    def idle(self) -> int:
        """How many workers are ready and have no job."""
        return sum(slot.stage == "ready" and slot.job is None for slot in self._slots)

    def start(self, job: Job) -> None:
        """Give the job to the first idle worker."""
        slots = (slot for slot in self._slots if slot.stage == "ready" and slot.job is None)
        slot = next(slots, None)
        if slot is None:
            raise ValueError(f"no idle worker for trial {job.number}")
        slot.job = job.number
        slot.run += 1
        slot.actor.start.remote(slot.run, job)

    def reply(self, number: int, decision: Decision) -> None:
        """Send the decision that a trial waits for; does nothing if its worker has died."""
        for slot in self._slots:
            if slot.job == number:
                slot.actor.reply.remote(number, decision)

    def events(self, timeout: float) -> list[Event]:
        """All events that have arrived, or the first ones that arrive within `timeout` seconds.

        It also ends when there is another idle worker.

        Raises:
            MachineError: no node of the cluster can run trials any more.
        """
        deadline, idle = time.monotonic() + timeout, self.idle
        events = self._receive(timeout)
        while not events and self.idle <= idle and (left := deadline - time.monotonic()) > 0:
            events = self._receive(left)
        return events

    def _receive(self, timeout: float) -> list[Event]:
        """The events in the answers that have arrived, or the first of them that arrive."""
        with self._cluster.explained_errors():
            self._refresh()
            ray, slots = self._cluster.ray, {slot.pending: slot for slot in self._slots}
            waiting = [*slots, *self._checks]
            if not waiting:
                time.sleep(min(timeout, REFRESH_SECONDS))
                return []
            timeout = min(timeout, REFRESH_SECONDS)
            if ray.wait(waiting, num_returns=1, timeout=timeout)[0]:
                answered = ray.wait(waiting, num_returns=len(waiting), timeout=0)[0]
            else:
                answered = []
        events: list[Event] = []
        for reference in answered:
            if reference in slots:
                events += self._take_answer(slots[reference])
            else:
                self._admit(self._checks.pop(reference), reference)
        return events

    def kill(self, number: int) -> None:
        """End a trial at once by ending its process; the worker gets another one."""
        for slot in list(self._slots):
            if slot.job == number:
                slot.job = None
                slot.run += 1  # Events of the trial that are on their way are ignored.
                try:
                    self._cluster.ray.get(slot.actor.kill.remote(number), timeout=KILL_SECONDS)
                except self._errors.RayError as error:
                    self._lose(slot, error)

    def close(self) -> None:
        """End all workers. Their trials can be resumed from their last checkpoints."""
        for actor in [*(slot.actor for slot in self._slots), self._data_server]:
            with contextlib.suppress(Exception):
                if actor is not None:
                    self._cluster.ray.kill(actor)
        self._slots = []
        if self._check is not None:
            self._check.close()
        self._cluster.close()

    def _refresh(self) -> None:
        """Follow the nodes that join and leave, and replace workers that were lost."""
        now = time.monotonic()
        if now - self._refreshed_at < REFRESH_SECONDS:
            return
        self._refreshed_at = now
        nodes = {node.id: node for node in self._cluster.nodes()}
        self._usable = {key: node for key, node in self._usable.items() if key in nodes}
        for node in nodes.values():
            if node.id not in self._known and self._check is not None:
                self._known.add(node.id)
                self._checks[self._check.start(node)] = node
        for node in self._missing_slots():
            self._add_slot(node)
        if not self._slots and not self._usable and not self._checks and nodes:
            raise MachineError(f"no node of the Ray cluster can run trials: {self._last_problem}")

    def _missing_slots(self) -> Iterator[ClusterNode]:
        """The node of each worker that should be added, nodes in turn."""
        present = Counter(slot.node.id for slot in self._slots)
        nodes = self._usable.values()
        free = [
            [node] * max(0, slots_of(node, self._settings) - present[node.id]) for node in nodes
        ]
        missing = [node for turn in zip_longest(*free) for node in turn if node is not None]
        limit = self._settings.workers
        yield from missing if limit is None else missing[: max(0, limit - len(self._slots))]

    def _add_slot(self, node: ClusterNode) -> None:
        self._num_created += 1
        name = f"w{self._num_created}@{node.name}"
        device = "cpu" if self._settings.device == "cpu" else "cuda:0"  # Ray shows it one GPU.
        actor = (
            self._cluster.ray.remote(concurrency_groups={"events": 1})(RayWorker)
            .options(**share_of_node(self._settings), **self._cluster.on_node(node.id))
            .remote(WorkerSetup.like_this_process(name, device))
        )
        pending = actor.missing_data.remote(self._settings.data_keys)
        self._slots.append(_Slot(name, node, actor, "starting", pending))

    def _admit(self, node: ClusterNode, reference: Any) -> None:
        """Use a node that has joined, if its check has no problem."""
        assert self._check is not None
        check = self._check.judge(node, reference)
        if not check.is_reachable:
            self._forget(node)
        elif check.problems:
            self._last_problem = "; ".join(describe_problems(check))
            logger.warning("The node %s is not used: %s", node.name, self._last_problem)
        else:
            logger.info("the node %s has joined the Ray cluster", node.name)
            self._usable[node.id] = node
            self._refreshed_at = -math.inf

    def _forget(self, node: ClusterNode) -> None:
        """Do not use a node that cannot be reached; if it still is listed, it is checked again."""
        self._usable.pop(node.id, None)
        self._known.discard(node.id)

    def _take_answer(self, slot: _Slot) -> list[Event]:
        """The events in the answer of a worker; if it has died, the end of its trial."""
        try:
            answer = self._cluster.ray.get(slot.pending)
        except self._errors.RayError as error:
            return self._lose(slot, error)
        if slot.stage != "ready":
            self._continue_start(slot, answer)
            return []
        self._failed_starts[slot.node.id] = 0
        self._await_events(slot)
        events = [event for run, event in answer if run == slot.run and slot.job is not None]
        if any(isinstance(event, END_OF_TRIAL) for event in events):
            slot.job = None
        return events

    def _continue_start(self, slot: _Slot, missing_data: list[str]) -> None:
        """After a step of a worker's start: copy the data that it lacks, or let it run trials."""
        if not missing_data:
            slot.stage = "ready"
            self._await_events(slot)
            return
        if all(other.stage != "copying" for other in self._slots if other.node == slot.node):
            logger.info("copying the prepared images to %s", slot.node.name)
        slot.stage = "copying"
        slot.pending = slot.actor.copy_data.remote(missing_data, self._serve_data())

    def _await_events(self, slot: _Slot) -> None:
        call = slot.actor.events.options(concurrency_group="events")
        slot.pending = call.remote(EVENTS_SECONDS)

    def _serve_data(self) -> Any:
        """The actor that serves prepared data from this machine."""
        if self._data_server is None:
            options = {"num_cpus": 0, **self._cluster.on_node(self._cluster.own_node_id)}
            server = self._cluster.ray.remote(DataServer).options(**options)
            self._data_server = server.remote(str(cache_root()))
        return self._data_server

    def _lose(self, slot: _Slot, error: Exception) -> list[Event]:
        """Give up a worker that has died or cannot be reached; returns the end of its trial."""
        with contextlib.suppress(Exception):
            self._cluster.ray.kill(slot.actor)
        self._slots.remove(slot)
        reason, by_trial = self._explain_loss(slot, error)
        logger.debug("%s: %s", reason, error)
        node = slot.node
        if isinstance(error, self._errors.ActorUnschedulableError):
            self._forget(node)
        else:
            self._failed_starts[node.id] += 1
        if self._failed_starts[node.id] >= MAX_FAILED_STARTS and node.id in self._usable:
            del self._usable[node.id]
            self._last_problem = reason
            logger.warning(
                "The node %s is not used any more, because its workers end at once: %s",
                node.name,
                reason,
            )
        return [] if slot.job is None else [WorkerDied(slot.job, reason, by_trial=by_trial)]

    def _explain_loss(self, slot: _Slot, error: Exception) -> tuple[str, bool]:
        """Why a worker was lost, as a clause, and whether its trial may have caused it."""
        if isinstance(error, self._errors.OutOfMemoryError):
            return f"worker {slot.name} was ended by Ray, because its node ran out of memory", True
        if getattr(error, "preempted", False):
            return f"worker {slot.name} was lost, because its node was preempted", False
        alive: set[str] = set()
        with contextlib.suppress(MachineError):
            alive = {node.id for node in self._cluster.nodes()}
        if slot.node.id not in alive:
            return f"worker {slot.name} was lost, because its node has left the cluster", False
        return f"worker {slot.name} was lost ({describe_error(error)})", False


def check_device(device: str) -> None:
    """Raise UsageError for a device that Ray does not give out."""
    if device not in ("cpu", "cuda"):
        raise UsageError(
            f"--pool ray trains on the CPUs or the GPUs that Ray gives out, and not on {device}; "
            "use --device cpu or --device cuda"
        )


def check_of(cluster: RayCluster, settings: PoolSettings) -> ClusterCheck:
    """The check that the nodes of a pool with these settings have to pass."""
    count_gpus = settings.device == "cuda"
    return ClusterCheck(cluster, settings.shared, settings.files, count_gpus=count_gpus)


def check_ray_pool(settings: PoolSettings) -> None:
    """Check that a pool could be made; raises as `RayPool`.

    A cluster that is to be started on this machine is not started for that.
    """
    from .ray_cluster import import_ray

    check_device(settings.device)
    if settings.ray_address == "local":
        import_ray()
        return
    cluster = RayCluster.connect(settings.ray_address)
    try:
        nodes = cluster.nodes()
        require_room(nodes, settings)
        with check_of(cluster, settings) as check:
            require_equal_nodes(check.check(nodes))
    finally:
        cluster.close()


def require_room(nodes: list[ClusterNode], settings: PoolSettings) -> None:
    """Raise a MachineError if no node has room for a worker."""
    if any(slots_of(node, settings) for node in nodes):
        return
    kind = "CPUs" if settings.device == "cpu" else "GPUs"
    raise MachineError(
        f"the nodes of the Ray cluster ({', '.join(node.name for node in nodes)}) have no {kind} "
        "for trials; see `ray status`"
    )


def slots_of(node: ClusterNode, settings: PoolSettings) -> int:
    """How many workers a node has room for."""
    return node.cpus if settings.device == "cpu" else node.gpus * settings.workers_per_gpu


def share_of_node(settings: PoolSettings) -> dict[str, float]:
    """What Ray has to set apart for a worker."""
    if settings.device == "cpu":
        return {"num_cpus": 1}
    share = 10**GPU_DIGITS // settings.workers_per_gpu / 10**GPU_DIGITS
    return {"num_cpus": 0, "num_gpus": share}


def describe_error(error: Exception) -> str:
    """The line of an error of Ray that says why an actor has ended."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if getattr(error, "actor_init_failed", False) and lines:
        return first_line(RuntimeError(lines[-1]))
    return first_line(error)
