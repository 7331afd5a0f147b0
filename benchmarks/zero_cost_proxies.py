"""Whether zero-cost proxies of untrained networks rank architectures better than their size does.

    python benchmarks/zero_cost_proxies.py --json benchmarks/results/proxies.json

All architectures of the tabular benchmarks (`train_tabular_benchmark.py`) are scored at three
initialisations, each on the first batch that a trial with this seed would train on; the seeds are
not those of the tables.

synflow    Σ|w·∂R/∂w| at absolute weights and an image of ones, R the sum of the outputs, batch
           norm with its initial statistics; the logarithm (Tanaka et al., arXiv 2006.05467)
grad norm  sum of the norms of the layers' gradients (Abdelfattah et al., arXiv 2101.08134)
snip       Σ|w·∂L/∂w| (Lee et al., arXiv 1810.02340)
naswot     log-determinant of the kernel of all ReLUs' codes (Mellor et al., arXiv 2006.04647)

The sums are over the weights of convolutions and linear layers, as in Abdelfattah et al.'s code. A
trial begins with attention that is the identity, behind a batch norm of scale zero: no gradient
reaches it, and the ReLUs of SE and CBAM, which naswot counts, are off. All scores are therefore
also computed for the opened network: gates as published, those scales 1. Synflow cannot see
attention even then, because at absolute weights all gates saturate.

Controls are the number of parameters, the number of attention modules, and a rank regression on
both that predicts each architecture from all others. `loss of epoch 2` and so on are what one trial
shows, compared with the truth from the other seeds.

Reported for each score, with 95 % bootstrap intervals over the architectures:
rho                     Spearman's correlation with the truth, the mean accuracy over the seeds
against_better_control  this less the correlation of the better one of the first two controls
beyond_controls         partial rank correlation, given the ranks of the controls
as well as the number of `distinct` values, and `seconds` for all initialisations of an
architecture, without building it. A score that is equal for all architectures has no correlation.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import os
import re
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from attentune.benchmarks.tabular_benchmark import TABLES, Array, TabularBenchmark
from attentune.runners.data import load_data
from attentune.runners.environment import describe_environment
from attentune.runners.recipe import Recipe
from attentune.runners.training.augment import EpochBatches
from attentune.runners.training.device_data import DeviceData
from attentune.runners.training.train import prepare_training
from attentune.spaces.architecture import parse
from attentune.spaces.networks.build import build_network
from scipy import stats
from torch import Tensor, nn

SEEDS = (100, 101, 102)
BATCH = 128
STATISTICS = ("rho", "against_better_control", "beyond_controls")


@dataclass(frozen=True)
class Score:
    """Values (trials, architectures), and the truth with which each row is compared."""

    values: Array
    truth: Array
    seconds: float = math.nan


class Draws:
    """Statistics (1 + draws,) of one table; the first is of all architectures as they are."""

    def __init__(self, controls: Sequence[Array], draws: int) -> None:
        count = len(controls[0])
        drawn = np.random.default_rng(0).integers(count, size=(draws, count))
        self._index = np.vstack([np.arange(count), drawn])
        design = [np.ones(self._index.shape), *map(self._ranks, controls)]
        self._explained = np.linalg.qr(np.stack(design, axis=2)).Q

    def rho(self, score: Score, *, beyond: bool = False) -> Array:
        """Rank correlation, mean over the score's trials; partial if `beyond` the controls."""
        found = []
        for pair in zip(score.values, score.truth, strict=True):
            a, b = map(self._rest if beyond else self._centred, pair)
            found.append((a * b).sum(1) / np.sqrt((a * a).sum(1) * (b * b).sum(1)))
        return np.asarray(np.mean(found, axis=0))

    def _ranks(self, values: Array) -> Array:
        return np.asarray(stats.rankdata(values[self._index], axis=1))

    def _centred(self, values: Array) -> Array:
        return self._ranks(values) - (len(values) + 1) / 2

    def _rest(self, values: Array) -> Array:
        ranks = self._ranks(values)
        along = np.einsum("dnk,dn->dk", self._explained, ranks)
        return np.asarray(ranks - np.einsum("dnk,dk->dn", self._explained, along))


