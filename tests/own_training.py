"""Training code of a user, for tests of studies that it trains."""

from __future__ import annotations

import subprocess
import sys
import time

import torch
from attentune.errors import TrialError
from torch import Tensor, nn
from torch.nn import functional as F

LEFT_SECONDS = 50
STREAM = sys.__stderr__


class Block(nn.Module):
    """A convolution with its norm."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.norm(self.conv(x)))


class Segmenter(nn.Module):
    """Two classes for every pixel of images whose sides need not be equal."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.ModuleList([Block(3, 4), Block(4, 8)])
        self.up = Block(8, 4)
        self.head = nn.Conv2d(4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.down[1](F.max_pool2d(self.down[0](x), 2))
        return self.head(self.up(F.interpolate(x, scale_factor=2)))


def make_segmenter() -> Segmenter:
    return Segmenter()


def make_own_classifier(num_classes: int) -> nn.Module:
    """A classifier whose head fits the data."""
    pooled = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, num_classes))
    return nn.Sequential(Block(3, 8), Block(8, 8), pooled)


def make_classifier() -> nn.Module:
    """A network without maps."""
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 2))


def train_segmenter(trial):
    """A plain loop that can be interrupted; its metric is the IoU of bright pixels."""
    model = trial.model()
    optimizer = torch.optim.AdamW(model.parameters(), 0.01)
    done = trial.restore(model=model, optimizer=optimizer)
    images, masks = bright_images(0, 16)
    held_out = bright_images(1 if trial.split == "validation" else 2, 8)
    iou = 0.0
    for epoch in range(done + 1, trial.epochs + 1):
        model.train()
        for rows in torch.randperm(len(images)).split(8):
            loss = F.cross_entropy(model(images[rows]), masks[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            predicted = model(held_out[0]).argmax(1)
        union = (predicted | held_out[1]).sum().clamp(min=1)
        iou = float((predicted & held_out[1]).sum() / union)
        trial.save(epoch, model=model, optimizer=optimizer)
        if not trial.report(epoch, miou=iou, train_loss=loss):
            return None
    return {"miou": iou, "pixels": float((predicted == held_out[1]).float().mean())}


def bright_images(seed: int, count: int) -> tuple[Tensor, Tensor]:
    """Images (count, 3, 8, 12), and which of their pixels are bright."""
    images = torch.rand(count, 3, 8, 12, generator=torch.Generator().manual_seed(seed))
    return images, (images.mean(1) > 0.5).long()


def by_formula(trial):
    """The accuracy is a formula of the epoch; nothing is trained."""
    trial.model()
    for epoch in range(1, trial.epochs + 1):
        if not trial.report(epoch, epoch / 10, train_loss=1.0, val_loss=1.0, lr=0.1):
            return None
    return trial.epochs / 10


def reports(value, *, epoch=1, name="miou"):
    """A function that reports one value."""

    def function(trial):
        trial.model()
        trial.report(epoch, **{name: value})

    return function


reports_nan = reports(float("nan"))
reports_infinity = reports(float("inf"))
reports_text = reports("good")
reports_truth = reports(True)
reports_percent = reports(71.0)
reports_too_late = reports(0.5, epoch=9)
reports_epoch_zero = reports(0.5, epoch=0)
reports_epoch_one_only = reports(0.5)
reports_another_name = reports(0.5, name="iou")


def returns(value):
    """A function that returns one value."""

    def function(trial):
        trial.model()
        return value

    return function


returns_number = returns(0.5)
returns_metrics = returns({"miou": torch.tensor(0.5), "dice": 0.6})
returns_text = returns("good")
returns_nothing = returns(None)
returns_another_name = returns({"iou": 0.5})
returns_array = returns({"miou": torch.zeros(2)})
returns_nan = returns(float("nan"))


def raises(trial):
    raise FileNotFoundError("no masks in /data")


def exits(trial):
    sys.exit(3)


def fails_in_its_own_way(trial):
    raise TrialError("out_of_memory", "too many images")


def ignores_attention(trial):
    trial.report(1, miou=0.5)
    return {"miou": 0.5}


def reads_attention(trial):
    assert trial.architecture.startswith("test_resnet")
    return {"miou": 0.5}


def ignores_decisions(trial):
    trial.model()
    for epoch in range(1, trial.epochs + 1):
        trial.report(epoch, miou=epoch / 10)
    return {"miou": 0.9}


def changes_its_process(trial):
    trial.model()
    torch.set_default_dtype(torch.float64)
    return {"miou": 0.5}


def leaves_a_process(trial):
    trial.model()
    print("the process is", subprocess.Popen(["sleep", str(LEFT_SECONDS)]).pid)
    return {"miou": 0.5}


def loads_with_processes(trial):
    trial.model()
    data = torch.utils.data.TensorDataset(torch.arange(4.0))
    loader = torch.utils.data.DataLoader(data, batch_size=2, num_workers=1)
    return {"miou": sum(float(batch.sum()) for (batch,) in loader) / 10}


def draws_numbers(trial):
    """What a user's code draws depends on the seed alone, whatever attention is inserted."""
    trial.model()
    return {"miou": float(torch.rand(()))}


def trains_a_copy(trial):
    trial.insert(trial_network())
    return {"miou": 0.5}


def registers_and_makes_another(trial):
    import timm
    from attentune import register

    register("searched", trial.architecture)
    timm.create_model("test_resnet", num_classes=2)
    return {"miou": 0.5}


def trains_a_registered_model(trial):
    """One of two models is trained; the other one is only measured."""
    import timm
    from attentune import register

    register("searched", trial.architecture)
    models = [timm.create_model("searched", num_classes=2) for _ in range(2)]
    optimizer = torch.optim.SGD(models[0].parameters(), 0.1)
    for _ in range(2):
        models[0](torch.rand(4, 3, 32, 32)).square().sum().backward()
        optimizer.step()
    return {"miou": 0.5}


def logs(trial):
    """A logger keeps the stream that was there when it was made; a child inherits descriptors."""
    trial.model()
    STREAM.write("logged\n")
    subprocess.run([sys.executable, "-c", "print('printed by a child')"], check=True)
    return {"miou": 0.5}


def trial_network():
    from attentune import create_model

    return create_model("test_resnet", num_classes=2)


NUMBER = 3


def hangs(trial):
    trial.model()
    print(subprocess.Popen(["sleep", str(LEFT_SECONDS)]).pid)
    time.sleep(LEFT_SECONDS)
