"""Signing in with a real browser: the app's code, and a passkey of a virtual authenticator."""

import time

import pytest
from allauth.mfa.models import Authenticator
from django.core.cache import cache

from tests.browser.conftest import NARROW, WIDE
from tests.cast import PASSWORD
from tests.drcenter.signin.test_sign_in import code

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def no_attempts_yet():
    cache.clear()


def lasting_code(secret: str) -> str:
    """One that does not expire while the browser brings it away."""
    if (second := time.time() % 30) > 20:
        time.sleep(30 - second)
    return code(secret)


def again(page) -> None:
    """The password, which every change of the factors asks for."""
    page.fill("#id_password", PASSWORD)
    page.get_by_role("button", name="Go on").click()


def virtual_authenticator(visitor):
    session = visitor.context.new_cdp_session(visitor.page)
    session.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
    }
    options |= {"isUserVerified": True, "automaticPresenceSimulation": True}
    session.send("WebAuthn.addVirtualAuthenticator", {"options": options})


@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "narrow"])
def test_a_passkey_is_added_and_opens_the_panel_alone(visit, admin, viewport):
    visitor = visit(viewport=viewport)
    page = visitor.page
    virtual_authenticator(visitor)
    visitor.sign_in("ada")
    page.get_by_role("link", name="Add a second factor").click()
    page.get_by_role("link", name="Add a passkey").click()
    again(page)
    page.fill("#id_name", "Telephone")
    page.check("#id_passwordless")
    page.get_by_role("button", name="Add it").click()
    page.get_by_role("heading", name="Recovery codes").wait_for()
    assert page.locator("#recovery_codes li").count() == 10
    assert Authenticator.objects.get(type="webauthn").user == admin
    visitor.go("/account/factors/")
    assert (
        page.get_by_text("Telephone", exact=True).is_visible()
        and page.get_by_text("signs in alone").is_visible()
    )
    assert visitor.overflow() <= 0 and visitor.overlong() == []

    visitor.context.clear_cookies()
    visitor.go("/admin/")
    page.get_by_role("button", name="Sign in with a passkey").click()
    page.wait_for_selector("#dashboard")
    # After the password it is asked for as well.
    visitor.context.clear_cookies()
    visitor.go("/account/login/")
    page.fill("#id_login", "ada")
    page.fill("#id_password", PASSWORD)
    page.click("#login-form button[type=submit]")
    page.get_by_role("button", name="Use a passkey").click()
    page.wait_for_selector("#dashboard")


def test_a_browser_without_a_passkey_is_told_in_words(visit, admin):
    visitor = visit()
    virtual_authenticator(visitor)
    visitor.go("/account/login/")
    visitor.page.get_by_role("button", name="Sign in with a passkey").click()
    visitor.page.get_by_text("The browser gave no passkey").wait_for()


@pytest.mark.parametrize("language", ["en-GB", "de-DE"])
def test_an_authenticator_app_is_required_added_and_asked_for(visit, admin, settings, language):
    settings.REQUIRE_MFA = True
    visitor = visit(viewport=NARROW, locale=language)
    page = visitor.page
    visitor.go("/admin/")
    page.fill("#id_login", "ada")
    page.fill("#id_password", PASSWORD)
    page.click("#login-form button[type=submit]")
    page.wait_for_selector(".drc-notice.drc-warn")
    page.click("a[href='/account/factors/app/add/']")
    page.fill("#id_password", PASSWORD)
    page.locator(".drc-door .drc-button-primary").click()
    page.fill("#id_code", lasting_code(page.locator("#authenticator_secret").inner_text()))
    assert visitor.overflow() <= 0 and visitor.overlong() == []
    page.locator("#signin button[type=submit]").click()
    page.wait_for_selector("#recovery_codes")
    one = page.locator("#recovery_codes li").first.inner_text()
    visitor.go("/admin/")
    page.wait_for_selector("#dashboard")

    visitor.context.clear_cookies()
    visitor.go("/admin/")
    page.fill("#id_login", "ada")
    page.fill("#id_password", PASSWORD)
    page.click("#login-form button[type=submit]")
    page.fill("#id_code", one)
    assert visitor.overflow() <= 0 and visitor.overlong() == []
    page.locator("#id_code").press("Enter")
    page.wait_for_selector("#dashboard")
