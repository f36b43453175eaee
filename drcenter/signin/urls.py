"""The addresses of signing in, under allauth's names; what the panel does not offer has none."""

from allauth.account import views as account
from allauth.mfa.base import views as mfa
from allauth.mfa.recovery_codes import views as codes
from allauth.mfa.totp import views as app
from allauth.mfa.webauthn import views as keys
from django.urls import path
from django.views.decorators.http import require_POST
from django.views.generic import RedirectView

from drcenter.signin.pages import dressed

urlpatterns = [
    path("login/", dressed(account.login), name="account_login"),
    path("logout/", require_POST(account.logout), name="account_logout"),
    path("inactive/", dressed(account.account_inactive), name="account_inactive"),
    path("again/", dressed(account.reauthenticate), name="account_reauthenticate"),
    path("again/code/", dressed(mfa.reauthenticate), name="mfa_reauthenticate"),
    path("again/passkey/", dressed(keys.reauthenticate_webauthn), name="mfa_reauthenticate_webauthn"),
    path("second/", dressed(mfa.authenticate), name="mfa_authenticate"),
    path("passkey/", keys.login_webauthn, name="mfa_login_webauthn"),
    path("factors/", dressed(mfa.index), name="mfa_index"),
    path("factors/app/add/", dressed(app.activate_totp), name="mfa_activate_totp"),
    path("factors/app/remove/", dressed(app.deactivate_totp), name="mfa_deactivate_totp"),
    path("factors/codes/", dressed(codes.view_recovery_codes), name="mfa_view_recovery_codes"),
    path("factors/codes/new/", dressed(codes.generate_recovery_codes), name="mfa_generate_recovery_codes"),
    path("factors/codes/download/", codes.download_recovery_codes, name="mfa_download_recovery_codes"),
    path("factors/passkeys/", RedirectView.as_view(pattern_name="mfa_index"), name="mfa_list_webauthn"),
    path("factors/passkeys/add/", dressed(keys.add_webauthn), name="mfa_add_webauthn"),
    path("factors/passkeys/<int:pk>/remove/", dressed(keys.remove_webauthn), name="mfa_remove_webauthn"),
    path("factors/passkeys/<int:pk>/rename/", dressed(keys.edit_webauthn), name="mfa_edit_webauthn"),
]
