"""Whom to tell about what, and whether it arrived."""

from django.core.exceptions import ValidationError
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from drcenter.secrets import is_reference


def reference_only(value: str) -> None:
    """Raises ValidationError for a value in place of a reference: channel addresses hold passwords."""
    if not is_reference(value):
        raise ValidationError(_("Write env:NAME or file:/path; the value itself is not stored here."))


class Event(models.TextChoices):
    """What a channel can be told."""

    SUCCESS = "success", _("success")
    WARNING = "warning", _("warning")
    FAILURE = "failure", _("failure")
    # The all-clear: for those who heard of the failure.
    RECOVERED = "recovered", _("good again")
    # Somebody has gone around a guard: every channel hears of it, whatever it wants otherwise.
    ALARM = "alarm", _("alarm")
    # Somebody is asked to act: approve, review.
    REQUEST = "request", _("request")


class Channel(models.Model):
    """One address of Apprise (Slack, e-mail, SMS and a hundred more), as a reference to its URL."""

    name = models.CharField(_("name"), max_length=120, unique=True)
    url = models.CharField(
        _("address"), max_length=300, validators=[reference_only],
        help_text=_("A reference (env:NAME or file:/path) to an Apprise URL such as slack://… or mailtos://…."),
    )  # fmt: skip
    on_success = models.BooleanField(_("on success"), default=False)
    on_failure = models.BooleanField(_("on failure and warning"), default=True)
    enabled = models.BooleanField(_("enabled"), default=True)
    language = models.CharField(
        _("language"), max_length=5, default="en", choices=[("en", _("English")), ("de", _("German"))]
    )

    class Meta:
        verbose_name = _("channel")
        verbose_name_plural = _("channels")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def wants(self, event: str) -> bool:
        if event == Event.ALARM:
            return self.enabled
        return self.enabled and (self.on_success if event == Event.SUCCESS else self.on_failure)


class Delivery(models.Model):
    """One message to one channel, tried until it arrives or is given up."""

    class State(models.TextChoices):
        WAITING = "waiting", _("waiting")
        SENT = "sent", _("sent")
        FAILED = "failed", _("given up")

    channel = models.ForeignKey(Channel, models.CASCADE, related_name="deliveries", verbose_name=_("channel"))
    event = models.CharField(_("event"), max_length=10, choices=Event.choices)
    title = models.CharField(_("title"), max_length=200)
    body = models.TextField(_("text"), blank=True)
    state = models.CharField(_("state"), max_length=10, choices=State.choices, default=State.WAITING)
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0)
    next_try_at = models.DateTimeField(_("next try at"), default=timezone.now)
    error = models.TextField(_("error"), blank=True)
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    sent_at = models.DateTimeField(_("sent at"), null=True, blank=True)

    class Meta:
        verbose_name = _("delivery")
        verbose_name_plural = _("deliveries")
        ordering = ["-id"]
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.title} → {self.channel}"
