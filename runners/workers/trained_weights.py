"""The weights of a finished trial, and its result, which lies in the same file.

The file is on the disk before the result is reported. If the coordinator ends before it has
recorded the result, the next run takes it from the file, and the trial is not trained again.
"""

from __future__ import annotations

import json

from torch import nn

from ...errors import DamagedFileError
from ...files import atomic_write, remove_path
from ..artifacts.trial_folder import publish
from ..results import WEIGHTS_FILE, Job
from ..training.tensor_file import verify_tensors, write_tensors
from .trial_facts import FinishedTrial, read_finished

TRIAL_KEY = "trial"
"""The entry of the metadata that holds the result, and which trial it belongs to."""


def save_weights(model: nn.Module, job: Job, finished: FinishedTrial) -> None:
    """Write the weights and buffers of a trained network, with its result, to the trial's folder.

    Args:
        model: with the weights that are kept.
        job: the trial.
        finished: its result.
    """
    weights = {name: value.contiguous().cpu() for name, value in model.state_dict().items()}
    path = job.folder / WEIGHTS_FILE
    if path.is_dir():
        remove_path(path)  # A file cannot replace a folder.
    with atomic_write(path) as draft:
        metadata = {"format": "pt", TRIAL_KEY: json.dumps(finished.to_json(job))}
        write_tensors(draft, weights, metadata)
    publish(job, WEIGHTS_FILE)


def read_result(job: Job) -> FinishedTrial | None:
    """The result of an earlier run of a trial; None if its weights are missing.

    Raises:
        DamagedFileError: the weights are damaged, of another trial, or have no result.
    """
    path = job.folder / WEIGHTS_FILE
    try:
        return read_finished(json.loads(verify_tensors(path)[TRIAL_KEY]), job)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, RecursionError) as error:
        raise DamagedFileError(f"{path} cannot be read: {error}") from error
