"""A plain PyTorch loop that trains the trials of a study.

Before, without attentune:

    model = timm.create_model("test_resnet", in_chans=1, num_classes=10)
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3)
    for epoch in range(1, 4):
        train_epoch(model, optimizer, training)
        print(epoch, accuracy_of(model, held_out))

After, the lines of `train` that end in `# attentune` are new or changed. To search:

    attentune search loop --evaluate examples/plain_loop.py:train --metric accuracy \\
        --backbone test_resnet --in-chans 1 --image-size 32 --num-classes 10 --epochs 3 --trials 8
"""

from __future__ import annotations

import torch
from digit_images import digits
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader


def train(trial):
    """Train the network of a trial; returns its accuracy."""
    training = DataLoader(digits("train"), batch_size=16, shuffle=True)
    held_out = DataLoader(digits(trial.split), batch_size=256)  # attentune
    model = trial.model()  # attentune
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3)
    done = trial.restore(model=model, optimizer=optimizer)  # attentune: goes on if interrupted
    for epoch in range(done + 1, trial.epochs + 1):  # attentune
        loss = train_epoch(model, optimizer, training, trial.device)
        accuracy = accuracy_of(model, held_out, trial.device)
        trial.save(epoch, model=model, optimizer=optimizer)  # attentune
        if not trial.report(epoch, accuracy=accuracy, train_loss=loss):  # attentune
            return None  # attentune: pruned or interrupted
    return accuracy_of(model, held_out, trial.device)  # attentune


def train_epoch(
    model: nn.Module, optimizer: torch.optim.Optimizer, loader: DataLoader, device: torch.device
) -> float:
    """Train one epoch; returns the mean loss."""
    model.train()
    total = 0.0
    for images, labels in loader:
        loss = cross_entropy(model(images.to(device)), labels.to(device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item()
    return total / len(loader)


@torch.no_grad()
def accuracy_of(model: nn.Module, loader: DataLoader, device: torch.device) -> float:
    """The share of images that are classified correctly."""
    model.eval()
    correct = sum(
        (model(images.to(device)).argmax(1).cpu() == labels).sum().item()
        for images, labels in loader
    )
    return correct / len(loader.dataset)
