#!/bin/sh
# Restores the backup set in this folder, without the product that took it. Needed: sh, zstd, age (for an
# encrypted set), sha256sum, GNU tar (for trees of files) and the database's own client.
#
# Check the signature BEFORE you run this: whoever can write to the store can also write this file.
#   openssl pkeyutl -verify -pubin -inkey key.pem -rawin -in checksums.txt -sigfile checksums.txt.sig
#   sha256sum -c checksums.txt
# RESTORE.md beside this file explains every step.

# What stands in single quotes is meant as it stands.
# shellcheck disable=SC2016

set -u
LC_ALL=C
export LC_ALL
umask 077

# ------------------------------------------------------------------ what this set is

#VALUES#

# Calls "$@" for each part, in the order of the restore, with its values in p_*.
each_part() {
    #PARTS#
    return 0
}

# Calls "$@" for each source, in the order of the restore, with its values in s_*.
each_source() {
    #SOURCES#
    return 0
}

part() {
    p_order=$1 p_source=$2 p_name=$3 p_engine=$4 p_tier=$5 p_suffix=$6 p_plain=$7 p_stored=$8 p_digest=$9
    shift 9
    p_key=$1
}

origin() {
    s_name=$1 s_engine=$2 s_tier=$3
}

# ------------------------------------------------------------------ words

usage() {
    cat <<'END'
sh restore.sh list                       what is in the set, and how old it is
sh restore.sh check [--key key.pem]      are all files as they were written? With the key of the
                                         recovery kit: are they ours? With --identity FILE: can
                                         every part be unpacked?
sh restore.sh places --identity FILE     where the data were when the set was taken
sh restore.sh database|app|config|storage|docs|system|ssl|git|external|all [options]
sh restore.sh source NAME [options]      restore one source
sh restore.sh part NUMBER --target FILE  only unpack one part
sh restore.sh details                    print details.json: tables, digests, options of the sources

Options:
  --target PLACE       a directory, a SQLite file, or a database's name
  --target NAME=PLACE  the place for the source NAME; may be given several times
  --identity FILE      the age identity of the recovery kit, for an encrypted set
  --without-accounts   leave out accounts, roles and rights
  --yes                do not ask, overwrite
  -- OPTIONS           for the database's client (-- --host=db2 --user=root) or for tar (-- --exclude=./x)

A database's client signs in as it always does: ~/.my.cnf, PGHOST, PGUSER, PGPASSFILE, ~/.pgpass.
Exit codes: 0 done, 1 failed or refused, 2 wrong usage.
END
}

say() {
    printf '%s\n' "$*"
}

die() {
    printf 'restore.sh: %s\n' "$*" >&2
    exit 1
}

misused() {
    printf 'restore.sh: %s\nsh restore.sh help explains.\n' "$*" >&2
    exit 2
}

need() {
    command -v "$1" >/dev/null 2>&1 || die "the tool $1 is missing. Install it: apt-get install $2"
}

# human BYTES: the size in a readable unit.
human() {
    h_value=$1 h_unit=B
    for h_next in KiB MiB GiB TiB; do
        [ "$h_value" -lt 10240 ] && break
        h_value=$((h_value / 1024)) h_unit=$h_next
    done
    printf '%s %s' "$h_value" "$h_unit"
}

# A person's yes; typing "$2" is asked for where more than a letter should be needed.
ask() {
    [ -z "$yes" ] || return 0
    [ -t 0 ] || die "nobody can be asked here, so nothing was done. With --yes it is done without asking."
    printf '%s ' "$1"
    read -r answer || answer=
    [ "$answer" = "$2" ] || die "nothing was done."
}

# ------------------------------------------------------------------ a place for pipes and marks

work=
consumer=
unfinished=
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd) || die "the folder of this script cannot be found."

# Only ever called by the trap.
# shellcheck disable=SC2329,SC2317
tidy_up() {
    [ -z "$consumer" ] || kill "$consumer" 2>/dev/null
    [ -z "$unfinished" ] || rm -f -- "$unfinished"
    [ -z "$work" ] || rm -rf -- "$work"
}

trap tidy_up EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

make_work() {
    [ -n "$work" ] || work=$(mktemp -d) || die "no temporary directory can be made (TMPDIR)."
}

# ------------------------------------------------------------------ bytes

