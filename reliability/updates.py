"""Test that an update loses nothing: interrupt and disturb updates, and print the outcomes.

A trial depends only on its number, so `--seed 817 --trials 1` repeats one. The last column must be
0; failures are printed below the table.

    .venv/bin/python reliability/updates.py --trials 1000
    .venv/bin/python reliability/updates.py --only histories --seed 817 --trials 1
"""

import argparse
import math
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from proof_table import Row, parser_of, print_table
from update_proofs import crashes, environments, histories, peers, saves
from update_proofs.projects import Lab, open_lab


def main() -> int:
    """Print a row for each proof; return 1 when anything went wrong."""
    parser = parser_of(__doc__, PROOFS, trials=50, trials_help="of histories; others have fewer")
    parser.add_argument("--cruft", default=shutil.which("cruft"), help="cruft's program")
    options = parser.parse_args()
    with open_lab() as lab:
        rows = (row for name in options.only for row in PROOFS[name](lab, options))
        return print_table(rows, title="proof", widths=(44, 62))


def of_histories(lab: Lab, options: argparse.Namespace) -> Iterator[Row]:
    """Random work of a user, and updates."""
    found = histories.random_histories(lab, trials=options.trials, seed=options.seed)
    came = (
        f"{found.updates} updates, {found.conflicts} with conflicts, "
        f"{sum(found.refused.values())} refused; {len(found.lost)} of {found.marks} marks lost"
    )
    yield Row("random histories", found.histories, summary=came, wrong=found.lost + found.wrong)


def of_crashes(lab: Lab, options: argparse.Namespace) -> Iterator[Row]:
    """SIGKILL, before every step."""
    for one in list(crashes.scenarios(lab)):
        yield _of_tally(f"SIGKILL: {one.name}", crashes.kill_everywhere(lab, one))


def of_instants(lab: Lab, options: argparse.Namespace) -> Iterator[Row]:
    """SIGKILL, at random instants."""
    found = list(crashes.scenarios(lab))
    trials = math.ceil(options.trials / 5 / len(found))
    for one in found:
        tally = crashes.kill_at_random(lab, one, trials=trials, seed=options.seed)
        yield _of_tally(f"SIGKILL at random: {one.name}", tally)


def of_recoveries(lab: Lab, options: argparse.Namespace) -> Iterator[Row]:
    """SIGKILL, then again before every step of the recovery."""
    for one in list(crashes.scenarios(lab)):
        yield _of_tally(f"SIGKILL in recovery: {one.name}", crashes.kill_recovery(lab, one))


def of_disks(lab: Lab, options: argparse.Namespace) -> Iterator[Row]:
    """Disks that fail or are full."""
    found = list(crashes.scenarios(lab))
    for one in found:
        tally = crashes.fail_everywhere(lab, one, lasting=False)
        yield _of_tally(f"a write fails: {one.name}", tally)
    for one in found:
        tally = crashes.fail_everywhere(lab, one, lasting=True)
        yield _of_tally(f"all writes fail from there: {one.name}", tally)
    sizes = range(0, 400_000, 400_000 // max(10, options.trials // 10))
    for one in found[:4]:
        yield _of_tally(f"a full disk: {one.name}", crashes.fill_disk(lab, one, sizes=sizes))


def of_signals(lab: Lab, options: argparse.Namespace) -> Iterator[Row]:
    """Ctrl-C and SIGTERM."""
    for one in crashes.scenarios(lab):
        tally = crashes.signal_everywhere(lab, one)
        yield _of_tally(f"Ctrl-C, SIGTERM: {one.name}", tally)


def of_saves(lab: Lab, options: argparse.Namespace) -> Iterator[Row]:
    """An editor's saves, before every step."""
    for one in saves.scenarios(lab):
        yield _of_tally(f"saves: {one.name}", saves.save_everywhere(lab, one))


def of_races(lab: Lab, options: argparse.Namespace) -> Iterator[Row]:
    """An editor's saves, at random instants."""
    found = list(saves.scenarios(lab))
    trials = math.ceil(options.trials / len(found))
    for one in found:
        tally = saves.race(lab, one, trials=trials, seed=options.seed)
        yield _of_tally(f"racing saves: {one.name}", tally)


def of_settings(lab: Lab, options: argparse.Namespace) -> Iterator[Row]:
    """Hostile git settings."""
    trials = max(1, options.trials // 10)
    found = environments.hostile_settings(lab, trials=trials, seed=options.seed)
    yield _of_found("hostile git settings", found)


def of_pairs(lab: Lab, options: argparse.Namespace) -> Iterator[Row]:
    """Two updates at once."""
    found = environments.two_at_once(lab, pairs=max(1, options.trials // 20))
    yield _of_found("two updates at once", found)


def of_answers(lab: Lab, options: argparse.Namespace) -> Iterator[Row]:
    """Mutated answers files."""
    trials = max(1, options.trials // 2)
    found = environments.mutated_answers(lab, trials=trials, seed=options.seed)
    yield _of_found("mutated answers files", found)


def of_chains(lab: Lab, options: argparse.Namespace) -> Iterator[Row]:
    """Chains of releases against a fresh render."""
    trials = max(1, options.trials // 20)
    found = environments.chains(lab, trials=trials, seed=options.seed)
    yield _of_found("chains of releases, against a fresh render", found)


def of_peers(lab: Lab, options: argparse.Namespace) -> Iterator[Row]:
    """The same histories with other tools, whose losses are printed and do not count as wrong."""
    trials = max(1, options.trials // 10)
    scores = peers.side_by_side(lab, trials=trials, seed=options.seed, cruft=options.cruft)
    for name, score in scores.items():
        came = (
            f"{score.losing} lost a mark ({score.silent} of them with exit 0); "
            f"{score.lost} of {score.marks} marks"
        )
        if score.refused or score.half_way:
            came += f"; {score.refused} refused, {score.half_way} failed half-way"
        lost = score.lost if name == "mlscaffold update" else 0
        yield Row(name, trials, summary=came, wrong=[f"{lost} marks lost"] * bool(lost))


def _of_tally(name: str, tally: crashes.Tally) -> Row:
    return Row(
        name, tally.trials, summary=f"{tally.before} before, {tally.after} after", wrong=tally.wrong
    )


def _of_found(name: str, found: environments.Found) -> Row:
    counts = [f"{number} {what}" for what, number in found.counts.items()]
    summary = "; ".join([*counts, f"{len(found.lost)} marks lost"])
    return Row(name, found.trials, summary=summary, wrong=found.lost + found.wrong)


PROOFS: dict[str, Callable[[Lab, argparse.Namespace], Iterator[Row]]] = {
    "histories": of_histories,
    "crashes": of_crashes,
    "instants": of_instants,
    "recoveries": of_recoveries,
    "disks": of_disks,
    "signals": of_signals,
    "saves": of_saves,
    "races": of_races,
    "settings": of_settings,
    "pairs": of_pairs,
    "answers": of_answers,
    "chains": of_chains,
    "peers": of_peers,
}

if __name__ == "__main__":
    sys.exit(main())
