"""A Laravel system of all twelve tiers: taken, proven, its machine gone; restore.sh on a bare one, and it answers."""

import json
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyrage
import pytest

from backups.engines import build as build_engine
from backups.models import Destination, Level, Plan, RecoveryKey, Set, Source, Verification
from backups.models.plan import Tier
from backups.storage import publish
from backups.takes import take
from drcenter.jobs.work import run_job
from drcenter.systems.models import System
from tests.live import twelve_tiers
from tests.live.bare_machine import BareMachine
from tests.live.laravel import answer, served

pytestmark = pytest.mark.django_db(transaction=True)
# What a command writes cannot be compared with its source; these are compared here, by hand.
COMMANDS = {"crontabs", "mirror"}


@pytest.fixture
def place() -> Iterator[Path]:
    place = Path(tempfile.mkdtemp(prefix="drc-twelve-", dir="/var/tmp"))
    place.chmod(0o755)
    yield place
    shutil.rmtree(place)


@pytest.fixture
def identity() -> str:
    return str(pyrage.x25519.Identity.generate())


@pytest.fixture
def taken(place: Path, identity: str, settings) -> tuple[twelve_tiers.Shop, Set]:
    settings.STATE_DIR = place / "state"
    settings.STATE_DIR.mkdir()
    shop = twelve_tiers.build(place / "machine")
    recipient = pyrage.x25519.Identity.from_str(identity).to_public()
    RecoveryKey.objects.create(name="safe", recipient=str(recipient))
    system = System.objects.create(slug="shop", name="Shop")
    destination = Destination.objects.create(
        name="disk", kind="local", options={"path": str(place / "store")}
    )
    destination.build().prepare()
    plan = Plan.objects.create(system=system, name="ultimate", level=Level.PROVEN)
    plan.destinations.add(destination)
    for name, (engine, tier, options) in shop.sources().items():
        values = build_engine(engine, options).options
        plan.sources.add(
            Source.objects.create(system=system, name=name, engine=engine, tier=tier, options=values)
        )
    with twelve_tiers.with_redis(shop):
        wanted = take.request(plan, requested_by="anna")
        run_job(wanted.job_id)
    one = Set.objects.get(pk=wanted.pk)
    assert one.state == Set.State.COMPLETE, (one.message, one.hint)
    return shop, one


def bare_with(one: Set, store: Path, identity: str, root: Path) -> BareMachine:
    """A clean machine, PHP, and what a person brings: the set's folder and the kit."""
    machine = twelve_tiers.furnish_with_php(BareMachine(root, "dash").furnish())
    shutil.rmtree(machine.root / "set")
    shutil.copytree(store / one.prefix, machine.root / "set")
    (machine.root / "root/key.pem").write_text(publish.signing_key().public_pem)
    (machine.root / "root/identity.txt").write_text(identity + "\n")
    return machine


@contextmanager
def served_inside(machine: BareMachine, application: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    argv = ("php", "-S", f"127.0.0.1:{port}", "-t", "public", "public/index.php")
    with machine.start(*argv, directory=str(application), user=twelve_tiers.web_user()) as child:
        try:
            deadline = time.monotonic() + 10
            while time.monotonic() < deadline and child.poll() is None:
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.05)
            assert child.poll() is None, child.communicate()[0]
            yield f"http://127.0.0.1:{port}"
        finally:
            child.kill()


def test_all_twelve_tiers_come_back_on_a_bare_machine(taken, place: Path, identity: str) -> None:
    shop, one = taken
    assert set(one.parts.values_list("tier", flat=True)) == set(Tier.values)
    # Proven: all but the outputs of commands were restored and compared, without a difference.
    verification = Verification.objects.get(copy__set=one)
    assert verification.differences == []
    assert set(verification.facts) == set(shop.sources()) - COMMANDS
    before = shop.looks(Path("/"))
    with served(shop.application) as address:
        page = answer(address)
        call = answer(f"{address}/calls/7")
    assert page[0] == call[0] == 200
    git = ("git", "-c", "safe.directory=*", "-C", str(shop.application))
    commits = subprocess.run(
        [*git, "rev-parse", "main", "stash"], check=True, capture_output=True, text=True
    ).stdout

    # The machine is gone.
    lost = shop.root.rename(place / "lost")
    machine = bare_with(one, place / "store", identity, place / "bare")
    checked = machine.run(
        "sh", "restore.sh", "check", "--key", "/root/key.pem", "--identity", "/root/identity.txt"
    )
    assert checked.returncode == 0, checked.stdout
    done = machine.run("sh", "restore.sh", "all", "--identity", "/root/identity.txt", "--yes")
    assert done.returncode == 0, done.stdout
    assert f"Done: {len(shop.sources())} of {len(shop.sources())} restored." in done.stdout

    # Every tier compares equal.
    assert shop.looks(machine.root) == before
    restored = machine.root / "set/restored"
    assert json.loads((restored / "mirror/output.json").read_text()) == twelve_tiers.MIRROR
    assert "CREATE TABLE" in (restored / "schema/schema.sql").read_text()
    assert cart_inside(machine, shop) == "three pears"
    cron = "var/spool/cron/crontabs"
    assert look(restored / "crontabs/crontabs") == look(lost / cron)
    assert (restored / "machine/packages.txt").read_text().count("\n") > 50
    log = (restored / "git/commits.txt").read_text()
    assert "Nobody has this one" in log
    cloned = machine.run(
        "git", "clone", "--quiet", "--mirror", "/set/restored/git/unpushed.bundle", "/srv/shop.git"
    )
    assert cloned.returncode == 0, cloned.stdout
    for commit in commits.split():
        assert machine.run("git", "--git-dir=/srv/shop.git", "cat-file", "-t", commit).stdout == "commit\n"

    # And the application answers, with the key that reads the encrypted columns.
    with served_inside(machine, shop.application) as address:
        assert answer(address) == page
        assert answer(f"{address}/calls/7") == call


def cart_inside(machine: BareMachine, shop: twelve_tiers.Shop) -> str:
    """What a Redis there, which reads the file that came back, has in the cart."""
    run = machine.root / str(shop.root).lstrip("/") / "run"
    run.mkdir()
    with machine.start(*twelve_tiers.redis_words(shop)) as server:
        try:
            deadline = time.monotonic() + 10
            while not (run / "redis.sock").exists():
                assert server.poll() is None and time.monotonic() < deadline
                time.sleep(0.05)
            return machine.run(
                "redis-cli", "-s", f"{shop.root}/run/redis.sock", "GET", "cart:7"
            ).stdout.strip()
        finally:
            server.kill()


def look(path: Path):
    return twelve_tiers.look_at_tree(path)
