"""Running a study from beginning to end: start a new one, or go on with one that is there.

This is where the parts are put together; the command line only reads flags and prints.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Any

from pydantic import ValidationError

from ..errors import StudyError
from ..runners.data import Progress
from ..spaces.attentions.plugins import origins
from ..spaces.space import NONE
from ..studies.plugins import require_attentions
from ..studies.records import Lease, StudyRecord
from ..studies.store import Store
from .config import RunPlan, StudyConfig, validated
from .request import SearchRequest, prepare
from .settle import settle_packing

Say = Callable[[str], None]


@dataclass(frozen=True)
class Ending:
    """How a run ended. `finished` is false after an interrupt."""

    finished: bool
    trials: int


def begin(
    store: Store,
    name: str,
    request: SearchRequest,
    say: Say,
    progress: Progress | None = None,
    command: str | None = None,
) -> StudyRecord:
    """Create a study from a request; the errors of `prepare`, and those of `Store.check_new`.

    `command` is kept for whoever wants to do it again, and under `plugins` where people's own
    attentions came from.
    """
    from ..runners.devices import resolve_device

    store.check_new(name)  # before anything slow happens
    config = prepare(request, say, store, progress)
    device = resolve_device(request.device)
    packed = settle_packing(request, config.recipe, device, store, say)
    plan = request.plan.model_copy(update={"workers_per_gpu": packed})
    return store.create_study(
        name,
        backbone=config.backbone,
        objectives=config.keys,
        config={
            **_stored(config, plan),
            "plugins": origins(_attentions(config.space.attentions)),
            "command": command,
        },
        seed=config.seed,
    )


def settings(record: StudyRecord) -> tuple[StudyConfig, RunPlan]:
    """A study's configuration and plan.

    StudyError if another version wrote something else, or an attention is not installed here.
    """
    try:
        attentions = _attentions(record.config["study"]["space"]["attentions"])
        require_attentions(record, f"the study {record.name!r}", attentions)
        return (
            StudyConfig.model_validate(record.config["study"]),
            RunPlan.model_validate(record.config["plan"]),
        )
    except (KeyError, ValidationError):
        raise StudyError(
            f"the configuration of {record.name!r} cannot be read; it was written by attentune "
            f"{record.version}. Use that version to go on with it."
        ) from None


def replan(store: Store, record: StudyRecord, **changes: Any) -> StudyRecord:
    """The study with other totals; what is None stays as it was."""
    config, plan = settings(record)
    given = {name: value for name, value in changes.items() if value is not None}
    plan = validated(RunPlan, "resume", **{**plan.model_dump(), **given})
    return store.update_config(record, {**record.config, **_stored(config, plan)})


def run(store: Store, record: StudyRecord, watch: Callable[[Any], Any]) -> Ending:
    """Run a study to the end of its plan, or until an interrupt.

    `watch(coordinator)` gives a context manager around a `Watcher`.
    """
    config, plan = settings(record)
    lease = store.acquire(record)
    try:
        return _run(store, record, config, plan, lease, watch)
    finally:
        store.release(lease)


def _run(
    store: Store,
    record: StudyRecord,
    config: StudyConfig,
    plan: RunPlan,
    lease: Lease,
    watch: Callable[[Any], Any],
) -> Ending:
    from ..runners.cost import CostModel
    from ..runners.data import prepare_data
    from ..runners.devices import resolve_device, worker_devices
    from ..runners.pool import LocalPool
    from ..spaces.bound import bind
    from .coordinator import Coordinator
    from .optuna_study import OptunaStudy
    from .propose import Proposer
    from .prune import Pruner

    device = resolve_device(plan.device)
    if device.type != config.device:
        raise StudyError(
            f"the study {record.name!r} has trained on {config.device}; results on {device.type} "
            f"would not compare. Resume with --device {config.device}, or start another study."
        )
    prepare_data(config.recipe)  # workers only open what is already there
    costs = CostModel(config.backbone, config.recipe, config.num_classes)
    study = OptunaStudy(config.keys, store, record.name)
    bound = bind(config.space, costs.site_map)
    proposer = Proposer(store, record, config, bound, costs, study)
    pool = LocalPool(worker_devices(device, plan.workers, plan.workers_per_gpu))
    pruner = Pruner(config)
    if config.pruning.pruner != "none":  # reading every epoch takes a while in a large study
        pruner.remember(store.trials(record), store.epochs(record))
    coordinator = Coordinator(store, record, config, plan, proposer, pruner, pool, lease)
    try:
        with watch(coordinator) as watcher, _interrupts(coordinator.stop):
            coordinator.run(watcher)
    finally:
        pool.close()
    return Ending(not coordinator.stopping, coordinator.done)


@contextlib.contextmanager
def _interrupts(stop: Callable[[], None]) -> Iterator[None]:
    """The first Ctrl-C (or TERM) asks to stop; a second one ends at once.

    Ended at once, the running epochs are lost; what was saved before them is not.
    """

    def first(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        stop()

    before = {n: signal.signal(n, first) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _attentions(choices: Iterable[str]) -> list[str]:
    return [name for name in choices if name != NONE]


def _stored(config: StudyConfig, plan: RunPlan) -> dict[str, Any]:
    return {"study": config.model_dump(mode="json"), "plan": plan.model_dump(mode="json")}
