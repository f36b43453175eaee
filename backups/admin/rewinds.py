"""A recovery into a scratch server, on its page: what was reached, how to look at it, and what to do with it."""

from datetime import datetime
from typing import Any

from django.contrib import messages
from django.http import HttpRequest
from django.utils.translation import gettext as _

from backups.models import Recovery, Set
from backups.replay import rewind
from backups.replay.point import Point
from drcenter import permissions
from drcenter.panel import words
from drcenter.panel.acts import ActPage
from drcenter.panel.look import Button, Fact, Link, Notice, Table, Tone
from drcenter.panel.pages import address
from drcenter.permissions import may


class _Wish(ActPage):
    permission = permissions.RESTORE_BESIDE
    asks = False
    wish: str
    row: Recovery

    def title(self) -> str:
        return str(self.row)

    def submit_label(self) -> str:
        return self.title()

    def perform(self, form: Any) -> str:
        rewind.wish(self.row, self.wish, requested_by=self.actor)
        messages.success(self.request, self.said())
        return address(self.row)

    def said(self) -> str:
        raise NotImplementedError


class EndLook(_Wish):
    action = "backups.rewind.end"
    wish = "end"

    def said(self) -> str:
        return _("The scratch server is being ended.")


class KeepAsSet(_Wish):
    action = "backups.rewind.store"
    wish = "store"

    def said(self) -> str:
        return _("Its state is being kept as a set: from that, restore beside or over production.")


def point_of(row: Recovery) -> Point | None:
    return Point.from_json(row.point) if row.point.get("source") else None


def buttons(request: HttpRequest, row: Recovery) -> list[Button]:
    point = point_of(row)
    kept = point is not None and point.until and not point.wish and row.state == Recovery.State.RUNNING
    if not kept or not may(request, permissions.RESTORE_BESIDE):
        return []
    return [
        Button(_("Keep as a set"), address(row, "keep_as_set"), "inventory_2", "primary", post=True),
        Button(_("End the scratch server"), address(row, "end_look"), "stop_circle", post=True),
    ]


def notices(row: Recovery) -> list[Notice]:
    point = point_of(row)
    if point is None:
        return []
    if point.until:
        until = words.when(datetime.fromisoformat(point.until))
        look = _("On the workers' machine, as their user or root: %(access)s") % {"access": point.access}
        return [Notice(_("The scratch server is there until %(until)s.") % {"until": until}, look, Tone.GOOD)]
    one = Set.objects.filter(pk=point.stored or 0).select_related("system").first()
    if one is None:
        return []
    text = _("Its state is the set %(set)s now.") % {"set": one}
    hint = _("From its page it is restored beside the original, or over production.")
    return [Notice(text, hint, Tone.GOOD, Link(str(one), address(one)))]


def facts(row: Recovery) -> list[Fact]:
    point = point_of(row)
    if point is None:
        return []
    surely, atmost = (datetime.fromisoformat(text) if text else None for text in (point.surely, point.atmost))
    return [
        Fact(_("wanted"), point.words or point.moment or point.position),
        Fact(_("surely in it: before"), words.when(surely)),
        Fact(_("surely not: after"), words.when(atmost)),
        Fact(_("replayed up to"), point.reached, code=True),
        Fact(_("transactions replayed"), point.transactions if point.reached else ""),
    ]


def tables(row: Recovery) -> list[Table]:
    point = point_of(row)
    if point is None or not point.rows:
        return []
    return [
        Table(
            _("rows in the scratch server"),
            [_("table"), _("rows")],
            [list(one) for one in point.rows.items()],
        )
    ]
