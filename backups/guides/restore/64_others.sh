# ------------------------------------------------------------------ anything else

# What stands in a tar is unpacked as a tree; the rest becomes a file in a directory, and what to do with it is said.
look_other() {
    s_tars=
    each_part for_each_part note_tar
    if [ -n "$s_tars" ]; then
        look_files
        return 0
    fi
    state="into this directory, for you to use"
    if [ -n "$(ls -A "$place" 2>/dev/null)" ]; then overwriting "files of the same name in this directory are replaced"; fi
}

note_tar() {
    if [ "$p_suffix" = tar ]; then s_tars=1; fi
}

restore_other() {
    mkdir -p -- "$place" || die "$place cannot be made."
    each_part for_each_part restore_other_part || exit 1
}

restore_other_part() {
    if [ "$p_suffix" = tar ]; then
        restore_tree
        return 0
    fi
    file=$place/$p_name.$p_suffix
    write_file "$p_key" "$file"
    put_in_place "$file"
    say "  $(shown "$file")"
    case $p_suffix in
    bundle)
        say "    a git bundle. What it has: git bundle list-heads FILE. Into a new directory: git clone FILE DIRECTORY"
        say "    Into the repository again: git fetch FILE 'refs/*:refs/rescued/*'"
        ;;
    rdb)
        say "    the data of Redis. Stop Redis, put the file in place of its dump.rdb (redis-cli CONFIG GET dir), owned"
        say "    by redis, with appendonly no; start Redis. It would overwrite the file if it were running."
        ;;
    esac
}

