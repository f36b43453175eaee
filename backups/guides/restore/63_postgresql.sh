# ------------------------------------------------------------------ PostgreSQL

look_postgresql() {
    need psql postgresql-client
    find_maintenance
    state="a new database"
    known=$(postgresql_ask "$maintenance" "SELECT count(*) FROM pg_catalog.pg_database WHERE datname = :'name';") ||
        die "the databases cannot be listed (see above)."
    [ "$known" != 0 ] || return 0
    state="an empty database"
    full=$(postgresql_ask "$place" "SELECT (SELECT count(*) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema') +
        (SELECT count(*) FROM pg_catalog.pg_largeobject_metadata);") || die "the database $place cannot be looked at."
    [ "$full" = 0 ] || overwriting "the present database is renamed and stays, as ${place}_before_*"
}

# A database to be connected to while the other one is made; managed services call it differently.
find_maintenance() {
    [ -z "$maintenance" ] || return 0
    for maintenance in postgres template1 defaultdb; do
        if postgresql_ask "$maintenance" 'SELECT 1;' >/dev/null; then return 0; fi
    done
    die "the database server does not answer (see above). PGHOST, PGUSER and PGPASSFILE say where it is."
}

# postgresql_ask DATABASE SQL: `:'name'` in it is the place, `:'aside'` its other name.
postgresql_ask() (
    PGDATABASE=$1
    export PGDATABASE
    printf '%s\n' "$2" | postgresql --quiet --tuples-only --no-align --set=name="$place" --set=aside="${aside:-}"
)

# Never asks for a password where it would take the data for one.
postgresql() {
    [ -t 0 ] || [ -t 2 ] || set -- --no-password "$@"
    eval "exec psql $client_options" '--no-psqlrc --set=ON_ERROR_STOP=1 "$@"'
}

# The database's own settings must not stop its restore.
postgresql_load() {
    PGDATABASE=$1
    PGOPTIONS="${PGOPTIONS:-} -c default_transaction_read_only=off -c statement_timeout=0 \
-c idle_in_transaction_session_timeout=0 -c client_min_messages=warning"
    export PGDATABASE PGOPTIONS
    shift
    postgresql --quiet --output=/dev/null "$@" --file=-
}

restore_postgresql() {
    look_postgresql
    case $state in
    OVERWRITES*) postgresql_aside ;;
    esac
    case $state in
    'an empty database') ;;
    *)
        postgresql_ask "$maintenance" "CREATE DATABASE :\"name\" TEMPLATE template0 ENCODING 'UTF8';" ||
            die "the database $place cannot be made."
        ;;
    esac
    each_part for_each_part restore_postgresql_part || exit 1
}

postgresql_aside() {
    aside=${place}_before_$(date -u +%Y%m%d%H%M%S)
    postgresql_ask "$maintenance" "ALTER DATABASE :\"name\" RENAME TO :\"aside\";" ||
        die "$place cannot be renamed; stop everything that is connected to it. Nothing was changed."
    say "  the old one is now $aside"
}

restore_postgresql_part() {
    case $p_name in
    globals)
        if [ -n "$without_accounts" ]; then
            say "  leaving out $p_key"
            return 0
        fi
        once=
        ;;
    *) once=--single-transaction ;;
    esac
    say "  loading $p_key"
    feed "$p_key" postgresql_load "$place" $once ||
        die "$p_key was not loaded (see above). Of this part nothing is in the database $place."
}

