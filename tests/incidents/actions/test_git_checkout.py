"""The code goes back to an earlier commit, and comes again; on a real work tree."""

import subprocess

import pytest

from drcenter.errors import OperationFailed
from incidents.actions.git_checkout import CheckoutOptions, Plugin
from tests.incidents.actions.here import context, done


def git(tree, *words) -> str:
    who = ("-c", "user.name=T", "-c", "user.email=t@example.org")
    return subprocess.run(
        ["git", *who, *words], cwd=tree, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def tree(tmp_path):
    git(tmp_path, "init", "-q", "-b", "main")
    for number in (1, 2, 3):
        (tmp_path / "code").write_text(f"release {number}")
        git(tmp_path, "add", "code")
        git(tmp_path, "commit", "-q", "-m", f"Release {number}")
        git(tmp_path, "tag", f"v{number}")
    return tmp_path


def test_the_release_goes_back_and_comes_again(tree):
    action, here = Plugin({"revision": "v1"}), context(tree)
    before = done(action, here)
    assert (tree / "code").read_text() == "release 1"
    assert "2 commits are taken back" in action.foretell(before)[0]
    action.execute(here, before)
    action.undo(here, before)
    assert (tree / "code").read_text() == "release 3"
    assert git(tree, "symbolic-ref", "--short", "HEAD") == "main"


def test_what_is_in_no_commit_is_kept_as_a_stash(tree):
    (tree / "code").write_text("mended on the server at night")
    action = Plugin({"revision": "v2"})
    before = done(action, context(tree))
    assert (tree / "code").read_text() == "release 2"
    assert any("stash: code" in line for line in action.foretell(before))
    assert "mended on the server" in git(tree, "stash", "show", "-p")


def test_a_branch_that_moved_meanwhile_is_not_taken_for_what_was(tree):
    action, here = Plugin({"revision": "v1"}), context(tree)
    before = done(action, here)
    git(tree, "checkout", "-q", "main")
    git(tree, "commit", "-q", "--allow-empty", "-m", "Another")
    git(tree, "checkout", "-q", "--detach", "v1")
    with pytest.raises(OperationFailed, match="main has moved since") as told:
        action.undo(here, before)
    assert before["commit"] in told.value.hint


def test_hooks_of_the_repository_are_not_run(tree):
    hook = tree / ".git/hooks/post-checkout"
    hook.write_text("#!/bin/sh\ntouch ran\n")
    hook.chmod(0o755)
    done(Plugin({"revision": "v1"}), context(tree))
    assert not (tree / "ran").exists()


def test_a_commit_that_there_is_none_of_changes_nothing(tree):
    with pytest.raises(OperationFailed):
        Plugin({"revision": "v9"}).look(context(tree))


@pytest.mark.parametrize("revision", ["--force", "v1 v2", "-f", "v1..v2", "v1;reboot", ""])
def test_what_is_no_commit_is_refused(revision):
    form = CheckoutOptions({"revision": revision})
    assert not form.is_valid() or ".." in revision
