"""One plain backbone for many architectures, one after the other.

Making a backbone and drawing its initial weights takes longer than everything else about a short
trial but the training itself. A `ReusableBackbone` makes it once: an architecture's attention is
put in, used and taken out again, and the weights are set back to those of the seed, so that every
network is the one that `build` would have made.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ..architecture import Architecture
from ..backbones.discover import Stem, find_sites
from .build import build, insert_all
from .feature_extractor import Relocation
from .placement import placements

SEEDS = 4
"""Of so many seeds the initial weights are kept."""


class ReusableBackbone:
    """A plain backbone on a device, with or without its own attention.

    Raises as `build` when the first network is asked for.
    """

    def __init__(
        self,
        backbone: str,
        *,
        num_classes: int,
        image_size: int,
        stem: Stem,
        strip_attention: bool,
        pretrained: bool,
        device: torch.device,
    ) -> None:
        self._plain = Architecture(backbone, (), strip_attention)
        self._options = {
            "num_classes": num_classes,
            "image_size": image_size,
            "stem": stem,
            "pretrained": pretrained,
        }
        self._sites = find_sites(
            backbone, image_size=image_size, stem=stem, strip_attention=strip_attention
        )
        self._device = device
        self._model: nn.Module | None = None
        self._initial: OrderedDict[int, list[Tensor]] = OrderedDict()

    @contextmanager
    def network(self, architecture: Architecture, seed: int) -> Iterator[nn.Module]:
        """The network of `architecture` under `seed`, in training mode; inside only.

        ArchitectureError if it means nothing here. One at a time.
        """
        fitted = placements(architecture, self._sites)
        model = self._reset(seed)
        here = Relocation(model, self._plain.backbone, {})
        undo = insert_all(model, here, fitted, seed)
        try:
            if self._device.type != "cpu":  # else there is nothing to move, and much to look at
                model.to(self._device)
            yield model
        finally:
            for take_out in undo:
                take_out()

    def _reset(self, seed: int) -> nn.Module:
        """The plain network with the weights of a seed."""
        if seed not in self._initial:
            made = build(self._plain, seed=seed, **self._options).to(self._device)  # type: ignore[arg-type]
            self._initial[seed] = [tensor.detach().clone() for tensor in _state(made)]
            self._model = made if self._model is None else self._model
            while len(self._initial) > SEEDS:
                self._initial.popitem(last=False)
        self._initial.move_to_end(seed)
        model = self._model
        assert model is not None  # made above, if not before
        with torch.no_grad():
            for tensor, value in zip(_state(model), self._initial[seed], strict=True):
                tensor.copy_(value)
        model.zero_grad(set_to_none=True)
        return model.train()


def _state(model: nn.Module) -> list[Tensor]:
    return [*model.parameters(), *model.buffers()]
