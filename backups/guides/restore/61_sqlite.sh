# ------------------------------------------------------------------ SQLite

look_sqlite() {
    place=$(absolute "$place")
    [ ! -d "$place" ] || place=$place/$s_name.sqlite3
    state="a new file"
    if [ -s "$place" ]; then overwriting "the present file stays beside it as $(basename -- "$place").before-*"; fi
}

restore_sqlite() {
    make_parents "$place"
    each_part for_each_part restore_sqlite_file || exit 1
}

restore_sqlite_file() {
    write_file "$p_key" "$place"
    if command -v sqlite3 >/dev/null 2>&1; then
        verdict=$(sqlite3 "$place.restoring" 'PRAGMA quick_check(1)' 2>&1)
        [ "$verdict" = ok ] || say "  WARNING: SQLite says of the restored file: $verdict"
    fi
    # With its log: one that stayed would be replayed into the new file, and destroy it.
    if [ -e "$place" ]; then keep_old -wal -shm -journal; else give_rights; fi
    put_in_place "$place"
}

# Mode and, for root, owner as the set tells them: the application has to read and write the new file.
give_rights() {
    load_originals
    lookup "$originals" "$p_key"
    rights=${found##* }
    case $rights in [0-7][0-7][0-7]*) ;; *) return 0 ;; esac
    chmod "${rights%%:*}" "$place.restoring" || die "the mode of $place cannot be set."
    case $rights in *:*:*) ;; *) return 0 ;; esac
    [ "$(id -u)" -ne 0 ] || chown "${rights#*:}" "$place.restoring" || die "the owner of $place cannot be set."
}

