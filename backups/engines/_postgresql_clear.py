"""Making a PostgreSQL database ready for a restore: creating it, seeing that it is empty, clearing it.

Clearing needs no superuser, only to own what is there. It is SQL that runs as the first statement of the
transaction that loads: a load that fails leaves the database as it was.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from psycopg import errors, sql

from backups.engines._postgresql_address import Address, Connection, connected
from backups.engines._postgresql_objects import render
from backups.engines.base import Untouched
from drcenter.errors import OperationFailed

MAINTENANCE = ("postgres", "template1", "defaultdb")

# How long a table may be held by others.
LOCK_TIMEOUT = "60s"

TABLES = """
SELECT pg_catalog.format('%I.%I', n.nspname, c.relname), n.nspname || '.' || c.relname FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND <user schema> AND pg_catalog.pg_has_role(c.relowner, 'USAGE') ORDER BY 1
"""

# What this user may not drop, and who may: the owner, or the owner of the schema.
OF_OTHERS = """
SELECT n.nspname || '.' || c.relname, pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(c.relowner)),
    pg_catalog.quote_ident(current_user)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND <user schema>
    AND NOT pg_catalog.pg_has_role(c.relowner, 'USAGE') AND NOT pg_catalog.pg_has_role(n.nspowner, 'USAGE')
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend e WHERE e.classid = 'pg_catalog.pg_class'::regclass
                    AND e.objid = c.oid AND e.deptype = 'e')
UNION ALL SELECT n.nspname || '.' || p.proname || '()', pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(p.proowner)),
    pg_catalog.quote_ident(current_user)
FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
WHERE <user schema> AND NOT pg_catalog.pg_has_role(p.proowner, 'USAGE')
    AND NOT pg_catalog.pg_has_role(n.nspowner, 'USAGE')
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend e WHERE e.classid = 'pg_catalog.pg_proc'::regclass
                    AND e.objid = p.oid AND e.deptype = 'e')
UNION ALL SELECT 'schema ' || n.nspname, pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(n.nspowner)),
    pg_catalog.quote_ident(current_user)
FROM pg_catalog.pg_namespace n WHERE <user schema> AND n.nspname <> 'public'
    AND NOT pg_catalog.pg_has_role(n.nspowner, 'USAGE')
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_extension x WHERE x.extnamespace = n.oid)
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend e WHERE e.classid = 'pg_catalog.pg_namespace'::regclass
                    AND e.objid = n.oid AND e.deptype = 'e')
ORDER BY 1
"""

# Where this user may make nothing, and what a restore makes there: the schemas that stay, and the database.
CREATION = """
SELECT 'SCHEMA ' || pg_catalog.quote_ident(n.nspname), n.nspname, pg_catalog.quote_ident(current_user)
FROM pg_catalog.pg_namespace n WHERE <user schema> AND NOT pg_catalog.has_schema_privilege(n.oid, 'CREATE')
UNION ALL SELECT 'DATABASE ' || pg_catalog.quote_ident(pg_catalog.current_database()), '',
    pg_catalog.quote_ident(current_user)
WHERE NOT pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE')
"""

# Anything in a schema that no extension made; `pg_depend` knows for every kind of object. Of a partitioned table the
# columns of its key depend on it "internally": that is no reason to leave it (objsubid 0 is the table itself).
INSIDE = """
SELECT i.type, i.identity FROM pg_catalog.pg_namespace n
JOIN pg_catalog.pg_depend d ON d.refclassid = 'pg_catalog.pg_namespace'::regclass AND d.refobjid = n.oid
     AND d.deptype = 'n' AND d.classid <> 'pg_catalog.pg_extension'::regclass
     AND d.classid <> 'pg_catalog.pg_default_acl'::regclass,
LATERAL pg_catalog.pg_identify_object(d.classid, d.objid, d.objsubid) i
WHERE <user schema> AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend e
    WHERE e.classid = d.classid AND e.objid = d.objid AND e.objsubid = 0 AND e.deptype IN ('e', 'i'))
"""

CLEAR = """
DECLARE
  one record;
BEGIN
  SET LOCAL lock_timeout = '<patience>';
  <outside>
  FOR one IN <inside> LOOP
    CONTINUE WHEN one.identity IS NULL;  -- It went with another one.
    EXECUTE 'DROP ' || CASE one.type WHEN 'statistics object' THEN 'STATISTICS' ELSE one.type END
        || ' IF EXISTS ' || one.identity || ' CASCADE';
  END LOOP;
  FOR one IN SELECT n.nspname AS name, n.oid AS number FROM pg_catalog.pg_namespace n WHERE <user schema>
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_extension x WHERE x.extnamespace = n.oid)
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend e WHERE e.objid = n.oid AND e.deptype = 'e'
                      AND e.classid = 'pg_catalog.pg_namespace'::regclass) LOOP
    IF one.name <> 'public' THEN
      EXECUTE pg_catalog.format('DROP SCHEMA IF EXISTS %I CASCADE', one.name);
    END IF;
  END LOOP;
  <public>
