// Calls that would take too long, through the real stack.
#include <grpcpp/create_channel.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <thread>

#include "tests/support/get_client.h"
#include "tests/support/put_client.h"
#include "tests/support/test_server.h"

namespace chunkkv {
namespace {

constexpr int64_t kHundredYearsMs = int64_t{100} * 365 * 24 * 3'600'000;

// Calls `look` at every look.
class WatchedClock : public FakeClock {
 public:
  int64_t MonotonicMs() const override {
    if (armed) look();
    return FakeClock::MonotonicMs();
  }
  std::function<void()> look;
  std::atomic<bool> armed{false};
};

// A server with one entry, and a batch that pins it 4096 times.
class CallTimeTest : public testing::Test {
 protected:
  void SetUp() override {
    auto server = Server::Start(SmallServer(), clock_);
    ASSERT_TRUE(server.ok());
    server_ = *std::move(server);
    const auto channel = grpc::CreateChannel(server_->address(), grpc::InsecureChannelCredentials());
    stub_ = v1::KvCacheService::NewStub(channel);
    const PutResult put = PutAll(channel, SmallRequest(), MakePrompt(SmallRequest()));
    ASSERT_TRUE(put.committed.has_value()) << put.end;
    pin_.set_duration_ms(3'600'000);
    for (int i = 0; i < 4096; ++i) pin_.add_entries()->set_entry_id(put.committed->entry_id());
  }

  RpcEnd Pin() {
    v1::PinCachesResponse response;
    const grpc::Status status = stub_->PinCaches(&context_, pin_, &response);
    return EndOf(status, context_);
  }

  std::atomic<int> looks_{0};
  WatchedClock clock_;
  std::unique_ptr<Server> server_;
  std::unique_ptr<v1::KvCacheService::Stub> stub_;
  grpc::ClientContext context_;
  v1::PinCachesRequest pin_;
};

TEST_F(CallTimeTest, ABatchEndsAtTheServersLimit) {
  context_.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(kHundredYearsMs));
  clock_.look = [this] { clock_.AdvanceMs(1000); };
  clock_.armed = true;
  const RpcEnd end = Pin();
  clock_.armed = false;
  EXPECT_EQ(end.code, grpc::StatusCode::DEADLINE_EXCEEDED) << end;
  EXPECT_EQ(end.reason, "RPC_TOO_LONG") << end;
  EXPECT_EQ(server_->store().Stats().pins, 0);
}

TEST_F(CallTimeTest, ABatchEndsWhenItsClientHasGone) {
  clock_.look = [this] {
    if (++looks_ == 100) context_.TryCancel();
    if (looks_ >= 100) std::this_thread::sleep_for(std::chrono::milliseconds(1));  // 4096 pins would take seconds
  };
  clock_.armed = true;
  EXPECT_EQ(Pin().code, grpc::StatusCode::CANCELLED);
  // No pin is left that its client does not know of.
  EXPECT_TRUE(TestServer::Eventually([this] { return server_->store().Stats().pins == 0; }));
  EXPECT_LT(looks_, 8000);
  clock_.armed = false;
}

// Limits of a server where nothing but its limit for one RPC ends a call.
ServerOptions PatientServer() {
  ServerOptions options = SmallServer();
  options.rpc.idle_timeout_ms = kHundredYearsMs;
  options.rpc.max_wait_ms = kHundredYearsMs;
  return options;
}

TEST(LongDeadlineTest, APutEndsAtTheServersLimit) {
  TestServer server(PatientServer());
  RawStream stream(server.channel(), "PutCache", kHundredYearsMs);
  v1::PutCacheRequest message;
  *message.mutable_begin() = BeginOf(SmallRequest());
  stream.Send(message);
  EXPECT_TRUE(stream.Receive().has_value());
  server.clock().AdvanceMs(3'600'001);
  const RpcEnd end = stream.Finish();
  EXPECT_EQ(end.code, grpc::StatusCode::DEADLINE_EXCEEDED) << end;
  EXPECT_EQ(end.reason, "RPC_TOO_LONG");
  server.ExpectAtRest();
  EXPECT_TRUE(PutAll(server.channel(), SmallRequest(), MakePrompt(SmallRequest())).committed.has_value());
}

TEST(LongDeadlineTest, AWaitingGetEndsAtTheServersLimit) {
  TestServer server(PatientServer());
  v1::GetCacheRequest get = GetRequestOf(SmallRequest());
  get.set_wait_ms(kHundredYearsMs);
  RawStream stream(server.channel(), "GetCache", kHundredYearsMs);
  stream.Send(get);
  stream.HalfClose();
  EXPECT_TRUE(TestServer::Eventually([&] { return server.store().Stats().waiters == 1; }));
  server.clock().AdvanceMs(3'600'001);
  const RpcEnd end = stream.Finish();
  EXPECT_EQ(end.code, grpc::StatusCode::DEADLINE_EXCEEDED) << end;
  EXPECT_EQ(end.reason, "RPC_TOO_LONG");
  server.ExpectAtRest();
}

}  // namespace
}  // namespace chunkkv
