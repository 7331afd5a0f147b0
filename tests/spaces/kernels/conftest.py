"""Limits under which tiny maps are fused, and a device on which Triton kernels run."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import torch
from attentune.spaces.kernels.limits import use_limits


@pytest.fixture
def fuse_tiny_maps() -> Iterator[None]:
    """Fuse every map, whatever its size, and cut it into chunks of 2,000 bytes."""
    with use_limits(
        chunk_bytes=2000,
        min_map_elements=1,
        min_max_elements=0,
        min_squares_elements=0,
        min_gate_elements=1,
        min_channel_bytes=1,
        min_plane_locations=1,
        min_inference_strip_elements=1,
        min_inference_elements=1,
        min_inference_variance_elements=1,
        min_column_convolution_locations=1,
    ):
        yield


@pytest.fixture
def triton_device() -> torch.device:
    """A GPU; or the CPU, where TRITON_INTERPRET=1 runs the kernels in Triton's interpreter."""
    pytest.importorskip("triton")
    if torch.cuda.is_available():
        return torch.device("cuda", 0)
    if os.environ.get("TRITON_INTERPRET") != "1":
        pytest.skip("there is no CUDA device; with TRITON_INTERPRET=1 the kernels run without")
    return torch.device("cpu")
