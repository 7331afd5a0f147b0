"""A loop with Hugging Face Accelerate trains the trials of a study.

Before, without attentune:

    accelerator = Accelerator(gradient_accumulation_steps=2)
    model = timm.create_model("test_resnet", in_chans=1, num_classes=10)
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3)
    model, optimizer, training, held_out = accelerator.prepare(model, optimizer, training, held_out)
    for epoch in range(1, 4):
        train_epoch(accelerator, model, optimizer, training)
        accelerator.print(epoch, accuracy_of(accelerator, model, held_out))

After, the lines of `train` that end in `# attentune` are new or changed. To search:

    attentune search accelerate --evaluate examples/accelerate_loop.py:train --metric accuracy \\
        --backbone test_resnet --in-chans 1 --image-size 32 --num-classes 10 --epochs 3 --trials 8
"""

from __future__ import annotations

import torch
from accelerate import Accelerator
from digit_images import digits
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader


def train(trial):
    """Train the network of a trial; returns its accuracy."""
    training = DataLoader(digits("train"), batch_size=8, shuffle=True)
    held_out = DataLoader(digits(trial.split), batch_size=256)  # attentune
    accelerator = Accelerator(
        gradient_accumulation_steps=2,
        cpu=trial.device.type == "cpu",  # attentune
    )
    model = trial.model()  # attentune
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3)
    model, optimizer, training, held_out = accelerator.prepare(model, optimizer, training, held_out)
    done = trial.restore()  # attentune: goes on if interrupted
    if done:  # attentune
        accelerator.load_state(str(state_folder(trial, done)))  # attentune
    for epoch in range(done + 1, trial.epochs + 1):  # attentune
        train_epoch(accelerator, model, optimizer, training)
        accuracy = accuracy_of(accelerator, model, held_out)
        accelerator.save_state(str(state_folder(trial, epoch)))  # attentune
        trial.save(epoch)  # attentune
        if not trial.report(epoch, accuracy=accuracy):  # attentune
            return None  # attentune: pruned or interrupted
    return accuracy_of(accelerator, model, held_out)  # attentune


def state_folder(trial, epoch):
    """Two folders in turn, so that one is whole if the training is killed while it saves."""
    return trial.folder / f"state-{epoch % 2}"


def train_epoch(accelerator, model, optimizer, loader):
    """Train one epoch."""
    model.train()
    for images, labels in loader:
        with accelerator.accumulate(model):
            accelerator.backward(cross_entropy(model(images), labels))
            optimizer.step()
            optimizer.zero_grad()


@torch.no_grad()
def accuracy_of(accelerator, model, loader):
    """The share of images that are classified correctly."""
    model.eval()
    correct = total = 0
    for images, labels in loader:
        predicted, labels = accelerator.gather_for_metrics((model(images).argmax(1), labels))
        correct += (predicted == labels).sum().item()
        total += len(labels)
    return correct / total
