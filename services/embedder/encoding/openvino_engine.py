"""Runs a backbone with OpenVINO on a CPU, pooling and normalisation inside the graph."""

from __future__ import annotations

import os
import shutil
import sys
import threading
import uuid
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from services.embedder.encoding.engine import Padded

# Importing OpenVINO would send telemetry from forks of this process, which has threads and connections. Without the
# package for it OpenVINO sends nothing.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

import openvino  # noqa: E402
from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder  # noqa: E402

_BUDGET = 1024
_GRAPH = "model.xml"


def convert(network: Any, example: dict[str, Any], folder: Path) -> None:
    """Writes a torch network as an OpenVINO graph, which loads in a fraction of a second ever after.

    The folder appears whole or not at all; one that is there already stays.

    Args:
        network: A torch module.
        example: Its inputs by name, as torch tensors of more than one row, some padded.
        folder: Where the graph goes.

    Raises:
        Exception: Whatever the conversion of an architecture that OpenVINO does not know raises.
    """
    aside = folder.with_name(f".{folder.name}-{uuid.uuid4().hex}")
    aside.mkdir(parents=True)
    try:
        with warnings.catch_warnings():
            # Tracing warns of every branch that it makes constant; the cosines of the probe tell whether one matters.
            warnings.simplefilter("ignore")
            # Tracing twice to compare the two would double the seconds; the probe compares the vectors themselves.
            decoder = TorchScriptPythonDecoder(network, example_input=example, trace_kwargs={"check_trace": False})
            graph = openvino.convert_model(decoder, example_input=example)
        openvino.save_model(graph, aside / _GRAPH, compress_to_fp16=False)
        for file in aside.iterdir():
            with file.open("rb") as opened:
                os.fsync(opened.fileno())
        try:
            aside.rename(folder)
        except OSError:
            if not is_converted(folder):
                raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def is_converted(folder: Path) -> bool:
    """Tells whether `convert` has written a graph there."""
    return (folder / _GRAPH).is_file()


class OpenVinoEngine:
    """Embeds with OpenVINO. See `Engine`.

    Each worker's forward pass runs on a stream with threads of its own, so that two batches on two cores need not wait
    for one another in the middle of each layer.

    Args:
        folder: Where `convert` wrote the graph.
        precision: "float32" or "bfloat16".
        pad_id: The id that stands for padding.
        workers: Threads that call `embed` at once.
        threads: Threads of all forward passes together.
        budget: Tokens of a batch; 0 means what suits a CPU.
    """

    def __init__(
        self, folder: Path, *, precision: str, pad_id: int, workers: int, threads: int, budget: int = 0
    ) -> None:
        self._compiled = openvino.Core().compile_model(
            folder / _GRAPH,
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16"}[precision],
                "NUM_STREAMS": workers,
                "INFERENCE_NUM_THREADS": threads,
                # Other processes share the cores: a pinned stream would wait for its core while another idles.
                "ENABLE_CPU_PINNING": False,
            },
        )
        self._local = threading.local()
        self.name = f"openvino {precision}"
        self.pad_id = pad_id
        self.budget = budget or _BUDGET
        self._types = len(self._compiled.inputs) > 2
        one = np.full((1, 1), pad_id, np.int64)
        types = np.zeros_like(one) if self._types else None
        self.dimension = self.embed(Padded(one, np.ones_like(one), types)).shape[1]

    def embed(self, batch: Padded) -> npt.NDArray[np.float32]:
        """Returns the pooled vectors, float32, shape (B, H)."""
        if not hasattr(self._local, "request"):
            self._local.request = self._compiled.create_infer_request()
        request = self._local.request
        inputs = {"input_ids": batch.ids, "attention_mask": batch.mask}
        if self._types:
            inputs["token_type_ids"] = np.zeros_like(batch.ids) if batch.types is None else batch.types
        request.infer(inputs, share_inputs=True)
        # The output's memory belongs to the request, which the next batch overwrites.
        result: npt.NDArray[np.float32] = request.get_output_tensor(0).data.astype(np.float32)
        return result
