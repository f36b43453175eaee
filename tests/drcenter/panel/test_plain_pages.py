"""What stands where a page cannot be shown, and whom one cannot delete."""

import pytest
from django.contrib.auth.models import User
from django.test import Client

from drcenter.panel.pages import address
from tests.cast import person


@pytest.mark.parametrize(
    ("language", "words"), [("en", "There is no such page"), ("de", "Diese Seite gibt es nicht")]
)
def test_no_such_page(client, db, language, words):
    response = client.get("/nothing/here/", headers={"Accept-Language": language})
    assert response.status_code == 404 and words in response.text
    assert f'lang="{language}"' in response.text


def test_what_one_may_not(as_viewer, plan):
    response = as_viewer.get(address(plan, "back_up"))
    assert response.status_code == 403 and "You may not do this" in response.text


def test_a_form_that_is_too_old(admin):
    client = Client(enforce_csrf_checks=True)
    client.force_login(admin)
    response = client.post("/admin/auth/user/add/", {})
    assert response.status_code == 403 and "The form was too old" in response.text


def test_a_mistake_of_ours_names_the_shell(admin, monkeypatch):
    client = Client(raise_request_exception=False)
    client.force_login(admin)
    monkeypatch.setattr("drcenter.dashboard.figures", lambda request: 1 / 0)
    response = client.get("/admin/")
    assert response.status_code == 500 and "manage.py recover" in response.text


def test_nobody_deletes_oneself_or_the_last_administrator(as_admin, admin):
    assert "ask another administrator" in as_admin.post(address(admin, "delete"), {"post": "yes"}).text
    ben = person("ben", ["view_user", "delete_user"])
    client = Client()
    client.force_login(ben)
    assert "last administrator" in client.post(address(admin, "delete"), {"post": "yes"}).text
    assert User.objects.filter(pk=admin.pk).exists()
    page = as_admin.get(address(ben, "delete")).text
    assert "Switching off would be enough." in page
    assert as_admin.post(address(ben, "delete"), {"post": "yes"}).status_code == 302
    assert not User.objects.filter(pk=ben.pk).exists()


def test_rights_are_offered_in_words_and_those_of_libraries_are_not(as_admin):
    page = as_admin.get("/admin/auth/group/add/", headers={"Accept-Language": "de"}).text
    assert "Sicherungen | Satz | ansehen" in page
    assert "sessions" not in page.lower() and "Can view" not in page
