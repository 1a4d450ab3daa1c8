"""What every command has in common: help with an example, exit statuses, errors as sentences."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import grpc
import prepal
import pytest
from prepal.cli.__main__ import COMMANDS
from prepal.v1 import embedder_pb2
from prepal.values.enums import Acquisition

from tests.cli.conftest import Run
from tests.sdk.scripted import Scripted, gives, refuses
from tests.sdk.test_calls import a_pool

PREPAL = [sys.executable, "-m", "prepal.cli"]


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_help_shows_an_example(run: Run, command: str) -> None:
    if command == "up":
        pytest.skip("its help is the suite's own; tests/local has it")
    ran = run(command, "--help")
    assert ran.status == 0
    assert re.search(rf"\nexample:\n(  .*\n)*  prepal {command}", ran.out)


@pytest.mark.parametrize("action", ["create", "show", "update", "delete"])
def test_the_help_of_an_action_shows_its_own_example(run: Run, action: str) -> None:
    assert f"example:\n  prepal projects {action} " in run("projects", action, "--help").out


def test_the_help_names_every_command_and_the_exit_statuses(run: Run) -> None:
    ran = run("--help")
    assert all(f"\n    {command} " in ran.out for command in COMMANDS)
    assert "0 done, 1 failed, 2 called wrongly, 130 interrupted" in ran.out


def test_the_version(run: Run) -> None:
    assert run("--version").out == f"prepal {prepal.__version__}\n"


@pytest.mark.parametrize("line", ["", "nonsense", "select", "select p -k many", "pools --nope"])
def test_a_wrong_call_is_status_2_with_the_usage(run: Run, line: str) -> None:
    ran = run(*line.split())
    assert ran.status == 2
    assert ran.err.startswith("usage: prepal")


def test_a_refused_call_is_status_1_and_one_sentence(run: Run, server: Scripted) -> None:
    server.script("Select", refuses(grpc.StatusCode.NOT_FOUND, "project p does not exist", "PROJECT_NOT_FOUND"))
    ran = run("select", "p")
    assert (ran.status, ran.out, ran.err) == (1, "", "prepal: project p does not exist\n")


def test_a_value_that_cannot_be_meant_is_status_2(run: Run, server: Scripted) -> None:
    ran = run("select", "p", "--acquisition", "magic")
    assert ran.status == 2
    assert ran.err == f"prepal: acquisition must be one of {', '.join(Acquisition)}, got 'magic'\n"


def test_a_traceback_is_shown_to_who_asks_for_it(run: Run, server: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREPAL_TRACEBACK", "1")
    with pytest.raises(ValueError, match="acquisition must be one of"):
        run("select", "p", "--acquisition", "magic")


def test_a_suite_that_is_not_there_is_named_with_the_remedy(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = run("pools", "--embedder", "127.0.0.1:1")
    assert ran.status == 1
    assert ran.err == "prepal: cannot reach the embedder at 127.0.0.1:1: is `prepal up` running? (Connection refused)\n"


def test_ctrl_c_is_status_130() -> None:
    # A listener that never answers, so that the command waits.
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        process = subprocess.Popen([*PREPAL, "pools", "--embedder", address], stderr=subprocess.PIPE, text=True)
        listener.accept()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in err


def test_a_reader_that_goes_away_is_no_error(server: Scripted) -> None:
    server.script("ListPools", gives(embedder_pb2.ListPoolsResponse(pools=[a_pool()])))
    read, write = os.pipe()
    os.close(read)
    process = subprocess.run([*PREPAL, "pools"], stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert (process.returncode, process.stderr) == (0, "")


def test_up_runs_the_suite_in_the_place_of_the_command(tmp_path: Path) -> None:
    package = tmp_path / "services" / "local"
    package.mkdir(parents=True)
    (tmp_path / "services" / "__init__.py").touch()
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text("import sys, os\nprint(os.getpid(), sys.argv[1:])\nsys.exit(7)\n")
    process = subprocess.Popen(
        [*PREPAL, "up", "--data", "here", "--embedder-port", "0"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    out, _ = process.communicate(timeout=30)
    assert out == f"{process.pid} ['--data', 'here', '--embedder-port', '0']\n"
    assert process.returncode == 7


def test_up_without_the_services_says_what_to_install(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prepal._local.MODULE", "no_such_package.local")
    ran = run("up", "--data", "x")
    assert ran.status == 1
    assert "pip install 'prepal-services[cpu]'" in ran.err
