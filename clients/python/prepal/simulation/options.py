"""What a simulation is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from prepal.values.acquisition import AcquisitionParameters, acquisition_name
from prepal.values.enums import Acquisition, PairMode, parse
from prepal.values.head import Head, LogisticHead

# What the services take in one Select.
MOST_SELECTED = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulationOptions:
    """What a simulation does: for every acquisition and seed, a start and then rounds of select, label, refit.

    A run measures at `start`, `start + step`, ..., `start + rounds * step` labels.

    Attributes:
        acquisitions: What chooses, "max_entropy" and the like; at least one, each once. "random" is what the summary
            compares the others with.
        parameters: What acquisition functions read; each takes what is its own.
        head: What is fit on the labels.
        cold_start: What chooses the start: "random", "coreset", "kmeans", "typiclust" or "prob_cover".
        start: Items labeled first, 1 to 1,000; every acquisition of a seed begins with the same ones.
        step: Items chosen and labeled in each further round, 1 to 1,000.
        rounds: Further rounds, 0 to 100,000.
        seeds: Runs of each acquisition, with the seeds 0 to `seeds - 1`; 1 to 1,000.
        backbone: What embeds the texts: "minilm", a Hugging Face id, or a folder the embedder can read.
        pairs: How pairs are embedded, "joint", "compare", "full", or "auto" for what suits the backbone. Only for
            items with a text_pair.
        parallel: Runs at a time, 1 to 64. Results do not depend on it; times do, when cores are few.
        patience: Seconds for which a service that is away is waited for, beyond what the client waits; 0 to 86,400.
        keep_projects: Whether the projects stay on the server when the simulation is finished, for fine-tuning or a
            look at them.

    Raises:
        ValueError: A value is out of its range; the message names it, the range and the value.
    """

    acquisitions: Sequence[str] = ("max_entropy", "random")
    parameters: AcquisitionParameters = field(default_factory=AcquisitionParameters)
    head: Head = field(default_factory=LogisticHead)
    cold_start: str = "random"
    start: int = 50
    step: int = 50
    rounds: int = 39
    seeds: int = 3
    backbone: str = "minilm"
    pairs: str = "auto"
    parallel: int = 2
    patience: float = 120.0
    keep_projects: bool = False

    def __post_init__(self) -> None:
        names = tuple(str(acquisition_name(name)) for name in self.acquisitions)
        if not names or len(set(names)) < len(names):
            raise ValueError(f"acquisitions must be at least one, each once, got {', '.join(names) or 'none'}")
        # Frozen for everybody else; here the names get the one spelling that files and projects carry.
        object.__setattr__(self, "acquisitions", names)
        object.__setattr__(self, "cold_start", str(parse(Acquisition, self.cold_start, "cold_start")))
        object.__setattr__(self, "pairs", str(parse(PairMode, self.pairs)))
        if not self.backbone:
            raise ValueError('backbone must not be empty; "minilm" is packaged')
        for name, low, high in (
            ("start", 1, MOST_SELECTED),
            ("step", 1, MOST_SELECTED),
            ("rounds", 0, 100_000),
            ("seeds", 1, 1_000),
            ("parallel", 1, 64),
            ("patience", 0, 86_400),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name} must be between {low:,} and {high:,}, got {value:,}")

    @property
    def final(self) -> int:
        """Labels at the end of a run."""
        return self.start + self.rounds * self.step

    @property
    def points(self) -> int:
        """Points of all runs together."""
        return len(self.acquisitions) * self.seeds * (self.rounds + 1)
