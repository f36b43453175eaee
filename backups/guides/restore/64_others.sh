# ------------------------------------------------------------------ anything else

# A file in a directory, and what to do with it is said.
look_other() {
    state="into this directory, for you to use"
    if [ -n "$(ls -A "$place" 2>/dev/null)" ]; then overwriting "files of the same name in this directory are replaced"; fi
}

restore_other() {
    mkdir -p -- "$place" || die "$place cannot be made."
    each_part for_each_part restore_other_part || exit 1
}

restore_other_part() {
    file=$place/$p_name.$p_suffix
    write_file "$p_key" "$file"
    put_in_place "$file"
    say "  $(shown "$file")"
    if [ "$p_suffix" = bundle ]; then
        say "    a git bundle. What it has: git bundle list-heads FILE. Into a new directory: git clone FILE DIRECTORY"
        say "    Into the repository again: git fetch FILE 'refs/*:refs/rescued/*'"
    fi
}

