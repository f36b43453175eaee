"""Tags and filters of the panel's templates."""

from collections.abc import Sequence
from typing import Any

from django import template
from django.template.loader import render_to_string
from django.utils.html import conditional_escape, format_html
from django.utils.safestring import SafeString, mark_safe

from drcenter.panel import words
from drcenter.panel.badge import badge
from drcenter.panel.look import Button, Link, Table, Verdict
from drcenter.stored import shown

register = template.Library()
register.filter("size", words.size)
register.filter("duration", words.duration)
register.filter("about", words.about)
register.filter("ago", words.ago)
register.filter("when", words.when)
register.filter("shown", shown)


@register.simple_tag(takes_context=True)
def cell(context: template.Context, value: Any) -> SafeString:
    """A value of a fact or a table: what it is decides how it is shown. Text is escaped."""
    if value is None or value == "":
        return SafeString(words.NOTHING)
    if isinstance(value, Verdict):
        return badge(value)
    if isinstance(value, Link):
        return format_html('<a class="drc-link" href="{}">{}</a>', value.href, value.text)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return _many(context, value)
    return SafeString(conditional_escape(value))


def _many(context: template.Context, values: Sequence[Any]) -> SafeString:
    if values and all(isinstance(value, Button) for value in values):
        return SafeString(
            render_to_string(
                "panel/buttons.html",
                {"buttons": values, "small": True, "csrf_token": context.get("csrf_token")},
            )
        )
    # Each piece was escaped by `cell`.
    return mark_safe(" ".join(cell(context, value) for value in values))  # noqa: S308


@register.filter
def last(values: Any, count: int) -> list[Any]:
    """The last `count` of a queryset in its order, without reading the rest."""
    return list(reversed(values.order_by("-pk")[:count]))


@register.filter
def labelled(table: Table, row: Sequence[Any]) -> list[tuple[str, Any]]:
    """Each cell with the name of its column: on a telephone, a row stands as a list of both."""
    return list(zip(table.columns, row, strict=False))
