"""Sentences that rows keep: stored in English, the language of the source, and shown in that of the reader.

A row outlives the request that wrote it, and is read by others: on pages, by the API, on a shell. So what writes
rows does it `in_english`, and what shows them to a person says `shown`.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache

from django.utils import translation
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

# Sentences with names in them that are translated when they are shown; others with names stay English.
# The order decides where two fit.
WITH_NAMES = (
    gettext_noop("Back up %(plan)s"),
    gettext_noop("Verify %(copy)s"),
    gettext_noop("Write again what is damaged beside %(copy)s"),
    gettext_noop("Restore %(set)s %(place)s"),
    gettext_noop("Lock %(copy)s"),
    gettext_noop("Test %(destination)s"),
    gettext_noop("Try to delete the canary of %(destination)s"),
    gettext_noop("Trace the sets at %(destination)s"),
    gettext_noop("Compare %(table)s of %(set)s with production"),
    gettext_noop("Record the pin of %(set)s"),
    gettext_noop("Prune %(plan)s"),
    gettext_noop("Leftovers at %(destination)s"),
    gettext_noop("s3://%(bucket)s at %(server)s"),
    gettext_noop("Rebuild the catalogue from %(destination)s"),
    gettext_noop("Drill: %(set)s"),
    gettext_noop("Measure after a restore of %(set)s"),
    gettext_noop("Take back %(run)s"),
    gettext_noop("Run %(run)s"),
    gettext_noop("Checks that do not hold: %(names)s"),
    gettext_noop("It could not run: %(why)s"),
    gettext_noop("Found %(found)s; it has to be equal to %(expected)s."),
    gettext_noop("Found %(found)s; it must not be %(expected)s."),
    gettext_noop("Found %(found)s; it has to be at least %(expected)s."),
    gettext_noop("Found %(found)s; it has to be at most %(expected)s."),
    gettext_noop("%(version)s boots, and decrypts with its APP_KEY."),
    gettext_noop("%(version)s boots. Nothing was decrypted."),
    gettext_noop(
        "%(version)s boots, but its APP_KEY does not decrypt the data: the .env and the database do not fit each other."
    ),
    gettext_noop("Make up for copies at %(destination)s"),
    gettext_noop("Prune the log of %(stream)s"),
    gettext_noop("database behind %(address)s"),
    gettext_noop("database %(database)s at %(server)s"),
    gettext_noop("SQLite database %(path)s"),
    gettext_noop("files in %(path)s"),
    gettext_noop("git state of %(path)s"),
    gettext_noop("information about %(host)s, as texts in %(path)s"),
    gettext_noop("output of %(command)s"),
    gettext_noop("only %(count)s of %(all)s tables of %(source)s: %(names)s"),
    gettext_noop("%(count)s of %(all)s tables"),
    gettext_noop("without %(names)s"),
    gettext_noop(
        "%(name)s: what changed (%(count)s paths) was restored and is equal; the rest is proven with %(set)s, on which"
        " it builds. Verify with an identity to restore the whole chain."
    ),
    gettext_noop(
        "%(name)s: the dump is byte for byte that of %(set)s, which is proven, and the source held the same."
    ),
    gettext_noop("The set is complete, but what follows was not finished: %(reason)s"),
    gettext_noop("The worker ended before it was finished: %(reason)s"),
)
# What of them is a sentence itself. The rest are names: a database may be called "backup".
SENTENCES = {"place", "reason"}


@contextmanager
def in_english() -> Iterator[None]:
    """Everything said inside is in English, whoever asked for it. Also a decorator."""
    with translation.override("en"):
        yield


def shown(text: str, known: Sequence[str] = WITH_NAMES) -> str:
    """A stored sentence in the language of the reader, as far as it is known; else as it is.

    `known`: the sentences with names in them that it may be.

    Not for names that people gave: one of them may happen to be a word of the catalogue.
    """
    if not text or text.isspace():
        return text
    translated = _(text)
    if translated != text:
        return translated
    for sentence in known:
        if found := _pattern(sentence).fullmatch(text):
            return _(sentence) % {
                name: shown(value) if name in SENTENCES else value
                for name, value in found.groupdict().items()
            }
    return text


@cache
def _pattern(sentence: str) -> re.Pattern[str]:
    pieces = re.split(r"%\((\w+)\)s", sentence)
    return re.compile(
        "".join(f"(?P<{piece}>.+?)" if at % 2 else re.escape(piece) for at, piece in enumerate(pieces)),
        re.DOTALL,
    )
