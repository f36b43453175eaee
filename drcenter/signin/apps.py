"""Sign-in, as an app of its own."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class SignInConfig(AppConfig):
    name = "drcenter.signin"
    verbose_name = _("Sign-in")

    def ready(self) -> None:
        from drcenter.signin import factors, trail

        trail.follow_factors()
        factors.follow()
