#include "tests/unit/cuda/forwarding_launcher.h"

#include <utility>

namespace chunkkv::testing {
namespace {

using cuda::LaunchShape;

class ForwardingLauncher final : public cuda::Launcher {
 public:
  explicit ForwardingLauncher(ChooseLauncher choose) : choose_(std::move(choose)) {}

  int32_t SmCount() const override { return 3; }
  bool Reaches(const MemoryPlace& place) const override { return place.kind != MemoryKind::kDevice; }

  absl::Status Upload(const cuda::UploadParams& params, const LaunchShape& shape) const override {
    return Forward({"Upload", shape.block_count}, [&](auto& to) { return to.Upload(params, shape); });
  }
  absl::Status FindDenominators(cuda::ScoreVariant variant, const cuda::ScoreParams& params,
                                const LaunchShape& shape) const override {
    return Forward({"FindDenominators", shape.block_count, variant.steps},
                   [&](auto& to) { return to.FindDenominators(variant, params, shape); });
  }
  absl::Status CombineDenominators(const cuda::CombineDenominatorsParams& params,
                                   const LaunchShape& shape) const override {
    return Forward({"CombineDenominators", shape.block_count},
                   [&](auto& to) { return to.CombineDenominators(params, shape); });
  }
  absl::Status Score(cuda::ScoreVariant variant, const cuda::ScoreParams& params,
                     const LaunchShape& shape) const override {
    return Forward({"Score", shape.block_count, variant.steps},
                   [&](auto& to) { return to.Score(variant, params, shape); });
  }
  absl::Status SumParts(cuda::ScoreVariant variant, const cuda::ScoreParams& params,
                        const LaunchShape& shape) const override {
    return Forward({"SumParts", shape.block_count, variant.steps},
                   [&](auto& to) { return to.SumParts(variant, params, shape); });
  }
  absl::Status ScoreParts(const cuda::ScoreParams& params, const LaunchShape& shape) const override {
    return Forward({"ScoreParts", shape.block_count}, [&](auto& to) { return to.ScoreParts(params, shape); });
  }
  absl::Status AddProbabilities(const cuda::ProbabilityParams& params, const LaunchShape& shape) const override {
    return Forward({"AddProbabilities", shape.block_count},
                   [&](auto& to) { return to.AddProbabilities(params, shape); });
  }
  absl::Status AddPartials(const cuda::AddPartialsParams& params, const LaunchShape& shape) const override {
    return Forward({"AddPartials", shape.block_count}, [&](auto& to) { return to.AddPartials(params, shape); });
  }
  absl::Status KeySpans(const cuda::SelectParams& params, const LaunchShape& shape) const override {
    return Forward({"KeySpans", shape.block_count}, [&](auto& to) { return to.KeySpans(params, shape); });
  }
  absl::Status Select(const cuda::SelectParams& params, const LaunchShape& shape) const override {
    return Forward({"Select", shape.block_count}, [&](auto& to) { return to.Select(params, shape); });
  }
  absl::Status FindMasses(const cuda::SelectParams& params, const LaunchShape& shape) const override {
    return Forward({"FindMasses", shape.block_count}, [&](auto& to) { return to.FindMasses(params, shape); });
  }
  absl::Status Gather(int32_t unit_bytes, const cuda::CopyRowsParams& params, const LaunchShape& shape) const override {
    return Forward({"Gather", shape.block_count}, [&](auto& to) { return to.Gather(unit_bytes, params, shape); });
  }
  absl::Status Scatter(int32_t unit_bytes, const cuda::CopyRowsParams& params,
                       const LaunchShape& shape) const override {
    return Forward({"Scatter", shape.block_count}, [&](auto& to) { return to.Scatter(unit_bytes, params, shape); });
  }
  absl::Status Rotate(const cuda::RotateRowsParams& params, const LaunchShape& shape) const override {
    return Forward({"Rotate", shape.block_count}, [&](auto& to) { return to.Rotate(params, shape); });
  }
  absl::Status Digest(int32_t unit_bytes, const cuda::DigestParams& params, const LaunchShape& shape) const override {
    return Forward({"Digest", shape.block_count}, [&](auto& to) { return to.Digest(unit_bytes, params, shape); });
  }

  // Emulated launches are done when they return.
  absl::StatusOr<bool> Wait(void*, const std::function<bool()>&) const override { return false; }

 private:
  template <typename Start>
  absl::Status Forward(const LaunchSeen& seen, Start start) const {
    const cuda::Launcher* to = choose_(seen);
    return to == nullptr ? absl::OkStatus() : start(*to);
  }

  ChooseLauncher choose_;
};

}  // namespace

std::unique_ptr<cuda::Launcher> MakeForwardingLauncher(ChooseLauncher choose) {
  return std::make_unique<ForwardingLauncher>(std::move(choose));
}

}  // namespace chunkkv::testing
