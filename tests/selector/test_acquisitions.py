"""What may be asked of acquisition functions and heads over real gRPC, and what is refused."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import grpc
import pytest
from prepal.v1 import selector_pb2 as pb

from services.selector.acquisition import RANGES, REGISTRY
from services.selector.acquisition.kinds import ScoreFunction
from tests.selector.conftest import StartSelector
from tests.selector.pools import Pools, ids
from tests.selector.selecting import Caller, Refusal, lasting, picked, truth

BAD = grpc.StatusCode.INVALID_ARGUMENT
UNFIT = grpc.StatusCode.FAILED_PRECONDITION
HEADS: dict[str, dict[str, Any]] = {
    "logistic": {"logistic": pb.LogisticHead()},
    "linear": {"mc_dropout": pb.McDropoutHead()},
    "hidden": {"mc_dropout": pb.McDropoutHead(hidden=[8], max_epochs=20)},
    "svm": {"svm": pb.SvmHead()},
}
# What the table of heads in the docs says.
SERVED = {
    "logistic": set(REGISTRY),
    "linear": set(REGISTRY) - {"GORAL"},
    "hidden": set(REGISTRY) - {"GORAL", "DFAL"},
    "svm": {
        "RANDOM", "MARGIN", "DFAL", "CORESET", "DAL", "KMEANS", "KMEANS_MARGIN", "CLUSTER_MARGIN", "TYPICLUST",
        "PROB_COVER",
    },
}  # fmt: skip


def acquisition(name: str) -> pb.Acquisition:
    return getattr(pb, f"ACQUISITION_{name}")


@pytest.mark.parametrize("kind", HEADS)
async def test_a_head_serves_what_it_can_and_refuses_the_rest_with_the_remedy(
    selector: Caller, pools: Pools, kind: str
) -> None:
    pools.make("reviews", 60)
    await selector.create("sentiment", "reviews", ["negative", "positive"], **HEADS[kind])
    await selector.label(truth(ids(0, 12)))
    for name in REGISTRY:
        asked = selector.select(5, acquisition=acquisition(name), reservation=lasting(0))
        if name in SERVED[kind]:
            response = await asked
            assert (len(response.items), response.acquisition) == (5, acquisition(name))
            assert not response.cold_start
        else:
            with pytest.raises(Refusal, match=f"{name} needs .* UpdateProject") as refused:
                await asked
            assert (refused.value.code, refused.value.reason) == (UNFIT, "HEAD_UNSUPPORTED")
            with pytest.raises(Refusal, match=name):
                await selector.create("other", "reviews", ["a", "b"], acquisition=acquisition(name), **HEADS[kind])
            update = pb.UpdateProjectRequest(project="sentiment", acquisition=acquisition(name))
            with pytest.raises(Refusal, match=name):
                await selector.call("UpdateProject", update)


async def test_a_project_changes_its_head_without_losing_labels(project: Caller) -> None:
    await project.label(truth(ids(0, 20)))
    seen = []
    for kind in ("logistic", "hidden", "svm", "linear", "logistic"):
        await project.call(
            "UpdateProject",
            pb.UpdateProjectRequest(project="sentiment", acquisition=pb.ACQUISITION_MARGIN, **HEADS[kind]),
        )
        response = await project.select(3, reservation=lasting(0))
        stale = await project.select(3, reservation=lasting(0), allow_stale_head=True)
        assert picked(stale) == picked(response)
        seen.append(response.head_version)
        status = await project.status()
        assert (status.labeled, status.head_label_version) == (20, 1)
        message = (await project.call("GetProject", pb.GetProjectRequest(project="sentiment"))).project
        assert message.WhichOneof("head") == next(iter(HEADS[kind]))
    assert seen == [1, 2, 3, 4, 5]


async def test_what_a_head_cannot_serve_is_refused_before_there_is_one(selector: Caller, pools: Pools) -> None:
    pools.make("reviews", 60)
    await selector.create("sentiment", "reviews", ["negative", "positive"], svm=pb.SvmHead())
    with pytest.raises(Refusal, match="BALD needs posterior samples") as refused:
        await selector.select(1, acquisition=pb.ACQUISITION_BALD)
    assert refused.value.reason == "HEAD_UNSUPPORTED"


async def test_a_stale_head_of_other_layers_does_not_answer_for_what_only_the_new_one_serves(
    selector: Caller, pools: Pools
) -> None:
    pools.make("reviews", 60)
    await selector.create("sentiment", "reviews", ["negative", "positive"], **HEADS["hidden"])
    await selector.label(truth(ids(0, 12)))
    assert (await selector.select(1, reservation=lasting(0))).head_version == 1
    await selector.call("UpdateProject", pb.UpdateProjectRequest(project="sentiment", **HEADS["linear"]))
    response = await selector.select(1, acquisition=pb.ACQUISITION_DFAL, allow_stale_head=True)
    assert (response.acquisition, response.head_version) == (pb.ACQUISITION_DFAL, 2)


async def test_an_svm_without_another_wish_chooses_by_margin(selector: Caller, pools: Pools) -> None:
    pools.make("reviews", 60)
    made = await selector.create("sentiment", "reviews", ["negative", "positive"], svm=pb.SvmHead())
    assert made.acquisition == pb.ACQUISITION_MARGIN
    assert made.svm.inverse_regularization == 1


async def test_parameters_of_the_request_count_before_those_of_the_project(selector: Caller, pools: Pools) -> None:
    pools.make("reviews", 60)
    parameters = pb.AcquisitionParameters(sub_pool=3, beta=5, posterior=pb.POSTERIOR_LAPLACE)
    made = await selector.create("sentiment", "reviews", ["negative", "positive"], parameters=parameters)
    assert made.parameters == parameters
    await selector.label(truth(ids(0, 12)))
    assert len((await selector.select(9, reservation=lasting(0))).items) == 3
    whole = pb.AcquisitionParameters(sub_pool=0)
    assert len((await selector.select(9, reservation=lasting(0), parameters=whole)).items) == 9
    dropout = pb.AcquisitionParameters(sub_pool=0, posterior=pb.POSTERIOR_DROPOUT)
    laplace = pb.AcquisitionParameters(sub_pool=0)
    asked = {"acquisition": pb.ACQUISITION_BALD, "reservation": lasting(0)}
    by_dropout = await selector.select(9, parameters=dropout, **asked)
    by_laplace = await selector.select(9, parameters=laplace, **asked)
    assert [item.score for item in by_dropout.items] != [item.score for item in by_laplace.items]
    await selector.call(
        "UpdateProject", pb.UpdateProjectRequest(project="sentiment", parameters=pb.AcquisitionParameters(samples=7))
    )
    message = (await selector.call("GetProject", pb.GetProjectRequest(project="sentiment"))).project
    assert message.parameters == pb.AcquisitionParameters(samples=7)


@pytest.mark.parametrize("name", RANGES)
async def test_a_parameter_out_of_range_is_refused_and_one_at_its_limits_is_not(project: Caller, name: str) -> None:
    allowed = RANGES[name]
    whole = isinstance(getattr(pb.AcquisitionParameters(), name), int)
    bad = [int(allowed.high) + 1 if whole else allowed.high + 1]
    if not whole:
        bad += [allowed.low - 1, float("nan")] + [allowed.low] * allowed.above + [allowed.high] * allowed.below
    elif allowed.low > 0:
        bad.append(0)
    for value in bad:
        with pytest.raises(Refusal, match=f"parameters.{name} must be at least|more than") as refused:
            await project.select(1, parameters=pb.AcquisitionParameters(**{name: value}))
        assert (refused.value.code, refused.value.fields) == (BAD, [f"parameters.{name}"])
    for value in (allowed.high, allowed.low):
        if value in allowed:
            parameters = pb.AcquisitionParameters(**{name: int(value) if whole else value})
            await project.call("UpdateProject", pb.UpdateProjectRequest(project="sentiment", parameters=parameters))


async def test_an_unknown_posterior_or_representation_is_refused(project: Caller) -> None:
    for name in ("posterior", "representation"):
        with pytest.raises(Refusal, match=f"parameters.{name} must be one of .* got 9"):
            await project.select(1, parameters=pb.AcquisitionParameters(**{name: 9}))


async def test_a_parameter_that_the_function_does_not_read_is_refused(project: Caller) -> None:
    with pytest.raises(Refusal, match=r"such as MAX_ENTROPY reads \(sub_pool\), got beta; leave it out") as refused:
        await project.select(1, parameters=pb.AcquisitionParameters(beta=2))
    assert (refused.value.code, refused.value.reason) == (BAD, "INVALID_FIELD")
    for name, function in REGISTRY.items():
        for field in RANGES.keys() & function.uses:
            value = max(RANGES[field].low, 1) if field != "dropout" else 0.2
            number = value if field in ("dropout", "beta", "radius") else int(value)
            parameters = pb.AcquisitionParameters(**{field: number})
            await project.select(1, acquisition=acquisition(name), parameters=parameters, reservation=lasting(0))


@pytest.mark.parametrize("name", ["RANDOM", "CORESET", "KMEANS", "TYPICLUST", "PROB_COVER"])
async def test_every_cold_start_function_answers_without_labels(selector: Caller, pools: Pools, name: str) -> None:
    pools.make("reviews", 60)
    await selector.create("sentiment", "reviews", ["negative", "positive"], cold_start=acquisition(name))
    response = await selector.select(8)
    assert (response.acquisition, response.cold_start) == (acquisition(name), True)
    assert len(set(picked(response))) == 8


async def test_a_function_that_needs_a_head_or_labels_is_no_cold_start(selector: Caller, pools: Pools) -> None:
    pools.make("reviews", 60)
    for name, function in REGISTRY.items():
        if isinstance(function, ScoreFunction) or function.needs or function.needs_labels:
            with pytest.raises(Refusal, match=r"cold_start must need neither head nor labels: RANDOM, .*CORESET"):
                await selector.create("sentiment", "reviews", ["a", "b"], cold_start=acquisition(name))


async def test_dal_begins_with_the_first_label(project: Caller) -> None:
    assert (await project.select(1, acquisition=pb.ACQUISITION_DAL)).cold_start
    await project.label({"i50": "positive"})
    response = await project.select(1, acquisition=pb.ACQUISITION_DAL)
    assert (response.acquisition, response.cold_start) == (pb.ACQUISITION_DAL, False)


async def test_near_duplicates_stay_out_of_an_answer(selector: Caller, pools: Pools) -> None:
    pools.make("reviews", 40)
    vectors = pools.store.open("reviews").vectors(ids(0, 40))
    pools.put("reviews", [f"twin{number}" for number in range(40)], vectors)
    await selector.create("sentiment", "reviews", ["negative", "positive"])
    await selector.label(truth(ids(0, 10)))
    plain = await selector.select(70, reservation=lasting(0))
    assert len(plain.items) == 70
    different = await selector.select(70, reservation=lasting(0), max_similarity=1)
    assert sorted(picked(different), key=lambda item: int(item[1:])) == ids(10, 40)
    for limit in (0, -0.5, 1.5, float("nan")):
        with pytest.raises(Refusal, match="max_similarity must be more than 0 and at most 1") as refused:
            await selector.select(1, max_similarity=limit)
        assert refused.value.fields == ["max_similarity"]


async def test_a_pool_of_one_item_and_one_without_items_are_served(selector: Caller, pools: Pools) -> None:
    pools.make("one", 1)
    pools.make("none", 0)
    await selector.create("of-one", "one", ["negative", "positive"])
    await selector.create("of-none", "none", ["negative", "positive"])
    for name in REGISTRY:
        if name != "DAL":
            fields = {"acquisition": acquisition(name), "reservation": lasting(0)}
            assert await selector.picks(5, project="of-one", **fields) == ["i0"]
            response = await selector.select(5, project="of-none", **fields)
            assert (len(response.items), response.remaining) == (0, 0)


async def test_when_all_is_labeled_the_answer_is_empty(project: Caller) -> None:
    await project.label(truth(ids(0, 60)))
    for name in REGISTRY:
        response = await project.select(3, acquisition=acquisition(name))
        assert (len(response.items), response.remaining) == (0, 0)


PACKAGE = """
import numpy as np

