"""The ready-made groups: what they may, what the page says of it, and that people's changes stay."""

import re
from pathlib import Path

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.core.management import call_command

from drcenter import permissions
from drcenter.signin import roles
from drcenter.signin.models import Role

pytestmark = pytest.mark.django_db
PAGE = Path(__file__).parents[3] / "docs" / "panel.md"
GENERAL = ("view_", "add_", "change_", "delete_")


def registered() -> list[str]:
    return [
        f"{row.content_type.app_label}.{row.codename}"
        for row in Permission.objects.select_related("content_type")
        if row.content_type.app_label in roles.SEEN_APPS
    ]


def documented() -> dict[str, dict[str, bool]]:
    """{right: {role: may}} for each right that stands in the table of docs/panel.md."""
    table = {}
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 7 and cells[2] in {"yes", ""}:
            names = re.findall(r"`([a-z_]+\.[a-z_]+)`", cells[0])
            verbs = ("add_", "change_", "delete_") if "*add*" in cells[0] else ("",)
            for name in names:
                app, _point, rest = name.partition(".")
                for verb in verbs:
                    marks = (cell == "yes" for cell in cells[2:])
                    table[f"{app}.{verb}{rest}"] = dict(
                        zip(("viewer", "operator", "restorer", "approver", "planner"), marks, strict=True)
                    )
    return table


def test_the_page_says_of_every_right_who_has_it():
    said = documented()
    own = [right for right in registered() if not right.partition(".")[2].startswith(GENERAL)]
    assert set(own) <= set(said), "docs/panel.md lacks a right: say there, and in roles.py, who has it"
    assert set(said) <= set(registered()), "docs/panel.md names a right that does not exist"
    for role in roles.ROLES:
        has = set(role.rights(registered()))
        for right in registered():
            if "view_" in right:
                assert right in has, f"{role.key} does not see {right}"
            else:
                assert (right in has) == said.get(right, {}).get(role.key, False), f"{role.key}: {right}"


def test_acts_of_the_code_are_rights_that_exist():
    named = {value for name, value in vars(permissions).items() if name.isupper()}
    assert named <= set(registered())


def test_the_groups_are_there_after_migrating_and_see_no_users():
    assert sorted(Group.objects.values_list("name", flat=True)) == [
        "Administrator of plans", "Approver of recoveries", "Operator", "Restorer", "Viewer",
    ]  # fmt: skip
    vera = User.objects.create_user("vera", is_staff=True)
    vera.groups.add(Group.objects.get(name="Viewer"))
    assert vera.has_perm("backups.view_set") and vera.has_perm("audit.view_entry")
    assert not vera.has_perm("auth.view_user") and not vera.has_perm("backups.run_plan")


def rights(group: Group) -> set[str]:
    return set(group.permissions.values_list("codename", flat=True))


def test_what_people_change_stays_and_what_is_new_comes():
    operator = Group.objects.get(name="Operator")
    operator.name = "Night shift"
    operator.save()
    operator.permissions.remove(Permission.objects.get(codename="restore_beside"))
    Group.objects.get(name="Restorer").delete()
    # As if the next version brought this right.
    viewer = Role.objects.get(key="viewer")
    viewer.group.permissions.remove(Permission.objects.get(codename="view_recovery"))
    viewer.given.remove("backups.view_recovery")
    viewer.save()

    for _time in range(2):
        call_command("migrate", verbosity=0, interactive=False)
    assert sorted(Group.objects.values_list("name", flat=True)) == [
        "Administrator of plans",
        "Approver of recoveries",
        "Night shift",
        "Viewer",
    ]
    assert "restore_beside" not in rights(operator) and "run_plan" in rights(operator)
    assert "view_recovery" in rights(viewer.group)


def test_a_group_of_the_same_name_is_not_touched():
    Role.objects.all().delete()
    Group.objects.exclude(name="Viewer").delete()
    Group.objects.get(name="Viewer").permissions.clear()
    roles.bring_up_to_date()
    assert rights(Group.objects.get(name="Viewer")) == set()
    assert "view_set" in rights(Group.objects.get(name="Viewer 2"))


def test_names_are_in_the_language_of_the_installation(settings):
    Role.objects.all().delete()
    Group.objects.all().delete()
    settings.LANGUAGE_CODE = "de"
    roles.bring_up_to_date()
    assert Group.objects.filter(name="Planverwaltung").exists()
