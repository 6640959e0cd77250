# The verbs of a pod, evaluated by pod_boot.sh before each block; sent by rumpel.adapters.pod_link
# after `rp_seed` (path of the repository behind `host`), `rp_hook` (text of pod_hook.sh),
# `rp_mountinfo` (path of the table of mounts) and `rp_look_s`.
# POSIX shell and git only. A verb gets its sequence number and its arguments; its answer is one
# line. What a request costs is mostly processes, so builtins do what they can.
unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE GIT_OBJECT_DIRECTORY GIT_COMMON_DIR GIT_NAMESPACE
unset GIT_ALTERNATE_OBJECT_DIRECTORIES GIT_CEILING_DIRECTORIES GIT_CONFIG CDPATH
export LC_ALL=C GIT_TERMINAL_PROMPT=0
# Whoever owns the workspace, it is the one we were told to use; one more for what is set already.
rp_n=${GIT_CONFIG_COUNT:-0}
export GIT_CONFIG_COUNT=$((rp_n + 1)) "GIT_CONFIG_KEY_$rp_n=safe.directory" "GIT_CONFIG_VALUE_$rp_n=*"
rp_tab='	' rp_module='' rp_patient=''
rp_show_peers='git -c uploadpack.hideRefs=!refs/rumpelpod upload-pack'

# A newline first: whoever writes to the main process's output may have left a line half written.
rp_ok() { printf '\n@rumpel %s ok %s\n' "$rp_seq" "$1"; }

rp_err() {
    # One line of at most 1000 bytes: one write, so it never mixes with another answer.
    rp_text=$(printf '%.1000s' "$1" | tr '\n' ' ')
    printf '\n@rumpel %s err %s\n' "$rp_seq" "$rp_text"
    exit 0
}

rp_try() {
    # What a command says becomes the answer when it fails.
    rp_out=$("$@" 2>&1) || rp_err "${rp_module:+submodule $rp_at: }${rp_what:-$1}: $rp_out"
}

rp_bare() {
    # git on the repository rp_git alone: never in a parent's, which git finds from the folder of
    # a submodule that is not checked out (any more).
    git --git-dir="$rp_git" --work-tree="$rp_git" "$@"
}

rp_first() {
    # The first line of file $1, by builtins.
    rp_line=''
    [ -f "$1" ] && IFS= read -r rp_line <"$1"
    [ -n "$rp_line" ]
}

rp_escape() {
    # $1 as the inside of a quoted git config value, in rp_escaped.
    rp_escaped='' rp_rest=$1
    while :; do
        case $rp_rest in
        *[\\\"]*)
            rp_before=${rp_rest%%[\\\"]*}
            rp_rest=${rp_rest#"$rp_before"}
            rp_escaped=$rp_escaped$rp_before\\${rp_rest%"${rp_rest#?}"}
            rp_rest=${rp_rest#?}
            ;;
        *"$rp_nl"*)
            rp_escaped=$rp_escaped${rp_rest%%"$rp_nl"*}\\n
            rp_rest=${rp_rest#*"$rp_nl"}
            ;;
        *) break ;;
        esac
    done
    rp_escaped=$rp_escaped$rp_rest
}

rp_set() {
    # Add `$1 = $2` to the config text.
    rp_escape "$2"
    rp_config="$rp_config$rp_tab$1 = \"$rp_escaped\"$rp_nl"
}

rp_section() {
    # Begin section $1, with subsection $2 if any.
    rp_escape "${2-}"
    rp_config="$rp_config[$1${2+ \"$rp_escaped\"}]$rp_nl"
}

rp_is_sha256() {
    # Is the repository at $1 one of SHA-256?
    [ -f "$1/config" ] || return 1
    while read -r rp_key rp_eq rp_value; do
        case $rp_key in [oO]bject[fF]ormat | objectformat=*) ;; *) continue ;; esac
        case $rp_key$rp_eq$rp_value in *=sha256*) return 0 ;; esac
    done <"$1/config"
    return 1
}

rp_host_head() {
    # refs/remotes/host/HEAD as the seed's HEAD wants it in rp_head: `ref: NAME`, an oid or nothing.
    # $1: a branch that is known to be there, if any; it saves a process.
    rp_first "$rp_seed/HEAD" && rp_head=$rp_line || rp_head=''
    case $rp_head in
    'ref: refs/heads/'*)
        # An unborn branch is no use: git warns of a symref that leads nowhere.
        if [ "${rp_head#ref: refs/heads/}" = "${1-}" ] || [ -f "$rp_seed/${rp_head#ref: }" ] ||
            git --git-dir="$rp_seed" show-ref -q --verify "${rp_head#ref: }"; then
            rp_head="ref: refs/remotes/host/${rp_head#ref: refs/heads/}"
        else
            rp_head=''
        fi
        ;;
    'ref: '*) rp_head='' ;;
    esac
}

