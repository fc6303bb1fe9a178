"""What copier computes for each file, or for each render, computed once: most of its time.

It clones the release, looks up `core.fileMode` for each file that it writes, and has Jinja compile
and render each part of each path, with all answers collected again. If copier's internals have
other names, or the template has submodules, less is skipped; the result is the same.
"""

import re
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from .releases import Releases

_MAX_COMPILED = 10_000
_NAME = re.compile(r"\{\{ *\w+ *\}\}")
"""The answer to one question, in a path; with Jinja's own signs alone."""
# What decides on the code that Jinja makes of a text, beside extensions and filters.
_SYNTAX = (
    "block_start_string",
    "block_end_string",
    "variable_start_string",
    "variable_end_string",
    "comment_start_string",
    "comment_end_string",
    "line_statement_prefix",
    "line_comment_prefix",
    "trim_blocks",
    "lstrip_blocks",
    "newline_sequence",
    "keep_trailing_newline",
    "autoescape",
    "finalize",
    "is_async",
    "optimized",
    "sandboxed",
    "undefined",
)
_STARTS = (
    "block_start_string",
    "variable_start_string",
    "comment_start_string",
    "line_statement_prefix",
    "line_comment_prefix",
)


@contextmanager
def short_cuts(internals: Any, environment: type, releases: Releases, ref: str) -> Generator[None]:
    """Take the short cuts while the block runs.

    Args:
        internals: Copier's module of its worker.
        environment: Jinja's class.
        releases: The template.
        ref: The release of it that is rendered.
    """
    commit = releases.commit(ref)
    folder = releases.checkout(commit)
    checked_out = {
        "local_abspath": folder,
        "commit": releases.describe(commit),
        "commit_hash": commit,
        "git_index_modes": {},
    }
    worker = getattr(internals, "Worker", None)
    template = getattr(internals, "Template", None)
    has_submodules = (folder / ".gitmodules").exists()
    # An extension of the template may do something with any text.
    texts = None if releases.may_run_code else worker
    with (
        # Copier need not find out what the recorded source stands for.
        replaced(template, {"vcs": "git", "url_expanded": releases.url}),
        replaced(None if has_submodules else template, checked_out),
        replaced(worker, {"_sync_git_index_executable_bit": lambda *_: None}),
        replaced(texts, _of_plain_texts(worker)),
        replaced(texts, _of_final_answers(worker)),
        replaced(environment, {"compile": _once(vars(environment)["compile"], own=texts is None)}),
    ):
        yield


def _of_plain_texts(worker: Any) -> Mapping[str, Any]:
    """Return methods of copier's worker that render no text without expressions."""
    render: Any = getattr(worker, "_render_string", None)
    found: Any = getattr(getattr(worker, "answers_relpath", None), "fget", None)

    def render_string(worker: Any, string: Any, *context: Any, **more: Any) -> Any:
        if _is_plain(worker.jinja_env, string):
            return string
        return render(worker, string, *context, **more)

    def answers_relpath(worker: Any) -> Any:
        path = str(worker.answers_file or worker.template.answers_relpath)
        return Path(path) if _is_plain(worker.jinja_env, path) else found(worker)

    if not (render and found):
        return {"_render_string and answers_relpath": None}
    return {"_render_string": render_string, "answers_relpath": property(answers_relpath)}


def _of_final_answers(worker: Any) -> Mapping[str, Any]:
    """Return copier's method that writes the files, for which the answers no longer change."""
    write: Any = getattr(worker, "_render_template", None)
    remember: Any = getattr(worker, "_answers_to_remember", None)

    def render_template(worker: Any) -> None:
        render, remembered = type(worker)._render_string, remember(worker)
        known: dict[str, str] = {}

        def render_string(worker: Any, string: Any, *context: Any, **more: Any) -> Any:
            if any(context) or any(more.values()) or not _NAME.fullmatch(string):
                return render(worker, string, *context, **more)
            if string not in known:
                known[string] = render(worker, string)
            return known[string]

        final = {
            "_answers_to_remember": lambda _: dict(remembered),
            "_render_string": render_string,
        }
        with replaced(type(worker), final):
            write(worker)

    if not (write and remember):
        return {"_render_template and _answers_to_remember": None}
    return {"_render_template": render_template}


def _is_plain(environment: Any, text: object) -> bool:
    """Return whether Jinja renders a text to itself: one line without an expression."""
    if not isinstance(text, str) or "\n" in text or "\r" in text:
        return False
    starts = (getattr(environment, name) for name in _STARTS)
    # Copier's extension resets itself when it gets a text.
    is_kept = environment.preprocess(text) == text
    return is_kept and not any(start and start in text for start in starts)


_compiled: dict[tuple[object, ...], dict[object, Any]] = {}
"""By all that the code depends on, the code of each text."""


def _once(compile: Callable[..., Any], *, own: bool) -> Callable[..., Any]:
    """Return Jinja's `compile` that compiles a text once; with `own`, once for each environment."""
    known_to: WeakKeyDictionary[Any, dict[object, Any]] = WeakKeyDictionary()

    def compiled_once(
        environment: Any, source: Any, name: Any = None, filename: Any = None, **options: Any
    ) -> Any:
        compiled = partial(compile, environment, source, name, filename, **options)
        if not isinstance(source, str):  # a syntax tree
            return compiled()
        if environment not in known_to:
            known_to[environment] = {} if own else _compiled.setdefault(_language(environment), {})
        known, key = known_to[environment], (source, name, *options.items())
        if key in known:
            environment.preprocess(source)  # copier's extension resets itself here
            return known[key]
        if len(known) >= _MAX_COMPILED:
            known.clear()
        known[key] = compiled()
        return known[key]

    return compiled_once


def _language(environment: Any) -> tuple[object, ...]:
    """Return all that the code of a text depends on beside the text."""
    extensions = tuple(map(type, environment.extensions.values()))
    functions = frozenset(environment.filters), frozenset(environment.tests)
    syntax = (getattr(environment, name, None) for name in _SYNTAX)
    return type(environment), extensions, *functions, *syntax


@contextmanager
def replaced(owner: type | None, attributes: Mapping[str, Any]) -> Generator[None]:
    """Replace attributes of a class while the block runs, if it has every one of them."""
    before = {name: vars(owner)[name] for name in attributes if owner and name in vars(owner)}
    if before.keys() != attributes.keys():
        yield
        return
    try:
        for name in attributes:
            setattr(owner, name, attributes[name])
        yield
    finally:
        for name in before:
            setattr(owner, name, before[name])
