#!/bin/sh
# Tells the pod's watcher that a branch moved. Must never fail, wait or cost much: it runs several
# times in each commit. What it tells is a hint, so one unread hint is enough (the flag).
[ "$1" = committed ] || exit 0
d=${0%/*}/../rumpel
show() {
    # What of this repository the host does not take; the daemon writes it, see pod_control.sh.
    while IFS= read -r line; do
        printf 'rumpel: %s\n' "$line"
    done <"$d/refused"
}
# Without a reader a FIFO fills up and then blocks; where it is missing, <> would make a file.
[ -p "$d/fifo" ] && [ ! -s "$d/flag" ] || exit 0
n=0
while IFS=' ' read -r _ _ ref; do
    case $ref in
    refs/heads/*)
        [ ! -s "$d/refused" ] || show >&2
        { echo 1 >"$d/flag" && echo commit >&3; } 2>/dev/null 3<>"$d/fifo"
        exit 0
        ;;
    esac
    # A shell reads byte by byte: a fetch of 100,000 refs must not wait for that.
    n=$((n + 1))
    [ $n -lt 200 ] || exit 0
done
exit 0
