// Element types of KV tensors.
#ifndef CHUNKKV_KERNELS_DTYPE_H_
#define CHUNKKV_KERNELS_DTYPE_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace chunkkv {

enum class DType : uint8_t { kF32 = 1, kF16 = 2, kBF16 = 3, kF8E4M3 = 4, kF8E5M2 = 5 };

// Bytes of one element: 4, 2 or 1.
size_t DTypeSize(DType dtype);

// Name in safetensors headers: "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2".
std::string_view DTypeName(DType dtype);
std::optional<DType> DTypeFromName(std::string_view name);

// Whether tensors of this type can be scored as they are: queries, attention, scores, and keys. fp8 keys need scales
// (AttentionShape::has_key_scales); without, fp8 is stored, gathered and served only.
bool IsScorable(DType dtype);

}  // namespace chunkkv

#endif  // CHUNKKV_KERNELS_DTYPE_H_
