"""The options of an SFTP server."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from backups.destinations._sftp_connect import key_of
from drcenter.options import LinesField, SecretField


class SftpOptions(forms.Form):
    host = forms.RegexField(r"^[A-Za-z0-9:][A-Za-z0-9.:_-]*$", label=_("Server"))
    port = forms.IntegerField(label=_("Port"), initial=22, min_value=1, max_value=65535)
    user = forms.RegexField(r"^[^\s:@]{1,100}$", label=_("User"))
    path = forms.CharField(
        label=_("Directory"),
        help_text=_("Below the user's own directory, or an absolute path on the server."),
    )
    host_key = LinesField(
        label=_("Host key of the server"),
        help_text=_("A line of ssh-keyscan, or the fingerprint SHA256:…; one for each key that is accepted."),
    )
    private_key = SecretField(label=_("Private key"))
    passphrase = SecretField(label=_("Passphrase of the key"))
    password = SecretField(label=_("Password"))
    read_back = forms.BooleanField(
        label=_("Read every file back"), required=False, initial=True,
        help_text=_("SFTP has no checksums: what was stored is read and compared before it counts."),
    )  # fmt: skip

    def clean_path(self) -> str:
        path: str = self.cleaned_data["path"].strip().rstrip("/")
        if not path or any(part in ("..", ".") for part in path.split("/")) or not path.isprintable():
            raise ValidationError(_("Write a path below / or below the user's own directory."))
        return path

    def clean_host_key(self) -> list[str]:
        lines: list[str] = self.cleaned_data["host_key"]
        for line in lines:
            if not line.startswith("SHA256:") and key_of(line) is None:
                raise ValidationError(_("This is neither a host key nor a fingerprint: %s") % line[:60])
        return lines

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if not data.get("private_key") and not data.get("password") and not self.errors:
            raise ValidationError(_("Give a private key or a password."))
        return data
