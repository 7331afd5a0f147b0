"""Attentions that do what an attention must not do, and what has to come of each.

Each is a module as a user writes one. `HOSTILE` says where it is caught:

    check      it is tried before a trial; architectures with it are rejected, by name
    training   a trial fails as `invalid`, by name, and no later trial has it at that site
    lost       trials lose their workers and fail; after a few, no later trial has it
    harmless   it is odd, but allowed: its trials complete
    import     the command itself ends with a sentence
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from pathlib import Path

HEAD = """
import os, sys, threading, time
import attentune
import torch
from torch import nn
from torch.nn import functional as F
"""


@dataclass(frozen=True)
class HostilePlugin:
    """A user's module that registers one attention.

    Attributes:
        name: of the attention.
        caught: see the module.
        words: a part of the sentence that says so; empty if it is harmless.
        source: of the module.
    """

    name: str
    caught: str
    words: str
    source: str

    def write(self, folder: Path) -> str:
        """Write the module to a folder; returns its name."""
        module = f"hostile_{self.name}"
        (folder / f"{module}.py").write_text(self.source, "utf-8")
        return module

    def __str__(self) -> str:
        return self.name


def hostile(
    name: str,
    caught: str,
    words: str,
    forward: str,
    *,
    made: str = "pass",
    before: str = "",
    after: str = "",
) -> HostilePlugin:
    """A module whose attention scales the map by a learned number, with changes.

    Args:
        name: of the attention.
        caught: see the module.
        words: a part of the sentence that says so.
        forward: statements of `forward(self, x)`, after which it returns `x * self.scale`.
        made: statements at the end of the constructor.
        before, after: statements of the module, before and after the class.
    """
    parts = [
        HEAD,
        textwrap.dedent(before),
        f"@attentune.register_attention({name!r})",
        "class Hostile(nn.Module):",
        "    def __init__(self, channels, start='paper'):",
        "        super().__init__()",
        "        self.scale = nn.Parameter(torch.ones(1, channels, 1, 1))",
        "        self.calls = 0",
        textwrap.indent(textwrap.dedent(made).strip(), " " * 8),
        "    def forward(self, x):",
        "        self.calls += 1",
        textwrap.indent(textwrap.dedent(forward).strip(), " " * 8),
        "        return x * self.scale",
        textwrap.dedent(after),
    ]
    return HostilePlugin(name, caught, words, "\n".join(parts) + "\n")


IN_WORKER = "import multiprocessing\nworker = multiprocessing.parent_process() is not None"
"""Tells whether the module is imported by a process that the coordinator has started."""

HOSTILE: tuple[HostilePlugin, ...] = (
    hostile(
        "raises_on_its_map",
        "check",
        "on a map of 48×2×2 it raises ValueError: not this map",
        "if x.shape[1:] == (48, 2, 2): raise ValueError('not this map')",
    ),
    hostile("raises_always", "check", "KeyError", "raise KeyError('weights')"),
    hostile("hangs", "check", "did not return within", "while True: time.sleep(0.1)"),
    hostile("returns_nan", "check", "NaN", "return x * float('nan')"),
    hostile("pools", "check", "changes the shape", "return x.mean((2, 3), keepdim=True)"),
    hostile("returns_a_pair", "check", "no tensor", "return x, x"),
    hostile("turns_to_double", "check", "torch.float64", "return x.double()"),
    hostile("moves_to_meta", "check", "to meta", "return x.to('meta')"),
    hostile("changes_its_input", "check", "changes its input", "x.mul_(0.5)"),
    hostile("exits", "check", "SystemExit", "sys.exit(3)"),
    hostile("ends_its_process", "check", "exit code 3", "os._exit(3)"),
    hostile("takes_all_memory", "check", "raises", "torch.ones(2**46)"),
    hostile(
        "starts_a_thread",
        "check",
        "running threads",
        "threading.Thread(target=time.sleep, args=(99,), daemon=True).start()",
    ),
    hostile("sets_default_type", "check", "default type", "torch.set_default_dtype(torch.float64)"),
    hostile("sets_threads", "check", "number of threads", "torch.set_num_threads(3)"),
    hostile("forbids_gradients", "check", "computes gradients", "torch.set_grad_enabled(False)"),
    hostile(
        "is_deterministic",
        "check",
        "deterministic algorithms",
        "torch.use_deterministic_algorithms(True)",
    ),
    hostile(
        "patches_relu",
        "check",
        "importing it changes torch.nn.functional.relu",
        "pass",
        before="F.relu = F.leaky_relu",
    ),
    hostile(
        "counts_by_the_clock",
        "check",
        "parameters",
        "pass",
        made="self.more = nn.Parameter(torch.zeros(1 + time.perf_counter_ns() % 99_991))",
    ),
    hostile("recurses", "check", "RecursionError", "return self.forward(x)"),
    hostile(
        "fails_in_workers",
        "check",
        "cannot be imported",
        "pass",
        before=f"{IN_WORKER}\nif worker: raise ImportError('no library here')",
    ),
    hostile(
        "shrinks_large_batches",
        "check",
        "changes the shape",
        "if len(x) > 64: return x.mean(0, keepdim=True)",
    ),
    hostile(
        "raises_for_large_batches",
        "check",
        "IndexError",
        "if len(x) > 64: raise IndexError('too many images')",
    ),
    hostile(
        "shrinks_real_batches",
        "training",
        "changes the shape",
        "if self.calls > 5: return (x * self.scale).mean(0, keepdim=True)",
    ),
    hostile(
        "raises_later",
        "training",
        "raises RuntimeError: enough",
        "if self.calls > 5: raise RuntimeError('enough')",
    ),
    hostile("ends_its_worker_later", "lost", "worker", "if self.calls > 5: os._exit(7)"),
    hostile(
        "patches_later",
        "training",
        "torch.nn.functional.relu",
        "if self.calls > 5: F.relu = F.leaky_relu",
    ),
    hostile("prints", "harmless", "", "print('\\x1b[2J', x.shape)"),
    hostile("draws_numbers", "harmless", "", "torch.rand(7); torch.manual_seed(3)"),
    hostile(
        "depends_on_training", "harmless", "", "if self.training: return x * (self.scale + 0.1)"
    ),
    hostile("keeps_a_lambda", "harmless", "", "pass", made="self.gate = lambda x: x"),
    hostile("reads_values", "harmless", "", "if x.sum().item() > 1e9: return x"),
    hostile(
        "has_an_odd_name",
        "harmless",
        "",
        "pass",
        after="Hostile.__qualname__ = 'Ho\\x1b[31mst\\nile'",
    ),
    hostile("is_slow", "harmless", "", "time.sleep(0.02)"),
    HostilePlugin("exits_at_import", "import", "SystemExit", "import sys\nsys.exit(3)\n"),
    HostilePlugin("raises_at_import", "import", "ModuleNotFoundError", "import no_such_library\n"),
)
BY_NAME = {plugin.name: plugin for plugin in HOSTILE}
