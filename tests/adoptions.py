"""What tests of `adopt` share: the command, and what it recorded."""

import json
from pathlib import Path

import yaml
from toys import cli

ANSWERS = ".copier-answers.yml"


def adopt(folder: Path, *options: str | Path) -> dict[str, object]:
    """What `adopt --json` finds; fails unless it succeeds."""
    done = cli("adopt", folder, *options, "--json")
    assert (done.exit_code, done.stderr) == (0, ""), done.output
    return json.loads(done.stdout)


def recorded(folder: Path) -> dict[str, object]:
    """What the answers file holds."""
    return yaml.safe_load((folder / ANSWERS).read_text())