# plain KEY: the plain bytes of a stored file. False unless every program in the pipe ended well: sh
# itself tells only of the last one, so each leaves a mark when it has ended well.
plain() {
    rm -f -- "$work/decrypted" "$work/unpacked"
    if [ -n "$encrypted" ]; then
        { age --decrypt --identity "$identity" "$here/$1" && : >"$work/decrypted"; } |
            { zstd -q -d -c && : >"$work/unpacked"; }
    else
        { : >"$work/decrypted"; } && zstd -q -d -c <"$here/$1" && : >"$work/unpacked"
    fi
    [ -e "$work/decrypted" ] && [ -e "$work/unpacked" ]
}

# feed KEY COMMAND...: the plain bytes into the command. It sees their end only after everything before
# it went well; otherwise it is killed first, so that a database commits nothing. COMMAND has to exec.
feed() {
    f_key=$1
    shift
    rm -f -- "$work/pipe"
    mkfifo "$work/pipe" || die "no pipe can be made in $work."
    "$@" <"$work/pipe" &
    consumer=$!
    exec 3>"$work/pipe"
    f_good=1
    plain "$f_key" >&3 || f_good=
    [ -n "$f_good" ] || kill "$consumer" 2>/dev/null
    exec 3>&-
    wait "$consumer"
    f_code=$?
    consumer=
    [ -n "$f_good" ] && [ "$f_code" -eq 0 ]
}

# write_file KEY FILE: whole under its name, or not at all.
write_file() {
    unfinished=$2.restoring
    plain "$1" >"$unfinished" || die "$1 cannot be unpacked into $2. What was there is untouched."
}

# put_in_place FILE: what write_file wrote gets its name.
put_in_place() {
    mv -f -- "$1.restoring" "$1" || die "$1 cannot be written."
    unfinished=
}

check_digest() {
    [ -f "$here/$2" ] || die "$2 is missing. Fetch it again, or use another copy of the set."
    found=$(sha256sum <"$here/$2") || die "$2 cannot be read."
    [ "${found%% *}" = "$1" ] || die "$2 is damaged: it is not what was written. Use another copy of the set."
}

# Reads the part through once, before anything is changed: a damage or a wrong identity shows here.
rehearse() {
    say "  reading $p_key ($(human "$p_stored"))"
    check_digest "$p_digest" "$p_key"
    plain "$p_key" >/dev/null || die "$p_key cannot be unpacked (see above). Nothing was changed."
}

# ------------------------------------------------------------------ who may read it

need_identity() {
    need zstd zstd
    make_work
    [ -n "$encrypted" ] || return 0
    need age age
    [ -n "$identity" ] || die "this set is encrypted: --identity FILE, the identity of $recipients"
    [ -r "$identity" ] || die "the identity file $identity cannot be read."
    # An identity under a passphrase tells nothing; age will ask for it.
    theirs=$(age-keygen -y "$identity" 2>/dev/null) || return 0
    for one in $theirs; do
        case " $recipients " in *" $one "*) return 0 ;; esac
    done
    die "$identity is the identity of $theirs; this set needs that of $recipients"
}

# ------------------------------------------------------------------ list, check, places

list_part() {
    printf '%3s  %-16s %-14s %-12s %-12s %12s %12s\n' "$p_order" "$p_source" "$p_name" "$p_tier" "$p_engine" \
        "$(human "$p_plain")" "$(human "$p_stored")"
}

list_set() {
    age_hours=$((($(date +%s) - moment_seconds) / 3600))
    say "$system_name ($system), set $set_name, plan $plan, taken because: $reason"
    say "The data are of $moment: $((age_hours / 24)) days and $((age_hours % 24)) hours old now."
    [ -z "$capped" ] || say "WARNING: the dump is incomplete; log.txt and the details say what is missing."
    if [ -n "$encrypted" ]; then
        say "Encrypted. It needs the identity of one of: $recipients"
    else
        say "Not encrypted."
    fi
    printf '\n%3s  %-16s %-14s %-12s %-12s %12s %12s\n' "" source part tier engine plain stored
    each_part list_part
}

check_listed() {
    grep -q -x -F "$p_digest  $p_key" "$here/checksums.txt" || die "checksums.txt does not name $p_key as it was written."
}

