"""Serving the dashboard: read-only, and on the loopback interface unless told otherwise."""

from __future__ import annotations

import gc
import socket
from collections.abc import Callable
from pathlib import Path

from ...errors import UsageError
from ..database.store import Store
from .guard import LOOPBACK, Application, Guard, new_token

THREADS = 8
OBJECTS = 100_000
"""New objects after which Python looks for garbage; usually 700. Modules and a study's rows are
hundreds of thousands that stay, and looking through them takes half of the time of reading them.
"""


def application(store: Store, study: str | None = None, *, hosts: tuple[str, ...] = LOOPBACK,
                token: str = "") -> Application:  # fmt: skip
    """The guarded WSGI application; see `guard.Guard` for `hosts` and `token`."""
    from .app import make_app

    app = make_app(store, study)
    scripts = " ".join(app.csp_hashes())
    policy = (
        f"default-src 'self'; script-src 'self' {scripts}; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; connect-src 'self'; object-src 'none'; base-uri 'none'; "
        "frame-ancestors 'none'"
    )
    return Guard(app.server, hosts, token, policy)


def serve(
    database: str | Path | None,
    study: str | None,
    host: str,
    port: int,
    say: Callable[[str], None],
) -> None:
    """Serve until interrupted.

    StoreError for a database that cannot be opened, StudyError for a study that is not in it,
    UsageError for a port that is taken.
    """
    gc.set_threshold(OBJECTS)  # before the imports below, which make many
    from waitress import create_server

    with Store.open(database, read_only=True) as store:
        if study is not None:
            store.studies.get(study)
        local = host in LOOPBACK
        token = "" if local else new_token()
        guarded = application(store, study, hosts=LOOPBACK if local else (), token=token)
        try:
            server = create_server(guarded, host=host, port=port, threads=THREADS, ident="")
        except (OSError, ValueError) as error:
            raise UsageError(
                f"cannot listen on {host}:{port} ({error}); choose another with --port or --host"
            ) from None
        shown = "localhost" if local else socket.gethostname() if host == "0.0.0.0" else host
        if not local:
            say(
                f"Warning: everybody who can reach {host}:{port} and has this address sees the "
                "studies of this database."
            )
        say(f"http://{shown}:{server.effective_port}/" + (f"?token={token}" if token else ""))
        say("Ctrl-C stops it.")
        gc.freeze()  # what is here by now stays
        try:
            server.run()
        finally:
            server.close()