END
"""

# What stands outside of schemas. An extension that somebody else owns (managed services) may stay: the
# dump makes extensions only IF NOT EXISTS.
OUTSIDE = """
  FOR one IN SELECT evtname AS name FROM pg_catalog.pg_event_trigger t WHERE NOT EXISTS (SELECT FROM
      pg_catalog.pg_depend e WHERE e.objid = t.oid AND e.deptype = 'e') LOOP
    EXECUTE pg_catalog.format('DROP EVENT TRIGGER IF EXISTS %I', one.name);
  END LOOP;
  FOR one IN SELECT pubname AS name FROM pg_catalog.pg_publication LOOP
    EXECUTE pg_catalog.format('DROP PUBLICATION IF EXISTS %I', one.name);
  END LOOP;
  PERFORM pg_catalog.lo_unlink(oid) FROM pg_catalog.pg_largeobject_metadata;
  FOR one IN SELECT pg_catalog.pg_get_userbyid(d.defaclrole) AS role, n.nspname AS schema,
      CASE d.defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN 'FUNCTIONS'
           WHEN 'T' THEN 'TYPES' ELSE 'SCHEMAS' END AS kind, d.defaclobjtype AS letter, a.grantee
      FROM pg_catalog.pg_default_acl d LEFT JOIN pg_catalog.pg_namespace n ON n.oid = d.defaclnamespace,
      LATERAL pg_catalog.aclexplode(d.defaclacl) a LOOP
    EXECUTE pg_catalog.format('ALTER DEFAULT PRIVILEGES FOR ROLE %I %s REVOKE ALL ON %s FROM %s', one.role,
        CASE WHEN one.schema IS NOT NULL THEN pg_catalog.format('IN SCHEMA %I', one.schema) ELSE '' END,
        one.kind, CASE WHEN one.grantee = 0 THEN 'PUBLIC'
                       ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(one.grantee)) END);
  END LOOP;
  FOR one IN SELECT pg_catalog.pg_get_userbyid(d.defaclrole) AS role, d.defaclobjtype AS letter,
      CASE d.defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN 'FUNCTIONS'
           WHEN 'T' THEN 'TYPES' ELSE 'SCHEMAS' END AS kind
      FROM pg_catalog.pg_default_acl d WHERE d.defaclnamespace = 0 LOOP
    EXECUTE pg_catalog.format('ALTER DEFAULT PRIVILEGES FOR ROLE %I GRANT ALL ON %s TO %I',
        one.role, one.kind, one.role);
    IF one.letter = 'f' THEN
      EXECUTE pg_catalog.format('ALTER DEFAULT PRIVILEGES FOR ROLE %I GRANT EXECUTE ON FUNCTIONS TO PUBLIC', one.role);
    ELSIF one.letter = 'T' THEN
      EXECUTE pg_catalog.format('ALTER DEFAULT PRIVILEGES FOR ROLE %I GRANT USAGE ON TYPES TO PUBLIC', one.role);
    END IF;
  END LOOP;
  FOR one IN SELECT i.type, i.identity FROM (
      SELECT 'pg_catalog.pg_foreign_server'::regclass AS class, oid FROM pg_catalog.pg_foreign_server
      UNION ALL SELECT 'pg_catalog.pg_foreign_data_wrapper'::regclass, oid FROM pg_catalog.pg_foreign_data_wrapper
      UNION ALL SELECT 'pg_catalog.pg_cast'::regclass, oid FROM pg_catalog.pg_cast WHERE oid >= 16384
      UNION ALL SELECT 'pg_catalog.pg_language'::regclass, oid FROM pg_catalog.pg_language WHERE oid >= 16384
      ) o, LATERAL pg_catalog.pg_identify_object(o.class, o.oid, 0) i
      WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_depend e WHERE e.classid = o.class AND e.objid = o.oid
                        AND e.deptype IN ('e', 'i')) LOOP
    CONTINUE WHEN one.identity IS NULL;
    EXECUTE 'DROP ' || pg_catalog.replace(one.type, '-', ' ') || ' IF EXISTS ' || one.identity || ' CASCADE';
  END LOOP;
  FOR one IN SELECT extname AS name FROM pg_catalog.pg_extension WHERE extname <> 'plpgsql' LOOP
    BEGIN
      EXECUTE pg_catalog.format('DROP EXTENSION IF EXISTS %I CASCADE', one.name);
    EXCEPTION WHEN insufficient_privilege THEN
      RAISE NOTICE 'The extension % stays: it belongs to somebody else.', one.name;
    END;
  END LOOP;
