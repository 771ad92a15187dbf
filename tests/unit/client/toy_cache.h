// A small made-up KV cache, and what a client needs to put it.
#ifndef CHUNKKV_TESTS_UNIT_CLIENT_TOY_CACHE_H_
#define CHUNKKV_TESTS_UNIT_CLIENT_TOY_CACHE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "chunkkv/client/types.h"

namespace chunkkv::client {

// Four float32 layers: 0, 1 and 3 ATTENTION (4 query heads, 2 KV heads of 8 and 4), 2 VERBATIM ("state").
struct ToyCache {
  explicit ToyCache(int64_t token_count, uint32_t seed = 1, int64_t window_length = 8);

  // A request of `policy`, which keeps 40 %, for a prompt of this seed's tokens.
  PutRequest Request(Policy policy) const;
  std::vector<LayerArrays> Arrays(bool with_queries) const;
  // The row of a tensor at `position`, as stored.
  absl::Span<const std::byte> Row(int32_t layer, const std::string& name, int64_t position) const;

  int64_t token_count;
  int64_t window_length;
  uint32_t seed;
  std::vector<std::vector<float>> keys, values, queries;  // per layer; empty for the VERBATIM one
  std::string state;
};

inline constexpr int32_t kToyLayers = 4;
inline constexpr int32_t kToyVerbatimLayer = 2;

absl::Span<const std::byte> AsBytes(const std::vector<float>& values);
absl::Span<const std::byte> AsBytes(const std::string& text);

}  // namespace chunkkv::client

#endif  // CHUNKKV_TESTS_UNIT_CLIENT_TOY_CACHE_H_
