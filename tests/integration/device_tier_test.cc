// A server with a device tier, on the host's memory: what clients see of entries that move, and of a device that fails.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "chunkkv/kernels/status.h"
#include "service/rpc/wire_bytes.h"
#include "tests/support/get_client.h"
#include "tests/support/host_device_memory.h"
#include "tests/support/put_client.h"
#include "tests/support/test_server.h"

namespace chunkkv {
namespace {

using Event = v1::WatchCachesResponse;

constexpr int kServing = 1;
constexpr int kNotServing = 2;

// Entries of 0.6 MB: the device, of one slab of 2 MiB, has room for three.
class DeviceTierTest : public testing::Test {
 protected:
  DeviceTierTest() : server_(Options()) {}

  ServerOptions Options() {
    ServerOptions options = SmallServer();
    options.device_memory_bytes = int64_t{2} << 20;
    options.open_device_memory = [this]() -> absl::StatusOr<std::unique_ptr<DeviceMemory>> {
      auto memory = std::make_unique<HostDeviceMemory>();
      memory_ = memory.get();
      return memory;
    };
    return options;
  }

  static PutRequest Request(uint8_t number) {
    PutRequest request = SmallRequest();
    request.spec = CompactionSpec();
    request.score_source = ScoreSource::kNone;
    request.token_count = 2048;
    request.key[0] = number;
    return request;
  }
  static Prompt PromptOf(const PutRequest& request) { return MakePrompt(request, request.key[0]); }

  // Returns the entry's id.
  std::string Put(uint8_t number) {
    const PutRequest request = Request(number);
    const PutResult put = PutAll(server_.channel(), request, PromptOf(request));
    EXPECT_TRUE(put.committed.has_value()) << put.end;
    return put.committed.has_value() ? put.committed->entry_id() : "";
  }
  GotEntry Get(uint8_t number) { return GetAll(server_.channel(), GetRequestOf(Request(number))); }
  void ExpectGot(uint8_t number) {
    const PutRequest request = Request(number);
    const Prompt prompt = PromptOf(request);
    ExpectServed(Get(number), request, prompt, ReferenceKept(request, prompt).positions);
  }
  bool Eventually(const std::function<bool(const DeviceTierStats&)>& condition) {
    return TestServer::Eventually([&] { return condition(*server_.store().Stats().device); });
  }
  // From now on host memory has nothing that the device has too.
  void EmptyHostMemory() {
    constexpr int64_t kHeaderBytes = 64 << 10;
    // What is being moved keeps its memory until it has been.
    EXPECT_TRUE(TestServer::Eventually(
        [&] { return server_.store().Reserve(server_.store().Stats().budget_bytes - kHeaderBytes).ok(); }));
  }
  v1::EntryInfo Describe(const std::string& entry_id) {
    v1::DescribeCachesRequest request;
    request.add_entries()->set_entry_id(entry_id);
    v1::DescribeCachesResponse response;
    grpc::ClientContext context;
    EXPECT_TRUE(server_.stub().DescribeCaches(&context, request, &response).ok());
    return response.items(0).info();
  }
  v1::GetStatsResponse Stats() {
    v1::GetStatsResponse response;
    grpc::ClientContext context;
    EXPECT_TRUE(server_.stub().GetStats(&context, {}, &response).ok());
    return response;
  }
  int Health(const std::string& service) {
    RawStream stream(server_.channel(), "/grpc.health.v1.Health/Check");
    stream.Send(service.empty() ? "" : std::string("\x0a") + static_cast<char>(service.size()) + service);
    stream.HalfClose();
    const std::string bytes = stream.Receive().value_or("");
    return bytes.size() == 2 && bytes[0] == 0x08 ? bytes[1] : 0;
  }

