"""Runs a system's own commands: stop, clean up, start."""

import os
import pwd
import tempfile
from collections.abc import Mapping, Sequence

from drcenter.errors import OperationFailed
from drcenter.process import Children, Command, describe_exit, find, start
from drcenter.secrets import Secret
from drcenter.systems.models import System

# Seconds; `php artisan down` takes one, a cluster that drains may take minutes.
PATIENCE = 600
# Bytes of a command's output that are kept, and that a message of a failure repeats.
LARGEST = 1 << 20
TAIL = 4096


def check_commands(system: System, *, skip_stop: bool = False) -> None:
    """Raises OperationFailed when a command of the system could not even be started. Runs nothing.

    `skip_stop`: its stop commands will not be needed, and the directory of the commands may be gone: the restore
    may bring it back, before the first of the others runs.

    Asked before anything is touched: a missing `php` must not turn up when the application is to be started.
    """
    stop = [] if skip_stop else system.pause_command
    gone = skip_stop and is_gone(system)
    for words in [*stop, *system.after_restore_command, *system.resume_command]:
        if gone and "/" in words[0]:
            continue
        try:
            find(words[0] if gone else command_for(system, words).argv[0])
        except OperationFailed as error:
            raise OperationFailed(
                f"{' '.join(words)}: {error.message}", error.hint, permanent=error.permanent
            ) from error


def is_gone(system: System) -> bool:
    """The directory of its commands is not there."""
    return bool(system.commands_directory) and not os.path.lexists(system.commands_directory)


def run_commands(
    system: System, commands: Sequence[Sequence[str]], children: Children | None = None
) -> list[str]:
    """Run them in order, in the system's directory and as its user; the last line of output of each.

    Raises OperationFailed at the first that fails; those after it do not run.
    """
    return [_run(system, words, children) for words in commands]


def _run(system: System, words: Sequence[str], children: Children | None) -> str:
    try:
        said = printed(command_for(system, words), children)
    except OperationFailed as error:
        raise OperationFailed(
            f"{' '.join(words)}: {error.message}", error.hint, permanent=error.permanent
        ) from error
    return said.rpartition("\n")[2]


def printed(command: Command, children: Children | None = None, patience: float | None = None) -> str:
    """Run it for at most `patience` seconds (PATIENCE); the end of what it printed, at most LARGEST bytes.

    Raises OperationFailed unless its code is accepted.
    """
    # Into a file, not a pipe: a daemon that a start command leaves behind would hold a pipe open for ever.
    with tempfile.TemporaryFile() as output:
        with start(command, stdout=output, children=children) as child:
            code = child.wait(PATIENCE if patience is None else patience)
        said = _end(output.fileno())
    if code not in command.accepted:
        # PHP writes its fatal errors to standard output.
        reason = child.stderr or said[-TAIL:].strip() or "no message"
        raise OperationFailed(f"{command.tool} {describe_exit(code)}: {reason}")
    return said


def _end(number: int) -> str:
    size = os.fstat(number).st_size
    return os.pread(number, LARGEST, max(0, size - LARGEST)).decode(errors="replace").strip()


def command_for(
    system: System,
    words: Sequence[str],
    *,
    files: Mapping[str, Secret] | None = None,
    accepted: tuple[int, ...] = (0,),
) -> Command:
    """What is started for `words`. Raises OperationFailed when its directory or user cannot be used."""
    directory = system.commands_directory or None
    if directory is not None and not os.path.isdir(directory):
        raise OperationFailed(
            f"The directory of the commands, {directory}, does not exist.",
            "Correct it on the system's page; or restore the application's files beside, and move them there first.",
            permanent=True,
        )
    first, *rest = words
    if "/" in first and directory is not None:
        first = os.path.join(directory, first)
    account = _account(system)
    if account is None:
        return Command((first, *rest), directory=directory, files=files or {}, accepted=accepted)
    # Its own home, or its tools would write into ours.
    env = {"HOME": account.pw_dir, "USER": account.pw_name, "LOGNAME": account.pw_name}
    return Command(
        (first, *rest),
        directory=directory,
        user=account.pw_name,
        env=env,
        files=files or {},
        accepted=accepted,
    )


def _account(system: System) -> pwd.struct_passwd | None:
    """Whom to become; None to stay who we are."""
    if not system.commands_user:
        return None
    try:
        account = pwd.getpwnam(system.commands_user)
    except KeyError:
        raise OperationFailed(
            f"There is no user {system.commands_user} on this machine.",
            "Correct the user of the commands on the system's page.",
            permanent=True,
        ) from None
    if account.pw_uid == os.geteuid():
        return None
    if os.geteuid() != 0:
        raise OperationFailed(
            f"The worker is {_me()}, and cannot act as {account.pw_name}.",
            f"Run it as root or as {account.pw_name}; or leave the user of the commands empty, and begin them"
            f" with: sudo -n -u {account.pw_name}",
            permanent=True,
        )
    return account


def _me() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return f"the user {os.geteuid()}"
