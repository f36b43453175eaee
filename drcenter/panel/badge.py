"""A verdict as a small label, for a cell of a list or a table."""

from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst

from drcenter.panel.look import Verdict

LABEL = '<span class="drc-badge drc-{}"><span class="material-symbols-outlined" aria-hidden="true">{}</span>{}</span>'


def badge(verdict: Verdict) -> SafeString:
    """Its icon and its word, in its tone."""
    return format_html(LABEL, verdict.tone, verdict.icon, capfirst(verdict.word))
