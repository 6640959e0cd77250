# Verbs that spare an exec, sent along with their request (rp_with): what their processes print
# comes back in base64, as one line of the link. Whatever does not fit is an error, and had by exec.
rp_most=45000 # bytes, so that base64 of them is a line

rp_packed() {
    # The file $1 in rp_out. What is asked for is never empty.
    [ "$(wc -c <"$1")" -le $rp_most ] && rp_out=$(base64 <"$1" | tr -d '\n') && [ -n "$rp_out" ]
}

rp_probe() {
    # What the program $3 prints with the arguments $4 and $5, in the environment that an exec would
    # have, which is that of the main process, and $6.
    rp_seq=$1 rp_file=$2/.git/rumpel/probe.$1
    (
        umask 077
        # Into a file: a profile may leave a process behind that keeps a pipe open.
        # shellcheck disable=SC2016 # it is xargs's shell that expands them
        cd / && xargs -0 /bin/sh -c 'p=$1 a=$2 b=$3 more=$4; shift 4
            exec env -i "$@" "$more" /bin/sh -c "$p" sh "$a" "$b"' sh "$3" "$4" "$5" "$6" \
            <"/proc/$$/environ" >"$rp_file" 2>/dev/null
    )
    rp_packed "$rp_file" || rp_out=''
    rm -f "$rp_file"
    [ -n "$rp_out" ] || rp_err 'no answer'
    rp_ok "$rp_out"
}

rp_task() {
    # In folder $2, pod_task.sh for folder $3, which is not to show anything: the rest are the
    # variables, then its command line. What it said on stderr, and what there is on stdout: `-` for
    # nothing, `=` for more than fits.
    rp_seq=$1 rp_cwd=$2 rp_dir=$3
    shift 3
    cd "$rp_cwd" || rp_err "cannot enter $rp_cwd"
    rp_said=$(env -i "$@" 2>&1 >/dev/null) || rp_err "exit code $?"
    rp_said=$(printf '%s\n' "$rp_said" | base64 | tr -d '\n')
    if [ ! -s "$rp_dir/out" ]; then rp_out=-; else rp_packed "$rp_dir/out" || rp_out='='; fi
    rp_ok "$rp_said $rp_out"
}

rp_pack() {
    # What upload-pack of repository $2 answers to request $3, or says first, when that is empty.
    rp_seq=$1 rp_first_words=''
    [ -n "$3" ] || rp_first_words=--advertise-refs
    rp_out=$(printf %s "$3" | GIT_PROTOCOL=version=2 git upload-pack --strict --stateless-rpc \
        $rp_first_words "$2" 2>/dev/null | head -c $((rp_most + 1)) | base64 | tr -d '\n')
    [ -n "$rp_out" ] && [ ${#rp_out} -le $((rp_most / 3 * 4)) ] || rp_err 'it does not fit'
    rp_ok "$rp_out"
}
