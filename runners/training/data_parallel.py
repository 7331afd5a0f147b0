"""Data parallelism: one training on several devices, each of which trains a share of every batch.

Every device has a process (a *rank*) with the whole network, and all run the same training loop.
The loop asks a `DataParallel` for whatever depends on the number of devices. `SingleDevice` is the
one with nothing to share; `distributed_rank.DistributedRank` is one of several ranks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, TypeVar

from torch import Tensor, nn

from .batch_plan import BatchPlan
from .epoch_share import EpochShare

T = TypeVar("T")


class DataParallel(Protocol):
    """One rank of a training. All ranks call its methods, in the same order."""

    @property
    def rank(self) -> int:
        """Which rank this is, from 0. The first one reports the trial and writes its files."""

    @property
    def size(self) -> int:
        """How many ranks there are."""

    @property
    def description(self) -> str | None:
        """What a trial records of the ranks; None if there is only one."""

    @property
    def batch_norm(self) -> Callable[..., Any] | None:
        """What training uses for `torch.nn.functional.batch_norm`; None: what it uses anyway."""

    def wait_for_all(self) -> None:
        """Wait until all ranks are here, so that none is waited for while steps are timed."""

    def share(self, plan: BatchPlan) -> EpochShare:
        """What this rank trains of every batch; see `epoch_share.share_epoch`."""

    def wrap(self, model: nn.Module) -> nn.Module:
        """A module that computes what `model` does, and averages its gradients over the ranks.

        It is for the parameters that require a gradient now; an earlier one may not be used any
        more. Parameters and buffers become those of the first rank.
        """

    def copy_from_first(self, tensors: Iterable[Tensor]) -> None:
        """Give tensors the values that they have on the first rank."""

    def call_on_first(self, function: Callable[[], T]) -> T:
        """Call a function on the first rank alone; returns its value, which can be pickled."""

    def gather(self, values: Sequence[T]) -> list[T]:
        """The values of all ranks, in their order.

        Args:
            values: of this rank, which can be pickled; tensors, also in tuples, arrive on the
                device of each rank.
        """


class SingleDevice:
    """The only rank of a training on one device; see `DataParallel`."""

    rank = 0
    size = 1
    description = None
    batch_norm = None

    def wait_for_all(self) -> None:
        """Do nothing."""

    def share(self, plan: BatchPlan) -> EpochShare:
        """All of every batch."""
        return EpochShare(tuple(plan))

    def wrap(self, model: nn.Module) -> nn.Module:
        """The network itself."""
        return model

    def copy_from_first(self, tensors: Iterable[Tensor]) -> None:
        """Do nothing."""

    def call_on_first(self, function: Callable[[], T]) -> T:
        """Call it."""
        return function()

    def gather(self, values: Sequence[T]) -> list[T]:
        """The values."""
        return list(values)


SINGLE_DEVICE = SingleDevice()


def own_part(items: Sequence[T], parallel: DataParallel) -> Sequence[T]:
    """The items that a rank takes, so that `gather` returns their results in the same order.

    Args:
        items: to be divided among the ranks.
        parallel: the rank.
    """
    begin, end = (len(items) * rank // parallel.size for rank in (parallel.rank, parallel.rank + 1))
    return items[begin:end]
