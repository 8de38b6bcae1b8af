"""One thread that tags the texts of all clients, a few windows of each request at a time.

A text is read through windows, and a long one has hundreds. In every turn, the requests that have been served least come first,
those of few subwords in the order of their arrival. A short text therefore waits for other short ones, but not for the rest of
a long one. The request that has waited longest for a turn also gets a window, so that long texts are finished, too. A request
whose client has gone is dropped.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from typing import Any

from dinku.model.predict import Draft
from dinku.model.windows import Logits, Window
from dinku.serving.lines import Line
from dinku.serving.reader import Reader

Answer = dict[str, Any]
TOGETHER = (64, 1024)  # windows and subwords of a turn, which the engine computes at once
LITTLE = 256  # subwords: differences below this, a few sentences, don't change the order
_log = logging.getLogger("dinku.serving.http")


@dataclass(frozen=True)
class Limits:
    """The limits of a server.

    A request has at most ``characters`` and ``texts``, and all waiting requests together at most ``waiting`` characters.
    Requests longer than ``long`` characters may take only ``waiting_long`` of these, and leave the others to short ones. At most
    ``requests`` are open at once, and ``bodies`` bytes of bodies are held while they arrive. A client has ``head_seconds`` to
    begin a request, ``read_seconds`` to send it, and ``answer_seconds`` to read what fills the connection. There are at most
    ``connections``, or fewer if the process may open fewer files.
    """

    body_bytes: int = 1 << 20
    texts: int = 256
    characters: int = 100_000
    waiting: int = 300_000
    long: int = 4_000
    waiting_long: int = 210_000
    requests: int = 512
    bodies: int = 1 << 26
    connections: int = 1_000
    head_seconds: float = 10.0
    read_seconds: float = 10.0
    answer_seconds: float = 60.0
    stop_seconds: int = 600


class Busy(Exception):
    """Too many characters are waiting."""


class Failed(Exception):
    """A text can't be tagged, or the server can no longer tag any; the log says why."""


@dataclass(eq=False)
class _Text:
    line: Line
    draft: Draft
    reading: Generator[None, None, list[Window]]
    windows: deque[Window] | None = None  # that nobody has answered yet; none before the text is read to its end
    unanswered: int = 0


@dataclass(eq=False)
class _Job:
    texts: Sequence[str]
    cost: int
    long: bool
    future: Future[list[Answer]] = field(default_factory=Future)
    begun: int = 0  # texts
    text: _Text | None = None  # the one whose windows are given out
    answers: dict[int, Answer] = field(default_factory=dict)
    served: int = 0  # subwords
    turn: int = 0  # in which it was last served, or came

    @property
    def rank(self) -> int:
        """Jobs of lower rank are served first, and jobs of equal rank in the order of their arrival."""
        return self.long + self.served // LITTLE


_Asked = tuple[_Job, int, _Text, Window]  # whose, which of its texts, and a window of that


