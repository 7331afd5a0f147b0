"""Draw as many images as the training split has, with all classes equally frequent.

Images of a class with many images take turns over the epochs, and those of a class with few are
repeated. Within an epoch, the images of a class are drawn equally often, up to one.
"""

from __future__ import annotations

import torch
from torch import Tensor


def draw_balanced(labels: Tensor, generator: torch.Generator) -> Tensor:
    """Numbers of images (N,) in random order; the frequencies of two classes differ by at most one.

    Args:
        labels: of the N images.
        generator: on the device of the labels.
    """
    counts = labels.bincount()
    classes = counts.nonzero()[:, 0]
    shuffled = _permute(len(labels), generator)
    by_class = shuffled[labels[shuffled].argsort(stable=True)]
    first = counts.cumsum(0) - counts
    # The classes take turns. Their order is random, as the last ones may have one turn fewer.
    turns = torch.arange(len(labels), device=labels.device)
    drawn = classes[_permute(len(classes), generator)][turns % len(classes)]
    images = by_class[first[drawn] + (turns // len(classes)) % counts[drawn]]
    return images[_permute(len(labels), generator)]


def _permute(count: int, generator: torch.Generator) -> Tensor:
    return torch.randperm(count, generator=generator, device=generator.device)
