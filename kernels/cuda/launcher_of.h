// The one list of kernels, for every place where they run.
#ifndef CHUNKKV_KERNELS_CUDA_LAUNCHER_OF_H_
#define CHUNKKV_KERNELS_CUDA_LAUNCHER_OF_H_

#include "kernels/cuda/copy_rows_kernel.h"
#include "kernels/cuda/denominator_kernel.h"
#include "kernels/cuda/digest_kernel.h"
#include "kernels/cuda/launcher.h"
#include "kernels/cuda/mass_kernel.h"
#include "kernels/cuda/part_score_kernel.h"
#include "kernels/cuda/part_sum_kernel.h"
#include "kernels/cuda/plain_denominator_kernel.h"
#include "kernels/cuda/plain_score_kernel.h"
#include "kernels/cuda/score_kernel.h"
#include "kernels/cuda/select_kernel.h"
#include "kernels/cuda/span_key_kernel.h"

namespace chunkkv::cuda {

// Kernel<Element, kSteps, Element>.
template <template <typename, int, typename> typename Kernel>
struct OfQueries {
  template <typename Element, int kSteps>
  using OfSame = Kernel<Element, kSteps, Element>;
};

// Calls start.template operator()<Kernel<Element, kSteps>>() for the variant's.
template <template <typename, int> typename Kernel, typename Start>
absl::Status WithSteps(ScoreVariant variant, Start start) {
  const auto with_queries = [&]<typename Element>() -> absl::Status {
    if (variant.steps <= 2) return start.template operator()<Kernel<Element, 2>>();
    if (variant.steps == 3) return start.template operator()<Kernel<Element, 3>>();
    if (variant.steps == 4) return start.template operator()<Kernel<Element, 4>>();
    if (variant.steps <= 6) return start.template operator()<Kernel<Element, 6>>();
    return start.template operator()<Kernel<Element, 8>>();
  };
  if (variant.dtype == DType::kF16) return with_queries.template operator()<simt::F16>();
  return with_queries.template operator()<simt::BF16>();
}

// Calls start.template operator()<Kernel<Element, kSteps, Key>>() for the variant's. Heads of fp8 are padded to 128 or
// 256 dimensions: half as many kernels to build.
template <template <typename, int, typename> typename Kernel, typename Start>
absl::Status WithTensorCores(ScoreVariant variant, Start start) {
  const auto with_fp8 = [&]<typename Element, typename Key>() -> absl::Status {
    if (variant.steps <= 4) return start.template operator()<Kernel<Element, 4, Key>>();
    return start.template operator()<Kernel<Element, 8, Key>>();
  };
  const auto with_keys = [&]<typename Element>() -> absl::Status {
    if (variant.key_dtype == DType::kF8E4M3) return with_fp8.template operator()<Element, E4M3>();
    if (variant.key_dtype == DType::kF8E5M2) return with_fp8.template operator()<Element, E5M2>();
    return WithSteps<OfQueries<Kernel>::template OfSame>(variant, start);
  };
  if (variant.dtype == DType::kF16) return with_keys.template operator()<simt::F16>();
  return with_keys.template operator()<simt::BF16>();
}

// Calls start.template operator()<Kernel<Unit>>() for the word of `unit_bytes`.
template <template <typename> typename Kernel, typename Start>
absl::Status WithUnit(int32_t unit_bytes, Start start) {
  switch (unit_bytes) {
    case 16:
      return start.template operator()<Kernel<simt::Words4>>();
    case 8:
      return start.template operator()<Kernel<uint64_t>>();
    case 4:
      return start.template operator()<Kernel<uint32_t>>();
    case 2:
      return start.template operator()<Kernel<uint16_t>>();
    default:
      return start.template operator()<Kernel<uint8_t>>();
  }
}

// Place: `absl::Status Launch<Kernel>(const Kernel::Params&, const LaunchShape&) const`, `SmCount`, `Reaches`, `Wait`.
template <typename Place>
class LauncherOf final : public Launcher {
 public:
  explicit LauncherOf(Place place) : place_(place) {}

