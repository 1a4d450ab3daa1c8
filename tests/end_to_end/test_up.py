"""`prepal up`: one line when it serves, no process when it has ended, everything there when it comes back."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import prepal
import pytest

from tests.up import Up, command_of, descendants, wait_until_ended


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_leaves_no_process_and_a_new_start_has_everything(tmp_path: Path, number: signal.Signals) -> None:
    up = Up(tmp_path)
    with up.client() as client:
        client.create_pool("own", dimension=2)
        client.add_items("own", [prepal.Item("a", "text", embedding=[1.0, 0.0])])
        client.create_project("p", pool="own", labels=["x", "y"])
        client.record_labels("p", {"a": "x"})
    processes = descendants(up.process.pid)
    assert len(processes) >= 5
    assert up.stop(number) == 0
    assert [command_of(pid) for pid in processes if command_of(pid)] == []

    up = Up(tmp_path)
    try:
        with up.client() as client:
            assert [(label.item_id, label.label) for label in client.list_labels("p")] == [("a", "x")]
            assert client.get_pool("own").items == 1
    finally:
        up.stop()


def test_no_process_is_left_when_it_is_killed(tmp_path: Path) -> None:
    up = Up(tmp_path)
    processes = descendants(up.process.pid)
    up.stop(signal.SIGKILL)
    wait_until_ended(processes, 40)


def test_a_second_suite_over_the_same_folder_is_refused(suite: Up) -> None:
    data = suite.line.rpartition("data=")[2].strip()
    second = subprocess.run(
        [sys.executable, "-m", "services.local", "--data", data],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert second.returncode == 1
    assert f"another suite runs over {data}" in second.stderr


def test_a_taken_port_says_which_service_and_what_to_do(suite: Up, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "services.local", "--data", str(tmp_path)]
    port = str(suite.ports()[0])
    second = subprocess.run(
        [*command, "--embedder-port", port, "--selector-port", "0", "--trainer-port", "0"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert second.returncode == 1
    assert f"embedder-port {port} cannot be had" in second.stderr
    assert "--embedder-port" in second.stderr


def test_an_option_out_of_range_says_its_limit(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "services.local", "--data", str(tmp_path), "--selector-port", "70000"]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert refused.returncode == 1
    assert "selector-port must be between 0 and 65535, got 70000" in refused.stderr
