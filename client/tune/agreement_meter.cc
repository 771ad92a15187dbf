#include "client/tune/agreement_meter.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "chunkkv/kernels/policy.h"
#include "chunkkv/kernels/status.h"
#include "service/base/status_macros.h"
#include "service/format/reuse_profile.h"

namespace chunkkv::tune {
namespace {

absl::Status CheckScores(absl::Span<const float> scores, size_t layer, int64_t past_length) {
  if (static_cast<int64_t>(scores.size()) != past_length) {
    return InvalidArgument("BAD_SCORES",
                           absl::StrCat("layer ", layer, " has ", scores.size(), " token scores, not ", past_length));
  }
  for (const float score : scores) {
    if (!std::isfinite(score)) {
      return InvalidArgument("NON_FINITE_INPUT", absl::StrCat("layer ", layer, ": NaN or Inf in token scores"));
    }
    if (score < 0) return InvalidArgument("NEGATIVE_SCORES", absl::StrCat("layer ", layer, ": negative token scores"));
  }
  return absl::OkStatus();
}

double KeptScore(absl::Span<const float> scores, absl::Span<const int32_t> positions) {
  double kept = 0;
  for (const int32_t position : positions) {
    if (position >= static_cast<int64_t>(scores.size())) break;  // the window
    kept += scores[position];
  }
  return kept;
}

double RetainedMass(absl::Span<const float> scores, absl::Span<const int32_t> positions) {
  const double all = std::accumulate(scores.begin(), scores.end(), 0.0);
  return all > 0 ? KeptScore(scores, positions) / all : 1;
}

// Of a layer that keeps `positions` instead of its own choice: both retained masses are shares of the same sum. A layer
// whose own choice holds nothing loses nothing.
double RelativeLoss(absl::Span<const float> scores, absl::Span<const int32_t> positions,
                    absl::Span<const int32_t> own_choice) {
  const double own = KeptScore(scores, own_choice);
  return own > 0 ? 1 - KeptScore(scores, positions) / own : 0;
}

void Count(double loss, int64_t prompt, Loss* sum) {
  sum->mean += loss;
  if (sum->worst_prompt < 0 || loss > sum->worst) {
    sum->worst = loss;
    sum->worst_prompt = prompt;
  }
}

}  // namespace

AgreementMeter::AgreementMeter(const CompactionSpec& spec, int32_t max_group, const Compactor& compactor,
                               ExecutionContext context)
    : spec_(OwnChoice(spec)), max_group_(max_group), runner_(compactor, std::move(context)) {}

// Of `run_length` layers that are one group: what their heads are does not matter to a choice.
absl::StatusOr<Plan> AgreementMeter::PlanRun(const RecordedPrompt& prompt, int32_t run_length) const {
  CompactionSpec spec = spec_;
  spec.chunk_starts = prompt.chunk_starts;
  spec.reuse_group = run_length;
  spec.group_score = GroupScore::kSum;
  CompactionShape shape;
  shape.token_count = prompt.token_count;
  shape.source = ScoreSource::kTokenScores;
  AttentionShape layer;
  layer.query_head_count = layer.kv_head_count = layer.key_head_size = 1;
  shape.layers.assign(run_length, layer);
  return MakePlan(spec, shape);
}

absl::Status AgreementMeter::CheckPrompt(const RecordedPrompt& prompt, int64_t past_length) const {
  const auto layer_count = static_cast<int32_t>(prompt.scores.size());
  if (layer_count == 0) return InvalidArgument("LAYERS_DIFFER", "the prompt has no attention layers");
  if (layer_count_ > 0 && layer_count != layer_count_) {
    return InvalidArgument("LAYERS_DIFFER", absl::StrCat("the prompt has ", layer_count,
                                                         " attention layers, those before have ", layer_count_));
  }
  if (layer_count_ > 0 && spec_.policy == Policy::kChunkKv && has_given_chunks_ == prompt.chunk_starts.empty()) {
    return InvalidArgument("MIXED_CHUNKS", "some prompts have given chunks and some do not");
  }
  for (size_t layer = 0; layer < prompt.scores.size(); ++layer) {
    CHUNKKV_RETURN_IF_ERROR(CheckScores(prompt.scores[layer], layer, past_length));
  }
  return absl::OkStatus();
}

void AgreementMeter::Begin(const RecordedPrompt& prompt) {
  layer_count_ = static_cast<int32_t>(prompt.scores.size());
  has_given_chunks_ = !prompt.chunk_starts.empty();
  sums_.losses = LossTable(layer_count_, max_group_);
  sums_.own_mass.resize(layer_count_);
  for (int32_t layer = 0; layer < layer_count_; ++layer) {
    sums_.jaccard.emplace_back(std::min(sums_.losses.max_group() - 1, layer_count_ - 1 - layer));
  }
}

absl::StatusOr<AgreementMeter::Choices> AgreementMeter::Choose(const RecordedPrompt& prompt, int32_t run_length) {
  CHUNKKV_ASSIGN_OR_RETURN(const Plan plan, PlanRun(prompt, run_length));
  std::vector<const float*> scores;
  for (const std::vector<float>& layer : prompt.scores) scores.push_back(layer.data());
  Choices choices(scores.size() - run_length + 1, std::vector<int32_t>(plan.budget));
  std::vector<SelectTask> tasks;
  for (size_t first = 0; first < choices.size(); ++first) {
    const absl::Span<const float* const> run(scores.data() + first, run_length);
    tasks.push_back({0, plan.budget, run, choices[first].data(), nullptr});
  }
  CHUNKKV_RETURN_IF_ERROR(runner_.Run(plan, {.select = tasks}));
  return choices;
}

void AgreementMeter::CountOwn(const RecordedPrompt& prompt, const Plan& plan, const Choices& own) {
  for (int32_t layer = 0; layer < layer_count_; ++layer) {
    sums_.own_mass[layer] += RetainedMass(prompt.scores[layer], own[layer]);
    for (size_t other = 0; other < sums_.jaccard[layer].size(); ++other) {
      const absl::Span<const int32_t> pair[] = {own[layer], own[layer + 1 + other]};
      sums_.jaccard[layer][other] += AdjacentJaccard(pair, plan.sink_tokens, plan.past_length)[0];
    }
  }
}

void AgreementMeter::CountLed(const RecordedPrompt& prompt, const Choices& own) {
  const int32_t max_group = sums_.losses.max_group();
  for (int32_t leader = 0; leader < layer_count_; ++leader) {
    const int32_t end = std::min(layer_count_, leader + max_group);
    for (int32_t follower = std::max(0, leader - max_group + 1); follower < end; ++follower) {
      Count(RelativeLoss(prompt.scores[follower], own[leader], own[follower]), sums_.PromptIndex(),
            &sums_.losses.Led(leader, follower));
    }
  }
}

void AgreementMeter::CountSummed(const RecordedPrompt& prompt, const Choices& together, int32_t run_length,
                                 const Choices& own) {
  for (int32_t first = 0; first + run_length <= layer_count_; ++first) {
    for (int32_t layer = first; layer < first + run_length; ++layer) {
      Count(RelativeLoss(prompt.scores[layer], together[first], own[layer]), sums_.PromptIndex(),
            &sums_.losses.Summed(first, run_length, layer));
    }
  }
}

absl::StatusOr<bool> AgreementMeter::Add(const RecordedPrompt& prompt) {
  if (!ChoosesByScores(spec_.policy)) {
    return InvalidArgument("NO_AGREEMENT_TO_MEASURE", "this policy keeps the same tokens in every layer");
  }
  CHUNKKV_ASSIGN_OR_RETURN(const Plan plan, PlanRun(prompt, 1));
  if (plan.KeepsEverything() || plan.budget == plan.window_length + plan.sink_tokens) {
    ++sums_.skipped_count;
    return false;
  }
  CHUNKKV_RETURN_IF_ERROR(CheckPrompt(prompt, plan.past_length));
  const int32_t longest_run = std::min(max_group_, static_cast<int32_t>(prompt.scores.size()));
  std::vector<Choices> choices;  // of runs of 1, 2, ... layers
  for (int32_t run_length = 1; run_length <= longest_run; ++run_length) {
    CHUNKKV_ASSIGN_OR_RETURN(choices.emplace_back(), Choose(prompt, run_length));
  }
  if (layer_count_ == 0) Begin(prompt);
  const Choices& own = choices[0];
  CountOwn(prompt, plan, own);
  CountLed(prompt, own);
  for (int32_t run_length = 1; run_length <= longest_run; ++run_length) {
    CountSummed(prompt, choices[run_length - 1], run_length, own);
  }
  ++sums_.prompt_count;
  sums_.token_count += prompt.token_count;
  return true;
}

LayerAgreement AgreementMeter::Agreement() const {
  LayerAgreement agreement = sums_;
  if (agreement.prompt_count == 0) return agreement;
  const auto count = static_cast<double>(agreement.prompt_count);
  for (double& mass : agreement.own_mass) mass /= count;
  for (std::vector<double>& row : agreement.jaccard) {
    for (double& similarity : row) similarity /= count;
  }
  agreement.losses.DivideMeans(count);
  return agreement;
}

}  // namespace chunkkv::tune
