"""Wrong implementations of the wild are caught by name, right ones agree with their paper."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path

import pytest
from attentune.errors import AttentuneError
from attentune.runners.implementation_checks import examination, robustness_aspects
from attentune.runners.implementation_checks.examination import Identified, examine
from attentune.runners.implementation_checks.report import CheckedAspect, ImplementationCheck
from attentune.spaces.attentions.catalogue import ATTENTIONS
from attentune.spaces.backbones.timm_compat import import_timm
from attentune.spaces.paste_in.code import paste_in_code

OURS = [f"attentune.spaces.attentions.{entry.module}={entry.name}" for entry in ATTENTIONS.values()]


def aspects_of(
    reference: str, attention: str | None = None, *, channels: int = 64, **arguments
) -> dict[str, CheckedAspect]:
    """Everything that is seen, in this process."""
    reference, _, name = reference.partition("=")
    reference = reference if ":" in reference else f"attention_implementations:{reference}"
    facts = (channels, None, tuple(arguments.items()), str(Path.cwd()))
    check = ImplementationCheck(reference, attention or name or None, *facts)
    events = [event for event in examine(check) if isinstance(event, CheckedAspect)]
    return {event.aspect: event for event in events}


@cache
def aspects_once(reference: str) -> dict[str, CheckedAspect]:
    """Those of several cases, examined once."""
    return aspects_of(reference)


def faults(aspects: dict[str, CheckedAspect]) -> dict[str, str]:
    return {a.aspect: a.sentence for a in aspects.values() if a.outcome in ("differs", "fails")}


@pytest.fixture
def without_robustness(monkeypatch):
    monkeypatch.setattr(examination, "ROBUSTNESS", {})


WRONG = [
    (
        "CBAMWithoutRatio=cbam",
        "parameters",
        "at C = 64, 8 times as many at C = 1024",
    ),
    ("CBAMWithoutRatio=cbam", "parameters", "it has no reduction: a layer C → C"),
    ("CBAMWithoutRatio=cbam", "function", "does not pool by the maximum over the map"),
    ("CBAMWithoutMax=cbam", "function", "does not pool by the maximum over the map"),
    ("CoordAttWithoutSigmoid=ca", "function", "it has no sigmoid, so its gate is unbounded"),
    ("CoordAttWithoutSigmoid=ca", "start", "the paper's 0.25"),
    ("SEWithRatioAsWidth=se", "ratio", "it is taken for the hidden width, as in Linear(C, r)"),
    ("SEWithRatioAsWidth=se", "parameters", "the hidden width 16 where the paper has C // r = 4"),
    ("SEWithUnusedRatio=se", "ratio", "the argument 'reduction' has no effect"),
    ("ECAWithFixedKernel=eca", "parameters", "a kernel of 3 where the paper has 5 at C = 256"),
    ("ECAWithoutChannels=eca", "parameters", "a kernel of 3 where the paper has 5 at C = 256"),
    ("SELeavesAProcess=se", "side effects", "a forward pass leaves processes running"),
    ("SEThatReturnsItsGate=se", "output", "returns its gate 2×64×1×1, not the map"),
    ("SEThatReturnsItsGateAsMap=se", "output", "returns its gate 2×64×7×5, not the map"),
    ("SEWithReLUAfterSigmoid=se", "layers", "a ReLU after the sigmoid has no effect"),
    ("SEWithReLUBeforeSigmoid=se", "function", "so its gate is never below 0.5"),
    ("SEInPlace=se", "output", "it changes its input in place"),
    ("SEChangesThreads=se", "side effects", "torch's default type"),
    ("SERaises=se", "output", "forward raises ValueError: no map of 4 axes today"),
    ("SEExits=se", "output", "forward calls sys.exit"),
]


@pytest.mark.parametrize(("reference", "aspect", "words"), WRONG)
@pytest.mark.usefixtures("without_robustness")
def test_a_wrong_implementation_is_caught_by_name(reference, aspect, words):
    assert words in faults(aspects_once(reference))[aspect]


UNFIT = [
    ("SEWithBatchNorm=se", "batch 1", "one image in training mode"),
    ("SEWithUnusedLayer=se", "gradients", "extra.weight, extra.bias never get a gradient"),
    ("SEWithLooseTensor=se", "state dict", "factor is a tensor outside of the state dict"),
    ("SimAMOfTheListing=simam", "map sizes", "NaN or infinity for maps of 1×1"),
]


@pytest.mark.parametrize(("reference", "aspect", "words"), UNFIT)
def test_what_fails_in_use_is_named_with_the_consequence(monkeypatch, reference, aspect, words):
    only = {aspect: robustness_aspects.ROBUSTNESS[aspect]}
    monkeypatch.setattr(examination, "ROBUSTNESS", only)
    assert words in faults(aspects_of(reference))[aspect]


@pytest.mark.parametrize(
    "reference",
    [
        *("SELayer", "CoordAtt", "EcaLayer", "NonLocalBlock"),
        *("SEPositional=se", "SEForOneWidth=se"),
    ],
)
@pytest.mark.usefixtures("without_robustness")
def test_a_right_implementation_agrees_whatever_its_arguments_and_layers_are_called(reference):
    aspects = aspects_of(reference)
    assert not faults(aspects)
    assert aspects["function"].outcome == "same"


def test_known_deviations_are_named_and_agree():
    aspects = aspects_of("MyCBAM")
    assert not faults(aspects)
    for words in ("biases in the MLP", "no batch norm after its spatial convolution"):
        assert words in aspects["parameters"].sentence
    assert aspects["function"].outcome == "deviation"
    assert "adaptive_max_pool2d has no deterministic gradient" in aspects["determinism"].sentence


TIMM = [
    ("timm.layers:SEModule", "parameters", "rounded to a multiple of 8, as timm does"),
    ("timm.layers:SEModule", "parameters", "biases in both layers"),
    ("timm.layers:EffectiveSEModule", "function", "a hard sigmoid, as in the authors' code"),
    ("timm.layers:EcaModule", "function", "the same outputs"),
    ("timm.layers.cbam:CbamModule", "function", "the same outputs"),
]


@pytest.mark.parametrize(("reference", "aspect", "words"), TIMM)
@pytest.mark.usefixtures("without_robustness")
def test_timm_s_own_modules_agree_and_their_deviations_are_named(reference, aspect, words):
    import_timm()
    aspects = aspects_once(reference)
    assert not faults(aspects)
    assert words in aspects[aspect].sentence


def test_timm_s_global_context_multiplies_where_the_paper_adds(without_robustness):
    del without_robustness
    import_timm()
    seen = faults(aspects_of("timm.layers:GlobalContext"))
    assert "it scales by a sigmoid, which the paper has not" in seen["function"]


@pytest.mark.parametrize("reference", OURS)
@pytest.mark.usefixtures("without_robustness")
def test_our_own_classes_are_their_papers(reference):
    aspects = aspects_of(reference.partition("=")[0])
    assert not faults(aspects)
    assert aspects["function"].outcome == "same"


@pytest.mark.slow
@pytest.mark.parametrize("reference", OURS)
def test_our_own_classes_work_in_every_use(reference):
    assert not faults(aspects_of(reference))


@pytest.mark.parametrize("text", ["cbam(r=8,start=identity)", "ca"])
def test_printed_code_agrees(text, tmp_path, monkeypatch):
    name = ATTENTIONS[text.partition("(")[0]].module.partition(":")[2]
    (tmp_path / "printed_code.py").write_text(paste_in_code(text), "utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    sys.modules.pop("printed_code", None)
    assert not faults(aspects_of(f"printed_code:{name}"))
    sys.modules.pop("printed_code", None)


def test_the_ratio_of_the_class_is_that_of_the_comparison():
    check = ImplementationCheck(
        "attention_implementations:SELayer", None, 64, None, (("reduction", 4),), str(Path.cwd())
    )
    identified = next(event for event in examine(check) if isinstance(event, Identified))
    assert identified.attention == "se(r=4)"
    assert identified.made_by == "SELayer(channel=64, reduction=4)"


def test_a_factory_of_another_width_is_told_which_ratio_it_has(without_robustness):
    del without_robustness
    sentence = faults(aspects_of("make_se=se"))["parameters"]
    assert "(r = 8 gives it)" in sentence
    assert not faults(aspects_of("make_se", "se(r=8)"))


def test_a_module_is_checked_as_it_is(without_robustness):
    del without_robustness
    assert not faults(aspects_of("module=se"))


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("nothing_there:Class", "cannot be imported"),
        ("MyCBAN", "did you mean 'MyCBAM'"),
        ("NoModule=se", "is no torch.nn.Module"),
        ("make_nothing=se", "returns a NoneType"),
        ("SENeedsWidth=se", "give it with --arg width=VALUE, or name a function"),
        ("SECannotBeMade=se", "raises RuntimeError: no file"),
        ("Mystery", "says no attention; say which it is with --as: a2"),
        ("SELayer=sse", "did you mean"),
    ],
)
def test_what_cannot_be_checked_gets_a_sentence(reference, words):
    with pytest.raises(AttentuneError) as refused:
        aspects_of(reference)
    assert words in str(refused.value)
