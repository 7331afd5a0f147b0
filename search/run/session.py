"""Create, run, resume, confirm and delete studies.

This module assembles the parts of a run. A script calls the same functions as the command line:

    with Store.open("attentune.db", create=True) as store:
        record = create_study(store, "mine", read_request({"backbone": …, "data": …}))
        run_study(store, record, callbacks=[MyCallback()])
        confirm_study(store, record)

Messages go to the loggers below `attentune`; nothing is printed.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from ...interrupts import defer_interrupts, stop_on_interrupt
from ...runners.data import Progress
from ...runners.recipe import Recipe
from ...runners.workers.pool import PoolSettings, make_pool
from ...runners.workers.processes import warm_up
from ...sanitize import MAX_COMMAND_LENGTH, clean_text, hide_passwords
from ...studies.alternatives import ALTERNATIVE_KINDS, AlternativeKind, AlternativesPlan
from ...studies.database.store import Store
from ...studies.records import StudyRecord
from ...studies.stored_config import ExpectedGain
from ...studies.text.alternatives import KIND_TITLES, plan_sentences
from ...studies.text.expected_gain import end_of_plan_sentence
from ..pruning.base import Pruner
from ..pruning.registry import make_pruner
from ..trial_source import RecordedSearch, TrialSource
from .callback import Callback, RunOutcome
from .study_lease import StudyLease, hold_lease
from .study_run import StudyRun
from .study_workers import (
    check_shared_batches,
    check_workers,
    gpus_of_a_trial,
    pool_settings,
    resolve_study_device,
)
from .used_up import used_up_sentence

if TYPE_CHECKING:
    from ...studies.stored_config import ConfirmPlan
    from ..setup.request import SearchRequest
    from .alternative_trials import AlternativeTrials, ExtraTrials
    from .confirm import ConfirmRequest, StudyTrials
    from .data_options import DataOptions
    from .propose import Proposer
    from .study_data import StudyData

logger = logging.getLogger(__name__)


def create_study(
    store: Store,
    name: str,
    request: SearchRequest,
    progress: Progress | None = None,
    command: str | None = None,
) -> StudyRecord:
    """Create a study from a request, without running it.

    If this is interrupted, `run_study` continues it; see `study_setup.py`.

    Args:
        store: the database.
        name: of the study.
        request: the requested settings; those that it leaves open are decided here.
        progress: called while images are decoded, with the number of decoded images and of all.
        command: the command line, stored with the study so that it can be reproduced.

    Raises:
        UsageError: the name is not allowed.
        StudyError: the name is taken, by a study of attentune or by one of Optuna.
        AttentuneError: as `resolve_request`.
    """
    store.studies.check_new(name)  # Before anything slow happens.
    warm_up()
    with defer_interrupts():
        from .optuna_tables import check_name_is_free
        from .study_setup import artifacts_of_request, removed_if_refused, set_up, store_request
    check_name_is_free(store, name)
    check_workers(request.plan, artifacts_of_request(store, request))
    if command is not None:
        command = hide_passwords(clean_text(command, MAX_COMMAND_LENGTH))
    record = store_request(store, name, request, command)
    with removed_if_refused(store, record):
        return set_up(store, record, progress, workers_checked=True)


def run_study(
    store: Store,
    record: StudyRecord,
    callbacks: Sequence[Callback] = (),
    plan_changes: Mapping[str, Any] | None = None,
    data_options: DataOptions | None = None,
) -> RunOutcome:
    """Run a study to the end of its plan, or until an interrupt; resume it if it was started.

    In the main thread, the first Ctrl-C lets the running epochs end and saves them. A changed plan
    is stored right before the first trial starts. If the run is refused before that, or if the
    changed plan starts no trial, the stored plan stays as it was. A study whose setup was
    interrupted is set up first.

    Args:
        store: the database.
        record: the study.
        callbacks: called on every event.
        plan_changes: fields of the plan to change; those that are None do not change.
        data_options: where the data are now, and whether they may have changed.

    Raises:
        UsageError: a value of the plan is out of range.
        DataError: the data are not those that the study was searched on.
        StudyError: the study cannot be read or run here, or another process runs it.
        TrialError: the first trials all failed.
        SpaceError: the limits leave nothing to try.
    """
    if record.config.is_being_set_up:
        with defer_interrupts():
            from .study_setup import set_up
        place = None if data_options is None else data_options.data
        record = set_up(store, record, plan_changes=plan_changes, data=place)
    with hold_lease(store, record) as lease:
        run = StudyRun.load(store, store.studies.get(record.name)).with_plan(**plan_changes or {})
        run.check_initial_weights()
        run.check_evaluation()
        warm_up()
        with defer_interrupts():
            from ...runners.costs import CostModel
            from ...runners.plugin_checks.checker import plugin_checker
            from ...spaces.search_space.bound_space import bind_space
            from .optuna_study import OptunaStudy
            from .propose import Proposer
            from .study_data import StudyData

        config, device = run.config, resolve_study_device(run)
        if config.evaluation is None:
            # Workers only open prepared data.
            study_data = StudyData(store, run.record, data_options)
            data = study_data.prepare(config.recipe)
            run = replace(run, data_key=data.key)
            _log_unkept_predictions(run, data.counts["val"])
        costs = CostModel(config.backbone, config.recipe, config.num_classes, plugin_checker())
        study = OptunaStudy(config.objectives, store, record)
        space = bind_space(config.space, costs.site_map)
        proposer = Proposer(store, run.record, config, space, costs, study)
        pruner = make_pruner(config)
        recorded = RecordedSearch(store, record)
        pruner.replay(recorded)
        started = len(recorded.trials)
        expected = proposer.expected_gain()
        used_up = used_up_sentence(run.plan, record, lease, started, expected)
        if used_up is None or started == run.plan.trials:
            run = run.store_plan()
        alternatives = None
        if run.plan.alternatives and config.evaluation is None:
            alternatives = _alternative_trials(run, proposer, study_data)
        keys = (run.data_key, *_data_keys_of(alternatives))
        settings = pool_settings(run, device, keys)
        outcome = _coordinate(run, lease, proposer, pruner, settings, callbacks, alternatives)
        if outcome.finished:
            _log_used_up(run, lease, outcome, started, proposer.expected_gain())
        return outcome


def _alternative_trials(
    run: StudyRun, proposer: Proposer, study_data: StudyData
) -> AlternativeTrials:
    """The trials of the study's alternatives beside its search."""
    from .alternative_trials import AlternativeTrials

    plan, data_keys = _prepare_alternatives(run, study_data)
    return AlternativeTrials(run, plan, data_keys, lambda: not proposer.lacks_baselines())


