// Rows more than 4 GiB from a view's first byte: arithmetic of addresses in 32 bits would go astray.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "tests/unit/cuda/agreement.h"
#include "tests/unit/kernels/agreement.h"

namespace chunkkv::testing {
namespace {

constexpr size_t kMappedBytes = size_t{9} << 30;

// Address space of which only the pages that are touched take memory.
class SparseMemory {
 public:
  SparseMemory() {
    void* memory =
        mmap(nullptr, kMappedBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory != MAP_FAILED) data_ = static_cast<std::byte*>(memory);
  }
  ~SparseMemory() {
    if (data_ != nullptr) munmap(data_, kMappedBytes);
  }
  SparseMemory(const SparseMemory&) = delete;
  SparseMemory& operator=(const SparseMemory&) = delete;

  std::byte* data() const { return data_; }

 private:
  std::byte* data_ = nullptr;
};

enum class FarLayout { kPaged, kTokenStrided, kHeadStrided };

// The same rows as `near`, far apart: 8 GiB from first to last.
template <typename Byte>
BasicRowsView<Byte> Spread(const RowsView& near, FarLayout layout, Byte* data, std::vector<int32_t>& block_ids) {
  constexpr int64_t kSpread = int64_t{8} << 30;
  BasicRowsView<Byte> far;
  far.data = data;
  far.dtype = near.dtype;
  far.token_count = near.token_count;
  far.head_count = near.head_count;
  far.head_size = near.head_size;
  far.head_stride_bytes = int64_t{near.head_size} * static_cast<int64_t>(DTypeSize(near.dtype));
  far.token_stride_bytes = far.head_stride_bytes * near.head_count;
  if (layout == FarLayout::kTokenStrided) far.token_stride_bytes = kSpread / near.token_count / 4096 * 4096;
  if (layout == FarLayout::kHeadStrided) far.head_stride_bytes = kSpread / near.head_count / 4096 * 4096;
  if (layout == FarLayout::kPaged) {
    far.block_token_count = 4;
    far.block_count = 1 << 18;
    far.block_stride_bytes = kSpread / far.block_count;
    const int64_t blocks = (near.token_count + 3) / 4;
    block_ids.clear();
    for (int64_t i = 0; i < blocks; ++i) {  // from the last block down
      block_ids.push_back(static_cast<int32_t>((far.block_count - 1) * (blocks - i) / blocks));
    }
    far.block_ids = block_ids.data();
  }
  return far;
}

std::string NameOf(const ::testing::TestParamInfo<FarLayout>& info) {
  if (info.param == FarLayout::kPaged) return "Paged";
  return info.param == FarLayout::kTokenStrided ? "TokenStrided" : "HeadStrided";
}

class FarRowsTest : public ::testing::TestWithParam<FarLayout> {
 protected:
  void SetUp() override {
    if (memory_.data() == nullptr) GTEST_SKIP() << "9 GiB of address space cannot be mapped: " << std::strerror(errno);
  }
  SparseMemory memory_;
  std::vector<int32_t> block_ids_;
};
INSTANTIATE_TEST_SUITE_P(Layouts, FarRowsTest,
                         ::testing::Values(FarLayout::kPaged, FarLayout::kTokenStrided, FarLayout::kHeadStrided),
                         NameOf);

// Scored on tensor cores in one pass and in two, and element by element, then gathered, as the same rows close
// together.
TEST_P(FarRowsTest, AreScoredAndGatheredAsNearOnes) {
  for (const DType dtype : {DType::kBF16, DType::kF32}) {
    for (const bool has_lse : {false, true}) {
      PromptOptions options;
      options.token_count = 130;
      options.kv_head_count = 3;
      options.key_head_size = options.value_head_size = 64;
      options.dtype = dtype;
      options.has_lse = has_lse;
      const RandomPrompt prompt(options, 1);
      const Plan plan = PlanFor(KeepByChunks(0.4, 8), prompt.shape());
      std::vector<LayerInput> layers = prompt.layers();
      const std::byte* data = memory_.data();
      const RowsView near = layers[0].keys;
      const RowsView far = layers[0].keys = Spread(near, GetParam(), data, block_ids_);
      for (int64_t token = 0; token < near.token_count; ++token) {
        for (int64_t head = 0; head < near.head_count; ++head) {
          std::memcpy(memory_.data() + HeadOffset(far, token, head), near.data + HeadOffset(near, token, head),
                      near.head_size * DTypeSize(dtype));
        }
      }
      ASSERT_GT(std::max(HeadOffset(far, 0, 0), HeadOffset(far, 129, 2)), int64_t{1} << 32);
      ExpectSameBits(EmulatedDevice().Compact(plan, layers), EmulatedDevice().Compact(plan, prompt.layers()));
    }
  }
}

TEST_P(FarRowsTest, AreScattered) {
  std::mt19937 random(1);
  const RowMemory near({DType::kBF16, 40, 3, 64}, RowLayout::kTokenMajor, random);
  std::vector<int32_t> positions;
  for (int32_t at = 39; at >= 0; at -= 3) positions.push_back(at);
  const std::byte* data = memory_.data();
  const RowsView far = Spread(near.Rows(), GetParam(), data, block_ids_);
  ASSERT_GT(std::max(HeadOffset(far, 0, 0), HeadOffset(far, 39, 2)), int64_t{1} << 32);
  ScatterTask task;
  task.source = near.Rows().data;
  task.positions = positions;
  task.destination = Spread(near.Rows(), GetParam(), memory_.data(), block_ids_);
  Batch batch;
  batch.scatter = absl::MakeConstSpan(&task, 1);
  EmulatedDevice device;
  ASSERT_TRUE(device.Run(Plan(), batch).ok());
  for (size_t n = 0; n < positions.size(); ++n) {
    for (int64_t head = 0; head < 3; ++head) {
      const std::byte* row = data + HeadOffset(far, positions[n], head);
      EXPECT_EQ(std::memcmp(row, near.Rows().data + HeadOffset(near.Rows(), n, head), 128), 0)
          << "row " << n << ", head " << head;
    }
  }
}

}  // namespace
}  // namespace chunkkv::testing
