// Who is served over TLS, in which role, and in which words the others are refused: the RPC part of the matrix of
// refusals (docs/security.md).
#include <gtest/gtest.h>

#include "dht/net/runtime/server.hpp"
#include "dht/net/transport/tls_stream.hpp"
#include "tests/unit/net/transport/loopback.hpp"

namespace ringfs::dht {
namespace {

constexpr Duration day = std::chrono::hours(24);

class ServerTrust : public testing::Test {
 protected:
  struct Holder {
    Identity identity;
    PrivateKey key = PrivateKey::generate().value();
    const Authority* signer = nullptr;  // null: the ring's
    Stamp issued = wall_time();
    Duration life = certificate_life;
  };

  Credentials credentials(const Holder& holder) const {
    const Authority& signer = holder.signer == nullptr ? authority : *holder.signer;
    const Certificate own = issue(signer, make_request(holder.key).value(),
                                  {.identity = holder.identity, .names = {}, .now = holder.issued, .life = holder.life})
                                .value();
    return {.key = holder.key, .chain = {own, signer.certificate}};
  }

  std::shared_ptr<RingTrust> trust_of(const Holder& holder) const {
    return RingTrust::make(ring, credentials(holder), {authority.certificate}).value();
  }

  void put(const Holder& holder, AccessRole role = AccessRole::reader) {
    if (holder.identity.kind == Identity::Kind::node) {
      Member member;
      member.id = holder.identity.node;
      member.key = holder.key.public_hash();
      table.members.push_back(member);
      std::sort(table.members.begin(), table.members.end(),
                [](const Member& left, const Member& right) { return left.id < right.id; });
    } else {
      table.clients.push_back({.name = holder.identity.name, .role = role, .key = holder.key.public_hash()});
      std::sort(table.clients.begin(), table.clients.end(),
                [](const Client& left, const Client& right) { return left.name < right.name; });
    }
    ++table.version;
  }

  std::unique_ptr<RawPeer> peer(const Holder& holder) {
    return std::make_unique<RawPeer>(loop, node->address, dialling_tls(trust_of(holder)));
  }

  void SetUp() override {
    server_holder.identity = node_identity(ring, server_id);
    put(server_holder);
    ServerOptions options;
    options.limits.sweep = std::chrono::milliseconds(20);
    options.trust = trust_of(server_holder);
    options.trust->set_table([this] { return &table; });
    options.make_stream = accepting_tls(options.trust);
    options.settle = [this](const SettleOperation& lock, const auto& answer) {
      asked = lock;
      answer(Answer(SettleAnswer{gone}));
    };
    options.admit = [this](const JoinRequest&, const auto&, const auto& answer) { answer(tl::unexpected(said)); };
    options.administer = [this](const std::string&, AccessRole, const auto& answer) { answer(tl::unexpected(said)); };
    node = std::make_unique<TestNode>(loop, 5, std::move(options));
  }

  const RefusalCounts& refused() const { return node->server->counters().refused; }

  static Handshake node_handshake(const Uuid& node) {
    Handshake handshake = RawPeer::client_handshake();
    handshake.role = PeerRole::node;
    handshake.node = node;
    handshake.incarnation = {.counter = 1, .nonce = 1};
    return handshake;
  }

  struct RefusedRow {
    const char* who;
    Holder holder;
    Handshake handshake;
    ErrorCode code;
    const char* words;
    CertificateFault fault;
  };
  // It is told so, and counted under this reason alone.
  void expect_refused(const RefusedRow& row) {
    SCOPED_TRACE(row.who);
    const std::uint64_t total = refused().total(), before = refused().count(row.fault);
    std::unique_ptr<RawPeer> one = peer(row.holder);
    one->send_handshake(row.handshake);
    ASSERT_TRUE(one->wait_closed());
    ASSERT_TRUE(one->told()) << one->closed->text();
    EXPECT_EQ(one->told()->code, row.code);
    EXPECT_NE(one->told()->context.find(row.words), std::string::npos) << one->told()->context;
    EXPECT_EQ(refused().total(), total + 1);
    EXPECT_EQ(refused().count(row.fault), before + 1);
  }

