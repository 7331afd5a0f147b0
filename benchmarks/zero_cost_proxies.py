"""Compare zero-cost proxies of untrained networks with network size as predictors of accuracy.

    python benchmarks/zero_cost_proxies.py --json benchmarks/results/proxies.json

All architectures of the tabular benchmarks (`train_tabular_benchmark.py`) are scored at three
initialisations, each on the first batch that a trial with this seed would train on; the seeds are
not those of the tables.

synflow    Σ|w·∂R/∂w| at absolute weights and an image of ones, R the sum of the outputs, batch
           norm with its initial statistics; the logarithm (Tanaka et al., arXiv 2006.05467)
grad norm  sum of the norms of the layers' gradients (Abdelfattah et al., arXiv 2101.08134)
snip       Σ|w·∂L/∂w| (Lee et al., arXiv 1810.02340)
naswot     log-determinant of the kernel of all ReLUs' codes (Mellor et al., arXiv 2006.04647)

The sums are over the weights of convolutions and linear layers, as in Abdelfattah et al.'s code. At
the start of a trial, attention is the identity and follows a batch norm of scale zero. No gradient
reaches it, and the ReLUs of SE and CBAM, which naswot counts, output zero. All scores are therefore
also computed for the `opened` network, with gates as published and with 1 for those scales. Synflow
does not depend on attention even then, because with absolute weights all gates saturate.

Controls are the number of parameters, the number of attention modules, and a rank regression on
both that predicts each architecture from all others. `loss of epoch 2` and so on are signals of one
trial, compared with the mean accuracy of the other seeds.

The result has for each score, with 95 % bootstrap intervals over the architectures:
rho                     Spearman's correlation with the truth, the mean accuracy over the seeds
against_better_control  rho minus that of the better one of the first two controls
beyond_controls         partial rank correlation, given the ranks of the controls
and the number of `distinct` values, and `seconds` for all initialisations of an architecture,
without building it. A score that is equal for all architectures has no correlation.
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
from attentune.benchmarks.tabular_benchmark import DIGIT_TABLES, Array, TabularBenchmark
from attentune.runners.data import load_data
from attentune.runners.environment import describe_environment
from attentune.runners.recipe import Recipe
from attentune.runners.training.device_data import DeviceData
from attentune.runners.training.epoch_batches import EpochBatches
from attentune.runners.training.train import prepare_training
from attentune.spaces.architecture import parse
from attentune.spaces.networks.build import build_network
from scipy import stats
from torch import Tensor, nn

SEEDS = (100, 101, 102)
BATCH_SIZE = 128
STATISTICS = ("rho", "against_better_control", "beyond_controls")


@dataclass(frozen=True)
class Score:
    """Values of a score (trials, architectures), and the truth to compare each row with."""

    values: Array
    truth: Array
    seconds: float = math.nan


class BootstrapStatistics:
    """Computes statistics (1 + draws,) of one table: for all architectures, then for each draw.

    Args:
        controls: values by architecture that partial correlations are adjusted for.
        draws: number of bootstrap samples of the architectures.
    """

    def __init__(self, controls: Sequence[Array], draws: int) -> None:
        count = len(controls[0])
        samples = np.random.default_rng(0).integers(count, size=(draws, count))
        self._index = np.vstack([np.arange(count), samples])
        design = [np.ones(self._index.shape), *map(self._ranks, controls)]
        self._explained = np.linalg.qr(np.stack(design, axis=2)).Q

    def rho(self, score: Score, *, beyond: bool = False) -> Array:
        """Mean rank correlation over the score's trials.

        With `beyond`, the partial correlation given the controls.
        """
        correlations = []
        for pair in zip(score.values, score.truth, strict=True):
            a, b = map(self._adjusted_ranks if beyond else self._centred_ranks, pair)
            correlations.append((a * b).sum(1) / np.sqrt((a * a).sum(1) * (b * b).sum(1)))
        return np.asarray(np.mean(correlations, axis=0))

    def _ranks(self, values: Array) -> Array:
        return np.asarray(stats.rankdata(values[self._index], axis=1))

    def _centred_ranks(self, values: Array) -> Array:
        return self._ranks(values) - (len(values) + 1) / 2

    def _adjusted_ranks(self, values: Array) -> Array:
        ranks = self._ranks(values)
        coefficients = np.einsum("dnk,dn->dk", self._explained, ranks)
        return np.asarray(ranks - np.einsum("dnk,dk->dn", self._explained, coefficients))


def build_initial_network(text: str, recipe: Recipe, seed: int, *, opened: bool) -> nn.Module:
    """The untrained network of a trial; with `opened`, its gates as published and scales 1."""
    if opened:
        text = re.sub(r",?start=identity", "", text).replace("()", "")
    size, stem = recipe.image_size, recipe.stem
    model = build_network(parse(text), num_classes=10, image_size=size, seed=seed, stem=stem)
    for module in model.modules():
        if opened and isinstance(module, nn.BatchNorm2d) and not module.weight.any():
            nn.init.ones_(module.weight)
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def weight_gradients(model: nn.Module) -> list[tuple[Tensor, Tensor]]:
    """Weights of convolutions and linear layers, with their gradients."""
    pairs = [(weight.detach(), weight.grad) for weight in model.parameters() if weight.dim() > 1]
    return [(weight, gradient) for weight, gradient in pairs if gradient is not None]


def saliency(model: nn.Module) -> float:
    """Σ|w·∂L/∂w| after a backward pass."""
    return sum(
        float((weight * gradient).abs().sum()) for weight, gradient in weight_gradients(model)
    )


def synflow(model: nn.Module, side: int) -> float:
    """The score of Tanaka et al., with images of `side` pixels."""
    absolute = copy.deepcopy(model).double().eval()
    with torch.no_grad():
        for parameter in absolute.parameters():
            parameter.abs_()
    absolute(torch.ones(1, 3, side, side, dtype=torch.double)).sum().backward()
    return math.log(saliency(absolute))


def naswot(codes: Sequence[Tensor]) -> float:
    """The score of Mellor et al., from which ReLUs are active.

    The axis of the `BATCH_SIZE` images is not always the first.
    """
    per_image = [code.movedim(code.shape.index(BATCH_SIZE), 0).flatten(1) for code in codes]
    active = torch.cat(per_image, dim=1).float()
    kernel = active @ active.T + (1 - active) @ (1 - active).T
    return float(torch.linalg.slogdet(kernel.double()).logabsdet)


def score_network(
    model: nn.Module, images: Tensor, labels: Tensor
) -> dict[str, tuple[float, float]]:
    """All scores with their seconds; the shared forward pass counts for each of them."""
    times = [time.perf_counter()]

    def lap() -> float:
        times.append(time.perf_counter())
        return times[-1] - times[-2]

    scores = {"synflow": (synflow(model, images.shape[-1]), lap())}
    codes: list[Tensor] = []
    for module in model.modules():
        if isinstance(module, nn.ReLU):
            module.register_forward_hook(lambda _, __, output: codes.append(output > 0))
    loss = nn.functional.cross_entropy(model.train()(images), labels)
    forward = lap()
    scores["naswot"] = naswot(codes), forward + lap()
    loss.backward()  # type: ignore[no-untyped-call, unused-ignore]
    both_passes = forward + lap()
    scores["grad norm"] = (
        sum(float(gradient.norm()) for _, gradient in weight_gradients(model)),
        both_passes + lap(),
    )
    scores["snip"] = saliency(model), both_passes + lap()
    return scores


def score_untrained(table: TabularBenchmark, data: DeviceData, truth: Array) -> dict[str, Score]:
    """All scores of all architectures, averaged over the initialisations."""
    values: defaultdict[str, Array] = defaultdict(lambda: np.zeros((1, len(table.ranked))))
    seconds: defaultdict[str, float] = defaultdict(float)
    for seed in SEEDS:
        raw_images, labels = EpochBatches(data, table.recipe, seed=seed, epoch=0).batch(
            0, BATCH_SIZE
        )
        images = data.normalised(raw_images)
        for ending in ("", ", opened"):
            for number, text in enumerate(table.ranked):
                model = build_initial_network(text, table.recipe, seed, opened=bool(ending))
                for name, (value, duration) in score_network(model, images, labels).items():
                    values[name + ending][0, number] += value / len(SEEDS)
                    seconds[name + ending] += duration / len(table.ranked)
        print(f"{table.name}: initialisation {seed} scored", flush=True)
    return {name: Score(row, truth, seconds[name]) for name, row in values.items()}


def score_controls(table: TabularBenchmark, truth: Array) -> dict[str, Score]:
    """Parameters, modules, and the prediction of each architecture from both and all others."""
    sizes = [table.rows[text].costs.params for text in table.ranked]
    stages = range(1, len(table.bound_space.site_map.blocks) + 1)
    modules = [
        sum(any(p.covers(stage, 1) for p in i.places) for i in parse(text).insertions)
        for text in table.ranked
        for stage in stages
    ]
    predictors = np.array([sizes, np.reshape(modules, (-1, len(stages))).sum(1)])
    design = np.vstack([np.ones(len(sizes)), stats.rankdata(predictors, axis=1)]).T
    hat, ranks = design @ np.linalg.pinv(design), stats.rankdata(truth[0])
    predicted = ranks - (ranks - hat @ ranks) / (1 - np.diag(hat))
    rows = {"parameters": predictors[0], "modules": predictors[1], "both": predicted}
    return {name: Score(row[None], truth) for name, row in rows.items()}


def score_trials(table: TabularBenchmark, epoch_seconds: float) -> dict[str, Score]:
    """Signals of one trial, compared with the mean accuracy of the other seeds."""
    accuracy = np.array([table.rows[text].accuracy[:, -1] for text in table.ranked]).T
    losses = np.array([table.rows[text].train_loss for text in table.ranked]).T
    other_seeds = (accuracy.sum(axis=0) - accuracy) / (len(accuracy) - 1)
    early = {
        f"loss of epoch {e}": Score(-losses[e - 1], other_seeds, e * epoch_seconds) for e in (2, 3)
    }
    return early | {"a whole trial": Score(accuracy, other_seeds, len(losses) * epoch_seconds)}


def measure_epoch_seconds(table: TabularBenchmark, data: DeviceData) -> float:
    """Seconds of training and validation of the architecture of median size on this machine."""
    by_size = sorted(table.ranked, key=lambda text: table.rows[text].costs.params)
    model = build_initial_network(by_size[len(by_size) // 2], table.recipe, SEEDS[0], opened=False)
    report = prepare_training(model, data, table.recipe, seed=SEEDS[0]).train_epoch(0)
    assert report is not None
    return report.seconds


def measure(path: Path, draws: int) -> dict[str, Any]:
    """All scores and their statistics for one table."""
    table = TabularBenchmark(path)
    data = DeviceData.of(load_data(table.recipe), torch.device("cpu"))
    truth = np.array([[table.rows[text].truth for text in table.ranked]])
    control_scores, epoch = score_controls(table, truth), measure_epoch_seconds(table, data)
    statistics = BootstrapStatistics(
        [control_scores["parameters"].values[0], control_scores["modules"].values[0]], draws
    )
    better = max(
        ("parameters", "modules"), key=lambda name: float(statistics.rho(control_scores[name])[0])
    )
    rows = {}
    for name, score in (
        control_scores | score_untrained(table, data, truth) | score_trials(table, epoch)
    ).items():
        distinct = min(len(np.unique(row)) for row in score.values)
        values: dict[str, Array] = {}
        if distinct > 1:
            values["rho"] = statistics.rho(score)
            control = np.repeat(control_scores[better].values, len(score.truth), axis=0)
            if name != better:
                control_rho = statistics.rho(replace(score, values=control))
                values[STATISTICS[1]] = values["rho"] - control_rho
            if name not in control_scores:
                values[STATISTICS[2]] = statistics.rho(score, beyond=True)
        row: dict[str, Any] = dict.fromkeys(STATISTICS)
        for key, draws_of_key in values.items():
            interval = np.quantile(draws_of_key[1:], (0.025, 0.975))
            row[key] = [round(float(x), 3) for x in (draws_of_key[0], *interval)]
        row["seconds"] = None if math.isnan(score.seconds) else round(score.seconds, 3)
        rows[name] = row | {"distinct": distinct}
    return {
        "table": table.name,
        "architectures": len(table.ranked),
        "seeds": table.seeds,
        "seconds_of_an_epoch": round(epoch, 3),
        "better_control": better,
        "scores": rows,
    }


def print_result(result: dict[str, Any]) -> None:
    print(
        f"{result['table']}: {result['architectures']} architectures, {result['seeds']} seeds, "
        f"an epoch {result['seconds_of_an_epoch']:.1f} s; control: {result['better_control']}"
    )
    print(f"  {'':20s}" + "".join(f"{key:25s}" for key in STATISTICS) + "seconds  distinct")
    for name, score in result["scores"].items():
        cells = [
            "–" if score[key] is None else "{:+.2f} ({:+.2f} to {:+.2f})".format(*score[key])
            for key in STATISTICS
        ]
        seconds = "–" if score["seconds"] is None else f"{score['seconds']:.2f}"
        print(
            f"  {name:20s}{''.join(map('{:25s}'.format, cells))}{seconds:>7s}  {score['distinct']}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("tables", nargs="*", type=Path, default=DIGIT_TABLES)
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    results = [measure(path, options.draws) for path in options.tables]
    for result in results:
        print_result(result)
    if options.json:
        content = {
            "what": "rank correlation of scores of the untrained network with the trained accuracy",
            "environment": describe_environment(torch.device("cpu"), "float32"),
            "draws": options.draws,
            "initialisations": len(SEEDS),
            "batch": BATCH_SIZE,
            "tables": results,
        }
        options.json.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
