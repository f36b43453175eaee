"""A real browser, a real server, and a worker that does real jobs."""

import os
import threading
from urllib.parse import urlsplit

import pytest
from django.db import connections
from playwright.sync_api import sync_playwright

from drcenter.jobs.models import Job, State
from drcenter.jobs.work import run_job
from tests.cast import PASSWORD

QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
WIDE, NARROW = {"width": 1440, "height": 900}, {"width": 390, "height": 844}


@pytest.fixture(scope="session")
def browser():
    # Playwright's loop runs in the thread of the test, which Django would take for asynchronous code.
    before = os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE")
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=QUIET)
        yield browser
        browser.close()
    if before is None:
        del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


class Visitor:
    """A page that remembers everything that went wrong on it."""

    def __init__(self, browser, server: str, **options) -> None:
        self.server = server
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.faults: list[str] = []
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.faults.append(f"{self.page.url}: {error}"))
        self.page.on("response", self._response)

    def _console(self, message) -> None:
        # Violations of the Content-Security-Policy are told here, too.
        if message.type in {"error", "warning"}:
            self.faults.append(f"{self.page.url}: {message.text}")

    def _response(self, response) -> None:
        if response.status >= 400 or urlsplit(response.url).netloc != urlsplit(self.server).netloc:
            self.faults.append(f"{self.page.url}: {response.status} {response.url}")

    def sign_in(self, name: str) -> None:
        self.page.goto(f"{self.server}/admin/login/")
        self.page.fill("#id_login", name)
        self.page.fill("#id_password", PASSWORD)
        self.page.click("#login-form button[type=submit]")
        self.page.wait_for_selector("#dashboard")

    def go(self, path: str) -> None:
        self.page.goto(self.server + path)

    def overflow(self) -> int:
        """By how many pixels the page is wider than the window."""
        return self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")

    def overlong(self) -> list[str]:
        """Texts of our own that are cut off by their box."""
        return self.page.evaluate(
            """() => [...document.querySelectorAll('.drc-page *')]
                .filter(box => !box.closest('.drc-scroll, .drc-log, .drc-command, .material-symbols-outlined'))
                .filter(box => getComputedStyle(box).overflowX !== 'visible' ? false :
                    box.getBoundingClientRect().right > window.innerWidth + 1)
                .map(box => box.className + ': ' + box.textContent.trim().slice(0, 60))"""
        )


@pytest.fixture
def visit(browser, live_server):
    """`visit(viewport=…, locale=…)` gives a Visitor; no fault may be left at the end."""
    visitors = []

    def new(**options) -> Visitor:
        visitor = Visitor(browser, live_server.url, **{"viewport": WIDE, "locale": "en-GB", **options})
        visitors.append(visitor)
        return visitor

    yield new
    faults = [fault for visitor in visitors for fault in visitor.faults]
    for visitor in visitors:
        visitor.context.close()
    assert not faults, "\n".join(faults)


@pytest.fixture
def worker(transactional_db):
    """Does every job that is queued, one after the other, as a worker would."""
    ended = threading.Event()

    def work() -> None:
        try:
            while not ended.wait(0.2):
                for pk in Job.objects.filter(state=State.QUEUED).values_list("pk", flat=True):
                    run_job(pk)
        finally:
            connections.close_all()

    thread = threading.Thread(target=work)
    thread.start()
    yield
    ended.set()
    thread.join()
