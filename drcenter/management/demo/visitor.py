"""Visits the panel as a person does: through HTTP, with the login form."""

import re
import time
from collections.abc import Callable
from html.parser import HTMLParser
from urllib.parse import urljoin

import requests
from django.contrib import admin
from django.urls import reverse
from django.utils.translation import gettext as _

from backups.models import Set
from drcenter.errors import OperationFailed

SECONDS = 20


class Visitor:
    """One session in the panel at `base`, e.g. http://127.0.0.1:8000."""

    def __init__(self, base: str) -> None:
        self.base = base
        self.session = requests.Session()
        # Proxies of the machine are for the internet, not for its own loopback.
        self.session.trust_env = False

    def wait_until_up(self, alive: Callable[[], None], patience: float = 40) -> None:
        """Raises OperationFailed when nothing answers in time, or what `alive` raises."""
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            alive()
            try:
                if self.session.get(self.base + reverse("admin:login"), timeout=SECONDS).status_code == 200:
                    return
            except requests.ConnectionError:
                time.sleep(0.1)
        raise OperationFailed(_("The panel did not answer within {n:.0f} s.").format(n=patience))

    def sign_in(self, user: str, password: str) -> None:
        """Through the form, with its CSRF token. Raises OperationFailed when the panel does not let us in."""
        address = self.base + reverse("account_login")
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', self.page(address))
        if token is None:
            raise OperationFailed(_("The login form has no CSRF token."))
        answer = self.session.post(
            address,
            data={
                "login": user,
                "password": password,
                "csrfmiddlewaretoken": token[1],
                "next": reverse("admin:index"),
            },
            headers={"Referer": address},
            timeout=SECONDS,
            allow_redirects=False,
        )
        if answer.status_code != 302:
            raise OperationFailed(
                _("The panel did not accept the login (status {n}).").format(n=answer.status_code)
            )

    def page(self, address: str) -> str:
        """The text of a page. Raises OperationFailed for any status but 200, and for the login form in its place."""
        answer = self.session.get(urljoin(self.base, address), timeout=SECONDS)
        form = reverse("account_login")
        if answer.status_code != 200 or (form in answer.url and form not in address):
            raise OperationFailed(
                _("{address} answered with status {n}.").format(address=address, n=answer.status_code)
            )
        return answer.text

    def visit_lists(self) -> int:
        """Open the first page and every list; how many pages that were."""
        lists = [
            reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
            for model in admin.site._registry
        ]
        for address in (reverse("admin:index"), *lists):
            self.page(address)
        return len(lists) + 1

    def visit_set(self, done: Set) -> None:
        """Open the page of a set, which has to say that it is proven."""
        text = Words.of(self.page(reverse("admin:backups_set_change", args=[done.pk])))
        if str(done.get_level_display()) not in text:
            raise OperationFailed(_("The page of {set} does not say that it is proven.").format(set=done))

    def fetch_assets(self) -> int:
        """Fetch the styles and scripts of the first page; how many they are."""
        found = re.findall(r'(?:href|src)="(/static/[^"]+)"', self.page(reverse("admin:index")))
        for address in found:
            self.page(address)
        return len(found)


class Words(HTMLParser):
    """The text that stands between the tags."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_data(self, data: str) -> None:
        self.found.append(data)

    @classmethod
    def of(cls, page: str) -> str:
        parser = cls()
        parser.feed(page)
        return " ".join(parser.found)
