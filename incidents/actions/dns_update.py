"""Leads a name to another address."""

import ipaddress
import json
import sys
import time
from pathlib import Path
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from drcenter.errors import OperationFailed
from drcenter.options import SecretField
from drcenter.process import Command
from drcenter.secrets import Secret, resolve
from drcenter.systems.commands import printed
from incidents.actions._dns_look import authoritative
from incidents.actions.base import Action, Context, State

HOST = r"^([A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9])?\.)+[A-Za-z0-9-]{2,}$"
WORK = Path(__file__).with_name("_dns_work.py")
# Seconds that the provider may take to answer, and between two looks at the name server.
PROVIDER_SECONDS = 60
LOOK_SECONDS = 5.0
# Seconds after which providers have loaded a changed zone, as their users report; others are taken as quick.
ZONE_RELOAD = {"netcup": 1200, "hetzner": 60, "inwx": 300, "ionos": 300}


class DnsOptions(forms.Form):
    provider = forms.CharField(
        label=gettext_lazy("provider"), validators=[RegexValidator(r"^[a-z0-9]+$")],
        help_text=gettext_lazy("As dns-lexicon calls it: netcup, hetzner, cloudflare, inwx, ovh, powerdns, …"),
    )  # fmt: skip
    credentials = SecretField(
        label=gettext_lazy("credentials"), required=True,
        help_text=gettext_lazy('file:/path or env:NAME of a JSON object with the provider’s options: {"auth_token": "…"}.'),
    )  # fmt: skip
    domain = forms.CharField(label=gettext_lazy("domain"), validators=[RegexValidator(HOST)])
    name = forms.CharField(label=gettext_lazy("name"), validators=[RegexValidator(HOST)],
                           help_text=gettext_lazy("In full: www.example.org."))  # fmt: skip
    type = forms.ChoiceField(
        label=gettext_lazy("type"), choices=[(one, one) for one in ("A", "AAAA", "CNAME")], initial="A"
    )
    content = forms.CharField(
        label=gettext_lazy("leads to"), help_text=gettext_lazy("An address; for CNAME a name.")
    )
    wait_minutes = forms.IntegerField(
        label=gettext_lazy("wait for the name server, minutes"), initial=30, min_value=1, max_value=240,
        help_text=gettext_lazy("So long its own name servers may take to answer with the new address."),
    )  # fmt: skip
    name_server = forms.CharField(
        label=gettext_lazy("name server"), required=False,
        help_text=gettext_lazy("ADDRESS or ADDRESS:PORT that is asked. Empty: those of the domain."),
    )  # fmt: skip

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        kind, content = given.get("type"), given.get("content", "")
        try:
            if kind in {"A", "AAAA"} and ipaddress.ip_address(content).version != (4 if kind == "A" else 6):
                raise ValueError
        except ValueError:
            raise ValidationError({"content": _("That is no address for a record of this type.")}) from None
        return given


