// Where the kernels of a CudaCompactor run: on a GPU, or in the emulation of one.
#ifndef CHUNKKV_KERNELS_CUDA_LAUNCHER_H_
#define CHUNKKV_KERNELS_CUDA_LAUNCHER_H_

#include <cstddef>
#include <cstdint>
#include <functional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "chunkkv/kernels/dtype.h"
#include "chunkkv/kernels/tensor_view.h"
#include "kernels/cuda/add_partials_kernel.h"
#include "kernels/cuda/combine_denominators_kernel.h"
#include "kernels/cuda/copy_rows_params.h"
#include "kernels/cuda/digest_params.h"
#include "kernels/cuda/probability_kernel.h"
#include "kernels/cuda/rotate_kernel.h"
#include "kernels/cuda/score_params.h"
#include "kernels/cuda/select_params.h"
#include "kernels/cuda/upload_kernel.h"

namespace chunkkv::cuda {

struct LaunchShape {
  int64_t block_count = 0;
  void* stream = nullptr;
};

// Which kernel scores: on tensor cores, for queries of 16 bits and `steps` steps of 32 dimensions, or element by
// element.
struct ScoreVariant {
  DType dtype = DType::kF32;      // of queries
  DType key_dtype = DType::kF32;  // the same, or fp8
  int32_t steps = 0;              // 0: element by element
  bool has_cap = false;           // logits have a soft cap
  bool operator==(const ScoreVariant&) const = default;
};

// Starts kernels in a stream's order. Stateless and thread-safe.
// Errors: INTERNAL CUDA_ERROR with the runtime's text.
class Launcher {
 public:
  virtual ~Launcher() = default;

  virtual int32_t SmCount() const = 0;
  // Whether kernels can read and write memory of this kind, and of this device.
  virtual bool Reaches(const MemoryPlace& place) const = 0;

  virtual absl::Status Upload(const UploadParams& params, const LaunchShape& shape) const = 0;
  virtual absl::Status FindDenominators(ScoreVariant variant, const ScoreParams& params,
                                        const LaunchShape& shape) const = 0;
  virtual absl::Status CombineDenominators(const CombineDenominatorsParams& params, const LaunchShape& shape) const = 0;
  virtual absl::Status Score(ScoreVariant variant, const ScoreParams& params, const LaunchShape& shape) const = 0;
  // Of a variant with steps and without fp8.
  virtual absl::Status SumParts(ScoreVariant variant, const ScoreParams& params, const LaunchShape& shape) const = 0;
  virtual absl::Status ScoreParts(const ScoreParams& params, const LaunchShape& shape) const = 0;
  virtual absl::Status AddProbabilities(const ProbabilityParams& params, const LaunchShape& shape) const = 0;
  virtual absl::Status AddPartials(const AddPartialsParams& params, const LaunchShape& shape) const = 0;
  virtual absl::Status KeySpans(const SelectParams& params, const LaunchShape& shape) const = 0;
  virtual absl::Status Select(const SelectParams& params, const LaunchShape& shape) const = 0;
  virtual absl::Status FindMasses(const SelectParams& params, const LaunchShape& shape) const = 0;
  // `unit_bytes`: 1, 2, 4, 8 or 16, to which all addresses and strides are aligned.
  virtual absl::Status Gather(int32_t unit_bytes, const CopyRowsParams& params, const LaunchShape& shape) const = 0;
  virtual absl::Status Scatter(int32_t unit_bytes, const CopyRowsParams& params, const LaunchShape& shape) const = 0;
  virtual absl::Status Rotate(const RotateRowsParams& params, const LaunchShape& shape) const = 0;
  // `unit_bytes`: 1, 2, 4, 8 or 16, of which all addresses and sizes are multiples.
  virtual absl::Status Digest(int32_t unit_bytes, const DigestParams& params, const LaunchShape& shape) const = 0;

  // Returns when all that was started on `stream` is done; looks at `cancelled`, where set, every few milliseconds, and
  // returns whether it was ever true.
  virtual absl::StatusOr<bool> Wait(void* stream, const std::function<bool()>& cancelled) const = 0;
};

}  // namespace chunkkv::cuda

#endif  // CHUNKKV_KERNELS_CUDA_LAUNCHER_H_
