"""What of a machine is proposed for an application, by what there is."""

import os
from pathlib import Path

import pytest

from backups.dotenv import Environment, parse
from backups.look import Machine, look_at
from backups.look.machine import further, services
from backups.look.proposal import ProposedSource
from backups.models.plan import Tier
from drcenter.errors import OperationFailed
from tests.backups.look.applications import laravel

DATABASE = ProposedSource("database", "sqlite", Tier.DATABASE, {"path": "/srv/shop.sqlite"})


@pytest.fixture
def machine(tmp_path) -> Machine:
    etc = tmp_path / "etc"
    for name in ("nginx", "php", "supervisor", "systemd", "cron.d", "letsencrypt/live", "shadow"):
        (etc / name).mkdir(parents=True)
    (tmp_path / "crontabs").mkdir()
    return Machine(etc, tmp_path / "crontabs", tmp_path / "drc-read")


def proposed(
    root: Path, machine: Machine, environment: str = "", database=DATABASE
) -> dict[str, ProposedSource]:
    return {one.name: one for one in further(root, parse(environment), database, machine)}


def test_every_tier_that_is_there(tmp_path, machine):
    (tmp_path / ".git").mkdir()
    found = proposed(tmp_path, machine, "CACHE_DRIVER=redis\nREDIS_PASSWORD=hush-hush\nREDIS_PORT=6380\n")
    assert {name: (one.engine, str(one.tier)) for name, one in found.items()} == {
        "git": ("git", "git"), "metadata": ("sqlite_schema", "metadata"), "redis": ("redis", "system"),
        "system-configuration": ("files", "system"), "crontabs": ("files", "system"),
        "certificates": ("certificates", "certificates"), "information": ("information", "information"),
    }  # fmt: skip
    assert found["system-configuration"].options["only"] == [
        "nginx",
        "php",
        "supervisor",
        "systemd",
        "cron.d",
    ]
    assert (found["redis"].options["port"], found["redis"].secrets["password"].reveal()) == (
        6380,
        "hush-hush",
    )
    assert all(one.reason for one in found.values())
    assert {name for name, one in found.items() if not one.of_machine} == {"git", "metadata"}


def test_what_is_not_there_is_not_proposed(tmp_path):
    nothing = Machine(tmp_path / "none", tmp_path / "none", tmp_path / "none")
    assert set(proposed(tmp_path, nothing)) == {"metadata", "information"}
    broken = ProposedSource("database", "", Tier.DATABASE, {}, problem=OperationFailed("away"))
    assert set(proposed(tmp_path, nothing, database=broken)) == {"information"}


def test_what_only_root_may_read_goes_through_the_rule(tmp_path, machine):
    tmp_path.chmod(0o755)
    for parent in (tmp_path.parent, tmp_path.parent.parent):
        parent.chmod(0o755)
    machine.crontabs.chmod(0o000)
    (machine.etc / "letsencrypt/live").chmod(0o000)
    for name in ("nginx/open.conf", "php/secret[1].ini", "supervisor/closed/x"):
        (machine.etc / name).parent.mkdir(exist_ok=True)
        (machine.etc / name).write_text("x")
    (machine.etc / "php/secret[1].ini").chmod(0o000)
    (machine.etc / "supervisor/closed").chmod(0o000)
    user = os.geteuid()
    # root may read everything, whatever the mode says.
    os.seteuid(user or 65534)
    try:
        found = proposed(tmp_path, machine)
        found["system-configuration"].inspect()
    finally:
        os.seteuid(user)
        (machine.etc / "supervisor/closed").chmod(0o700)
        machine.crontabs.chmod(0o700)
        (machine.etc / "letsencrypt/live").chmod(0o700)
    for name in ("crontabs", "certificates"):
        assert found[name].engine == "command"
        assert found[name].options["argv"] == ["sudo", "-n", str(machine.drc_read), name]
    configuration = found["system-configuration"]
    assert configuration.options["exclude"] == ["php/secret[[]1].ini", "supervisor/closed"]
    assert "may not read it: php/secret[1].ini, supervisor/closed" in configuration.reason
    assert not any(finding.caps for finding in configuration.findings), "what is left out caps nothing"


@pytest.mark.parametrize(
    ("environment", "names"),
    [
        ("RETELL_API_KEY=x\nCALCOM_API_KEY=y\n", "Retell, Cal.com"),
        ("TWILIO_SID=\n", ""),
        ("APP_NAME=shop\n", ""),
    ],
)
def test_external_services_are_named(environment, names):
    assert services(parse(environment)) == names
    assert services(Environment()) == ""


def test_an_application_with_its_machine(tmp_path, machine):
    root = laravel(tmp_path / "shop", "APP_KEY=base64:x\nDB_CONNECTION=sqlite\nVAPI_KEY=1\n")
    names = [source.name for source in look_at(str(root), machine=machine).sources]
    assert names[:3] == ["application", "configuration", "storage"] and "information" in names
    assert "information" not in [source.name for source in look_at(str(root)).sources]
    assert any("external services: Vapi" in note for note in look_at(str(root), machine=machine).notes)


def test_a_directory_without_what_is_made_again(tmp_path):
    for name in ("vendor", "node_modules", "src"):
        (tmp_path / "app" / name).mkdir(parents=True)
        (tmp_path / "app" / name / "file").write_text("x")
    (tmp_path / "app/package.json").write_text("{}")
    [files] = look_at(str(tmp_path / "app")).sources
    assert "node_modules" in files.options["exclude"]
    assert "vendor" not in files.options["exclude"], "without a manifest nothing would make it again"
    (tmp_path / "app/.git").mkdir()
    files, git = look_at(str(tmp_path / "app")).sources
    assert (git.engine, ".git" in files.options["exclude"]) == ("git", True)
    assert git.problem is not None, "it is no repository, and says so"
