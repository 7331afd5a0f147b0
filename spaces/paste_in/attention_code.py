"""One attention as a module of Python that needs torch only: `attention_code`."""

from __future__ import annotations

import inspect
import sys
import textwrap
from typing import Any

from ...errors import ArchitectureError, AttentuneError
from ..architecture import Insertion, parse
from ..attentions.entry import Attention
from ..attentions.initial_scale import measure_initial_scale
from ..attentions.plugins.factory import BlendedAttention, PluginFactory
from ..attentions.registry import get_attention
from ..networks.placement import module_arguments
from .plain_forms import PLAIN_FORMS
from .source import SourceListing, literal, without_references

TEXT_WIDTH = 100
SHOWN_CHANNELS = (64, 128, 256, 512)
MAP_SIZE = (14, 14)
DECORATOR = "register_attention"

RESIDUAL = (
    "at the end of a block's residual branch, after its last norm and before the shortcut is "
    "added: in a ResNet `out = attention(self.bn3(self.conv3(out)))`, then `out += shortcut`."
)
PLACES = {
    "ca": "after the depthwise convolution of an inverted residual block, with its norm and "
    "activation, as in the paper's MobileNetV2; in a ResNet at the end of the residual branch.",
    "nl": "after a whole residual block (`x = attention(block(x))`), in a few blocks of the middle "
    "stages: it compares all positions with all others.",
    "bam": "after the last block of a stage, between the stages: `x = attention(self.layer1(x))`.",
    "scse": "after a block of an encoder or a decoder: `x = attention(block(x))`.",
    "a2": "after a whole residual block: `x = attention(block(x))`.",
    "sk": "it replaces the spatial convolution of a block, whose output, after norm and "
    "activation, is the first branch: `out = attention(act(norm(conv(x))), x)`.",
}
"""Where the attentions go that are not put at the end of the residual branch."""


def parse_attention(text: str) -> Insertion:
    """The attention that a text such as `cbam(r=16)` names, with its options.

    Raises:
        ArchitectureError: there is none of that name, or it has no such option.
    """
    if not text.strip():
        raise ArchitectureError("the text is empty; write an attention, such as cbam(r=16)")
    head, tail = "x+", "@all.post"
    try:
        return parse(f"{head}{text.strip()}{tail}").insertions[0]
    except ArchitectureError as error:
        message = str(error).partition("\n")[0]
        if message.startswith("unknown attention"):
            message += f"; for a network, write {text.strip()}+se(r=16)@all.residual"
        offset = min(len(text), max(0, error.offset - len(head)))
        raise ArchitectureError(message, text.strip(), offset) from None


def attention_code(text: str) -> str:
    """An attention as the text of a module of Python that imports torch only.

    Args:
        text: the attention with its options, such as `cbam(r=16)` or `ca(r=32,start=identity)`.

    Raises:
        ArchitectureError: the text is wrong.
        AttentuneError: the source of a user's attention is not available.
    """
    insertion = parse_attention(text)
    entry = get_attention(insertion.attention)
    shown = str(insertion).partition("@")[0]
    listing = make_listing()
    name = add_attention(listing, entry, insertion)
    listing.add_import("torch")
    listing.add_text(_example(entry, insertion, name))
    return listing.render(_docstring(entry, insertion, shown))


def make_listing() -> SourceListing:
    """An empty listing of attentions in their plain forms."""
    return SourceListing(PLAIN_FORMS, [DECORATOR])


def class_of(entry: Attention) -> Any:
    """The class of an attention."""
    make = entry.load()
    return make.cls if isinstance(make, PluginFactory) else make


def is_blended(entry: Attention, insertion: Insertion) -> bool:
    """Whether the start of a user's attention is made by blending it in."""
    make = entry.load()
    blends = isinstance(make, PluginFactory) and not make.takes_start
    return blends and insertion.settings.get("start") == "identity"


def constructor_arguments(entry: Attention, insertion: Insertion) -> dict[str, Any]:
    """The arguments of an attention's class that differ from its defaults, without the channels."""
    arguments = module_arguments(tuple(insertion.settings.items()), None)
    parameters = inspect.signature(class_of(entry)).parameters
    return {
        name: value
        for name, value in arguments.items()
        if name in parameters and parameters[name].default != value
    }


