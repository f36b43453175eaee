"""What of this installation goes into its own backup, and what never does."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _

from backups.models import Source
from drcenter.errors import OperationFailed

# The reference by which the engine gets the address of the panel's own database, where that is PostgreSQL.
URL = "env:DRC_DATABASE_URL"
SIGNING_KEY = "signing_key.pem"


def database_source() -> tuple[str, dict[str, Any]]:
    """(engine, options) of the panel's own database."""
    one = settings.DATABASES["default"]
    if one["ENGINE"].endswith("sqlite3"):
        return "sqlite", {"path": str(one["NAME"])}
    return "postgresql", {"url": URL}


def key_source() -> tuple[str, dict[str, Any]]:
    """(engine, options) of the key that signs the sets; no other secret of the state directory."""
    return "files", {"path": str(Path(settings.STATE_DIR)), "only": [SIGNING_KEY]}


def refuse_over_itself(sources: Iterable[Source]) -> None:
    """Raises OperationFailed for a restore over the database in which this very restore is written down."""
    engine, options = database_source()
    for source in sources:
        if source.engine == engine and all(
            source.options.get(name) == value for name, value in options.items()
        ):
            raise OperationFailed(
                _("The DR Center cannot restore over its own database while it runs on it."),
                _("Restore it beside, stop manage.py run, and put it in place: docs/rebuild.md says how."),
                permanent=True,
            )


def refuse_in_the_clear(sources: Iterable[Source], *, encrypted: bool) -> None:
    """Raises OperationFailed rather than store key material that anybody could read."""
    if encrypted:
        return
    state = Path(settings.STATE_DIR)
    for source in sources:
        if source.engine == "files" and _reaches(state / SIGNING_KEY, source.options):
            raise OperationFailed(
                _(
                    "The source %(source)s holds the signing key of this DR Center, and the plan does not encrypt."
                )
                % {"source": source.name},
                _("Let the plan encrypt, or take this source out of it."),
                permanent=True,
            )


def _reaches(key: Path, options: dict[str, Any]) -> bool:
    root = Path(str(options.get("path") or "/nowhere"))
    if root != key.parent and root not in key.parents:
        return False
    only = options.get("only") or []
    return not only or key.relative_to(root).parts[0] in only
