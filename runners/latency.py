"""The latency of a network, beside that of the bare backbone, each with its standard error.

The network and the bare backbone run in alternation, and each round gives one ratio of the two, so
that what slows the machine down slows both and cancels. On a CPU the time is that of the one thread
that computes: time for which the system gives the core to other processes does not count. The ratio
of the bare backbone is 1 by definition. `measurement_turns` keeps measurements apart.

The errors are standard errors of a repetition of the whole measurement, in another process and at
another time: `benchmarks/latency.py` compares them with the scatter of repetitions.
"""

from __future__ import annotations

import math
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from ..spaces.architecture import Architecture
from ..spaces.attentions.registry import get_attention
from ..spaces.backbones.sites import ImageSize, height_and_width
from ..spaces.backbones.stem import Stem
from ..spaces.networks.build import build_network
from .devices import torch_threads
from .measurement_turns import OtherProcesses, measurement_turn
from .results import Costs

REPLICATES = 8
"""The weights and the images move to other addresses so many times during a measurement: where they
lie in memory changes the latency of a network by up to a percent."""
MIN_ROUNDS, MAX_ROUNDS = 2, 12
"""Rounds for each replicate. Each runs both networks twice."""
WARM_UP_PASSES = 3
RATIO_ERROR_QUIET, RATIO_ERROR_BUSY = 0.007, 0.03
"""Relative error that is added to that of a ratio, on a quiet machine and on one that gives all of
its time to other processes. It covers what differs between processes and from minute to minute, and
not between the rounds of one measurement: where the code and the weights lie in memory, and the
caches that other processes use."""
TIME_ERROR_QUIET, TIME_ERROR_BUSY = 0.03, 0.25
"""The same for a time, which also varies with the clock frequency of a core, and is longer if
another process uses the other thread of the core."""
MAX_TIME_LOST = 0.1
"""If other processes take more than this share of the time of a measurement, the machine is
busy."""
MAX_STRETCH = 3.0
"""A measurement on a busy machine takes up to so many times as long as on a quiet one; beyond that,
it makes do with fewer rounds."""

Clock = Callable[[], float]


@dataclass(frozen=True)
class Latency:
    """How long a network takes for one image.

    Attributes:
        milliseconds, milliseconds_error: of one forward pass, and the standard error.
        ratio, ratio_error: as a multiple of the bare backbone, and the standard error. The ratio of
            the bare backbone is 1 and its error 0, by definition.
        disturbance: why the machine was not quiet; None if it was.
    """

    milliseconds: float
    milliseconds_error: float
    ratio: float = 1.0
    ratio_error: float = 0.0
    disturbance: str | None = None

    def add_to(self, costs: Costs) -> Costs:
        """Costs with this latency, rounded to two significant digits of the errors.

        All surfaces show the costs, so they all show the same digits.
        """
        milliseconds, ratio = (
            round_to_error(self.milliseconds, self.milliseconds_error),
            round_to_error(self.ratio, self.ratio_error),
        )
        return replace(
            costs,
            latency_ms=milliseconds[0],
            latency_ms_error=milliseconds[1],
            latency_ratio=ratio[0],
            latency_ratio_error=ratio[1],
        )

    def as_multiple_of(self, reference: Latency) -> Latency:
        """The same ratio, with the time that follows from another time of the bare backbone.

        Args:
            reference: the latency of the bare backbone in the whole study.
        """
        return replace(
            self,
            milliseconds=self.ratio * reference.milliseconds,
            milliseconds_error=math.hypot(
                self.ratio * reference.milliseconds_error,
                self.ratio_error * reference.milliseconds,
            ),
        )


