"""allauth's forms of passkeys, which tell the trail when one does not fit."""

from typing import Any

from allauth.core import context
from allauth.mfa.webauthn import forms
from django.core.exceptions import ValidationError
from django.forms import CharField
from django.utils.translation import gettext_lazy as _

from drcenter.signin import trail


class Told:
    """Mixed into a form with a `credential` and a `user`."""

    def clean_credential(self) -> Any:
        try:
            return super().clean_credential()  # type: ignore[misc]
        except ValidationError:
            trail.factor_failed(context.request, self.user, "passkey")  # type: ignore[attr-defined]
            raise


class SecondFactor(Told, forms.AuthenticateWebAuthnForm):  # type: ignore[misc]
    pass


class Passkey(Told, forms.LoginWebAuthnForm):  # type: ignore[misc]
    pass


class Again(Told, forms.ReauthenticateWebAuthnForm):  # type: ignore[misc]
    pass


class AddPasskey(forms.AddWebAuthnForm):  # type: ignore[misc]
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["name"].label = _("Name")
        self.fields["name"].help_text = _("By which you know the device: “Phone”, “Key in the safe”.")
        self.fields["passwordless"].label = _("Sign in with it alone")
        self.fields["passwordless"].help_text = _(
            "Without name and password; the device then asks for its PIN, finger or face. "
            "Otherwise it is asked for after the password."
        )


class RenamePasskey(forms.EditWebAuthnForm):  # type: ignore[misc]
    name = CharField(label=_("Name"), max_length=100)
