"""One network trained by our own loop, without a study around it.

loaded = load(recipe, device)
for seed in range(3):
    print(trained("resnet18+se(r=16)@all.residual", seed, recipe, loaded).accuracy)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
from attentune.runners.data import load_data
from attentune.runners.recipe import Recipe
from attentune.runners.results import EpochReport
from attentune.runners.training.device_data import DeviceData
from attentune.runners.training.train import Outcome, SaveCheckpoint, train
from attentune.spaces.architecture import parse
from attentune.spaces.networks.build import build_network
from torch import nn


@dataclass(frozen=True)
class Loaded:
    """Pictures on a device, and how many classes they have."""

    data: DeviceData
    classes: int
    device: torch.device


@dataclass(frozen=True)
class Trained:
    """The curve, an epoch after another, and the network."""

    curve: list[EpochReport]
    outcome: Outcome

    @property
    def accuracy(self) -> float:
        """On validation data, after the last epoch."""
        return self.curve[-1].accuracy

    @property
    def accuracies(self) -> list[float]:
        """On validation data, after each epoch."""
        return [report.accuracy for report in self.curve]


@lru_cache(maxsize=1)
def _load(recipe: Recipe, device: torch.device) -> Loaded:
    dataset = load_data(recipe)
    return Loaded(DeviceData.of(dataset, device), len(dataset.classes), device)


def load(recipe: Recipe, device: torch.device) -> Loaded:
    """The recipe's pictures; kept for calls with recipes that differ in nothing but epochs."""
    return _load(recipe.model_copy(update={"epochs": 1}), device)


def network(text: str, seed: int, recipe: Recipe, loaded: Loaded) -> nn.Module:
    """What a trial of this architecture and seed begins with."""
    model = build_network(
        parse(text),
        num_classes=loaded.classes,
        image_size=recipe.image_size,
        stem=recipe.stem,
        seed=seed,
    )
    return model.to(loaded.device)


def trained(
    text: str,
    seed: int,
    recipe: Recipe,
    loaded: Loaded,
    also: Callable[[EpochReport, SaveCheckpoint], object] = lambda *_: None,
) -> Trained:
    """All epochs of one architecture; `also` is called after each."""
    curve: list[EpochReport] = []

    def noted(report: EpochReport, save: SaveCheckpoint) -> bool:
        curve.append(report)
        also(report, save)
        return True

    model = network(text, seed, recipe, loaded)
    return Trained(curve, train(model, loaded.data, recipe, seed=seed, on_epoch=noted))
