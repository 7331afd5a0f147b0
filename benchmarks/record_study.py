"""Write a finished study to a result file: its trials, front, recipe and environments.

python benchmarks/record_study.py DATABASE STUDY --json benchmarks/results/FILE
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from attentune.studies.analysis.analyse import analyse
from attentune.studies.analysis.architecture_table import ArchitectureTable
from attentune.studies.analysis.attention_effects import EffectTable, analyse_effects
from attentune.studies.analysis.trial_table import TrialTable
from attentune.studies.database.store import Store
from attentune.studies.outputs.read_findings import read_model
from attentune.studies.outputs.study_json import study_json
from attentune.studies.records import StudyRecord, TrialRecord


def study_result(store: Store, study: StudyRecord) -> dict[str, Any]:
    """What `show --json` prints of a study, and what it takes to repeat it.

    Args:
        store: the database.
        study: the study.
    """
    trials = store.trials.read(study)
    noise = analyse(study, trials).noise
    settings, recipe = study.config.json["study"], study.config.recipe
    named = ("space", "sampler", "seed", "objectives")
    return {
        **study_json(store, study),
        "wall_seconds": round(store.studies.spent_seconds(study), 1),
        "seed_deviation": noise.deviation if noise else None,
        "config": {key: settings[key] for key in named if key in settings},
        "recipe": {**settings["recipe"], "data": Path(recipe.data).name},
        "effects": effects_json(store, study, trials),
        "environments": list(store.trials.read_environments(study).values()),
    }


def effects_json(store: Store, study: StudyRecord, trials: Sequence[TrialRecord]) -> dict[str, Any]:
    """What each attention is estimated to add, by stage, position and ratio, with 95 % intervals.

    Args:
        store: the database.
        study: the study.
        trials: those of its search.
    """
    searched = TrialTable.of(trials)
    table = ArchitectureTable.of(searched, read_model(store, study))
    effects = analyse_effects(table, searched.rows)

    def cells(effect_table: EffectTable) -> list[dict[str, Any]]:
        return [
            {"attention": attention, "in": column, **asdict(effect)}
            for (attention, column), effect in effect_table.cells.items()
        ]

    return {
        "by_stage": cells(effects.by_stage),
        "by_position": cells(effects.by_position),
        "by_ratio": [
            {"attention": name, "ratio": ratio, **asdict(effect)}
            for name, ratios in effects.by_ratio.items()
            for ratio, effect in ratios
        ],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("database")
    parser.add_argument("study")
    parser.add_argument("--json", type=Path, required=True)
    options = parser.parse_args()
    with Store.open(options.database, read_only=True) as store:
        result = study_result(store, store.studies.get(options.study))
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
