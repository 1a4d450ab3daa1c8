"""What was measured on this machine, kept so that the next start need not measure again."""

from __future__ import annotations

import hashlib
import json
import platform
import uuid
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def machine(*settings: object) -> str:
    """Returns 12 letters that change with the processor, the libraries that run backbones, and the settings."""
    facts = [platform.machine(), _processor(), _versions(), [str(setting) for setting in settings]]
    return _short(facts)


def libraries() -> str:
    """Returns 12 letters that change with the libraries that run backbones."""
    return _short(_versions())


def read(path: Path) -> tuple[str, str] | None:
    """Returns the engine and precision that were chosen, or None where nothing readable is kept."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        return str(kept["engine"]), str(kept["precision"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write(path: Path, *, engine: str, precision: str, cosine: float, tokens_per_second: float) -> None:
    """Keeps a choice, with what spoke for it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}-{uuid.uuid4().hex}")
    kept = {
        "engine": engine,
        "precision": precision,
        "least_cosine": round(cosine, 7),
        "tokens_per_second": round(tokens_per_second),
    }
    aside.write_text(json.dumps(kept), encoding="utf-8")
    aside.replace(path)


def _versions() -> list[str]:
    found = []
    for name in ("openvino", "torch", "transformers"):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return found


def _short(facts: object) -> str:
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:12]


def _processor() -> str:
    """Returns the processor's model and abilities, as Linux tells them."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    told: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        told.setdefault(name.strip(), value.strip())
    return " ".join(told.get(name, "") for name in ("model name", "CPU part", "flags", "Features"))


def native_bfloat16() -> bool:
    """Tells whether the processor multiplies bfloat16 itself; where that cannot be told, no."""
    abilities = _processor().split()
    return any(ability in abilities for ability in ("amx_bf16", "avx512_bf16", "bf16"))
