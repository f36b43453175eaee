# ------------------------------------------------------------------ begin

# An argument as a word of the shell, whatever is in it.
shell_quoted() {
    printf '%s\n' "$1" | sed "s/'/'\\\\''/g; 1s/^/'/; \$s/\$/'/"
}

targets='' target='' identity='' key='' yes='' without_accounts='' client_options=''
chosen='' overwrites='' name='' tiers='' done_count=0 p_found='' aside=''
maintenance='' originals='' originals_known='' dry_run='' kind=''
what=${1:-help}
[ $# -eq 0 ] || shift
if [ "$what" = restore ]; then
    what=${1:-help}
    [ $# -eq 0 ] || shift
fi

case $what in
-h | --help | help)
    usage
    exit 0
    ;;
source | part)
    [ $# -gt 0 ] || misused "which one? sh restore.sh list shows them."
    name=$1
    shift
    ;;
app | application) tiers=application ;;
config | configuration) tiers=configuration ;;
docs | documentation) tiers=documentation ;;
ssl | certificates) tiers=certificates ;;
system) tiers='system information scripts metadata' ;;
database | storage | git | external | information | scripts | metadata) tiers=$what ;;
all | list | check | places | details) ;;
*) misused "there is no command $what." ;;
esac

while [ $# -gt 0 ]; do
    case $1 in
    --yes) yes=1 ;;
    --dry-run) dry_run=1 ;;
    --without-accounts) without_accounts=1 ;;
    --target | --identity | --key)
        [ $# -gt 1 ] || misused "$1 needs a value."
        case $1 in
        --target) add_target "$2" ;;
        --identity) identity=$2 ;;
        --key) key=$2 ;;
        esac
        shift
        ;;
    --)
        shift
        for one in "$@"; do client_options="$client_options $(shell_quoted "$one")"; done
        break
        ;;
    *) misused "there is no option $1." ;;
    esac
    shift
done

case $what in
list) list_set ;;
check) check_set ;;
places) show_places ;;
details) show_details ;;
part)
    need_identity
    each_part unpack_part || exit 1
    [ -n "$p_found" ] || die "there is no part $name."
    ;;
*) restore_wanted ;;
esac
