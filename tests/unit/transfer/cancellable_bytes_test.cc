#include "service/transfer/cancellable_bytes.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "service/format/digest.h"

namespace chunkkv {
namespace {

// Over two slices.
std::vector<std::byte> ManyBytes() {
  std::vector<std::byte> bytes(40 << 20);
  for (size_t i = 0; i < bytes.size(); i += 1000) bytes[i] = static_cast<std::byte>(i / 1000 % 255 + 1);
  return bytes;
}

TEST(CancellableBytesTest, DoTheWholeWorkWhereNobodyCancels) {
  const std::vector<std::byte> bytes = ManyBytes();
  for (const Cancelled& cancelled : {Cancelled(), Cancelled([] { return false; })}) {
    EXPECT_EQ(DigestBytes(bytes, cancelled), DigestTensor(bytes));
    std::vector<std::byte> copy(bytes.size());
    CopyBytes(bytes, copy.data(), cancelled);
    EXPECT_EQ(copy, bytes);
  }
  EXPECT_EQ(DigestBytes({}, Cancelled()), DigestTensor({}));
}

TEST(CancellableBytesTest, StopWithinOneSlice) {
  const std::vector<std::byte> bytes = ManyBytes();
  int looks = 0;
  const Cancelled at_the_second_look = [&looks] { return ++looks > 1; };
  std::vector<std::byte> copy(bytes.size());
  CopyBytes(bytes, copy.data(), at_the_second_look);
  EXPECT_EQ(looks, 2);
  const size_t half = bytes.size() / 2;
  EXPECT_TRUE(std::all_of(copy.begin() + half, copy.end(), [](std::byte byte) { return byte == std::byte{0}; }));
  looks = 0;
  EXPECT_NE(DigestBytes(bytes, at_the_second_look), DigestTensor(bytes));
  EXPECT_EQ(looks, 2);
}

}  // namespace
}  // namespace chunkkv
