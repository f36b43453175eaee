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
    if [ -z "$target" ]; then
        original_place
        place=$found
        [ -z "$place" ] || return 0
    fi
    case $kind in
    mariadb | postgresql) ask_database ;;
    sqlite) place=${target:-restored}/$s_name.sqlite3 ;;
    redis) place=${target:-restored}/$s_name.rdb ;;
    *) place=${target:-restored}/$s_name ;;
    esac
}

ask_database() {
    [ -t 0 ] || misused "into which database does $s_name go? --target $s_name=DATABASE"
    printf 'Into which database does %s (%s) go? ' "$s_name" "$s_engine"
    read -r place || place=
    [ -n "$place" ] || die "nothing was done."
}

# How the source is restored, in `kind`: by its engine, or as a tree whatever engine made its tar.
choose_kind() {
    case $s_engine in
    mariadb | mysql) kind=mariadb ;;
    postgresql | sqlite | redis) kind=$s_engine ;;
    *)
        kind=files
        each_part for_each_part note_other
        ;;
    esac
}

note_other() {
    case $p_suffix in tar | names) ;; *) kind=other ;; esac
}

plan_one() {
    is_wanted || return 0
    choose_kind
    choose_place
    case $kind in mariadb | postgresql) ;; *) place=$(absolute "$place") ;; esac
    "look_$kind"
    case $kind in mariadb | postgresql | sqlite | redis) refuse_twice ;; esac
    case $kind in mariadb | postgresql | sqlite) refuse_part ;; esac
    chosen="$chosen
$s_name=$place"
    say "  $s_name ($s_engine, $s_tier) -> $(shown "$place"): $state"
    case $kind in mariadb | postgresql) ;; *) look_for_room ;; esac
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

# Some tables must not take the place of a whole database.
refuse_part() {
    [ -n "$partial" ] || return 0
    case $state in OVERWRITES*)
        die "of its databases this set holds only $partial; in place of $(shown "$place") the others would be gone. Restore beside it, and take the tables from there: --target $s_name=ANOTHER_NAME"
        ;;
    esac
}

refuse_twice() {
    case "$chosen
" in *"=$place
"*) misused "two sources cannot be restored into the same place, $place. --target $s_name=..." ;; esac
}

absolute() {
    case $1 in
    /) printf / ;;
    /*) printf '%s' "${1%/}" ;;
    *) printf '%s/%s' "$(pwd)" "${1%/}" ;;
    esac
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
    current=$s_name
    say "restoring $s_name into $(shown "$place")"
    choose_kind
    "restore_$kind"
    done_count=$((done_count + 1)) restored="${restored:+$restored, }$s_name" current=
}

restore_wanted() {
    wanted=0
    each_source count_wanted
    [ "$wanted" -gt 0 ] || die "the set has nothing of this kind. sh restore.sh list shows what it has."
    need_identity
    need sha256sum coreutils
    say "$system_name, the data of $moment. What will be done:"
    each_source plan_one || exit 1
    if [ -n "$dry_run" ]; then
        say "Nothing was done: --dry-run."
        return 0
    fi
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

