"""Compare how well signals of an epoch predict final accuracies, on curves of tabular benchmarks.

    python benchmarks/rung_signals.py --json benchmarks/results/rung_signals.json

For each epoch, Spearman's correlation over the architectures of a table is computed between one
seed's signal (validation accuracy of the averaged weights; mean training loss) and the mean final
accuracy of the *other* seeds, and averaged over the seeds. Noise that the final accuracy of a trial
shares with its earlier epochs therefore does not count. The last epoch shows how well a complete
trial predicts the other seeds. The 95 % intervals are from a bootstrap over the architectures.

`rungs.py` trains networks, for signals that the tables do not have.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from attentune.benchmarks.tabular_benchmark import DIGIT_TABLES, Array, TabularBenchmark
from attentune.runners.environment import describe_environment
from scipy import stats

BOOTSTRAP_DRAWS = 400


def predictive_correlation(signal: Array, ends: Array) -> float:
    """Mean over the seeds of the correlation of a signal with the other seeds' final accuracy.

    Both arguments are (architectures, seeds).
    """
    correlations = []
    for seed in range(signal.shape[1]):
        other_seeds = np.delete(ends, seed, axis=1).mean(axis=1)
        correlations.append(stats.spearmanr(signal[:, seed], other_seeds).statistic)
    return float(np.mean(correlations))


def estimate_with_interval(signal: Array, ends: Array) -> list[float] | None:
    """The correlation and its interval; None if a signal is equal for all architectures."""
    if (np.ptp(signal, axis=0) == 0).any():
        return None
    draw = np.random.default_rng(0)
    resampled = [
        predictive_correlation(signal[rows], ends[rows])
        for rows in (draw.integers(len(ends), size=len(ends)) for _ in range(BOOTSTRAP_DRAWS))
    ]
    low, high = np.quantile(resampled, (0.025, 0.975))
    return [round(float(value), 3) for value in (predictive_correlation(signal, ends), low, high)]


def measure(path: Path) -> dict[str, Any]:
    """The correlations of both signals at all epochs of one table."""
    table = TabularBenchmark(path)
    accuracy = np.array([table.rows[text].accuracy for text in table.ranked])
    loss = np.array([table.rows[text].train_loss for text in table.ranked])
    ends = accuracy[:, :, -1]
    epochs = range(accuracy.shape[2])
    return {
        "table": table.name,
        "architectures": len(table.ranked),
        "seeds": table.seeds,
        "signals": {
            "accuracy": [estimate_with_interval(accuracy[:, :, e], ends) for e in epochs],
            "train_loss": [estimate_with_interval(-loss[:, :, e], ends) for e in epochs],
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("tables", nargs="*", type=Path, default=DIGIT_TABLES)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    results = [measure(path) for path in options.tables]
    for result in results:
        print(f"{result['table']}: {result['architectures']} × {result['seeds']} seeds")
        for signal, row in result["signals"].items():
            points = "".join("   –  " if point is None else f"{point[0]:6.2f}" for point in row)
            print(f"  {signal:12s}{points}")
    if options.json:
        content = {
            "what": "correlation of an epoch's signal with the final accuracy of other seeds",
            "environment": describe_environment(torch.device("cpu"), "float32"),
            "draws": BOOTSTRAP_DRAWS,
            "tables": results,
        }
        options.json.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
