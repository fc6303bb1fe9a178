"""Signatures of bundles, in the format of OpenSSF Model Signing."""

from importlib import import_module
from pathlib import Path

from ..models.bundle import BundleError
from ..rules import ConfigError, require
from ..serving.config import ServeConfig
from .config import settings

SIGNATURE = "model.sig"
"""The file in a bundle that signs all others."""


def require_signed(bundle: Path, config: ServeConfig) -> None:
    """Return if the bundle is signed so that `deployment.signature_key` fits, or that is null.

    Raises:
        ConfigError: The key is no file, or model-signing is not installed.
        BundleError: The bundle has no signature, one of another key or one of other files.
    """
    public_key = settings(config).signature_key
    if public_key is None:
        return
    require(Path(public_key).is_file(), "deployment.signature_key", "a file", public_key)
    try:
        verifying = import_module("model_signing.verifying")
    except ImportError as error:
        command = "uv add model-signing pyopenssl"
        message = f"deployment.signature_key needs model-signing; run `{command}`"
        raise ConfigError(message) from error
    try:
        verifier = verifying.Config().use_elliptic_key_verifier(public_key=public_key)
        verifier.verify(bundle, bundle / SIGNATURE)
    except Exception as error:  # a damaged signature may raise anything
        reason = f"is not signed with the private key of {public_key} ({error!s:.200})"
        raise BundleError(f"{bundle} {reason}; run `make sign`") from error
