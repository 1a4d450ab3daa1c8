"""What the acquisition benchmark says of picks, time and memory can be relied on."""

from __future__ import annotations

import ast
import itertools
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bench.acquisition import oracle
from bench.acquisition.drawn import DrawnHead, logarithms
from bench.acquisition.inputs import Inputs
from bench.acquisition.peers import FUNCTIONS
from bench.acquisition.processes import Library
from bench.acquisition.table import print_table

BENCH = Path(__file__).resolve().parents[2] / "bench" / "acquisition"


def samples_of(samples, rows, classes, seed=0):
    return np.random.default_rng(seed).dirichlet(np.ones(classes), (samples, rows))


def information_by_counting(probs_snc):
    """I(y₁ … y_n; ω) as a sum over every configuration."""
    _, count, classes = probs_snc.shape
    joint = conditional = 0.0
    for configuration in itertools.product(range(classes), repeat=count):
        mass_s = np.prod([probs_snc[:, row, label] for row, label in enumerate(configuration)], axis=0)
        mass = mass_s.mean()
        joint -= mass * np.log(mass)
        conditional -= np.mean(mass_s * np.log(mass_s))
    return joint - conditional


@pytest.mark.parametrize("count", [1, 2, 5])
def test_joint_information_is_the_sum_over_all_configurations(count):
    probs = samples_of(4, count, 3)
    assert oracle.joint_information(probs) == pytest.approx(information_by_counting(probs), abs=1e-12)


def test_of_one_row_joint_information_is_bald():
    probs = samples_of(6, 1, 4)
    assert oracle.joint_information(probs) == pytest.approx(oracle.bald(probs)[0], abs=1e-12)


def test_joint_picks_are_greedy_in_the_information_of_the_whole_set():
    probs = samples_of(5, 12, 3)
    rows = np.array([0, 2, 3, 5, 6, 7, 9, 11])
    chosen = []
    for _ in range(4):
        gains = {row: information_by_counting(probs[:, [*chosen, row]]) for row in rows if row not in chosen}
        chosen.append(max(gains, key=gains.get))
    assert oracle.joint_picks(probs, rows, 4).tolist() == chosen


def test_joint_picks_end_where_configurations_cannot_be_counted():
    # 4^6 configurations of six earlier rows are counted, 4^7 are not.
    assert len(oracle.joint_picks(samples_of(2, 9, 4), np.arange(9), 9)) == 7


def test_k_centers_are_the_farthest_rows_one_after_the_other():
    embeddings = np.random.default_rng(0).standard_normal((40, 3))
    labeled, free = np.array([3, 4]), np.setdiff1d(np.arange(40), [3, 4, 5])
    centers, chosen = [3, 4], []
    for _ in range(6):
        nearest = [min(np.linalg.norm(embeddings[row] - embeddings[one]) for one in centers) for row in free]
        chosen.append(int(free[np.argmax(nearest)]))
        centers.append(chosen[-1])
    assert oracle.k_centers(embeddings, labeled, free, 6).tolist() == chosen


def test_k_centers_of_equal_rows_are_different_rows():
    assert oracle.k_centers(np.ones((5, 2)), np.array([1]), np.array([0, 2, 3, 4]), 3).tolist() == [0, 2, 3]


def test_a_probability_of_zero_has_no_entropy_and_ties_go_to_the_lower_row():
    scores = oracle.entropy(np.array([[1.0, 0.0], [0.5, 0.5], [0.5, 0.5]]))
    assert scores.tolist() == [0.0, pytest.approx(np.log(2)), pytest.approx(np.log(2))]
    assert oracle.best(scores, np.array([0, 2, 1]), 2).tolist() == [1, 2]


def test_agreement_is_the_share_of_the_definitions_picks_among_as_many():
    definition = np.array([7, 8, 9])
    assert oracle.agreement(definition, np.array([9, 8, 1, 7])) == pytest.approx(2 / 3)
    # Picks beyond those of the definition, and repeated ones, count for nothing.
    assert oracle.agreement(definition, np.array([7, 7, 7, 8, 9])) == pytest.approx(1 / 3)


def test_the_radius_is_the_distance_of_the_loneliest_row(tmp_path):
    inputs = Inputs(tmp_path, "LOGISTIC")
    inputs.write(embeddings=np.array([[0, 0], [1, 0], [5, 0], [5, 3]], np.float16), labeled=np.array([0]))
    assert oracle.radius(inputs, np.array([2])) == pytest.approx(3.0)


def test_contrast_is_the_mean_divergence_from_the_nearest_labeled_rows(tmp_path):
    generator = np.random.default_rng(0)
    inputs = Inputs(tmp_path, "LOGISTIC")
    embeddings = generator.standard_normal((30, 4)).astype(np.float16)
    weights, offsets = generator.standard_normal((3, 4)).astype(np.float32), np.zeros(3, np.float32)
    labeled = np.arange(15)
    classes = np.zeros(30, np.int64)
    inputs.write(embeddings=embeddings, weights=weights, offsets=offsets, labeled=labeled, classes=classes)
    probs = oracle.probabilities(inputs)
    scores = np.full(30, -np.inf)
    for row in range(15, 30):
        distances = np.linalg.norm(embeddings[labeled].astype(np.float64) - embeddings[row].astype(np.float64), axis=1)
        near = np.argsort(distances)[:10]
        scores[row] = np.mean([np.sum(probs[one] * np.log(probs[one] / probs[row])) for one in near])
    assert oracle.picks("CONTRASTIVE", inputs, 5).tolist() == np.argsort(-scores)[:5].tolist()


