"""The recovery kit: nothing of an identity stays here, and what is printed works."""

import os
import stat
import subprocess
import sys
from io import StringIO

import pyrage
import pytest
from django.conf import settings as project
from django.core.management import CommandError, call_command
from django.db import connection

from backups.guides import kit
from backups.models import Destination, Plan, RecoveryKey, Set
from backups.storage import publish
from drcenter.audit.models import Entry
from drcenter.secrets import Secret

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def state(settings, tmp_path):
    settings.STATE_DIR = tmp_path


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def run(*words: str, terminal: bool = True) -> str:
    output = Terminal() if terminal else StringIO()
    try:
        call_command("recovery-kit", *words, stdout=output)
    except SystemExit as end:
        output.write(f"\nexit {end.code}")
    return output.getvalue()


def identity_in(text: str) -> str:
    return next(line.strip() for line in text.splitlines() if line.strip().startswith("AGE-SECRET-KEY-1"))


def everything_stored() -> str:
    """Every row of every table, as text."""
    with connection.cursor() as cursor:
        tables = connection.introspection.table_names(cursor)
        rows = []
        for table in tables:
            cursor.execute(f'SELECT * FROM "{table}"')
            rows += cursor.fetchall()
    return repr(rows)


@pytest.mark.parametrize(("language", "word"), [("en", "RECOVERY KIT"), ("de", "WIEDERHERSTELLUNGSMAPPE")])
def test_the_kit_has_all_that_is_needed(system, language, word):
    row = Destination.objects.create(
        name="cloud", kind="s3",
        options={"bucket": "sets-of-shop", "access_key": "env:STORE_KEY", "secret_key": "file:/etc/drcenter/store"},
    )  # fmt: skip
    for number, state in ((12, Set.State.COMPLETE), (13, Set.State.FAILED)):
        Set.objects.create(system=system, number=number, state=state)
    text = run("--language", language)
    key = RecoveryKey.objects.get()
    identity = identity_in(text)
    assert str(pyrage.x25519.Identity.from_str(identity).to_public()) == key.recipient
    signing = publish.signing_key()
    for needed in (
        word,
        key.recipient,
        signing.fingerprint,
        "Webshop (shop, #12)",
        row.name,
        "sets-of-shop",
        "env:STORE_KEY",
    ):
        assert needed in text
    assert all(line.strip() in text for line in signing.public_pem.splitlines())
    assert "openssl pkeyutl -verify -pubin -inkey key.pem -rawin" in text and "sh restore.sh list" in text
    sheet = text[text.index("=====") : text.rindex("=====")]
    assert max(map(len, sheet.splitlines())) <= 79


@pytest.mark.parametrize(
    ("language", "from_now_on", "not_these"),
    [
        ("en", "every backup that is taken from 20", "2 sets that exist already cannot be read with it"),
        ("de", "jede Sicherung ab 20", "2 Sätze, die es schon gibt, sind damit nicht lesbar"),
    ],
)
def test_a_new_kit_names_the_sets_that_it_does_not_open(system, language, from_now_on, not_these):
    first = run("--name", "old", "--language", language)
    assert from_now_on in first and "(2)" not in first
    old = RecoveryKey.objects.get().recipient
    for recipients in ([old], [old]):
        Set.objects.create(system=system, state=Set.State.COMPLETE, recipients=recipients)
    Set.objects.create(system=system, state=Set.State.COMPLETE, encrypted=False)
    text = run("--name", "new", "--language", language)
    sheet, after = text[: text.rindex("=====")], text[text.rindex("=====") :]
    for part in (" ".join(sheet.split()), after):
        assert not_these in part and "old (2)" in part
    assert max(map(len, sheet.splitlines())) <= 79 and from_now_on in sheet


def test_a_kit_in_a_file_promises_no_older_sets(tmp_path):
    assert "every set that is taken from now on" in run("--output", str(tmp_path / "kit.txt"))


def test_only_the_recipient_stays(tmp_path, caplog):
    caplog.set_level("DEBUG")
    identity = identity_in(run())
    assert identity not in everything_stored() and identity not in caplog.text
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or identity.encode() not in path.read_bytes()
    entry = Entry.objects.get(action="backups.key.made")
    assert entry.facts["recipient"] == RecoveryKey.objects.get().recipient


