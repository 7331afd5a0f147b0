"""Attention as code that runs without attentune: `paste_in_code`."""

from __future__ import annotations

from typing import Any

from torch import nn

from ...errors import UsageError
from ..architecture import parse
from .attention_code import attention_code
from .network_code import network_code, own_network_code


def paste_in_code(text: str, model: nn.Module | None = None, example: Any = None) -> str:
    """A self-contained module of Python with an attention, or with a network's attentions.

    It needs torch only, and timm for a backbone of timm. It computes the same as attentune's
    modules, from weights with the same keys, by plain operators.

    Args:
        text: an attention (`cbam(r=16)`), or an architecture
            (`resnet50+cbam(r=16)@s3.residual`).
        model: a network of one's own, into which the insertions of `text` go.
        example: input of `model`; see `attentune.insert`.

    Raises:
        ArchitectureError: the text is wrong.
        UsageError: there is a network, but no place for attention in the text.
        AttentuneError: the source of a user's attention is not available.
    """
    if model is not None:
        if "@" not in text:
            raise UsageError(
                f"{text!r} says which attention, but not where; write for example "
                f"'{text}@{{path.of.a.module}}.post', or leave the network out"
            )
        return own_network_code(model, text, example)
    if "@" in text or "+" in text or "=none" in text.replace(" ", ""):
        return network_code(parse(text))
    return attention_code(text)