@dataclass(frozen=True)
class TimedNetwork:
    """A network to time, for one image.

    Attributes:
        architecture: in canonical form.
        image_size: side of the image, or (height, width), pixels.
        num_classes: classes of the head; 0 for the backbone's own number.
        stem: `native` or `small`.
        in_chans: channels of the image.
    """

    architecture: Architecture
    image_size: ImageSize
    num_classes: int
    stem: Stem = "native"
    in_chans: int = 3

    @property
    def bare(self) -> TimedNetwork:
        """The bare backbone on images of the same size."""
        return replace(self, architecture=Architecture(self.architecture.backbone))

    def timer(self, device: torch.device) -> ForwardTimer:
        """Build the network on a device, with an image."""
        network = build_network(
            self.architecture,
            num_classes=self.num_classes or None,
            image_size=self.image_size,
            stem=self.stem,
            in_chans=self.in_chans,
            seed=0,
        )
        shape = (1, self.in_chans, *height_and_width(self.image_size))
        noise = torch.randn(shape, device=device)
        # `contiguous` leaves images of one channel as they are, which convolutions then take for
        # contiguous ones.
        image = torch.empty(noise.shape, device=device, memory_format=torch.channels_last)
        return ForwardTimer(network.to(device), image.copy_(noise))


def measure_latency(
    network: TimedNetwork, device: torch.device, bare: TimedNetwork | None = None
) -> Latency:
    """Measure the latency of a network, when it is this process's turn.

    Args:
        network: what to time.
        device: where to time it. A CPU computes with one thread.
        bare: what to compare it with; by default its bare backbone.
    """
    bare = bare or network.bare
    timers = [timed.timer(device) for timed in dict.fromkeys((network, bare))]
    with torch_threads(1), measurement_turn() as problem:
        others = OtherProcesses()
        latency, lost = time_networks(timers)
        load = max(lost, others.share())
    latency = add_error_of_repetition(latency, load)
    if problem is None and lost > MAX_TIME_LOST:
        problem = f"other processes took {100 * lost:.0f} % of the time"
    latency = replace(latency, disturbance=problem)
    is_extended = bare == network.bare and only_adds(network.architecture)
    return exclude_savings(latency) if is_extended else latency


def time_networks(timers: Sequence[ForwardTimer], seconds: float = 1.0) -> tuple[Latency, float]:
    """Time a network in alternation with the bare backbone.

    Every round runs blocks of passes in the order A B B A, so that a steady drift cancels, and
    gives one ratio. The results are medians over all rounds, which a disturbance affects only if it
    lasts longer than half of the measurement.

    Args:
        timers: of the network and of the bare backbone; one alone is the bare backbone.
        seconds: about how long to measure, if a pass is short enough.

    Returns:
        The latency, with the errors that follow from the scatter of the rounds; and the share of
        the time that this thread has lost to other processes.
    """
    network, bare = timers[0], timers[-1]
    rounds, passes = _plan(timers, seconds)
    order = [network] if network is bare else [network, bare, bare, network]
    times: list[list[float]] = []
    ratios: list[list[float]] = []
    began, began_wall = network.clock(), time.perf_counter()
    for _ in range(REPLICATES):
        for timer in timers:
            timer.move()
            timer.time_passes(1)
        samples = [[timer.time_passes(passes) for timer in order] for _ in range(rounds)]
        times.append([(sample[0] + sample[-1]) / 2 for sample in samples])
        if network is not bare:
            ratios.append([(a1 + a2) / (b1 + b2) for a1, b1, b2, a2 in samples])
    wall_seconds = time.perf_counter() - began_wall
    lost = max(0.0, 1 - (network.clock() - began) / wall_seconds) if wall_seconds else 0.0
    milliseconds = median_with_error(times)
    if network is bare:
        return Latency(*milliseconds), lost
    return Latency(*milliseconds, *median_with_error(ratios)), lost


def add_error_of_repetition(latency: Latency, load: float) -> Latency:
    """Add to the errors what differs between repetitions and not between the rounds of one.

    Args:
        latency: with the errors that follow from the scatter of its rounds.
        load: how busy the machine was with other processes, from 0 to 1.
    """
    of_time = TIME_ERROR_QUIET + load * (TIME_ERROR_BUSY - TIME_ERROR_QUIET)
    of_ratio = RATIO_ERROR_QUIET + load * (RATIO_ERROR_BUSY - RATIO_ERROR_QUIET)
    is_measured = latency.ratio_error > 0 or latency.ratio != 1  # That of the bare backbone is not.
    return replace(
        latency,
        milliseconds_error=math.hypot(latency.milliseconds_error, of_time * latency.milliseconds),
        ratio_error=math.hypot(latency.ratio_error, of_ratio * latency.ratio) if is_measured else 0,
    )


