"""dashboard: show studies as live pages in the browser."""

from __future__ import annotations

from typing import Annotated

import typer

from ...standard_streams import continue_without_output
from .shared import Db, print_line


def register(app: typer.Typer) -> None:
    """Add this group's command."""
    app.command()(dashboard)


def dashboard(
    study: Annotated[str | None, typer.Argument(help="Study to open first.")] = None,
    host: Annotated[
        str,
        typer.Option(
            help="Address to listen on; any address other than loopback requires a token."
        ),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes any free one.")] = 8050,
    base_path: Annotated[
        str,
        typer.Option(
            help="Path under which a proxy serves it, as in Jupyter: /user/me/proxy/8050/."
        ),
    ] = "/",
    proxy_host: Annotated[
        list[str] | None,
        typer.Option(help="Host name of a proxy by which it may be addressed; repeatable."),
    ] = None,
    db: Db = None,
) -> None:
    """Show studies in the browser, live while a search runs."""
    from ...studies.dashboard.base_path import BasePath
    from ...studies.dashboard.serve import serve

    base = BasePath.of(base_path)
    with continue_without_output("the dashboard continues. Ctrl-C stops it."):
        serve(db, study, host, port, print_line, base=base, proxy_hosts=proxy_host or ())
