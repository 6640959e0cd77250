#!/bin/sh
# In the container of a prebuild, as the user of the workspace: /bin/sh -c THIS rumpel VERB ...
#
#   look WORKSPACE KEY TREE OID TOKEN   what the commands changed in .git, and what still runs;
#                                       then `leave`, when nothing of it has to be carried
#   leave WORKSPACE KEY TREE OID CONFIG only what a pod takes over stays in .git
#   refresh WORKSPACE                   git's index knows the files as they lie in the image
#
# POSIX shell and git only. `look` prints sections: a name, NUL, content, NUL. The last two are
# settings of git as `git config --list -z` has them: made with, and now.
unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE GIT_OBJECT_DIRECTORY GIT_CONFIG CDPATH
export LC_ALL=C GIT_OPTIONAL_LOCKS=1
cd "$2/.git" || exit

leave() { # KEY TREE OID CONFIG
    rm -rf logs refs packed-refs ORIG_HEAD FETCH_HEAD COMMIT_EDITMSG rumpel objects/info \
        hooks/reference-transaction || exit
    mkdir -p refs objects/info rumpel && printf '%s\n%s\n%s\n' "$1" "$2" "$3" >rumpel/prebuilt &&
        printf %s "$4" >rumpel/config && echo 'ref: refs/heads/prebuild' >HEAD || exit
}

case $1 in
look)
    printf 'head\0'
    cat HEAD
    printf '\0refs\0'
    git --git-dir=. for-each-ref --format='%(objectname) %(refname)' refs/heads refs/tags \
        refs/stash refs/notes refs/replace refs/bisect || exit
    printf '\0entries\0'
    ls -A . || exit
    printf '\0running\0'
    running=$(grep -ls "RUMPEL_EXEC=$6" /proc/[0-9]*/environ)
    printf '%s\0files\0' "$running"
    (cd .. && git ls-files 2>/dev/null) | wc -l
    is_same=''
    cmp -s config rumpel/config && is_same=yes
    printf '\0same\0%s\0changes\0' "$is_same"
    changes=$(cd .. && git status --porcelain -unormal) || exit
    printf '%.200s\0made\0' "$changes"
    git config -f rumpel/config --list -z || exit
    printf 'now\0'
    git config -f config --list -z || exit
    [ -n "$running" ] || [ -z "$is_same" ] || leave "$3" "$4" "$5" ''
    ;;
leave) leave "$3" "$4" "$5" "$6" ;;
refresh)
    # It says which files differ, and that is no failure.
    cd .. && { git update-index -q --unmerged --refresh >/dev/null || [ $? = 1 ]; }
    ;;
*) exit 64 ;;
esac
