"""The pages on which people decide about a recovery into production, and the shell that does the same."""

import time
from datetime import timedelta

import pytest
import time_machine
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from backups.models import Approval, Recovery
from backups.recovery import restore
from drcenter.audit.models import Entry, Result
from drcenter.errors import OperationFailed
from drcenter.notify.models import Channel, Delivery
from drcenter.panel.pages import address
from drcenter.secrets import Secret
from drcenter.signin import proof
from tests.backups.approving import requester
from tests.backups.scene import Scene, scene
from tests.backups.typed import environment, manage
from tests.cast import PASSWORD, SEE, person

__all__ = ["environment", "manage", "scene"]
pytestmark = pytest.mark.django_db(transaction=True)
WHY = "The shop is down, and nobody else can be reached"


@pytest.fixture
def row(scene: Scene) -> Recovery:
    return restore.request_production(
        scene.copy,
        sources=[],
        typed_host=scene.typed,
        requested_by="otto",
        user=requester(),
        reason="rows are gone",
    )


def signed_in(name: str, *rights: str, **flags) -> Client:
    if not User.objects.filter(username=name).exists():
        person(name, [*SEE, *rights], **flags)
    client = Client()
    answer = client.post(reverse("account_login"), {"login": name, "password": PASSWORD})
    assert answer.status_code == 302
    return client


def approving(row: Recovery) -> dict[str, str]:
    return {"digest": row.digest, "read": "on"}


def test_the_page_shows_what_is_approved_and_approves_that(row: Recovery, scene: Scene) -> None:
    beate = signed_in("beate", "approve_recovery")
    page = beate.get(address(row, "approve")).text
    host = scene.database.build().host
    for text in (row.digest, "rows are gone", "otto", host, str(scene.database_path), "stop-web", "is lost"):
        assert text in page, text
    assert Approval.objects.count() == 0, "looking has no effect"
    assert beate.post(address(row, "approve"), approving(row)).status_code == 302
    held = Approval.objects.get()
    assert (held.digest, held.by) == (row.digest, "beate")
    # The same request once more, from the history of the browser.
    again = beate.post(address(row, "approve"), approving(row))
    assert again.status_code == 200 and "It waits for no approval" in again.text
    assert Approval.objects.count() == 1
    assert "Overwrite production now" not in beate.get(address(row)).text
    assert "Overwrite production now" in signed_in("carl", "restore_production").get(address(row)).text


def test_the_digest_of_another_page_approves_nothing(row: Recovery) -> None:
    beate = signed_in("beate", "approve_recovery")
    answer = beate.post(address(row, "approve"), {"digest": "0" * 64, "read": "on"})
    assert answer.status_code == 200 and "another one by now" in answer.text
    assert beate.post(address(row, "approve"), {"digest": row.digest}).status_code == 200
    assert not Approval.objects.exists()


def test_an_old_sign_in_is_not_enough(row: Recovery) -> None:
    beate = signed_in("beate", "approve_recovery")
    with time_machine.travel(timezone.now() + timedelta(minutes=6), tick=True):
        for answer in (
            beate.get(address(row, "approve")),
            beate.post(address(row, "approve"), approving(row)),
        ):
            assert answer.status_code == 302 and reverse("account_reauthenticate") in answer.url
        assert not Approval.objects.exists()
        beate.post(answer.url, {"password": PASSWORD})
        assert beate.post(address(row, "approve"), approving(row)).status_code == 302
    assert Approval.objects.exists()


def test_who_may_not_gets_no_page_and_the_try_is_recorded(row: Recovery) -> None:
    vera = signed_in("vera")
    for page in ("approve", "break_glass", "begin", "resume", "undo", "review", "refuse", "plan_again"):
        assert vera.get(address(row, page)).status_code == 403, page
        assert vera.post(address(row, page)).status_code == 403, page
    assert (
        Entry.objects.filter(actor="vera", result=Result.REFUSED, action__startswith="recovery.").count() == 8
    )


def test_an_administrator_does_not_approve_their_own(scene: Scene) -> None:
    ada = signed_in("ada", is_superuser=True)
    row = restore.request_production(
        scene.copy,
        sources=[],
        typed_host=scene.typed,
        requested_by="ada",
        user=User.objects.get(username="ada"),
    )
    page = ada.get(address(row)).text
    assert address(row, "approve") not in page and address(row, "break_glass") in page
    answer = ada.post(address(row, "approve"), approving(row))
    assert "asked for themselves" in answer.text
    assert not Approval.objects.exists()
    # There is nobody else: the page says so.
    User.objects.exclude(username="ada").delete()
    assert "this is the only way" in ada.get(address(row, "break_glass")).text


