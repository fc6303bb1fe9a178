"""Test that a tampered bundle is refused in one line, or loads as another version.

Run it in a project that was set up (`make setup`), with that project's own Python:

    cd my-project && .venv/bin/python /path/to/reliability/bundles.py --trials 1000

Each trial changes a small bundle, an MLP's or a transformer's, and loads it in a
process of its own, which also compares what PyTorch and ONNX Runtime compute with the outputs in
the bundle. Bytes are changed as by damage; values, tensors and files as by an attacker, who
recomputes all hashes. The bundle must be refused in one line, or predict; if its predictions
differ, its version must differ. All this may take 64 MiB and 10 s. A trial depends only on its
number. The last column must be 0.
"""

import hashlib
import json
import os
import re
import shutil
import signal
import struct
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

from proof_table import Row, package_of_project, parser_of, print_table

WEIGHTS, ONNX, CHECKS = "model.safetensors", "model.onnx", "checks.safetensors"
LINEAGE, CONFIG = "lineage.json", "config.json"
FILES = (WEIGHTS, ONNX, CHECKS, LINEAGE, CONFIG)
MAX_BYTES, MAX_S = 2**26, 10
TEXTS = ("", "cat", "oak n3 rose", "whale " * 5000)
LOADED = ("the same bundle", "another bundle")
REFUSALS = {
    "is damaged": "damaged",
    "does not fit this code": "do not fit",
    "has schema version": "of another schema",
    "is not a bundle": "no bundle",
    "than in training": "other outputs",
    "gives NaN": "not finite",
}
"""Parts of the messages of refusals, and the outcome that is printed for each."""
HOSTILE: tuple[Callable[[Any], Any], ...] = (
    *(lambda _, value=value: value for value in (None, True, False, 0, 1, -1, 0.5, 10**9, 10**30)),
    *(lambda _, value=value: value for value in (float("nan"), float("inf"), 1e-320, [], {}, "")),
    *(lambda _, value=value: value for value in ("\x1b[31m", "\ud800", "../..", "mlp", "bundle")),
    str,
    lambda value: [value],
    lambda value: {"a": value},
    lambda value: [value] * 1000,
    lambda value: value[::-1] if isinstance(value, list | str) else value,
    lambda value: value * 2 if isinstance(value, int | float | list | str) else value,
    lambda value: -value if isinstance(value, int | float) else value,
    lambda value: value[:-1] if isinstance(value, list | str) else value,
    lambda value: value + 1 if isinstance(value, int | float) else value,
    lambda value: float(value) if isinstance(value, int) else value,
    lambda _: json.loads("[" * 500 + "]" * 500),
)


def damage_bytes(folder: Path, random: Random) -> None:
    """Flip a bit, truncate or extend a file, swap two blocks or remove a file."""
    path = folder / random.choice(FILES)
    content = bytearray(path.read_bytes())
    place = random.randrange(len(content))
    match random.randrange(5):
        case 0 | 1:
            content[place] ^= 1 << random.randrange(8)
        case 2:
            del content[place:]
        case 3:
            content += random.randbytes(random.randrange(1, 64))
        case 4:
            path.unlink()
            return
    path.write_bytes(content)


def change_values(folder: Path, random: Random) -> None:
    """Replace one to three values in a JSON file by hostile ones, or remove or add some."""
    path = folder / random.choice((CONFIG, CONFIG, CONFIG, LINEAGE))
    document = json.loads(path.read_bytes())
    for _ in range(random.choice((1, 1, 2, 3))):
        document = _mutated(document, random)
    path.write_bytes(_text(document))
    _hash_anew(folder)


def change_meaning(folder: Path, random: Random) -> None:
    """Make another valid bundle: labels, tokens or settings that fit the weights."""
    config = json.loads((folder / CONFIG).read_bytes())
    names = random.choice((config["objective"]["labels"], config["encoder"]["tokens"]))
    match random.randrange(4):
        case 0:
            random.shuffle(names)
        case 1:
            names[random.randrange(len(names))] = random.choice(("new", "=1+1", "<b>", "\x1b[31m"))
        case 2:
            config["model"]["dropout"] = random.random()
        case 3 if "num_heads" in config["model"]:
            config["model"]["num_heads"] = random.choice((1, 2, 8))
    (folder / CONFIG).write_bytes(_text(config))
    _hash_anew(folder)


