# What lies at a path, as a tar on stdout. For `rumpel cp` out of a pod.
#   PATH (absolute) FOLLOW (a word: a link as PATH is followed; empty: it is copied itself)
# 90 nothing is there, 91 it may not be read, 92 no folder, 96 there is no tar, 98 no file, folder or
# link but what is then said on stderr, 100 all of the pod; else tar's own code.
src=$1 follow=$2 what='' folder=''
command -v tar >/dev/null 2>&1 || exit 96
case $src in
*/. | */..) what=. folder=1 ;;
esac
while [ -z "$what" ]; do
  case $src in
  ?*/) src=${src%/} folder=1 ;;
  /) what=. ;;
  *) break ;;
  esac
done
if [ ! -e "$src" ] && [ ! -h "$src" ]; then
  up=${src%/*}
  while [ -n "$up" ] && [ ! -e "$up" ]; do up=${up%/*}; done
  [ ! -d "$up" ] || [ -x "$up" ] || exit 91
  exit 90
fi
[ -z "$folder" ] || [ -d "$src" ] || exit 92
[ -z "$follow" ] || [ -e "$src" ] || exit 90
if [ -n "$follow" ] || [ ! -h "$src" ]; then
  if [ -p "$src" ]; then echo pipe >&2 && exit 98; fi
  if [ -b "$src" ] || [ -c "$src" ]; then echo device >&2 && exit 98; fi
  if [ -S "$src" ]; then echo socket >&2 && exit 98; fi
fi
if [ "$what" = . ] && [ "$(cd -P "$src" 2>/dev/null && pwd -P)" = / ]; then exit 100; fi
if [ -d "$src" ] && { [ -n "$follow$folder" ] || [ ! -h "$src" ]; }; then
  { [ -r "$src" ] && [ -x "$src" ]; } || exit 91
  [ ! -h "$src" ] || what=.
elif [ -n "$follow" ] || [ ! -h "$src" ]; then
  [ -r "$src" ] || exit 91
fi
if [ -n "$what" ]; then
  cd "$src" || exit 91
else
  cd "${src%/*}/" || exit 91
  what=${src##*/}
fi
[ -n "$follow" ] && [ "$what" != . ] && [ -h "$what" ] && set -- -h || set --
case $(tar --version 2>/dev/null) in
*GNU*) set -- "$@" --format=posix --pax-option=delete=atime,delete=ctime ;;
esac
exec tar -c -f - "$@" -- "$what"
