"""What promoting a standby of either database asks for."""

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from drcenter.errors import OperationFailed
from drcenter.options import SecretField

# Seconds to connect.
PATIENCE = 10


class StandbyOptions(forms.Form):
    host = forms.CharField(label=gettext_lazy("host of the standby"))
    port = forms.IntegerField(label=gettext_lazy("port"), min_value=1, max_value=65_535)
    user = forms.CharField(label=gettext_lazy("user"))
    password = SecretField(label=gettext_lazy("password"))
    old_host = forms.CharField(
        label=gettext_lazy("host of the old primary"), required=False,
        help_text=gettext_lazy(
            "While it still answers the standby is not promoted: two primaries that both take writes cannot be put"
            " together again."
        ),
    )  # fmt: skip
    old_port = forms.IntegerField(
        label=gettext_lazy("port of the old primary"), required=False, min_value=1, max_value=65_535
    )
    most_lag = forms.IntegerField(
        label=gettext_lazy("largest lag in seconds"), initial=60, min_value=0,
        help_text=gettext_lazy("A standby that is further behind is not promoted: what it lacks would be lost."),
    )  # fmt: skip


def refuse_two_primaries(options: dict[str, object]) -> None:
    """Raises OperationFailed while something listens where the old primary was: it has to be fenced off first."""
    import socket

    host, port = options["old_host"], options["old_port"] or options["port"]
    if not host:
        return
    try:
        with socket.create_connection((str(host), int(str(port))), PATIENCE):
            pass
    except OSError:
        return
    raise OperationFailed(
        _("The old primary %(host)s:%(port)s still answers.") % {"host": host, "port": port},
        _("Fence it off first: stop its server, or block its port, so that nobody writes there any more."),
    )
