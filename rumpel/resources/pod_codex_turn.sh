# Called by Codex when a turn begins, with JSON on stdin. It runs no hook when a turn fails, but
# writes that down: somebody looks now and then, until the turn is over or Codex is gone.
[ -n "${RUMPEL_FIFO:-}" ] || exit 0  # without a session: its end is seen by who runs it
tell=/rumpel/home/.status.sh
said=$(cat)
/bin/sh "$tell" codex working
field() { printf '%s\n' "$said" | sed -n 's/.*"'"$1"'":"\([^"]*\)".*/\1/p'; }
log=$(field transcript_path) turn=$(field turn_id)
[ -f "$log" ] && [ -n "$turn" ] || exit 0
codex=$PPID  # or a shell of its, in between
read -r comm <"/proc/$codex/comm"
[ "$comm" = codex ] || codex=$(sed 's/.*) . \([0-9]*\) .*/\1/' "/proc/$codex/stat")
{
    while sleep 1 && [ -d "/proc/$codex" ] && read -r state </rumpel/home/.status/codex &&
        [ "$state" = working ]; do
        tail -c 65536 "$log" | grep -F "\"turn_id\":\"$turn\"" | grep '"type":"task_complete"' |
            grep -q '"error":{' && /bin/sh "$tell" codex failed
    done
} </dev/null >/dev/null 2>&1 &
exit 0