def network(text: str, recipe: Recipe, seed: int, *, opened: bool) -> nn.Module:
    """What a trial begins with, or the same with its attention and residual branches opened."""
    if opened:
        text = re.sub(r",?start=identity", "", text).replace("()", "")
    size, stem = recipe.image_size, recipe.stem
    model = build_network(parse(text), num_classes=10, image_size=size, seed=seed, stem=stem)
    for module in model.modules():
        if opened and isinstance(module, nn.BatchNorm2d) and not module.weight.any():
            nn.init.ones_(module.weight)
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def gradients(model: nn.Module) -> list[tuple[Tensor, Tensor]]:
    """Weights of convolutions and linear layers, with their gradients."""
    every = [(weight.detach(), weight.grad) for weight in model.parameters() if weight.dim() > 1]
    return [(weight, slope) for weight, slope in every if slope is not None]


def saliency(model: nn.Module) -> float:
    """Σ|w·∂w|."""
    return sum(float((weight * slope).abs().sum()) for weight, slope in gradients(model))


def synflow(model: nn.Module, side: int) -> float:
    absolute = copy.deepcopy(model).double().eval()
    with torch.no_grad():
        for parameter in absolute.parameters():
            parameter.abs_()
    absolute(torch.ones(1, 3, side, side, dtype=torch.double)).sum().backward()
    return math.log(saliency(absolute))


def naswot(codes: Sequence[Tensor]) -> float:
    """Of which ReLUs are on; each has an axis of `BATCH` pictures, not always the first."""
    on = [code.movedim(code.shape.index(BATCH), 0).flatten(1) for code in codes]
    active = torch.cat(on, dim=1).float()
    kernel = active @ active.T + (1 - active) @ (1 - active).T
    return float(torch.linalg.slogdet(kernel.double()).logabsdet)


def scored(model: nn.Module, images: Tensor, labels: Tensor) -> dict[str, tuple[float, float]]:
    """Every score with its seconds; the pass forward is shared, and counted in each."""
    times = [time.perf_counter()]

    def lap() -> float:
        times.append(time.perf_counter())
        return times[-1] - times[-2]

    found = {"synflow": (synflow(model, images.shape[-1]), lap())}
    codes: list[Tensor] = []
    for module in model.modules():
        if isinstance(module, nn.ReLU):
            module.register_forward_hook(lambda _, __, output: codes.append(output > 0))
    loss = nn.functional.cross_entropy(model.train()(images), labels)
    forward = lap()
    found["naswot"] = naswot(codes), forward + lap()
    loss.backward()  # type: ignore[no-untyped-call, unused-ignore]
    both = forward + lap()
    found["grad norm"] = sum(float(slope.norm()) for _, slope in gradients(model)), both + lap()
    found["snip"] = saliency(model), both + lap()
    return found


def untrained(table: TabularBenchmark, data: DeviceData, truth: Array) -> dict[str, Score]:
    """Every score of every architecture, mean over the initialisations."""
    values: defaultdict[str, Array] = defaultdict(lambda: np.zeros((1, len(table.ranked))))
    seconds: defaultdict[str, float] = defaultdict(float)
    for seed in SEEDS:
        pictures, labels = EpochBatches(data, table.recipe, seed=seed, epoch=0).batch(0, BATCH)
        images = data.normalised(pictures)
        for ending in ("", ", opened"):
            for number, text in enumerate(table.ranked):
                model = network(text, table.recipe, seed, opened=bool(ending))
                for name, (value, spent) in scored(model, images, labels).items():
                    values[name + ending][0, number] += value / len(SEEDS)
                    seconds[name + ending] += spent / len(table.ranked)
        print(f"{table.name}: initialisation {seed} scored", flush=True)
    return {name: Score(found, truth, seconds[name]) for name, found in values.items()}


def controls(table: TabularBenchmark, truth: Array) -> dict[str, Score]:
    """Size and number, and what both predict for an architecture from all others."""
    sizes = [table.rows[text].costs.params for text in table.ranked]
    stages = range(1, len(table.bound_space.site_map.blocks) + 1)
    modules = [
        sum(any(p.covers(stage, 1) for p in i.places) for i in parse(text).insertions)
        for text in table.ranked
        for stage in stages
    ]
    each = np.array([sizes, np.reshape(modules, (-1, len(stages))).sum(1)])
    design = np.vstack([np.ones(len(sizes)), stats.rankdata(each, axis=1)]).T
    hat, ranks = design @ np.linalg.pinv(design), stats.rankdata(truth[0])
    both = ranks - (ranks - hat @ ranks) / (1 - np.diag(hat))
    rows = {"parameters": each[0], "modules": each[1], "both": both}
    return {name: Score(row[None], truth) for name, row in rows.items()}


