"""Every page, in both languages, wide and on a telephone: nothing is wider than the window, nothing complains."""

import re

import pytest
from django.contrib import admin
from django.urls import reverse
from django.utils import timezone

from backups.checklist import conduct
from backups.models import Drill, Recovery
from drcenter.panel.acts import ActPage
from drcenter.panel.pages import address
from drcenter.systems.control import controls
from drcenter.systems.models import Halt
from incidents.actions import actions
from incidents.models import ActionRun, PreparedAction
from tests.backups.admin.test_pages import full  # noqa: F401 - a fixture
from tests.browser.conftest import NARROW, WIDE

# Small words that no German sentence has.
ENGLISH = re.compile(r"\b(the|is|are|of|and|not|with|from|by|never|Can)\b")
# Engines whose options are shown.
ADDED = ("sqlite", "files", "mariadb", "git", "redis", "information", "certificates", "sqlite_schema")
pytestmark = pytest.mark.django_db(transaction=True)


def paths(plan, copy, running_job) -> list[str]:
    """All lists, one row of each, all forms to add, all acts."""
    found = [reverse("admin:index"), reverse("admin:password_change")]
    for model, page in admin.site._registry.items():
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        found.append(reverse(f"{name}_changelist"))
        if getattr(page, "actions", ()) is not None:
            found.append(reverse(f"{name}_add"))
        if row := model._default_manager.first():
            found += [address(row), *acts(page, row)]
    source = plan.sources.first()
    found += [f"/admin/backups/source/add/?engine={name}" for name in ADDED]
    found += ["/admin/backups/destination/add/?kind=local"]
    found += [address(plan, "retention"), "/account/factors/"]
    found += [f"/admin/backups/drillcheck/add/?kind={kind}" for kind in ("laravel", "http", "row_counts")]
    found += [address(Drill.objects.get(), "evidence")]
    found += [f"/admin/systems/halt/add/?kind={name}" for name in controls()]
    found += [f"/admin/incidents/preparedaction/add/?kind={name}" for name in actions()]
    return [*found, f"{address(copy, 'production')}?source={source.pk}"]


def acts(page, row) -> list[str]:
    """The pages that ask before something is done to the row."""
    of_it = f"{row._meta.app_label}_{row._meta.model_name}_"
    return [
        address(row, pattern.name.removeprefix(of_it))
        for pattern in page.get_urls()
        if issubclass(getattr(pattern.callback, "view_class", object), ActPage)
        and pattern.callback.view_class.asks
    ]


@pytest.mark.parametrize("language", ["en-GB", "de-DE"])
@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "narrow"])
def test_every_page(visit, admin_person, full, bad_night, plan, copy, running_job, viewport, language):  # noqa: F811
    visitor = visit(viewport=viewport, locale=language)
    visitor.sign_in("ada")
    wide, english = [], []
    for path in paths(plan, copy, running_job):
        visitor.go(path)
        assert visitor.page.locator("html").get_attribute("lang") == language[:2]
        if visitor.overflow() > 0 or visitor.overlong():
            wide.append(f"{path}: {visitor.overflow()} px, {visitor.overlong()}")
        if language == "de-DE":
            english += [f"{path}: {line}" for line in lines(visitor) if ENGLISH.search(line)]
    assert not wide, "\n".join(wide)
    assert not english, "\n".join(english)


def lines(visitor) -> list[str]:
    """What stands on the page but logs, code, paths, and names that people gave."""
    text = visitor.page.evaluate(
        """() => { document.querySelectorAll('.drc-log, .drc-code, script').forEach(box => box.remove());
            return document.body.innerText }"""
    )
    return re.sub(r"/\S+|Administrator of plans|Approver of recoveries", "", text).splitlines()


@pytest.fixture
def admin_person(admin):
    return admin


@pytest.fixture
def bad_night(system, copy, tmp_path):
    """Ways to stop, actions and what became of them, and the checklist of a restore."""
    Halt.objects.create(system=system, kind="systemd", options={"units": ["shop-queue.service"]})
    # No work tree: its page says so.
    prepared = PreparedAction.objects.create(
        system=system, name="Release 41", kind="git_checkout", options={"directory": str(tmp_path / "none")}
    )
    before = {
        "commit": "0123456789abcdef0123456789abcdef01234567",
        "branch": "main",
        "changed": ["app/Http/Kernel.php"],
    }
    ActionRun.objects.create(
        prepared=prepared, system=system, name=prepared.name, kind=prepared.kind, options=prepared.options,
        state="succeeded", requested_by="otto", before=before, started_at=timezone.now(), finished_at=timezone.now(),
    )  # fmt: skip
    recovery = Recovery.objects.first()
    conduct.begin(recovery)
    recovery.points.filter(key="website").update(
        state="bad", measured="https://shop.example.org: no answer (ConnectionError)", at=timezone.now()
    )
