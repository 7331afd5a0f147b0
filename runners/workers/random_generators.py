"""The global random generators that a user's training code draws from: Python's, NumPy's, torch's.

Their states are made of tensors, numbers and texts, which torch loads with `weights_only`.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch


def seed_generators(seed: int) -> None:
    """Start all generators from a seed."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def read_generators(device: torch.device) -> dict[str, Any]:
    """The states of all generators; on a GPU that of its generator too."""
    name, words, *rest = np.random.get_state(legacy=True)
    version, python_words, gauss = random.getstate()
    states: dict[str, Any] = {
        "torch": torch.get_rng_state(),
        "numpy": [name, torch.from_numpy(np.asarray(words, dtype=np.int64)), *rest],
        "python": [version, list(python_words), gauss],
    }
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def write_generators(states: Mapping[str, Any], device: torch.device) -> None:
    """Continue from the states that `read_generators` returned.

    Args:
        states: of all generators.
        device: of the trial.
    """
    torch.set_rng_state(states["torch"].cpu())
    name, words, *rest = states["numpy"]
    np.random.set_state((name, words.cpu().numpy().astype(np.uint32), *rest))
    version, python_words, gauss = states["python"]
    random.setstate((version, tuple(python_words), gauss))
    if "cuda" in states and device.type == "cuda":
        torch.cuda.set_rng_state(states["cuda"].cpu(), device)