  Holder client(const std::string& name) { return {.identity = client_identity(ring, name)}; }

  boost::asio::io_context loop;
  SeededRandom random{7};
  const Uuid ring = random_uuid(random);
  // As TestNode draws it.
  const Uuid server_id = [] {
    SeededRandom same(5);
    return random_uuid(same);
  }();
  const Authority authority = make_authority(ring, wall_time()).value();
  MembersTable table;
  Holder server_holder;
  std::unique_ptr<TestNode> node;
  Error said;  // to those who ask to join, or about tokens
  bool gone = false;
  std::optional<SettleOperation> asked;
};

TEST_F(ServerTrust, Matrix_OfThoseWhoAreRefused) {
  const Uuid other_ring = random_uuid(random);
  const Authority other_authority = make_authority(other_ring, wall_time()).value();
  const Uuid member_id = random_uuid(random), removed_id = random_uuid(random);
  Holder member{.identity = node_identity(ring, member_id)};
  Holder removed{.identity = node_identity(ring, removed_id)};
  Holder revoked = client("revoked");
  Holder known = client("known");
  for (const Holder* holder : {&member, &removed, &revoked, &known}) put(*holder);
  for (Member& row : table.members) {
    if (row.id == removed_id) row.state = MemberState::removed;
  }
  for (Client& row : table.clients) row.revoked = row.name == "revoked";

  const Handshake as_client = RawPeer::client_handshake(), as_member = node_handshake(member_id);

  using Fault = CertificateFault;
  Holder of_other_ring{.identity = client_identity(other_ring, "known")};
  of_other_ring.signer = &other_authority;
  Holder expired = known, not_yet_valid = known, too_late = member;
  expired.issued = wall_time() + -(certificate_life + day);
  not_yet_valid.issued = wall_time() + 2 * day;
  const std::vector<RefusedRow> rows{
      {"of another ring", of_other_ring, as_client, ErrorCode::access_denied, "belongs to another ring",
       Fault::other_ring},
      {"expired", expired, as_client, ErrorCode::access_denied, "has expired; it can be renewed", Fault::expired},
      {"not yet valid", not_yet_valid, as_client, ErrorCode::access_denied, "not valid yet: one of the two clocks",
       Fault::not_yet_valid},
      {"revoked client", revoked, as_client, ErrorCode::access_denied, "client revoked was revoked", Fault::revoked},
      {"unknown client", client("stranger"), as_client, ErrorCode::access_denied, "client stranger is not known",
       Fault::unknown},
      {"another key under a client's name", client("known"), as_client, ErrorCode::access_denied,
       "its key is not the one of client known", Fault::unknown},
      {"removed node", removed, as_client, ErrorCode::removed, "was removed from this ring", Fault::removed},
      {"unknown node",
       {.identity = node_identity(ring, random_uuid(random))},
       as_client,
       ErrorCode::access_denied,
       "is not a member of this ring",
       Fault::unknown},
      {"another key under a node's uuid",
       {.identity = member.identity},
       as_member,
       ErrorCode::access_denied,
       "its key is not the one of node",
       Fault::unknown},
      {"a client as a node", known, as_member, ErrorCode::access_denied, "your certificate is not the one of node",
       Fault::unknown},
      {"a node's certificate under another node's uuid", server_holder, as_member, ErrorCode::access_denied,
       "your certificate is not the one of node", Fault::unknown},
  };
  for (const RefusedRow& row : rows) expect_refused(row);
  EXPECT_EQ(refused().count(RefusalReason::certificate), rows.size());
  // A node's certificate is renewed, not refused, when it has expired.
  too_late.issued = expired.issued;
  EXPECT_EQ(peer(too_late)->meet(as_member).node, node->id);
  EXPECT_EQ(peer(known)->meet().node, node->id);
}

TEST_F(ServerTrust, WithoutACertificate_OnlyAQuestionToJoinIsTaken) {
  auto context = TlsContext::make(std::nullopt, rpc_tls_protocol).value();
  auto nobody = [context](Socket socket) -> std::unique_ptr<Stream> {
    auto all = [](const Certificate&, const std::vector<Certificate>&) -> Status { return {}; };
    return std::make_unique<TlsStream>(std::move(socket),
                                       std::make_unique<TlsEngine>(context, TlsEngine::Side::client, all));
  };
  RawPeer without_certificate(loop, node->address, nobody);
  without_certificate.send_handshake(RawPeer::client_handshake());
  without_certificate.expect_refused(ErrorCode::access_denied);
  EXPECT_NE(without_certificate.told()->context.find("a token gets you one"), std::string::npos);
  RawPeer asking(loop, node->address, nobody);
  asking.send(FrameKind::trust, 0, encode(TrustText{"{}"}));
  asking.expect_refused(ErrorCode::access_denied);
  RawPeer requesting(loop, node->address, nobody);
  requesting.send(FrameKind::request, 1, encode(Operation(StatusOperation{})));
  EXPECT_TRUE(requesting.wait_closed());
  EXPECT_EQ(refused().count(RefusalReason::nobody), 2U);
  EXPECT_EQ(refused().count(RefusalReason::malformed), 1U);
  EXPECT_EQ(refused().total(), 3U);
}

TEST_F(ServerTrust, BeforeTheTableIsKnown_OnlyTheNodeItselfIsServed) {
  const Holder known = client("known");
  put(known);
  node->server_options.trust->set_table([] { return nullptr; });
  EXPECT_EQ(peer(server_holder)->meet().node, node->id);
  std::unique_ptr<RawPeer> one = peer(known);
  one->send_handshake(RawPeer::client_handshake());
  one->expect_refused(ErrorCode::unavailable);
  EXPECT_EQ(refused().count(RefusalReason::cut_off), 1U);
}

// It cannot know who was revoked meanwhile. Its peers are heard all the same: by them it learns.
TEST_F(ServerTrust, NodeThatDoesNotHearTheRing_ServesNobodyOverTls) {
  const Holder known = client("known");
  const Holder member{.identity = node_identity(ring, random_uuid(random))};
  put(known, AccessRole::admin);
  put(member);
  TimePoint heard = boot_time();
  std::const_pointer_cast<RingTrust>(node->server_options.trust)->set_confirmed_at([&heard] { return heard; });
  std::unique_ptr<RawPeer> open = peer(known), as_peer = peer(member), as_client = peer(member);
  open->meet();
  as_peer->meet(node_handshake(member.identity.node));
  as_client->meet();
  heard = boot_time() - unheard_limit;
  open->expect_refused(ErrorCode::unavailable);
  ASSERT_TRUE(open->told());
  EXPECT_NE(open->told()->context.find("has not heard from the ring"), std::string::npos) << open->told()->context;
  as_client->expect_refused(ErrorCode::unavailable);
  std::unique_ptr<RawPeer> later = peer(known), asking = peer(known);
  later->send_handshake(RawPeer::client_handshake());
  later->expect_refused(ErrorCode::unavailable);
  asking->send(FrameKind::trust, 0, encode(TrustText{"{}"}));
  asking->expect_refused(ErrorCode::unavailable);
  EXPECT_EQ(refused().count(RefusalReason::cut_off), 4U);
  EXPECT_EQ(refused().total(), 4U);
  EXPECT_EQ(peer(member)->meet(node_handshake(member.identity.node)).node, node->id) << "as a peer";
  ServerOptions plain = node->server_options;
  plain.make_stream = make_plain_stream;
  TestNode local(loop, 6, std::move(plain));
  EXPECT_EQ(RawPeer(loop, local.address).meet().node, local.id) << "whoever is on its own machine";
  heard = boot_time();
  EXPECT_EQ(peer(known)->meet().node, node->id);
}

TEST_F(ServerTrust, PlainTextOnATlsPort_IsClosed) {
  RawPeer plain(loop, node->address);
  plain.send_handshake(RawPeer::client_handshake());
  EXPECT_TRUE(plain.wait_closed());
  EXPECT_EQ(refused().count(RefusalReason::handshake), 1U);
  EXPECT_EQ(refused().total(), 1U);
}

TEST_F(ServerTrust, TlsOnAPlainPort_IsToldThatItIsNone) {
  TestNode open(loop, 6);
  RawPeer tls(loop, open.address, dialling_tls(trust_of(server_holder)));
  ASSERT_TRUE(tls.wait_closed());
  EXPECT_FALSE(tls.told());
}

TEST_F(ServerTrust, Role_SaysWhatARequestMay) {
  struct Row {
    AccessRole role;
    const char* key;
    bool read, written;
  };
  std::uint64_t denied = 0;
  for (const Row& row :
       {Row{AccessRole::reader, "kv/a", true, false}, Row{AccessRole::writer, "kv/a", true, true},
        Row{AccessRole::writer, "ring/members", true, false}, Row{AccessRole::admin, "ring/members", true, true},
        Row{AccessRole::admin, "ring/authority", false, false}, Row{AccessRole::admin, "ring/tokens", false, false}}) {
    SCOPED_TRACE(std::string(to_string(row.role)) + " " + row.key);
    const std::string name = std::string(to_string(row.role)) + "-" + std::to_string(table.clients.size());
    const Holder holder = client(name);
    put(holder, row.role);
    std::unique_ptr<RawPeer> one = peer(holder);
    one->meet();
    ReadOperation read;
    read.request.gets.push_back({row.key, "v"});
    Batch batch;
    batch.mutations.emplace_back();
    batch.mutations.back().kind = Mutation::Kind::put;
    batch.mutations.back().row = {row.key, "v"};
    batch.mutations.back().value = SharedBytes(std::string("x"));
    one->send(FrameKind::request, 1, encode(Operation(read)));
    one->send(FrameKind::request, 2, encode(Operation(CommitOperation{.batch = encode(batch)})));
    ASSERT_TRUE(one->wait_frames(2));
    EXPECT_EQ(refused().count(RefusalReason::role), denied += (row.read ? 0 : 1) + (row.written ? 0 : 1));
    for (const ReceivedFrame& frame : one->frames) {
      const Result<Response> response = decode_response(frame);
      ASSERT_TRUE(response && !response->result);  // this node is in no ring
      const bool allowed = frame.header.request == 1 ? row.read : row.written;
      EXPECT_EQ(response->result.error().error.code != ErrorCode::access_denied, allowed);
    }
  }
}

TEST_F(ServerTrust, Revocation_ReachesOpenConnections) {
  const Holder holder = client("mount");
  put(holder, AccessRole::writer);
  std::unique_ptr<RawPeer> one = peer(holder);
  one->meet();
  table.clients.front().revoked = true;
  ++table.version;
  one->expect_refused(ErrorCode::access_denied);
  EXPECT_NE(one->told()->context.find("was revoked"), std::string::npos);
  EXPECT_EQ(refused().count(CertificateFault::revoked), 1U);
}

TEST_F(ServerTrust, MemberAdvertisedByName_IsKnownByTheAddressWhereItWasMet) {
  const auto here = boost::asio::ip::make_address("127.0.0.1");
  const Holder member{.identity = node_identity(ring, random_uuid(random))}, mount = client("mount");
  put(member);
  put(mount);
  for (Member& row : table.members) row.address = "some.name:4001";
  const RingTrust& trust = *node->server_options.trust;
  peer(mount)->meet();
  EXPECT_FALSE(trust.is_member_address(here));
  peer(member)->meet(node_handshake(member.identity.node));
  EXPECT_TRUE(trust.is_member_address(here));
  EXPECT_FALSE(trust.is_member_address(boost::asio::ip::make_address("127.0.0.2")));
  for (Member& row : table.members) {
    if (row.id == member.identity.node) row.state = MemberState::removed;
  }
  EXPECT_FALSE(trust.is_member_address(here));
}

TEST_F(ServerTrust, RemovedNode_IsOutOnOpenConnections) {
  const Holder holder{.identity = node_identity(ring, random_uuid(random))};
  put(holder);
  std::unique_ptr<RawPeer> one = peer(holder);
  one->meet(node_handshake(holder.identity.node));
  for (Member& member : table.members) {
    if (member.id == holder.identity.node) member.state = MemberState::removed;
  }
  ++table.version;
  one->expect_refused(ErrorCode::removed);
  EXPECT_EQ(refused().count(CertificateFault::removed), 1U);
}

// What the ring says to those who ask to join, and about tokens: only what is refused counts as such.
TEST_F(ServerTrust, Questions_AreToldWhyTheyAreRefused_AndCounted) {
  const Holder known = client("known");
  put(known);
  struct Row {
    Error said;
    RefusalReason join, renewal, question;
    bool counted;
  };
  using enum RefusalReason;
  const std::vector<Row> rows{
      {{ErrorCode::access_denied, "no"}, token, certificate, role, true},
      {{ErrorCode::unavailable, "no quorum"}, token, certificate, role, false},
      {{ErrorCode::invalid_argument, "nonsense"}, token, certificate, role, false},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.said.text());
    said = row.said;
    JoinRequest join;
    join.kind = Identity::Kind::client;
    join.name = "new";
    join.request = make_request(known.key).value();
    JoinRequest renewal = join;
    join.secret = std::string(token_secret_bytes, 's');
    const std::vector<std::tuple<RefusalReason, FrameKind, WireMessage>> questions{
        {row.join, FrameKind::join, encode(join)},
        {row.renewal, FrameKind::join, encode(renewal)},
        {row.question, FrameKind::trust, encode(TrustText{"{}"})}};
    for (const auto& [reason, kind, message] : questions) {
      const std::uint64_t total = refused().total(), before = refused().count(reason);
      std::unique_ptr<RawPeer> one = peer(known);
      one->send(kind, 0, message);
      one->expect_refused(row.said.code);
      EXPECT_EQ(one->told()->context, row.said.context);
      EXPECT_EQ(refused().total(), total + (row.counted ? 1 : 0));
      EXPECT_EQ(refused().count(reason), before + (row.counted ? 1 : 0));
    }
  }
}

// Of a reader's request only the question whether to end the transaction goes to whoever may write.
TEST_F(ServerTrust, ReadersLock_IsSettledByTheNode) {
  const Holder reader = client("reader");
  put(reader);
  std::unique_ptr<RawPeer> one = peer(reader);
  one->meet();
  const RecordRef lock{PartitionId{3}, {7, random_uuid(random)}};
  for (std::uint64_t number : {1U, 2U}) {
    gone = number == 2;
    one->send(FrameKind::request, number, encode(Operation(SettleOperation{PartitionId{2}, lock})));
    ASSERT_TRUE(one->wait_frames(number));
    const Result<Response> response = decode_response(one->frames.back());
    ASSERT_TRUE(response && response->result);
    EXPECT_EQ(std::get<SettleAnswer>(*response->result).gone, gone);
    ASSERT_TRUE(asked);
    EXPECT_EQ(asked->partition, PartitionId{2});
    EXPECT_EQ(asked->lock, lock);
  }
  // What it would have to do by itself.
  Batch batch;
  batch.mutations.emplace_back();
  batch.mutations.back().kind = Mutation::Kind::resolve;
  batch.mutations.back().record = lock;
  ReadOperation record;
  record.request.gets.push_back({record_key, record_sort(lock.id)});
  one->send(FrameKind::request, 3, encode(Operation(CommitOperation{.batch = encode(batch)})));
  one->send(FrameKind::request, 4, encode(Operation(record)));
  ASSERT_TRUE(one->wait_frames(4));
  for (std::size_t i : {2U, 3U}) {
    const Result<Response> response = decode_response(one->frames[i]);
    ASSERT_TRUE(response && !response->result);
    EXPECT_EQ(response->result.error().error.code, ErrorCode::access_denied);
  }
}

}  // namespace
}  // namespace ringfs::dht