def add_attention(
    listing: SourceListing, entry: Attention, insertion: Insertion | None = None
) -> str:
    """Add an attention's class to a listing; returns the name of the class.

    Args:
        listing: to be added to.
        entry: the attention.
        insertion: its options become the defaults of the class; None: the class's own.

    Raises:
        AttentuneError: the source of a user's attention is not available.
    """
    cls = class_of(entry)
    if entry.origin and not hasattr(sys.modules.get(cls.__module__), "__file__"):
        raise AttentuneError(
            f"the attention {entry.name!r} of {entry.origin} is not in a file, so its code cannot "
            "be printed; copy its class"
        )
    listing.add(cls, constructor_arguments(entry, insertion) if insertion else None)
    if insertion is not None and is_blended(entry, insertion):
        listing.add(BlendedAttention)
    name: str = cls.__name__
    return name


def licence_note(entry: Attention | None = None) -> str:
    """What may be done with printed code."""
    return "" if entry is not None and entry.origin else " MIT licence."


def fill(text: str) -> str:
    """A paragraph in lines of a docstring."""
    return textwrap.fill(
        text, TEXT_WIDTH, break_long_words=False, break_on_hyphens=False, subsequent_indent=""
    )


def _docstring(entry: Attention, insertion: Insertion, shown: str) -> str:
    cls = class_of(entry)
    source = inspect.getdoc(sys.modules[cls.__module__]) if not entry.origin else None
    about = without_references(source) if source else _describe_plugin(entry, shown)
    settings = insertion.settings
    counts = ", ".join(
        f"{entry.parameters(channels, settings, MAP_SIZE):,} at C = {channels}"
        for channels in SHOWN_CHANNELS
    )
    place = PLACES.get(entry.name, RESIDUAL)
    paragraphs = [
        f"Parameters of {shown}: {counts}.",
        _describe_start(entry, settings),
        f"Where to put it: {place}",
        f"Printed by `attentune code {shown!r}`; it needs torch only.{licence_note(entry)}",
    ]
    return about + "".join(f"\n\n{fill(paragraph)}" for paragraph in paragraphs if paragraph)


def _describe_plugin(entry: Attention, shown: str) -> str:
    lines = [f"{entry.title} ({shown}).", entry.paper, entry.formula and f"    {entry.formula}"]
    return "\n\n".join(line for line in lines if line)


def _describe_start(entry: Attention, settings: dict[str, Any]) -> str:
    """What the attention does before it is trained."""
    if entry.origin:
        return ""
    if entry.starts_as_identity:
        return "Before training the published module passes its map unchanged."
    if settings.get("start") == "identity":
        return (
            'Before training: with start="identity" it passes its map unchanged, to the last bit, '
            "and can leave that; a pretrained network begins with the accuracy that it has."
        )
    scale = measure_initial_scale(entry.name, "paper")
    amount = "" if scale is None else f" |y| is about {scale:.2f} |x|:"
    return (
        f'Before training: with start="paper", the published form,{amount} a pretrained network '
        'is disturbed until it is trained again; start="identity" passes the map unchanged at '
        "first."
    )


def _example(entry: Attention, insertion: Insertion, name: str) -> str:
    """The last lines of a module: what it prints if it is run as a script."""
    make = f"{name}(64)"
    if is_blended(entry, insertion):
        make = f"BlendedAttention({make})"
    return (
        'if __name__ == "__main__":\n'
        f"    attention = {make}\n"
        "    x = torch.randn(2, 64, 14, 14)\n"
        "    print(attention)\n"
        "    count = sum(parameter.numel() for parameter in attention.parameters())\n"
        '    print(f"{count:,} parameters, {tuple(x.shape)} -> {tuple(attention(x).shape)}")'
    )


def call(name: str, arguments: dict[str, Any], *, channels: str = "channels") -> str:
    """The call of a class, such as `CBAM(channels, reduction_ratio=16)`.

    Args:
        name: of the class.
        arguments: by name.
        channels: the first argument, as code.
    """
    shown = "".join(f", {key}={_code_of(value)}" for key, value in arguments.items())
    return f"{name}({channels}{shown})"


def _code_of(value: Any) -> str:
    return literal(value) if isinstance(value, bool | int | float | str) else repr(value)
