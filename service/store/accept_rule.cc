#include "service/store/accept_rule.h"

#include <tuple>

namespace chunkkv {
namespace {

int64_t RowsOfAllLayers(const EntryHeader& header) {
  int64_t rows = 0;
  for (size_t g = 0; g < header.groups.size() && g < header.row_counts.size(); ++g) {
    rows += header.groups[g].layer_count * header.row_counts[g];
  }
  return rows;
}

double MeanMass(const EntryHeader& header) {
  double sum = 0;
  for (const LayerMass& layer : header.outcome.retained_mass) sum += layer.mass;
  return header.outcome.retained_mass.empty() ? 0 : sum / static_cast<double>(header.outcome.retained_mass.size());
}

bool IsFull(const EntryHeader& header) { return header.outcome.policy_applied == Policy::kFull; }

}  // namespace

bool Accepts(const AcceptRule& rule, const EntryHeader& header) {
  switch (rule.kind) {
    case AcceptRule::Kind::kExact:
      return IsFull(header);
    case AcceptRule::Kind::kVariant:
      return header.variant == rule.variant;
    case AcceptRule::Kind::kLeastLossy:
      return true;
  }
  return false;
}

bool AwaitsVariant(const AcceptRule& rule, const Bytes32& variant) {
  switch (rule.kind) {
    case AcceptRule::Kind::kExact:
      return variant == kExactVariant;
    case AcceptRule::Kind::kVariant:
      return variant == rule.variant;
    case AcceptRule::Kind::kLeastLossy:
      return true;
  }
  return false;
}

bool IsLessLossy(const EntryHeader& a, const EntryHeader& b) {
  const auto rank = [](const EntryHeader& header) {
    return std::make_tuple(header.IsExact(), IsFull(header), RowsOfAllLayers(header), MeanMass(header),
                           header.created_unix_ms);
  };
  return rank(a) > rank(b);
}

}  // namespace chunkkv
