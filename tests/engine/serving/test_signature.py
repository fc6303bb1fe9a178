"""Bundles that are signed, and bundles that are not what was signed."""

import re
import shutil
import subprocess
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from miniature import CONFIGS
from toy_project.config import TrackingConfig
from toy_project.models.bundle import Bundle, BundleError
from toy_project.rules import ConfigError
from toy_project.serving.source import load_predictor
from toy_project.tracking.base import create_tracker
from toy_project.tracking.registry import create_registry

from ..conftest import TRACKERS, has
from .conftest import compose
from .test_swap import other


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


def test_what_was_verified_is_what_is_served(
    signed: tuple[Path, Path], bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, public = signed
    verifier = import_module("model_signing.verifying").Config
    verify = verifier.verify

    def verify_then_replace(*arguments: Any) -> None:
        verify(*arguments)
        other(bundle, 1).save(folder)

    monkeypatch.setattr(verifier, "verify", verify_then_replace)
    assert load(folder, public) == bundle.version
    assert Bundle.load(folder).version != bundle.version


@pytest.mark.skipif(not TRACKERS, reason="the project has no registry")
def test_a_champion_is_served_if_it_is_signed(
    signed: tuple[Path, Path], bundle: Bundle, tracking: TrackingConfig
) -> None:
    folder, public = signed
    config = compose("serving.model=champion", f"deployment.signature_key={public}")
    config = replace(config, tracking=tracking)
    registry, name = create_registry(tracking), config.registry.model_name

    def promote(tags: dict[str, str]) -> str:
        with create_tracker(tracking).start("a run") as run:
            model = registry.register(name, folder, run=run, description="", tags=tags)
            registry.promote(model, run=run)
        return model.version

    version = promote(bundle.tags())
    assert load_predictor(config).version == version
    (folder / "model.sig").unlink()
    version = promote({"bundle_sha256": bundle.sha256})
    reason = f"version {version} of {name} is not signed with the private key of {public} ("
    with pytest.raises(BundleError, match=f"^{re.escape(reason)}"):
        load_predictor(config)


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
    assert "Digest" not in str(refused.value)


@pytest.mark.skipif(not has("bento"), reason="the project makes no bentos")
def test_a_bento_refuses_it_too(bundle_folder: Path, tmp_path: Path) -> None:
    _, public = make_keys(tmp_path, "ours")
    settings = (CONFIGS / "deployment" / "kubernetes.yaml").read_text()
    project = tmp_path / "project"
    shutil.copytree(CONFIGS, project / "configs")
    changed = settings.replace("signature_key: null", f"signature_key: {public}")
    (project / "configs" / "deployment" / "kubernetes.yaml").write_text(changed)
    shutil.copytree(bundle_folder, project / "models" / "bundle")
    code = "import asyncio; from toy_project.bento import engine as e; asyncio.run(e.load()); "
    code += "print(e.error)"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True)
    assert "models/bundle is not signed with the private key of " in done.stdout, done.stderr


def test_a_key_that_is_no_file_is_named(signed: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^deployment\.signature_key must be a file, got "):
        load(signed[0], tmp_path / "missing.pub")
