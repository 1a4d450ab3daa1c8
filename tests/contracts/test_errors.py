"""docs/errors.md says what the services answer, no more and no less."""

from __future__ import annotations

import re
from pathlib import Path

from services.embedder.answers import ERRORS as EMBEDDER
from services.selector.answers import ANSWERS as SELECTOR
from services.serving.errors import SHARED, UNEXPECTED
from services.trainer.servicer import ERRORS as TRAINER

PAGE = Path(__file__).parents[2] / "docs" / "errors.md"


def test_every_reason_is_documented_with_its_code_and_its_services() -> None:
    tables = {"embedder": EMBEDDER, "selector": SELECTOR, "trainer": TRAINER}
    answered: dict[tuple[str, str], set[str]] = {}
    for name, table in tables.items():
        for answer in [*table.values(), *SHARED.values(), UNEXPECTED]:
            answered.setdefault((answer.reason, answer.status.name), set()).add(name)
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| ([\w, ]+) \|", PAGE.read_text(), flags=re.MULTILINE)
    documented = {
        (reason, code): set(tables) if services == "all" else set(services.split(", "))
        for reason, code, services in rows
    }
    assert documented == answered
