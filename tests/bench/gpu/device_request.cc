#include "tests/bench/gpu/device_request.h"

#include <algorithm>
#include <limits>

#include "tests/bench/gpu/device_work.h"
#include "tests/bench/gpu/must.h"

namespace chunkkv::bench {
namespace {

constexpr auto kDevice = DeviceBuffer::Kind::kDevice;

size_t RowBytes(const RowsView& rows) { return DTypeSize(rows.dtype) * rows.head_count * rows.head_size; }

}  // namespace

DeviceRequest::DeviceRequest(const Plan& plan, const std::vector<testing::LayerInput>& layers,
                             const RequestParts& parts, const Compactor& compactor, DeviceMemory& memory, void* stream)
    : plan_(plan),
      parts_(parts),
      memory_(memory),
      stream_(stream),
      token_scores_(memory, kDevice),
      positions_(memory, kDevice),
      masses_(memory, kDevice),
      kept_(memory, kDevice),
      workspace_(memory, kDevice),
      failure_(memory, DeviceBuffer::Kind::kPinned) {
  for (int32_t layer = 0; layer < static_cast<int32_t>(layers.size()); ++layer) {
    if (plan.IsScored(layer)) scored_layers_.push_back(layer);
    if (parts.gather) kept_bytes_ += plan.budget * (RowBytes(layers[layer].keys) + RowBytes(layers[layer].values));
  }
  Poison(token_scores_, score_count() * sizeof(float));
  Poison(positions_, plan.groups.size() * plan.budget * sizeof(int32_t));
  Poison(masses_, scored_layers_.size() * sizeof(double));
  Poison(kept_, kept_bytes_);
  AddTasks(layers);
  scratch_bytes_ = compactor.WorkspaceBytes(plan, BatchOf(parts));
  Poison(workspace_, scratch_bytes_);
  MustReserve(failure_, sizeof(uint64_t), "the failure word");
  context_.stream = stream;
  context_.failure = reinterpret_cast<uint64_t*>(failure_.data());
  *context_.failure = kNoFailure;
}

int64_t DeviceRequest::score_count() const { return static_cast<int64_t>(scored_layers_.size()) * plan_.past_length; }

float* DeviceRequest::token_scores(size_t scored_layer) const {
  return reinterpret_cast<float*>(token_scores_.data()) + scored_layer * plan_.past_length;
}

void DeviceRequest::Poison(DeviceBuffer& buffer, size_t bytes) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();  // as a position, far outside
  MustReserve(buffer, std::max<size_t>(bytes, 1), "a request's memory");
  FillUniform(kNan, kNan, reinterpret_cast<float*>(buffer.data()), bytes / sizeof(float), 0, stream_);
}

void DeviceRequest::AddTasks(const std::vector<testing::LayerInput>& layers) {
  for (size_t i = 0; i < scored_layers_.size(); ++i) {
    const testing::LayerInput& input = layers[scored_layers_[i]];
    score_.push_back(
        {scored_layers_[i], input.keys, input.queries, plan_.has_lse ? input.lse : nullptr, {}, {}, token_scores(i)});
    score_.back().allows_chunk_means = parts_.chunk_means;
  }
  lists_.resize(plan_.groups.size());
  auto* positions = reinterpret_cast<int32_t*>(positions_.data());
  auto* mass = reinterpret_cast<double*>(masses_.data());
  for (int32_t g = 0; g < static_cast<int32_t>(plan_.groups.size()); ++g, positions += plan_.budget) {
    for (size_t i = 0; i < scored_layers_.size(); ++i) {
      if (plan_.GroupOf(scored_layers_[i]) == g) lists_[g].push_back(token_scores(i));
    }
    select_.push_back({g, plan_.budget, lists_[g], positions, parts_.masses ? mass : nullptr});
    mass += lists_[g].size();
  }
  std::byte* kept = kept_.data();
  for (size_t layer = 0; layer < layers.size() && parts_.gather; ++layer) {
    const SelectTask& select = select_[plan_.GroupOf(static_cast<int32_t>(layer))];
    for (const RowsView* rows : {&layers[layer].keys, &layers[layer].values}) {
      gather_.push_back({*rows, {select.positions, static_cast<size_t>(plan_.budget)}, kept});
      kept += plan_.budget * RowBytes(*rows);
    }
  }
}

Batch DeviceRequest::BatchOf(const RequestParts& parts) const {
  Batch batch;
  if (parts.score) batch.score = score_;
  if (parts.select) batch.select = select_;
  if (parts.gather) batch.gather = gather_;
  return batch;
}

void DeviceRequest::Start(const Compactor& compactor, const RequestParts& parts) {
  const auto workspace = absl::MakeSpan(workspace_.data(), scratch_bytes_);
  Must(compactor.Enqueue(plan_, BatchOf(parts), workspace, context_), "enqueueing a request");
}

void DeviceRequest::Finish(const Compactor& compactor) { Must(compactor.Wait(context_), "a request"); }

testing::CompactionOutcome DeviceRequest::Download() {
  testing::CompactionOutcome outcome;
  const auto download = [&](auto& to, const void* from, size_t count) {
    to.resize(count);
    MustCopy(memory_, to.data(), from, count * sizeof to[0], stream_);
  };
  for (size_t i = 0; i < scored_layers_.size(); ++i) {
    download(outcome.token_scores[scored_layers_[i]], token_scores(i), plan_.past_length);
  }
  for (const SelectTask& task : select_) download(outcome.positions.emplace_back(), task.positions, plan_.budget);
  for (size_t i = 0; i < gather_.size(); ++i) {
    std::vector<std::byte>& rows = (i % 2 == 0 ? outcome.keys : outcome.values).emplace_back();
    download(rows, gather_[i].destination, plan_.budget * RowBytes(gather_[i].source));
  }
  return outcome;
}

}  // namespace chunkkv::bench
