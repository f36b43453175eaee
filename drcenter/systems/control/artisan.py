"""Laravel's maintenance mode."""

import os

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from drcenter.errors import OperationFailed
from drcenter.options import SecretField
from drcenter.secrets import Secret, resolve
from drcenter.systems.control.base import Control, Ground, State

# Either keeps the application down (Illuminate\Foundation\Http\MaintenanceModeBypassCookie and public/index.php).
MARKERS = ("storage/framework/down", "storage/framework/maintenance.php")
# Written as the application's user, after `down`: `--secret` would stand in the list of processes. PHP follows the
# link /dev/fd/N to a name that there is none of, and reads php://fd/N from where the file was left.
BYPASS = (
    "$f = 'storage/framework/down'; $data = json_decode(file_get_contents($f), true);"
    " $in = fopen(str_replace('/dev/fd/', 'php://fd/', $argv[1]), 'r'); rewind($in);"
    " $data['secret'] = trim(stream_get_contents($in));"
    " file_put_contents($f, json_encode($data, JSON_PRETTY_PRINT)) !== false || exit(1);"
)


class ArtisanOptions(forms.Form):
    php = forms.CharField(label=gettext_lazy("PHP"), initial="php")
    retry = forms.IntegerField(
        label=gettext_lazy("visitors try again after seconds"), initial=60, min_value=0, max_value=86_400,
        help_text=gettext_lazy("The header Retry-After of the page that visitors get. 0: none."),
    )  # fmt: skip
    secret = SecretField(
        label=gettext_lazy("secret of the way in"),
        help_text=gettext_lazy(
            "env:NAME or file:/path. Whoever opens /SECRET of the application sees it while it is down, to look"
            " whether the restore is good. Empty: nobody does."
        ),
    )


class Plugin(Control):
    label = gettext_lazy("Laravel's maintenance mode (php artisan down)")
    Options = ArtisanOptions

    def describe(self) -> str:
        return "php artisan down"

    def check(self, ground: Ground) -> None:
        ground.path((self.options["php"],))
        artisan = os.path.join(ground.directory, "artisan")
        if not ground.directory or not os.path.isfile(artisan):
            raise OperationFailed(
                _("There is no Laravel application here: %(path)s is missing.") % {"path": artisan},
                _("Correct the directory of the commands on the system's page."), permanent=True,
            )  # fmt: skip
        self._secret()

    def _secret(self) -> Secret | None:
        return resolve(self.options["secret"]) if self.options["secret"] else None

    def look(self, ground: Ground) -> State:
        down = any(os.path.lexists(os.path.join(ground.directory, name)) for name in MARKERS)
        return {"down": down}

    def stop(self, ground: Ground, before: State) -> None:
        if not self.look(ground)["down"]:
            retry = [f"--retry={self.options['retry']}"] if self.options["retry"] else []
            ground.run(self.options["php"], "artisan", "down", *retry)
        secret = self._secret()
        if secret is not None and not before["down"]:
            ground.run(self.options["php"], "-r", BYPASS, "{secret}", files={"secret": secret})

    def start(self, ground: Ground, before: State) -> None:
        if before["down"]:
            return
        ground.run(self.options["php"], "artisan", "up")
        if self.look(ground)["down"]:
            raise OperationFailed(
                _("The application is still in maintenance mode after: php artisan up."),
                _("Remove %(path)s by hand.") % {"path": os.path.join(ground.directory, MARKERS[0])},
            )