  HostDeviceMemory* memory_ = nullptr;
  TestServer server_;
};

TEST_F(DeviceTierTest, EntriesMoveAndAreServedWhereverTheyAre) {
  RawStream watcher(server_.channel(), "WatchCaches");
  watcher.Send(v1::WatchCachesRequest());
  watcher.HalfClose();
  std::vector<std::string> ids;
  for (uint8_t number = 0; number < 4; ++number) {
    ids.push_back(Put(number));
    const int64_t expected = std::min<int64_t>(number + 1, 3);
    ASSERT_TRUE(Eventually([&](const DeviceTierStats& device) { return device.promotions == expected; }));
  }
  EXPECT_EQ(Describe(ids[0]).tier(), v1::TIER_DEVICE);
  EXPECT_EQ(Describe(ids[3]).tier(), v1::TIER_HOST);
  // Read again, it takes the place of the one that was used least recently, which host memory has too.
  for (int read = 0; read < 2; ++read) ExpectGot(3);
  ASSERT_TRUE(Eventually([](const DeviceTierStats& device) { return device.promotions == 4; }));
  EXPECT_EQ(Describe(ids[0]).tier(), v1::TIER_HOST);
  EXPECT_EQ(Describe(ids[3]).tier(), v1::TIER_DEVICE);
  // Host memory lets go of what the device has too, and gets bring it back.
  EmptyHostMemory();
  EXPECT_EQ(Get(0).end.code, grpc::StatusCode::NOT_FOUND) << "it was in host memory alone";
  for (uint8_t number = 1; number < 4; ++number) ExpectGot(number);
  // Now the device's least recently used is there alone, and moves to host memory as another takes its place.
  EmptyHostMemory();
  ids[0] = Put(0);
  for (int read = 0; read < 2; ++read) ExpectGot(0);
  ASSERT_TRUE(Eventually([](const DeviceTierStats& device) { return device.demotions == 1; }));
  ASSERT_TRUE(Eventually([](const DeviceTierStats& device) { return device.promotions == 5; }));
  EXPECT_EQ(Describe(ids[1]).tier(), v1::TIER_HOST);

  const v1::GetStatsResponse stats = Stats();
  ASSERT_EQ(stats.tiers_size(), 2);
  const auto& device = stats.tiers(0);
  EXPECT_EQ(device.tier(), v1::TIER_DEVICE);
  EXPECT_EQ(device.budget_bytes(), int64_t{2} << 20);
  EXPECT_LE(device.used_bytes(), device.budget_bytes());
  EXPECT_EQ(device.entries(), 3);
  EXPECT_EQ(device.evictions(), 2);
  EXPECT_EQ(device.demotions(), 1);
  EXPECT_TRUE(device.failure().empty());
  EXPECT_EQ(stats.tiers(1).tier(), v1::TIER_HOST);
  EXPECT_EQ(stats.tiers(1).entries(), 2) << "the one that was put, and the one that moved";
  for (uint8_t number = 0; number < 4; ++number) ExpectGot(number);

  // What a watcher was told of the entry that went to the device, and from there to host memory.
  std::vector<std::pair<int, int>> told;
  while (told.size() < 3) {
    Event event;
    const auto bytes = watcher.Receive();
    ASSERT_TRUE(bytes.has_value() && event.ParseFromString(*bytes));
    if (event.entry().entry_id() == ids[1]) told.emplace_back(event.event(), event.entry().tier());
  }
  EXPECT_EQ(told, (std::vector<std::pair<int, int>>{
                      {Event::STORED, v1::TIER_HOST}, {Event::MOVED, v1::TIER_DEVICE}, {Event::MOVED, v1::TIER_HOST}}));
  watcher.Cancel();
  watcher.Finish();
  server_.store().StopPromoting();  // for the last reads
  server_.ExpectAtRest();
}

TEST_F(DeviceTierTest, AFailingDeviceTakesOnlyWhatItAloneHad) {
  EXPECT_EQ(Health(Server::kDeviceTierHealth), kServing);
  const std::string alone = Put(0);
  ASSERT_TRUE(Eventually([](const DeviceTierStats& device) { return device.promotions == 1; }));
  EmptyHostMemory();
  Put(1);
  ASSERT_TRUE(Eventually([](const DeviceTierStats& device) { return device.promotions == 2; }));
  RawStream watcher(server_.channel(), "WatchCaches");
  watcher.Send(v1::WatchCachesRequest());
  watcher.HalfClose();
  ASSERT_TRUE(watcher.Receive().has_value());

  memory_->Break();
  EXPECT_EQ(Get(0).end.code, grpc::StatusCode::NOT_FOUND);
  ExpectGot(1);
  Put(2);
  ExpectGot(2);
  EXPECT_EQ(Get(0).end.code, grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(Health(Server::kDeviceTierHealth), kNotServing);
  EXPECT_EQ(Health(""), kServing);
  EXPECT_NE(Stats().tiers(0).failure(), "");
  EXPECT_EQ(Stats().tiers(0).used_bytes(), 0);
  Event event;
  do {
    const auto bytes = watcher.Receive();
    ASSERT_TRUE(bytes.has_value() && event.ParseFromString(*bytes));
  } while (event.event() != Event::REMOVED);
  EXPECT_EQ(event.entry().entry_id(), alone);
  EXPECT_EQ(event.removal_reason(), Event::LOST);
  watcher.Cancel();
  watcher.Finish();
  server_.ExpectAtRest();
}

TEST(DeviceTierOptionTest, ADeviceThatIsNoneIsNamed) {
  ServerOptions options = SmallServer();
  options.device = "cpu";
  options.device_memory_bytes = 1 << 20;
  const absl::Status status = Server::Start(options, Clock::System()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(StatusReason(status), "NO_DEVICE_MEMORY");
}

}  // namespace
}  // namespace chunkkv
