#include "client/cli/local_compaction.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <numeric>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "chunkkv/kernels/plan.h"
#include "chunkkv/kernels/policy.h"
#include "chunkkv/kernels/status.h"
#include "client/cli/executor_context.h"
#include "client/cli/file_views.h"
#include "client/cli/score_task.h"
#include "client/tune/batch_runner.h"
#include "service/base/executor.h"
#include "service/base/status_macros.h"
#include "service/format/attention_shapes.h"
#include "service/format/digest.h"

namespace chunkkv::cli {
namespace {

// One compaction from plan to header; a helper of CompactPromptFile and no longer-lived.
class LocalCompaction {
 public:
  LocalCompaction(const PromptFile& file, Plan plan, const LocalCompactionOptions& options)
      : file_(file),
        plan_(std::move(plan)),
        options_(options),
        layers_(AttentionLayers(file.layout())),
        executor_(std::max(1u, std::thread::hardware_concurrency())),
        runner_(*options.compactor, ContextOn(executor_)) {
    scores_.resize(layers_.size());
    positions_.resize(plan_.groups.size());
    masses_.resize(layers_.size(), -1);
  }

  absl::StatusOr<CompactedPrompt> Run(const CompactionSpec& spec) {
    const bool stage_all = plan_.has_min_retained_mass;
    int64_t budget = plan_.budget;
    if (!stage_all) CHUNKKV_RETURN_IF_ERROR(LayOut(budget));
    for (int32_t group = 0; group < GroupCount(); ++group) {
      CHUNKKV_RETURN_IF_ERROR(Score(group));
      CHUNKKV_RETURN_IF_ERROR(Select(group, budget));
      if (!stage_all) CHUNKKV_RETURN_IF_ERROR(Gather(group));
      Report(group + 1);
    }
    if (stage_all) {
      CHUNKKV_RETURN_IF_ERROR(MeetGuardrail(&budget));
      CHUNKKV_RETURN_IF_ERROR(LayOut(budget));
      for (int32_t group = 0; group < GroupCount(); ++group) CHUNKKV_RETURN_IF_ERROR(Gather(group));
    }
    CopyNamedTensors();
    return Finish(spec, budget);
  }

 private:
  int32_t GroupCount() const { return static_cast<int32_t>(plan_.groups.size()); }

  void Report(int32_t groups_done) {
    if (options_.on_progress) options_.on_progress(groups_done, GroupCount());
  }

  absl::Status RunBatch(const Batch& batch) { return runner_.Run(plan_, batch); }

  // Token scores of the group's scored layers.
  absl::Status Score(int32_t group) {
    const ReuseGroup& reuse = plan_.groups[group];
    std::vector<ScoreTask> tasks;
    FileViews views(file_);
    for (int32_t index = reuse.first_layer; index < reuse.first_layer + reuse.layer_count; ++index) {
      if (!plan_.NeedsScores() || !plan_.IsScored(index)) continue;
      scores_[index].resize(std::max<int64_t>(plan_.past_length, 1));
      if (plan_.KeepsEverything()) continue;  // nothing is chosen: no key is read
      tasks.push_back(ScoreTaskOf(file_, plan_, layers_[index], index, scores_[index].data(), views));
      tasks.back().allows_chunk_means = AllowsChunkMeans(plan_);
    }
    if (tasks.empty()) return absl::OkStatus();
    return RunBatch({.score = tasks});
  }

  absl::Status Select(int32_t group, int64_t budget) {
    const ReuseGroup& reuse = plan_.groups[group];
    std::vector<const float*> scores;
    std::vector<int32_t> scored;
    for (int32_t index = reuse.first_layer; index < reuse.first_layer + reuse.layer_count; ++index) {
      if (scores_[index].empty()) continue;
      scores.push_back(scores_[index].data());
      scored.push_back(index);
    }
    std::vector<double> masses(scores.size());
    positions_[group].resize(budget);
    const SelectTask task{group, budget, scores, positions_[group].data(), masses.empty() ? nullptr : masses.data()};
    CHUNKKV_RETURN_IF_ERROR(RunBatch({.select = {&task, 1}}));
    for (size_t i = 0; i < scored.size(); ++i) masses_[scored[i]] = masses[i];
    return absl::OkStatus();
  }

  bool MassesPass() const {
    return std::all_of(masses_.begin(), masses_.end(),
                       [&](double mass) { return mass < 0 || mass >= plan_.min_retained_mass; });
  }

