"""What each epoch of a trial foretells, read off the tables: which signal a rung should use.

    python benchmarks/rung_signals.py --json benchmarks/results/rung_signals.json

For every epoch, Spearman's correlation over the architectures of a table between one seed's signal
(validation accuracy of the averaged weights; mean training loss) and the mean final accuracy of the
*other* seeds, averaged over the seeds. So luck that a trial's own end shares with its early epochs
counts for nothing, and what a full trial itself foretells (accuracy at the last epoch) is the
measure for all that comes before. Intervals of 95 % are from a bootstrap over architectures.

`rungs.py` trains, for signals that the tables do not hold.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from attentune.benchmarks.tabular_benchmark import TABLES, Array, TabularBenchmark
from attentune.runners.environment import describe_environment
from scipy import stats

DRAWS = 400


def foretold(signal: Array, ends: Array) -> float:
    """Mean correlation of a signal (architectures, seeds) with the other seeds' mean end."""
    found = []
    for seed in range(signal.shape[1]):
        others = np.delete(ends, seed, axis=1).mean(axis=1)
        found.append(stats.spearmanr(signal[:, seed], others).statistic)
    return float(np.mean(found))


def with_interval(signal: Array, ends: Array) -> list[float] | None:
    """The correlation and its interval; None where all architectures show the same."""
    if (np.ptp(signal, axis=0) == 0).any():
        return None
    draw = np.random.default_rng(0)
    again = [
        foretold(signal[rows], ends[rows])
        for rows in (draw.integers(len(ends), size=len(ends)) for _ in range(DRAWS))
    ]
    low, high = np.quantile(again, (0.025, 0.975))
    return [round(float(value), 3) for value in (foretold(signal, ends), low, high)]


def measure(path: Path) -> dict[str, Any]:
    """Every signal at every epoch of one table."""
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
            "accuracy": [with_interval(accuracy[:, :, e], ends) for e in epochs],
            "train_loss": [with_interval(-loss[:, :, e], ends) for e in epochs],
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("tables", nargs="*", type=Path, default=TABLES)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    results = [measure(path) for path in options.tables]
    for result in results:
        print(f"{result['table']}: {result['architectures']} × {result['seeds']} seeds")
        for signal, row in result["signals"].items():
            points = "".join("   –  " if point is None else f"{point[0]:6.2f}" for point in row)
            print(f"  {signal:12s}{points}")
    if options.json:
        told = {
            "what": "correlation of an epoch's signal with the final accuracy of other seeds",
            "environment": describe_environment(torch.device("cpu"), "float32"),
            "draws": DRAWS,
            "tables": results,
        }
        options.json.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
