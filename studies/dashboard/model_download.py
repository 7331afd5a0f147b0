"""The exported model of a trial as an archive, made in a process of its own when it is asked for.

An export builds the network, so it needs torch, which the server does not import. It takes some
seconds; one is made at a time.
"""

from __future__ import annotations

import re
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from flask import Response, request

from ...errors import AttentuneError
from ..database.store import Store
from .address import Address
from .background import BackgroundProcess
from .context import StudyStates

MODEL_PATH = "/model.zip"
ARCHIVE = "model.zip"
PART_BYTES = 2**20
_one_export = threading.Lock()


def respond_with_model(states: StudyStates, query: str) -> Response:
    """The response to a request for the model of an address's trial.

    A page of another site may not make the server work, so requests from there are refused.

    Args:
        states: of the studies.
        query: the query string.
    """
    if request.headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none"):
        return _problem(403, "Open this address from the dashboard.")
    address = Address.from_query(query)
    state = states.get(address.study)
    if state is None or address.trial is None:
        return _problem(404, "There is no such study, or the address names no trial.")
    if not _one_export.acquire(blocking=False):
        return _problem(503, "Another model is being exported; try again in a moment.")
    try:
        return _export(states, state.study.name, address.trial)
    except AttentuneError as error:
        return _problem(409, str(error))
    finally:
        _one_export.release()


def _export(states: StudyStates, study: str, number: int) -> Response:
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="attentune-export-"))
        arguments = (states.store.url, study, number, folder)
        problem = BackgroundProcess().call(write_model_archive, *arguments)
        if problem is not None:
            return _problem(409, problem)
        size = (Path(folder) / ARCHIVE).stat().st_size
        name = re.sub(r"[^\w.-]", "-", f"{study}-trial-{number}.zip", flags=re.ASCII)
        headers = {
            "Content-Disposition": f'attachment; filename="{name}"',
            "Content-Length": str(size),
            "Cache-Control": "no-store",
        }
        parts = _read_parts(Path(folder) / ARCHIVE, stack.pop_all())
        next(parts)  # From here on, its end closes the stack.
        return Response(parts, mimetype="application/zip", headers=headers)


def _read_parts(archive: Path, stack: ExitStack) -> Iterator[bytes]:
    """First nothing, then a file in parts; what the stack holds is closed at the end."""
    with stack, archive.open("rb") as file:
        yield b""
        while part := file.read(PART_BYTES):
            yield part


def write_model_archive(database: str, study: str, number: int, folder: str) -> str | None:
    """Export a trial and pack its files into `model.zip`; why that cannot be done, or None.

    Args:
        database: a URL.
        study: its name.
        number: of the trial.
        folder: where the archive is written.
    """
    from ..outputs.export import export, pick_trial

    try:
        with Store.open(database, read_only=True) as store:
            record = store.studies.get(study)
            model = Path(folder) / "model"
            export(store, record, pick_trial(store, record, str(number)), model)
    except AttentuneError as error:
        return str(error)
    shutil.make_archive(str(Path(folder) / "model"), "zip", root_dir=model)
    return None


def _problem(status: int, text: str) -> Response:
    return Response(f"{text}\n", status, mimetype="text/plain")
