"""What a user's attention costs at a site, or why it cannot be used there, whatever it does."""

from __future__ import annotations

import os
import sys
import time

import psutil
import pytest
from attentune.errors import AttentionError
from attentune.runners.costs import AttentionUse, count_attention
from attentune.runners.plugin_checks import checker, isolated_process
from attentune.runners.plugin_checks.checker import PluginChecker
from attentune.runners.results import Costs
from chaos.hostile_plugins import BY_NAME, HOSTILE, HostilePlugin, hostile

SECONDS = 20.0


def use_of(name: str, channels: int = 48, side: int = 2) -> AttentionUse:
    return AttentionUse(name, (("start", "identity"),), channels, (side, side), 64)


@pytest.fixture
def check(tmp_path, monkeypatch):
    """Writes a plug-in's module, and checks its attention on maps of 16×8×8 and 48×2×2."""
    checkers = []
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])

    def check_plugin(plugin: HostilePlugin, seconds: float = SECONDS) -> Costs:
        monkeypatch.setenv("ATTENTUNE_PLUGINS", plugin.write(tmp_path))
        checkers.append(PluginChecker(seconds))
        first = checkers[-1](use_of(plugin.name, 16, 8))
        assert first.params == 16  # A scale of each channel.
        return checkers[-1](use_of(plugin.name))

    check_plugin.checkers = checkers
    yield check_plugin
    for plugin_checker in checkers:
        plugin_checker.close()


@pytest.mark.parametrize("plugin", [p for p in HOSTILE if p.caught == "check"], ids=str)
def test_what_cannot_be_used_is_named_with_the_reason(check, plugin):
    with pytest.raises(AttentionError) as caught:
        check(plugin, 2.0 if plugin.name == "hangs" else SECONDS)
    assert plugin.words in str(caught.value)


@pytest.mark.parametrize(
    "plugin", [p for p in HOSTILE if p.caught in ("harmless", "training", "lost")], ids=str
)
def test_what_works_here_costs_what_it_has(check, plugin):
    assert check(plugin) == Costs(48, 0)


def test_an_attention_that_ends_its_process_is_not_tried_for_ever(check, monkeypatch):
    started = []
    start = isolated_process.start_process
    monkeypatch.setattr(
        isolated_process, "start_process", lambda *a, **k: started.append(1) or start(*a, **k)
    )
    with pytest.raises(AttentionError, match="exit code 3"):
        check(BY_NAME["ends_its_process"])
    for channels in (8, 16, 32, 48):
        with pytest.raises(AttentionError, match="exit code 3"):
            check.checkers[0](use_of("ends_its_process", channels))
    assert len(started) == checker.MAX_LOST_CHECKS


def test_the_others_are_checked_after_one_has_ended_the_process(check):
    with pytest.raises(AttentionError):
        check(BY_NAME["ends_its_process"])
    assert check(BY_NAME["prints"]) == Costs(48, 0)


def test_an_answer_is_given_once(check):
    check(BY_NAME["is_slow"])
    began = time.perf_counter()
    for _ in range(100):
        check.checkers[0](use_of("is_slow"))
    assert check.checkers[0]._answers.keys() == {use_of("is_slow", 16, 8), use_of("is_slow")}
    assert time.perf_counter() - began < SECONDS


def test_what_an_attention_has_started_ends_with_the_checker(check):
    forward = "import subprocess; subprocess.Popen([sys.executable, '-c', 'import time;' * 9 + s])"
    seconds = f"s = 'time.sleep({os.getpid()}.5)'"
    check(hostile("starts_a_process", "harmless", "", f"{seconds}; {forward}"))
    check.checkers[0].close()
    psutil.wait_procs(children_that_sleep(), timeout=5)
    assert not children_that_sleep()


def children_that_sleep() -> list[psutil.Process]:
    """Processes of the attention above."""
    sleeping = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if any(f"time.sleep({os.getpid()}.5)" in word for word in words):
            sleeping.append(process)
    return sleeping


def test_an_attention_that_worker_processes_do_not_know_is_named(check):
    check(BY_NAME["prints"])
    with pytest.raises(AttentionError, match="processes do not know the attention 'ripple'; inst"):
        check.checkers[0](use_of("ripple"))


def test_without_a_process_an_exception_is_named_as_well():
    use = AttentionUse("se", (("no", 1),), 8, (2, 2), 64)
    with pytest.raises(AttentionError, match="on a map of 8×2×2 it raises KeyError"):
        count_attention(use)