"""

# The schema public always exists for pg_dump, which writes only what differs from the server's default.
PUBLIC = """
  FOR one IN SELECT DISTINCT a.grantee FROM pg_catalog.pg_namespace n, pg_catalog.aclexplode(n.nspacl) a
      WHERE n.nspname = 'public' AND a.grantee <> n.nspowner AND pg_catalog.pg_has_role(n.nspowner, 'USAGE') LOOP
    EXECUTE pg_catalog.format('REVOKE ALL ON SCHEMA public FROM %s', CASE WHEN one.grantee = 0 THEN 'PUBLIC'
        ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(one.grantee)) END);
  END LOOP;
  IF EXISTS (SELECT FROM pg_catalog.pg_namespace n WHERE n.nspname = 'public'
             AND pg_catalog.pg_has_role(n.nspowner, 'USAGE')) THEN
    GRANT USAGE ON SCHEMA public TO PUBLIC;
    IF pg_catalog.current_setting('server_version_num')::int < 150000 THEN
      GRANT CREATE ON SCHEMA public TO PUBLIC;
    ELSE
      ALTER SCHEMA public OWNER TO pg_database_owner;
    END IF;
  ELSIF NOT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = 'public') THEN
    CREATE SCHEMA public;
    GRANT USAGE ON SCHEMA public TO PUBLIC;
  END IF;