# Setting up.

rp_setup() {
    # The main repository's arguments, then a group for each submodule, from `module=` on.
    rp_pod='' rp_watched='' rp_note='' rp_seq=$1
    shift
    rp_begin
    while [ $# -gt 0 ]; do
        case $1 in module=*) break ;; esac
        rp_argument "$1"
        shift
    done
    rp_git=$rp_ws/.git
    rp_dir=$rp_git/rumpel
    if ! rp_is_done; then
        [ -z "$rp_carried" ] ||
            rp_err "$rp_git is not the one rumpel made: a new container would reset its files"
        # Submodules lie among the files.
        [ $# = 0 ] || rp_later=''
        rp_set_up
        [ $# = 0 ] || rp_set_up_modules "$@"
        rp_finish
        [ -z "$rp_watched" ] || rp_watch_quietly
    else
        [ -n "$rp_later" ] || rp_fill
        if [ -n "$rp_watched" ]; then rp_watch_on & fi
    fi
    rp_what='reading the branch' rp_tip=''
    rp_first "$rp_git/refs/heads/$rp_branch" && rp_tip=$rp_line
    [ -n "$rp_tip" ] || rp_tip=$(git -C "$rp_ws" rev-parse -q --verify "refs/heads/$rp_branch")
    rp_ok "${rp_tip:--}$rp_note"
}

rp_begin() {
    rp_ws='' rp_branch='' rp_oid='' rp_upstream='' rp_name='' rp_email='' rp_restore='' rp_config=''
    rp_share='' rp_module='' rp_at='' rp_link='' rp_tree='' rp_prebuilt='' rp_copy=''
    rp_later='' rp_carried=''
}

rp_argument() {
    rp_value=${1#*=}
    case $1 in
    pod_id=*) rp_pod=$rp_value ;;
    workspace=*) rp_ws=$rp_value ;;
    branch=*) rp_branch=$rp_value ;;
    oid=*) rp_oid=$rp_value ;;
    upstream=*) rp_upstream=$rp_value ;;
    share=*) rp_share=$rp_value ;;
    prebuilt=*) rp_prebuilt=$rp_value ;;
    copy=*) rp_copy=$rp_value ;;
    later=*) rp_later=$rp_value ;;
    carried=*) rp_carried=$rp_value ;;
    name=*) rp_name=$rp_value ;;
    email=*) rp_email=$rp_value ;;
    remote=*) rp_other_remote "${rp_value%%=*}" "${rp_value#*=}" ;;
    watch=*) rp_watched=$rp_value ;;
    restore=*) rp_restore="${rp_restore}update refs/heads/${rp_value%=*} ${rp_value##*=}$rp_nl" ;;
    code=*) eval "$rp_value" ;;
    *) rp_module_argument "$1" ;;
    esac
}

rp_more() {
    # What follows takes pod_modules.sh.
    [ ! -d "$1/.git/modules" ] || { rp_ok more && exit 0; }
}

rp_with() {
    # Verb $3 after the program $2.
    rp_seq=$1 rp_verb=$3
    eval "$2"
    shift 3
    "rp_$rp_verb" "$rp_seq" "$@"
}

rp_is_done() { rp_first "$rp_git/rumpel/pod" && [ "$rp_line" = "$rp_pod" ]; }

rp_finish() {
    printf '%s\n' "$rp_pod" >"$rp_git/rumpel/pod" || rp_err "$rp_what: cannot write $rp_git"
}

