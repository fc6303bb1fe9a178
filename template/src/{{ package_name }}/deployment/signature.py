"""Signatures of bundles, in the format of OpenSSF Model Signing."""

import shutil
from dataclasses import replace
from importlib import import_module
from pathlib import Path

from ..models.bundle import Bundle, BundleError, explained, private_copy
from ..rules import ConfigError, require
from ..serving.config import ServeConfig
from .config import settings

SIGNATURE = "model.sig"
"""The file in a bundle that signs all others."""


def load_signed(folder: Path, config: ServeConfig) -> Bundle:
    """Return the bundle in `folder`, which `deployment.signature_key` fits, unless that is null.

    A copy is checked and read, so that it cannot be replaced in between.

    Raises:
        ConfigError: The key is no file, or model-signing is not installed.
        BundleError: The bundle has no signature, one of another key or one of other files.
    """
    public_key = settings(config).signature_key
    if public_key is None:
        return Bundle.load(folder)
    require(Path(public_key).is_file(), "deployment.signature_key", "a file", public_key)
    try:
        verifying = import_module("model_signing.verifying")
    except ImportError as error:
        command = "uv add model-signing pyopenssl"
        message = f"deployment.signature_key needs model-signing; run `{command}`"
        raise ConfigError(message) from error
    with private_copy(folder) as copy:
        with explained(folder):
            shutil.copytree(folder, copy, symlinks=True)
        try:
            verifier = verifying.Config().use_elliptic_key_verifier(public_key=public_key)
            verifier.verify(copy, copy / SIGNATURE)
        except Exception as error:  # a damaged signature may raise anything
            cause = str(error).partition(": Expected")[0].replace('["', "")  # digests follow
            reason = f"is not signed with the private key of {public_key} ({cause:.200})"
            raise BundleError(f"{copy} {reason}; run `make sign`") from error
        return replace(Bundle.load(copy), folder=folder)
