"""A client without a line of ours: `buf curl` learns the contract by reflection, as grpcurl would."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import prepal
import pytest

from tests.up import Up

BUF = Path(__file__).parents[2] / ".tools" / "node_modules" / ".bin" / "buf"


def call(address: str, method: str, request: dict[str, Any]) -> Any:
    command = [str(BUF), "curl", "--protocol", "grpc", "--http2-prior-knowledge", "--emit-defaults"]
    url = f"http://{address}/prepal.v1.{method}"
    done = subprocess.run(
        [*command, "--data", json.dumps(request), url], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.skipif(not BUF.is_file(), reason=f"needs {BUF}, which `make check` installs")
def test_buf_curl_creates_a_project_selects_and_labels(suite: Up) -> None:
    with suite.client() as client:
        client.create_pool("curl", dimension=2)
        rows = [prepal.Item(f"i{row}", f"text {row}", embedding=[row / 10, 1 - row / 10]) for row in range(10)]
        client.add_items("curl", rows)
    selector = suite.addresses["selector"]
    created = call(
        selector, "SelectorService/CreateProject", {"name": "curl", "pool": "curl", "labels": ["low", "high"]}
    )
    assert created["project"]["labels"] == ["low", "high"]
    selection = call(selector, "SelectorService/Select", {"project": "curl", "k": 3})
    ids = [item["item"]["itemId"] for item in selection["items"]]
    assert len(set(ids)) == 3
    assert selection["coldStart"] is True
    entries = [{"itemId": "i0", "label": "low"}, {"itemId": "i9", "label": "high"}]
    recorded = call(selector, "SelectorService/RecordLabels", {"project": "curl", "entries": entries})
    assert recorded["changed"] == 2
    selection = call(selector, "SelectorService/Select", {"project": "curl", "k": 1})
    assert selection["coldStart"] is False
    assert selection["acquisition"] == "ACQUISITION_MAX_ENTROPY"
    assert selection["headVersion"] == "1"
