"""The samplers by name. `--sampler` offers these names, and `auto`.

To add one, write a subclass of `Sampler` in a file of this folder, add it to `SAMPLER_CLASSES`, and
add its name to `studies.config.SamplerName`. The contract suite then covers it.
"""

from __future__ import annotations

from collections.abc import Mapping

from ...studies.config import SamplerName
from .additive import AdditiveSampler
from .base import Sampler, SamplerContext
from .gp import GaussianProcessSampler
from .grid import GridSampler
from .nsga2 import NSGA2Sampler
from .nsga3 import NSGA3Sampler
from .qmc import SobolSampler
from .random import UniformSampler
from .tpe import ParzenSampler

SAMPLER_CLASSES: Mapping[SamplerName, type[Sampler]] = {
    "additive": AdditiveSampler,
    "tpe": ParzenSampler,
    "nsga2": NSGA2Sampler,
    "nsga3": NSGA3Sampler,
    "gp": GaussianProcessSampler,
    "qmc": SobolSampler,
    "random": UniformSampler,
    "grid": GridSampler,
}


def make_sampler(context: SamplerContext) -> Sampler:
    """The sampler that the study's configuration names."""
    return SAMPLER_CLASSES[context.config.sampler](context)