def change_tensors(folder: Path, random: Random) -> None:
    """Change the header of weights or checks, a block of values, or the length in the file."""
    path = folder / random.choice((WEIGHTS, WEIGHTS, CHECKS))
    content = path.read_bytes()
    [size] = struct.unpack("<Q", content[:8])
    header, values = json.loads(content[8 : 8 + size]), bytearray(content[8 + size :])
    match random.randrange(4):
        case 0 | 1:
            header = _mutated(header, random)
        case 2:
            place = random.randrange(0, len(values) - 4, 4)
            values[place : place + 4] = random.choice(
                (b"\0\0\x80\x7f", b"\0\0\xc0\x7f", b"\0\0\x80\x3f")
            )
        case 3:
            values = values[: random.randrange(len(values))]
    new = _text(header)
    length = random.choice((len(new),) * 9 + (0, 2**31, 2**63))
    path.write_bytes(struct.pack("<Q", length) + new + values)
    _hash_anew(folder)


def change_files(folder: Path, random: Random) -> None:
    """Replace a file by a pipe, a folder, a device, a link or 2 GiB."""
    path = folder / random.choice(FILES)
    path.unlink()
    match random.randrange(6):
        case 0:
            os.mkfifo(path)
        case 1:
            path.mkdir()
        case 2:
            path.symlink_to("/dev/zero")
        case 3:
            path.symlink_to(path)
        case 4:
            with path.open("wb") as file:
                file.truncate(2**31)
        case 5:
            other = random.choice([name for name in FILES if name != path.name])
            shutil.copy(folder / other, path)


def _mutated(document: Any, random: Random) -> Any:
    if not isinstance(document, dict | list) or not document or random.random() < 0.05:
        return random.choice(HOSTILE)(document)
    keys = list(document) if isinstance(document, dict) else list(range(len(document)))
    key = random.choice(keys)
    if random.random() < 0.5 and isinstance(document[key], dict | list):
        document[key] = _mutated(document[key], random)
        return document
    match random.randrange(6):
        case 0:
            del document[key]
        case 1 if isinstance(document, dict):
            document[random.choice(("a", "", "\x1b[31m", "__class__"))] = document[key]
        case _:
            document[key] = random.choice(HOSTILE)(document[key])
    return document


def _text(value: Any) -> bytes:
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    return text.encode("utf-8", "surrogatepass")


