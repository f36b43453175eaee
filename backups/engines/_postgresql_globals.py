"""What no dump of one database holds: roles, their memberships and settings, and the database's own settings.

Own SQL instead of pg_dumpall: it is of the same moment as the dump, needs no right that managed services
refuse, and may be restored beside a living server. Roles that exist there are left exactly as they are;
only what belongs to a role that this script itself made, and to the target database, is set.
"""

import re
from collections.abc import Iterator
from typing import Any

from backups.engines._postgresql_address import Connection
from backups.engines._postgresql_commands import quoted
from backups.engines._postgresql_objects import literal

# Settings that are lists of names, kept as `"$user", public`; pg_dump's variable_is_guc_list_quote().
LISTS = (
    "local_preload_libraries", "search_path", "session_preload_libraries", "shared_preload_libraries",
    "temp_tablespaces", "unix_socket_directories",
)  # fmt: skip

HEADER = """\
-- Roles, memberships and the settings of the database. Run it in the database to restore into.
-- Roles that exist are left as they are. What the user may not do is a warning, not the end.
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SET client_min_messages = warning;
SELECT pg_catalog.set_config('drcenter.made', '{}', false);
"""

# %I in a statement is the database that it runs in, whatever the source's was called.
ATTEMPT = """BEGIN
  EXECUTE format({statement}, current_database());
EXCEPTION WHEN insufficient_privilege OR undefined_object OR cant_change_runtime_param
    OR invalid_parameter_value OR invalid_grant_operation THEN
  RAISE WARNING '%', SQLERRM;
END"""

MAKE_ROLE = """BEGIN
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = {name}) THEN
    BEGIN
      EXECUTE {full};
    EXCEPTION WHEN insufficient_privilege THEN
      RAISE WARNING 'Role without its special rights: %', SQLERRM;
      EXECUTE {plain};
    END;
    PERFORM pg_catalog.set_config('drcenter.made',
        (pg_catalog.current_setting('drcenter.made')::text[] || {name}::text)::text, false);
  END IF;
END"""

IF_MADE = """BEGIN
  IF pg_catalog.current_setting('drcenter.made')::text[] && {names}::text[] THEN
    EXECUTE {statement};
  END IF;
EXCEPTION WHEN insufficient_privilege OR undefined_object OR cant_change_runtime_param
    OR invalid_parameter_value OR invalid_grant_operation THEN
  RAISE WARNING '%', SQLERRM;
END"""

# Around the script for a copy beside the original, in one transaction: roles are the whole server's, and one that
# is missing may have been removed on purpose. What it made owns things and has rights in the copy, and no more.
BEFORE_COPY = """
SELECT pg_catalog.set_config('drcenter.before', pg_catalog.array_agg(oid)::text, false) FROM pg_catalog.pg_roles
"""
AFTER_COPY = """DO $after$
DECLARE
  made record;
  one record;
BEGIN
  FOR made IN SELECT * FROM pg_catalog.pg_roles
      WHERE oid <> ALL (pg_catalog.current_setting('drcenter.before')::oid[]) LOOP
    EXECUTE format('ALTER ROLE %I NOLOGIN PASSWORD NULL', made.rolname)
        || CASE WHEN made.rolcreatedb THEN ' NOCREATEDB' ELSE '' END
        || CASE WHEN made.rolcreaterole THEN ' NOCREATEROLE' ELSE '' END
        || CASE WHEN made.rolreplication THEN ' NOREPLICATION' ELSE '' END
        || CASE WHEN made.rolbypassrls THEN ' NOBYPASSRLS' ELSE '' END
        || CASE WHEN made.rolsuper THEN ' NOSUPERUSER' ELSE '' END;
    FOR one IN SELECT g.rolname AS role, m.rolname AS member FROM pg_catalog.pg_auth_members a
        JOIN pg_catalog.pg_roles g ON g.oid = a.roleid JOIN pg_catalog.pg_roles m ON m.oid = a.member
        WHERE made.oid IN (a.roleid, a.member) AND m.rolname <> current_user LOOP
      EXECUTE format('REVOKE %I FROM %I CASCADE', one.role, one.member);
    END LOOP;
  END LOOP;
END $after$
"""
ROLES_STAY = (
    "Roles are the whole server's: a restore beside the original leaves those that exist as they are, and makes"
    " missing ones without login, password, memberships and special rights."
)

ROLES = """
SELECT r.rolname, r.rolsuper, r.rolinherit, r.rolcreaterole, r.rolcreatedb, r.rolcanlogin, r.rolreplication,
    r.rolbypassrls, r.rolconnlimit, r.rolvaliduntil::text, r.rolconfig, shobj_description(r.oid, 'pg_authid')
FROM pg_roles r WHERE r.rolname !~ '^pg_' ORDER BY r.rolname COLLATE "C"
"""
MEMBERSHIPS = """
SELECT g.rolname, m.rolname, a.admin_option FROM pg_auth_members a
JOIN pg_roles g ON g.oid = a.roleid JOIN pg_roles m ON m.oid = a.member
ORDER BY g.rolname COLLATE "C", m.rolname COLLATE "C"
"""
DATABASE = """
SELECT pg_get_userbyid(d.datdba), d.datconnlimit, shobj_description(d.oid, 'pg_database'),
    (SELECT jsonb_agg(jsonb_build_array(CASE WHEN a.grantee <> 0 THEN pg_get_userbyid(a.grantee) END,
                                        a.privilege_type, a.is_grantable)
            ORDER BY pg_get_userbyid(a.grantee) COLLATE "C", a.privilege_type COLLATE "C")
       FROM aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a)
FROM pg_database d WHERE d.datname = current_database()
"""
SETTINGS = """
SELECT CASE WHEN s.setrole <> 0 THEN pg_get_userbyid(s.setrole) END, s.setconfig
FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase WHERE d.datname = current_database()
ORDER BY 1
"""

