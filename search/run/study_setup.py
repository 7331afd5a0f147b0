"""Setting up a study: it is stored before anything slow begins, and completed afterwards.

Decoding images, probing the precision and tuning the learning rate take as long as a trial or two.
So the study is created with the request alone, under its name, and gets its configuration once that
is decided. In between it is being set up (`StoredConfig.is_being_set_up`): it has no trials, and
`list`, `show` and the dashboard say so. If the process is interrupted or killed, the study remains,
and the next `resume` sets it up from the stored request. What was cached until then (decoded
images, probes) is not done again; the learning rate is tuned again, because its attempts are
compared with one another.

A request that cannot be carried out leaves no study behind, so that it can be corrected and started
again under the same name.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping
from typing import Any

from ...errors import MachineError, StoreError, StudyError
from ...files import find_path
from ...interrupts import defer_interrupts
from ...machine_faults import machine_fault
from ...runners.artifacts.store import ArtifactStore, open_store
from ...runners.data import Progress
from ...spaces.attentions.plugins.register import origins_of
from ...studies.config import validated
from ...studies.database.artifacts import location_in
from ...studies.database.store import Store
from ...studies.objectives import objective
from ...studies.records import StudyRecord
from ..setup.autotune import autotune_workers_per_gpu
from ..setup.request import SearchRequest
from .study_lease import hold_lease
from .study_run import inserted_attentions, stored_settings
from .study_workers import check_workers

REQUEST = "request"
"""The key of the request in the stored config of a study that is being set up."""
FIELDS_FOR_SETUP = ("data", "device", "workers", "pool", "ray_address")
"""Settings that a resume may change before the study is set up."""

logger = logging.getLogger(__name__)


def store_request(
    store: Store, name: str, request: SearchRequest, command: str | None
) -> StudyRecord:
    """Create a study that is being set up.

    Args:
        store: the database.
        name: of the study.
        request: the requested settings.
        command: the command line that the user gave.

    Raises:
        UsageError: the name is not allowed.
        StudyError: the name is taken.
    """
    config = {REQUEST: request_json(request), "command": command}
    if request.artifacts is not None:
        config["artifacts"] = request.artifacts
    return store.studies.create(
        name,
        backbone=request.backbone,
        objectives=[objective(each).stored_name for each in request.objectives],
        config=config,
        seed=request.seed,
    )


def artifacts_of_request(store: Store, request: SearchRequest) -> ArtifactStore:
    """What will hold the artifacts of a study that is not stored yet."""
    parent = request.artifacts
    return open_store(str(store.artifacts) if parent is None else location_in(parent))


def set_up(
    store: Store,
    record: StudyRecord,
    progress: Progress | None = None,
    plan_changes: Mapping[str, Any] | None = None,
    data: str | None = None,
    *,
    workers_checked: bool = False,
) -> StudyRecord:
    """Decide what the request of a study left open, and complete the study; nothing if it is.

    Args:
        store: the database.
        record: the study.
        progress: called while images are decoded, with the number of decoded images and of all.
        plan_changes: fields of the plan that a resume changes; see `FIELDS_FOR_SETUP`.
        data: where the images are, if a resume says that they are elsewhere now.
        workers_checked: whether `check_workers` has been called.

    Raises:
        StudyError: another process sets it up or runs it, or its request cannot be read.
        AttentuneError: as `resolve_request`.
    """
    if not record.config.is_being_set_up:
        return record
    with hold_lease(store, record, counts_time=False):
        record = store.studies.get(record.name)
        if not record.config.is_being_set_up:
            return record  # Another process was faster.
        with defer_interrupts():
            from ...runners.data import prepare_data
            from ...runners.data.files.folder_listing import shared_listings
            from ...runners.data.prepared.recorded_data import record_data
            from ...runners.devices import resolve_device

            # Imported here, because it imports torch, which a finished confirmation does not need.
            from ..setup.resolve import resolve_request
        changes = {**(plan_changes or {}), "data": data}
        request = stored_request(record, changes)
        if not workers_checked:
            check_workers(request.plan, store.artifacts_of(record))
        with shared_listings():
            config = resolve_request(request, store.probes, progress)
            device = resolve_device(request.plan.device)
            workers_per_gpu = autotune_workers_per_gpu(request, config.recipe, device, store.probes)
            if config.evaluation is None:
                # Decoded just now; the record is stored before anything depends on it.
                info = prepare_data(config.recipe)
                store.data_records.put(record, record_data(config.recipe, info))
        plan = request.plan.model_copy(update={"workers_per_gpu": workers_per_gpu})
        completed = {
            **stored_settings(config, plan),
            "plugins": origins_of(inserted_attentions(config.space.attentions)),
        }

        def complete(stored: dict[str, Any]) -> dict[str, Any]:
            return completed | {key: stored[key] for key in stored if key != REQUEST}

        return store.studies.change_config(record, complete)


@contextlib.contextmanager
def removed_if_refused(store: Store, record: StudyRecord) -> Iterator[None]:
    """Remove a study that has just been created, if the block shows that it cannot be set up.

    It remains after an interrupt, and after a fault of the machine or of the database.
    """
    try:
        yield
    except (MachineError, StoreError):
        raise
    except Exception as error:
        if machine_fault(error) is None:
            with contextlib.suppress(StoreError):
                store.delete_study(record.name)
        raise


def request_json(request: SearchRequest) -> dict[str, Any]:
    """A request as JSON, with absolute paths: `resume` may be called from another folder."""
    from ...runners.data.sources.embedded import EMBEDDED
    from ...spaces.search_space.space import preset_names

    fields: dict[str, Any] = request.model_dump(mode="json", exclude_none=True)
    for name, names in (("data", EMBEDDED), ("space", preset_names())):
        path = find_path(fields[name])
        if fields[name] and fields[name] not in names and path is not None:
            fields[name] = str(path.resolve())
    return fields


def stored_request(record: StudyRecord, plan_changes: Mapping[str, Any]) -> SearchRequest:
    """The request of a study that is being set up, with the changes of a resume.

    Raises:
        StudyError: another version wrote it in another form.
        UsageError: a changed value is out of range.
    """
    stored = record.config.json[REQUEST]
    try:
        SearchRequest.model_validate(stored)
    except ValueError:
        raise StudyError(
            f"the request of {record.name!r} cannot be read; it was written by attentune "
            f"{record.version}. Remove the study with `attentune rm`, and start it again."
        ) from None
    changes = {
        name: plan_changes[name] for name in FIELDS_FOR_SETUP if plan_changes.get(name) is not None
    }
    request: SearchRequest = validated(SearchRequest, "resume", **{**stored, **changes})
    return request
