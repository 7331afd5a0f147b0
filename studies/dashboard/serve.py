"""The server of the dashboard, by default on the loopback interface only.

It reads the database; stars, tags and notes are the one thing that it writes (`live_marks`).
"""

from __future__ import annotations

import gc
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ...errors import UsageError
from ..database.store import Store
from .base_path import ROOT, Application, BasePath, WithoutPrefix
from .guard import LOOPBACK, MAX_BODY_BYTES, Guard, new_token

THREADS = 8
MAX_HEADER_BYTES = 2**16
"""Of a request's first line and headers. An address with all filters set has a few thousand."""
GARBAGE_THRESHOLD = 100_000
"""New objects after which Python collects garbage; its default is 700.

Modules and the rows of a study are hundreds of thousands of objects that are never freed. With the
default, visiting them takes half of the time of reading them.
"""


def application(
    store: Store,
    study: str | None = None,
    *,
    hosts: tuple[str, ...] = LOOPBACK,
    token: str | None = None,
    base: BasePath = ROOT,
) -> Application:
    """The guarded WSGI application.

    Args:
        store: the database.
        study: the study to show first; None: the newest.
        hosts: host names by which it may be addressed; empty: any.
        token: what the address must contain; None: no token is required.
        base: the path under which a proxy serves it.
    """
    from .app import make_app

    app = make_app(store, study, base, has_token=token is not None)
    scripts = " ".join(app.csp_hashes())
    policy = (
        f"default-src 'self'; script-src 'self' {scripts}; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; connect-src 'self'; object-src 'none'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    )
    return Guard(WithoutPrefix(app.server, base), hosts, token, policy, base)


def make_server(guarded: Application, host: str, port: int) -> Any:
    """A server that listens, and that refuses a large request before it has read it.

    Args:
        guarded: the application.
        host: the interface to listen on.
        port: 0: any free port.

    Raises:
        OSError: the port is taken.
        ValueError: there is no such interface.
    """
    from waitress import create_server

    return create_server(
        guarded,
        host=host,
        port=port,
        threads=THREADS,
        ident="",
        max_request_body_size=MAX_BODY_BYTES + 1,  # The first size that is refused.
        max_request_header_size=MAX_HEADER_BYTES,
    )


def serve(
    database: str | Path | None,
    study: str | None,
    host: str,
    port: int,
    say: Callable[[str], None],
    *,
    base: BasePath = ROOT,
    proxy_hosts: Sequence[str] = (),
) -> None:
    """Serve until interrupted.

    Args:
        database: a path or a URL; None: the default database.
        study: the study to show first; None: the newest.
        host: the interface to listen on.
        port: 0: any free port.
        say: called with each line for the user.
        base: the path under which a proxy serves it.
        proxy_hosts: further host names by which it may be addressed, those of proxies.

    Raises:
        StoreError: the database cannot be opened.
        StudyError: there is no such study.
        UsageError: the port is taken, or there is no such interface.
    """
    gc.set_threshold(GARBAGE_THRESHOLD)  # Before the modules are imported.
    with Store.open(database, read_only=True) as store:
        if study is not None:
            store.studies.get(study)
        local = host in LOOPBACK
        token = None if local else new_token()
        hosts = (*LOOPBACK, *(name.lower() for name in proxy_hosts)) if local else ()
        guarded = application(store, study, hosts=hosts, token=token, base=base)
        try:
            server = make_server(guarded, host, port)
        except (OSError, ValueError) as error:
            raise UsageError(
                f"cannot listen on {host}:{port} ({error}); choose another with --port or --host"
            ) from None
        shown = "localhost" if local else socket.gethostname() if host == "0.0.0.0" else host
        if not local:
            say(
                f"Warning: anyone who can reach {host}:{port} and has this address can see all "
                "studies of this database."
            )
        address = f"http://{shown}:{server.effective_port}{base.path}"
        say(address + (f"?token={token}" if token else ""))
        say("Press Ctrl-C to stop.")
        gc.freeze()  # The objects that exist now are never freed.
        try:
            server.run()
        finally:
            server.close()
