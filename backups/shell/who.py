"""Which user of the panel somebody on the shell is: the user of the machine may be the same for everybody."""

import getpass
import sys
from argparse import ArgumentParser
from collections.abc import Callable
from typing import Any

from django.contrib.auth.models import User
from django.utils.translation import gettext as _

from backups.shell import cli
from drcenter.errors import OperationFailed
from drcenter.permissions import RESTORE_PRODUCTION, has
from drcenter.secrets import Secret, resolve
from drcenter.signin import proof


def arguments(act: ArgumentParser) -> None:
    act.add_argument(
        "--as", dest="user", metavar="NAME", help=_("your user name in the panel; asked for if missing")
    )
    act.add_argument("--password", metavar="REFERENCE",
                     help=_("env:NAME or file:/path with the password; asked for if missing"))  # fmt: skip


def arguments_to_ask(act: ArgumentParser) -> None:
    """What somebody gives who asks for an act over production."""
    act.add_argument("--reason", help=_("why, for the person who approves; asked for if missing"))
    arguments(act)
    act.add_argument("--break-glass", metavar="REASON",
                     help=_("over production without a second person: all channels are told, and it is reviewed"))  # fmt: skip
    act.add_argument(
        "--no-wait", action="store_true", help=_("write the plan down, and do not wait for approval")
    )
    act.add_argument("--identity-file", help=_("an age identity; asked for where there is a terminal"))
    act.add_argument("--yes", action="store_true", help=_("do not ask"))


def asks(options: dict[str, Any], ask: Callable[[str], str]) -> User | None:
    """Who asks for a recovery; None with --break-glass alone, which needs no user. Raises OperationFailed, CommandError."""
    if options["break_glass"] and not options["user"]:
        return None
    if not options["user"] and not sys.stdin.isatty():
        raise cli.usage(_("Say who asks: --as NAME --password REFERENCE; or --break-glass REASON."))
    user = proven(options, ask)
    if not has(user, RESTORE_PRODUCTION):
        raise OperationFailed(_("%(name)s may not restore over production.") % {"name": user}, permanent=True)
    return user


def proven(options: dict[str, Any], ask: Callable[[str], str]) -> User:
    """The user of the panel who sits here, by password and, where there is one, by code."""
    name = options["user"] or ask(_("Your user name in the panel: ")).strip()
    terminal = sys.stdin.isatty()
    if options["password"]:
        password = resolve(options["password"])
    elif terminal:
        password = Secret(getpass.getpass(_("Password of %(name)s: ") % {"name": name}))
    else:
        raise cli.usage(_("Without a terminal the password comes from --password env:NAME or file:/path."))
    code = ""
    if terminal and proof.needs_code(name):
        code = getpass.getpass(_("Code of the authenticator app, or a recovery code: ")).strip()
    return proof.prove(name, password, code, actor=cli.actor())
