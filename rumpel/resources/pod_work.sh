# Puts the uncommitted work of a workspace aside as one commit, and back: /bin/sh -c THIS rumpel VERB
# ARGS, as the pod's user; see rumpel.adapters.pod_work for what goes in and out.
#
# POSIX shell and git; `find`, `tar` and `du` where they are there. Nothing of the repository
# changes: a scratch repository below .git/rumpel borrows its objects, has a copy of its index, and
# switches all filters off, so that files are read and written as they lie there.
unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE GIT_OBJECT_DIRECTORY GIT_COMMON_DIR GIT_NAMESPACE
unset GIT_ALTERNATE_OBJECT_DIRECTORIES GIT_CEILING_DIRECTORIES GIT_CONFIG CDPATH
export LC_ALL=C GIT_TERMINAL_PROMPT=0 GIT_OPTIONAL_LOCKS=0 GIT_NO_REPLACE_OBJECTS=1
rw_n=${GIT_CONFIG_COUNT:-0}
export GIT_CONFIG_COUNT=$((rw_n + 1)) "GIT_CONFIG_KEY_$rw_n=safe.directory" "GIT_CONFIG_VALUE_$rw_n=*"
# Git asks for 256 kB for each file it packs, and glibc gives that back each time: half of the time of
# a snapshot of thousands of small files.
export MALLOC_MMAP_THRESHOLD_=67108864 MALLOC_TRIM_THRESHOLD_=268435456 MALLOC_TOP_PAD_=1048576
rw_nl='
'
rw_tab='	'


rw_die() { printf '%s\n' "$1" >&2; exit 1; }

rw_try() {
    # What a command says becomes the reason when it fails; its output is in rw_out.
    rw_out=$("$@" 2>&1) || rw_die "$rw_what: $rw_out"
}

rw_open() {
    # A scratch repository for workspace $1 with git dir $2; those of requests that were cut off go.
    rw_ws=$1 rw_git=$2 rw_scratch=$2/rumpel/scratch
    cd "$rw_ws" || rw_die "no workspace at $rw_ws"
    [ -d "$rw_git" ] || rw_die "no repository at $rw_git"
    rw_what='making room for a snapshot'
    # An exec outlives its client: the one of a daemon that was killed may still be at work.
    if [ -f "$rw_git/rumpel/worker" ] && read -r rw_pid <"$rw_git/rumpel/worker" &&
        grep -qs rw_scratch "/proc/$rw_pid/cmdline"; then
        kill -KILL "$rw_pid" 2>/dev/null
    fi
    rm -rf "$rw_scratch"
    rw_try mkdir -p "$rw_git/rumpel"
    echo $$ >"$rw_git/rumpel/worker"
    rw_try mkdir -p "$rw_scratch/refs/heads" "$rw_scratch/objects/info" "$rw_scratch/objects/pack" \
        "$rw_scratch/info"
    rw_format=$(git -C "$rw_ws" rev-parse --show-object-format 2>/dev/null) || rw_format=sha1
    {
        printf '[include]\n\tpath = ../../config\n[core]\n\tbare = false\n\tfsmonitor = false\n'
        printf '\thooksPath = /dev/null\n\tuntrackedCache = false\n\tsparseCheckout = false\n'
        printf '\tquotePath = false\n\tcompression = 1\n\tlooseCompression = 1\n'
        if [ "$rw_format" = sha1 ]; then
            printf '\trepositoryformatversion = 0\n'
        else
            printf '\trepositoryformatversion = 1\n[extensions]\n\tobjectformat = %s\n' "$rw_format"
        fi
        # It is fetched at once, and whole or not at all: a sync for each file would take seconds.
        printf '[core]\n\tfsync = none\n'
        printf '[gc]\n\tauto = 0\n[advice]\n\taddEmbeddedRepo = false\n'
    } >"$rw_scratch/config"
    # Relative: a path may have any byte.
    echo ../../../objects >"$rw_scratch/objects/info/alternates"
    echo 'ref: refs/heads/none' >"$rw_scratch/HEAD"
    [ ! -f "$rw_git/info/exclude" ] || cp "$rw_git/info/exclude" "$rw_scratch/info/exclude"
    [ ! -f "$rw_git/shallow" ] || cp "$rw_git/shallow" "$rw_scratch/shallow"
    for rw_file in "$rw_git"/sharedindex.*; do
        [ ! -f "$rw_file" ] || cp -p "$rw_file" "$rw_scratch/"
    done
}

rw_no_filters() {
    echo '* -text !eol -filter -ident !working-tree-encoding' >"$rw_scratch/info/attributes"
}

rw_raw() {
    # git in the scratch repository, on the files of the workspace.
    git --git-dir="$rw_scratch" --work-tree="$rw_ws" "$@"
}

rw_with() {
    # The same with the scratch index $1.
    rw_index=$rw_scratch/$1
    shift
    GIT_INDEX_FILE=$rw_index git --git-dir="$rw_scratch" --work-tree="$rw_ws" "$@"
}

rw_close() { rm -rf "$rw_scratch" "$rw_git/rumpel/worker"; }

rw_quoted() {
    # Does git quote name $1? Then nothing but git can use it.
    case $1 in '"'*) return 0 ;; *) return 1 ;; esac
}

# Taking.

rw_take() {
    # $2: the pod's branch; $3: most bytes of a file; $4: most kilobytes of other repositories; $5:
    # commits the host has, with commas, to take it apart from all others (-: with all of them).
    # Then git dir (below the main one) and folder of each submodule the host has: the branches of
    # those are imported, and their work becomes snapshots of their own, told first.
    rw_umask=$(umask)
    umask 077
    rw_top=$1 rw_branch=$2 rw_file_bytes=$3 rw_repo_kb=$4
    rw_imported=$rw_nl rw_taken=$rw_nl rw_modules='' rw_unread='' rw_number=0 rw_apart=''
    case $5 in -) rw_known='' ;; *) rw_known=$(echo "$5" | tr , ' ') ;; esac
    shift 5
    while [ $# -gt 1 ]; do
        rw_take_module "$1" "$2"
        rw_number=$((rw_number + 1))
        shift 2
    done
    rw_apart=$rw_known
    rw_take_one "$rw_top" "$rw_top/.git"
}

