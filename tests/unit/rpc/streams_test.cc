// The small parts of streams: places, output, scratch.
#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "chunkkv/kernels/status.h"
#include "service/rpc/load_rate.h"
#include "service/rpc/scratch_pool.h"
#include "service/rpc/stream_output.h"
#include "service/rpc/stream_slots.h"

namespace chunkkv::rpc {
namespace {

TEST(StreamSlotsTest, ATenantHasNoMoreThanItsQuota) {
  StreamSlots slots(10);
  auto first = slots.Take(StreamKind::kPut, "a", 1);
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(StatusReason(slots.Take(StreamKind::kGet, "a", 1).status()), "QUOTA_STREAMS");
  EXPECT_TRUE(slots.Take(StreamKind::kGet, "b", 1).ok());
  first->Release();
  EXPECT_TRUE(slots.Take(StreamKind::kGet, "a", 1).ok());
}

TEST(StreamSlotsTest, NoTenantKeepsTheOthersOut) {
  StreamSlots slots(12, /*is_shared=*/true);
  std::vector<StreamSlot> taken;
  const auto take_all = [&](const std::string& tenant) {
    int count = 0;
    while (true) {
      auto slot = slots.Take(StreamKind::kGet, tenant, std::nullopt);
      if (!slot.ok()) return count;
      taken.push_back(*std::move(slot));
      ++count;
    }
  };
  EXPECT_EQ(take_all("greedy"), 6);
  EXPECT_EQ(take_all("second"), 4);
  EXPECT_GE(take_all("third"), 1);
}

TEST(StreamSlotsTest, TakesUpToTheLimitAndGivesBack) {
  StreamSlots slots(2);
  auto first = slots.Take(StreamKind::kPut, "tenant", std::nullopt);
  auto second = slots.Take(StreamKind::kGet, "tenant", std::nullopt);
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_EQ(StatusReason(slots.Take(StreamKind::kWatch, "tenant", std::nullopt).status()), "TOO_MANY_STREAMS");
  StreamSlot moved = *std::move(first);
  moved.Release();
  moved.Release();
  EXPECT_EQ(slots.Count(StreamKind::kPut), 0);
  EXPECT_EQ(slots.Count(StreamKind::kGet), 1);
  EXPECT_TRUE(slots.Take(StreamKind::kWatch, "tenant", std::nullopt).ok());
}

TEST(StreamSlotsTest, StopsWatchersWhenDraining) {
  StreamSlots slots(2);
  int stops = 0;
  slots.AddStop([&] { ++stops; });
  const auto removed = slots.AddStop([&] { ++stops; });
  slots.RemoveStop(removed);
  slots.Drain();
  EXPECT_EQ(stops, 1);
  slots.AddStop([&] { ++stops; });
  EXPECT_EQ(stops, 2);
  EXPECT_EQ(StatusReason(slots.Take(StreamKind::kGet, "tenant", std::nullopt).status()), "DRAINING");
  EXPECT_TRUE(slots.WaitUntilIdle(std::chrono::milliseconds(0)));
}

TEST(StreamSlotsTest, DoesNotWaitForStreamsThatOnlyHold) {
  StreamSlots slots(2);
  auto hold = slots.Take(StreamKind::kHold, "tenant", std::nullopt);
  auto put = slots.Take(StreamKind::kPut, "tenant", std::nullopt);
  ASSERT_TRUE(hold.ok() && put.ok());
  EXPECT_EQ(StatusReason(slots.Take(StreamKind::kHold, "tenant", std::nullopt).status()), "TOO_MANY_STREAMS");
  EXPECT_FALSE(slots.WaitUntilIdle(std::chrono::milliseconds(0)));
  put->Release();
  EXPECT_TRUE(slots.WaitUntilIdle(std::chrono::milliseconds(0)));
  hold->Release();
  slots.WaitUntilNone();
}

struct RecordedStream {
  int writes = 0;
  int cancels = 0;
  std::vector<absl::Status> finishes;
  StreamOutput output{{.write = [this](const grpc::ByteBuffer*) { ++writes; },
                       .finish = [this](const absl::Status& status) { finishes.push_back(status); },
                       .cancel = [this] { ++cancels; }}};
};

grpc::ByteBuffer Message() {
  const grpc::Slice slice(std::string("message"));
  return grpc::ByteBuffer(&slice, 1);
}

TEST(StreamOutputTest, WritesOneAtATimeThenFinishes) {
  RecordedStream stream;
  stream.output.Send(Message());
  stream.output.Send(Message());
  EXPECT_TRUE(stream.output.End(absl::OkStatus()));
  EXPECT_FALSE(stream.output.End(absl::OkStatus()));
  stream.output.Send(Message());  // too late
  EXPECT_EQ(stream.writes, 1);
  EXPECT_EQ(stream.output.pending(), 2u);
  stream.output.OnWriteDone(true);
  EXPECT_EQ(stream.writes, 2);
  EXPECT_TRUE(stream.finishes.empty());
  stream.output.OnWriteDone(true);
  ASSERT_EQ(stream.finishes.size(), 1u);
  EXPECT_TRUE(stream.finishes[0].ok());
  stream.output.IfOpen([] { FAIL() << "the stream is finished"; });
}

TEST(StreamOutputTest, FailureDropsWhatWaits) {
  RecordedStream stream;
  stream.output.Send(Message());
  stream.output.Send(Message());
  stream.output.End(InvalidArgument("REASON", "text"));
  stream.output.CancelIfStuck();
  EXPECT_EQ(stream.cancels, 1);
  stream.output.OnWriteDone(true);
  EXPECT_EQ(stream.writes, 1);
  ASSERT_EQ(stream.finishes.size(), 1u);
  EXPECT_EQ(StatusReason(stream.finishes[0]), "REASON");
  stream.output.CancelIfStuck();
  EXPECT_EQ(stream.cancels, 1);
}

TEST(StreamOutputTest, BrokenStreamTakesNothingMore) {
  RecordedStream stream;
  stream.output.Send(Message());
  stream.output.Send(Message());
  stream.output.OnWriteDone(false);
  stream.output.Send(Message());
  EXPECT_EQ(stream.writes, 1);
  stream.output.End(absl::OkStatus());
  EXPECT_EQ(stream.finishes.size(), 1u);
}

TEST(ScratchPoolTest, HandsOutWhatWasReservedAndHoldsItToTheEnd) {
  MemoryBudget budget(100);
  BudgetShare share;
  ASSERT_TRUE(budget.TryReserve(80, &share));
  {
    ScratchPool pool(std::move(share));
    int returns = 0;
    EXPECT_TRUE(pool.Take(50, [&] { ++returns; }));
    EXPECT_FALSE(pool.Take(50, [&] { ++returns; }));
    pool.Return(50);
    EXPECT_EQ(returns, 1);
    EXPECT_TRUE(pool.Take(80, [&] { ++returns; }));
    pool.Return(80);
    EXPECT_EQ(returns, 1);
    EXPECT_EQ(budget.used_bytes(), 80);
  }
  EXPECT_EQ(budget.used_bytes(), 0);
}

TEST(LoadRateTest, FollowsRecentGets) {
  LoadRate rate;
  EXPECT_DOUBLE_EQ(rate.ExpectedMs(1'000'000'000), 1000);
  for (int i = 0; i < 100; ++i) rate.Record(1'000'000'000, 2.0);
  EXPECT_NEAR(rate.ExpectedMs(1'000'000'000), 2000, 1);
  rate.Record(1000, 1.0);  // tells nothing of throughput
  EXPECT_NEAR(rate.ExpectedMs(1'000'000'000), 2000, 1);
}

}  // namespace
}  // namespace chunkkv::rpc
