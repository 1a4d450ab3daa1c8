"""Real short texts: a sample of SST-2 where it is there, else docstrings of the installed libraries."""

from __future__ import annotations

import random
from pathlib import Path

from prepal.demo.texts import demo_texts
from prepal.simulation.datafile import read_items

_SST2 = Path(__file__).resolve().parents[3] / "shared" / "data" / "sst2" / "train.tsv.gz"


def real_texts(count: int, file: Path | None = None) -> tuple[str, list[str]]:
    """Returns where texts come from, and at most `count` of them, drawn with seed 0.

    Args:
        count: Texts at most.
        file: A data file with the columns id and text; None for SST-2, or docstrings where it is not there.
    """
    if file is None and not _SST2.is_file():
        found = demo_texts()
        name, texts = "docstrings", [row.text for row in [*found.train, *found.test]]
    else:
        path = file or _SST2
        name, texts = (
            path.parent.name if file is None else path.name,
            [row.text for row in read_items(path, label=False)],
        )
    return name, random.Random(0).sample(texts, min(count, len(texts)))