rw_take_module() {
    # One that cannot be read keeps nothing else from being held.
    rw_dir=$rw_top/.git/$1 rw_imported=$rw_imported$rw_top/.git/$1$rw_nl
    rw_is_out "$rw_top/$2" "$rw_dir" || return 0
    rw_taken=$rw_taken$rw_dir$rw_nl
    mkdir -p "$rw_dir/rumpel"
    if rw_said=$(rw_modules='' rw_unread='' && rw_take_one "$rw_top/$2" "$rw_dir" \
        2>"$rw_dir/rumpel/said"); then
        [ "$rw_said" != clean ] || return 0
        echo "module $rw_number $rw_said"
        rw_said=${rw_said#snapshot }
        rw_modules="$rw_modules${rw_said%% *} $1$rw_nl"
    else
        rw_unread="${rw_unread}submodule $2: $(tr '\n' ' ' <"$rw_dir/rumpel/said")$rw_nl"
    fi
}

rw_is_out() {
    # Does folder $1 use the git dir $2 of a submodule? Else git there would run in the parent.
    [ -f "$1/.git" ] && IFS= read -r rw_line <"$1/.git" || return 1
    rw_line=${rw_line#gitdir: }
    case $rw_line in /*) ;; *) rw_line=$1/$rw_line ;; esac
    rw_real=$(cd "$2" 2>/dev/null && pwd -P) && [ -n "$rw_real" ] || return 1
    [ "$(cd "$rw_line" 2>/dev/null && pwd -P)" = "$rw_real" ]
}

rw_take_one() {
    rw_open "$1" "$2"
    rw_fill
    rw_left=$rw_unread rw_parents='' rw_rows='' rw_hidden=''
    rw_take_head
    set --
    rw_take_repositories
    rw_take_files
    rw_take_index
    rw_take_state
    rw_take_refs
    rw_work=1
    if [ -z "$rw_busy$rw_left$rw_others" ] && rw_is_clean; then
        rw_work=0
        if [ "$rw_head" = "refs/heads/$rw_branch" ] && [ -z "$rw_modules" ]; then
            rw_close
            echo clean
            return
        fi
    fi
    rw_what='counting changes'
    rw_count=$(rw_raw diff-tree -r --no-renames --name-only "$rw_base" "$rw_files" | wc -l)
    rw_in_index=$(rw_raw diff-tree -r --no-renames --name-only "$rw_base" "$rw_staged" | wc -l)
    rw_take_modes
    rw_take_folders
    rw_write_commit
    rw_lost=0
    [ -z "$rw_left" ] || rw_lost=$(printf %s "$rw_left" | wc -l)
    echo "snapshot $rw_commit work=$rw_work files=$((rw_count)) staged=$((rw_in_index))" \
        "left=$((rw_lost))"
}

rw_fill() {
    # As rp_fill of pod_control.sh: what was only left out is no work.
    [ -f "$rw_git/rumpel/later" ] || return 0
    rw_what='checking out the files' rw_new=$rw_git/rumpel/index
    if [ ! -f "$rw_git/index" ]; then
        rw_try rm -f "$rw_new" "$rw_new.lock"
        rw_out=$(
            umask "${rw_umask:-$(umask)}"
            export GIT_INDEX_FILE="$rw_new"
            cd "$rw_ws" && git read-tree HEAD 2>&1 || exit 1
            git -c core.hooksPath=/dev/null checkout-index -a -q -u 2>/dev/null
            git ls-files -d | head -n 3
        ) && [ -z "$rw_out" ] || rw_die "$rw_what: $rw_out"
        rw_try mv -f "$rw_new" "$rw_git/index"
    fi
    rw_try rm -f "$rw_git/rumpel/later"
}

rw_is_clean() {
    [ "$rw_files$rw_staged" != "$rw_base$rw_base" ] || return 0
    # A file that was written this very second is read again, without its filters.
    [ -z "$rw_hidden" ] || return 1
    # What a submodule has of its own is looked for there.
    rw_out=$(git -C "$rw_ws" status --porcelain -unormal --ignore-submodules=dirty 2>&1) ||
        return 1
    [ -z "$rw_out" ]
}

rw_take_head() {
    rw_head=$(git -C "$rw_ws" symbolic-ref -q HEAD) || rw_head=''
    rw_tip=$(git -C "$rw_ws" rev-parse -q --verify 'HEAD^{commit}') || rw_tip=''
    [ -n "$rw_head$rw_tip" ] || rw_die 'HEAD cannot be read'
    rw_what='reading the last commit'
    if [ -n "$rw_tip" ]; then
        rw_base=$(rw_raw rev-parse -q --verify "$rw_tip^{tree}") || rw_die "$rw_what: not there"
        rw_parents="-p $rw_tip"
    else
        rw_base=$(rw_raw mktree </dev/null) || rw_die "$rw_what: no empty tree"
    fi
    [ -z "$rw_apart" ] || rw_take_apart
    [ -n "$rw_head" ] || rw_head=$rw_tip
}

rw_take_apart() {
    # The host refuses something of the last commits: as if all they changed was not committed.
    rw_what='looking for a commit the host has' rw_least=''
    for rw_oid in $rw_apart; do
        rw_out=$(git -C "$rw_ws" merge-base HEAD "$rw_oid" 2>/dev/null) || continue
        rw_number=$(git -C "$rw_ws" rev-list --count "$rw_out..HEAD") || continue
        [ -z "$rw_least" ] || [ "$rw_number" -lt "$rw_least" ] || continue
        rw_least=$rw_number rw_tip=$rw_out
    done
    [ -n "$rw_least" ] || rw_die "$rw_what: there is none"
    rw_out=$(git -C "$rw_ws" -c log.showSignature=false log --max-count=20 \
        --format='commit %h %s (its files are kept)' "$rw_tip..HEAD" --) || rw_die "$rw_what"
    [ -z "$rw_out" ] || rw_left=$rw_left$rw_out$rw_nl
    [ "$rw_least" -le 20 ] || rw_left="${rw_left}and $((rw_least - 20)) more commits$rw_nl"
    rw_base=$(rw_raw rev-parse -q --verify "$rw_tip^{tree}") || rw_die "$rw_what: not there"
    rw_parents="-p $rw_tip"
}

rw_take_repositories() {
    # Repositories inside this one: nested ones, submodules the host does not have, linked
    # worktrees. As a tar, for they have an object store, an index and work of their own.
    rw_others='' rw_other_rows='' rw_used=0 rw_number=0
    rw_list=$(git -C "$rw_ws" -c core.quotePath=false ls-files -o --exclude-standard 2>/dev/null |
        grep -E '/"?$')
    while IFS= read -r rw_path; do
        [ -z "$rw_path" ] || rw_take_repository "${rw_path%/}" "$rw_path" ''
    done <<END
$rw_list
END
    rw_list=$(git -C "$rw_ws" -c core.quotePath=false ls-files -s 2>/dev/null |
        sed -n "s/^160000 [0-9a-f]* 0$rw_tab//p")
    while IFS= read -r rw_path; do
        [ -n "$rw_path" ] && [ -e "$rw_path/.git" ] || continue
        rw_dir=$(git -C "$rw_path" rev-parse --absolute-git-dir 2>/dev/null) || rw_dir=''
        case $rw_dir in "$rw_git"/modules/*) continue ;; esac
        ! rw_has_work "$rw_path" || rw_take_repository "$rw_path" "$rw_path" ''
    done <<END
$rw_list
END
    [ "$rw_git" != "$rw_top/.git" ] || rw_take_other_modules
    for rw_admin in "$rw_git"/worktrees/*; do
        [ -f "$rw_admin/gitdir" ] && IFS= read -r rw_path <"$rw_admin/gitdir" || continue
        rw_path=${rw_path%/.git}
        [ -d "$rw_path" ] && rw_has_work "$rw_path" || continue
        rw_take_repository "$rw_path" "worktree $rw_path" "$rw_admin"
    done
}

rw_take_other_modules() {
    # Their git dirs count, not what is checked out: a stash is there without a folder, too.
    rw_dirs='' rw_packed=/
    rw_find_modules "$rw_git/modules"
    while IFS= read -r rw_dir; do
        [ -n "$rw_dir" ] || continue
        case $rw_taken in *"$rw_nl$rw_dir$rw_nl"*) continue ;; esac
        case $rw_dir in "$rw_packed"/*) continue ;; esac
        rw_path=$(git config --file "$rw_dir/config" core.worktree) || rw_path=''
        case $rw_path in /* | '') ;; *) rw_path=$rw_dir/$rw_path ;; esac
        rw_path=$(cd "$rw_path" 2>/dev/null && pwd -P) && rw_is_out "$rw_path" "$rw_dir" &&
            rw_path=${rw_path#"$(pwd -P)/"} || rw_path=''
        rw_module_has_work "$rw_dir" "$rw_path" || continue
        rw_take_repository "$rw_path" "${rw_dir#"$rw_git/"}" "$rw_dir"
        rw_packed=$rw_dir
    done <<END
$rw_dirs
END
}

rw_find_modules() {
    # Git dirs below the folder $1, each on a line of rw_dirs; names have slashes.
    for rw_path in "$1"/*; do
        [ ! -L "$rw_path" ] && [ -d "$rw_path" ] || continue
        case $rw_path in *"$rw_nl"*)
            rw_left="${rw_left}submodules with a newline in their name$rw_nl"
            continue
            ;;
        esac
        if [ -f "$rw_path/HEAD" ] && [ -d "$rw_path/objects" ]; then
            rw_dirs=$rw_dirs$rw_path$rw_nl
            rw_find_modules "$rw_path/modules"
        else
            rw_find_modules "$rw_path"
        fi
    done
}

rw_module_has_work() {
    # Is there anything in the git dir $1 of a submodule, or in its folder $2, that is only there?
    if [ -n "$2" ]; then
        rw_out=$(git -C "$2" status --porcelain -unormal --ignore-submodules=none 2>&1) || return 0
        [ -z "$rw_out" ] || return 0
    fi
    rw_has=''
    case $rw_imported in *"$rw_nl$1$rw_nl"*) rw_has=--branches ;; esac
    rw_out=$(git --git-dir="$1" --work-tree="$1" rev-list --max-count=1 --exclude='refs/rumpel/*' \
        --all --not --remotes $rw_has 2>&1) || return 0
    [ -n "$rw_out" ]
}

rw_has_work() {
    # Is there anything in repository $1 that its remotes (for a worktree: a branch) do not have?
    rw_out=$(git -C "$1" status --porcelain -unormal --ignore-submodules=none 2>&1) || return 0
    [ -z "$rw_out" ] || return 0
    rw_has=$(git -C "$1" rev-parse --git-common-dir 2>/dev/null)
    case $(cd "$1" 2>/dev/null && cd "$rw_has" 2>/dev/null && pwd -P) in
    "$(cd "$rw_git" && pwd -P)") rw_has='--branches' ;;
    *) rw_has='' ;;
    esac
    [ -z "$(git -C "$1" rev-parse -q --verify refs/stash)" ] || [ -n "$rw_has" ] || return 0
    rw_out=$(git -C "$1" rev-list --max-count=1 HEAD ${rw_has:---branches} --not --remotes $rw_has \
        2>/dev/null)
    [ -n "$rw_out" ]
}

rw_take_repository() {
    # $1: its folder, if it has one; $2: what to call it; $3: its git dir, if that is elsewhere.
    rw_others=$rw_others.
    if rw_quoted "$2" || ! command -v tar >/dev/null || ! command -v du >/dev/null; then
        rw_left="${rw_left}repository $2$rw_nl"
        return
    fi
    case $1 in
    '') rw_from=$rw_ws rw_place=rel && set -- "$2" ".${3#"$rw_ws"}" ;;
    /*) rw_from=/ rw_place=abs && set -- "$2" ".$1" ".$3" ;;
    *) rw_from=$rw_ws rw_place=rel && set -- "$2" "./$1" ${3:+".${3#"$rw_ws"}"} ;;
    esac
    rw_kb=$(cd "$rw_from" && shift && du -sk "$@" 2>/dev/null | {
        rw_sum=0
        while read -r rw_one _; do rw_sum=$((rw_sum + rw_one)); done
        echo $rw_sum
    })
    if [ $((rw_used + rw_kb)) -gt "$rw_repo_kb" ]; then
        rw_left="${rw_left}repository $1 ($rw_kb kB)$rw_nl"
        return
    fi
    rw_used=$((rw_used + rw_kb)) rw_number=$((rw_number + 1)) rw_what="packing $1"
    rw_blob=$(cd "$rw_from" && shift && tar -cf - "$@" 2>"$rw_scratch/tar" |
        git --git-dir="$rw_scratch" hash-object -w --no-filters --stdin) ||
        rw_die "$rw_what: cannot be written"
    [ ! -s "$rw_scratch/tar" ] || rw_left="${rw_left}parts of repository $1$rw_nl"
    rw_other_rows="${rw_other_rows}100644 blob $rw_blob$rw_tab$rw_number.$rw_place.tar$rw_nl"
}

rw_take_files() {
    # Every file that is tracked, or neither tracked nor ignored, as it lies there.
    if [ -f "$rw_git/index" ]; then
        # With its mtime: git tells by it which files may have changed in the same second.
        rw_what='copying the index'
        rw_try cp -p "$rw_git/index" "$rw_scratch/index"
        # As the repository sees it: what only its filters change is not changed.
        [ ! -f "$rw_git/info/attributes" ] ||
            cp "$rw_git/info/attributes" "$rw_scratch/info/attributes"
        [ -z "$rw_apart" ] || rw_take_tracked
        rw_raw update-index -q --unmerged --refresh >/dev/null 2>&1
        rw_what='reading the index'
        rw_hidden=$(rw_hidden_files)
    fi
    # Files that git would not look into: those it is told to assume unchanged, and some more.
    rw_again=$(printf '%s\n' "$rw_hidden" "$(rw_newlines)" "$(rw_filtered)" | grep . | sort -u)
    [ ! -s "$rw_scratch/large" ] || rw_left=$rw_left$(cat "$rw_scratch/large")$rw_nl
    rw_no_filters
    [ ! -s "$rw_scratch/since" ] ||
        rw_try rw_raw update-index --add --remove --stdin <"$rw_scratch/since"
    [ -z "$rw_again" ] || {
        printf '%s\n' "$rw_again" | rw_raw update-index --force-remove --stdin &&
            printf '%s\n' "$rw_again" | rw_raw update-index --add --remove --stdin
    } || rw_die "$rw_what: $rw_again"
    set --
    while IFS= read -r rw_path; do
        [ -z "$rw_path" ] || set -- "$@" ":(exclude,literal)${rw_path#./}"
    done <<END
$(rw_large)
END
    rw_what='reading the files'
    for rw_path; do
        rw_left="${rw_left}file ${rw_path#*)}$rw_nl"
    done
    rw_list=$(rw_raw ls-files -o --exclude-standard | grep -E '/"?$')
    while IFS= read -r rw_path; do
        [ -z "$rw_path" ] || rw_quoted "$rw_path" ||
            set -- "$@" ":(exclude,literal)${rw_path%/}"
    done <<END
$rw_list
END
    # Into one pack; a file that shrinks while it is read ends that, so then once more, one by one.
    rw_raw -c core.bigFileThreshold=1 add -A -- . "$@" >/dev/null 2>&1 ||
        rw_raw add -A --ignore-errors -- . "$@" >"$rw_scratch/said" 2>&1 || {
        rw_said=$(sed -n 's/^error: //p' "$rw_scratch/said" | grep -v '^unable to index file')
        [ -n "$rw_said" ] || rw_die "$rw_what: $(cat "$rw_scratch/said")"
        rw_left="$rw_left$rw_said$rw_nl"
    }
    rw_files=$(rw_raw write-tree) || rw_die "$rw_what: no tree"
}

rw_take_tracked() {
    # The index becomes that of the tip. What is tracked only since, and ignored, is found by nothing
    # that looks for untracked files: its names are left in `since`.
    rw_out=$(rw_raw ls-files 2>&1 >"$rw_scratch/tracked") || rw_die "$rw_what: $rw_out"
    rw_try rw_raw read-tree --reset "$rw_tip"
    {
        sort -u "$rw_scratch/tracked"
        rw_raw ls-files -o -i --exclude-standard
    } | sort | uniq -d | while IFS= read -r rw_path; do
        if ! rw_quoted "$rw_path" && { [ -L "$rw_path" ] ||
            { rw_size=$(wc -c 2>/dev/null <"$rw_path") && [ "$rw_size" -le "$rw_file_bytes" ]; }; }
        then
            printf '%s\n' "$rw_path"
        else
            printf 'file %s\n' "$rw_path" >>"$rw_scratch/large"
        fi
    done >"$rw_scratch/since"
}

rw_take_modes() {
    # Git only knows whether a file can be run; a key that nobody else may read stays one.
    command -v stat >/dev/null && command -v xargs >/dev/null || return 0
    rw_modes=$(rw_raw diff-tree -r --no-renames --diff-filter=AMT --name-only "$rw_base" \
        "$rw_files" | grep -v '^"' | tr '\n' '\0' | xargs -0 stat -c '%f %n' -- 2>/dev/null |
        grep '^8' | grep -vE '^(81a4|81ed) ')
    [ -n "$rw_modes" ] || return 0
    rw_blob=$(printf '%s\n' "$rw_modes" | rw_raw hash-object -w --no-filters --stdin) ||
        rw_die 'the modes of files cannot be written'
    rw_rows="${rw_rows}100644 blob $rw_blob${rw_tab}modes$rw_nl"
}

rw_take_folders() {
    # Empty folders: for git they do not exist, for a build they may.
    command -v find >/dev/null || return 0
    rw_list=$(find . -name .git -prune -o -type d -empty ! -name "*$rw_nl*" -print 2>/dev/null |
        sed 's|^\./||')
    [ -n "$rw_list" ] || return 0
    rw_out=$(printf '%s\n' "$rw_list" | git -C "$rw_ws" check-ignore --stdin 2>/dev/null)
    rw_list=$(printf '%s\n' "$rw_list" | grep -vxF "$rw_out")
    [ -n "$rw_list" ] || return 0
    rw_blob=$(printf '%s\n' "$rw_list" | rw_raw hash-object -w --no-filters --stdin) ||
        rw_die 'the empty folders cannot be written'
    rw_rows="${rw_rows}100644 blob $rw_blob${rw_tab}folders$rw_nl"
}

rw_hidden_files() {
    # Files git is told to look away from: assumed unchanged, or skipped though they are there.
    rw_raw ls-files -v | sed -n 's/^[a-rt-z] //p; s/^[Ss] /S /p' |
        while IFS= read -r rw_path; do
            case $rw_path in 'S '*)
                rw_path=${rw_path#S }
                [ -f "$rw_path" ] || [ -L "$rw_path" ] || continue
                ;;
            esac
            printf '%s\n' "$rw_path"
        done
}

rw_newlines() {
    # Unchanged files with other newlines than in git: what was checked out once may come out
    # otherwise when .gitattributes has changed. Costs a look into every file, so only if need be.
    [ -f "$rw_scratch/index" ] || return
    case $(git -C "$rw_ws" config core.autocrlf) in '' | false)
        rw_attributes | sed 's/-text//g' | grep -qE 'text|eol|crlf' || return
        ;;
    esac
    rw_raw ls-files --eol -- . ':(exclude,attr:filter=lfs)' |
        sed -n "/^i\/lf *w\/\(crlf\|mixed\) /s/^[^$rw_tab]*$rw_tab//p"
}

rw_filtered() {
    # Files behind a filter (Git LFS) that were added and not committed: what the index has of them
    # is a pointer, and their content is nowhere else.
    [ -f "$rw_scratch/index" ] || return
    rw_attributes | grep -q 'filter=' || return
    rw_raw diff-index --cached --name-only --diff-filter=AMT "$rw_base" -- |
        while IFS= read -r rw_path; do
            [ -f "$rw_path" ] && [ ! -L "$rw_path" ] || continue
            if [ "$(wc -c <"$rw_path")" -le "$rw_file_bytes" ]; then
                printf '%s\n' "$rw_path"
            else
                printf 'file %s\n' "$rw_path" >>"$rw_scratch/large"
            fi
        done
}

rw_attributes() {
    # The text of all .gitattributes.
    rw_raw ls-files -c -o -- .gitattributes ':(glob)**/.gitattributes' |
        while IFS= read -r rw_path; do [ ! -f "$rw_path" ] || cat "$rw_path"; done
}

rw_large() {
    # Files with something new in them that are too large.
    command -v find >/dev/null || return
    find . -name .git -prune -o -type f -size "+${rw_file_bytes}c" -print 2>/dev/null |
        while IFS= read -r rw_path; do
            rw_out=$(rw_raw ls-files -o -m --exclude-standard -- ":(literal)${rw_path#./}")
            [ -z "$rw_out" ] || printf '%s\n' "$rw_path"
        done
}

rw_take_index() {
    # The index as it is, and what it holds as trees, so that its objects come along: the staged
    # files, and each side of a conflict.
    rw_staged=$rw_base
    [ -f "$rw_git/index" ] || return
    rw_what='reading the index'
    if [ -n "$rw_apart" ]; then
        rw_try rw_with staged read-tree "$rw_tip"
    else
        rw_try cp -p "$rw_git/index" "$rw_scratch/staged"
    fi
    rw_blob=$(rw_raw hash-object -w --no-filters --stdin <"$rw_scratch/staged") ||
        rw_die "$rw_what: cannot be written"
    rw_rows="100644 blob $rw_blob${rw_tab}index$rw_nl"
    for rw_file in "$rw_scratch"/sharedindex.*; do
        [ -f "$rw_file" ] || continue
        rw_blob=$(rw_raw hash-object -w --no-filters --stdin <"$rw_file") || rw_die "$rw_what"
        rw_rows="${rw_rows}100644 blob $rw_blob$rw_tab${rw_file##*/}$rw_nl"
    done
    rw_unmerged=$(rw_with staged ls-files -u) || rw_die "$rw_what: broken"
    if [ -n "$rw_unmerged" ]; then
        rw_null=$(printf %s "$rw_base" | tr 0-9a-f 0)
        printf '%s\n' "$rw_unmerged" | sed "s/^[^$rw_tab]*$rw_tab/0 $rw_null$rw_tab/" |
            rw_with staged update-index --index-info || rw_die "$rw_what: its conflicts"
    fi
    rw_staged=$(rw_with staged write-tree 2>&1) || rw_die "$rw_what: $rw_staged"
    rw_rows="${rw_rows}040000 tree $rw_staged${rw_tab}staged$rw_nl"
    [ -n "$rw_unmerged" ] || return
    for rw_side in 1 2 3; do
        printf '%s\n' "$rw_unmerged" |
            sed -n "s/^\([0-7]* [0-9a-f]*\) $rw_side$rw_tab/\1 0$rw_tab/p" |
            rw_with "side$rw_side" update-index --index-info || rw_die "$rw_what: side $rw_side"
        rw_tree=$(rw_with "side$rw_side" write-tree 2>&1) || rw_die "$rw_what: $rw_tree"
        rw_rows="${rw_rows}040000 tree $rw_tree${rw_tab}side$rw_side$rw_nl"
    done
}

rw_state_files() {
    # What git knows of something in progress, and what decides what is ignored; $1: where.
    for rw_path in MERGE_HEAD MERGE_MSG MERGE_MODE MERGE_RR CHERRY_PICK_HEAD \
        REVERT_HEAD SQUASH_MSG ORIG_HEAD BISECT_START BISECT_LOG BISECT_NAMES BISECT_TERMS \
        BISECT_EXPECTED_REV BISECT_ANCESTORS_OK BISECT_RUN BISECT_FIRST_PARENT info/exclude \
        info/attributes info/sparse-checkout; do
        [ ! -f "$1/$rw_path" ] || printf '%s\n' "$rw_path"
    done
    for rw_path in rebase-merge rebase-apply sequencer; do
        [ -d "$1/$rw_path" ] || continue
        for rw_path in "$1/$rw_path"/* "$1/$rw_path"/.[!.]*; do
            [ ! -f "$rw_path" ] || printf '%s\n' "${rw_path#"$1/"}"
        done
    done
}

rw_take_state() {
    rw_what='reading what is in progress' rw_busy=''
    case $rw_head in refs/*) ;; *)
        rw_out=$(git -C "$rw_ws" rev-list --max-count=1 HEAD --not --branches --remotes) ||
            rw_die 'the commits of HEAD cannot be read'
        [ -z "$rw_out" ] || rw_busy=HEAD
        ;;
    esac
    rw_list=$(rw_state_files "$rw_git")
    for rw_path in MERGE_HEAD CHERRY_PICK_HEAD REVERT_HEAD BISECT_LOG rebase-merge rebase-apply \
        sequencer; do
        [ ! -e "$rw_git/$rw_path" ] || rw_busy="$rw_busy $rw_path"
    done
    if [ -n "$rw_apart" ]; then
        [ -z "$rw_busy" ] || rw_left="${rw_left}what is in progress: $rw_busy$rw_nl"
        rw_busy=apart
        return
    fi
    [ -n "$rw_list" ] || return
    cd "$rw_git" || rw_die "$rw_what"
    rw_oids=$(printf '%s\n' "$rw_list" |
        git --git-dir="$rw_scratch" hash-object -w --no-filters --stdin-paths) ||
        rw_die "$rw_what: cannot be written"
    printf '%s\n' "$rw_list" | while IFS= read -r rw_path; do cat "$rw_path"; echo; done |
        tr -c '0-9a-f' '\n' >"$rw_scratch/words"
    cd "$rw_ws" || rw_die "$rw_what"
    printf '%s\n' "$rw_oids" >"$rw_scratch/oids"
    printf '%s\n' "$rw_list" | while IFS= read -r rw_path && IFS= read -r rw_oid <&3; do
        printf '100644 %s\t%s\n' "$rw_oid" "$rw_path"
    done 3<"$rw_scratch/oids" | rw_with state update-index --index-info || rw_die "$rw_what: no tree"
    rw_tree=$(rw_with state write-tree) || rw_die "$rw_what: no tree"
    rw_rows="${rw_rows}040000 tree $rw_tree${rw_tab}state$rw_nl"
    # Commits that only such a file knows.
    for rw_oid in $(grep -E '^([0-9a-f]{40}|[0-9a-f]{64})$' "$rw_scratch/words" | sort -u |
        rw_raw cat-file --batch-check='%(objecttype) %(objectname)' | sed -n 's/^commit //p'); do
        rw_parents="$rw_parents -p $rw_oid"
    done
}

rw_take_refs() {
    # Stashes, and every ref that is no branch and did not come from elsewhere.
    rw_what='reading refs'
    rw_stashes=$(git -C "$rw_ws" -c log.showSignature=false log -g --format='%H %gs' refs/stash -- 2>/dev/null)
    [ -n "$rw_stashes" ] || rw_stashes=$(git -C "$rw_ws" rev-parse -q --verify refs/stash)
    if [ -n "$rw_apart" ]; then
        [ -z "$rw_stashes" ] || rw_left="$rw_left$(printf '%s\n' "$rw_stashes" | head -n 20 |
            sed 's/^[0-9a-f]* */stash /')$rw_nl"
        return
    fi
    if [ -n "$rw_stashes" ]; then
        rw_blob=$(printf '%s\n' "$rw_stashes" | rw_raw hash-object -w --stdin) || rw_die "$rw_what"
        rw_rows="${rw_rows}100644 blob $rw_blob${rw_tab}stash$rw_nl"
        for rw_oid in $(printf '%s\n' "$rw_stashes" | sed 's/ .*//'); do
            rw_parents="$rw_parents -p $rw_oid"
        done
        rw_busy="$rw_busy stash"
    fi
    rw_refs=$(git -C "$rw_ws" for-each-ref \
        --format='%(objecttype) %(objectname) %(*objectname) %(refname)' 2>/dev/null |
        grep -vE ' refs/(heads|remotes|rumpel|prefetch)/| refs/stash$')
    [ -n "$rw_refs" ] || return
    rw_refs=$(printf '%s\n' "$rw_refs" | sed 's/  / - /')
    rw_blob=$(printf '%s\n' "$rw_refs" | rw_raw hash-object -w --stdin) || rw_die "$rw_what"
    rw_rows="${rw_rows}100644 blob $rw_blob${rw_tab}refs$rw_nl"
    # A tag on a commit that is safe is no work; on one that only it holds, it is.
    rw_out=$(printf '%s\n' "$rw_refs" | cut -d' ' -f2 | git -C "$rw_ws" rev-list --max-count=1 \
        --ignore-missing --stdin --not --branches --remotes 2>/dev/null)
    [ -z "$rw_out" ] || rw_busy="$rw_busy refs"
    rw_tag_rows='' rw_number=0
    while read -r rw_kind rw_oid rw_peeled rw_ref; do
        case $rw_kind in
        commit) rw_parents="$rw_parents -p $rw_oid" ;;
        tag)
            # A tag is no part of a tree, so its text comes along; not of all that were fetched.
            rw_number=$((rw_number + 1))
            [ $rw_number -le 300 ] || continue
            rw_blob=$(rw_raw cat-file tag "$rw_oid" | rw_raw hash-object -w --no-filters --stdin) ||
                rw_die "$rw_what: $rw_ref"
            rw_tag_rows="${rw_tag_rows}100644 blob $rw_blob$rw_tab$rw_oid$rw_nl"
            [ "$(rw_raw cat-file -t "$rw_peeled" 2>/dev/null)" != commit ] ||
                rw_parents="$rw_parents -p $rw_peeled"
            ;;
        *) rw_left="${rw_left}ref $rw_ref$rw_nl" ;;
        esac
    done <<END
