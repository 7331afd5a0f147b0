"""What an attention does to a pretrained network before it is trained.

A published gate is σ(z) with z near 0 at first. It passes about half of its map, and with two gates
in a row about a quarter: the layers behind it get maps that they were not trained on. An attention
with `start="identity"` passes its map unchanged.
"""

from __future__ import annotations

import torch

from .registry import get_attention

CHANNELS, SIDE, IMAGES = 64, 14, 4


@torch.no_grad()
def measure_initial_scale(name: str, start: str) -> float | None:
    """|y| / |x| of a fresh attention on a map as a ReLU leaves it, in the Euclidean norm.

    Args:
        name: of the attention.
        start: `paper` or `identity`.

    Returns:
        The ratio; None for a user's attention, and for one without starts or that replaces a
        convolution.
    """
    entry = get_attention(name)
    if entry.needs_convolution or entry.origin or "start" not in entry.defaults:
        return None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        attention = entry.load()(CHANNELS, start=start).eval()
        x = torch.randn(IMAGES, CHANNELS, SIDE, SIDE).relu()
    return float(attention(x).norm() / x.norm())
