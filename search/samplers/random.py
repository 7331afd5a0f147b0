"""Random search: every decision of an architecture is drawn uniformly.

The baseline of hyperparameter search (Bergstra & Bengio, JMLR 13, 2012).
"""

from __future__ import annotations

from .base import Sampler


class UniformSampler(Sampler):
    """Draws each decision uniformly, as the base class does."""
