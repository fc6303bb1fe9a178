"""Bundles that are signed, and bundles that are not what was signed."""

import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from toy_project.models.bundle import BundleError
from toy_project.rules import ConfigError
from toy_project.serving.source import load_predictor

from .conftest import compose


def make_keys(folder: Path, name: str) -> tuple[Path, Path]:
    """Return the files of a private and a public key."""
    key = ec.generate_private_key(ec.SECP256R1())
    pem = serialization.Encoding.PEM
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    paths = folder / f"{name}.pem", folder / f"{name}.pub"
    for path, content in zip(paths, (private, public), strict=True):
        path.write_bytes(content)
    return paths


@pytest.fixture
def signed(bundle_folder: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A bundle signed as `make sign` does, and the public key."""
    private, public = make_keys(tmp_path, "ours")
    command = [sys.executable, "-m", "model_signing", "sign", "key", bundle_folder]
    command += ["--private_key", private, "--signature", bundle_folder / "model.sig"]
    subprocess.run(command, check=True, capture_output=True)
    return bundle_folder, public


def load(bundle: Path, public: Path | None) -> str:
    """Return the version of the model that a server would load."""
    key = f"deployment.signature_key={public or 'null'}"
    return load_predictor(compose(f"serving.model={bundle}", key)).version


def test_a_signed_bundle_is_served(signed: tuple[Path, Path]) -> None:
    bundle, public = signed
    assert load(bundle, public) == load(bundle, None)


@pytest.mark.parametrize("change", ["weights", "another file", "no signature", "another key"])
def test_a_bundle_that_was_not_signed_so_is_refused(
    change: str, signed: tuple[Path, Path], tmp_path: Path
) -> None:
    bundle, public = signed
    match change:
        case "weights":
            content = bytearray((bundle / "model.safetensors").read_bytes())
            content[-1] ^= 1
            (bundle / "model.safetensors").write_bytes(content)
        case "another file":
            (bundle / "more.json").write_text("{}")
        case "no signature":
            (bundle / "model.sig").unlink()
        case "another key":
            _, public = make_keys(tmp_path, "theirs")
    with pytest.raises(BundleError) as refused:
        load(bundle, public)
    assert str(refused.value).startswith(
        f"{bundle} is not signed with the private key of {public} ("
    )
    assert str(refused.value).endswith("; run `make sign`")


def test_a_key_that_is_no_file_is_named(signed: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^deployment\.signature_key must be a file, got "):
        load(signed[0], tmp_path / "missing.pub")
