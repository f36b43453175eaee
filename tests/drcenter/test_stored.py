"""Sentences of rows: kept in English, shown in the language of the reader."""

import pytest
from django.utils import translation

from drcenter.jobs.models import Job, State
from drcenter.jobs.reap import cancel
from drcenter.stored import shown


@pytest.mark.parametrize("text", ["", " \n", "shop: daily", "A sentence that nobody translated."])
def test_what_is_not_known_stays(text) -> None:
    with translation.override("de"):
        assert shown(text) == text


def test_fixed_sentences_and_titles_are_translated() -> None:
    with translation.override("de"):
        assert shown("restoring") == "Wiederherstellen"
        assert shown("Back up shop: daily") == "shop: daily sichern"
        assert shown("Restore shop/1 over production") == "shop/1 wiederherstellen, über die Produktion"
    with translation.override("en"):
        assert shown("Back up shop: daily") == "Back up shop: daily"


@pytest.mark.django_db(transaction=True)
def test_a_message_is_kept_in_english_whoever_asks() -> None:
    job = Job.objects.create(kind="test", title="Verify a @ b", subject=1, target="x", requested_by="anna")
    with translation.override("de"):
        assert cancel(job, "anna")
        job.refresh_from_db()
        assert (job.state, job.message) == (State.CANCELLED, "Stopped before it began.")
        assert str(job) == "a @ b prüfen"
