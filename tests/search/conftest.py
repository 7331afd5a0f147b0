"""Studies without training: a pool whose accuracies are a formula of architecture and seed."""

from __future__ import annotations

import hashlib
import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from attentune.runners.events import (
    END_OF_TRIAL,
    Aborted,
    Decision,
    EpochDone,
    Event,
    Failed,
    Finished,
    Measured,
    Rejected,
    Started,
    Stopped,
    WorkerDied,
)
from attentune.runners.results import Costs, EpochReport, Failure, Job, TrialResult
from attentune.search.pruning.base import Pruner
from attentune.search.pruning.registry import make_pruner
from attentune.search.run.alternative_trials import AlternativeTrials
from attentune.search.run.callback import Callback, RunningStudy, RunningTrial
from attentune.search.run.confirm import (
    ConfirmationSource,
    ConfirmRequest,
    StudyTrials,
    configure_confirmation,
    plan_confirmation,
    store_confirmation,
)
from attentune.search.run.coordinator import Coordinator
from attentune.search.run.optuna_study import OptunaStudy
from attentune.search.run.propose import Proposer
from attentune.search.run.study_lease import hold_lease
from attentune.search.run.study_run import StudyRun
from attentune.search.trial_source import RecordedSearch
from attentune.spaces.search_space.bound_space import bind_space
from attentune.spaces.search_space.space import load_space
from attentune.studies.alternatives import AlternativesPlan
from attentune.studies.config import RunPlan, StudyConfig
from attentune.studies.database.store import Store

Hook = Callable[[RunningStudy, RunningTrial, EpochReport], None]


def formula(job: Job) -> float:
    """Accuracy in [0, 1], fixed by architecture and seed."""
    digest = hashlib.sha256(f"{job.architecture}|{job.seed}".encode()).digest()
    return int.from_bytes(digest[:4], "big") / 2**32


class FormulaPool:
    """Workers that need no time."""

    def __init__(self, workers: int = 1) -> None:
        self.workers = workers
        self.jobs: dict[int, Job] = {}
        self.queue: deque[Event] = deque()
        self.epochs: dict[Path, int] = {}
        self.started: list[Job] = []
        self.dies_after_epoch: list[int] = []
        self.fails = False
        self.fails_with = ""
        self.disk_is_full = False
        self.most_images: float = math.inf
        self.rejects: Callable[[Job], str | None] = lambda _: None

    @property
    def size(self) -> int:
        return self.workers

    @property
    def idle(self) -> int:
        return max(0, self.workers - len(self.jobs))

    def start(self, job: Job) -> None:
        assert self.idle, "a job for a busy pool"
        self.jobs[job.number] = job
        self.started.append(job)
        done = self.epochs.setdefault(job.folder, 0)
        self.queue.append(Started(job.number, "w1", done))
        if reason := self.rejects(job):
            self.queue.append(Rejected(job.number, self._costs(job), reason))
            return
        self.queue.append(Measured(job.number, self._costs(job)))
        if done and not self.fails:  # The last report of the earlier run may not have arrived.
            self._report(job)
        else:
            self._next(job)

    def _next(self, job: Job) -> None:
        if self.fails or (self.fails_with and self.fails_with in str(job.architecture)):
            self.queue.append(Failed(job.number, Failure("error", "no such luck")))
            return
        if job.recipe.batch_size / job.micro_batches > self.most_images:
            reason = "the trial used more memory than --trial-memory allows"
            self.queue.append(WorkerDied(job.number, reason, out_of_memory=True))
            return
        if self.disk_is_full:
            self.queue.append(Aborted(job.number, "No space left on device: /data"))
            return
        done = self.epochs[job.folder] = self.epochs[job.folder] + 1
        if done in self.dies_after_epoch:
            self.dies_after_epoch.remove(done)
            self.epochs[job.folder] = done - 1
            self.queue.append(WorkerDied(job.number, "worker w1 was ended by SIGKILL"))
            return
        self._report(job)

    def _report(self, job: Job) -> None:
        done = self.epochs[job.folder]
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


class EpochHook(Callback):
    """Calls a function after every epoch."""

    def __init__(self, hook: Hook) -> None:
        self.hook = hook

    def on_study_start(self, study: RunningStudy) -> None:
        self.study = study

    def on_epoch(self, trial: RunningTrial, report: EpochReport) -> None:
        self.hook(self.study, trial, report)


