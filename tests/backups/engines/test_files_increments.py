"""Increments of files: whatever happened to a tree, the chain restores it; and no change is missed."""

import os
import random
import shutil
import time
from io import BytesIO
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from backups.engines._files_index import UNKNOWN, Index
from backups.engines._files_mounts import without_change_times
from backups.engines.base import NeedsFull
from backups.engines.files import Plugin
from backups.witness import Witness, differences, joined, limited
from drcenter.errors import OperationFailed
from drcenter.process import Command, run
from tests.backups.engines.taking import produced
from tests.backups.engines.trees import described, engine_for, site

__all__ = ["site"]


class Chain:
    """A full set and its increments, in memory."""

    def __init__(self, engine: Plugin) -> None:
        self.engine = engine
        self.links: list[list[tuple]] = []
        self.witness = Witness()
        self.index = b""

    def take(self, share: float = 1.0, between=None) -> list[str]:
        """The names of the parts."""
        opened = self.engine.since(self.index, share) if self.links else self.engine.snapshot()
        with opened as snapshot:
            parts = []
            for spec in snapshot.parts():
                parts.append((spec, produced(spec)))
                if between is not None:
                    between(spec.name)
            own = snapshot.witness()
            removed = snapshot.removed
            self.index = snapshot.index()
        self.witness = own if removed is None else joined(self.witness, own, removed)
        self.links.append(parts)
        self.own = own
        return [spec.name for spec, _data in parts]

    def restore(self, place: Plugin, *, finish: bool = True) -> None:
        place.prepare(overwrite=False)
        for spec, data in (part for link in self.links for part in link):
            feed(place, spec, data)
        if finish:
            place.finish(self.witness)


def feed(place: Plugin, spec, data: bytes) -> None:
    consumer = place.consumer(spec.name, spec.suffix)
    run(consumer, input=data) if isinstance(consumer, Command) else consumer(BytesIO(data))


def settle() -> None:
    """Until what was written is old enough to be told from what is written next."""
    time.sleep(0.06)


@pytest.fixture
def chain(site) -> Chain:
    made = Chain(engine_for(site))
    settle()
    made.take()
    return made


def assert_restores(chain: Chain, folder: Path) -> None:
    """The chain gives the tree as it is: with and without the final look at the witness."""
    root = Path(chain.engine.path)
    for finish in (True, False):
        place = chain.engine.replaced(path=str(folder / f"restored-{finish}"))
        chain.restore(place, finish=finish)
        assert described(Path(place.path)) == described(root)
        assert differences(chain.witness, place.witness()) == []
        shutil.rmtree(place.path)


def test_nothing_changed_stores_next_to_nothing(chain, tmp_path):
    assert chain.take() == ["tree"]
    assert len(zstandard.compress(chain.links[-1][0][1])) < 1000
    assert_restores(chain, tmp_path)


def content_with_old_times(site: Path) -> None:
    """The same size, and the old time put back."""
    file = site / "sub" / "data"
    before, size = file.stat(), file.stat().st_size
    file.write_bytes(b"x" * size)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def replaced_by_a_copy(site: Path) -> None:
    """As an editor does it, or a copied tree: another inode with the same times."""
    file = site / "sub" / "data"
    shutil.copy2(file, site / "sub" / "data~")
    (site / "sub" / "data~").write_bytes(b"y" * file.stat().st_size)
    shutil.copystat(file, site / "sub" / "data~")
    os.replace(site / "sub" / "data~", file)


def renamed_directory(site: Path) -> None:
    os.rename(site / "sub", site / "other name")


def attribute(site: Path) -> None:
    os.setxattr(site / "sub" / "data", "user.note", b"new")


def mode(site: Path) -> None:
    os.chmod(site / "sub" / "data", 0o640)


def became_a_directory(site: Path) -> None:
    (site / "sub" / "data").unlink()
    (site / "sub" / "data").mkdir()
    (site / "sub" / "data" / "inside").write_text("x")


def became_a_file(site: Path) -> None:
    shutil.rmtree(site / "sub")
    (site / "sub").write_text("no directory any more")


def became_a_link(site: Path) -> None:
    shutil.rmtree(site / "sub")
    (site / "sub").symlink_to("/etc")


