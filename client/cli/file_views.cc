#include "client/cli/file_views.h"

#include <cstdint>
#include <cstring>

#include "chunkkv/kernels/dtype.h"

namespace chunkkv::cli {

RowsView FileViews::Rows(const SafetensorsTensor& tensor) {
  const DType dtype = *DTypeFromName(tensor.dtype);
  return TokenMajorRows(Aligned(tensor, DTypeSize(dtype)), dtype, tensor.shape[0],
                        static_cast<int32_t>(tensor.shape[1]), static_cast<int32_t>(tensor.shape[2]));
}

DenseView FileViews::Dense(const SafetensorsTensor& tensor) {
  const DType dtype = *DTypeFromName(tensor.dtype);
  return {Aligned(tensor, DTypeSize(dtype)), dtype, {}};
}

const float* FileViews::Floats(const SafetensorsTensor& tensor) {
  return reinterpret_cast<const float*>(Aligned(tensor, sizeof(float)));
}

const std::byte* FileViews::Aligned(const SafetensorsTensor& tensor, size_t alignment) {
  const absl::Span<const std::byte> bytes = file_.Bytes(tensor);
  if (reinterpret_cast<uintptr_t>(bytes.data()) % alignment == 0) return bytes.data();
  copies_.push_back(std::make_unique_for_overwrite<std::byte[]>(bytes.size()));
  std::memcpy(copies_.back().get(), bytes.data(), bytes.size());
  return copies_.back().get();
}

}  // namespace chunkkv::cli
