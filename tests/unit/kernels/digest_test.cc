// Digest tasks of every implementation against libxxhash: any size, any alignment, nothing else written.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <random>

#include "chunkkv/kernels/status.h"
#include "tests/unit/kernels/block_digests.h"
#include "tests/unit/kernels/compaction_run.h"
#include "tests/unit/kernels/implementations.h"

namespace chunkkv::testing {
namespace {

using Bytes = std::vector<std::byte>;

constexpr auto kBlockBytes = static_cast<int64_t>(kDigestBlockBytes);
constexpr uint64_t kUntouched = 0x5ca1ab1e5ca1ab1e;

int64_t BlockCount(int64_t bytes) { return (bytes + kBlockBytes - 1) / kBlockBytes; }

class CompactorDigest : public PerImplementation {
 protected:
  absl::Status Run(absl::Span<const DigestTask> tasks) {
    Batch batch;
    batch.digest = tasks;
    return RunBatch(compactor(), Plan(), batch, context_);
  }

  // Of each range, all in one batch; also fails where a word after a range's digests is written.
  std::vector<std::vector<uint64_t>> Digests(const std::vector<absl::Span<const std::byte>>& ranges) {
    std::vector<std::vector<uint64_t>> digests;
    std::vector<DigestTask> tasks;
    for (const absl::Span<const std::byte> range : ranges) {
      const auto size = static_cast<int64_t>(range.size());
      digests.emplace_back(BlockCount(size) + 1, kUntouched);
      tasks.push_back({range.data(), size, {}, digests.back().data()});
    }
    const absl::Status status = Run(tasks);
    EXPECT_TRUE(status.ok()) << status;
    for (std::vector<uint64_t>& words : digests) {
      EXPECT_EQ(words.back(), kUntouched);
      words.pop_back();
    }
    return digests;
  }

  void ExpectDigests(const std::vector<absl::Span<const std::byte>>& ranges) {
    const std::vector<std::vector<uint64_t>> digests = Digests(ranges);
    for (size_t i = 0; i < ranges.size(); ++i) {
      ASSERT_EQ(digests[i], BlockDigests(ranges[i])) << "range " << i << ", " << ranges[i].size() << " bytes";
    }
  }

  // Allocations of exactly these sizes: a read past an end is one past an allocation.
  void ExpectDigestsOfSizes(const std::vector<int64_t>& sizes) {
    std::vector<Bytes> tensors;
    for (const int64_t size : sizes) tensors.push_back(RandomBytes(size, random_));
    ExpectDigests({tensors.begin(), tensors.end()});
  }

