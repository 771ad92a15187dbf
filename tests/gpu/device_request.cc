#include "tests/gpu/device_request.h"

#include <algorithm>
#include <limits>

namespace chunkkv::testing {
namespace {

constexpr size_t kCanaryBytes = 4096;
constexpr std::byte kPoison{0xFF};  // NaNs, and positions below 0

template <typename T>
std::vector<T> Poisoned(size_t count) {
  std::vector<T> values(count);
  std::fill_n(reinterpret_cast<std::byte*>(values.data()), count * sizeof(T), kPoison);
  return values;
}

}  // namespace

DeviceRequest::DeviceRequest(const Compactor& compactor, DeviceMemory& memory, const Plan& plan,
                             const std::vector<LayerInput>& layers)
    : compactor_(compactor),
      memory_(memory),
      plan_(plan),
      stream_(memory.CreateStream().value()),
      mirror_(memory, stream_) {
  AddScores(layers);
  AddSelects();
  AddGathers(layers);
  workspace_bytes_ = compactor.WorkspaceBytes(plan, {score_, select_, gather_, {}, {}});
  workspace_ = Poisoned<std::byte>(workspace_bytes_ + kCanaryBytes);
  context_.stream = stream_;
  context_.failure = static_cast<uint64_t*>(memory.AllocatePinned(sizeof(uint64_t)).value());
  *context_.failure = kNoFailure;
}

DeviceRequest::~DeviceRequest() {
  memory_.Synchronize(stream_).IgnoreError();
  memory_.FreePinned(context_.failure);
  memory_.DestroyStream(stream_);
}

void DeviceRequest::AddScores(const std::vector<LayerInput>& layers) {
  for (int32_t layer = 0; layer < static_cast<int32_t>(layers.size()); ++layer) {
    if (!plan_.IsScored(layer)) continue;
    std::vector<float>& scores = outcome_.token_scores[layer] = Poisoned<float>(plan_.past_length);
    const LayerInput& input = layers[layer];
    score_.push_back({layer, input.keys, input.queries, input.lse, input.attention, input.token_scores,
                      mirror_.Out(scores.data(), scores.size() * sizeof(float))});
  }
}

void DeviceRequest::AddSelects() {
  const size_t group_count = plan_.groups.size();
  lists_.resize(group_count);
  masses_.resize(group_count);
  outcome_.positions.assign(group_count, Poisoned<int32_t>(plan_.budget));
  for (size_t g = 0; g < group_count; ++g) {
    for (const ScoreTask& task : score_) {
      if (plan_.GroupOf(task.layer) == static_cast<int32_t>(g)) lists_[g].push_back(task.token_scores);
    }
    masses_[g] = Poisoned<double>(lists_[g].size());
    select_.push_back({static_cast<int32_t>(g), plan_.budget, lists_[g],
                       mirror_.Out(outcome_.positions[g].data(), plan_.budget * sizeof(int32_t)),
                       mirror_.Out(masses_[g].data(), masses_[g].size() * sizeof(double))});
  }
}

void DeviceRequest::AddGathers(const std::vector<LayerInput>& layers) {
  outcome_.keys.resize(layers.size());
  outcome_.values.resize(layers.size());
  for (size_t layer = 0; layer < layers.size(); ++layer) {
    const int32_t group = plan_.GroupOf(static_cast<int32_t>(layer));
    const absl::Span<const int32_t> positions(select_[group].positions, plan_.budget);
    for (const bool is_key : {true, false}) {
      const RowsView& rows = is_key ? layers[layer].keys : layers[layer].values;
      std::vector<std::byte>& kept = is_key ? outcome_.keys[layer] : outcome_.values[layer];
      kept = Poisoned<std::byte>(plan_.budget * rows.head_count * rows.head_size * DTypeSize(rows.dtype));
      gather_.push_back({rows, positions, mirror_.Out(kept.data(), kept.size())});
    }
  }
}

absl::Status DeviceRequest::Start(int32_t max_sm_count) {
  context_.max_sm_count = max_sm_count;
  std::byte* workspace = mirror_.Out(workspace_.data(), workspace_.size());
  return compactor_.Enqueue(plan_, {score_, select_, gather_, {}, {}}, absl::MakeSpan(workspace, workspace_bytes_),
                            context_);
}

CompactionOutcome DeviceRequest::Finish() {
  outcome_.status = compactor_.Wait(context_);
  mirror_.CopyBack();
  const bool is_intact =
      std::all_of(workspace_.end() - kCanaryBytes, workspace_.end(), [](std::byte byte) { return byte == kPoison; });
  if (!is_intact) outcome_.status = absl::InternalError("wrote past the workspace");
  for (size_t g = 0; g < lists_.size(); ++g) {
    size_t next = 0;
    for (const ScoreTask& task : score_) {
      if (plan_.GroupOf(task.layer) != static_cast<int32_t>(g)) continue;
      outcome_.retained_mass[task.layer] = masses_[g][next++];
    }
  }
  return outcome_;
}

}  // namespace chunkkv::testing
