"""Looks at a Laravel application: reads its files, runs `artisan --version` and `git status`, no more."""

import re
from collections.abc import Callable
from pathlib import Path

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from backups.dotenv import Environment, parse
from backups.look import surroundings
from backups.look.laravel_database import database_source
from backups.look.machine import Machine, further, services
from backups.look.proposal import Proposal, ProposedSource
from backups.models.plan import Tier
from drcenter.errors import OperationFailed

# What is made again by `composer install`, `npm install` or the framework.
# The framework makes the files in bootstrap/cache anew, and does not start without the directory.
REBUILT = ["vendor", "node_modules", "bootstrap/cache/*", ".git", "storage", "public/hot"]
# Directories are kept, since the framework wants them; what it puts there is made again.
REGENERATED = [
    "framework/cache/data/*",
    "framework/sessions/*",
    "framework/views/*",
    "framework/testing/*",
    "logs/*",
]
# The application stays stopped while its files come back.
MAINTENANCE = ["framework/down", "framework/maintenance.php"]
CONFIGURATION = [".env", ".env.*", "config"]
# Which versions of everybody else's code belong to it; also in the application's own source.
MANIFESTS = [
    "composer.json", "composer.lock", "package.json", "package-lock.json", "yarn.lock", "pnpm-lock.yaml",
]  # fmt: skip
# Directories of their own tier, where an application has them.
SEPARATE = {
    "docs": Tier.DOCUMENTATION, "claudedocs": Tier.DOCUMENTATION, "scripts": Tier.SCRIPTS,
    "public/uploads": Tier.STORAGE, "public/media": Tier.STORAGE,
}  # fmt: skip
VERSION = re.compile(r"Laravel Framework (?:Lumen \()?v?([\d.]+)")


def is_laravel(root: Path) -> bool:
    return (root / "artisan").is_file()


def look(root: Path, machine: Machine | None = None) -> Proposal:
    """What is there, and what to do about it; with `machine`, also what of the machine belongs to it.

    Raises OperationFailed only where nothing can be proposed.
    """
    environment, notes = _environment(root)
    proposal = Proposal(name=environment.get("APP_NAME") or root.name, directory=str(root), notes=notes)
    proposal.user = "" if (owner := surroundings.owner(root)) == "root" or owner.isdigit() else owner
    proposal.facts = _facts(root, environment, owner)
    _propose_sources(root, environment, proposal, machine)
    _propose_commands(environment, proposal)
    proposal.notes += _notes(root, environment)
    return proposal


def _environment(root: Path) -> tuple[Environment, list[str]]:
    """The `.env`, and sentences about what is odd with it."""
    path = root / ".env"
    try:
        read = parse(path.read_bytes())
    except FileNotFoundError:
        return Environment(), [
            _("There is no .env file: the settings come from somewhere else, or are lost.")
        ]
    except OSError as error:
        raise OperationFailed(
            _("{path} cannot be read: {reason}.").format(path=path, reason=error.strerror),
            _("Run this as root, or as {owner}.").format(owner=surroundings.owner(path)),
            permanent=True,
        ) from None
    return read, [
        _(".env, {problem}. Laravel may refuse this file.").format(problem=one) for one in read.problems
    ]


def _facts(root: Path, environment: Environment, owner: str) -> list[tuple[str, str]]:
    facts = [(_("Application"), _version(root)), (_("Owner"), owner)]
    facts.append((_("Environment"), environment.get("APP_ENV", "production")))
    if queue := environment.get("QUEUE_CONNECTION"):
        facts.append((_("Queue"), queue))
    facts.append((_("Link public/storage"), _link(root / "public" / "storage")))
    facts.append((_("Git"), _said(lambda: _git(root))))
    return facts


def _version(root: Path) -> str:
    def ask() -> str:
        answer = surroundings.run_as_owner(root, "php", "artisan", "--version", "--no-ansi")
        return f"Laravel {found[1]}" if (found := VERSION.search(answer)) else answer.strip()[:80]

    return _said(ask)


def _said(ask: Callable[[], str]) -> str:
    """The answer, or why there is none: none of these is needed for a backup."""
    try:
        return ask()
    except OperationFailed as error:
        return _("unknown: {reason}").format(reason=error.message.partition("\n")[0][:200])


def _link(path: Path) -> str:
    if path.is_symlink():
        return (
            str(path.readlink())
            if path.exists()
            else _("leads nowhere: {place}").format(place=path.readlink())
        )
    return _("a directory of its own") if path.is_dir() else _("none")


def _git(root: Path) -> str:
    state = surroundings.git_state(root)
    if state is None:
        return _("no repository")
    changed = ngettext("{n} changed file", "{n} changed files", state.changed).format(n=state.changed)
    if state.unpushed is None:
        pushed = _("no upstream")
    else:
        pushed = ngettext("{n} commit not pushed", "{n} commits not pushed", state.unpushed).format(
            n=state.unpushed
        )
    return f"{state.branch}, {changed}, {pushed}"


