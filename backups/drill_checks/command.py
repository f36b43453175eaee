"""Any command, run enclosed in the restored files: it has to end well, and to say what is expected."""

import shlex

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from backups.drill_checks._application import ApplicationOptions, application, last_words
from backups.drill_checks.base import Answer, Check, Scene


class Options(ApplicationOptions):
    command = forms.CharField(
        label=gettext_lazy("Command"), max_length=1000,
        help_text=gettext_lazy(
            "Its words as on a shell, without a shell. It sees the restored files and database, and nothing else."
        ),
    )  # fmt: skip
    text = forms.CharField(
        label=gettext_lazy("Text"), required=False, initial="", max_length=500,
        help_text=gettext_lazy("Has to stand in its output. Empty: any."),
    )  # fmt: skip

    def clean_command(self) -> str:
        command = str(self.cleaned_data["command"])
        try:
            words = shlex.split(command)
        except ValueError:
            words = []
        if not words:
            raise ValidationError(gettext_lazy("This is no command: a quote is not closed, or it is empty."))
        return command


class Plugin(Check):
    label = gettext_lazy("Command")
    Options = Options

    @property
    def told(self) -> str:
        return f"{self.options['source']}: {self.options['command']}"

    def run(self, scene: Scene) -> Answer:
        made = application(scene, self.options)
        ended = made.run(*shlex.split(self.options["command"]))
        if ended.code:
            sentence = _("It ended with exit code %(code)d: %(why)s")
            return Answer(False, sentence % {"code": ended.code, "why": last_words(ended)})
        if self.options["text"] and self.options["text"] not in ended.stdout.decode(errors="replace"):
            return Answer(
                False,
                _("“%(text)s” does not stand in its output: %(why)s")
                % {"text": self.options["text"], "why": last_words(ended)},
            )
        return Answer(True, last_words(ended) or _("It ended well."))
