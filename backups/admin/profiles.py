"""Profiles: the built-in ones are read, one's own are put together of tiers."""

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import display
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from backups.models import Profile, Tier
from drcenter.panel.pages import PanelAdmin


class ProfileForm(forms.ModelForm):  # type: ignore[type-arg]
    tiers = forms.MultipleChoiceField(
        label=gettext_lazy("tiers"), choices=Tier.choices, widget=UnfoldAdminCheckboxSelectMultipleWidget
    )

    class Meta:
        model = Profile
        fields = ("slug", "name", "tiers")


@admin.register(Profile)
class ProfileAdmin(PanelAdmin):
    form = ProfileForm
    list_display = ("__str__", "slug", "tier_names", "used_by", "built_in")
    search_fields = ("slug", "name")
    empty_hint = gettext_lazy("A profile is a choice of tiers that plans can take.")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        # Where nobody may choose, words instead of what the row holds.
        readable = obj is not None and not self.has_change_permission(request, obj)
        return ("slug", "name", "tier_names") if readable else ("slug", "name", "tiers")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("tier_names",)

    @display(description=gettext_lazy("tiers"))
    def tier_names(self, profile: Profile) -> str:
        return ", ".join(profile.tier_labels)

    @display(description=gettext_lazy("plans"))
    def used_by(self, profile: Profile) -> int:
        return profile.plans.count()

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return not (obj is not None and obj.built_in) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return not (obj is not None and obj.built_in) and super().has_delete_permission(request, obj)

    def obstacles(self, obj: Profile) -> list[str]:
        plans = ", ".join(map(str, obj.plans.select_related("system")))
        return [_("These plans have it: %(plans)s.") % {"plans": plans}] if plans else []

    def consequences(self, obj: Profile) -> list[str]:
        return [_("No plan has it: nothing else changes.")]