class Plugin(Action):
    label = gettext_lazy("Fail over a name (DNS)")
    Options = DnsOptions
    reversible = True

    def describe(self) -> str:
        return f"{self.options['name']} {self.options['type']} → {self.options['content']}"

    def look(self, context: Context) -> State:
        records = self._records(context)
        if len(records) != 1:
            raise OperationFailed(
                _("There are %(count)d records %(name)s %(type)s, not one.")
                % {"count": len(records), "name": self.options["name"], "type": self.options["type"]},
                _("Make it one record by hand: a change of one among several would leave the others."), permanent=True,
            )  # fmt: skip
        answer = authoritative(
            self.options["domain"], self.options["name"], self.options["type"], self.options["name_server"]
        )
        return {"content": records[0]["content"], "ttl": answer.ttl, "answered": answer.contents}

    def foretell(self, before: State) -> list[str]:
        reload = ZONE_RELOAD.get(self.options["provider"], 60)
        ttl = before["ttl"] or 0
        return [
            _("%(name)s leads to %(new)s instead of %(old)s.")
            % {"name": self.options["name"], "new": self.options["content"], "old": before["content"]},
            _("Everybody arrives there after about %(minutes)d minutes at the earliest: the provider loads its zone after up to"
              " %(reload)d s, and resolvers keep the old answer for up to %(ttl)d s more.")
            % {"minutes": -(-(reload + ttl) // 60), "reload": reload, "ttl": ttl},
        ]  # fmt: skip

    def execute(self, context: Context, before: State) -> None:
        self._lead_to(context, self.options["content"])

    def verify(self, context: Context, before: State) -> str:
        """Its own name server answers with it. Resolvers elsewhere follow when their copy has expired."""
        seconds = self._await(context, self.options["content"])
        return _("The name server answers with %(content)s after %(seconds)d s; elsewhere the old answer ends within %(ttl)d s.") % {
            "content": self.options["content"], "seconds": seconds, "ttl": before["ttl"] or 0}  # fmt: skip

    def undo(self, context: Context, before: State) -> None:
        self._lead_to(context, before["content"])
        self._await(context, before["content"])

    def _lead_to(self, context: Context, content: str) -> None:
        """The record's id is taken from the list, and the list is read again: an update without one changes nothing
        and says that it went well (tried with netcup)."""
        records = self._records(context)
        if not records:
            # Some providers are changed by removing and adding (PowerDNS): one that died in between left nothing.
            self._ask(context, act="create", content=content)
        elif [one["content"] for one in records] != [content]:
            self._ask(context, act="update", id=records[0]["id"], content=content)
        records = self._records(context)
        if [one["content"] for one in records] != [content]:
            raise OperationFailed(
                _("The provider took the change, and still lists %(found)s.")
                % {"found": ", ".join(one["content"] for one in records)},
                _("Change it by hand on the provider's own page."),
            )

    def _await(self, context: Context, content: str) -> float:
        """Seconds until the name server answers with it. Raises OperationFailed when patience ends."""
        began = time.monotonic()
        while True:
            found = authoritative(
                self.options["domain"],
                self.options["name"],
                self.options["type"],
                self.options["name_server"],
            )
            waited = time.monotonic() - began
            if found.contents == [content]:
                return waited
            if waited > self.options["wait_minutes"] * 60:
                raise OperationFailed(
                    _("The name server still answers with %(found)s after %(minutes)d minutes.")
                    % {"found": ", ".join(found.contents) or "-", "minutes": self.options["wait_minutes"]},
                    _("The provider has taken the change: its zone may be loaded later. Look again."),
                )
            context.log(
                _("The name server answers with %(found)s still.")
                % {"found": ", ".join(found.contents) or "-"}
            )
            time.sleep(min(LOOK_SECONDS, self.options["wait_minutes"] * 60))

    def _records(self, context: Context) -> list[dict[str, Any]]:
        found = self._ask(context, act="list")
        name = self.options["name"].rstrip(".").lower()
        return [one for one in found if str(one["name"]).rstrip(".").lower() == name]

    def _ask(self, context: Context, **what: Any) -> Any:
        """What the provider answered. Raises OperationFailed, and never longer than PROVIDER_SECONDS."""
        credentials = resolve(self.options["credentials"]).reveal()
        try:
            own = json.loads(credentials)
        except ValueError:
            own = None
        if not isinstance(own, dict):
            raise OperationFailed(_("The credentials are no JSON object."), permanent=True)
        provider = self.options["provider"]
        domain = self.options["domain"]
        config = {"provider_name": provider, "domain": domain, "delegated": domain, provider: own}
        asked = {"config": config, "type": self.options["type"], "name": self.options["name"]} | what
        command = Command(
            (sys.executable, "-P", str(WORK), "{asked}"),
            files={"asked": Secret(json.dumps(asked))},
            # It asks the network for a list of suffixes, and does without when that takes longer.
            env={"TLDEXTRACT_CACHE_TIMEOUT": "2"},
        )
        return json.loads(printed(command, context.children, PROVIDER_SECONDS).rpartition("\n")[2])
