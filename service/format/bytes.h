// Fixed-size byte strings: keys, fingerprints, digests, ids.
#ifndef CHUNKKV_SERVICE_FORMAT_BYTES_H_
#define CHUNKKV_SERVICE_FORMAT_BYTES_H_

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

namespace chunkkv {

// Rows, positions and token ids are copied and hashed as they lie in memory; every format here is little-endian.
static_assert(std::endian::native == std::endian::little);

template <size_t N>
using FixedBytes = std::array<uint8_t, N>;
using Bytes16 = FixedBytes<16>;  // entry ids, tensor digests
using Bytes32 = FixedBytes<32>;  // keys, fingerprints, variants, block digests

template <size_t N>
std::string_view AsView(const FixedBytes<N>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), N};
}

// Empty where `bytes` does not have exactly N bytes.
template <size_t N>
std::optional<FixedBytes<N>> FixedFromView(std::string_view bytes) {
  if (bytes.size() != N) return std::nullopt;
  FixedBytes<N> fixed;
  std::memcpy(fixed.data(), bytes.data(), N);
  return fixed;
}

// Lower-case hexadecimal; FromHex is empty for an odd count or anything but hexadecimal digits of either case.
std::string ToHex(std::string_view bytes);
template <size_t N>
std::string ToHex(const FixedBytes<N>& bytes) {
  return ToHex(AsView(bytes));
}
std::optional<std::string> FromHex(std::string_view hex);

// Hash for unordered containers; the bytes must be uniformly distributed already (digests, random ids).
struct FixedBytesHash {
  template <size_t N>
  size_t operator()(const FixedBytes<N>& bytes) const {
    size_t hash;
    std::memcpy(&hash, bytes.data(), sizeof hash);
    return hash;
  }
};

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_FORMAT_BYTES_H_
