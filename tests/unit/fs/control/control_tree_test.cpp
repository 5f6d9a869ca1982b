// `.ring/`: its files, events and commands.
#include "fs/control/control_tree.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <gtest/gtest.h>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>

#include "dht/base/ring/settings.hpp"
#include "fs/control/ring_watch.hpp"
#include "tests/support/fake_admin.hpp"
#include "tests/support/memory_object_store.hpp"

namespace ringfs::fs {
namespace {

// A ring of two nodes that answers what the test wants.
class FakeRing : public RingView {
 public:
  FakeRing() {
    for (std::uint8_t i = 1; i <= 2; ++i) {
      MemberView member;
      member.id.bytes[15] = i;
      member.address = "127.0.0.1:400" + std::to_string(i);
      member.rest_address = "127.0.0.1:300" + std::to_string(i);
      member.state = MemberState::up;
      member.tokens.resize(8);
      member.share = 0.5;
      member.used_bytes = 1000;
      member.answers = i == 1;
      if (member.answers) member.round_trip = std::chrono::microseconds(75);
      members_.push_back(member);
    }
    status_.ring.bytes[0] = 0xab;
    status_.nodes = 2;
    status_.answering = 1;
    status_.replication = 3;
    status_.partitions = 256;
    status_.health = Health::degraded;
    status_.under_replicated = 256;
    status_.remarks = {"The ring survives the loss of no further node."};
  }

  Task<Result<RingStatus>> status(TimePoint) override {
    ++questions;
    if (error) co_return fail(*error, "nobody answers");
    RingStatus status = status_;
    status.moving = moving_for > 0;
    if (moving_for > 0) --moving_for;
    co_return status;
  }
  Task<Result<std::vector<MemberView>>> members(TimePoint) override {
    if (error) co_return fail(*error, "nobody answers");
    co_return members_;
  }
  Task<Result<std::vector<PartitionView>>> partitions(TimePoint) override {
    PartitionView led, lost;
    led.leader = members_[0].id;
    led.term = 7;
    led.replicas = {members_[0].id, members_[1].id};
    lost.anchor.bytes[0] = 0x80;
    co_return std::vector<PartitionView>{led, lost};
  }
  Task<Result<RouteView>> lookup(std::string key, TimePoint) override {
    last_key = key;
    RouteView route;
    route.key = std::move(key);
    route.partition = PartitionId{5};
    route.primary = members_[0].id;
    route.replicas = {members_[0].id};
    RouteHop hop;
    hop.node = members_[1].id;
    hop.address = members_[1].address;
    hop.round_trip = std::chrono::microseconds(12);
    route.hops = {hop};
    co_return route;
  }
  Task<Result<RebalanceView>> rebalance(TimePoint) override { co_return rebalance_; }
  Task<Result<std::vector<EventView>>> events(EventCursor after, TimePoint) override {
    ++questions;
    if (error) co_return fail(*error, "nobody answers");
    if (questions == late_.first) events_.push_back(late_.second);
    std::vector<EventView> result;
    for (const EventView& event : events_) {
      if (event.sequence > after[event.node]) result.push_back(event);
    }
    co_return result;
  }
  Task<Result<SpaceView>> space(TimePoint) override { co_return SpaceView{}; }
  std::string metrics_text() override { return "# HELP a x\nring_calls{to=\"a b\"} 3\nplain 4\n"; }

  std::vector<MemberView> members_;
  RingStatus status_;
  std::optional<ErrorCode> error;
  RebalanceView rebalance_;
  std::vector<EventView> events_;
  std::pair<int, EventView> late_;  // happens before that question
  int moving_for = 0;
  int questions = 0;
  std::string last_key;
};

class ControlTreeTest : public testing::Test {
 protected:
  static constexpr uid_t owner = 1000, stranger = 2000;
  static FileSystemOptions options() {
    FileSystemOptions result;
    result.owner = owner;
    return result;
  }

