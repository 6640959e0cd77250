# After the bare repository at $1 was poured over what was left of it: loose refs would hide those
# poured, and others may name what is lost.
cd "$1" || exit
rm -rf refs/heads && mkdir refs/heads || exit
find refs/rumpel refs/rumpelpod -type f 2>/dev/null | while read -r ref; do
    git cat-file -e "$(cat "$ref")" 2>/dev/null || rm -f "$ref"
done
