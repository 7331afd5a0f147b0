"""Running a study from beginning to end: start a new one, or go on with one that is there.

This is where the parts are put together; the command line only reads flags and prints.
"""

from __future__ import annotations

import contextlib
import logging
import signal
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from ...errors import StudyError
from ...interrupts import defer_interrupts
from ...runners.data import Progress
from ...runners.workers.local_pool import LocalPool, warm_up
from ...spaces.attentions.plugins.register import origins_of
from ...spaces.search_space.space import NONE
from ...studies.config import RunPlan, StudyConfig, validated
from ...studies.database.store import Store
from ...studies.missing_attentions import require_attentions
from ...studies.records import StudyRecord
from ...studies.text.formatting import plural
from ..pruning.base import Pruner
from ..pruning.table import make_pruner
from ..setup.autotune import autotune_workers_per_gpu
from ..trial_source import RecordedSearch, TrialSource
from .study_lease import StudyLease, hold_lease

if TYPE_CHECKING:
    from ..setup.request import SearchRequest

logger = logging.getLogger(__name__)

Watch = Callable[[Any], Any]
"""Of a coordinator makes a context manager around a `Callback`."""


@dataclass(frozen=True)
class RunOutcome:
    """How a run ended. `finished` is false after an interrupt."""

    finished: bool
    trials: int

    @property
    def sentence(self) -> str:
        """What an interrupted run tells the user."""
        return f"Stopped after {plural(self.trials, 'trial')}. Everything is saved."


def create_study(
    store: Store,
    name: str,
    request: SearchRequest,
    progress: Progress | None = None,
    command: str | None = None,
) -> StudyRecord:
    """Create a study from a request.

    Raises the errors of `resolve_request` and of `StudyRepository.check_new`.

    `command` is kept for whoever wants to do it again, and under `plugins` where people's own
    attentions came from.
    """
    store.studies.check_new(name)  # before anything slow happens
    warm_up()
    with defer_interrupts():
        from ...runners.devices import resolve_device

        # It imports torch, which a finished confirmation does without.
        from ..setup.resolve import resolve_request
    config = resolve_request(request, store.probes, progress)
    device = resolve_device(request.plan.device)
    packed = autotune_workers_per_gpu(request, config.recipe, device, store.probes)
    plan = request.plan.model_copy(update={"workers_per_gpu": packed})
    return store.studies.create(
        name,
        backbone=config.backbone,
        objectives=config.keys,
        config={
            **_stored(config, plan),
            "plugins": origins_of(_attentions(config.space.attentions)),
            "command": command,
        },
        seed=config.seed,
    )


def delete_study(store: Store, name: str) -> None:
    """Remove a study with its trials, checkpoints and weights, and Optuna's record of it.

    StudyError if it does not exist, or if it is being run.
    """
    from .optuna_study import delete_optuna_study

    store.delete_study(name)
    delete_optuna_study(store, name)


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


def update_plan(store: Store, record: StudyRecord, **changes: Any) -> StudyRecord:
    """The study with other totals; what is None stays as it was."""
    config, plan = settings(record)
    given = {name: value for name, value in changes.items() if value is not None}
    plan = validated(RunPlan, "resume", **{**plan.model_dump(), **given})
    return store.studies.update_config(record, {**record.config, **_stored(config, plan)})


def run_study(store: Store, record: StudyRecord, watch: Watch) -> RunOutcome:
    """Run a study to the end of its plan, or until an interrupt."""
    config, plan = settings(record)
    with hold_lease(store, record) as lease:
        warm_up()
        return _search(lease, config, plan, watch)


def _search(lease: StudyLease, config: StudyConfig, plan: RunPlan, watch: Watch) -> RunOutcome:
    with defer_interrupts():
        from ...runners.costs import CostModel
        from ...runners.data import prepare_data
        from ...spaces.search_space.bound_space import bind_space
        from .optuna_study import OptunaStudy
        from .propose import Proposer

    store, record = lease.store, lease.record
    devices = _devices(record, config, plan)
    prepare_data(config.recipe)  # workers only open what is already there
    costs = CostModel(config.backbone, config.recipe, config.num_classes)
    study = OptunaStudy(config.keys, store, record.name)
    bound = bind_space(config.space, costs.site_map)
    proposer = Proposer(store, record, config, bound, costs, study)
    pruner = make_pruner(config)
    pruner.remember(RecordedSearch(store, record))
    return _coordinate(lease, config, plan, proposer, pruner, devices, watch)


def confirm_study(
    store: Store,
    record: StudyRecord,
    watch: Watch,
    *,
    top: int | None = None,
    seeds: int | None = None,
    epochs: int | None = None,
    workers: int | None = None,
    device: str | None = None,
) -> RunOutcome:
    """Retrain finalists and baselines as `plan_confirmation` decides, or go on with that."""
    from .confirm import ConfirmationSource, StudyTrials, confirmation_config, plan_confirmation

    config, plan = settings(record)
    with hold_lease(store, record, counted=False) as lease:
        earlier = StudyTrials.read(store, record)
        record, wanted = plan_confirmation(
            store, record, config, earlier, top=top, seeds=seeds, epochs=epochs
        )
        trial_source = ConfirmationSource(store, record, config, wanted, earlier)
        if not trial_source.unfinished:
            return RunOutcome(True, trial_source.total)
        warm_up()
        from ...runners.data import prepare_data

        config = confirmation_config(config, wanted)
        plan = validated(
            RunPlan,
            "confirm",
            trials=trial_source.total,
            trial_timeout=plan.trial_timeout,
            workers=workers or plan.workers,
            workers_per_gpu=plan.workers_per_gpu,
            device=device or plan.device,
        )
        devices = _devices(record, config, plan)
        prepare_data(config.recipe)
        logger.info(trial_source.announcement(len(devices)))
        return _coordinate(lease, config, plan, trial_source, make_pruner(config), devices, watch)


def _devices(record: StudyRecord, config: StudyConfig, plan: RunPlan) -> list[str]:
    """A device for every worker; StudyError if they are of another kind than the study's."""
    with defer_interrupts():
        from ...runners.devices import resolve_device, worker_devices
    device = resolve_device(plan.device)
    if device.type != config.device:
        raise StudyError(
            f"the study {record.name!r} has trained on {config.device}; results on {device.type} "
            f"would not compare. Go on with --device {config.device}, or start another study."
        )
    return worker_devices(device, plan.workers, plan.workers_per_gpu)


def _coordinate(
    lease: StudyLease,
    config: StudyConfig,
    plan: RunPlan,
    trial_source: TrialSource,
    pruner: Pruner,
    devices: list[str],
    watch: Watch,
) -> RunOutcome:
    from .coordinator import Coordinator

    pool = LocalPool(devices)
    coordinator = Coordinator(lease, config, plan, trial_source, pruner, pool)
    try:
        with watch(coordinator) as watcher, _interrupts(coordinator.stop):
            coordinator.run(watcher)
    finally:
        pool.close()
    return RunOutcome(not coordinator.stopping, coordinator.done)


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
