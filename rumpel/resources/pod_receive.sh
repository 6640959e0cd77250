# A tar from stdin, unpacked beside its destination and moved there when it is whole. For `rumpel
# cp` into a pod, and for files of copyIn. Says `go` when it is ready to read and `done PATH` when all is in its place.
#   PATH (absolute)  KIND: file, folder, content (of a folder) or stream  NAME (in a folder that is
#   there)  MARK: a last file, says that the tar is whole, and the modes of folders that lock out
#   their owner  KEEP (a word: owners as in the tar)  ADD (a word: into a folder, whatever is there
#   stays as it is; each such path, with a NUL behind it, is told before `done`)  GIT (the pod's own
#   repository, which stays as it is: `go PATH` names what of the tar would come to lie there, and
#   is not to be sent)  CONTAINER (a word: which one this is)
# 90 nothing is there, 91 it may not be written, 92 no folder, 93 a folder is in the way, 94 a file
# or link is in the way of a folder, 95 the tar was cut off, 96 there is no tar, 97 tar failed,
# 98 a pipe, device or socket is in the way, 99 it is the pod's own repository. With 94 and 98,
# stderr says what is there, and where below the destination.
dest=$1 kind=$2 name=$3 mark=$4 keep=$5 add=${6-} git=${7-} container=${8-}
folder='' stage='' near='' left='' below=''
unset CDPATH # of the image: `cd 0` would go there
umask 022
command -v tar >/dev/null 2>&1 || exit 96
while :; do
  case $dest in
  ?*/. | ?*/) dest=${dest%.} dest=${dest%/} folder=1 ;;
  *) break ;;
  esac
done
if [ -h "$dest" ]; then dest=$(readlink -f "$dest") || exit 90; fi
odd() { # PATH NAME: told, when that is no file, folder or link
  if [ -h "$1" ]; then return 1
  elif [ -p "$1" ]; then echo "pipe $2"
  elif [ -b "$1" ] || [ -c "$1" ]; then echo "device $2"
  elif [ -S "$1" ]; then echo "socket $2"
  else return 1; fi >&2
}
real() { # PATH: without links; it need not be there
  if [ -d "$1" ]; then (cd -P "$1" && pwd -P) 2>/dev/null && return; fi
  up=$(cd -P "${1%/*}/" 2>/dev/null && pwd -P)
  printf '%s\n' "${up%/}/${1##*/}"
}
odd "$dest" '' && exit 98
if [ -d "$dest" ]; then
  home=$dest target=$dest
  case $kind in file | folder) target=${dest%/}/$name below=$name/ ;; esac
