"""What a bundle bears: ``python benchmarks/load.py BUNDLE --corpus masakhaner:all``.

Three tests of the commands themselves, each in processes of its own:

- ``--starts``: ``dinku predict`` on one sentence, from the start of the process to its first answer, and its peak memory;
- ``--lines``: so many JSON lines through ``dinku predict``, fed through a pipe; answers are held to the order of the questions,
  and memory is looked at ten times;
- ``--clients``: so many at once ask ``dinku serve`` for ``--seconds``, one to three texts at a time, and then it is told to stop
  while all of them are asking. Every answer is compared with that of ``dinku.open`` to the same text alone
  (not its scores): dynamic int8 in onnxruntime answers by what else is in the batch;
- ``--hostile``: the same clients twice, alone and among others, in one call: `ATTACKERS` that send half a head, or a body byte by
  byte, hang up on the longest texts, or wait for them. They keep to this machine and end by themselves. The server's memory is
  looked at once a second, and its log counted.

Where an answer is lost or mixed up it exits with 1.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import multiprocessing
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np

import dinku
from dinku.data import sources

DINKU = (sys.executable, "-c", "from dinku.cli.app import main; main()")
Found = list[tuple[int, int, str]]
ATTACKERS = {"half a head": 1_100, "slow body": 100, "hang-up": 8, "longest text": 4}
LOG_BYTES, GROWN_BYTES = (
    100_000,
    512 << 20,
)  # the most that a server under attack may log, and need more than undisturbed


def resident(process: int) -> int:
    """Bytes that a running process has in memory."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def start(bundle: str, text: str) -> tuple[float, float]:
    """Seconds to the first answer, and the most megabytes that it took."""
    began = time.perf_counter()
    command = [*DINKU, "predict", bundle, "-", "--format", "jsonl"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(text.encode() + b"\n")
        process.stdin.close()
        json.loads(process.stdout.readline())
        seconds = time.perf_counter() - began
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit("predict failed")
    return seconds, used.ru_maxrss / 1e3 * 1.024


def lines(bundle: str, texts: Sequence[str], n: int) -> dict[str, Any]:
    """Have ``n`` lines tagged, texts over and over."""
    command = [*DINKU, "predict", bundle, "-", "--jsonl", "--format", "jsonl"]
    began = time.perf_counter()
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdin
        assert process.stdout
        pipe = process.stdin

        def feed() -> None:
            with pipe:
                for i, text in enumerate(islice(cycle(texts), n)):
                    pipe.write(json.dumps({"n": i, "text": text}).encode() + b"\n")

        threading.Thread(target=feed, daemon=True).start()
        memory, got = [], 0
        for got, line in enumerate(process.stdout, 1):
            answer = json.loads(line)
            if answer["n"] != got - 1 or answer["text"] != texts[(got - 1) % len(texts)]:
                raise SystemExit(f"answer {got:,} is that of line {answer['n'] + 1:,}")
            if got % (n // 10) == 0:
                memory.append(round(resident(process.pid) / 1e6, 1))
                print(f"\r{got:,} lines, {memory[-1]} MB", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    if got != n or process.returncode:
        raise SystemExit(f"{got:,} of {n:,} lines were answered")
    return {"lines": n, "seconds": round(time.perf_counter() - began, 1), "resident_mb": memory}


def found(answer: dict[str, Any]) -> Found:
    return [(e["start"], e["end"], e["label"]) for e in answer["entities"]]


async def attack(port: int, seconds: float) -> Counter[str]:
    """What all `ATTACKERS` were answered within so many seconds."""
    got: Counter[str] = Counter()
    head = "POST /predict HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n"
    longest = [json.dumps(text).encode() for text in ("ba " * 33_333, "\U0001f600" * 80_000, "Ade " * 24_999)]

    async def one(kind: str, number: int) -> None:
        draw = random.Random(number)
        await asyncio.sleep(draw.random())
        while True:
            with suppress(OSError, asyncio.IncompleteReadError):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                got[f"{kind}: tries"] += 1
                try:
                    if kind in ("half a head", "slow body"):
                        writer.write(
                            b"GET /health HTTP/1.1\r\nx: " if kind == "half a head" else head.format(9_000).encode()
                        )
                        while not reader.at_eof():
                            writer.write(b"a")
                            with suppress(TimeoutError):
                                async with asyncio.timeout(1):
                                    if answer := await reader.read(1 << 16):
                                        got[f"{kind}: {answer[9:12].decode()}"] += 1
                                        break
                    else:
                        body = longest[number % len(longest)]
                        writer.write(head.format(len(body)).encode() + body)
                        if kind == "longest text":
                            got[f"{kind}: {(await reader.readexactly(12))[9:].decode()}"] += 1
                        else:
                            await writer.drain()
                            await asyncio.sleep(draw.random() / 2)
                finally:
                    writer.close()
            await asyncio.sleep(0.1)

    with suppress(TimeoutError):
        async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
            for kind, number in ATTACKERS.items():
                for each in range(number):
                    group.create_task(one(kind, each))
    return got


def attacking(port: int, seconds: float, answer: Any) -> None:
    """Attack from a process of its own, which may have as many connections as the system lets it."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 4_096), most))
    answer.send(asyncio.run(attack(port, seconds)))


def clients(bundle: str, texts: Sequence[str], n: int, seconds: float, *, hostile: bool = False) -> dict[str, Any]:
    """Ask from ``n`` sides at once, maybe among hostile ones, then stop the server in the midst of it."""
    opened = dinku.open(bundle)
    wanted = {text: found({"entities": opened.find(text)}) for text in dict.fromkeys(texts)}
    done: Counter[str] = Counter()
    took: list[float] = []
    stopping = threading.Event()

    def client(number: int, port: int) -> None:
        draw = random.Random(number)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
        used = False  # a connection that was used may be closed while nothing is asked through it, and one asks again
        while True:
            asked = draw.sample(list(wanted), draw.randint(1, 3))
            began = time.perf_counter()
            try:
                body = json.dumps([{"text": text} for text in asked])
                connection.request("POST", "/predict", body, {"content-type": "application/json"})
                response = connection.getresponse()
            except (OSError, http.client.HTTPException):
                done["turned away while stopping" if stopping.is_set() else "asked again" if used else "lost"] += 1
                if stopping.is_set():
                    return
                connection.close()
                used = False
                continue
            used = True
            try:
                answers = json.loads(response.read())
            except (OSError, http.client.HTTPException, ValueError):
                done["lost"] += 1
                return
            if response.status == 503:
                done["told to come again"] += 1
                time.sleep(0.1)
                continue
            if response.status != 200 or len(answers) != len(asked):
                done["lost"] += 1
                continue
            took.append(time.perf_counter() - began)
            done["requests"] += 1
            done["after the stop"] += stopping.is_set()
            for text, answer in zip(asked, answers, strict=True):
                done["texts"] += 1
                done["mixed"] += answer["text"] != text
                done["different"] += found(answer) != wanted[text]

    command = [*DINKU, "serve", bundle, "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as serving:
        assert serving.stderr
        port = int(serving.stderr.readline().partition(b"127.0.0.1:")[2].partition(b"/")[0])
        logged: list[bytes] = []
        threading.Thread(target=lambda: logged.extend(serving.stderr or ()), daemon=True).start()
        spawn = multiprocessing.get_context("spawn")
        theirs, answer = spawn.Pipe(duplex=False)
        attackers = spawn.Process(target=attacking, args=(port, seconds, answer), daemon=True)
        with ThreadPoolExecutor(n) as pool:
            asking = [pool.submit(client, number, port) for number in range(n)]
            if hostile:
                attackers.start()
            end, memory = time.monotonic() + seconds, 0
            while (hostile and attackers.is_alive()) or time.monotonic() < end:
                time.sleep(1)
                memory = max(memory, resident(serving.pid))
                if time.monotonic() > end + 60:
                    attackers.kill()
                    raise SystemExit("the attack didn't end by itself")
            stopping.set()
            serving.send_signal(signal.SIGTERM)
            for each in asking:
                each.result()
        status = serving.wait()
    p50, p95 = np.quantile(took, [0.5, 0.95])
    told: dict[str, Any] = {"clients": n, "seconds": seconds, "status": status, **dict(sorted(done.items()))}
    told |= {"p50_s": round(float(p50), 3), "p95_s": round(float(p95), 3), "resident_mb": round(memory / 1e6, 1)}
    told |= {"log_bytes": sum(map(len, logged)), "hostile": dict(sorted(theirs.recv().items())) if hostile else None}
    # int8 answers by what else is in the batch, so that a tag may be another.
    if status or done["lost"] or done["mixed"] or (done["different"] and opened.precision == "fp32"):
        print(json.dumps(told))
        raise SystemExit("an answer was lost or mixed up")
    return told


def among_others(bundle: str, texts: Sequence[str], n: int, seconds: float) -> Iterator[dict[str, Any]]:
    """Clients alone, and then among hostile ones."""
    runs = []
    for hostile in (False, True):
        runs.append(clients(bundle, texts, n, seconds, hostile=hostile))
        yield runs[-1]
    alone, attacked = runs
    if attacked["log_bytes"] > LOG_BYTES:
        raise SystemExit(f"the server under attack logged {attacked['log_bytes']:,} bytes")
    if (attacked["resident_mb"] - alone["resident_mb"]) * 1e6 > GROWN_BYTES:
        raise SystemExit("the server under attack needs far more memory")


def told(bundle: str, texts: Sequence[str], asked: argparse.Namespace) -> Iterator[dict[str, Any]]:
    if asked.starts:
        runs = [start(bundle, texts[0]) for _ in range(asked.starts + 1)][1:]  # the first reads files from the disk
        seconds, megabytes = np.median(runs, axis=0)
        slowest = max(run[0] for run in runs)
        yield {
            "starts": asked.starts,
            "seconds": round(float(seconds), 3),
            "slowest": round(slowest, 3),
            "peak_mb": round(float(megabytes), 1),
        }
    if asked.lines:
        yield lines(bundle, texts, asked.lines)
    if asked.hostile:
        yield from among_others(bundle, texts, asked.clients, asked.seconds)
    elif asked.clients:
        yield clients(bundle, texts, asked.clients, asked.seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle")
    parser.add_argument("--corpus", default="sample:all", help="its test split is asked about (default: %(default)s)")
    parser.add_argument("--sentences", type=int, default=500, help="how many, at random (default: %(default)s)")
    parser.add_argument("--words", type=int, default=40, help="of at most so many words (default: %(default)s)")
    parser.add_argument("--starts", type=int, default=10, help="default: %(default)s")
    parser.add_argument("--lines", type=int, default=1_000_000, help="default: %(default)s")
    parser.add_argument("--clients", type=int, default=200, help="default: %(default)s")
    parser.add_argument("--seconds", type=float, default=60.0, help="default: %(default)s")
    parser.add_argument(
        "--hostile", action="store_true", help="have the clients ask twice, alone and among hostile ones"
    )
    asked = parser.parse_args()
    data = sources.load(asked.corpus, "test")
    short = [" ".join(s.words) for s in data if len(s.words) <= asked.words]
    texts = random.Random(0).sample(short, min(asked.sentences, len(short)))
    for each in told(asked.bundle, texts, asked):
        print(json.dumps(each), flush=True)


if __name__ == "__main__":
    main()