check_set() {
    need sha256sum coreutils
    if [ -n "$key" ]; then
        need openssl openssl
        check_signature
    fi
    # In a shell of its own: the names of identity and key are relative to where we are.
    (cd -- "$here" && sha256sum -c checksums.txt) ||
        die "something is damaged or missing (see above). Use another copy of the set."
    each_part check_listed || exit 1
    say "All files are as they were written."
    if [ -n "$identity" ]; then
        need_identity
        each_part rehearse || exit 1
        say "All parts can be unpacked."
    fi
    [ -n "$key" ] || say "Whether they are ours was not checked: --key key.pem, from the recovery kit."
}

check_signature() {
    fingerprint=$(openssl pkey -pubin -in "$key" -outform DER 2>/dev/null | sha256sum)
    fingerprint=${fingerprint%% *}
    [ -z "$signing_key" ] || [ "$fingerprint" = "$signing_key" ] ||
        say "This is another key than the one that the set names ($signing_key)."
    openssl pkeyutl -verify -pubin -inkey "$key" -rawin -in "$here/checksums.txt" \
        -sigfile "$here/checksums.txt.sig" ||
        die "the signature is NOT that of this key. Do not use this set, and do not run this script."
}

show_details() {
    need_identity
    check_digest "$details_digest" "$details_key"
    plain "$details_key" || die "$details_key cannot be unpacked."
}

# The keys of the details are sorted, so that a source's place is always followed by its tier.
show_places() {
    need_identity
    plain "$details_key" >"$work/details" || die "$details_key cannot be unpacked."
    grep -o '"target": "[^"]*", "tier": "' "$work/details" | sed 's/", "tier": "$//; s/^"target": "//' >"$work/places"
    say "In the order of their names, $sources_by_name were:"
    cat "$work/places"
}

unpack_part() {
    [ "$p_order" = "$name" ] || return 0
    p_found=1
    [ -n "$target" ] || misused "--target FILE is needed."
    [ ! -e "$target" ] || ask "$target exists. Overwrite it? [y/N]" y
    rehearse
    write_file "$p_key" "$target"
    put_in_place "$target"
    say "$target has the plain bytes of $p_key."
}

# ------------------------------------------------------------------ which sources, and where to

is_wanted() {
    case $what in
    all) return 0 ;;
    source) [ "$s_name" = "$name" ] ;;
    *) case " $tiers " in *" $s_tier "*) return 0 ;; *) return 1 ;; esac ;;
    esac
}

count_wanted() {
    if is_wanted; then wanted=$((wanted + 1)); fi
}

# lookup LIST NAME: the place in a list of lines NAME=PLACE, in `found`; empty when there is none.
lookup() {
    found=
    while IFS= read -r l_line; do
        case $l_line in "$2="*) found=${l_line#"$2="} ;; esac
    done <<END
$1
END
}

is_source() {
    if [ "$s_name" = "$1" ]; then known=1; fi
}

add_target() {
    case $1 in *'
'*) misused "a place with a line break in its name cannot be given." ;; esac
    known=
    case $1 in *=*) each_source is_source "${1%%=*}" ;; esac
    if [ -n "$known" ]; then
        targets="$targets
$1"
    else
        target=$1
    fi
}

choose_place() {
    lookup "$targets" "$s_name"
    place=$found
    [ -z "$place" ] || return 0
    if [ "$wanted" -eq 1 ] && [ -n "$target" ]; then
        place=$target
        return 0
    fi
    case $s_engine in
    mariadb | mysql | postgresql) ask_database ;;
    sqlite) place=${target:-restored}/$s_name.sqlite3 ;;
    *) place=${target:-restored}/$s_name ;;
    esac
}

ask_database() {
    [ -t 0 ] || misused "into which database does $s_name go? --target $s_name=DATABASE"
    printf 'Into which database does %s (%s) go? ' "$s_name" "$s_engine"
    read -r place || place=
    [ -n "$place" ] || die "nothing was done."
}

plan_one() {
    is_wanted || return 0
    choose_place
    case $s_engine in sqlite | mariadb | mysql | postgresql) ;; *) place=$(absolute "$place") ;; esac
    case $s_engine in
    mariadb | mysql) look_mariadb ;;
    postgresql) look_postgresql ;;
    sqlite) look_sqlite ;;
    files) look_files ;;
    *) look_other ;;
    esac
    case $s_engine in sqlite | mariadb | mysql | postgresql) refuse_twice ;; esac
    chosen="$chosen
