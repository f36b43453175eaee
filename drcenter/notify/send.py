"""One message to one channel, through Apprise."""

import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote

from django.utils.translation import gettext as _

from drcenter.deadline import TooLate, within
from drcenter.errors import OperationFailed
from drcenter.notify.models import Channel, Event
from drcenter.secrets import REDACTED, redact, resolve

# Apprise has a time-out for each read; a server that sends a byte now and then, or a name server that does
# not answer, outlasts those.
LONGEST = 15.0


def send(channel: Channel, event: str, title: str, body: str) -> None:
    """Send it within LONGEST seconds. Raises OperationFailed, without anything of the channel's address."""
    url = resolve(channel.url).reveal()
    try:
        reason = within(lambda: _notify(url, event, title, body or title), LONGEST)
    except TooLate:
        raise OperationFailed(
            _("The channel did not answer within %(seconds)d s.") % {"seconds": LONGEST},
            _("Check that this machine can reach it."),
        ) from None
    if reason is not None:
        raise OperationFailed(
            _("The channel did not take the message: %(reason)s") % {"reason": reason},
            _("Compare its address with Apprise's list of services, and send a test message from its page."),
        )


def _notify(url: str, event: str, title: str, body: str) -> str | None:
    """None when it arrived; otherwise why not, as far as Apprise says."""
    import apprise

    kinds = {
        Event.SUCCESS.value: apprise.NotifyType.SUCCESS,
        Event.RECOVERED.value: apprise.NotifyType.SUCCESS,
        Event.WARNING.value: apprise.NotifyType.WARNING,
    }
    try:
        with _heard() as heard:
            gateway = _gateway(url)
            if not gateway:
                return _("Apprise does not know an address like this.")
            taken = gateway.notify(
                title=title, body=body, notify_type=kinds.get(event, apprise.NotifyType.FAILURE)
            )
    except Exception as error:  # noqa: BLE001 - a hundred plugins of others; the text may hold the address
        return type(error).__name__
    return None if taken else without_address(" ".join(heard[-2:]), url) or _("it gives no reason")


def _gateway(url: str) -> Any:
    """Apprise with one address, or with none if it does not know it: that is false."""
    import apprise

    gateway = apprise.Apprise()
    with warnings.catch_warnings():
        # Its plugins are loaded now, and use modules that Python 3.13 drops.
        warnings.simplefilter("ignore", DeprecationWarning)
        gateway.add(url)
    return gateway


def without_address(text: str, url: str) -> str:
    """`text` without any piece of the address that could be a token, a password or a name."""
    pieces = {piece for piece in re.split(r"[:/?&=@,;#]+", url) if len(piece) > 3}
    for piece in sorted(pieces | {unquote(piece) for piece in pieces}, key=len, reverse=True):
        text = text.replace(piece, REDACTED)
    return redact(text)


class _Listener(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.heard: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.heard.append(record.getMessage())


@contextmanager
def _heard() -> Iterator[list[str]]:
    """What Apprise says to its logger, and keep it out of ours: it prints addresses, below WARNING at length."""
    logger = logging.getLogger("apprise")
    logger.propagate = False
    logger.setLevel(logging.WARNING)
    listener = _Listener()
    logger.addHandler(listener)
    try:
        yield listener.heard
    finally:
        logger.removeHandler(listener)
