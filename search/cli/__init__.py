"""The command line: it reads options, calls the library, and prints.

Only `main` handles the library's errors: an AttentuneError becomes one or two plain sentences on
stderr and an exit code. `--debug` shows the traceback instead.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
import time
from typing import Annotated, NoReturn

import typer

from ... import __version__
from ...errors import AttentuneError
from ...interrupts import interrupted_since
from ...machine_faults import machine_fault
from ...sanitize import clean_text
from ...standard_streams import OutputLostError, discard_output, protect_standard_streams
from . import (
    confirm,
    dashboard,
    data,
    database,
    export,
    follow,
    implementations,
    inspect,
    paste_in,
    predict,
    search,
    studies,
)
from .console import CommandGroup
from .shared import err

app = typer.Typer(
    name="attentune",
    cls=CommandGroup,
    help="Find out which attention module, at which reduction ratio and position, gives the most "
    "accuracy for its cost, on your backbone and your data.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for group in (
    search,
    confirm,
    studies,
    dashboard,
    follow,
    export,
    predict,
    data,
    inspect,
    paste_in,
    implementations,
    database,
):
    group.register(app)


@app.callback(invoke_without_command=True)
def _root(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    if debug:
        os.environ["ATTENTUNE_DEBUG"] = "1"
    if version:
        typer.echo(f"attentune {__version__}")
        raise typer.Exit


def main() -> None:
    """Run the command line and exit with its code."""
    began = time.monotonic()
    _collect_garbage_rarely()
    protect_standard_streams()
    try:
        try:
            app()
        finally:
            sys.stdout.flush()  # Here, where a failure can be stated; Python would do it at exit.
    except OutputLostError as lost:
        discard_output()
        if lost.has_no_reader:  # `| head` has read enough.
            ending = lost.__context__
            sys.exit(ending.code if isinstance(ending, SystemExit) else 0)
        err.print(f"Error: cannot write the output: {lost}", highlight=False, soft_wrap=True)
        sys.exit(1)
    except Exception as error:
        if interrupted_since(began):
            raise KeyboardInterrupt from error
        _state_error(error)


def _state_error(error: Exception) -> NoReturn:
    """Print an error as a sentence and exit; raise it again if nothing can be said about it."""
    is_stated = isinstance(error, AttentuneError)
    reason = str(error) if is_stated else machine_fault(error)
    if reason is None or os.environ.get("ATTENTUNE_DEBUG"):
        raise error
    advice = "" if is_stated else ". Remove the cause, then start the command again."
    err.print(f"Error: {clean_text(reason + advice)}", highlight=False, soft_wrap=True)
    sys.exit(error.exit_code if isinstance(error, AttentuneError) else 1)


def _collect_garbage_rarely() -> None:
    """Collect garbage rarely, and not at exit.

    Importing torch makes half a million objects that are never freed. Collections that visit them
    take a quarter of the time of the import, and a second at exit.
    """
    gc.set_threshold(50_000, 20, 50)
    atexit.register(gc.freeze)
