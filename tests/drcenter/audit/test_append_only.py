"""The database itself refuses to change or remove an entry."""

import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError, IntegrityError, connection, transaction

from drcenter.audit.models import Entry, Result
from drcenter.audit.record import record
from drcenter.secrets import Secret
from drcenter.systems.models import System

pytestmark = pytest.mark.django_db


@pytest.fixture
def entry():
    with transaction.atomic():
        return record("anna", "plan.run")


def sql(statement, *values):
    def run(entry):
        with connection.cursor() as cursor:
            cursor.execute(statement, [*values, entry.pk])

    return run


COLUMNS = "id, at, actor, action, object_type, object_id, object_name, result, facts"
VALUES = "'2026-01-01', 'eve', 'x', '', '', '', 'done', '{}'"
CHANGES = {
    "save": lambda entry: entry.save(),
    "delete": lambda entry: entry.delete(),
    "queryset update": lambda entry: Entry.objects.filter(pk=entry.pk).update(actor="eve"),
    "queryset delete": lambda entry: Entry.objects.all().delete(),
    "UPDATE": sql("UPDATE audit_entry SET actor = 'eve' WHERE id = %s"),
    "UPDATE of the key": sql("UPDATE audit_entry SET id = id + 1000 WHERE id = %s"),
    "DELETE": sql("DELETE FROM audit_entry WHERE id = %s"),
}
ON_SQLITE = {
    "INSERT OR REPLACE": sql(f"INSERT OR REPLACE INTO audit_entry ({COLUMNS}) SELECT id, {VALUES} FROM audit_entry WHERE id = %s"),
    "REPLACE": sql(f"REPLACE INTO audit_entry ({COLUMNS}) SELECT id, {VALUES} FROM audit_entry WHERE id = %s"),
    "upsert": sql(
        f"INSERT INTO audit_entry ({COLUMNS}) SELECT id, {VALUES} FROM audit_entry WHERE id = %s "
        "ON CONFLICT (id) DO UPDATE SET actor = 'eve'"
    ),
}  # fmt: skip
ON_POSTGRESQL = {
    "TRUNCATE": lambda entry: connection.cursor().execute("TRUNCATE audit_entry"),
    "TRUNCATE CASCADE": lambda entry: connection.cursor().execute("TRUNCATE audit_entry RESTART IDENTITY CASCADE"),
    "as a replica": lambda entry: connection.cursor().execute(
        "SET LOCAL session_replication_role = replica; DELETE FROM audit_entry"
    ),
    "upsert": sql(
        f"INSERT INTO audit_entry ({COLUMNS}) SELECT id, {VALUES.replace(chr(39) + '{}' + chr(39), 'facts')} "
        "FROM audit_entry WHERE id = %s ON CONFLICT (id) DO UPDATE SET actor = 'eve'"
    ),
}  # fmt: skip


def refused(act, entry):
    before = list(Entry.objects.values())
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        act(entry)
    assert list(Entry.objects.values()) == before


@pytest.mark.parametrize("act", CHANGES.values(), ids=CHANGES.keys())
def test_a_change_is_refused(entry, act):
    refused(act, entry)


def test_what_only_this_database_knows_is_refused(entry):
    for act in (ON_SQLITE if connection.vendor == "sqlite" else ON_POSTGRESQL).values():
        refused(act, entry)


def test_a_second_entry_of_the_same_number_is_refused(entry):
    with pytest.raises((DatabaseError, IntegrityError)), transaction.atomic():
        Entry(pk=entry.pk, actor="eve", action="x").save(force_insert=True)
    assert Entry.objects.get().actor == "anna"


def test_the_thing_may_go_and_its_entries_stay():
    with transaction.atomic():
        system = System.objects.create(slug="shop", name="Shop")
        record("anna", "system.create", system)
        number = str(system.pk)
        system.delete()
    entry = Entry.objects.get()
    assert (entry.object_type, entry.object_id, entry.object_name) == ("systems.System", number, "Shop")


class TestRecord:
    @pytest.mark.django_db(transaction=True)
    def test_outside_of_a_transaction_it_is_refused(self):
        with pytest.raises(transaction.TransactionManagementError, match="belongs in the transaction"):
            record("anna", "plan.run")
        assert not Entry.objects.exists()

    @pytest.mark.django_db(transaction=True)
    def test_it_goes_away_with_a_change_that_did_not_happen(self):
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            System.objects.create(slug="shop", name="Shop")
            record("anna", "system.create")
            raise ZeroDivisionError
        assert not Entry.objects.exists()
        assert not System.objects.exists()

    @pytest.mark.django_db(transaction=True)
    def test_it_stays_with_a_change_that_did(self):
        with transaction.atomic():
            record("anna", "system.create", System.objects.create(slug="shop", name="Shop"))
        assert Entry.objects.count() == 1

    def test_no_secret_gets_into_it_however_deep(self):
        secret = Secret("tok-8f3b2c1d9e").reveal()
        user = User(username=f"with {secret}")
        with transaction.atomic():
            entry = record(
                f"anna {secret}", f"act {secret}", user,
                result=Result.REFUSED, url=f"https://x/{secret}",
                nested={"list": [secret, {"deep": secret}], secret: 1}, many=(secret, 2), number=3,
            )  # fmt: skip
        entry.refresh_from_db()
        everything = str(Entry.objects.values().get())
        assert secret not in everything
        assert entry.facts["nested"]["list"][1]["deep"] == "[redacted]"
        assert (entry.facts["number"], entry.result) == (3, "refused")

    def test_long_names_are_cut_and_not_refused(self):
        with transaction.atomic():
            entry = record("a" * 500, "b" * 500, System(name="c" * 500))
        assert (len(entry.actor), len(entry.action), len(entry.object_name)) == (200, 100, 300)

    def test_values_that_json_does_not_know_are_kept_as_text(self):
        from datetime import UTC, datetime
        from pathlib import Path

        with transaction.atomic():
            entry = record("anna", "x", at=datetime(2026, 1, 2, tzinfo=UTC), path=Path("/srv"))
        entry.refresh_from_db()
        assert entry.facts == {"at": "2026-01-02T00:00:00+00:00", "path": "/srv"}
