"""Insert attention into a network of one's own: `insert`.

attentune.insert(model, "cbam(r=16)@s3-s4.residual+eca@{neck.fuse}.post", torch.zeros(1, 3, 64, 64))
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ...errors import UsageError
from ..architecture import Architecture, parse
from ..attentions.registry import is_available
from ..backbones.network_sites import find_network_sites
from .attended_module import AttendedModule
from .build import insert_all, remove_own
from .feature_extractor import ModuleLocator
from .placement import placements

Network = TypeVar("Network", bound=nn.Module)


def insert(
    model: Network,
    architecture: str | Architecture,
    example: Tensor | Sequence[Any],
    *,
    seed: int | None = None,
) -> Network:
    """Insert attention into any network, in place.

    The network runs once on the example, which shows its stages and blocks. Keys of its weights
    stay the same, and with `start=identity` its output does, to the last bit.

    Args:
        model: the network: of timm, of torchvision, or one's own.
        architecture: insertions as in an architecture text, `se(r=16)@all.residual`; the name of a
            backbone before the first one is ignored. Besides stages and blocks, a place may be the
            path of a module: `cbam@{model.6}.post` attends to its output, `pre` to its input.
        example: input of the network: images (N, C, H, W) in the size that it is made for, or all
            its arguments, the first of them images; on the device of the network.
        seed: seed of the initial weights; None draws them from torch's global generator.

    Returns:
        `model`.

    Raises:
        ArchitectureError: the text is wrong, or names a place that the network does not have.
        BackboneError: the network does not run on the example, or computes no maps.
        UsageError: the example is no batch of images, or the network has attention already.
    """
    if isinstance(architecture, str):
        architecture = parse_insertions(architecture, type(model).__name__)
    if any(isinstance(module, AttendedModule) for module in model.modules()):
        raise UsageError(
            "attention has been inserted into this network already; write all of it in one text, "
            "and insert it into a new network"
        )
    site_map = find_network_sites(model, example)
    placed = placements(architecture, site_map)
    locator = ModuleLocator(model, site_map.backbone)
    remove_own(model, locator, site_map.own_attention_at(architecture.removed))
    inserted = insert_all(model, locator, placed, seed)
    reference = next((p for p in model.parameters() if p.is_floating_point()), torch.zeros(()))
    for attention in inserted.attentions:
        module = model.get_submodule(attention.module)
        module.to(device=reference.device, dtype=reference.dtype)
        module.train(model.training)
    return model


def parse_insertions(text: str, name: str) -> Architecture:
    """Parse a text with or without a backbone, in place of which `name` stands in messages."""
    text = text.strip().removeprefix("+")
    first = re.split(r"[(@+]", text, maxsplit=1)[0].strip()
    begins_with_insertion = re.match(r"\w+\s*(\([^)]*\)\s*)?@", text) is not None
    if begins_with_insertion or is_available(first):
        text = f"{name}+{text}"
    return parse(text)
