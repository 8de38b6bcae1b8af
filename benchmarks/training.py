"""How fast fine-tuning is, beside `transformers.Trainer`: ``python benchmarks/training.py MODEL --corpus masakhaner:hau``.

Three arms train the same tagger, from the same first weights, on a CPU:

    dinku        FineTune
    trainer      a stock Trainer: float32, random order, dynamic padding
    trainer+     the same with bfloat16 autocast and sentences grouped by length

Model, sentences, batch size, number of steps, rate, linear schedule, clipping and optimizer are the same. Times run from
the end of the first optimizer step to the end of the last, each in a process of its own. ``--f1`` also trains every arm on
the whole train splits and compares their F1 on the test splits, evaluated in float32 by dinku for all; finished trainings
are kept in ``--out``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path
from statistics import mean, median
from typing import Any

import torch
import transformers
from transformers import (
    AutoModelForTokenClassification,
    AutoTokenizer,
    DataCollatorForTokenClassification,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from dinku.data import sources
from dinku.data.corpus import Corpus
from dinku.machine import available_threads, interleaved
from dinku.method import Data, Work
from dinku.methods.finetune import FineTune
from dinku.model.folder import ModelFolder
from dinku.nn import surgery
from dinku.nn.quiet import quietly
from dinku.nn.tagger import Tagger
from dinku.scoring.counts import Counts
from dinku.scoring.significance import paired
from dinku.training.fit import has_bfloat16

ARMS = ("dinku", "trainer", "trainer+")
MARGIN = 0.005  # half a point of F1


class Clock(TrainerCallback):
    """When each optimizer step ended: as a callback of the Trainer, or by `tick`."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def tick(self) -> None:
        self.ends.append(time.perf_counter())

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.tick()

    @property
    def seconds(self) -> float:
        """From the end of the first step to that of the last."""
        return self.ends[-1] - self.ends[0]


@dataclass(frozen=True)
class Training:
    """One fine-tuning that any arm can do. ``folder`` holds ``tagger``, whose head is fresh, as the Trainer loads it."""

    tagger: Tagger
    folder: Path
    corpus: Corpus
    method: FineTune
    seed: int
    threads: int

    def run(self, arm: str) -> tuple[Tagger, Clock]:
        return self._dinku() if arm == "dinku" else self._stock(fast=arm == "trainer+")

    def _dinku(self) -> tuple[Tagger, Clock]:
        clock = Clock()
        work = Work(seed=self.seed, threads=self.threads, progress=lambda *_: clock.tick())
        return self.method.apply(self.tagger, Data(train=self.corpus), work), clock

    def _stock(self, *, fast: bool) -> tuple[Tagger, Clock]:
        """What the Trainer makes of it, its settings the defaults where none is named."""
        clock, method = Clock(), self.method
        with tempfile.TemporaryDirectory() as scratch, quietly():
            tokenizer = AutoTokenizer.from_pretrained(self.folder)
            model = AutoModelForTokenClassification.from_pretrained(self.folder, dtype=torch.float32)
            arguments = TrainingArguments(
                output_dir=scratch,
                num_train_epochs=method.epochs,
                per_device_train_batch_size=method.batch,
                learning_rate=method.rate,
                lr_scheduler_type="linear",
                warmup_steps=0,
                max_grad_norm=method.clip,
                bf16=fast,
                train_sampling_strategy="group_by_length" if fast else "random",
                use_cpu=True,
                dataloader_pin_memory=False,
                seed=self.seed,
                save_strategy="no",
                logging_strategy="no",
                report_to="none",
                disable_tqdm=True,
            )
            trainer = Trainer(
                model=model,
                args=arguments,
                train_dataset=features(tokenizer, self.corpus, model.config.label2id, method.window),
                data_collator=DataCollatorForTokenClassification(tokenizer),
                processing_class=tokenizer,
                callbacks=[clock],
            )
            trainer.remove_callback(PrinterCallback)
            trainer.train()
            trainer.accelerator.unwrap_model(model, keep_fp32_wrapper=False)  # it's evaluated without autocast
        return replace(self.tagger, model=model.eval()), clock


def features(tokenizer: Any, corpus: Corpus, number: Mapping[str, int], length: int) -> list[dict[str, list[int]]]:
    """Sentences as the Trainer wants them: a word's tag on its first subword, -100 elsewhere, cut at ``length``.

    That is done before training begins, and so are the lengths that `group_by_length` sorts by: neither is timed.
    """
    encoded = tokenizer([list(s.words) for s in corpus], is_split_into_words=True, truncation=True, max_length=length)
    out = []
    for i, sentence in enumerate(corpus):
        owners = encoded.word_ids(i)
        tags = sentence.tags or ()
        labels = [
            -100 if owner is None or owner == before else number[tags[owner]]
            for owner, before in zip(owners, [None, *owners[:-1]], strict=True)
        ]
        out.append({name: values[i] for name, values in encoded.items()} | {"labels": labels})
    return out


