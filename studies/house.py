"""Write the house encoder, `dinku:house`: four layers of multilingual-e5-small and 18,000 pieces, as int8 rows.

    python studies/house.py E5 TEXT OUT [--distil FOLDER --sentences 45000 --epochs 2 --width 1024]

E5 is intfloat/multilingual-e5-small (MIT) as a Hugging Face folder or Hub id, TEXT a folder of `<language>.txt.xz`, a
sentence a line, and OUT the folder to write. The text decides which pieces of the vocabulary stay, every language
having the same say. What ships lies in `src/dinku/house/`, its card beside it.

Without `--distil` no weight is trained. With it, the layers, whose feed-forward parts `--width` may make narrower, learn on
`--sentences` of that folder's text, `--epochs` times each, to see it as all twelve of e5's do (`DistilText`): few and often
where languages have little, as what these lack others would fill. Killed and run again, it goes on.
"""

from __future__ import annotations

import argparse
import lzma
import sys
import unicodedata
from collections.abc import Iterator
from functools import reduce
from pathlib import Path

from dinku.data.corpus import Corpus, Sentence
from dinku.data.unlabelled import Text
from dinku.method import Data, Work
from dinku.methods.distiltext import DistilText
from dinku.methods.feedforward import NarrowFeedForward
from dinku.methods.layers import KeepLayers
from dinku.methods.vocabulary import TrimVocabulary
from dinku.model.encode import segmentation
from dinku.model.inspect import disk_bytes
from dinku.nn.tagger import Tagger

LAYERS = (0, 3, 7, 11)
PIECES = 18_000
WORDS = 100_000  # of each language: its text is read from the start, and over again where it has fewer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("e5")
    parser.add_argument("text", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--distil", metavar="FOLDER")
    parser.add_argument("--sentences", type=int, default=45_000)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--width", type=int)
    arguments = parser.parse_args()
    files = sorted(arguments.text.glob("*.txt.xz"))
    if not files:
        raise SystemExit(f"{arguments.text}: holds no <language>.txt.xz")
    text = Corpus("text", "train", tuple(sentence for file in files for sentence in sentences(file)))
    whole = Tagger.load(arguments.e5)
    known = TrimVocabulary(PIECES, scripts=("Latin", "Ethiopic")).apply(whole, Data(text), Work())
    # By weights alone half as much is left of a tagger that is narrowed so (docs/log.md).
    narrow = (NarrowFeedForward(arguments.width, importance="activation"),) if arguments.width else ()
    smaller = (KeepLayers(LAYERS), *narrow)
    if arguments.distil:
        read = {"sentences": arguments.sentences, "epochs": arguments.epochs}
        learn = DistilText(batch=16, rate=2e-4, relation_heads=48, student=smaller, **read)
        scratch = arguments.out.with_name(f".{arguments.out.name}.work")
        house = learn.apply(known, Data(text, text=Text.open(arguments.distil)), Work(folder=scratch, progress=told))
    else:
        house = reduce(lambda tagger, method: method.apply(tagger, Data(text), Work()), smaller, known)
    house.model.config.name_or_path = house.model.config._name_or_path = "dinku:house"
    house.save(arguments.out, weights="int8")
    print(f"{house.shape.parameters:,} parameters, {disk_bytes(arguments.out):,} bytes in {arguments.out}")
    print("language  sentences as before  subwords a word before, after  unknown words before, after")
    for language, s in segmentation(whole.encoder, house.encoder, text).items():
        before, after = (n / s.words for n in s.subwords)
        unknown = [f"{n / s.words:.3%}" for n in s.unknown]
        print(f"{language:9} {s.as_before / s.sentences:7.1%}  {before:.2f}  {after:.2f}  {unknown[0]}  {unknown[1]}")


def told(done: int, steps: int, note: str) -> None:
    if done % 100 == 0 or done == steps:
        print(f"{note}: {done:,} of {steps:,} steps", file=sys.stderr, flush=True)


def sentences(file: Path) -> Iterator[Sentence]:
    """Lines of one language, over and over, until they have `WORDS` words."""
    language, read = file.name.split(".")[0], 0
    while read < WORDS:
        with lzma.open(file, "rt", encoding="utf-8") as lines:
            for line in lines:
                words = tuple(word for token in line.split() for word in apart(token))
                if words:
                    yield Sentence(words, None, language)
                read += len(words)
                if read >= WORDS:
                    return


def apart(token: str) -> list[str]:
    """A token with the punctuation around it as words of its own, as corpora of tagged words have it."""
    inside = [i for i, letter in enumerate(token) if unicodedata.category(letter)[0] not in "PS"]
    if not inside:
        return list(token)
    first, last = inside[0], inside[-1] + 1
    return [*token[:first], token[first:last], *token[last:]]


if __name__ == "__main__":
    main()