$rw_refs
END
    [ -n "$rw_tag_rows" ] || return
    rw_tree=$(printf %s "$rw_tag_rows" | sort -u | rw_raw mktree) || rw_die "$rw_what: tags"
    rw_rows="${rw_rows}040000 tree $rw_tree${rw_tab}tags$rw_nl"
}

rw_write_commit() {
    # The same work is the same commit, whenever it is looked at.
    rw_what='writing the snapshot'
    rw_blob=$(printf 'version=1\nhead=%s\ntip=%s\nbranch=%s\n' "$rw_head" "$rw_tip" "$rw_branch" |
        rw_raw hash-object -w --stdin) || rw_die "$rw_what"
    rw_rows="${rw_rows}100644 blob $rw_blob${rw_tab}about$rw_nl"
    rw_rows="${rw_rows}040000 tree $rw_files${rw_tab}files$rw_nl"
    if [ -n "$rw_other_rows" ]; then
        rw_tree=$(printf %s "$rw_other_rows" | rw_raw mktree) || rw_die "$rw_what"
        rw_rows="${rw_rows}040000 tree $rw_tree${rw_tab}repositories$rw_nl"
    fi
    if [ -n "$rw_modules" ]; then
        rw_blob=$(printf %s "$rw_modules" | rw_raw hash-object -w --stdin) || rw_die "$rw_what"
        rw_rows="${rw_rows}100644 blob $rw_blob${rw_tab}modules$rw_nl"
    fi
    if [ -n "$rw_left" ]; then
        rw_blob=$(printf %s "$rw_left" | rw_raw hash-object -w --stdin) || rw_die "$rw_what"
        rw_rows="${rw_rows}100644 blob $rw_blob${rw_tab}left$rw_nl"
    fi
    rw_tree=$(printf %s "$rw_rows" | rw_raw mktree) || rw_die "$rw_what: no tree"
    export GIT_AUTHOR_NAME=rumpel GIT_AUTHOR_EMAIL=rumpel@localhost
    export GIT_COMMITTER_NAME=rumpel GIT_COMMITTER_EMAIL=rumpel@localhost
    export GIT_AUTHOR_DATE='946684800 +0000' GIT_COMMITTER_DATE='946684800 +0000'
    # shellcheck disable=SC2086 - words on purpose
    rw_commit=$(echo "work of $rw_branch" | rw_raw commit-tree "$rw_tree" $rw_parents \
        2>"$rw_scratch/said") || rw_die "$rw_what: $(cat "$rw_scratch/said")"
    printf '%s\n' "$rw_commit" >"$rw_scratch/refs/heads/snapshot" || rw_die "$rw_what"
}

