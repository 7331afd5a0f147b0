"""What a trial's network looks at: asked of another process, and kept.

    ours = fetch_attention_maps(request_for_trial(store, "mine", 7))
    bare = fetch_attention_maps(request_for_baseline(store, "mine", 7))

`gazes` draws them.

No torch here: a dashboard's server asks `python -m attentune.runners.inspection.attention_maps`,
and keeps the answer in the cache folder for as long as the weights stay what they are.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import StoreError
from ...files import atomic_write
from ...runners.data.paths import cache_root
from ...runners.inspection.attention_maps import FORMAT, AttentionMaps
from ..database.store import Store
from ..missing_attentions import require_attentions
from ..records import CONFIRM, StudyRecord, TrialRecord

WEIGHTS, CHECKPOINT = "model.safetensors", "checkpoint.safetensors"
"""As `runners.trial`, which imports torch, calls what it leaves in a trial's folder."""
PICTURES = 8
TIMEOUT = 120.0
"""Seconds for one look; most of them go into importing torch and building the network."""
KEPT = 200
"""Answers in the cache folder; of a running trial every checkpoint makes a new one."""


@dataclass(frozen=True)
class AttentionMapsRequest:
    """A network to look at: `who` for messages, and all that the other process needs."""

    who: str
    architecture: str
    recipe: Mapping[str, Any]
    weights: Path
    pictures: int = PICTURES
    seed: int = 0

    def to_json(self) -> dict[str, Any]:
        """What `runners.looking` reads."""
        asked = {"architecture": self.architecture, "recipe": dict(self.recipe)}
        return {**asked, "weights": str(self.weights), "pictures": self.pictures, "seed": self.seed}


def request_for_trial(
    store: Store, study: StudyRecord | str, number: int, *, pictures: int = PICTURES, seed: int = 0
) -> AttentionMapsRequest:
    """Ask about one trial: its weights if it has ended, else its last checkpoint.

    StoreError if it has neither, in words that say why; StudyError if there is no such trial, or if
    its attention is not installed here.
    """
    record = store.study(study) if isinstance(study, str) else study
    trial = store.trial(record, number)
    who = f"trial {number} of {record.name!r}"
    require_attentions(record, who, (i.attention for i in trial.parsed.insertions))
    weights = _weights(store, record, number)
    if weights is None:
        raise StoreError(_without_weights(store, who, trial))
    try:
        recipe = record.config["study"]["recipe"]
    except (KeyError, TypeError):
        raise StoreError(
            f"the study {record.name!r} does not say how it trained; look at one that "
            "`attentune search` made."
        ) from None
    data = store.artifacts.parent / str(recipe.get("data", ""))
    if data.exists() and not Path(str(recipe["data"])).exists():
        # A relative path is meant from where the search ran, most often beside its database.
        recipe = {**recipe, "data": str(data)}
    return AttentionMapsRequest(who, trial.architecture, recipe, weights, pictures, seed)


def request_for_baseline(
    store: Store, study: StudyRecord | str, number: int, *, pictures: int = PICTURES, seed: int = 0
) -> AttentionMapsRequest | None:
    """Ask about the bare backbone, to see it beside a trial; None if no bare trial has weights.

    Of several, one that was judged like the trial, has ended, and has the trial's seed comes first.
    """
    record = store.study(study) if isinstance(study, str) else study
    trial = store.trial(record, number)
    known = store.trials(record)
    if trial.role == CONFIRM:
        known += store.trials(record, confirming=True)
    able = [t for t in known if t.parsed.bare and _weights(store, record, t.number)]
    if not able:
        return None

    def unlike(other: TrialRecord) -> tuple[Any, ...]:
        role = (other.role == CONFIRM) != (trial.role == CONFIRM)
        return role, other.state != "complete", other.seed != trial.seed, other.number

    return request_for_trial(
        store, record, min(able, key=unlike).number, pictures=pictures, seed=seed
    )


def fetch_attention_maps(asked: AttentionMapsRequest, *, timeout: float = TIMEOUT) -> AttentionMaps:
    """The answer, from the cache folder if it is there, else from another process.

    StoreError in a sentence if it fails, or takes more than `timeout` seconds.
    """
    try:
        stat = asked.weights.stat()
    except OSError:
        raise StoreError(f"the weights of {asked.who} are gone; load the page again.") from None
    key = [FORMAT, asked.to_json(), stat.st_mtime_ns, stat.st_size]
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:24]
    file = cache_root() / "looks" / f"{digest}.json"
    try:
        return AttentionMaps.from_json(json.loads(file.read_text("utf-8")))
    except (OSError, ValueError, KeyError, TypeError):
        pass  # absent or damaged: asked again, written again
    answer = _ask(asked, timeout)
    _keep(file, answer)
    return AttentionMaps.from_json(answer)


def _ask(asked: AttentionMapsRequest, timeout: float) -> dict[str, Any]:
    """The other process's answer; it sees no GPU, where a search may need all memory."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    with tempfile.TemporaryDirectory(prefix="attentune-look-") as folder:
        source, target = Path(folder) / "request.json", Path(folder) / "result.json"
        source.write_text(json.dumps(asked.to_json()), "utf-8")
        words = [
            sys.executable,
            "-m",
            "attentune.runners.inspection.attention_maps",
            str(source),
            str(target),
        ]
        said = b""
        try:
            done = subprocess.run(
                words,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=timeout,
                check=False,
            )
            said = done.stderr
            answer: dict[str, Any] = json.loads(target.read_text("utf-8"))
        except subprocess.TimeoutExpired:
            raise StoreError(
                f"looking at {asked.who} took more than {timeout:g} s; try again when the machine "
                "has less to do, or with fewer pictures."
            ) from None
        except (OSError, ValueError) as error:
            last = said.decode(errors="replace").strip().splitlines()[-1:] or [str(error)]
            raise StoreError(
                f"looking at {asked.who} ended without an answer ({last[0]}); try again."
            ) from None
    if "error" in answer:
        raise StoreError(f"{asked.who} cannot be looked at: {answer['error']}")
    return answer


def _keep(file: Path, answer: dict[str, Any]) -> None:
    """Write an answer whole or not at all, and drop those that are older than the last `KEPT`."""
    try:
        with atomic_write(file) as draft:
            draft.write_text(json.dumps(answer), "utf-8")
        held = sorted(file.parent.iterdir(), key=lambda one: one.stat().st_mtime, reverse=True)
        for old in held[KEPT:]:
            old.unlink(missing_ok=True)
    except OSError:
        pass  # a cache that cannot be written costs time, not answers


def _weights(store: Store, study: StudyRecord, number: int) -> Path | None:
    folder = store.trial_folder(study, number)
    files = (folder / WEIGHTS, folder / CHECKPOINT)
    return next((file.resolve() for file in files if file.is_file()), None)


def _without_weights(store: Store, who: str, trial: TrialRecord) -> str:
    if trial.state == "running":
        return f"{who} has saved nothing yet; look again after some epochs."
    if trial.state == "complete":
        return f"the weights of {who} are gone from {store.artifacts}; look at another trial."
    ended = "was pruned" if trial.state == "pruned" else "failed"
    return f"{who} {ended} and has left no weights; look at a complete trial."
