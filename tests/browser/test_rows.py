"""What differs, on a telephone and wide: filter, tick, look at the statements, ask."""

import os

import pytest

from tests.backups.taking import quick
from tests.browser.conftest import NARROW, WIDE
from tests.cast import admin
from tests.live.rows_ground import each_kind, ground, mariadb_server, postgresql_database, postgresql_server

__all__ = ["admin", "ground", "mariadb_server", "postgresql_database", "postgresql_server", "quick"]
pytestmark = [pytest.mark.django_db(transaction=True), each_kind("sqlite")]
# For looking at them: a directory for pictures.
PICTURES = os.environ.get("DRC_TEST_PICTURES", "")


@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "narrow"])
def test_choose_and_plan(ground, visit, admin, viewport) -> None:
    ground.fill()
    ground.take()
    ground.do(
        "DELETE FROM orders WHERE id IN (3, 7, 11)", "UPDATE orders SET total = 0, note = 'falsch' WHERE id IN (20, 21)",
        "INSERT INTO orders VALUES (99, 1, 5, 'von heute, und lang: ' || hex(zeroblob(60)))",
    )  # fmt: skip
    found = ground.compared("orders")
    visitor = visit(viewport=viewport, locale="de-DE")
    visitor.sign_in("ada")

    def look(name: str) -> None:
        assert visitor.overflow() <= 0, name
        assert visitor.overlong() == []
        if PICTURES:
            visitor.page.screenshot(path=f"{PICTURES}/{name}-{viewport['width']}.png", full_page=True)

    visitor.go(f"/admin/backups/copy/{found.copy_id}/rows/")
    look("compare")
    visitor.go(f"/admin/backups/rowcomparison/{found.pk}/change/")
    look("comparison")
    visitor.go(f"/admin/backups/rowcomparison/{found.pk}/choose/")
    look("choose")
    visitor.page.check(".drc-row.drc-bad >> nth=0 >> input[type=checkbox]")
    visitor.page.click("button[value=page]")
    visitor.page.wait_for_url("**kind=all**")
    assert visitor.page.locator(".drc-row input:checked").count() == 1
    visitor.page.fill("input[name=where]", "id>9")
    visitor.page.click("form[method=get] button")
    visitor.page.click("button[value=all]")
    look("filtered")
    visitor.page.click("button[value=plan]")
    visitor.page.wait_for_url("**/rowchange/**")
    look("change")
    visitor.page.click("a[href$='/ask/']")
    look("ask")
