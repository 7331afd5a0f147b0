"""All attacks, in the order of the table of results."""

from __future__ import annotations

from . import (
    copies,
    damage,
    damaged_databases,
    disks,
    inputs,
    kills,
    pages,
    plugin_searches,
    real_processes,
    removal,
    rivals,
    signals,
    soak,
    takeovers,
)
from .attack import Attack

ATTACKS: tuple[Attack, ...] = (
    Attack(
        "kill-coordinator",
        "SIGKILL of the coordinator, alone or with its workers, at random times",
        kills.kill_coordinators,
        weight=3.0,
        short=1,
    ),
    Attack(
        "kill-worker",
        "SIGKILL of workers at random times",
        kills.kill_workers,
        weight=2.0,
    ),
    Attack(
        "crash-points",
        "SIGKILL of the coordinator or its worker before and after each of its writes",
        kills.kill_at_crash_points,
        weight=4.0,
        short=2,
    ),
    Attack(
        "real-processes",
        "parts of an unpatched search, its fork server too: SIGKILL, SIGTERM, Ctrl-C, SIGSTOP",
        real_processes.attack_real_processes,
        weight=3.0,
    ),
    Attack(
        "signals",
        "SIGINT and SIGTERM, one to three times, to a process or its group",
        signals.send_signals,
        weight=2.0,
        short=1,
    ),
    Attack(
        "interrupted-tuning",
        "signals and SIGKILL while the learning rate is tuned",
        signals.interrupt_tuning,
        weight=1.5,
    ),
    Attack(
        "full-disk",
        "the disk becomes full before each write of a search, a report, an export",
        disks.fill_disks,
        weight=3.0,
    ),
    Attack(
        "takeover",
        "wrong clocks, containers, stopped coordinators, restarted containers",
        takeovers.take_over,
        weight=2.0,
    ),
    Attack(
        "wake-up",
        "a coordinator sleeps at one of its writes while another finishes its study",
        takeovers.wake_up_after_takeover,
        weight=2.0,
    ),
    Attack(
        "rivals",
        "two commands at once: search, resume, rm, settings of a running study",
        rivals.run_rivals,
        weight=1.5,
    ),
    Attack(
        "readers",
        "show, list, report and export while a search is killed and resumed",
        rivals.read_during_kills,
        weight=1.5,
    ),
    Attack(
        "killed-rm",
        "SIGKILL of rm before and after each of its writes; the name is used again",
        removal.kill_removals,
        weight=1.5,
    ),
    Attack(
        "copies",
        "the database file is copied alone after each command",
        copies.copy_databases,
        weight=1.0,
    ),
    Attack("soak", "a study of 2,000 trials", soak.soak, weight=6.0),
    Attack(
        "damaged-checkpoint",
        "the checkpoint of a killed trial is damaged or forged",
        damage.damage_checkpoints,
        weight=2.0,
    ),
    Attack(
        "damaged-result",
        "weights are damaged before their trial's result was recorded",
        damage.damage_results,
        weight=2.0,
    ),
    Attack(
        "damaged-export",
        "weights are damaged before an export",
        damage.export_damaged_weights,
        weight=0.5,
    ),
    Attack(
        "damaged-database",
        "80 damaged or odd databases in seven commands each",
        damaged_databases.damage_databases,
        weight=2.0,
    ),
    Attack(
        "hostile-text",
        "surrogates, escape sequences, markup, long texts as any argument",
        inputs.hand_in_texts,
        weight=1.5,
    ),
    Attack(
        "hostile-architecture",
        "architecture texts that keep a parser busy",
        inputs.hand_in_architectures,
        weight=0.3,
        short=20,
    ),
    Attack(
        "hostile-data",
        "archives, folders and images that are damaged, enormous or harmful",
        inputs.hand_in_data,
        weight=1.5,
    ),
    Attack(
        "hostile-toml",
        "configurations with wrong types, encodings and damaged bytes",
        inputs.hand_in_toml,
        weight=0.5,
        short=200,
    ),
    Attack("hostile-request", "requests to the dashboard", pages.request_pages, weight=1.0),
    Attack(
        "hostile-plugins",
        "searches over attentions of users that raise, hang, exit, patch torch and so on",
        plugin_searches.search_hostile_plugins,
        weight=4.0,
    ),
)
