#!/bin/sh
# In the container of a prebuild, as the user of the workspace: /bin/sh -c THIS rumpel VERB ...
#
#   look WORKSPACE TOKEN          what the commands may have changed in .git, and what still runs
#   leave WORKSPACE KEY TREE CONFIG   only what a pod takes over stays in .git
#   refresh WORKSPACE             git's index knows the files as they lie in the image
#
# POSIX shell and git only. `look` prints sections: a name, NUL, content, NUL; the last is open.
unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE GIT_OBJECT_DIRECTORY GIT_CONFIG CDPATH
export LC_ALL=C GIT_OPTIONAL_LOCKS=1
cd "$2/.git" || exit
case $1 in
look)
    printf 'head\0'
    cat HEAD
    printf '\0refs\0'
    git --git-dir=. for-each-ref --format='%(objectname) %(refname)' || exit
    printf '\0entries\0'
    ls -A . || exit
    printf '\0running\0'
    grep -ls "RUMPEL_EXEC=$3" /proc/[0-9]*/environ
    printf '\0files\0'
    cd .. && git ls-files 2>/dev/null | wc -l
    cd .git || exit
    printf '\0config\0'
    git config -f config --list -z
    ;;
leave)
    rm -rf logs refs packed-refs ORIG_HEAD FETCH_HEAD COMMIT_EDITMSG rumpel objects/info \
        hooks/reference-transaction || exit
    mkdir -p refs objects/info rumpel && printf '%s\n%s\n' "$3" "$4" >rumpel/prebuilt &&
        printf %s "$5" >rumpel/config && echo 'ref: refs/heads/prebuild' >HEAD
    ;;
refresh)
    # It says which files differ, and that is no failure.
    cd .. && { git update-index -q --unmerged --refresh >/dev/null || [ $? = 1 ]; }
    ;;
*) exit 64 ;;
esac
