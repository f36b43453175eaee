"""deploy/drc-read gives the named things and nothing else, whatever is asked."""

import io
import shutil
import subprocess
import tarfile

import pytest
from django.conf import settings

from tests.live.bare_machine import BareMachine


@pytest.fixture(scope="module", params=["dash", "busybox"])
def machine(request, tmp_path_factory) -> BareMachine:
    machine = BareMachine(tmp_path_factory.mktemp(request.param), request.param).furnish()
    (machine.root / "etc" / "cron.d").mkdir()
    (machine.root / "etc" / "cron.d" / "shop").write_text("0 2 * * * root /usr/local/bin/shop\n")
    (machine.root / "etc" / "shadow").write_text("root:secret\n")
    shutil.copy(settings.BASE_DIR / "deploy" / "drc-read", machine.root / "bin" / "drc-read")
    return machine


def names(machine: BareMachine, *words: str, **environment: str) -> list[str]:
    machine.run("sh", "-c", 'drc-read "$@" >/tmp/out.tar', "sh", *words, environment=environment)
    with tarfile.open(fileobj=io.BytesIO((machine.root / "tmp" / "out.tar").read_bytes())) as archive:
        return archive.getnames()


def test_a_name_gives_its_things(machine):
    assert names(machine, "crontabs") == ["etc/cron.d", "etc/cron.d/shop"]
    assert names(machine, SSH_ORIGINAL_COMMAND="crontabs") == ["etc/cron.d", "etc/cron.d/shop"]


@pytest.mark.parametrize(
    "asked", ["", "/etc/shadow", "../etc/shadow", "crontabs /etc/shadow", "--help", "$(id)", "certificates"]
)
def test_nothing_else_is_given(machine, asked):
    """`certificates` is a good name, but there are none on this machine: an empty archive would look like a backup."""
    for words, environment in (([asked], {}), ([], {"SSH_ORIGINAL_COMMAND": asked})):
        done = machine.run("drc-read", *words, environment=environment)
        assert done.returncode == 2 and done.stdout.startswith("drc-read: "), done.stdout
        assert "secret" not in done.stdout


def test_the_sudo_rule_names_exactly_what_the_script_knows():
    rule = (settings.BASE_DIR / "deploy" / "sudoers-drcenter").read_text()
    script = (settings.BASE_DIR / "deploy" / "drc-read").read_text()
    for name in ("certificates", "crontabs"):
        assert f"/usr/local/sbin/drc-read {name}" in rule and f"\n{name}) set -- " in script
    assert "*" not in rule and script.count(") set -- ") == 2
    if visudo := shutil.which("visudo", path="/usr/sbin:/sbin"):
        path = str(settings.BASE_DIR / "deploy" / "sudoers-drcenter")
        assert subprocess.run([visudo, "-cf", path], capture_output=True, check=False).returncode == 0
