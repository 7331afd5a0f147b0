"""Hostile requests to the dashboard of a study."""

from __future__ import annotations

from attentune.studies.dashboard.serve import application
from attentune.studies.database.store import Store

from .attack import AttackRun
from .hostile_requests import browser_requests, hostile_requests, send
from .small_study import SmallStudy, run_reference

REQUESTS_PER_ATTEMPT = 200


def request_pages(run: AttackRun) -> None:
    """Requests derived from those of a browser; none may end in an error of the server."""
    study = SmallStudy(trials=3, epochs=2)
    folder = run.folder / "reference"
    run_reference(study, folder)
    with Store.open(folder / "attentune.db", read_only=True) as store:
        guarded = application(store)
        harmless = browser_requests(guarded)
        for step in run.steps():
            with run.attempt(step) as attempt:
                seed = attempt.random.randrange(2**32)
                requests = hostile_requests(harmless, count=REQUESTS_PER_ATTEMPT, seed=seed)
                run.tally.tried -= 1
                for request in requests:
                    response = send(guarded, request)
                    run.tally.tried += 1
                    if response.status >= 500 or response.logged:
                        attempt.unstated(f"{request} → {response.status} {response.logged}"[:1000])
