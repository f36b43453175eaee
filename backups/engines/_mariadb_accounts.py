"""The accounts that belong to a database, which no dump holds: definers, and who has rights on it.

Without them a restored trigger dies with error 1449, and the application cannot sign in. The SQL made
here never names the database (`ON *` is the default one), so that it fits a copy under another name.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import pymysql

from backups.engines._mariadb_catalog import Catalog
from backups.engines._mariadb_columns import quoted
from backups.engines._mariadb_connect import denied
from backups.engines.base import Finding

MEMBERSHIPS_STAY = "Memberships are the whole server's: a restore beside the original gives none."
Account = tuple[str, str]
# Every server has these, and their rights are the server's own affair.
BUILT_IN = frozenset({
    ("root", "localhost"), ("root", "127.0.0.1"), ("mariadb.sys", "localhost"), ("mysql.sys", "localhost"),
    ("mysql.session", "localhost"), ("mysql.infoschema", "localhost"), ("PUBLIC", ""),
})  # fmt: skip
GRANT = re.compile(r"^GRANT (?P<rights>.+?) ON (?P<scope>(?:(?:PROCEDURE|FUNCTION|PACKAGE|PACKAGE BODY) )?\S.*?) TO (?P<rest>.+)$", re.DOTALL)  # fmt: skip
ROLE_GRANT = re.compile(r"^GRANT (?P<role>`(?:[^`]|``)+`) TO (?P<rest>.+)$")
SCOPE = re.compile(
    r"^(?P<kind>(?:PROCEDURE|FUNCTION|PACKAGE BODY|PACKAGE) )?"
    r"(?P<database>\*|`(?:[^`]|``)*`)\.(?P<object>\*|`(?:[^`]|``)*`)$"
)
RIGHT = re.compile(r"[A-Z][A-Z ]*[A-Z](?: \((?:[^()`]|`(?:[^`]|``)*`)*\))?")
COLUMN = re.compile(r"`(?:[^`]|``)*`|(?<=[(, ])\w+(?=[,)])")


NEW_ACCOUNT = re.compile(r"CREATE (?P<kind>USER|ROLE) IF NOT EXISTS (?P<name>(?P<part>`(?:[^`]|``)*`|'(?:[^'\\]|''|\\.)*')(?:@(?P<host>`(?:[^`]|``)*`|'(?:[^'\\]|''|\\.)*'))?)(?: |$)", re.DOTALL)  # fmt: skip
OWN_SCOPE = re.compile(r"(?:(?:PROCEDURE|FUNCTION|PACKAGE BODY|PACKAGE) )?(?:\*|`(?:[^`]|``)*`)")
DATABASE_OPTIONS = re.compile(r"ALTER DATABASE CHARACTER SET \w+ COLLATE \w+")


@dataclass(frozen=True)
class Grant:
    """Rights on one thing of this database; `scope` is `*` or `kind name` without the database."""

    account: Account
    scope: str
    rights: frozenset[str]
    passable: bool

    def statement(self) -> str:
        tail = " WITH GRANT OPTION" if self.passable else ""
        return f"GRANT {', '.join(sorted(self.rights))} ON {self.scope} TO {account_name(self.account)}{tail}"


@dataclass
class Accounts:
    """What was found out; `readable` False: only this user's own rights could be read."""

    definers: list[Account] = field(default_factory=list)
    created: dict[Account, str] = field(default_factory=dict)
    missing: list[Account] = field(default_factory=list)
    grants: list[Grant] = field(default_factory=list)
    memberships: list[str] = field(default_factory=list)
    ignored: dict[str, str] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    @property
    def objects(self) -> Mapping[str, str]:
        """For the witness. Passwords are not part of it: their digests could be guessed."""
        found = {grant.statement(): "granted" for grant in self.grants}
        found |= {f"definer {account_name(one)}": "missing" for one in self.missing}
        found |= dict.fromkeys(self.memberships, "granted")
        known = (one for one in self.created if one not in self.missing)
        return found | {f"account {account_name(one)}": "exists" for one in known}

    def before_data(self) -> Iterator[str]:
        """CREATE USER and the rights on the whole database, one statement a line."""
        yield from self.created.values()
        yield from (grant.statement() for grant in self.grants if grant.scope == "*")
        yield from self.memberships

    def after_data(self) -> Iterator[str]:
        """Rights on single tables, columns and routines, which have to exist first."""
        yield from (grant.statement() for grant in self.grants if grant.scope != "*")


