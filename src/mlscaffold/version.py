"""The version of mlscaffold that is installed."""

DISTRIBUTION = "mlscaffold-cli"
"""The name on the package index, where `mlscaffold` is another project."""


def installed_version() -> str:
    """Return the version, empty if mlscaffold runs without an installation."""
    from importlib import metadata  # only where it is needed: it takes a tenth of a command's time

    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return ""
