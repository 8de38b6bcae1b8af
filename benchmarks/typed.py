"""What reading text as typed costs: ``python benchmarks/typed.py MODEL --corpus masakhaner:all``.

F1 of a tagger on the words of the test split, and on the same sentences put together as one would type them
(`dinku.testing.detokenized`), whose words are dinku's own. Entities of these are compared with the gold ones by where they are in
the text.
"""

from __future__ import annotations

import argparse
import json

import dinku
from dinku.data import sources
from dinku.data.spans import spans
from dinku.scoring.counts import count
from dinku.serving.lines import Line
from dinku.testing import detokenized


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--corpus", default="sample:all", help="its test split is tagged (default: %(default)s)")
    parser.add_argument("--sentences", type=int, help="of each language, at random; all unless told")
    asked = parser.parse_args()
    reader = dinku.open(asked.model)
    whole = sources.load(asked.corpus, "test")
    for language in whole.languages:
        part = whole.only([language])
        data = part.sample(asked.sentences, 0) if asked.sentences else part
        given = [detokenized(sentence.words) for sentence in data]
        plain = reader.tagger.tag(data.sentences)
        lines = [Line.typed(text) for text, _ in given]
        found = reader.tag(lines)
        gold_counts = count([s.tags or () for s in data], [t.tags for t in plain], [language] * len(data))
        gold = predicted = correct = 0
        for sentence, (_, places), line, tags in zip(data, given, lines, found, strict=True):
            wanted = {(places[s.start][0], places[s.end - 1][1], s.label) for s in spans(sentence.tags or ())}
            got = {(e["start"], e["end"], e["label"]) for e in line.entities(tags)}
            gold, predicted, correct = gold + len(wanted), predicted + len(got), correct + len(wanted & got)
        on_words = 100 * gold_counts.scores().f1
        as_typed = 200 * correct / (gold + predicted) if gold + predicted else 0.0
        told = {"language": language, "sentences": len(data), "words": round(on_words, 2)}
        print(json.dumps(told | {"typed": round(as_typed, 2), "difference": round(as_typed - on_words, 2)}), flush=True)


if __name__ == "__main__":
    main()