def trials(table: TabularBenchmark, epoch_seconds: float) -> dict[str, Score]:
    """What one trial tells of the other seeds."""
    accuracy = np.array([table.rows[text].accuracy[:, -1] for text in table.ranked]).T
    losses = np.array([table.rows[text].train_loss for text in table.ranked]).T
    others = (accuracy.sum(axis=0) - accuracy) / (len(accuracy) - 1)
    found = {f"loss of epoch {e}": Score(-losses[e - 1], others, e * epoch_seconds) for e in (2, 3)}
    return found | {"a whole trial": Score(accuracy, others, len(losses) * epoch_seconds)}


def seconds_of_an_epoch(table: TabularBenchmark, data: DeviceData) -> float:
    """Training and validation of the architecture of median size, here."""
    ordered = sorted(table.ranked, key=lambda text: table.rows[text].costs.params)
    model = network(ordered[len(ordered) // 2], table.recipe, SEEDS[0], opened=False)
    return prepare_training(model, data, table.recipe, seed=SEEDS[0]).train_epoch(0).seconds


def measure(path: Path, draws: int) -> dict[str, Any]:
    """Everything about one table."""
    table = TabularBenchmark(path)
    data = DeviceData.of(load_data(table.recipe), torch.device("cpu"))
    truth = np.array([[table.rows[text].truth for text in table.ranked]])
    sizes, epoch = controls(table, truth), seconds_of_an_epoch(table, data)
    drawn = Draws([sizes["parameters"].values[0], sizes["modules"].values[0]], draws)
    better = max(("parameters", "modules"), key=lambda name: float(drawn.rho(sizes[name])[0]))
    told = {}
    for name, score in (sizes | untrained(table, data, truth) | trials(table, epoch)).items():
        distinct = min(len(np.unique(row)) for row in score.values)
        found: dict[str, Array] = {}
        if distinct > 1:
            found["rho"] = drawn.rho(score)
            same = np.repeat(sizes[better].values, len(score.truth), axis=0)
            if name != better:
                found[STATISTICS[1]] = found["rho"] - drawn.rho(replace(score, values=same))
            if name not in sizes:
                found[STATISTICS[2]] = drawn.rho(score, beyond=True)
        row: dict[str, Any] = dict.fromkeys(STATISTICS)
        for key, each in found.items():
            row[key] = [
                round(float(x), 3) for x in (each[0], *np.quantile(each[1:], (0.025, 0.975)))
            ]
        row["seconds"] = None if math.isnan(score.seconds) else round(score.seconds, 3)
        told[name] = row | {"distinct": distinct}
    return {
        "table": table.name,
        "architectures": len(table.ranked),
        "seeds": table.seeds,
        "seconds_of_an_epoch": round(epoch, 3),
        "better_control": better,
        "scores": told,
    }


def show(result: dict[str, Any]) -> None:
    print(
        f"{result['table']}: {result['architectures']} architectures, {result['seeds']} seeds, "
        f"an epoch {result['seconds_of_an_epoch']:.1f} s; control: {result['better_control']}"
    )
    print(f"  {'':20s}" + "".join(f"{key:25s}" for key in STATISTICS) + "seconds  distinct")
    for name, told in result["scores"].items():
        cells = [
            "–" if told[key] is None else "{:+.2f} ({:+.2f} to {:+.2f})".format(*told[key])
            for key in STATISTICS
        ]
        seconds = "–" if told["seconds"] is None else f"{told['seconds']:.2f}"
        print(
            f"  {name:20s}{''.join(map('{:25s}'.format, cells))}{seconds:>7s}  {told['distinct']}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("tables", nargs="*", type=Path, default=TABLES)
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    results = [measure(path, options.draws) for path in options.tables]
    for result in results:
        show(result)
    if options.json:
        told = {
            "what": "rank correlation of scores of the untrained network with the trained accuracy",
            "environment": describe_environment(torch.device("cpu"), "float32"),
            "draws": options.draws,
            "initialisations": len(SEEDS),
            "batch": BATCH,
            "tables": results,
        }
        options.json.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
