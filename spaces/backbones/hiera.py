"""Hiera: maps that lie as tokens in an order of the backbone's own.

Ryali et al., "Hiera: A Hierarchical Vision Transformer without the Bells-and-Whistles", ICML 2023,
arXiv 2306.00989. Its blocks hold tokens (N, L, C) sorted by mask units, so that pooling is a
maximum over parts of L and a window a piece of it; every pooling takes one level of that order
away. A trace shows tokens only, but the backbone itself can put them back: `reroll(x, block)` is
the map (N, H, W, C) of the tokens that the block returned, and `reroll.schedule[block]` holds its
size.

The layout of such a map is `NLC`, a blank, and the number of the first block whose tokens lie in
that order. Tokens are maps only if there is one for every place: not if patches are dropped in
training. All that is known about the class is known here.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from .trace import NLC, Layout, Trace


def mark_maps(record: Trace, model: nn.Module) -> None:
    """Give the tokens in the blocks of `model` their layout and grid in its trace, in place.

    Nothing happens to a model whose tokens have no order of their own.
    """
    host = _host(model)
    if host is None or host.patch_drop_rate:
        return
    lies: dict[int, tuple[Layout, tuple[int, ...]]] = {}
    for block in range(len(host.blocks)):
        grid = _grid(host, block)
        lies.setdefault(math.prod(grid), (f"{NLC} {block}", grid))
    blocks = set(host.blocks)
    for call in (call for call in record.calls if call.module in blocks):
        made = [value for op in record.ops[call.start : call.end] for value in op.outputs]
        for value in (record.values[index] for index in (*call.inputs, *made)):
            if len(value.shape) == 3 and value.shape[1] in lies:
                value.layout, value.grid = lies[value.shape[1]]


def token_order(model: nn.Module, layout: Layout) -> Tensor:
    """(H, W): the number of the token that lies at each place, by the model's own `reroll`.

    `model` may hold the backbone, as a feature extractor does. On the device of its weights.
    """
    host, block = _host(model), int(layout.removeprefix(NLC))
    grid = _grid(host, block)
    numbers = torch.arange(math.prod(grid), device="cpu").reshape(1, -1, 1)
    order: Tensor = host.reroll(numbers, block).reshape(grid)
    return order.to(next(model.parameters()).device)


def _host(model: nn.Module) -> Any:
    """The module among those of `model` that can put its tokens back; None if there is none."""
    names = ("reroll", "blocks", "patch_drop_rate")
    able = (m for m in model.modules() if all(hasattr(m, name) for name in names))
    return next(able, None)


def _grid(host: Any, block: int) -> tuple[int, ...]:
    """(H, W) of what a block returns."""
    return tuple(host.reroll.schedule[block][1])
