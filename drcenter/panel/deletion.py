"""What deleting a row means, in words: what goes with it, what stays, and what stands against it."""

from collections.abc import Iterable
from typing import Any

from django.http import HttpRequest


class Explained:
    """Mixed into a ModelAdmin. `obstacles` refuse the deletion, whatever rights somebody has."""

    delete_confirmation_template = "panel/delete.html"
    delete_selected_confirmation_template = "panel/delete.html"

    def obstacles(self, obj: Any) -> list[str]:
        """Why this row has to stay, each with what to do instead."""
        return []

    def consequences(self, obj: Any) -> list[str]:
        """What is no more afterwards, and what stays."""
        return []

    def get_deleted_objects(self, objs: Iterable[Any], request: HttpRequest) -> tuple[Any, Any, Any, Any]:
        """As Django's, which both of its pages of deletion ask, but in sentences."""
        rows = list(objs)
        _nested, counts, lacking, protected = super().get_deleted_objects(rows, request)  # type: ignore[misc]
        reasons = [reason for row in rows for reason in self.obstacles(row)]
        if reasons:
            return [], counts, set(), reasons
        sentences = [text for row in rows for text in self.consequences(row)]
        own = self.opts.verbose_name_plural  # type: ignore[attr-defined]
        # A kind of row that says nothing of its own: how many of which others go with it.
        others = [
            f"{name}: {count}" for name, count in counts.items() if name != own and "-" not in str(name)
        ]
        return sentences or others, counts, lacking, protected
