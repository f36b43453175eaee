"""Runs a system's own commands: stop, clean up, start."""

from collections.abc import Sequence

from drcenter.errors import OperationFailed
from drcenter.process import Children, Command, run
from drcenter.systems.models import System

# Seconds; `php artisan down` takes one, a cluster that drains may take minutes.
PATIENCE = 600


def run_commands(
    system: System, commands: Sequence[Sequence[str]], children: Children | None = None
) -> list[str]:
    """Run them in order, in the system's directory and as its user; their last lines of output.

    Raises OperationFailed at the first that fails; those after it do not run.
    """
    outputs = []
    for words in commands:
        command = Command(
            tuple(words), directory=system.commands_directory or None, user=system.commands_user or None
        )
        try:
            finished = run(command, timeout=PATIENCE, children=children)
        except OperationFailed as error:
            raise OperationFailed(f"{' '.join(words)}: {error.message}", error.hint) from error
        outputs += finished.stdout.decode(errors="replace").strip().splitlines()[-1:]
    return outputs
