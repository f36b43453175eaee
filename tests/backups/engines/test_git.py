"""The engine for git, on real repositories: what would be lost comes back, and nothing of theirs is run."""

import os
import subprocess
from pathlib import Path

import pytest

from backups.engines._git_view import without_credentials
from backups.engines.base import Gone, NoScratch
from backups.engines.git import Options, Plugin
from backups.witness import differences
from drcenter.errors import OperationFailed
from drcenter.options import validated
from tests.backups.engines.taking import restore, take

WHO = {
    "GIT_AUTHOR_NAME": "Ada", "GIT_AUTHOR_EMAIL": "ada@example.org", "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.org", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1",
    "PATH": os.environ["PATH"],
}  # fmt: skip


def git(tree: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=tree, env=WHO, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def pushed(tmp_path) -> Path:
    """A work tree whose two commits are at its remote."""
    git(tmp_path, "init", "-q", "--bare", "remote.git")
    git(tmp_path, "init", "-q", "-b", "main", "shop")
    tree = tmp_path / "shop"
    for number in (1, 2):
        (tree / "code.php").write_text(f"version {number}\n" * 50)
        git(tree, "add", ".")
        git(tree, "commit", "-q", "-m", f"commit {number}")
    git(tree, "remote", "add", "origin", str(tmp_path / "remote.git"))
    git(tree, "push", "-q", "-u", "origin", "main")
    return tree


@pytest.fixture
def busy(pushed) -> Path:
    """And all that can be lost: a commit, a branch, stashes, staged, changed, removed and new files."""
    (pushed / "code.php").write_text("version 3\n" * 50)
    (pushed / "old.php").write_text("to go")
    git(pushed, "add", ".")
    git(pushed, "commit", "-q", "-m", "not pushed")
    git(pushed, "branch", "idea")
    for number in (1, 2):
        (pushed / "code.php").write_text(f"stashed {number}\n")
        git(pushed, "stash", "push", "-q", "-m", f"stash {number}")
    (pushed / "staged.php").write_text("staged")
    git(pushed, "add", "staged.php")
    (pushed / "staged.php").write_text("staged, then changed")
    (pushed / "old.php").unlink()
    (pushed / "new ü.php").write_bytes(b"\0new\xff")
    (pushed / "run.sh").write_text("#!/bin/sh\n")
    (pushed / "run.sh").chmod(0o755)
    (pushed / ".gitignore").write_text("cache\n")
    (pushed / "cache").write_text("made again")
    return pushed


def engine_for(tree: Path, **options) -> Plugin:
    return Plugin(validated(Options, {"path": str(tree), **options}))


def states(tree: Path) -> dict[str, bytes]:
    """Every file of the repository itself: a backup changes none of them."""
    return {str(path): path.read_bytes() for path in sorted((tree / ".git").rglob("*")) if path.is_file()}


def proven(engine: Plugin, workspace: Path, taken) -> list[str]:
    workspace.mkdir()
    with engine.scratch(workspace, {}) as place:
        restore(place, taken)
        return differences(taken.witness, place.witness())


@pytest.mark.parametrize("everything", [False, True])
def test_what_would_be_lost_comes_back(busy, tmp_path, everything):
    engine, before = engine_for(busy, everything=everything), states(busy)
    taken = take(engine)
    assert states(busy) == before
    assert taken.findings == []
    place = engine.beside("restored")
    restore(place, taken)
    assert differences(taken.witness, place.witness()) == []
    clone = tmp_path / "restored" / "repository"
    assert git(clone, "status", "--porcelain") == git(busy, "status", "--porcelain")
    assert git(clone, "rev-parse", "HEAD", "idea") == git(busy, "rev-parse", "HEAD", "idea")
    assert git(clone, "show", "refs/drcenter/stash/1:code.php") == "stashed 1"
    assert git(clone, "show", "refs/drcenter/stash/0:code.php") == "stashed 2"
    assert git(clone, "diff", "--cached") == git(busy, "diff", "--cached")
    for name in ("code.php", "staged.php", "new ü.php", "run.sh", ".gitignore"):
        assert (clone / name).read_bytes() == (busy / name).read_bytes()
        assert (clone / name).stat().st_mode & 0o111 == (busy / name).stat().st_mode & 0o111
    assert not (clone / "old.php").exists() and not (clone / "cache").exists()
    assert git(clone, "log", "--format=%s", "-1") == "not pushed"


def test_it_is_proven_in_a_scratch_clone(busy, tmp_path):
    engine = engine_for(busy)
    taken = take(engine)
    assert proven(engine, tmp_path / "w", taken) == []
    assert taken.witness.contents["refs/heads/main"].count == 1, "of three commits one is not pushed"
    assert not list((tmp_path / "w").iterdir())


def test_a_bundle_that_is_cut_or_changed_does_not_restore(busy, tmp_path):
    engine = engine_for(busy)
    taken = take(engine)
    spec, data = taken.parts[-1]
    assert (spec.name, spec.suffix) == ("unpushed", "bundle")
    for number, broken in enumerate((data[:-30], data[:-40] + bytes(20) + data[-20:], b"no bundle")):
        taken.parts[-1] = (spec, broken)
        with pytest.raises(OperationFailed):
            proven(engine, tmp_path / f"w{number}", taken)


def test_without_anything_to_lose_there_is_no_bundle(pushed, tmp_path):
    engine = engine_for(pushed)
    taken = take(engine)
    assert taken.names == ["status", "commits", "remotes", "branches", "stashes"]
    assert proven(engine, tmp_path / "w", taken) == []
    texts = {spec.name: data.decode() for spec, data in taken.parts}
    assert "commit 2" in texts["commits"] and "commit 1" in texts["commits"]
    assert "# branch.head main" in texts["status"] and "refs/remotes/origin/main" in texts["branches"]


def test_without_a_remote_everything_would_be_lost(tmp_path):
    git(tmp_path, "init", "-q", "-b", "main", "shop")
    tree = tmp_path / "shop"
    (tree / "only.txt").write_text("no commit yet")
    engine = engine_for(tree)
    taken = take(engine)
    assert proven(engine, tmp_path / "w", taken) == []
    assert taken.names[-1] == "unpushed"
    (tmp_path / "empty").mkdir()
    git(tmp_path / "empty", "init", "-q")
    assert "unpushed" not in take(engine_for(tmp_path / "empty")).names


def test_the_bundle_is_worth_nothing_alone_and_says_so(busy, tmp_path):
    """Where the commits that it builds on are not there: nothing is known of the set."""
    engine = engine_for(busy)
    taken = take(engine)
    busy.rename(tmp_path / "away")
    with pytest.raises(NoScratch, match="builds on"):
        proven(engine, tmp_path / "w", taken)


def test_nothing_of_a_hostile_repository_is_run(busy, tmp_path):
    trap = tmp_path / "trapped"
    evil = tmp_path / "evil"
    evil.write_text(f"#!/bin/sh\ntouch {trap}\ncat\n")
    evil.chmod(0o755)
    for hook in (
        "post-checkout",
        "reference-transaction",
        "pre-auto-gc",
        "fsmonitor-watchman",
        "post-index-change",
    ):
        (busy / ".git/hooks").mkdir(exist_ok=True)
        (busy / ".git/hooks" / hook).write_text(evil.read_text())
        (busy / ".git/hooks" / hook).chmod(0o755)
    (busy / ".gitattributes").write_text("*.php filter=evil diff=evil\n")
    (tmp_path / "more").write_text(f"[core]\n\tpager = {evil}\n\tfsmonitor = {evil}\n")
    with (busy / ".git/config").open("a") as file:
        file.write(
            f'[filter "evil"]\n\tclean = {evil}\n\tsmudge = {evil}\n\tprocess = {evil}\n\trequired = true\n'
            f'[diff "evil"]\n\ttextconv = {evil}\n\tcommand = {evil}\n[core]\n\tfsmonitor = {evil}\n'
            f"\tsshCommand = {evil}\n\thooksPath = {tmp_path}\n\tpager = {evil}\n\teditor = {evil}\n"
            f"[include]\n\tpath = {tmp_path / 'more'}\n[alias]\n\tstatus = !{evil}\n\tlog = !{evil}\n"
            f"[gpg]\n\tprogram = {evil}\n[commit]\n\tgpgSign = true\n[credential]\n\thelper = !{evil}\n"
            f'[remote "evil"]\n\turl = ext::{evil}\n\tuploadpack = {evil}\n\tvcs = evil\n'
            f"[uploadpack]\n\tpackObjectsHook = {evil}\n[pager]\n\tstatus = {evil}\n\tlog = {evil}\n"
        )
    engine = engine_for(busy)
    engine.inspect()
    taken = take(engine)
    assert proven(engine, tmp_path / "w", taken) == []
    restore(engine.beside("restored"), taken)
    assert not trap.exists()


def test_credentials_in_addresses_are_never_kept(pushed):
    git(
        pushed,
        "remote",
        "add",
        "secret",
        "https://ada:hush-hush-token@example.org/shop.git?private=hush-hush",
    )
    git(pushed, "remote", "add", "token", "https://hush-hush-token@example.org/shop.git")
    git(pushed, "config", "http.extraHeader", "Authorization: hush-hush")
    taken = take(engine_for(pushed))
    everything = b"".join(data for _spec, data in taken.parts) + str(taken.witness).encode()
    assert b"hush" not in everything and b"example.org/shop.git" in everything


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://a:b@h/x.git", "https://[redacted]@h/x.git"),
        ("https://token@h/x.git", "https://[redacted]@h/x.git"),
        ("ssh://git@h:22/x", "ssh://[redacted]@h:22/x"),
        ("git@github.com:a/b.git", "git@github.com:a/b.git"),
        ("https://h/x.git?access_token=1", "https://h/x.git"),
        ("/srv/a@b/x.git", "/srv/a@b/x.git"),
    ],
)
def test_addresses_without_credentials(address, shown):
    assert without_credentials(address) == shown


