"""All addresses of the panel."""

from django.conf import settings
from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from backups.api import backup_status
from drcenter.health import healthz, readyz

urlpatterns = [
    # Asked for by browsers on pages that name no icon.
    path("favicon.ico", RedirectView.as_view(url=f"{settings.STATIC_URL}drcenter/icon.svg")),
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("i18n/", include("django.conf.urls.i18n")),
    path("account/", include("drcenter.signin.urls")),
    path("admin/", admin.site.urls),
    path("healthz", healthz, name="healthz"),
    path("readyz", readyz, name="readyz"),
    path("api/backup-status", backup_status, name="backup-status"),
]
