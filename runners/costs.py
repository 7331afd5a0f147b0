"""What a network costs: parameters, multiply-adds, training memory; and `measure`, of all costs.

Parameters and MACs are counted and add up: those of a network are the bare backbone's plus those of
each inserted module at its map size, minus those of its own attention that is removed. With this,
`CostModel` prices a proposal in microseconds, without building it. `latency` measures the time that
a network takes.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from ..errors import AttentionError, AttentuneError, BackboneError, UsageError
from ..sanitize import clean_error
from ..spaces.architecture import Architecture
from ..spaces.attentions.entry import Convolution, Value
from ..spaces.attentions.registry import get_attention
from ..spaces.backbones.discover import find_sites
from ..spaces.backbones.own_backbone import is_own_backbone
from ..spaces.backbones.sites import ImageSize, SiteMap, height_and_width
from ..spaces.backbones.stem import Stem
from ..spaces.networks.build import build_network
from ..spaces.networks.canonical import canonicalise
from ..spaces.networks.placement import Placement, module_arguments, placements
from .devices import resolve_device
from .latency import TimedNetwork, measure_latency
from .recipe import Recipe
from .results import Costs, Measurement

BYTES_PER_MIB = 2**20
MAX_CLASSES = 1_000_000
"""Of a network that is measured; its head alone has gigabytes then."""
DEFAULT_IMAGE_SIZE_PIXELS = 224
_OPTIMIZER_STATES = {"adamw": 2, "sgd": 1}
"""Tensors that an optimizer keeps for every weight."""


@dataclass(frozen=True)
class AttentionUse:
    """An attention with its options on maps of one size: all that its costs depend on.

    Attributes:
        name: of the attention.
        settings: all its options with their values.
        channels: of the maps.
        size: height and width of the maps.
        batch_size: images in a training step. The costs are those of one image.
        convolution: the layer that the attention replaces, if it needs one.
    """

    name: str
    settings: tuple[tuple[str, Value], ...]
    channels: int
    size: tuple[int, int]
    batch_size: int
    convolution: Convolution | None = None

    @classmethod
    def of(cls, placement: Placement, batch_size: int) -> AttentionUse:
        """The use of a placement."""
        site = placement.site
        return cls(
            placement.insertion.attention,
            tuple(placement.insertion.settings.items()),
            site.channels,
            (site.height, site.width),
            batch_size,
            placement.convolution,
        )

    @property
    def arguments(self) -> dict[str, Any]:
        """The keyword arguments of the attention's class."""
        return module_arguments(self.settings, self.convolution)

    @property
    def shown(self) -> str:
        """The size of a map: `64×56×56`."""
        return f"{self.channels}×{self.size[0]}×{self.size[1]}"


AttentionCounter = Callable[[AttentionUse], Costs]
"""Counts parameters and MACs of an attention; raises AttentionError if it cannot be used."""


class CostModel:
    """Counts the costs of architectures of one backbone, without building them.

    The bare backbone is built once on the meta device.

    Args:
        backbone: a timm model name.
        recipe: its image size and stem decide the sizes of the maps. Its channels are used, too.
        num_classes: classes of the head.
        count_plugin: counts the costs of users' attentions; by default in this process, where one
            that does not return is never noticed.

    Raises:
        BackboneError: the backbone cannot be built, or has no sites.
    """

    def __init__(
        self,
        backbone: str,
        recipe: Recipe,
        num_classes: int,
        count_plugin: AttentionCounter | None = None,
    ) -> None:
        self.recipe = recipe
        self.num_classes = num_classes
        self._count_plugin = count_plugin or count_attention
        self._uses: dict[AttentionUse, Costs | str] = {}
        self.backbone = backbone
        self.site_map: SiteMap = find_sites(
            backbone, image_size=recipe.size, stem=recipe.stem, in_chans=recipe.in_chans
        )

    def price(self, architecture: Architecture) -> Costs:
        """Parameters and MACs of one forward pass of one image.

        Raises:
            ArchitectureError: it names insertion points, or own attention, that the backbone does
                not have.
            AttentionError: an attention raises, or cannot be used at its site for another reason.
                The message names both.
        """
        params, macs = self._bare.costs.params, self._bare.costs.macs
        for own in self.site_map.own_attention_at(architecture.removed):
            params, macs = params - own.parameters, macs - self._bare.own_macs[own.module]
        for placement in placements(architecture, self.site_map):
            costs = self._attention_costs(placement)
            params, macs = params + costs.params, macs + costs.macs
        return Costs(params, macs)

    def _attention_costs(self, placement: Placement) -> Costs:
        use = AttentionUse.of(placement, self.recipe.batch_size)
        if use not in self._uses:
            try:
                plugin = bool(get_attention(use.name).origin)
                self._uses[use] = (self._count_plugin if plugin else count_attention)(use)
            except AttentionError as error:
                self._uses[use] = str(error)
        costs = self._uses[use]
        if isinstance(costs, str):
            raise AttentionError(f"{placement.label} cannot be used: {costs}")
        return costs

    @cached_property
    def _bare(self) -> _BareCosts:
        bare, recipe = Architecture(self.backbone), self.recipe
        height, width = height_and_width(recipe.size)
        try:
            with torch.device(counting_device(self.backbone)):
                model = build_network(
                    bare,
                    num_classes=self.num_classes or None,
                    stem=recipe.stem,
                    image_size=recipe.size,
                    in_chans=recipe.in_chans,
                    seed=None,
                )
                image = torch.zeros(1, recipe.in_chans, height, width)
                paths = [own.module for own in self.site_map.own_attention]
                macs, own_macs = count_macs_of(model, paths, image)
            return _BareCosts(Costs(sum(p.numel() for p in model.parameters()), macs), own_macs)
        except AttentuneError:
            raise
        except Exception as error:
            raise BackboneError(
                f"the backbone {bare} cannot be run on images of {height}×{width} "
                f"({type(error).__name__}: {clean_error(error)}); choose another backbone or "
                "--image-size"
            ) from error


