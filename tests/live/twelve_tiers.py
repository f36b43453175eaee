"""A machine that runs a Laravel shop, with something for each of the twelve tiers; and a bare one with PHP.

Everything lies below one directory, as it would below /: the application, what nginx, PHP and supervisor read,
crontabs, a certificate, documents, scripts, a repository with work that nobody pushed.
"""

import json
import os
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backups.look.laravel import CONFIGURATION, MAINTENANCE, REBUILT, REGENERATED
from backups.models.plan import Tier
from drcenter.management.demo.laravel import create
from tests.live.bare_machine import BareMachine
from tests.live.bare_sets import look_at_tree

NGINX = """server {
    listen 443 ssl;
    server_name shop.example.org;
    root /var/www/shop/public;
    ssl_certificate /etc/letsencrypt/live/shop/fullchain.pem;
    location ~ \\.php$ { fastcgi_pass unix:/run/php/shop.sock; include fastcgi_params; }
}
"""
FILES = {
    "etc/nginx/sites-available/shop.conf": NGINX,
    "etc/php/8.2/fpm/pool.d/shop.conf": "[shop]\nuser = www-data\nlisten = /run/php/shop.sock\npm = ondemand\n",
    "etc/supervisor/conf.d/shop-worker.conf": "[program:shop]\ncommand=php artisan queue:work --sleep=3\n",
    "etc/systemd/system/shop.timer": "[Timer]\nOnCalendar=hourly\n",
    "var/spool/cron/crontabs/www-data": "* * * * * php /var/www/shop/artisan schedule:run\n",
    "var/spool/cron/crontabs/root": "17 3 * * * /usr/local/sbin/deploy.sh --check\n",
    "usr/local/sbin/deploy.sh": "#!/bin/sh\nset -eu\nphp artisan migrate --force\n",
    "srv/documents/Handbuch für nachts.md": "# Wenn alles weg ist\n1. Ruhe bewahren.\n",
}
# As on every Debian; who is not root owns all of it.
WWW_DATA = (33, 33) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
MIRROR = {"agents": [{"id": "agent_1", "voice": "Grüße 😀"}], "taken_at": "2026-11-20T01:00:00Z"}


@dataclass(frozen=True)
class Shop:
    """`root` stands for / of the machine."""

    root: Path

    @property
    def application(self) -> Path:
        return self.root / "var" / "www" / "shop"

    @property
    def database(self) -> Path:
        return self.application / "database" / "database.sqlite"

    def sources(self) -> dict[str, tuple[str, Tier, dict[str, Any]]]:
        """{name: (engine, tier, options)}: one or more for each tier."""
        root, application, database = self.root, str(self.application), str(self.database)
        apart = [*REBUILT, *CONFIGURATION, "storage", ".git", "database/database.sqlite*"]
        crontabs = [
            "tar",
            "--create",
            "--format=posix",
            "--file=-",
            f"--directory={root}/var/spool/cron",
            "crontabs",
        ]
        return {
            "application": ("files", Tier.APPLICATION, {"path": application, "exclude": apart}),
            "configuration": ("files", Tier.CONFIGURATION, {"path": application, "only": CONFIGURATION}),
            "database": ("sqlite", Tier.DATABASE, {"path": database}),
            "storage": ("files", Tier.STORAGE, {
                "path": f"{application}/storage", "exclude": REGENERATED, "keep": MAINTENANCE}),
            "documents": ("files", Tier.DOCUMENTATION, {"path": f"{root}/srv/documents"}),
            "etc": ("files", Tier.SYSTEM, {"path": f"{root}/etc", "exclude": ["letsencrypt"]}),
            "crontabs": ("command", Tier.SYSTEM, {"argv": crontabs, "suffix": "tar"}),
            "certificates": ("certificates", Tier.CERTIFICATES, {"path": f"{root}/etc/letsencrypt"}),
            "git": ("git", Tier.GIT, {"path": application, "everything": True}),
            "machine": ("information", Tier.INFORMATION, {"directory": f"{root}/var/lib/information"}),
            "scripts": ("files", Tier.SCRIPTS, {"path": f"{root}/usr/local/sbin"}),
            "mirror": ("command", Tier.EXTERNAL, {"argv": ["cat", f"{root}/srv/mirror.json"], "suffix": "json"}),
            "schema": ("sqlite_schema", Tier.METADATA, {"path": database}),
            "redis": ("redis", Tier.SYSTEM, {"unix_socket": f"{root}/run/redis.sock", "file": f"{root}/var/lib/redis/dump.rdb"}),
        }  # fmt: skip

    def looks(self, inside: Path) -> dict[str, Any]:
        """What a person would compare, on this machine (`inside` is /) or on another one where it came back."""
        there = Shop(inside / str(self.root).lstrip("/"))
        trees = {
            name: look_at_tree(there.root / name)
            for name in ("etc/letsencrypt", "usr/local/sbin", "srv/documents", "var/www/shop/storage/app")
        }
        return {
            **trees,
            "etc": _without(look_at_tree(there.root / "etc"), b"letsencrypt", b"."),
            "code": _without(
                look_at_tree(there.application), b".git", b"storage", b"bootstrap/cache", b".", b"database"
            ),
            "rows": list(_rows(there.database)),
            "database": (
                there.database.stat().st_mode,
                there.database.stat().st_uid,
                there.database.stat().st_gid,
            ),
        }


def _without(tree: dict[bytes, Any], *names: bytes) -> dict[bytes, Any]:
    """Directories into which another tier was restored have another time; the rest is all the same."""
    below = tuple(name + b"/" for name in names)
    return {path: look for path, look in tree.items() if path not in names and not path.startswith(below)}


