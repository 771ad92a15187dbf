#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <vector>

#include "kernels/simt/simt.h"
#include "tests/unit/simt/launch_for_test.h"

namespace chunkkv::testing {

std::vector<uint8_t> Ramp(size_t bytes) {
  std::vector<uint8_t> ramp(bytes);
  for (size_t i = 0; i < bytes; ++i) ramp[i] = static_cast<uint8_t>(i * 167 + i / 251);
  return ramp;
}

template <typename T>
struct CopyParams {
  const T* from;
  T* to;
  int count;
};

// Loads and stores of one width, by Load and Stream in turn.
template <typename T>
struct CopyKernel {
  using Params = CopyParams<T>;
  static constexpr int kThreads = 64;
  static constexpr int kMinBlocksPerSm = 1;
  static size_t SharedBytes(const Params&) { return 0; }

  CHUNKKV_DEVICE static void Run(const Params& params) {
    for (int at = simt::BlockIndex() * kThreads + simt::ThreadIndex(); at < params.count;
         at += simt::BlockCount() * kThreads) {
      const T value = at % 2 == 0 ? simt::Load(params.from + at) : simt::Stream(params.from + at);
      simt::Store(params.to + at, value);
    }
  }
};

template <typename T>
void ExpectCopies() {
  constexpr int kCount = 1003;
  std::vector<T> values(kCount);
  const std::vector<uint8_t> ramp = Ramp(kCount * sizeof(T));
  std::copy(ramp.begin(), ramp.end(), reinterpret_cast<uint8_t*>(values.data()));
  DeviceArray<T> from(values);
  DeviceArray<T> to{std::vector<T>(kCount)};
  LaunchForTest<CopyKernel<T>>({from.data(), to.data(), kCount}, 3);
  const std::vector<T> copied = to.Values();
  EXPECT_TRUE(std::equal(ramp.begin(), ramp.end(), reinterpret_cast<const uint8_t*>(copied.data()))) << sizeof(T);
}

TEST(SimtMemoryTest, LoadsAndStoresEveryWidth) {
  ExpectCopies<uint8_t>();
  ExpectCopies<uint16_t>();
  ExpectCopies<uint32_t>();
  ExpectCopies<uint64_t>();
  ExpectCopies<simt::Words4>();
  ExpectCopies<float>();
  ExpectCopies<double>();
}

struct ReverseParams {
  uint32_t* words;  // [blocks, kThreads]
};

// Reverses a block's words through shared memory.
struct ReverseKernel {
  using Params = ReverseParams;
  static constexpr int kThreads = 128;
  static constexpr int kMinBlocksPerSm = 1;
  static size_t SharedBytes(const Params&) { return kThreads * sizeof(uint32_t); }

  CHUNKKV_DEVICE static void Run(const Params& params) {
    auto* shared = reinterpret_cast<uint32_t*>(simt::SharedMemory());
    uint32_t* mine = params.words + simt::BlockIndex() * kThreads + simt::ThreadIndex();
    shared[simt::ThreadIndex()] = simt::Load(mine);
    simt::SyncBlock();
    simt::Store(mine, shared[kThreads - 1 - simt::ThreadIndex()]);
  }
};

TEST(SimtMemoryTest, ABarrierMakesSharedMemoryVisible) {
  std::vector<uint32_t> words(5 * ReverseKernel::kThreads);
  std::iota(words.begin(), words.end(), 1);
  DeviceArray<uint32_t> device(words);
  LaunchForTest<ReverseKernel>({device.data()}, 5);
  for (int block = 0; block < 5; ++block) {
    std::reverse(words.begin() + block * ReverseKernel::kThreads,
                 words.begin() + (block + 1) * ReverseKernel::kThreads);
  }
  EXPECT_EQ(device.Values(), words);
}

// A warp hands values on through shared memory, with no more than SyncWarp.
struct ShiftKernel {
  using Params = ReverseParams;
  static constexpr int kThreads = 64;
  static constexpr int kMinBlocksPerSm = 1;
  static size_t SharedBytes(const Params&) { return kThreads * sizeof(uint32_t); }

  CHUNKKV_DEVICE static void Run(const Params& params) {
    auto* shared = reinterpret_cast<uint32_t*>(simt::SharedMemory()) + simt::Warp() * 32;
    shared[simt::Lane()] = static_cast<uint32_t>(simt::ThreadIndex());
    for (int step = 0; step < 3; ++step) {
      simt::SyncWarp();
      const uint32_t next = shared[(simt::Lane() + 1) % 32];
      simt::SyncWarp();
      shared[simt::Lane()] = next;
    }
    params.words[simt::ThreadIndex()] = shared[simt::Lane()];
  }
};

TEST(SimtMemoryTest, AWarpsBarrierMakesSharedMemoryVisible) {
  DeviceArray<uint32_t> device{std::vector<uint32_t>(ShiftKernel::kThreads)};
  LaunchForTest<ShiftKernel>({device.data()}, 1);
  const std::vector<uint32_t> words = device.Values();
  for (uint32_t i = 0; i < words.size(); ++i) EXPECT_EQ(words[i], i / 32 * 32 + (i + 3) % 32);
}

struct PipelineParams {
  const simt::Words4* from;  // [tiles, kThreads]
  simt::Words4* to;          // the same, units of a tile reversed; zeros where not valid
  int tiles;
  int valid_units;
};

// Two stages of asynchronous copies: the next tile is on its way while this one is read by other threads.
struct PipelineKernel {
  using Params = PipelineParams;
  static constexpr int kThreads = 64;
  static constexpr int kMinBlocksPerSm = 1;
  static size_t SharedBytes(const Params&) { return 2 * kThreads * sizeof(simt::Words4); }

