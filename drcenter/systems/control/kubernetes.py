"""Workloads of Kubernetes, scaled to nothing and back."""

import json
import re
import time
from typing import Any

from django import forms
from django.core.validators import RegexValidator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from drcenter.errors import OperationFailed
from drcenter.options import LinesField
from drcenter.systems.control.base import Control, Ground, State

WORKLOAD = re.compile(r"(deployment|statefulset|replicaset)/[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
NAME = r"^[A-Za-z0-9]([A-Za-z0-9@:/._-]*[A-Za-z0-9])?$"
# Seconds between two looks at pods that end.
LOOK_SECONDS = 2.0


class KubernetesOptions(forms.Form):
    namespace = forms.CharField(label=gettext_lazy("namespace"), validators=[RegexValidator(NAME)])
    workloads = LinesField(
        label=gettext_lazy("workloads"), required=True,
        help_text=gettext_lazy("One a line, in the order in which they stop: deployment/shop. They start in the other order."),
    )  # fmt: skip
    kubeconfig = forms.CharField(
        label=gettext_lazy("kubeconfig"), required=False,
        help_text=gettext_lazy("Path of the file with the credentials. Empty: as the user of the commands has it."),
    )  # fmt: skip
    context = forms.CharField(
        label=gettext_lazy("context"), required=False, validators=[RegexValidator(NAME)],
        help_text=gettext_lazy("Name one, lest a changed default lead to another cluster."),
    )  # fmt: skip
    patience = forms.IntegerField(
        label=gettext_lazy("patience in seconds"), initial=300, min_value=5, max_value=3600,
        help_text=gettext_lazy("So long the pods may take to end, and to become ready."),
    )  # fmt: skip

    def clean_workloads(self) -> list[str]:
        names: list[str] = self.cleaned_data["workloads"]
        if wrong := [name for name in names if not WORKLOAD.fullmatch(name)]:
            raise forms.ValidationError(
                _("Write a kind and a name, as in deployment/shop, not %(name)s.") % {"name": wrong[0]}
            )
        return names


class Plugin(Control):
    label = gettext_lazy("Kubernetes (kubectl scale)")
    Options = KubernetesOptions

    def describe(self) -> str:
        names, where = ", ".join(self.options["workloads"]), self.options["namespace"]
        return f"kubectl scale --replicas=0 {names} ({where})"

    def check(self, ground: Ground) -> None:
        ground.path(("kubectl",))
        self.look(ground)

    def look(self, ground: Ground) -> State:
        return {name: self._wanted(self._get(ground, name)) for name in self.options["workloads"]}

    def stop(self, ground: Ground, before: State) -> None:
        """Scaled to nothing, and no pod is left: one that still ends may write for half a minute."""
        for name in self.options["workloads"]:
            self._scale(ground, name, 0)
        for name in self.options["workloads"]:
            self._await(ground, name, 0)

    def start(self, ground: Ground, before: State) -> None:
        names = [name for name in reversed(self.options["workloads"]) if before.get(name)]
        for name in names:
            self._scale(ground, name, before[name])
        for name in names:
            self._await(ground, name, before[name])

    # ------------------------------------------------------------------ the cluster

    def _kubectl(self, *words: str) -> list[str]:
        chosen = [f"--namespace={self.options['namespace']}", "--request-timeout=30s"]
        for name in ("kubeconfig", "context"):
            if self.options[name]:
                chosen.append(f"--{name}={self.options[name]}")
        return ["kubectl", *chosen, *words]

    def _get(self, ground: Ground, name: str) -> dict[str, Any]:
        printed = ground.run(*self._kubectl("get", name, "--output=json"))
        try:
            found = json.loads(printed)
        except ValueError:
            found = None
        if not isinstance(found, dict) or not isinstance(found.get("spec"), dict):
            raise OperationFailed(_("kubectl did not answer with the state of %(name)s.") % {"name": name})
        return found

    def _wanted(self, found: dict[str, Any]) -> int:
        return int(found["spec"].get("replicas", 1))

    def _scale(self, ground: Ground, name: str, count: int) -> None:
        ground.run(*self._kubectl("scale", name, f"--replicas={count}"))

    def _await(self, ground: Ground, name: str, count: int) -> None:
        """Returns when `count` pods are ready, or none is left for 0. Raises OperationFailed when patience ends."""
        ends = time.monotonic() + self.options["patience"]
        while (now := self._pods(self._get(ground, name), count)) != count:
            if time.monotonic() > ends:
                raise OperationFailed(
                    _("%(name)s has %(now)d pods after %(seconds)d s, not %(count)d.")
                    % {"name": name, "now": now, "seconds": self.options["patience"], "count": count},
                    _("Look what holds them: kubectl describe %(name)s") % {"name": name},
                )
            time.sleep(LOOK_SECONDS)

    def _pods(self, found: dict[str, Any], count: int) -> int:
        """All that there are when none shall be left; otherwise those that are ready."""
        status = found.get("status") or {}
        return int(status.get("readyReplicas" if count else "replicas") or 0)