def test_a_function_without_a_definition_here_has_no_picks(tmp_path):
    assert oracle.picks("RANDOM", Inputs(tmp_path, "LOGISTIC"), 5) is None


def test_a_drawn_head_gives_the_samples_that_its_embeddings_hold():
    head = DrawnHead(5, 3)
    embeddings = logarithms(5, 20, 3, seed=0).astype(np.float32)
    outputs = embeddings @ head.projection.weights + head.projection.offsets
    posterior = head.posterior(None, None)
    probs = posterior.probabilities(outputs)
    assert probs.shape == (5, 20, 3)
    np.testing.assert_allclose(probs, np.exp(embeddings).reshape(20, 5, 3).transpose(1, 0, 2), rtol=5e-3)
    np.testing.assert_allclose(probs.sum(axis=2), 1.0, rtol=1e-6)
    np.testing.assert_allclose(head.probabilities(outputs), probs.mean(axis=0), rtol=1e-6)


MEASURING = """
import numpy as np
from bench.acquisition.measured import measured

before = np.ones(40 << 20, np.uint8)
found = measured(lambda: np.ones(16 << 20, np.uint8)[:1].copy())
print(found.bytes, measured(lambda: None).bytes, found.result.tolist(), before.any())
"""


def test_memory_is_the_peak_of_the_call_and_not_what_was_there_before():
    # In a process of its own, as the bench measures: here other tests' threads free memory meanwhile.
    ran = subprocess.run([sys.executable, "-c", MEASURING], cwd=BENCH.parent.parent, capture_output=True, check=True)
    large, nothing, *rest = ran.stdout.decode().split()
    assert 15 << 20 <= int(large) <= 20 << 20
    assert int(nothing) < 1 << 20
    assert rest == ["[1]", "True"]


@pytest.mark.parametrize("library", FUNCTIONS)
def test_a_peer_has_the_functions_that_it_is_asked_for(library):
    source = ast.parse((BENCH / f"peer_{library.replace('-', '_')}.py").read_text(encoding="utf-8"))
    tables = [node for node in source.body if isinstance(node, ast.AnnAssign) and node.target.id == "_PREPARED"]
    assert {key.value for key in tables[0].value.keys} == set(FUNCTIONS[library])


def test_a_library_that_fails_is_skipped_with_its_last_words():
    answer = Library("one", Path(sys.executable), "no_such_module", 1.0, 1 << 30).ask(function="BALD")
    assert "No module named no_such_module" in answer["skipped"]


def test_a_library_that_takes_too_long_is_skipped(monkeypatch):
    def late(*_, timeout, **__):
        raise subprocess.TimeoutExpired("python", timeout)

    monkeypatch.setattr(subprocess, "run", late)
    answer = Library("one", Path(sys.executable), "whatever", 60.0, 1 << 30).ask(function="BALD")
    assert answer == {"skipped": "more than 60 s"}


CALLS = """
import time
import numpy as np
from bench.acquisition.peer_process import Call, answer


def late():
    time.sleep(60)


answer({
    "PICKS": lambda inputs, k, seed: Call("Theirs", lambda: np.arange(k) + seed),
    "LATE": lambda inputs, k, seed: Call("Theirs", late if inputs.folder.name == "pool" else lambda: [0]),
    "LARGE": lambda inputs, k, seed: Call("Theirs", lambda: np.ones(1 << 34)),
})
"""


def answered(function):
    request = {"inputs": "pool", "warm": "warm", "head": "LOGISTIC", "function": function, "k": 3, "seed": 5}
    request |= {"bytes": 4 << 30, "seconds": 0.2}
    command = [sys.executable, "-c", CALLS, json.dumps(request)]
    done = subprocess.run(command, cwd=BENCH.parents[1], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_a_peer_answers_with_its_picks():
    answer = answered("PICKS")
    assert answer["picks"] == [5, 6, 7]
    assert answer["name"] == "Theirs"
    assert 0 < answer["seconds"] < 0.2


def test_a_peer_says_that_it_takes_too_long_or_too_much():
    assert answered("LATE") == {"skipped": "more than 0.2 s"}
    assert answered("LARGE") == {"skipped": "needs more than 4 GiB"}


def test_the_table_shows_ratios_and_what_was_skipped(capsys):
    ours = {"seconds": 0.5, "kept": 0.1, "relabeled": 0.2, "passes": 3.0, "bytes": 1 << 20, "agrees": 1.0}
    peer = {"seconds": 5.0, "bytes": 2 << 20, "agrees": 0.5, "name": "Theirs", "repeated": 3}
    peers = {"a": peer, "b": {"skipped": "more than 60 s"}}
    print_table("title", [{"function": "BALD", "head": "LOGISTIC", "ours": ours, "peers": peers}])
    title, header, first, second, third, *_ = capsys.readouterr().out.splitlines()
    assert title == "title"
    assert "seconds" in header
    assert first.split() == ["BALD", "prepal", "0.5000", "0.1000", "0.2000", "3.0", "1", "100%"]
    assert second.split() == ["a", "5.0000", "10.0", "2", "50%", "Theirs;", "3", "picks", "repeated"]
    assert third.split() == ["b", "skipped:", "more", "than", "60", "s"]
