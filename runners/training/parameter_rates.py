"""Which parameters of a network are new, and which learn at rates of their own.

Pretrained weights cover the backbone. The attentions that were inserted into it and the head for
the classes of the data are new, and learn faster than weights that are good already (as the
discriminative rates of ULMFiT do; Howard and Ruder, arXiv 1801.06146). In the backbone, a
decay from layer to layer lets early layers, which are the most general ones, change least
(BEiT, arXiv 2106.08254). The layers are those of timm's `param_groups_layer_decay`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ...spaces.backbones.layers import count_layers_behind, find_head
from ...spaces.networks.attended_module import visible_parameters
from ...spaces.networks.attention_checks import labelled_attentions
from ..recipe import Recipe


class ParameterRate(NamedTuple):
    """How a parameter learns.

    Attributes:
        factor: its learning rate as a multiple of the recipe's.
        is_new: whether it is trained while the backbone is frozen.
    """

    factor: float
    is_new: bool


SINGLE_RATE = ParameterRate(1.0, is_new=True)
"""Of all parameters, where the recipe makes no difference between them."""


def parameter_rates(model: nn.Module, recipe: Recipe) -> dict[str, ParameterRate]:
    """The rate of every parameter of a network, by name.

    Args:
        model: a network of `build_network`.
        recipe: its `attention_lr` is the rate of what is new, its `layer_decay` that of the
            backbone's layers.

    Raises:
        BackboneError: the layers of the backbone are not known, and the recipe needs them.
    """
    attentions = _parameters_of(labelled_attentions(model))
    new = attentions | _parameters_of(find_head(model))
    new_factor = 1.0 if recipe.attention_lr is None else recipe.attention_lr / recipe.lr
    names = {name: id(parameter) for name, parameter in visible_parameters(model)}
    behind = {}
    if recipe.layer_decay < 1:
        # The layers are those of the backbone alone, so that they are the same in all networks.
        behind = count_layers_behind(
            model, [n for n, key in names.items() if key not in attentions]
        )
    return {
        name: ParameterRate(new_factor, is_new=True)
        if key in new
        else ParameterRate(recipe.layer_decay ** behind.get(name, 0), is_new=False)
        for name, key in names.items()
    }


def backbone_batch_norms(model: nn.Module) -> list[nn.Module]:
    """The batch norms of the backbone, without those of inserted attentions and of the head.

    While the backbone is frozen they use their running statistics, and do not change them, as
    after timm's `freeze`.
    """
    new = {
        id(module)
        for part in (*labelled_attentions(model), *find_head(model))
        for module in part.modules()
    }
    return [m for m in model.modules() if isinstance(m, _BatchNorm) and id(m) not in new]


def _parameters_of(modules: Iterable[nn.Module]) -> set[int]:
    parameters: Iterable[Tensor] = (p for module in modules for p in module.parameters())
    return set(map(id, parameters))
