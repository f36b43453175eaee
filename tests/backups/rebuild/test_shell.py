"""The command, on an empty machine and where a destination lies elsewhere now."""

import shutil

import pytest
from django.core.management import CommandError, call_command

from backups.models import Copy, Destination, Rebuild, Set
from tests.backups.rebuild.catalogue import lose_everything
from tests.backups.taking import channel, good, quick, root

__all__ = ["channel", "quick"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("quick", "key", "channel")]


@pytest.fixture
def kit(plan, destination, key, settings, tmp_path):
    """After everything was lost: a file with what the kit holds, and the directory with the sets."""
    good(plan)
    path = root(destination)
    pem = lose_everything(settings, tmp_path)
    file = tmp_path / "kit.txt"
    file.write_text(f"   {key.identity}\n" + "".join(f"   {line}\n" for line in pem.splitlines()))
    return str(file), str(path)


def ended_with(*words: str) -> int:
    try:
        call_command("backup", "rebuild-catalog", *words)
    except SystemExit as ended:
        return int(ended.code)
    return 0


def test_a_directory_and_the_text_of_the_kit_are_enough(kit, capsys) -> None:
    file, path = kit
    assert ended_with(path, "--identity", file, "--signing-key", file) == 0
    assert Set.objects.get().level == "proven"
    assert "sets found" in capsys.readouterr().out and Rebuild.objects.waits()
    assert ended_with("disk", "--identity", file, "--confirm") == 0
    assert not Rebuild.objects.waits()


def test_without_the_key_it_asks_for_attention(kit, capsys) -> None:
    assert ended_with(kit[1]) == 3
    assert "signed with a key that is not trusted here" in capsys.readouterr().out


def test_a_destination_that_lies_elsewhere_now(kit, tmp_path) -> None:
    file, path = kit
    ended_with(path, "--identity", file, "--signing-key", file)
    shutil.move(path, tmp_path / "moved")
    assert ended_with("disk", "--option", f"path={tmp_path / 'moved'}") == 0
    assert (Destination.objects.count(), Copy.objects.get().level) == (1, "proven")


def test_words_that_do_not_fit(kit, db) -> None:
    with pytest.raises(CommandError, match="Give a directory, or --kind and --option"):
        ended_with("nowhere")
    with pytest.raises(CommandError, match="is not there, or is not the directory"):
        ended_with("new", "--kind", "local", "--option", "path=/nowhere/at/all")
    with pytest.raises(CommandError, match="--option NAME=VALUE"):
        ended_with("new", "--kind", "local", "--option", "path")
    assert not Destination.objects.exists()
