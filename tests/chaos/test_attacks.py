"""The short form of the attacks, which the normal tests run."""

from __future__ import annotations

import pytest

from .attack import Attack, AttackRun
from .attacks import ATTACKS

SEED = 28
SHORT = [attack for attack in ATTACKS if attack.short]


@pytest.mark.parametrize("attack", SHORT, ids=lambda attack: attack.name)
def test_an_attack_finds_nothing_lost_wrong_or_unstated(attack: Attack, tmp_path):
    run = AttackRun(attack.name, SEED, tmp_path, max_attempts=attack.short)
    attack.function(run)
    assert run.tally.tried
    assert not run.tally.faults, f"--only {attack.name} --seed {SEED}\n" + "\n".join(
        run.tally.notes
    )


def test_names_of_attacks_are_unique():
    assert len({attack.name for attack in ATTACKS}) == len(ATTACKS)


def test_a_fault_is_counted_with_what_repeats_it(tmp_path):
    def forgetful(run: AttackRun) -> None:
        for step in run.steps():
            with run.attempt(step) as attempt:
                if attempt.random.random() < 0.5:
                    attempt.lost("it")
                if step == 3:
                    raise ValueError("three")

    run = AttackRun("forgetful", 1, tmp_path / "all", max_attempts=20)
    forgetful(run)
    assert run.tally.tried == 20
    assert 0 < run.tally.lost < 20
    assert run.tally.unstated == 1
    assert any("[step 3]" in note and "three" in note for note in run.tally.notes)
    label = next(note for note in run.tally.notes if note.startswith("lost")).split("]")[0][7:]
    again = AttackRun("forgetful", 1, tmp_path / "one", label=label)
    forgetful(again)
    assert (again.tally.tried, again.tally.lost) == (1, 1)
