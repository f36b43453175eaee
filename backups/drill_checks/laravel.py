"""A restored Laravel application boots with its restored `.env`, and reads what it once encrypted."""

import json

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from backups.drill_checks._application import ApplicationOptions, application, last_words
from backups.drill_checks.base import Answer, Check, Scene

# Boots the application as artisan does, asks its database, and decrypts one value with its APP_KEY. Values stay
# inside: only what came of it is printed.
SCRIPT = r"""
define('LARAVEL_START', microtime(true));
if (is_file('vendor/autoload.php')) { require 'vendor/autoload.php'; }
$app = require 'bootstrap/app.php';
$app->make('Illuminate\Contracts\Console\Kernel')->bootstrap();
$told = ['decrypted' => null];
if (getenv('DRILL_DATABASE')) { $app['db']->connection()->select('select 1'); }
$key = $app['encrypter'];
if ($query = getenv('DRILL_QUERY')) {
    $row = $app['db']->connection()->selectOne($query);
    $values = array_values((array) $row);
    $value = $values[0] ?? null;
    if (!is_string($value) || $value === '') { $told['decrypted'] = 'nothing'; }
    else {
        try { $key->decrypt($value, false); $told['decrypted'] = 'yes'; }
        catch (Illuminate\Contracts\Encryption\DecryptException $error) { $told['decrypted'] = 'no'; }
    }
}
echo "\nDRILL ", json_encode($told), "\n";
"""
MARK = "\nDRILL "


class Options(ApplicationOptions):
    query = forms.CharField(
        label=gettext_lazy("Something encrypted"), required=False, initial="",
        widget=forms.Textarea(attrs={"rows": 2, "spellcheck": "false"}),
        help_text=gettext_lazy(
            "A SELECT of one value that the application has encrypted, such as: SELECT transcript FROM calls LIMIT 1."
            " Empty: the key is only loaded, and nobody knows whether it fits the data."
        ),
    )  # fmt: skip


class Plugin(Check):
    label = gettext_lazy("Laravel boots and decrypts")
    Options = Options

    @property
    def told(self) -> str:
        where = f"{self.options['source']}: {self.options['directory']}"
        return _("%(where)s boots, and decrypts with its APP_KEY: %(query)s") % {
            "where": where, "query": self.options["query"] or _("nothing")}  # fmt: skip

    def run(self, scene: Scene) -> Answer:
        made = application(scene, self.options)
        version = made.run("php", "artisan", "--version", "--no-ansi")
        if version.code:
            return Answer(False, _("php artisan does not start: %(why)s") % {"why": last_words(version)})
        shown = version.stdout.decode(errors="replace").strip().rpartition("\n")[2][:80]
        tried = made.run(
            "php", "-r", SCRIPT, DRILL_QUERY=self.options["query"], DRILL_DATABASE=self.options["database"]
        )
        found = tried.stdout.decode(errors="replace").rpartition(MARK)
        if tried.code or not found[1]:
            return Answer(False, _("It does not boot: %(why)s") % {"why": last_words(tried)})
        return _judged(shown, json.loads(found[2])["decrypted"], asked=bool(self.options["query"]))


def _judged(version: str, decrypted: str | None, *, asked: bool) -> Answer:
    if not asked:
        return Answer(True, _("%(version)s boots. Nothing was decrypted.") % {"version": version})
    if decrypted == "yes":
        return Answer(True, _("%(version)s boots, and decrypts with its APP_KEY.") % {"version": version})
    if decrypted == "nothing":
        return Answer(False, _("%(version)s boots, but the query found nothing to decrypt.") % {"version": version})  # fmt: skip
    return Answer(
        False,
        _(
            "%(version)s boots, but its APP_KEY does not decrypt the data: the .env and the database do not fit each other."
        )
        % {"version": version},
    )
