"""Who comes in, who does not, and what the trail says of it."""

import base64
import hmac
import logging
import struct
import time

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from django.core.cache import cache
from django.core.management import CommandError, call_command
from django.urls import reverse

from drcenter.audit.models import Entry
from drcenter.signin import factors
from drcenter.signin.pages import passkeys_possible
from tests.cast import PASSWORD, person

LOGIN = "/account/login/"


def code(secret: str) -> str:
    """RFC 6238, written anew: six digits for this half minute."""
    counter = struct.pack(">Q", int(time.time()) // 30)
    digest = hmac.digest(base64.b32decode(secret), counter, "sha1")
    start = digest[-1] & 15
    return f"{(struct.unpack('>I', digest[start : start + 4])[0] & 0x7FFFFFFF) % 1_000_000:06d}"


@pytest.fixture(autouse=True)
def no_attempts_yet():
    cache.clear()


@pytest.fixture
def secret(admin):
    made = generate_totp_secret()
    TOTP.activate(admin, made)
    return made


def sign_in(client, name="ada", password=PASSWORD, **more):
    return client.post(LOGIN, {"login": name, "password": password}, **more)


def trail(action):
    return [(entry.actor, entry.result, entry.facts) for entry in Entry.objects.filter(action=action)]


def test_a_password_alone_lets_in_and_is_told(client, admin):
    assert sign_in(client).headers["Location"] == reverse("admin:index")
    assert client.get("/admin/").status_code == 200
    [(actor, result, facts)] = trail("signin")
    assert (actor, result) == ("ada", "done")
    assert facts == {"address": "127.0.0.1", "how": ["password"]}


def test_the_way_back_is_kept_and_no_other_place_is_reached(client, admin):
    wanted = "/admin/backups/plan/"
    answer = client.get(wanted, follow=True)
    assert answer.redirect_chain[-1][0] == f"{LOGIN}?next=/admin/backups/plan/"
    assert (
        client.post(LOGIN, {"login": "ada", "password": PASSWORD, "next": wanted}).headers["Location"]
        == wanted
    )
    client.logout()
    answer = client.post(LOGIN, {"login": "ada", "password": PASSWORD, "next": "https://evil.example/"})
    assert answer.headers["Location"] == reverse("admin:index")
    assert "evil" not in client.get("/admin/login/?next=https://evil.example/").headers["Location"]


def test_a_wrong_password_is_told_and_what_was_typed_as_a_name_is_not_kept(client, admin, caplog):
    with caplog.at_level(logging.WARNING):
        assert sign_in(client, password="wrong").status_code == 200
        assert sign_in(client, name="hunter2-my-password").status_code == 200
    told = trail("signin")
    assert [(actor, result) for actor, result, facts in told] == [("unknown", "failed"), ("ada", "failed")]
    assert "hunter2" not in str(list(Entry.objects.values())) + caplog.text
    assert not client.get("/admin/").wsgi_request.user.is_authenticated


def test_guessing_ends_after_five_tries_also_with_the_right_password(client, admin):
    for _number in range(5):
        sign_in(client, password="wrong")
    answer = sign_in(client)
    assert answer.status_code == 200 and "Too many attempts" in answer.content.decode()
    # Somebody else at another address is not locked out by it.
    person("ben", is_superuser=True)
    assert sign_in(client, name="ben", REMOTE_ADDR="198.51.100.9").status_code == 302


def test_whose_word_about_the_address_counts(client, admin, settings):
    sign_in(client, password="wrong", HTTP_X_FORWARDED_FOR="198.51.100.1")
    settings.TRUSTED_PROXIES = ["127.0.0.1"]
    sign_in(client, password="wrong", HTTP_X_FORWARDED_FOR="198.51.100.1")
    assert [facts["address"] for actor, result, facts in trail("signin")] == ["198.51.100.1", "127.0.0.1"]


def test_somebody_switched_off_does_not_come_in(client, admin):
    admin.is_active = False
    admin.save()
    assert sign_in(client).headers["Location"] == reverse("account_inactive")
    assert client.get(reverse("account_inactive")).status_code == 200
    assert [result for actor, result, facts in trail("signin")] == ["refused"]


def test_the_second_factor_is_asked_for(client, admin, secret):
    assert sign_in(client).headers["Location"] == "/account/second/"
    assert client.get("/admin/").status_code == 302
    wrong = client.post("/account/second/", {"code": "000000"})
    assert wrong.status_code == 200 and "This code is wrong" in wrong.content.decode()
    assert client.post("/account/second/", {"code": code(secret)}).headers["Location"] == reverse(
        "admin:index"
    )
    assert client.get("/admin/").status_code == 200
    assert [result for actor, result, facts in trail("signin.second_factor")] == ["failed"]
    assert trail("signin")[0][2]["how"] == ["password", "mfa: totp"]


def test_a_code_opens_once(client, admin, secret):
    used = code(secret)
    sign_in(client)
    client.post("/account/second/", {"code": used})
    client.logout()
    sign_in(client)
    assert client.post("/account/second/", {"code": used}).status_code == 200


def test_no_way_leads_around_the_second_factor(client, admin, secret):
    """A session without it (an older one, another back end) reaches no page, no fragment and no act."""
    client.force_login(admin)
    for path in ("/admin/", "/admin/live/", "/admin/auth/user/", "/admin/password_change/"):
        assert client.get(path).headers["Location"].startswith("/account/again/code/")
    assert client.post("/admin/auth/user/add/", {"username": "eve"}).status_code == 302
    fragment = client.get("/admin/live/", headers={"HX-Request": "true"})
    assert fragment.status_code == 286 and fragment.headers["HX-Redirect"].startswith("/account/again/code/")
    # Its own settings want it, too: otherwise a stolen session could add a factor of its own.
    assert client.get("/account/factors/app/remove/").status_code == 302
    answer = client.post("/account/again/code/", {"code": code(secret), "next": "/admin/auth/user/"})
    assert answer.headers["Location"] == "/admin/auth/user/"
    assert client.get("/admin/auth/user/").status_code == 200


def test_the_admins_own_login_lets_nobody_in(client, admin, secret):
    answer = client.post("/admin/login/", {"username": "ada", "password": PASSWORD})
    assert answer.headers["Location"].startswith(LOGIN)
    ben = person("ben")
    client.force_login(ben)
    client.post("/admin/login/", {"username": "ada", "password": PASSWORD})
    assert client.get("/admin/").wsgi_request.user == ben


def test_where_it_is_required_nothing_else_opens(client, admin, settings):
    settings.REQUIRE_MFA = True
    sign_in(client)
    for path in ("/admin/", "/admin/backups/plan/"):
        assert client.get(path).headers["Location"] == "/account/factors/"
    page = client.get("/account/factors/").content.decode()
    assert "This panel wants a second factor from everybody." in page
    assert client.get("/account/factors/app/add/").headers["Location"].startswith("/account/again/")
    client.post("/account/again/", {"password": PASSWORD, "next": "/account/factors/app/add/"})
    client.get("/account/factors/app/add/")
    made = client.session["mfa.totp.secret"]
    answer = client.post("/account/factors/app/add/", {"code": code(made)})
    assert answer.headers["Location"] == "/account/factors/codes/"
    assert client.get("/admin/").status_code == 200
    assert {facts["kind"] for actor, result, facts in trail("signin.factor_added")} == {
        "totp",
        "recovery_codes",
    }
    assert made not in str(list(Authenticator.objects.values())), "the secret lies open in the database"


def test_adding_a_factor_wants_the_password_once_more(client, admin):
    sign_in(client)
    assert (
        client.post("/account/factors/app/add/", {"code": "1"})
        .headers["Location"]
        .startswith("/account/again/")
    )


def test_a_passkey_is_renamed_and_removed_and_only_by_its_owner(client, admin, secret):
    def key(user):
        return Authenticator.objects.create(
            user=user, type="webauthn", data={"name": "Old", "credential": {}}
        )

    mine, foreign = key(admin), key(person("ben"))
    sign_in(client)
    client.post("/account/second/", {"code": code(secret)})
    client.post("/account/again/", {"password": PASSWORD, "next": "/account/factors/"})
    at = "/account/factors/passkeys"
    assert "Old" in client.get(f"{at}/{mine.pk}/rename/").text
    assert client.post(f"{at}/{mine.pk}/rename/", {"name": "New"}).status_code == 302
    assert "New" in client.get("/account/factors/").text
    assert "“New” opens the panel no more." in client.get(f"{at}/{mine.pk}/remove/").text
    assert client.post(f"{at}/{mine.pk}/remove/").status_code == 302
    assert not Authenticator.objects.filter(pk=mine.pk).exists()
    for act in ("rename", "remove"):
        assert client.post(f"{at}/{foreign.pk}/{act}/", {"name": "Mine"}).status_code == 404
    assert Authenticator.objects.filter(pk=foreign.pk).exists()
    assert [facts["kind"] for actor, result, facts in trail("signin.factor_removed")] == ["webauthn"]


def test_a_recovery_code_stands_in_once(client, admin, secret, settings):
    from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes

    one = RecoveryCodes.activate(admin).get_unused_codes()[0]
    for expected in (302, 200):
        sign_in(client)
        assert client.post("/account/second/", {"code": one}).status_code == expected
        client.logout()


def test_another_secret_key_is_said_and_breaks_nothing(client, admin, secret, settings):
    settings.SECRET_KEY = "another one altogether, after the panel was set up anew"
    sign_in(client)
    answer = client.post("/account/second/", {"code": code(secret)})
    assert answer.status_code == 200 and "manage.py sign-in reset" in answer.content.decode()
    settings.SECRET_KEY_FALLBACKS = []


def test_the_shell_gives_the_way_back(client, admin, secret, capsys):
    call_command("sign-in", "list")
    assert "authenticator app" in capsys.readouterr().out
    call_command("sign-in", "reset", "ada")
    assert not factors.has_factor(admin)
    assert trail("signin.reset")[0][2] == {"factors": 1}
    assert sign_in(client).headers["Location"] == reverse("admin:index")
    with pytest.raises(CommandError, match="nobody"):
        call_command("sign-in", "reset", "nobody")


def test_an_administrator_helps_a_colleague_and_nobody_else_does(client, admin, secret):
    ben = person("ben", ["view_user", "change_user"])
    TOTP.activate(ben, generate_totp_secret())
    client.force_login(ben)
    page = f"/admin/auth/user/{admin.pk}/factors/"
    factors.remove_all(ben, "test")
    assert client.post(page).status_code == 403
    assert factors.has_factor(admin)
    assert trail("signin.reset")[0][1] == "refused"


def test_factors_in_words(admin, secret):
    Authenticator.objects.create(user=admin, type="webauthn", data={"name": "Key", "credential": {}})
    assert factors.described(admin) == "authenticator app, passkeys: 1"
    assert factors.described(person("ben")) == "password only"


@pytest.mark.parametrize(
    ("secure", "host", "possible"),
    [
        (False, "localhost:8000", True), (False, "127.0.0.1:8000", False), (True, "127.0.0.1", False),
        (True, "[::1]:8000", False), (False, "dr.example.org", False), (True, "dr.example.org", True),
    ],
)  # fmt: skip
def test_where_passkeys_are_offered(secure, host, possible):
    assert passkeys_possible(secure, host) is possible


@pytest.mark.parametrize("path", ["signup/", "email/", "password/reset/", "password/change/", "login/code/"])
def test_what_the_panel_does_not_offer_has_no_address(client, db, path):
    assert client.get(f"/account/{path}").status_code == 404
