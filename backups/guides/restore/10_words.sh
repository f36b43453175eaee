# ------------------------------------------------------------------ words

usage() {
    cat <<'END'
sh restore.sh list                       what is in the set, how old it is; with --identity FILE
                                         also where each source goes. Writes nothing
sh restore.sh check [--key key.pem]      are all files as they were written? With the key of the
                                         recovery kit: are they ours? With --identity FILE: can
                                         every part be unpacked and listed? Writes nothing
sh restore.sh places --identity FILE     where the data were when the set was taken
sh restore.sh database|app|config|storage|docs|system|ssl|git|external|all [options]
sh restore.sh information|scripts|metadata [options]
sh restore.sh source NAME [options]      restore one source
sh restore.sh part NUMBER --target FILE  only unpack one part
sh restore.sh details                    print details.json: tables, digests, options of the sources

Options:
  --target PLACE       a directory, a SQLite file, or a database's name
  --target NAME=PLACE  the place for the source NAME; may be given several times
                       Without --target a source goes to where it was
  --dry-run            say what would be done and what would be overwritten, and do nothing
  --identity FILE      the age identity of the recovery kit, for an encrypted set
  --without-accounts   leave out accounts, roles and rights
  --yes                do not ask, overwrite
  -- OPTIONS           for the database's client (-- --host=db2 --user=root) or for tar (-- --exclude=./x)

A database's client signs in as it always does: ~/.my.cnf, PGHOST, PGUSER, PGPASSFILE, ~/.pgpass.
Exit codes: 0 done, 1 failed or refused and nothing was changed, 2 wrong usage,
3 failed on the way: what is incomplete was said.
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

# TEXT for a terminal: what could steer it is taken out.
shown() {
    printf '%s' "$1" | tr '\000-\037\177' '?'
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