def test_what_is_left_out_is_named(busy, tmp_path):
    (busy / "dump.sql").write_bytes(bytes((1 << 20) + 1))
    git(tmp_path, "init", "-q", "shop/inner")
    (busy / "inner/file").write_text("of another repository")
    os.mkfifo(busy / "pipe")
    findings = take(engine_for(busy, largest_mib=1)).findings
    assert [(finding.message.rpartition(": ")[2], finding.caps) for finding in findings] == [
        ("dump.sql", True), ("inner/", False),
    ]  # fmt: skip


def test_a_second_work_tree_is_seen_too(busy, tmp_path):
    git(busy, "worktree", "add", "-q", str(tmp_path / "second"), "idea")
    (tmp_path / "second/new.txt").write_text("only here")
    engine = engine_for(tmp_path / "second")
    taken = take(engine)
    assert proven(engine, tmp_path / "w", taken) == []
    assert taken.witness.objects["branch"] == "refs/heads/idea"


def test_a_merge_that_was_not_finished_keeps_its_files(pushed, tmp_path):
    git(pushed, "checkout", "-q", "-b", "other", "HEAD~1")
    (pushed / "code.php").write_text("other")
    git(pushed, "commit", "-q", "-a", "-m", "other")
    subprocess.run(["git", "merge", "-q", "main"], cwd=pushed, env=WHO, capture_output=True, check=False)
    assert "<<<<<<<" in (pushed / "code.php").read_text()
    engine = engine_for(pushed)
    taken = take(engine)
    restore(engine.beside("restored"), taken)
    restored = tmp_path / "restored/repository/code.php"
    assert restored.read_text() == (pushed / "code.php").read_text()


def test_what_is_no_repository_is_refused(tmp_path, pushed):
    with pytest.raises(Gone):
        engine_for(tmp_path / "nothing").inspect()
    with pytest.raises(OperationFailed, match="no git work tree"):
        engine_for(tmp_path).inspect()
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked/.git").symlink_to(pushed / ".git")
    with pytest.raises(OperationFailed, match="no git work tree"):
        engine_for(tmp_path / "linked").inspect()
    (pushed / ".git/config").unlink()
    os.mkfifo(pushed / ".git/config")
    with pytest.raises(OperationFailed, match="no file that git"):
        engine_for(pushed).inspect()
