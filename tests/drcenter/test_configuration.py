"""docs/configuration.md names every setting that the code reads, and no other; the service file fits the code."""

import re
from pathlib import Path

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from drcenter import environment
from drcenter.management.commands.run import parts

ROOT = Path(settings.BASE_DIR)
APPS = ("drcenter", "backups", "integrations", "billing_snapshots", "incidents")


def read_by_the_code():
    # As a whole word in quotes, and as an f-string's first word; names in sentences do not count.
    pattern = re.compile(r"""(?:env|environment|os)\.\w+(?:\.get)?\(\s*["'](DRC_[A-Z_]+)["']""")
    return {
        name
        for app in APPS
        for file in (ROOT / app).rglob("*.py")
        for name in pattern.findall(file.read_text())
    }


def documented():
    return re.findall(r"^\| `(DRC_[A-Z_]+)` \|", (ROOT / "docs/configuration.md").read_text(), re.MULTILINE)


def test_every_setting_is_documented_once():
    names = documented()
    assert len(names) == len(set(names))
    assert read_by_the_code() <= set(names), "not documented"
    assert set(names) <= read_by_the_code(), "documented, but nobody reads it"


@pytest.mark.parametrize(
    "file", ["docs/workers.md", "docs/api.md", "deploy/drcenter.service", "deploy/nginx.conf"]
)
def test_other_documents_name_only_settings_that_exist(file):
    assert set(re.findall(r"\bDRC_[A-Z_]+\b", (ROOT / file).read_text())) <= set(documented())


def test_the_service_waits_longer_than_the_supervisor():
    unit = (ROOT / "deploy/drcenter.service").read_text()
    patience = int(re.search(r"TimeoutStopSec=(\d+)", unit).group(1))
    assert patience > 2 * max(part.grace for part in parts("127.0.0.1:8000"))


class TestValues:
    def test_a_value_from_a_file(self, tmp_path):
        (tmp_path / "key").write_text("from a file\n")
        assert environment.text("DRC_X", environ={"DRC_X_FILE": str(tmp_path / "key")}) == "from a file"

    def test_both_at_once_are_refused(self, tmp_path):
        with pytest.raises(ImproperlyConfigured, match="not both"):
            environment.text("DRC_X", environ={"DRC_X_FILE": "/x", "DRC_X": "y"})

    def test_a_file_that_is_not_there_is_refused_by_name(self):
        with pytest.raises(ImproperlyConfigured, match="/no/such/file cannot be read"):
            environment.text("DRC_X", environ={"DRC_X_FILE": "/no/such/file"})

    @pytest.mark.parametrize("word", ["true", "1", "yes", "", "TRUE"])
    def test_switches_take_two_words_only(self, word):
        with pytest.raises(ImproperlyConfigured, match='"True" or "False"'):
            environment.truth("DRC_X", False, {"DRC_X": word})

    @pytest.mark.parametrize("word", ["", "-1", "1.5", "many"])
    def test_numbers_are_whole(self, word):
        with pytest.raises(ImproperlyConfigured, match="whole number"):
            environment.number("DRC_X", 3, {"DRC_X": word})

    @pytest.mark.parametrize(
        ("url", "name"),
        [
            ("sqlite:////var/lib/x.sqlite3", "/var/lib/x.sqlite3"),
            ("postgresql://u:p%40w@h:5433/panel", "panel"),
        ],
    )
    def test_databases(self, url, name):
        assert environment.database(url)["NAME"] == name

    def test_other_databases_are_refused(self):
        with pytest.raises(ImproperlyConfigured, match="sqlite:/// or postgresql://"):
            environment.database("mysql://u:p@h/x")
