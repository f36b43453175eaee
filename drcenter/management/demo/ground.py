"""What the demonstration stands on: the panel's database, a login, and a key to encrypt to."""

import pyrage
from django.conf import settings
from django.contrib.auth.models import Group, User
from django.core.management import call_command
from django.db import transaction
from django.utils.translation import gettext as _

from backups.models import RecoveryKey
from drcenter.audit.record import record
from drcenter.errors import OperationFailed
from drcenter.management.demo import places

ACTOR = "demo"
USER = "admin"
# Approves what the first one asks for: nobody approves their own.
SECOND = "second"
KEY_NAME = "demonstration only"


def prepare_database() -> None:
    """Bring the tables up to date. Raises OperationFailed in the state directory of a real installation."""
    call_command("migrate", verbosity=0, interactive=False)
    if RecoveryKey.objects.exclude(name=KEY_NAME).exists():
        raise OperationFailed(
            _("{place} belongs to an installation with recovery keys of its own.").format(
                place=settings.STATE_DIR
            ),
            _("The demonstration needs a place to itself: DRC_STATE=/another/directory."),
            permanent=True,
        )


def login() -> tuple[str, str]:
    """Name and password of the panel's user; the password is made once and kept."""
    return _user(USER, "password", is_superuser=True)


def second_login() -> tuple[str, str]:
    """Of the second person: they may look, and approve what the first one restores over production."""
    login = _user(SECOND, "second-password")
    user = User.objects.get(username=SECOND)
    user.groups.add(*Group.objects.filter(role__key="approver"))
    return login


def _user(name: str, secret: str, **flags: bool) -> tuple[str, str]:
    password = places.secret(secret)
    with transaction.atomic():
        user, is_new = User.objects.get_or_create(username=name, defaults={"is_staff": True, **flags})
        if not user.check_password(password):
            user.set_password(password)
            user.save()
            record(ACTOR, "demo.login", user, new=is_new)
    return name, password


def drill_identity() -> str:
    """A reference to the identity that can read the sample sets. It lies beside them: for a demonstration only."""
    path = places.directory() / "drill-identity"
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(f"{pyrage.x25519.Identity.generate()}\n")
    recipient = str(pyrage.x25519.Identity.from_str(path.read_text().strip()).to_public())
    with transaction.atomic():
        key, is_new = RecoveryKey.objects.update_or_create(
            name=KEY_NAME, defaults={"recipient": recipient, "for_drills": True, "active": True}
        )
        if is_new:
            record(ACTOR, "demo.key", key)
    return f"file:{path}"
