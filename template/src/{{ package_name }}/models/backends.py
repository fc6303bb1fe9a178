"""What computes a bundle's model on the CPU. Each library is imported only where it is used."""

from collections.abc import Callable

import numpy as np

from .bundle import INT8, ONNX, Bundle

Run = Callable[[np.ndarray], np.ndarray]
"""Returns the outputs [rows, num_outputs] of inputs [rows, ...]."""


def load_onnx(bundle: Bundle, *, num_threads: int) -> Run:
    """Return what ONNX Runtime computes, in int8 if the bundle has that."""
    return session(bundle.files[INT8 if INT8 in bundle.files else ONNX], num_threads=num_threads)


def load_torch(bundle: Bundle, *, num_threads: int) -> Run:
    """Return what PyTorch computes, whose number of threads is that of the whole process."""
    import torch

    torch.set_num_threads(num_threads)
    model = bundle.model

    @torch.inference_mode()
    def run(inputs: np.ndarray) -> np.ndarray:
        return model(torch.from_numpy(inputs)).numpy()

    return run


BACKENDS: dict[str, tuple[str, Callable[..., Run]]] = {
    "onnx": ("onnxruntime", load_onnx),
    "torch": ("torch", load_torch),
}
"""The library that each back end needs, and what loads a bundle into it."""


def session(content: bytes, *, num_threads: int = 1) -> Run:
    """Return what ONNX Runtime computes of the content of a file."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_threads
    options.inter_op_num_threads = 1
    # Memory stays where it was after a large batch. The arena keeps it, for no gain in time: after
    # batches of 16 texts of up to 128 tokens the process has 104 MB without it, 135 MB with it.
    options.enable_cpu_mem_arena = options.enable_mem_pattern = False
    # Threads that wait in a loop slow down the others of the server.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    made = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    [taken] = made.get_inputs()
    return lambda inputs: np.asarray(made.run(None, {taken.name: inputs})[0])
