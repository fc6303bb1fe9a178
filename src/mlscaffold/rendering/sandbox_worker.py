"""The process that reads and renders other templates; requests and replies are one line each."""

import json
import math
import os
import resource
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..errors import AnswerError, MlscaffoldError, StaleAnswerError
from . import engine, interview, pieces, upstream
from .releases import Releases


def main() -> None:
    """Answer requests until there are no more."""
    # What a library prints must not mix with the replies.
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    for line in sys.stdin.buffer:
        request = json.loads(line)
        os.environ.clear()
        os.environ.update(request["environment"])
        os.environ["TMPDIR"] = tempfile.tempdir = request["scratch"]
        _bound(time_s=request["time_s"], memory_mib=request["memory_mib"])
        replies.write(_reply(request["function"], request["arguments"]) + b"\n")
        replies.flush()
    # There is nothing left to clean up, and freeing all modules takes time.
    os._exit(0)


def _bound(*, time_s: int, memory_mib: int) -> None:
    """Limit the memory, and the CPU time in case this process is orphaned."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    cpu_s = math.ceil(used.ru_utime + used.ru_stime) + time_s
    for kind, value in ((resource.RLIMIT_CPU, cpu_s), (resource.RLIMIT_AS, memory_mib * 2**20)):
        hard = resource.getrlimit(kind)[1]
        soft = value if hard == resource.RLIM_INFINITY else min(value, hard)
        with suppress(ValueError):  # macOS does not limit memory.
            resource.setrlimit(kind, (soft, hard))


def _reply(function: str, arguments: dict[str, Any]) -> bytes:
    try:
        return json.dumps({"value": _FUNCTIONS[function](**arguments)}, default=str).encode()
    except Exception as error:
        return json.dumps(_failure(error)).encode()


def _failure(error: Exception) -> dict[str, Any]:
    """Return the reply for an error."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, MemoryError):
            return {"is_out_of_memory": True}
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, OSError) and error.errno:
        return {"errno": error.errno, "strerror": error.strerror}
    if isinstance(error, AnswerError):
        stale = error.question if isinstance(error, StaleAnswerError) else ""
        return {"refused": str(error)[:1000], "stale": stale}
    if isinstance(error, MlscaffoldError):
        return {"error": str(error)[:1000]}
    return {"error": f"the template can't be rendered: {type(error).__name__}: {error}"[:1000]}


def _releases(place: Mapping[str, Any]) -> Releases:
    return Releases(
        source=place["source"],
        url=place["url"],
        repository=Path(place["repository"]),
        trusted=True,  # This runs within the bounds.
        may_run_code=place["may_run_code"],
    )


def _of_releases(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function with the place of its releases in place of these."""

    def called(*, releases: Mapping[str, Any], **arguments: Any) -> Any:
        return function(_releases(releases), **arguments)

    return called


def _write(releases: Releases, *, into: str, **options: Any) -> None:
    engine.write(releases, into=Path(into), **options)


_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "complaint": _of_releases(interview.complaint),
    "has_migrations": _of_releases(engine.has_migrations),
    "interview": _of_releases(interview.interview),
    "piece": _of_releases(pieces.rendered),
    "questions": _of_releases(interview.questions),
    "read": _of_releases(Releases.read),
    "read_yaml": _of_releases(Releases.read_yaml),
    "render": _of_releases(_write),
    "skips": _of_releases(engine.skips),
    "skipped": _of_releases(engine.skipped),
    "upstream": _of_releases(upstream.find),
}

if __name__ == "__main__":
    main()
