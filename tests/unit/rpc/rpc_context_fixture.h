// What RPCs work with, without a server: one tenant, one thread, and time that stands still.
#ifndef CHUNKKV_TESTS_UNIT_RPC_RPC_CONTEXT_FIXTURE_H_
#define CHUNKKV_TESTS_UNIT_RPC_RPC_CONTEXT_FIXTURE_H_

#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <memory>

#include "service/rpc/rpc_context.h"
#include "tests/support/fake_clock.h"

namespace chunkkv::rpc {

// Counts how often it is looked at: every operation of the store looks.
class CountingClock : public FakeClock {
 public:
  int64_t MonotonicMs() const override {
    ++looks;
    return FakeClock::MonotonicMs();
  }
  mutable std::atomic<int64_t> looks{0};
};

class RpcContextTest : public testing::Test {
 protected:
  CountingClock clock_;
  StoreOptions options_;
  EntryStore store_{options_, clock_};
  const CompactionDevice device_ = OpenCompactionDevice("cpu").value();
  StreamSlots streams_{8};
  SessionTable sessions_;
  ScoreRecorder recorder_;
  const ProfileTable profiles_;
  LoadRate load_rate_;
  LocalTransfers local_{"", false, nullptr, clock_};
  const std::unique_ptr<ChannelHost> channels_ = ChannelHost::Without(ChannelsDisabled());
  const SingleTenant tenants_;
  Metrics metrics_;
  FakeClock timers_clock_;
  Timers timers_{timers_clock_};
  Executor executor_{1};
  RpcContext context_{.limits = {.max_rpc_ms = 1000},
                      .session_limits = {},
                      .store_options = options_,
                      .store = store_,
                      .device = device_,
                      .compactor = *device_.compactor,
                      .compaction_executor = executor_,
                      .request_executor = executor_,
                      .clock = clock_,
                      .timers = timers_,
                      .streams = streams_,
                      .sessions = sessions_,
                      .recorder = recorder_,
                      .profiles = profiles_,
                      .load_rate = load_rate_,
                      .local = local_,
                      .channels = *channels_,
                      .tenants = tenants_,
                      .metrics = metrics_,
                      .spans = nullptr,
                      .started_monotonic_ms = 0};
};

}  // namespace chunkkv::rpc

#endif  // CHUNKKV_TESTS_UNIT_RPC_RPC_CONTEXT_FIXTURE_H_
