"""What tests of training share: the digits on the CPU, small networks, and short trainings."""

from __future__ import annotations

import pytest
import torch
from attentune.runners.data import load_data
from attentune.runners.recipe import Recipe
from attentune.runners.training.device_data import DeviceData
from attentune.runners.training.train import train
from attentune.spaces.architecture import parse
from attentune.spaces.networks.build import build_network

TEXT = "test_resnet+se(r=4,start=identity)@all.residual"


@pytest.fixture(scope="session")
def digits(cache):
    del cache
    recipe = Recipe.of(data="digits", image_size=16, train_limit=256)
    return DeviceData.of(load_data(recipe), torch.device("cpu"))


@pytest.fixture(scope="session")
def network():
    """Builds a network for the digits."""

    def network(text: str = TEXT, seed: int = 0):
        return build_network(parse(text), num_classes=10, image_size=16, seed=seed)

    return network


@pytest.fixture(scope="session")
def run_training(digits, network):
    """Trains a network for the digits; the outcome and the reports of all epochs."""

    def run_training(
        recipe, seed=0, resume=None, stop_after=None, text=TEXT, folder=None, data=digits
    ):
        reports = []

        def on_epoch(report, save):
            reports.append(report)
            if folder:
                save(folder / str(report.epoch), {"accuracy": report.accuracy})
            return report.epoch != stop_after

        outcome = train(network(text), data, recipe, seed=seed, resume=resume, on_epoch=on_epoch)
        return outcome, reports

    return run_training
