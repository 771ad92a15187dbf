#include "service/session/group_selector.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "chunkkv/kernels/status.h"
#include "service/base/status_macros.h"

namespace chunkkv {
namespace {

// Masses in an error's text, which must stay within 1 KiB.
constexpr int kMostMassesShown = 40;

std::vector<int32_t> ChoosingLayers(const Plan& plan, int32_t group_index) {
  const ReuseGroup& group = plan.groups[group_index];
  std::vector<int32_t> layers;
  for (int32_t layer = group.first_layer; layer < group.first_layer + group.layer_count; ++layer) {
    if (plan.IsScored(layer)) layers.push_back(layer);
  }
  return layers;
}

}  // namespace

GroupSelector::GroupSelector(const PutPlan& put, CompactionRunner& runner)
    : put_(put),
      runner_(runner),
      token_scores_(put.plan.layers.size(), nullptr),
      masses_(put.plan.layers.size(), -1),
      budget_(put.plan.budget) {}

void GroupSelector::AddScores(int32_t attention_layer, const float* token_scores) {
  token_scores_[attention_layer] = token_scores;
}

bool GroupSelector::IsReady(int32_t group) const {
  for (const int32_t layer : ChoosingLayers(put_.plan, group)) {
    if (token_scores_[layer] == nullptr) return false;
  }
  return true;
}

bool GroupSelector::AreAllReady() const {
  for (size_t group = 0; group < put_.plan.groups.size(); ++group) {
    if (!IsReady(static_cast<int32_t>(group))) return false;
  }
  return true;
}

absl::StatusOr<PositionsPtr> GroupSelector::SelectAt(int32_t group, int64_t budget) {
  const std::vector<int32_t> layers = ChoosingLayers(put_.plan, group);
  std::vector<const float*> scores;
  for (const int32_t layer : layers) scores.push_back(token_scores_[layer]);
  std::vector<double> masses(layers.size());
  auto positions = std::make_shared<std::vector<int32_t>>(budget);
  SelectTask select;
  select.group = group;
  select.budget = budget;
  select.token_scores = scores;
  select.positions = positions->data();
  select.retained_mass = masses.empty() ? nullptr : masses.data();
  Batch batch;
  batch.select = absl::MakeConstSpan(&select, 1);
  CHUNKKV_RETURN_IF_ERROR(runner_.Run(batch));
  for (size_t i = 0; i < layers.size(); ++i) masses_[layers[i]] = masses[i];
  return PositionsPtr(std::move(positions));
}

int32_t GroupSelector::FirstLowLayer() const {
  if (!put_.plan.has_min_retained_mass) return -1;
  for (size_t layer = 0; layer < masses_.size(); ++layer) {
    if (masses_[layer] >= 0 && masses_[layer] < put_.plan.min_retained_mass) return static_cast<int32_t>(layer);
  }
  return -1;
}

absl::Status GroupSelector::LowMass(int32_t attention_layer) const {
  std::string text = absl::StrCat("layer ", put_.layer_of_attention[attention_layer], " keeps ",
                                  masses_[attention_layer], " of its token scores with ", budget_,
                                  " tokens, below min_retained_mass ", put_.plan.min_retained_mass, "; masses:");
  int shown = 0;
  for (const LayerMass& mass : Masses()) {
    if (shown++ == kMostMassesShown) {
      absl::StrAppend(&text, " ...");
      break;
    }
    absl::StrAppend(&text, shown == 1 ? " " : ", ", mass.layer, ": ", mass.mass);
  }
  return FailedPrecondition("LOW_RETAINED_MASS", text);
}

absl::StatusOr<PositionsPtr> GroupSelector::Select(int32_t group) {
  CHUNKKV_ASSIGN_OR_RETURN(PositionsPtr positions, SelectAt(group, budget_));
  if (const int32_t low = FirstLowLayer(); low >= 0) return LowMass(low);
  return positions;
}

absl::StatusOr<std::vector<PositionsPtr>> GroupSelector::SelectAll() {
  const size_t group_count = put_.plan.groups.size();
  while (budget_ < put_.plan.token_count) {
    std::vector<PositionsPtr> positions;
    for (size_t group = 0; group < group_count; ++group) {
      CHUNKKV_ASSIGN_OR_RETURN(PositionsPtr chosen, SelectAt(static_cast<int32_t>(group), budget_));
      positions.push_back(std::move(chosen));
    }
    const int32_t low = FirstLowLayer();
    if (low < 0) return positions;
    if (put_.plan.on_low_mass == OnLowMass::kKeepFull) {
      kept_full_for_mass_ = true;
      break;
    }
    const int64_t raised = RaisedBudget(put_.plan, budget_);
    if (raised == budget_) return LowMass(low);
    raised_for_mass_ = true;
    budget_ = raised;
  }
  KeepEverything();
  return std::vector<PositionsPtr>(group_count, nullptr);
}

void GroupSelector::KeepEverything() {
  budget_ = put_.plan.token_count;
  for (size_t layer = 0; layer < masses_.size(); ++layer) {
    if (put_.plan.IsScored(static_cast<int32_t>(layer))) masses_[layer] = 1;
  }
}

std::vector<LayerMass> GroupSelector::Masses() const {
  std::vector<LayerMass> masses;
  for (size_t layer = 0; layer < masses_.size(); ++layer) {
    if (masses_[layer] >= 0) masses.push_back({put_.layer_of_attention[layer], masses_[layer]});
  }
  return masses;
}

}  // namespace chunkkv
