"""The options that object stores have in common."""

from urllib.parse import urlsplit

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from backups.destinations._keys import checked
from drcenter.errors import OperationFailed

LOCK_DAYS = forms.IntegerField(
    label=_("Lock for days"),
    required=False,
    min_value=0,
    max_value=36_500,
    help_text=_("Each copy is locked once it was verified. Empty: nothing is locked."),
)


# As Google and Microsoft call it; S3 has two modes of its own.
LOCK_MODE = forms.ChoiceField(
    label=_("Lock"),
    initial="Locked",
    choices=[
        ("Locked", _("nobody can end it early")),
        ("Unlocked", _("those with a special right can end it early")),
    ],
)


class StoreOptions(forms.Form):
    # Django takes declared fields off the class, so this does not hide the form's own attribute.
    prefix = forms.CharField(  # type: ignore[assignment]
        label=_("Prefix"),
        required=False,
        help_text=_("The directory within the bucket; empty for the whole."),
    )
    endpoint_url = forms.CharField(
        label=_("Endpoint"),
        required=False,
        help_text=_("https://host of the store; empty for the provider's own."),
    )
    part_size = forms.IntegerField(
        label=_("Part size in MiB"),
        required=False,
        min_value=16,
        max_value=4000,
        help_text=_("Empty: chosen from the estimate, 16 at least. Two parts are in memory at a time."),
    )

    def clean_prefix(self) -> str:
        prefix: str = self.cleaned_data["prefix"].strip("/")
        try:
            return checked(prefix) if prefix else ""
        except OperationFailed as error:
            raise ValidationError(error.message) from None

    def clean_endpoint_url(self) -> str:
        text: str = self.cleaned_data["endpoint_url"].rstrip("/")
        parts = urlsplit(text)
        if text and (parts.scheme not in ("http", "https") or not parts.hostname):
            raise ValidationError(_("Write http:// or https:// and the host of the store."))
        if "@" in parts.netloc or parts.query:
            raise ValidationError(_("Credentials do not belong into the URL."))
        return text
