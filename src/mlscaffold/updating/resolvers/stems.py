"""What a line or an item is about: the part that stays when its value changes."""

import re

_REQUIREMENT = re.compile(
    r"""\s*(?:-\s+)?(["']?)([A-Za-z0-9][\w.-]*)(?:\[[\w.,\s-]*\])?\s*(?:[<>=!~]=|[<>])"""
)
_SETTING = re.compile(r"""\s*((?:-\s+)?["']?[\w./-]+["']?\s*(?::(?!=)|[:?+]?=(?!=)))""")
_NAME = re.compile(r"([A-Za-z0-9][\w.-]*)\s*(?:[\[@;<>=!~]|$)")
_BOUND = re.compile(r"[A-Za-z0-9][\w.-]*\s*(?:\[[^\]]*\]\s*)?(?:[<>=!~]=|[<>]|@\s)")
_USES = re.compile(r"\s*(-?\s*uses:\s*[^@\s]+)@")


def stem_of(line: str) -> str:
    """Return what a line is about: a requirement's name, a setting's key; empty for other lines."""
    if found := _REQUIREMENT.match(line):
        return f"{found[2].lower().replace('_', '-').replace('.', '-')} {len(found[1])}"
    if found := _USES.match(line) or _SETTING.match(line):
        return re.sub(r"\s", "", found[1])
    return ""


def requirement_of(text: str) -> str:
    """Return the normalized name of a requirement, with a version or without; "" if it has none."""
    found = _NAME.match(text)
    return re.sub(r"[-_.]+", "-", found[1]).lower() if found else ""


def has_bound(text: str) -> bool:
    """Return whether a text is a requirement with a version or an address."""
    return bool(_BOUND.match(text))
