"""A fair recipe before architectures are compared: learning rate and decay, on the bare backbone.

A learning rate that is too low for the budget leaves every network on its first plateau, and a
search then ranks who leaves it first. So workers train the bare backbone four times for half a
trial, each time a finished schedule: at the usual rate and at twice that; then one step further in
the better direction, and the better of the two with a longer decay. Together that costs two trials,
and two at a time it takes as long as one.

The validation loss of the weights that would be kept decides: it resolves more than the accuracy on
some hundred pictures does. Shorter and more runs were tried; they ended on the first plateau and
could not be told apart.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from ...errors import TrialError
from ...spaces.architecture import Architecture
from ..events import Decision, EpochDone, Failed, Finished, WorkerDied
from ..recipe import Recipe
from ..results import Job
from ..workers.local_pool import LocalPool
from ..workers.pool import Pool

MAX_TRIALS = 2
"""At most so many trials."""
LONG_DECAY = 0.7
BACK_OFF = 0.1
"""By how much the rate falls where training diverges."""


@dataclass(frozen=True)
class Attempt:
    """One short run of the bare backbone; `loss` is infinite if it diverged."""

    lr: float
    decay: float
    epochs: int
    loss: float = math.inf
    accuracy: float = 0.0


@dataclass(frozen=True)
class Tuning:
    """What was tried, and the recipe that came out."""

    recipe: Recipe
    attempts: tuple[Attempt, ...]


Told = Callable[[Attempt], None]


def tune_learning_rate(
    backbone: str, recipe: Recipe, devices: Sequence[str], *, told: Told = lambda _: None
) -> Tuning:
    """The recipe with the learning rate and decay that serve the bare backbone best.

    `recipe.lr` is where the search for the rate begins; `devices` are the workers'. TrialError
    `diverged` if training diverged at every rate that was tried, and whatever else stops a trial.
    """
    epochs = max(1, recipe.epochs // 2)
    most = MAX_TRIALS * recipe.epochs // epochs
    with _trying(backbone, recipe, devices, told) as attempt:
        usual = Attempt(recipe.lr, recipe.decay, epochs)
        tried = attempt([usual, replace(usual, lr=2 * recipe.lr)][:most])
        best = min(tried, key=_loss)
        tried += attempt(_second_round(recipe, tried, best)[: most - len(tried)])
    best = min(tried, key=_loss)
    if not math.isfinite(best.loss):
        lowest = min(attempt.lr for attempt in tried)
        raise TrialError(
            "diverged",
            f"the bare backbone diverges at every learning rate down to {lowest:.2g}; set --lr "
            "lower than that, or check the data",
        )
    settled = recipe.model_copy(update={"lr": best.lr, "decay": best.decay})
    return Tuning(settled, tuple(tried))


def _second_round(recipe: Recipe, tried: Sequence[Attempt], best: Attempt) -> list[Attempt]:
    if not math.isfinite(best.loss):
        lower = (BACK_OFF * recipe.lr, BACK_OFF**2 * recipe.lr)
        return [replace(tried[0], lr=lr) for lr in lower]
    further = 2 * best.lr if best.lr > recipe.lr else best.lr / 2
    found = [replace(best, lr=further)]
    if recipe.schedule == "wsd" and recipe.decay < LONG_DECAY and recipe.warmup <= 1 - LONG_DECAY:
        found.append(replace(best, decay=LONG_DECAY))
    return found


@contextmanager
def _trying(
    backbone: str, recipe: Recipe, devices: Sequence[str], told: Told
) -> Iterator[Callable[[list[Attempt]], list[Attempt]]]:
    """A function that makes attempts, as many at once as there are workers."""
    pool: Pool = LocalPool(devices[:2])  # more than two would wait
    number = 0
    with tempfile.TemporaryDirectory(prefix="attentune-tune-") as folder:

        def attempt(planned: list[Attempt]) -> list[Attempt]:
            nonlocal number
            jobs = {}
            for plan in planned:
                changed = {"lr": plan.lr, "decay": plan.decay, "epochs": plan.epochs}
                plain = Architecture(backbone)
                where = Path(folder, str(number))
                jobs[number] = Job(number, plain, recipe.model_copy(update=changed), 0, where)
                number += 1
            results = _results(pool, jobs)
            ended = (results[number] for number in jobs)
            done = [
                replace(plan, loss=loss, accuracy=accuracy)
                for plan, (loss, accuracy) in zip(planned, ended, strict=True)
            ]
            for result in done:
                told(result)
            return done

        try:
            yield attempt
        finally:
            pool.close()


def _results(pool: Pool, jobs: dict[int, Job]) -> dict[int, tuple[float, float]]:
    """Loss and accuracy of every job; TrialError for what is not a divergence."""
    found = dict.fromkeys(jobs, (math.inf, 0.0))
    waiting, running = list(jobs), set(jobs)
    while running:
        while waiting and pool.idle:
            pool.start(jobs[waiting.pop(0)])
        for event in pool.events(timeout=1.0):
            match event:
                case EpochDone(number, report):
                    found[number] = report.val_loss, report.accuracy
                    pool.reply(number, Decision.GO_ON)
                case Finished(number):
                    running.remove(number)
                case Failed(number, failure):
                    if failure.kind != "diverged":
                        raise TrialError(failure.kind, f"the bare backbone: {failure.message}")
                    found[number] = math.inf, 0.0
                    running.remove(number)
                case WorkerDied(_, reason):
                    raise TrialError("worker_died", f"{reason}, while it tuned the learning rate")
    return found


def _loss(attempt: Attempt) -> float:
    return attempt.loss
