#include "service/rpc/send_queue.h"

#include <grpcpp/support/slice.h>
#include <gtest/gtest.h>

#include <string>

#include "chunkkv/kernels/status.h"
#include "tests/support/raw_stream.h"

namespace chunkkv::rpc {
namespace {

// The next message; "" where it is not there.
std::string Take(SendQueue& queue) {
  grpc::ByteBuffer message;
  const absl::StatusOr<bool> taken = queue.Take(&message);
  if (!taken.ok()) return StatusReason(taken.status());
  return *taken ? BytesOf(message) : "";
}

TEST(SendQueueTest, GivesMessagesInTheOrderTheyWereAdded) {
  SendQueue queue;
  const SendQueue::Number first = queue.Add(), second = queue.Add();
  queue.Fill(second, BufferOf("second"));
  EXPECT_EQ(Take(queue), "");
  queue.Fill(first, BufferOf("first"));
  EXPECT_EQ(Take(queue), "first");
  const SendQueue::Number third = queue.Add();
  EXPECT_EQ(Take(queue), "second");
  EXPECT_EQ(Take(queue), "");
  queue.Fill(third, BufferOf("third"));
  EXPECT_EQ(Take(queue), "third");
  EXPECT_TRUE(queue.IsDone());
}

TEST(SendQueueTest, IsNotDoneBeforeItsTransfersAre) {
  SendQueue queue;
  queue.Begin();
  queue.Begin();
  EXPECT_FALSE(queue.IsDone());
  queue.End(absl::OkStatus());
  EXPECT_FALSE(queue.IsDone());
  queue.End(absl::OkStatus());
  EXPECT_TRUE(queue.IsDone());
}

TEST(SendQueueTest, TellsTheFirstFailureBeforeAnythingElse) {
  SendQueue queue;
  queue.Begin();
  queue.Begin();
  queue.Fill(queue.Add(), BufferOf("message"));
  queue.End(ErrorStatus(absl::StatusCode::kUnavailable, "FIRST", "first"));
  queue.End(ErrorStatus(absl::StatusCode::kUnavailable, "SECOND", "second"));
  EXPECT_EQ(Take(queue), "FIRST");
  EXPECT_FALSE(queue.IsDone());
}

TEST(SendQueueTest, SleepsOnlyWhereNothingHasHappened) {
  SendQueue queue;
  int resumed = 0;
  const auto sleeps = [&] {
    std::function<void()> resume = [&] { ++resumed; };
    return queue.Sleep(resume);
  };
  const SendQueue::Number number = queue.Add();
  queue.Fill(number, BufferOf("before"));
  EXPECT_FALSE(sleeps());
  EXPECT_TRUE(sleeps());
  queue.Wake();
  EXPECT_EQ(resumed, 1);
  EXPECT_TRUE(sleeps());  // what has been told is not told again
  queue.Begin();
  queue.End(absl::OkStatus());
  EXPECT_EQ(resumed, 2);
}

}  // namespace
}  // namespace chunkkv::rpc
