# A tar from stdin, unpacked beside its destination and moved there when it is whole. For `rumpel
# cp` into a pod. Says `go` when it is ready to read and `done PATH` when all is in its place.
#   PATH (absolute)  KIND: file, folder, content (of a folder) or stream  NAME (in a folder that is
#   there)  MARK: a last file, says that the tar is whole, and the modes of folders that lock out
#   their owner  KEEP (a word: owners as in the tar)
# 90 nothing is there, 91 it may not be written, 92 no folder, 93 a folder is in the way, 94 a file
# or link is in the way of a folder, 95 the tar was cut off, 96 there is no tar, 97 tar failed.
dest=$1 kind=$2 name=$3 mark=$4 keep=$5 folder='' stage=''
umask 022
command -v tar >/dev/null 2>&1 || exit 96
while :; do
  case $dest in
  ?*/. | ?*/) dest=${dest%.} dest=${dest%/} folder=1 ;;
  *) break ;;
  esac
done
if [ -h "$dest" ]; then dest=$(readlink -f "$dest") || exit 90; fi
if [ -d "$dest" ]; then
  home=$dest target=$dest
  case $kind in file | folder) target=${dest%/}/$name ;; esac
else
  if [ -n "$folder" ] || [ "$kind" = stream ]; then
    [ ! -e "$dest" ] || exit 92
    exit 90
  fi
  home=${dest%/*}/ target=$dest
  [ -d "$home" ] || exit 90
fi
if [ "$kind" = file ]; then
  [ ! -d "$target" ] || exit 93
elif [ ! -d "$target" ] && { [ -e "$target" ] || [ -h "$target" ]; }; then
  exit 94
fi
{ [ -w "$home" ] && [ -x "$home" ]; } || exit 91
home=${home%/}
for old in "$home"/.rumpel-cp-????????????????-*; do
  [ ! -d "$old" ] || [ -d "/proc/${old##*-}" ] || rm -rf "$old"
done
clean() {
  cd / && chmod -R u+rwx "$stage" 2>/dev/null
  rm -rf "$stage"
}
stage=$home/.rumpel-cp-$mark-$$
mkdir -m 700 "$stage" || exit 97
trap clean EXIT
trap 'exit 143' HUP INT TERM
echo '*' >"$stage/.gitignore" || exit 97 # an agent may commit all there is
root=$stage
[ "$kind" != stream ] || { root=$stage/0 && mkdir "$root"; } || exit 97
echo go
if [ -n "$keep" ]; then set -- -p; else set -- -p -o; fi
case $(tar --version 2>/dev/null) in *GNU*) set -- "$@" -b 256 ;; esac
tar -x "$@" -f - -C "$root" || exit 97
[ -e "$root/$mark" ] || exit 95
mv "$root/$mark" "$stage/mark"
cd "$stage" || exit 97
finish() {
  if [ -s "$stage/mark" ]; then cd "$target" && xargs -0 -n 2 chmod <"$stage/mark"; fi
  printf 'done %s\n' "$target"
  exit 0
}
is_there() { [ -e "$1" ] || [ -h "$1" ]; }
if [ ! -d 0 ] || [ -h 0 ] || ! is_there "$target"; then
  mv -f 0 "$target" || exit 97
  finish
fi
cd 0 || exit 97
way=$(find . -exec sh -c 't=$1; shift; for f; do
  if [ -d "$f" ] && [ ! -h "$f" ]; then
    { [ ! -e "$t/$f" ] && [ ! -h "$t/$f" ]; } || { [ -d "$t/$f" ] && [ ! -h "$t/$f" ]; } || printf "%s\n" "$f"
  elif [ -d "$t/$f" ] && [ ! -h "$t/$f" ]; then printf "%s\n" "$f"; fi
done' sh "$target/." {} +) || exit 97
[ -z "$way" ] || { printf "%s\n" "$way" >&2; exit 94; }
for item in * .[!.]* ..?*; do
  is_there "$item" || continue
  if is_there "$target/$item"; then
    cp -alf "./$item" "$target/" 2>/dev/null || cp -af "./$item" "$target/" || exit 97
  else
    mv -f "./$item" "$target/" || exit 97
  fi
done
finish