  absl::Status MeetGuardrail(int64_t* budget) {
    while (!MassesPass() && plan_.on_low_mass == OnLowMass::kRaiseBudget) {
      const int64_t raised = RaisedBudget(plan_, *budget);
      if (raised <= *budget) break;
      *budget = raised;
      outcome_.raised_for_mass = true;
      for (int32_t group = 0; group < GroupCount(); ++group) CHUNKKV_RETURN_IF_ERROR(Select(group, *budget));
    }
    if (MassesPass()) return absl::OkStatus();
    if (plan_.on_low_mass == OnLowMass::kKeepFull) {
      *budget = plan_.token_count;
      outcome_.kept_full_for_mass = true;
      for (int32_t group = 0; group < GroupCount(); ++group) CHUNKKV_RETURN_IF_ERROR(Select(group, *budget));
      return absl::OkStatus();
    }
    std::string text = absl::StrCat("min_retained_mass ", plan_.min_retained_mass, " is not met at a budget of ",
                                    *budget, " tokens; retained mass of layers");
    for (size_t index = 0; index < masses_.size() && text.size() < 900; ++index) {
      if (masses_[index] >= 0) absl::StrAppend(&text, " ", layers_[index], "=", masses_[index]);
    }
    return FailedPrecondition("LOW_RETAINED_MASS", text);
  }

  // Places every tensor of the result and makes its memory.
  absl::Status LayOut(int64_t budget) {
    const bool everything = budget == plan_.token_count;
    EntryHeader& header = result_.header;
    header.layout = file_.layout();
    for (LayerRun& run : header.layout) {
      if (run.is_attention()) run.attention->head_major_parts = false;
    }
    header.groups = plan_.groups;
    header.row_counts.assign(plan_.groups.size(), budget);
    const int64_t positions_bytes = everything ? 0 : GroupCount() * budget * static_cast<int64_t>(sizeof(int32_t));
    CHUNKKV_ASSIGN_OR_RETURN(header.tensors,
                             LayOutBody(header.layout, header.groups, header.row_counts, positions_bytes));
    header.positions.assign(plan_.groups.size(), {});
    result_.body = std::make_unique_for_overwrite<std::byte[]>(std::max<int64_t>(header.BodyBytes(), positions_bytes));
    return absl::OkStatus();
  }

  absl::Status Gather(int32_t group) {
    const ReuseGroup& reuse = plan_.groups[group];
    const std::vector<int32_t>& kept = positions_[group];
    EntryHeader& header = result_.header;
    if (static_cast<int64_t>(kept.size()) < plan_.token_count) {
      header.positions[group] = kept;
      std::memcpy(result_.body.get() + group * kept.size() * sizeof(int32_t), kept.data(),
                  kept.size() * sizeof(int32_t));
    }
    std::vector<GatherTask> gathers;
    std::vector<RotateTask> rotations;
    FileViews views(file_);
    for (const TensorSlot& slot : header.tensors) {
      if (!slot.spec.is_per_token()) continue;
      const int32_t index = AttentionIndex(header.layout, slot.spec.layer);
      if (plan_.GroupOf(index) != group || slot.size_bytes == 0) continue;
      std::byte* destination = result_.body.get() + slot.offset;
      const SafetensorsTensor& source = *file_.Find(slot.spec.layer, slot.spec.name);
      gathers.push_back({views.Rows(source), kept, destination});
      if (slot.spec.kind == TensorKind::kKeys && options_.position_mode == PositionMode::kContiguous) {
        const RopeShape& rope = *FindRun(header.layout, slot.spec.layer)->attention->rope;
        rotations.push_back(
            {TokenMajorRows(destination, slot.spec.dtype, slot.row_count, slot.spec.head_count, slot.spec.head_size),
             kept, &rope, destination});
      }
    }
    CHUNKKV_RETURN_IF_ERROR(RunBatch({.gather = gathers, .rotate = rotations}));
    for (int32_t index = reuse.first_layer; index < reuse.first_layer + reuse.layer_count; ++index) {
      for (const char* name : {"k", "v", "q", "attention"}) {
        if (const SafetensorsTensor* tensor = file_.Find(layers_[index], name)) file_.Release(*tensor);
      }
    }
    return absl::OkStatus();
  }

  void CopyNamedTensors() {
    for (const TensorSlot& slot : result_.header.tensors) {
      if (slot.spec.is_per_token() || slot.size_bytes == 0) continue;
      const auto bytes = file_.Bytes(*file_.Find(slot.spec.layer, slot.spec.name));
      std::memcpy(result_.body.get() + slot.offset, bytes.data(), bytes.size());
    }
  }