def test_never_into_a_log():
    with pytest.raises(CommandError, match="--output") as refused:
        run(terminal=False)
    assert refused.value.returncode == 2 and not RecoveryKey.objects.exists()


def test_into_a_file_of_its_own(tmp_path):
    place = tmp_path / "kit.txt"
    text = run("--output", str(place), "--name", "safe", terminal=False)
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    identity = identity_in(place.read_text())
    assert identity not in text and "move it away" in text
    before = place.read_text()
    with pytest.raises(CommandError, match="cannot be written"):
        run("--output", str(place), "--name", "another", terminal=False)
    assert place.read_text() == before
    assert [key.name for key in RecoveryKey.objects.all()] == ["safe"], "a key without a kit is no key"


def test_a_kit_that_cannot_be_printed_makes_no_key():
    class Broken(Terminal):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        call_command("recovery-kit", stdout=Broken())
    assert not RecoveryKey.objects.exists() and not Entry.objects.exists()


def test_names_are_found_and_refused():
    first, second = run("--name", "safe"), run()
    assert "“safe”" in first and RecoveryKey.objects.count() == 2 and second
    run()
    assert RecoveryKey.objects.filter(name__endswith="(2)").exists()
    with pytest.raises(CommandError, match="already"):
        run("--name", "safe")


class TestHeld:
    def test_by_a_file(self, tmp_path):
        identity = identity_in(run("--name", "safe"))
        path = tmp_path / "identity.txt"
        path.write_text(f"# created: today\n{identity}\n")
        assert "“safe” is held" in run("--check", "--identity-file", str(path))
        assert RecoveryKey.objects.get().held_at is not None
        assert Entry.objects.get(action="backups.key.checked").result == "done"

    def test_another_identity_fits_none(self, tmp_path):
        run()
        path = tmp_path / "identity.txt"
        path.write_text(str(pyrage.x25519.Identity.generate()))
        with pytest.raises(CommandError, match="fits none"):
            run("--check", "--identity-file", str(path))
        assert RecoveryKey.objects.get().held_at is None
        assert Entry.objects.get(action="backups.key.checked").result == "refused"

    @pytest.mark.parametrize("content", ["", "nonsense", "AGE-SECRET-KEY-1QQQ"])
    def test_what_is_no_identity(self, tmp_path, content):
        run()
        path = tmp_path / "identity.txt"
        path.write_text(content)
        with pytest.raises(CommandError, match="not an age identity") as refused:
            run("--check", "--identity-file", str(path))
        assert not content or content not in str(refused.value)

    def test_by_a_word_that_only_the_holder_reads(self, tmp_path):
        identity = identity_in(run("--name", "safe"))
        challenge = kit.challenge(kit.named(None))
        (tmp_path / "identity.txt").write_text(identity)
        opened = subprocess.run(
            ["age", "-d", "-i", tmp_path / "identity.txt"],
            input=challenge.message,
            capture_output=True,
            text=True,
            check=True,
        )
        challenge.answer(f" {opened.stdout.upper()}", "shell:anna")
        assert RecoveryKey.objects.get().held_at is not None

    @pytest.mark.parametrize("typed", ["", "0000-0000-0000", "AGE-SECRET-KEY-1"])
    def test_a_wrong_word(self, typed):
        run()
        with pytest.raises(Exception, match="not the word"):
            kit.challenge(kit.named(None)).answer(typed, "shell:anna")
        assert RecoveryKey.objects.get().held_at is None

    def test_nobody_to_ask(self):
        run()
        with pytest.raises(CommandError, match="Nobody can be asked"):
            run("--check")


