#ifndef CHUNKKV_TESTS_UNIT_KERNELS_BLOCK_DIGESTS_H_
#define CHUNKKV_TESTS_UNIT_KERNELS_BLOCK_DIGESTS_H_

#include <xxhash.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

#include "absl/types/span.h"
#include "chunkkv/kernels/digest_block.h"

namespace chunkkv::testing {

// What a digest task of `bytes` must give, by libxxhash.
inline std::vector<uint64_t> BlockDigests(absl::Span<const std::byte> bytes) {
  std::vector<uint64_t> digests;
  for (; !bytes.empty(); bytes.remove_prefix(std::min(bytes.size(), kDigestBlockBytes))) {
    digests.push_back(XXH3_64bits(bytes.data(), std::min(bytes.size(), kDigestBlockBytes)));
  }
  return digests;
}

inline std::vector<std::byte> RandomBytes(size_t count, std::mt19937& random) {
  std::vector<std::byte> bytes(count);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

}  // namespace chunkkv::testing

#endif  // CHUNKKV_TESTS_UNIT_KERNELS_BLOCK_DIGESTS_H_
