"""The second person of the tests: approves what somebody else asked for, and lets it begin."""

from django.contrib.auth.models import Permission, User

from backups.models import Recovery
from backups.recovery import approval, begin
from drcenter.secrets import Secret


def somebody(name: str, *rights: str) -> User:
    """A user of the panel with these rights, made where there is none."""
    user, _new = User.objects.get_or_create(username=name, defaults={"is_staff": True})
    user.user_permissions.add(*Permission.objects.filter(codename__in=rights))
    return User.objects.get(pk=user.pk)


def requester() -> User:
    return somebody("otto", "restore_production")


def second() -> User:
    return somebody("beate", "approve_recovery")


def carried_out(recovery: Recovery, identity: Secret | None = None) -> Recovery:
    """Approved by a second person, and begun: its job waits for a worker."""
    approval.approve(recovery, user=second(), seen=recovery.digest)
    return begin.begin(recovery, actor=recovery.requested_by, identity=identity)
