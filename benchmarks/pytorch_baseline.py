"""A plain PyTorch loop to compare with: PIL images, torchvision's transforms, a DataLoader, Optuna.

It is the loop of Optuna's PyTorch example with a timm model; `loop.py`, `trials.py` and
`accuracy.py` compare with it. As a program it trains a list of trials:

    python benchmarks/pytorch_baseline.py optuna SETTINGS.json RESULT.json
    python benchmarks/pytorch_baseline.py ray SETTINGS.json RESULT.json

With Optuna they run in sequence, in a study in SQLite; with Ray Tune one per core. Networks,
images, their split, optimizer, learning rate and schedule are the same as in attentune.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from attentune.runners.data import Dataset, load_data
from attentune.runners.data.dataset import Split
from attentune.runners.recipe import Recipe
from attentune.runners.training.schedule import learning_rate
from attentune.spaces.architecture import parse
from attentune.spaces.backbones.timm_compat import import_timm
from attentune.spaces.networks.build import build_network
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader

Batch = tuple[Tensor, Tensor]
Report = Callable[[int, float], None]
"""Called with the epoch, counted from 1, and its validation accuracy."""


class PilImages(torch.utils.data.Dataset[tuple[Tensor, int]]):
    """A split as torchvision's data sets give it: PIL images, transformed when they are read."""

    def __init__(self, split: Split, transform: Callable[[Image.Image], Tensor]) -> None:
        self.split, self.transform = split, transform

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = Image.fromarray(self.split.images[index])
        return self.transform(image), int(self.split.labels[index])


def make_loaders(
    data: Dataset, recipe: Recipe, workers: int
) -> tuple[DataLoader[tuple[Tensor, int]], DataLoader[tuple[Tensor, int]]]:
    """Loaders of training images, augmented by shifts and mirroring as the recipe says, and of
    validation images."""
    import_timm()  # Makes torchvision importable beside a CPU build of torch.
    from torchvision import transforms

    normalise = [transforms.ToTensor(), transforms.Normalize(data.mean, data.std)]
    augment: list[Any] = []
    if recipe.crop:
        augment.append(transforms.RandomCrop(recipe.image_size, padding=recipe.crop))
    if recipe.flip:
        augment.append(transforms.RandomHorizontalFlip())
    train = PilImages(data.train, transforms.Compose([*augment, *normalise]))
    val = PilImages(data.val, transforms.Compose(normalise))
    return (
        DataLoader(train, recipe.batch_size, shuffle=True, drop_last=True, num_workers=workers),
        DataLoader(val, recipe.batch_size, num_workers=workers),
    )


def make_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimizer with torch's defaults."""
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(
            model.parameters(),
            lr=recipe.lr,
            momentum=0.9,
            nesterov=True,
            weight_decay=recipe.weight_decay,
        )
    return torch.optim.AdamW(model.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay)


