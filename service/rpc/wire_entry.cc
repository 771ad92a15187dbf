#include "service/rpc/wire_entry.h"

#include <algorithm>

#include "service/format/digest.h"
#include "service/rpc/wire_bytes.h"
#include "service/rpc/wire_identity.h"
#include "service/rpc/wire_layout.h"
#include "service/rpc/wire_part.h"
#include "service/rpc/wire_spec.h"

namespace chunkkv::rpc {
namespace {

bool IsTokenRange(const ServeOptions& options) { return options.token_count >= 0; }

// Where decoding goes on after what is served.
int64_t NextPosition(const EntryHeader& header, const ServedRange& range) {
  const ServeOptions& options = range.options;
  const bool contiguous = options.position_mode == PositionMode::kContiguous && !header.keys_contiguous;
  if (IsTokenRange(options)) return contiguous ? options.token_count : options.first_token + options.token_count;
  if (!contiguous) return header.next_position;
  // Rows sit at 0..rows-1; what the original numbering had beyond its tokens stays beyond.
  int64_t rows = header.row_counts.empty() ? header.token_count : 0;
  for (const int64_t count : header.row_counts) rows = std::max(rows, count);
  return rows + (header.next_position - header.token_count);
}

// Digests of the lists as they lie in the body: a reader that compares them with the header's notices damage to either.
void DigestPositions(const Entry& entry, google::protobuf::RepeatedPtrField<v1::GroupPositions>* groups) {
  size_t offset = 0;
  for (v1::GroupPositions& group : *groups) {
    if (group.row_count() == entry.header().token_count) continue;
    const size_t size_bytes = group.row_count() * sizeof(int32_t);
    group.set_positions_digest(ToString(DigestTensor(entry.body().subspan(offset, size_bytes))));
    offset += size_bytes;
  }
}

}  // namespace

void ToWire(const Entry& entry, const ServedRange& range, v1::GetHeader* wire) {
  const EntryHeader& header = entry.header();
  const EntryIdentity& identity = entry.identity();
  wire->set_entry_id(ToString(header.entry_id));
  wire->set_fingerprint(ToString(identity.fingerprint));
  ToWire(identity.shard, wire->mutable_shard());
  wire->set_key(ToString(identity.key));
  wire->set_variant(ToString(identity.variant));
  ToWire(header.spec, wire->mutable_spec());
  wire->set_policy_applied(ToWire(header.outcome.policy_applied));
  ToWire(header.layout, wire->mutable_layout());
  wire->set_token_count(header.token_count);
  wire->set_next_position(NextPosition(header, range));
  wire->set_position_mode(range.options.position_mode == PositionMode::kContiguous ? v1::POSITION_MODE_CONTIGUOUS
                                                                                   : v1::POSITION_MODE_ORIGINAL);
  GroupsToWire(header, /*with_positions=*/true, wire->mutable_groups());
  DigestPositions(entry, wire->mutable_groups());
  ToWire(header.outcome, wire->mutable_compaction());
  for (const TensorSlot& slot : header.tensors) {
    v1::TensorDigest* digest = wire->add_digests();
    SetTensor(slot.spec, digest);
    digest->set_digest(ToString(slot.digest));
  }
  wire->set_entry_digest(ToString(header.entry_digest));
  wire->set_size_bytes(header.BodyBytes());
  wire->set_created_unix_ms(header.created_unix_ms);
  wire->set_expires_unix_ms(header.expires_unix_ms);
  wire->set_first_layer(range.first_layer);
  wire->set_layer_count(range.layer_count);
  if (IsTokenRange(range.options)) {
    wire->set_first_token(range.options.first_token);
    wire->set_served_tokens(range.options.token_count);
  }
}

v1::Tier ToWire(Tier tier) { return tier == Tier::kDevice ? v1::TIER_DEVICE : v1::TIER_HOST; }

void ToWire(const PlacedEntry& placed, bool with_positions, v1::EntryInfo* wire) {
  const EntryHeader& header = placed.entry->header();
  const EntryIdentity& identity = placed.entry->identity();
  wire->set_entry_id(ToString(header.entry_id));
  v1::EntryName* name = wire->mutable_name();
  name->set_fingerprint(ToString(identity.fingerprint));
  ToWire(identity.shard, name->mutable_shard());
  name->set_key(ToString(identity.key));
  name->set_variant(ToString(identity.variant));
  if (header.model) ToWire(*header.model, wire->mutable_model());
  ToWire(header.spec, wire->mutable_spec());
  ToWire(header.outcome, wire->mutable_compaction());
  ToWire(header.layout, wire->mutable_layout());
  wire->set_token_count(header.token_count);
  wire->set_next_position(header.next_position);
  wire->set_keys_contiguous(header.keys_contiguous);
  GroupsToWire(header, with_positions, wire->mutable_groups());
  wire->set_size_bytes(header.BodyBytes());
  wire->set_full_bytes(FullBytes(header.layout, header.token_count));
  wire->set_tier(ToWire(placed.tier));
  wire->set_durability(v1::DURABILITY_MEMORY);
  wire->set_created_unix_ms(header.created_unix_ms);
  wire->set_expires_unix_ms(header.expires_unix_ms);
  wire->set_entry_digest(ToString(header.entry_digest));
}

void ToWire(const EntryState& state, bool with_positions, v1::EntryInfo* wire) {
  ToWire(static_cast<const PlacedEntry&>(state), with_positions, wire);
  wire->set_last_used_unix_ms(state.last_used_unix_ms);
  wire->set_pinned_until_unix_ms(state.pinned_until_unix_ms);
  wire->set_hit_count(state.hit_count);
}

}  // namespace chunkkv::rpc
