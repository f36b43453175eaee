"""A restored application is served inside of an enclosure, and answers."""

import json
import os
import shlex

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from backups.drill_checks._application import ApplicationOptions, application, last_words
from backups.drill_checks.base import Answer, Check, Scene
from backups.servers.enclosure import Ask

SHOWN = 120


class Options(ApplicationOptions):
    command = forms.CharField(
        label=gettext_lazy("Server"), required=False, initial="", max_length=1000,
        help_text=gettext_lazy("What serves it, with {port} for the port. Empty: PHP's own server on public/."),
    )  # fmt: skip
    path = forms.CharField(label=gettext_lazy("Address"), initial="/", max_length=1000)
    status = forms.IntegerField(label=gettext_lazy("Status"), initial=200, min_value=100, max_value=599)
    text = forms.CharField(
        label=gettext_lazy("Text"), required=False, initial="", max_length=500,
        help_text=gettext_lazy("Has to stand in the answer. Empty: any."),
    )  # fmt: skip

    def clean_path(self) -> str:
        path = str(self.cleaned_data["path"])
        if not path.startswith("/") or not path.isprintable() or " " in path:
            raise ValidationError(gettext_lazy("It begins with a slash, and has no spaces."))
        return path


class Plugin(Check):
    label = gettext_lazy("HTTP answer")
    Options = Options

    @property
    def told(self) -> str:
        words = f"GET {self.options['path']} → {self.options['status']}"
        return f"{self.options['source']}: {words} {self.options['text']}".strip()

    def run(self, scene: Scene) -> Answer:
        made = application(scene, self.options)
        # Half of the time to come up, the rest to answer and to end.
        ask = Ask(self.options["path"], self.options["seconds"] / 2)
        ended = made.run(*self._argv(scene), ask=ask)
        if ended.code:
            return Answer(False, _("It does not answer: %(why)s") % {"why": last_words(ended)})
        answer = json.loads(ended.stdout)
        return judged(answer["status"], answer["body"], self.options["status"], self.options["text"])

    def _argv(self, scene: Scene) -> list[str]:
        if self.options["command"]:
            return shlex.split(self.options["command"])
        front = os.path.join(
            scene.place(self.options["source"]).on_disk, self.options["directory"], "public/index.php"
        )
        router = ["public/index.php"] if os.path.isfile(front) else []
        return ["php", "-S", "127.0.0.1:{port}", "-t", "public", *router]


def judged(status: int, body: str, wanted: int, text: str) -> Answer:
    """Whether an answer is the one that was expected."""
    shown = " ".join(body[:SHOWN].split())
    if status != wanted:
        sentence = _("Status %(status)d, not %(wanted)d: %(body)s")
        return Answer(False, sentence % {"status": status, "wanted": wanted, "body": shown})
    if text and text not in body:
        return Answer(
            False, _("“%(text)s” does not stand in the answer: %(body)s") % {"text": text, "body": shown}
        )
    return Answer(True, _("Status %(status)d: %(body)s") % {"status": status, "body": shown})
