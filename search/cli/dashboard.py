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
    db: Db = None,
) -> None:
    """Show studies in the browser, live while a search runs."""
    from ...studies.dashboard.serve import serve

    with continue_without_output("the dashboard continues. Ctrl-C stops it."):
        serve(db, study, host, port, print_line)
