// Chooses the kept positions of each reuse group as token scores come in, and holds the guardrail.
// Source: compaction of the design, sections 3, 4 and 7.
#ifndef CHUNKKV_SERVICE_SESSION_GROUP_SELECTOR_H_
#define CHUNKKV_SERVICE_SESSION_GROUP_SELECTOR_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "service/format/entry_header.h"
#include "service/session/compaction_runner.h"
#include "service/session/put_plan.h"

namespace chunkkv {

// Ascending; shared with whoever reports them. Null: everything of [0, L).
using PositionsPtr = std::shared_ptr<const std::vector<int32_t>>;

// Not thread-safe. Everything given must outlive it.
class GroupSelector {
 public:
  GroupSelector(const PutPlan& put, CompactionRunner& runner);

  // Token scores [P] of a scored layer; must live until its group, or with decides_last every group, is selected.
  void AddScores(int32_t attention_layer, const float* token_scores);
  // Whether all layers that choose for `group`, or for all groups, have their scores.
  bool IsReady(int32_t group) const;
  bool AreAllReady() const;

  // Positions of one group under FAIL, or of a policy without scores.
  // Errors: FAILED_PRECONDITION (LOW_RETAINED_MASS) with the masses known so far.
  absl::StatusOr<PositionsPtr> Select(int32_t group);
  // Positions of all groups under RAISE_BUDGET and KEEP_FULL. Errors: as Select, with all masses.
  absl::StatusOr<std::vector<PositionsPtr>> SelectAll();
  // Every layer keeps everything, as the plan says: masses are 1.
  void KeepEverything();

  int64_t budget() const { return budget_; }
  bool raised_for_mass() const { return raised_for_mass_; }
  bool kept_full_for_mass() const { return kept_full_for_mass_; }
  // Per scored layer, in layer order.
  std::vector<LayerMass> Masses() const;

 private:
  absl::StatusOr<PositionsPtr> SelectAt(int32_t group, int64_t budget);
  // The first scored layer below the guardrail; -1: none.
  int32_t FirstLowLayer() const;
  absl::Status LowMass(int32_t attention_layer) const;

  const PutPlan& put_;
  CompactionRunner& runner_;
  std::vector<const float*> token_scores_;  // per attention layer
  std::vector<double> masses_;              // per attention layer; negative: not known
  int64_t budget_;
  bool raised_for_mass_ = false;
  bool kept_full_for_mass_ = false;
};

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_SESSION_GROUP_SELECTOR_H_
