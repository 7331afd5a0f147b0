"""Train one network with the loop of a trial, without a study around it.

loaded = load_on_device(recipe, device)
for seed in range(3):
    print(train_network("resnet18+se(r=16)@all.residual", seed, recipe, loaded).accuracy)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
from attentune.runners.data import load_data, prepare_data
from attentune.runners.recipe import Recipe
from attentune.runners.results import EpochReport
from attentune.runners.training.device_data import DeviceData
from attentune.runners.training.train import Outcome, SaveCheckpoint, train
from attentune.search.setup.augmentation import resolve_augmentation
from attentune.search.setup.request import read_request
from attentune.spaces.architecture import parse
from attentune.spaces.networks.build import build_network
from torch import nn


@dataclass(frozen=True)
class LoadedData:
    """A data set on a device, and its number of classes."""

    data: DeviceData
    classes: int
    device: torch.device


@dataclass(frozen=True)
class TrainedNetwork:
    """A trained network, with the reports of its epochs."""

    curve: list[EpochReport]
    outcome: Outcome

    @property
    def accuracy(self) -> float:
        """Validation accuracy after the last epoch."""
        return self.curve[-1].accuracy

    @property
    def accuracies(self) -> list[float]:
        """Validation accuracy after each epoch."""
        return [report.accuracy for report in self.curve]


@lru_cache(maxsize=1)
def _load(recipe: Recipe, device: torch.device) -> LoadedData:
    dataset = load_data(recipe)
    return LoadedData(DeviceData.of(dataset, device), len(dataset.classes), device)


def load_on_device(recipe: Recipe, device: torch.device) -> LoadedData:
    """Load the recipe's data; cached for recipes that differ in their number of epochs only."""
    return _load(recipe.model_copy(update={"epochs": 1}), device)


def with_light_augmentation(recipe: Recipe) -> Recipe:
    """The recipe with the shifts and the mirroring of `--augment light` for its data and size."""
    settings = {"backbone": "resnet18", "data": recipe.data, "augment": "light"}
    return resolve_augmentation(read_request(settings, None), recipe, prepare_data(recipe))


def build_seeded_network(text: str, seed: int, recipe: Recipe, loaded: LoadedData) -> nn.Module:
    """The untrained network of a trial with this architecture and seed."""
    model = build_network(
        parse(text),
        num_classes=loaded.classes,
        image_size=recipe.image_size,
        stem=recipe.stem,
        seed=seed,
    )
    return model.to(loaded.device)


def train_network(
    text: str,
    seed: int,
    recipe: Recipe,
    loaded: LoadedData,
    after_epoch: Callable[[EpochReport, SaveCheckpoint], object] = lambda *_: None,
) -> TrainedNetwork:
    """Train an architecture for all epochs of its recipe.

    Args:
        text: the architecture.
        seed: of the initial weights, the order of the data and the augmentation.
        recipe: how to train.
        loaded: its data.
        after_epoch: called after each epoch.
    """
    curve: list[EpochReport] = []

    def record_epoch(report: EpochReport, save: SaveCheckpoint) -> bool:
        curve.append(report)
        after_epoch(report, save)
        return True

    model = build_seeded_network(text, seed, recipe, loaded)
    return TrainedNetwork(
        curve, train(model, loaded.data, recipe, seed=seed, on_epoch=record_epoch)
    )
