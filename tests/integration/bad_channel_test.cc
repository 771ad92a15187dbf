// What wrong requests get that open NCCL channels, or name them, through the real stack.
#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <memory>
#include <string>

#include "chunkkv/kernels/status.h"
#include "tests/integration/bad_input.h"
#include "tests/support/channel_client.h"
#include "tests/support/get_client.h"
#include "tests/support/put_client.h"

namespace chunkkv {
namespace {

class BadChannelTest : public testing::TestWithParam<BadInput> {};

TEST_P(BadChannelTest, IsRefusedByName) { ExpectRefused(GetParam()); }

constexpr auto kUnavailable = grpc::StatusCode::UNAVAILABLE;
constexpr int64_t kHuge = std::numeric_limits<int64_t>::max();
// Keys of SmallRequest: [96, 2, 8] of float32.
constexpr int64_t kKeyBytes = 96 * 2 * 8 * 4;

// A good request, changed.
std::function<RpcEnd(TestServer&)> Opening(std::function<void(v1::OpenChannelRequest&)> change) {
  return [change = std::move(change)](TestServer& server) {
    ChannelClient client(server);
    v1::OpenChannelRequest request = client.Request();
    change(request);
    return client.Open(request);
  };
}

std::function<RpcEnd(TestServer&)> Closing(const std::string& channel_id) {
  return [channel_id](TestServer& server) {
    v1::CloseChannelRequest request;
    request.set_channel_id(channel_id);
    return Call(server, &Stub::CloseChannel, request);
  };
}

const BadInput kOpening[] = {
    {"OwnerMissing", kInvalid, "BAD_OWNER_ID", Opening([](auto& r) { r.clear_owner_id(); })},
    {"OwnerOfNothing", kNotFound, "OWNER_NOT_FOUND", Opening([](auto& r) { r.set_owner_id(std::string(16, 'o')); })},
    {"OwnerIsGone", kNotFound, "OWNER_NOT_FOUND",
     [](TestServer& server) {
       ChannelClient client(server);
       v1::OpenChannelRequest unchanged = client.Request();
       client.CloseConnection();
       RpcEnd end;
       EXPECT_TRUE(TestServer::Eventually([&] { return (end = client.Open(unchanged)).code == kNotFound; }));
       return end;
     }},
    {"UniqueIdOfTheClient", kInvalid, "BAD_UNIQUE_ID",
     Opening([](auto& r) { r.set_nccl_unique_id(std::string(128, 'u')); })},
    {"UniqueIdShort", kInvalid, "BAD_UNIQUE_ID",
     Opening([](auto& r) { r.set_nccl_unique_id(std::string(127, 'u')); })},
    {"UniqueIdLong", kInvalid, "BAD_UNIQUE_ID",
     Opening([](auto& r) { r.set_nccl_unique_id(std::string(129, 'u')); })},
    {"VersionUnset", kPrecondition, "NCCL_VERSION", Opening([](auto& r) { r.clear_nccl_version(); })},
    {"VersionOlder", kPrecondition, "NCCL_VERSION",
     Opening([](auto& r) { r.set_nccl_version(NcclWorld::kVersion - 1); })},
    {"VersionNegative", kPrecondition, "NCCL_VERSION",
     Opening([](auto& r) { r.set_nccl_version(std::numeric_limits<int32_t>::min()); })},
    {"DeviceUnknown", kInvalid, "BAD_DEVICE", Opening([](auto& r) { r.set_device(1); })},
    {"DeviceNegative", kInvalid, "BAD_DEVICE", Opening([](auto& r) { r.set_device(-1); })},
    {"TooMany", kExhausted, "TOO_MANY_CHANNELS",
     [](TestServer& server) {
       ChannelClient client(server);
       for (int64_t i = 0; i < ChannelLimits().max_channels_of_tenant; ++i) {
         EXPECT_TRUE(client.Open(client.Request()).ok());
       }
       return client.Open(client.Request());
     }},
    {"CloseNothing", kNotFound, "CHANNEL_NOT_FOUND", Closing(std::string(16, 'c'))},
    {"CloseAShortId", kInvalid, "BAD_CHANNEL_ID", Closing("c")},
    {"CloseTwice", kNotFound, "CHANNEL_NOT_FOUND",
     [](TestServer& server) {
       const auto client = JoinedClient(server);
       EXPECT_TRUE(client->Close().ok());
       return client->Close();
     }},
};

// A put of SmallRequest whose first layer's keys are this message on a channel, changed. Then `after` is done, and the
// put must end by itself.
std::function<RpcEnd(TestServer&)> Sending(std::function<void(v1::NcclTransfer&)> change,
                                           std::function<void(TestServer&, ChannelClient&)> after = {},
                                           bool joins = true) {
  return [change = std::move(change), after = std::move(after), joins](TestServer& server) {
    ChannelClient client(server);
    EXPECT_TRUE(client.Open(client.Request()).ok());
    if (joins) client.Join();
    PutClient put(server.channel());
    EXPECT_TRUE(put.Begin(BeginOf(SmallRequest())).has_value());
    v1::PutCacheRequest message = InlinePart(RowsPart(SmallRequest(), 0, 0, 0, 96), {});
    message.mutable_part()->mutable_payload()->clear_checksum();
    v1::NcclTransfer* transfer = message.mutable_part()->mutable_payload()->mutable_nccl();
    transfer->set_channel_id(client.channel_id());
    transfer->set_length_bytes(kKeyBytes);
    change(*transfer);
    put.Send(message);
    if (after) {
      // Waits or is in flight.
      EXPECT_TRUE(TestServer::Eventually([&] { return server.server().channel_messages() == 1; }));
      after(server, client);
    }
    return put.Finish();
  };
}

// Until the server's rank has asked NCCL for it: from then on its time counts.
void Await(TestServer& server, const std::string& call) {
  EXPECT_TRUE(TestServer::Eventually([&] {
    int count = 0;
    server.nccl().Change([&](FakeNccl& nccl) { count = nccl.Count(call); });
    return count > 0;
  }));
}

const BadInput kParts[] = {
    {"ChannelOfNothing", kNotFound, "CHANNEL_NOT_FOUND",
     Sending([](auto& t) { t.set_channel_id(std::string(16, 'c')); })},
    {"ChannelIdShort", kInvalid, "BAD_CHANNEL_ID", Sending([](auto& t) { t.set_channel_id("c"); })},
    {"ChannelIdMissing", kInvalid, "BAD_CHANNEL_ID", Sending([](auto& t) { t.clear_channel_id(); })},
    {"SequenceOfTheClient", kInvalid, "BAD_SEQUENCE", Sending([](auto& t) { t.set_sequence(1); })},
    {"SequenceNegative", kInvalid, "BAD_SEQUENCE", Sending([](auto& t) { t.set_sequence(-1); })},
    {"LengthZero", kInvalid, "PART_SIZE", Sending([](auto& t) { t.clear_length_bytes(); })},
    {"LengthNegative", kInvalid, "PART_SIZE", Sending([](auto& t) { t.set_length_bytes(-kKeyBytes); })},
    {"LengthShort", kInvalid, "PART_SIZE", Sending([](auto& t) { t.set_length_bytes(kKeyBytes - 1); })},
    {"LengthLong", kInvalid, "PART_SIZE", Sending([](auto& t) { t.set_length_bytes(kKeyBytes + 1); })},
    {"LengthHuge", kInvalid, "PART_SIZE", Sending([](auto& t) { t.set_length_bytes(kHuge); })},
    {"ChannelThatWasClosed", kNotFound, "CHANNEL_NOT_FOUND",
     [](TestServer& server) {
       const auto closed = JoinedClient(server);
       EXPECT_TRUE(closed->Close().ok());
       return Sending([&](auto& t) { t.set_channel_id(closed->channel_id()); })(server);
     }},
    {"ChannelOfAClientThatIsGone", kNotFound, "CHANNEL_NOT_FOUND",
     [](TestServer& server) {
       const auto gone = JoinedClient(server);
       gone->CloseConnection();
       EXPECT_TRUE(TestServer::Eventually([&] { return server.server().channel_count() == 0; }));
       return Sending([&](auto& t) { t.set_channel_id(gone->channel_id()); })(server);
     }},
    {"PeerNeverComes", kDeadline, "CHANNEL_TIMEOUT",
     Sending([](auto&) {},
             [](auto& server, auto&) {
               Await(server, "begin");
               server.clock().AdvanceMs(ChannelTimeouts().open_ms);
             },
             /*joins=*/false)},
    {"PeerNeverSends", kDeadline, "TRANSFER_TIMEOUT",
     Sending([](auto&) {},
             [](auto& server, auto&) {
               Await(server, "receive");
               server.clock().AdvanceMs(ChannelTimeouts().transfer_ms);
             })},
    {"PeerDies", kUnavailable, "PEER_LOST",
     Sending([](auto&) {},
             [](auto& server, auto& client) {
               Await(server, "receive");
               client.DropRank();
             })},
    {"PeersConnectionEnds", kUnavailable, "PEER_LOST",
     Sending([](auto&) {}, [](auto&, auto& client) { client.CloseConnection(); })},
    {"ClosedBeforeItIsOpen", kUnavailable, "CHANNEL_CLOSED",
     Sending([](auto&) {}, [](auto&, auto& client) { EXPECT_TRUE(client.Close().ok()); }, /*joins=*/false)},
    {"ClosedWhileInUse", kUnavailable, "CHANNEL_CLOSED",
     [](TestServer& server) {
       const auto client = JoinedClient(server);
       PutClient put(server.channel());
       EXPECT_TRUE(put.Begin(BeginOf(SmallRequest())).has_value());
       for (int64_t begin = 0; begin < 96; begin += 32) {
         v1::PutCacheRequest message = InlinePart(RowsPart(SmallRequest(), 0, 0, begin, begin + 32), {});
         v1::NcclTransfer* transfer = message.mutable_part()->mutable_payload()->mutable_nccl();
         transfer->set_channel_id(client->channel_id());
         transfer->set_length_bytes(kKeyBytes / 3);
         put.Send(message);
       }
       // Two are in flight, and may end; the third has not started.
       EXPECT_TRUE(TestServer::Eventually([&] { return server.server().channel_messages() == 3; }));
       EXPECT_TRUE(client->Close().ok());
       return put.Finish();
     }},
    {"NcclFails", grpc::StatusCode::INTERNAL, "NCCL_ERROR",
     Sending(
         [](auto&) {},
         [](auto& server, auto& client) {
           server.nccl().Change([](FakeNccl& nccl) {
             nccl.FailNext(FakeNccl::Call::kReceive,
                           ErrorStatus(absl::StatusCode::kInternal, "NCCL_ERROR", "ncclRecv: some error"));
           });
           client.Join();
         },
         /*joins=*/false)},
};

// A get of a stored entry over a channel, changed. Then `after` is done, and the get must end by itself.
std::function<RpcEnd(TestServer&)> Getting(std::function<void(v1::GetCacheRequest&)> change,
                                           std::function<void(TestServer&, ChannelClient&)> after = {},
                                           bool joins = true) {
  return [change = std::move(change), after = std::move(after), joins](TestServer& server) {
    const PutRequest put = SmallRequest();
    EXPECT_TRUE(PutAll(server.channel(), put, MakePrompt(put)).end.ok());
    ChannelClient client(server);
    EXPECT_TRUE(client.Open(client.Request()).ok());
    if (joins) client.Join();
    v1::GetCacheRequest request = GetRequestOf(put);
    request.mutable_target()->set_channel_id(client.channel_id());
    change(request);
    RawStream get(server.channel(), "GetCache");
    get.Send(request);
    get.HalfClose();
    if (after) {
      EXPECT_TRUE(TestServer::Eventually([&] { return server.server().channel_messages() > 0; }));
      after(server, client);
    }
    return get.Finish();
  };
}

const BadInput kGets[] = {
    {"TargetOfNothing", kNotFound, "CHANNEL_NOT_FOUND",
     Getting([](auto& r) { r.mutable_target()->set_channel_id(std::string(16, 'c')); })},
    {"TargetIdShort", kInvalid, "BAD_CHANNEL_ID", Getting([](auto& r) { r.mutable_target()->set_channel_id("c"); })},
    {"TargetOfTwoKinds", kInvalid, "BAD_TARGET", Getting([](auto& r) { r.mutable_target()->set_map(true); })},
    {"TargetsPeerNeverComes", kDeadline, "CHANNEL_TIMEOUT",
     Getting([](auto&) {},
             [](auto& server, auto&) {
               Await(server, "begin");
               server.clock().AdvanceMs(ChannelTimeouts().open_ms);
             },
             /*joins=*/false)},
    {"TargetsPeerNeverReceives", kDeadline, "TRANSFER_TIMEOUT",
     Getting([](auto& r) { r.mutable_layers()->set_end(1); },  // two parts, both in flight
             [](auto& server, auto&) {
               Await(server, "send");
               server.clock().AdvanceMs(ChannelTimeouts().transfer_ms);
             })},
    {"TargetsPeerDies", kUnavailable, "PEER_LOST",
     Getting([](auto&) {},
             [](auto& server, auto& client) {
               Await(server, "send");
               client.DropRank();
             })},
    {"TransferQuiescedBefore", grpc::StatusCode::ABORTED, "TRANSFER_QUIESCED",
     [](TestServer& server) {
       v1::QuiesceTransferRequest quiesce;
       quiesce.set_transfer_id("transfer");
       EXPECT_TRUE(Call(server, &Stub::QuiesceTransfer, quiesce).ok());
       return Getting([](auto& r) { r.set_transfer_id("transfer"); })(server);
     }},
};

INSTANTIATE_TEST_SUITE_P(Opening, BadChannelTest, testing::ValuesIn(kOpening), NameOfRow);
INSTANTIATE_TEST_SUITE_P(Parts, BadChannelTest, testing::ValuesIn(kParts), NameOfRow);
INSTANTIATE_TEST_SUITE_P(Gets, BadChannelTest, testing::ValuesIn(kGets), NameOfRow);

void ExpectNoChannels(const ServerOptions& options, grpc::StatusCode code, const std::string& reason) {
  TestServer server(options);
  RawStream hold(server.channel(), "HoldChannels");
  hold.Send(v1::HoldChannelsRequest());
  hold.HalfClose();
  v1::GetCacheRequest get = GetRequestOf(SmallRequest());
  get.mutable_target()->set_channel_id(std::string(16, 'c'));
  PutClient put(server.channel());
  EXPECT_TRUE(put.Begin(SmallRequest()).has_value());
  v1::PutCacheRequest part = InlinePart(RowsPart(SmallRequest(), 0, 0, 0, 96), {});
  part.mutable_part()->mutable_payload()->mutable_nccl()->set_channel_id(std::string(16, 'c'));
  put.Send(part);
  for (const RpcEnd& end :
       {hold.Finish(), Call(server, &Stub::OpenChannel, v1::OpenChannelRequest()),
        Call(server, &Stub::CloseChannel, v1::CloseChannelRequest()), GetAll(server.channel(), get).end, put.Finish()}) {
    EXPECT_EQ(end.code, code) << end;
    EXPECT_EQ(end.reason, reason) << end;
  }
  grpc::ClientContext context;
  v1::GetCapabilitiesResponse capabilities;
  EXPECT_TRUE(server.stub().GetCapabilities(&context, v1::GetCapabilitiesRequest(), &capabilities).ok());
  EXPECT_EQ(capabilities.channels().unavailable(), reason);
  for (const std::string& transport : capabilities.transports()) EXPECT_NE(transport, "nccl");
  server.ExpectAtRest();
}

TEST(NoChannelsTest, AreOffByDefault) {
  EXPECT_FALSE(ServerOptions().channels.enabled);
  ServerOptions options = SmallServer();
  options.channels.enabled = false;
  ExpectNoChannels(options, kPrecondition, "CHANNELS_DISABLED");
}

TEST(NoChannelsTest, TheServerStartsWithoutNcclAndSaysSo) {
  ServerOptions options = SmallServer();
  options.open_channels = [] { return LoadNccl("/nowhere/libnccl.so.2").status(); };
  if (LoadNccl("/nowhere/libnccl.so.2").status().code() == absl::StatusCode::kUnimplemented) {
    ExpectNoChannels(options, kUnimplemented, "NCCL_NOT_BUILT");
  } else {
    ExpectNoChannels(options, kUnavailable, "NCCL_NOT_FOUND");
  }
}

TEST(NoChannelsTest, AnOldNcclIsNamed) {
  ServerOptions options = SmallServer();
  options.open_channels = [] { return ErrorStatus(absl::StatusCode::kUnavailable, "NCCL_TOO_OLD", "2.13"); };
  ExpectNoChannels(options, kUnavailable, "NCCL_TOO_OLD");
}

TEST(NoChannelsTest, AMachineWithoutAGpuHasNone) {
  ServerOptions options = SmallServer();
  options.open_channels = [] { return FailedPrecondition("NO_DEVICE_MEMORY", "device cpu has no memory of its own"); };
  ExpectNoChannels(options, kPrecondition, "NO_DEVICE_MEMORY");
}

TEST(ChannelCapabilitiesTest, SayWhichNcclAndWhichDevices) {
  TestServer server;
  grpc::ClientContext context;
  v1::GetCapabilitiesResponse capabilities;
  ASSERT_TRUE(server.stub().GetCapabilities(&context, v1::GetCapabilitiesRequest(), &capabilities).ok());
  EXPECT_EQ(capabilities.channels().unavailable(), "");
  EXPECT_EQ(capabilities.channels().nccl_version(), NcclWorld::kVersion);
  ASSERT_EQ(capabilities.channels().devices_size(), 1);
  EXPECT_EQ(capabilities.channels().devices(0), 0);
  EXPECT_EQ(*capabilities.transports().rbegin(), "nccl");
}

}  // namespace
}  // namespace chunkkv