def another_name(site: Path) -> None:
    os.link(site / "sub" / "data", site / "second name")


def deleted(site: Path) -> None:
    (site / "sub" / "data").unlink()


def empty(site: Path) -> None:
    shutil.rmtree(site)
    site.mkdir()


CHANGES = [
    content_with_old_times, replaced_by_a_copy, renamed_directory, attribute, mode, became_a_directory,
    became_a_file, became_a_link, another_name, deleted, empty,
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_each_kind_of_change_is_in_the_increment(chain, site, tmp_path, change):
    change(site)
    assert chain.take()
    assert_restores(chain, tmp_path)


def test_a_name_of_a_file_that_goes_with_its_directory(chain, site, tmp_path):
    """No time of the file shows that, and its other names are one file no more unless all are stored."""
    for name in ("a", "b", "c"):
        (site / name).mkdir()
    (site / "a" / "one").write_text("one file")
    os.link(site / "a" / "one", site / "b" / "two")
    os.link(site / "a" / "one", site / "c" / "three")
    settle()
    chain.take()
    os.rename(site / "a", site / "z")
    settle()
    chain.take()
    os.rename(site / "c", site / "y")
    chain.take()
    assert_restores(chain, tmp_path)


def change_somehow(kind: int, path: Path, step: int) -> None:
    if kind == 0:
        path.write_text(f"again {step}")
    elif kind == 1:
        path.unlink()
    elif kind == 2:
        path.rename(path.with_name(f"{path.name}.{step}"))
    else:
        os.link(path, path.with_name(f"{path.name}.link{step}"))


def test_eight_links_of_random_changes(chain, site, tmp_path):
    source = random.Random(7)
    for number in range(60):
        folder = site / "many" / f"{number % 6}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.txt").write_text(f"text {number}")
    settle()
    chain.take()
    for step in range(8):
        files = sorted(path for path in (site / "many").rglob("*") if path.is_file())
        for path in source.sample(files, 6):
            change_somehow(source.randrange(4), path, step)
        chain.take()
    assert_restores(chain, tmp_path)


def test_what_changes_at_once_again_is_stored_again(chain, site):
    """A change within the same tick of the clock shows the same time: such a file is never taken for unchanged."""
    (site / "sub" / "data").write_text("first")
    chain.take()
    assert Index.from_bytes(chain.index).states[b"sub/data"] == UNKNOWN
    assert "tree" in chain.take()


def test_what_changes_while_it_is_read_is_stored_again(chain, site, tmp_path):
    (site / "sub" / "data").write_text("first")
    names = chain.take(between=lambda name: name == "tree" and (site / "sub" / "data").write_text("second"))
    assert names == ["tree", "tree-retry-1"]
    assert_restores(chain, tmp_path)


def test_what_vanishes_while_it_is_read(chain, site, tmp_path):
    (site / "sub" / "data").write_text("first")
    chain.take(between=lambda name: (site / "sub" / "data").unlink(missing_ok=True))
    chain.take()
    assert_restores(chain, tmp_path)


def test_costs_what_changed(chain, site):
    (site / "big").write_bytes(os.urandom(1 << 20))
    settle()
    chain.take()
    settle()
    (site / "sub" / "data").write_text("small")
    chain.take()
    assert sum(len(data) for _spec, data in chain.links[-1]) < 2 << 20  # tar's record of 1 MiB, once
    assert b"big" not in b"".join(data for _spec, data in chain.links[-1])


def test_own_part_alone_equals_its_witness(chain, site, tmp_path):
    """What the proof right after the take can see: the increment without the sets before it."""
    (site / "sub" / "data").write_text("changed")
    (site / "setuid").unlink()
    chain.take()
    place = chain.engine.replaced(path=str(tmp_path / "alone"))
    place.prepare(overwrite=False)
    for spec, data in chain.links[-1]:
        feed(place, spec, data)
    assert differences(chain.own, limited(place.witness(), chain.own)) == []
    (tmp_path / "alone" / "sub" / "data").write_text("damaged")
    (tmp_path / "alone" / "stranger").write_text("x")
    found = differences(chain.own, limited(place.witness(), chain.own))
    assert any("sub/data" in line for line in found) and any("stranger" in line for line in found)


