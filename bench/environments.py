"""Virtual environments of the libraries we are measured beside, made under .bench/ where there is none."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]
_HOME = _ROOT / ".bench"


def python_with(name: str, *installs: Sequence[str]) -> Path:
    """Returns the Python of an environment; makes it the first time (minutes).

    Args:
        name: of the environment, by custom that of the library.
        installs: the arguments of one `pip install` after the other. Versions are those of constraints.txt, so that
            the difference to ours is in the library and not in what it stands on.
    """
    environment = _HOME / name
    python = environment / "bin" / "python"
    finished = environment / "finished"
    wanted = "".join(f"{' '.join(packages)}\n" for packages in installs)
    if not finished.is_file() or finished.read_text(encoding="utf-8") != wanted:
        print(f"installing {name} into {environment}", file=sys.stderr)
        _HOME.mkdir(exist_ok=True)
        (_HOME / ".gitignore").write_text("*\n", encoding="utf-8")
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(environment)], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--constraint", str(_ROOT / "constraints.txt")]
        for packages in installs:
            subprocess.run([*pip, *packages], check=True)
        finished.write_text(wanted, encoding="utf-8")
    return python
