"""A comment at a line's end on one side, a change of the line itself on the other.

Certain where one side changed nothing but the comment, and the other left the comment alone.
Its result is only checked for being valid.
"""

import io
import re
import tokenize

from .clash import Clash, Solution
from .kinds import Kind

NAME = "comment"

_HASHED = {Kind.PYTHON, Kind.TOML, Kind.YAML, Kind.REQUIREMENTS}
# Here a comment is the name of the commit.
_NAMED_COMMIT = re.compile(r"\s*(?:-\s+)?(?:uses|rev):")
# A `#` outside quotes, at the start or after a space.
_COMMENT = re.compile(
    r"""((?:[^"'#]|(?<!\s)#|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')*?)(\s+#[^\n]*)"""
)


def resolve(clash: Clash) -> Solution | None:
    """Return the changed line with the comment."""
    if clash.kind not in _HASHED or {*map(len, (clash.base, clash.ours, clash.theirs))} != {1}:
        return None
    (base,), (ours,), (theirs,) = clash.base, clash.ours, clash.theirs
    line = merged(clash.kind, base, ours, theirs)
    return Solution((line,), (NAME,), (line,), (line,)) if line else None


def merged(kind: Kind, base: str, ours: str, theirs: str) -> str:
    """Return the line with the comment of one side and the rest of the other, or ""."""
    if kind not in _HASHED or (kind is Kind.YAML and _NAMED_COMMIT.match(base)):
        return ""
    old, mine, new = (_split(kind, line) for line in (base, ours, theirs))
    for commented, changed in ((mine, new), (new, mine)):
        if commented[0] == old[0] != changed[0] and commented[1] != old[1] == changed[1]:
            return f"{changed[0]}{commented[1]}{commented[2]}" if changed[0].strip() else ""
    return ""


def _split(kind: Kind, line: str) -> tuple[str, str, str]:
    """Return a line's code, its comment with the space before it, and its end."""
    text = line.rstrip("\r\n")
    end = line[len(text) :]
    column = _python_column(text) if kind is Kind.PYTHON else _column(text)
    code = text[:column].rstrip()
    return code, text[len(code) :].rstrip(), end


def _column(text: str) -> int:
    found = _COMMENT.fullmatch(text)
    return found.end(1) if found else len(text)


def _python_column(text: str) -> int:
    """Return where the comment begins; a line inside a longer statement is read on its own."""
    try:
        for token in tokenize.generate_tokens(io.StringIO(text.strip()).readline):
            if token.type == tokenize.COMMENT:
                return token.start[1] + len(text) - len(text.lstrip())
    except (tokenize.TokenError, SyntaxError):
        # Brackets that are closed on another line: the tokens of this line have all been seen.
        pass
    return len(text)
