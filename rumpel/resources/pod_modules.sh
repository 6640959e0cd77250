# More verbs of a pod, most of them for one that has submodules; evaluated after pod_control.sh,
# and sent only when they are needed: a shell takes a millisecond to read a kilobyte.

rp_module_argument() {
    rp_value=${1#*=}
    case $1 in
    # A submodule that lies in this one, by its name; then where it comes from.
    submodule=*)
        rp_section submodule "$rp_value"
        rp_set active true
        ;;
    url=*) rp_set url "$rp_value" ;;
    # Of a submodule: its git dir and its folder, below the main one's; the way from the folder to
    # the git dir, and back; where its seed is.
    module=*) rp_module=$rp_value ;;
    path=*) rp_at=$rp_value ;;
    gitdir=*) rp_link=$rp_value ;;
    worktree=*) rp_tree=$rp_value ;;
    seed=*) rp_seed=$rp_value ;;
    esac
}

rp_set_up_modules() {
    rp_top=$rp_ws rp_top_branch=$rp_branch rp_list=''
    for rp_arg; do
        case $rp_arg in
        module=*)
            [ -z "$rp_module" ] || rp_set_up_module
            rp_begin
            ;;
        esac
        rp_argument "$rp_arg"
    done
    rp_set_up_module
    rp_begin
    rp_ws=$rp_top rp_git=$rp_top/.git rp_branch=$rp_top_branch
    rp_age "$rp_git"
    printf %s "$rp_list" >"$rp_git/rumpel/modules" || rp_err "$rp_what: cannot write $rp_git"
}

rp_set_up_module() {
    rp_git=$rp_top/.git/$rp_module rp_ws=$rp_top/$rp_at
    rp_is_done || rp_set_up || return 0
    # Its hook tells the watcher of the main repository.
    rp_what='installing the hook'
    rp_dir=$rp_top/.git/rumpel
    rp_try ln -sf "$rp_dir/fifo" "$rp_dir/flag" "$rp_dir/refused" "$rp_git/rumpel/"
    rp_finish
    rp_age "$rp_git"
    rp_list=$rp_list$rp_module$rp_nl
}

rp_age() {
    # As rp_watch_quietly does it: what was made just now is no news.
    touch -t 200001010000 "$1/HEAD" "$1/logs/HEAD" "$1/refs/heads" "$1/packed-refs" 2>/dev/null
    [ ! -d "$1/modules" ] || touch -t 200001010000 "$1/modules"
}

rp_absorb() {
    # A submodule's git dir may lie in its folder, as old versions of git and plain clones have it.
    rp_what="taking over $rp_ws/.git"
    rp_try mkdir -p "${rp_git%/*}"
    if [ -d "$rp_ws/.git" ] && [ ! -L "$rp_ws/.git" ] && [ ! -e "$rp_git" ]; then
        rp_try mv "$rp_ws/.git" "$rp_git"
        rp_kind=baked
    else
        rp_try rm -rf "$rp_ws/.git"
    fi
}

rp_status() {
    # A submodule's own files count there; in its parent only that it is at another commit.
    rp_seq=$1 rp_count=0 rp_ignore=''
    rp_find_modules "$2/.git/modules"
    rp_ignore=--ignore-submodules=none
    [ -z "$rp_found" ] || rp_ignore=--ignore-submodules=dirty
    rp_add_status -C "$2"
    while IFS= read -r rp_git; do
        [ -z "$rp_git" ] || ! rp_is_checked_out || rp_add_status --git-dir="$rp_git"
    done <<END
$rp_found
END
    rp_find_away "$2"
    rp_ok "dirty=$((rp_count))$rp_away"
}

rp_add_status() {
    rp_what='git status'
    rp_out=$(GIT_OPTIONAL_LOCKS=0 git "$@" status --porcelain -unormal $rp_ignore 2>&1) ||
        rp_err "$rp_what: $rp_out"
    [ -z "$rp_out" ] || rp_count=$((rp_count + $(printf '%s\n' "$rp_out" | wc -l)))
}

rp_loose() {
    # What no branch holds and `git status` does not tell: commits of a detached HEAD, of tags and
    # notes, stashes, linked worktrees.
    rp_seq=$1 rp_commits=0 rp_stashes=0 rp_trees=0
    rp_find_modules "$2/.git/modules"
    rp_git=$2/.git
    rp_add_loose
    rp_hides=$(rp_hidden "$2")
    while IFS= read -r rp_git; do
        [ -n "$rp_git" ] || continue
        rp_add_loose
        [ "$rp_hides" = 1 ] || ! rp_is_checked_out || rp_hides=$(rp_hidden "$rp_tree")
    done <<END
$rp_found
END
    rp_trees="$rp_trees hidden=$rp_hides"
    rp_ok "commits=$((rp_commits)) stashes=$((rp_stashes)) trees=$rp_trees"
}

