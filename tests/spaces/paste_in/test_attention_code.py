"""The code of an attention runs alone, and computes what attentune's module computes."""

from __future__ import annotations

import ast
import re
import subprocess
import sys

import pytest
import torch
from attentune.errors import ArchitectureError, AttentuneError
from attentune.spaces.attentions.catalogue import ATTENTIONS
from attentune.spaces.attentions.registry import get_attention
from attentune.spaces.networks.placement import module_arguments
from attentune.spaces.paste_in.attention_code import parse_attention
from attentune.spaces.paste_in.code import paste_in_code
from torch import Tensor, nn

ATTENTION_TEXTS = [
    *("se(r=16)", "se(r=4,bias=true)", "eca", "eca(k=9)", "cbam(r=16)", "cbam(r=4,k=3,bias=true)"),
    *("ca(r=32)", "ca(r=2)", "nl(r=2)", "gc(r=4)", "a2(r=4)", "ese", "channel(r=8,bias=true)"),
    *("srm", "fca(r=4)", "fca(frequencies=1)", "gct", "lct", "lct(groups=3)", "spatial(k=5)"),
    *("sge", "sge(groups=2)", "bam(r=4,dilation=2)", "scse(r=2)", "triplet(k=5)", "shuffle"),
    *("shuffle(groups=2)", "ela(k=5)", "ema", "ema(groups=2)", "strip", "ge", "ge(extent=2)"),
    *("ge(extent=4,gather=conv)", "ge(gather=conv,mlp=true)", "simam", "sk(r=16)"),
]
SHAPES = [(2, 7, 5), (1, 6, 9), (1, 1, 1), (1, 1, 4), (0, 4, 4)]
CHANNELS = 48


def with_start(text: str, start: str) -> str:
    options = f"{text[:-1]}," if text.endswith(")") else f"{text}("
    return f"{options}start={start})"


def run(code: str) -> dict:
    """Run printed code as a module that is imported."""
    namespace = {"__name__": "pasted"}
    exec(compile(code, "pasted.py", "exec", dont_inherit=True), namespace)
    return namespace


def make_pair(text: str, channels: int = CHANNELS) -> tuple[nn.Module, nn.Module]:
    """attentune's module, and that of the printed code, with the same random weights."""
    insertion = parse_attention(text)
    entry = get_attention(insertion.attention)
    module = entry.load()(channels, **module_arguments(tuple(insertion.settings.items()), None))
    pasted = run(paste_in_code(text))[entry.module.partition(":")[2]](channels)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for tensor in module.parameters():
            tensor.copy_(torch.randn(tensor.shape, generator=generator) / 2)
        for tensor in module.buffers():
            if tensor.is_floating_point():
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
    pasted.load_state_dict(module.state_dict(), strict=True)
    return module.double(), pasted.double()


def run_backward(module: nn.Module, x: Tensor, weights: Tensor) -> list[Tensor]:
    """The output, all gradients, and the buffers afterwards."""
    x = x.clone().requires_grad_()
    y = module(x * 1.0)
    (y * weights).sum().backward()
    gradients = [parameter.grad for parameter in module.parameters()]
    assert x.grad is not None
    return [y, x.grad, *gradients, *module.buffers()]


def test_every_attention_of_the_catalogue_is_compared():
    assert {parse_attention(text).attention for text in ATTENTION_TEXTS} == set(ATTENTIONS)


