#!/bin/sh
# Becomes the relay of one connection: /bin/sh -c THIS rumpel KIND PERL PYTHON
#
# KIND is empty the first time in an image: then the best program there is is found. `ready KIND`
# on stderr says that a line `HOST PORT` is awaited on stdin. perl and python3 run our own programs
# (see pod_relay.pl); of the others stdin and stdout are the connection itself.
kind=$1

has() { command -v "$1" >/dev/null 2>&1; }

find_kind() {
    if has perl && perl -MSocket -MFcntl -MErrno -e 'exit !Socket->can("getaddrinfo")' 2>/dev/null; then kind=perl
    elif has python3 && python3 -I -S -c 'import select, signal, socket, struct' 2>/dev/null; then kind=python3
    elif has socat; then kind=socat
    elif has nc; then
        # OpenBSD's passes the end of its input on only when told to.
        case $(nc -h 2>&1) in *-N*hutdown*) kind=nc-N ;; *) kind=nc ;; esac
    elif has bash; then kind=bash
    else kind=none
    fi
}

address() {
    # The service listens on ::1 alone? Then it is not found on 127.0.0.1.
    [ "$host" = localhost ] || return
    host=127.0.0.1
    hex=$(printf %04X "$port")
    if ! grep -qs ": [0-9A-F]*:$hex 0*:0000 0A " /proc/net/tcp &&
        grep -qs ": 0*1000000:$hex 0*:0000 0A " /proc/net/tcp6; then
        host=::1
    fi
}

[ -n "$kind" ] || find_kind
case $kind in
perl) exec perl -e "$2" ;;
python3) exec python3 -I -S -c "$3" ;;
none)
    echo '@rumpel ready none' >&2
    exit 1
    ;;
esac
echo "@rumpel ready $kind" >&2
read -r host port || exit 0
address
case $kind in
socat)
    case $host in *:*) host="[$host]" ;; esac
    exec socat -t 31536000 - "TCP:$host:$port,nodelay"
    ;;
nc) exec nc "$host" "$port" ;;
nc-N) exec nc -N "$host" "$port" ;;
bash)
    # It cannot end one direction alone, so the daemon ends a connection that its client ended.
    exec bash -c 'exec 3<>"/dev/tcp/$1/$2" 4<&0 || exit 1
        cat <&4 >&3 & up=$!
        cat <&3
        kill "$up" 2>/dev/null; exit 0' bash "$host" "$port"
    ;;
esac
