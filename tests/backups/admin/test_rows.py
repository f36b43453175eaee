"""The pages of rows: who sees values, who may choose and ask, and what a wrong filter gets."""

import pytest
from django.urls import reverse

from backups.models import Recovery, RowChange
from backups.rows import apply, compare, expire
from drcenter.audit.models import Entry
from tests.backups.approving import second
from tests.backups.taking import quick
from tests.cast import PASSWORD, person
from tests.live.rows_ground import each_kind, ground, mariadb_server, postgresql_database, postgresql_server

__all__ = ["ground", "mariadb_server", "postgresql_database", "postgresql_server", "quick"]
pytestmark = [pytest.mark.django_db(transaction=True), each_kind("sqlite")]
SEE = ["view_rowcomparison", "view_rowchange", "view_set", "view_copy", "view_recovery"]


@pytest.fixture
def found(ground):
    ground.fill()
    ground.take()
    ground.do(
        "DELETE FROM orders WHERE id IN (3, 7)",
        "UPDATE orders SET note = '<b>x</b>' WHERE id = 20",
        "INSERT INTO orders VALUES (99, 1, 5, 'of today')",
    )
    return ground.compared("orders")


def page(row, name: str) -> str:
    meta = row._meta
    return reverse(f"admin:{meta.app_label}_{meta.model_name}_{name}", args=[row.pk])


def signed_in(client, name: str, *rights: str):
    user = person(name, [*SEE, *rights])
    client.login(username=name, password=PASSWORD)
    return user


def test_values_are_only_for_those_who_may_see_rows(client, found) -> None:
    signed_in(client, "vera")
    response = client.get(page(found, "change"))
    assert response.status_code == 200
    assert b"of today" not in response.content
    assert client.get(page(found, "choose")).status_code == 403
    signed_in(client, "carl", "compare_rows")
    text = client.get(page(found, "choose")).content.decode()
    assert "of today" in text
    assert "&lt;b&gt;x&lt;/b&gt;" in text
    seen = Entry.objects.get(action="backups.rows.seen")
    assert (seen.actor, "of today" in str(seen.facts)) == ("carl", False)
    assert client.post(page(found, "choose"), {"act": "all"}).status_code == 403


def test_choose_plan_ask(client, ground, found) -> None:
    signed_in(client, "otto", "compare_rows", "restore_rows", "restore_production")
    choose = page(found, "choose")
    assert client.get(f"{choose}?where=colour=red").content.decode().count("is no condition") == 1
    client.post(f"{choose}?kind=deleted&where=id>5", {"act": "all"})
    assert "1 row is chosen" in client.get(choose).content.decode()
    response = client.post(choose, {"act": "plan", "shown": [], "row": [], "parents": "on"})
    change = RowChange.objects.get()
    assert response["Location"] == page(change, "change")
    text = client.get(page(change, "change")).content.decode()
    assert "INSERT INTO &quot;orders&quot;" in text
    sql = b"".join(client.get(page(change, "statements")).streaming_content).decode()
    assert sql.startswith("BEGIN;\nINSERT INTO")
    assert ground.ask("SELECT count(*) FROM orders WHERE id = 7") == [(0,)]
    wrong = client.post(page(change, "ask"), {"typed_host": "x", "reason": "gone"})
    assert "not the system and the host" in wrong.content.decode()
    typed = {"typed_host": apply.to_type(change), "reason": "deleted by mistake"}
    client.post(page(change, "ask"), typed)
    recovery = Recovery.objects.get()
    assert (recovery.state, recovery.kind, recovery.requested_user.username) == ("planned", "rows", "otto")
    plan = client.get(page(recovery, "change")).content.decode()
    assert "orders: 1 INSERT" in plan
    assert page(change, "change") in plan
    client.force_login(second())
    assert client.get(page(change, "statements")).status_code in {200, 403}


def test_csv_and_nothing_on_get(client, found) -> None:
    signed_in(client, "carl", "compare_rows", "restore_rows")
    text = b"".join(client.get(f"{page(found, 'choose')}?format=csv&kind=deleted").streaming_content).decode()
    assert sorted(line.split(",")[1] for line in text.splitlines()[1:]) == ["3", "7"]
    assert not RowChange.objects.exists()


def test_what_was_removed_says_so(client, found) -> None:
    signed_in(client, "carl", "compare_rows")
    expire.forget(found)
    assert not compare.place_of(found).exists()
    response = client.get(page(found, "choose"), follow=True)
    assert "no result" in response.content.decode()
    assert "Look at the rows" not in response.content.decode()