rp_set_up() {
    rp_what="making $rp_ws"
    [ -d "$rp_ws" ] || rp_try mkdir -p "$rp_ws"
    rp_kind=fresh
    rp_look_at "$rp_ws"
    [ $rp_kind = fresh ] || [ -n "$rp_own" ] || rp_guard_mounts || return
    [ -z "$rp_module" ] || rp_absorb
    [ $rp_kind = prebuilt ] || rp_strip
    rp_skeleton
    if [ $rp_kind = prebuilt ]; then
        rp_take_prebuilt
    elif [ -z "$rp_oid" ]; then
        [ $rp_kind = fresh ] || rp_try rm -f "$rp_git/index"
    elif [ $rp_kind = fresh ] && [ -n "$rp_later" ]; then
        rp_what="going to $rp_oid"
        : >"$rp_git/rumpel/later"
        rp_try git -C "$rp_ws" update-ref -m 'rumpel: updating HEAD' HEAD "$rp_oid"
    else
        [ $rp_kind = fresh ] || rp_adopt
        rp_what="checking out $rp_oid"
        GIT_REFLOG_ACTION=rumpel rp_try git -C "$rp_ws" reset -q --hard "$rp_oid" --
        [ $rp_kind = fresh ] || rp_try rm -f "$rp_git/rumpel/later"
    fi
    [ -n "$rp_lfs" ] || rp_note_lfs
    # Only now: the .gitignore of the new commit decides what is kept.
    rp_what='removing untracked files'
    [ $rp_kind != baked ] || [ -z "$rp_oid" ] || rp_try git -C "$rp_ws" clean -fdq
    if [ -n "$rp_restore" ]; then
        rp_what='restoring branches'
        rp_out=$(printf %s "$rp_restore" | git -C "$rp_ws" update-ref --stdin 2>&1) ||
            rp_err "$rp_what: $rp_out"
    fi
    rp_what='installing the hook'
    {
        printf '%s\n' "$rp_hook" >"$rp_git/hooks/reference-transaction" &&
            chmod 755 "$rp_git/hooks/reference-transaction"
    } || rp_err "$rp_what: cannot write $rp_git"
}

rp_base_config() {
    rp_section core
    if rp_is_sha256 "$rp_seed"; then
        rp_config="$rp_config${rp_tab}repositoryformatversion = 1$rp_nl"
        rp_section extensions
        rp_set objectformat sha256
        rp_section core
    else
        rp_config="$rp_config${rp_tab}repositoryformatversion = 0$rp_nl"
    fi
    rp_set filemode true
    rp_set bare false
    [ -z "$rp_tree" ] || rp_set worktree "$rp_tree"
    rp_set logallrefupdates true
    rp_section remote host
    rp_set url "$rp_seed"
    rp_set fetch '+refs/heads/*:refs/remotes/host/*'
    rp_no_push
    # Else a plain `git push` would explain at length how to push into another branch.
    rp_section push
    rp_set default current
}

rp_no_push() {
    # Of a remote: what a push says. Git runs it instead of the program at the other end.
    rp_set pushurl 'commits-reach-the-host-without-a-push'
    rp_set receivepack "echo 'rumpel: nothing is pushed from a pod: its commits reach the host by themselves' >&2; exit 1; :"
}

rp_peer_remote() {
    # The branches of the other pods; hidden from who asks for those of the host.
    rp_section remote rumpelpod
    rp_set url "$rp_seed"
    rp_set uploadpack "$rp_show_peers"
    rp_set fetch '+refs/rumpelpod/*:refs/remotes/rumpelpod/*'
    rp_mine "$rp_branch"
    [ -z "$rp_own" ] || rp_set fetch "$rp_own"
    [ -z "$rp_own" ] || rp_set fetch "$rp_all_own"
    rp_set tagOpt --no-tags
    rp_no_push
}

rp_mine() {
    # What a pod needs not be shown, as refspecs; a git older than 2.29 does not know such ones.
    rp_own='' rp_all_own=''
    case $(git version) in
    'git version '[01].* | 'git version 2.'[0-9].* | 'git version 2.1'[0-9]* | \
        'git version 2.2'[0-8]*) ;;
    *) rp_own="^refs/rumpelpod/$1" rp_all_own="^refs/rumpelpod/*@$1" ;;
    esac
}

rp_lfs_config() {
    # As `git lfs install` does. It finds content behind `host` by itself, through the alternates;
    # what the host does not have stays a pointer, instead of making every checkout fail.
    rp_lfs=''
    command -v git-lfs >/dev/null 2>&1 || return 0
    rp_lfs=yes
    rp_section filter lfs
    rp_set clean 'git-lfs clean -- %f'
    rp_set smudge 'git-lfs smudge -- %f'
    rp_set process 'git-lfs filter-process'
    rp_set required true
    rp_section lfs
    rp_set skipdownloaderrors true
}

