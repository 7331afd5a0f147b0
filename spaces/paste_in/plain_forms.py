"""The attentions by plain operators of torch, as their formulas say, for code that is pasted.

Each class has the name of an attention's class with `Plain` before it, and computes the same from
the same parameters. It replaces only the methods in which the attention uses kernels of
`spaces/kernels`, or folds steps into one another for speed. `source.py` prints the attention's
class with these methods in place of its own. Attentions that are not here are plain already.

A maximum is computed by `amax`, whose gradient is deterministic on every device.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ..attentions.a2 import DoubleAttention
from ..attentions.bam import BAM
from ..attentions.ca import CoordinateAttention
from ..attentions.cbam import ChannelHalf, SpatialHalf
from ..attentions.eca import EfficientChannelAttention
from ..attentions.ela import EfficientLocalAttention
from ..attentions.ema import EfficientMultiscaleAttention
from ..attentions.ese import EffectiveSqueezeExcitation
from ..attentions.fca import FrequencyChannelAttention, _basis
from ..attentions.gc import GlobalContext
from ..attentions.gct import _EPSILON, GatedChannelTransformation
from ..attentions.ge import GatherExcite
from ..attentions.lct import LinearContextTransform
from ..attentions.nl import NonLocal
from ..attentions.scse import ConcurrentSqueezeExcitation
from ..attentions.se import SqueezeExcitation
from ..attentions.sge import SpatialGroupEnhance
from ..attentions.shuffle import ShuffleAttention
from ..attentions.simam import _LAMBDA, SimAM
from ..attentions.sk import SelectiveKernel
from ..attentions.srm import StyleRecalibration
from ..attentions.strip import StripPooling
from ..attentions.triplet import TripletAttention, _Branch


class PlainSqueezeExcitation(SqueezeExcitation):
    """`se`."""

    def forward(self, x: Tensor) -> Tensor:
        """The map with every channel scaled."""
        means = x.mean((2, 3))  # (N, C)
        scale: Tensor = self.gate(self.fc2(self.act(self.fc1(means))))
        return x * scale[:, :, None, None]


class PlainEfficientChannelAttention(EfficientChannelAttention):
    """`eca`."""

    def forward(self, x: Tensor) -> Tensor:
        """The map with every channel scaled."""
        means = x.mean((2, 3)).unsqueeze(1)  # (N, 1, C): the channels as a sequence
        scale: Tensor = self.gate(self.conv(means)).squeeze(1)
        return x * scale[:, :, None, None]


class PlainChannelHalf(ChannelHalf):
    """The first half of `cbam`, and `channel`."""

    def forward(self, x: Tensor) -> Tensor:
        """The map with every channel scaled."""
        pooled = torch.stack((x.mean((2, 3)), x.amax((2, 3))))  # (2, N, C)
        by_mean, by_maximum = self.fc2(self.act(self.fc1(pooled)))  # one MLP for both
        scale: Tensor = self.gate(by_mean + by_maximum)
        return x * scale[:, :, None, None]


class PlainSpatialHalf(SpatialHalf):
    """The second half of `cbam`, and `spatial`."""

    def forward(self, x: Tensor) -> Tensor:
        """The map with every position scaled."""
        planes = torch.stack((x.mean(1), x.amax(1)), dim=1)  # (N, 2, H, W)
        scale: Tensor = self.gate(self.bn(self.conv(planes)))
        return x * scale


class PlainCoordinateAttention(CoordinateAttention):
    """`ca`."""

    def forward(self, x: Tensor) -> Tensor:
        """The map with every channel scaled by row and by column."""
        height, width = x.shape[2:]
        strips = torch.cat((x.mean(3), x.mean(2)), dim=2)  # (N, C, H + W)
        strips = self.act(self.bn(self.conv1(strips)))  # (N, d, H + W)
        rows, columns = strips.split((height, width), dim=2)
        by_row: Tensor = self.gate(self.conv_h(rows)).unsqueeze(3)  # (N, C, H, 1)
        by_column: Tensor = self.gate(self.conv_w(columns)).unsqueeze(2)  # (N, C, 1, W)
        return x * by_row * by_column


class PlainNonLocal(NonLocal):
    """`nl`."""

    def _mix(self, x: Tensor) -> Tensor:
        """The mixture of all positions, (N, d, H, W)."""
        theta, phi, g = self.project(x).flatten(2).split(self.hidden, dim=1)  # (N, d, HW) each
        weights = (theta.transpose(1, 2) @ phi).softmax(2)  # (N, HW, HW), rows sum to 1
        mixed: Tensor = g @ weights.transpose(1, 2)
        return torch.unflatten(mixed, 2, tuple(x.shape[2:]))


class PlainGlobalContext(GlobalContext):
    """`gc`."""

    def forward(self, x: Tensor) -> Tensor:
        """The map with the context added everywhere."""
        weights = self.key(x).flatten(2).softmax(2).to(x.dtype)  # (N, 1, HW)
        context = (x.flatten(2) @ weights.transpose(1, 2)).squeeze(2)  # (N, C)
        added: Tensor = self.fc2(self.act(self.norm(self.fc1(context))))
        return x + added[:, :, None, None]


class PlainDoubleAttention(DoubleAttention):
    """`a2`."""

    def forward(self, x: Tensor) -> Tensor:
        """The map with the distributed features added."""
        features, keys, queries = self.project(x).flatten(2).split(self.hidden, dim=1)
        gathered = features @ keys.softmax(2).transpose(1, 2).to(features.dtype)  # (N, d, d)
        distributed = gathered @ queries.softmax(1).to(features.dtype)  # (N, d, HW)
        added: Tensor = self.out(distributed.unflatten(2, tuple(x.shape[2:])))
        return x + added


class PlainEffectiveSqueezeExcitation(EffectiveSqueezeExcitation):
    """`ese`."""

    def forward(self, x: Tensor) -> Tensor:
        """The map with every channel scaled."""
        scale: Tensor = self.gate(self.fc(x.mean((2, 3))))
        return x * scale[:, :, None, None]


class PlainStyleRecalibration(StyleRecalibration):
    """`srm`."""

    def forward(self, x: Tensor) -> Tensor:
        """The map with every channel scaled."""
        means, variances = x.mean((2, 3)), x.var((2, 3), correction=0)
        style = torch.stack((means, (variances + 1e-5).sqrt()), dim=2)  # (N, C, 2)
        scale: Tensor = self.gate(self.bn(self.mix(style)))  # (N, C, 1)
        return x * scale.unsqueeze(3)


class PlainFrequencyChannelAttention(FrequencyChannelAttention):
    """`fca`."""

    def forward(self, x: Tensor) -> Tensor:
        """The map with every channel scaled."""
        rows, columns = _basis(self.u, x.shape[2], x.dtype), _basis(self.v, x.shape[3], x.dtype)
        basis = rows.unsqueeze(2) * columns.unsqueeze(1)  # (C, H, W)
        spectrum = (x * basis).sum((2, 3))  # (N, C)
        scale: Tensor = self.gate(self.fc2(self.act(self.fc1(spectrum))))
        return x * scale[:, :, None, None]


class PlainGatedChannelTransformation(GatedChannelTransformation):
    """`gct`."""

    def forward(self, x: Tensor) -> Tensor:
        """The map with every channel scaled."""
        exact = torch.promote_types(x.dtype, torch.float32)  # Squares can overflow float16.
        energy = x.to(exact).square().sum((2, 3))
        s = self.alpha * (energy + _EPSILON).sqrt()  # (N, C)
        total = s.square().sum(1, keepdim=True) + _EPSILON
        scale = 1 + torch.tanh(self.gamma * s * (x.shape[1] / total).sqrt() + self.beta)
        return x * scale[:, :, None, None].to(x.dtype)


class PlainLinearContextTransform(LinearContextTransform):
    """`lct`."""

    def forward(self, x: Tensor) -> Tensor:
        """The map with every channel scaled."""
        scale: Tensor = self.gate(self.norm(x.mean((2, 3))))
        return x * scale[:, :, None, None].to(x.dtype)


class PlainSpatialGroupEnhance(SpatialGroupEnhance):
    """`sge`."""

    def forward(self, x: Tensor) -> Tensor:
        """The map with every position of every group scaled."""
        grouped = torch.unflatten(x, 1, (self.groups, -1))  # (N, G, C/G, H, W)
        similarity = (grouped * grouped.mean((3, 4), keepdim=True)).sum(2)  # (N, G, H, W)
        scale: Tensor = self.gate(self.norm(similarity))
        return (grouped * scale.unsqueeze(2).to(x.dtype)).flatten(1, 2)


class PlainBAM(BAM):
    """`bam`."""

    def forward(self, x: Tensor) -> Tensor:
        """The map with every value scaled."""
        by_channel = self.channel(x.mean((2, 3), keepdim=True))  # (N, C, 1, 1)
        by_position = self.spatial(x)  # (N, 1, H, W)
        scale: Tensor = self.gate(by_channel + by_position)
        return x * (scale if self.gate.doubled else 1 + scale)


class PlainConcurrentSqueezeExcitation(ConcurrentSqueezeExcitation):
    """`scse`."""

    def forward(self, x: Tensor) -> Tensor:
        """The map with every value scaled."""
        by_channel: Tensor = self.fc2(self.act(self.fc1(x.mean((2, 3))))).sigmoid()
        by_position: Tensor = self.spatial(x).sigmoid()
        return x * (by_channel[:, :, None, None] + by_position)


class PlainTripletAttention(TripletAttention):
    """`triplet`."""

    def forward(self, x: Tensor) -> Tensor:
        """The map with every value scaled."""
        by_position: Tensor = self.over_channels(x.amax(1), x.mean(1)).unsqueeze(1)
        by_column: Tensor = self.over_rows(x.amax(2), x.mean(2)).unsqueeze(2)
        by_row: Tensor = self.over_columns(x.amax(3), x.mean(3)).unsqueeze(3)
        return x * ((by_position + by_column + by_row) / 3)


class PlainTripletBranch(_Branch):
    """One of the three gates of `triplet`."""

    def forward(self, maximum: Tensor, mean: Tensor) -> Tensor:
        """From two pooled planes (N, A, B) to the gate (N, A, B)."""
        gate: Tensor = self.gate(self.bn(self.conv(torch.stack((maximum, mean), dim=1))))
        return gate.squeeze(1)


class PlainShuffleAttention(ShuffleAttention):
    """`shuffle`."""

    def forward(self, x: Tensor) -> Tensor:
        """The map with both halves of every group scaled, and shuffled."""
        grouped = torch.unflatten(x, 1, (self.groups, -1))  # (N, G, C/G, H, W)
        first = len(self.channel_weight)
        a, b = grouped[:, :, :first], grouped[:, :, first:]

        by_channel = a.mean((3, 4)) * self.channel_weight + self.channel_bias  # (N, G, first)
        a = a * self.gate(by_channel)[..., None, None].to(x.dtype)

        centred = b - b.mean((3, 4), keepdim=True)
        normed = centred / (centred.square().mean((3, 4), keepdim=True) + 1e-5).sqrt()
        normed = normed * _by_channel(self.norm_weight) + _by_channel(self.norm_bias)
        z = normed * _by_channel(self.spatial_weight) + _by_channel(self.spatial_bias)
        b = b * self.gate(z).to(x.dtype)

        y = torch.cat((a, b), dim=2).flatten(1, 2)
        if not self.shuffles:
            return y
        return torch.unflatten(y, 1, (2, -1)).transpose(1, 2).flatten(1, 2)


def _by_channel(vector: Tensor) -> Tensor:
    """A vector (L,) as (L, 1, 1), which broadcasts to maps."""
    return vector[:, None, None]


class PlainEfficientLocalAttention(EfficientLocalAttention):
    """`ela`."""

    def forward(self, x: Tensor) -> Tensor:
        """The map with every channel scaled by row and by column."""
        by_row: Tensor = self.gate(self.norm(self.conv(x.mean(3))))  # (N, C, H)
        by_column: Tensor = self.gate(self.norm(self.conv(x.mean(2))))  # (N, C, W)
        return x * by_row.unsqueeze(3).to(x.dtype) * by_column.unsqueeze(2).to(x.dtype)


class PlainEfficientMultiscaleAttention(EfficientMultiscaleAttention):
    """`ema`."""

    def forward(self, x: Tensor) -> Tensor:
        """The map with every position of every group scaled."""
        height, width = x.shape[2:]
        grouped = torch.unflatten(x, 1, (self.groups, -1)).flatten(0, 1)  # (N·G, c, H, W)
        strips = self.conv1(torch.cat((grouped.mean(3), grouped.mean(2)), dim=2))
        rows, columns = strips.sigmoid().split((height, width), dim=2)
        x1 = self._normalise(grouped * rows.unsqueeze(3) * columns.unsqueeze(2))
        x2 = self.conv3(grouped)
        weights1, weights2 = (view.mean((2, 3)).softmax(1) for view in (x1, x2))  # (N·G, c)
        z = torch.einsum("nc,nchw->nhw", weights1.to(x2.dtype), x2)
        z = z + torch.einsum("nc,nchw->nhw", weights2.to(x1.dtype), x1)
        scale: Tensor = self.gate(z).unsqueeze(1).to(x.dtype)
        return (grouped * scale).reshape(x.shape)

    def _normalise(self, x: Tensor) -> Tensor:
        """The group norm; unlike the layer, this function accepts a single value."""
        norm = self.norm
        return torch.group_norm(x, norm.num_groups, norm.weight, norm.bias, norm.eps)


class PlainStripPooling(StripPooling):
    """`strip`."""

    def forward(self, x: Tensor) -> Tensor:
        """The map with every value scaled."""
        rows = self.bn_h(self.conv_h(x.mean(3))).unsqueeze(3)  # (N, C, H, 1)
        columns = self.bn_w(self.conv_w(x.mean(2))).unsqueeze(2)  # (N, C, 1, W)
        scale: Tensor = self.gate(self.mix(F.relu(rows + columns)))
        return x * scale


class PlainGatherExcite(GatherExcite):
    """`ge`."""

    def forward(self, x: Tensor) -> Tensor:
        """The map with every value scaled."""
        coarse = self._gather(x)
        if self.mlp is not None:
            coarse = self.mlp(coarse)
        scale: Tensor = self.gate(coarse)
        if self.extent:
            scale = F.interpolate(scale, size=x.shape[2:], mode="nearest")
        return x * scale

    def _gather(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """The coarse map; 1×1 for the global extent."""
        e = self.extent
        if self.gather is not None:
            x = self.gather(x)
        elif e:
            return F.avg_pool2d(x, 2 * e - 1, e, e - 1, count_include_pad=False)
        return x if e else x.mean((2, 3), keepdim=True)


class PlainSimAM(SimAM):
    """`simam`."""

    def forward(self, x: Tensor) -> Tensor:
        """The map with every value scaled."""
        squares = (x - x.mean((2, 3), keepdim=True)).square()
        others = max(1, x.shape[2] * x.shape[3] - 1)
        variance = squares.sum((2, 3), keepdim=True) / others
        scale: Tensor = self.gate(squares / (4 * (variance + _LAMBDA)) + 0.5)
        return x * scale


class PlainSelectiveKernel(SelectiveKernel):
    """`sk`."""

    def forward(self, x: Tensor, source: Tensor | None = None) -> Tensor:
        """Both branches, weighted; at the identity start, blended into the first.

        Args:
            x: the map (N, C, H, W) that the block's own convolution made: the first branch.
            source: the input (N, C_in, H_in, W_in) of that convolution; by default `x`.
        """
        dilated = self.branch(x if source is None else source)
        z = F.relu(self.bn(self.squeeze((x + dilated).mean((2, 3)))))  # (N, d)
        # A softmax over two values is the sigmoid of their difference.
        first, second = self.select(z).chunk(2, dim=1)
        share = (first - second).sigmoid()[:, :, None, None].to(dilated.dtype)
        rest = 1 - share if self.weight is None else self.weight * (1 - share)
        mixed: Tensor = x * (1 - rest) + dilated * rest
        return mixed


PLAIN_FORMS = {
    plain.__bases__[0]: plain
    for plain in list(globals().values())
    if isinstance(plain, type) and plain.__module__ == __name__
}
"""The plain form of each class that has one."""
