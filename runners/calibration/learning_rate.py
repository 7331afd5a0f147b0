"""Tune learning rate and decay on the bare backbone, before architectures are compared.

If the learning rate is too low for the number of epochs, every network stays on its first plateau,
and a search ranks architectures by how soon they leave it. Therefore workers train the bare
backbone four times for half of a trial's epochs, each time with a complete schedule: first at the
usual rate and at twice that rate; then one step further in the better direction, and at the better
of the two rates with a longer decay. Together this costs as much as two trials, and takes as long
as one if two runs train at once.

The run with the lowest validation loss wins, which distinguishes runs better than the accuracy on a
few hundred images. A larger number of shorter runs was tried; they ended on the first plateau and
could not be distinguished. With pretrained weights it is the loss at the best temperature: networks
that begin with them soon become so sure of themselves that the plain loss is lowest at a rate that
is far too low.

With pretrained weights, what is new (attentions and the head) needs a rate of its own, and the bare
backbone says nothing about attentions. So all attempts use a multiple of the rate for what is new,
and in the end the backbone with one attention, the probe, is trained with the rate and decay that
won, at 1 and 4 times the rate for what is new, and at 16 times if 4 is better than 1.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from ...errors import MachineError, TrialError
from ...spaces.architecture import Architecture
from ..events import Aborted, Decision, EpochDone, Failed, Finished, WorkerDied
from ..metrics import CALIBRATED_LOG_LOSS
from ..recipe import NEW_MODULE_FACTOR, Recipe
from ..results import EpochReport, Job
from ..workers.local_pool import LocalPool
from ..workers.pool import Pool
from ..workers.report_watch import ReportWatch

MAX_COST_TRIALS = 2
"""Maximum cost of all attempts together, in epochs of so many trials."""
MAX_COST_PROBE_TRIALS = 1.5
"""The same for the attempts with a probe."""
MAX_PARALLEL_ATTEMPTS = 2
"""Attempts of one round. More workers would have nothing to do."""
LONG_DECAY = 0.7
"""The longer decay that is tried, as a fraction of the steps."""
BACK_OFF_FACTOR = 0.1
"""Factor by which the rate is reduced if training diverges."""


@dataclass(frozen=True)
class Attempt:
    """One short run of the bare backbone, or of the probe. `loss` and `accuracy` are on validation
    data; the loss is infinite if training diverged, or until it has run. `attention_lr` is None if
    it is `lr`."""

    lr: float
    decay: float
    epochs: int
    loss: float = math.inf
    accuracy: float = 0.0
    attention_lr: float | None = None
    has_probe: bool = False

    def at_rate(self, lr: float) -> Attempt:
        """The attempt at another rate; that of what is new remains the same multiple of it."""
        attention_lr = self.attention_lr and self.attention_lr * (lr / self.lr)
        return replace(self, lr=lr, attention_lr=attention_lr)


@dataclass(frozen=True)
class Tuning:
    """The recipe with the best learning rate and decay, and the attempts that were made."""

    recipe: Recipe
    attempts: tuple[Attempt, ...]


def tune_learning_rate(
    backbone: str,
    recipe: Recipe,
    devices: Sequence[str],
    *,
    probe: Architecture | None = None,
    tune_backbone: bool = True,
    on_attempt: Callable[[Attempt], None] = lambda _: None,
) -> Tuning:
    """Find the learning rate and decay with the lowest validation loss of the bare backbone.

    With a probe, also find the rate of what is new with which the probe has the lowest loss.

    Args:
        backbone: a timm model.
        recipe: the recipe of the search; attempts begin at its `lr`.
        devices: the devices of the workers.
        probe: the backbone with an attention; None if the recipe's `attention_lr` stays as it is.
        tune_backbone: whether `lr` and `decay` are tuned, too.
        on_attempt: called after each attempt.

    Raises:
        TrialError: `diverged` if training diverged at every rate that was tried; otherwise the kind
            of the failure.
        MachineError: the disk is full, for example.
    """
    epochs = max(1, recipe.epochs // 2)
    max_attempts = MAX_COST_TRIALS * recipe.epochs // epochs
    usual = best = Attempt(recipe.lr, recipe.decay, epochs, attention_lr=recipe.attention_lr)
    attempts: list[Attempt] = []
    with _start_attempts(backbone, recipe, devices, on_attempt) as run_attempts:
        if tune_backbone:
            faster = _faster(usual, 2 * recipe.lr, scales=probe is not None)
            attempts = run_attempts([usual, faster][:max_attempts])
            best = min(attempts, key=_loss)
            second_round = _plan_second_round(recipe, attempts, best, scales=probe is not None)
            attempts += run_attempts(second_round[: max_attempts - len(attempts)])
            best = min(attempts, key=_loss)
        if probe is not None and (math.isfinite(best.loss) or not tune_backbone):
            probed = _probe_attention_rates(best, lambda planned: run_attempts(planned, probe))
            attempts += probed
            best = replace(best, attention_lr=min(probed, key=_loss).attention_lr)
    if tune_backbone and not math.isfinite(best.loss):
        lowest = min(attempt.lr for attempt in attempts)
        raise TrialError(
            "diverged",
            f"the bare backbone diverges at every learning rate down to {lowest:.2g}; set --lr "
            "lower than that, or check the data",
        )
    fields = {"lr": best.lr, "decay": best.decay, "attention_lr": best.attention_lr}
    return Tuning(recipe.model_copy(update=fields), tuple(attempts))


def _faster(attempt: Attempt, lr: float, *, scales: bool) -> Attempt:
    """An attempt at another rate; a requested rate of what is new does not scale with it."""
    return attempt.at_rate(lr) if scales else replace(attempt, lr=lr)


def _probe_attention_rates(
    best: Attempt, run_probe: Callable[[list[Attempt]], list[Attempt]]
) -> list[Attempt]:
    """Attempts with the probe at several rates of what is new."""
    planned = replace(best, loss=math.inf, accuracy=0.0, has_probe=True)
    factors = (1, NEW_MODULE_FACTOR)
    attempts = run_probe([replace(planned, attention_lr=n * best.lr) for n in factors])
    if attempts[1].loss < attempts[0].loss:
        further = NEW_MODULE_FACTOR**2 * best.lr
        attempts += run_probe([replace(planned, attention_lr=further)])
    return attempts


def _plan_second_round(
    recipe: Recipe, first_round: Sequence[Attempt], best: Attempt, *, scales: bool
) -> list[Attempt]:
    """Lower rates if all diverged; else one step further, and a longer decay where possible."""
    if not math.isfinite(best.loss):
        lower = (BACK_OFF_FACTOR * recipe.lr, BACK_OFF_FACTOR**2 * recipe.lr)
        return [_faster(first_round[0], lr, scales=scales) for lr in lower]
    further = 2 * best.lr if best.lr > recipe.lr else best.lr / 2
    planned = [_faster(best, further, scales=scales)]
    if recipe.schedule == "wsd" and recipe.decay < LONG_DECAY and recipe.warmup <= 1 - LONG_DECAY:
        planned.append(replace(best, decay=LONG_DECAY))
    return planned


@contextmanager
def _start_attempts(
    backbone: str,
    recipe: Recipe,
    devices: Sequence[str],
    on_attempt: Callable[[Attempt], None],
) -> Iterator[Callable[..., list[Attempt]]]:
    """A function that runs attempts, as many at once as there are workers. It takes the attempts,
    and an architecture in place of the bare backbone."""
    pool: Pool = LocalPool(devices[:MAX_PARALLEL_ATTEMPTS])
    number = 0
    with tempfile.TemporaryDirectory(prefix="attentune-tune-") as folder:

        def run_attempts(
            planned: list[Attempt], architecture: Architecture | None = None
        ) -> list[Attempt]:
            nonlocal number
            jobs = {}
            for attempt in planned:
                job_recipe = recipe.model_copy(update=_attempt_fields(attempt, recipe))
                job_folder = Path(folder, str(number))
                trained = architecture or Architecture(backbone)
                metric = "accuracy" if recipe.init == "scratch" else CALIBRATED_LOG_LOSS.key
                jobs[number] = Job(number, trained, job_recipe, 0, job_folder, metric=metric)
                number += 1
            results = _run_jobs(pool, jobs)
            finished = [
                replace(attempt, loss=loss, accuracy=accuracy)
                for attempt, (loss, accuracy) in zip(
                    planned, (results[number] for number in jobs), strict=True
                )
            ]
            for attempt in finished:
                on_attempt(attempt)
            return finished

        try:
            yield run_attempts
        finally:
            pool.close()


def _attempt_fields(attempt: Attempt, recipe: Recipe) -> dict[str, float | None]:
    """The fields of the recipe that an attempt changes; frozen epochs shrink with all epochs."""
    return {
        "lr": attempt.lr,
        "attention_lr": attempt.attention_lr,
        "decay": attempt.decay,
        "epochs": attempt.epochs,
        "head_epochs": recipe.head_epochs * attempt.epochs // recipe.epochs,
    }


def _run_jobs(pool: Pool, jobs: dict[int, Job]) -> dict[int, tuple[float, float]]:
    """Validation loss and accuracy after the last epoch of every job, by number.

    The loss of a job that diverges is infinite.

    Raises:
        TrialError: a job failed for another reason.
        MachineError: the disk is full, for example.
    """
    results = dict.fromkeys(jobs, (math.inf, 0.0))
    waiting, running, watch = list(jobs), set(jobs), ReportWatch()
    while running:
        while waiting and pool.idle:
            watch.start(waiting[0])
            pool.start(jobs[waiting.pop(0)])
        watch.advance()
        if any(watch.is_silent(number) for number in running.difference(waiting)):
            limit = watch.max_silence
            raise TrialError("timeout", f"the bare backbone reported nothing for {limit:.0f} s")
        for event in pool.events(timeout=1.0):
            seconds = event.report.seconds if isinstance(event, EpochDone) else None
            watch.record_report(event.number, seconds)
            match event:
                case EpochDone(number, report):
                    results[number] = _validation_loss(report), report.accuracy
                    pool.reply(number, Decision.GO_ON)
                case Finished(number):
                    running.remove(number)
                case Failed(number, failure):
                    if failure.kind != "diverged":
                        raise TrialError(failure.kind, f"the bare backbone: {failure.message}")
                    results[number] = math.inf, 0.0
                    running.remove(number)
                case Aborted(_, reason):
                    raise MachineError(f"{reason}, while the learning rate was tuned")
                case WorkerDied(_, reason):
                    message = f"{reason}, while it tuned the learning rate"
                    raise TrialError("worker_died", message)
    return results


def _validation_loss(report: EpochReport) -> float:
    """The calibrated loss where it was computed, else the plain one."""
    score = report.metric_score
    return report.val_loss if score is None else CALIBRATED_LOG_LOSS.value_of(score)


def _loss(attempt: Attempt) -> float:
    return attempt.loss