  Result<Attributes> find(InodeNumber parent, const std::string& name) {
    return time_.run(tree_.lookup(Caller{}, parent, name));
  }
  InodeNumber inode(const std::string& name, InodeNumber parent = ControlTree::root) {
    const Result<Attributes> found = find(parent, name);
    EXPECT_TRUE(found) << name;
    return found ? found->inode : 0;
  }
  Result<std::string> open(InodeNumber file, int flags = O_RDONLY, uid_t uid = stranger) {
    return time_.run(tree_.open(Caller{uid, uid, 1, 0}, file, flags));
  }
  std::string text(const std::string& name, InodeNumber parent = ControlTree::root) {
    const Result<std::string> content = open(inode(name, parent));
    return content ? *content : content.error().text();
  }
  Result<std::size_t> write(InodeNumber file, const std::string& bytes, uid_t uid) {
    return time_.run(tree_.write(Caller{uid, uid, 1, 0}, file, bytes));
  }

  boost::asio::io_context loop_;
  VirtualTime time_{loop_};
  MemoryObjectStore store_{time_, std::make_shared<MemoryRing>()};
  FakeRing ring_;
  FakeAdmin admin_;
  ControlTree tree_{ring_, admin_, store_, options()};
};

TEST_F(ControlTreeTest, Root_Listed_NamesEveryFileOnceWithItsInode) {
  const auto entries = time_.run(tree_.list(Caller{}, ControlTree::root));
  ASSERT_TRUE(entries);
  std::vector<std::string> names;
  std::uint64_t cookie = 0;
  for (const DirectoryEntry& entry : *entries) {
    names.push_back(entry.name);
    EXPECT_EQ(entry.inode, inode(entry.name));
    EXPECT_TRUE(ControlTree::owns(entry.inode));
    EXPECT_GT(entry.cookie, cookie);
    cookie = entry.cookie;
  }
  EXPECT_EQ(names, (std::vector<std::string>{"version", "id", "health", "status", "members", "ring", "node", "lookup",
                                             "stats", "metrics", "error_log", "wait", "add", "remove", "config",
                                             "rebalance", "events"}));
}

TEST_F(ControlTreeTest, Values_Read_AreOneLine) {
  EXPECT_EQ(text("id"), "ab000000-0000-0000-0000-000000000000\n");
  EXPECT_EQ(text("health"), "degraded\nThe ring survives the loss of no further node.\n") << "the word, then why";
  EXPECT_EQ(text("version"), std::string(RINGFS_VERSION) + "\n");
}

TEST_F(ControlTreeTest, Status_Read_HasOneRecordALine) {
  EXPECT_EQ(text("status"),
            "state degraded\nnodes 2\nup 1\nreplication 3\npartitions 256\nunder-replicated 256\nleaderless 0\n"
            "table-version 0\nmoving no\nremark The ring survives the loss of no further node.\n");
}

TEST_F(ControlTreeTest, Members_Read_SaysDashForWhoDoesNotAnswer) {
  EXPECT_EQ(text("members"),
            "00000000-0000-0000-0000-000000000001 127.0.0.1:4001 up 8 0.5000 1000\n"
            "00000000-0000-0000-0000-000000000002 127.0.0.1:4002 up 8 0.5000 -\n");
}

TEST_F(ControlTreeTest, Ring_Read_HasEveryPartitionWithAndWithoutLeader) {
  EXPECT_EQ(text("ring"), std::string(40, '0') +
                              " 00000000-0000-0000-0000-000000000001 "
                              "00000000-0000-0000-0000-000000000001,00000000-0000-0000-0000-000000000002 7\n80" +
                              std::string(38, '0') + " - - 0\n");
}

TEST_F(ControlTreeTest, Stats_Read_AreTheSamplesOfTheMetrics) {
  EXPECT_EQ(text("stats"), "ring_calls{to=\"a b\"}=3\nplain=4\n");
  EXPECT_EQ(text("metrics"), ring_.metrics_text());
}

TEST_F(ControlTreeTest, Node_Directory_HasTheValuesOfThatMember) {
  const InodeNumber nodes = inode("node");
  const auto listed = time_.run(tree_.list(Caller{}, nodes));
  ASSERT_TRUE(listed);
  ASSERT_EQ(listed->size(), 2U);
  const InodeNumber second = inode("00000000-0000-0000-0000-000000000002", nodes);
  EXPECT_EQ((*listed)[1].inode, second);
  EXPECT_EQ(text("address", second), "127.0.0.1:4002\n");
  EXPECT_EQ(text("state", second), "up\n");
  EXPECT_EQ(text("used", second), "-\n");
  EXPECT_EQ(text("rtt_us", second), "-\n");
  EXPECT_EQ(text("rest", second), "127.0.0.1:3002\n");
  const InodeNumber first = inode("00000000-0000-0000-0000-000000000001", nodes);
  EXPECT_EQ(text("rtt_us", first), "75\n");
  EXPECT_EQ(text("share", first), "0.5000\n");
  EXPECT_EQ(find(nodes, "00000000-0000-0000-0000-000000000003").error().code, ErrorCode::not_found);
  EXPECT_EQ(find(nodes, "rubbish").error().code, ErrorCode::not_found);
  EXPECT_EQ(find(first, "colour").error().code, ErrorCode::not_found);
}

TEST_F(ControlTreeTest, NodeFile_OfAMemberThatWent_IsNotFound) {
  const InodeNumber second = inode("00000000-0000-0000-0000-000000000002", inode("node"));
  const InodeNumber state = inode("state", second);
  ring_.members_.pop_back();
  EXPECT_EQ(open(state).error().code, ErrorCode::not_found);
}

TEST_F(ControlTreeTest, Lookup_OfAnyName_GivesTheRouteOfThePercentDecodedKey) {
  const InodeNumber lookup = inode("lookup");
  EXPECT_EQ(text("kv%2Fa%20b", lookup), "position " + std::string(40, '0') +
                                            "\npartition 5\nprimary 00000000-0000-0000-0000-000000000001\nleader -\n"
                                            "replica 00000000-0000-0000-0000-000000000001\n"
                                            "hop 00000000-0000-0000-0000-000000000002 127.0.0.1:4002 " +
                                            std::string(40, '0') + " 12\n");
  EXPECT_EQ(ring_.last_key, "kv/a b");
  EXPECT_EQ(inode("kv%2Fa%20b", lookup), inode("kv%2Fa%20b", lookup));
  EXPECT_NE(inode("a", lookup), inode("b", lookup));
}

TEST_F(ControlTreeTest, Lookup_OfABadEscape_IsNotFound) {
  const InodeNumber lookup = inode("lookup");
  for (const char* name : {"a%", "a%2", "a%zz", "a%00"})
    EXPECT_EQ(find(lookup, name).error().code, ErrorCode::not_found) << name;
}

TEST_F(ControlTreeTest, Lookup_OfMoreNamesThanAreRemembered_MakesTheOldestStaleAndFindsItAgain) {
  const InodeNumber lookup = inode("lookup");
  const InodeNumber oldest = inode("oldest", lookup);
  for (int i = 0; i < 5000; ++i) ASSERT_NE(inode("name" + std::to_string(i), lookup), 0U);
  EXPECT_EQ(open(oldest).error().code, ErrorCode::stale_handle);
  EXPECT_EQ(inode("oldest", lookup), oldest);
  EXPECT_TRUE(open(oldest));
}

TEST_F(ControlTreeTest, Names_ThatDoNotExist_AreNotFound) {
  EXPECT_EQ(find(ControlTree::root, "nonsense").error().code, ErrorCode::not_found);
  EXPECT_EQ(find(ControlTree::root, "").error().code, ErrorCode::not_found);
  EXPECT_EQ(find(inode("health"), "x").error().code, ErrorCode::not_directory);
  EXPECT_EQ(time_.run(tree_.get_attributes(Caller{}, ControlTree::root | 999)).error().code, ErrorCode::stale_handle);
}

TEST_F(ControlTreeTest, Attributes_OfEverything_BelongToTheOwnerAndAreReadable) {
  for (const char* name : {"health", "wait", "error_log"}) {
    const auto attributes = time_.run(tree_.get_attributes(Caller{}, inode(name)));
    ASSERT_TRUE(attributes);
    EXPECT_EQ(attributes->uid, owner);
    EXPECT_EQ(attributes->size, 0U);
    EXPECT_EQ(attributes->mode & 0444, 0444U);
    EXPECT_TRUE(S_ISREG(attributes->mode));
  }
  EXPECT_TRUE(S_ISDIR(time_.run(tree_.get_attributes(Caller{}, ControlTree::root))->mode));
}

TEST_F(ControlTreeTest, ReadOnlyFile_OpenedForWriting_IsRefusedEvenToRoot) {
  for (const char* name : {"health", "members", "wait", "metrics"}) {
    EXPECT_EQ(open(inode(name), O_WRONLY, 0).error().code, ErrorCode::access_denied) << name;
    EXPECT_EQ(open(inode(name), O_RDWR, owner).error().code, ErrorCode::access_denied) << name;
    EXPECT_EQ(write(inode(name), "x\n", 0).error().code, ErrorCode::access_denied) << name;
  }
}

TEST_F(ControlTreeTest, Directory_OpenedAsAFile_IsADirectory) {
  EXPECT_EQ(open(ControlTree::root).error().code, ErrorCode::is_directory);
  EXPECT_EQ(time_.run(tree_.list(Caller{}, inode("health"))).error().code, ErrorCode::not_directory);
}

TEST_F(ControlTreeTest, ErrorLog_AfterRefusals_SaysWhyAndIsClearedByItsOwnerOnly) {
  EXPECT_EQ(text("error_log"), "");
  EXPECT_FALSE(open(inode("health"), O_WRONLY, 0));
  const std::string log = text("error_log");
  EXPECT_NE(log.find(" health EACCES "), std::string::npos) << log;
  EXPECT_EQ(log.back(), '\n');
  const InodeNumber file = inode("error_log");
  EXPECT_EQ(open(file, O_WRONLY | O_TRUNC, stranger).error().code, ErrorCode::not_permitted);
  EXPECT_EQ(write(file, "\n", stranger).error().code, ErrorCode::not_permitted);
  EXPECT_NE(text("error_log"), "");
  const auto opened = open(file, O_WRONLY | O_TRUNC, owner);
  ASSERT_TRUE(opened);
  EXPECT_EQ(*opened, "");
  EXPECT_EQ(*write(file, "anything\n", owner), 9U);
  EXPECT_EQ(text("error_log"), "");
}

TEST_F(ControlTreeTest, ErrorLog_AfterManyRefusals_KeepsTheLast32) {
  for (int i = 0; i < 40; ++i) EXPECT_FALSE(open(inode(i < 39 ? "health" : "members"), O_WRONLY, 0));
  const std::string log = text("error_log");
  EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 32);
  EXPECT_NE(log.rfind(" members EACCES "), std::string::npos);
}

TEST_F(ControlTreeTest, ErrorLog_OfOthersRefusals_KeepsWhatHappenedToTheOwner) {
  EXPECT_FALSE(open(inode("members"), O_WRONLY, owner));
  for (int i = 0; i < 100; ++i) EXPECT_FALSE(open(inode("health"), O_WRONLY, stranger));
  const std::string log = text("error_log");
  EXPECT_NE(log.find(" members EACCES "), std::string::npos);
  EXPECT_NE(log.find(" health EACCES "), std::string::npos);
  EXPECT_LT(std::count(log.begin(), log.end(), '\n'), 32);
}

TEST_F(ControlTreeTest, Write_OfManySlowLines_EndsAtTheLimitOfOneOperation) {
  admin_.time = &time_;
  admin_.set_takes = std::chrono::seconds(10);
  const InodeNumber file = inode("replication", inode("config"));
  const TimePoint before = time_.clock().now;
  const Result<std::size_t> written = write(file, "3\n4\n3\n4\n3\n4\n3\n4\n3\n4\n", owner);
  ASSERT_TRUE(written);
  EXPECT_EQ(*written, 6U);  // three lines in 30 s; the rest is for the next write
  EXPECT_LE(time_.clock().now - before, std::chrono::seconds(40));
  EXPECT_EQ(admin_.calls.size(), 3U);
}

TEST_F(ControlTreeTest, Write_InterruptedBySignal_EndsBehindTheLineUnderWay) {
  admin_.time = &time_;
  admin_.set_takes = std::chrono::seconds(1);
  const InodeNumber file = inode("replication", inode("config"));
  boost::asio::cancellation_signal signal;
  std::optional<Result<std::size_t>> written;
  boost::asio::co_spawn(
      loop_, tree_.write(Caller{owner, owner, 1, 0}, file, "3\n4\n3\n4\n"),
      boost::asio::bind_cancellation_slot(signal.slot(), [&](std::exception_ptr thrown, Result<std::size_t> result) {
        EXPECT_FALSE(thrown);
        written = std::move(result);
      }));
  time_.settle();                                  // it begins
  time_.advance(std::chrono::milliseconds(1500));  // in the second line
  ASSERT_FALSE(written);
  signal.emit(boost::asio::cancellation_type::total);
  time_.advance(std::chrono::milliseconds(600));
  ASSERT_TRUE(written);
  ASSERT_TRUE(*written);
  EXPECT_EQ(**written, 4U);
  EXPECT_EQ(admin_.calls.size(), 2U);
}

TEST_F(ControlTreeTest, ErrorLog_LineTooLong_IsRefused) {
  EXPECT_EQ(write(inode("error_log"), std::string(4097, 'x'), 0).error().code, ErrorCode::too_large);
}

TEST_F(ControlTreeTest, Ring_ThatDoesNotAnswer_FailsTheOpenAndIsInTheErrorLog) {
  const InodeNumber status = inode("status");
  ring_.error = ErrorCode::timeout;
  EXPECT_EQ(open(status).error().code, ErrorCode::timeout);
  ring_.error.reset();
  EXPECT_NE(text("error_log").find(" status ETIMEDOUT timeout: nobody answers"), std::string::npos);
  EXPECT_EQ(text("health").substr(0, 9), "degraded\n");
}

TEST_F(ControlTreeTest, Wait_WhileDataMoves_EndsWhenItIsStill) {
  ring_.moving_for = 5;
  const TimePoint before = time_.clock().now;
  EXPECT_EQ(text("wait"), "ok\n");
  EXPECT_EQ(ring_.questions, 6);
  EXPECT_EQ(time_.clock().now - before, std::chrono::milliseconds(1000));
}

TEST_F(ControlTreeTest, Wait_OnARingThatDoesNotAnswer_Fails) {
  ring_.error = ErrorCode::timeout;
  EXPECT_EQ(open(inode("wait")).error().code, ErrorCode::timeout);
}

// As in the mount, a signal cancels the request's coroutine while it waits.
Task<Result<std::string>> ended_by_signal(Task<Result<std::string>> request, MemoryObjectStore* store,
                                          boost::asio::cancellation_type type) {
  boost::asio::cancellation_signal signal;
  const auto executor = co_await boost::asio::this_coro::executor;
  Result<std::string> result = fail(ErrorCode::internal, "not ended");
  bool ended = false;
  boost::asio::co_spawn(executor, std::move(request),
                        boost::asio::bind_cancellation_slot(
                            signal.slot(), [&result, &ended](const std::exception_ptr&, Result<std::string> value) {
                              result = std::move(value);
                              ended = true;
                            }));
  co_await store->sleep(std::chrono::milliseconds(500));
  EXPECT_FALSE(ended);
  signal.emit(type);
  for (int i = 0; i < 100 && !ended; ++i) co_await store->sleep(std::chrono::milliseconds(10));
  co_return result;
}

TEST_F(ControlTreeTest, Wait_Interrupted_EndsWithInterruptedAndLeavesNoRecord) {
  ring_.moving_for = 1000;
  const auto result = time_.run(
      ended_by_signal(tree_.open(Caller{}, inode("wait"), O_RDONLY), &store_, boost::asio::cancellation_type::total));
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::interrupted);
  ring_.moving_for = 0;
  EXPECT_EQ(text("error_log"), "");
}

