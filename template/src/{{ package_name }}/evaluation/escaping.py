"""Escaping of text from data, such as a label, for Markdown, a spreadsheet or a terminal."""

import re
from typing import Any

_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Terminal control codes and changes of text direction."""
_MARKUP = re.compile(r"[$&*<@\[\\`{|~]|:(?=//)|(?<![^\W_])_|_(?![^\W_])")
"""What may be markup: `_` only at the edge of a word, `:` only in an address."""
_FORMULA_STARTS = (*"=+-@'\t\r\n", *"＝＋－＠")  # noqa: RUF001
_NUMBER = re.compile(r"[+-]?[0-9]+([.,][0-9]+)?")


def one_line(text: str) -> str:
    """Return the text on one line, with � for each control character."""
    return _CONTROLS.sub("�", " ".join(text.split()))


def markdown(text: str) -> str:
    """Return the text for Markdown, as entities: in tables, backslashes differ by renderer."""
    return _MARKUP.sub(lambda match: f"&#{ord(match[0])};", one_line(text))


def markdown_code(text: str) -> str:
    """Return the text as a code span, in a table too, with � for what would end either."""
    return f"`{re.sub('[`|]', '�', one_line(text))}`"


def cell(value: Any) -> Any:
    """Return a value for a cell of a CSV; a `'` goes before text that is a formula.

    See https://owasp.org/www-community/attacks/CSV_Injection. A number stays as it is.
    """
    if not isinstance(value, str):
        return value
    text = value
    is_computed = text.startswith(_FORMULA_STARTS) and not _NUMBER.fullmatch(text)
    return f"'{text}" if is_computed else text


def from_cell(text: str) -> str:
    """Return the text that was given to `cell`."""
    return text.removeprefix("'")
