"""Acts: no effect on GET, none without the right, an audit entry for each, and no identity anywhere."""

import pyrage
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from backups.models import Recovery, Set, Verification
from drcenter.audit.models import Entry, Result
from drcenter.jobs.models import Job, State
from drcenter.panel.pages import address

IDENTITY = str(pyrage.x25519.Identity.generate())
OTHER = str(pyrage.x25519.Identity.generate())


def pages(plan, copy, job):
    return {
        "back up": (address(plan, "back_up"), {}),
        "verify": (address(copy, "verify"), {"level": "proven"}),
        "beside": (
            address(copy, "beside"),
            {
                f"{kind}_{source.pk}": "on" if kind == "use" else f"{source.name}_new"
                for source in plan.sources.all()
                for kind in ("use", "name")
            },
        ),
        "production": (
            address(copy, "production") + "?" + "&".join(f"source={s.pk}" for s in plan.sources.all()),
            {"typed_host": f"shop@{plan.sources.first().build().host}", "reason": "rows are gone"},
        ),
        "cancel": (address(job, "cancel"), {}),
    }


ACTS = ("back up", "verify", "beside", "production", "cancel")


def effects():
    return (
        Set.objects.count(), Verification.objects.count(), Recovery.objects.count(), Job.objects.count(),
        Job.objects.exclude(cancel_requested_by="").count(),
    )  # fmt: skip


@pytest.mark.parametrize("act", ACTS)
def test_looking_at_the_page_has_no_effect(as_operator, plan, copy, running_job, act):
    url, data = pages(plan, copy, running_job)[act]
    before = effects()
    assert as_operator.get(url, data).status_code == 200
    assert as_operator.head(url).status_code == 200
    assert (effects(), Entry.objects.count()) == (before, 0)


@pytest.mark.parametrize("act", ACTS)
def test_a_viewer_cannot_and_the_try_is_recorded(as_viewer, plan, copy, running_job, act):
    url, data = pages(plan, copy, running_job)[act]
    before = effects()
    assert as_viewer.get(url).status_code == 403
    assert Entry.objects.count() == 0
    assert as_viewer.post(url, data).status_code == 403
    assert effects() == before
    entry = Entry.objects.get()
    assert (entry.actor, entry.result) == ("vera", Result.REFUSED)


@pytest.mark.parametrize("act", ACTS)
def test_a_stranger_is_sent_to_the_login(client, plan, copy, running_job, act):
    url, data = pages(plan, copy, running_job)[act]
    before = effects()
    response = client.post(url, data)
    assert response.status_code == 302 and response.url.startswith(reverse("admin:login"))
    assert effects() == before


@pytest.mark.parametrize("act", ACTS)
def test_an_act_without_the_token_of_the_form_is_refused(operator, plan, copy, running_job, act):
    from django.test import Client

    strict = Client(enforce_csrf_checks=True)
    strict.force_login(operator)
    url, data = pages(plan, copy, running_job)[act]
    before = effects()
    assert strict.post(url, data).status_code == 403
    assert effects() == before


@pytest.mark.parametrize("act", ACTS)
def test_an_operator_can_and_it_is_recorded_once(as_operator, plan, copy, running_job, act):
    url, data = pages(plan, copy, running_job)[act]
    before = effects()
    response = as_operator.post(url, {**data, "identity": IDENTITY})
    assert response.status_code == 302, response.text
    assert as_operator.get(response.url).status_code == 200
    assert effects() != before
    entry = Entry.objects.get()
    assert (entry.actor, entry.result) == ("otto", Result.DONE)
    asked = Job.objects.exclude(pk=running_job.pk).filter(requested_by="otto").exists()
    # A restore over production waits for a second person.
    assert asked is (act not in {"cancel", "production"})


def test_a_wrong_host_is_refused_recorded_and_what_was_typed_stays(as_operator, plan, copy, caplog):
    url, _ = pages(plan, copy, None or Job(pk=1))["production"]
    response = as_operator.post(url, {"typed_host": "not-the-host", "reason": "why", "identity": IDENTITY})
    assert response.status_code == 200
    assert not Recovery.objects.exists()
    assert Entry.objects.get().result == Result.REFUSED
    assert 'value="not-the-host"' in response.text
    assert IDENTITY not in response.text
    assert IDENTITY not in caplog.text


def test_the_identity_is_in_no_row(as_operator, plan, copy, tmp_path):
    from django.contrib.sessions.models import Session

    url, data = pages(plan, copy, Job(pk=1))["verify"]
    as_operator.post(url, {**data, "identity": f"# created: now\n# public key: age1x\n{IDENTITY}\n"})
    check = Verification.objects.get()
    texts = [str(row.__dict__) for row in (check, check.job, *Entry.objects.all())]
    texts += [str(session.get_decoded()) for session in Session.objects.all()]
    assert not any("AGE-SECRET" in text for text in texts)


