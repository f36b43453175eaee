"""What people decide about a recovery into production: approve, refuse, go ahead alone, look at it afterwards."""

from typing import Any, cast

from django import forms
from django.contrib import messages
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from backups.admin.planned import about, described, lost_notice
from backups.models import Approval, Recovery
from backups.recovery import approval, break_glass
from drcenter import permissions
from drcenter.errors import OperationFailed
from drcenter.panel.acts import ActPage
from drcenter.panel.look import Fact, Notice, Tone
from drcenter.panel.pages import address
from drcenter.panel.widgets import PanelForm
from drcenter.signin import fresh


class RecoveryAct(ActPage):
    """A page about one recovery: what it would do, to what, and who asked."""

    row: Recovery

    @property
    def user(self) -> User:
        return cast(User, self.request.user)

    def facts(self) -> list[Fact]:
        return about(self.row)

    def steps(self) -> list[str]:
        return described(self.row)


class FreshAct(RecoveryAct):
    """A decision that counts as a person's own: whoever makes it has shown just now who they are."""

    def get(self, request: HttpRequest, pk: int) -> HttpResponse:
        return self._confirm() or super().get(request, pk)

    def post(self, request: HttpRequest, pk: int) -> HttpResponse:
        return self._confirm() or super().post(request, pk)

    def _confirm(self) -> HttpResponse | None:
        if fresh.is_fresh(self.request):
            return None
        return HttpResponseRedirect(fresh.page_to_confirm(self.request, self.request.get_full_path()))


class ApproveForm(PanelForm):
    """The digest that the page showed goes with the answer: what is approved is what was read."""

    digest = forms.CharField(widget=forms.HiddenInput, max_length=64)
    read = forms.BooleanField(
        label=gettext_lazy("I have read what will run, and on which host"),
        help_text=gettext_lazy(
            "Ask the person who wants it, on another way than this one, whether it was them."
        ),
    )


class Approve(FreshAct):
    permission = permissions.APPROVE_RECOVERY
    action = "recovery.approve"
    form_class = ApproveForm
    template = "panel/approve.html"
    dangerous = True

    def title(self) -> str:
        return _("Approve: %(recovery)s") % {"recovery": self.row}

    def submit_label(self) -> str:
        return _("Approve exactly this")

    def form_arguments(self) -> dict[str, Any]:
        return {"initial": {"digest": self.row.digest}}

    def notices(self) -> list[Notice]:
        if problem := approval.why_not(self.row, self.user):
            return [Notice(problem)]
        return lost_notice(self.row)

    def context(self, form: Any) -> dict[str, Any]:
        return {**super().context(form), "possible": not approval.why_not(self.row, self.user)}

    def perform(self, form: Any) -> str:
        approval.approve(self.row, user=self.user, seen=form.cleaned_data["digest"])
        messages.success(self.request, _("It is approved. Whoever restores can begin it now."))
        return address(self.row)


class TextForm(PanelForm):
    text = forms.CharField(widget=forms.Textarea(attrs={"rows": 3}), max_length=2000)

    def __init__(self, *args: Any, label: str, help_text: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["text"].label, self.fields["text"].help_text = label, help_text


class Refuse(RecoveryAct):
    """For an approver, and for the one who asked: the plan ends, or an approval is taken back."""

    permission = permissions.APPROVE_RECOVERY
    action = "recovery.refuse"
    form_class = TextForm

    def permitted(self, request: HttpRequest) -> bool:
        seen: bool = self.model_admin.has_view_or_change_permission(request, self.row)
        mine = approval.is_requester(self.row, self.user)
        return seen and (mine or permissions.may(request, self.permission))

    def title(self) -> str:
        return _("Refuse or withdraw: %(recovery)s") % {"recovery": self.row}

    def submit_label(self) -> str:
        return _("Refuse")

    def form_arguments(self) -> dict[str, Any]:
        return {"label": _("Why")}

    def steps(self) -> list[str]:
        return [_("Nothing of the plan runs. An approval that was given counts no more.")]

    def perform(self, form: Any) -> str:
        approval.refuse(self.row, user=self.user, why=form.cleaned_data["text"])
        messages.success(self.request, _("It was refused."))
        return address(self.row)


class BreakGlassForm(TextForm):
    typed = forms.CharField(
        max_length=250, widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"})
    )

    def __init__(self, *args: Any, words: str, **kwargs: Any) -> None:
        self.words = words
        super().__init__(*args, **kwargs)
        self.fields["typed"].label = _("Type the system and the host: %(words)s") % {"words": words}

    def clean_typed(self) -> str:
        typed: str = self.cleaned_data["typed"].strip()
        if typed != self.words:
            raise forms.ValidationError(_("Type exactly: %(words)s") % {"words": self.words})
        return typed


class BreakGlass(FreshAct):
    permission = permissions.BREAK_GLASS
    action = "recovery.break_glass"
    form_class = BreakGlassForm
    dangerous = True

    def title(self) -> str:
        return _("Break-glass: %(recovery)s") % {"recovery": self.row}

    def submit_label(self) -> str:
        return _("Go ahead without a second person")

    def form_arguments(self) -> dict[str, Any]:
        return {
            "label": _("What has happened, and why can nobody else be asked?"),
            "help_text": _("In a sentence: somebody else reads it afterwards, and all channels send it now."),
            "words": approval.to_type(self.row),
        }

    def notices(self) -> list[Notice]:
        if problem := approval.undecided(self.row):
            return [Notice(problem)]
        others = approval.approvers(self.row).count()
        alone = (
            _("Nobody else here may approve it: this is the only way.")
            if not others
            else _("A second person could approve it: ask first.")
        )
        return [
            Notice(
                alone,
                _("All channels are told at once, and another person has to review it within three days."),
            ),
            *lost_notice(self.row),
        ]

    def perform(self, form: Any) -> str:
        break_glass.break_glass(self.row, actor=self.actor, user=self.user, reason=form.cleaned_data["text"])
        messages.warning(self.request, _("It may begin now. All channels were told."))
        return address(self.row)


class Review(FreshAct):
    permission = permissions.APPROVE_RECOVERY
    action = "recovery.review"
    form_class = TextForm
    template = "panel/approve.html"

    def title(self) -> str:
        return _("Review the break-glass: %(recovery)s") % {"recovery": self.row}

    def submit_label(self) -> str:
        return _("I have reviewed it")

    @property
    def found(self) -> Approval | None:
        found: Approval | None = break_glass.unreviewed().filter(recovery=self.row).first()
        return found

    def _problem(self) -> str:
        found = self.found
        if found is None:
            return _("There is nothing to review.")
        return break_glass.why_not_review(found, self.user)

    def form_arguments(self) -> dict[str, Any]:
        return {
            "label": _("What you have found"),
            "help_text": _("Was it needed? Is what ran what was meant? What has to change?"),
        }

    def notices(self) -> list[Notice]:
        if problem := self._problem():
            return [Notice(problem)]
        found = self.found
        return [Notice(f"{found.by}: {found.reason}", tone=Tone.WARN)] if found is not None else []

    def context(self, form: Any) -> dict[str, Any]:
        return {**super().context(form), "possible": not self._problem()}

    def perform(self, form: Any) -> str:
        found = self.found
        if found is None:
            raise OperationFailed(_("There is nothing to review."), permanent=True)
        break_glass.review(found, user=self.user, text=form.cleaned_data["text"])
        messages.success(self.request, _("It was reviewed."))
        return address(self.row)
