"""Whether two modules are one function: their tensors are mapped by shape, and outputs compared.

Tensors may have other names, lengths of 1 and an order of their own. Where several assignments fit,
each is tried: if one of them makes the outputs equal for random weights, the modules compute the
same function.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ...spaces.kernels.dispatch import disable_kernels

MAX_ASSIGNMENTS = 4_000
"""More are not tried."""
RELATIVE_TOLERANCE = 1e-5
COMPARED_SIZES = ((2, 7, 5), (3, 4, 6))
"""Images, height and width of the maps on which outputs are compared."""
_STATISTICS = ("running_mean", "running_var")

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Weight:
    """A tensor of a module, or a part of one.

    Attributes:
        name: its key in a state dict.
        tensor: whose values can be set.
        role: `weight`, `bias`, `scale` or `shift` of a norm, or a statistic of it.
    """

    name: str
    tensor: Tensor
    role: str

    @property
    def shape(self) -> Shape:
        """Without lengths of 1, by which a 1×1 convolution and a linear layer differ."""
        return tuple(length for length in self.tensor.shape if length != 1)


def weights_of(module: nn.Module, *, split_projection: bool = False) -> list[Weight]:
    """The tensors of a module that decide its function in evaluation.

    Args:
        module: an attention.
        split_projection: whether the three layers that our `nl` and `a2` have as one, `project`,
            are separate.
    """
    weights = []
    for path, owner in module.named_modules():
        prefix = f"{path}." if path else ""
        is_norm = hasattr(owner, "eps") and hasattr(owner, "weight")
        for name, tensor in owner.named_parameters(recurse=False):
            role = {"weight": "scale", "bias": "shift"}.get(name, name) if is_norm else name
            role = role if role in ("scale", "shift", "bias") else "weight"
            parts = (
                tensor.data.chunk(3) if split_projection and path == "project" else [tensor.data]
            )
            weights += [Weight(f"{prefix}{name}", part, role) for part in parts]
        weights += [
            Weight(f"{prefix}{name}", tensor, name)
            for name, tensor in owner.named_buffers(recurse=False)
            if name in _STATISTICS
        ]
    return weights


def parameter_shapes(module: nn.Module) -> list[Shape]:
    """The shapes of all parameters, without lengths of 1, sorted."""
    shapes = (tuple(n for n in p.shape if n != 1) for p in module.parameters())
    return sorted(shapes)


def draw_weights(module: nn.Module) -> None:
    """Give all tensors of a module random values that make its output depend on each.

    Those of norms of a single channel are the same for all such norms of the module, so that it
    does not matter which is which.
    """
    generator = torch.Generator().manual_seed(0)
    single = {"scale": 1.3, "shift": 0.2, "running_mean": 0.1, "running_var": 0.8}
    for weight in weights_of(module):
        tensor = weight.tensor
        if tensor.numel() == 1 and weight.role in single:
            tensor.fill_(single[weight.role])
        elif weight.role == "running_var":
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
        else:
            fan_in = math.prod(tensor.shape[1:]) or 1
            values = torch.randn(tensor.shape, generator=generator) * (2 / fan_in**0.5)
            tensor.copy_(values + (1.0 if weight.role == "scale" else 0.0))


@dataclass(frozen=True)
class FunctionComparison:
    """How far two modules are apart.

    Attributes:
        difference: the least over all assignments of tensors, relative to the largest output.
        assignments: how many were tried.
        is_complete: whether these were all.
    """

    difference: float
    assignments: int
    is_complete: bool

    @property
    def is_equal(self) -> bool:
        """Whether they are the same function up to rounding."""
        return self.difference <= RELATIVE_TOLERANCE


def compare_functions(
    theirs: nn.Module,
    reference: nn.Module,
    channels: int,
    *,
    read_output: Callable[[Tensor, Any], Tensor] = lambda _, output: output,
    split_projection: bool = False,
) -> FunctionComparison | None:
    """Load the weights of one module into another in every way, and compare their outputs.

    Args:
        theirs: the implementation; its weights are drawn anew.
        reference: the paper's; a bias that the other lacks is set to zero.
        channels: of the maps.
        read_output: from the map and the implementation's output to what is compared.
        split_projection: see `weights_of`.

    Returns:
        None if the shapes do not match.
    """
    theirs, reference = theirs.double().eval(), reference.double().eval()
    draw_weights(theirs)
    sources = weights_of(theirs)
    targets = weights_of(reference, split_projection=split_projection)
    groups = _group(sources, targets)
    if groups is None:
        return None
    generator = torch.Generator().manual_seed(1)
    maps = [
        torch.randn(images, channels, height, width, generator=generator, dtype=torch.float64)
        for images, height, width in COMPARED_SIZES
    ]
    with torch.no_grad(), disable_kernels():
        outputs = [read_output(x, theirs(x.clone())) for x in maps]
        least, tried = math.inf, 0
        for assignment in itertools.islice(_assignments(groups), MAX_ASSIGNMENTS):
            tried += 1
            for target, values in assignment:
                target.tensor.copy_(values)
            least = min(least, _distance(reference, maps, outputs, least))
            if least <= RELATIVE_TOLERANCE:
                break
    return FunctionComparison(least, tried, tried < MAX_ASSIGNMENTS)


def _distance(
    reference: nn.Module, maps: list[Tensor], outputs: list[Tensor], worst: float
) -> float:
    """The largest difference of outputs; `worst` or more ends the comparison early."""
    distance = 0.0
    for x, output in zip(maps, outputs, strict=True):
        expected = reference(x)
        if expected.shape != output.shape:
            return math.inf
        scale = max(float(expected.abs().max()), 1e-12)
        distance = max(distance, float((expected - output).abs().max()) / scale)
        if not distance < worst:
            break
    return distance if math.isfinite(distance) else math.inf


Group = tuple[list[Weight], list[Weight]]


def _group(sources: list[Weight], targets: list[Weight]) -> list[Group] | None:
    """Sources and targets that may be assigned to each other; None if their numbers differ.

    Where a source is missing for a target that is a bias, the target is zero.
    """

    def key(weight: Weight) -> tuple[Shape, str]:
        return weight.shape, weight.role if weight.role in _STATISTICS else ""

    groups: list[Group] = []
    for name in dict.fromkeys(map(key, [*sources, *targets])):
        wanted = [target for target in targets if key(target) == name]
        offered = [source for source in sources if key(source) == name]
        missing = len(wanted) - len(offered)
        if missing < 0 or missing > sum(target.role == "bias" for target in wanted):
            return None
        if missing:
            biases = [target for target in wanted if target.role == "bias"]
            for target in biases[:missing]:
                target.tensor.zero_()
                wanted.remove(target)
        groups += _split_by_role(offered, wanted)
    return groups


def _split_by_role(sources: list[Weight], targets: list[Weight]) -> list[Group]:
    """One group for each role, if both sides have equally many of it; else one for all."""
    roles = dict.fromkeys(weight.role for weight in [*sources, *targets])
    groups = [
        ([s for s in sources if s.role == role], [t for t in targets if t.role == role])
        for role in roles
    ]
    if all(len(offered) == len(wanted) for offered, wanted in groups):
        return groups
    return [(sources, targets)]


def _assignments(groups: list[Group]) -> Iterator[Pairs]:
    """All ways to give every target the values of one source."""
    choices = [list(_choices(*group)) for group in groups if group[1]]
    for chosen in itertools.product(*choices):
        yield [pair for pairs in chosen for pair in pairs]


Pairs = list[tuple[Weight, Tensor]]


def _choices(sources: list[Weight], targets: list[Weight]) -> Iterator[Pairs]:
    """The ways to give the targets of a group the values of its sources."""
    values = [source.tensor for source in sources]
    if values[0].numel() == 1 and all(torch.equal(value, values[0]) for value in values):
        yield [(target, values[0].reshape(target.tensor.shape)) for target in targets]
        return
    for order in itertools.islice(itertools.permutations(values), MAX_ASSIGNMENTS):
        variants = [list(_variants(*pair)) for pair in zip(order, targets, strict=True)]
        for chosen in itertools.product(*variants):
            yield list(zip(targets, chosen, strict=True))


def _variants(values: Tensor, target: Weight) -> Iterator[Tensor]:
    """The values in the shape of the target; a kernel over two pooled planes also with the planes
    in the other order, and with rows and columns exchanged."""
    shaped = values.reshape(target.tensor.shape)
    yield shaped
    if shaped.ndim == 4 and shaped.shape[:2] == (1, 2) and shaped.shape[2] == shaped.shape[3] > 1:
        yield shaped.flip(1)
        yield shaped.transpose(2, 3)
        yield shaped.flip(1).transpose(2, 3)
