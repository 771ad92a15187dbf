#include <gtest/gtest.h>

#include <bit>
#include <cstdint>
#include <vector>

#include "kernels/simt/simt.h"
#include "tests/unit/simt/launch_for_test.h"

namespace chunkkv::testing {

constexpr int kWarpTestThreads = 96;

struct WarpParams {
  uint32_t* words;    // [values, blocks * threads]
  uint64_t* doubles;  // [blocks * threads]
};

struct WarpKernel {
  using Params = WarpParams;
  static constexpr int kThreads = kWarpTestThreads;
  static constexpr int kMinBlocksPerSm = 1;
  static constexpr int kValues = 9;
  static size_t SharedBytes(const Params&) { return 0; }

  CHUNKKV_DEVICE static void Run(const Params& params) {
    const int at = simt::BlockIndex() * simt::BlockSize() + simt::ThreadIndex();
    const int stride = simt::BlockCount() * simt::BlockSize();
    const auto mine = static_cast<uint32_t>(at * 3 + 1);
    const uint32_t values[kValues] = {static_cast<uint32_t>(simt::Lane()),
                                      static_cast<uint32_t>(simt::Warp()),
                                      simt::Shuffle(mine, 5),
                                      simt::Shuffle(mine, (simt::Lane() * 7 + 3) % 32),
                                      simt::ShuffleXor(mine, 1),
                                      simt::ShuffleXor(mine, 22),
                                      simt::ShuffleUp(mine, 1),
                                      simt::ShuffleUp(mine, 16),
                                      simt::Ballot(at % 3 == 0)};
    for (int i = 0; i < kValues; ++i) params.words[i * stride + at] = values[i];
    params.doubles[at] = simt::BitCast<uint64_t>(simt::ShuffleXor(1.0 / (at + 1), 9));
  }
};

TEST(SimtWarpTest, LanesExchangeValues) {
  constexpr int kBlocks = 3;
  constexpr int kCount = kBlocks * WarpKernel::kThreads;
  DeviceArray<uint32_t> device_words(std::vector<uint32_t>(WarpKernel::kValues * kCount));
  DeviceArray<uint64_t> device_doubles{std::vector<uint64_t>(kCount)};
  LaunchForTest<WarpKernel>({device_words.data(), device_doubles.data()}, kBlocks);
  const std::vector<uint32_t> words = device_words.Values();
  const std::vector<uint64_t> doubles = device_doubles.Values();
  for (int at = 0; at < kCount; ++at) {
    SCOPED_TRACE(::testing::Message() << "thread " << at);
    const int lane = at % 32;
    const int first = at - lane;  // of the warp
    const auto of_lane = [&](int other) { return static_cast<uint32_t>((first + other) * 3 + 1); };
    EXPECT_EQ(words[0 * kCount + at], static_cast<uint32_t>(lane));
    EXPECT_EQ(words[1 * kCount + at], static_cast<uint32_t>(at % WarpKernel::kThreads / 32));
    EXPECT_EQ(words[2 * kCount + at], of_lane(5));
    EXPECT_EQ(words[3 * kCount + at], of_lane((lane * 7 + 3) % 32));
    EXPECT_EQ(words[4 * kCount + at], of_lane(lane ^ 1));
    EXPECT_EQ(words[5 * kCount + at], of_lane(lane ^ 22));
    EXPECT_EQ(words[6 * kCount + at], of_lane(lane == 0 ? 0 : lane - 1));
    EXPECT_EQ(words[7 * kCount + at], of_lane(lane < 16 ? lane : lane - 16));
    uint32_t ballot = 0;
    for (int other = 0; other < 32; ++other) ballot |= uint32_t{(first + other) % 3 == 0} << other;
    EXPECT_EQ(words[8 * kCount + at], ballot);
    EXPECT_EQ(std::bit_cast<double>(doubles[at]), 1.0 / (first + (lane ^ 9) + 1));
  }
}

}  // namespace chunkkv::testing
