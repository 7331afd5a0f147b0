"""A fair recipe before architectures are compared: learning rate and decay, on the bare backbone.

A learning rate that is too low for the budget leaves every network on its first plateau, and a
search then ranks who leaves it first. So the bare backbone is trained in four runs of half a
trial's steps, each a finished schedule, which together cost two trials: at the usual rate and at
twice that, then on in the better direction while it helps, and, as soon as a rate has worse ones on
both sides, with a longer decay.

The validation loss of the weights that would be kept decides: it resolves more than the accuracy on
some hundred pictures does. Shorter and more runs were tried; they ended on the first plateau and
could not be told apart.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from ..errors import TrialError
from ..spaces.architecture import Architecture
from ..spaces.build import build
from .recipe import Recipe
from .resident import DeviceData
from .results import EpochReport
from .train import steps_of, train

ATTEMPTS, PRICE = 4, 0.5
"""So many runs, each at the price of so much of a trial."""
LONG_DECAY = 0.7
BACK_OFF = 0.1
"""By how much the rate falls where training diverges."""


@dataclass(frozen=True)
class Attempt:
    """One short run of the bare backbone; `price` in trials, `loss` infinite if it diverged."""

    lr: float
    decay: float
    price: float
    loss: float
    accuracy: float


@dataclass(frozen=True)
class Tuning:
    """What was tried, and the recipe that came out."""

    recipe: Recipe
    attempts: tuple[Attempt, ...]

    @property
    def price(self) -> float:
        """In trials."""
        return sum(attempt.price for attempt in self.attempts)


def tune(
    backbone: str,
    recipe: Recipe,
    data: DeviceData,
    num_classes: int,
    *,
    told: Callable[[Attempt], None] = lambda _: None,
) -> Tuning:
    """The recipe with the learning rate and decay that serve the bare backbone best.

    `recipe.lr` is where the search for the rate begins. TrialError `diverged` if training diverged
    at every rate that was tried.
    """
    tuner = _Tuner(backbone, recipe, data, num_classes, told)
    best = tuner.climb()
    if not math.isfinite(best.loss):
        lowest = min(attempt.lr for attempt in tuner.attempts)
        raise TrialError(
            "diverged",
            f"the bare backbone diverges at every learning rate down to {lowest:.2g}; set --lr "
            "lower than that, or check the data",
        )
    if recipe.schedule == "wsd" and recipe.decay < LONG_DECAY and len(tuner.attempts) < ATTEMPTS:
        best = min(best, tuner.run(best.lr, LONG_DECAY), key=_loss)
    chosen = recipe.model_copy(update={"lr": best.lr, "decay": best.decay})
    return Tuning(chosen, tuple(tuner.attempts))


class _Tuner:
    def __init__(
        self,
        backbone: str,
        recipe: Recipe,
        data: DeviceData,
        num_classes: int,
        told: Callable[[Attempt], None],
    ) -> None:
        self.plain, self.recipe, self.data = Architecture(backbone), recipe, data
        self.num_classes, self.told = num_classes, told
        self.attempts: list[Attempt] = []

    def climb(self) -> Attempt:
        """The best of runs at rates twice or half as high as the last, while that helps."""
        lr, decay = self.recipe.lr, self.recipe.decay
        last, best = self.run(lr, decay), self.run(2 * lr, decay)
        factor = 2.0
        if _loss(last) <= _loss(best):
            last, best, factor = best, last, 0.5
        while len(self.attempts) < ATTEMPTS:
            step = factor if math.isfinite(best.loss) else BACK_OFF
            last = self.run(step * best.lr, decay)
            if math.isfinite(best.loss) and _loss(last) >= _loss(best):
                break
            best = last
        return best

    def run(self, lr: float, decay: float) -> Attempt:
        """A finished schedule for a part of a trial's steps."""
        epochs, steps = self._part(PRICE)
        recipe = self.recipe.model_copy(update={"lr": lr, "decay": decay, "epochs": epochs})
        network = build(
            self.plain,
            num_classes=self.num_classes,
            stem=recipe.stem,
            image_size=recipe.image_size,
            seed=0,
            pretrained=recipe.init == "pretrained",
        ).to(self.data.train.labels.device)
        reports: list[EpochReport] = []
        try:
            train(
                network,
                self.data,
                recipe,
                seed=0,
                steps=steps,
                on_epoch=lambda report, _: _keep(reports, report),
            )
            attempt = Attempt(lr, decay, PRICE, reports[-1].val_loss, reports[-1].accuracy)
        except TrialError as error:
            if error.kind != "diverged":
                raise
            attempt = Attempt(lr, decay, PRICE, math.inf, 0.0)
        self.attempts.append(attempt)
        self.told(attempt)
        return attempt

    def _part(self, price: float) -> tuple[int, int]:
        """Epochs, and steps in each, that make so much of a trial."""
        whole = steps_of(self.recipe, self.data)
        steps = max(1, int(price * self.recipe.epochs * whole))
        epochs = math.ceil(steps / whole)
        return epochs, steps // epochs


def _loss(attempt: Attempt) -> float:
    return attempt.loss


def _keep(reports: list[EpochReport], report: EpochReport) -> bool:
    reports.append(report)
    return True