  std::mt19937 random_{20240307};
  ExecutionContext context_;
};
CHUNKKV_FOR_EACH_IMPLEMENTATION(CompactorDigest);

TEST_P(CompactorDigest, EverySizeUpTo300) {
  std::vector<int64_t> sizes(301);
  std::iota(sizes.begin(), sizes.end(), 0);
  ExpectDigestsOfSizes(sizes);
}

TEST_P(CompactorDigest, SizesAroundStripesRoundsAndBlocks) {
  std::vector<int64_t> sizes;
  for (const int middle :
       {512, 1024, 2048, 3072, 4352, 15 * 1024, 16 * 1024, 16 * 1024 + 240, 17 * 1024, 32 * 1024, 5 * 16 * 1024}) {
    for (const int apart : {-65, -64, -63, -17, -16, -8, -4, -2, -1, 0, 1, 2, 4, 8, 16, 63, 64, 65}) {
      sizes.push_back(middle + apart);
    }
  }
  ExpectDigestsOfSizes(sizes);
}

TEST_P(CompactorDigest, RandomSizesAndStarts) {
  const Bytes memory = RandomBytes(6 * kBlockBytes, random_);
  std::vector<absl::Span<const std::byte>> ranges = {memory};
  for (int i = 0; i < 60; ++i) {
    const size_t begin = random_() % 1024;
    ranges.push_back(absl::MakeConstSpan(memory).subspan(begin, random_() % (3 * kBlockBytes)));
  }
  ExpectDigests(ranges);
}

TEST_P(CompactorDigest, EveryAlignment) {
  const Bytes memory = RandomBytes(2 * kBlockBytes + 64, random_);
  std::vector<absl::Span<const std::byte>> ranges = {memory};  // first: wherever it goes, the others lie in it
  for (size_t begin = 1; begin <= 17; ++begin) {
    for (const size_t size : {7, 16, 200, 240, 1000, 1024, 16384 + 48, 16384 + 300}) {
      ranges.push_back(absl::MakeConstSpan(memory).subspan(begin, size));
    }
  }
  ExpectDigests(ranges);
}

TEST_P(CompactorDigest, ExtremeContents) {
  std::vector<Bytes> tensors;
  for (const int byte : {0x00, 0xff, 0x80}) {
    for (const int64_t size : {1, 8, 16, 100, 200, 241, 3 * 16384}) {
      tensors.emplace_back(size, static_cast<std::byte>(byte));
    }
  }
  ExpectDigests({tensors.begin(), tensors.end()});
}

TEST_P(CompactorDigest, OneChangedBitChangesItsBlockAlone) {
  Bytes tensor = RandomBytes(4 * kBlockBytes - 100, random_);
  const std::vector<uint64_t> before = Digests({tensor})[0];
  for (const size_t at : {size_t{0}, kDigestBlockBytes - 1, 2 * kDigestBlockBytes, tensor.size() - 1}) {
    Bytes changed = tensor;
    changed[at] ^= std::byte{0x10};
    const std::vector<uint64_t> after = Digests({changed})[0];
    for (size_t block = 0; block < before.size(); ++block) {
      EXPECT_EQ(after[block] != before[block], block == at / kDigestBlockBytes) << "byte " << at;
    }
  }
}

TEST_P(CompactorDigest, MoreTasksThanALaunchTakesOnSeveralThreads) {
  context_.run_parallel = OnThreads(3);
  std::vector<int64_t> sizes;
  for (int i = 0; i < 300; ++i) sizes.push_back(random_() % 2000);
  sizes.push_back(70 * kBlockBytes + 5);
  ExpectDigestsOfSizes(sizes);
}

TEST_P(CompactorDigest, OnAFewMultiprocessors) {
  context_.max_sm_count = 1;
  ExpectDigestsOfSizes({11 * kBlockBytes + 1, 300, 9 * kBlockBytes});
}

TEST_P(CompactorDigest, ComesAfterTheGatherOfItsBatch) {
  const Bytes rows = RandomBytes(400 * 128, random_);
  std::vector<int32_t> positions(200);
  for (int32_t n = 0; n < 200; ++n) positions[n] = 2 * n;
  Bytes kept(200 * 128);
  std::vector<uint64_t> digests(BlockCount(kept.size()));
  const GatherTask gather{TokenMajorRows(rows.data(), DType::kF16, 400, 1, 64), positions, kept.data()};
  const DigestTask digest{kept.data(), static_cast<int64_t>(kept.size()), {}, digests.data()};
  Batch batch;
  batch.gather = absl::MakeConstSpan(&gather, 1);
  batch.digest = absl::MakeConstSpan(&digest, 1);
  ASSERT_TRUE(RunBatch(compactor(), Plan(), batch, context_).ok());
  EXPECT_EQ(digests, BlockDigests(kept));
}

TEST_P(CompactorDigest, RefusesBadTasks) {
  const Bytes tensor(100);
  uint64_t digest = 0;
  const MemoryPlace elsewhere = {MemoryKind::kDevice, 7};
  const struct {
    DigestTask task;
    const char* reason;
  } kCases[] = {
      {{tensor.data(), -1, {}, &digest}, "BAD_TASK"},
      {{tensor.data(), INT64_MIN, {}, &digest}, "BAD_TASK"},
      {{nullptr, 1, {}, &digest}, "BAD_TASK"},
      {{tensor.data(), 1, {}, nullptr}, "BAD_TASK"},
      {{tensor.data(), 100, elsewhere, &digest}, "DEVICE_MEMORY"},
  };
  for (const auto& bad : kCases) {
    const DigestTask tasks[] = {{tensor.data(), 100, {}, &digest}, bad.task};
    const absl::Status status = Run(tasks);
    EXPECT_EQ(StatusReason(status), bad.reason);
    EXPECT_THAT(std::string(status.message()), ::testing::HasSubstr("digest[1]"));
  }
  EXPECT_TRUE(Run({DigestTask{}}).ok());
}

TEST_P(CompactorDigest, IsCancelled) {
  context_.cancelled = [] { return true; };
  const Bytes tensor = RandomBytes(3 * kBlockBytes, random_);
  std::vector<uint64_t> digests(3, kUntouched);
  const DigestTask task{tensor.data(), 3 * kBlockBytes, {}, digests.data()};
  EXPECT_EQ(StatusReason(Run({task})), "CANCELLED");
  EXPECT_EQ(digests, std::vector<uint64_t>(3, kUntouched));
}

}  // namespace
}  // namespace chunkkv::testing
