"""The order of Hiera's tokens, by which maps can be restored from them.

Ryali et al., "Hiera: A Hierarchical Vision Transformer without the Bells-and-Whistles", ICML 2023,
arXiv 2306.00989. Its blocks compute on tokens (N, L, C) sorted by mask units, so that pooling is a
maximum over parts of L, and a window is a slice of L. Each pooling removes one level of that order.
A trace shows tokens only, but the backbone can restore the map: `reroll(x, block)` is the map
(N, H, W, C) of the tokens that a block returned, and `reroll.schedule[block]` holds its size.

The layout of such a map is `NLC`, a space, and the number of the first block whose tokens have that
order. Tokens form a map only if there is one for every location, which is not so if patches are
dropped in training. No other file depends on this class.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from .trace import NLC, Layout, Trace


def mark_maps(trace: Trace, model: nn.Module) -> None:
    """Set layout and grid of the tokens in the blocks of `model`, in its trace, in place.

    Models without `reroll` are left as they are.
    """
    backbone = _find_backbone(model)
    if backbone is None or backbone.patch_drop_rate:
        return
    # Layout and grid by number of tokens.
    layouts: dict[int, tuple[Layout, tuple[int, ...]]] = {}
    for block in range(len(backbone.blocks)):
        grid = _map_size(backbone, block)
        layouts.setdefault(math.prod(grid), (f"{NLC} {block}", grid))
    blocks = set(backbone.blocks)
    for call in (call for call in trace.calls if call.module in blocks):
        computed = [value for op in trace.ops[call.start : call.end] for value in op.outputs]
        for value in (trace.values[index] for index in (*call.inputs, *computed)):
            if len(value.shape) == 3 and value.shape[1] in layouts:
                value.layout, value.grid = layouts[value.shape[1]]


def token_order(model: nn.Module, layout: Layout) -> Tensor:
    """The number of the token at every location of a map, by the model's own `reroll`.

    Args:
        model: the backbone, or a module that contains it, as a feature extractor does.
        layout: of the tokens, such as `NLC 3`.

    Returns:
        (H, W) integers, on the device of the model's weights.
    """
    backbone, block = _find_backbone(model), int(layout.removeprefix(NLC))
    grid = _map_size(backbone, block)
    numbers = torch.arange(math.prod(grid), device="cpu").reshape(1, -1, 1)
    order: Tensor = backbone.reroll(numbers, block).reshape(grid)
    return order.to(next(model.parameters()).device)


def _find_backbone(model: nn.Module) -> Any:
    """The module inside `model` that can restore maps from tokens; None if there is none."""
    names = ("reroll", "blocks", "patch_drop_rate")
    rerolling = (m for m in model.modules() if all(hasattr(m, name) for name in names))
    return next(rerolling, None)


def _map_size(backbone: Any, block: int) -> tuple[int, ...]:
    """(H, W) of the map that a block returns."""
    return tuple(backbone.reroll.schedule[block][1])