def train_steps(
    model: nn.Module,
    loader: DataLoader[tuple[Tensor, int]],
    optimizer: torch.optim.Optimizer,
    device: torch.device,
) -> Iterator[float]:
    """Train one epoch, and yield the loss of each step."""
    model.train()
    for images, labels in loader:
        images, labels = images.to(device), labels.to(device)
        optimizer.zero_grad()
        loss = F.cross_entropy(model(images), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        yield loss.item()


@torch.no_grad()
def evaluate_accuracy(
    model: nn.Module, loader: DataLoader[tuple[Tensor, int]], device: torch.device
) -> float:
    """The fraction of images that are classified correctly."""
    model.eval()
    correct = total = 0
    for images, labels in loader:
        images, labels = images.to(device), labels.to(device)
        correct += int((model(images).argmax(1) == labels).sum().item())
        total += len(labels)
    return correct / total


@dataclass(frozen=True)
class BaselineSettings:
    """A list of trials.

    Attributes:
        architectures: their texts.
        recipe: how all of them are trained, as JSON.
        device: where.
        loader_workers: processes that each DataLoader starts; 0: none.
    """

    architectures: list[str]
    recipe: dict[str, Any]
    device: str = "cpu"
    loader_workers: int = 0

    def run(self, text: str, seed: int, report: Report) -> float:
        """Train one trial; its last validation accuracy."""
        recipe, device = Recipe.of(**self.recipe), torch.device(self.device)
        data = load_data(recipe)
        train, val = make_loaders(data, recipe, self.loader_workers)
        torch.manual_seed(seed)
        model = build_network(
            parse(text),
            num_classes=len(data.classes),
            stem=recipe.stem,
            image_size=recipe.image_size,
            seed=None,
        ).to(device)
        optimizer = make_optimizer(model, recipe)
        total = recipe.epochs * len(train)
        scheduler = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: learning_rate(recipe, step, total) / recipe.lr
        )
        accuracy = 0.0
        for epoch in range(recipe.epochs):
            running_loss = 0.0  # Summed as in Optuna's example.
            for loss in train_steps(model, train, optimizer, device):
                running_loss += loss
                scheduler.step()
            accuracy = evaluate_accuracy(model, val, device)
            report(epoch + 1, accuracy)
        return accuracy


def run_with_optuna(settings: BaselineSettings) -> dict[str, float]:
    """Accuracy by `NUMBER ARCHITECTURE`, from a study in an SQLite file."""
    import optuna

    texts = settings.architectures

    def objective(trial: optuna.Trial) -> float:
        text = trial.suggest_categorical("architecture", sorted(set(texts)))
        return settings.run(text, trial.number, lambda epoch, value: trial.report(value, epoch))

    with tempfile.TemporaryDirectory() as folder:
        study = optuna.create_study(
            direction="maximize",
            storage=f"sqlite:///{folder}/usual.db",
            sampler=optuna.samplers.RandomSampler(seed=0),
            pruner=optuna.pruners.NopPruner(),
        )
        for text in texts:
            study.enqueue_trial({"architecture": text})
        study.optimize(objective, n_trials=len(texts))
        return {
            f"{trial.number} {trial.params['architecture']}": float(trial.value or 0.0)
            for trial in study.trials
        }


def run_with_ray(settings: BaselineSettings) -> dict[str, float]:
    """Accuracy by `NUMBER ARCHITECTURE`, from Ray Tune: one core, or half of the GPU, per trial."""
    import ray
    from ray import tune

    numbered, fields = list(enumerate(settings.architectures)), asdict(settings)
    gpu = 0.5 if settings.device.startswith("cuda") else 0.0

    def trainable(config: dict[str, Any]) -> None:
        # Imported here, because Ray cannot pickle a function that refers to torch.
        from attentune.benchmarks import pytorch_baseline

        number, text = config["trial"]
        pytorch_baseline.BaselineSettings(**fields).run(
            text, number, lambda epoch, value: tune.report({"accuracy": value, "epoch": epoch})
        )

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    with tempfile.TemporaryDirectory() as folder:
        tuner = tune.Tuner(
            tune.with_resources(trainable, {"cpu": 1, "gpu": gpu}),
            param_space={"trial": tune.grid_search(numbered)},
            run_config=tune.RunConfig(storage_path=folder, verbose=0),
        )
        results = tuner.fit()
        accuracies = {
            "{} {}".format(*result.config["trial"]): float(result.metrics["accuracy"])
            for result in results
        }
    ray.shutdown()
    return accuracies


def main() -> None:
    _, way, settings_file, result_file = sys.argv
    settings = BaselineSettings(**json.loads(Path(settings_file).read_text(encoding="utf-8")))
    accuracies = {"optuna": run_with_optuna, "ray": run_with_ray}[way](settings)
    Path(result_file).write_text(json.dumps(accuracies), encoding="utf-8")


if __name__ == "__main__":
    main()
