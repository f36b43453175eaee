# ------------------------------------------------------------------ trees of files

is_gnu_tar() {
    case $(tar --version 2>/dev/null) in *'GNU tar'*) return 0 ;; *) return 1 ;; esac
}

look_files() {
    need tar tar
    is_gnu_tar ||
        die "this tar is not GNU tar; it would lose long names, holes and attributes. Install it: apt-get install tar"
    each_part for_each_part need_for_names
    if [ -e "$place" ] && [ ! -d "$place" ]; then die "$place is there, and is not a directory."; fi
    if [ -n "$(ls -A "$place" 2>/dev/null)" ]; then
        overwriting "the directory is not empty; files of the set replace those of the same name, others stay"
    else
        state="into a new directory"
    fi
    [ ! -e "$place.unfinished" ] || state="$state (an earlier restore into it was cut off)"
}

need_for_names() {
    [ "$p_suffix" != names ] || need xargs findutils
}

tar_list() {
    exec tar --list --file=- --blocking-factor=2048 --read-full-records --warning=no-timestamp >"$1"
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

# The mark beside the directory says so when the machine itself goes down in the middle.
restore_files() {
    make_parents "$place"
    mkdir -p -- "$place" || die "$place cannot be made."
    [ "$place" = / ] || printf '' >"$place.unfinished" || die "$place.unfinished cannot be written."
    each_part for_each_part restore_tree || exit 1
    [ "$place" = / ] || rm -f -- "$place.unfinished"
}

# What an increment removes: names, each ended by NUL, a directory after what it holds. What is not empty then holds
# something that is in no set, and stays.
remove_listed() {
    cd -- "$1" || exit 1
    # shellcheck disable=SC2016
    exec xargs -0 sh -c 'for name; do
        case "/$name/" in */../* | //*) echo "a name leads out of the directory" >&2; exit 255 ;; esac
        if [ -d "$name" ] && [ ! -L "$name" ]; then rmdir -- "$name" 2>/dev/null; else rm -f -- "$name"; fi
    done; :' sh
}

restore_tree() {
    if [ "$p_suffix" = names ]; then
        say "  removing what was gone by then: $p_key"
        feed "$p_key" remove_listed "$place" || die "$p_key was not followed (see above): $place is INCOMPLETE."
        return
    fi
    say "  unpacking $p_key"
    feed "$p_key" untar "$place" || die "$p_key was not unpacked whole (see above): $place is INCOMPLETE."
}