from services.selector.acquisition import PickFunction, Picks


def longest(view, k, parameters, generator):
    norms = view.embeddings.squared_norms()
    rows = np.flatnonzero(view.free)
    rows = rows[np.argsort(-norms[rows], kind="stable")[:k]]
    return Picks(rows, norms[rows].astype(np.float64))


LONGEST = PickFunction(name="acme.longest", pick=longest)
NOT_A_FUNCTION = "nothing"
"""


@pytest.fixture
def installed_package(tmp_path: Path) -> Path:
    """A third party's package, built as a wheel and installed with pip into a folder of its own."""
    wheel = tmp_path / "acme_active-1.0-py3-none-any.whl"
    info = "acme_active-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("acme_active.py", PACKAGE)
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: acme-active\nVersion: 1.0\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(
            f"{info}/entry_points.txt",
            "[prepal.acquisition]\nacme.longest = acme_active:LONGEST\nacme.broken = acme_active:NOT_A_FUNCTION\n"
            "nodot = acme_active:LONGEST\nacme.missing = acme_missing:NOTHING\n",
        )
        archive.writestr(
            f"{info}/RECORD",
            "".join(
                f"{name},,\n"
                for name in (
                    "acme_active.py",
                    *(f"{info}/{part}" for part in ("METADATA", "WHEEL", "entry_points.txt", "RECORD")),
                )
            ),
        )
    target = tmp_path / "site"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target", target, wheel],
        check=True,
    )
    return target


