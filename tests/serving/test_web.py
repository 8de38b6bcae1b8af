"""The modules of js/ in node and in chromium: words, features, tags and entities are those of Python."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain
from pathlib import Path
from threading import Thread
from time import monotonic, sleep
from typing import Any

import mmh3
import numpy as np
import pytest
from chromium import Browser

from dinku.data import sources
from dinku.data.sample import LANGUAGES, sample
from dinku.data.spans import as_iob2, in_scheme, spans, tags
from dinku.data.word_boundaries import words
from dinku.errors import DinkuError
from dinku.export.pipeline import export
from dinku.model.bundle import Bundle
from dinku.model.decoding import legal_tags
from dinku.model.encode import _cuts
from dinku.model.folder import find_folder
from dinku.model.word_features import WordFeatures, shape_of_word
from dinku.serving import reader
from dinku.serving.web import modules, web_page
from dinku.testing import tiny_corpus, tiny_tagger

HERE = Path(__file__).parent / "javascript"
DEFAULT = ("word", "prefix1", "prefix2", "prefix3", "suffix1", "suffix2", "suffix3", "shape")


@pytest.fixture(scope="session")
def ask() -> Callable[..., Any]:
    """Asks node what js/ answers."""
    if not shutil.which("node"):
        pytest.skip("needs node, which isn't here")

    def asked(what: str, **given: Any) -> Any:
        document = json.dumps({"what": what, "modules": str(modules()), **given})
        done = subprocess.run(["node", HERE / "answers.mjs"], input=document, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return asked


def characters() -> list[str]:
    """All that Unicode has given a meaning to, as far as Python knows; a newer browser knows more."""
    points = (*range(0xD800), *range(0xE000, 0x110000))
    return [c for c in map(chr, points) if unicodedata.category(c) not in ("Cn", "Co")]


def test_words_begin_and_end_where_they_do_in_python(ask: Callable[..., Any]) -> None:
    texts = [f"a{c}b c" for c in characters()]
    texts += ["", " ", "'yan n'afọ ng' Ade-ba 1.500", "阿比让 ፡ ።", "😀a\u200bb 🇳🇬👩‍👩‍👧 e\u0323\u0301"]
    found = ask("words", texts=texts)
    assert [text for text, there in zip(texts, found, strict=True) if there != [list(w) for w in words(text)]] == []


def test_words_have_the_same_features(ask: Callable[..., Any]) -> None:
    random.seed(0)
    some = random.sample(characters(), 3000)
    known = ["Ouagadougou-2024", "ΟΔΟΣ", "İstanbul", "Ǆ", "ß", "x" * 40, "ጠቅላይ", "²³①", "a", "😀Kano", "ẹ\u0301"]
    words = [*("".join(random.sample(some, random.randint(1, 20))) for _ in range(500)), *known]
    for names, hashes, asked in (
        (("word",), 1, characters()),
        (DEFAULT, 4, words),
        (("word", "shape", "grams2-4", "suffix9"), 3, words),
    ):
        features = WordFeatures(names, rows=12_000, hashes=hashes)
        config = {"features": names, "rows": features.rows, "hashes": features.hashes}
        for word, (shape, rows) in zip(asked, ask("features", config=config, words=asked), strict=True):
            assert shape == shape_of_word(unicodedata.normalize("NFC", word)), hex(ord(word[0]))
            padded = [row + [0] * (width - len(row)) for row, width in zip(rows, features.widths, strict=True)]
            assert [*chain(*padded)] == features.rows_of([word])[0].tolist(), word
    assert mmh3.hash_bytes(b"") == bytes(16)  # so that nothing at all is row 1


def test_tags_of_every_scheme_mean_the_same_entities(ask: Callable[..., Any]) -> None:
    random.seed(1)
    letters = {"IOB2": "BI", "IO": "I", "IOB1": "BI", "BIOES": "BIES", "BILOU": "BILU"}
    given, wanted = [], []
    for scheme, kinds in letters.items():
        names = ["O", *(f"{letter}-{label}" for letter in kinds for label in ("PER", "LOC"))]
        for _ in range(400):
            tagged = random.choices(names, k=random.randint(0, 12))
            given.append(tagged)
            wanted.append([list(span) for span in spans(tagged if scheme == "IOB2" else as_iob2(tagged))])
    assert in_scheme(tags(spans(["B-PER", "I-PER"]), 2), "BILOU") == ("B-PER", "L-PER")
    assert ask("entities", tags=given) == wanted


def test_the_most_probable_legal_tags_are_the_same(ask: Callable[..., Any]) -> None:
    names = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
    random_numbers = np.random.default_rng(2)
    logits = [random_numbers.normal(size=(length, 5)).astype(np.float32) for length in (0, 1, 2, 3, 8, 40) * 20]
    found = ask("decoded", tags=names, logits=[each.tolist() for each in logits])
    assert found == [[names[i] for i in legal_tags(each, names).tolist()] for each in logits]


def test_long_sentences_are_cut_in_the_same_places(ask: Callable[..., Any]) -> None:
    random.seed(3)
    cases = []
    for _ in range(300):
        first = np.cumsum([0, *random.choices((1, 1, 2, 3, 30), k=random.randint(0, 80))])
        cases.append((first, int(first[-1]) + random.randint(1, 4), random.randint(5, 40)))
    found = ask("cuts", cases=[(first.tolist(), n, room) for first, n, room in cases])
    assert found == [[list(cut) for cut in _cuts(*case)] for case in cases]


def check_alike(found: Sequence[Any], bundle: str, texts: Sequence[str], within: float) -> int:
    """Entities are equal to the byte, and scores but for rounding; how many there are."""
    opened = reader.open(bundle, threads=1)
    count = 0
    for text, there in zip(texts, found, strict=True):
        here = opened.find(text)
        told = [{key: each[key] for key in ("start", "end", "label", "text")} for each in there]
        assert told == [{key: each[key] for key in ("start", "end", "label", "text")} for each in here], text
        assert [each["score"] for each in there] == pytest.approx([each["score"] for each in here], abs=within)
        units = text.encode("utf-16-le")
        assert all(units[2 * a : 2 * b].decode("utf-16-le") == e["text"] for e in there for a, b in [e["units"]])
        count += len(here)
    return count


def typed(split: str, most: int) -> list[str]:
    return [" ".join(s.words) for language in LANGUAGES for s in sample(language, split).sentences[:most]]


def test_a_word_network_finds_the_same(ask: Callable[..., Any]) -> None:
    bundle = str(find_folder("dinku:masakhaner"))
    texts = [*typed("test", 20), "😀 Amina Bello ta je Kano.\n🇳🇬", "", " ", "Kano " * 1500]
    found = ask("find", bundle=bundle, texts=texts)
    assert check_alike(found, bundle, texts, within=0.02) > 150


@pytest.mark.shared
def test_a_word_network_finds_the_same_in_real_sentences(ask: Callable[..., Any], shared: Path) -> None:
    bundle = str(find_folder("dinku:masakhaner"))
    sentences = sources.load("masakhaner:all", "test").sentences[::23]
    texts = [" ".join(s.words) for s in sentences]
    found = ask("find", bundle=bundle, texts=texts)
    opened = reader.open(bundle, threads=1)
    keys = ("start", "end", "label", "text")
    alike = [
        [[e[k] for k in keys] for e in there] == [[e[k] for k in keys] for e in opened.find(text)]
        for text, there in zip(texts, found, strict=True)
    ]
    assert len(alike) > 200
    assert sum(alike) >= len(alike) - 1  # int8 rounds a number the other way once in thousands


@pytest.mark.parametrize(("family", "kind", "precision"), [("bert", "wordpiece", "fp32"), ("roberta", "bytes", "int8")])
def test_a_transformer_finds_the_same(
    ask: Callable[..., Any], node_modules: Path, tmp_path: Path, family: str, kind: str, precision: str
) -> None:
    corpus = tiny_corpus(160)
    how: dict[str, Any] = {"precision": "int8", "tolerance": 1.0, "calibration": corpus} if precision == "int8" else {}
    export(tiny_tagger(family, kind), tmp_path / "bundle", corpus, threads=1, **how)
    texts = [" ".join(s.words) for s in corpus.sentences[:20]]
    texts += ["Ade ba Kiland. " * 60, "😀 Ade", "", "\u200b"]  # of several windows, and of none
    found = ask("find", bundle=str(tmp_path / "bundle"), texts=texts, libraries=str(node_modules))
    assert check_alike(found, str(tmp_path / "bundle"), texts, within=1e-3) > 50


def test_what_is_no_bundle_or_is_damaged_is_refused(
    ask: Callable[..., Any], tmp_path: Path, tiny_bundle: Callable[..., Path]
) -> None:
    bundle = find_folder("dinku:masakhaner")
    assert "can't be read (404); name the folder of a bundle" in ask("refused", bundle=str(tmp_path))
    shutil.copytree(bundle, tmp_path / "copy")
    model = tmp_path / "copy" / "onnx" / "model_quantized.onnx"
    whole = model.read_bytes()
    for bad in (whole[:-9], whole[:-1] + bytes([whole[-1] ^ 1])):
        model.write_bytes(bad)
        assert "isn't the file that was exported; copy the bundle again" in ask(
            "refused", bundle=str(tmp_path / "copy")
        )
    model.write_bytes(whole)
    manifest = tmp_path / "copy" / "bundle.json"
    told = json.loads(manifest.read_text())
    for change, answer in (
        ({"runtime": "openvino"}, "is no bundle for onnxruntime"),
        ({"files": {**told["files"], "../x.json": {"bytes": 1, "sha256": ""}}}, "lists files that no bundle has"),
    ):
        manifest.write_text(json.dumps(told | change))
        assert answer in ask("refused", bundle=str(tmp_path / "copy"))
    assert "give open(url, { ort, Tokenizer })" in ask("refused", bundle=str(tiny_bundle()))


@pytest.fixture
def offered() -> Iterator[Callable[[Path], str]]:
    """Offers a folder by http; its address."""
    servers = []

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            """Tests say enough."""

    def offer(folder: Path) -> str:
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
        Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_address[1]}/"

    yield offer
    for server in servers:
        server.shutdown()
        server.server_close()


def until(true: Callable[[], bool], seconds: float = 60) -> None:
    end = monotonic() + seconds
    while not true():
        assert monotonic() < end
        sleep(0.05)


def test_the_page_tags_in_a_browser_without_a_network(
    browser: Browser, offered: Callable[[Path], str], tmp_path: Path, dinku: Callable[..., tuple[int, str, str]]
) -> None:
    status, out, _ = dinku("export", "dinku:masakhaner", "page", "--web")
    assert (status, "python -m http.server" in out) == (0, True)
    assert sum(f.stat().st_size for f in (tmp_path / "page").rglob("*") if f.is_file()) < 2_000_000
    address = offered(tmp_path / "page")
    browser.call("Emulation.setDeviceMetricsOverride", width=360, height=640, deviceScaleFactor=2, mobile=True)
    browser.call("Page.navigate", url=address)
    said = "document.getElementById('said')?.textContent"
    until(lambda: browser.js(said) == "Ready.")
    until(lambda: "without a network" in browser.js("document.getElementById('ready').textContent"))
    browser.call(
        "Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=-1, uploadThroughput=-1
    )
    browser.call("Page.reload")
    until(lambda: browser.js("document.readyState") == "complete" and browser.js(said) == "Ready.")

    # By keyboard alone: text is tagged while it is typed, and Tab leads to each button.
    texts = [
        "\U0001f600 Amina Bello ta je Kano.",
        "<img src=x onerror=alert(1)> Àdébáyọ̀ lọ sí Ìbàdàn.",
        *typed("test", 2),
    ]
    browser.js("document.getElementById('text').focus()")
    browser.call("Input.insertText", text="\n\n".join(texts))
    until(lambda: "entities" in browser.js(said))
    shown = browser.js(
        "[...document.querySelectorAll('#found p')].map(p => [...p.querySelectorAll('mark')]"
        ".map(m => [m.firstChild.data, m.lastChild.textContent]))"
    )
    opened = reader.open("dinku:masakhaner", threads=1)
    assert shown == [[[e["text"], e["label"]] for e in opened.find(text)] for text in texts]
    assert browser.js("document.querySelectorAll('#found :not(p, mark, mark > b)').length") == 0
    for name in ("find", "save", "file"):
        browser.key("Tab", windowsVirtualKeyCode=9)
        assert browser.js("document.activeElement.id") == name

    # Nothing sticks out of a phone's screen, what is pressed is large enough, and no text goes anywhere.
    assert browser.js("document.documentElement.scrollWidth <= innerWidth")
    assert browser.js(
        "[...document.querySelectorAll('button, #open')].every(b => b.getBoundingClientRect().height >= 44)"
    )
    assert browser.js("fetch('https://example.org/?text').then(() => 'sent', () => 'refused')") == "refused"
    asked = {url for url in browser.requests if not url.startswith(("data:", "https://example.org"))}
    assert all(url.startswith((address, "about:blank")) and "?" not in url for url in asked)


def test_a_transformer_on_the_page(
    browser: Browser,
    offered: Callable[[Path], str],
    node_modules: Path,
    tmp_path: Path,
    tiny_bundle: Callable[..., Path],
) -> None:
    bundle = str(tiny_bundle())
    page = web_page(Bundle.open(bundle), tmp_path / "page", name="tiny", libraries=node_modules)
    browser.call("Page.navigate", url=offered(page))
    until(lambda: browser.js("document.getElementById('said')?.textContent") == "Ready.")
    texts = [" ".join(s.words) for s in tiny_corpus(4).sentences]
    found = browser.js(
        "import('./dinku.js').then(async ({open}) => { const [ort, {Tokenizer}] = await Promise.all(["
        "import('./lib/ort.wasm.min.mjs'), import('./lib/tokenizers.min.mjs')]);"
        f"const tagger = await open('model', {{ort, Tokenizer}}), out = []; for (const text of {json.dumps(texts)})"
        " out.push(await tagger.find(text)); return out; })"
    )
    assert check_alike(found, bundle, texts, within=1e-3) > 5


def test_a_page_needs_what_it_needs(tmp_path: Path, tiny_bundle: Callable[..., Path]) -> None:
    bundle = Bundle.open(str(tiny_bundle()))
    with pytest.raises(DinkuError, match="is a transformer, which a browser runs by two libraries; run: npm install"):
        web_page(bundle, tmp_path / "page", name="tiny")
    (tmp_path / "modules").mkdir()
    with pytest.raises(DinkuError, match="holds no onnxruntime-web/dist"):
        web_page(bundle, tmp_path / "page", name="tiny", libraries=tmp_path / "modules")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(DinkuError, match="already exists"):
        web_page(Bundle.open("dinku:masakhaner"), tmp_path / "full", name="m")
    assert not (tmp_path / "page").exists()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--libraries", "x"], "--libraries: is for --web alone; add --web, or leave it out"),
        (["--web", "--runtime", "openvino"], "--runtime: browsers don't run openvino; leave it out"),
    ],
)
def test_options_that_do_not_fit(
    options: list[str], told: str, tmp_path: Path, dinku: Callable[..., tuple[int, str, str]]
) -> None:
    assert dinku("export", "dinku:masakhaner", "out", *options) == (2, "", f"dinku: {told}\n")
    assert not (tmp_path / "out").exists()
