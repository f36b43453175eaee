"""Whom to tell, and what was told."""

from dataclasses import replace
from typing import Any

from django.contrib import admin, messages
from django.db import transaction
from django.http import HttpRequest
from django.urls import URLPattern, path
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import display

from drcenter import permissions
from drcenter.audit.models import Result
from drcenter.audit.record import record as audit
from drcenter.errors import OperationFailed
from drcenter.notify.deliver import test_channel
from drcenter.notify.models import Channel, Delivery
from drcenter.panel import words
from drcenter.panel.acts import ActPage
from drcenter.panel.badge import badge
from drcenter.panel.look import Button, Fact, Notice, Record, Tone, Verdict
from drcenter.panel.pages import PanelAdmin, RecordAdmin, address

LOOKS = {
    Delivery.State.WAITING: (Tone.IDLE, "schedule_send"),
    Delivery.State.SENT: (Tone.GOOD, "mark_email_read"),
    Delivery.State.FAILED: (Tone.BAD, "unsubscribe"),
}


def delivery_verdict(delivery: Delivery) -> Verdict:
    tone, icon = LOOKS[Delivery.State(delivery.state)]
    return Verdict(delivery.get_state_display(), tone, icon, delivery.title)


class SendTest(ActPage):
    """Sends a message through the channel, so that one knows before the bad night that it arrives."""

    permission = "notify.change_channel"
    action = "notify.test"
    asks = False

    def perform(self, form: Any) -> str:
        result, fault = Result.DONE, None
        try:
            test_channel(self.row)
        except OperationFailed as error:
            result, fault = Result.FAILED, error
        with transaction.atomic():
            audit(self.actor, self.action, self.row, result=result, message=str(fault or ""))
        if fault is not None:
            raise fault
        messages.success(self.request, _("The channel took the message: look whether it has arrived."))
        return address(self.row)


@admin.register(Channel)
class ChannelAdmin(PanelAdmin):
    list_display = ("name", "enabled", "on_failure", "on_success", "language")
    search_fields = ("name",)
    empty_hint = gettext_lazy(
        "Add a channel: a failed backup that nobody hears of is found when it is needed."
    )

    def record(self, request: HttpRequest, obj: Channel) -> Record:
        last = obj.deliveries.first()
        verdict = Verdict(_("Nothing sent yet"), Tone.IDLE, "notifications")
        if last is not None:
            verdict = replace(delivery_verdict(last), sentence=f"{last.title} ({words.ago(last.created_at)})")
        if not obj.enabled:
            verdict = Verdict(_("Switched off"), Tone.WARN, "notifications_off")
        may = permissions.may(request, SendTest.permission)
        test = Button(_("Send a test message"), address(obj, "test"), "send", post=True)
        return Record(verdict=verdict, buttons=[test] if may else [])

    def get_urls(self) -> list[URLPattern]:
        page = self.admin_site.admin_view(SendTest.as_view(model_admin=self))
        return [path("<int:pk>/test/", page, name="notify_channel_test"), *super().get_urls()]


@admin.register(Delivery)
class DeliveryAdmin(RecordAdmin):
    list_display = ("title", "channel", "verdict", "attempts", "created_at")
    list_filter = ("state", "event", "channel")
    search_fields = ("title", "body", "error")
    list_select_related = ("channel",)
    empty_hint = gettext_lazy("No message was sent yet. Channels say who is told about what.")

    @display(description=gettext_lazy("state"), ordering="state")
    def verdict(self, delivery: Delivery) -> str:
        return badge(delivery_verdict(delivery))

    def record(self, request: HttpRequest, obj: Delivery) -> Record:
        waiting = obj.state == Delivery.State.WAITING
        facts = [
            Fact(_("channel"), str(obj.channel)),
            Fact(_("event"), obj.get_event_display()),
            Fact(_("attempts"), obj.attempts),
            Fact(_("created at"), words.when(obj.created_at)),
            Fact(_("sent at"), words.when(obj.sent_at)),
            Fact(_("next try at"), words.when(obj.next_try_at) if waiting else None),
            Fact(_("text"), obj.body, code=True),
        ]
        return Record(
            verdict=delivery_verdict(obj),
            facts=facts,
            notices=[Notice(obj.error, tone=Tone.WARN if waiting else Tone.BAD)] if obj.error else [],
            live=waiting,
        )
