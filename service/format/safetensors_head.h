// The head of a safetensors file: [u64 length, little-endian][JSON, padded with spaces]. Inside format only.
#ifndef CHUNKKV_SERVICE_FORMAT_SAFETENSORS_HEAD_H_
#define CHUNKKV_SERVICE_FORMAT_SAFETENSORS_HEAD_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "service/format/safetensors.h"

namespace chunkkv {

inline constexpr int kLengthBytes = 8;
inline constexpr int64_t kMaxHeaderBytes = int64_t{64} << 20;
inline constexpr int kBodyAlignment = 64;

// Bytes of the head, from the 8 bytes at the file's start.
// Errors: INVALID_ARGUMENT (NOT_SAFETENSORS): a length beyond the file or the limit.
absl::StatusOr<int64_t> SafetensorsHeadBytes(absl::Span<const std::byte> bytes, int64_t file_size);

// The JSON, padding included, as a view into `bytes`, which must hold at least the head.
// Errors: as SafetensorsHeadBytes.
absl::StatusOr<std::string_view> SafetensorsJson(absl::Span<const std::byte> bytes, int64_t file_size);

// EncodeSafetensorsHead with the metadata in the order given.
std::string EncodeHead(const std::vector<SafetensorsTensor>& tensors,
                       const std::vector<std::pair<std::string, std::string>>& metadata);

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_FORMAT_SAFETENSORS_HEAD_H_
