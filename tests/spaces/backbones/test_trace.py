"""A trace records which module computed which map from which, and how maps lie."""

from __future__ import annotations

import torch
from attentune.spaces.backbones.trace import NCHW, NHWC, Trace, trace_model
from torch import Tensor, nn


class ShortcutBlock(nn.Module):
    """A shortcut through an identity, and a branch on channels-last maps."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.skip = nn.Identity()
        self.norm = nn.LayerNorm(4)

    def forward(self, x: Tensor) -> Tensor:
        branch = self.norm(self.conv(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return self.skip(x) + branch.relu()


def record() -> Trace:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), ShortcutBlock()).eval()
    return trace_model(model, torch.zeros(1, 3, 8, 6))


def test_every_module_is_a_call_with_its_operators():
    trace = record()
    assert [call.path for call in trace.calls] == ["", "0", "1", "1.conv", "1.norm", "1.skip"]
    assert set(trace.times_called.values()) == {1}
    convolution = next(call for call in trace.calls if call.path == "1.conv")
    (operator,) = (op for op in trace.ops[convolution.start : convolution.end] if op.is_spatial)
    assert operator.weight == (4, 4, 3, 3)
    assert trace.calls[convolution.parent].path == "1"


def test_layouts_follow_a_map_through_permutations():
    trace = record()
    outputs = {call.path: call.outputs[0] for call in trace.calls}
    assert trace.values[outputs["1.conv"]].layout == NCHW
    assert trace.values[outputs["1.norm"]].layout == NHWC
    for path in ("0", "1.conv", "1.norm", ""):
        assert trace.map_shape(outputs[path]) == (4, 8, 6)


def test_a_shortcut_through_an_identity_is_another_value_at_the_same_map():
    trace = record()
    calls = {call.path: call for call in trace.calls}
    shortcut, source = calls["1.skip"].outputs[0], calls["1.skip"].inputs[0]
    assert shortcut != source == calls["1"].inputs[0]
    assert trace.ops[trace.values[shortcut].op].name == "alias"
    addition = trace.ops[trace.values[calls["1"].outputs[0]].op]
    assert addition.name == "add"
    assert shortcut in addition.inputs


def test_ancestors_are_the_operators_that_a_value_was_computed_from():
    trace = record()
    block = next(call for call in trace.calls if call.path == "1")
    branch = max(trace.ops[trace.values[block.outputs[0]].op].inputs)
    names = {trace.ops[index].name for index in trace.ancestors(branch, block)}
    assert {"convolution", "native_layer_norm", "relu"} <= names
    assert any(trace.ops[index].is_nonlinear for index in trace.ancestors(branch, block))
