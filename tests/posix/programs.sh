#!/bin/bash
# Real programs on the mount: cp, diff, mv, tar, git, sqlite3, rm.
source "$(dirname "$0")/lib.sh"
start_ring 5
cd "$mnt"

say "cp and diff of a tree"
cp -a /usr/share/perl/ "$mnt/tree"
diff -r --no-dereference /usr/share/perl "$mnt/tree"
say "mv of a tree into another directory"
mkdir -p "$mnt/target/below"
mv "$mnt/tree" "$mnt/target/below/moved"
[ ! -e "$mnt/tree" ] || die "the moved tree is still there"
diff -r --no-dereference /usr/share/perl "$mnt/target/below/moved"

say "tar in and out"
tar -C /usr/share -cf "$mnt/archive.tar" perl
mkdir "$mnt/unpacked"
tar -C "$mnt/unpacked" -xf "$mnt/archive.tar"
diff -r --no-dereference /usr/share/perl "$mnt/unpacked/perl"
tar -C "$mnt/unpacked" -df "$mnt/archive.tar"

say "git"
export GIT_AUTHOR_NAME=t GIT_AUTHOR_EMAIL=t@example.org GIT_COMMITTER_NAME=t GIT_COMMITTER_EMAIL=t@example.org
git init -q "$mnt/repository"
cp -r "$(perl -MConfig -e 'print $Config{privlib}')/unicore" "$mnt/repository/"
[ "$(find "$mnt/repository/unicore" -type f | wc -l)" -ge 100 ] || die "not worth a commit: $(ls -R "$mnt/repository/unicore")"
git -C "$mnt/repository" add .
git -C "$mnt/repository" commit -qm first
echo change >>"$mnt/repository/file"
git -C "$mnt/repository" add .
git -C "$mnt/repository" commit -qm second
git -C "$mnt/repository" gc -q
git -C "$mnt/repository" fsck --full --strict
git clone -q "$mnt/repository" "$mnt/clone"
[ "$(git -C "$mnt/clone" rev-parse HEAD)" = "$(git -C "$mnt/repository" rev-parse HEAD)" ] || die "the clone has another HEAD"
[ -z "$(git -C "$mnt/clone" status --porcelain)" ] || die "the clone is not clean"

say "sqlite3"
sqlite3 "$mnt/test.db" "create table t(a integer primary key, b text);
  with recursive n(i) as (select 1 union all select i + 1 from n where i < 5000) insert into t select i, hex(randomblob(50)) from n;
  create index i on t(b);"
[ "$(sqlite3 "$mnt/test.db" 'select count(*) from t where b > ""')" = 5000 ] || die "rows are missing"
[ "$(sqlite3 "$mnt/test.db" 'pragma integrity_check')" = ok ] || die "the database is damaged"
for i in $(seq 20); do sqlite3 "$mnt/test.db" "update t set b = 'x$i' where a = $i"; done
[ "$(sqlite3 "$mnt/test.db" "select count(*) from t where b like 'x%'")" = 20 ] || die "updates are missing"

say "rm -r"
cd /
rm -r "$mnt/unpacked" "$mnt/clone" "$mnt/target"
[ "$(ls "$mnt" | sort | tr '\n' ' ')" = "archive.tar repository test.db " ] || die "left: $(ls "$mnt")"
