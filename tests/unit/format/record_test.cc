#include "service/format/record.h"

#include <cstring>
#include <set>

#include "chunkkv/kernels/status.h"
#include "gtest/gtest.h"
#include "service/format/sha256.h"
#include "tests/unit/format/seal.h"
#include "tests/unit/format/test_entry.h"

namespace chunkkv {
namespace {

// Head, positions and body, as ReadRecord checks them.
absl::StatusOr<RecordHead> Verified(const std::string& file) {
  auto head = DecodeRecordHead(AsBytes(file), static_cast<int64_t>(file.size()));
  if (!head.ok()) return head;
  const auto body = AsBytes(file).subspan(head->body_offset);
  if (absl::Status status = LoadPositions(body, &*head); !status.ok()) return status;
  if (absl::Status status = VerifyBody(head->header, body); !status.ok()) return status;
  return head;
}

void ExpectSameSpec(const CompactionSpec& left, const CompactionSpec& right) {
  EXPECT_EQ(CanonicalText(left), CanonicalText(right));
  EXPECT_EQ(left.chunk_starts, right.chunk_starts);
  EXPECT_EQ(left.chunk_length, right.chunk_length);  // unset stays unset
  EXPECT_EQ(left.window_length, right.window_length);
  EXPECT_EQ(left.on_low_mass, right.on_low_mass);
  EXPECT_EQ(left.label, right.label);
}

void ExpectSameHeader(const EntryHeader& left, const EntryHeader& right) {
  EXPECT_EQ(left.model, right.model);
  EXPECT_EQ(left.shard, right.shard);
  EXPECT_EQ(left.key, right.key);
  EXPECT_EQ(left.variant, right.variant);
  EXPECT_EQ(left.block_size, right.block_size);
  EXPECT_EQ(left.entry_id, right.entry_id);
  ExpectSameSpec(left.spec, right.spec);
  EXPECT_EQ(left.outcome.policy_applied, right.outcome.policy_applied);
  EXPECT_EQ(left.outcome.budget, right.outcome.budget);
  EXPECT_EQ(left.outcome.budget_change.raised_to_window, right.outcome.budget_change.raised_to_window);
  EXPECT_EQ(left.outcome.budget_change.rounded_to_multiple, right.outcome.budget_change.rounded_to_multiple);
  EXPECT_EQ(left.outcome.budget_change.everything_kept, right.outcome.budget_change.everything_kept);
  EXPECT_EQ(left.outcome.raised_for_mass, right.outcome.raised_for_mass);
  EXPECT_EQ(left.outcome.kept_full_for_mass, right.outcome.kept_full_for_mass);
  EXPECT_EQ(left.outcome.adjacent_jaccard, right.outcome.adjacent_jaccard);
  ASSERT_EQ(left.outcome.retained_mass.size(), right.outcome.retained_mass.size());
  for (size_t i = 0; i < left.outcome.retained_mass.size(); ++i) {
    EXPECT_EQ(left.outcome.retained_mass[i].layer, right.outcome.retained_mass[i].layer);
    EXPECT_EQ(left.outcome.retained_mass[i].mass, right.outcome.retained_mass[i].mass);
  }
  EXPECT_EQ(left.token_count, right.token_count);
  EXPECT_EQ(left.next_position, right.next_position);
  EXPECT_EQ(left.keys_contiguous, right.keys_contiguous);
  EXPECT_EQ(left.groups, right.groups);
  EXPECT_EQ(left.positions, right.positions);
  EXPECT_EQ(left.row_counts, right.row_counts);
  EXPECT_EQ(left.entry_digest, right.entry_digest);
  EXPECT_EQ(left.content_digest, right.content_digest);
  EXPECT_EQ(left.created_unix_ms, right.created_unix_ms);
  EXPECT_EQ(left.expires_unix_ms, right.expires_unix_ms);
  ASSERT_EQ(left.tensors.size(), right.tensors.size());
  for (size_t i = 0; i < left.tensors.size(); ++i) {
    EXPECT_EQ(TensorName(left.tensors[i].spec), TensorName(right.tensors[i].spec));
    EXPECT_EQ(left.tensors[i].spec.kind, right.tensors[i].spec.kind);
    EXPECT_EQ(left.tensors[i].spec.row_bytes, right.tensors[i].spec.row_bytes);
    EXPECT_EQ(left.tensors[i].row_count, right.tensors[i].row_count);
    EXPECT_EQ(left.tensors[i].offset, right.tensors[i].offset);
    EXPECT_EQ(left.tensors[i].size_bytes, right.tensors[i].size_bytes);
    EXPECT_EQ(left.tensors[i].digest, right.tensors[i].digest);
  }
}

void ExpectSameLayout(const Layout& left, const Layout& right) {
  ASSERT_EQ(left.size(), right.size());
  for (size_t i = 0; i < left.size(); ++i) {
    EXPECT_EQ(left[i].first_layer, right[i].first_layer);
    EXPECT_EQ(left[i].layer_count, right[i].layer_count);
    ASSERT_EQ(left[i].is_attention(), right[i].is_attention());
    if (!left[i].is_attention()) continue;
    const AttentionRun& mine = *left[i].attention;
    const AttentionRun& other = *right[i].attention;
    EXPECT_EQ(mine.query_head_count, other.query_head_count);
    EXPECT_EQ(mine.scale, other.scale);
    EXPECT_EQ(mine.softcap, other.softcap);
    EXPECT_EQ(mine.sink_logits, other.sink_logits);
    EXPECT_EQ(mine.key_dtype, other.key_dtype);
    EXPECT_EQ(mine.value_dtype, other.value_dtype);
    ASSERT_EQ(mine.rope.has_value(), other.rope.has_value());
    if (mine.rope.has_value()) {
      EXPECT_EQ(mine.rope->first_dim, other.rope->first_dim);
      EXPECT_EQ(mine.rope->rotary_dims, other.rope->rotary_dims);
      EXPECT_EQ(mine.rope->interleaved, other.rope->interleaved);
      EXPECT_EQ(mine.rope->inv_freq, other.rope->inv_freq);
    }
    ASSERT_EQ(mine.scales.has_value(), other.scales.has_value());
    if (mine.scales.has_value()) {
      EXPECT_EQ(mine.scales->dtype, other.scales->dtype);
      EXPECT_EQ(mine.scales->scales_per_head, other.scales->scales_per_head);
    }
  }
}

TEST(RecordTest, GivenChunksWereSummedBeforeMaxWasTheDefault) {
  TestEntry entry = CompactedEntry();
  CompactionSpec summed = entry.header.spec;
  summed.chunk_reduce = ChunkReduce::kSum;
  entry.header.variant = VariantOf(summed);
  const auto head = Verified(Encoded(entry));
  ASSERT_TRUE(head.ok()) << head.status();
  EXPECT_EQ(head->header.spec.chunk_reduce, ChunkReduce::kSum);
  EXPECT_EQ(head->header.variant, VariantOf(head->header.spec));
}

TEST(RecordTest, ReadsBackEverythingItWrites) {
  for (const TestEntry& entry : {CompactedEntry(), BareFullEntry(), MixedEntry(), LatentEntry()}) {
    const auto head = Verified(Encoded(entry));
    ASSERT_TRUE(head.ok()) << head.status();
    EXPECT_EQ(head->body_offset % 64, 0);
    ExpectSameHeader(head->header, entry.header);
    ExpectSameLayout(head->header.layout, entry.header.layout);
    // A second trip gives the same bytes, but for the tenant, of which only the digest is written.
    EntryHeader again = head->header;
    again.tenant = entry.header.tenant;
    EXPECT_EQ(EncodeRecordHead(again), EncodeRecordHead(entry.header));
  }
}

TEST(RecordTest, ReadsBackEveryOutcomeAndSpecField) {
  TestEntry entry = CompactedEntry();
  CompactionSpec& spec = entry.header.spec;
  spec = {};
  spec.policy = Policy::kSnapKv;
  spec.max_tokens = 5;
  spec.chunk_length = 20;
  spec.window_length = 1;
  spec.reuse_group = 3;
  spec.group_score = GroupScore::kSum;
  spec.chunk_reduce = ChunkReduce::kMax;
  spec.sink_tokens = 2;
  spec.pool = 7;
  spec.recent_ratio = 0.1;
  spec.budget_multiple = 16;
  spec.min_retained_mass = 0.95;
  spec.on_low_mass = OnLowMass::kKeepFull;
  spec.max_raised_tokens = 12;
  entry.header.variant = VariantOf(spec);
  entry.header.outcome.budget_change = {false, true, true};
  entry.header.outcome.raised_for_mass = true;
  entry.header.outcome.kept_full_for_mass = true;
  const auto head = Verified(Encoded(entry));
  ASSERT_TRUE(head.ok()) << head.status();
  ExpectSameHeader(head->header, entry.header);
}

TEST(RecordTest, NamesTheTenantByItsDigestOnly) {
  const TestEntry entry = CompactedEntry();
  const std::string file = Encoded(entry);
  EXPECT_EQ(file.find("tenant-a"), file.npos);
  const auto head = Verified(file);
  ASSERT_TRUE(head.ok());
  EXPECT_EQ(head->tenant_digest, ToHex(Sha256Of("tenant-a")));
  EXPECT_FALSE(head->header.tenant.has_value());
  EXPECT_EQ(Verified(Encoded(BareFullEntry()))->tenant_digest, "");
}

TEST(RecordTest, KeepsAnEmptyListApartFromEverythingKept) {
  TestEntry entry = MixedEntry();
  entry.header.row_counts = {0, 11};
  entry.header.positions = {{}, {}};
  FillBody(&entry);
  const auto head = Verified(Encoded(entry));
  ASSERT_TRUE(head.ok()) << head.status();
  EXPECT_EQ(head->header.row_counts, (std::vector<int64_t>{0, 11}));
  EXPECT_EQ(head->header.FindTensor(0, TensorKind::kKeys, "")->size_bytes, 0);
}

TEST(RecordTest, IgnoresMetadataItDoesNotKnow) {
  const std::string file = Resealed(Encoded(CompactedEntry()), "\"variant\"", "\"remark\":\"kept\",\"variant\"");
  EXPECT_TRUE(Verified(file).ok());
}

TEST(RecordTest, NoticesEverySingleBit) {
  const std::string file = Encoded(BareFullEntry());
  ASSERT_TRUE(Verified(file).ok());
  for (size_t at = 0; at < file.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string flipped = file;
      flipped[at] = static_cast<char>(flipped[at] ^ (1 << bit));
      ASSERT_EQ(Verified(flipped).status().code(), absl::StatusCode::kDataLoss) << "byte " << at << " bit " << bit;
    }
  }
}

TEST(RecordTest, NoticesEveryTruncation) {
  const std::string file = Encoded(BareFullEntry());
  for (size_t size = 0; size < file.size(); ++size) {
    const absl::Status status = Verified(file.substr(0, size)).status();
    ASSERT_EQ(StatusReason(status), "RECORD_DAMAGED") << size << ": " << status;
  }
}

TEST(RecordTest, DecodesAHeadWithoutItsBody) {
  const TestEntry entry = CompactedEntry();
  const std::string head_bytes = EncodeRecordHead(entry.header);
  const int64_t file_size = static_cast<int64_t>(head_bytes.size() + entry.body.size());
  const auto head = DecodeRecordHead(AsBytes(head_bytes), file_size);
  ASSERT_TRUE(head.ok()) << head.status();
  EXPECT_EQ(head->header.row_counts, entry.header.row_counts);
  EXPECT_EQ(StatusReason(DecodeRecordHead(AsBytes(head_bytes), file_size + 1).status()), "RECORD_DAMAGED");
  EXPECT_EQ(StatusReason(DecodeRecordHead(AsBytes(head_bytes), file_size - 1).status()), "RECORD_DAMAGED");
  EXPECT_EQ(StatusReason(DecodeRecordHead(AsBytes(head_bytes), -1).status()), "RECORD_DAMAGED");
}

TEST(VerifyBodyTest, RefusesBodiesThatDoNotFitTheHeader) {
  const TestEntry entry = CompactedEntry();
  EXPECT_TRUE(VerifyBody(entry.header, entry.body).ok());
  const auto reason = [](const EntryHeader& header, absl::Span<const std::byte> body) {
    return StatusReason(VerifyBody(header, body));
  };
  EXPECT_EQ(reason(entry.header, absl::MakeConstSpan(entry.body).subspan(1)), "RECORD_DAMAGED");
  EXPECT_EQ(reason(entry.header, {}), "RECORD_DAMAGED");
  EntryHeader header = entry.header;
  header.positions[0][1] = 3;
  EXPECT_EQ(reason(header, entry.body), "DIGEST_MISMATCH");
  header = entry.header;
  header.positions.clear();
  EXPECT_EQ(reason(header, entry.body), "DIGEST_MISMATCH");
  header = entry.header;
  header.tensors[0].offset = 1 << 20;
  EXPECT_EQ(reason(header, entry.body), "RECORD_DAMAGED");
  header = entry.header;
  header.tensors[0].size_bytes = -1;
  EXPECT_EQ(reason(header, entry.body), "RECORD_DAMAGED");
  header = entry.header;
  header.entry_digest[0] ^= 1;
  EXPECT_EQ(reason(header, entry.body), "DIGEST_MISMATCH");
}

}  // namespace
}  // namespace chunkkv
