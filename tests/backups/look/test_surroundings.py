import os
import pwd
import subprocess
from pathlib import Path
from typing import NoReturn

import pytest

from backups.look import surroundings
from backups.look.surroundings import Git
from drcenter.errors import OperationFailed

ROOT = os.geteuid() == 0


@pytest.mark.parametrize(
    ("text", "state"),
    [
        (
            "# branch.oid abc\n# branch.head main\n# branch.upstream origin/main\n# branch.ab +2 -1\n",
            Git("main", 0, 2),
        ),
        ("# branch.oid (initial)\n# branch.head main\n1 .M N... 1 2 3 a b f\n? new\n", Git("main", 2, None)),
        ("# branch.head (detached)\n", Git("(detached)", 0, None)),
    ],
)
def test_reads_what_git_says(text: str, state: Git) -> None:
    assert surroundings.read_status(text) == state


def test_a_real_repository(tmp_path: Path) -> None:
    assert surroundings.git_state(tmp_path) is None
    subprocess.run(["git", "init", "-q", "-b", "trunk", tmp_path], check=True)
    (tmp_path / "new file").touch()
    assert surroundings.git_state(tmp_path) == Git("trunk", 1, None)


def test_a_broken_repository_is_told(tmp_path: Path) -> None:
    (tmp_path / ".git").write_text("gitdir: /nowhere")
    with pytest.raises(OperationFailed, match="git failed"):
        surroundings.git_state(tmp_path)


def test_commands_run_as_the_owner(tmp_path: Path) -> None:
    """As somebody else where that can be, as ourselves otherwise."""
    place, name = tmp_path / "app", pwd.getpwuid(os.geteuid()).pw_name
    place.mkdir()
    if ROOT:
        for directory in (tmp_path, *tmp_path.parents):
            if directory.stat().st_uid == 0 and directory != Path("/tmp"):
                directory.chmod(directory.stat().st_mode | 0o111)
        name = "nobody"
        os.chown(place, 65534, 65534)
    assert surroundings.owner(place) == name
    assert surroundings.run_as_owner(place, "id", "-un").strip() == name


def test_an_owner_without_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root runs nothing for it as root; whoever is not root runs all as itself."""

    def nameless(number: int) -> NoReturn:
        raise KeyError(number)

    monkeypatch.setattr(pwd, "getpwuid", nameless)
    assert surroundings.owner(tmp_path) == str(os.geteuid())
    if ROOT:
        with pytest.raises(OperationFailed, match="has no name on this machine"):
            surroundings.run_as_owner(tmp_path, "id", "-u")
    else:
        assert surroundings.run_as_owner(tmp_path, "id", "-u").strip() == str(os.geteuid())


def test_supervisor_programs_that_name_the_directory(tmp_path: Path) -> None:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "app.conf").write_text(
        "[program:queue]\ncommand=php /var/www/app/artisan queue:work\n\n"
        "[program:other]\ncommand=php /var/www/app-2/artisan horizon\n"
        "[program:horizon]\ndirectory=/var/www/app\n"
    )
    assert surroundings.supervisor_programs(Path("/var/www/app"), tmp_path) == ["queue", "horizon"]
    assert surroundings.supervisor_programs(Path("/var/www/app"), tmp_path / "missing") == []


def test_cron_lines_that_name_the_directory(tmp_path: Path) -> None:
    (tmp_path / "app").write_text(
        "# * * * * * root cd /var/www/app\n* * * * * www-data cd /var/www/app && php artisan schedule:run\n"
    )
    assert surroundings.cron_lines(Path("/var/www/app"), [tmp_path]) == 1
