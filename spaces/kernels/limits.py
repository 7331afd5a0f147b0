"""The sizes from which on, or up to which, each kernel replaces torch's operators.

All thresholds of the room are one frozen value. `current_limits()` is what the kernels read, and
`use_limits(...)` replaces some of them for a block of code: tests fuse tiny maps that way. The
defaults are measured; each group names the benchmark to run before changing it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Limits:
    """Thresholds of the kernels. The locations of a map (N, C, H, W) are its H·W pixels.

    Attributes:
        min_map_elements: elements of a map below which calls cost more than memory traffic.
        min_max_elements: the same if the maximum of each channel is pooled, which torch does fast.
        min_squares_elements: the same if the sum of squares of each channel is pooled.
        min_gate_elements: the same for a gate whose map was not pooled in the fused form.
        min_channel_bytes: bytes of all channels of a location, with channels last, below which too
            little lies together.
        min_plane_locations: locations of a map with channels first, in float32 or wider.
        min_channel_max_locations: locations of a contiguous map below which torch's `amax` over
            channels is slow.
        min_inference_strip_elements: elements of a map with channels last from which on chunks are
            faster without gradients, for means and maxima of rows or columns.
        min_inference_elements: the same for bf16 means, maxima and weighted sums of each channel.
        min_inference_variance_elements: the same for variances.
        chunk_bytes: bytes of a chunk of samples that stays in a core's cache.
        max_strip_length: longest rows and columns that the Triton kernels for strips take: with
            longer ones a tile has too few channels to be read in whole cache lines.
        max_turned_plane_width: columns of the widest plane whose convolution goes from columns to
            columns, which takes work in proportion to the square of the width.
        min_turned_plane_locations: locations of all samples from which on that pays.
        max_matrix_locations: locations of a plane, or values of a vector, up to which a convolution
            of it is one product with a matrix of all pairs.
        max_depthwise_locations: locations of a map up to which the weight gradient of a depthwise
            convolution is computed from all pairs of locations, which grow with their square.
        max_pointwise_locations: locations of a map up to which a 1×1 convolution is a product of
            matrices.
        max_pointwise_rows: locations of a whole batch up to which it is one.
        max_pointwise_products: multiplications up to which it is one on a processor with AVX-512,
            whose instructions oneDNN uses better than the product of matrices does.
        min_batch_norm_elements: elements of a map below which launching the batch norm kernels
            takes longer than running them.
        min_batch_norm_channels: channels below which too little of a location lies together.
    """

    # Pooling and scaling on a CPU: benchmarks/attention.py.
    min_map_elements: int = 2**17
    min_max_elements: int = 2**19
    min_squares_elements: int = 2**20
    min_gate_elements: int = 2**20
    min_channel_bytes: int = 64
    min_plane_locations: int = 512
    min_channel_max_locations: int = 32
    min_inference_strip_elements: int = 2**13
    min_inference_elements: int = 2**17
    min_inference_variance_elements: int = 2**20
    chunk_bytes: int = 2**20

    # Pooling and scaling on CUDA: benchmarks/gpu_check_parts.py.
    max_strip_length: int = 256

    # Convolutions of pooled maps: benchmarks/attention.py.
    max_turned_plane_width: int = 32
    min_turned_plane_locations: int = 2**11
    max_matrix_locations: int = 64

    # Convolutions of small maps: benchmarks/convolutions.py. With 4,096 rows there is as much to
    # lose as to gain.
    max_depthwise_locations: int = 64
    max_pointwise_locations: int = 64
    max_pointwise_rows: int = 2048
    max_pointwise_products: int = 2**25

    # Batch norm on CUDA: benchmarks/gpu_check_parts.py.
    min_batch_norm_elements: int = 2**17
    min_batch_norm_channels: int = 8


DEFAULTS = Limits()

_limits: ContextVar[Limits] = ContextVar("kernel_limits", default=DEFAULTS)


def current_limits() -> Limits:
    """The limits that hold here."""
    return _limits.get()


@contextmanager
def use_limits(**changes: int) -> Iterator[None]:
    """Inside, some limits have other values; the names are the attributes of `Limits`."""
    token = _limits.set(replace(_limits.get(), **changes))
    try:
        yield
    finally:
        _limits.reset(token)