  int32_t SmCount() const override { return place_.SmCount(); }
  bool Reaches(const MemoryPlace& place) const override { return place_.Reaches(place); }

  absl::Status Upload(const UploadParams& params, const LaunchShape& shape) const override {
    return place_.template Launch<UploadKernel>(params, shape);
  }
  absl::Status FindDenominators(ScoreVariant variant, const ScoreParams& params,
                                const LaunchShape& shape) const override {
    if (variant.steps == 0) return place_.template Launch<PlainDenominatorKernel>(params, shape);
    return WithTensorCores<DenominatorKernel>(
        variant, [&]<typename Kernel>() { return place_.template Launch<Kernel>(params, shape); });
  }
  absl::Status CombineDenominators(const CombineDenominatorsParams& params, const LaunchShape& shape) const override {
    return place_.template Launch<CombineDenominatorsKernel>(params, shape);
  }
  absl::Status Score(ScoreVariant variant, const ScoreParams& params, const LaunchShape& shape) const override {
    if (variant.steps == 0) return place_.template Launch<PlainScoreKernel>(params, shape);
    const auto launch = [&]<typename Kernel>() { return place_.template Launch<Kernel>(params, shape); };
    if (variant.has_cap) return WithTensorCores<CappedScoreKernel>(variant, launch);
    return WithTensorCores<UncappedScoreKernel>(variant, launch);
  }
  absl::Status SumParts(ScoreVariant variant, const ScoreParams& params, const LaunchShape& shape) const override {
    return WithSteps<PartSumKernel>(variant,
                                    [&]<typename Kernel>() { return place_.template Launch<Kernel>(params, shape); });
  }
  absl::Status ScoreParts(const ScoreParams& params, const LaunchShape& shape) const override {
    return place_.template Launch<PartScoreKernel>(params, shape);
  }
  absl::Status AddProbabilities(const ProbabilityParams& params, const LaunchShape& shape) const override {
    return place_.template Launch<ProbabilityKernel>(params, shape);
  }
  absl::Status AddPartials(const AddPartialsParams& params, const LaunchShape& shape) const override {
    return place_.template Launch<AddPartialsKernel>(params, shape);
  }
  absl::Status KeySpans(const SelectParams& params, const LaunchShape& shape) const override {
    return place_.template Launch<SpanKeyKernel>(params, shape);
  }
  absl::Status Select(const SelectParams& params, const LaunchShape& shape) const override {
    return place_.template Launch<SelectKernel>(params, shape);
  }
  absl::Status FindMasses(const SelectParams& params, const LaunchShape& shape) const override {
    return place_.template Launch<MassKernel>(params, shape);
  }
  absl::Status Gather(int32_t unit_bytes, const CopyRowsParams& params, const LaunchShape& shape) const override {
    return WithUnit<GatherKernel>(unit_bytes,
                                  [&]<typename Kernel>() { return place_.template Launch<Kernel>(params, shape); });
  }
  absl::Status Scatter(int32_t unit_bytes, const CopyRowsParams& params, const LaunchShape& shape) const override {
    return WithUnit<ScatterKernel>(unit_bytes,
                                   [&]<typename Kernel>() { return place_.template Launch<Kernel>(params, shape); });
  }
  absl::Status Rotate(const RotateRowsParams& params, const LaunchShape& shape) const override {
    return place_.template Launch<RotateKernel>(params, shape);
  }
  absl::Status Digest(int32_t unit_bytes, const DigestParams& params, const LaunchShape& shape) const override {
    return WithUnit<DigestKernel>(unit_bytes,
                                  [&]<typename Kernel>() { return place_.template Launch<Kernel>(params, shape); });
  }

  absl::StatusOr<bool> Wait(void* stream, const std::function<bool()>& cancelled) const override {
    return place_.Wait(stream, cancelled);
  }

 private:
  Place place_;
};

}  // namespace chunkkv::cuda

#endif  // CHUNKKV_KERNELS_CUDA_LAUNCHER_OF_H_
