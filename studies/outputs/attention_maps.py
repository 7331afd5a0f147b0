"""The attention maps of a trial: computed in another process, and cached.

    maps = fetch_attention_maps(request_for_trial(store, "mine", 7))
    baseline_maps = fetch_attention_maps(request_for_baseline(store, "mine", 7))

`studies.figures.attention_maps` draws them.

This module does not import torch, because the dashboard uses it. It runs
`runners.inspection.collect_attention_maps` as a command, and caches the result as long as the
weights stay the same.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...cache_folders import cache_folder, read_cached_json, write_cached_json
from ...errors import StoreError, StudyError
from ...runners.inspection.attention_maps import FORMAT, AttentionMaps
from ...runners.results import CHECKPOINT_FILE, WEIGHTS_FILE
from ..database.store import Store
from ..missing_attentions import require_attentions
from ..records import StudyRecord, TrialRecord
from .missing_weights import explain_missing_weights

NUM_IMAGES = 8
TIMEOUT_SECONDS = 120.0
"""Time limit of one request. Most of the time is importing torch and building the network."""
MAX_CACHED_RESULTS = 200
"""Results kept in the cache. Every checkpoint of a running trial has a new result."""
_COMMAND = "attentune.runners.inspection.collect_attention_maps"


@dataclass(frozen=True)
class AttentionMapsRequest:
    """All that the other process needs to compute the attention maps of one network.

    Attributes:
        label: the trial's name in messages.
        architecture: its architecture text.
        recipe: the fields of the recipe that it was trained with.
        weights: its final weights or its last checkpoint.
        data_key: of the images that it was trained on; None if they were not recorded.
        num_images: how many validation images.
        seed: chooses the images.
    """

    label: str
    architecture: str
    recipe: Mapping[str, Any]
    weights: Path
    num_images: int = NUM_IMAGES
    seed: int = 0
    data_key: str | None = None

    def to_json(self) -> dict[str, Any]:
        """What `runners.inspection.collect_attention_maps` reads."""
        return {
            "architecture": self.architecture,
            "recipe": dict(self.recipe),
            "weights": str(self.weights),
            "num_images": self.num_images,
            "seed": self.seed,
            "data_key": self.data_key,
        }


def request_for_trial(
    store: Store,
    study: StudyRecord | str,
    number: int,
    *,
    num_images: int = NUM_IMAGES,
    seed: int = 0,
) -> AttentionMapsRequest:
    """A request for one trial: for its final weights if it has ended, else its last checkpoint.

    Args:
        store: the database.
        study: the trial's study, or its name.
        number: the trial's number in the study.
        num_images: how many validation images.
        seed: chooses the images.

    Raises:
        StoreError: the trial has no weights; the message says why.
        StudyError: there is no such trial, or its attention is not installed here.
    """
    record = store.studies.get(study) if isinstance(study, str) else study
    trial = store.trials.get(record, number)
    label = f"trial {number} of {record.name!r}"
    require_attentions(record, label, (i.attention for i in trial.parsed.insertions))
    weights = _weights_file(store, record, number)
    if weights is None:
        raise StoreError(explain_missing_weights(store, record, trial))
    try:
        trained = record.config.recipe_of(trial.role, seed=trial.seed)
    except StudyError:
        raise StoreError(
            f"the study {record.name!r} does not record its recipe; choose one that "
            "`attentune search` made."
        ) from None
    recipe = trained.model_dump(mode="json")
    if (data_record := store.data_records.get(record)) is not None:
        info = data_record.info_of(trained)
        return AttentionMapsRequest(
            label,
            trial.architecture,
            {**recipe, "data": data_record.place},
            weights,
            num_images,
            seed,
            None if info is None else info.key,
        )
    data = store.artifacts.parent / str(recipe.get("data", ""))
    if data.exists() and not Path(str(recipe["data"])).exists():
        # A relative path refers to where the search ran, most often beside its database.
        recipe = {**recipe, "data": str(data)}
    return AttentionMapsRequest(label, trial.architecture, recipe, weights, num_images, seed)


def request_for_baseline(
    store: Store,
    study: StudyRecord | str,
    number: int,
    *,
    num_images: int = NUM_IMAGES,
    seed: int = 0,
) -> AttentionMapsRequest | None:
    """A request for the bare backbone, to compare a trial with; None if no bare trial has weights.

    If there are several bare trials, one with the trial's role is preferred, then a complete one,
    then one with the trial's seed.

    Args:
        store: the database.
        study: the trial's study, or its name.
        number: the number of the trial to compare with.
        num_images: how many validation images.
        seed: chooses the images.

    Raises:
        StoreError, StudyError: as `request_for_trial`.
    """
    record = store.studies.get(study) if isinstance(study, str) else study
    trial = store.trials.get(record, number)
    trials = store.trials.read(record)
    if trial.confirms:
        trials += store.trials.read(record, confirming=True)
    bare = [t for t in trials if t.parsed.bare and _weights_file(store, record, t.number)]
    if not bare:
        return None

    def distance(candidate: TrialRecord) -> tuple[Any, ...]:
        other_role = candidate.confirms != trial.confirms
        incomplete, other_seed = candidate.state != "complete", candidate.seed != trial.seed
        return other_role, incomplete, other_seed, candidate.number

    nearest = min(bare, key=distance).number
    return request_for_trial(store, record, nearest, num_images=num_images, seed=seed)


def fetch_attention_maps(
    request: AttentionMapsRequest, *, timeout: float = TIMEOUT_SECONDS
) -> AttentionMaps:
    """The attention maps for a request, from the cache or else from another process.

    Raises:
        StoreError: they cannot be computed, or not within `timeout` seconds.
    """
    try:
        stat = request.weights.stat()
    except OSError:
        raise StoreError(
            f"the weights of {request.label} have been deleted; load the page again."
        ) from None
    key = [FORMAT, request.to_json(), stat.st_mtime_ns, stat.st_size]
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:24]
    file = cache_folder("attention-maps") / f"{digest}.json"
    cached = read_cached_json(file)
    if cached is not None:
        with suppress(ValueError, KeyError, TypeError):  # Another version may have written it.
            return AttentionMaps.from_json(cached)
    result = _run_command(request, timeout)
    _cache_result(file, result)
    return AttentionMaps.from_json(result)


def _run_command(request: AttentionMapsRequest, timeout: float) -> dict[str, Any]:
    """Run the command and return its result.

    The process sees no GPU, because a search may need all of the GPU's memory.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    with tempfile.TemporaryDirectory(prefix="attentune-attention-maps-") as folder:
        source, target = Path(folder) / "request.json", Path(folder) / "result.json"
        source.write_text(json.dumps(request.to_json()), "utf-8")
        stderr = b""
        try:
            process = subprocess.run(
                [sys.executable, "-m", _COMMAND, str(source), str(target)],
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=timeout,
                check=False,
            )
            stderr = process.stderr
            result: dict[str, Any] = json.loads(target.read_text("utf-8"))
        except subprocess.TimeoutExpired:
            raise StoreError(
                f"the attention maps of {request.label} took more than {timeout:g} s; try again "
                "when the machine is less busy, or with fewer images."
            ) from None
        except (OSError, ValueError) as error:
            last_line = next(reversed(stderr.decode(errors="replace").strip().splitlines()), error)
            raise StoreError(
                f"computing the attention maps of {request.label} ended without a result "
                f"({last_line}); try again."
            ) from None
    if "error" in result:
        raise StoreError(f"{request.label} has no attention maps: {result['error']}")
    return result


def _cache_result(file: Path, result: dict[str, Any]) -> None:
    """Write a result, and delete the oldest ones beyond `MAX_CACHED_RESULTS`."""
    try:
        write_cached_json(file, result)
        newest_first = sorted(
            file.parent.glob("*.json"), key=lambda path: path.stat().st_mtime, reverse=True
        )
        for outdated in newest_first[MAX_CACHED_RESULTS:]:
            outdated.unlink(missing_ok=True)
    except OSError:
        pass  # A cache that cannot be written costs time; the result is returned all the same.


def _weights_file(store: Store, study: StudyRecord, number: int) -> Path | None:
    files = (store.trial_file(study, number, name) for name in (WEIGHTS_FILE, CHECKPOINT_FILE))
    return next((file.resolve() for file in files if file.is_file()), None)
