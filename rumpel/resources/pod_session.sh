# Sessions of agents in a pod: a terminal that lives on when nobody looks. Run by /bin/sh -c as the
# pod's user: rumpel VERB HOME NAME [ARG...]. screen where there is one, else tmux.
# Answers on stdout; what comes from here may be anything, whoever reads it looks twice.
set -u
verb=$1 home=$2 name=$3
shift 3
umask 077
case ${LC_ALL:-${LC_CTYPE:-${LANG:-}}} in
*[Uu][Tt][Ff]*) ;;
*) unset LC_ALL && LC_CTYPE=C.UTF-8 && export LC_CTYPE ;;
esac
mkdir -p "$home" || exit 3
SCREENDIR=$home/.screen
export SCREENDIR
session=rumpel-$name

if command -v screen >/dev/null 2>&1; then mux=screen
elif command -v tmux >/dev/null 2>&1; then mux=tmux
else mux=none
fi
socket=$home/.tmux

is_alive() {
    case $mux in
    screen) [ -d "$SCREENDIR" ] && screen -S "$session" -X select . >/dev/null 2>&1 ;;
    tmux) tmux -S "$socket" has-session -t "=$session" 2>/dev/null ;;
    *) false ;;
    esac
}

paste() {
    # The content of file $1.
    case $mux in
    screen)
        screen -S "$session" -p 0 -X readbuf "$1" && screen -S "$session" -p 0 -X paste .
        ;;
    tmux)
        tmux -S "$socket" load-buffer -b rumpel "$1" \; \
            paste-buffer -r -d -b rumpel -t "=$session:"
        ;;
    esac
}

shown() {
    # What is on the screen; with `all` also what scrolled away. Of screen as ASCII.
    case $mux in
    screen)
        rm -f "$home/.copy"
        screen -S "$session" -p 0 -X hardcopy ${1:+-h} "$home/.copy" || return
        tries=0  # screen answers before it has written
        while [ ! -s "$home/.copy" ] && [ $tries -lt 50 ]; do
            nap 0.02
            tries=$((tries + 1))
        done
        cat "$home/.copy" && rm -f "$home/.copy"
        ;;
    tmux) tmux -S "$socket" capture-pane -p -t "=$session:" ${1:+-S -} ;;
    esac
}

nap() { sleep "$1" 2>/dev/null || sleep 1; }

paste_slowly() {
    # $file, and $file.keys $1 seconds after something new is on the screen. Who is busy takes the
    # keys for a part of the text all the same: again then, until a hook says that it works.
    before=$(shown) looks=0
    paste "$file" || return
    while [ "$(shown)" = "$before" ] && [ $looks -lt 30 ]; do
        nap 0.1
        looks=$((looks + 1))
    done
    was=
    [ ! -s "$state" ] || read -r was <"$state"
    nap "$1"
    case $was-$(head -c 7 "$file") in
    working-* | *[/!])  # it may wait for the end of a turn; a command has no hook
        paste "$file.keys"
        return
        ;;
    esac
    rm -f "$state"
    for _ in 1 2 3; do
        paste "$file.keys" || return
        looks=0
        while [ ! -s "$state" ] && [ $looks -lt 20 ]; do
            nap 0.1
            looks=$((looks + 1))
        done
        [ ! -s "$state" ] || return 0
    done
}

case $verb in
look)
    # What the daemon wants to know before it starts or attaches; then the files it names.
    musl=glibc
    for lib in /lib/ld-musl-*; do [ -e "$lib" ] && musl=musl; done
    if is_alive; then alive=alive; else alive=none; fi
    printf '%s %s %s %s\n' "$mux" "$alive" "$(uname -m)" "$musl"
    for file; do
        [ -f "$home/$name/$file" ] && size=$(wc -c <"$home/$name/$file") || continue
        [ "$size" -le 8388608 ] || continue
        printf '%s %s\n' "$size" "$file"
        head -c "$size" "$home/$name/$file"
    done
    ;;