  CHUNKKV_DEVICE static void Fill(const Params& params, int tile) {
    auto* stage = reinterpret_cast<simt::Words4*>(simt::SharedMemory()) + tile % 2 * kThreads;
    const int unit = tile * kThreads + simt::ThreadIndex();
    const bool is_valid = unit < params.valid_units;
    simt::CopyAsync(stage + simt::ThreadIndex(), is_valid ? params.from + unit : params.from, is_valid);
    simt::CommitCopies();
  }

  CHUNKKV_DEVICE static void Run(const Params& params) {
    Fill(params, 0);
    for (int tile = 0; tile < params.tiles; ++tile) {
      if (tile + 1 < params.tiles) {
        Fill(params, tile + 1);
        simt::WaitForCopies<1>();
      } else {
        simt::WaitForCopies<0>();
      }
      simt::SyncBlock();
      const auto* stage = reinterpret_cast<const simt::Words4*>(simt::SharedMemory()) + tile % 2 * kThreads;
      simt::Store(params.to + tile * kThreads + simt::ThreadIndex(), stage[kThreads - 1 - simt::ThreadIndex()]);
      simt::SyncBlock();
    }
  }
};

TEST(SimtMemoryTest, AsynchronousCopiesArriveAndFillWithZeros) {
  constexpr int kTiles = 7;
  constexpr int kUnits = kTiles * PipelineKernel::kThreads;
  constexpr int kValid = kUnits - 75;
  std::vector<simt::Words4> units(kUnits);
  for (uint32_t i = 0; i < kUnits; ++i) units[i] = {{i, ~i, i * i, 7}};
  DeviceArray<simt::Words4> from(units);
  DeviceArray<simt::Words4> to{std::vector<simt::Words4>(kUnits, simt::Words4{{1, 1, 1, 1}})};
  LaunchForTest<PipelineKernel>({from.data(), to.data(), kTiles, kValid}, 1);
  const std::vector<simt::Words4> copied = to.Values();
  for (int i = 0; i < kUnits; ++i) {
    const int tile = i / PipelineKernel::kThreads;
    const int source = tile * PipelineKernel::kThreads + PipelineKernel::kThreads - 1 - i % PipelineKernel::kThreads;
    for (int word = 0; word < 4; ++word) {
      EXPECT_EQ(copied[i].word[word], source < kValid ? units[source].word[word] : 0) << i;
    }
  }
}

struct AtomicParams {
  uint32_t* tickets;  // [blocks * kThreads]: what AddShared returned
  uint32_t* sums;     // [blocks]
  uint64_t* least;
};

struct AtomicKernel {
  using Params = AtomicParams;
  static constexpr int kThreads = 256;
  static constexpr int kMinBlocksPerSm = 1;
  static size_t SharedBytes(const Params&) { return sizeof(uint32_t); }

  CHUNKKV_DEVICE static void Run(const Params& params) {
    auto* sum = reinterpret_cast<uint32_t*>(simt::SharedMemory());
    if (simt::ThreadIndex() == 0) *sum = 0;
    simt::SyncBlock();
    const int at = simt::BlockIndex() * kThreads + simt::ThreadIndex();
    params.tickets[at] = simt::AddShared(sum, 3);
    simt::MinGlobal(params.least, (uint64_t{1} << 40) + static_cast<uint64_t>((at * 37 + 11) % 1021));
    simt::SyncBlock();
    if (simt::ThreadIndex() == 0) params.sums[simt::BlockIndex()] = *sum;
  }
};

TEST(SimtMemoryTest, AtomicsLoseNothing) {
  constexpr int kBlocks = 5;
  DeviceArray<uint32_t> tickets{std::vector<uint32_t>(kBlocks * AtomicKernel::kThreads)};
  DeviceArray<uint32_t> sums{std::vector<uint32_t>(kBlocks)};
  DeviceArray<uint64_t> least{std::vector<uint64_t>(1, ~uint64_t{0})};
  LaunchForTest<AtomicKernel>({tickets.data(), sums.data(), least.data()}, kBlocks);
  std::vector<uint32_t> of_block = tickets.Values();
  for (int block = 0; block < kBlocks; ++block) {
    const auto begin = of_block.begin() + block * AtomicKernel::kThreads;
    std::sort(begin, begin + AtomicKernel::kThreads);
    for (int i = 0; i < AtomicKernel::kThreads; ++i) ASSERT_EQ(begin[i], static_cast<uint32_t>(3 * i));
    EXPECT_EQ(sums.Values()[block], 3u * AtomicKernel::kThreads);
  }
  uint64_t expected = ~uint64_t{0};
  for (int at = 0; at < kBlocks * AtomicKernel::kThreads; ++at) {
    expected = std::min(expected, (uint64_t{1} << 40) + static_cast<uint64_t>((at * 37 + 11) % 1021));
  }
  EXPECT_EQ(least.Values()[0], expected);
}

}  // namespace chunkkv::testing
