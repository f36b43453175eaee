# ------------------------------------------------------------------ list, check, places

list_part() {
    printf '%3s  %-16s %-16s %-14s %-17s %11s %11s\n' "$p_order" "$p_source" "$p_name" "$p_tier" "$p_engine" \
        "$(human "$p_plain")" "$(human "$p_stored")"
}

list_set() {
    age_hours=$((($(date +%s) - moment_seconds) / 3600))
    say "$system_name ($system), set $set_name, plan $plan, taken because: $reason"
    [ -z "$number" ] || say "It is number $number of this system's sets."
    say "The data are of $moment: $((age_hours / 24)) days and $((age_hours % 24)) hours old now."
    [ -z "$partial" ] || say "WARNING: of its databases this set holds only $partial."
    [ -z "$capped" ] || say "WARNING: the dump is incomplete; log.txt and the details say what is missing."
    if [ -n "$encrypted" ]; then
        say "Encrypted. It needs the identity of one of: $recipients"
    else
        say "Not encrypted."
    fi
    printf '\n%3s  %-16s %-16s %-14s %-17s %11s %11s\n' "" source part tier engine plain stored
    each_part list_part
    [ -z "$needs" ] || say "It needs parts of these sets, which have to lie beside it: $needs"
    tell_newer
    say ""
    if [ -n "$encrypted" ] && [ -z "$identity" ]; then
        say "Where each source goes is encrypted, too: --identity FILE shows it."
    elif ! command -v zstd >/dev/null 2>&1; then
        say "Where each source goes can be shown once zstd is installed: apt-get install zstd"
    else
        need_identity
        say "Without --target they go to where they were, in this order:"
        each_source list_place
    fi
}

list_place() {
    original_place
    [ -n "$found" ] || found="$(pwd)/restored/$s_name (it had no place of its own)"
    printf '  %-16s %-16s -> %s\n' "$s_name" "($s_tier)" "$(shown "$found")"
}

check_listed() {
    grep -q -x -F "$p_digest  $p_key" "$here/checksums.txt" || die "checksums.txt does not name $p_key as it was written."
}

# What is not named in checksums.txt is not signed, whatever `sha256sum -c` says of the rest.
check_covered() {
    for c_name in manifest.json restore.sh RESTORE.md log.txt; do
        grep -q "^[0-9a-f]\{64\}  $c_name\$" "$here/checksums.txt" || die "checksums.txt does not name $c_name: it is not the set's."
    done
    grep -q -x -F "$details_digest  $details_key" "$here/checksums.txt" ||
        die "checksums.txt does not name $details_key as it was written."
    each_part check_listed || exit 1
}

check_set() {
    need sha256sum coreutils
    [ -f "$here/checksums.txt" ] || die "checksums.txt is missing. Fetch it again, or use another copy of the set."
    if [ -n "$key" ]; then
        need openssl openssl
        check_signature
    fi
    # In a shell of its own: the names of identity and key are relative to where we are.
    (cd -- "$here" && sha256sum -c checksums.txt) ||
        die "something is damaged or missing (see above). Use another copy of the set."
    check_covered
    say "All files are as they were written."
    check_predecessor
    tell_newer
    if [ -n "$identity" ] || [ -z "$encrypted" ]; then
        need_identity
        each_part check_part || exit 1
        say "All parts can be unpacked."
    fi
    [ -n "$key" ] || say "Whether they are ours was not checked: --key key.pem, from the recovery kit."
}

# The set before this one, if it lies beside it as in the store: is it the one that this one was made after?
check_predecessor() {
    case $(basename -- "$here") in
    "$set_name") ;;
    *) say "This folder is not called $set_name, as the set is. If you copied or renamed it yourself, that is no harm; if it lies so in the store, somebody put it in another one's place." ;;
    esac
    before=$here/../$predecessor/checksums.txt
    [ -n "$predecessor" ] && [ -f "$before" ] || return 0
    found=$(sha256sum <"$before")
    if [ "${found%% *}" = "$predecessor_sha256" ]; then
        say "The set before it, $predecessor, is the one that this one was made after."
    else
        say "WARNING: the set before it, $predecessor, was CHANGED after this one was made. Do not use that one."
    fi
}

# Sets of the system with a higher number that lie beside this one. What their manifests say is only a hint.
tell_newer() {
    newer=
    for n_path in "$here"/../*/manifest.json; do
        n_name=$(basename -- "$(dirname -- "$n_path")")
        case $n_name in *[!0-9TZa-f-]*) continue ;; [0-9]*T*Z-*-a[1-9]*) ;; *) continue ;; esac
        n_number=$(sed -n 's/^  "number": \([0-9]\{1,9\}\),\{0,1\}$/\1/p' "$n_path")
        if [ -n "$n_number" ] && [ -n "$number" ] && [ "$n_number" -gt "$number" ]; then newer="$newer $n_name"; fi
    done
    [ -z "$newer" ] || say "NEWER sets of this system lie beside this one:$newer"
}

# Unpacked to nowhere; a tree of files is also listed to its end, by the tar that would restore it.
check_part() {
    if [ "$p_suffix" != tar ] || ! is_gnu_tar; then
        rehearse
        return 0
    fi
    check_digest "$p_digest" "$p_key"
    feed "$p_key" tar_list "$work/listing" || die "$p_key cannot be unpacked and listed (see above)."
    say "  $p_key: $(($(wc -l <"$work/listing"))) entries"
    rm -f -- "$work/listing"
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

# ------------------------------------------------------------------ where it all was

# The lines `KEY=PLACE SENTENCE RIGHTS` of the details, in `originals`, both in the words of from_word. Without them the
# places have to be given by hand; that is no reason to restore nothing.
load_originals() {
    [ -z "$originals_known" ] || return 0
    originals_known=1
    if ! (check_digest "$details_digest" "$details_key") || ! plain "$details_key" >"$work/details"; then
        say "WARNING: $details_key cannot be read, so it is not known where the sources were. Name each place: --target"
        return 0
    fi
    # First the whole object: a file of such a name in a tree stands elsewhere in the details.
    originals=$(grep -o '"places": {[^}]*}' "$work/details" |
        grep -o '"[.A-Za-z0-9/-]*parts/[a-z0-9./-]*": "[^"\\]*"' | sed 's/^"//; s/": "/=/; s/"$//')
    rm -f -- "$work/details"
}

# Text in which each byte but the plainest is written as % and three octal digits; an x is put behind it, since
# the shell would cut line ends off.
from_word() {
    printf '%b' "$(printf '%s' "$1" | sed 's/%\([0-7][0-7][0-7]\)/\\0\1/g')"
    printf x
}

# The place of the source, in `found`; empty when it had none.
original_place() {
    load_originals
    lookup "$originals" "$s_key"
    found=$(from_word "${found%% *}")
    found=${found%x}
}

show_places() {
    need_identity
    load_originals
    each_source show_place
}

show_place() {
    lookup "$originals" "$s_key"
    found=${found#* }
    sentence=$(from_word "${found%% *}")
    printf '%-16s %-16s %s\n' "$s_name" "($s_tier)" "$(shown "${sentence%x}")"
}

# ------------------------------------------------------------------ one part

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