def _plan(timers: Sequence[ForwardTimer], seconds: float) -> tuple[int, int]:
    """The rounds of a replicate, and the passes of a block, for a measurement of some seconds."""
    for timer in timers:
        timer.time_passes(WARM_UP_PASSES)  # The first passes are slower.
    began = time.perf_counter()
    slowest = max(timer.time_passes(WARM_UP_PASSES) for timer in timers)
    wall = 1e3 * (time.perf_counter() - began) / (WARM_UP_PASSES * len(timers))
    slowest = max(slowest, wall / MAX_STRETCH)
    blocks = REPLICATES * (4 if len(timers) > 1 else 1)
    rounds = int(min(MAX_ROUNDS, max(MIN_ROUNDS, 1e3 * seconds / (blocks * slowest))))
    return rounds, max(1, int(1e3 * seconds / (blocks * rounds * slowest)))


def median_with_error(replicates: Sequence[Sequence[float]]) -> tuple[float, float]:
    """The median of all values, and its standard error.

    The error is the greater one of two: that of the median of independent values, from their median
    absolute deviation, and that of the mean of the replicates' medians, which also covers what the
    values of one replicate share.

    Args:
        replicates: equally many values each.
    """
    values = [value for replicate in replicates for value in replicate]
    median = statistics.median(values)
    deviation = 1.4826 * statistics.median(abs(value - median) for value in values)
    within = math.sqrt(math.pi / 2) * deviation / math.sqrt(len(values))
    medians = [statistics.median(replicate) for replicate in replicates]
    between = statistics.stdev(medians) / math.sqrt(len(medians))
    return median, max(within, between)


def round_to_error(value: float, error: float) -> tuple[float, float]:
    """A value and its standard error, both to two significant digits of the error."""
    if not error:
        return value, error
    error = round(error, 1 - math.floor(math.log10(error)))  # 0.0996 becomes 0.1, not 0.100.
    decimals = 1 - math.floor(math.log10(error))
    return round(value, decimals), round(error, decimals)


def only_adds(architecture: Architecture) -> bool:
    """Whether the network computes all that the bare backbone computes, and more."""
    names = (insertion.attention for insertion in architecture.insertions)
    return not architecture.removed and not any(
        get_attention(name).needs_convolution for name in names
    )


def exclude_savings(latency: Latency) -> Latency:
    """The latency of a network that cannot be faster than the bare backbone.

    A smaller ratio is noise: it becomes 1, and its error covers the difference.
    """
    if latency.ratio >= 1:
        return latency
    error = max(latency.ratio_error, 1 - latency.ratio)
    bare_milliseconds = latency.milliseconds / latency.ratio
    return replace(latency, milliseconds=bare_milliseconds, ratio=1.0, ratio_error=error)


class ForwardTimer:
    """Times the forward passes of one network on one batch.

    Args:
        network: on its device; it is put into evaluation mode.
        images: on the same device.
        clock: seconds; by default the processor time of this thread on a CPU, else the wall clock.
    """

    def __init__(self, network: nn.Module, images: Tensor, clock: Clock | None = None) -> None:
        self.network = network.eval()
        self.images = images
        # On Windows, processor time has a resolution of 16 ms.
        counts_processor_time = images.device.type == "cpu" and sys.platform != "win32"
        self.clock = clock or (time.thread_time if counts_processor_time else time.perf_counter)

    def move(self) -> None:
        """Move the weights and the images to other addresses."""
        for tensor in (*self.network.parameters(), *self.network.buffers()):
            tensor.data = tensor.data.clone(memory_format=torch.preserve_format)
        self.images = self.images.clone(memory_format=torch.preserve_format)

    def _wait(self) -> None:
        if self.images.device.type == "cuda":
            torch.cuda.synchronize(self.images.device)
        elif self.images.device.type == "mps":
            torch.mps.synchronize()

    @torch.inference_mode()
    def time_passes(self, passes: int) -> float:
        """Milliseconds per pass, averaged over `passes`."""
        self._wait()
        start = self.clock()
        for _ in range(passes):
            self.network(self.images)
        self._wait()
        return (self.clock() - start) * 1e3 / passes
