"""Sources and destinations: the plugin first, then its own fields, stored as its form cleaned them."""

import pytest

from backups.destinations import destinations
from backups.engines import engines
from backups.models import Destination, Source
from backups.places.trial import check
from drcenter.audit.models import Entry
from drcenter.jobs.models import Job
from drcenter.jobs.work import run_job
from drcenter.panel.pages import address

ADD_SOURCE = "/admin/backups/source/add/"
ADD_DESTINATION = "/admin/backups/destination/add/"


def source_fields(system, **options):
    own = {"system": system.pk, "name": "database", "tier": "database", "enabled": "on"}
    return own | {f"option-{name}": value for name, value in options.items()}


def test_adding_asks_for_the_engine_first(as_admin):
    page = as_admin.get(ADD_SOURCE).text
    for name in engines():
        assert f"?engine={name}" in page
    page = as_admin.get(ADD_DESTINATION).text
    for name in destinations():
        assert f"?kind={name}" in page


@pytest.mark.parametrize("name", sorted(engines()))
def test_every_engine_has_its_form(as_admin, name):
    page = as_admin.get(f"{ADD_SOURCE}?engine={name}").text
    for option in engines()[name].Options.base_fields:
        assert f'name="option-{option}"' in page, option


@pytest.mark.parametrize("name", sorted(destinations()))
def test_every_destination_has_its_form(as_admin, name):
    page = as_admin.get(f"{ADD_DESTINATION}?kind={name}").text
    for option in destinations()[name].Options.base_fields:
        assert f'name="option-{option}"' in page, option


def test_what_the_form_accepts_is_stored(as_admin, system, tmp_path):
    path = tmp_path / "app.sqlite3"
    response = as_admin.post(f"{ADD_SOURCE}?engine=sqlite", source_fields(system, path=str(path)))
    assert response.status_code == 302, response.context["errors"]
    source = Source.objects.get()
    assert source.engine == "sqlite" and source.options["path"] == str(path)
    assert Entry.objects.get().action == "backups.source.added"


def test_what_the_form_refuses_is_said_at_its_field(as_admin, system):
    response = as_admin.post(f"{ADD_SOURCE}?engine=sqlite", source_fields(system, path=""))
    assert response.status_code == 200
    assert "option-path" in response.context["adminform"].form.errors
    assert not Source.objects.exists()


def test_a_secret_in_place_of_a_reference_is_refused(as_admin, system):
    fields = source_fields(system, host="db1", user="backup", database="app", password="hunter2-hunter2")
    response = as_admin.post(f"{ADD_SOURCE}?engine=mariadb", fields)
    assert response.status_code == 200
    assert "env:NAME" in str(response.context["adminform"].form.errors["option-password"])
    assert not Source.objects.exists()


def test_the_engine_stays_what_it_is(as_admin, database):
    page = as_admin.get(address(database)).text
    assert database.options["path"] in page
    fields = source_fields(database.system, path=database.options["path"]) | {"engine": "files"}
    response = as_admin.post(f"{address(database)}?engine=files", fields)
    assert response.status_code == 302, response.context["errors"]
    database.refresh_from_db()
    assert database.engine == "sqlite"


def test_saving_a_destination_prepares_it(as_admin, tmp_path):
    fields = {"name": "disk", "enabled": "on", "option-path": str(tmp_path / "new" / "place")}
    assert as_admin.post(f"{ADD_DESTINATION}?kind=local", fields).status_code == 302
    check(Destination.objects.get().build())


def test_a_destination_that_cannot_be_prepared_is_not_stored(as_admin, tmp_path):
    (tmp_path / "file").write_text("")
    fields = {"name": "disk", "enabled": "on", "option-path": str(tmp_path / "file" / "place")}
    response = as_admin.post(f"{ADD_DESTINATION}?kind=local", fields)
    assert response.status_code == 200 and "A file stands where a directory is needed" in response.text
    assert not Destination.objects.exists()


def test_a_test_says_whether_the_destination_works(as_admin, destination, tmp_path):
    """The button leads to the job, and the page of the destination shows every step of the last one."""

    def tried():
        asked = as_admin.post(address(destination, "check"))
        job = Job.objects.latest("pk")
        assert asked.url == address(job)
        run_job(job.pk)
        return Job.objects.get(pk=job.pk), as_admin.get(address(destination)).text

    job, page = tried()
    assert job.state == "succeeded" and "put in parts" in page and "clean up" in page
    (tmp_path / "sets").rename(tmp_path / "gone")
    job, page = tried()
    assert job.state == "failed" and "Mount the disk" in job.hint and "Mount the disk" in page
    assert "clean up" not in page
    results = Entry.objects.filter(action="destination.check").order_by("pk")
    assert [entry.result for entry in results] == ["done", "failed"]


def test_a_look_says_what_is_there(as_admin, database):
    assert "Reached" in as_admin.post(address(database, "look"), follow=True).text
    database.options = {"path": "/nowhere/at/all.sqlite3"}
    database.save()
    page = as_admin.post(address(database, "look"), follow=True).text
    assert "Reached" not in page and "/nowhere/at/all.sqlite3" in page


@pytest.mark.parametrize("page", ["look", "check"])
def test_both_want_post_and_the_right(client, as_viewer, viewer, database, destination, page):
    url = address(database if page == "look" else destination, page)
    assert as_viewer.post(url).status_code == 403
    assert as_viewer.get(url).status_code == 403
    viewer.is_superuser = True
    viewer.save()
    assert as_viewer.get(url).status_code == 405