$s_name=$place"
    say "  $s_name ($s_engine, $s_tier) -> $place: $state"
    case $s_engine in mariadb | mysql | postgresql) ;; *) look_for_room ;; esac
}

add_size() {
    bytes=$((bytes + p_plain))
}

# Only a warning: df does not know of quotas, and files with holes need less.
look_for_room() {
    bytes=0
    each_part for_each_part add_size
    above=$place
    while [ ! -d "$above" ]; do above=$(dirname -- "$above"); done
    free=$(df -Pk "$above" 2>/dev/null | sed -n '$s/^.* \([0-9][0-9]*\)  *[0-9-][0-9]*%* .*$/\1/p')
    if [ -n "$free" ] && [ "$((bytes / 1024))" -gt "$free" ]; then
        say "    WARNING: it needs $(human "$bytes"); in $above there are $(human "$((free * 1024))") free."
    fi
}

refuse_twice() {
    case "$chosen
" in *"=$place
"*) misused "two sources cannot be restored into the same place, $place. --target $s_name=..." ;; esac
}

absolute() {
    case $1 in /*) printf '%s' "$1" ;; *) printf '%s/%s' "$(pwd)" "$1" ;; esac
}

overwriting() {
    overwrites=1
    state="OVERWRITES: $1"
}

for_each_part() {
    if [ "$p_source" = "$s_name" ]; then "$@"; fi
}

rehearse_one() {
    if is_wanted; then each_part for_each_part rehearse || exit 1; fi
}

restore_one() {
    is_wanted || return 0
    lookup "$chosen" "$s_name"
    place=$found
    say "restoring $s_name into $place"
    case $s_engine in
    mariadb | mysql) restore_mariadb ;;
    postgresql) restore_postgresql ;;
    sqlite) restore_sqlite ;;
    files) restore_files ;;
    *) restore_other ;;
    esac
    done_count=$((done_count + 1))
}

restore_wanted() {
    wanted=0
    each_source count_wanted
    [ "$wanted" -gt 0 ] || die "the set has nothing of this kind. sh restore.sh list shows what it has."
    need_identity
    need sha256sum coreutils
    say "$system_name, the data of $moment. What will be done:"
    each_source plan_one || exit 1
    if [ -n "$overwrites" ]; then
        ask "Something is overwritten. Type overwrite to go on:" overwrite
    else
        ask "Go on? [y/N]" y
    fi
    say "Before anything is changed, all parts are read through:"
    each_source rehearse_one || exit 1
    each_source restore_one || exit 1
    say "Done: $done_count of $wanted restored."
}

# ------------------------------------------------------------------ trees of files

look_files() {
    need tar tar
    case $(tar --version 2>/dev/null) in
    *'GNU tar'*) ;;
    *) die "this tar is not GNU tar; it would lose long names, holes and attributes. Install it: apt-get install tar" ;;
    esac
    if [ -e "$place" ] && [ ! -d "$place" ]; then die "$place is there, and is not a directory."; fi
    if [ -n "$(ls -A "$place" 2>/dev/null)" ]; then
        overwriting "the directory is not empty; files of the set replace those of the same name, others stay"
    else
        state="into a new directory"
    fi
}

untar() {
    as_who=--no-same-owner more_attributes=
    if [ "$(id -u)" -eq 0 ]; then
        as_who=--same-owner more_attributes='--xattrs-include=security.capability --xattrs-include=trusted.*'
    fi
    tree=$1
    eval "set -f -- $client_options"
    # Never --incremental, which deletes. Full records of the size they were written in: otherwise tar leaves
    # before it has read the padding, and the pipe breaks. The words in more_attributes are options of their own.
    # shellcheck disable=SC2086
    exec tar "$@" --extract --file=- --blocking-factor=2048 --read-full-records --directory="$tree" \
        --numeric-owner $as_who --same-permissions --acls --xattrs '--xattrs-include=user.*' $more_attributes \
        --delay-directory-restore --warning=no-timestamp
}

restore_files() {
    mkdir -p -- "$place" || die "$place cannot be made."
    each_part for_each_part restore_tree || exit 1
}

restore_tree() {
    say "  unpacking $p_key"
    feed "$p_key" untar "$place" || die "$p_key was not unpacked whole (see above): $place is INCOMPLETE."
}

# ------------------------------------------------------------------ SQLite

look_sqlite() {
    place=$(absolute "$place")
    [ ! -d "$place" ] || place=$place/$s_name.sqlite3
    state="a new file"
    if [ -s "$place" ]; then overwriting "the present file stays beside it as $(basename -- "$place").before-*"; fi
}

restore_sqlite() {
    mkdir -p -- "$(dirname -- "$place")" || die "the directory of $place cannot be made."
    each_part for_each_part restore_sqlite_file || exit 1
}

restore_sqlite_file() {
    write_file "$p_key" "$place"
    if command -v sqlite3 >/dev/null 2>&1; then
        verdict=$(sqlite3 "$place.restoring" 'PRAGMA quick_check(1)' 2>&1)
        [ "$verdict" = ok ] || say "  WARNING: SQLite says of the restored file: $verdict"
    fi
    keep_old_sqlite
    put_in_place "$place"
}

# The old file goes aside with its log: a log that stayed would be replayed into the new file, and destroy it.
keep_old_sqlite() {
    [ -e "$place" ] || return 0
    chmod "$(stat -c %a "$place")" "$place.restoring" || die "the mode of $place cannot be kept."
    if [ "$(id -u)" -eq 0 ]; then
        chown "$(stat -c %u:%g "$place")" "$place.restoring" || die "the owner of $place cannot be kept."
    fi
    aside=$place.before-$(date -u +%Y%m%dT%H%M%SZ)
    for ending in -wal -shm -journal ''; do
        [ ! -e "$place$ending" ] || mv -- "$place$ending" "$aside$ending" || die "$place$ending cannot be moved aside."
    done
    say "  the old one is now $aside"
}

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

# ------------------------------------------------------------------ anything else

look_other() {
    state="unpacked into this directory, for you to use"
    if [ -n "$(ls -A "$place" 2>/dev/null)" ]; then overwriting "files of the same name in this directory are replaced"; fi
}

restore_other() {
    mkdir -p -- "$place" || die "$place cannot be made."
    each_part for_each_part restore_other_part || exit 1
}

restore_other_part() {
    write_file "$p_key" "$place/$p_name.$p_suffix"
    put_in_place "$place/$p_name.$p_suffix"
    say "  $place/$p_name.$p_suffix"
}

# ------------------------------------------------------------------ begin

# An argument as a word of the shell, whatever is in it.
shell_quoted() {
    printf '%s\n' "$1" | sed "s/'/'\\\\''/g; 1s/^/'/; \$s/\$/'/"
}

targets='' target='' identity='' key='' yes='' without_accounts='' client_options=''
chosen='' overwrites='' name='' tiers='' done_count=0 p_found='' aside=''
maintenance=
what=${1:-help}
[ $# -eq 0 ] || shift
if [ "$what" = restore ]; then
    what=${1:-help}
    [ $# -eq 0 ] || shift
fi

case $what in
-h | --help | help)
    usage
    exit 0
    ;;
source | part)
    [ $# -gt 0 ] || misused "which one? sh restore.sh list shows them."
    name=$1
    shift
    ;;
app | application) tiers=application ;;
config | configuration) tiers=configuration ;;
docs | documentation) tiers=documentation ;;
ssl | certificates) tiers=certificates ;;
system) tiers='system information scripts metadata' ;;
database | storage | git | external | information | scripts | metadata) tiers=$what ;;
all | list | check | places | details) ;;
*) misused "there is no command $what." ;;
esac

while [ $# -gt 0 ]; do
    case $1 in
    --yes) yes=1 ;;
    --without-accounts) without_accounts=1 ;;
    --target | --identity | --key)
        [ $# -gt 1 ] || misused "$1 needs a value."
        case $1 in
        --target) add_target "$2" ;;
        --identity) identity=$2 ;;
        --key) key=$2 ;;
        esac
        shift
        ;;
    --)
        shift
        for one in "$@"; do client_options="$client_options $(shell_quoted "$one")"; done
        break
        ;;
    *) misused "there is no option $1." ;;
    esac
    shift
done

case $what in
list) list_set ;;
check) check_set ;;
places) show_places ;;
details) show_details ;;
part)
    need_identity
    each_part unpack_part || exit 1
    [ -n "$p_found" ] || die "there is no part $name."
    ;;
*) restore_wanted ;;
esac