# What an earlier restore, or another life, left at the target database.
RESET = """DECLARE
  one record;
BEGIN
  EXECUTE format('ALTER DATABASE %I RESET ALL', current_database());
  FOR one IN SELECT DISTINCT a.grantee AS number FROM pg_catalog.pg_database d,
      pg_catalog.aclexplode(coalesce(d.datacl, pg_catalog.acldefault('d', d.datdba))) a
      WHERE d.datname = current_database() AND a.grantee <> d.datdba LOOP
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM %s', current_database(), CASE WHEN one.number = 0
        THEN 'PUBLIC' ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(one.number)) END);
  END LOOP;
EXCEPTION WHEN insufficient_privilege THEN
  RAISE WARNING '%', SQLERRM;
END"""


def globals_sql(connection: Connection, *, superuser: bool) -> Iterator[bytes]:
    """The script, at the moment that `connection` sees. With `superuser`, the digests of passwords too."""
    yield HEADER.encode()
    passwords = _passwords(connection) if superuser else {}
    for row in connection.execute(ROLES.encode()).fetchall():
        yield from _encoded(_role(row, passwords.get(row[0])))
    for group, member, admin in connection.execute(MEMBERSHIPS.encode()).fetchall():
        grant = f"GRANT {quoted(group)} TO {quoted(member)}{' WITH ADMIN OPTION' if admin else ''}"
        yield from _encoded([_if_made([group, member], grant)])
    yield from _encoded(_database(connection))


def _encoded(blocks: Any) -> Iterator[bytes]:
    for block in blocks:
        yield f"DO {literal(block)};\n".encode()


def _passwords(connection: Connection) -> dict[str, str]:
    rows = connection.execute("SELECT rolname, rolpassword FROM pg_authid WHERE rolpassword IS NOT NULL")
    return dict(rows.fetchall())


def _role(row: tuple[Any, ...], password: str | None) -> Iterator[str]:
    (
        name,
        superuser,
        inherit,
        createrole,
        createdb,
        login,
        replication,
        bypass,
        limit,
        until,
        settings,
        comment,
    ) = row
    special = {"SUPERUSER": superuser, "REPLICATION": replication, "BYPASSRLS": bypass}
    common = {"INHERIT": inherit, "CREATEROLE": createrole, "CREATEDB": createdb, "LOGIN": login}
    plain = f"CREATE ROLE {quoted(name)}" + "".join(
        f" {word if given else 'NO' + word}" for word, given in common.items()
    )
    plain += f" CONNECTION LIMIT {limit}"
    if until:
        plain += f" VALID UNTIL {literal(until)}"
    if password:
        plain += f" PASSWORD {literal(password)}"
    full = plain + "".join(f" {word}" for word, given in special.items() if given)
    yield _filled(MAKE_ROLE, name=literal(name), full=literal(full), plain=literal(plain))
    for setting in settings or []:
        yield _if_made([name], f"ALTER ROLE {quoted(name)} SET {_assignment(setting)}")
    if comment:
        yield _if_made([name], f"COMMENT ON ROLE {quoted(name)} IS {literal(comment)}")


def _database(connection: Connection) -> Iterator[str]:
    owner, limit, comment, rights = connection.execute(DATABASE.encode()).fetchall()[0]
    yield _attempt("ALTER DATABASE %I OWNER TO " + _for_format(quoted(owner)))
    yield RESET
    yield _attempt(f"ALTER DATABASE %I CONNECTION LIMIT {limit}")
    for grantee, right, grantable in rights:
        to = _for_format(quoted(grantee)) if grantee else "PUBLIC"
        yield _attempt(f"GRANT {right} ON DATABASE %I TO {to}{' WITH GRANT OPTION' if grantable else ''}")
    yield _attempt("COMMENT ON DATABASE %I IS " + (_for_format(literal(comment)) if comment else "NULL"))
    for role, settings in connection.execute(SETTINGS.encode()).fetchall():
        whose = (
            "ALTER DATABASE %I" if role is None else f"ALTER ROLE {_for_format(quoted(role))} IN DATABASE %I"
        )
        for setting in settings:
            yield _attempt(f"{whose} SET {_for_format(_assignment(setting))}")


def _assignment(setting: str) -> str:
    name, _, value = setting.partition("=")
    shown = ".".join(quoted(part) for part in name.split("."))
    if name.lower() not in LISTS:
        return f"{shown} TO {literal(value)}"
    elements = re.findall(r'"((?:[^"]|"")*)"|([^",\s][^",]*)', value)
    names = [first.replace('""', '"') if first else second.strip() for first, second in elements]
    return f"{shown} TO " + (", ".join(literal(one) for one in names) or "''")


def _for_format(text: str) -> str:
    return text.replace("%", "%%")


def _attempt(statement: str) -> str:
    return _filled(ATTEMPT, statement=literal(statement))


def _if_made(names: list[str], statement: str) -> str:
    array = "ARRAY[" + ", ".join(literal(name) for name in names) + "]"
    return _filled(IF_MADE, names=array, statement=literal(statement))


def _filled(template: str, **values: str) -> str:
    """The template with its names in braces replaced in one pass: values may hold braces."""
    return re.sub(r"\{(\w+)\}", lambda match: values[match[1]], template)