def _hash_anew(folder: Path) -> None:
    """Write the matching hashes, as anyone who can write a bundle can."""
    config = json.loads((folder / CONFIG).read_bytes())
    if not isinstance(config, dict) or not isinstance(config.get("sha256"), dict):
        return
    config["sha256"].pop(CONFIG, None)
    for name in (WEIGHTS, ONNX, CHECKS, LINEAGE):
        config["sha256"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    own = hashlib.sha256(_text(config)).hexdigest()
    config["sha256"][CONFIG] = own
    (folder / CONFIG).write_bytes(_text(config))


class Lab:
    """A project's package, and a bundle of each model with its predictions."""

    def __init__(self, package: str, folder: Path) -> None:
        self.package, self.folder = package, folder
        self.bundle_module = self.module("models.bundle")
        self.export_module = self.module("models.export")
        for name in ("mlp", "transformer"):
            self._bundle(name).save(folder / name)
        self.known = {name: self.predicted(folder / name) for name in ("mlp", "transformer")}

    def module(self, name: str) -> Any:
        return import_module(f"{self.package}.{name}")

    def _bundle(self, name: str) -> Any:
        config, rows = self.module("config"), self.module("data.rows")
        words = {"animals": "cat dog whale", "plants": "oak rose fern", "=1|<b>": "slate flint"}
        numbered = [(i, label, text) for label, text in words.items() for i in range(9)]
        texts = [
            rows.Row({"text": f"{text} n{i}", "label": label}, f"{i}")
            for i, label, text in numbered
        ]
        encoder = {"name": "text", "max_tokens": 16, "min_count": 1}
        whole = config.Config(
            data=config.DataConfig(name="docstrings", encoder=encoder),
            model={"name": name, "hidden_size": 8, "num_bigram_buckets": 64},
            objective={"name": "classification"},
        )
        with TemporaryDirectory() as folder:
            path = Path(folder) / "dataset.parquet"
            rows.write_rows(texts, path)
            spec = self.module("data.preprocessing").preprocess(path, whole).spec
        inputs = [spec.encoder.encode({"text": text}) for text in TEXTS]
        targets = spec.objective.encode([row.values for row in texts[: len(TEXTS)]])
        unseen = self.module("data.dataset").Split.from_rows(inputs, targets)
        lineage = self.module("lineage").current_lineage(whole, run_id="run-7")
        model = self.module("models.base").build_model(whole.model, spec)
        bundle = self.export_module.make_bundle(model, spec, lineage, unseen)
        if ONNX not in bundle.files:
            raise RuntimeError(f"the {name} was not exported")
        return bundle

    def predicted(self, folder: Path) -> tuple[str, str, str]:
        """Return the version of a bundle, its hash, and a hash of its predictions."""
        torch = import_module("torch")
        bundle = self.bundle_module.Bundle.load(folder)
        self.export_module.check_bundle(bundle)
        with torch.inference_mode():
            ids = [torch.tensor([bundle.spec.encoder.encode({"text": text})]) for text in TEXTS]
            logits = [bundle.model(row)[0].tolist() for row in ids]
        predicted = repr((bundle.spec.objective.labels, logits)).encode()
        return bundle.version, bundle.sha256, hashlib.sha256(predicted).hexdigest()

    def outcome(self, folder: Path, name: str) -> tuple[str, str]:
        """Return the outcome of loading, and what is wrong with it."""
        before = _status("VmRSS")
        try:
            version, sha256, prediction = self.predicted(folder)
        except self.bundle_module.BundleError as error:
            outcome = next(what for part, what in REFUSALS.items() if part in str(error))
            wrong = _wrong_with(str(error), folder)
        except BaseException as error:
            outcome, wrong = "a traceback", repr(error)[:300]
        else:
            known_version, known_sha256, known_prediction = self.known[name]
            outcome = LOADED[sha256 != known_sha256]
            is_hidden = prediction != known_prediction and version == known_version
            wrong = "it predicts otherwise under the same version" if is_hidden else ""
        taken = _status("VmHWM") - before
        return outcome, wrong or (f"it took {taken >> 20} MiB" if taken > MAX_BYTES else "")

    def row(self, name: str, trials: int, seed: int) -> Row:
        """Return the results of the trials of one kind of change."""
        row = Row(name, max(1, round(trials * SHARE[name])))
        for number in range(seed, seed + row.trials):
            outcome, problem = self.trial(number, PROOFS[name])
            row.outcomes[outcome] += 1
            row.wrong += [f"{number}: {problem}"] if problem else []
        return row

    def trial(self, number: int, tamper: Callable[[Path, Random], None]) -> tuple[str, str]:
        """Return the outcome of one trial, in a process of its own."""
        random = Random(number)
        name = random.choice(("mlp", "transformer"))
        folder, result = self.folder / f"trial-{number}", self.folder / "result.json"
        shutil.copytree(self.folder / name, folder)
        tamper(folder, random)
        result.unlink(missing_ok=True)
        child = os.fork()
        if not child:
            signal.alarm(MAX_S)
            Path("/proc/self/clear_refs").write_text("5")  # reset the peak of memory
            result.write_text(json.dumps(self.outcome(folder, name)))
            os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        outcome, wrong = json.loads(result.read_text()) if not code else ("killed", f"exit {code}")
        shutil.rmtree(folder)
        if tamper is damage_bytes and outcome in LOADED:
            wrong = f"loaded as {outcome}"
        return outcome, wrong


def _status(name: str) -> int:
    [line] = re.findall(rf"^{name}:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.M)
    return int(line) * 1024


def _wrong_with(line: str, folder: Path) -> str:
    is_line = line.isprintable() and len(line) < 400 and line.startswith(str(folder))
    return "" if is_line else f"no line: {line[:400]!r}"


PROOFS = {
    "bytes": damage_bytes,
    "values": change_values,
    "meaning": change_meaning,
    "tensors": change_tensors,
    "files": change_files,
}
SHARE = {"bytes": 0.2, "values": 0.3, "meaning": 0.2, "tensors": 0.2, "files": 0.1}


def main() -> int:
    """Print a row for each kind of change; return 1 when anything went wrong."""
    parser = parser_of(__doc__, PROOFS, trials=100, trials_help="of all kinds together")
    options = parser.parse_args()
    package = package_of_project()
    import_module("torch").set_num_threads(1)
    with TemporaryDirectory(prefix="bundles-") as folder:
        lab = Lab(package, Path(folder).resolve())
        rows = (lab.row(name, options.trials, options.seed) for name in options.only)
        return print_table(rows, title="what is changed", widths=(16, 90))


if __name__ == "__main__":
    sys.exit(main())
