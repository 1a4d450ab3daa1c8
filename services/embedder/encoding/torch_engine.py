"""Runs a backbone with torch: on a GPU, or on a CPU where OpenVINO cannot."""

from __future__ import annotations

import copy
import threading

import numpy as np
import numpy.typing as npt
import torch

from services.embedder.encoding.engine import Padded
from services.embedder.encoding.network import Network

_CPU_BUDGET = 1024
_GPU_BUDGET = 32_768


def cuda_available() -> bool:
    """Tells whether torch can use a GPU."""
    return torch.cuda.is_available()


class TorchEngine:
    """Embeds with torch. See `Engine`.

    Args:
        network: What is run; on another device or in another precision, a copy of it.
        device: "cpu" or "cuda".
        precision: "float32" or "bfloat16".
        pad_id: The id that stands for padding.
        threads: Threads of one forward pass on a CPU.
        budget: Tokens of a batch; 0 means what suits the device.
    """

    def __init__(
        self, network: Network, *, device: str, precision: str, pad_id: int, threads: int = 1, budget: int = 0
    ) -> None:
        dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16}[precision]
        on_gpu = device == "cuda"
        if on_gpu or dtype is not torch.float32:
            network = copy.deepcopy(network).to(device=device, dtype=dtype)
        if not on_gpu:
            torch.set_num_threads(threads)
        self._network = network
        self._device = device
        self._local = threading.local()
        self.name = f"torch {precision}" + (f" on {torch.cuda.get_device_name()}" if on_gpu else "")
        self.pad_id = pad_id
        self.budget = budget or (_GPU_BUDGET if on_gpu else _CPU_BUDGET)
        one = np.full((1, 1), pad_id, np.int64)
        self.dimension = self.embed(Padded(one, np.ones_like(one), None)).shape[1]

    def embed(self, batch: Padded) -> npt.NDArray[np.float32]:
        """Returns the pooled vectors, float32, shape (B, H)."""
        with torch.inference_mode():
            if self._device == "cpu":
                return self._run(batch)
            # A stream for each thread, so that one thread's copies overlap the other's forward pass.
            if not hasattr(self._local, "stream"):
                self._local.stream = torch.cuda.Stream()
            with torch.cuda.stream(self._local.stream):
                return self._run(batch)

    def _run(self, batch: Padded) -> npt.NDArray[np.float32]:
        arrays = (batch.ids, batch.mask) if batch.types is None else (batch.ids, batch.mask, batch.types)
        vectors = self._network(*(torch.from_numpy(array).to(self._device, non_blocking=True) for array in arrays))
        result: npt.NDArray[np.float32] = vectors.float().cpu().numpy()
        return result
