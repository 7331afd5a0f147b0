"""The averaged weights follow those of the model, slowly."""

from __future__ import annotations

import torch
from attentune.runners.training.optimizer import flatten_parameters
from attentune.runners.training.weight_average import WeightAverage, flatten_state
from torch import nn


def test_the_average_follows_the_model_and_is_swapped_for_it():
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    slices = [part for group in flatten_parameters(model) for part in group.slices]
    average = WeightAverage(flatten_state(model, slices), decay=0.5)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.no_grad():
        for tensor in (*model.parameters(), *model.buffers()):
            tensor.add_(1)
    average.update()  # the first step keeps (1 + 1) / (10 + 1) of the old average
    live = {name: value.clone() for name, value in model.state_dict().items()}
    with average.applied():
        for name, value in model.state_dict().items():
            expected = before[name].lerp(live[name], 9 / 11) if value.is_floating_point() else 1
            torch.testing.assert_close(value, torch.as_tensor(expected, dtype=value.dtype))
    for name, value in model.state_dict().items():
        assert torch.equal(value, live[name])
