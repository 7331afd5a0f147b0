"""The smallest or largest sizes at which each kernel replaces torch's operators.

All thresholds of the kernels are one frozen value. Kernels read `current_limits()`, and
`use_limits(...)` replaces some of them inside a context, so that tests can fuse tiny maps. The
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
        min_map_elements: elements of a map from which on it is pooled and scaled by a kernel; for
            smaller maps, calls cost more than memory traffic.
        min_max_elements: the same for the maximum of each channel, which is fast in torch.
        min_squares_elements: the same for the sum of squares of each channel.
        min_gate_elements: the same for a gate whose map was not pooled by a kernel.
        min_channel_bytes: bytes of all channels of a location, with channels last, from which on a
            kernel is used; below, too few bytes are adjacent.
        min_plane_locations: locations from which on a kernel is used for a map with channels first,
            in float32 or wider.
        min_channel_max_locations: locations of a contiguous map below which torch's `amax` over
            channels is slow.
        min_inference_strip_elements: elements of a map with channels last from which on, without
            gradients, chunks are faster for means and maxima of rows or columns.
        min_inference_elements: the same for bf16 means, maxima and weighted sums of each channel.
        min_inference_variance_elements: the same for variances.
        chunk_bytes: bytes of a chunk of samples, which has to fit into a core's cache.
        max_strip_length: longest rows and columns that the Triton kernels for strips take: with
            longer ones a tile has too few channels to be read in whole cache lines.
        max_column_convolution_width: widest plane, in columns, whose convolution is computed from
            columns to columns; the work grows with the square of the width.
        min_column_convolution_locations: locations of all samples from which on that is faster.
        max_matrix_locations: locations of a plane, or values of a vector, up to which its
            convolution is one product with a matrix of all pairs.
        max_depthwise_locations: locations of a map up to which the weight gradient of a depthwise
            convolution is computed from all pairs of locations.
        max_pointwise_locations: locations of a map up to which a 1×1 convolution is computed as a
            matrix product.
        max_pointwise_rows: the same, in locations of the whole batch.
        max_pointwise_products: the same, in multiplications, on a processor with AVX-512, which
            oneDNN's convolutions use better than the matrix product does.
        min_batch_norm_elements: elements of a map from which on the batch norm kernels are used;
            for smaller maps, launching them takes longer than running them.
        min_batch_norm_channels: the same, in channels; below, too few values are adjacent.
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
    max_column_convolution_width: int = 32
    min_column_convolution_locations: int = 2**11
    max_matrix_locations: int = 64

    # Convolutions of small maps: benchmarks/convolutions.py. With 4,096 rows, about as many cases
    # are slower as are faster.
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
    """The limits in the current context."""
    return _limits.get()


@contextmanager
def use_limits(**changes: int) -> Iterator[None]:
    """Inside the context, these attributes of `Limits` have other values."""
    token = _limits.set(replace(_limits.get(), **changes))
    try:
        yield
    finally:
        _limits.reset(token)
