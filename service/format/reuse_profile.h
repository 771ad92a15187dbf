// Reuse groups that were measured on a model, and what they cost there; `chunkkv tune` makes them.
//
// Normative text of the JSON: README.md. A profile belongs to one model, by its fingerprint, and is a promise for one
// way of choosing only: its spec.
#ifndef CHUNKKV_SERVICE_FORMAT_REUSE_PROFILE_H_
#define CHUNKKV_SERVICE_FORMAT_REUSE_PROFILE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "chunkkv/kernels/spec.h"
#include "service/format/identity.h"

namespace chunkkv {

struct ReuseProfile {
  // What one attention layer kept, as means over the prompts. A loss is 1 - retained mass in the layer's group /
  // retained mass of its own choice.
  struct Layer {
    double own_mass = 0;
    double mean_loss = 0;
    double worst_loss = 0;  // of one prompt
    bool operator==(const Layer&) const = default;
  };

  std::string name;
  ModelIdentity model;
  CompactionSpec spec;                   // how a layer chose: no groups, no guardrail, no chunk_starts
  bool given_chunks = false;             // whether chunks were given by the prompts, not a grid
  double max_loss = 0;                   // bound of every mean_loss
  std::optional<double> max_worst_loss;  // bound of every worst_loss
  int64_t prompt_count = 0;
  int64_t token_count = 0;         // of all prompts
  std::vector<ReuseGroup> groups;  // over attention layers, in order; no leader: all choose together
  std::vector<Layer> layers;       // attention layers
};

// JSON that ParseReuseProfile reads back, with a newline at its end.
std::string ReuseProfileText(const ReuseProfile& profile);

// Errors: INVALID_ARGUMENT BAD_PROFILE naming the member: malformed, unknown, missing, out of range, contradicting
// another one; UNIMPLEMENTED PROFILE_FORMAT_NEWER.
absl::StatusOr<ReuseProfile> ParseReuseProfile(std::string_view text);

// Errors: those of ParseReuseProfile and FileStatus; INVALID_ARGUMENT BAD_PROFILE for what is too large to be one.
absl::StatusOr<ReuseProfile> ReadReuseProfile(const std::string& path);
// Whole or not at all. Errors: those of FileStatus.
absl::Status WriteReuseProfile(const std::string& path, const ReuseProfile& profile);

// Whether `profile` was measured with the choice that `spec` asks for, groups and guardrail aside; else its losses say
// nothing about it.
bool IsMeasuredWith(const ReuseProfile& profile, const CompactionSpec& spec);

// `spec` without groups, reuse_group, group_score, profile, guardrail and chunk_starts: how one layer chooses for itself.
CompactionSpec OwnChoice(const CompactionSpec& spec);

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_FORMAT_REUSE_PROFILE_H_
