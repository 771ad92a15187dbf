// Structs of callers that were compiled against an earlier, or a later, header.
#ifndef CHUNKKV_KERNELS_C_READ_STRUCT_H_
#define CHUNKKV_KERNELS_C_READ_STRUCT_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <type_traits>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "chunkkv/kernels/status.h"

namespace chunkkv::c {

inline absl::Status BadStruct(absl::string_view name, absl::string_view what) {
  return InvalidArgument("BAD_STRUCT", absl::StrCat(name, " ", what));
}

// Of any struct of the interface; a larger one belongs to no header.
inline constexpr uint64_t kMaxStructSize = 4096;

// `from` as this library knows it. Fields that the caller's header lacks are zero; those that this library lacks must
// be. Errors: INVALID_ARGUMENT BAD_STRUCT.
template <typename Struct>
absl::Status ReadStruct(const void* from, absl::string_view name, Struct* to) {
  static_assert(std::is_trivially_copyable_v<Struct> && offsetof(Struct, struct_size) == 0);
  if (from == nullptr) return BadStruct(name, "is null");
  if (reinterpret_cast<uintptr_t>(from) % alignof(Struct) != 0) return BadStruct(name, "is misaligned");
  uint64_t size = 0;
  std::memcpy(&size, from, sizeof(size));
  // No field has been added since version 1.
  if (size < sizeof(Struct) || size > kMaxStructSize) {
    return BadStruct(name, absl::StrCat("has struct_size ", size, ", which no version of the interface had"));
  }
  *to = Struct{};
  std::memcpy(to, from, sizeof(Struct));
  const auto* tail = static_cast<const unsigned char*>(from) + sizeof(Struct);
  if (std::any_of(tail, tail + (size - sizeof(Struct)), [](unsigned char byte) { return byte != 0; })) {
    return BadStruct(name, "sets fields that this version of the library does not have");
  }
  return absl::OkStatus();
}

// Writes `value` to a caller's struct, whose struct_size says how much it holds.
template <typename Struct>
absl::Status WriteStruct(const Struct& value, absl::string_view name, Struct* to) {
  Struct given;
  if (absl::Status status = ReadStruct(to, name, &given); !status.ok()) return status;
  const uint64_t size = given.struct_size;
  *to = value;
  to->struct_size = size;
  return absl::OkStatus();
}

// Calls read(index, element) for each of `count` elements, which lie struct_size of the first apart.
template <typename Struct, typename Read>
absl::Status ReadStructs(const Struct* first, uint64_t count, uint64_t most, absl::string_view name, Read&& read) {
  if (count == 0) return absl::OkStatus();
  if (count > most) return BadStruct(name, absl::StrCat("has ", count, " elements, more than ", most));
  uint64_t stride = 0;
  for (uint64_t i = 0; i < count; ++i) {
    Struct element;
    const auto* from = reinterpret_cast<const std::byte*>(first) + i * stride;
    const std::string element_name = absl::StrCat(name, "[", i, "]");
    if (absl::Status status = ReadStruct(from, element_name, &element); !status.ok()) return status;
    if (i == 0) stride = element.struct_size;
    if (element.struct_size != stride) return BadStruct(element_name, "has another struct_size than the first");
    if (absl::Status status = read(element_name, element); !status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace chunkkv::c

#endif  // CHUNKKV_KERNELS_C_READ_STRUCT_H_