def test_break_glass_and_its_review(row: Recovery, scene: Scene) -> None:
    Channel.objects.create(name="deaf", url="env:NONE", on_failure=False)
    carl = signed_in("carl", "break_glass", "approve_recovery")
    url = address(row, "break_glass")
    assert "could approve it: ask first" in signed_in("dora", "break_glass", "approve_recovery").get(url).text
    for text, typed in (("", scene.typed), ("urgent", scene.typed), (WHY, "elsewhere")):
        assert carl.post(url, {"text": text, "typed": typed}).status_code == 200
    assert not Approval.objects.exists()
    assert carl.post(url, {"text": WHY, "typed": scene.typed}).status_code == 302
    assert Delivery.objects.filter(event="alarm").count() == 1
    overview = carl.get(reverse("admin:index")).text
    assert "BREAK-GLASS" in overview and WHY in overview
    assert "Somebody else has to look at it" in carl.get(address(row, "review")).text
    dora = signed_in("dora")
    dora.post(address(row, "review"), {"text": "it was needed, and the right set was taken"})
    assert Approval.objects.get().reviewed_by == "dora"
    assert "BREAK-GLASS" not in carl.get(reverse("admin:index")).text


def test_it_begins_with_the_identity_which_is_in_no_row(row: Recovery, scene: Scene) -> None:
    before = scene.everything()
    scene.damage()
    signed_in("beate", "approve_recovery").post(address(row, "approve"), approving(row))
    otto = signed_in("carl", "restore_production")
    wrong = otto.post(address(row, "begin"), {})
    assert wrong.status_code == 200 and "no identity is at hand" in wrong.text
    assert otto.post(address(row, "begin"), {"identity": scene.identity.reveal()}).status_code == 302
    row.refresh_from_db()
    assert scene.identity.reveal() not in str(vars(row))
    assert scene.ran(row).state == Recovery.State.SUCCEEDED
    assert scene.everything() == before


class TestOnTheShell:
    def test_a_second_person_by_their_login_of_the_panel(self, row: Recovery, manage, tmp_path) -> None:
        person("beate", ["approve_recovery"])
        (tmp_path / "good").write_text(PASSWORD)
        (tmp_path / "bad").write_text("wrong")
        words = (
            "recover",
            "approve",
            str(row.pk),
            "--as",
            "beate",
            "--digest",
            row.digest[:16],
            "--password",
        )
        done = manage(*words, f"file:{tmp_path}/bad")
        assert (done.returncode, "do not fit" in done.stderr) == (1, True)
        done = manage("recover", "approve", str(row.pk), "--as", "beate", "--digest", "0" * 16, "--password",
                      f"file:{tmp_path}/good")  # fmt: skip
        assert (done.returncode, "another digest" in done.stderr) == (1, True)
        assert not Approval.objects.exists()
        done = manage(*words, f"file:{tmp_path}/good")
        assert done.returncode == 0, done.stderr
        assert row.digest in done.stdout and "rows are gone" in done.stdout
        assert Approval.objects.get().by == "beate"
        results = Entry.objects.filter(action="signin.shell").order_by("pk").values_list("result", flat=True)
        assert list(results) == [Result.FAILED, Result.DONE]

    def test_a_plan_is_written_down_and_code_3_says_that_it_waits(
        self, scene: Scene, manage, tmp_path
    ) -> None:
        person("anna", ["restore_production"])
        (tmp_path / "password").write_text(PASSWORD)
        host = scene.database.build().host
        over = ("recover", "full", "shop", "--production", "--yes", "--host", host, "--reason", "rows are gone",
                "--identity-file", str(tmp_path / "identity"))  # fmt: skip
        (tmp_path / "identity").write_text(scene.identity.reveal())
        done = manage(*over, "--no-wait")
        assert (done.returncode, "Say who asks" in done.stderr) == (2, True)
        done = manage(*over, "--no-wait", "--as", "anna", "--password", f"file:{tmp_path}/password")
        assert done.returncode == 3, done.stderr
        row = Recovery.objects.get()
        assert (row.state, row.requested_by, row.requested_user.username) == ("planned", "anna", "anna")
        assert f"recover approve {row.pk}" in done.stdout and "Nobody else here may approve it" in done.stdout
        assert f"{row.pk}  " in manage("recover", "list").stdout
        assert row.digest in manage("recover", "show", str(row.pk)).stdout

    def test_whoever_has_a_second_factor_shows_it(self, db) -> None:
        from allauth.mfa.totp.internal import auth

        user = person("beate", ["approve_recovery"])
        secret = auth.generate_totp_secret()
        auth.TOTP.activate(user, secret)
        now = int(time.time()) // 30
        code = auth.format_hotp_value(auth.hotp_value(secret, now))
        for wrong in ("", "000000"):
            with pytest.raises(OperationFailed, match="do not fit"):
                proof.prove("beate", Secret(PASSWORD), wrong, actor="shell:root")
        assert proof.prove("beate", Secret(PASSWORD), code, actor="shell:root") == user
        with pytest.raises(OperationFailed, match="do not fit"):
            proof.prove("beate", Secret(PASSWORD), code, actor="shell:root")

    @pytest.mark.parametrize("name", ["nobody", "gone", "customer"])
    def test_who_is_no_user_of_the_panel_proves_nothing(self, db, name: str) -> None:
        person("gone", is_active=False)
        User.objects.create_user("customer", password=PASSWORD)
        with pytest.raises(OperationFailed, match="do not fit"):
            proof.prove(name, Secret(PASSWORD), "", actor="shell:root")
