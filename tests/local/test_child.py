"""The supervisor, over real processes."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from services.local.child import Child, ChildSpec, DiedWhileStarting

PATIENCE = 20


def fifo_spec(folder: Path, script: str) -> tuple[ChildSpec, Path]:
    """A child that writes its pid into a FIFO at every start, so that the test knows of each without a sleep."""
    fifo = folder / "starts"
    os.mkfifo(fifo)
    code = f"import os, signal, sys, time\nopen({str(fifo)!r}, 'w').write(str(os.getpid()))\n{script}"
    return ChildSpec(name="child", command=[sys.executable, "-c", code], log=folder / "log", stop_seconds=2), fifo


async def next_start(fifo: Path) -> int:
    async with asyncio.timeout(PATIENCE):
        return int(await asyncio.to_thread(fifo.read_text))


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_a_child_that_is_killed_is_started_again(tmp_path: Path) -> None:
    spec, fifo = fifo_spec(tmp_path, "time.sleep(600)")
    child = Child(spec)
    await child.start()
    first = await next_start(fifo)
    os.kill(first, signal.SIGKILL)
    second = await next_start(fifo)
    assert second != first
    assert child.pid == second
    await child.stop()
    assert not alive(second)


async def test_a_child_that_ignores_sigterm_is_killed_in_the_end(tmp_path: Path) -> None:
    spec, fifo = fifo_spec(tmp_path, "signal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(600)")
    child = Child(spec)
    await child.start()
    pid = await next_start(fifo)
    await child.stop()
    assert not alive(pid)


async def test_a_child_that_dies_before_it_is_ready_shows_the_end_of_its_log(tmp_path: Path) -> None:
    async def never() -> None:
        await asyncio.Event().wait()

    command = [sys.executable, "-c", "import sys; sys.exit('no such model')"]
    child = Child(ChildSpec(name="embedder", command=command, log=tmp_path / "log", ready=never))
    with pytest.raises(DiedWhileStarting, match=r"embedder ended with status 1(.|\n)*no such model"):
        await asyncio.wait_for(child.start(), PATIENCE)
    await child.stop()


async def test_a_child_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    spec, fifo = fifo_spec(tmp_path, "time.sleep(600)")
    parent = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "import asyncio, pathlib, sys\n"
        "from services.local.child import Child, ChildSpec\n"
        "async def main():\n"
        "    child = Child(ChildSpec(name='c', command=sys.argv[2:], log=pathlib.Path(sys.argv[1])))\n"
        "    await child.start()\n"
        "    await asyncio.Event().wait()\n"
        "asyncio.run(main())",
        str(spec.log),
        *spec.command,
    )
    pid = await next_start(fifo)
    descriptor = os.pidfd_open(pid)
    parent.kill()
    await parent.wait()
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(descriptor, ended.set)
    async with asyncio.timeout(PATIENCE):
        await ended.wait()
    loop.remove_reader(descriptor)
    os.close(descriptor)
