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

