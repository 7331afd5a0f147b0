"""code: print attention as code that runs without attentune."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ...errors import AttentuneError, UsageError
from ...files import atomic_write
from ...interrupts import defer_interrupts
from .shared import print_line


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command()(code)


def code(
    text: Annotated[
        str,
        typer.Argument(
            help="An attention, e.g. cbam(r=16), or an architecture, e.g. "
            "resnet50+cbam(r=16)@s3.residual."
        ),
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Python file to write. Default: print.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="A function that makes a network of your own, e.g. my_module:make_model, into "
            "which the attention goes instead of timm's."
        ),
    ] = None,
    input_shape: Annotated[
        str | None,
        typer.Option(
            "--input", help="Channels, height and width of an image for --model, e.g. 3x640x640."
        ),
    ] = None,
) -> None:
    """Print attention as code to paste: it needs torch, but not attentune."""
    with defer_interrupts():
        from ...spaces.paste_in.code import paste_in_code

    network: Any = None
    example: Any = None
    if model is not None:
        from ...spaces.backbones.own_backbone import make_own_network
        from .own_networks import example_images

        network, example = make_own_network(model), example_images(input_shape)
    elif input_shape is not None:
        raise UsageError("--input is the shape of an image for --model, which is missing")
    listing = paste_in_code(text, network, example)
    if output is None:
        typer.echo(listing, nl=False)
        return
    if output.is_dir():
        raise UsageError(f"{output} is a folder; name a file in it, such as {output / 'code.py'}")
    try:
        with atomic_write(output) as draft:
            draft.write_text(listing, "utf-8")
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise AttentuneError(
            f"cannot write {output} ({reason}); name a file in a folder that you can write to"
        ) from error
    print_line(f"Wrote {output}")
