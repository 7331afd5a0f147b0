"""One plain backbone that is reused for the architectures of many trials.

In a short trial, only training takes longer than building a backbone and drawing its initial
weights. A `ReusableBackbone` builds it once. For each trial, the changes of the architecture are
made and later undone, and the weights are reset to those of the seed, so that each network equals
the one that `build_network` would have built.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from ..architecture import Architecture
from ..backbones.discover import find_sites
from ..backbones.stem import Stem
from ..backbones.weights_digest import check_digest
from .build import build_network, insert_all, remove_own
from .feature_extractor import ModuleLocator
from .placement import placements

MAX_CACHED_SEEDS = 4
"""Number of recently used seeds for which the initial weights are cached."""


class ReusableBackbone:
    """A plain backbone on a device.

    It is built when the first network is requested, which raises as `build_network` does.

    Args:
        backbone: a timm model.
        num_classes: number of outputs of the classifier.
        image_size: side of the square images in pixels.
        stem: `native` or `small`.
        in_chans: channels of the images.
        pretrained: load timm's published weights.
        weights: a local file with weights of the plain backbone, instead of the published ones.
        weights_digest: the SHA-256 that the file has to have; None: any.
        device: the device of the networks.
    """

    def __init__(
        self,
        backbone: str,
        *,
        num_classes: int,
        image_size: int,
        stem: Stem,
        in_chans: int = 3,
        pretrained: bool = False,
        weights: Path | None = None,
        weights_digest: str | None = None,
        device: torch.device,
    ) -> None:
        self._plain = Architecture(backbone)
        self._options = {
            "num_classes": num_classes,
            "image_size": image_size,
            "stem": stem,
            "in_chans": in_chans,
            "pretrained": pretrained,
            "weights": weights,
        }
        self._weights, self._weights_digest = weights, weights_digest
        self._site_map = find_sites(backbone, image_size=image_size, stem=stem)
        self._device = device
        self._model: nn.Module | None = None
        self._initial_states: OrderedDict[int, list[Tensor]] = OrderedDict()

    @contextmanager
    def network(self, architecture: Architecture, seed: int) -> Iterator[nn.Module]:
        """The network of `architecture` under `seed`, in training mode, inside the context.

        Only one network exists at a time.

        Raises:
            ArchitectureError: the architecture names a site that this backbone does not have.
        """
        placed = placements(architecture, self._site_map)
        removed = self._site_map.own_attention_at(architecture.removed)
        model = self._reset(seed)
        locator = ModuleLocator(model, self._plain.backbone)
        restore_own = remove_own(model, locator, removed)
        inserted = insert_all(model, locator, placed, seed)
        try:
            if self._device.type != "cpu":  # On a CPU this would visit all modules for nothing.
                model.to(self._device)
            yield model
        finally:
            inserted.remove()
            restore_own()

    def _reset(self, seed: int) -> nn.Module:
        """The plain network with the initial weights of a seed."""
        if seed not in self._initial_states:
            if self._weights is not None:
                check_digest(self._weights, self._weights_digest)
            fresh = build_network(self._plain, seed=seed, **self._options)  # type: ignore[arg-type]
            fresh = fresh.to(self._device)
            self._initial_states[seed] = [tensor.detach().clone() for tensor in _state(fresh)]
            self._model = fresh if self._model is None else self._model
            while len(self._initial_states) > MAX_CACHED_SEEDS:
                self._initial_states.popitem(last=False)
        self._initial_states.move_to_end(seed)
        model = self._model
        assert model is not None  # It was set when the first seed's weights were cached.
        with torch.no_grad():
            for tensor, value in zip(_state(model), self._initial_states[seed], strict=True):
                tensor.copy_(value)
        model.zero_grad(set_to_none=True)
        return model.train()


def _state(model: nn.Module) -> list[Tensor]:
    return [*model.parameters(), *model.buffers()]
