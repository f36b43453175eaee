"""Sign-in, as an app of its own."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class SignInConfig(AppConfig):
    name = "drcenter.signin"
    verbose_name = _("Sign-in")

    def ready(self) -> None:
        from drcenter.signin import factors, roles, trail

        trail.follow_factors()
        factors.follow()
        post_migrate.connect(roles.after_migration, dispatch_uid="drcenter.signin.roles")
