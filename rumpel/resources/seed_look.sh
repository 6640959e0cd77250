# Says what is wrong with the bare repository at $1, as far as a look tells: git reads it, it has
# the branches that were sent to it ($2: of their list, as a blob, the id) and the commits of all its refs.
cd "$1" 2>/dev/null || { echo 'it is gone'; exit 0; }
[ "$(git rev-parse --git-dir 2>/dev/null)" = . ] || { echo 'git takes it for no repository'; exit 0; }
all=$(git for-each-ref --format='%(objectname) %(refname)' 2>&1) || { echo 'no ref is read'; exit 0; }
case $all in *warning:*|*error:*|*fatal:*) echo 'a ref of it is broken'; exit 0 ;; esac
heads() { git for-each-ref --format='%(objectname) %(refname)' refs/heads; }
if [ -n "$2" ] && [ "$(heads | git hash-object --stdin)" != "$2" ]; then
    echo "its branches are not the host's"
    exit 0
fi
lost=$(printf '%s\n' "$all" | sed -n 's/^\([0-9a-f]\{40,\}\) .*/\1/p' |
    git cat-file --batch-check 2>/dev/null | grep -m1 ' missing$') && echo "it lacks commit ${lost%% *}"
exit 0