def _lacks_alternatives(run: StudyRun, plan: ConfirmPlan, trials: StudyTrials) -> bool:
    """Whether a confirmation lacks a trial of an alternative."""
    from .alternative_trials import lack_confirmation

    if not plan.alternatives:
        return False
    confirming = run.store.trials.read_alternatives(run.record, confirming=True)
    known, backbone = run.record.config.alternatives, run.config.backbone
    if not known.alternatives and not known.missing:
        return True  # They are not even decided.
    return lack_confirmation(known, plan, trials.confirming, confirming, backbone)


def _confirming_alternatives(
    run: StudyRun, plan: ConfirmPlan, study_data: StudyData
) -> AlternativeTrials | None:
    """The trials of the study's alternatives in a confirmation; None if they are not confirmed."""
    from .alternative_trials import AlternativeTrials

    if not plan.alternatives:
        return None
    alternatives, data_keys = _prepare_alternatives(run, study_data)
    return AlternativeTrials(run, alternatives, data_keys, confirmation=plan)


def _prepare_alternatives(
    run: StudyRun, study_data: StudyData
) -> tuple[AlternativesPlan, dict[AlternativeKind, str]]:
    """The alternatives of a study, decided here if they were not before, and their data.

    Returns:
        The alternatives, and the keys of their data by kind, without those of data that cannot be
        prepared.
    """
    from ...runners.devices import resolve_device
    from ..setup.alternatives import plan_alternatives
    from .alternative_trials import prepare_alternatives

    config = run.record.config.study  # Of the search, also while it is confirmed.
    plan = known = run.record.config.alternatives
    if len(known.alternatives) < len(ALTERNATIVE_KINDS):
        native_size = partial(study_data.native_size, config.recipe)
        plan = plan_alternatives(config, resolve_device(run.plan.device), known, native_size)
    if plan != known:
        run.store.studies.change_config(run.record, plan.stored_in)
        for sentence in plan_sentences(plan, config.recipe):
            logger.info(sentence)

    def prepare(recipe: Recipe) -> str:
        return study_data.prepare(recipe).key

    data_keys, reasons = prepare_alternatives(plan, run.config.recipe, prepare)
    for kind, reason in reasons.items():
        logger.warning("%s: not trained in this run, because %s", KIND_TITLES[kind], reason)
    return plan, data_keys


def _log_used_up(
    run: StudyRun,
    lease: StudyLease,
    outcome: RunOutcome,
    started: int,
    expected: ExpectedGain | None,
) -> None:
    """Say why a run has started no trial, or has ended before the plan's number of trials, or
    before the convergence that it was to end with.

    Args:
        run: the study.
        lease: the time that was spent.
        outcome: how the run has ended.
        started: the number of trials that had started before.
        expected: what more trials are expected to add; None if that is unknown.
    """
    reason = used_up_sentence(run.plan, run.record, lease, outcome.trials, expected)
    ran = outcome.trials > started or outcome.extra_trials > 0
    as_planned = outcome.trials == run.plan.trials and ran
    if reason is not None and not as_planned:
        is_stored = run.plan == run.record.config.plan
        logger.info(reason if is_stored else f"{reason} The stored plan is unchanged.")
    elif run.plan.until == "converged" and expected is not None:
        logger.info(end_of_plan_sentence(run.plan, expected, run.record.metric))


