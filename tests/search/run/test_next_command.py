"""What is suggested to continue a search would run trials."""

from __future__ import annotations

from attentune.search.run.next_command import larger_total, resume_command


def test_a_suggested_total_is_always_more_than_have_run():
    for trials in range(1, 1000):
        assert larger_total(trials) >= max(100, 1.5 * trials)
    assert [larger_total(trials) for trials in (40, 100, 400)] == [100, 200, 600]


def test_a_search_whose_trials_have_all_run_needs_a_larger_total():
    assert resume_command("s", 40, 39) == "attentune resume s"
    assert resume_command("my study", 40, 40) == "attentune resume 'my study' --trials 100"
    assert resume_command("s", 300, 300) == "attentune resume s --trials 500"
