// Everything that is known of an entry beside its bytes: the metadata of a record, and of an entry in memory.
#ifndef CHUNKKV_SERVICE_FORMAT_ENTRY_HEADER_H_
#define CHUNKKV_SERVICE_FORMAT_ENTRY_HEADER_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "chunkkv/kernels/plan.h"
#include "chunkkv/kernels/spec.h"
#include "service/format/bytes.h"
#include "service/format/identity.h"
#include "service/format/layout.h"

namespace chunkkv {

struct LayerMass {
  int32_t layer = 0;  // within the shard
  double mass = 0;
};

struct CompactionOutcome {
  Policy policy_applied = Policy::kFull;
  int64_t budget = 0;  // rows per layer; 0 where EXTERNAL lists differ in length
  BudgetChange budget_change;
  bool raised_for_mass = false;
  bool kept_full_for_mass = false;
  std::vector<LayerMass> retained_mass;
  std::vector<double> adjacent_jaccard;
};

// Where a tensor lies in the body.
struct TensorSlot {
  TensorSpec spec;
  int64_t row_count = 0;  // per-token tensors
  int64_t offset = 0;     // from the body's start
  int64_t size_bytes = 0;
  Bytes16 digest{};
};

struct EntryHeader {
  // Identity. A record written without a server may lack all but the layout; an import supplies them.
  std::optional<std::string> tenant;
  std::optional<ModelIdentity> model;
  std::optional<Shard> shard;
  std::optional<Bytes32> key;
  Bytes32 variant{};
  std::vector<Bytes32> block_digests;  // as sent; kept in memory only, never written (the store keeps HMACs)
  int32_t block_size = 64;

  Bytes16 entry_id{};
  CompactionSpec spec;  // as requested
  CompactionOutcome outcome;
  Layout layout;
  int64_t token_count = 0;  // L
  int64_t next_position = 0;
  bool keys_contiguous = false;
  std::vector<ReuseGroup> groups;  // over attention layers
  // Per group, ascending; empty where its row count is L (everything was kept) or 0. In the body they lie as int32.
  std::vector<std::vector<int32_t>> positions;
  std::vector<int64_t> row_counts;        // per group
  std::vector<TensorSlot> tensors;        // in body order, see LayOutBody
  Bytes16 entry_digest{};                 // over the tensors' digests in body order
  std::optional<Bytes16> content_digest;  // over K and V as sent, where all of it was seen
  int64_t created_unix_ms = 0;
  int64_t expires_unix_ms = 0;  // 0: never

  int64_t BodyBytes() const;
  // Null where there is no such tensor.
  const TensorSlot* FindTensor(int32_t layer, TensorKind kind, std::string_view name) const;
  bool IsExact() const { return outcome.policy_applied == Policy::kFull && variant == kExactVariant; }
};

// Bytes of the positions lists at the start of a body: those of the groups, in order, that did not keep everything.
int64_t PositionsBytes(const std::vector<int64_t>& row_counts, int64_t token_count);

// Slots of every tensor for these row counts (one a group), without digests. Order: positions lists first (see
// PositionsBytes), then by falling alignment (4, 2, 1 bytes; VERBATIM 1), then by layer, then as LayerTensors: the body
// of a record and of an entry in memory. positions tensors are not in the result; `positions_bytes` is where the first
// slot begins.
// Errors: INVALID_ARGUMENT: BAD_GROUPS (groups or row counts that do not cover the attention layers), SIZE_OVERFLOW.
absl::StatusOr<std::vector<TensorSlot>> LayOutBody(const Layout& layout, const std::vector<ReuseGroup>& groups,
                                                   const std::vector<int64_t>& row_counts, int64_t positions_bytes);

// XXH3-128 over the digests of `tensors` in order.
Bytes16 EntryDigest(const std::vector<TensorSlot>& tensors);

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_FORMAT_ENTRY_HEADER_H_
