"""How another library answers, in an environment of its own, which has numpy but neither torch nor our services."""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.acquisition.inputs import Inputs
from bench.acquisition.measured import measured


@dataclass(frozen=True, slots=True)
class Call:
    """What is measured.

    Attributes:
        name: what of the library is called, for the table.
        run: returns the picks, rows of the pool.
    """

    name: str
    run: Callable[[], npt.ArrayLike]


Prepare = Callable[[Inputs, int, int], Call]


def answer(prepared: Mapping[str, Prepare]) -> None:
    """Reads a JSON request from the command line and prints seconds, bytes and picks, or why not, as one JSON line.

    Args:
        prepared: by the name of our function, what makes the library's call from inputs, k and a seed: everything that
            a user has before the call is made here and not measured.
    """
    request = json.loads(sys.argv[1])
    most = int(request["bytes"])
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    prepare, k, seed = prepared[request["function"]], request["k"], request["seed"]
    try:
        prepare(Inputs(Path(request["warm"]), request["head"]), k, seed).run()
        call = prepare(Inputs(Path(request["inputs"]), request["head"]), k, seed)
        found = measured(call.run)
        answered: dict[str, Any] = {
            "name": call.name,
            "seconds": found.seconds,
            "bytes": found.bytes,
            "picks": np.asarray(found.result, np.int64).tolist(),
        }
    except MemoryError:
        answered = {"skipped": f"needs more than {most >> 30} GiB"}
    except RuntimeError as error:
        # What torch raises where Python raises MemoryError.
        if "memory" not in str(error):
            raise
        answered = {"skipped": f"needs more than {most >> 30} GiB"}
    print(json.dumps(answered))
