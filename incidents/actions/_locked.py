"""Lock files of package managers."""

import json
import os
from typing import Any

from django.utils.translation import gettext as _

from drcenter.errors import OperationFailed
from incidents.actions.base import Context


def lock_file(context: Context, name: str) -> dict[str, Any]:
    """Its content. Raises OperationFailed when there is none, or it cannot be read."""
    path = os.path.join(context.ground.directory, name)
    try:
        with open(path, encoding="utf-8") as stream:
            found = json.load(stream)
    except (OSError, ValueError) as error:
        raise OperationFailed(
            _("The lock file %(path)s cannot be read: %(error)s") % {"path": path, "error": error},
            _("Without it nobody knows which packages the code was tried with."), permanent=True,
        ) from None  # fmt: skip
    if not isinstance(found, dict):
        raise OperationFailed(_("The lock file %(path)s is none.") % {"path": path}, permanent=True)
    return found
