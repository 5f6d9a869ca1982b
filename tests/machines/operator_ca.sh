#!/bin/bash
# shellcheck disable=SC2034,SC2046,SC2086,SC2154 # lists of words; variables of the scripts that are sourced, and for them
# A ring whose certificates an operator's own authority issues (openssl(1)): bad files, unknown and revoked names, files that are
# replaced under a mount that works on, certificates that end.
#   operator_ca.sh BUILD
set -eu -o pipefail
build=$1
source "$(dirname "$0")/lib.sh" "$@"
faketime=$(ls /usr/lib/*/faketime/libfaketimeMT.so.1 2>/dev/null | head -n 1)
[ -n "$faketime" ] || { echo "the package faketime is not installed" >&2; exit 1; }
for machine in A B C D; do make_machine $machine; done
nodes=$subnet.1:4001,$subnet.2:4001,$subnet.3:4001
ca=$RINGFS_LAB/ca
umask 077
mkdir "$ca"
new_key() { openssl ecparam -name prime256v1 -genkey -noout -out "$1"; }
new_key "$ca/ca.key"
openssl req -x509 -new -key "$ca/ca.key" -subj "/CN=the lab" -days 3650 -out "$ca/ca.pem"

# issue FILE URI [DAYS [WHEN]]: FILE.key, unless it is there, and FILE.pem. Without a URI the certificate has none.
issue() {
  local file=$1 uri=$2 names=basicConstraints=CA:FALSE
  [ -e "$file.key" ] || new_key "$file.key"
  [ -z "$uri" ] || names+=$'\n'"subjectAltName=URI:$uri"
  openssl req -new -key "$file.key" -subj "/CN=somebody" -out "$file.csr"
  env ${4:+LD_PRELOAD=$faketime "FAKETIME=$4"} openssl x509 -req -in "$file.csr" -CA "$ca/ca.pem" -CAkey "$ca/ca.key" \
    -CAcreateserial -days "${3:-30}" -extfile <(echo "$names") -out "$file.new" 2>/dev/null
  mv "$file.new" "$file.pem"
}
# The three options for a certificate.
tls() { echo "--tls-ca $ca/ca.pem --tls-certificate $1.pem --tls-key $1.key"; }
field() { awk -v field="$2" '$1 == field { print $2 }' "$RINGFS_LAB/$1/init"; }

say "each node says what its certificate has to name, and says the same again"
on A ringfs-node --data data --init >"$RINGFS_LAB/A/init"
ring=$(field A ring)
for machine in B C; do on $machine ringfs-node --data data --init --ring "$ring" >"$RINGFS_LAB/$machine/init"; done
[ "$(on A ringfs-node --data data --init)" = "$(cat "$RINGFS_LAB/A/init")" ] || die "another identity the second time"
refused "was prepared for the ring $ring" on B ringfs-node --data data --init --ring 00000000-0000-0000-0000-000000000001
for machine in A B C; do issue "$ca/$machine" "$(field $machine uri)"; done

say "files that do not fit are named, with the cause"
start_a="on A ringfs-node --data data --listen $subnet.1:4001 --create"
issue "$ca/other" "$(field B uri)"
refused "it is for the node $(field B node)" $start_a $(tls "$ca/other")
issue "$ca/other" "ringfs://00000000-0000-0000-0000-000000000001/node/$(field A node)"
refused "it is for the ring 00000000-0000-0000-0000-000000000001" $start_a $(tls "$ca/other")
issue "$ca/other" ""
refused "it has no URI of RingFS" $start_a $(tls "$ca/other")
issue "$ca/other" "$(field A uri)" 10 -30d
refused "it expired at" $start_a $(tls "$ca/other")
refused "its key is not the one in" $start_a --tls-ca "$ca/ca.pem" --tls-certificate "$ca/A.pem" --tls-key "$ca/B.key"
chmod 644 "$ca/other.key"
refused "other users may read this key" $start_a $(tls "$ca/other")
refused "and --tls-key belong together" $start_a --tls-ca "$ca/ca.pem"

say "a ring of three, without a token"
start_node A ringfs-node --data data --listen $subnet.1:4001 --create $(tls "$ca/A")
for machine in B C; do
  start_node $machine ringfs-node --data data --listen "$subnet.$(number_of $machine):4001" --join $subnet.1:4001 \
    $(tls "$ca/$machine")
done
refused "come from its operator's own authority" on A ringfs token create --role node
refused "come from its operator's own authority" on A ringfs authority create

say "clients have the role that an operator gave to their name, others none"
for name in d e f; do issue "$ca/$name" "ringfs://$ring/client/$name"; done
refused "client d is not known to this ring" on D ringfs members --node $nodes $(tls "$ca/d") --timeout 5
on A ringfs clients add d --role writer
on A ringfs clients add e --role reader
mkdir "$RINGFS_LAB/D/mnt" "$RINGFS_LAB/D/second"
on D ringfs mount $nodes mnt $(tls "$ca/d") --log-file mount.log
mnt=$RINGFS_LAB/D/mnt
on D ringfs wait --node $nodes $(tls "$ca/d") --timeout 120
on D ringfs members --node $nodes $(tls "$ca/e") >/dev/null
refused "get in with a token" on D ringfs members --node $nodes --timeout 5
on A ringfs clients revoke e
gone() { ! on D ringfs members --node $nodes $(tls "$ca/e") --timeout 5 >/dev/null 2>&1; }
until_true 10 "a revoked client is served" gone
refused "client e was revoked" on D ringfs members --node $nodes $(tls "$ca/e") --timeout 5

say "replaced files are taken up under a mount that works on; one that does not fit is not"
start_load
rm "$ca/d.key" "$ca/B.key"
for name in A B C d; do
  uri=ringfs://$ring/client/d
  [ $name = d ] || uri=$(field $name uri)
  issue "$ca/$name" "$uri"
done
taken_up() { [ "$(cat "$RINGFS_LAB"/[ABC]/node.log "$RINGFS_LAB/D/mount.log" | grep -c event=certificate_files_taken_up)" -ge 4 ]; }
until_true 60 "not everybody has taken up the new files" taken_up
cp "$ca/C.pem" "$ca/C.good"
cp "$ca/A.pem" "$ca/C.pem"
named() { grep -q 'event=certificate_files_unusable.*its key is not the one in' "$RINGFS_LAB/C/node.log"; }
until_true 30 "nobody says that the new file does not fit" named
mv "$ca/C.good" "$ca/C.pem"
kill "${node[B]}"
wait "${node[B]}" || die "the node on B did not end well"
start_node B ringfs-node --data data --listen $subnet.2:4001 $(tls "$ca/B")
well() { on D ringfs status --node $nodes $(tls "$ca/d") >/dev/null 2>&1; }
until_true 60 "the ring is not well with the new files" well
end_load

say "a certificate that ends, ends what is done with it, and a new one brings it back"
on A ringfs clients add f --role writer
issue "$ca/f" "ringfs://$ring/client/f" 1 -$((24 * 3600 - 30))s
on D ringfs mount $nodes second -o "op_timeout=2,tls_ca=$ca/ca.pem,tls_certificate=$ca/f.pem,tls_key=$ca/f.key" --log-file second.log
echo before >"$RINGFS_LAB/D/second/by-f"
fails() { ! { echo after >"$RINGFS_LAB/D/second/by-f-$SECONDS"; } 2>/dev/null; }
until_true 90 "a client whose certificate has expired writes" fails
refused "it expired at" on D ringfs members --node $nodes $(tls "$ca/f") --timeout 5
issue "$ca/f" "ringfs://$ring/client/f"
works() { ! fails; }
until_true 60 "a new certificate does not bring the mount back" works
[ "$(cat "$mnt/by-f")" = before ] || die "what was written before is not there"
