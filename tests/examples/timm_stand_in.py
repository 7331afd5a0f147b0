"""The part of timm's training script that the example relies on, with timm's public functions.

timm's package does not contain `train.py`. Where there is no clone of timm
(`ATTENTUNE_TEST_TIMM_SCRIPT`), this script stands in for it: it takes the same options, makes the
model by its name, writes checkpoints with timm's saver, and continues from them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from timm import utils
from timm.data import create_dataset, create_loader
from timm.models import create_model, resume_checkpoint
from torch import nn

PARSER = argparse.ArgumentParser()
for option in ("model", "data-dir", "output", "experiment", "resume", "val-split", "device", "opt"):
    PARSER.add_argument(f"--{option}", default="")
for option in ("epochs", "seed", "num-classes", "batch-size", "workers", "warmup-epochs"):
    PARSER.add_argument(f"--{option}", type=int)
PARSER.add_argument("--lr", type=float)
PARSER.add_argument("--no-aug", action="store_true")
PARSER.add_argument("--input-size", type=int, nargs=3)


def main() -> None:
    args = PARSER.parse_args()
    utils.random_seed(args.seed)
    model = create_model(args.model, num_classes=args.num_classes)
    optimizer = torch.optim.AdamW(model.parameters(), args.lr)
    loaders = [
        create_loader(
            create_dataset("", root=args.data_dir, split=split, is_training=split == "train"),
            input_size=tuple(args.input_size),
            batch_size=args.batch_size,
            is_training=split == "train",
            no_aug=True,
            num_workers=0,
            device=torch.device(args.device),
        )
        for split in ("train", args.val_split)
    ]
    first = resume_checkpoint(model, args.resume, optimizer) if args.resume else 0
    folder = utils.get_outdir(args.output, args.experiment)
    args.model_ema = False
    saver = utils.CheckpointSaver(model, optimizer, args=args, checkpoint_dir=folder)
    for epoch in range(first, args.epochs):
        model.train()
        for images, labels in loaders[0]:
            loss = nn.functional.cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            correct = sum((model(x).argmax(1) == y).sum().item() for x, y in loaders[1])
        saver.save_checkpoint(epoch, metric=100 * correct / len(loaders[1].dataset))
    assert Path(folder, "last.pth.tar").exists()


if __name__ == "__main__":
    main()