# Putting back.

rw_put() {
    # $2: the snapshot, which refs/rumpel/restore holds; $3: the branch its own one is called now;
    # $4, $5: of a submodule, its git dir below the main one, and its folder.
    rw_open "$1${5:+/$5}" "$1/.git${4:+/$4}"
    rw_what="reading snapshot $2"
    rw_snap=$2
    rw_about=$(git -C "$rw_ws" cat-file blob "$rw_snap:about") || rw_die "$rw_what"
    rw_head=$(printf '%s\n' "$rw_about" | sed -n 's/^head=//p')
    rw_tip=$(printf '%s\n' "$rw_about" | sed -n 's/^tip=//p')
    [ "$rw_head" != "refs/heads/$(printf '%s\n' "$rw_about" | sed -n 's/^branch=//p')" ] ||
        rw_head=refs/heads/$3
    rw_tries=0
    while [ -e "$rw_git/index.lock" ]; do
        rw_tries=$((rw_tries + 1))
        [ $rw_tries -le 50 ] || rw_die "conflict: another git works in the pod (index.lock)"
        sleep 0.1 2>/dev/null || sleep 1
    done
    rw_put_head
    rw_no_filters
    rw_put_files
    rw_put_state
    rw_put_refs
    rw_put_repositories
    git -C "$rw_ws" update-index -q --refresh >/dev/null 2>&1
    rw_try rm -f "$rw_git/rumpel/later"
    git -C "$rw_ws" update-ref -d refs/rumpel/restore
    rw_close
    echo "restored $rw_snap"
}

