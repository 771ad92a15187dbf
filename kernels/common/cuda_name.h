#ifndef CHUNKKV_KERNELS_COMMON_CUDA_NAME_H_
#define CHUNKKV_KERNELS_COMMON_CUDA_NAME_H_

#include <charconv>
#include <optional>
#include <string_view>

namespace chunkkv {

// N of "cuda:N"; empty for any other name.
inline std::optional<int> CudaOrdinal(std::string_view name) {
  constexpr std::string_view kPrefix = "cuda:";
  if (name.substr(0, kPrefix.size()) != kPrefix) return std::nullopt;
  const std::string_view digits = name.substr(kPrefix.size());
  int ordinal = -1;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), ordinal);
  if (error != std::errc() || end != digits.data() + digits.size() || ordinal < 0) return std::nullopt;
  return ordinal;
}

}  // namespace chunkkv

#endif  // CHUNKKV_KERNELS_COMMON_CUDA_NAME_H_