class Batcher:
    """Collects the texts of many clients, which one thread tags together."""

    def __init__(self, reader: Reader, limits: Limits) -> None:
        self.reader, self.limits = reader, limits
        self.waiting = self.batches = self.turns = self.texts = self.words = self.entities = 0
        self._waiting_long = 0
        self._jobs: dict[_Job, None] = {}
        self._some = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="tagging", daemon=True)
        self._thread.start()

    def ask(self, texts: Sequence[str]) -> Future[list[Answer]]:
        """A future of the texts' answers, in order. Cancelling it drops the request.

        Raises `Busy` if too many characters are waiting, or the batcher is closed. The future raises `Failed`.
        """
        cost = sum(len(text) + 1 for text in texts)
        job = _Job(texts, cost, cost > self.limits.long)
        if not texts:
            job.future.set_result([])
            return job.future
        with self._some:
            full = self.waiting + cost > self.limits.waiting
            full |= job.long and self._waiting_long + cost > self.limits.waiting_long
            if self._closed or full:
                raise Busy
            self.waiting += cost
            self._waiting_long += cost * job.long
            job.turn = self.turns
            self._jobs[job] = None
            self._some.notify()
        job.future.add_done_callback(lambda _: self._leave(job))
        return job.future

    def close(self) -> None:
        """Finish all accepted requests, then stop."""
        with self._some:
            self._closed = True
            self._some.notify()
        self._thread.join()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def _leave(self, job: _Job) -> None:
        with self._some:
            del self._jobs[job]
            self.waiting -= job.cost
            self._waiting_long -= job.cost * job.long
            self._some.notify()

    def _work(self) -> None:
        try:
            while jobs := self._wanted():
                self._turn(jobs)
        except BaseException as error:  # an error in this module, after which the server can't go on
            _log.critical("the thread that tags has died", exc_info=error)
            with self._some:
                self._closed, left = True, list(self._jobs)
            for job in left:
                _settle(job, Failed("the server can't tag any more, and stops"))

    def _wanted(self) -> list[_Job]:
        """The waiting jobs, once there are any; none when the batcher is closed and all jobs are done."""
        with self._some:
            self._some.wait_for(lambda: self._jobs or self._closed)
            return list(self._jobs)

    def _turn(self, jobs: Sequence[_Job]) -> None:
        self.turns += 1
        asked: list[_Asked] = []
        patient = min(jobs, key=lambda job: job.turn)
        queue = [(job.rank if job is not patient else -1, number, job) for number, job in enumerate(jobs)]
        heapify(queue)
        room = TOGETHER[1]
        while queue and room > 0 and len(asked) < TOGETHER[0]:
            _, number, job = heappop(queue)
            job.turn = self.turns
            try:
                one = self._next(job)
            except BaseException as error:  # a tokenizer that panics raises no Exception
                self._fail(job, error)
                continue
            if one:
                asked.append(one)
                job.served += one[3].size
                room -= one[3].size
                heappush(queue, (job.rank, number, job))
        self.batches += bool(asked)
        for each, logits in self._answered(asked):
            self._take(each, logits)

    def _next(self, job: _Job) -> _Asked | None:
        """The next window of a job; none if all of its windows are being computed, or have yet to be read: in each turn, one
        stretch of a job's text is read into windows."""
        while not job.future.done():
            text = job.text
            if text is None:
                if job.begun == len(job.texts):
                    return None
                line, tagger = Line.typed(job.texts[job.begun]), self.reader.tagger
                words = line.read_for(tagger.task).words
                draft = Draft(tagger.tags, tagger.task.units(len(words)), legal=tagger.legal_tags, task=tagger.task)
                text = _Text(line, draft, tagger.encoder.stretches(words))
                job.text, job.begun = text, job.begun + 1
            if text.windows is None:
                try:
                    next(text.reading)
                    return None
                except StopIteration as read:
                    text.windows, text.unanswered = deque(read.value), len(read.value)
                    if not text.unanswered:
                        self._finish(job, job.begun - 1, text)
            if text.windows:
                return job, job.begun - 1, text, text.windows.popleft()
            job.text = None
        return None

    def _answered(self, asked: Sequence[_Asked]) -> list[tuple[_Asked, Logits]]:
        numbered = [window.numbered(number) for number, (*_, window) in enumerate(asked)]
        try:
            return [(asked[window.sentence], logits) for window, logits in self.reader.tagger.answered(numbered)]
        except BaseException as error:
            if len(asked) == 1:
                self._fail(asked[0][0], error)
                return []
        # Computing each window alone shows which one fails; the others are answered.
        return [pair for one in asked if not one[0].future.done() for pair in self._answered([one])]

    def _take(self, asked: _Asked, logits: Logits) -> None:
        job, number, text, window = asked
        try:
            text.draft.take(window, logits)
            text.unanswered -= 1
            if not text.unanswered:
                self._finish(job, number, text)
        except Exception as error:
            self._fail(job, error)

    def _finish(self, job: _Job, number: int, text: _Text) -> None:
        answer = job.answers[number] = text.line.answer(text.draft.taggings()[0])
        self.texts += 1
        self.words += len(text.line.spans)
        self.entities += len(answer[self.reader.tagger.task.answer])
        if len(job.answers) == len(job.texts):
            _settle(job, [job.answers[n] for n in range(len(job.texts))])

    def _fail(self, job: _Job, error: BaseException) -> None:
        _log.error("a text could not be tagged", exc_info=error)
        _settle(job, Failed("the tagger failed on this; the server's log says how"))


def _settle(job: _Job, result: list[Answer] | Failed) -> None:
    with suppress(InvalidStateError):  # the client has hung up
        if isinstance(result, Failed):
            job.future.set_exception(result)
        else:
            job.future.set_result(result)