def account_name(account: Account) -> str:
    user, host = account
    return f"{quoted(user)}@{quoted(host)}" if host else quoted(user)


def for_copy(statement: str) -> str:
    """What a copy beside the original runs of a statement of the parts `accounts` and `grants`; may be empty.

    Accounts belong to the whole server. One that is missing is made locked, without password and memberships, since
    somebody may have removed it on purpose; one that exists is left as it is. Rights are given inside the copy only.
    """
    if new := NEW_ACCOUNT.match(statement):
        locked = " ACCOUNT LOCK" if new["kind"] == "USER" else ""
        return f"CREATE {new['kind']} IF NOT EXISTS {new['name']}{locked}"
    grant = GRANT.match(statement)
    inside = grant is not None and OWN_SCOPE.fullmatch(grant["scope"])
    return statement if inside or DATABASE_OPTIONS.fullmatch(statement) else ""


def withheld(name: str) -> str:
    """Why a copy beside lacks this object of the witness, or has it otherwise; empty: it does not."""
    return MEMBERSHIPS_STAY if ROLE_GRANT.match(name) else ""


def like_database(pattern: str, database: str) -> bool:
    """True if a grant on the database `pattern` covers `database`; `_` and `%` are wildcards in grants."""
    parts = re.findall(r"\\.|.", pattern, re.DOTALL)
    expression = "".join({"%": ".*", "_": "."}.get(part, re.escape(part[-1])) for part in parts)
    return re.fullmatch(expression, database, re.DOTALL) is not None


def parse_rights(text: str) -> frozenset[str]:
    """The rights in a GRANT: `SELECT (`b`, `a`), UPDATE` are two. The server lists columns in any order."""
    return frozenset(_with_sorted_columns(right) for right in RIGHT.findall(text))


def _with_sorted_columns(right: str) -> str:
    name, opening, _columns = right.partition(" (")
    return f"{name} ({', '.join(sorted(COLUMN.findall(right)))})" if opening else right


def parse_grant(line: str, account: Account, database: str) -> Grant | None:
    """The grant in one line of SHOW GRANTS; None when it is about something else than `database`."""
    match = GRANT.match(line)
    scope = SCOPE.match(match["scope"]) if match else None
    if match is None or scope is None or scope["database"] == "*":
        return None
    name, thing = _unquoted(scope["database"]), scope["object"]
    fits = like_database(name, database) if thing == "*" else name == database
    if not fits:
        return None
    rights = parse_rights(match["rights"]) - {"USAGE"}
    return Grant(account, (scope["kind"] or "") + thing, rights, "WITH GRANT OPTION" in match["rest"])


def _unquoted(name: str) -> str:
    return name[1:-1].replace("``", "`")


def merge(grants: Iterable[Grant]) -> list[Grant]:
    """One grant for each account and scope: two patterns may cover the same database."""
    merged: dict[tuple[Account, str], Grant] = {}
    for grant in grants:
        key = (grant.account, grant.scope)
        old = merged.get(key, Grant(grant.account, grant.scope, frozenset(), passable=False))
        merged[key] = Grant(*key, old.rights | grant.rights, old.passable or grant.passable)
    return [merged[key] for key in sorted(merged)]


def read_accounts(catalog: Catalog) -> Accounts:
    """Everything this user may read about the accounts of the catalog's database."""
    accounts = Accounts(definers=[one for one in catalog.definers() if one not in BUILT_IN])
    own = _own_account(catalog)
    readable = _may_read_accounts(catalog)
    holders = _holders(catalog) if readable else {own} - BUILT_IN
    for account in sorted(holders | set(accounts.definers)):
        _read_one(catalog, accounts, account, own=own, readable=readable)
    accounts.grants = merge(_existing(catalog, accounts.grants))
    if not readable:
        accounts.findings.append(_unreadable(catalog, own))
    return accounts


def _own_account(catalog: Catalog) -> Account:
    ((text,),) = catalog.query("SELECT CURRENT_USER()")
    user, _, host = str(text).rpartition("@")
    return user, host


def _may_read_accounts(catalog: Catalog) -> bool:
    """SHOW GRANTS FOR others asks for SELECT on all of `mysql`; one look at each table used here tells."""
    try:
        for table in ("db", "tables_priv", "columns_priv", "procs_priv", "user"):
            catalog.query(f"SELECT 1 FROM mysql.{table} LIMIT 0")  # noqa: S608
    except pymysql.err.Error as error:
        if denied(error):
            return False
        raise
    return True


