# ------------------------------------------------------------------ a place for pipes and marks

work=
consumer=
unfinished=
current=
restored=
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd) || die "the folder of this script cannot be found."

# Only ever called by the trap.
# shellcheck disable=SC2329,SC2317
tidy_up() {
    code=$?
    [ -z "$consumer" ] || kill "$consumer" 2>/dev/null
    [ -z "$unfinished" ] || rm -f -- "$unfinished"
    [ -z "$work" ] || rm -rf -- "$work"
    [ -z "$current" ] || tell_unfinished
}

# Whatever ends a restore before its end: what is whole, what is not, and what was not begun.
# shellcheck disable=SC2329,SC2317
tell_unfinished() {
    {
        say "restore.sh: NOT everything was restored."
        [ -z "$restored" ] || say "  whole:      $restored"
        say "  INCOMPLETE: $current ($(shown "$place"))"
        left=
        each_source add_left
        [ -z "$left" ] || say "  not begun: $left"
    } >&2
    [ "$code" -ne 1 ] || exit 3
}

# shellcheck disable=SC2329,SC2317
add_left() {
    is_wanted || return 0
    case ", $restored, $current," in *", $s_name,"*) ;; *) left="$left $s_name" ;; esac
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

# The file at $place goes aside, and those of the endings; what write_file wrote gets its mode and owner.
keep_old() {
    chmod "$(stat -c %a "$place")" "$place.restoring" || die "the mode of $place cannot be kept."
    if [ "$(id -u)" -eq 0 ]; then
        chown "$(stat -c %u:%g "$place")" "$place.restoring" || die "the owner of $place cannot be kept."
    fi
    aside=$place.before-$(date -u +%Y%m%dT%H%M%SZ)
    for ending in "$@" ''; do
        [ ! -e "$place$ending" ] || mv -- "$place$ending" "$aside$ending" || die "$place$ending cannot be moved aside."
    done
    say "  the old one is now $aside"
}

# Directories above a restored place that a bare machine lacks: the web server has to pass through them.
make_parents() {
    (umask 022 && mkdir -p -- "$(dirname -- "$1")") || die "the directory of $1 cannot be made."
}

# A set that is an increment has parts in the folders of the sets before it.
missing() {
    case $1 in
    ../*)
        before=${1#../}
        die "$1 is missing: the folder of the set ${before%%/*} has to lie beside this one. Fetch it, whole."
        ;;
    *) die "$1 is missing. Fetch it again, or use another copy of the set." ;;
    esac
}

check_digest() {
    [ -f "$here/$2" ] || missing "$2"
    found=$(sha256sum <"$here/$2") || die "$2 cannot be read."
    [ "${found%% *}" = "$1" ] || die "$2 is damaged: it is not what was written. Use another copy of the set."
}

# Reads the part through once, before anything is changed: a damage or a wrong identity shows here.
rehearse() {
    say "  reading $p_key ($(human "$p_stored"))"
    check_digest "$p_digest" "$p_key"
    plain "$p_key" >/dev/null || die "$p_key cannot be unpacked (see above). Nothing was changed."
}

