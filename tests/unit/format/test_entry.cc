#include "tests/unit/format/test_entry.h"

#include <cstring>
#include <utility>

#include "service/format/digest.h"
#include "service/format/record.h"

namespace chunkkv {
namespace {

AttentionRun Attention(int32_t heads, int32_t key_size, int32_t value_size, DType dtype) {
  AttentionRun run;
  run.query_head_count = heads * 2;
  run.kv_head_count = heads;
  run.key_head_size = key_size;
  run.value_head_size = value_size;
  run.key_dtype = dtype;
  run.value_dtype = dtype;
  return run;
}

Bytes32 Key32(uint8_t first) {
  Bytes32 key;
  for (size_t i = 0; i < key.size(); ++i) key[i] = static_cast<uint8_t>(first + 7 * i);
  return key;
}

}  // namespace

ModelIdentity TestModel() {
  ModelIdentity model;
  model.name = "example/modèle";
  model.revision = "2024-01-31";
  model.adapters = {{"lora-a", "1"}, {"lora-b", ""}};
  model.kv_dtype = "bf16";
  model.rope = "{\"theta\":10000}";
  model.layer_count = 3;
  model.kv_head_count = 2;
  model.key_head_size = 4;
  model.value_head_size = 4;
  model.extra = {{"engine", "test"}};
  return model;
}

void FillBody(TestEntry* entry) {
  EntryHeader& header = entry->header;
  header.positions.resize(header.groups.size());
  header.tensors =
      LayOutBody(header.layout, header.groups, header.row_counts, PositionsBytes(header.row_counts, header.token_count))
          .value();
  entry->body.assign(header.BodyBytes(), std::byte{});
  size_t at = 0;
  for (const std::vector<int32_t>& positions : header.positions) {
    if (positions.empty()) continue;
    std::memcpy(entry->body.data() + at, positions.data(), positions.size() * sizeof(int32_t));
    at += positions.size() * sizeof(int32_t);
  }
  for (; at < entry->body.size(); ++at) entry->body[at] = static_cast<std::byte>(at * 131 + 7);
  for (TensorSlot& slot : header.tensors) {
    slot.digest = DigestTensor(absl::MakeConstSpan(entry->body).subspan(slot.offset, slot.size_bytes));
  }
  header.entry_digest = EntryDigest(header.tensors);
}

TestEntry CompactedEntry() {
  TestEntry entry;
  EntryHeader& header = entry.header;
  header.tenant = "tenant-a";
  header.model = TestModel();
  header.shard = ResolveShard({}, TestModel()).value();
  header.key = Key32(1);
  header.entry_id = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
  header.spec.policy = Policy::kChunkKv;
  header.spec.keep_ratio = 0.2;
  header.spec.window_length = 2;
  header.spec.chunk_starts = {0, 4, 9};
  header.spec.groups = {{0, 2, 1}, {2, 1, -1}};
  header.variant = VariantOf(header.spec);
  header.outcome.policy_applied = Policy::kChunkKv;
  header.outcome.budget = 5;
  header.outcome.budget_change.raised_to_window = true;
  header.outcome.retained_mass = {{1, 0.75}, {2, 1.0 / 3}};
  header.outcome.adjacent_jaccard = {0.1};
  header.layout = {{0, 3, Attention(2, 4, 4, DType::kBF16), {}}};
  header.token_count = 25;
  header.next_position = 25;
  header.groups = {{0, 2, 1}, {2, 1, -1}};
  header.positions = {{0, 4, 5, 23, 24}, {9, 10, 11, 23, 24}};
  header.row_counts = {5, 5};
  header.content_digest = Bytes16{0xaa, 0xbb};
  header.created_unix_ms = 1700000000123;
  header.expires_unix_ms = 1700000900123;
  FillBody(&entry);
  return entry;
}

TestEntry BareFullEntry() {
  TestEntry entry;
  EntryHeader& header = entry.header;
  header.outcome.budget = 7;
  header.layout = {{0, 2, Attention(1, 3, 2, DType::kF32), {}}};
  header.layout[0].attention->scale = 0.1;
  header.layout[0].attention->softcap = 30;
  header.token_count = 7;
  header.next_position = 7;
  header.groups = {{0, 1, -1}, {1, 1, -1}};
  header.row_counts = {7, 7};
  FillBody(&entry);
  return entry;
}

TestEntry MixedEntry() {
  TestEntry entry;
  EntryHeader& header = entry.header;
  header.spec.policy = Policy::kExternal;
  header.spec.label = "résumé, \"quoted\"";
  header.variant = VariantOf(header.spec);
  header.outcome.policy_applied = Policy::kExternal;
  AttentionRun quantised = Attention(2, 6, 5, DType::kF8E4M3);
  quantised.value_dtype = DType::kF8E5M2;
  quantised.scales = ScaleShape{1, DType::kF16};
  AttentionRun rotated = Attention(1, 8, 8, DType::kF16);
  rotated.sink_logits = {0.1f, -2.5f};
  rotated.rope = RopeShape{2, 4, true, {1.0, 0.1}};
  header.layout = {
      {0, 1, quantised, {}}, {1, 2, std::nullopt, {{"conv_state", 33}, {"ssm_state", 20000}}}, {3, 1, rotated, {}}};
  header.token_count = 11;
  header.next_position = 40;
  header.groups = {{0, 1, -1}, {1, 1, -1}};
  header.positions = {{3, 10}, {0, 1, 9}};
  header.row_counts = {2, 3};
  FillBody(&entry);
  return entry;
}

TestEntry LatentEntry() {
  TestEntry entry;
  EntryHeader& header = entry.header;
  header.spec.policy = Policy::kStreamingLlm;
  header.spec.max_tokens = 6;
  header.spec.window_length = 1;
  header.spec.min_retained_mass = 0.5;
  header.spec.on_low_mass = OnLowMass::kRaiseBudget;
  header.variant = VariantOf(header.spec);
  header.outcome.policy_applied = Policy::kStreamingLlm;
  header.outcome.budget = 6;
  header.layout = {{0, 1, Attention(1, 16, 0, DType::kBF16), {}}};
  header.token_count = 100;
  header.next_position = 6;
  header.keys_contiguous = true;
  header.groups = {{0, 1, -1}};
  header.positions = {{0, 1, 2, 3, 98, 99}};
  header.row_counts = {6};
  FillBody(&entry);
  return entry;
}

std::string Encoded(const TestEntry& entry) {
  std::string bytes = EncodeRecordHead(entry.header);
  return bytes.append(reinterpret_cast<const char*>(entry.body.data()), entry.body.size());
}

}  // namespace chunkkv
