"""The loop of timm's own training script, from its public functions, to compare with.

Loader, transforms, optimizer, loss and schedule are those that its `train.py` makes with its
defaults: random resized crops of JPEG files with random interpolation, mirroring, colour jitter
0.4, SGD with momentum, weight decay 2e-5, a cosine schedule, label smoothing 0.1, float32, and the
prefetching loader. Only the number of loader processes is chosen by the caller.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from attentune.spaces.backbones.timm_compat import import_timm
from torch import nn

COLOUR_JITTER, LABEL_SMOOTHING, WEIGHT_DECAY = 0.4, 0.1, 2e-5
CROP_AREA, CROP_RATIO = (0.08, 1.0), (3 / 4, 4 / 3)
LEARNING_RATE, NUM_EPOCHS = 0.05, 300


def timm_steps(
    backbone: str,
    folder: Path,
    *,
    image_size: int,
    batch_size: int,
    device: torch.device,
    loader_workers: int,
) -> Iterator[float]:
    """Train a timm model on the images of class folders; yields the loss of each step.

    Args:
        backbone: a timm model; its weights are random.
        folder: of class folders.
        image_size: side of the images, pixels.
        batch_size: images in a step.
        device: where to train.
        loader_workers: processes that decode; 0: this one.
    """
    timm = import_timm()
    dataset = timm.data.create_dataset(
        "", root=str(folder), split="train", is_training=True, batch_size=batch_size
    )
    num_classes = len(dataset.reader.class_to_idx)
    model = timm.create_model(backbone, num_classes=num_classes).to(device)
    config = timm.data.resolve_data_config({"img_size": image_size}, model=model)
    loader = timm.data.create_loader(
        dataset,
        input_size=config["input_size"],
        batch_size=batch_size,
        is_training=True,
        scale=CROP_AREA,
        ratio=CROP_RATIO,
        hflip=0.5,
        color_jitter=COLOUR_JITTER,
        interpolation="random",
        mean=config["mean"],
        std=config["std"],
        num_workers=loader_workers,
        device=device,
    )
    yield from _train(model, loader)


def _train(model: nn.Module, loader: Any) -> Iterator[float]:
    """The epochs of timm's script, one after the other."""
    optim, scheduling, losses = (
        importlib.import_module(f"timm.{name}") for name in ("optim", "scheduler", "loss")
    )
    optimizer = optim.create_optimizer_v2(
        model, opt="sgd", lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY, momentum=0.9
    )
    scheduler, _ = scheduling.create_scheduler_v2(
        optimizer, sched="cosine", num_epochs=NUM_EPOCHS, updates_per_epoch=len(loader)
    )
    compute_loss = losses.LabelSmoothingCrossEntropy(smoothing=LABEL_SMOOTHING)
    num_updates = 0
    for epoch in range(NUM_EPOCHS):
        model.train()
        for images, targets in loader:
            loss = compute_loss(model(images), targets)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            num_updates += 1
            scheduler.step_update(num_updates=num_updates)
            yield loss.item()
        scheduler.step(epoch + 1)
