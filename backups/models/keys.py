"""The public halves of recovery identities. The identities themselves are never here."""

from django.core.exceptions import ValidationError
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


def is_recipient(value: str) -> None:
    """Raises ValidationError for anything but an age X25519 recipient."""
    import pyrage

    try:
        pyrage.x25519.Recipient.from_str(value)
    except pyrage.RecipientError as error:
        raise ValidationError(_("This is not an age recipient (age1…).")) from error


class RecoveryKey(models.Model):
    """An age recipient that sets are encrypted to. Who holds its identity can read them."""

    name = models.CharField(_("name"), max_length=120, unique=True)
    recipient = models.CharField(_("recipient"), max_length=100, unique=True, validators=[is_recipient])
    # A drill identity lies on a machine that proves old sets by itself; a recovery identity lies in a safe.
    for_drills = models.BooleanField(_("for drills"), default=False)
    active = models.BooleanField(_("new sets are encrypted to it"), default=True)
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)
    held_at = models.DateTimeField(
        _("shown to be held"), null=True, blank=True, editable=False,
        help_text=_("When somebody last proved to hold the identity: manage.py recovery-kit --check."),
    )  # fmt: skip

    class Meta:
        verbose_name = _("recovery key")
        verbose_name_plural = _("recovery keys")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name
