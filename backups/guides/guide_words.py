"""What RESTORE.md says where it depends on the set, in English and German (pure). The rest is in `guides/`."""

from typing import Final

CAPPED: Final = {
    "en": "\n**This set is incomplete**: the dump lacks something that a right or a tool did not give. `log.txt` and the"
    " details say what.\n",
    "de": "\n**Dieser Satz ist unvollständig**: Der Sicherung fehlt etwas, das ein Recht oder ein Werkzeug nicht hergab."
    " `log.txt` und die Details sagen, was.\n",
}
# {}: "3 of 40 tables", as the manifest says it.
PARTIAL: Final = {
    "en": "\n**This set is only a part**: of its databases it holds {}. Never put it in the place of a whole database: restore"
    " it beside (`--target SOURCE=ANOTHER_NAME`), and take the tables from there.\n",
    "de": "\n**Dieser Satz ist nur ein Teil**: Von seinen Datenbanken enthält er {}. Setzen Sie ihn nie an die Stelle einer"
    " ganzen Datenbank: Stellen Sie ihn daneben wieder her (`--target QUELLE=ANDERER_NAME`), und holen Sie die Tabellen"
    " von dort.\n",
}
# {}: the names of folders, as a list.
NEEDS: Final = {
    "en": """
**This set alone does not restore**: it holds only what changed, or is stored once. Copy these folders of the same place, too, and
put them beside this one. `restore.sh` finds them by itself; `sha256sum -c checksums.txt` checks what is needed of them.

{}
""",
    "de": """
**Dieser Satz allein genügt nicht**: Er enthält nur, was sich geändert hat oder nur einmal gespeichert wird. Kopieren Sie auch diese
Ordner vom selben Ort, und legen Sie sie neben diesen. `restore.sh` findet sie von selbst; `sha256sum -c checksums.txt` prüft, was von
ihnen gebraucht wird.

{}
""",
}
SPREAD: Final = {
    "en": " The databases are all as they were then, within {}; files were read after that moment.",
    "de": " Die Datenbanken sind alle vom Stand dieses Zeitpunkts, innerhalb von {}; Dateien wurden danach gelesen.",
}
NUMBER: Final = {"en": ", number {} of this system's sets", "de": ", Nummer {} der Sätze dieses Systems"}
ENCRYPTED: Final = {"en": "yes, to {}", "de": "ja, für {}"}
NOT_ENCRYPTED: Final = {
    "en": "**no**: whoever reads the store reads the data",
    "de": "**nein**: Wer den Speicher liest, liest die Daten",
}
NOTHING_MISSING: Final = {
    "en": "nothing: all twelve tiers are in it",
    "de": "nichts: Alle zwölf Bereiche sind darin",
}
DURATION: Final = {
    "en": "the last proof of this plan restored {size} in {time}, on the machine of the workers, without the download",
    "de": "der letzte Beweis dieses Plans stellte {size} in {time} wieder her, auf der Maschine der Worker, ohne das Herunterladen",
}
NO_DURATION: Final = {
    "en": "not known: no set of this plan was proven before this one",
    "de": "nicht bekannt: Vor diesem wurde kein Satz dieses Plans bewiesen",
}
UNKNOWN: Final = {"en": "see the kit", "de": "siehe Wiederherstellungsmappe"}
TIERS: Final = {
    "en": {
        "application": "application code", "database": "database", "configuration": "configuration", "storage": "storage",
        "documentation": "documentation", "external": "external services", "system": "system configuration",
        "git": "git state", "certificates": "certificates", "information": "system information", "scripts": "scripts",
        "metadata": "metadata",
    },
    "de": {
        "application": "Anwendungscode", "database": "Datenbank", "configuration": "Konfiguration", "storage": "Ablage",
        "documentation": "Dokumentation", "external": "externe Dienste", "system": "Systemkonfiguration",
        "git": "Git-Zustand", "certificates": "Zertifikate", "information": "Systemangaben", "scripts": "Skripte",
        "metadata": "Metadaten",
    },
}  # fmt: skip
IDENTITY: Final = {
    "en": """The set is encrypted with age. You need the identity that belongs to one of these recipients; the kit names
both:

{}

Write the line of the kit that begins with `AGE-SECRET-KEY-1` into a file that only you can read:

```sh
(umask 077 && cat > identity.txt)     # type or paste it, Enter, Ctrl-D
age-keygen -y identity.txt
```

You should see: one of the recipients above. Delete the file when you are done.

""",
    "de": """Der Satz ist mit age verschlüsselt. Sie brauchen die Identität zu einem dieser Empfänger; die Wiederherstellungsmappe
nennt beide:

{}

Schreiben Sie die Zeile der Wiederherstellungsmappe, die mit `AGE-SECRET-KEY-1` beginnt, in eine Datei, die nur Sie lesen können:

```sh
(umask 077 && cat > identity.txt)     # eintippen oder einfügen, Enter, Strg-D
age-keygen -y identity.txt
```

Sie sollten sehen: einen der Empfänger oben. Löschen Sie die Datei, wenn Sie fertig sind.

""",
}
NO_IDENTITY: Final = {
    "en": "None is needed: this set is not encrypted.\n\n",
    "de": "Es wird keine gebraucht: Dieser Satz ist nicht verschlüsselt.\n\n",
}
# Before the commands of a tier: what has to be there.
BEFORE: Final = {
    "en": {
        "information": "Texts about the lost machine. Nothing is installed from them by itself.",
        "system": "What nginx, PHP, supervisor, cron and Redis read. Their packages have to be there: install them first.",
        "configuration": "`.env` files hold production's keys: mind what the application reaches before you start it.",
        "git": "Only what no remote may have: as a bundle, beside the application. `git clone` the repository as always, then fetch"
        " from the bundle; the command says how.",
        "external": "What was mirrored from external services, as files to read. Nothing is sent to them.",
        "metadata": "For reading: schemas, statistics.",
    },
    "de": {
        "information": "Texte über die verlorene Maschine. Von selbst wird daraus nichts installiert.",
        "system": "Was nginx, PHP, supervisor, cron und Redis lesen. Ihre Pakete müssen da sein: Installieren Sie sie zuerst.",
        "configuration": "`.env`-Dateien enthalten die Schlüssel der Produktion: Bedenken Sie vor dem Start, was die Anwendung damit"
        " erreicht.",
        "git": "Nur was vielleicht keine Gegenstelle hat: als Bündel, neben der Anwendung. Klonen Sie das Repository wie immer mit"
        " `git clone`, dann holen Sie aus dem Bündel; der Befehl sagt, wie.",
        "external": "Was von externen Diensten gespiegelt wurde, als Dateien zum Lesen. An die Dienste wird nichts geschickt.",
        "metadata": "Zum Lesen: Schemata, Statistiken.",
    },
}
# After the commands of a tier. {0}: the name of its first source.
AFTER: Final = {
    "en": {
        "information": """Now install what the machine had. Look at the list before you do:

```sh
cat restored/{0}/release.txt restored/{0}/php-version.txt
less restored/{0}/packages-by-hand.txt
apt-get install $(cat restored/{0}/packages-by-hand.txt)
```

You should see: the version of Debian and PHP that it had, and packages being installed. A file that is missing means that
the machine did not have the tool.
""",
        "system": """```sh
systemctl daemon-reload; nginx -t
```

You should see: `syntax is ok`, if nginx is used. Start nothing yet.
""",
        "certificates": "Are they still valid? `openssl x509 -noout -enddate -in FILE` says until when.\n",
    },
    "de": {
        "information": """Installieren Sie nun, was die Maschine hatte. Sehen Sie die Liste vorher an:

```sh
cat restored/{0}/release.txt restored/{0}/php-version.txt
less restored/{0}/packages-by-hand.txt
apt-get install $(cat restored/{0}/packages-by-hand.txt)
```

Sie sollten sehen: die Version von Debian und PHP, die sie hatte, und Pakete, die installiert werden. Fehlt eine Datei, dann hatte
die Maschine dieses Werkzeug nicht.
""",
        "system": """```sh
systemctl daemon-reload; nginx -t
```

Sie sollten sehen: `syntax is ok`, wenn nginx benutzt wird. Starten Sie noch nichts.
""",
        "certificates": "Gelten sie noch? `openssl x509 -noout -enddate -in DATEI` sagt, bis wann.\n",
    },
}
SERVER: Final = {
    "en": """The server of the database, if this machine is to run it. The same version as before{1}, or a newer one:

```sh
apt-get install {0}
```

Sign in as a user who may create databases and accounts. The client finds the login where it always does: `~/.my.cnf`; `PGHOST`,
`PGUSER`, `PGPASSFILE`. What stands after `--` goes to the client: `-- --host=db2 --user=root`. On a fresh Debian, root may
use MariaDB at once; for PostgreSQL: `su postgres -c "createuser --superuser root"`. Not allowed to make accounts?
`--without-accounts`; then make them by hand. Events of MariaDB run as soon as its event scheduler is on.
""",
    "de": """Den Server der Datenbank, wenn er auf dieser Maschine laufen soll. Dieselbe Version wie vorher{1} oder eine neuere:

```sh
apt-get install {0}
```

Melden Sie sich als jemand an, der Datenbanken und Konten anlegen darf. Der Client findet die Anmeldung, wo er sie immer findet:
`~/.my.cnf`; `PGHOST`, `PGUSER`, `PGPASSFILE`. Was nach `--` steht, bekommt der Client: `-- --host=db2 --user=root`. Auf einem
frischen Debian darf root sofort an MariaDB; für PostgreSQL: `su postgres -c "createuser --superuser root"`. Keine Rechte für
Konten? `--without-accounts`; dann von Hand anlegen. Ereignisse (Events) von MariaDB laufen, sobald ihr Event-Scheduler an ist.
""",
}
FINISH: Final = {
    "en": (
        "Look at the newest rows. They have to be of {moment}.",
        "A Laravel application needs what no set holds: in its directory `composer install --no-dev`, and `npm ci && npm run build`"
        " where there is a `package.json`.",
        "Clear caches, and look at queued jobs from before the disaster: `php artisan cache:clear`, `queue:clear`.",
        "Start the services: database, Redis, PHP, the web server, supervisor, cron.",
        "Was the application in maintenance mode when the set was taken? Then it still is: `php artisan up`.",
        "Ask the application for a page. You should see what you know.",
        "Take a fresh backup of the new machine. Delete `identity.txt`.",
    ),
    "de": (
        "Sehen Sie die neuesten Zeilen an. Sie müssen von {moment} sein.",
        "Eine Laravel-Anwendung braucht, was kein Satz enthält: in ihrem Verzeichnis `composer install --no-dev`, und"
        " `npm ci && npm run build`, wo es eine `package.json` gibt.",
        "Leeren Sie Caches, und sehen Sie wartende Aufträge von vor dem Unglück an: `php artisan cache:clear`, `queue:clear`.",
        "Starten Sie die Dienste: Datenbank, Redis, PHP, Webserver, supervisor, cron.",
        "War die Anwendung beim Sichern im Wartungsmodus? Dann ist sie es noch: `php artisan up`.",
        "Rufen Sie eine Seite der Anwendung auf. Sie sollten sehen, was Sie kennen.",
        "Machen Sie eine frische Sicherung der neuen Maschine. Löschen Sie `identity.txt`.",
    ),
}


def partial(text: str, language: str) -> str:
    """ "3 of 40 tables" in one of the languages."""
    return text if language == "en" else text.replace(" of ", " von ").replace("tables", "Tabellen")
