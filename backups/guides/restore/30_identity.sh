# ------------------------------------------------------------------ who may read it

need_identity() {
    need zstd zstd
    make_work
    [ -n "$encrypted" ] || return 0
    need age age
    [ -n "$identity" ] || die "this set is encrypted: --identity FILE, the identity of $recipients"
    [ -r "$identity" ] || die "the identity file $identity cannot be read."
    # An identity under a passphrase tells nothing; age will ask for it.
    theirs=$(age-keygen -y "$identity" 2>/dev/null) || return 0
    for one in $theirs; do
        case " $recipients " in *" $one "*) return 0 ;; esac
    done
    die "$identity is the identity of $theirs; this set needs that of $recipients"
}