start)
    # ROWS COLS CWD ARGV...; on stdin a tar of the files to be written below HOME.
    rows=$1 cols=$2 cwd=$3
    shift 3
    unset RUMPEL_EXEC  # what is started here outlives the exec that starts it
    mkdir -p "$home/$name" && tar -xof - -C "$home" || exit 3
    [ -x "$1" ] || exit 6
    case ${2-} in /rumpel/agents/*) [ -r "$2" ] || exit 6 ;; esac
    cd "$cwd" || exit 3
    is_alive && exit 0
    rm -f "$home/.status/$name"
    case $mux in
    screen)
        mkdir -p "$SCREENDIR" && chmod 700 "$SCREENDIR"
        screen -wipe >/dev/null 2>&1
        printf '%s\n' 'startup_message off' 'defscrollback 20000' 'vbell off' 'altscreen on' \
            'termcapinfo xterm* ti@:te@' 'defutf8 on' 'term screen-256color' >"$home/.screenrc"
        COLUMNS=$cols LINES=$rows exec screen -c "$home/.screenrc" -U -dmS "$session" "$@"
        ;;
    tmux)
        tmux -S "$socket" -f /dev/null new-session -d -s "$session" -x "$cols" -y "$rows" "$@" &&
            tmux -S "$socket" set-option -t "$session" status off \; \
                set-option -g prefix C-a \; bind-key d detach-client \; \
                set-option -g history-limit 20000
        ;;
    *) exit 4 ;;
    esac
    ;;
furnish)
    # PROGRAM [SCRIPT]; on stdin a tar as for `start`, for an agent that is run without a session.
    mkdir -p "$home/$name" && tar -xof - -C "$home" || exit 3
    [ -x "$1" ] && [ -r "${2:-$1}" ] || exit 6
    rm -f "$home/.status/$name"
    ;;
lend)
    # FILE WHEN; on stdin a sign-in, of which no volume, image or stopped container shall keep a
    # copy: it lies in memory where there is a place for that, and FILE is a link to it. WHEN
    # `alive`: for a session that runs; without one it goes. Answers lent, none, or own: somebody
    # signed in here, and that stays.
    mkdir -p "$home/$name" || exit 3
    place=$home/$name/$1
    kept=$(readlink "$place" 2>/dev/null) || kept=
    case $kept in
    /dev/shm/rumpel.*/"$1") [ -d "${kept%/*}" ] && [ ! -L "${kept%/*}" ] || kept= ;;
    *) kept= ;;
    esac
    # Of the agent's own sign-in: those of tool servers, in the same file, sign it in nowhere.
    own='"(claudeAiOauth|tokens)"[[:space:]]*:[[:space:]]*\{[^{}]*'
    own=$own'"(refreshToken|refresh_token)"[[:space:]]*:[[:space:]]*"[^"]'
    if [ -z "$kept" ] && [ -f "$place" ] &&
        head -c 1048576 "$place" | tr '\n' ' ' | grep -Eq "$own"; then
        echo own && exit 0
    fi
    if [ "$2" = alive ] && ! is_alive; then
        rm -f "$place" ${kept:+"$kept"}
        echo none && exit 0
    fi
    if [ -z "$kept" ]; then
        rm -f "$place"
        folder=$(mktemp -d /dev/shm/rumpel.XXXXXX 2>/dev/null) && kept=$folder/$1 || kept=
    fi
    file=${kept:-$place}
    rm -rf "$file.new"  # a FIFO of the pod's would hold who writes
    cat >"$file.new" && mv -f "$file.new" "$file" || exit 3
    [ -z "$kept" ] || [ -L "$place" ] || ln -s "$kept" "$place" || exit 3
    echo lent
    ;;
attach)
    is_alive || exit 5
    case $mux in
    screen)
        # A display whose client went away unseen holds the size of its window for ever.
        screen -c "$home/.screenrc" -U -d -r "$session"
        code=$?
        # It has no other screen, so that one can scroll: what is left of one who left looks alive.
        ! is_alive || printf '\033[H\033[J'
        exit $code
        ;;
    tmux) exec tmux -S "$socket" -u attach-session -d -t "=$session" ;;
    esac
    ;;
send)
    # What is on stdin, as keys; with KEYS: as a text that is pasted, then KEYS. Between the marks of
    # a paste it is a text however fast it comes, so an Enter behind them is one; not for who takes
    # a PAUSE for the difference: KEYS come so many seconds after the text is on the screen.
    is_alive || exit 5
    file=$home/.paste.$$ state=$home/.status/$name
    if [ -z "${1:-}" ]; then
        cat >"$file" && paste "$file"
        code=$?
    else
        { printf '\033[200~' && cat && printf '\033[201~'; } >"$file"
        printf '%s' "$1" >"$file.keys"
        if [ -n "${2:-}" ]; then
            paste_slowly "$2"
            code=$?
            [ ! -d "$home/.status" ] || [ -s "$state" ] || echo working >"$state"
        else
            # Before it can answer: a hook that comes with what is written there says nothing.
            [ ! -d "$home/.status" ] || echo working >"$state"
            paste "$file" && paste "$file.keys"
            code=$?
        fi
    fi
    # screen answers before it has read the files; an answer to a question comes after that.
    [ "$mux" != screen ] || screen -S "$session" -Q info >/dev/null 2>&1
    rm -f "$file" "$file.keys"
    [ $code = 0 ] || exit 3
    ;;
capture)
    # `text` and what is on the screen; or `draw COLS,ROWS`: screen's own copies are ASCII, so
    # whoever asks draws it (`draw`). `all`: with what scrolled away.
    is_alive || exit 5
    case $mux-${1:-} in
    screen-)
        size=$(screen -S "$session" -Q info) size=${size#*/(} && echo "draw ${size%%)*}"
        ;;
    *) echo text && shown "${1:-}" || exit 5 ;;
    esac
    ;;
draw)
    # One more display of the size the window has already: nobody notices.
    is_alive || exit 5
    stty rows "$2" cols "$1" && exec screen -c "$home/.screenrc" -U -x "$session"
    ;;
alive)
    # Of these names (and NAME) those whose session runs.
    for one in "$name" "$@"; do
        session=rumpel-$one
        is_alive && echo "$one"
    done
    :
    ;;
left)
    # Answers once its session is over, and after so many SECONDS in any case.
    until=$(($(date +%s) + $1))
    while is_alive && [ "$(date +%s)" -lt $until ]; do nap 0.1; done
    ;;
end)
    case $mux in
    screen) screen -S "$session" -X quit >/dev/null 2>&1 ;;
    tmux) tmux -S "$socket" kill-session -t "=$session" 2>/dev/null ;;
    esac
    ;;
esac
