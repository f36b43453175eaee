"""The time line on a telephone, in German: a moment is chosen by touching it."""

import pytest
from django.urls import reverse

from tests.backups.admin.test_point_in_time import archived
from tests.browser.conftest import NARROW

__all__ = ["archived"]
pytestmark = pytest.mark.django_db(transaction=True)


def test_a_moment_is_chosen_by_touching_the_line(visit, admin, archived, tmp_path):
    visitor = visit(viewport=NARROW, locale="de-DE")
    visitor.sign_in("ada")
    visitor.go(reverse("admin:systems_system_point_in_time", args=[archived.system_id]) + "?span=1h")
    line = visitor.page.locator("svg.drc-timeline").bounding_box()
    assert line["width"] > 250
    # A quarter of the last hour: the log reaches there.
    visitor.page.mouse.click(line["x"] + line["width"] * 0.25, line["y"] + line["height"] * 0.9)
    visitor.page.wait_for_selector("text=Was geschehen wird")
    assert visitor.page.locator("rect.drc-tl-chosen").count() == 1
    assert visitor.page.locator("#id_at").input_value()
    assert visitor.overflow() <= 0
    visitor.page.screenshot(path=str(tmp_path / "line.png"), full_page=True)
    assert visitor.faults == []
