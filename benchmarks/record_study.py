"""Write a finished study to a result file: its trials, front, recipe and environments.

python benchmarks/record_study.py DATABASE STUDY --json benchmarks/results/FILE
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from attentune.studies.analysis.analyse import analyse, show_json
from attentune.studies.database.store import Store
from attentune.studies.records import StudyRecord


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("database")
    parser.add_argument("study")
    parser.add_argument("--json", type=Path, required=True)
    options = parser.parse_args()
    with Store.open(options.database, read_only=True) as store:
        study = store.studies.get(options.study)
        trials = store.trials.read(study)
        analysis = analyse(study, trials)
        result = {
            **show_json(study, trials, rejected=len(store.trials.read_rejections(study))),
            "wall_seconds": round(store.studies.spent_seconds(study), 1),
            "seed_deviation": analysis.noise.deviation if analysis.noise else None,
            "config": {
                key: value
                for key, value in study.config.json["study"].items()
                if key in ("space", "sampler", "seed", "objectives")
            },
            "recipe": {**study.config.json["study"]["recipe"], "data": Path(_data(study)).name},
            "environments": list(store.trials.read_environments(study).values()),
        }
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(result, indent=1) + "\n")


def _data(study: StudyRecord) -> str:
    return study.config.recipe.data


if __name__ == "__main__":
    main()
