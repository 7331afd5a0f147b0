"""What a network costs: parameters, multiply-adds, latency, training memory.

Parameters and MACs are counted, not timed, and add up: a network's are the bare backbone's plus
each inserted module's at its map size. `CostModel` uses that, so that a proposal is priced in
microseconds before anything is built. Latency is measured in alternation with the bare backbone, so
that the machine's noise hits both alike and cancels in the ratio.
"""

from __future__ import annotations

import statistics
import time
import weakref
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from ..spaces.architecture import Architecture
from ..spaces.attentions.registry import attention
from ..spaces.backbones.discover import find_sites
from ..spaces.backbones.sites import SiteMap
from ..spaces.backbones.stem import Stem
from ..spaces.networks.build import build_network
from ..spaces.networks.canonical import canonicalise
from ..spaces.networks.placement import placements
from .devices import resolve_device, torch_threads
from .recipe import Recipe
from .results import Costs

MIB = 2**20


class CostModel:
    """Prices architectures of one backbone under one recipe, without building them.

    The bare backbone is built once on the meta device (once more for `attention=none`).
    """

    def __init__(self, backbone: str, recipe: Recipe, num_classes: int) -> None:
        self.recipe = recipe
        self.num_classes = num_classes
        self._bare: dict[bool, Costs] = {}
        self.backbone = backbone
        self.site_map: SiteMap = find_sites(
            backbone, image_size=recipe.image_size, stem=recipe.stem
        )

    def price(self, architecture: Architecture) -> Costs:
        """Parameters and MACs of one forward pass of one picture."""
        base = self._base(architecture.strip_attention)
        params, macs = base.params, base.macs
        for placement in placements(architecture, self.site_map):
            params += placement.parameters
            site, arguments = placement.site, tuple(placement.arguments.items())
            size = (site.height, site.width)
            macs += _module_macs(placement.insertion.attention, arguments, site.channels, size)
        return Costs(params, macs)

    def _base(self, strip: bool) -> Costs:
        if strip not in self._bare:
            plain = Architecture(self.backbone, (), strip)
            with torch.device("meta"):
                model = build_network(
                    plain,
                    num_classes=self.num_classes,
                    stem=self.recipe.stem,
                    image_size=self.recipe.image_size,
                    seed=None,
                )
            self._bare[strip] = count_costs(model, self.recipe.image_size)
        return self._bare[strip]


def count_costs(model: nn.Module, image_size: int) -> Costs:
    """Parameters and MACs of one picture (3, S, S), on whatever device the model is."""
    params = sum(p.numel() for p in model.parameters())
    device = next(model.parameters()).device
    return Costs(params, _macs(model, torch.zeros(1, 3, image_size, image_size, device=device)))


@torch.no_grad()
def _macs(model: nn.Module, *example: Tensor) -> int:
    was_training = model.training
    model.eval()
    with FlopCounterMode(display=False) as counter:
        model(*example)
    model.train(was_training)
    return int(counter.get_total_flops()) // 2


@lru_cache(maxsize=4096)
def _module_macs(
    name: str, arguments: tuple[tuple[str, Any], ...], channels: int, size: tuple[int, int]
) -> int:
    named = dict(arguments)
    shapes = [(channels, *size)]
    if joined := named.get("convolution"):
        shapes.append((joined.in_channels, *(joined.stride * side for side in size)))
    with torch.device("meta"):
        module = attention(name).load()(channels, **named)
        return _macs(module, *(torch.zeros(1, *shape) for shape in shapes))


def measure_latency(
    model: nn.Module,
    bare: nn.Module,
    image_size: int,
    *,
    batch_size: int = 1,
    seconds: float = 1.0,
    rounds: int = 15,
) -> tuple[float, float]:
    """Milliseconds a forward pass of `model`, and its ratio to `bare`; both in evaluation mode.

    Every round runs blocks of passes in the order A B B A, in which a steady drift of the machine
    cancels, and gives one ratio; the median over the rounds is returned, so a disturbance has to
    last longer than half the measurement to matter.
    """
    device = next(model.parameters()).device
    images = torch.randn(batch_size, 3, image_size, image_size, device=device)
    images = images.contiguous(memory_format=torch.channels_last)
    ours, theirs = _Timed(model, images), _Timed(bare, images)
    ours.block(3), theirs.block(3)  # the first passes are slower
    share = 1e3 * seconds / (4 * rounds)
    passes = max(1, int(share / max(ours.block(3), theirs.block(3))))
    ratios, times = [], []
    for _ in range(rounds):
        a, b = ours.block(passes), theirs.block(passes)
        b += theirs.block(passes)
        a += ours.block(passes)
        ratios.append(a / b)
        times.append(a / 2)
    return statistics.median(times), statistics.median(ratios)