@dataclass(frozen=True)
class _BareCosts:
    """Parameters and MACs of a backbone, and MACs of its own attention by the path of a module."""

    costs: Costs
    own_macs: dict[str, int]


def counting_device(backbone: str) -> str:
    """Where a network is counted: on the meta device, unless its code is a user's own."""
    return "cpu" if is_own_backbone(backbone) else "meta"


def count_costs(model: nn.Module, image_size: ImageSize, in_chans: int = 3) -> Costs:
    """Parameters and MACs for one image.

    Args:
        model: the network, on any device.
        image_size: side of the image, or (height, width), pixels.
        in_chans: channels of the image.
    """
    params = sum(p.numel() for p in model.parameters())
    device = next(model.parameters()).device
    image = torch.zeros(1, in_chans, *height_and_width(image_size), device=device)
    return Costs(params, count_macs(model, image))


def count_macs(model: nn.Module, *inputs: Tensor) -> int:
    """MACs of a forward pass in evaluation mode; the inputs are on the model's device."""
    return count_macs_of(model, (), *inputs)[0]


@torch.no_grad()
def count_macs_of(
    model: nn.Module, paths: Sequence[str], *inputs: Tensor
) -> tuple[int, dict[str, int]]:
    """MACs of a forward pass in evaluation mode, and those of some modules by their paths.

    Args:
        model: the network.
        paths: of the modules.
        *inputs: of the network, on its device.
    """
    was_training = model.training
    model.eval()
    with FlopCounterMode(display=False) as counter:
        model(*inputs)
    model.train(was_training)
    by_module = counter.get_flop_counts() if paths else {}
    root = type(model).__name__
    macs = {path: sum(by_module.get(f"{root}.{path}", {}).values()) // 2 for path in paths}
    return int(counter.get_total_flops()) // 2, macs


@lru_cache(maxsize=4096)
def count_attention(use: AttentionUse) -> Costs:
    """Parameters and MACs of one attention, counted in this process.

    Raises:
        AttentionError: it raises an exception.
    """
    try:
        entry = get_attention(use.name)
        convolution = {} if use.convolution is None else {"convolution": use.convolution}
        parameters = entry.parameters(use.channels, dict(use.settings), use.size, **convolution)
        shapes: list[tuple[int, ...]] = [(use.channels, *use.size)]
        if use.convolution is not None:
            stride = use.convolution.stride
            shapes.append((use.convolution.in_channels, *(stride * side for side in use.size)))
        with torch.device("meta"):
            module = entry.load()(use.channels, **use.arguments)
            return Costs(
                parameters, count_macs(module, *(torch.zeros(1, *shape) for shape in shapes))
            )
    except AttentionError:
        raise
    except (Exception, SystemExit) as error:
        cause = f"{type(error).__name__}: {clean_error(error)}"
        raise AttentionError(f"on a map of {use.shown} it raises {cause}") from error


def measure(
    architecture: str | Architecture,
    *,
    image_size: ImageSize | None = None,
    num_classes: int = 1000,
    stem: Stem = "native",
    in_chans: int = 3,
    batch_size: int = 32,
    device: str = "cpu",
    latency: bool = True,
) -> Measurement:
    """Measure what an untrained architecture costs.

    >>> measure("resnet18+se(r=16)@all.residual", latency=False).costs.params
    11776552

    Args:
        architecture: an architecture, or its text.
        image_size: side of the images, or (height, width) for a network of one's own, pixels; 224
            if it is None.
        num_classes: classes of the head.
        stem: `native`, or `small` for tiny images.
        in_chans: channels of the images.
        batch_size: images in the training step whose memory is counted.
        device: where to time it; `auto` or a torch device, as for `--device`.
        latency: whether to measure the latency, which takes a second or two.

    Raises:
        ArchitectureError: the text is wrong, or names insertion points that do not exist.
        BackboneError: the backbone cannot be built.
        UsageError: the device is not on this machine, or there are too many classes.
    """
    if not 1 <= num_classes <= MAX_CLASSES:
        raise UsageError(f"the number of classes has to be from 1 to {MAX_CLASSES:,}")
    if isinstance(architecture, str):
        architecture = Architecture.parse(architecture)
    image_size = image_size or DEFAULT_IMAGE_SIZE_PIXELS
    site_map = find_sites(
        architecture.backbone, image_size=image_size, stem=stem, in_chans=in_chans
    )
    architecture = canonicalise(architecture, site_map)
    height, width = height_and_width(image_size)
    recipe = Recipe.of(
        data="",
        image_size=height,
        input=None if height == width else (in_chans, height, width),
        stem=stem,
        batch_size=batch_size,
        in_chans=in_chans,
    )
    model = build_network(
        architecture,
        num_classes=num_classes,
        stem=stem,
        image_size=image_size,
        in_chans=in_chans,
        seed=0,
    )
    memory = count_training_memory_mib(architecture, recipe, num_classes)
    costs = replace(count_costs(model, image_size, in_chans), memory_mib=memory)
    if not latency:
        return Measurement(architecture, costs)
    network = TimedNetwork(architecture, image_size, num_classes, stem, in_chans)
    timed = measure_latency(network, resolve_device(device))
    return Measurement(architecture, timed.add_to(costs), timed.disturbance)


def count_training_memory_mib(
    architecture: Architecture, recipe: Recipe, num_classes: int
) -> float:
    """Peak memory of one training step at the recipe's batch size, in MiB.

    It is counted on the meta device, where nothing is computed and the result is the same on every
    machine: the storages that are alive at once in the forward and backward pass, plus weights,
    gradients and the optimizer's state.

    Args:
        architecture: what is trained.
        recipe: its image size, channels, stem, batch size and optimizer are used.
        num_classes: classes of the head.
    """
    with torch.device(counting_device(architecture.backbone)):
        model = build_network(
            architecture,
            num_classes=num_classes or None,
            stem=recipe.stem,
            image_size=recipe.size,
            in_chans=recipe.in_chans,
            seed=None,
        ).train()
        images = torch.zeros(recipe.batch_size, recipe.in_chans, *height_and_width(recipe.size))
        with _LiveBytes() as live_bytes:
            losses = [output.float().sum() for output in _tensors(model(images))]
            torch.autograd.backward(losses)
    weights: int = sum(p.numel() * p.element_size() for p in model.parameters())
    states = _OPTIMIZER_STATES[recipe.optimizer]
    # Gradients are created under the mode and are part of its peak.
    resident = weights * (1 + states) + images.numel() * images.element_size()
    return float(live_bytes.peak + resident) / BYTES_PER_MIB


def _tensors(output: Any) -> Iterator[Tensor]:
    """The tensors with a gradient in what a network returns, which may be nested."""
    if isinstance(output, Tensor):
        if output.requires_grad:
            yield output
        return
    if isinstance(output, Mapping):
        output = output.values()
    if isinstance(output, Iterable) and not isinstance(output, str):
        for part in output:
            yield from _tensors(part)


class _LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of all storages that are alive, and the maximum of that count."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.current = 0
        self.peak = 0
        self._alive: set[int] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else (result,):
            if isinstance(tensor, Tensor):
                self._follow(tensor)
        return result

    def _follow(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        identity = storage._cdata
        if identity in self._alive:
            return
        self._alive.add(identity)
        size = storage.nbytes()
        self.current += size
        self.peak = max(self.peak, self.current)

        def release() -> None:
            self._alive.discard(identity)
            self.current -= size

        weakref.finalize(storage, release)