def _propose_sources(
    root: Path, environment: Environment, proposal: Proposal, machine: Machine | None
) -> None:
    separate = [name for name in SEPARATE if (root / name).is_dir() and not (root / name).is_symlink()]
    proposal.sources = [
        _files(
            "application",
            root,
            Tier.APPLICATION,
            _("the code, without what is made again"),
            exclude=[*REBUILT, *CONFIGURATION, *separate],
        ),
        _files(
            "configuration",
            root,
            Tier.CONFIGURATION,
            _("settings, keys, and the manifests of packages"),
            only=[*CONFIGURATION, *MANIFESTS],
        ),
    ]
    if (storage := root / "storage").is_dir():
        real = storage.resolve()
        proposal.sources.append(
            _files(
                "storage",
                real,
                Tier.STORAGE,
                _("what people have uploaded"),
                exclude=REGENERATED,
                keep=MAINTENANCE,
            )
        )
    for name in separate:
        proposal.sources.append(
            _files(name.replace("/", "-"), root / name, SEPARATE[name], _("a directory of its own kind"))
        )
    try:
        database = database_source(root, environment, _configuration(root))
    except OperationFailed as problem:
        database = ProposedSource("database", "", Tier.DATABASE, {}, target=_("database"), problem=problem)
    database.reason = _("what the application has written")
    _leave_out_database(database, proposal)
    for source in proposal.sources:
        source.inspect()
    if database.problem is None:
        database.inspect()
    proposal.sources.append(database)
    if machine is not None:
        _propose_further(root, environment, proposal, machine)


def _propose_further(root: Path, environment: Environment, proposal: Proposal, machine: Machine) -> None:
    """What goes beyond its own files and its database."""
    more = further(root, environment, proposal.sources[-1], machine)
    for source in more:
        source.inspect()
    proposal.sources += more
    if names := services(environment):
        proposal.notes.append(
            _(
                "The settings name external services: {names}. What is there is in no backup yet: add a source of the kind Command that exports it."
            ).format(names=names)
        )


def _files(name: str, path: Path, tier: Tier, reason: str, **options: list[str]) -> ProposedSource:
    return ProposedSource(name, "files", tier, {"path": str(path), **options}, reason=reason)


def _leave_out_database(database: ProposedSource, proposal: Proposal) -> None:
    """A database file is no file to copy while somebody writes to it: its own engine dumps it."""
    if database.engine != "sqlite":
        return
    file = Path(database.options["path"])
    for source in proposal.sources:
        if "only" not in source.options and file.is_relative_to(source.options["path"]):
            name = file.relative_to(source.options["path"])
            literal = re.sub(r"([*?\[])", r"[\1]", str(name))
            found = [literal, *(f"{literal}-{ending}" for ending in ("wal", "shm", "journal"))]
            source.options["exclude"] = [*source.options.get("exclude", []), *found]


def _configuration(root: Path) -> str:
    try:
        return (root / "config" / "database.php").read_text(errors="replace")
    except OSError:
        return ""  # Laravel 11 and newer bring a default of their own.


def _propose_commands(environment: Environment, proposal: Proposal) -> None:
    artisan = ["php", "artisan"]
    address = environment.get("APP_URL")
    proposal.address = address if address.startswith(("http://", "https://")) else ""
    proposal.pause = [[*artisan, "down"]]
    proposal.resume = [[*artisan, "up"]]
    proposal.after_restore = [[*artisan, "config:clear"], [*artisan, "cache:clear"]]
    queue = environment.get("QUEUE_CONNECTION")
    if queue in {"redis", "sqs", "beanstalkd"}:
        # Its jobs speak of rows that are no longer there.
        proposal.after_restore.append([*artisan, "queue:clear", queue, "--force"])
        proposal.notes.append(
            _(
                "After a restore the queue {queue} is emptied: its jobs are from after the restored moment."
            ).format(queue=queue)
        )
    elif queue == "database":
        proposal.notes.append(
            _(
                "Queued jobs are in the database: a restore brings back those of its moment, and they run again."
            )
        )
    # Workers load the code anew; while the application is down they wait.
    proposal.after_restore.append([*artisan, "queue:restart"])


def _notes(root: Path, environment: Environment) -> list[str]:
    notes = []
    if (root / "bootstrap" / "cache" / "config.php").exists():
        notes.append(
            _(
                "The configuration is cached: Laravel uses bootstrap/cache/config.php, and .env may say something else by now."
            )
        )
    if environment.get("APP_MAINTENANCE_DRIVER") == "cache":
        notes.append(
            _(
                "APP_MAINTENANCE_DRIVER is cache: clearing the cache ends maintenance mode. Use the driver file."
            )
        )
    if not environment.get("APP_KEY"):
        notes.append(_("APP_KEY is empty in .env. Encrypted columns cannot be read without it: where is it?"))
    if programs := surroundings.supervisor_programs(root):
        notes.append(
            _(
                "Supervisor runs {names}. In maintenance mode queue workers wait, unless they were started with --force."
            ).format(names=", ".join(programs))
        )
    if lines := surroundings.cron_lines(root):
        notes.append(
            ngettext(
                "{n} cron line names this directory.", "{n} cron lines name this directory.", lines
            ).format(n=lines)
            + " "
            + _("The scheduler of Laravel rests in maintenance mode; other commands do not.")
        )
    return notes
