#include <algorithm>
#include <map>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "chunkkv/kernels/status.h"
#include "client/cpp/convert.h"
#include "service/base/status_macros.h"
#include "service/format/digest.h"

namespace chunkkv::client {
namespace {

RopeShape FromProto(const v1::Rope& proto) {
  RopeShape rope;
  rope.first_dim = proto.first_dim();
  rope.rotary_dims = proto.rotary_dims();
  rope.interleaved = proto.pairing() == v1::Rope::INTERLEAVED;
  rope.inv_freq.assign(proto.inv_freq().begin(), proto.inv_freq().end());
  return rope;
}

AttentionRun FromProto(const v1::AttentionRun& proto) {
  AttentionRun run;
  run.kv_head_count = proto.kv_head_count();
  run.query_head_count = proto.query_head_count() == 0 ? proto.kv_head_count() : proto.query_head_count();
  run.key_head_size = proto.key_head_size();
  run.value_head_size = proto.value_head_size();
  run.key_dtype = static_cast<DType>(proto.dtype());
  run.value_dtype =
      proto.value_dtype() == v1::DTYPE_UNSPECIFIED ? run.key_dtype : static_cast<DType>(proto.value_dtype());
  run.scale = proto.scale();
  run.softcap = proto.softcap();
  run.sink_logits.assign(proto.sink_logits().begin(), proto.sink_logits().end());
  if (proto.has_rope()) run.rope = FromProto(proto.rope());
  if (proto.has_scales()) {
    run.scales = ScaleShape{proto.scales().scales_per_head(), static_cast<DType>(proto.scales().dtype())};
  }
  return run;
}

absl::Span<const std::byte> BytesOf(const std::vector<int32_t>& positions) {
  return {reinterpret_cast<const std::byte*>(positions.data()), positions.size() * sizeof(int32_t)};
}

// Groups must cover the attention layers in order; lists must be ascending and within [0, L).
// `positions_needed`: an empty list means that everything was kept; else that positions were not asked for.
absl::Status ReadGroups(const google::protobuf::RepeatedPtrField<v1::GroupPositions>& groups, bool positions_needed,
                        EntryHeader* header) {
  const int32_t layer_count = AttentionLayerCount(header->layout);
  int64_t next_layer = 0;
  for (const v1::GroupPositions& proto : groups) {
    const ReuseGroup group = client::FromProto(proto.group());
    if (group.first_layer != next_layer || group.layer_count < 1) return BadReply("groups out of order");
    next_layer += group.layer_count;
    if (next_layer > layer_count) return BadReply("groups beyond the layers");
    std::vector<int32_t> positions(proto.positions().begin(), proto.positions().end());
    const bool may_be_empty = !positions_needed || proto.row_count() == header->token_count;
    if (!(positions.empty() && may_be_empty) && static_cast<int64_t>(positions.size()) != proto.row_count()) {
      return BadReply("row_count differs from the kept positions");
    }
    int64_t previous = -1;
    for (const int32_t position : positions) {
      if (position <= previous || position >= header->token_count) return BadReply("kept positions not ascending");
      previous = position;
    }
    if (positions_needed && proto.row_count() != header->token_count &&
        proto.positions_digest() != ToString(DigestTensor(BytesOf(positions)))) {
      return ErrorStatus(absl::StatusCode::kDataLoss, "DIGEST_MISMATCH", "kept positions are not what was committed");
    }
    header->groups.push_back(group);
    header->row_counts.push_back(proto.row_count());
    header->positions.push_back(std::move(positions));
  }
  if (next_layer != layer_count) return BadReply("groups do not cover the layers");
  return absl::OkStatus();
}

absl::Status ReadDigests(const v1::GetHeader& proto, EntryHeader* header) {
  int64_t positions_bytes = 0;
  for (const std::vector<int32_t>& positions : header->positions) {
    positions_bytes += static_cast<int64_t>(positions.size() * sizeof(int32_t));
  }
  auto slots = LayOutBody(header->layout, header->groups, header->row_counts, positions_bytes);
  if (!slots.ok()) return BadReply(std::string(slots.status().message()));
  header->tensors = *std::move(slots);
  std::map<std::tuple<int32_t, int, std::string>, Bytes16> digests;
  for (const v1::TensorDigest& digest : proto.digests()) {
    const std::optional<Bytes16> bytes = FixedFromView<16>(digest.digest());
    if (!bytes) return BadReply("a digest is not 16 bytes");
    digests[{digest.layer(), digest.tensor(), digest.name()}] = *bytes;
  }
  for (TensorSlot& slot : header->tensors) {
    const auto found = digests.find(
        {slot.spec.layer, static_cast<int>(slot.spec.kind), slot.spec.is_per_token() ? "" : slot.spec.name});
    if (found == digests.end()) return BadReply(absl::StrCat("no digest of a tensor of layer ", slot.spec.layer));
    slot.digest = found->second;
  }
  if (EntryDigest(header->tensors) != header->entry_digest) {
    return ErrorStatus(absl::StatusCode::kDataLoss, "DIGEST_MISMATCH", "the entry digest is not that of its tensors");
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status BadReply(const std::string& text) {
  return ErrorStatus(absl::StatusCode::kDataLoss, "BAD_REPLY", "the server's reply contradicts itself: " + text);
}

ModelIdentity FromProto(const v1::ModelIdentity& proto) {
  ModelIdentity model;
  model.name = proto.name();
  model.revision = proto.revision();
  for (const v1::ModelIdentity::Adapter& adapter : proto.adapters()) {
    model.adapters.push_back({adapter.name(), adapter.revision()});
  }
  model.kv_dtype = proto.kv_dtype();
  model.quantization = proto.quantization();
  model.rope = proto.rope();
  model.layer_count = proto.layer_count();
  model.kv_head_count = proto.kv_head_count();
  model.key_head_size = proto.key_head_size();
  model.value_head_size = proto.value_head_size();
  for (const auto& [name, value] : proto.extra()) model.extra[name] = value;
  return model;
}

Shard FromProto(const v1::Shard& proto) {
  Shard shard;
  shard.tp_rank = proto.tp_rank();
  shard.tp_size = std::max(1, proto.tp_size());
  shard.pp_rank = proto.pp_rank();
  shard.pp_size = std::max(1, proto.pp_size());
  shard.first_layer = proto.first_layer();
  shard.layer_count = proto.layer_count();
  shard.first_kv_head = proto.first_kv_head();
  shard.kv_head_count = proto.kv_head_count();
  return shard;
}

CompactionSpec FromProto(const v1::CompactionSpec& proto) {
  CompactionSpec spec;
  spec.policy = static_cast<Policy>(proto.policy());
  if (proto.has_keep_ratio()) spec.keep_ratio = proto.keep_ratio();
  if (proto.has_max_tokens()) spec.max_tokens = proto.max_tokens();
  if (proto.has_chunk_length()) spec.chunk_length = proto.chunk_length();
  if (proto.has_window_length()) spec.window_length = proto.window_length();
  if (proto.has_reuse_group()) spec.reuse_group = proto.reuse_group();
  if (proto.has_group_score()) spec.group_score = static_cast<GroupScore>(proto.group_score());
  if (proto.has_chunk_reduce()) spec.chunk_reduce = static_cast<ChunkReduce>(proto.chunk_reduce());
  if (proto.has_sink_tokens()) spec.sink_tokens = proto.sink_tokens();
  if (proto.has_pool()) spec.pool = proto.pool();
  if (proto.has_recent_ratio()) spec.recent_ratio = proto.recent_ratio();
  if (proto.has_budget_multiple()) spec.budget_multiple = proto.budget_multiple();
  if (proto.has_min_retained_mass()) spec.min_retained_mass = proto.min_retained_mass();
  if (proto.has_on_low_mass()) spec.on_low_mass = static_cast<OnLowMass>(proto.on_low_mass());
  if (proto.has_max_raised_tokens()) spec.max_raised_tokens = proto.max_raised_tokens();
  spec.chunk_starts.assign(proto.chunk_starts().begin(), proto.chunk_starts().end());
  for (const v1::ReuseGroup& group : proto.groups()) spec.groups.push_back(FromProto(group));
  spec.profile = proto.profile();
  spec.label = proto.label();
  return spec;
}

CompactionOutcome FromProto(const v1::CompactionResult& proto) {
  CompactionOutcome outcome;
  outcome.policy_applied = static_cast<Policy>(proto.policy_applied());
  outcome.budget = proto.budget();
  for (const int change : proto.changes()) {
    outcome.budget_change.raised_to_window |= change == v1::CompactionResult::RAISED_TO_WINDOW;
    outcome.budget_change.rounded_to_multiple |= change == v1::CompactionResult::ROUNDED_TO_MULTIPLE;
    outcome.budget_change.everything_kept |= change == v1::CompactionResult::EVERYTHING_KEPT;
    outcome.raised_for_mass |= change == v1::CompactionResult::RAISED_FOR_MASS;
    outcome.kept_full_for_mass |= change == v1::CompactionResult::KEPT_FULL_FOR_MASS;
  }
  for (const v1::CompactionResult::LayerMass& mass : proto.retained_mass()) {
    outcome.retained_mass.push_back({mass.layer(), mass.mass()});
  }
  outcome.adjacent_jaccard.assign(proto.adjacent_jaccard().begin(), proto.adjacent_jaccard().end());
  return outcome;
}

ReuseGroup FromProto(const v1::ReuseGroup& proto) {
  return {proto.first_layer(), proto.layer_count(), proto.has_leader() ? proto.leader() : -1};
}

absl::StatusOr<Layout> FromProto(const google::protobuf::RepeatedPtrField<v1::LayerRun>& proto) {
  Layout layout;
  for (const v1::LayerRun& run : proto) {
    LayerRun added;
    added.first_layer = run.first_layer();
    added.layer_count = run.layer_count();
    if (run.has_attention()) added.attention = FromProto(run.attention());
    for (const v1::VerbatimRun::NamedTensor& tensor : run.verbatim().tensors()) {
      added.named_tensors.push_back({tensor.name(), tensor.size_bytes()});
    }
    layout.push_back(std::move(added));
  }
  if (absl::Status status = ValidateLayout(layout, LayoutLimits()); !status.ok()) {
    return BadReply(std::string(status.message()));
  }
  return layout;
}

absl::StatusOr<EntryInfo> FromProto(const v1::EntryInfo& proto) {
  EntryInfo info;
  EntryHeader& header = info.header;
  header.entry_id = ToFixed<16>(proto.entry_id());
  if (proto.has_model()) header.model = FromProto(proto.model());
  header.shard = FromProto(proto.name().shard());
  header.key = ToFixed<32>(proto.name().key());
  header.variant = ToFixed<32>(proto.name().variant());
  header.spec = FromProto(proto.spec());
  header.outcome = FromProto(proto.compaction());
  CHUNKKV_ASSIGN_OR_RETURN(header.layout, FromProto(proto.layout()));
  header.token_count = proto.token_count();
  if (header.token_count < 1 || header.token_count > LayoutLimits().max_token_count) return BadReply("token_count");
  header.next_position = proto.next_position();
  header.keys_contiguous = proto.keys_contiguous();
  CHUNKKV_RETURN_IF_ERROR(ReadGroups(proto.groups(), /*positions_needed=*/false, &header));
  header.entry_digest = ToFixed<16>(proto.entry_digest());
  header.created_unix_ms = proto.created_unix_ms();
  header.expires_unix_ms = proto.expires_unix_ms();
  info.size_bytes = proto.size_bytes();
  info.full_bytes = proto.full_bytes();
  info.tier = static_cast<Tier>(proto.tier());
  info.durability = static_cast<Durability>(proto.durability());
  info.last_used_unix_ms = proto.last_used_unix_ms();
  info.pinned_until_unix_ms = proto.pinned_until_unix_ms();
  info.hit_count = proto.hit_count();
  return info;
}

absl::Status FromProto(const v1::ItemStatus& proto) {
  if (proto.code() == 0) return absl::OkStatus();
  return ErrorStatus(static_cast<absl::StatusCode>(proto.code()), proto.reason(), proto.message());
}

absl::StatusOr<EntryHeader> FromProto(const v1::GetHeader& proto) {
  EntryHeader header;
  header.entry_id = ToFixed<16>(proto.entry_id());
  header.shard = FromProto(proto.shard());
  header.key = ToFixed<32>(proto.key());
  header.variant = ToFixed<32>(proto.variant());
  header.spec = FromProto(proto.spec());
  header.outcome = FromProto(proto.compaction());
  header.outcome.policy_applied = static_cast<Policy>(proto.policy_applied());
  CHUNKKV_ASSIGN_OR_RETURN(header.layout, FromProto(proto.layout()));
  header.token_count = proto.token_count();
  if (header.token_count < 1 || header.token_count > LayoutLimits().max_token_count) return BadReply("token_count");
  header.next_position = proto.next_position();
  header.keys_contiguous = proto.position_mode() == v1::POSITION_MODE_CONTIGUOUS;
  CHUNKKV_RETURN_IF_ERROR(ReadGroups(proto.groups(), /*positions_needed=*/true, &header));
  header.entry_digest = ToFixed<16>(proto.entry_digest());
  header.created_unix_ms = proto.created_unix_ms();
  header.expires_unix_ms = proto.expires_unix_ms();
  CHUNKKV_RETURN_IF_ERROR(ReadDigests(proto, &header));
  return header;
}

}  // namespace chunkkv::client
