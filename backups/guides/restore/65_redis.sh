# ------------------------------------------------------------------ Redis

# The server reads the file when it starts, and writes its own over it when it stops.
look_redis() {
    [ ! -d "$place" ] || place=$place/dump.rdb
    state="a new file"
    if [ -s "$place" ]; then overwriting "the present file stays beside it as $(basename -- "$place").before-*"; fi
    if [ "$(redis-cli ping 2>/dev/null </dev/null)" = PONG ]; then
        state="$state. WARNING: a Redis server runs here; stop it first (systemctl stop redis-server)"
    fi
    if [ -e "$(dirname -- "$place")/appendonlydir" ]; then
        state="$state. WARNING: Redis would read the appendonlydir beside it instead; move that away first"
    fi
}

restore_redis() {
    make_parents "$place"
    each_part for_each_part restore_redis_file || exit 1
}

restore_redis_file() {
    write_file "$p_key" "$place"
    if [ -e "$place" ]; then
        keep_old
    elif [ "$(id -u)" -eq 0 ]; then
        chown "$(stat -c %u:%g "$(dirname -- "$place")")" "$place.restoring" || die "the owner of $place cannot be set."
    fi
    put_in_place "$place"
    say "  Redis reads it at its next start, with dir and dbfilename of its configuration as they were, and appendonly no."
}

