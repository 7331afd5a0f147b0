"""Export a trial as a model.

An exported folder holds `model.safetensors`, `architecture.json`, a model card, `README.md`, and
`preprocessing.py`, which makes the model's input of images and needs NumPy and Pillow alone.
`exported_model.load` builds the network from it; its outputs are those of the trial's model.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2

from ... import __version__
from ...errors import DamagedFileError, StoreError, StudyError, UsageError
from ...runners.data import DataInfo, preprocessing
from ...runners.data.prepared.cache import prepare_unrecorded_data
from ...runners.data.prepared.recorded_data import RecordedData
from ...runners.data.preprocessing import Preprocessing
from ...runners.metrics import METRICS
from ...runners.results import WEIGHTS_FILE
from ...runners.training.tensor_file import (
    read_metadata,
    read_tensors,
    verify_tensors,
    write_tensors,
)
from ...runners.workers.trained_weights import TRIAL_KEY
from ...sanitize import clean_error, json_text
from ...spaces.architecture import parse
from ...spaces.attentions.plugins.register import origins_of
from ..analysis.recommendation import recommend
from ..database.predictions import identity_of
from ..database.store import Store
from ..missing_attentions import require_attentions
from ..objectives import OBJECTIVES
from ..records import StudyRecord, TrialRecord
from ..text import formatting
from ..text.predictions import metric_value
from ..text.preprocessing import describe_preprocessing
from ..text.recommendation import export_note
from .exported_model import ARCHITECTURE_FILE, FORMAT, compute_sha256, load
from .judged_images import read_confirmation, read_evaluation_images
from .missing_weights import explain_missing_weights
from .new_folder import check_is_new, new_folder
from .onnx_model import ONNX_FILE, check_onnx_is_installed, write_onnx
from .own_export import export_own
from .read_findings import read_findings

if TYPE_CHECKING:
    from torch import nn

MODEL_CARD_FILE = "README.md"
PREPROCESSING_FILE = "preprocessing.py"


def pick_trial(store: Store, record: StudyRecord, pick: str) -> TrialRecord:
    """The trial to export.

    Args:
        store: the database.
        record: the study.
        pick: `best`, `knee`, or the number of a trial.

    Raises:
        StudyError: there is no such trial, or it is not complete.
        UsageError: `pick` is something else.
    """
    if pick.isdecimal():
        trial = store.trials.get(record, int(pick))
        if trial.state != "complete":
            raise StudyError(f"trial {pick} of {record.name!r} is {trial.state}, not complete.")
        return trial
    if pick not in ("best", "knee"):
        raise UsageError(f"--pick takes best, knee or a trial's number, not {pick!r}")
    findings = read_findings(store, record)
    summary = findings.best if pick == "best" else findings.knee
    if summary is None:
        raise StudyError(f"{record.name!r} has no complete trial to export yet.")
    return store.trials.get(record, summary.number)


def read_export_note(store: Store, record: StudyRecord, trial: TrialRecord) -> str | None:
    """What an export says if its architecture is not better than the bare backbone; else None.

    Args:
        store: the database.
        record: the study.
        trial: that is exported.
    """
    if trial.alternative is not None:
        return (
            "This is an alternative to attention: the plain backbone, trained in another way than "
            "the architectures of the study."
        )
    findings = read_findings(store, record)
    picks = [s for s in findings.architectures if s.architecture.key == trial.key]
    if not picks:
        return None
    recommendation = recommend(findings, read_confirmation(store, record, findings))
    return export_note(recommendation, picks[0], record.metric)


def export(
    store: Store,
    record: StudyRecord,
    trial: TrialRecord,
    folder: Path,
    *,
    onnx: bool = False,
    data: str | None = None,
    allow_changed_data: bool = False,
) -> Path:
    """Write the model of a complete trial to a new folder, which appears only when it is complete.

    Args:
        store: the database.
        record: the study.
        trial: the trial.
        folder: must not exist, or be empty.
        onnx: whether to write `model.onnx`, too.
        data: where the images are now; None: where they were.
        allow_changed_data: go on if they are not those that the study was searched on. The model
            is described as it was trained in any case.

    Returns:
        The folder.

    Raises:
        DataError: the images are not those that the study was searched on.
        StudyError: the trial has a plug-in's attention that is not installed.
        StoreError: the folder is not empty or cannot be written, or the weights are missing,
            damaged, or those of another trial; or the model cannot be converted to ONNX.
        UsageError: a package is missing that writing an ONNX file needs.
    """
    if record.config.evaluation is not None:
        if onnx:
            raise UsageError(
                f"{record.name!r} is trained by {record.config.evaluation}, and only that knows "
                "the inputs and outputs of its network; leave out --onnx, and export it there"
            )
        return export_own(store, record, trial, folder)
    if onnx:
        check_onnx_is_installed()
    attentions = [insertion.attention for insertion in trial.parsed.insertions]
    require_attentions(record, f"trial {trial.number} of {record.name!r}", attentions)
    weights = store.trial_file(record, trial.number, WEIGHTS_FILE)
    if not weights.is_file():
        raise StoreError(explain_missing_weights(store, record, trial))
    check_is_new(folder)
    info = read_data_info(store, record, trial, data, allow_changed=allow_changed_data)
    facts = describe(record, trial, info)
    images = read_evaluation_images(store, record, trial)
    if images is not None:
        facts["evaluated_on"] = {"images": images.count, "majority_share": images.majority_share}
    with new_folder(folder) as draft:
        facts["weights_sha256"] = _copy_weights(record, trial, weights, draft / WEIGHTS_FILE)
        (draft / ARCHITECTURE_FILE).write_text(json_text(facts, indent=2) + "\n", "utf-8")
        shutil.copyfile(preprocessing.__file__, draft / PREPROCESSING_FILE)
        (draft / MODEL_CARD_FILE).write_text(model_card(facts, with_onnx=onnx), "utf-8")
        model = _load_draft(record, trial, draft)
        if onnx:
            write_onnx(model, draft / ONNX_FILE)
    return folder


def _copy_weights(record: StudyRecord, trial: TrialRecord, source: Path, target: Path) -> str:
    """Copy the weights of a trial, and return the SHA-256 of the copy.

    Raises:
        StoreError: they are damaged, or those of another trial.
        OSError: they cannot be copied.
    """
    try:
        if TRIAL_KEY in read_metadata(source):
            shutil.copyfile(source, target)
            written_by = json.loads(verify_tensors(target)[TRIAL_KEY])["identity"]
            if written_by != identity_of(record, trial):
                raise DamagedFileError(f"{source} holds the weights of another trial.")
        else:  # A version without checksums wrote them.
            write_tensors(target, read_tensors(source), {"format": "pt"})
        return compute_sha256(target)
    except (DamagedFileError, ValueError, KeyError, TypeError) as error:
        raise _unusable(record, trial, error) from None


def _load_draft(record: StudyRecord, trial: TrialRecord, draft: Path) -> nn.Module:
    """Load a model before its export gets its name; StoreError if that fails."""
    try:
        return load(draft)
    except StoreError as error:
        raise _unusable(record, trial, error) from None


def _unusable(record: StudyRecord, trial: TrialRecord, error: Exception) -> StoreError:
    reason = clean_error(error).partition("; ")[0].rstrip(".")
    return StoreError(
        f"the weights of trial {trial.number} of {record.name!r} cannot be used ({reason}); choose "
        "another trial."
    )


def read_data_info(
    store: Store,
    record: StudyRecord,
    trial: TrialRecord,
    place: str | None = None,
    *,
    allow_changed: bool = False,
) -> DataInfo:
    """Classes and normalisation of the data that a trial was trained on.

    They come from the record that the study has of its data. A study of a version that recorded
    nothing has only its source.

    Args:
        store: the database.
        record: the study.
        trial: of the study.
        place: where the images are now; None: where they were.
        allow_changed: go on if they are not those of the record.

    Raises:
        DataError: the images are not those of the record, or cannot be read.
        StudyError: the study has no record, and its source has another number of classes.
    """
    recipe = record.config.recipe_of(trial.role, trial.epochs, trial.seed)
    data_record = store.data_records.get(record)
    if data_record is not None:
        recorded = RecordedData.open(
            data_record, place, allow_changed=allow_changed, allow_gone=True
        )
        return data_record.info_of(recipe) or recorded.prepare(recipe)
    if place is not None:
        recipe = recipe.model_copy(update={"data": place})
    info = prepare_unrecorded_data(recipe)
    num_classes = record.config.num_classes
    if num_classes is not None and len(info.classes) != num_classes:
        raise StudyError(
            f"{recipe.data} has {len(info.classes)} classes, and the study {record.name!r} was "
            f"searched on {num_classes}; restore the class folders."
        )
    return info


def describe(record: StudyRecord, trial: TrialRecord, data: DataInfo) -> dict[str, Any]:
    """The contents of `architecture.json`: what is needed to build the network and feed it.

    Args:
        record: the study.
        trial: of the study.
        data: that it was trained on.
    """
    recipe = record.config.recipe_of(trial.role, trial.epochs, trial.seed)
    return {
        "format": FORMAT,
        "attentune": __version__,
        "architecture": trial.architecture,
        "plugins": origins_of(i.attention for i in parse(trial.architecture).insertions),
        "key": trial.key,
        "num_classes": len(data.classes),
        "classes": list(data.classes),
        "image_size": recipe.image_size,
        "stem": recipe.stem,
        "mean": list(data.mean),
        "std": list(data.std),
        "preprocessing": data.preprocessing.to_json(),
        "study": record.name,
        "trial": trial.number,
        "seed": trial.seed,
        "data": data.name,
        "epochs": trial.epochs,
        "judged_on": "test" if trial.confirms else "validation",
        "values": trial.values,
        "recipe": recipe.model_dump(mode="json"),
    }


def model_card(facts: dict[str, Any], *, with_onnx: bool = False) -> str:
    """The model card of an export, in Markdown.

    Args:
        facts: the contents of `architecture.json`.
        with_onnx: whether there is an ONNX file beside it.
    """
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    values, preprocessing = facts["values"], Preprocessing.from_json(facts["preprocessing"])
    return templates.get_template("model_card.md").render(
        **facts,
        with_onnx=with_onnx,
        mirror=facts["recipe"].get("mirror", False),
        precision=facts["recipe"].get("precision", "float32"),
        results=[
            (METRICS[key].title, metric_value(METRICS[key], values[key]))
            for key in METRICS
            if key in values
        ],
        majority=_describe_majority(facts),
        preprocessing_text=describe_preprocessing(preprocessing),
        channels=preprocessing.channels,
        reads_arrays=not preprocessing.reads_image_files,
        latency=formatting.cost_of(values, OBJECTIVES["latency"]),
        formatting=formatting,
    )


def _describe_majority(facts: dict[str, Any]) -> str | None:
    """The share of the most frequent class, which guessing reaches; None if it is not known."""
    if (images := facts.get("evaluated_on")) is None:
        return None
    sample = formatting.plural(images["images"], f"{facts['judged_on']} image")
    return f"{formatting.percent(images['majority_share'])} of {sample}"
