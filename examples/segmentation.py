"""A network of segmentation_models.pytorch, whose IoU is searched for.

Before, without attentune:

    model = smp.Unet("tu-test_resnet", encoder_depth=4, encoder_weights=None, ...)
    for epoch in range(1, 4):
        train_epoch(model, optimizer, training)
        print(epoch, iou_of(model, held_out))

After, in the encoder alone, which is a timm model (`train_encoder`):

    attentune search encoder --evaluate examples/segmentation.py:train_encoder --metric iou:max:% \\
        --backbone test_resnet --image-size 64 --epochs 3 --trials 8

or anywhere in the whole network, decoder and all (`train_network`), here in the folder `examples`:

    attentune search network --evaluate segmentation:train_network --metric iou:max:% \\
        --backbone segmentation:make_unet --input 3x64x64 --epochs 3 --trials 8
"""

from __future__ import annotations

import attentune
import segmentation_models_pytorch as smp
import torch
from digit_images import digits_with_masks
from torch.utils.data import DataLoader


def make_unet(encoder: str = "tu-test_resnet") -> torch.nn.Module:
    """A U-Net with few channels."""
    return smp.Unet(
        encoder,
        encoder_depth=4,
        encoder_weights=None,
        decoder_channels=(32, 24, 16, 8),
        in_channels=3,
        classes=1,
    )


def train_encoder(trial):
    """Train a U-Net whose encoder has the attention of a trial; returns its IoU."""
    attentune.register("searched", trial.architecture, seed=trial.seed)
    return train(trial, make_unet("tu-searched"))


def train_network(trial):
    """Train a U-Net that has the attention of a trial in any of its modules; returns its IoU."""
    return train(trial, trial.insert(make_unet()))


def train(trial, model):
    """Train a network for the epochs of a trial; returns its IoU."""
    model.to(trial.device)
    training = DataLoader(digits_with_masks("train"), batch_size=16, shuffle=True)
    held_out = DataLoader(digits_with_masks(trial.split), batch_size=64)
    optimizer = torch.optim.AdamW(model.parameters(), 5e-3)
    done = trial.restore(model=model, optimizer=optimizer)
    for epoch in range(done + 1, trial.epochs + 1):
        train_epoch(model, optimizer, training, trial.device)
        iou = iou_of(model, held_out, trial.device)
        trial.save(epoch, model=model, optimizer=optimizer)
        if not trial.report(epoch, iou=iou):
            return None
    return iou_of(model, held_out, trial.device)


def train_epoch(model, optimizer, loader, device):
    """Train one epoch with the Dice loss."""
    compute_loss = smp.losses.DiceLoss(mode="binary")
    model.train()
    for images, masks in loader:
        loss = compute_loss(model(images.to(device)), masks.to(device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@torch.no_grad()
def iou_of(model, loader, device):
    """The intersection over the union of the predicted and the true pixels of all images."""
    model.eval()
    counts = [
        torch.stack(
            smp.metrics.get_stats(model(images.to(device)).sigmoid().cpu(), masks.long(),
                                  mode="binary", threshold=0.5)
        ).sum((1, 2))
        for images, masks in loader
    ]  # fmt: skip
    return float(smp.metrics.iou_score(*sum(counts)))