rw_has() { git -C "$rw_ws" cat-file -e "$rw_snap:$1" 2>/dev/null; }

rw_put_head() {
    rw_what='moving HEAD'
    rw_state_files "$rw_git" | grep -v '^info/' | while IFS= read -r rw_path; do
        rm -f "$rw_git/$rw_path"
    done
    rm -rf "$rw_git/rebase-merge" "$rw_git/rebase-apply" "$rw_git/sequencer"
    case $rw_head in
    refs/heads/*)
        if [ -n "$rw_tip" ]; then
            rw_try git -C "$rw_ws" update-ref -m 'rumpel: restore' "$rw_head" "$rw_tip"
        else
            rw_try git -C "$rw_ws" update-ref -d "$rw_head"
        fi
        rw_try git -C "$rw_ws" symbolic-ref -m 'rumpel: restore' HEAD "$rw_head"
        ;;
    *) rw_try git -C "$rw_ws" update-ref --no-deref -m 'rumpel: restore' HEAD "$rw_tip" ;;
    esac
}

rw_put_files() {
    rw_tree=$rw_snap:staged
    rw_has staged || rw_tree=$(git -C "$rw_ws" mktree </dev/null)
    # First what is staged, through the filters of the repository; then what lay there instead.
    rw_bare=''
    [ ! -f "$rw_git/rumpel/later" ] || [ -f "$rw_git/index" ] || rw_bare=yes
    if [ -n "$rw_bare" ] && rw_same_attributes; then
        rw_put_once
    else
        if [ -n "$rw_bare" ] && [ -n "$rw_tip" ]; then
            rw_fill
            # As below: nobody wrote into these since.
            rw_try touch -t 203801010000 "$rw_git/index"
        fi
        rw_put_over
    fi
    # Else git would look into files as new as the index, and without their filters.
    rw_try touch -t 203801010000 "$rw_scratch/index"
    rw_try rw_raw read-tree --reset -u "$rw_snap:files"
    ! rw_has folders || git -C "$rw_ws" cat-file blob "$rw_snap:folders" |
        while IFS= read -r rw_path; do mkdir -p "./$rw_path" 2>/dev/null; done
    ! rw_has modes || git -C "$rw_ws" cat-file blob "$rw_snap:modes" |
        while read -r rw_mode rw_path; do
            [ ! -f "$rw_path" ] || [ -L "$rw_path" ] ||
                chmod "$(printf %o $((0x$rw_mode & 4095)))" "./$rw_path"
        done
    rw_what='writing the index'
    if rw_has index; then
        for rw_path in $(git -C "$rw_ws" ls-tree --name-only "$rw_snap" | grep '^sharedindex\.'); do
            git -C "$rw_ws" cat-file blob "$rw_snap:$rw_path" >"$rw_git/$rw_path" ||
                rw_die "$rw_what: $rw_path"
        done
        git -C "$rw_ws" cat-file blob "$rw_snap:index" >"$rw_scratch/new" &&
            chmod 644 "$rw_scratch/new" && mv -f "$rw_scratch/new" "$rw_git/index" ||
            rw_die "$rw_what: cannot be written"
    else
        rm -f "$rw_git/index"
    fi
}

rw_same_attributes() {
    # Else the files that are as committed lie there as the committed ones made them.
    for rw_other in "$rw_tree" "$rw_snap:files"; do
        rw_out=$(git -C "$rw_ws" diff-tree -r --no-renames --name-only "${rw_tip:-$rw_tree}" \
            "$rw_other" -- .gitattributes ':(glob)**/.gitattributes' 2>&1)
        [ -z "$rw_out" ] || return 1
    done
}

