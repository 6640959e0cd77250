# A program that is started once and goes on when nobody listens. Run by /bin/sh -c as the pod's
# user: rumpel DIR SIZE SHOWS PROGRAM [ARG...], with SIZE bytes for it on stdin.
# Who comes later with the same DIR hears the same from its beginning: its output on stdout, unless
# SHOWS is no; then, on stderr, a line with the size of that and its exit code (or `cut`: it was
# killed from outside), and the last of its stderr. 97: no room or no right to write here; 98: stdin was cut.
set -u
dir=$1 size=$2 shows=$3
shift 3
mask=$(umask)
umask 077
mkdir -p "$dir" || exit 97
[ -p "$dir/alive" ] || mkfifo "$dir/alive" 2>/dev/null || [ -p "$dir/alive" ] || exit 97
if [ ! -d "$dir/begun" ]; then
    in=/dev/null
    if [ "$size" -gt 0 ]; then
        in=$dir/in.$$
        cat >"$in" || exit 97
        [ "$(wc -c <"$in")" -eq "$size" ] || { rm -f "$in"; exit 98; }
    fi
    : >>"$dir/out" && : >>"$dir/err" || exit 97
    # The exit code has its room from the start: a program that fills the disk is not begun again.
    end=$dir/code.$$
    echo '       ' >"$end" || exit 97
    # Held by whoever watches over the program: a reader hears its end, however it came.
    exec 9<>"$dir/alive"
    if mkdir "$dir/begun" 2>/dev/null; then
        (
            exec <"$in" && [ "$size" = 0 ] || rm -f "$in"
            umask "$mask"
            "$@" >>"$dir/out" 2>>"$dir/err" 9>&-
            echo "$?   " 1<>"$end" && mv "$end" "$dir/code"
        ) >/dev/null 2>&1 &
    else
        rm -f "$end"
        [ "$size" = 0 ] || rm -f "$in"
    fi
    exec 9>&-
else
    cat >/dev/null # Podman breaks off what is said by one that ends with its input unread
fi
tail=''
if [ -e "$dir/code" ]; then
    [ "$shows" = no ] || cat "$dir/out"
else
    if [ "$shows" != no ]; then
        tail -c +1 -f "$dir/out" </dev/null &
        tail=$!
    fi
    # Opened for writing too, for a moment: else this would wait for a writer that is gone.
    exec 8<>"$dir/alive"
    exec 7<"$dir/alive"
    exec 8>&-
    while read -r _ <&7; do :; done
    exec 7<&-
    if [ -n "$tail" ]; then
        kill "$tail" 2>/dev/null
        wait "$tail" 2>/dev/null
    fi
fi
code=cut
[ ! -e "$dir/code" ] || read -r code <"$dir/code"
echo "$(($(wc -c <"$dir/out"))) $code" >&2
tail -c 4000 "$dir/err" >&2