TEST_F(ControlTreeTest, Rebalance_Read_SaysWhatMovesHowFastAndUntilWhen) {
  ring_.rebalance_ = {.paused = false,
                      .rate_limit = unlimited_rebalance_rate,
                      .partitions = 16,
                      .unsettled = 0,
                      .learners = 0,
                      .sent_bytes = 500};
  EXPECT_EQ(text("rebalance"),
            "state idle\nsettled 16/16\nlearners 0\nsent-bytes 500\nbytes-per-second 0\neta-seconds 0\nlimit none\n");
  ring_.rebalance_ = {
      .paused = false, .rate_limit = 1000, .partitions = 16, .unsettled = 10, .learners = 3, .sent_bytes = 500};
  EXPECT_EQ(text("rebalance"),
            "state moving\nsettled 6/16\nlearners 3\nsent-bytes 500\nbytes-per-second 0\neta-seconds -\nlimit 1000\n")
      << "no pace is known yet";
  ring_.rebalance_.paused = true;
  EXPECT_EQ(text("rebalance").substr(0, 13), "state paused\n");
}

// ---- Events ----

EventView event(std::uint64_t sequence, const std::string& name, const std::string& detail) {
  Uuid node;
  node.bytes[0] = 1;
  return {node, sequence, Stamp{1'700'000'000'000'000 + static_cast<std::int64_t>(sequence) * 1000}, name, detail};
}

const std::string first_event = "2023-11-14T22:13:20.001Z 01000000-0000-0000-0000-000000000000 member_up node=x\n";
const std::string second_event = "2023-11-14T22:13:20.002Z 01000000-0000-0000-0000-000000000000 no_detail\n";

TEST_F(ControlTreeTest, Events_Read_AreTheKnownOnesThenWaitForTheNext) {
  EXPECT_TRUE(ControlTree::is_stream(inode("events")));
  ring_.events_ = {event(1, "member_up", "node=x")};
  auto stream = std::make_shared<EventStream>();
  auto read = [&](std::uint64_t offset, std::size_t size) {
    return time_.run(tree_.read(stream, offset, size)).value();
  };
  EXPECT_EQ(read(0, 10), first_event.substr(0, 10));
  EXPECT_EQ(read(10, 4096), first_event.substr(10));
  EXPECT_EQ(read(first_event.size() + 1, 4096), "") << "behind the end";
  EXPECT_EQ(read(0, 4096), first_event) << "again";
  ring_.late_ = {ring_.questions + 4, event(2, "no_detail", "")};
  const TimePoint before = time_.clock().now;
  EXPECT_EQ(read(first_event.size(), 4096), second_event);
  EXPECT_EQ(time_.clock().now - before, 3 * RingWatch::event_poll);
}

TEST_F(ControlTreeTest, Events_OpenedNonblocking_EndWhereTheKnownOnesEnd) {
  auto stream = std::make_shared<EventStream>();
  stream->follows = false;
  EXPECT_EQ(time_.run(tree_.read(stream, 0, 4096)).value(), "");
  ring_.events_ = {event(1, "member_up", "node=x\nforged")};
  EXPECT_EQ(time_.run(tree_.read(stream, 0, 4096)).value(), first_event.substr(0, first_event.size() - 1) + " forged\n")
      << "an event is one line";
}

TEST_F(ControlTreeTest, Events_ReadForLong_ForgetWhatWasRead) {
  auto stream = std::make_shared<EventStream>();
  stream->follows = false;
  std::uint64_t offset = 0;
  for (std::uint64_t i = 1; stream->start == 0; ++i) {
    ASSERT_LT(i, 10'000U);
    ring_.events_ = {event(i, "member_up", std::string(1000, 'x'))};
    offset += time_.run(tree_.read(stream, offset, 1 << 20)).value().size();
  }
  EXPECT_LE(stream->text.size(), 2000U);
  EXPECT_EQ(time_.run(tree_.read(stream, 0, 10)).error().code, ErrorCode::invalid_argument);
}

TEST_F(ControlTreeTest, Events_Interrupted_EndsWithInterrupted) {
  auto stream = std::make_shared<EventStream>();
  const auto result =
      time_.run(ended_by_signal(tree_.read(stream, 0, 4096), &store_, boost::asio::cancellation_type::total));
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::interrupted);
  EXPECT_EQ(text("error_log"), "");
}

TEST_F(ControlTreeTest, Events_OfARingThatDoesNotAnswer_Fail) {
  ring_.error = ErrorCode::timeout;
  EXPECT_EQ(time_.run(tree_.read(std::make_shared<EventStream>(), 0, 4096)).error().code, ErrorCode::timeout);
  EXPECT_NE(text("error_log").find(" events ETIMEDOUT "), std::string::npos);
}

// ---- Commands ----

TEST_F(ControlTreeTest, Add_Written_AsksForThatMember) {
  EXPECT_EQ(write(inode("add"), "127.0.0.1:4010\n", owner), 15U);
  EXPECT_EQ(write(inode("add"), "  127.0.0.1:4011  ", 0), 18U) << "without a newline, blanks around it";
  EXPECT_EQ(admin_.calls, (std::vector<std::string>{"add 127.0.0.1:4010", "add 127.0.0.1:4011"}));
}

TEST_F(ControlTreeTest, Remove_Written_TakesForce) {
  EXPECT_EQ(write(inode("remove"), "127.0.0.1:4003\n127.0.0.1:4004 force\n", owner), 36U);
  EXPECT_EQ(admin_.calls, (std::vector<std::string>{"remove 127.0.0.1:4003", "remove 127.0.0.1:4004 force"}));
}

TEST_F(ControlTreeTest, Commands_Malformed_AreInvalidAndSaySo) {
  for (const auto& [file, line] :
       {std::pair{"add", "a b\n"}, {"add", "\n"}, {"remove", "a b\n"}, {"remove", "a force b\n"}}) {
    const Result<std::size_t> written = write(inode(file), line, owner);
    ASSERT_FALSE(written) << file << " " << line;
    EXPECT_EQ(written.error().code, ErrorCode::invalid_argument);
  }
  EXPECT_TRUE(admin_.calls.empty());
  EXPECT_NE(text("error_log").find("remove EINVAL"), std::string::npos);
}

TEST_F(ControlTreeTest, LineRefused_AfterOthers_TheNextWriteIsTold) {
  admin_.refused["add 127.0.0.1:2"] = Error{ErrorCode::already_member, "127.0.0.1:2 is a member"};
  const std::string lines = "127.0.0.1:1\n127.0.0.1:2\n127.0.0.1:3\n";
  ASSERT_EQ(write(inode("add"), lines, owner), 12U);
  const Result<std::size_t> rest = write(inode("add"), lines.substr(12), owner);
  ASSERT_FALSE(rest);
  EXPECT_EQ(rest.error().code, ErrorCode::already_member);
  EXPECT_EQ(admin_.calls, std::vector<std::string>{"add 127.0.0.1:1"});
  EXPECT_NE(text("error_log").find("add EEXIST already_member: 127.0.0.1:2 is a member"), std::string::npos);
}

TEST_F(ControlTreeTest, LineTooLong_IsTooLarge) {
  const Result<std::size_t> written = write(inode("add"), std::string(4097, 'x') + "\n", owner);
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code, ErrorCode::too_large);
}

TEST_F(ControlTreeTest, Commands_ByStrangers_AreNotPermitted) {
  for (const char* file : {"add", "remove"}) {
    EXPECT_EQ(write(inode(file), "127.0.0.1:1\n", stranger).error().code, ErrorCode::not_permitted);
    EXPECT_EQ(open(inode(file), O_RDONLY, owner).error().code, ErrorCode::access_denied);
  }
  EXPECT_TRUE(admin_.calls.empty());
}

TEST_F(ControlTreeTest, Config_ListsSettings_WhatReadingGivesWritingAccepts) {
  const InodeNumber config = inode("config");
  const auto entries = time_.run(tree_.list(Caller{}, config));
  ASSERT_TRUE(entries);
  std::vector<std::string> names;
  for (const DirectoryEntry& entry : *entries) names.push_back(entry.name);
  EXPECT_EQ(names, (std::vector<std::string>{"replication", "replace_after", "rebalance_rate", "op_timeout"}));
  EXPECT_EQ(text("replace_after", config), "300\n");
  EXPECT_EQ(write(inode("replace_after", config), "20\n", owner), 3U);
  EXPECT_EQ(text("replace_after", config), "20\n");
  EXPECT_EQ(write(inode("replace_after", config), text("replace_after", config), owner), 3U);
  EXPECT_EQ(find(config, "nothing").error().code, ErrorCode::not_found);
}

}  // namespace
}  // namespace ringfs::fs
