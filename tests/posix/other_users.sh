#!/bin/bash
# Other users of the machine, and web pages in a browser: no listener of a local ring serves them; its owner and root are served
# as ever (docs/security.md). Needs root, to act as others.
source "$(dirname "$0")/lib.sh"

stranger=47110  # users that this machine does not have, so that nothing else is theirs
owner=47111
as() { setpriv --reuid "$1" --regid "$1" --clear-groups "${@:2}"; }

# Where they can run them, wherever the build lies.
programs=$scratch/programs
mkdir "$programs"
cp "$ringfs" "$ringfs_node" "$programs"
chmod 755 "$scratch" "$programs"

start_ring 3
read -r rpc rest < <(jq -r '.nodes[0] | .rpc + " " + .rest' "$state/ring.json")
url=http://$rest
echo mine >"$mnt/file"

# expect_refused WORDS COMMAND...: it fails and says so.
expect_refused() {
  local words=$1 said
  shift
  said=$("$@" 2>&1) && die "was served: $*"
  grep -qF -- "$words" <<<"$said" || die "not told why ($words): $* said: $said"
}
# expect_status CODE ARGUMENTS...: what curl gets.
expect_status() {
  local wanted=$1 got
  shift
  got=$("$@")
  [ "$got" = "$wanted" ] || die "$got instead of $wanted: $*"
}
curl_status() { curl -s -o "$scratch/body" -w '%{http_code}' "$@"; }

say "the owner is served: REST, the command line, the mount"
expect_status 204 curl_status -X PUT --data-binary secret "$url/v1/kv/key"
expect_status 200 curl_status "$url/v1/kv/key"
"$ringfs" status --node "$rpc" >/dev/null
[ "$(cat "$mnt/file")" = mine ] || die "the mount"

say "another user is not: every route, over TCP and over the UNIX socket"
touch "$scratch/body"
chmod 666 "$scratch/body"
for request in "-X PUT --data-binary x $url/v1/kv/key" "$url/v1/kv/key" "-X DELETE $url/v1/kv/key" "$url/v1/members" "$url/v1/ring" \
               "-X POST --data-binary {} $url/v1/members" "$url/metrics" "$url/healthz" "$url/docs" "$url/openapi.json"; do
  # shellcheck disable=SC2086 # words
  expect_status 403 as "$stranger" curl -s -o "$scratch/body" -w '%{http_code}' $request
  jq -e '.error == "access_denied"' "$scratch/body" >/dev/null || die "the refusal of $request: $(cat "$scratch/body")"
done
expect_status 200 curl_status "$url/v1/kv/key"
[ "$(cat "$scratch/body")" = secret ] || die "a refused request changed the value"
# The client of another user refuses to speak to this ring's nodes, too; so nothing of it answers.
expect_refused "of user" as "$stranger" "$programs/ringfs" status --node "$rpc" --timeout 5

say "raw bytes of another user get one refusal and nothing else"
for address in "TCP:$rpc" "ABSTRACT-CONNECT:ringfs/$rpc"; do
  as "$stranger" /usr/bin/python3 - "$address" <<'PYTHON' || die "raw bytes by $address"
import socket, sys
kind, _, address = sys.argv[1].partition(":")
if kind == "TCP":
    host, _, port = address.rpartition(":")
    s = socket.create_connection((host, int(port)), timeout=10)
else:
    s = socket.socket(socket.AF_UNIX); s.settimeout(10); s.connect("\0" + address)
try:
    s.sendall(b"RNG1\x01\x03" + bytes(18))
except OSError:
    pass  # refused before this was sent
answer = b""
try:
    while piece := s.recv(4096):
        answer += piece
except ConnectionResetError:
    pass
assert answer[:6] in (b"RNG1\x01\x05", b""), answer
assert answer == b"" or b"root" in answer, answer
PYTHON
done

if as "$stranger" unshare --user --map-root-user true 2>/dev/null; then
  say "a user namespace in which he is root makes no difference"
  expect_status 403 as "$stranger" unshare --user --map-root-user curl -s -o "$scratch/body" -w '%{http_code}' "$url/v1/members"