@pytest.mark.parametrize("start", ["paper", "identity"])
@pytest.mark.parametrize("text", ATTENTION_TEXTS)
def test_outputs_gradients_and_statistics_are_those_of_our_module(text, start):
    module, pasted = make_pair(with_start(text, start))
    assert list(module.state_dict()) == list(pasted.state_dict())
    for training in (True, False):
        for shape in SHAPES:
            x = torch.randn(shape[0], CHANNELS, *shape[1:], dtype=torch.float64)
            weights = torch.randn_like(x)
            module.zero_grad()
            pasted.zero_grad()
            expected = run_backward(module.train(training), x, weights)
            actual = run_backward(pasted.train(training), x, weights)
            for ours, theirs in zip(expected, actual, strict=True):
                torch.testing.assert_close(theirs, ours, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("text", ATTENTION_TEXTS)
def test_a_fresh_module_begins_as_ours(text):
    text = with_start(text, "identity")
    torch.manual_seed(0)
    insertion = parse_attention(text)
    entry = get_attention(insertion.attention)
    arguments = module_arguments(tuple(insertion.settings.items()), None)
    module = entry.load()(CHANNELS, **arguments).eval()
    torch.manual_seed(0)
    pasted = run(paste_in_code(text))[entry.module.partition(":")[2]](CHANNELS).eval()
    for ours, theirs in zip(module.parameters(), pasted.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    x = torch.randn(2, CHANNELS, 5, 6)
    torch.testing.assert_close(pasted(x), module(x))


@pytest.fixture(scope="module")
def printed() -> dict[str, str]:
    return {text: paste_in_code(with_start(text, "identity")) for text in ATTENTION_TEXTS}


def test_printed_code_imports_only_torch_and_shows_no_kernels(printed):
    for text, code in printed.items():
        imported = {
            name.partition(".")[0]
            for node in ast.walk(ast.parse(code))
            if isinstance(node, ast.Import | ast.ImportFrom)
            for name in (
                [node.module] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
            )
        }
        assert imported - {"torch"} <= sys.stdlib_module_names, text
        for word in ("triton", "pool_map", "scale_map", "Function", "can_fuse", "type: ignore"):
            assert word not in code, f"{text}: {word}"
        assert not re.search(r"\w\.py`|benchmarks/", code), text


def test_printed_code_names_paper_formula_parameters_and_place(printed):
    for text, code in printed.items():
        head = ast.get_docstring(ast.parse(code)) or ""
        insertion = parse_attention(with_start(text, "identity"))
        entry = get_attention(insertion.attention)
        count = entry.parameters(64, insertion.settings, (14, 14))
        assert entry.paper.rpartition(" ")[2] in head, text
        assert f"{count:,} at C = 64" in head, text
        assert "Where to put it: " in head
        assert "    " in head, f"{text}: no formula"


def test_printed_code_is_formatted(printed, tmp_path):
    for number, code in enumerate(printed.values()):
        (tmp_path / f"a{number}.py").write_text(code, "utf-8")
    options = ["--no-cache", "--isolated", "--line-length", "100", str(tmp_path)]
    for words in (["format", "--check"], ["check", "--select", "E,F,I,W"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *words, *options], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_printed_code_runs_where_attentune_cannot_be_imported(tmp_path):
    (tmp_path / "attentune.py").write_text("raise ImportError('not installed')\n")
    script = tmp_path / "pasted.py"
    script.write_text(paste_in_code("cbam(r=16)"), "utf-8")
    done = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "612 parameters, (2, 64, 14, 14) -> (2, 64, 14, 14)" in done.stdout


def test_the_options_of_the_text_are_the_defaults_of_the_class():
    code = run(paste_in_code("cbam(r=4,k=3,start=identity)"))
    module = code["CBAM"](64)
    assert module.channel.fc1.weight.shape == (16, 64)
    assert module.spatial.conv.kernel_size == (3, 3)
    x = torch.randn(1, 64, 4, 4)
    assert torch.equal(module.eval()(x), x)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("cban", "did you mean 'cbam'"),
        ("cbam(r=0)", "r cannot be '0'"),
        ("cbam(ratio=4)", "has no option 'ratio'"),
        ("resnet18", "unknown attention 'resnet18'"),
        ("", "the text is empty"),
    ],
)
def test_a_wrong_text_is_refused_in_a_sentence(text, words):
    with pytest.raises(ArchitectureError, match=re.escape(words)):
        paste_in_code(text)


PLUGIN = """
from __future__ import annotations

import math

import attentune
import torch
from torch import nn

HIDDEN = 4


def squash(z: torch.Tensor) -> torch.Tensor:
    return z.sigmoid() * math.sqrt(1.0)


@attentune.register_attention("wave", title="Wave attention", paper="Doe, 2026", formula="x · σ(w)")
class Wave(nn.Module):
    def __init__(self, channels: int, reduction_ratio: int = 8, gain: float = 1.0) -> None:
        super().__init__()
        self.gain = gain
        self.fc = nn.Linear(channels, channels)
        self.hidden = HIDDEN

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * squash(self.gain * self.fc(x.mean((2, 3))))[:, :, None, None]
"""


@pytest.fixture
def wave(tmp_path, monkeypatch):
    """A plug-in in a module of the user's, and its registration forgotten afterwards."""
    from attentune.spaces.attentions.plugins import register as registration

    (tmp_path / "wave_of_user.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(registration, "_registered", {})
    monkeypatch.setenv("ATTENTUNE_PLUGINS", "wave_of_user")
    registration._resolve.cache_clear()
    yield
    registration._resolve.cache_clear()
    sys.modules.pop("wave_of_user", None)


def test_a_users_attention_is_printed_from_its_own_source(wave):
    del wave
    code = paste_in_code("wave(r=4,gain=0.5,start=identity)")
    assert "import attentune" not in code
    assert "Doe, 2026" in code
    pasted = run(code)
    blended = pasted["BlendedAttention"](pasted["Wave"](8))
    assert blended.attention.gain == 0.5
    x = torch.randn(1, 8, 3, 3)
    assert torch.equal(blended(x), x)


def test_a_users_attention_without_a_file_is_refused(monkeypatch):
    from attentune.spaces.attentions.plugins import register as registration

    monkeypatch.setattr(registration, "_registered", {})
    namespace: dict = {"__name__": "typed_in"}
    exec("from torch import nn\nclass Typed(nn.Module):\n  def __init__(self, c): pass", namespace)
    registration.register_attention("typed")(namespace["Typed"])
    with pytest.raises(AttentuneError, match="not in a file"):
        paste_in_code("typed")
    registration._resolve.cache_clear()
