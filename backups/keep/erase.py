"""Removes a folder of a destination for good: every object, every version, every unfinished upload."""

from collections.abc import Callable

from django.utils.translation import gettext as _

from backups.destinations.base import Destination
from backups.storage import layout
from drcenter.errors import OperationFailed


def erase(store: Destination, prefix: str, check: Callable[[], object] = lambda: None) -> int:
    """How many versions went. The manifest goes first: what is half removed is no set.

    `check` is called before each of them, and may raise to stop. Raises OperationFailed when something is locked, or
    is still listed afterwards.
    """
    versions = sorted(store.list_versions(prefix), key=lambda one: one.key != prefix + layout.MANIFEST)
    for one in versions:
        check()
        store.delete_version(one.key, one.version)
    store.abort(prefix)
    if (left := next(iter(store.list_versions(prefix)), None)) is not None:
        raise OperationFailed(
            _("The destination still lists %(key)s.") % {"key": left.key},
            _("It is looked at again with the next run."),
        )
    return len(versions)
