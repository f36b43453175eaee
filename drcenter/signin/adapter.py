"""Where django-allauth asks us: who may come in, from which address, with which words."""

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from drcenter.signin import trail
from drcenter.signin.sealing import opened, sealed

# What is said on the next page, by allauth's template of the message; any other is left out.
TOLD = {
    "mfa/messages/totp_activated.txt": gettext_lazy("The authenticator app was added."),
    "mfa/messages/totp_deactivated.txt": gettext_lazy("The authenticator app was removed."),
    "mfa/messages/webauthn_added.txt": gettext_lazy("The passkey was added."),
    "mfa/messages/webauthn_removed.txt": gettext_lazy("The passkey was removed."),
    "mfa/messages/recovery_codes_generated.txt": gettext_lazy("There are new recovery codes."),
}


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    """Nobody signs up here: users are made in the panel or with manage.py createsuperuser."""

    error_messages = {
        **DefaultAccountAdapter.error_messages,
        "username_password_mismatch": gettext_lazy("The name or the password is wrong."),
        "incorrect_password": gettext_lazy("The password is wrong."),
        "incorrect_code": gettext_lazy("This code is wrong, or was used already. Wait for the next one."),
        "too_many_login_attempts": gettext_lazy("Too many attempts that failed. Wait five minutes."),
        "rate_limited": gettext_lazy("Too many attempts. Wait five minutes."),
    }

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def get_client_ip(self, request: HttpRequest) -> str:
        return trail.address_of(request)

    def login(self, request: HttpRequest, user: User) -> None:
        super().login(request, user)
        trail.signed_in(request, user)

    def authentication_failed(self, request: HttpRequest, **credentials: Any) -> None:
        trail.failed(request, str(credentials.get("username", "")))

    def respond_user_inactive(self, request: HttpRequest, user: User) -> HttpResponse:
        trail.refused(request, user, "the account is switched off")
        response: HttpResponse = super().respond_user_inactive(request, user)
        return response

    def add_message(  # noqa: PLR0913, PLR0917 - allauth's signature
        self, request: HttpRequest, level: int, message_template: str | None = None,
        message_context: Any = None, extra_tags: str = "", message: str | None = None,
    ) -> None:  # fmt: skip
        text = message or TOLD.get(message_template or "")
        if text:
            super().add_message(request, level, extra_tags=extra_tags, message=str(text))


class FactorAdapter(DefaultMFAAdapter):  # type: ignore[misc]
    error_messages = {
        **DefaultMFAAdapter.error_messages,
        "incorrect_code": AccountAdapter.error_messages["incorrect_code"],
    }

    def get_totp_label(self, user: User) -> str:
        return user.get_username()

    def encrypt(self, text: str) -> str:
        return sealed(text)

    def decrypt(self, encrypted_text: str) -> str:
        return opened(encrypted_text)

    def generate_authenticator_name(self, user: User, type: Authenticator.Type) -> str:
        count = Authenticator.objects.filter(user=user, type=type).count()
        return _("Passkey") if not count else _("Passkey %(number)d") % {"number": count + 1}
