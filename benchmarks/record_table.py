"""Keep a study that tried every architecture as a table: a benchmark for ways to search.

    python benchmarks/record_table.py DATABASE STUDY FILE.json

One line an architecture: its costs, and for every seed the accuracy and the training loss after
each epoch. `benchmarks/search.py` replays searches on such tables.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections import defaultdict
from pathlib import Path
from typing import Any

from attentune.studies.records import StudyRecord, TrialRecord
from attentune.studies.store import Store


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("database")
    parser.add_argument("study")
    parser.add_argument("json", type=Path)
    options = parser.parse_args()
    with Store.open(options.database, read_only=True) as store:
        study = store.study(options.study)
        head = facts(study, list(store.environments(study).values()))
        rows = [row(store, study, trials) for trials in by_architecture(store, study)]
    options.json.write_text(written({**head, "architectures": rows}), "utf-8")
    seeds = [len(one["seeds"]) for one in rows]
    print(f"{len(rows)} architectures, {min(seeds)} to {max(seeds)} seeds each: {options.json}")


def written(table: dict[str, Any]) -> str:
    """A table as it stands in its file: a line for every architecture."""
    head = {**table, "architectures": "ROWS"}
    lines = ",\n".join(f"  {json.dumps(row, ensure_ascii=False)}" for row in table["architectures"])
    text = json.dumps(head, indent=1, ensure_ascii=False)
    return text.replace('"ROWS"', f"[\n{lines}\n ]") + "\n"


def facts(study: StudyRecord, environments: list[dict[str, str]]) -> dict[str, Any]:
    """What the trials had in common."""
    config = study.config["study"]
    recipe = {**config["recipe"], "data": Path(config["recipe"]["data"]).name}
    return {
        "what": "accuracy (fraction, averaged weights) and mean training loss after every epoch",
        "backbone": study.backbone,
        "space": config["space"],
        "recipe": recipe,
        "environments": environments,
    }


def by_architecture(store: Store, study: StudyRecord) -> list[list[TrialRecord]]:
    """The complete trials, those of one architecture together, seeds in order."""
    found: defaultdict[str, list[TrialRecord]] = defaultdict(list)
    for trial in store.trials(study):
        if trial.state == "complete":
            found[trial.architecture].append(trial)
    return [sorted(trials, key=lambda t: t.seed) for trials in found.values()]


def row(store: Store, study: StudyRecord, trials: list[TrialRecord]) -> dict[str, Any]:
    """One architecture; seconds are of a typical epoch."""
    curves = [[e.report for e in store.epochs(study, t.number)] for t in trials]
    return {
        "architecture": trials[0].architecture,
        "params": trials[0].params,
        "macs": trials[0].macs,
        "seeds": [t.seed for t in trials],
        "seconds": round(statistics.median(r.seconds for curve in curves for r in curve), 2),
        "accuracy": [[round(r.accuracy, 4) for r in curve] for curve in curves],
        "train_loss": [[round(r.train_loss, 4) for r in curve] for curve in curves],
    }


if __name__ == "__main__":
    main()
