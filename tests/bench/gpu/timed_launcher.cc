#include "tests/bench/gpu/timed_launcher.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

namespace chunkkv::bench {
namespace {

using cuda::LaunchShape;

class TimedLauncher final : public cuda::Launcher {
 public:
  TimedLauncher(std::unique_ptr<cuda::Launcher> inner, LaunchTimes& times) : inner_(std::move(inner)), times_(times) {}

  int32_t SmCount() const override { return inner_->SmCount(); }
  bool Reaches(const MemoryPlace& place) const override { return inner_->Reaches(place); }

  absl::Status Upload(const cuda::UploadParams& params, const LaunchShape& shape) const override {
    return times_.Time("upload", shape, [&] { return inner_->Upload(params, shape); });
  }
  absl::Status FindDenominators(cuda::ScoreVariant variant, const cuda::ScoreParams& params,
                                const LaunchShape& shape) const override {
    return times_.Time("denominators", shape, [&] { return inner_->FindDenominators(variant, params, shape); });
  }
  absl::Status CombineDenominators(const cuda::CombineDenominatorsParams& params,
                                   const LaunchShape& shape) const override {
    return times_.Time("combine", shape, [&] { return inner_->CombineDenominators(params, shape); });
  }
  absl::Status Score(cuda::ScoreVariant variant, const cuda::ScoreParams& params,
                     const LaunchShape& shape) const override {
    return times_.Time("score", shape, [&] { return inner_->Score(variant, params, shape); });
  }
  absl::Status SumParts(cuda::ScoreVariant variant, const cuda::ScoreParams& params,
                        const LaunchShape& shape) const override {
    return times_.Time("part sums", shape, [&] { return inner_->SumParts(variant, params, shape); });
  }
  absl::Status ScoreParts(const cuda::ScoreParams& params, const LaunchShape& shape) const override {
    return times_.Time("part scores", shape, [&] { return inner_->ScoreParts(params, shape); });
  }
  absl::Status AddProbabilities(const cuda::ProbabilityParams& params, const LaunchShape& shape) const override {
    return times_.Time("probabilities", shape, [&] { return inner_->AddProbabilities(params, shape); });
  }
  absl::Status AddPartials(const cuda::AddPartialsParams& params, const LaunchShape& shape) const override {
    return times_.Time("sums", shape, [&] { return inner_->AddPartials(params, shape); });
  }
  absl::Status KeySpans(const cuda::SelectParams& params, const LaunchShape& shape) const override {
    return times_.Time("keys", shape, [&] { return inner_->KeySpans(params, shape); });
  }
  absl::Status Select(const cuda::SelectParams& params, const LaunchShape& shape) const override {
    return times_.Time("select", shape, [&] { return inner_->Select(params, shape); });
  }
  absl::Status FindMasses(const cuda::SelectParams& params, const LaunchShape& shape) const override {
    return times_.Time("masses", shape, [&] { return inner_->FindMasses(params, shape); });
  }
  absl::Status Gather(int32_t unit_bytes, const cuda::CopyRowsParams& params, const LaunchShape& shape) const override {
    return times_.Time("gather", shape, [&] { return inner_->Gather(unit_bytes, params, shape); });
  }
  absl::Status Scatter(int32_t unit_bytes, const cuda::CopyRowsParams& params,
                       const LaunchShape& shape) const override {
    return times_.Time("scatter", shape, [&] { return inner_->Scatter(unit_bytes, params, shape); });
  }
  absl::Status Rotate(const cuda::RotateRowsParams& params, const LaunchShape& shape) const override {
    return times_.Time("rotate", shape, [&] { return inner_->Rotate(params, shape); });
  }
  absl::Status Digest(int32_t unit_bytes, const cuda::DigestParams& params, const LaunchShape& shape) const override {
    return times_.Time("digest", shape, [&] { return inner_->Digest(unit_bytes, params, shape); });
  }
  absl::StatusOr<bool> Wait(void* stream, const std::function<bool()>& cancelled) const override {
    return inner_->Wait(stream, cancelled);
  }

 private:
  std::unique_ptr<cuda::Launcher> inner_;
  LaunchTimes& times_;
};

}  // namespace

std::string LaunchTimes::Summary() const {
  struct Sum {
    std::string kernel;
    double milliseconds = 0;
    int launches = 0;
  };
  std::vector<Sum> sums;
  for (const Launch& launch : launches_) {
    auto sum = std::find_if(sums.begin(), sums.end(), [&](const Sum& s) { return s.kernel == launch.kernel; });
    if (sum == sums.end()) sum = sums.insert(sum, Sum{launch.kernel});
    sum->milliseconds += Event::MillisecondsBetween(*launch.begin, *launch.end);
    ++sum->launches;
  }
  return absl::StrJoin(sums, ", ", [](std::string* out, const Sum& sum) {
    absl::StrAppendFormat(out, "%s %.4f ms (%d)", sum.kernel, sum.milliseconds, sum.launches);
  });
}

std::unique_ptr<cuda::Launcher> MakeTimedLauncher(std::unique_ptr<cuda::Launcher> inner, LaunchTimes& times) {
  return std::make_unique<TimedLauncher>(std::move(inner), times);
}

}  // namespace chunkkv::bench
