"""The docstrings of the running Python's standard library, each with its module's topic."""

import ast
import sysconfig
from collections.abc import Iterator
from math import log2
from pathlib import Path
from typing import Any

from .rows import Values

TOPICS = {
    "networking": """
        email ftplib http imaplib ipaddress mailbox nturl2path poplib smtplib socket
        socketserver ssl urllib uuid webbrowser wsgiref xmlrpc""",
    "concurrency": """
        _threading_local asyncio concurrent contextvars multiprocessing queue sched selectors
        signal subprocess threading""",
    "files": """
        _compression _pyio bz2 dbm filecmp fileinput fnmatch genericpath glob gzip io linecache
        lzma mimetypes netrc ntpath os pathlib pickle pickletools plistlib posixpath shelve
        shutil sqlite3 stat tarfile tempfile wave zipapp zipfile zipimport""",
    "numbers": """
        _pydatetime _pydecimal _strptime bisect calendar colorsys datetime decimal fractions
        hashlib heapq hmac numbers random secrets statistics zoneinfo""",
    "code": """
        _collections_abc _py_abc abc ast code codeop collections compileall contextlib copy
        copyreg ctypes dataclasses dis ensurepip enum functools graphlib importlib inspect
        keyword modulefinder opcode operator pkgutil platform py_compile pyclbr pydoc runpy site
        symtable sysconfig tabnanny token tokenize types typing venv weakref""",
    "testing": """
        bdb cProfile doctest logging pdb profile pstats timeit trace traceback tracemalloc
        unittest warnings""",
    "interface": """
        argparse cmd curses getopt getpass idlelib optparse pty rlcompleter tkinter tty turtle
        turtledemo""",
    "text": """
        _markupbase base64 codecs configparser csv difflib encodings gettext html json locale
        pprint quopri re reprlib shlex string stringprep textwrap tomllib xml""",
}
"""The modules and packages of each topic; Python 3.14 lacks one of them, `_compression`."""

SKIPPED_FOLDERS = frozenset({"idle_test", "site-packages", "test", "tests"})
MIN_WORDS = 3

_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def rows() -> Iterator[Values]:
    """Yield each docstring with its topic and module file, in the order of files and lines.

    `target` is log2 of the lines of what it documents, `labels` says what that is.
    """
    for module, label, path in _labelled_files():
        for node, text in _docstrings(path):
            if len(text.split()) >= MIN_WORDS:
                facts = {"target": log2(_num_lines(node)), "labels": _traits(node)}
                yield {"text": text, "label": label, "module": module, **facts}


def _labelled_files() -> list[tuple[str, str, Path]]:
    """Return the files with a topic, sorted, as (`json/decoder.py`, `text`, path)."""
    topic_of = {name: topic for topic, names in TOPICS.items() for name in names.split()}
    root = Path(sysconfig.get_path("stdlib"))
    return sorted(
        (relative.as_posix(), topic_of[name], path)
        for path in root.rglob("*.py")
        if SKIPPED_FOLDERS.isdisjoint((relative := path.relative_to(root)).parts)
        and (name := relative.parts[0].removesuffix(".py")) in topic_of
    )


def _docstrings(path: Path) -> Iterator[tuple[ast.AST, str]]:
    """Yield the docstrings of a file in the order of their lines, white space collapsed."""
    tree = ast.parse(path.read_bytes(), filename=str(path))
    nodes = [node for node in ast.walk(tree) if isinstance(node, _DOCUMENTED)]
    for node in sorted(nodes, key=lambda node: getattr(node, "lineno", 0)):
        yield node, " ".join((ast.get_docstring(node) or "").split())


def _num_lines(node: Any) -> int:
    return node.body[-1].end_lineno - getattr(node, "lineno", 1) + 1


def _traits(node: Any) -> list[str]:
    """Return what a module, class or function is, in words."""
    arguments = getattr(node, "args", None)
    names = [one.arg for one in arguments.args + arguments.kwonlyargs] if arguments else []
    traits = {
        "module": isinstance(node, ast.Module),
        "class": isinstance(node, ast.ClassDef),
        "method": names[:1] in (["self"], ["cls"]),
        "private": getattr(node, "name", "").startswith("_"),
        "with parameters": bool({*names} - {"self", "cls"}),
        "with decorators": bool(getattr(node, "decorator_list", ())),
    }
    return [trait for trait, is_so in traits.items() if is_so]