def confirm_study(
    store: Store,
    record: StudyRecord,
    request: ConfirmRequest | None = None,
    callbacks: Sequence[Callback] = (),
    data_options: DataOptions | None = None,
) -> RunOutcome:
    """Retrain finalists and baselines with fresh seeds, and evaluate them on the test split.

    A confirmation that was interrupted continues.

    Args:
        store: the database.
        record: a study whose bare backbone is complete.
        request: what to confirm and how.
        callbacks: called on every event.
        data_options: where the data are now, and whether they may have changed.

    Raises:
        DataError: the data are not those that the study was searched on.
        UsageError: trials cannot be trained on as many GPUs as `gpus_per_trial` asks for.
        StudyError: nothing can be confirmed yet, the study was confirmed with other epochs or more
            splits, splits are asked for where the source has its own test split, or another process
            runs it.
        TrialError: the first trials all failed.
    """
    from .confirm import (
        ConfirmationSource,
        ConfirmRequest,
        StudyTrials,
        configure_confirmation,
        plan_confirmation,
        prepare_splits,
        store_confirmation,
    )

    request = request or ConfirmRequest()
    with hold_lease(store, record, counts_time=False) as lease:
        run = StudyRun.load(store, store.studies.get(record.name))
        run.check_initial_weights()
        run.check_evaluation()
        trials = StudyTrials.read(store, record)
        confirm_plan = plan_confirmation(run, trials, request)
        trial_source = ConfirmationSource(run, confirm_plan, trials)
        if not trial_source.unfinished and not _lacks_alternatives(run, confirm_plan, trials):
            store_confirmation(run, confirm_plan)
            return RunOutcome(True, trial_source.total)
        warm_up()
        from .study_data import StudyData

        run = configure_confirmation(run, confirm_plan, request, trial_source.total)
        device = resolve_study_device(run)
        gpus = gpus_of_a_trial(run, device, request)
        study_data: StudyData | None = None
        if run.config.evaluation is None:
            study_data = StudyData(store, run.record, data_options)
            confirm_plan, data = prepare_splits(run, confirm_plan, study_data.prepare)
            check_shared_batches(run.config.recipe, gpus, data)
            trial_source.data_keys = [info.key for info in data]
            run = replace(run, data_key=data[0].key)
            _log_unkept_predictions(run, data[0].counts["test"])
        pruner = make_pruner(run.config)
        run = store_confirmation(run, confirm_plan)
        alternatives = None
        if study_data is not None:
            alternatives = _confirming_alternatives(run, confirm_plan, study_data)
        keys = (*trial_source.data_keys, *_data_keys_of(alternatives))
        settings = pool_settings(run, device, keys, gpus)
        announce = trial_source.announcement
        return _coordinate(
            run, lease, trial_source, pruner, settings, callbacks, alternatives, announce
        )


def delete_study(store: Store, name: str) -> None:
    """Remove a study with its trials, checkpoints and weights, and Optuna's record of it.

    An Optuna study of that name that attentune did not make is left alone. What an interrupted
    removal has left is removed too.

    Raises:
        StudyError: it does not exist, or a process runs it.
    """
    from .optuna_tables import OptunaTables, remove_left_over, remove_study

    tables = OptunaTables(store)
    if any(record.name == name for record in store.studies.read_all()):
        store.delete_study(name, partial(remove_study, tables, store, name))
    elif not store.retry(partial(remove_left_over, tables, store, name)):
        store.studies.get(name)  # Raises an error that names similar studies.


def _data_keys_of(alternatives: AlternativeTrials | None) -> Iterable[str]:
    return () if alternatives is None else alternatives.data_keys.values()


def _log_unkept_predictions(run: StudyRun, num_images: int) -> None:
    """Say what is not kept of the predictions, if the plan does not simply ask for that."""
    from ...studies.text.predictions import describe_unkept_predictions

    sentence = describe_unkept_predictions(run.plan, num_images, run.config.num_classes)
    if sentence is not None and run.plan.keep_predictions == "all":
        logger.warning(sentence)


def _coordinate(
    run: StudyRun,
    lease: StudyLease,
    trial_source: TrialSource,
    pruner: Pruner,
    settings: PoolSettings,
    callbacks: Sequence[Callback],
    extra_trials: ExtraTrials | None = None,
    announce: Callable[[int], str] | None = None,
) -> RunOutcome:
    """Run trials with workers that are started for them.

    Args:
        run: the study.
        lease: the right to run it.
        trial_source: proposes trials.
        pruner: stops trials early.
        settings: of the workers.
        callbacks: called on every event.
        extra_trials: beside those of the source.
        announce: makes a line of the log from the number of workers.
    """
    from .coordinator import Coordinator

    with contextlib.ExitStack() as stack:
        pool = make_pool(run.plan.pool, settings)
        stack.callback(pool.close)
        if announce is not None:
            logger.info(announce(pool.size))
        coordinator = Coordinator(run, lease, trial_source, pruner, pool, callbacks, extra_trials)
        # An interrupt must not cut off the end of the workers either.
        with stop_on_interrupt(coordinator.stop), stack.pop_all():
            return coordinator.run()
