// Compaction specs and outcomes between the wire and the domain.
#ifndef CHUNKKV_SERVICE_RPC_WIRE_SPEC_H_
#define CHUNKKV_SERVICE_RPC_WIRE_SPEC_H_

#include <vector>

#include "absl/status/statusor.h"
#include "chunkkv/kernels/plan.h"
#include "chunkkv/kernels/spec.h"
#include "chunkkv/v1/compaction.pb.h"
#include "chunkkv/v1/get.pb.h"
#include "service/format/entry_header.h"

namespace chunkkv::rpc {

// Enums only: numbers are checked where a Plan is made. Errors: INVALID_ARGUMENT (BAD_POLICY,
// BAD_GROUP_SCORE, BAD_CHUNK_REDUCE, BAD_ON_LOW_MASS, BAD_GROUPS, BAD_PROFILE_NAME).
absl::StatusOr<CompactionSpec> SpecFromWire(const v1::CompactionSpec& wire);
void ToWire(const CompactionSpec& spec, v1::CompactionSpec* wire);

// Errors: INVALID_ARGUMENT (BAD_SCORE_SOURCE).
absl::StatusOr<ScoreSource> ScoreSourceFromWire(int source);
v1::Policy ToWire(Policy policy);
void ToWire(const CompactionOutcome& outcome, v1::CompactionResult* wire);
std::vector<v1::CompactionResult::BudgetChange> ToWire(const BudgetChange& change);
void ToWire(const ReuseGroup& group, v1::ReuseGroup* wire);

// The groups of `header`; their kept positions where `with_positions`.
void GroupsToWire(const EntryHeader& header, bool with_positions,
                  google::protobuf::RepeatedPtrField<v1::GroupPositions>* wire);

}  // namespace chunkkv::rpc

#endif  // CHUNKKV_SERVICE_RPC_WIRE_SPEC_H_
