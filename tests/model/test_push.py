"""Models put on the Hub and opened from there, at a server that speaks the Hub's API."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import huggingface_hub.constants as hub_constants
import pytest
from made_hub import TOKEN, Hub, hub

from dinku.errors import DinkuError
from dinku.model.folder import ModelFolder, find_folder
from dinku.model.push import push
from dinku.testing import tiny_tagger

Command = Callable[..., tuple[int, str, str]]
pytestmark = pytest.mark.slow


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """What the library reads from the environment when it is imported is set to a server of the test's own."""
    with hub() as made:
        monkeypatch.setenv("HF_ENDPOINT", made.url)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setattr(hub_constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(hub_constants, "ENDPOINT", made.url)
        monkeypatch.setattr(hub_constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        template = made.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(hub_constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        yield made


def test_a_bundle_goes_to_the_hub_and_comes_back(tiny_bundle: Callable[..., Path], server: Hub, dinku: Command) -> None:
    bundle = tiny_bundle()
    status, out, err = dinku("push", bundle, "me/tagger")
    assert status == 0, err
    commit = server.commit("models", "me/tagger", "main")
    assert out == f"{server.url}/me/tagger/commit/{commit}\nTo use it:  dinku predict hf:me/tagger\n"
    there = server.files["models", "me/tagger", "main"]
    assert there == {p.relative_to(bundle).as_posix(): p.read_bytes() for p in bundle.rglob("*") if p.is_file()}
    folder = find_folder("hf:me/tagger")
    assert ModelFolder.of(folder).is_bundle
    predicted = [
        dinku("predict", model, stdin=b"Ade ba Kiland\n")
        for model in (bundle, "hf:me/tagger", f"hf:me/tagger@{commit}")
    ]
    assert [status for status, _, _ in predicted] == [0, 0, 0], predicted
    assert predicted[0][1] == predicted[1][1] == predicted[2][1]
    status, out, err = dinku("push", bundle, "hf:me/tagger", "--json")  # once more, to a repository that is there
    assert status == 0, err


def test_of_a_tagger_only_the_model_is_put_there(server: Hub, tmp_path: Path) -> None:
    folder = tiny_tagger().save(tmp_path / "tagger")
    (folder / "notes.txt").write_text("mine")
    push(ModelFolder(folder), "me/dense")
    there = server.files["models", "me/dense", "main"]
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= there.keys()
    assert "notes.txt" not in there


def test_what_can_t_be_pushed(
    server: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_bundle: Callable[..., Path]
) -> None:
    bundle = ModelFolder(tiny_bundle())
    for name in ("tagger", "me/../tagger", "me/tagger/more", ""):
        with pytest.raises(DinkuError, match="is no name on the Hub; write it as owner/name"):
            push(bundle, name)
    encoder = tiny_tagger(tags=()).save(tmp_path / "encoder")
    with pytest.raises(DinkuError, match="is an encoder without tags"):
        push(ModelFolder(encoder), "me/encoder")
    assert not server.files
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    with pytest.raises(DinkuError, match=r"the Hub doesn't take it \(.*; log in with `hf auth login`") as error:
        push(bundle, "me/tagger")
    assert error.value.status == 1
    monkeypatch.setenv("DINKU_OFFLINE", "1")
    with pytest.raises(DinkuError, match="DINKU_OFFLINE forbids the network"):
        push(bundle, "me/tagger")


def test_hf_names_a_model_of_the_hub_though_a_folder_has_the_name(
    server: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("me/tagger").mkdir(parents=True)
    assert find_folder("me/tagger") == Path("me/tagger")
    with pytest.raises(DinkuError, match="hf:me/tagger: no such folder, and it can't be fetched from the Hub"):
        find_folder("hf:me/tagger")
