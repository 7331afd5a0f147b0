"""A study without training: a pool that answers at once, by a formula of the architecture."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from attentune.runners.events import (
    END_OF_TRIAL,
    Decision,
    EpochDone,
    Event,
    Failed,
    Finished,
    Measured,
    Started,
    Stopped,
    WorkerDied,
)
from attentune.runners.results import Costs, EpochReport, Failure, Job, TrialResult
from attentune.search.pruning.table import make_pruner
from attentune.search.run.confirm import ConfirmationSource, confirmation_config, plan_confirmation
from attentune.search.run.coordinator import Coordinator
from attentune.search.run.optuna_study import OptunaStudy
from attentune.search.run.propose import Proposer
from attentune.search.run.study_lease import hold_lease
from attentune.search.trial_source import RecordedSearch
from attentune.spaces.search_space.bound_space import bind_space
from attentune.spaces.search_space.space import load_space
from attentune.studies.config import RunPlan, StudyConfig
from attentune.studies.database.store import Store


def formula(job: Job) -> float:
    """Accuracy in [0, 1], fixed by architecture and seed."""
    digest = hashlib.sha256(f"{job.architecture}|{job.seed}".encode()).digest()
    return int.from_bytes(digest[:4], "big") / 2**32


class FormulaPool:
    """Workers that need no time. `on_event` may raise or replace what happens."""

    def __init__(self, workers: int = 1) -> None:
        self.workers = workers
        self.jobs: dict[int, Job] = {}
        self.queue: deque[Event] = deque()
        self.epochs: dict[Path, int] = {}
        self.started: list[Job] = []
        self.dies_after_epoch: list[int] = []
        self.fails = False

    @property
    def idle(self) -> int:
        return self.workers - len(self.jobs)

    def start(self, job: Job) -> None:
        assert self.idle, "a job for a busy pool"
        self.jobs[job.number] = job
        self.started.append(job)
        done = self.epochs.setdefault(job.folder, 0)
        self.queue.append(Started(job.number, "w1", done))
        self.queue.append(Measured(job.number, Costs(1000 + len(str(job.architecture)), 10)))
        self._next(job)

    def _next(self, job: Job) -> None:
        if self.fails:
            self.queue.append(Failed(job.number, Failure("error", "no such luck")))
            return
        done = self.epochs[job.folder] = self.epochs[job.folder] + 1
        if done in self.dies_after_epoch:
            self.dies_after_epoch.remove(done)
            self.epochs[job.folder] = done - 1
            self.queue.append(WorkerDied(job.number, "worker w1 was ended by SIGKILL"))
            return
        accuracy = formula(job) * done / job.recipe.epochs
        self.queue.append(EpochDone(job.number, EpochReport(done, 1.0, accuracy, 1.0, 0.1, 0.5)))

    def reply(self, number: int, decision: Decision) -> None:
        job = self.jobs[number]
        done = self.epochs[job.folder]
        if done == job.recipe.epochs:
            result = TrialResult(
                formula(job), done, self._costs(job), 1.0, 1.0, 10.0, {"torch": "none"}
            )
            self.queue.append(Finished(number, result))
        elif decision is Decision.GO_ON:
            self._next(job)
        else:
            self.queue.append(Stopped(number, done, 1.0, 0.5 * done, {"torch": "none"}))

    @staticmethod
    def _costs(job: Job) -> Costs:
        return Costs(1000 + len(str(job.architecture)), 10)

    def events(self, timeout: float) -> list[Event]:
        del timeout
        if not self.queue:
            return []
        event = self.queue.popleft()
        if isinstance(event, END_OF_TRIAL):  # only now is the worker free, as in a real pool
            del self.jobs[event.number]
        return [event]

    def kill(self, number: int) -> None:
        self.jobs.pop(number, None)

    def close(self) -> None:
        self.jobs.clear()


class Silent:
    """A watcher that may act on events."""

    def __init__(self, on_event: Callable[[Event], None] = lambda _: None) -> None:
        self.on_event = on_event

    def trial_started(self, trial: Any) -> None:
        pass

    def happened(self, trial: Any, event: Event) -> None:
        del trial
        self.on_event(event)

    def tick(self) -> None:
        pass


class Bench:
    """A database with studies on `test_resnet` that are run by `FormulaPool`s."""

    def __init__(self, folder: Path) -> None:
        self.store = Store.open(folder / "bench.db", create=True)
        self.pool = FormulaPool()

    def config(self, **fields: Any) -> StudyConfig:
        space = fields.pop("space", None) or load_space("quick")
        recipe = {"data": "digits", "image_size": 32, "epochs": 3, **fields.pop("recipe", {})}
        defaults = {"backbone": "test_resnet", "num_classes": 10, "stages": 4}
        return StudyConfig(**{**defaults, **fields, "recipe": recipe, "space": space})

    def run(
        self,
        name: str,
        trials: int,
        config: StudyConfig | None = None,
        *,
        on_event: Callable[[Coordinator, Event], None] = lambda *_: None,
        **plan: Any,
    ) -> Coordinator:
        """Start the study, or go on with it, as a new process would."""
        from attentune.runners.costs import CostModel

        if config is not None:
            self.create(name, config)
        record = self.store.studies.get(name)
        config = StudyConfig.model_validate(record.config["study"])
        costs = CostModel(config.backbone, config.recipe, config.num_classes)
        study = OptunaStudy(config.keys, self.store, name)
        bound = bind_space(config.space, costs.site_map)
        proposer = Proposer(self.store, record, config, bound, costs, study)
        pool = self._new_pool()
        plan = RunPlan(trials=trials, **plan)
        pruner = make_pruner(config)
        pruner.remember(RecordedSearch(self.store, record))
        with hold_lease(self.store, record) as lease:
            coordinator = Coordinator(lease, config, plan, proposer, pruner, pool)
            coordinator.run(Silent(lambda event: on_event(coordinator, event)))
        return coordinator

    def create(self, name: str, config: StudyConfig) -> None:
        """A study without trials."""
        self.store.studies.create(
            name,
            backbone=config.backbone,
            objectives=config.keys,
            config={"study": config.model_dump(mode="json"), "plan": RunPlan().model_dump()},
            seed=config.seed,
        )

    def confirm(
        self,
        name: str,
        *,
        on_event: Callable[[Coordinator, Event], None] = lambda *_: None,
        **asked: int,
    ) -> None:
        """Confirm the study, or go on with it, as a new process would."""
        record = self.store.studies.get(name)
        config = StudyConfig.model_validate(record.config["study"])
        record, wanted = plan_confirmation(self.store, record, config, **asked)
        trial_source = ConfirmationSource(self.store, record, config, wanted)
        config, plan = confirmation_config(config, wanted), RunPlan(trials=trial_source.total)
        pool = self._new_pool()
        with hold_lease(self.store, record, counted=False) as lease:
            coordinator = Coordinator(lease, config, plan, trial_source, make_pruner(config), pool)
            coordinator.run(Silent(lambda event: on_event(coordinator, event)))

    def _new_pool(self) -> FormulaPool:
        """The workers of a new process: what lies on the disk is still there."""
        pool = FormulaPool(self.pool.workers)
        pool.epochs, pool.dies_after_epoch = self.pool.epochs, self.pool.dies_after_epoch
        pool.fails = self.pool.fails
        self.pool = pool
        return pool

    def told_confirming(self, name: str) -> list[tuple[int, str, int, str, float | None]]:
        """What the database holds of every confirming trial, for comparisons."""
        trials = self.store.trials.read(name, confirming=True)
        return [(t.number, t.architecture, t.seed, t.state, t.accuracy) for t in trials]

    def told(self, name: str) -> list[tuple[int, str, int, str, float | None]]:
        """What the database holds of every trial, for comparisons."""
        trials = self.store.trials.read(self.store.studies.get(name))
        return [(t.number, t.architecture, t.seed, t.state, t.accuracy) for t in trials]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    found = Bench(tmp_path)
    yield found
    found.store.close()