class TestNeedsFull:
    def test_more_than_the_share_has_changed(self, chain, site):
        for path in site.rglob("*"):
            if path.is_file() and not path.is_symlink():
                path.write_bytes(path.read_bytes())
        with pytest.raises(NeedsFull, match="bytes have changed"):
            chain.take(share=0.3)

    def test_other_options(self, chain):
        chain.engine = chain.engine.replaced(exclude=["sub"])
        with pytest.raises(NeedsFull, match="options"):
            chain.take()

    def test_the_clock_was_set_back(self, chain, monkeypatch):
        now = time.time_ns()
        monkeypatch.setattr(time, "time_ns", lambda: now - 3600 * 10**9)
        with pytest.raises(NeedsFull, match="clock"):
            chain.take()

    def test_a_damaged_index(self, chain):
        for place in (0, 10, len(chain.index) // 2, len(chain.index) - 1):
            damaged = bytearray(chain.index)
            damaged[place] ^= 1
            with pytest.raises(NeedsFull, match="damaged"):
                chain.engine.since(bytes(damaged), 1.0).__enter__()
        for cut in (b"", chain.index[:-1], chain.index + b"x", b"{}\n", b"[]\n", b"null\n"):
            with pytest.raises(NeedsFull, match="damaged"):
                chain.engine.since(cut, 1.0).__enter__()

    def test_a_file_system_without_change_times(self, tmp_path):
        mounts = tmp_path / "mountinfo"
        mounts.write_text(
            "21 1 8:1 / / rw - ext4 /dev/sda1 rw\n36 35 0:52 / /mnt rw,nosuid shared:1 - fuse.sshfs host: rw\n"
        )
        assert without_change_times([os.makedev(8, 1)], mounts) == ""
        assert without_change_times([os.makedev(8, 1), os.makedev(0, 52)], mounts) == "fuse.sshfs"
        assert without_change_times([os.makedev(9, 9)], mounts) == ""


def test_clock_set_back_and_forward_stores_what_is_of_the_future(chain, site, monkeypatch):
    """A file whose time is later than now is in doubt until the clock has caught up."""
    (site / "sub" / "data").write_text("x")
    assert "tree" in chain.take()
    index = Index.from_bytes(chain.index)
    # The clock, an hour behind the file's time.
    monkeypatch.setattr(time, "time_ns", lambda: index.at + 1)
    chain.take()
    assert Index.from_bytes(chain.index).states[b"sub/data"] == UNKNOWN


class TestListOfWhatIsGone:
    @pytest.mark.parametrize("name", [b"/etc/x", b"../x", b"a/../../x", b"./../x", b"", b"./"])
    def test_leads_nowhere_else(self, chain, name):
        with pytest.raises(OperationFailed, match="outside"):
            chain.engine.consumer("removed", "names")(reader(b"./sub/data\0" + name + b"\0"))

    def test_cut_in_a_name(self, chain):
        with pytest.raises(OperationFailed, match="middle"):
            chain.engine.consumer("removed", "names")(reader(b"./sub/da"))

    def test_keeps_what_is_kept_and_excluded(self, site):
        (site / "sub" / "kept").write_text("x")
        engine = engine_for(site, keep=["sub/kept"])
        engine.consumer("removed", "names")(reader(b"./sub/kept\0./sub/data\0./sub\0"))
        assert (site / "sub" / "kept").exists() and not (site / "sub" / "data").exists()

    def test_follows_no_link(self, site, tmp_path):
        (tmp_path / "outside").mkdir()
        (tmp_path / "outside" / "file").write_text("x")
        (site / "way").symlink_to(tmp_path / "outside")
        with pytest.raises(OperationFailed):
            engine_for(site).consumer("removed", "names")(reader(b"./way/file\0"))
        assert (tmp_path / "outside" / "file").exists()


def reader(data: bytes):
    return BytesIO(data)


@given(
    st.dictionaries(
        st.binary(min_size=1).filter(lambda b: b"\0" not in b), st.binary(min_size=16, max_size=16)
    )
)
def test_an_index_comes_back(states):
    index = Index("tree", 5, states)
    assert Index.from_bytes(index.to_bytes()) == index
