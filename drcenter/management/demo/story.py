"""The demonstration from beginning to end."""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field

from django.conf import settings
from django.db import connections
from django.utils.translation import gettext as _

from backups.models import Set
from drcenter import process_tree, sizes
from drcenter.errors import OperationFailed
from drcenter.management.demo import databases, ground, house, laravel, places, rehearsals, samples
from drcenter.management.demo.steps import Steps
from drcenter.management.demo.visitor import Visitor
from drcenter.systems.models import System

LARAVEL = "sample-laravel"


@dataclass
class Story:
    """What was built up to a moment."""

    steps: Steps
    systems: list[System] = field(default_factory=list)
    sets: list[Set] = field(default_factory=list)


def tell(write: Callable[[str], object], wanted_port: int, *, check: bool) -> None:
    """Build everything, show it, and end all of it. With `check`, visit the panel instead of waiting.

    Raises OperationFailed for whatever did not really work, KeyboardInterrupt when somebody ends it.
    """
    story = Story(Steps(write))
    process_tree.inherit_orphans()
    port = house.free_port(wanted_port)
    if port != wanted_port:
        write(
            _("Port {wanted} is taken, so the panel is at port {port}.").format(wanted=wanted_port, port=port)
        )
    with _only_one(), ExitStack() as stack:
        stack.callback(_leave_nothing, port)
        try:
            _build(story, stack)
            home = _open(story, stack, port)
            _back_up(story, home)
            _rehearse(story, home)
            _visit(story, home) if check else _show(story, home)
        finally:
            with story.steps.step(_("Stop everything")):
                connections.close_all()
                stack.close()
    if check:
        write(_("All of it works, in {n:.0f} s.").format(n=story.steps.seconds))


def _build(story: Story, stack: ExitStack) -> None:
    with story.steps.step(_("Prepare the panel's database in {place}").format(place=settings.STATE_DIR)):
        ground.prepare_database()
        ground.login()
        ground.second_login()
    with story.steps.step(_("A Laravel application on SQLite")) as remarks:
        story.systems += _laravel(remarks)
    for name, place in (
        (_("A MariaDB database"), databases.web_shop),
        (_("A PostgreSQL database"), databases.clinic),
    ):
        _database(story, stack, name, place)


def _laravel(remarks: list[str]) -> list[System]:
    place = places.directory() / LARAVEL
    try:
        return [samples.protect_place(str(laravel.create(place)), LARAVEL)]
    except OperationFailed as error:
        if not error.hint.startswith("Install"):
            raise
    remarks.append(_("PHP is not installed: its files and a small database alone"))
    files, database = laravel.without_php(places.directory() / f"{LARAVEL}-files")
    return [
        samples.protect_place(str(files), LARAVEL),
        samples.protect_place(str(database), "sample-database"),
    ]


def _database(
    story: Story, stack: ExitStack, name: str, place: Callable[[], AbstractContextManager[databases.Sample]]
) -> None:
    with story.steps.step(name) as remarks:
        try:
            sample = stack.enter_context(place())
        except OperationFailed as error:
            if not error.hint.startswith("Install"):
                raise
            remarks.append(_("left out: {why} {hint}").format(why=error.message, hint=error.hint))
            return
        story.systems.append(samples.protect_database(sample))


def _open(story: Story, stack: ExitStack, port: int) -> house.House:
    with story.steps.step(_("Start the panel and the workers")):
        identity = ground.drill_identity()
        settings.DRILL_IDENTITY = identity
        home = stack.enter_context(house.running(port, identity))
        Visitor(home.address).wait_until_up(home.alive)
    return home


def _back_up(story: Story, home: house.House) -> None:
    for wanted in samples.request_sets(story.systems):
        with story.steps.step(
            _("Back up {system}, and prove it by a restore").format(system=wanted.system.slug)
        ) as remarks:
            done = samples.wait_for(wanted, home.alive)
            shown = f"{sizes.size(done.plain_size)} → {sizes.size(done.stored_size)}"
            seconds = _("{n:.1f} s of work").format(n=done.job.seconds or 0 if done.job else 0)
            remarks += [str(done.get_level_display()), shown, seconds]
        story.sets.append(done)


def _rehearse(story: Story, home: house.House) -> None:
    for done in story.sets:
        with story.steps.step(
            _("Rehearse the recovery of {system}").format(system=done.system.slug)
        ) as remarks:
            rehearsals.prepare(done.system)
            held = rehearsals.wait_for(rehearsals.request(done), home.alive)
            remarks += [f"{len(held.checks)} ✓", _("back in {n:.1f} s").format(n=held.machine_seconds or 0)]


def _visit(story: Story, home: house.House) -> None:
    visitor = Visitor(home.address)
    with story.steps.step(_("Sign in to the panel")):
        visitor.sign_in(*ground.login())
    with story.steps.step(_("Open its pages")) as remarks:
        pages = visitor.visit_lists()
        for done in story.sets:
            visitor.visit_set(done)
        remarks.append(_("{n} pages, {m} files").format(n=pages + len(story.sets), m=visitor.fetch_assets()))


def _show(story: Story, home: house.House) -> None:
    user, password = ground.login()
    write = story.steps.write
    write("")
    write(_("The panel:  {address}").format(address=home.address))
    write(_("Login:      {user} / {password}").format(user=user, password=password))
    second, other = ground.second_login()
    write(_("Approves:   {user} / {password}  (restores over production need a second person)").format(
        user=second, password=other))  # fmt: skip
    write("")
    write(
        _("WARNING: the identity that can read these backups lies beside them, in {place}.").format(
            place=places.directory() / "drill-identity"
        )
    )
    write(_("That is for this demonstration alone. Never protect real data with this state directory."))
    write("")
    write(_("What to try: open a set and restore it beside the original; change a row and back up again;"))
    write(
        _(
            "or protect something of your own: DRC_STATE={state} .venv/bin/python manage.py protect PATH_OR_URL"
        ).format(state=settings.STATE_DIR)
    )
    write(_("Ctrl-C stops everything. The log of panel and workers: {log}").format(log=home.log))
    while True:
        home.alive()
        time.sleep(0.5)


def _leave_nothing(port: int) -> None:
    """Raises OperationFailed when a process outlived its stop, or the port is still taken."""
    if left := _wait_for_the_last():
        process_tree.kill_all(left)
        raise OperationFailed(_("{n} processes were left over and have been killed.").format(n=len(left)))
    if not house.is_free(port):
        raise OperationFailed(_("Something still listens on port {n}.").format(n=port))


@contextmanager
def _only_one() -> Iterator[None]:
    """Raises OperationFailed when a demonstration runs in this state directory already."""
    with (places.directory() / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OperationFailed(
                _("A demonstration runs in {place} already.").format(place=settings.STATE_DIR),
                _("Stop it first, or choose another place: DRC_STATE=/another/directory."),
            ) from None
        yield


def _wait_for_the_last(patience: float = 3.0) -> list[int]:
    deadline = time.monotonic() + patience
    while (left := process_tree.descendants(os.getpid())) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left
