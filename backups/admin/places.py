"""Where sources and destinations are, in one line, whatever is wrong with their options."""

from django.utils.translation import gettext as _

from backups.models import Destination, Source
from drcenter.errors import OperationFailed
from drcenter.stored import shown


def source_target(source: Source) -> str:
    try:
        return shown(source.build().target)
    except (OperationFailed, KeyError):
        return _("unknown: its options are not complete")


def source_host(source: Source) -> str:
    """The host to be typed; empty when it cannot be told, and then nothing can be overwritten."""
    try:
        return source.build().host
    except (OperationFailed, KeyError):
        return ""


def destination_target(destination: Destination) -> str:
    try:
        return shown(destination.build().target)
    except (OperationFailed, KeyError):
        return _("unknown: its options are not complete")
