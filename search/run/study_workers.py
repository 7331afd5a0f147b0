"""Which workers a study needs, and whether they can run its trials."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import MachineError, StudyError, TrialError, UsageError
from ...interrupts import defer_interrupts
from ...runners.artifacts.store import ArtifactStore
from ...runners.data.dataset import DataInfo
from ...runners.recipe import Recipe
from ...runners.user_evaluation import UserEvaluation
from ...runners.workers.pool import PoolSettings, check_pool
from ...studies.config import RunPlan
from ...studies.text.formatting import plural
from .study_run import StudyRun

if TYPE_CHECKING:
    from .confirm import ConfirmRequest

logger = logging.getLogger(__name__)


def check_workers(plan: RunPlan, artifacts: ArtifactStore) -> None:
    """Check that there can be workers as a plan asks for, before anything slow begins.

    Args:
        plan: of a study that is not set up yet.
        artifacts: what will hold its artifacts; workers need it.

    Raises:
        UsageError: the device or the address of a cluster cannot be used.
        MachineError: a cluster is not there, or its nodes cannot run one study together; or the
            artifacts cannot be written.
    """
    artifacts.check()
    if plan.pool == "local":
        return
    with defer_interrupts():
        from ...runners.devices import resolve_device
    device = str(resolve_device(plan.device))
    check_pool(plan.pool, _settings(plan, device, artifacts))


def resolve_study_device(run: StudyRun) -> str:
    """The device on which a study trains.

    Raises:
        StudyError: it was trained on another kind of device.
    """
    with defer_interrupts():
        from ...runners.devices import resolve_device
    device = resolve_device(run.plan.device)
    if device.type != run.config.device:
        raise StudyError(
            f"the study {run.record.name!r} has trained on {run.config.device}; results on "
            f"{device.type} would not be comparable. Continue with --device {run.config.device}, "
            "or start another study."
        )
    return str(device)


def pool_settings(
    run: StudyRun, device: str, data_keys: Iterable[str | None], gpus_per_trial: int = 1
) -> PoolSettings:
    """The workers of a study.

    Args:
        run: the study with its plan.
        device: where they train.
        data_keys: of the prepared data that trials will use.
        gpus_per_trial: on which each trial is trained.

    Raises:
        MachineError: the artifacts of the study cannot be written.
    """
    artifacts = run.store.artifacts_of(run.record)
    artifacts.check()
    files = [] if run.plan.pool == "local" else _files_of(run)
    settings = _settings(run.plan, device, artifacts, files, data_keys)
    return replace(settings, gpus_per_trial=gpus_per_trial)


def gpus_of_a_trial(run: StudyRun, device_name: str, request: ConfirmRequest) -> int:
    """On how many GPUs each trial of a confirmation is trained.

    Args:
        run: the study with its plan.
        device_name: where the confirmation trains.
        request: says on how many GPUs, and how many workers there should be.

    Raises:
        UsageError: trials of this study, pool or device cannot be trained so, or there are not so
            many GPUs.
        MachineError: the installed torch cannot do it.
    """
    gpus = request.gpus_per_trial or 1
    if gpus == 1:
        return gpus
    if run.config.evaluation is not None:
        raise UsageError(
            f"{run.record.name!r} is trained by your own code, which uses GPUs as it likes; leave "
            "out --gpus-per-trial"
        )
    if run.plan.pool != "local":
        raise UsageError(
            f"--gpus-per-trial needs --pool local: with --pool {run.plan.pool}, a trial is trained "
            "on one GPU"
        )
    with defer_interrupts():
        import torch

        from ...runners.devices import device_groups
    if not torch.distributed.is_available():
        raise MachineError(
            "the installed torch has no torch.distributed, which --gpus-per-trial needs; install "
            "another build of torch, or leave it out"
        )
    device = torch.device(device_name)
    logger.info("Each trial is trained on %d devices, among which every batch is divided.", gpus)
    most = len(device_groups(device, None, gpus))
    if request.workers is not None and request.workers > most:
        raise UsageError(
            f"--workers {request.workers}: with --gpus-per-trial {gpus}, this machine has room for "
            f"{plural(most, 'trial')} at a time; use --workers {most}"
        )
    if device.type == "cuda" and run.plan.workers_per_gpu > 1:
        logger.info(
            "A GPU has one trial at a time, because each trial is trained on %d GPUs; the search "
            "had --workers-per-gpu %d.",
            gpus,
            run.plan.workers_per_gpu,
        )
    return gpus


def check_shared_batches(recipe: Recipe, gpus: int, data: Iterable[DataInfo]) -> None:
    """Check that every batch can be divided among the devices of a trial.

    Args:
        recipe: of the trials.
        gpus: of each trial.
        data: that are trained on.

    Raises:
        UsageError: a batch has too few images.
    """
    if gpus == 1:
        return
    from ...runners.training.batch_plan import plan_batches
    from ...runners.training.epoch_share import check_shares

    for info in data:
        try:
            check_shares(plan_batches(recipe, info.counts["train"]), gpus)
        except TrialError as error:
            raise UsageError(str(error)) from None


def _settings(
    plan: RunPlan,
    device: str,
    artifacts: ArtifactStore,
    files: Iterable[Path] = (),
    data_keys: Iterable[str | None] = (),
) -> PoolSettings:
    return PoolSettings(
        device,
        plan.workers,
        plan.workers_per_gpu,
        plan.ray_address,
        shared=(artifacts.location,),
        files=tuple(files),
        data_keys=tuple(dict.fromkeys(key for key in data_keys if key is not None)),
    )


def _files_of(run: StudyRun) -> list[Path]:
    """The files on which the results of a study depend, and that every worker reads itself."""
    weights, evaluation = run.config.recipe.weights_file, run.config.evaluation
    files = [] if weights is None else [weights]
    return files if evaluation is None else files + _code_of(evaluation)


def _code_of(evaluation: UserEvaluation) -> list[Path]:
    """The file of a function; or those that a command names."""
    from ..setup.own_evaluation import evaluation_file  # Imports torch.

    if evaluation.kind == "function":
        file = evaluation_file(evaluation)
        return [] if file is None else [file.resolve()]
    named = (Path(evaluation.folder, word) for word in evaluation.words)
    return [path.resolve() for path in named if path.is_file()]