async def test_a_function_of_an_installed_package_is_one_like_ours(
    installed_package: Path,
    pools: Pools,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
    start_selector: StartSelector,
) -> None:
    from services.selector.acquisition.installed import installed

    monkeypatch.syspath_prepend(str(installed_package))
    installed.cache_clear()
    try:
        assert set(installed()) == {"acme.longest"}
        pools.make("reviews", 60)
        async with start_selector() as selector:
            made = await selector.create(
                "sentiment", "reviews", ["negative", "positive"], custom_acquisition="acme.longest"
            )
            assert (made.custom_acquisition, made.acquisition) == ("acme.longest", pb.ACQUISITION_UNSPECIFIED)
            response = await selector.select(4, reservation=lasting(0))
            norms = (pools.store.open("reviews").vectors(ids(0, 60)).astype("f8") ** 2).sum(axis=1)
            assert picked(response) == [f"i{row}" for row in (-norms).argsort()[:4]]
            assert (response.custom_acquisition, response.acquisition) == ("acme.longest", 0)
            again = await selector.select(4, acquisition=pb.ACQUISITION_RANDOM, reservation=lasting(0))
            assert again.custom_acquisition == ""
            by_name = await selector.select(4, custom_acquisition="acme.longest", reservation=lasting(0))
            assert picked(by_name) == picked(response)
            for asked, words in (
                ({"custom_acquisition": "acme.other"}, r"installed in the selector \(acme.longest\), got 'acme.other'"),
                ({"custom_acquisition": "MARGIN"}, "must be one of"),
                ({"custom_acquisition": "acme.longest", "acquisition": 3}, "must be empty beside acquisition"),
            ):
                with pytest.raises(Refusal, match=words) as refused:
                    await selector.select(4, **asked)
                assert refused.value.fields == ["custom_acquisition"]
    finally:
        installed.cache_clear()
    monkeypatch.undo()
    async with start_selector() as selector:
        with pytest.raises(Refusal, match=r"'acme\.longest' is not installed in the selector") as refused:
            await selector.select(1)
        assert (refused.value.code, refused.value.reason) == (UNFIT, "ACQUISITION_NOT_INSTALLED")
    installed.cache_clear()
