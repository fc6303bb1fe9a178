"""A tree with all its files as one text of bytes, which git reads again without being run."""

from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

from .scratch import Scratch

# Fast rather than small.
_SETTINGS = ("-c", "pack.compression=1", "-c", "pack.threads=1", "-c", "pack.writeReverseIndex=0")


def pack(scratch: Scratch, tree: str) -> bytes:
    """Return a tree of a repository with its files."""
    with TemporaryDirectory(dir=scratch.repository, prefix="pack-") as folder:
        base = str(Path(folder, "pack"))
        asked = f"{tree}\n".encode()
        scratch.git(
            *_SETTINGS, "pack-objects", "--quiet", "--revs", "--window=0", base, stdin=asked
        )
        (objects,) = Path(folder).glob("*.pack")
        content = objects.read_bytes()
        return (
            f"{tree} {len(content)}\n".encode() + content + objects.with_suffix(".idx").read_bytes()
        )


def unpack(packed: bytes, objects: Path) -> str:
    """Write a packed tree where git looks for objects, and return its id."""
    head, _, content = packed.partition(b"\n")
    tree, size = head.decode().split()
    folder = objects / "pack"
    folder.mkdir(exist_ok=True)
    name = f"pack-{sha256(packed).hexdigest()[:40]}"
    (folder / f"{name}.pack").write_bytes(content[: int(size)])
    # Git finds the objects by the index, which therefore comes last.
    (folder / f"{name}.idx").write_bytes(content[int(size) :])
    return tree
