"""Which workers a study needs, and whether they can run its trials."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ...errors import StudyError
from ...interrupts import defer_interrupts
from ...runners.user_evaluation import UserEvaluation
from ...runners.workers.pool import PoolSettings, check_pool
from ...studies.config import RunPlan
from .study_run import StudyRun


def check_workers(plan: RunPlan, artifacts: Path) -> None:
    """Check that there can be workers as a plan asks for, before anything slow begins.

    Args:
        plan: of a study that is not set up yet.
        artifacts: the folder that holds its artifacts; workers need it.

    Raises:
        UsageError: the device or the address of a cluster cannot be used.
        MachineError: a cluster is not there, or its nodes cannot run one study together.
    """
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


def pool_settings(run: StudyRun, device: str, data_keys: Iterable[str | None]) -> PoolSettings:
    """The workers of a study.

    Args:
        run: the study with its plan.
        device: where they train.
        data_keys: of the prepared data that trials will use.
    """
    files = [] if run.plan.pool == "local" else _files_of(run)
    return _settings(run.plan, device, run.store.artifacts_of(run.record), files, data_keys)


def _settings(
    plan: RunPlan,
    device: str,
    artifacts: Path,
    files: Iterable[Path] = (),
    data_keys: Iterable[str | None] = (),
) -> PoolSettings:
    return PoolSettings(
        device,
        plan.workers,
        plan.workers_per_gpu,
        plan.ray_address,
        folders=(artifacts.resolve(),),
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