  CompactedPrompt Finish(const CompactionSpec& spec, int64_t budget) {
    EntryHeader& header = result_.header;
    executor_.RunParallel(header.tensors.size(), [&](size_t i) {
      TensorSlot& slot = header.tensors[i];
      slot.digest = DigestTensor({result_.body.get() + slot.offset, static_cast<size_t>(slot.size_bytes)});
    });
    header.entry_digest = EntryDigest(header.tensors);
    header.spec = spec;
    header.variant = VariantOf(spec);
    outcome_.policy_applied = outcome_.kept_full_for_mass ? Policy::kFull : spec.policy;
    outcome_.budget = budget;
    outcome_.budget_change = plan_.budget_change;
    for (size_t index = 0; index < masses_.size(); ++index) {
      if (masses_[index] >= 0) outcome_.retained_mass.push_back({layers_[index], masses_[index]});
    }
    const std::vector<absl::Span<const int32_t>> lists(positions_.begin(), positions_.end());
    outcome_.adjacent_jaccard = AdjacentJaccard(lists, plan_.sink_tokens, plan_.past_length);
    header.outcome = outcome_;
    header.token_count = plan_.token_count;
    header.keys_contiguous = options_.position_mode == PositionMode::kContiguous;
    header.next_position = header.keys_contiguous ? budget : plan_.token_count;
    header.created_unix_ms =
        std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch())
            .count();
    if (const RecordHead* record = file_.record()) {
      header.model = record->header.model;
      header.shard = record->header.shard;
      header.key = record->header.key;
    }
    return std::move(result_);
  }

  const PromptFile& file_;
  const Plan plan_;
  const LocalCompactionOptions& options_;
  const std::vector<int32_t> layers_;  // numbers of the attention layers
  Executor executor_;
  tune::BatchRunner runner_;
  std::vector<std::vector<float>> scores_;       // per attention layer; empty: not scored
  std::vector<double> masses_;                   // per attention layer; -1: not scored
  std::vector<std::vector<int32_t>> positions_;  // per group
  CompactionOutcome outcome_;
  CompactedPrompt result_;
};

absl::Status CheckPositionMode(const Layout& layout, PositionMode mode) {
  if (mode == PositionMode::kOriginal) return absl::OkStatus();
  for (const LayerRun& run : layout) {
    if (run.is_attention() && !run.attention->rope) {
      return FailedPrecondition(
          "NO_ROPE", absl::StrCat("contiguous positions need metadata rope; layer ", run.first_layer, " has none"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ScoringPlan> PlanScoring(const PromptFile& file, const CompactionSpec& spec) {
  ScoringPlan scoring;
  CompactionShape shape;
  shape.token_count = file.token_count();
  shape.layers = AttentionShapes(file.layout());
  if (!ChoosesByScores(spec.policy)) {
    CHUNKKV_ASSIGN_OR_RETURN(scoring.plan, MakePlan(spec, shape));
    return scoring;
  }
  const std::vector<int32_t> layers = AttentionLayers(file.layout());
  // Which layers are scored is the plan's to say, so it is made once for any source and then for the one they have.
  shape.source = ScoreSource::kTokenScores;
  CHUNKKV_ASSIGN_OR_RETURN(const Plan draft, MakePlan(spec, shape));
  for (size_t index = 0; index < layers.size(); ++index) {
    if (draft.IsScored(static_cast<int32_t>(index))) scoring.scored_layers.push_back(layers[index]);
  }
  CHUNKKV_ASSIGN_OR_RETURN(scoring.inputs, file.CheckScores(scoring.scored_layers, draft.window_length));
  shape.source = scoring.inputs.source;
  shape.has_lse = scoring.inputs.has_lse;
  CHUNKKV_ASSIGN_OR_RETURN(scoring.plan, MakePlan(spec, shape));
  return scoring;
}

absl::StatusOr<CompactedPrompt> CompactPromptFile(const PromptFile& file, const CompactionSpec& spec,
                                                  const LocalCompactionOptions& options) {
  if (file.record() != nullptr && file.record()->header.outcome.policy_applied != Policy::kFull) {
    return FailedPrecondition("ALREADY_COMPACTED", "the input is the record of a compacted entry");
  }
  if (spec.policy == Policy::kExternal) {
    return InvalidArgument("BAD_POLICY",
                           "--policy external has nothing to choose here; its positions are the caller's");
  }
  if (file.record() != nullptr) CHUNKKV_RETURN_IF_ERROR(file.VerifyRecord().status());
  CHUNKKV_RETURN_IF_ERROR(CheckPositionMode(file.layout(), options.position_mode));
  CHUNKKV_ASSIGN_OR_RETURN(ScoringPlan scoring, PlanScoring(file, spec));
  return LocalCompaction(file, std::move(scoring.plan), options).Run(spec);
}

}  // namespace chunkkv::cli
