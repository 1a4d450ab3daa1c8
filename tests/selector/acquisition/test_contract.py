"""What every acquisition function must hold, whatever it chooses by."""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import tests.selector.acquisition as suite
from services.selector.acquisition import DEFAULTS, REGISTRY, AcquisitionFunction, ScoreFunction, best
from services.selector.acquisition.parameters import Parameters, parameters_from
from services.selector.heads import Head, McDropoutSettings, SvmSettings, fitter_for
from services.selector.scoring import PoolView, Shelf
from tests.selector.acquisition.views import clustered, fitted, view_of

FUNCTIONS = list(REGISTRY.values())
# Functions whose picks follow from a seed, so that another order of the rows is another draw.
DRAWN = {"RANDOM", "POWER_BALD", "BADGE"}
# Functions whose scores are counts, which tie all the time: then the lower row is taken.
TIED = {"PROB_COVER"}

Array = npt.NDArray[Any]


def picks(view: PoolView, function: AcquisitionFunction, k: int, seed: int = 0, **changed: Any) -> Array:
    """Returns what a Select would pick."""
    parameters: Parameters = parameters_from(changed) if changed else DEFAULTS
    if isinstance(function, ScoreFunction):
        return best(view.scores(function, parameters), view.free, k)
    if k == 0 or not view.free.any():
        return np.empty(0, np.int64)
    return function.pick(view, k, parameters, np.random.default_rng(seed)).rows


def situation(rows: int = 300, classes: int = 3, labeled: int = 30, seed: int = 0, **view: Any) -> PoolView:
    """Returns a view of clustered embeddings with a real head on the first rows."""
    embeddings, numbers = clustered(rows, 12, classes, seed)
    known = np.arange(labeled)
    numbers[: min(labeled, classes)] = np.arange(classes)[:labeled]
    head = fitted(embeddings, known, numbers[known])
    return view_of(embeddings, head=head, labeled=known, classes=numbers[known], **view)


def few_configurations(function: AcquisitionFunction) -> dict[str, int]:
    """Returns parameters under which many picks take moments."""
    return {"configurations": 100, "samples": 5} if "configurations" in function.uses else {}


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.name)
class TestEveryFunction:
    @pytest.mark.parametrize("k", [0, 1, 7, 60, 269, 270, 500])
    def test_picks_are_different_free_rows_as_many_as_asked_or_as_there_are(
        self, function: AcquisitionFunction, k: int
    ) -> None:
        view = situation()
        found = picks(view, function, k, **few_configurations(function))
        assert len(found) == min(k, 270)
        assert len(set(found.tolist())) == len(found)
        assert view.free[found].all()

    def test_rows_that_are_not_free_are_never_picked(self, function: AcquisitionFunction) -> None:
        free = np.random.default_rng(1).random(300) < 0.3
        free[:30] = False
        reserved = np.flatnonzero(~free)[40:60]
        view = situation(free=free, reserved=reserved)
        found = picks(view, function, 300, **few_configurations(function))
        assert sorted(found.tolist()) == np.flatnonzero(free).tolist()

    def test_the_seed_reproduces_the_picks(self, function: AcquisitionFunction) -> None:
        first, again = picks(situation(), function, 20, seed=5), picks(situation(), function, 20, seed=5)
        np.testing.assert_array_equal(first, again)

    def test_embeddings_of_float32_are_picked_from_like_those_of_float16(self, function: AcquisitionFunction) -> None:
        view = situation()
        embeddings = view.embeddings.gather(np.arange(300))
        whole = view_of(embeddings, head=view.head, labeled=view.labeled, classes=view.classes, dtype=np.float32)
        np.testing.assert_array_equal(picks(whole, function, 20), picks(view, function, 20))

    def test_no_random_state_is_touched_but_the_generator(self, function: AcquisitionFunction) -> None:
        np.random.seed(11)  # noqa: NPY002 - the global state is what must not be touched
        before = np.random.get_state()[1].copy()  # noqa: NPY002
        picks(situation(), function, 10)
        np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002

    def test_a_grown_pool_is_picked_from_as_if_it_had_always_been_so_large(self, function: AcquisitionFunction) -> None:
        embeddings, numbers = clustered(1_300, 12, 3)
        known = np.arange(40)
        head, shelf = fitted(embeddings, known, numbers[known]), Shelf(1 << 30)
        for rows in (200, 201, 900, 1_300):
            grown = view_of(embeddings[:rows], head=head, labeled=known, classes=numbers[known], shelf=shelf)
            anew = view_of(embeddings[:rows], head=head, labeled=known, classes=numbers[known])
            np.testing.assert_array_equal(picks(grown, function, 12), picks(anew, function, 12))

    def test_new_labels_and_labels_taken_back_leave_nothing_stale(self, function: AcquisitionFunction) -> None:
        embeddings, numbers = clustered(400, 12, 3)
        shelf = Shelf(1 << 30)
        generator = np.random.default_rng(0)
        for version in range(1, 5):
            known = np.sort(generator.choice(400, 30 + 5 * version, replace=False))
            head = fitted(embeddings, known, numbers[known])
            given = {"head": head, "labeled": known, "classes": numbers[known], "head_version": version}
            kept, anew = view_of(embeddings, shelf=shelf, **given), view_of(embeddings, **given)
            np.testing.assert_array_equal(picks(kept, function, 12), picks(anew, function, 12))

    @pytest.mark.parametrize("classes", [2, 150])
    def test_two_classes_and_very_many_are_served(self, function: AcquisitionFunction, classes: int) -> None:
        view = situation(rows=400, classes=classes, labeled=2 * classes)
        found = picks(view, function, 5, **few_configurations(function))
        assert len(set(found.tolist())) == 5

    @pytest.mark.parametrize("filled", [0.0, 0.25])
    def test_items_that_are_all_the_same_are_picked_without_error(
        self, function: AcquisitionFunction, filled: float
    ) -> None:
        same = np.full((60, 12), filled, np.float16)
        head = situation().head
        view = view_of(same, head=head, labeled=np.arange(6), classes=np.arange(6) % 3)
        found = picks(view, function, 10)
        assert len(set(found.tolist())) == 10
        assert view.free[found].all()

    def test_a_single_free_row_is_picked(self, function: AcquisitionFunction) -> None:
        free = np.zeros(300, np.bool_)
        free[123] = True
        assert picks(situation(free=free), function, 4).tolist() == [123]

    def test_certain_predictions_are_picked_from_without_error(self, function: AcquisitionFunction) -> None:
        embeddings, numbers = clustered(200, 12, 3)
        known = np.arange(30)
        head = fitted(embeddings, known, numbers[known])
        head = replace(head, weights=head.weights * np.float32(1e4))
        sure = view_of(embeddings, head=head, labeled=known, classes=numbers[known])
        probs = sure.probabilities()
        assert ((probs == 0) | (probs == 1)).any(), "the case this test is about"
        assert len(set(picks(sure, function, 10).tolist())) == 10

    def test_what_it_needs_of_a_head_is_all_it_takes(self, function: AcquisitionFunction) -> None:
        embeddings, numbers = clustered(300, 12, 3)
        known = np.arange(30)
        features = np.concatenate([embeddings[known].astype(np.float32), np.ones((30, 1), np.float32)], axis=1)
        names = ["class 0", "class 1", "class 2"]
        for settings in (McDropoutSettings(), McDropoutSettings(hidden=(8,)), SvmSettings()):
            head: Head = fitter_for(settings).fit(features, numbers[known], names, 1.0, None)
            assert head.abilities == settings.abilities
            if not function.needs & ~head.abilities:
                view = view_of(embeddings, head=head, labeled=known, classes=numbers[known])
                assert len(set(picks(view, function, 8).tolist())) == 8