@pytest.mark.parametrize("text", ["age1notasecret", "AGE-SECRET-KEY-XYZ", f"{IDENTITY}\n{OTHER}"])
def test_what_is_no_identity_is_refused_without_being_shown(as_operator, plan, copy, text):
    url, data = pages(plan, copy, Job(pk=1))["verify"]
    response = as_operator.post(url, {**data, "identity": text})
    assert response.status_code == 200 and "This is not one age identity" in response.text
    assert text not in response.text
    assert not Verification.objects.exists()


def test_beside_needs_a_source_and_good_names(as_operator, plan, copy, database, uploads):
    url = address(copy, "beside")
    assert "Choose at least one source" in as_operator.post(url, {}).text
    named = {f"use_{database.pk}": "on", f"name_{database.pk}": "../etc"}
    response = as_operator.post(url, named)
    assert "a letter or digit first" in response.text and "../etc</textarea>" in response.text
    assert not Recovery.objects.exists()


def test_beside_restores_what_was_chosen_alone(as_operator, plan, copy, database, uploads):
    data = {f"use_{database.pk}": "on", f"name_{database.pk}": "orders_old", f"name_{uploads.pk}": "x"}
    as_operator.post(address(copy, "beside"), data)
    recovery = Recovery.objects.get()
    assert list(recovery.sources.all()) == [database]
    assert recovery.names == {"database": "orders_old"}


def test_production_asks_for_the_sources_first(as_operator, copy, database):
    page = as_operator.get(address(copy, "production")).text
    assert "Which sources are to be overwritten?" in page and "typed_host" not in page
    page = as_operator.get(f"{address(copy, 'production')}?source={database.pk}").text
    assert "typed_host" in page and database.build().host in page and "What will happen" in page
    response = as_operator.post(address(copy, "production"), {"typed_host": f"shop@{database.build().host}"})
    assert response.status_code == 200 and not Recovery.objects.exists()


def test_production_says_when_no_source_was_chosen(as_operator, copy, database):
    assert "No source was chosen." not in as_operator.get(address(copy, "production")).text
    assert "No source was chosen." in as_operator.get(f"{address(copy, 'production')}?asked=1").text


def test_production_without_the_stop_commands(as_operator, copy, database):
    url, host = f"{address(copy, 'production')}?source={database.pk}", f"shop@{database.build().host}"
    assert 'name="skip_stop"' in as_operator.get(url).text
    wrong = as_operator.post(url, {"typed_host": "x", "reason": "why", "skip_stop": "on"})
    assert "The stop commands are not run, as asked for" in wrong.text
    as_operator.post(url, {"typed_host": host, "reason": "why", "skip_stop": "on"})
    assert Recovery.objects.get().skip_stop


def test_no_restore_is_offered_from_a_damaged_copy(as_operator, taken, copy):
    copy.state = "damaged"
    copy.save()
    page = as_operator.get(address(copy)).text
    assert address(copy, "verify") in page
    assert address(copy, "beside") not in page and address(copy, "production") not in page


def test_one_damaged_copy_is_not_many(as_operator, taken, copy):
    copy.state = "damaged"
    copy.save()
    assert "1 damaged copy lies here." in as_operator.get(address(copy.destination)).text


def test_what_cannot_be_done_is_said_on_the_page(as_operator, plan, destination):
    destination.enabled = False
    destination.save()
    response = as_operator.post(address(plan, "back_up"), {})
    assert response.status_code == 200 and "no destination that is enabled" in response.text
    assert not Set.objects.exists()


def test_a_job_that_has_ended_cannot_be_cancelled(as_operator, running_job):
    running_job.state = State.SUCCEEDED
    running_job.save()
    response = as_operator.post(address(running_job, "cancel"))
    assert "has ended" in response.text
    assert not Entry.objects.filter(result=Result.DONE).exists()


def identity_file(text: str) -> SimpleUploadedFile:
    return SimpleUploadedFile("identity.txt", text.encode(), "text/plain")


def test_the_identity_may_come_as_a_file_and_is_kept_nowhere(as_operator, plan, copy, monkeypatch):
    url = address(copy, "verify")
    page = as_operator.get(url).text
    assert 'enctype="multipart/form-data"' in page and 'type="file"' in page
    handed = []
    monkeypatch.setattr(
        "backups.verify.request",
        lambda copy, level, *, requested_by, identity: handed.append(identity) or copy,
    )
    given = {
        "level": "proven",
        "identity": "",
        "identity_file": identity_file(f"# created: today\n{IDENTITY}\n"),
    }
    assert as_operator.post(url, given).status_code == 302
    assert [one.reveal() for one in handed] == [IDENTITY]
    assert IDENTITY not in str(list(Entry.objects.values()))


@pytest.mark.parametrize("text", ["nothing of the kind", f"{IDENTITY}\n{OTHER}", "x" * 100_000])
def test_a_wrong_file_is_refused_and_not_shown_again(as_operator, plan, copy, text):
    given = {"level": "proven", "identity": "", "identity_file": identity_file(text)}
    response = as_operator.post(address(copy, "verify"), given)
    assert response.status_code == 200 and not Verification.objects.exists()
    assert "This is not one age identity" in response.text
    assert IDENTITY not in response.text and "nothing of the kind" not in response.text