def fitting(tagger: Tagger, corpus: Corpus, method: FineTune) -> Corpus:
    """The sentences that are one window: of these every arm makes as many batches."""
    windows = Counter(w.sentence for w in tagger.windows_of(method.window).windows([s.words for s in corpus]))
    return replace(corpus, sentences=tuple(s for i, s in enumerate(corpus) if windows[i] == 1))


@dataclass
class Bench:
    """What was asked for, and the base of all trainings."""

    asked: argparse.Namespace
    scratch: Path
    base: Tagger = field(init=False)
    train: Corpus = field(init=False)
    method: FineTune = field(init=False)

    def __post_init__(self) -> None:
        asked = self.asked
        self.base = Tagger.load(asked.model)
        self.train = sources.load(asked.corpus, "train")
        self.method = FineTune(epochs=asked.epochs, rate=asked.rate, batch=asked.batch)
        self.method = self.method.resolve(self.base, Data(train=self.train))

    def training(self, corpus: Corpus, method: FineTune, seed: int) -> Training:
        """All arms start from one head, drawn from ``seed`` even where the model has one."""
        model = surgery.with_head(self.base.model, method.tags, seed=seed)
        tagger = replace(self.base, model=model, tags=method.tags)
        folder = self.scratch / f"seed-{seed}"
        if not folder.exists():
            tagger.save(folder)
            self._check_ids(tagger, folder)
        return Training(tagger, folder, corpus, method, seed, self.asked.threads)

    def _check_ids(self, tagger: Tagger, folder: Path) -> None:
        """Both must read the same subwords, or there is nothing to compare."""
        some = fitting(tagger, self.train.sample(200, seed=0), self.method)
        with quietly():
            stock = features(
                AutoTokenizer.from_pretrained(folder), some, tagger.model.config.label2id, self.method.window
            )
        ours = tagger.windows_of(self.method.window).windows([s.words for s in some])
        if any(a["input_ids"] != b.ids.tolist() for a, b in zip(stock, ours, strict=True)):
            raise SystemExit("transformers' tokenizer yields other subwords: there is nothing to compare")

    def rate(self, arm: str) -> float:
        """Sentences a second of one epoch over a sample, after its first step."""
        method = replace(self.method, epochs=1)
        assert method.batch
        part = fitting(self.base, self.train, method)
        steps = min(self.asked.sentences, len(part)) // method.batch
        if steps < 2:
            raise SystemExit(f"two batches at least are needed to time them: --sentences {2 * method.batch} or more")
        _, clock = self.training(part.sample(steps * method.batch, seed=0), method, seed=0).run(arm)
        if len(clock.ends) != steps:
            raise SystemExit(f"{arm} made {len(clock.ends)} steps instead of {steps}: there is nothing to compare")
        return (steps - 1) * method.batch / clock.seconds

    def f1(self) -> dict[str, Any]:
        """F1 of every arm and seed after whole trainings, and dinku's less that of each other arm."""
        test = sources.load(self.asked.corpus, "test")
        counts = {arm: [self._trained(arm, seed, test) for seed in self.asked.seeds] for arm in self.asked.arms}
        compared = {}
        for arm in self.asked.arms[1:]:
            found = paired(counts[arm], counts["dinku"], average="languages")
            compared[arm] = {**found._asdict(), "non_inferior": found.low > -MARGIN}
        each = {arm: [mean(s.f1 for s in c.by_language().values()) for c in counts[arm]] for arm in self.asked.arms}
        means = {arm: mean(values) for arm, values in each.items()}
        return {"seeds": self.asked.seeds, "each": each, "f1": means, "margin": MARGIN, "dinku_less": compared}

    def _trained(self, arm: str, seed: int, test: Corpus) -> Counts:
        """The counts of one training, from ``--out`` where it was finished before."""
        out, method = self.asked.out, self.method
        key = {
            "arm": arm,
            "version": FineTune.version if arm == "dinku" else transformers.__version__,
            "seed": seed,
            "model": ModelFolder.of(self.asked.model).digest,
            "corpus": self.asked.corpus,
            "fingerprints": [self.train.fingerprint, test.fingerprint],
            "epochs": method.epochs,
            "rate": method.rate,
            "batch": method.batch,
        }
        for line in out.read_text(encoding="utf-8").splitlines() if out.exists() else ():
            known = json.loads(line)
            if {name: known.get(name) for name in key} == key:
                return Counts.load(out.with_name(known["counts"]))
        trained, clock = self.training(self.train, method, seed).run(arm)
        counts = trained.evaluate(test)
        name = sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:12]
        counts.save(out.with_name(f"{out.stem}-{name}.npz"))
        scores = {language: s.f1 for language, s in counts.by_language().items()}
        facts = {"f1": mean(scores.values()), "by_language": scores, "steps": len(clock.ends), "seconds": clock.seconds}
        line = {**key, **facts, "threads": self.asked.threads, "counts": f"{out.stem}-{name}.npz"}
        with open(out, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        print(f"{arm}, seed {seed}: F1 {100 * mean(scores.values()):.2f}", file=sys.stderr)
        return counts


def rate(asked: argparse.Namespace, arm: str) -> float:
    """`Bench.rate` in a process that has done nothing else: training is slower on the heap that another left behind."""
    settle(asked)
    with tempfile.TemporaryDirectory() as scratch:
        return Bench(asked, Path(scratch)).rate(arm)


def speed(asked: argparse.Namespace) -> dict[str, Any]:
    """Rates of all arms in turn, each in a process of its own, and dinku's to the others'."""
    rates: dict[str, list[float]] = {arm: [] for arm in ARMS}

    def timed(arm: str) -> None:
        with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as fresh:
            rates[arm].append(fresh.submit(rate, asked, arm).result())
        print(f"{arm}: {rates[arm][-1]:.1f} sentences/s", file=sys.stderr)

    interleaved({arm: partial(timed, arm) for arm in ARMS}, rounds=asked.rounds, warmup=0)
    ratios = {
        arm: median(ours / theirs for ours, theirs in zip(rates["dinku"], rates[arm], strict=True)) for arm in ARMS[1:]
    }
    medians = {arm: median(values) for arm, values in rates.items()}
    return {"rounds": rates, "sentences_per_second": medians, "dinku_to": ratios}


def settle(asked: argparse.Namespace) -> None:
    os.environ["RAYON_NUM_THREADS"] = str(asked.threads)  # the tokenizers' threads, read when they first run
    torch.set_num_threads(asked.threads)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="an encoder or a tagger: a folder or a Hub id")
    parser.add_argument("--corpus", default="masakhaner:hau,swa,yor,wol", help="default: %(default)s")
    parser.add_argument(
        "--sentences", type=int, default=800, help="to time training on, at random (default: %(default)s)"
    )
    parser.add_argument("--rounds", type=int, default=3, help="of timing; 0 for none (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=2e-4, help="learning rate (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=16, help="default: %(default)s")
    parser.add_argument("--threads", type=int, default=available_threads(), help="default: %(default)s")
    parser.add_argument("--f1", action="store_true", help="train each arm on the whole train splits as well")
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=ARMS, help="of --f1, dinku first (default: all)")
    parser.add_argument("--epochs", type=int, default=3, help="of --f1 (default: %(default)s)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of --f1 (default: 0 1 2)")
    parser.add_argument("--out", type=Path, default=Path("training.jsonl"), help="of --f1 (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of a table")
    asked = parser.parse_args()
    settle(asked)

    result: dict[str, Any] = {"threads": asked.threads, "bfloat16_instructions": has_bfloat16("cpu")}
    if asked.rounds:
        result["speed"] = speed(asked)
    if asked.f1:
        with tempfile.TemporaryDirectory() as scratch:
            result["quality"] = Bench(asked, Path(scratch)).f1()
    if asked.json:
        print(json.dumps(result))
        return
    print(f"threads {asked.threads}, bfloat16 instructions: {'yes' if result['bfloat16_instructions'] else 'no'}")
    if found := result.get("speed"):
        print(f"median of {asked.rounds} rounds over {asked.sentences} sentences at most, each in a fresh process")
        for arm, each in found["sentences_per_second"].items():
            ratio = f"   dinku is {found['dinku_to'][arm]:.2f} times as fast" if arm in found["dinku_to"] else ""
            print(f"{arm:<10}{each:8.1f} sentences/s{ratio}")
    if quality := result.get("quality"):
        print(f"F1 on the test splits, mean over languages and seeds {', '.join(map(str, asked.seeds))}")
        for arm, f1 in quality["f1"].items():
            print(f"{arm:<10}{100 * f1:8.2f}", end="")
            if against := quality["dinku_less"].get(arm):
                low, high = 100 * against["low"], 100 * against["high"]
                verdict = "not inferior" if against["non_inferior"] else "not shown to be non-inferior"
                print(f"   dinku {100 * against['difference']:+.2f} [{low:+.2f}, {high:+.2f}]: {verdict}", end="")
            print()


if __name__ == "__main__":
    main()