rw_put_once() {
    # There are no files yet: what lay there otherwise than it is staged is not written twice. The
    # index of the repository comes last: until then nothing is done.
    rw_what='writing the files'
    rw_out=$(
        export GIT_INDEX_FILE="$rw_scratch/index"
        git read-tree "$rw_tree" 2>&1 || exit 1
        git diff-tree -r -z --no-renames --name-only "$rw_tree" "$rw_snap:files" |
            git update-index -z --force-remove --stdin 2>&1 || exit 1
        git -c core.hooksPath=/dev/null checkout-index -a -f -q -u 2>&1
    ) || rw_die "$rw_what: $rw_out"
}

rw_put_over() {
    rw_what='removing other files'
    rw_try git -C "$rw_ws" clean -fdq
    # Git overwrites no file that it is told to look away from.
    rw_list=$(git -C "$rw_ws" ls-files -v | sed -n 's/^[a-z] //p')
    [ -z "$rw_list" ] || printf '%s\n' "$rw_list" |
        git -C "$rw_ws" update-index --no-assume-unchanged --stdin || rw_die "$rw_what"
    rw_list=$(git -C "$rw_ws" ls-files -v | sed -n 's/^[Ss] //p')
    [ -z "$rw_list" ] || printf '%s\n' "$rw_list" |
        git -C "$rw_ws" update-index --no-skip-worktree --stdin || rw_die "$rw_what"
    rw_what='writing the files'
    rw_try git -C "$rw_ws" -c core.hooksPath=/dev/null read-tree --reset -u "$rw_tree"
    rw_try cp "$rw_git/index" "$rw_scratch/index"
    for rw_file in "$rw_git"/sharedindex.*; do
        [ ! -f "$rw_file" ] || cp -p "$rw_file" "$rw_scratch/"
    done
}