class TestRetire:
    def test_the_last_one_stays(self):
        run("--name", "old")
        with pytest.raises(CommandError, match="last recovery key"):
            run("--retire", "old")
        assert RecoveryKey.objects.get().active

    def test_it_says_how_many_sets_still_need_it(self, system):
        run("--name", "old")
        old = RecoveryKey.objects.get().recipient
        run("--name", "new")
        new = RecoveryKey.objects.get(name="new").recipient
        plan = Plan.objects.create(system=system)
        for recipients in ([old], [old, new], [new]):
            Set.objects.create(system=system, plan=plan, state=Set.State.COMPLETE, recipients=recipients)
        text = run("--retire", "old")
        assert "2 sets can be read with it, 1 of them with no other active key" in text
        assert not RecoveryKey.objects.get(name="old").active
        assert Entry.objects.filter(action="backups.key.retired").count() == 1
        run("--retire", "old")
        assert Entry.objects.filter(action="backups.key.retired").count() == 1


def test_a_drill_identity_lies_in_a_file(tmp_path, settings):
    place = tmp_path / "drill.txt"
    with pytest.raises(CommandError, match="--output"):
        run("--drill")
    text = run("--drill", "--output", str(place), terminal=False)
    assert f"DRC_DRILL_IDENTITY=file:{place}" in text and "reads every set" in text
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    key = RecoveryKey.objects.get()
    assert key.for_drills and identity_in(place.read_text()) not in text
    settings.DRILL_IDENTITY = f"file:{place}"
    from backups.recovery import identities

    assert [str(one.to_public()) for one in identities.for_drills()] == [key.recipient]


def test_the_list_asks_for_attention():
    assert run("--list").endswith("exit 3")
    identity = identity_in(run("--name", "safe"))
    listed = run("--list")
    assert "safe: active; never shown to be held" in listed and listed.endswith("exit 3")
    assert "There is no recovery key" not in listed and "recovery-kit --check" in listed
    kit.held(Secret(identity), "test")
    listed = run("--list")
    assert "safe: active; held: 20" in listed and "exit" not in listed


def test_the_list_says_which_kind_of_key_is_missing():
    assert "There is no recovery key" in run("--list")
    key = RecoveryKey.objects.create(name="drills", recipient="age1drills", for_drills=True)
    listed = run("--list")
    assert "drills: active, for drills" in listed and "Only a key for drills is active" in listed
    assert "There is no recovery key" not in listed and listed.endswith("exit 3")
    RecoveryKey.objects.filter(pk=key.pk).update(active=False)
    assert "No recovery key is active" in run("--list")


@pytest.mark.django_db(transaction=True)
def test_at_a_real_terminal_the_identity_is_typed_without_echo(tmp_path):
    """Another process at a pseudo terminal: prints the kit there, and does not echo what is typed."""
    environment = os.environ | {
        "DRC_STATE": str(tmp_path / "state"),
        "DRC_LOG_LEVEL": "DEBUG",
        "PYTHONWARNINGS": "ignore",
    }
    environment.pop("DRC_DATABASE_URL", None)
    manage = [sys.executable, str(project.BASE_DIR / "manage.py")]
    subprocess.run([*manage, "migrate"], env=environment, check=True, capture_output=True)
    printed = at_terminal([*manage, "recovery-kit", "--name", "safe"], environment, "")
    identity = identity_in(printed)
    typed = at_terminal([*manage, "recovery-kit", "--check"], environment, identity)
    assert "is held" in typed and identity not in typed
    piped = subprocess.run(
        [*manage, "recovery-kit"], env=environment, capture_output=True, text=True, check=False
    )
    assert piped.returncode == 2 and "AGE-SECRET" not in piped.stdout + piped.stderr


def at_terminal(argv: list[str], environment: dict[str, str], typed: str) -> str:
    """Everything that a person sees; `typed` is entered at the first question."""
    terminal, inner = os.openpty()
    # setsid makes it the process's own terminal, as getpass wants it.
    child = subprocess.Popen(
        ["setsid", "--ctty", "--wait", *argv], env=environment, stdin=inner, stdout=inner, stderr=inner
    )
    os.close(inner)
    seen = b""
    try:
        while block := os.read(terminal, 4096):
            seen += block
            if typed and seen.rstrip().endswith(b"):"):
                os.write(terminal, typed.encode() + b"\n")
                typed = ""
    except OSError:
        pass  # How Linux says that the other side has gone.
    os.close(terminal)
    assert child.wait(30) == 0, seen.decode()
    return seen.decode()
