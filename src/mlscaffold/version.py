"""The version of mlscaffold that is installed."""

from importlib import metadata

DISTRIBUTION = "mlscaffold-cli"
"""The name on the package index, where `mlscaffold` is another project."""


def installed_version() -> str:
    """Return the version; raise PackageNotFoundError if mlscaffold runs without installation."""
    return metadata.version(DISTRIBUTION)