rp_large() {
    # The first file of branch $3 that is larger than $4 bytes and in no commit of the host.
    rp_seq=$1
    rp_out=$(git -C "$2" -c core.quotePath=false rev-list --objects "refs/heads/$3" --not --remotes \
        2>/dev/null |
        git -C "$2" cat-file --batch-check='%(objecttype) %(objectsize) %(rest)' 2>/dev/null |
        sed -n 's/^blob \([0-9]\{'"${#4}"',\} .\)/\1/p' |
        while read -r rp_size rp_path; do
            [ "$rp_size" -le "$4" ] || { printf '%s\n' "$rp_path" && break; }
        done)
    rp_ok "$(printf '%.400s' "$rp_out")"
}

rp_hidden() {
    # 1 if a file is there that git is told to look away from: what it is, only a snapshot can tell.
    git -C "$1" -c core.quotePath=false ls-files -v 2>/dev/null | sed -n '/^[a-zS] /p' |
        {
            while read -r rp_flag rp_path; do
                [ "$rp_flag" = S ] && [ ! -f "$1/$rp_path" ] && [ ! -L "$1/$rp_path" ] || echo 1
            done
            echo 0
        } 2>/dev/null | head -n 1
}

rp_add_loose() {
    rp_what='counting commits'
    rp_out=$(rp_bare rev-list --count --exclude='refs/heads/*' --exclude='refs/rumpel/*' \
        --exclude=refs/stash --all --not --branches --remotes 2>&1) || rp_err "$rp_what: $rp_out"
    rp_commits=$((rp_commits + rp_out))
    if rp_bare rev-parse -q --verify refs/stash >/dev/null; then
        rp_stashes=$((rp_stashes + $(rp_bare log -g --format=%H refs/stash -- | wc -l)))
    fi
    for rp_path in "$rp_git"/worktrees/*/gitdir; do
        rp_first "$rp_path" && [ -d "${rp_line%/.git}" ] || continue
        rp_out=$(git -C "${rp_line%/.git}" status --porcelain --ignore-submodules=none 2>&1)
        [ -z "$rp_out" ] || rp_trees=$((rp_trees + 1))
    done
}

rp_modules() {
    # A digest of the branches of each submodule asked for, by its number; then those that nobody
    # asked for, with how many commits they have that none of their remotes has.
    rp_seq=$1 rp_top=$2/.git rp_told='' rp_n=0
    shift 2
    rp_find_modules "$rp_top/modules"
    for rp_module; do
        rp_git=$rp_top/$rp_module rp_sum=gone
        case $rp_nl$rp_found in
        *"$rp_nl$rp_git$rp_nl"*)
            rp_sum=$(rp_bare for-each-ref refs/heads 2>&1 | git hash-object --stdin)
            rp_found=${rp_found%%"$rp_git$rp_nl"*}${rp_found#*"$rp_git$rp_nl"}
            ;;
        esac
        rp_told="$rp_told $rp_n=$rp_sum"
        rp_n=$((rp_n + 1))
    done
    while IFS= read -r rp_git; do
        [ -n "$rp_git" ] || continue
        rp_out=$(rp_bare rev-list --count --branches --not --remotes 2>/dev/null)
        rp_module=$(printf '%.100s' "${rp_git#"$rp_top/"}" | tr -c 'A-Za-z0-9._/-' '?')
        rp_told="$rp_told +${rp_out:-1}=$rp_module"
    done <<END
$rp_found
END
    rp_ok "$rp_told"
}

rp_find_modules() { rp_found='' && rp_find_below "$1"; }

rp_find_below() {
    # Git dirs below the folder $1, each on a line of rp_found; names have slashes.
    for rp_dir in "$1"/*; do
        [ ! -L "$rp_dir" ] && [ -d "$rp_dir" ] || continue
        case $rp_dir in *"$rp_nl"*) continue ;; esac
        if [ -f "$rp_dir/HEAD" ] && [ -d "$rp_dir/objects" ]; then
            rp_found=$rp_found$rp_dir$rp_nl
            rp_find_below "$rp_dir/modules"
        else
            rp_find_below "$rp_dir"
        fi
    done
}

rp_is_checked_out() {
    # Does a folder use the git dir rp_git of a submodule?
    rp_tree=$(git config --file "$rp_git/config" core.worktree) || return 1
    case $rp_tree in /*) ;; *) rp_tree=$rp_git/$rp_tree ;; esac
    [ -f "$rp_tree/.git" ]
}
