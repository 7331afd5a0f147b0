"""Export a trial that a user's own evaluation has trained: its files, and how to build its network.

attentune does not know what such a network takes and returns. So there is no model card, and
`attentune.load` does not load the folder; its README says which two lines build the network.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from ...runners.recipe import Recipe
from ...runners.results import USER_FILES_FOLDER, USER_STATE_FILE
from ...runners.user_evaluation import UserEvaluation
from ...sanitize import json_text
from ...spaces.backbones.own_backbone import is_own_backbone
from ...spaces.backbones.sites import height_and_width
from ..database.store import Store
from ..records import StudyRecord, TrialRecord
from .exported_model import ARCHITECTURE_FILE
from .new_folder import check_is_new, new_folder

README_FILE = "README.md"


def export_own(store: Store, record: StudyRecord, trial: TrialRecord, folder: Path) -> Path:
    """Write the files of a complete trial to a new folder, which appears only when it is complete.

    Args:
        store: the database.
        record: a study that a user's own evaluation trains.
        trial: the trial.
        folder: must not exist, or be empty.

    Raises:
        StoreError: the folder is not empty or cannot be written.
    """
    check_is_new(folder)
    config = record.config.study
    assert config.evaluation is not None  # The caller has checked it.
    files = store.trial_file(record, trial.number, USER_FILES_FOLDER)
    facts = _describe(store, record, trial, config.evaluation)
    with new_folder(folder) as draft:
        if files.is_dir():
            shutil.copytree(files, draft / USER_FILES_FOLDER)
        (draft / ARCHITECTURE_FILE).write_text(json_text(facts, indent=2) + "\n", "utf-8")
        readme = _readme(facts, config.recipe, config.num_classes, draft)
        (draft / README_FILE).write_text(readme, "utf-8")
    return folder


def _describe(
    store: Store, record: StudyRecord, trial: TrialRecord, evaluation: UserEvaluation
) -> dict[str, Any]:
    return {
        "format": 1,
        "architecture": trial.architecture,
        "key": trial.key,
        "study": record.name,
        "trial": trial.number,
        "seed": trial.seed,
        "epochs": trial.epochs,
        "evaluation": evaluation.model_dump(mode="json", exclude={"folder"}),
        "values": trial.values,
        "metrics": store.metrics.read(record).get(trial.number, {}),
        "environment": store.trials.read_environments(record).get(trial.environment or "", {}),
    }


def _readme(facts: dict[str, Any], recipe: Recipe, num_classes: int, folder: Path) -> str:
    backbone, plus, insertions = facts["architecture"].partition("+")
    height, width = height_and_width(recipe.size)
    shape = f"1, {recipe.in_chans}, {height}, {width}"
    if is_own_backbone(backbone):
        module, _, name = backbone.partition(":")
        code = f"from {module} import {name}\n\nmodel = {name}()\n"
        if plus:
            code += f'attentune.insert(model, "{insertions}", torch.zeros({shape}))\n'
    else:
        options = f", num_classes={num_classes}" if num_classes else ""
        if recipe.stem != "native":
            options += f', stem="{recipe.stem}"'
        code = (
            f'model = attentune.create_model("{facts["architecture"]}"{options}, '
            f"image_size={recipe.image_size})\n"
        )
    state = folder / USER_FILES_FOLDER / USER_STATE_FILE
    if state.is_file():
        code += (
            f'state = torch.load("{USER_FILES_FOLDER}/{USER_STATE_FILE}", weights_only=True)\n'
            'model.load_state_dict(state["states"]["model"])  # From trial.save(…, model=…).\n'
        )
    values = ", ".join(f"{name} {value:g}" for name, value in facts["values"].items())
    return f"""# {facts["architecture"]}

Trial {facts["trial"]} of the study {facts["study"]}, trained by `{facts["evaluation"]["target"]}`
for {facts["epochs"]} epochs with seed {facts["seed"]}: {values}.

`{USER_FILES_FOLDER}/` holds what that code has written. The network is built by:

```python
import torch

import attentune
{code}```
"""
