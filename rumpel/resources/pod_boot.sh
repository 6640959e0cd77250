#!/bin/sh
# What runs in a pod first, with nothing but a POSIX shell: /bin/sh -c BOOT rumpel main|exec
#
# Reads blocks of lines ended by a line `.` and runs each in a subshell of its own, so that no
# request can kill this loop. `@hello NONCE` drops what was begun and answers with the version of
# the program; `@program VERSION` and its lines are kept and evaluated before each block;
# `@load VERSION FILE` has the program read from a file, if that is there. As
# main it is the container's process 1 (or a child of its init): it ends on TERM and on nothing
# else. As exec it ends with its input and takes all that it started with it.
rp_mode=$1 rp_block='' rp_program='' rp_version=- rp_busy=''
rp_nl='
'
trap 'exit 0' HUP INT QUIT TERM

rp_start() {
    # In the background: a shell runs a trap only when no foreground child is left.
    (
        rp_seq=${rp_block#* } rp_seq=${rp_seq%%[!0-9]*}
        trap 'rp_code=$?; [ $rp_code = 0 ] || echo "@rumpel ${rp_seq:-0} err exit code $rp_code"' EXIT
        eval "$rp_program$rp_nl$rp_block"
    ) </dev/null &
}

rp_take() {
    case $rp_block in
    '@program '*)
        rp_version=${rp_block%%"$rp_nl"*} rp_version=${rp_version#* }
        rp_program=${rp_block#*"$rp_nl"}
        ;;
    'rp_setup '*)
        # One after the other: a daemon that was restarted asks again while the first one runs.
        [ -z "$rp_busy" ] || wait "$rp_busy"
        rp_start
        rp_busy=$!
        ;;
    ?*) rp_start ;;
    esac
    rp_block=''
}

while :; do
    while IFS= read -r rp_line; do
        case $rp_line in
        '@hello '*)
            rp_block=''
            (printf '\n@rumpel %s ok %s\n' "${rp_line#* }" "$rp_version") &
            ;;
        '@load '*)
            # A shell takes its input byte by byte: 10 ms for a program that is one read here.
            rp_file=${rp_line#* } rp_version=${rp_file%% *} rp_file=${rp_file#* }
            if [ -f "$rp_file" ]; then rp_program=". '$rp_file'"; else rp_version=-; fi
            ;;
        .) rp_take ;;
        *) rp_block=$rp_block$rp_line$rp_nl ;;
        esac
    done
    if [ "$rp_mode" != main ]; then
        # An exec outlives its client, and so would all that it started; it leads its group.
        # git removes its locks on TERM; a subshell that has just been forked may miss it.
        trap '' TERM
        kill -TERM "-$$" 2>/dev/null && sleep 1 && kill -KILL "-$$"
        exit 0
    fi
    sleep 60 >/dev/null 2>&1 &
    wait "$!"
done
