"""`prepal.local` starts the suite, says why it could not, and leaves no process."""

from __future__ import annotations

import os
import signal
import sys
import textwrap
from pathlib import Path

import prepal
import pytest
from prepal import _local
from prepal.errors import SuiteFailed


@pytest.fixture
def suite_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A script that runs in the suite's place; the test writes it."""
    script = tmp_path / "suite.py"
    monkeypatch.setattr(_local, "suite_command", lambda flags: [sys.executable, str(script), *flags])
    return script


def test_it_waits_for_the_ready_line_and_ends_the_process_with_sigterm(suite_script: Path, tmp_path: Path) -> None:
    suite_script.write_text(
        textwrap.dedent(
            """
            import os, signal, sys
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
            print("starting", flush=True)
            print(f"ready embedder=127.0.0.1:1 selector=127.0.0.1:2 trainer=127.0.0.1:3 data={sys.argv}", flush=True)
            signal.sigwait([signal.SIGTERM])
            with open(sys.argv[2] + ".ended", "w") as file:
                file.write(f"{os.getpid()} {os.getsid(0)}")
            """
        )
    )
    with prepal.local(tmp_path / "data", selector_port=7) as client:
        assert [connection.address for connection in client._connections()] == [
            "127.0.0.1:1",
            "127.0.0.1:2",
            "127.0.0.1:3",
        ]
    pid, session = map(int, (tmp_path / "data.ended").read_text().split())
    # Ctrl-C in the terminal must not reach the suite before the block has ended.
    assert session == pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_temporary_folder_is_gone_afterwards(suite_script: Path, tmp_path: Path) -> None:
    suite_script.write_text(
        "import sys, signal, pathlib\n"
        f"pathlib.Path({str(tmp_path / 'where')!r}).write_text(sys.argv[2])\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])\n"
        "print('ready embedder=a:1 selector=a:2 trainer=a:3', flush=True)\n"
        "signal.sigwait([signal.SIGTERM])\n"
    )
    with prepal.local():
        folder = Path((tmp_path / "where").read_text())
        assert folder.is_dir()
    assert not folder.exists()


def test_a_suite_that_ends_at_once_shows_the_tail_of_its_log(suite_script: Path, tmp_path: Path) -> None:
    suite_script.write_text("import sys\nfor n in range(99): print('line', n)\nsys.exit('port 7 is taken')\n")
    with (
        pytest.raises(SuiteFailed, match=r"ended with status 1 before it was ready\nline 60\n") as caught,
        prepal.local(tmp_path),
    ):
        pass
    assert str(caught.value).endswith("line 98\nport 7 is taken")


def test_a_suite_that_is_never_ready_is_given_up_and_ended(suite_script: Path, tmp_path: Path) -> None:
    suite_script.write_text(
        f"import os, signal\nopen({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\n"
        "print('loading', flush=True)\nsignal.pause()\n"
    )
    with pytest.raises(SuiteFailed, match=r"was not ready after 1 seconds\nloading"), prepal.local(tmp_path, timeout=1):
        pass
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGCONT)


def test_without_the_services_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_local, "MODULE", "no_such_package.local")
    with pytest.raises(SuiteFailed, match=r"pip install 'prepal-services\[cpu\]'"), prepal.local():
        pass
