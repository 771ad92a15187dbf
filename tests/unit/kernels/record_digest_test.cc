// What digest tasks of every implementation give is what a record's digests are made of.
#include <gtest/gtest.h>
#include <xxhash.h>

#include <cstring>

#include "service/format/digest.h"
#include "tests/unit/kernels/block_digests.h"
#include "tests/unit/kernels/compaction_run.h"
#include "tests/unit/kernels/implementations.h"

namespace chunkkv::testing {
namespace {

class RecordDigest : public PerImplementation {};
CHUNKKV_FOR_EACH_IMPLEMENTATION(RecordDigest);

TEST_P(RecordDigest, IsMadeOfBlockDigests) {
  std::mt19937 random(20240308);
  for (const size_t size : {size_t{0}, size_t{100}, kDigestBlockBytes, 7 * kDigestBlockBytes + 33}) {
    const std::vector<std::byte> tensor = RandomBytes(size, random);
    std::vector<uint64_t> digests((size + kDigestBlockBytes - 1) / kDigestBlockBytes);
    const DigestTask task = {tensor.data(), static_cast<int64_t>(size), {}, digests.data()};
    Batch batch;
    batch.digest = absl::MakeConstSpan(&task, 1);
    ExecutionContext context;
    ASSERT_TRUE(RunBatch(compactor(), Plan(), batch, context).ok());
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits(digests.data(), digests.size() * sizeof(uint64_t)));
    Bytes16 digest;
    std::memcpy(digest.data(), canonical.digest, digest.size());
    EXPECT_EQ(digest, DigestTensor(tensor)) << size;
  }
}

}  // namespace
}  // namespace chunkkv::testing