rw_put_state() {
    rw_what='writing what was in progress'
    rw_has state || return 0
    rw_try rw_with state read-tree "$rw_snap:state"
    rw_try rw_with state --work-tree="$rw_git" checkout-index -a -f -q
}

rw_put_refs() {
    rw_what='writing stashes'
    git -C "$rw_ws" update-ref -d refs/stash 2>/dev/null
    if rw_has stash; then
        rw_list=''
        while IFS= read -r rw_line; do
            # Oldest first: each one is put on top.
            rw_list=$rw_line$rw_nl$rw_list
        done <<END
$(git -C "$rw_ws" cat-file blob "$rw_snap:stash")
END
        while IFS= read -r rw_line; do
            [ -z "$rw_line" ] ||
                rw_try git -C "$rw_ws" stash store -q -m "${rw_line#* }" "${rw_line%% *}"
        done <<END
$rw_list
END
    fi
    rw_what='writing refs'
    rw_has refs || return 0
    for rw_path in $(git -C "$rw_ws" ls-tree --name-only "$rw_snap:tags" 2>/dev/null); do
        git -C "$rw_ws" cat-file blob "$rw_snap:tags/$rw_path" |
            git -C "$rw_ws" hash-object -t tag -w --stdin >/dev/null || rw_die "$rw_what: a tag"
    done
    git -C "$rw_ws" cat-file blob "$rw_snap:refs" |
        while read -r rw_kind rw_oid _ rw_ref; do
            git -C "$rw_ws" cat-file -e "$rw_oid" 2>/dev/null &&
                printf 'update %s %s\n' "$rw_ref" "$rw_oid"
        done >"$rw_scratch/updates"
    rw_out=$(git -C "$rw_ws" update-ref --stdin <"$rw_scratch/updates" 2>&1) ||
        rw_die "$rw_what: $rw_out"
}

rw_put_repositories() {
    rw_has repositories || return 0
    command -v tar >/dev/null || rw_die 'the pod has no tar, which its other repositories need'
    for rw_path in $(git -C "$rw_ws" ls-tree --name-only "$rw_snap:repositories"); do
        rw_what="unpacking repository $rw_path"
        case $rw_path in *.abs.tar) rw_to=/ ;; *) rw_to=$rw_ws ;; esac
        rw_out=$(git -C "$rw_ws" cat-file blob "$rw_snap:repositories/$rw_path" |
            tar -xpf - -C "$rw_to" 2>&1) || rw_die "$rw_what: $rw_out"
    done
}

rw_verb=$1
shift
case $rw_verb in
take) rw_take "$@" ;;
put) rw_put "$@" ;;
has) rw_is_out "$1/$3" "$1/.git/$2" && echo yes || echo no ;;
close)
    rw_top=$1/.git
    for rw_dir; do
        [ "$rw_dir" != "${rw_top%/.git}" ] || rw_dir=''
        rw_git=$rw_top${rw_dir:+/$rw_dir} rw_scratch=$rw_top${rw_dir:+/$rw_dir}/rumpel/scratch
        rw_close
    done
    ;;
esac
