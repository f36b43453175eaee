# ------------------------------------------------------------------ MariaDB and MySQL

look_mariadb() {
    mariadb_tool=mariadb
    command -v mariadb >/dev/null 2>&1 || mariadb_tool=mysql
    command -v "$mariadb_tool" >/dev/null 2>&1 || need mariadb mariadb-client
    hex=$(printf '%s' "$place" | od -An -v -tx1 | tr -d ' \n')
    state="a new database"
    known=$(mariadb_ask "SELECT COUNT(*) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = CONVERT(x'$hex' USING utf8mb4)") ||
        die "the database server does not answer (see above). Options for the client: -- --host=... --user=..."
    [ "$known" != 0 ] || return 0
    state="an empty database"
    full=$(mariadb_ask "SELECT (SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = CONVERT(x'$hex' USING utf8mb4))
        + (SELECT COUNT(*) FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = CONVERT(x'$hex' USING utf8mb4))") ||
        die "the database cannot be looked at."
    [ "$full" = 0 ] || overwriting "the database is dropped, with everything in it, and made anew"
}

mariadb_ask() (
    statement=$1
    eval "set -- $client_options"
    exec "$mariadb_tool" "$@" --batch --skip-column-names --execute="$statement" </dev/null
)

# Binary mode: nothing in the data is taken for a command of the client. The database's name comes last.
mariadb_load() {
    database=$1
    eval "set -- $client_options"
    exec "$mariadb_tool" "$@" --default-character-set=utf8mb4 --binary-mode --batch --max-allowed-packet=1G \
        --database="$database"
}

restore_mariadb() {
    case $overwrites in ?*) mariadb_clear ;; esac
    mariadb_ask "CREATE DATABASE IF NOT EXISTS $(mariadb_name) CHARACTER SET utf8mb4" ||
        die "the database $place cannot be made."
    each_part for_each_part restore_mariadb_part || exit 1
}

mariadb_name() {
    printf '%s' "$place" | sed 's/`/``/g; 1s/^/`/; $s/$/`/'
}

mariadb_clear() {
    look_mariadb
    case $state in OVERWRITES*) ;; *) return 0 ;; esac
    mariadb_ask "SET foreign_key_checks = 0; DROP DATABASE $(mariadb_name)" || die "$place cannot be dropped."
}

restore_mariadb_part() {
    case $p_name in
    accounts | grants)
        if [ -n "$without_accounts" ]; then
            say "  leaving out $p_key"
            return 0
        fi
        ;;
    esac
    say "  loading $p_key"
    feed "$p_key" mariadb_load "$place" || die "$p_key was not loaded whole (see above): the database $place is INCOMPLETE.
Restore it again into an empty database. If the user may not make accounts: --without-accounts"
}

