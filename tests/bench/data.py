"""The data that is measured on: text like that of calls and notes, numbers, and files of which half is compressed."""

import itertools
import os
import random
from collections.abc import Iterator
from pathlib import Path

WORDS = 5000
MIXED_BYTES = 64 << 20


def sentences(seed: int) -> Iterator[str]:
    """Sentences of Zipf-distributed words: zstd -3 packs them to about a third, like transcripts."""
    source = random.Random(seed)
    words = [
        "".join(source.choices("abcdefghijklmnopqrstuvwxyz", k=source.randint(3, 9))) for _ in range(WORDS)
    ]
    weights = list(itertools.accumulate(1 / (rank + 1) for rank in range(WORDS)))
    while True:
        yield " ".join(source.choices(words, cum_weights=weights, k=60))


def rows(path: Path, megabytes: int) -> int:
    """Write tab-separated rows (id, customer, began_at, seconds, note) of that size; how many there are.

    Sentences are drawn from a pool and joined anew in each row, which is quick, and beyond the compressor's reach.
    """
    source, pool = random.Random(1), list(itertools.islice(sentences(1), 20000))
    number = 0
    with path.open("w") as file:
        while file.tell() < megabytes * 1_000_000:
            lines = []
            for number in range(number + 1, number + 2001):  # noqa: B020 - goes on counting
                note = source.choice(pool)[source.randint(0, 60) :] + " " + source.choice(pool)
                began = f"2026-{source.randint(1, 12):02}-{source.randint(1, 28):02} {source.randint(0, 23):02}:{source.randint(0, 59):02}:00"
                lines.append(
                    f"{number}\t{source.randint(1, 250000)}\t{began}\t{source.random() * 900:.2f}\t{note}\n"
                )
            file.write("".join(lines))
    return number


def tree(root: Path, files: int, megabytes: int) -> None:
    """A tree of that many files: half of the bytes are compressed already (photographs), half are text."""
    pool = "\n".join(itertools.islice(sentences(2), 40000)).encode()
    noise, source = os.urandom(MIXED_BYTES), random.Random(3)
    average = megabytes * 1_000_000 // files
    for number in range(files):
        directory = root / f"{number % 40:02}" / f"{number // 40 % 50:02}"
        if number < 2000:
            directory.mkdir(parents=True, exist_ok=True)
        size = int(average * source.expovariate(1)) + 100
        stock = noise if source.random() < 0.5 else pool
        start = source.randrange(max(1, len(stock) - size))
        (directory / f"{number:06}.{'jpg' if stock is noise else 'txt'}").write_bytes(
            stock[start : start + size]
        )
