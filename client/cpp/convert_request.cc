#include "client/cpp/convert.h"

namespace chunkkv::client {
namespace {

void ToProto(const RopeShape& rope, v1::Rope* proto) {
  proto->set_first_dim(rope.first_dim);
  proto->set_rotary_dims(rope.rotary_dims);
  proto->set_pairing(rope.interleaved ? v1::Rope::INTERLEAVED : v1::Rope::HALF);
  proto->mutable_inv_freq()->Add(rope.inv_freq.begin(), rope.inv_freq.end());
}

void ToProto(const AttentionRun& attention, v1::AttentionRun* proto) {
  proto->set_query_head_count(attention.query_head_count);
  proto->set_kv_head_count(attention.kv_head_count);
  proto->set_key_head_size(attention.key_head_size);
  proto->set_value_head_size(attention.value_head_size);
  proto->set_dtype(client::ToProto(attention.key_dtype));
  proto->set_value_dtype(client::ToProto(attention.value_dtype));
  proto->set_scale(attention.scale);
  proto->set_softcap(attention.softcap);
  proto->mutable_sink_logits()->Add(attention.sink_logits.begin(), attention.sink_logits.end());
  if (attention.rope) ToProto(*attention.rope, proto->mutable_rope());
  if (attention.scales) {
    proto->mutable_scales()->set_scales_per_head(attention.scales->scales_per_head);
    proto->mutable_scales()->set_dtype(client::ToProto(attention.scales->dtype));
  }
  proto->set_token_layout(attention.head_major_parts ? v1::TOKEN_LAYOUT_HEAD_MAJOR : v1::TOKEN_LAYOUT_TOKEN_MAJOR);
}

void ToProto(const LayerRun& run, v1::LayerRun* proto) {
  proto->set_first_layer(run.first_layer);
  proto->set_layer_count(run.layer_count);
  if (run.attention) {
    ToProto(*run.attention, proto->mutable_attention());
    return;
  }
  v1::VerbatimRun* verbatim = proto->mutable_verbatim();
  for (const NamedTensor& tensor : run.named_tensors) {
    v1::VerbatimRun::NamedTensor* named = verbatim->add_tensors();
    named->set_name(tensor.name);
    named->set_size_bytes(tensor.size_bytes);
  }
}

}  // namespace

v1::DType ToProto(DType dtype) { return static_cast<v1::DType>(dtype); }

void ToProto(const ModelIdentity& model, v1::ModelIdentity* proto) {
  proto->set_name(model.name);
  proto->set_revision(model.revision);
  for (const ModelIdentity::Adapter& adapter : model.adapters) {
    v1::ModelIdentity::Adapter* added = proto->add_adapters();
    added->set_name(adapter.name);
    added->set_revision(adapter.revision);
  }
  proto->set_kv_dtype(model.kv_dtype);
  proto->set_quantization(model.quantization);
  proto->set_rope(model.rope);
  proto->set_layer_count(model.layer_count);
  proto->set_kv_head_count(model.kv_head_count);
  proto->set_key_head_size(model.key_head_size);
  proto->set_value_head_size(model.value_head_size);
  for (const auto& [name, value] : model.extra) (*proto->mutable_extra())[name] = value;
}

void ToProto(const Shard& shard, v1::Shard* proto) {
  proto->set_tp_rank(shard.tp_rank);
  proto->set_tp_size(shard.tp_size);
  proto->set_pp_rank(shard.pp_rank);
  proto->set_pp_size(shard.pp_size);
  proto->set_first_layer(shard.first_layer);
  proto->set_layer_count(shard.layer_count);
  proto->set_first_kv_head(shard.first_kv_head);
  proto->set_kv_head_count(shard.kv_head_count);
}

void ToProto(const Prompt& prompt, v1::PromptKey* proto) {
  if (prompt.key) proto->set_key(ToString(*prompt.key));
  proto->mutable_tokens()->Add(prompt.tokens.begin(), prompt.tokens.end());
  for (const std::string& extra : prompt.block_extra) proto->add_block_extra(extra);
  for (const Bytes32& digest : prompt.block_digests) proto->add_block_digests(ToString(digest));
  proto->set_block_size(prompt.block_size);
  proto->set_token_count(prompt.token_count);
}

void ToProto(const CompactionSpec& spec, v1::CompactionSpec* proto) {
  proto->set_policy(static_cast<v1::Policy>(spec.policy));
  if (spec.keep_ratio) proto->set_keep_ratio(*spec.keep_ratio);
  if (spec.max_tokens) proto->set_max_tokens(*spec.max_tokens);
  if (spec.chunk_length) proto->set_chunk_length(*spec.chunk_length);
  if (spec.window_length) proto->set_window_length(*spec.window_length);
  if (spec.reuse_group) proto->set_reuse_group(*spec.reuse_group);
  if (spec.group_score) proto->set_group_score(static_cast<v1::GroupScore>(*spec.group_score));
  if (spec.chunk_reduce) proto->set_chunk_reduce(static_cast<v1::ChunkReduce>(*spec.chunk_reduce));
  if (spec.sink_tokens) proto->set_sink_tokens(*spec.sink_tokens);
  if (spec.pool) proto->set_pool(*spec.pool);
  if (spec.recent_ratio) proto->set_recent_ratio(*spec.recent_ratio);
  if (spec.budget_multiple) proto->set_budget_multiple(*spec.budget_multiple);
  if (spec.min_retained_mass) proto->set_min_retained_mass(*spec.min_retained_mass);
  if (spec.on_low_mass) proto->set_on_low_mass(static_cast<v1::OnLowMass>(*spec.on_low_mass));
  if (spec.max_raised_tokens) proto->set_max_raised_tokens(*spec.max_raised_tokens);
  proto->mutable_chunk_starts()->Add(spec.chunk_starts.begin(), spec.chunk_starts.end());
  for (const ReuseGroup& group : spec.groups) {
    v1::ReuseGroup* added = proto->add_groups();
    added->set_first_layer(group.first_layer);
    added->set_layer_count(group.layer_count);
    if (group.leader >= 0) added->set_leader(group.leader);
  }
  proto->set_profile(spec.profile);
  proto->set_label(spec.label);
}

void ToProto(const Accept& accept, v1::Accept* proto) {
  switch (accept.rule) {
    case Accept::Rule::kExact:
      proto->set_exact(true);
      break;
    case Accept::Rule::kVariant:
      proto->set_variant(ToString(accept.variant));
      break;
    case Accept::Rule::kSpec:
      ToProto(accept.spec, proto->mutable_spec());
      break;
    case Accept::Rule::kLeastLossy:
      proto->set_least_lossy(true);
      break;
  }
}

void ToProto(const EntryName& name, v1::EntryName* proto) {
  SetModelRef(name.model, proto);
  if (name.shard) ToProto(*name.shard, proto->mutable_shard());
  proto->set_key(ToString(name.key));
  if (name.variant != kExactVariant) proto->set_variant(ToString(name.variant));
}

void ToProto(const EntrySelector& selector, v1::EntrySelector* proto) {
  if (selector.entry_id) proto->set_entry_id(ToString(*selector.entry_id));
  if (selector.name) ToProto(*selector.name, proto->mutable_name());
  if (selector.if_entry_id) proto->set_if_entry_id(ToString(*selector.if_entry_id));
}

void ToProto(const PutRequest& request, v1::Begin* proto) {
  ToProto(request.model, proto->mutable_model());
  if (request.shard) ToProto(*request.shard, proto->mutable_shard());
  ToProto(request.prompt, proto->mutable_prompt());
  for (const LayerRun& run : request.layout) ToProto(run, proto->add_layout());
  proto->set_token_count(request.token_count);
  ToProto(request.spec, proto->mutable_spec());
  v1::ScoreInput* scores = proto->mutable_scores();
  scores->set_source(static_cast<v1::ScoreSource>(request.score_source));
  if (request.score_source != ScoreSource::kNone) scores->set_dtype(ToProto(request.score_dtype));
  scores->set_lse(request.has_lse);
  proto->set_order(static_cast<v1::Begin::PartOrder>(request.order));
  proto->set_send_mode(static_cast<v1::Begin::SendMode>(request.send_mode));
  proto->set_durability(static_cast<v1::Durability>(request.durability));
  proto->set_accept_lower_durability(request.accept_lower_durability);
  proto->set_ttl_ms(request.ttl.count());
  proto->set_pin_ms(request.pin.count());
  if (request.content_digest) proto->set_content_digest(ToString(*request.content_digest));
  proto->set_routing_key(request.routing_key);
  proto->set_next_position(request.next_position);
  proto->set_keys_contiguous(request.keys_contiguous);
  proto->mutable_group_row_counts()->Add(request.group_row_counts.begin(), request.group_row_counts.end());
}

}  // namespace chunkkv::client