def _holders(catalog: Catalog) -> set[Account]:
    found = {
        (str(user), str(host))
        for pattern, user, host in catalog.query("SELECT Db, User, Host FROM mysql.db")
        if like_database(_text(pattern), catalog.database)
    }
    for table in ("tables_priv", "columns_priv", "procs_priv"):
        statement = f"SELECT User, Host FROM mysql.{table} WHERE Db = %s"  # noqa: S608
        found |= {(_text(user), _text(host)) for user, host in catalog.query(statement, catalog.database)}
    return {one for one in found | _members(catalog, found) if one not in BUILT_IN and one[0]}


def _members(catalog: Catalog, holders: set[Account]) -> set[Account]:
    """The accounts that have one of the roles among `holders` (MariaDB; MySQL's roles are accounts)."""
    roles = {user for user, host in holders if not host}
    if not roles:
        return set()
    rows = catalog.query("SELECT User, Host, Role FROM mysql.roles_mapping")
    return {(_text(user), _text(host)) for user, host, role in rows if _text(role) in roles}


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _read_one(
    catalog: Catalog, accounts: Accounts, account: Account, *, own: Account, readable: bool
) -> None:
    name = account_name(account)
    if not readable and account != own:
        # Locked: an account that nobody gave a password must not be a way in.
        accounts.created[account] = f"CREATE USER IF NOT EXISTS {name} ACCOUNT LOCK"
        return
    try:
        lines = [
            _text(row[0])
            for row in catalog.query("SHOW GRANTS" if account == own else f"SHOW GRANTS FOR {name}")
        ]
        accounts.created[account] = _creation(catalog, account, lines, own=account == own)
    except pymysql.err.Error as error:
        if error.args[0] not in {1141, 1133, 1269, 1396}:
            raise
        accounts.missing.append(account)
        accounts.findings.append(
            Finding(f"The definer {name} does not exist; what is defined in its name fails.")
        )
        return
    _sort_grants(catalog, accounts, account, lines)


def _sort_grants(catalog: Catalog, accounts: Accounts, account: Account, lines: list[str]) -> None:
    """SHOW GRANTS also shows what the account has through roles: each line names its holder."""
    mark = f" TO {account_name(account)}"
    mine = [line for line in lines if mark in line]
    grants = [parse_grant(line, account, catalog.database) for line in mine]
    accounts.grants += [grant for grant in grants if grant is not None and grant.rights]
    roles = [match for match in map(ROLE_GRANT.match, mine) if match is not None]
    accounts.memberships += [f"GRANT {match['role']} TO {account_name(account)}" for match in roles]
    if account in accounts.definers and any(_is_global(line) for line in mine):
        accounts.findings.append(
            Finding(f"The definer {account_name(account)} has rights on the whole server, which are not carried.",
                    "On a new server, grant them before the application starts.")
        )  # fmt: skip


def _is_global(line: str) -> bool:
    return " ON *.* TO " in line and not line.startswith("GRANT USAGE ")


def _creation(catalog: Catalog, account: Account, lines: list[str], *, own: bool) -> str:
    name = account_name(account)
    if not account[1]:
        return f"CREATE ROLE IF NOT EXISTS {name}"
    try:
        ((text, *_rest),) = catalog.query("SHOW CREATE USER" if own else f"SHOW CREATE USER {name}")
    except pymysql.err.Error as error:
        if not denied(error):
            raise
        return f"CREATE USER IF NOT EXISTS {name} ACCOUNT LOCK"
    return _text(text).replace("CREATE USER ", "CREATE USER IF NOT EXISTS ", 1)


def _existing(catalog: Catalog, grants: Iterable[Grant]) -> list[Grant]:
    """Rights on tables or routines that are gone stay in the server's tables, and cannot be granted again."""
    things = {quoted(table.name) for table in catalog.all_tables}
    things |= {f"{kind} {quoted(name)}" for kind, name in catalog.routines}
    return [grant for grant in grants if grant.scope == "*" or grant.scope in things]


def _unreadable(catalog: Catalog, own: Account) -> Finding:
    return Finding(
        "Other accounts' passwords and rights cannot be read: definers come back as locked accounts without rights.",
        f"GRANT SELECT ON `mysql`.* TO {account_name(own)};",
    )
