"""The golden parameter counts, and the few numbers that modules and counts must agree on.

A function with the name of an attention counts its parameters, from `channels` (C in the formulas),
`options` (every option with its value) and the map's `size` (H, W); d is the hidden width
`max(floor, C // r)`. Each count is the paper's, with the additions that the module's head states.
"""

from __future__ import annotations

from dataclasses import replace
from math import gcd, log2

from .entry import Convolution, MapSize, Options


def eca_kernel(channels: int) -> int:
    """ECA's adaptive kernel: |log2(C)/2 + 1/2| made odd, at least 3 (arXiv 1910.03151, eq. 12)."""
    t = int(abs(log2(channels) / 2 + 0.5))
    return max(3, t if t % 2 else t + 1)


def largest_divisor(channels: int, limit: int) -> int:
    """The largest divisor of C that is not above `limit`, at least 1."""
    return next(n for n in range(max(1, min(limit, channels)), 0, -1) if channels % n == 0)


def channel_groups(channels: int, requested: int) -> int:
    """Groups of equal size with at least 4 channels each, as many as possible up to `requested`.

    Four are what 64 groups leave in the narrowest stage of a ResNet-50, for which the papers chose
    their 64; one group if there are fewer than 8 channels.
    """
    return largest_divisor(channels, min(requested, channels // 4))


def ge_convolutions(extent: str) -> int:
    """Strided convolutions of gather=conv: log2(extent), and 3 for the global one."""
    return 3 if extent == "global" else int(extent).bit_length() - 1


def blend(options: Options) -> int:
    """The parameter that blends in a gate without a layer of its own."""
    return int(options["start"] == "identity")


def bottleneck(channels: int, options: Options, _: MapSize) -> int:
    """Two layers, C → d → C: 2Cd, and d + C with biases."""
    d = max(1, channels // int(options["r"]))
    return 2 * channels * d + (d + channels if options.get("bias") else 0)


def ese(channels: int, _: Options, __: MapSize) -> int:
    """One layer with biases: C² + C."""
    return channels**2 + channels


def eca(channels: int, options: Options, _: MapSize) -> int:
    """One kernel of size k."""
    return eca_kernel(channels) if options["k"] == "auto" else int(options["k"])


def spatial(_: int, options: Options, __: MapSize) -> int:
    """A kernel k×k from two planes to one, and a batch norm of one channel: 2k² + 2."""
    return 2 * int(options["k"]) ** 2 + 2


def cbam(channels: int, options: Options, size: MapSize) -> int:
    """The sum of its halves, `channel` and `spatial`."""
    return bottleneck(channels, options, size) + spatial(channels, options, size)


def ca(channels: int, options: Options, _: MapSize) -> int:
    """Cd + d + 2d + 2(dC + C), and the blending parameter."""
    d = max(8, channels // int(options["r"]))
    return channels * d + d + 2 * d + 2 * (d * channels + channels) + blend(options)


def nl(channels: int, options: Options, size: MapSize) -> int:
    """θ, φ, g and the output projection, 1×1 convolutions with biases, and one batch norm."""
    return a2(channels, options, size) + 2 * channels


def a2(channels: int, options: Options, _: MapSize) -> int:
    """Three projections C → d and one back, with biases."""
    d = max(1, channels // int(options["r"]))
    return 3 * (channels * d + d) + (d * channels + channels)


def gc(channels: int, options: Options, _: MapSize) -> int:
    """The key C → 1, C → d → C with biases, and a layer norm of d."""
    d = max(1, channels // int(options["r"]))
    return (channels + 1) + (channels * d + d) + 2 * d + (d * channels + channels)


def bam(channels: int, options: Options, _: MapSize) -> int:
    """The channel branch with a batch norm of C, the spatial one with a batch norm of 1."""
    d = max(1, channels // int(options["r"]))
    by_channel = (channels * d + d) + (d * channels + channels) + 2 * channels
    return by_channel + (channels * d + d) + 2 * (9 * d * d + d) + (d + 1) + 2


def ge(channels: int, options: Options, _: MapSize) -> int:
    """11C a depthwise convolution with its batch norm, 2C · (C // 16) the MLP."""
    convolutions = ge_convolutions(str(options["extent"])) if options["gather"] == "conv" else 0
    mlp = 2 * channels * max(1, channels // 16) if options["mlp"] else 0
    return 11 * channels * convolutions + mlp or blend(options)


def srm(channels: int, _: Options, __: MapSize) -> int:
    """Two weights a channel and a batch norm: 4C."""
    return 4 * channels


def simam(_: int, options: Options, __: MapSize) -> int:
    """None, or the parameter that blends it in."""
    return blend(options)


def triplet(channels: int, options: Options, size: MapSize) -> int:
    """Three of CBAM's spatial halves."""
    return 3 * spatial(channels, options, size)


def gct(channels: int, _: Options, __: MapSize) -> int:
    """α, γ and β of every channel: 3C."""
    return 3 * channels


def sge(channels: int, options: Options, _: MapSize) -> int:
    """γ and β of every group."""
    return 2 * _groups(channels, options, 64)


def shuffle(channels: int, options: Options, _: MapSize) -> int:
    """W and b of both halves of a group, and the norm of the second."""
    width = channels // _groups(channels, options, 64)
    second = width // 2
    return 2 * (width - second) + 4 * second


def ela(channels: int, options: Options, _: MapSize) -> int:
    """A depthwise kernel and a norm, shared by both directions."""
    return channels * int(options["k"]) + 2 * channels


def ema(channels: int, options: Options, _: MapSize) -> int:
    """1×1 and 3×3 convolutions of one group's width c, with biases, and a norm."""
    c = channels // _groups(channels, options, 32)
    return (c * c + c) + (9 * c * c + c) + 2 * c + blend(options)


def scse(channels: int, options: Options, size: MapSize) -> int:
    """The channel bottleneck and the 1×1 convolution to one plane: 2Cd + C."""
    return bottleneck(channels, options, size) + channels


def lct(channels: int, _: Options, __: MapSize) -> int:
    """w and b of every channel: 2C."""
    return 2 * channels


def strip(channels: int, _: Options, __: MapSize) -> int:
    """Two dense kernels of 3 with batch norms, and a 1×1 convolution with a bias."""
    return 2 * (3 * channels**2 + 2 * channels) + channels**2 + channels


def sk(channels: int, options: Options, _: MapSize, convolution: Convolution | None = None) -> int:
    """The second branch and the squeeze with batch norms, and the selection.

    `convolution` is the block's own; the second branch has its kernel, stride and groups.
    """
    d = max(32, channels // int(options["r"]))
    second = sk_branch(channels, convolution)
    branch = second.kernel**2 * channels * (second.in_channels // second.groups) + 2 * channels
    return branch + channels * d + 2 * d + 2 * channels * d + blend(options)


def sk_branch(channels: int, convolution: Convolution | None) -> Convolution:
    """The shape of the second branch: that of the block's convolution, or 3×3 if there is none.

    The groups are those of that convolution. If it has only one, the second branch has as many
    groups as divide both input and output channels and leave 4 channels each, up to the paper's 32.
    """
    convolution = convolution or Convolution("", channels, 3, 1, 1)
    groups = convolution.groups
    if groups == 1:
        groups = channel_groups(gcd(convolution.in_channels, channels), 32)
    return replace(convolution, groups=groups)


def _groups(channels: int, options: Options, default: int) -> int:
    requested = options["groups"]
    return channel_groups(channels, default if requested == "auto" else int(requested))
