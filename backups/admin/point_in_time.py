"""A database as of a point in time: the time line, a moment on it, the plan, and the start."""

from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from backups.admin.identity import IdentityField
from backups.models import Recovery, Source
from backups.replay import bases, moments, rewind, timeline, words
from backups.replay.plan import Plan
from backups.replay.point import Point, read_position
from drcenter import permissions
from drcenter.errors import OperationFailed
from drcenter.panel.acts import ActPage
from drcenter.panel.look import Button, Fact, Notice, Tone
from drcenter.panel.pages import address
from drcenter.panel.widgets import PanelForm
from drcenter.permissions import may
from drcenter.systems.models import System

SPANS = {"1h": timedelta(hours=1), "6h": timedelta(hours=6), "1d": timedelta(days=1), "7d": timedelta(days=7),
         "30d": timedelta(days=30)}  # fmt: skip
KEEP = [(15, gettext_lazy("15 minutes")), (60, gettext_lazy("1 hour")), (240, gettext_lazy("4 hours"))]


class RewindForm(PanelForm):
    keep_minutes = forms.TypedChoiceField(
        label=gettext_lazy("Keep the scratch server for a look"), choices=KEEP, coerce=int, initial=60,
        help_text=gettext_lazy("It takes up one of the workers meanwhile. It can be ended, or kept as a set, at any time."),
    )  # fmt: skip
    identity = IdentityField()

    def __init__(self, *args: Any, encrypted: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not encrypted:
            del self.fields["identity"]


class PointInTime(ActPage):
    """GET chooses and shows, POST starts what is shown: the choice stands in the address."""

    permission = permissions.RESTORE_BESIDE
    action = "backups.rewind"
    form_class = RewindForm
    template = "panel/point_in_time.html"
    row: System

    def title(self) -> str:
        return _("Point in time: %(system)s") % {"system": self.row}

    def submit_label(self) -> str:
        return _("Bring it back into a scratch server")

    # ------------------------------------------------------------------ what was chosen

    @cached_property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.row.time_zone)

    @cached_property
    def now(self) -> datetime:
        return timezone.now()

    @cached_property
    def sources(self) -> list[Source]:
        return [one for one in self.row.sources.order_by("name") if bases.replayable(one)]

    @cached_property
    def source(self) -> Source | None:
        wanted = self.request.GET.get("source", "")
        return next((one for one in self.sources if str(one.pk) == wanted), next(iter(self.sources), None))

    @cached_property
    def known(self) -> bases.Known | None:
        return bases.of(self.source) if self.source is not None else None

    @cached_property
    def chosen(self) -> tuple[Point | None, OperationFailed | None]:
        """What stands in the address, or why it cannot be read."""
        at, position = (self.request.GET.get(name, "").strip() for name in ("at", "position"))
        if self.source is None or not (at or position):
            return None, None
        try:
            if position:
                return Point(self.source.pk, position=str(read_position(position)), words=position), None
            moment = moments.read(at, self.zone, self.now)
        except ValueError:
            return None, OperationFailed(_("A position is written like binlog.000012:4711."), permanent=True)
        except OperationFailed as error:
            return None, error
        return Point(self.source.pk, moment=moment.isoformat(), words=words.told(moment, self.zone)), None

    @cached_property
    def plan(self) -> tuple[Plan | None, OperationFailed | None]:
        point, error = self.chosen
        if point is None or self.known is None:
            return None, error
        try:
            return rewind.plan_for(self.known, point), None
        except OperationFailed as refused:
            return None, refused

    # ------------------------------------------------------------------ the page

    def form_arguments(self) -> dict[str, Any]:
        plan, _error = self.plan
        encrypted = plan is not None and self.known is not None and (
            plan.encrypted or self.known.based_on(plan)[0].encrypted
        )  # fmt: skip
        return {"encrypted": encrypted}

    def steps(self) -> list[str]:
        plan, _error = self.plan
        if plan is None or self.known is None:
            return []
        return [
            *words.sentences(plan, self.known.based_on(plan)[0], self.zone),
            _(
                "Count the rows of every table, and keep the scratch server for a look. Production is not touched."
            ),
        ]

    def notices(self) -> list[Notice]:
        if self.source is None:
            text = _("No source of this system has a log that could be replayed.")
            return [Notice(text, _("Databases of MariaDB and PostgreSQL have one."), Tone.WARN)]
        _plan, error = self.plan
        found = [Notice(error.message, error.hint)] if error is not None else []
        if self.known is not None and self.known.stream is None and error is None:
            hint = _(
                "Start a log stream for it. Without one, only the moments of its sets can be restored: recover full."
            )
            found.append(
                Notice(_("The log of %(source)s is not archived.") % {"source": self.source}, hint, Tone.WARN)
            )
        return found

    def facts(self) -> list[Fact]:
        if self.known is None:
            return []
        first, last = bases.earliest_reachable(self.known), bases.newest_reachable(self.known)
        return [
            Fact(_("source"), str(self.source)),
            Fact(_("time zone"), self.row.time_zone),
            Fact(_("reachable from"), words.told(first, self.zone) if first else _("nothing yet")),
            Fact(_("reachable up to"), words.told(last, self.zone) if last else _("nothing yet")),
        ]

    def context(self, form: Any) -> dict[str, Any]:
        plan, _error = self.plan
        return {
            **super().context(form), "line": self._line(), "spans": self._spans(), "sources": self.sources,
            "source": self.source, "plan": plan, "at": self.request.GET.get("at", ""),
            "position": self.request.GET.get("position", ""), "span": self._span(),
        }  # fmt: skip

    def _span(self) -> str:
        span = self.request.GET.get("span", "")
        return span if span in SPANS else "1d"

    def _window(self) -> timeline.Window:
        try:
            end = datetime.fromisoformat(self.request.GET.get("end", ""))
        except ValueError:
            end = self.now
        return timeline.window(self.now, SPANS[self._span()], end if end.tzinfo else self.now)

    def _line(self) -> dict[str, Any] | None:
        if self.known is None:
            return None
        window, (point, _error) = self._window(), self.chosen
        sets = [
            (base.taken, f"{self.known.sets[base.name][0]}, {words.told(base.taken, self.zone)}")
            for base in self.known.bases
        ]
        moment = datetime.fromisoformat(point.moment) if point and point.moment else None
        drawn = timeline.draw(
            window, self.known.ways() if self.known.stream else [], sets, self._recoveries(window), moment
        )
        return {
            "drawn": drawn, "begin": words.told(window.begin, self.zone), "end": words.told(window.end, self.zone),
            "slices": [(bar, self._at(bar.at), words.told(bar.at, self.zone)) for bar in drawn.slices],
            "sets": [(bar, self._at(bar.at)) for bar in drawn.sets],
        }  # fmt: skip

    def _recoveries(self, window: timeline.Window) -> list[tuple[datetime, str]]:
        rows = Recovery.objects.filter(
            copy__set__system=self.row, finished_at__range=(window.begin, window.end)
        )
        return [
            (row.finished_at, f"{row.get_mode_display()}: {row.state_shown}")
            for row in rows.order_by("finished_at").select_related("copy__set__system")
            if row.finished_at
        ]

    def _query(self, **changes: str) -> str:
        given = {
            name: self.request.GET[name]
            for name in ("source", "span", "end", "at")
            if self.request.GET.get(name)
        }
        return "?" + urlencode({name: value for name, value in (given | changes).items() if value})

    def _at(self, moment: datetime | None) -> str:
        return self._query(at=words.told(moment, self.zone))

    def _spans(self) -> list[dict[str, Any]]:
        names = {
            "1h": _("1 hour"),
            "6h": _("6 hours"),
            "1d": _("1 day"),
            "7d": _("7 days"),
            "30d": _("30 days"),
        }
        window, span = self._window(), SPANS[self._span()]
        tabs = [
            {"label": names[name], "href": self._query(span=name), "current": name == self._span()}
            for name in SPANS
        ]
        before = self._query(end=(window.end - span / 2).isoformat())
        after = self._query(end=(window.end + span / 2).isoformat())
        return [{"label": _("earlier"), "href": before}, *tabs, {"label": _("later"), "href": after}]

    def post(self, request: HttpRequest, pk: int) -> HttpResponse:
        plan, _error = self.plan
        return super().post(request, pk) if plan is not None else self.get(request, pk)

    def perform(self, form: Any) -> str:
        point, _error = self.chosen
        if point is None or self.source is None:
            raise OperationFailed(_("Choose a moment first."), permanent=True)
        point.keep_minutes = form.cleaned_data["keep_minutes"]
        row = rewind.request(
            self.source, point, requested_by=self.actor, identity=form.cleaned_data.get("identity")
        )
        messages.success(self.request, _("It was requested; the page shows how far it is."))
        return address(row)


def button(request: HttpRequest, system: System) -> list[Button]:
    if not may(request, PointInTime.permission):
        return []
    return [Button(_("Point in time"), address(system, "point_in_time"), "history")]
