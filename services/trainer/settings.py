"""What a worker is told, handed on to the processes that do its work."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass

_VARIABLE = "PREPAL_WORKER_SETTINGS"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a worker works.

    Attributes:
        data: the data folder.
        redis: URL of the Redis with the jobs.
        queue_redis: URL of the Redis with RQ's queue.
        worker: the worker's name; the tokens of its attempts begin with it.
        lease_seconds: how long an attempt is taken to be alive after it was last heard of, 1 to 3,600.
        checkpoint_seconds: how often a checkpoint to go on from is written, 0 to 86,400.
        nice: how far an attempt stands back behind interactive work on the same machine, 0 to 19.
    """

    data: str
    redis: str
    queue_redis: str
    worker: str
    lease_seconds: float
    checkpoint_seconds: float
    nice: int

    def __post_init__(self) -> None:
        """Raises ValueError that names the option, its limit and its value."""
        limits = (("lease_seconds", 1, 3600), ("checkpoint_seconds", 0, 86_400), ("nice", 0, 19))
        for name, low, high in limits:
            if not low <= getattr(self, name) <= high:
                option = name.replace("_", "-")
                raise ValueError(f"{option} must be between {low} and {high}, got {getattr(self, name):g}")
        if "://" in self.data:
            raise ValueError(
                f"data must be a folder for the trainer, got {self.data!r}; checkpoints are not kept elsewhere"
            )

    def export(self) -> None:
        """Leaves the settings to the processes that this one starts."""
        os.environ[_VARIABLE] = json.dumps(asdict(self))

    @classmethod
    def inherited(cls) -> Settings:
        """Returns the settings of the worker that started this process."""
        values = json.loads(os.environ[_VARIABLE])
        return cls(
            data=values["data"],
            redis=values["redis"],
            queue_redis=values["queue_redis"],
            worker=values["worker"],
            lease_seconds=values["lease_seconds"],
            checkpoint_seconds=values["checkpoint_seconds"],
            nice=values["nice"],
        )
