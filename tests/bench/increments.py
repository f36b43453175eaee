"""The second run of a tree of which 1 % has changed, beside restic's; and a chain of eight restored, beside one full set.

Goals: at most 0.3 of restic's wall time, at most 1.1 of its stored bytes, at most 1.2 of a full restore.
"""

import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.bench import data
from tests.bench.measure import HEAD, Cost, Row, cost_of, shell

LINKS = 8


class Store:
    """One of our stores, with the index and the identity of its chain."""

    def __init__(self, bench: Any, name: str) -> None:
        self.place, self.here = bench.memory / name, bench.directory / name
        self.here.mkdir()

    def run(self, act: str, path: Path, **options: Any) -> dict[str, Any]:
        known = {"destination": str(self.place), "index": str(self.here / "index"), "path": str(path)}
        given = known | {"identity": str(self.here / "identity")} | options
        argv = [sys.executable, "-m", "tests.bench.ours_increments", act]
        finished = subprocess.run(argv, input=json.dumps(given), check=True, capture_output=True, text=True)
        return json.loads(finished.stdout.splitlines()[-1])

    def take(self, path: Path, name: str, *, since: bool) -> dict[str, Any]:
        return self.run("take", path, prefix=f"{name}/", since=since)


def second_run(bench: Any, root: Path) -> list[Row]:
    """Both store the same change, in turn; restic keeps its cache, as it does by default."""
    store, place = Store(bench, "ours"), bench.memory / "restic"
    restic = f"RESTIC_PASSWORD=bench restic -q -r {place} --cache-dir {bench.memory / 'cache'}"
    shell(f"{restic} init && {restic} backup {root}")
    store.take(root, "full", since=False)
    theirs: list[Cost] = []
    ours: list[Cost] = []
    sizes = [0, 0]
    for number in range(bench.options.runs + 1):
        change(root, number)
        before = [size_of(place), size_of(store.place)]
        costs = shell(f"{restic} backup {root}"), cost_of(store.take(root, f"{number}", since=True))
        sizes = [size_of(place) - before[0], size_of(store.place) - before[1]]
        if number:  # The first does not count.
            theirs.append(costs[0])
            ours.append(costs[1])
    shutil.rmtree(place)
    shutil.rmtree(store.place)
    return [
        Row("`restic backup`, 1 % changed", theirs, theirs, sizes[0]),
        Row("DR Center, increment (level 2, the default)", ours, theirs, sizes[1]),
    ]


def change(root: Path, number: int) -> None:
    """Other 1 % of the files begin with other bytes."""
    files = sorted(path for path in root.rglob("*") if path.is_file())
    for path in random.Random(number).sample(files, len(files) // 100):
        with path.open("r+b") as file:
            file.write(os.urandom(64))


def size_of(place: Path) -> int:
    return sum(path.stat().st_size for path in place.rglob("*") if path.is_file())


def restores(bench: Any, root: Path) -> list[Row]:
    """A full set of the tree as it is in the end, and a chain that ends in the same."""
    store, alone = Store(bench, "chain"), Store(bench, "alone")
    links = [store.take(root, "0", since=False)]
    for number in range(1, LINKS):
        change(root, 100 + number)
        links.append(store.take(root, f"{number}", since=True))
    chains = {store: links, alone: [alone.take(root, "full", since=False)]}
    costs: dict[Store, list[Cost]] = {store: [], alone: []}
    for number in range(bench.options.runs + 1):
        for which, taken in chains.items():
            target = bench.directory / "restored"
            parts = [part for one in taken for part in one["parts"]]
            cost = cost_of(which.run("restore", target, parts=parts))
            if number:
                costs[which].append(cost)
            shell(f"diff -r -q {root} {target}")
            shutil.rmtree(target)
    return [
        Row("one full set", costs[alone], costs[alone], size_of(alone.place)),
        Row(f"a chain of {LINKS}", costs[store], costs[alone], size_of(store.place)),
    ]


def increments(bench: Any, _stack: Any) -> None:
    root = bench.directory / "tree"
    data.tree(root, bench.options.files, bench.options.megabytes * 3 // 2)
    rows = second_run(bench, root)
    _print(f"Second run of {bench.options.files:,} files", rows)
    ratio = rows[1].stored / rows[0].stored
    sys.stdout.write(f"\nStored by the last run: {ratio:.2f} of restic's bytes.\n")
    _print("Restore of a chain", restores(bench, root))


def _print(title: str, rows: list[Row]) -> None:
    sys.stdout.write(f"\n### {title}\n\n{HEAD}\n" + "".join(f"{row.line()}\n" for row in rows))
    sys.stdout.flush()
