"""Makes the bundle of a trained model, with an export that ONNX Runtime computes."""

import io
import logging
import warnings
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save
from safetensors.torch import save as save_weights
from torch import Tensor
from torch.export import Dim

from ..data.dataset import Split
from ..data.spec import DataSpec
from ..lineage import Lineage
from .base import Model
from .bundle import CHECKS, INT8, ONNX, TOLERANCE, WEIGHTS, Bundle, session

NUM_CHECKS = 32
"""Rows that are kept to check a back end with, at most."""

log = logging.getLogger(__name__)


def make_bundle(
    model: Model,
    spec: DataSpec,
    lineage: Lineage,
    rows: Split,
    *,
    exports: bool = True,
    quantises: bool = False,
) -> Bundle:
    """Return the bundle of a model on the CPU; `rows` are encoded ones that training did not see.

    If the model cannot be exported, a line in the log says why: only PyTorch can compute it. If it
    is to be quantised and cannot be, a line says why: it is computed in float32.
    """
    model.eval()
    by_length = rows.lengths.argsort(stable=True)
    some = by_length[torch.linspace(0, len(rows) - 1, min(NUM_CHECKS, len(rows))).long()]
    inputs = rows.inputs(some).numpy()
    checks = {"inputs": inputs, "outputs": _outputs(model, inputs)}
    files = {WEIGHTS: save_weights(model.state_dict())}
    if exports:
        try:
            files[ONNX] = to_onnx(model, [rows.inputs(one) for one in _batches(some)])
        except Exception as error:  # the exporter raises errors of many types
            log.warning("no %s, only PyTorch can compute this model: %s", ONNX, _reason(error))
    if quantises and ONNX in files:
        try:
            files[INT8], checks["int8"] = to_int8(files[ONNX], inputs)
        except Exception as error:  # so does the quantizer
            log.warning("no %s, the model stays in float32: %s", INT8, _reason(error))
    files[CHECKS] = save(checks)
    return Bundle(asdict(model.config), spec, lineage, files)


def _reason(error: Exception) -> str:
    return " ".join(str(error.__cause__ or error).split())[:200]


def _batches(rows: Tensor) -> list[Tensor]:
    """Return batches of different sizes, and of rows of different lengths."""
    return [rows[-2:], rows, rows[:1], rows[-1:], *rows[:-1].split(5)]


def check_bundle(bundle: Bundle) -> None:
    """Check that what the bundle holds gives the outputs of the trained model.

    Raises:
        BundleError: PyTorch or ONNX Runtime give others.
    """
    bundle.check(partial(_outputs, bundle.model))
    if ONNX in bundle.files:
        bundle.check(session(bundle.files[ONNX]))
    if INT8 in bundle.files:
        bundle.check(session(bundle.files[INT8]), is_int8=True)


def to_onnx(model: Model, batches: Iterable[Tensor]) -> bytes:
    """Return the content of an ONNX file, which gives the model's outputs for each batch.

    The first batch is what the model is traced with. Batches may have any number of rows, and rows
    any length that the model can read.

    Raises:
        ValueError: It gives other outputs in ONNX Runtime.
    """
    first, *_ = batches = list(batches)
    # A model that needs a fixed second dimension gets one.
    sizes = dict.fromkeys(range(min(first.ndim, 2)), Dim.AUTO)
    with _quiet(), _traceable():
        program: Any = torch.onnx.export(
            model, (first,), dynamic_shapes=(sizes,), dynamo=True, verbose=False
        )
        for node in program.model.graph.all_nodes():
            node.metadata_props.clear()  # where the code lies on this machine
        file = io.BytesIO()
        program.save(file, external_data=False)
    run = session(file.getvalue())
    for batch in batches:
        inputs = batch.numpy()
        outputs, expected = run(inputs), _outputs(model, inputs)
        if not np.allclose(outputs, expected, rtol=TOLERANCE, atol=TOLERANCE):
            error = np.abs(outputs - expected).max()
            raise ValueError(f"for inputs {[*inputs.shape]} its outputs are off by {error:.2g}")
    return file.getvalue()


def to_int8(content: bytes, inputs: np.ndarray) -> tuple[bytes, np.ndarray]:
    """Return an ONNX file with matrices and embeddings of int8, and its outputs for inputs.

    It scales what it multiplies as it comes ("dynamic quantization"), all rows of a pass together:
    the rows beside it change the outputs of a row a little. Convolutions stay in float32.

    Raises:
        ValueError: The model has no matrix of weights, or gives no numbers in int8.
    """
    from onnxruntime.quantization import quantize_dynamic

    with _quiet(), TemporaryDirectory() as folder:
        before, after = Path(folder, ONNX), Path(folder, INT8)
        before.write_bytes(content)
        # Matrices have 7 bits: sums of products with 8 overflow on CPUs without VNNI.
        quantize_dynamic(before, after, ["MatMul", "Gather"], per_channel=True, reduce_range=True)
        made = after.read_bytes()
    if b"MatMulInteger" not in made:
        raise ValueError("it has no matrix of weights")
    outputs = session(made)(inputs)
    if not np.isfinite(outputs).all():
        raise ValueError("it gives NaN or infinity in int8")
    return made, outputs


@torch.inference_mode()
def _outputs(model: Model, inputs: np.ndarray) -> np.ndarray:
    return model(torch.from_numpy(inputs)).numpy()


@contextmanager
def _traceable() -> Generator[None]:
    """Let nn.MultiheadAttention use operators that can be exported."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


@contextmanager
def _quiet() -> Generator[None]:
    """Keep what the exporter logs about its own steps out of a stage's output."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
