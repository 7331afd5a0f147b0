"""An export holds the weights of its trial, and a model card with what was measured."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import attentune
import pytest
import torch
from attentune.errors import StoreError
from attentune.runners.data.preprocessing import Preprocessing
from attentune.runners.results import WEIGHTS_FILE, Costs, EpochReport, Job, TrialResult
from attentune.runners.training.tensor_file import read_tensors
from attentune.runners.workers.trained_weights import save_weights
from attentune.runners.workers.trial_facts import FinishedTrial
from attentune.spaces.architecture import parse
from attentune.spaces.networks.build import build_network
from attentune.studies.config import RunPlan
from attentune.studies.database.store import Store
from attentune.studies.outputs.export import export, model_card
from attentune.studies.records import StudyRecord
from damaged_files import DAMAGES, Damage
from safetensors.torch import save_file

Add = Callable[..., int]

FACTS: dict[str, Any] = {
    "attentune": "0.1.0",
    "architecture": "resnet18+se(r=16)@all.residual",
    "num_classes": 10,
    "image_size": 32,
    "stem": "small",
    "study": "first",
    "trial": 7,
    "seed": 0,
    "data": "digits",
    "epochs": 8,
    "judged_on": "validation",
    "preprocessing": Preprocessing(32).to_json(),
    "recipe": {},
    "values": {"accuracy": 0.7123, "params": 11_776_552, "macs": 1_820_000_000, "latency_ms": 8.2},
}


def test_the_card_has_the_numbers_of_the_report() -> None:
    card = model_card(FACTS)
    assert card.startswith("# resnet18+se(r=16)@all.residual\n")
    assert "| validation accuracy | 71.2 % after 8 epochs |\n| parameters | 11,776,552 |\n" in card
    assert "| latency | 8.2 ms for one image |\n" in card
    assert card.endswith('num_classes=10, stem="small")`.\n')


def test_the_share_of_the_most_frequent_class_stands_beside_the_accuracy() -> None:
    card = model_card({**FACTS, "evaluated_on": {"images": 200, "majority_share": 0.65}})
    assert "after 8 epochs |\n| most frequent class | 65.0 % of 200 validation images |\n" in card
    assert "most frequent class" not in model_card(FACTS)


def test_without_a_latency_its_row_is_left_out() -> None:
    values = {key: value for key, value in FACTS["values"].items() if key != "latency_ms"}
    card = model_card({**FACTS, "values": values, "stem": "native"})
    assert "latency" not in card
    assert card.endswith("num_classes=10)`.\n")


@pytest.mark.parametrize(
    ("split", "advice"),
    [("validation", "so it is optimistic"), ("test", "on images that selected nothing")],
)
def test_the_card_says_what_the_accuracy_was_measured_on(split: str, advice: str) -> None:
    card = model_card({**FACTS, "judged_on": split})
    assert f"| {split} accuracy |" in card
    assert advice in " ".join(card.split())


BARE = "test_resnet"
TEXT = "test_resnet+eca@all.residual"
OTHER = "test_resnet+eca(k=5)@all.residual"


@pytest.fixture
def target(tmp_path: Path) -> str:
    return str(tmp_path / "attentune.db")


@pytest.fixture
def recorded(store: Store, study: StudyRecord, tiny_recipe: Any) -> StudyRecord:
    """The study, with the recipe in its config as a search stores it."""
    config = {"study": {"recipe": tiny_recipe.model_dump(mode="json")}}
    return store.studies.change_config(study, lambda _: config)


@pytest.fixture
def leave_weights(store: Store, recorded: StudyRecord) -> Callable[..., Path]:
    """Writes the weights of a complete trial as its worker does; what may differ is given."""

    def leave_weights(number: int, text: str | None = None, **changes: Any) -> Path:
        trial = store.trials.get(recorded, number)
        recipe = recorded.config.recipe.model_copy(update={"epochs": trial.epochs})
        folder = store.trial_folder(recorded, number)
        job = Job(number, parse(text or trial.architecture), recipe, trial.seed, folder)
        model = build_network(job.architecture, num_classes=10, image_size=16, seed=number)
        report = EpochReport(trial.epochs, 1.0, trial.values["accuracy"], 1.0, 0.1, 1.0)
        costs = Costs(1000, 2000)
        result = TrialResult(report.accuracy, trial.epochs, costs, 1.0, 1.0, 1.0, {})
        save_weights(model, replace(job, **changes), FinishedTrial(report, result))
        return folder / WEIGHTS_FILE

    return leave_weights


def test_the_weights_of_a_trial_are_exported(
    store: Store, recorded: StudyRecord, add: Add, leave_weights: Any, tmp_path: Path
) -> None:
    number = add(TEXT, 0.5)
    weights = read_tensors(leave_weights(number))
    folder = export(store, recorded, store.trials.get(recorded, number), tmp_path / "new/model")
    loaded = attentune.load(folder)
    assert all(torch.equal(value, weights[key]) for key, value in loaded.state_dict().items())
    assert [path.name for path in folder.parent.iterdir()] == ["model"]
    checksum = hashlib.sha256((folder / WEIGHTS_FILE).read_bytes()).hexdigest()
    assert loaded.attentune["weights_sha256"] == checksum


def test_weights_of_a_version_without_checksums_are_exported(
    store: Store, recorded: StudyRecord, add: Add, leave_weights: Any, tmp_path: Path
) -> None:
    number = add(TEXT, 0.5)
    file = leave_weights(number)
    save_file(read_tensors(file), file)
    folder = export(store, recorded, store.trials.get(recorded, number), tmp_path / "model")
    assert attentune.load(folder).attentune["trial"] == number


FOREIGN: dict[str, Any] = {
    "another architecture of the same shapes": {"text": OTHER},
    "another seed": {"seed": 9},
    "the test split": {"test": True},
}


@pytest.mark.parametrize("changes", FOREIGN.values(), ids=FOREIGN)
def test_weights_of_another_trial_are_refused(
    store: Store,
    recorded: StudyRecord,
    add: Add,
    leave_weights: Any,
    tmp_path: Path,
    changes: Any,
) -> None:
    number = add(TEXT, 0.5)
    leave_weights(number, **changes)
    with pytest.raises(StoreError, match=r"weights of another trial\); choose another trial\."):
        export(store, recorded, store.trials.get(recorded, number), tmp_path / "model")
    assert not [path for path in tmp_path.iterdir() if "model" in path.name]


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damaged_weights_are_refused_and_leave_nothing(
    store: Store,
    recorded: StudyRecord,
    add: Add,
    leave_weights: Any,
    tmp_path: Path,
    damage: Damage,
) -> None:
    number = add(TEXT, 0.5)
    damage(leave_weights(number))
    with pytest.raises(StoreError, match=rf"trial {number} of 'first'|is a link"):
        export(store, recorded, store.trials.get(recorded, number), tmp_path / "model")
    assert not [path for path in tmp_path.iterdir() if "model" in path.name]


REASONS = {
    "none": r"the weights of trial 2 of 'first' were not kept \(--keep-weights none\); ",
    "front": r"trial 2 of 'first' were not kept, as it is not on the front \(--keep-weights\); ",
    "all": r"trial 2 of 'first' are missing in .* deleted or exceeded --max-weights-size; ",
}


@pytest.mark.parametrize("kept", REASONS)
def test_weights_that_are_gone_are_explained_with_those_that_are_not(
    store: Store,
    recorded: StudyRecord,
    add: Add,
    leave_weights: Any,
    tmp_path: Path,
    kept: str,
) -> None:
    plan = {"plan": RunPlan(keep_weights=kept).model_dump(mode="json")}
    record = store.studies.change_config(recorded, lambda config: {**config, **plan})
    numbers = [add(BARE, 0.5), add(TEXT, 0.6), add(OTHER, 0.4)]
    trial = store.trials.get(record, numbers[2])
    nowhere = REASONS[kept] + "no trial of the study has weights, so search again with --keep"
    with pytest.raises(StoreError, match=nowhere):
        export(store, record, trial, tmp_path / "model")
    for number in numbers[:2]:
        leave_weights(number)
    somewhere = REASONS[kept] + r"choose a trial that has weights: 0 and 1\."
    with pytest.raises(StoreError, match=somewhere):
        export(store, record, trial, tmp_path / "model")
