#include "service/base/task_queue.h"

#include <gtest/gtest.h>

#include <string>

namespace chunkkv {
namespace {

class TaskQueueTest : public testing::Test {
 protected:
  TaskQueue::Task Says(char letter) {
    return [this, letter] { said_ += letter; };
  }
  std::string RunAll() {
    while (!queue_.empty()) queue_.Pop()();
    return said_;
  }

  TaskQueue queue_;
  std::string said_;
};

TEST_F(TaskQueueTest, ALineIsServedInOrder) {
  for (const char letter : {'a', 'b', 'c'}) queue_.Push(1, Says(letter));
  EXPECT_EQ(RunAll(), "abc");
}

TEST_F(TaskQueueTest, LinesTakeTurns) {
  for (int i = 0; i < 4; ++i) queue_.Push(1, Says('a'));
  queue_.Push(2, Says('b'));
  queue_.Push(2, Says('b'));
  queue_.Push(3, Says('c'));
  EXPECT_EQ(RunAll(), "abcabaa");
}

TEST_F(TaskQueueTest, AnEmptiedLineComesBackBehindTheOthers) {
  queue_.Push(1, Says('a'));
  queue_.Push(2, Says('b'));
  queue_.Push(2, Says('b'));
  queue_.Pop()();
  queue_.Push(1, Says('a'));
  EXPECT_EQ(RunAll(), "abab");
}

TEST_F(TaskQueueTest, WhatIsUrgentGoesBeforeAllLines) {
  queue_.Push(1, Says('a'));
  queue_.PushNext(Says('x'));
  queue_.PushNext(Says('y'));
  EXPECT_EQ(RunAll(), "yxa");
}

}  // namespace
}  // namespace chunkkv
