"""Measures taggers: rows of F1 with their counts and answers, and rows of times."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from dinku.data.corpus import Corpus
from dinku.data.task import NER
from dinku.machine import BFLOAT16_FLAGS, Environment, environment
from dinku.model.sentence_tagger import SentenceTagger
from dinku.scoring import tagging
from dinku.scoring.answers import Answers
from dinku.scoring.counts import Counts
from dinku.scoring.error_analysis import known
from dinku.study.facts import size_of, target, time_taggers
from dinku.study.failures import Failed
from dinku.study.prepare import Prepared, Subject
from dinku.study.results import totals
from dinku.study.rows import Row, Size, Training
from dinku.study.steps import MakesTaggers
from dinku.training.settings import TrainingSettings

NUMERICS = 100  # sentences of a language on which a quantized tagger's numerics are measured


@dataclass(frozen=True)
class Measures(MakesTaggers):
    """The part of a run that measures taggers and writes rows."""

    def _evaluate(self, prepared: Prepared, missing: Sequence[Subject]) -> None:
        tagger = self._tagger(prepared, len(prepared.recipe.steps))
        folder = self.store.tagger(prepared.address) if prepared.recipe.steps else prepared.base.folder.path
        size, device = size_of(tagger, folder), "cpu" if tagger.cpu_only else self.device
        tagger.to(device)
        try:
            self._tag(prepared, missing, tagger, size, device)
        finally:
            tagger.to("cpu")

    def _tag(
        self, prepared: Prepared, missing: Sequence[Subject], tagger: SentenceTagger, size: Size, device: str
    ) -> None:
        """Write a quality row for each of the subjects."""
        names = frozenset(name for _, name in known(prepared.train))
        for subject in missing:
            corpus = subject.corpus
            what = " ".join([f"{prepared.title}: tagging {corpus.languages[0]}", subject.perturbation]).strip()
            found = tagger.tag(corpus.sentences, progress=partial(self.report, what))
            counts = tagging.counted(corpus, found)
            measured: dict[str, Any] = {"spans": totals(counts), "size": size}
            measured["target"] = target(tagger.encoder, corpus, prepared.train, names)
            if subject.perturbation:
                measured |= {"perturbation": subject.perturbation, "changed": subject.changed}
            elif tagger.scheme.terminal:
                measured["numerics"] = tagger.numerics(corpus.sample(NUMERICS, seed=0).sentences)
            gold = [s.tags or () for s in corpus]
            answers = Answers.of(gold, [t.tags for t in found], [t.scores for t in found])
            self._add(self._row(prepared, corpus, len(subject.whole), device=device, **measured), counts, answers)

    def _row(self, prepared: Prepared, corpus: Corpus, total: int, device: str = "cpu", **measured: Any) -> Row:
        return Row(
            kind="latency" if "latency" in measured else "quality",
            study=self.study.name,
            arm=prepared.entry.arm,
            values=prepared.entry.values,
            recipe=prepared.recipe.document(),
            base_digest=prepared.base.digest,
            address=prepared.address,
            seed=prepared.recipe.seed,
            corpus=corpus.name,
            source=corpus.source,
            language=corpus.languages[0],
            split=corpus.split,
            fingerprint=corpus.fingerprint,
            sentences=len(corpus),
            sentences_in_split=total,
            trainings=self._trainings(prepared),
            environment=environment(self.threads, device),
            versions=prepared.recipe.versions,
            task=None if corpus.task is NER else corpus.task.name,
            **measured,
        )

    def _trainings(self, prepared: Prepared) -> tuple[Training, ...]:
        out = []
        for address, step in zip(prepared.addresses[1:], prepared.recipe.steps, strict=True):
            if isinstance(step, TrainingSettings) and self.store.has(address):
                made = self.store.step(address)
                where = Environment.model_validate(made["environment"])
                # Older steps don't record their device; all were made on CPUs.
                has_bfloat16 = not BFLOAT16_FLAGS.isdisjoint(where.instructions)
                guessed = ("bfloat16" if has_bfloat16 else "float32") if step.precision == "auto" else step.precision
                out.append(
                    Training(
                        address=address,
                        seconds=made["seconds"],
                        precision=made.get("precision", guessed),
                        consumes=made.get("consumes", {}),
                        warning=made.get("warning", ""),
                        machine=where.machine,
                        commit=where.commit,
                        dirty=where.dirty,
                    )
                )
        return tuple(out)

    def _time(self, chosen: Sequence[Prepared]) -> None:
        """Time recipes against the reference arm of the same seed. Times are kept for each machine.

        Nothing is trained again for this: a recipe that was timed on another machine is timed here only if the store
        still has its tagger and the reference's.
        """
        timing = self.study.latency
        assert timing is not None
        references = [p for p in self.prepared if p.entry.arm == timing.reference]
        dense = {p.recipe.seed: p for p in references}
        own = {(p.recipe.base, p.recipe.corpus, p.recipe.seed): p for p in references}  # if several bases have one
        for prepared in chosen:
            samples = [
                Subject(s.corpus.sample(timing.sentences, seed=0), s.whole)
                for s in self.evaluated[prepared.recipe.corpus]
                if not s.perturbation
            ]
            key = prepared.recipe.base, prepared.recipe.corpus, prepared.recipe.seed
            reference = own.get(key, dense.get(prepared.recipe.seed))
            if prepared.recipe.seed not in timing.seeds or reference in (None, prepared):
                continue
            assert reference is not None
            if self.failed([reference, prepared]) or not self._untimed(prepared, reference, samples):
                continue
            with suppress(Failed), self._kept(prepared, prepared.address, "timing"):
                for p in (reference, prepared):
                    for i in range(1, len(p.addresses)):
                        self.make(p, i, wait=True)
                with self.store.lock("clock", wait=True):  # one measurement at a time on a store
                    todo = self._untimed(prepared, reference, samples)  # another process may have made some
                    if not todo:
                        continue
                    self._keep_in_memory({})  # each is opened from its folder, as users do
                    subject = self._tagger(prepared, len(prepared.recipe.steps))
                    first = self._tagger(reference, len(reference.recipe.steps))
                    second = first.copy()
                    for number, timed in enumerate(todo):
                        sample = timed.corpus
                        self.report(f"{prepared.title}: timing {sample.languages[0]}", number, len(todo))
                        latency = time_taggers(
                            subject, first, second, sample, rounds=timing.rounds, reference=reference.address
                        )
                        self._add(self._row(prepared, sample, len(timed.whole), latency=latency))

    def _untimed(self, prepared: Prepared, reference: Prepared, samples: Sequence[Subject]) -> list[Subject]:
        """The samples on which a recipe is still to be timed here."""
        keys = self.results.complete()
        stored = all(len(p.addresses) == 1 or self.store.has(p.address) for p in (prepared, reference))
        here = environment(self.threads).machine
        out = []
        for sample in samples:
            fact = ("latency", prepared.address, *sample.key[:-1])
            if (*fact, here) not in keys and (stored or all(key[:-1] != fact for key in keys)):
                out.append(sample)
        return out

    def _add(self, row: Row, counts: Counts | None = None, answers: Answers | None = None) -> None:
        """Add a row, and describe the study first; a run that fails before its first row leaves nothing."""
        self._describe()
        self.results.add(row, counts, answers)