class _Timed:
    """A network with its input; `block(n)` gives milliseconds a pass over n passes."""

    def __init__(self, model: nn.Module, images: Tensor) -> None:
        self.model = model.eval()
        self.images = images
        cuda = images.device.type == "cuda"
        self.wait: Callable[[], None] = torch.cuda.synchronize if cuda else lambda: None

    @torch.inference_mode()
    def block(self, passes: int) -> float:
        self.wait()
        began = time.perf_counter()
        for _ in range(passes):
            self.model(self.images)
        self.wait()
        return (time.perf_counter() - began) * 1e3 / passes


def measure_architecture(
    architecture: Architecture,
    *,
    image_size: int,
    num_classes: int,
    stem: Stem,
    batch_size: int = 32,
    device: str = "cpu",
    latency: bool = True,
) -> tuple[Architecture, Costs]:
    """The canonical form of an architecture and all its costs, untrained.

    Raises BackboneError and ArchitectureError for what cannot be built.
    """
    site_map = find_sites(architecture.backbone, image_size=image_size, stem=stem)
    architecture = canonicalise(architecture, site_map)
    recipe = Recipe.of(data="", image_size=image_size, stem=stem, batch_size=batch_size)

    def make(which: Architecture) -> nn.Module:
        model = build_network(
            which, num_classes=num_classes, stem=stem, image_size=image_size, seed=0
        )
        return model.to(resolve_device(device))

    model = make(architecture)
    costs = count_costs(model, image_size)
    milliseconds = ratio = None
    if latency:
        bare = make(Architecture(architecture.backbone))
        with torch_threads(1):
            milliseconds, ratio = measure_latency(model, bare, image_size)
    memory = count_training_memory_mib(architecture, recipe, num_classes)
    return architecture, Costs(costs.params, costs.macs, milliseconds, ratio, memory)


def measure_reference_latency(
    backbone: str, recipe: Recipe, num_classes: int, device: torch.device
) -> float:
    """Milliseconds a forward pass of the bare backbone, one picture, on one thread of a CPU."""
    model = build_network(
        Architecture(backbone),
        num_classes=num_classes,
        stem=recipe.stem,
        image_size=recipe.image_size,
        seed=None,
    ).to(device)
    with torch_threads(1):
        return measure_latency(model, model, recipe.image_size)[0]


def count_training_memory_mib(
    architecture: Architecture, recipe: Recipe, num_classes: int
) -> float:
    """Peak memory of one training step at the recipe's batch size, in MiB.

    Counted on the meta device by following every tensor's life through forward and backward, plus
    weights, gradients and the optimizer's state: the same everywhere, and nothing is computed.
    """
    with torch.device("meta"):
        model = build_network(
            architecture,
            num_classes=num_classes,
            stem=recipe.stem,
            image_size=recipe.image_size,
            seed=None,
        ).train()
        images = torch.zeros(recipe.batch_size, 3, recipe.image_size, recipe.image_size)
        with _LiveBytes() as live:
            loss = model(images).float().sum()
            loss.backward()
    weights: int = sum(p.numel() * p.element_size() for p in model.parameters())
    states = {"adamw": 2, "sgd": 1}[recipe.optimizer]
    # Gradients are created under the mode and are part of its peak.
    resident = weights * (1 + states) + images.numel() * images.element_size()
    return float(live.peak + resident) / MIB


class _LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of storages that are alive, and their peak."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = 0
        self.peak = 0
        self._seen: set[int] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else (result,):
            if isinstance(tensor, Tensor):
                self._follow(tensor)
        return result

    def _follow(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        identity = storage._cdata
        if identity in self._seen:
            return
        self._seen.add(identity)
        size = storage.nbytes()
        self.now += size
        self.peak = max(self.peak, self.now)

        def gone() -> None:
            self._seen.discard(identity)
            self.now -= size

        weakref.finalize(storage, gone)
