"""Log streams: how far each is behind, where it is safe until, its gaps; switching one on and off."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import URLPattern, path
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from unfold.decorators import display

from backups.admin.places import source_target
from backups.logs import switch, watch
from backups.models import LogPlace, LogStream, Plan, Source
from drcenter import permissions
from drcenter.errors import OperationFailed
from drcenter.panel import words
from drcenter.panel.acts import ActPage
from drcenter.panel.badge import badge
from drcenter.panel.look import Button, Fact, Link, Notice, Record, Table, Tone, Verdict
from drcenter.panel.pages import RecordAdmin, address
from drcenter.panel.widgets import PanelForm
from drcenter.stored import shown
from drcenter.systems.models import System

SHOWN = 20


def stream_verdict(stream: LogStream) -> Verdict:
    """As it is now, whatever its row said last."""
    fault = watch.fault(stream)
    if not stream.enabled:
        return Verdict(_("switched off"), Tone.IDLE, "pause_circle", _("Nothing of its log is archived."))
    if fault == watch.STOPPED:
        return Verdict(
            _("stopped"), Tone.BAD, "error", _("No archiver is heard of: is manage.py run running?")
        )
    if fault == watch.BROKEN:
        return Verdict(
            _("broken"), Tone.BAD, "link_off", _("It is tried again and again; the reason is below.")
        )
    if fault == watch.BEHIND:
        return Verdict(
            _("behind"), Tone.BAD, "schedule",
            _("More than the promised %(seconds)d s are on the server alone.") % {"seconds": stream.promise},
        )  # fmt: skip
    if stream.stored_until is None or not stream.alive:
        return Verdict(_("begins"), Tone.BUSY, "progress_activity", _("It was switched on a moment ago."))
    return Verdict(_("in time"), Tone.GOOD, "check_circle", _("Any moment since its base can be reached."))


def lag(stream: LogStream) -> str:
    """What would be lost now."""
    return words.NOTHING if stream.lag_seconds is None else words.duration(stream.lag_seconds)


def streams_tables(system: System) -> list[Table]:
    """For the page of a system; nothing where it has none."""
    streams = LogStream.objects.filter(source__system=system).select_related("source__system")
    rows = [
        [
            Link(one.source.name, address(one)),
            stream_verdict(one),
            lag(one),
            words.when_and_ago(one.stored_until),
        ]
        for one in streams
    ]
    columns = [_("log stream"), _("standing"), _("would be lost now"), _("safe until")]
    return [Table(_("log streams"), columns, rows)] if rows else []


def stream_button(request: HttpRequest, source: Source) -> list[Button]:
    """On a source: to its stream, or to the page that begins one, where its engine knows a log."""
    stream = LogStream.objects.filter(source=source).first()
    if stream is not None:
        return [Button(_("Log stream"), address(stream), "stream")]
    try:
        logs = source.build().logs("panel")
    except (OperationFailed, KeyError):
        return []
    if logs is None or not permissions.may(request, permissions.RUN_STREAM):
        return []
    return [Button(_("Archive its log"), address(source, "stream"), "stream")]


class StreamForm(PanelForm):
    plan = forms.ModelChoiceField(
        label=gettext_lazy("Plan"), queryset=Plan.objects.none(), empty_label=None,
        help_text=gettext_lazy("The log goes to its destinations, and its sets are the bases to replay it onto."),
    )  # fmt: skip
    interval = forms.IntegerField(
        label=gettext_lazy("Stored every seconds"), initial=5, min_value=1, max_value=3600,
        help_text=gettext_lazy("Each time at most two small objects at each destination."),
    )  # fmt: skip
    promise = forms.IntegerField(
        label=gettext_lazy("Promised seconds"), initial=10, min_value=2, max_value=7200,
        help_text=gettext_lazy("An alert goes out when more than that could be lost."),
    )  # fmt: skip

    def __init__(self, *args: Any, row: Source, stream: LogStream | None = None, **kwargs: Any) -> None:
        if stream is not None:
            kwargs["initial"] = {
                "plan": stream.plan_id,
                "interval": stream.interval,
                "promise": stream.promise,
            }
        super().__init__(*args, **kwargs)
        plans = [plan.pk for plan in row.taken_by() if not plan.tables]
        self.fields["plan"].queryset = Plan.objects.filter(pk__in=plans)  # type: ignore[attr-defined]
        self.dress()

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if data.get("promise", 0) <= data.get("interval", 0):
            self.add_error("promise", _("It has to be longer than the time between two segments."))
        return data


class SwitchOn(ActPage):
    """On a source, or on its stream that was switched off."""

    permission = permissions.RUN_STREAM
    action = "backups.logs.switched_on"
    form_class = StreamForm

    @property
    def source(self) -> Source:
        return self.row.source if isinstance(self.row, LogStream) else self.row

    def title(self) -> str:
        return _("Archive the log: %(source)s") % {"source": self.source}

    def submit_label(self) -> str:
        return _("Switch on")

    def form_arguments(self) -> dict[str, Any]:
        return {"row": self.source, "stream": self.row if isinstance(self.row, LogStream) else None}

    def facts(self) -> list[Fact]:
        return [Fact(_("where"), source_target(self.source), code=True)]

    def steps(self) -> list[str]:
        return [
            _("Receive the server's log as a replica does; the server is not changed."),
            _("Store what has grown every few seconds, encrypted, at all destinations of the plan."),
            _("Take a set, where none fits: a replay of the log begins with one."),
        ]

    def notices(self) -> list[Notice]:
        try:
            found = switch.preflight(self.source)
        except OperationFailed as error:
            return [Notice(error.message, error.hint)]
        return [Notice(one.message, one.hint, Tone.BAD if one.caps else Tone.WARN) for one in found]

    def perform(self, form: Any) -> str:
        data = form.cleaned_data
        stream = switch.switch_on(
            self.source,
            data["plan"],
            requested_by=self.actor,
            interval=data["interval"],
            promise=data["promise"],
        )
        messages.success(self.request, _("The log is archived from now on."))
        return address(stream)


class SwitchOff(ActPage):
    permission = permissions.RUN_STREAM
    action = "backups.logs.switched_off"
    dangerous = True
    row: LogStream

    def title(self) -> str:
        return _("Stop archiving the log: %(source)s") % {"source": self.row}

    def submit_label(self) -> str:
        return _("Switch off")

    def facts(self) -> list[Fact]:
        return [Fact(_("where"), source_target(self.row.source), code=True)]

    def steps(self) -> list[str]:
        return [
            _("What is archived stays. From now on only the moments of sets can be brought back."),
            _("What the server keeps for the archive alone (a replication slot) is let go."),
            _("Switched on again soon, it goes on where it was, as long as the server still has its log."),
        ]

    def perform(self, form: Any) -> str:
        switch.switch_off(self.row, requested_by=self.actor)
        messages.success(self.request, _("The log is archived no longer."))
        return address(self.row)


@admin.register(LogStream)
class LogStreamAdmin(RecordAdmin):
    list_display = ("__str__", "standing", "lost_now", "stored_until", "plan")
    list_filter = ("source__system", "enabled")
    list_select_related = ("source__system", "plan__system")
    empty_hint = gettext_lazy("The page of a database's source has the button that begins one.")

    def get_queryset(self, request: HttpRequest) -> QuerySet[LogStream]:
        rows: QuerySet[LogStream] = super().get_queryset(request)
        return rows.select_related("source__system", "plan__system")

    @display(description=gettext_lazy("standing"))
    def standing(self, stream: LogStream) -> str:
        return badge(stream_verdict(stream))

    @display(description=gettext_lazy("would be lost now"))
    def lost_now(self, stream: LogStream) -> str:
        return lag(stream)

    def zone(self, obj: LogStream) -> str:
        return obj.source.system.time_zone

    def get_urls(self) -> list[URLPattern]:
        pages = (("on", SwitchOn), ("off", SwitchOff))
        own = [
            path(
                f"<int:pk>/{name}/",
                self.admin_site.admin_view(page.as_view(model_admin=self)),
                name=f"backups_logstream_{name}",
            )
            for name, page in pages
        ]
        return [*own, *super().get_urls()]

    def record(self, request: HttpRequest, obj: LogStream) -> Record:
        message = [Notice(shown(obj.message), shown(obj.hint), Tone.WARN)] if obj.message else []
        return Record(
            stream_verdict(obj),
            facts=_facts(obj),
            notices=[*message, *_base(obj)],
            buttons=_buttons(request, obj),
            tables=[_places(obj), _gaps(obj)],
            live=obj.enabled,
        )


def _facts(stream: LogStream) -> list[Fact]:
    newest = stream.newest()
    return [
        Fact(_("source"), Link(str(stream.source), address(stream.source))),
        Fact(_("plan"), Link(str(stream.plan), address(stream.plan))),
        Fact(_("would be lost now"), lag(stream)),
        Fact(_("safe until"), words.when_and_ago(stream.stored_until)),
        Fact(_("stored to"), f"{newest.log}:{newest.end}" if newest else words.NOTHING),
        Fact(
            _("the server is at"),
            f"{stream.server_log}:{stream.server_offset}" if stream.server_log else words.NOTHING,
        ),
        Fact(_("stored every"), words.duration(stream.interval)),
        Fact(_("promised"), words.duration(stream.promise)),
        Fact(_("number of the stream"), str(stream.pk)),
    ]


def _base(stream: LogStream) -> list[Notice]:
    if stream.base_wanted_at is None or not stream.enabled:
        return []
    return [
        Notice(
            _("A set that is newer than the beginning of the archived log is needed, and was asked for."),
            _("Until it is complete, no moment can be reached with this log."),
            Tone.WARN,
        )
    ]


def _buttons(request: HttpRequest, stream: LogStream) -> list[Button]:
    if not permissions.may(request, permissions.RUN_STREAM):
        return []
    if stream.enabled:
        return [Button(_("Switch off"), address(stream, "off"), "pause_circle")]
    return [Button(_("Switch on"), address(stream, "on"), "play_circle")]


def _places(stream: LogStream) -> Table:
    newest = stream.newest()
    last = newest.last if newest else 0
    rows = [
        [Link(one.destination.name, address(one.destination)), _behind(one, last), words.when_and_ago(one.stored_until), one.fault]
        for one in stream.places.select_related("destination")
    ]  # fmt: skip
    return Table(_("destinations"), [_("destination"), _("standing"), _("safe until"), _("message")], rows)


def _behind(place: LogPlace, last: int) -> Verdict:
    if place.fault:
        return Verdict(_("away"), Tone.BAD, "cloud_off")
    if (lacks := last - place.through) > 0:
        text = ngettext("lacks %(count)d segment", "lacks %(count)d segments", lacks) % {"count": lacks}
        return Verdict(text, Tone.BUSY, "progress_activity")
    return Verdict(_("complete"), Tone.GOOD, "check_circle")


def _gaps(stream: LogStream) -> Table:
    """Each new life of the server's log but the first: between it and the one before something is missing."""
    rows = [
        [words.when_and_ago(one.began_at), shown(one.reason)]
        for one in stream.incarnations.exclude(reason="").order_by("-pk")[:SHOWN]
    ]
    return Table(_("gaps"), [_("found"), _("reason")], rows, _("None: the archived log is whole."))