def _rows(path: Path) -> Iterator[str]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        yield from connection.iterdump()


# ---------------------------------------------------------------------------- the machine that will be lost


def build(root: Path) -> Shop:
    shop = Shop(root)
    create(shop.application)
    for name, content in FILES.items():
        place = root / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(content)
    (root / "usr/local/sbin/deploy.sh").chmod(0o750)
    enabled = root / "etc/nginx/sites-enabled"
    enabled.mkdir()
    (enabled / "shop.conf").symlink_to("../sites-available/shop.conf")
    for crontab in (root / "var/spool/cron/crontabs").iterdir():
        crontab.chmod(0o600)
    (root / "srv/documents/plan.pdf").write_bytes(b"%PDF-1.4\n" + os.urandom(5000))
    (root / "srv/mirror.json").write_text(json.dumps(MIRROR, ensure_ascii=False))
    _certify(root / "etc/letsencrypt")
    _commit(shop.application, root / "srv/origin.git")
    for path in [shop.application, *shop.application.rglob("*")]:
        os.chown(path, *WWW_DATA, follow_symlinks=False)
    return shop


def redis_words(shop: Shop) -> tuple[str, ...]:
    """A Redis of this shop alone, which saves nothing by itself."""
    place = ("--unixsocket", f"{shop.root}/run/redis.sock", "--dir", f"{shop.root}/var/lib/redis")
    return ("redis-server", "--port", "0", "--save", "", "--loglevel", "warning", *place)


@contextmanager
def with_redis(shop: Shop) -> Iterator[None]:
    """Running, with a cart in it that is in no other place."""
    for name in ("run", "var/lib/redis"):
        (shop.root / name).mkdir(parents=True)
    with subprocess.Popen(redis_words(shop), stdout=subprocess.DEVNULL) as server:
        try:
            argv = ("redis-cli", "-s", f"{shop.root}/run/redis.sock", "SET", "cart:7", "three pears")
            deadline = time.monotonic() + 10
            while subprocess.run(argv, check=False, capture_output=True, text=True).stdout != "OK\n":
                assert time.monotonic() < deadline and server.poll() is None, "redis-server did not come up"
                time.sleep(0.05)
            yield
        finally:
            server.kill()


def _certify(place: Path) -> None:
    """As certbot keeps them: the newest is a link into the archive."""
    archive, live = place / "archive/shop", place / "live/shop"
    archive.mkdir(parents=True)
    live.mkdir(parents=True)
    _run(
        "openssl", "req", "-x509", "-newkey", "ed25519", "-nodes", "-days", "90", "-subj", "/CN=shop.example.org",
        "-keyout", str(archive / "privkey1.pem"), "-out", str(archive / "fullchain1.pem"),
    )  # fmt: skip
    (archive / "privkey1.pem").chmod(0o600)
    archive.chmod(0o700)
    for name in ("privkey", "fullchain"):
        (live / f"{name}.pem").symlink_to(f"../../archive/shop/{name}1.pem")


def _commit(repository: Path, origin: Path) -> None:
    """One commit that was pushed, one that was not, a stash, and a change that is in no commit."""
    git = ("git", "-C", str(repository), "-c", "user.name=Anna", "-c", "user.email=anna@example.org")
    (repository / ".gitignore").write_text(
        ".env\nstorage\ndatabase/database.sqlite*\nbootstrap/cache\npublic/storage\n"
    )
    _run("git", "init", "--quiet", "--bare", "--initial-branch=main", str(origin))
    _run("git", "init", "--quiet", "--initial-branch=main", str(repository))
    _run(*git, "remote", "add", "origin", str(origin))
    _run(*git, "add", ".")
    _run(*git, "commit", "--quiet", "--message=First")
    _run(*git, "push", "--quiet", "--set-upstream", "origin", "main")
    (repository / "routes/api.php").write_text("<?php // not pushed\n")
    _run(*git, "add", ".")
    _run(*git, "commit", "--quiet", "--message=Nobody has this one")
    (repository / "routes/stashed.php").write_text("<?php // put aside\n")
    _run(*git, "stash", "push", "--quiet", "--include-untracked")
    (repository / "routes/tonight.php").write_text("<?php // of tonight\n")


def _run(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


# ---------------------------------------------------------------------------- the bare one


def web_user() -> str:
    """Who serves the application there, for `BareMachine.start`."""
    return f"{WWW_DATA[0]}:{WWW_DATA[1]}" if os.geteuid() == 0 else ""


def furnish_with_php(machine: BareMachine) -> BareMachine:
    """What RESTORE.md has a person install besides: PHP with its modules, Laravel's framework, git."""
    php = shutil.which("php")
    assert php, "apt-get install php8.2-cli php8.2-sqlite3 php-laravel-framework"
    machine.install(php, "php")
    modules = Path(_run("php", "-r", "echo ini_get('extension_dir');"))
    scanned = Path(_run("php", "-r", "echo PHP_CONFIG_FILE_SCAN_DIR;"))
    for module in modules.glob("*.so"):
        machine.install_library(module)
    for directory in (scanned, Path("/usr/share/php"), Path("/usr/share/zoneinfo")):
        place = machine.root / str(directory).lstrip("/")
        shutil.copytree(directory, place, symlinks=directory.name == "zoneinfo", dirs_exist_ok=True)
    (machine.root / "tmp").chmod(0o1777)
    for tool in ("git", "redis-server", "redis-cli"):
        machine.install(tool)
    place = machine.root / "usr/lib/git-core"
    place.mkdir(parents=True)
    os.link(machine.root / "bin/git", place / "git")
    return machine