"""

SCHEMAS = """
SELECT n.nspname FROM pg_catalog.pg_namespace n WHERE <user schema>
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend e WHERE e.objid = n.oid AND e.deptype = 'e')
"""

LEFT = """
SELECT count(*) FROM pg_catalog.pg_namespace n WHERE <user schema> AND n.nspname <> 'public'
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend e WHERE e.objid = n.oid AND e.deptype = 'e')
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_extension x WHERE x.extnamespace = n.oid)
"""


def clear_statement(schemas: Sequence[str]) -> str:
    """One statement that empties these schemas, or the whole database."""
    body = CLEAR.replace("<inside>", INSIDE.strip()).replace("<patience>", LOCK_TIMEOUT)
    body = body.replace("<outside>", "" if schemas else OUTSIDE)
    body = body.replace("<public>", PUBLIC if not schemas or "public" in schemas else "")
    return f"DO $drcenter_clear${render(body, schemas)}$drcenter_clear$"


def ensure_empty(connection: Connection, address: Address, schemas: Sequence[str]) -> None:
    """Raises OperationFailed, with the first names, when something would be in the way."""
    found = connection.execute((render(INSIDE, schemas) + " LIMIT 3").encode()).fetchall()
    names = [f"{kind} {identity}" for kind, identity in found]
    for query, kind in ((LEFT, "schemas"), ("SELECT count(*) FROM pg_largeobject_metadata", "large objects")):
        row = connection.execute(render(query, schemas).encode()).fetchone()
        if row and row[0] and not (schemas and kind == "large objects"):
            names.append(f"{row[0]} {kind}")
    if names:
        raise OperationFailed(
            f"The database {address.database} at {address.host} is not empty: {', '.join(names)}.",
            "Restore into another database, or choose to overwrite it.",
            permanent=True,
        )


def require_ownership(address: Address, schemas: Sequence[str], only: Sequence[str] = ()) -> None:
    """Raises OperationFailed when the user owns neither a table nor its schema, and so may not drop it."""
    with connected(address) as connection:
        found = connection.execute(render(OF_OTHERS, schemas).encode()).fetchall()
    others = [row for row in found if not only or row[0] in only]
    if others:
        user = others[0][2]
        labels = ", ".join(label for label, *_ in others[:3]) + (", ..." if len(others) > 3 else "")
        roles = ", ".join(sorted({owner for _label, owner, _user in others}))
        raise OperationFailed(
            f"The user {user} may not overwrite the database {address.database} at {address.host}:"
            f" others own {labels}.",
            "Let the source sign in as the owner (the application's own user), or make it a member for the restore:"
            f" GRANT {roles} TO {user};",
            permanent=True,
        )


def require_creation(
    address: Address, schemas: Sequence[str], only: Sequence[str], objects: Iterable[str]
) -> None:
    """Raises OperationFailed, with the GRANT, where the user may not make again what the restore drops and makes.

    Schemas but `public` are dropped and made again, which the database has to allow; so are those among the `objects`
    of the set. Of some tables alone, their schemas stay.
    """
    with connected(address) as connection:
        found = connection.execute(render(CREATION, schemas).encode()).fetchall()
        there = {str(row[0]) for row in connection.execute(render(SCHEMAS, schemas).encode()).fetchall()}
    told = {name.removeprefix("schema ") for name in objects if name.startswith("schema ")}
    wanted = {label.partition(".")[0] for label in only} if only else {"public"}
    in_database = not only and bool((there | told) - {"public"})
    lacking = [
        (where, user) for where, schema, user in found if (schema in wanted if schema else in_database)
    ]
    if lacking:
        user = lacking[0][1]
        raise OperationFailed(
            f"The user {user} may not overwrite the database {address.database} at {address.host}: it may make"
            f" nothing in {', '.join(where for where, _user in lacking)}.",
            " ".join(f"GRANT CREATE ON {where} TO {user};" for where, _user in lacking),
            permanent=True,
        )


def require_unlocked(address: Address, schemas: Sequence[str], only: Sequence[str] = ()) -> None:
    """Raises Untouched while others use a table that the load would drop: it would wait as long, and fail.

    What this user may not lock, the load will tell.
    """
    with connected(address) as connection:
        found = connection.execute(render(TABLES, schemas).encode()).fetchall()
        tables = [(name,) for name, label in found if not only or label in only]
        try:
            connection.execute("BEGIN")
            connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'".encode())
            for (name,) in tables:
                connection.execute(f"LOCK TABLE {name} IN ACCESS EXCLUSIVE MODE".encode())
        except (errors.LockNotAvailable, errors.DeadlockDetected) as error:
            raise Untouched(
                f"Others use tables of {address.database}, and did not let go of them for {LOCK_TIMEOUT}: {error}",
                "Stop queue workers, cron jobs and open clients, or end their sessions (pg_stat_activity,"
                " pg_terminate_backend), and try again.",
            ) from None
        except (errors.InsufficientPrivilege, errors.UndefinedTable):
            return
        finally:
            connection.execute("ROLLBACK")


def create_database(address: Address, like: dict[str, Any]) -> bool:
    """Make the database unless it exists; True if it was made. `like`: encoding and locale, or `database`.

    It comes from template0, since template1 may hold things that the dump holds as well.
    """
    with _maintained(address) as connection:
        return _create(connection, address, like)


@contextmanager
def _maintained(address: Address) -> Iterator[Connection]:
    """A session in another database of the server. Raises OperationFailed if there is none to enter."""
    with ExitStack() as stack:
        yield _entered(stack, address)


def _entered(stack: ExitStack, address: Address) -> Connection:
    refusals = []
    for place in MAINTENANCE:
        try:
            return stack.enter_context(connected(address.named(place)))
        except OperationFailed as failure:
            refusals.append(failure)
            if not failure.permanent:
                break
    raise refusals[0]


def _create(connection: Connection, address: Address, like: dict[str, Any]) -> bool:
    name = address.database
    if connection.execute("SELECT FROM pg_database WHERE datname = %s", (name,)).fetchone():
        return False
    statement = sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING {}").format(
        sql.Identifier(name), sql.Literal(like.get("encoding") or "UTF8")
    )
    source = _locale_of(connection, like["database"]) if like.get("database") else like
    locale = _locale_clause(source)
    try:
        connection.execute(statement + locale)
    except errors.InsufficientPrivilege:
        raise OperationFailed(
            f"The user may not make the database {name} at {address.host}.",
            "As a superuser: ALTER ROLE ... CREATEDB; or make the empty database yourself.",
            permanent=True,
        ) from None
    except (errors.WrongObjectType, errors.InvalidParameterValue):
        if not like.get("fallback"):
            raise
        connection.execute(statement)  # This machine has no such locale: the server's own instead.
    return True


def _locale_of(connection: Connection, database: str) -> dict[str, Any]:
    row = connection.execute(
        "SELECT datcollate, datctype, to_jsonb(d) FROM pg_database d WHERE datname = %s", (database,)
    ).fetchone()
    if row is None:
        return {}
    everything = row[2]
    return {
        "collate": row[0], "ctype": row[1], "locale_provider": everything.get("datlocprovider", "c"),
        "icu_locale": everything.get("datlocale") or everything.get("daticulocale"),
    }  # fmt: skip


def _locale_clause(like: dict[str, Any]) -> sql.Composable:
    clause: sql.Composable = sql.SQL("")
    if like.get("collate"):
        clause = sql.SQL(" LC_COLLATE {} LC_CTYPE {}").format(
            sql.Literal(like["collate"]), sql.Literal(like.get("ctype") or like["collate"])
        )
    if like.get("locale_provider") == "i" and like.get("icu_locale"):
        clause += sql.SQL(" LOCALE_PROVIDER icu ICU_LOCALE {}").format(sql.Literal(like["icu_locale"]))
    return clause


def drop_database(address: Address) -> None:
    """Remove the database, and throw out who is in it (version 13 and newer)."""
    statement = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(address.database))
    with _maintained(address) as connection:
        connection.execute(statement)