else
  say "NOT TRIED: a user namespace, which this machine does not let users make"
fi

say "who closes at once is nobody, not root"
for _ in $(seq 50); do
  as "$stranger" /usr/bin/python3 - "$rest" <<'PYTHON'
import socket, struct, sys
host, _, port = sys.argv[1].rpartition(":")
s = socket.create_connection((host, int(port)))
s.sendall(b"PUT /v1/kv/late HTTP/1.1\r\nHost: %s\r\nContent-Length: 1\r\n\r\nx" % sys.argv[1].encode())
s.close()
PYTHON
done
sleep 0.5
expect_status 404 curl_status "$url/v1/kv/late"

say "a web page is refused: foreign Host, Origin and Sec-Fetch-Site"
expect_status 403 curl_status -H 'Host: evil.example' "$url/v1/members"
expect_status 403 curl_status -H 'Origin: http://evil.example' -X POST --data-binary '{"address":"127.0.0.1:1"}' "$url/v1/members"
expect_status 403 curl_status -H 'Sec-Fetch-Site: cross-site' "$url/v1/kv/key"
expect_status 200 curl_status -H "Origin: http://$rest" -H 'Sec-Fetch-Site: same-origin' "$url/v1/kv/key"
expect_status 200 curl_status -H "Host: localhost:${rest##*:}" "$url/v1/kv/key"

say "node and mount speak through the UNIX socket"
grep -q "@ringfs/$rpc" /proc/net/unix || die "no UNIX socket beside $rpc"
[ "$(grep -c "@ringfs/$rpc" /proc/net/unix)" -gt 2 ] || die "nobody is connected to it"

say "a stranger who takes the UNIX socket's name before the node starts stops nothing"
"$ringfs" down --state "$state" >/dev/null
as "$stranger" /usr/bin/python3 - "$rpc" <<'PYTHON' &
import socket, sys, time
taken = socket.socket(socket.AF_UNIX)
taken.bind("\0ringfs/" + sys.argv[1])
taken.listen()
time.sleep(600)
PYTHON
extra_pids+=($!)
for _ in $(seq 100); do grep -q "@ringfs/$rpc" /proc/net/unix && break; sleep 0.1; done
"$ringfs" up --state "$state" "$mnt" >"$scratch/up.log" 2>&1 || { cat "$scratch/up.log"; die "ringfs up"; }
[ "$(cat "$mnt/file")" = mine ] || die "the mount after the restart"
"$ringfs" status --node "$rpc" >/dev/null
grep -q "event=no_local_socket address=$rpc" "$state/nodes/1/node.log" || die "the log does not say that the name is taken"

say "a node of an ordinary user serves that user and root"
mkdir "$scratch/own"
chown "$owner" "$scratch/own"
as "$owner" "$programs/ringfs-node" --data "$scratch/own/data" --rest 127.0.0.1:0 >"$scratch/own.out" 2>"$scratch/own.log" &
extra_pids+=($!)
for _ in $(seq 100); do grep -q ^ready "$scratch/own.out" && break; sleep 0.1; done
own=$(sed -n 's/.* rest=//p' "$scratch/own.out")
expect_status 200 curl_status "http://$own/openapi.json"
expect_status 200 as "$owner" curl -s -o /dev/null -w '%{http_code}' "http://$own/openapi.json"
expect_status 403 as "$stranger" curl -s -o /dev/null -w '%{http_code}' "http://$own/openapi.json"

say "--open-loopback serves everybody"
"$ringfs_node" --data "$scratch/open" --rest 127.0.0.1:0 --open-loopback >"$scratch/open.out" 2>"$scratch/open.log" &
extra_pids+=($!)
for _ in $(seq 100); do grep -q ^ready "$scratch/open.out" && break; sleep 0.1; done
expect_status 200 as "$stranger" curl -s -o /dev/null -w '%{http_code}' "http://$(sed -n 's/.* rest=//p' "$scratch/open.out")/openapi.json"
echo passed