rp_wants_lfs() {
    # Does the file of attributes $1 name large files?
    [ -f "$1" ] || return 1
    while IFS= read -r rp_line || [ -n "$rp_line" ]; do
        case $rp_line in *filter=lfs*) return 0 ;; esac
    done <"$1"
    return 1
}

rp_note_lfs() {
    rp_file=$rp_ws/.gitattributes
    if [ -f "$rp_git/rumpel/later" ]; then
        rp_file=$rp_git/rumpel/attributes
        git -C "$rp_ws" cat-file blob "$rp_oid:.gitattributes" >"$rp_file" 2>/dev/null
    fi
    ! rp_wants_lfs "$rp_file" || rp_note="$rp_note no-lfs"
}

rp_other_remote() {
    case $1 in host | rumpelpod | '') return ;; esac
    rp_section remote "$1"
    rp_set url "$2"
    rp_set fetch "+refs/heads/*:refs/remotes/$1/*"
}

rp_look_at() {
    # What is in the workspace? fresh: nothing; baked: a checkout; prebuilt: one in which commands
    # ran for this pod; files: something else, which nobody can tell from the user's own files, so
    # what the commit does not have stays.
    rp_own=''
    if [ ! -e "$rp_git/rumpel/pod" ] && rp_first "$rp_git/rumpel/begun" &&
        [ "$rp_line" = "$rp_pod" ]; then
        # Ours, but not finished: the daemon or the pod was stopped.
        rp_own=yes
    fi
    if [ -n "$rp_prebuilt" ]; then
        rp_first "$rp_git/rumpel/prebuilt" && [ "$rp_line" = "$rp_prebuilt" ] ||
            rp_err "$rp_ws is not what the prebuild left in the image"
        rp_kind=prebuilt
    elif [ -e "$rp_git/rumpel/files" ]; then
        rp_kind=files
    elif [ -e "$rp_git" ] || [ -L "$rp_git" ]; then
        rp_kind=baked
    else
        for rp_path in "$1"/* "$1"/.[!.]* "$1"/..?*; do
            if [ -e "$rp_path" ] || [ -L "$rp_path" ]; then
                rp_kind=files
                break
            fi
        done
    fi
}

rp_guard_mounts() {
    # What is in the image can be had again; what lies on a mount may be the only copy: a folder
    # of the host is never taken over, nor is a volume in which another pod works.
    # A submodule's folder may be such a mount, too: then it is none of our business.
    rp_mount='' rp_root='' rp_type=''
    rp_mounts=$(cat "$rp_mountinfo" 2>/dev/null)
    while read -r _ _ _ rp_r rp_m _ rp_tail; do
        case $rp_m in *\\*) rp_m=$(printf %b "$rp_m") ;; esac
        case $rp_ws/.git/ in "${rp_m%/}"/*) ;; *) continue ;; esac
        # The longest one counts; of two at one place the later one.
        [ ${#rp_m} -ge ${#rp_mount} ] || continue
        rp_mount=$rp_m rp_root=$rp_r rp_type=${rp_tail#*- } rp_type=${rp_type%% *}
    done <<END
$rp_mounts
END
    case $rp_mount in '' | /) return 0 ;; esac
    case $rp_root:$rp_type in
    */volumes/*/_data*)
        ! rp_first "$rp_git/rumpel/pod" ||
            rp_err "conflict: the volume at $rp_mount holds the workspace of another pod"
        ;;
    *:tmpfs) ;;
    *)
        [ -z "$rp_module" ] || return 1
        rp_err "conflict: $rp_mount is a mounted folder with files in it; they were not touched"
        ;;
    esac
}

rp_strip() {
    # Of a baked .git only the index (what was tracked), objects, and what git-lfs and submodules
    # fetched are of use; so hooks, remotes, branches, locks and anything in progress are gone.
    rp_what="cleaning $rp_git"
    if [ -L "$rp_git" ] || [ ! -d "$rp_git" ]; then
        [ $rp_kind != baked ] || rp_try rm -f "$rp_git"
        return
    fi
    rp_keep=objects
    if rp_is_sha256 "$rp_git"; then rp_old=256; else rp_old=1; fi
    if rp_is_sha256 "$rp_seed"; then rp_new=256; else rp_new=1; fi
    [ $rp_old = $rp_new ] || rp_keep=''
    set --
    for rp_path in "$rp_git"/* "$rp_git"/.[!.]*; do
        case ${rp_path##*/} in
        lfs | modules) ;;
        rumpel) [ -n "$rp_own" ] || set -- "$@" "$rp_path" ;;
        objects | index | sharedindex.*) [ -n "$rp_keep" ] || set -- "$@" "$rp_path" ;;
        info)
            for rp_path in "$rp_git"/info/*; do
                [ "${rp_path##*/}" = exclude ] || set -- "$@" "$rp_path"
            done
            ;;
        *) set -- "$@" "$rp_path" ;;
        esac
    done
    [ ! -L "$rp_git/objects" ] || set -- "$@" "$rp_git/objects"
    rp_try rm -rf "$@" "$rp_git/objects/info"
    for rp_path in "$rp_git"/modules/*/hooks; do
        [ ! -d "$rp_path" ] || rp_try rm -rf "$rp_path"
    done
}

rp_skeleton() {
    # What `git clone --shared` leaves, at the cost of two processes.
    rp_what="making $rp_git"
    rp_try mkdir -p "$rp_git/objects/info" "$rp_git/objects/pack" "$rp_git/refs/heads" \
        "$rp_git/refs/tags" "$rp_git/refs/remotes/host" "$rp_git/hooks" "$rp_git/info" \
        "$rp_git/rumpel"
    [ $rp_kind != files ] || : >"$rp_git/rumpel/files"
    rp_more=$rp_config rp_config=''
    rp_base_config
    rp_lfs_config
    rp_config=$rp_config$rp_more
    printf '%s\n' "$rp_pod" >"$rp_git/rumpel/begun"
    [ -z "$rp_share" ] || rp_peer_remote
    if [ -n "$rp_upstream" ]; then
        rp_section branch "$rp_branch"
        rp_set remote host
        rp_set merge "refs/heads/$rp_upstream"
    fi
    if [ -n "$rp_name$rp_email" ]; then
        rp_section user
        [ -z "$rp_name" ] || rp_set name "$rp_name"
        [ -z "$rp_email" ] || rp_set email "$rp_email"
    fi
    [ $rp_kind != prebuilt ] || rp_config=$rp_config$(cat "$rp_git/rumpel/config")$rp_nl
    # For who wants to know later what was changed.
    [ -z "$rp_copy" ] || printf %s "$rp_config" >"$rp_git/rumpel/config"
    {
        printf %s "$rp_config" >"$rp_git/config" &&
            printf '%s/objects\n' "$rp_seed" >"$rp_git/objects/info/alternates" &&
            printf 'ref: refs/heads/%s\n' "$rp_branch" >"$rp_git/HEAD" &&
            { [ -z "$rp_link" ] || printf 'gitdir: %s\n' "$rp_link" >"$rp_ws/.git"; }
    } || rp_err "$rp_what: cannot write"
    [ ! -f "$rp_seed/shallow" ] || rp_try cp "$rp_seed/shallow" "$rp_git/shallow"
    echo '# pack-refs with: peeled fully-peeled sorted ' >"$rp_git/packed-refs"
    git --git-dir="$rp_seed" for-each-ref refs/heads \
        --format='%(objectname) refs/remotes/host/%(refname:lstrip=2)' \
        >>"$rp_git/packed-refs" || rp_err "$rp_what: cannot read the branches of the host"
    rp_host_head "${rp_oid:+$rp_upstream}"
    [ -z "$rp_head" ] || printf '%s\n' "$rp_head" >"$rp_git/refs/remotes/host/HEAD"
}

rp_adopt() {
    # Compare the files that are there with the index, so that the checkout writes only those that
    # differ: mtimes are what build tools go by.
    rp_what='comparing the files'
    if git -C "$rp_ws" ls-files -t 2>/dev/null | grep -q '^S'; then
        # Left out by a sparse checkout; git would go on leaving them out.
        rm -f "$rp_git/index"
    fi
    rp_refresh=128
    if [ -n "$(git -C "$rp_ws" ls-files 2>/dev/null | head -n 1)" ]; then
        git -C "$rp_ws" update-index -q --unmerged --really-refresh >/dev/null 2>&1
        rp_refresh=$?
    fi
    if [ $rp_refresh -ge 128 ]; then
        rm -f "$rp_git/index" "$rp_git/index.lock"
        rp_try git -C "$rp_ws" read-tree "$rp_oid"
        git -C "$rp_ws" update-index -q --really-refresh >/dev/null 2>&1
    fi
}

rp_take_prebuilt() {
    # All that the commands left stays: changed, untracked and ignored files, hooks, the index.
    # It is refreshed first, for in an image every file is another one: quick when it was there.
    rp_what="taking over $rp_ws" rp_was='' rp_then=''
    rp_try rm -f "$rp_git/index.lock"
    git -C "$rp_ws" update-index -q --unmerged --refresh >/dev/null 2>&1
    { read -r rp_was && read -r rp_was && read -r rp_then; } <"$rp_git/rumpel/prebuilt"
    if [ "$rp_oid" != "$rp_then" ] && [ "$(git -C "$rp_ws" rev-parse -q --verify "$rp_oid^{tree}")" != "$rp_was" ]; then
        rp_note="$rp_note moved"
        git -C "$rp_ws" read-tree -m -u "$rp_was" "$rp_oid" >/dev/null 2>&1 ||
            rp_try git -C "$rp_ws" read-tree --reset -u "$rp_oid"
    fi
    GIT_REFLOG_ACTION=rumpel rp_try git -C "$rp_ws" reset -q --soft "$rp_oid" --
}

rp_fill() {
    # The files of the commit, when they were left to a snapshot that did not come; what is there by
    # now stays. The index comes last: without it nothing is done yet.
    [ -f "$rp_git/rumpel/later" ] || return 0
    rp_what='checking out the files' rp_new=$rp_git/rumpel/index
    if [ ! -f "$rp_git/index" ]; then
        rp_try rm -f "$rp_new" "$rp_new.lock"
        rp_out=$(
            export GIT_INDEX_FILE="$rp_new"
            cd "$rp_ws" && git read-tree HEAD 2>&1 || exit 1
            git -c core.hooksPath=/dev/null checkout-index -a -q -u 2>/dev/null
            git ls-files -d | head -n 3
        ) && [ -z "$rp_out" ] || rp_err "$rp_what: $rp_out"
        rp_try mv -f "$rp_new" "$rp_git/index"
    fi
    rp_try rm -f "$rp_git/rumpel/later"
}

rp_files() {
    rp_seq=$1 rp_ws=$2 rp_git=$2/.git
    rp_fill
    rp_ok ''
}

# Once it is set up.

rp_status() {
    rp_seq=$1
    rp_more "$2"
    rp_what='git status'
    rp_out=$(GIT_OPTIONAL_LOCKS=0 git -C "$2" status --porcelain -unormal \
        --ignore-submodules=none 2>&1) ||
        rp_err "$rp_what: $rp_out"
    rp_count=0
    [ -z "$rp_out" ] || rp_count=$(printf '%s\n' "$rp_out" | wc -l)
    rp_find_away "$2"
    rp_ok "dirty=$((rp_count))$rp_away"
}

rp_find_away() {
    # Commits of a detached HEAD that no branch has.
    rp_away=''
    rp_first "$1/.git/HEAD" || return 0
    case $rp_line in 'ref: '*) return 0 ;; esac
    rp_out=$(git -C "$1" rev-list --count HEAD --not --branches --remotes 2>/dev/null) || return 0
    [ "$rp_out" = 0 ] || rp_away=" detached=$rp_out"
}

rp_tip() {
    # Where branch $3 is: asked before each review, so builtins first.
    rp_seq=$1 rp_tip=''
    rp_first "$2/.git/refs/heads/$3" && rp_tip=$rp_line
    [ -n "$rp_tip" ] || rp_tip=$(git -C "$2" rev-parse -q --verify "refs/heads/$3")
    rp_ok "${rp_tip:--}"
}

rp_head() {
    # Did a branch move that nobody was told of yet (1), where is HEAD, and on which branch: asked
    # after each command of the user, so builtins first.
    rp_seq=$1 rp_tip='' rp_branch=''
    if rp_first "$2/.git/HEAD"; then
        case $rp_line in
        'ref: refs/heads/'*)
            rp_branch=${rp_line#ref: refs/heads/}
            rp_first "$2/.git/refs/heads/$rp_branch" && rp_tip=$rp_line
            [ -n "$rp_tip" ] || rp_tip=$(git -C "$2" rev-parse -q --verify HEAD)
            ;;
        *) rp_tip=$rp_line ;;
        esac
    fi
    [ -s "$2/.git/rumpel/flag" ] && rp_moved=1 || rp_moved=0
    rp_ok "$rp_moved ${rp_tip:--} $rp_branch"
}

rp_fetch() {
    # $2: the workspace; of a submodule then also its key and its seed.
    # By path and refspec, not by the remote's name: the user may have changed it. Without hooks:
    # git runs ours for each ref, which cost 2 ms for each of 5,000 branches.
    rp_seq=$1 rp_git=$2/.git
    if [ -n "${3-}" ]; then
        rp_git=$rp_git/$3 rp_seed=$4
        [ -f "$rp_git/HEAD" ] || { rp_ok '' && return; }
    fi
    rp_what='git fetch'
    rp_try rp_bare -c core.hooksPath=/dev/null -c gc.auto=0 -c fetch.recurseSubmodules=false \
        fetch -q --prune --no-tags --refmap= "$rp_seed" '+refs/heads/*:refs/remotes/host/*'
    rp_ref=refs/remotes/host/HEAD rp_what='following HEAD'
    rp_host_head
    rp_first "$rp_git/$rp_ref" || rp_line=''
    if [ "$rp_head" != "$rp_line" ]; then
        case $rp_head in
        'ref: '*) rp_try rp_bare symbolic-ref "$rp_ref" "${rp_head#ref: }" ;;
        '') rp_try rp_bare update-ref --no-deref -d "$rp_ref" ;;
        # --no-deref: else it writes through the symref, into the branch it stood for.
        *) rp_try rp_bare update-ref --no-deref "$rp_ref" "$rp_head" ;;
        esac
    fi
    rp_ok ''
}

rp_refused() {
    # What of the pod the host does not take ($3, lines; nothing any more when empty). The hook
    # shows it, so whoever commits here sees it.
    rp_seq=$1
    if [ -n "$3" ]; then
        printf '%s\n' "$3" >"$2/.git/rumpel/refused" || rp_err "cannot write $2/.git"
    elif [ -s "$2/.git/rumpel/refused" ]; then
        : >"$2/.git/rumpel/refused"
    fi
    rp_ok ''
}

rp_peers() {
    # $3 is this pod, $4 what moved as lines for `git update-ref`, or `all`. The objects are
    # borrowed from the seed, so the first costs one process.
    rp_seq=$1
    if [ "$4" = all ]; then
        rp_what='git fetch'
        rp_mine "$3"
        rp_try git -C "$2" -c core.hooksPath=/dev/null -c gc.auto=0 \
            -c fetch.recurseSubmodules=false fetch -q --prune --no-tags --refmap= \
            --upload-pack="$rp_show_peers" "$rp_seed" \
            '+refs/rumpelpod/*:refs/remotes/rumpelpod/*' \
            ${rp_own:+"$rp_own"} ${rp_all_own:+"$rp_all_own"}
    else
        rp_what='git update-ref'
        rp_out=$(printf '%s\n' "$4" | git -C "$2" -c core.hooksPath=/dev/null \
            -c core.logAllRefUpdates=false update-ref --stdin 2>&1) || rp_err "$rp_what: $rp_out"
    fi
    rp_ok ''
}

# Notices.

rp_watch() {
    rp_seq=$1 rp_git=$2/.git rp_dir=$2/.git/rumpel
    rp_ok ''
    rp_tell_agents
    rp_watch_on
}

rp_watch_quietly() {
    # In a workspace made just now: what it holds is what was asked for, so nothing is told until
    # something moves. The FIFO is there before the answer is; no commit comes in between.
    rp_notice >/dev/null
    # Older than any stamp: for a shell that compares whole seconds they would be news.
    touch -t 200001010000 "$rp_git/HEAD" "$rp_git/logs/HEAD" "$rp_git/refs/heads" \
        "$rp_git/packed-refs" 2>/dev/null
    if rp_open_fifo; then
        (
            rp_listen
            rp_retire
            rp_watch_on
        ) &
    else
        rp_watch_on &
    fi
}

rp_watch_on() {
    rp_tries=0
    while :; do
        until [ -f "$rp_dir/pod" ]; do
            # Not set up yet; or no more, when a copy of another pod's workspace is taken over.
            if [ $rp_tries -lt 50 ]; then sleep 0.2 2>/dev/null || sleep 1; else sleep 2; fi
            rp_tries=$((rp_tries + 1))
        done
        if rp_open_fifo; then
            rp_notice
            rp_listen
        else
            rp_notice
            rp_look_forever || exit 0
        fi
        rp_retire
    done
}

rp_open_fifo() {
    # Each watcher makes a FIFO of its own and renames it over the last one's, so that two never
    # read from one; the older one finds another token and ends.
    echo "$rp_seq" >"$rp_dir/watcher"
    # What an earlier daemon said: this one will say it again.
    [ ! -s "$rp_dir/refused" ] || : >"$rp_dir/refused"
    rp_fifo=$rp_dir/fifo.$rp_seq
    for rp_path in "$rp_dir"/fifo.*; do
        [ ! -e "$rp_path" ] || rm -f "$rp_path"
    done
    mkfifo -m 600 "$rp_fifo" && (exec 3<>"$rp_fifo") || return
    exec 3<>"$rp_fifo"
    mv -f "$rp_fifo" "$rp_dir/fifo"
}

rp_listen() {
    # Until another watcher takes over. Looks between, without a process where the shell can wait.
    rp_code=0
    IFS= read -r -t "$rp_look_s" rp_line 2>/dev/null </dev/null || rp_code=$?
    if [ $rp_code != 1 ]; then
        rp_listen_only
        return
    fi
    while :; do
        if IFS= read -r -t "$rp_look_s" rp_line <&3; then
            [ "$rp_line" != quit ] || return 0
            rp_heard
        else
            rp_is_watcher || return 0
            rp_look || rp_notice
        fi
    done
}

rp_listen_only() {
    # dash cannot: a bash does the looking, if there is one.
    if command -v bash >/dev/null 2>&1; then
        (
            export rp_seq rp_git rp_dir
            exec bash -c "$rp_program$rp_nl"'exec 4<> <(:)
                rp_patient=yes
                rp_look_forever && echo quit >&3'
        ) &
    else
        (rp_look_forever && echo quit >&3) &
    fi
    while IFS= read -r rp_line <&3 && [ "$rp_line" != quit ]; do
        rp_heard
    done
}

rp_heard() {
    case $rp_line in
    'agent '*) printf '\n@rumpel 0 %s\n' "$rp_line" ;;
    *) rp_notice ;;
    esac
}

rp_tell_agents() {
    # What agents said last: this daemon may not have heard it.
    for rp_path in /rumpel/home/.status/*; do
        [ -f "$rp_path" ] && rp_first "$rp_path" &&
            printf '\n@rumpel 0 agent %s %s\n' "${rp_path##*/}" "$rp_line"
    done
}