class Bench:
    """A database with studies on `test_resnet` that are run by `FormulaPool`s."""

    def __init__(self, folder: Path, database: str | None = None) -> None:
        self.store = Store.open(database or folder / "bench.db", create=True)
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
        on_epoch: Hook = lambda *_: None,
        callbacks: Sequence[Callback] = (),
        alternatives: AlternativesPlan | None = None,
        **plan: Any,
    ) -> Coordinator:
        """Start the study, or continue it, as a new process would."""
        if config is not None:
            self.create(name, config)
        run = self._study_run(name, trials=trials, **plan)
        proposer, pruner, pool = self.proposer(name), self.pruner(name), self.new_pool()
        extra_trials = None
        if alternatives is not None:
            keys = {alternative.kind: "key" for alternative in alternatives.alternatives}
            extra_trials = AlternativeTrials(
                run, alternatives, keys, lambda: not proposer.lacks_baselines()
            )
        with hold_lease(self.store, run.record) as lease:
            hooks = [EpochHook(on_epoch), *callbacks]
            coordinator = Coordinator(run, lease, proposer, pruner, pool, hooks, extra_trials)
            coordinator.run()
        return coordinator

    def proposer(self, name: str) -> Proposer:
        """The study's proposer as a new process would have it."""
        from attentune.runners.costs import CostModel

        run = self._study_run(name)
        config = run.config
        costs = CostModel(config.backbone, config.recipe, config.num_classes)
        study = OptunaStudy(config.keys, self.store, run.record)
        space = bind_space(config.space, costs.site_map)
        return Proposer(self.store, run.record, config, space, costs, study)

    def pruner(self, name: str) -> Pruner:
        """The study's pruner as a new process would have it."""
        run = self._study_run(name)
        pruner = make_pruner(run.config)
        pruner.replay(RecordedSearch(self.store, run.record))
        return pruner

    def _study_run(self, name: str, **plan: Any) -> StudyRun:
        record = self.store.studies.get(name)
        config = record.config.study
        return StudyRun(self.store, record, config, RunPlan(**plan))

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
        on_epoch: Hook = lambda *_: None,
        alternatives: AlternativesPlan | None = None,
        **request: int,
    ) -> None:
        """Start or continue the study's confirmation, as a new process would."""
        searched = self._study_run(name)
        trials, asked = StudyTrials.read(self.store, searched.record), ConfirmRequest(**request)
        plan = plan_confirmation(searched, trials, asked)
        searched = store_confirmation(searched, plan)
        source = ConfirmationSource(searched, plan, trials)
        source.data_keys = [f"split {split}" for split in range(plan.splits)]
        run = configure_confirmation(searched, plan, asked, source.total)
        pool, hooks = self.new_pool(), [EpochHook(on_epoch)]
        with hold_lease(self.store, run.record, counts_time=False) as lease:
            extra_trials = None
            if alternatives is not None:
                keys = {alternative.kind: "key" for alternative in alternatives.alternatives}
                extra_trials = AlternativeTrials(run, alternatives, keys, confirmation=plan)
            pruner = make_pruner(run.config)
            Coordinator(run, lease, source, pruner, pool, hooks, extra_trials).run()

    def new_pool(self) -> FormulaPool:
        """The workers of a new process, which find the checkpoints of the earlier one."""
        pool = FormulaPool(self.pool.workers)
        pool.epochs, pool.dies_after_epoch = self.pool.epochs, self.pool.dies_after_epoch
        pool.fails, pool.rejects = self.pool.fails, self.pool.rejects
        pool.fails_with = self.pool.fails_with
        pool.most_images = self.pool.most_images
        self.pool = pool
        return pool

    def confirming_rows(self, name: str) -> list[tuple[int, str, int, str, float | None]]:
        """What the database holds of every confirming trial, for comparisons."""
        trials = self.store.trials.read(name, confirming=True)
        return [(t.number, t.architecture, t.seed, t.state, t.accuracy) for t in trials]

    def rows(self, name: str) -> list[tuple[int, str, int, str, float | None]]:
        """What the database holds of every trial, for comparisons."""
        trials = self.store.trials.read(self.store.studies.get(name))
        return [(t.number, t.architecture, t.seed, t.state, t.accuracy) for t in trials]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.store.close()
