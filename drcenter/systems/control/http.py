"""An application that can be paused over HTTP, at the three addresses that it offers for that."""

from typing import Any

from django import forms
from django.core.validators import URLValidator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from drcenter.errors import OperationFailed
from drcenter.options import SecretField
from drcenter.secrets import redact, resolve
from drcenter.systems.control.base import Control, Ground, State

# Seconds to connect, and to answer.
PATIENCE = (5, 60)
# Bytes of an answer that are looked at.
LARGEST = 65_536


class AddressField(forms.CharField):
    """An address of http or https; a single name is a host of the own network."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(validators=[URLValidator(schemes=["http", "https"])], **kwargs)


class HttpOptions(forms.Form):
    pause = AddressField(
        label=gettext_lazy("address that pauses"), help_text=gettext_lazy("Called with POST.")
    )
    resume = AddressField(
        label=gettext_lazy("address that resumes"), help_text=gettext_lazy("Called with POST.")
    )
    status = AddressField(
        label=gettext_lazy("address that tells"),
        help_text=gettext_lazy('Called with GET; answers with {"paused": true} or {"paused": false}.'),
    )
    token = SecretField(
        label=gettext_lazy("token"),
        help_text=gettext_lazy("env:NAME or file:/path. Sent as Authorization: Bearer."),
    )


class Plugin(Control):
    label = gettext_lazy("an address of the application (HTTP)")
    Options = HttpOptions

    def describe(self) -> str:
        return f"POST {self.options['pause']}"

    def check(self, ground: Ground) -> None:
        self.look(ground)

    def look(self, ground: Ground) -> State:
        answer = self._call("GET", self.options["status"])
        paused = answer.get("paused") if isinstance(answer, dict) else None
        if not isinstance(paused, bool):
            raise OperationFailed(
                _('%(address)s did not answer with {"paused": true} or {"paused": false}.')
                % {"address": self.options["status"]}
            )
        return {"paused": paused}

    def stop(self, ground: Ground, before: State) -> None:
        if not self.look(ground)["paused"]:
            self._call("POST", self.options["pause"])
        self._sure(ground, paused=True)

    def start(self, ground: Ground, before: State) -> None:
        if before["paused"]:
            return
        self._call("POST", self.options["resume"])
        self._sure(ground, paused=False)

    def _sure(self, ground: Ground, *, paused: bool) -> None:
        if self.look(ground)["paused"] is not paused:
            text = (
                _("The application says that it still runs.")
                if paused
                else _("The application says that it is still paused.")
            )
            raise OperationFailed(text, _("Look at the application's own log."))

    def _call(self, method: str, address: str) -> Any:
        """What it answered, from JSON; None if that is none. Raises OperationFailed unless it answers with 2xx."""
        import requests

        headers = {"Accept": "application/json"}
        if self.options["token"]:
            headers["Authorization"] = f"Bearer {resolve(self.options['token']).reveal()}"
        try:
            with requests.request(
                method, address, headers=headers, timeout=PATIENCE, allow_redirects=False, stream=True
            ) as answer:
                body = answer.raw.read(LARGEST, decode_content=True)
                code = answer.status_code
        except (requests.RequestException, OSError) as error:
            raise OperationFailed(
                _("%(address)s does not answer: %(error)s")
                % {"address": address, "error": redact(type(error).__name__)},
                _("Is the application up? One that is gone is restored without the stop commands."),
            ) from None
        if not 200 <= code < 300:
            raise OperationFailed(
                _("%(address)s answered with %(code)d.") % {"address": address, "code": code}
            )
        return _json(body)


def _json(body: bytes) -> Any:
    import json

    try:
        return json.loads(body)
    except ValueError:
        return None