rp_is_watcher() { rp_first "$rp_dir/watcher" && [ "$rp_line" = "$rp_seq" ]; }

rp_retire() {
    # Another watcher has taken over: end.
    ! rp_first "$rp_dir/watcher" || rp_is_watcher || exit 0
}

rp_notice() {
    # First clear the flag, then tell: what moves from here on makes a notice of its own.
    : >"$rp_dir/stamp"
    : >"$rp_dir/flag"
    if [ -d "$rp_git/modules" ]; then
        printf '\n@rumpel 0 notice modules\n'
    else
        printf '\n@rumpel 0 notice\n'
    fi
}

rp_look_forever() {
    # For commits without our hook: core.hooksPath, husky, a git older than 2.28.
    while :; do
        rp_pause || return
        rp_is_watcher || return 0
        rp_look || rp_notice
    done
}

rp_pause() {
    if [ -n "$rp_patient" ]; then
        read -r -t "$rp_look_s" rp_line <&4
        [ $? -le 128 ] || return 0
    fi
    sleep "$rp_look_s"
}

rp_look() {
    [ ! -s "$rp_dir/flag" ] || return 1
    rp_look_in "$rp_git" || return 1
    [ -f "$rp_dir/modules" ] || return 0
    while IFS= read -r rp_module; do
        rp_look_in "$rp_git/$rp_module" || return 1
    done <"$rp_dir/modules"
}

rp_look_in() {
    for rp_path in HEAD logs/HEAD refs/heads packed-refs reftable/tables.list modules; do
        # Some shells compare whole seconds: what is as old as the stamp counts as new.
        [ ! -e "$1/$rp_path" ] || [ "$rp_dir/stamp" -nt "$1/$rp_path" ] || return 1
    done
}
