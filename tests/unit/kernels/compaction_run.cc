#include "tests/unit/kernels/compaction_run.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <thread>

#include "chunkkv/kernels/status.h"

namespace chunkkv::testing {
namespace {

constexpr size_t kCanaryBytes = 256;
constexpr std::byte kCanary{0xA5};

bool PassesGuardrail(const Plan& plan, const std::map<int32_t, double>& masses) {
  return !plan.has_min_retained_mass || std::all_of(masses.begin(), masses.end(), [&](const auto& mass) {
    return mass.second >= plan.min_retained_mass;
  });
}

// Layers whose scores `group` chooses by.
std::vector<int32_t> ChoosingLayers(const Plan& plan, const ReuseGroup& group) {
  std::vector<int32_t> layers;
  for (int32_t layer = group.first_layer; layer < group.first_layer + group.layer_count; ++layer) {
    if (plan.IsScored(layer)) layers.push_back(layer);
  }
  return layers;
}

absl::Status Score(const Compactor& compactor, const Plan& plan, const std::vector<LayerInput>& layers,
                   ExecutionContext& context, CompactionOutcome& outcome) {
  std::vector<ScoreTask> tasks;
  for (int32_t layer = 0; layer < static_cast<int32_t>(layers.size()); ++layer) {
    if (!plan.IsScored(layer)) continue;
    std::vector<float>& scores = outcome.token_scores[layer];
    scores.assign(plan.past_length, -1.0f);
    const LayerInput& input = layers[layer];
    tasks.push_back({layer, input.keys, input.queries, input.lse, input.attention, input.token_scores, scores.data(),
                     input.key_scales, input.allows_chunk_means});
  }
  Batch batch;
  batch.score = tasks;
  return RunBatch(compactor, plan, batch, context);
}

absl::Status Select(const Compactor& compactor, const Plan& plan, ExecutionContext& context,
                    CompactionOutcome& outcome) {
  const size_t group_count = plan.groups.size();
  std::vector<std::vector<const float*>> scores(group_count);
  std::vector<std::vector<double>> masses(group_count);
  std::vector<SelectTask> tasks;
  outcome.positions.assign(group_count, std::vector<int32_t>(outcome.budget, -1));
  for (size_t g = 0; g < group_count; ++g) {
    for (const int32_t layer : ChoosingLayers(plan, plan.groups[g])) {
      scores[g].push_back(outcome.token_scores.at(layer).data());
    }
    masses[g].assign(scores[g].size(), -1);
    tasks.push_back(
        {static_cast<int32_t>(g), outcome.budget, scores[g], outcome.positions[g].data(), masses[g].data()});
  }
  Batch batch;
  batch.select = tasks;
  if (absl::Status status = RunBatch(compactor, plan, batch, context); !status.ok()) return status;
  for (size_t g = 0; g < group_count; ++g) {
    const std::vector<int32_t> choosing = ChoosingLayers(plan, plan.groups[g]);
    for (size_t i = 0; i < choosing.size(); ++i) outcome.retained_mass[choosing[i]] = masses[g][i];
  }
  return absl::OkStatus();
}

absl::Status Gather(const Compactor& compactor, const Plan& plan, const std::vector<LayerInput>& layers,
                    ExecutionContext& context, CompactionOutcome& outcome) {
  outcome.keys.resize(layers.size());
  outcome.values.resize(layers.size());
  std::vector<GatherTask> tasks;
  for (size_t layer = 0; layer < layers.size(); ++layer) {
    const std::vector<int32_t>& positions = outcome.positions[plan.GroupOf(static_cast<int32_t>(layer))];
    for (const bool is_key : {true, false}) {
      const RowsView& rows = is_key ? layers[layer].keys : layers[layer].values;
      if (rows.head_size == 0) continue;
      std::vector<std::byte>& kept = is_key ? outcome.keys[layer] : outcome.values[layer];
      kept.resize(positions.size() * rows.head_count * rows.head_size * DTypeSize(rows.dtype));
      tasks.push_back({rows, positions, kept.data()});
    }
  }
  Batch batch;
  batch.gather = tasks;
  return RunBatch(compactor, plan, batch, context);
}

absl::Status SelectWithGuardrail(const Compactor& compactor, const Plan& plan, ExecutionContext& context,
                                 CompactionOutcome& outcome) {
  while (true) {
    if (absl::Status status = Select(compactor, plan, context, outcome); !status.ok()) return status;
    if (PassesGuardrail(plan, outcome.retained_mass)) return absl::OkStatus();
    if (plan.on_low_mass == OnLowMass::kKeepFull) {
      outcome.policy_applied = Policy::kFull;
      outcome.budget = plan.token_count;
      return Select(compactor, plan, context, outcome);
    }
    const int64_t raised = RaisedBudget(plan, outcome.budget);
    if (plan.on_low_mass == OnLowMass::kFail || raised == outcome.budget) {
      return FailedPrecondition("LOW_RETAINED_MASS", "min_retained_mass");
    }
    outcome.budget = raised;
  }
}

}  // namespace

GuardedWorkspace::GuardedWorkspace(const Compactor& compactor, const Plan& plan, const Batch& batch)
    : size_bytes_(compactor.WorkspaceBytes(plan, batch)) {
  memory_.assign(size_bytes_ + 64 + kCanaryBytes, kCanary);
  offset_ = (64 - reinterpret_cast<uintptr_t>(memory_.data()) % 64) % 64;
}

absl::Span<std::byte> GuardedWorkspace::Span() { return absl::MakeSpan(memory_.data() + offset_, size_bytes_); }

bool GuardedWorkspace::IsIntact() const {
  const std::byte* end = memory_.data() + offset_ + size_bytes_;
  return std::all_of(end, end + kCanaryBytes, [](std::byte byte) { return byte == kCanary; });
}

absl::Status RunBatch(const Compactor& compactor, const Plan& plan, const Batch& batch, ExecutionContext& context) {
  GuardedWorkspace workspace(compactor, plan, batch);
  if (absl::Status status = compactor.Enqueue(plan, batch, workspace.Span(), context); !status.ok()) return status;
  absl::Status status = compactor.Wait(context);
  return workspace.IsIntact() ? status : absl::InternalError("wrote past the workspace");
}

CompactionOutcome Compact(const Compactor& compactor, const Plan& plan, const std::vector<LayerInput>& layers,
                          ExecutionContext context) {
  CompactionOutcome outcome;
  outcome.policy_applied = plan.policy;
  outcome.budget = plan.budget;
  outcome.status = Score(compactor, plan, layers, context, outcome);
  if (!outcome.status.ok()) return outcome;
  outcome.status = SelectWithGuardrail(compactor, plan, context, outcome);
  if (!outcome.status.ok()) return outcome;
  outcome.status = Gather(compactor, plan, layers, context, outcome);
  std::vector<absl::Span<const int32_t>> positions(outcome.positions.begin(), outcome.positions.end());
  outcome.jaccard = AdjacentJaccard(positions, plan.sink_tokens, plan.past_length);
  return outcome;
}

std::function<void(size_t, const std::function<void(size_t)>&)> OnThreads(int thread_count) {
  return [thread_count](size_t count, const std::function<void(size_t)>& body) {
    std::atomic<size_t> next{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < thread_count; ++t) {
      threads.emplace_back([&] {
        for (size_t i = next.fetch_add(1); i < count; i = next.fetch_add(1)) body(count - 1 - i);
      });
    }
    for (std::thread& thread : threads) thread.join();
  };
}

}  // namespace chunkkv::testing
