#include "kernels/cpu/rotate.h"

#include <cmath>
#include <cstring>

#include "kernels/common/half.h"
#include "kernels/cpu/float_rows.h"

namespace chunkkv::cpu {
namespace {

// Pair i lies at (2i, 2i + 1), or at (i, i + count). In float64, so that the result is rounded once for any dtype.
template <bool kInterleaved>
void Turn(int32_t count, const double* __restrict cosines, const double* __restrict sines, float* __restrict dims) {
  for (int32_t i = 0; i < count; ++i) {
    float& first = dims[kInterleaved ? 2 * i : i];
    float& second = dims[kInterleaved ? 2 * i + 1 : i + count];
    const double x = first;
    const double y = second;
    first = static_cast<float>(x * cosines[i] - y * sines[i]);
    second = static_cast<float>(x * sines[i] + y * cosines[i]);
  }
}

}  // namespace

void RotateRows(const RotateTask& task, size_t begin, size_t end, const RotateScratch& scratch) {
  const RopeShape& rope = *task.rope;
  const DType dtype = task.source.dtype;
  const size_t head_bytes = DTypeSize(dtype) * task.source.head_size;
  const size_t first_byte = DTypeSize(dtype) * rope.first_dim;
  const int32_t count = rope.rotary_dims / 2;
  const auto turn_dims = rope.interleaved ? Turn<true> : Turn<false>;
  bool has_angles = false;
  int64_t turn_of_angles = 0;
  for (size_t n = begin; n < end; ++n) {
    const int64_t turn = static_cast<int64_t>(n) - task.positions[n];
    if (!has_angles || turn != turn_of_angles) {
      for (int32_t i = 0; i < count; ++i) {
        const double angle = static_cast<double>(turn) * rope.inv_freq[i];
        scratch.cosines[i] = std::cos(angle);
        scratch.sines[i] = std::sin(angle);
      }
      has_angles = true;
      turn_of_angles = turn;
    }
    for (int32_t head = 0; head < task.source.head_count; ++head) {
      const size_t offset = (n * task.source.head_count + head) * head_bytes;
      std::byte* out = task.destination + offset;
      if (out != task.source.data + offset) std::memcpy(out, task.source.data + offset, head_bytes);
      ToFloat(out + first_byte, dtype, rope.rotary_dims, scratch.dims);
      turn_dims(count, scratch.cosines, scratch.sines, scratch.dims);
      FromFloat(scratch.dims, dtype, rope.rotary_dims, out + first_byte);
    }
  }
}

}  // namespace chunkkv::cpu
