"""Runs sentence-transformers at its defaults. Runs in an environment of its own, so it imports nothing of ours.

Reads paths of JSON lists of texts, one a line; answers each with the seconds that `encode` took, after it has written
the vectors beside the texts as .npy.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
from sentence_transformers import SentenceTransformer


def main() -> None:
    """Answers until its input ends."""
    model = SentenceTransformer(sys.argv[1])
    model.encode(["a text to warm up with"] * 64)
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        path = line.strip()
        texts = json.loads(Path(path).read_text(encoding="utf-8"))
        begun = time.perf_counter()
        vectors = model.encode(texts)
        seconds = time.perf_counter() - begun
        np.save(path + ".npy", vectors)
        print(json.dumps(seconds), flush=True)


if __name__ == "__main__":
    main()