else
  if [ -n "$folder" ] || [ "$kind" = stream ]; then
    [ ! -e "$dest" ] || exit 92
    exit 90
  fi
  home=${dest%/*}/ target=$dest
  [ -d "$home" ] || exit 90
fi
odd "$target" "$name" && exit 98
if [ -n "$git" ]; then
  here=$(real "$target") own=$(real "${git%/*}/")
  own=${own%/}/${git##*/}
  case $here in "$own" | "$own/${git##*/}" | "$(real "$git")") exit 99 ;; esac
  case $own in "${here%/}"/*) left=${own#"${here%/}/"} ;; esac
fi
if [ "$kind" = file ]; then
  [ ! -d "$target" ] || exit 93
elif [ ! -d "$target" ] && { [ -e "$target" ] || [ -h "$target" ]; }; then
  exit 94
fi
{ [ -w "$home" ] && [ -x "$home" ]; } || exit 91
home=${home%/}
sweep() { # what a copy that was killed left; /proc says nothing of one in another container
  for old in "$1"/.rumpel-cp-????????????????-*; do
    if [ ! -d "$old" ] || [ -h "$old" ]; then continue; fi
    case ${old##*/} in
    *-"$container"-*) [ ! -d "/proc/${old##*-}" ] || continue ;;
    *) [ -n "$(find "$old" -prune -mmin +1440 2>/dev/null)" ] || continue ;;
    esac
    rm -rf "$old"
  done
}
sweep "$home"
clean() { # no file gets another mode: it may be one that is in its place by now, by a hard link
  cd / || return
  rm -rf "$stage" 2>/dev/null || find "$stage" -type d -exec chmod u+rwx {} \; 2>/dev/null
  rm -rf "$stage" ${near:+"$near"}
}
stage=$home/.rumpel-cp-$mark-$container-$$
mkdir -m 700 "$stage" || exit 97
trap clean EXIT
trap 'exit 143' HUP INT TERM
echo '*' >"$stage/.gitignore" || exit 97 # an agent may commit all there is
root=$stage
[ "$kind" != stream ] || { root=$stage/0 && mkdir "$root"; } || exit 97
echo "go${left:+ $left}"
if [ -n "$keep" ]; then set -- -p; else set -- -p -o; fi
case $(tar --version 2>/dev/null) in *GNU*) set -- "$@" -b 256 ;; esac
tar -x "$@" -f - -C "$root" || exit 97
[ -e "$root/$mark" ] || exit 95
mv "$root/$mark" "$stage/mark" || exit 97
cd "$stage" || exit 97
cut() {
  echo 'files of the copy were removed in the middle of it' >&2
  exit 97
}
finish() {
  [ -e "$stage/mark" ] || cut
  if [ -s "$stage/mark" ]; then cd "$target" && xargs -0 -n 2 chmod <"$stage/mark"; fi
  printf 'done %s\n' "$target"
  exit 0
}
is_there() { [ -e "$1" ] || [ -h "$1" ]; }
is_none() { # ITEM FOLDER: a pattern that matched nothing; else it has to be there
  ! is_there "$1" || return 1
  case $1 in "$2*" | "$2.[!.]*" | "$2..?*") ;; *) cut ;; esac
}
[ -z "$left" ] || ! is_there "0/$left" || exit 99
is_folder() { [ -d "$1" ] && [ ! -h "$1" ]; }
is_same() { # another one of these copies was here before
  if [ -h "$1" ] && [ -h "$2" ]; then [ "$(readlink "$1")" = "$(readlink "$2")" ]; return; fi
  [ -f "$1" ] && [ -f "$2" ] && [ ! -h "$1" ] && [ ! -h "$2" ] || return
  if command -v cmp >/dev/null 2>&1; then cmp -s "$1" "$2"; else [ "$(cksum <"$1")" = "$(cksum <"$2")" ]; fi
}
device() { stat -c %d "$1" 2>/dev/null; }
beside() { # FOLDER: one in it, for what comes from another file system and is to be whole
  sweep "$1"
  near=$1/.rumpel-cp-$mark-$container-near-$$
  mkdir -m 700 "$near" && echo '*' >"$near/.gitignore" || exit 97
}
drop() { rm -rf "$near" && near=; }
put() { # ITEM TO FOLDER DEVICE
  if [ -n "$4" ] && [ "$4" = "$own" ]; then mv "$1" "$2" || exit 97; return; fi
  beside "$3"
  cp -a "$1" "$near/new" && mv "$near/new" "$2" || exit 97
  drop
}
place() { # PATH (of a folder, with a slash) DEVICE: all in it that is not there yet
  for item in "0/$1"* "0/$1".[!.]* "0/$1"..?*; do
    ! is_none "$item" "0/$1" || continue
    path=${item#0/}
    if ! is_there "$target/$path"; then
      put "$item" "$target/$path" "$target/${1%/}" "$2"
    elif is_folder "$item" && is_folder "$target/$path"; then
      place "$path/" "$(device "$target/$path")"
    elif ! is_same "$item" "$target/$path"; then
      printf '%s\0' "$path"
    fi
  done
}
if [ -n "$add" ]; then
  own=$(device "$stage")
  place '' "$(device "$target")"
  finish
fi
if [ ! -d 0 ] || [ -h 0 ] || ! is_there "$target"; then
  mv -f 0 "$target" || exit 97
  finish
fi
replace() { # FILE TO FOLDER
  if [ -w "$3" ]; then
    beside "$3"
    cp -a "$1" "$near/new" || exit 97
    [ ! -h "$2" ] || rm -f "$2" # one that leads to a folder: it would come to lie in there
    if mv -f "$near/new" "$2" 2>/dev/null; then drop && return; fi
    drop
  fi # else it is a mount itself, or its folder is closed: that file can only be written
  if [ -h "$2" ] || [ ! -f "$2" ]; then echo "$2 cannot be replaced" >&2 && exit 97; fi
  cp -af "$1" "$2" || exit 97
}
over() { # ITEM FOLDER: over what has its name, and through no link there, as `cp` without -l would
  if cp -alf "$1" "$2/" 2>/dev/null; then return; fi
  set -- "$1" "$2/${1##*/}" "$2"
  if ! is_folder "$1"; then replace "$@" && return; fi
  # Another file system begins there or further down, or this one has no hard links.
  is_folder "$2" || mkdir "$2" || exit 97
  if [ -w "$2" ]; then
    beside "$2"
    if ! ln "$stage/mark" "$near/mark" && ln "$near/.gitignore" "$near/links"; then
      cp -a "$1" "$near/new" 2>&3 || exit 97
      if cp -alf "$near/new/." "$2/"; then drop && return; fi
    fi 3>&2 2>/dev/null
    drop
  fi
  for item in "$1"/* "$1"/.[!.]* "$1"/..?*; do
    is_none "$item" "$1/" || over "$item" "$2"
  done
}
cd 0 || exit 97
way=$(find . -exec sh -c 't=$1 b=$2; shift 2; for f; do
  p=$b${f#./}
  if [ -h "$t/$f" ]; then :
  elif [ -p "$t/$f" ]; then printf "pipe %s\n" "$p"
  elif [ -b "$t/$f" ] || [ -c "$t/$f" ]; then printf "device %s\n" "$p"
  elif [ -S "$t/$f" ]; then printf "socket %s\n" "$p"; fi
  if [ -d "$f" ] && [ ! -h "$f" ]; then
    { [ ! -e "$t/$f" ] && [ ! -h "$t/$f" ]; } || { [ -d "$t/$f" ] && [ ! -h "$t/$f" ]; } || printf "other %s\n" "$p"
  elif [ -d "$t/$f" ] && [ ! -h "$t/$f" ]; then printf "other %s\n" "$p"; fi
done' sh "$target/." "$below" {} +) || exit 97
case $way in
'') ;;
other*) printf '%s\n' "$way" >&2 && exit 94 ;;
*) printf '%s\n' "$way" >&2 && exit 98 ;;
esac
for item in * .[!.]* ..?*; do
  ! is_none "$item" '' || continue
  if is_there "$target/$item"; then
    over "./$item" "$target"
  else
    mv -f "./$item" "$target/" || exit 97
  fi
done
finish
