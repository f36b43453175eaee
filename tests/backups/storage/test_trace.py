"""What a store tells of its sets, on real sets, changed as somebody who can write there would."""

import hashlib
import shutil

import pytest
from django.core.management import call_command

from backups.models import Copy, Level, Set
from backups.storage import publish
from backups.storage.layout import MANIFEST
from backups.storage.trace import trace
from tests.backups.taking import good, quick, root

__all__ = ["quick"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("quick", "key")]


@pytest.fixture
def three(plan) -> list[Set]:
    plan.level = Level.INTACT
    plan.save()
    return [good(plan) for _number in range(3)]


@pytest.fixture
def look(three, destination):
    return lambda: trace(three[0].system, destination)


def folder(one: Set, destination):
    return root(destination) / one.prefix


def sign_anew(path) -> None:
    """As a thief of the signing key would: everything fits again."""
    sums = path / "checksums.txt"
    lines = [line for line in sums.read_text().splitlines() if not line.endswith(f"  {MANIFEST}")]
    digest = hashlib.sha256((path / MANIFEST).read_bytes()).hexdigest()
    sums.write_text("".join(f"{line}\n" for line in sorted([*lines, f"{digest}  {MANIFEST}"])))
    (path / "checksums.txt.sig").write_bytes(publish.signing_key().sign(sums.read_bytes()))


def test_nothing_is_wrong(look, capsys):
    traced = look()
    assert (traced.found, traced.newest, traced.alarming, traced.remarks) == (3, 3, [], [])
    call_command("backup", "succession")
    assert "shop @ disk: 3 sets, the newest is number 3" in capsys.readouterr().out


def test_the_newest_set_is_gone(look, three, destination):
    shutil.rmtree(folder(three[2], destination))
    assert [three[2].identifier in text and "older state" in text for text in look().alarming] == [True]


def test_one_in_the_middle_is_gone(look, three, destination):
    shutil.rmtree(folder(three[1], destination))
    (text,) = look().alarming
    assert f"{three[1].identifier} should be there, and is not" in text


def test_what_retention_removed_is_no_news(look, three, destination):
    shutil.rmtree(folder(three[1], destination))
    Copy.objects.filter(set=three[1]).update(state=Copy.State.REMOVED)
    assert (look().alarming, look().remarks) == ([], [])
    # A catalogue that was rebuilt from this store never knew of it, and cannot tell who removed it.
    Copy.objects.filter(set=three[1]).delete()
    Set.objects.filter(pk=three[1].pk).update(number=None)
    assert look().alarming == []
    assert ["Number 2 is not there" in text for text in look().remarks] == [True]


def test_a_removed_set_is_put_back(look, three):
    Copy.objects.filter(set=three[0]).update(state=Copy.State.REMOVED)
    (text,) = look().alarming
    assert three[0].identifier in text
    assert "put back after it had been removed" in text


@pytest.mark.parametrize("state", [Copy.State.WRITING, Copy.State.REMOVING, Copy.State.FAILED])
@pytest.mark.parametrize("whole", [True, False])
def test_a_set_that_is_being_written_or_removed_is_no_alarm(look, three, destination, state, whole):
    Copy.objects.filter(set=three[2]).update(state=state)
    if not whole:
        (folder(three[2], destination) / "checksums.txt").unlink()
    assert look().alarming == []


def test_a_set_that_comes_while_the_store_is_read_is_no_alarm(look, three, plan, monkeypatch):
    """The catalogue of the beginning does not have it, the store does."""
    from backups.storage import trace as module

    original = module._links
    monkeypatch.setattr(module, "_links", lambda *words: [good(plan), original(*words)][1])
    assert look().alarming == []


@pytest.mark.parametrize("known", [True, False])
def test_a_manifest_that_was_changed_and_signed_anew(look, three, destination, known, capsys):
    """Where the catalogue forgot the digest, the successor still names it."""
    path = folder(three[1], destination)
    manifest = path / MANIFEST
    manifest.write_text(manifest.read_text().replace('"capped": false', '"capped": true'))
    sign_anew(path)
    if not known:
        Set.objects.update(checksums_sha256="")
    alarming = look().alarming
    assert alarming
    assert all(three[1].identifier in text and "not the set that was published" in text for text in alarming)
    with pytest.raises(SystemExit) as caught:
        call_command("backup", "succession", "shop", "--destination", "disk")
    assert caught.value.code == 3
    assert "Do not restore from it" in capsys.readouterr().err


def test_a_changed_manifest_and_a_foreign_signature(look, three, destination):
    manifest = folder(three[0], destination) / MANIFEST
    manifest.write_text(manifest.read_text() + "\n")
    signature = folder(three[1], destination) / "checksums.txt.sig"
    signature.write_bytes(b"\0" * 64)
    texts = [text for text in look().alarming if "newer sets" not in text]
    assert len(texts) == 2
    assert [
        one.identifier in text for one in three[:2] for text in texts if "manifest was changed" in text
    ] == [True, False]
    assert [one.identifier in text for one in three[:2] for text in texts if "not of our key" in text] == [
        False,
        True,
    ]


def test_an_older_set_in_the_folder_of_a_newer_one(look, three, destination):
    shutil.rmtree(folder(three[2], destination))
    shutil.copytree(folder(three[1], destination), folder(three[2], destination))
    assert any(f"the set {three[1].identifier} lies in its folder" in text for text in look().alarming)
