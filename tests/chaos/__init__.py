"""Attacks on a search: nothing may be lost, wrong or unstated.

    make chaos            30 minutes on two cores; writes benchmarks/results/chaos.json
    pytest tests/chaos    the short form: a few attempts of each attack
    PYTHONPATH=tests python -P -m chaos --minutes 5 --seed 7
    PYTHONPATH=tests python -P -m chaos --only damaged-checkpoints --minutes 1

An attack is a function of one argument, registered in `attacks.ATTACKS`. It tries something hostile
again and again, and counts what went wrong:

    def damaged_checkpoints(run: AttackRun) -> None:
        '''A checkpoint is damaged in one of 34 ways before its trial is resumed.'''
        for kind in run.each(KINDS):           # each once, in random order, as far as time allows
            with run.attempt(kind) as attempt:  # counts one try; an exception is `unstated`
                accuracy = resume(attempt.folder, kind, attempt.random)
                if accuracy != undisturbed:
                    attempt.wrong(f"accuracy {accuracy}, not {undisturbed}")

    def kill_workers(run: AttackRun) -> None:
        for step in run.steps():               # 0, 1, 2, … until the time is over
            with run.attempt(step) as attempt:
                ...

An attempt has its own random numbers and its own empty folder, both derived from the seed and the
label, so `--only NAME --label "step 17" --seed 7` repeats one attempt exactly. It reports

    lost       a result, weights or a study that was acknowledged is gone, or was trained twice
    wrong      a result, a curve, an exit code or a file says what did not happen
    unstated   a traceback, a hang, a silent end: what went wrong was not said in a sentence

`command.run_attentune` runs the command line in a new process; `command.check_stated` reports as
`unstated` a traceback, an exit code other than 0, 1, 2 and 130, and an error without words.
"""
