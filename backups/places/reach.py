"""Whether the places that keep sets can be used just now: a short look, nothing is written."""

import threading
import time

from backups.destinations import destinations
from backups.models import Destination
from drcenter.errors import OperationFailed

SECONDS = 8.0


def unusable(seconds: float = SECONDS) -> dict[str, OperationFailed]:
    """{name: what is wrong} of the enabled destinations that cannot be used, or do not answer in time."""
    rows = list(Destination.objects.filter(enabled=True).order_by("name"))
    wrong: dict[str, OperationFailed | None] = {}
    threads = [threading.Thread(target=_look, args=(row, wrong), daemon=True) for row in rows]
    for thread in threads:
        thread.start()
    end = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    late = OperationFailed(f"It does not answer within {seconds:.0f} s.")
    answers = {row.name: wrong.get(row.name, late) for row in rows}
    return {name: error for name, error in answers.items() if error is not None}


def _look(row: Destination, wrong: dict[str, OperationFailed | None]) -> None:
    """Without the repetitions of a run: who asks wants to know how it is now. No database: it is a thread."""
    try:
        place = destinations()[row.kind](row.options)
        place.space()
        next(iter(place.list("drcenter-is-it-there/")), None)
    except OperationFailed as error:
        wrong[row.name] = error
    except Exception as error:  # noqa: BLE001 - a plugin's fault is told like the place's own
        wrong[row.name] = OperationFailed(f"{type(error).__name__}: {error}")
    else:
        wrong[row.name] = None
