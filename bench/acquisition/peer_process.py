"""How another library answers, in an environment of its own, which has numpy but neither torch nor our services."""

from __future__ import annotations

import json
import resource
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Final

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


_WARM_K: Final = 10

Prepare = Callable[[Inputs, int, int], Call]


def answer(prepared: Mapping[str, Prepare]) -> None:
    """Reads a JSON request from the command line and prints seconds, bytes and picks, or why not, as one JSON line.

    Args:
        prepared: by the name of our function, what makes the library's call from inputs, k and a seed: everything that
            a user has before the call is made here and not measured.
    """
    request = json.loads(sys.argv[1])
    most, seconds = int(request["bytes"]), float(request["seconds"])
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    prepare, k, seed = prepared[request["function"]], request["k"], request["seed"]
    inputs, warm = (Inputs(Path(request[name]), request["head"]) for name in ("inputs", "warm"))
    try:
        prepare(warm, min(k, _WARM_K), seed).run()
        call = prepare(inputs, k, seed)
        with _at_most(seconds):
            found = measured(call.run)
    except TimeoutError:
        answered: dict[str, Any] = {"skipped": f"more than {seconds:g} s"}
    except (MemoryError, RuntimeError) as error:
        # The second is what torch raises instead of the first.
        if isinstance(error, RuntimeError) and "memory" not in str(error):
            raise
        answered = {"skipped": f"needs more than {most >> 30} GiB"}
    else:
        picks = np.asarray(found.result, np.int64).tolist()
        answered = {"name": call.name, "seconds": found.seconds, "bytes": found.bytes, "picks": picks}
    print(json.dumps(answered))


@contextmanager
def _at_most(seconds: float) -> Iterator[None]:
    """Raises TimeoutError out of the block, at the next line of Python, when it takes longer."""

    def late(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - what a handler is given
        raise TimeoutError

    signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
