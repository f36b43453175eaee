import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from django.db import DatabaseError

from backups import protect
from backups.look import Machine, Proposal, ProposedSource, look_at
from backups.models import Destination, Plan, Source
from backups.models.plan import Tier
from backups.places.trial import check
from drcenter.audit.models import Entry
from drcenter.errors import OperationFailed
from drcenter.secrets import Secret
from drcenter.systems.models import System
from tests.backups.look.applications import laravel

pytestmark = pytest.mark.django_db
ENVIRONMENT = 'APP_NAME="Shop #1"\nAPP_KEY=base64:x\nDB_CONNECTION=sqlite\n'


@pytest.fixture(autouse=True)
def state(settings, tmp_path: Path) -> Path:
    settings.STATE_DIR = tmp_path / "state"
    settings.STATE_DIR.mkdir()
    return settings.STATE_DIR


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    root = laravel(tmp_path / "shop", ENVIRONMENT)
    with closing(sqlite3.connect(root / "database" / "database.sqlite")) as connection:
        connection.execute("CREATE TABLE calls (id INTEGER)")
    return root


def server(password: str = "s3cret-word") -> Proposal:
    options = {"host": "db1", "port": 3306, "user": "app", "database": "shop"}
    source = ProposedSource("database", "mariadb", Tier.DATABASE, options, {"password": Secret(password)})
    return Proposal(name="shop", sources=[source])


def test_creates_the_system_with_all_that_belongs_to_it(shop: Path, state: Path) -> None:
    done = protect.create(look_at(str(shop)), "shell:anna")
    system = System.objects.get(slug="shop-1")
    assert (system.name, system.commands_directory) == ("Shop #1", str(shop))
    assert system.pause_command == [["php", "artisan", "down"]]
    assert sorted(system.sources.values_list("name", flat=True)) == [
        "application",
        "configuration",
        "database",
        "storage",
    ]
    assert {(target.data_class, target.rto_minutes) for target in system.targets.all()} == {
        ("critical", 60), ("application", 240), ("whole", 480),
    }  # fmt: skip
    plan = Plan.objects.get()
    assert (plan.cron, plan.level, plan.encrypt, plan.sources.count()) == ("0 2 * * *", "proven", True, 4)
    assert plan.destinations.get().options == {"path": str(state / "sets")}
    check(plan.destinations.get().build())
    assert done.destination_is_new
    entry = Entry.objects.get(action="system.protect")
    assert (entry.actor, entry.object_id) == ("shell:anna", str(system.pk))


def test_a_second_time_there_is_nothing_new(shop: Path) -> None:
    protect.create(look_at(str(shop)), "shell:anna")
    again = look_at(str(shop))
    assert protect.new_sources(again) == []
    assert protect.known_system(again) == System.objects.get()
    with pytest.raises(OperationFailed, match="nothing to create"):
        protect.create(again, "shell:anna")


def test_what_was_added_later_joins_the_system_and_its_plan(shop: Path) -> None:
    (shop / "database" / "database.sqlite").rename(shop.parent / "away")
    protect.create(look_at(str(shop)), "shell:anna")
    assert Source.objects.count() == 3
    (shop.parent / "away").rename(shop / "database" / "database.sqlite")
    (shop / "docs").mkdir()
    done = protect.create(look_at(str(shop)), "shell:anna")
    assert not done.system_is_new
    assert [source.name for source in done.sources] == ["docs", "database"]
    assert System.objects.count() == Plan.objects.count() == 1
    assert Plan.objects.get().sources.count() == 5


def test_existing_destinations_are_used(shop: Path, tmp_path: Path) -> None:
    Destination.objects.create(name="vault", kind="local", options={"path": str(tmp_path / "vault")})
    Destination.objects.create(name="old", kind="local", options={"path": "/nowhere"}, enabled=False)
    done = protect.create(look_at(str(shop)), "shell:anna")
    assert [place.name for place in done.plan.destinations.all()] == ["vault"]
    assert not done.destination_is_new


def test_the_row_holds_a_reference_to_a_private_file(state: Path) -> None:
    done = protect.create(server(), "shell:anna")
    path = state / "secrets" / "shop-database"
    assert done.sources[0].options["password"] == f"file:{path}"
    assert path.read_text() == "s3cret-word"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert "s3cret-word" not in str(Source.objects.values()) + str(Entry.objects.values())


def test_a_reference_of_the_operator_is_kept_instead(state: Path) -> None:
    done = protect.create(server(), "shell:anna", {"password": "env:SHOP_PASSWORD"})
    assert done.sources[0].options["password"] == "env:SHOP_PASSWORD"
    assert not (state / "secrets").exists()


def test_a_system_of_the_same_name_gets_a_key_of_its_own() -> None:
    protect.create(server(), "shell:anna")
    other = server()
    other.sources[0].options["host"] = "db2"
    assert protect.create(other, "shell:anna").system.slug == "shop-2"


@pytest.mark.parametrize(
    ("name", "slug"),
    [("Müller & Söhne", "muller-sohne"), ("株式会社", "system"), ("a_b", "a-b"), ("x" * 99, "x" * 50)],
)
def test_names_become_keys(name: str, slug: str) -> None:
    assert protect.free_slug(name) == slug


def test_what_cannot_be_reached_is_not_created() -> None:
    proposal = server()
    proposal.sources[0].problem = OperationFailed("It is away.")
    with pytest.raises(OperationFailed, match="nothing to create"):
        protect.create(proposal, "shell:anna")


def test_a_failure_leaves_nothing(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **facts: object) -> None:
        raise DatabaseError("disk I/O error")

    monkeypatch.setattr(protect, "record", fail)
    with pytest.raises(DatabaseError):
        protect.create(server(), "shell:anna")
    assert not System.objects.exists()
    assert list((state / "secrets").iterdir()) == []


def test_two_applications_on_one_machine_stay_two_systems(shop: Path, tmp_path: Path) -> None:
    """Both have the machine's own sources, once each, also when the machine has more by then."""
    machine = Machine(tmp_path / "etc", tmp_path / "none", tmp_path / "none")
    (tmp_path / "etc/nginx").mkdir(parents=True)
    first = protect.create(look_at(str(shop), machine=machine), "shell:anna")
    other = laravel(tmp_path / "other", ENVIRONMENT.replace("Shop #1", "Other"))
    second = protect.create(look_at(str(other), machine=machine), "shell:anna")
    assert first.system != second.system
    for done in (first, second):
        names = [source.name for source in done.sources]
        assert {"system-configuration", "information"} <= set(names)
    (tmp_path / "etc/php").mkdir()
    assert protect.new_sources(look_at(str(shop), machine=machine)) == []