@pytest.mark.parametrize(
    "function", [function for function in FUNCTIONS if function.name not in DRAWN | TIED], ids=lambda f: f.name
)
def test_the_order_of_rows_does_not_matter(function: AcquisitionFunction) -> None:
    view = situation()
    embeddings = view.embeddings.gather(np.arange(300))
    order = np.concatenate([np.arange(30), 30 + np.random.default_rng(2).permutation(270)])
    shuffled = view_of(embeddings[order], head=view.head, labeled=view.labeled, classes=view.classes)
    np.testing.assert_array_equal(order[picks(shuffled, function, 15)], picks(view, function, 15))


@pytest.mark.parametrize(
    "function", [function for function in FUNCTIONS if "samples" in function.uses], ids=lambda f: f.name
)
def test_one_posterior_sample_is_enough_to_answer(function: AcquisitionFunction) -> None:
    assert len(set(picks(situation(), function, 5, samples=1).tolist())) == 5


@pytest.mark.parametrize("function", [function for function in FUNCTIONS if not function.needs], ids=lambda f: f.name)
def test_a_function_that_needs_no_head_picks_without_one(function: AcquisitionFunction) -> None:
    embeddings, _ = clustered(300, 12, 3)
    labeled = [3, 5] if function.needs_labels else []
    view = view_of(embeddings, labeled=labeled)
    assert len(set(picks(view, function, 25).tolist())) == 25


def test_every_registered_function_has_a_test_of_its_definition() -> None:
    """A module of tests says in DEFINES which functions' definitions it holds."""
    defined: list[str] = []
    for module in pkgutil.iter_modules(suite.__path__):
        if module.name.startswith("test_"):
            defined += getattr(importlib.import_module(f"{suite.__name__}.{module.name}"), "DEFINES", ())
    assert sorted(defined) == sorted(REGISTRY)
    assert all(name == function.name for name, function in REGISTRY.items())


def test_the_functions_are_those_of_the_contract() -> None:
    from prepal.v1 import selector_pb2
    from prepal.values.enums import Acquisition

    on_the_wire = {name.removeprefix("ACQUISITION_") for name in selector_pb2.Acquisition.DESCRIPTOR.values_by_name} - {
        "UNSPECIFIED"
    }
    assert on_the_wire == set(REGISTRY)
    assert {name.lower() for name in on_the_wire} == set(Acquisition)
