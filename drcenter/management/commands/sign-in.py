"""Who can come in, and the way back for somebody whose second factor is gone."""

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import gettext as _

from backups.shell import cli
from drcenter.signin import factors

EPILOG = """
  manage.py sign-in list                who may sign in, and with what
  manage.py sign-in reset NAME          take the second factors of NAME away: the password alone lets in then
  manage.py changepassword NAME         a new password
  manage.py createsuperuser             a first, or another, administrator

Exit codes: 0 fine, 1 failed, 2 usage.
"""


class Command(BaseCommand):
    help = "Say who may sign in to the panel, and take away second factors that were lost."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.formatter_class, parser.epilog = RawDescriptionHelpFormatter, EPILOG
        acts = parser.add_subparsers(dest="act", required=True, metavar="ACT")
        acts.add_parser("list", help="who may sign in, and with what")
        reset = acts.add_parser("reset", help="take the second factors of somebody away")
        reset.add_argument("name", help="name of the user")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["act"] == "list":
            self._list()
        else:
            self._reset(options["name"])

    def _list(self) -> None:
        for user in User.objects.filter(is_active=True, is_staff=True).order_by("username"):
            role = _("administrator") if user.is_superuser else ", ".join(g.name for g in user.groups.all())
            self.stdout.write(f"{user.get_username():<24} {factors.described(user):<40} {role}")

    def _reset(self, name: str) -> None:
        user = User.objects.filter(username=name).first()
        if user is None:
            raise CommandError(_("There is no user “%(name)s”.") % {"name": name}, returncode=cli.USAGE)
        count = factors.remove_all(user, cli.actor())
        self.stdout.write(
            _("%(count)d factors of %(name)s were removed: the password alone lets in.")
            % {"count": count, "name": name}
        )
