#include "tests/unit/format/broken_records.h"

#include <utility>

#include "service/format/safetensors.h"
#include "tests/unit/format/seal.h"
#include "tests/unit/format/test_entry.h"

namespace chunkkv {
namespace {

std::string Flipped(std::string bytes, size_t at, int bit) {
  bytes[at] = static_cast<char>(bytes[at] ^ (1 << bit));
  return bytes;
}

std::string FlippedIn(const std::string& bytes, const std::string& text) { return Flipped(bytes, bytes.find(text), 0); }

std::string WithPositions(std::vector<int32_t> positions) {
  TestEntry entry = CompactedEntry();
  entry.header.positions[1] = std::move(positions);
  FillBody(&entry);
  return Encoded(entry);
}

std::string PlainSafetensors() {
  std::string bytes = EncodeSafetensorsHead({{"layers.0.k", "F32", {1, 1, 2}, 0, 8}}, {{"format", "pt"}});
  return bytes.append("12345678");
}

std::string WithHeaderLength(std::string bytes, uint64_t length) {
  for (int i = 0; i < 8; ++i) bytes[i] = static_cast<char>(length >> (8 * i));
  return bytes;
}

}  // namespace

std::vector<BrokenRecord> BrokenRecords() {
  const std::string good = Encoded(CompactedEntry());
  const std::string bare = Encoded(BareFullEntry());
  const std::string mixed = Encoded(MixedEntry());
  const size_t body_at = good.size() - BodyOf(good).size();
  std::vector<BrokenRecord> records;
  const auto add = [&](const char* name, std::string bytes, const char* status, const char* reason, const char* says) {
    records.push_back({name, std::move(bytes), status, reason, says});
  };
  const auto damaged = [&](const char* name, const char* says, std::string bytes) {
    add(name, std::move(bytes), "DATA_LOSS", "RECORD_DAMAGED", says);
  };
  const auto mismatch = [&](const char* name, const char* says, std::string bytes) {
    add(name, std::move(bytes), "DATA_LOSS", "DIGEST_MISMATCH", says);
  };
  const auto sealed = [&](const char* name, const char* says, const char* from, const char* to) {
    damaged(name, says, Resealed(good, from, to));
  };

  // Cut, lengthened, flipped.
  damaged("empty", "the file has only", "");
  damaged("cut-in-length", "the file has only", good.substr(0, 4));
  damaged("cut-in-header", "a header of", good.substr(0, 200));
  damaged("cut-after-header", "data_offsets [", good.substr(0, body_at));
  damaged("cut-last-byte", "data_offsets [", good.substr(0, good.size() - 1));
  damaged("one-byte-more", "1 bytes more than its tensors", good + '\0');
  damaged("flip-in-length", "the header does not have its checksum", Flipped(good, 0, 3));
  damaged("header-length-huge", "a header of", WithHeaderLength(good, UINT64_MAX));
  damaged("header-length-zero", "a header of", WithHeaderLength(good, 0));
  damaged(
      "flip-in-prefix",
      "neither a record nor another safetensors file: the header is wrong: a tensor with an unknown or repeated field",
      Flipped(good, 12, 0));
  damaged("flip-in-checksum", "the header does not have its checksum", Flipped(good, 8 + 29, 0));
  damaged("flip-in-format", "the header does not have its checksum", FlippedIn(good, "chunkkv.record"));
  damaged("flip-in-version", "the header does not have its checksum", FlippedIn(good, "1\",\"adjacent"));
  damaged("flip-in-layout", "the header does not have its checksum", FlippedIn(good, "key_head_size"));
  damaged("flip-in-padding", "the header does not have its checksum", Flipped(good, body_at - 1, 0));
  mismatch("flip-in-positions", "the bytes of positions.0 are not those that were stored", Flipped(good, body_at, 0));
  mismatch("flip-in-tensor", "the bytes of layers.0.k are not those that were stored", Flipped(good, body_at + 60, 7));
  mismatch("flip-in-last-byte", "the bytes of layers.2.v are not those that were stored",
           Flipped(good, good.size() - 1, 0));
  mismatch("flip-in-verbatim", "the bytes of layers.2.ssm_state are not those that were stored",
           Flipped(mixed, mixed.size() - 17000, 4));
  mismatch("body-of-another", "the bytes of positions.0 are not those that were stored",
           WithBody(good, std::string(BodyOf(good).size(), '\0')));

  // Other formats and versions.
  add("newer-version", Resealed(good, "\"format_version\":\"1\"", "\"format_version\":\"2\""), "UNIMPLEMENTED",
      "RECORD_FORMAT_NEWER", "the record has format version 2; this program reads up to 1");
  add("with-base", Resealed(good, "\"block_size\"", "\"base\":\"x\",\"block_size\""), "UNIMPLEMENTED",
      "RECORD_FORMAT_NEWER", "the record continues another one (base), which is not built");
  add("no-record", PlainSafetensors(), "INVALID_ARGUMENT", "NOT_A_RECORD",
      "a safetensors file, but no record: metadata format is missing");
  damaged("no-safetensors", "a header of", "PK\x03\x04 something else entirely");

  // Sealed by a wrong writer.
  sealed("version-no-number", "metadata format_version is no number", "\"format_version\":\"1\"",
         "\"format_version\":\"one\"");
  sealed("metadata-repeated", "the header is wrong: repeated metadata",
         "\"budget\":", "\"policy\":\"h2o\",\"budget\":");
  sealed("tensor-repeated", "the header is wrong: a repeated name", "\"layers.1.k\":", "\"layers.0.k\":");
  sealed("tensor-renamed", "the body does not hold layers.1.k where the layout says so",
         "\"layers.1.k\":", "\"layers.7.k\":");
  sealed("tensor-of-other-dtype", "the body does not hold layers.0.k where the layout says so", "\"BF16\"", "\"F16\"");
  sealed("tensor-of-other-shape", "the body does not hold layers.0.k where the layout says so", "[5,2,4]", "[5,4,2]");
  sealed("tensor-offsets-reversed", "data_offsets [", "\"data_offsets\":[0,20]", "\"data_offsets\":[20,0]");
  sealed("tensor-offsets-past-63-bits", "the header is wrong: a number beyond 63 bits", "\"data_offsets\":[0,20]",
         "\"data_offsets\":[0,18446744073709551615]");
  sealed("tensor-shape-overflows", "whose shape and dtype say -1", "[5,2,4]", "[4294967296,4294967296,4]");
  sealed("json-nested-deep", "metadata layout is missing or wrong", "[{\\\"attention\\\"",
         "[[[[[[[[[[[[{\\\"attention\\\"");
  sealed("json-key-repeated", "metadata groups is missing or wrong", "{\\\"first_layer\\\":0,",
         "{\\\"first_layer\\\":0,\\\"first_layer\\\":0,");
  sealed("layers-beyond-limit",
         "metadata layout: layout[0].layer_count is 2147483647, must be at least 1; at most 8192 layers in all",
         "\\\"layer_count\\\":3}]", "\\\"layer_count\\\":2147483647}]");
  sealed("dtype-unknown", "metadata layout is missing or wrong", "\\\"dtype\\\":\\\"BF16\\\"",
         "\\\"dtype\\\":\\\"BF15\\\"");
  sealed("heads-negative", "metadata layout is missing or wrong", "\\\"kv_head_count\\\":2",
         "\\\"kv_head_count\\\":-2");
  sealed("heads-fraction", "metadata layout is missing or wrong", "\\\"kv_head_count\\\":2",
         "\\\"kv_head_count\\\":2.5");
  sealed("groups-with-gap", "metadata groups is missing or wrong",
         "\\\"first_layer\\\":2,\\\"layer_count\\\":1,\\\"row_count\\\"",
         "\\\"first_layer\\\":1,\\\"layer_count\\\":1,\\\"row_count\\\"");
  sealed("leader-outside-group", "metadata groups is missing or wrong", "\\\"leader\\\":1,\\\"row_count\\\"",
         "\\\"leader\\\":2,\\\"row_count\\\"");
  sealed("rows-above-tokens", "metadata groups is missing or wrong", "\\\"row_count\\\":5}]", "\\\"row_count\\\":26}]");
  sealed("rows-other-than-body", "the body does not hold positions.1 where the layout says so", "\\\"row_count\\\":5}]",
         "\\\"row_count\\\":4}]");
  sealed("rows-negative", "metadata groups is missing or wrong", "\\\"row_count\\\":5}]", "\\\"row_count\\\":-5}]");
  sealed("full-with-fewer-rows", "metadata groups is missing or wrong", "\"policy\":\"chunk_kv\"",
         "\"policy\":\"full\"");
  sealed("policy-unknown", "metadata policy is missing or wrong", "\"policy\":\"chunk_kv\"", "\"policy\":\"chunky\"");
  sealed("token-count-zero", "metadata token_count is missing or wrong", "\"token_count\":\"25\"",
         "\"token_count\":\"0\"");
  sealed("token-count-huge", "metadata token_count is missing or wrong", "\"token_count\":\"25\"",
         "\"token_count\":\"99999999999999999999\"");
  sealed("token-count-missing", "metadata token_count is missing or wrong", "\"token_count\":\"25\"",
         "\"token_counts\":\"25\"");
  sealed("variant-of-another-spec", "metadata variant is missing or wrong", "\\\"keep_ratio\\\":0.2",
         "\\\"keep_ratio\\\":0.3");
  sealed("spec-number-infinite", "metadata spec is missing or wrong", "\\\"keep_ratio\\\":0.2",
         "\\\"keep_ratio\\\":1e999");
  sealed("model-not-canonical", "metadata model is missing or wrong", "{\\\"adapters\\\":", "{ \\\"adapters\\\":");
  sealed("model-of-another-fingerprint", "metadata fingerprint is missing or wrong",
         "\\\"revision\\\":\\\"2024-01-31\\\"", "\\\"revision\\\":\\\"2024-01-30\\\"");
  sealed("shard-of-other-layers", "metadata shard is missing or wrong", "\\\"layer_count\\\":3,\\\"pp_rank\\\"",
         "\\\"layer_count\\\":2,\\\"pp_rank\\\"");
  sealed("shard-rank-outside", "metadata shard is missing or wrong", "\\\"tp_rank\\\":0", "\\\"tp_rank\\\":1");
  sealed("key-too-short", "metadata key is missing or wrong", "\"key\":\"01", "\"key\":\"");
  sealed("digest-missing", "there is no digest of layers.0.k", "\\\"layers.0.k\\\":", "\\\"layers.9.k\\\":");
  sealed("entry-digest-of-another", "entry_digest is not that of the tensors' digests", "\"entry_digest\":\"",
         "\"entry_digest\":\"00112233445566778899aabbccddeeff\",\"x\":\"");
  sealed("mass-of-no-layer", "metadata retained_mass is missing or wrong", "\\\"layer\\\":1,", "\\\"layer\\\":3,");
  sealed("tensors-swapped", "the body does not hold layers.0.k where the layout says so",
         "\"layers.0.k\":{\"dtype\":\"BF16\",\"shape\":[5,2,4],\"data_offsets\":[40,120]},\"layers.0.v\":",
         "\"layers.0.v\":{\"dtype\":\"BF16\",\"shape\":[5,2,4],\"data_offsets\":[40,120]},\"layers.0.k\":");
  damaged("layers-huge", "metadata groups is missing or wrong",
          Resealed(bare, "\\\"layer_count\\\":2}]", "\\\"layer_count\\\":8000}]"));
  damaged("layers-fewer", "metadata groups is missing or wrong",
          Resealed(bare, "\\\"layer_count\\\":2}]", "\\\"layer_count\\\":1}]"));
  damaged("verbatim-tensor-missing", "the layout has 10 tensors",
          Resealed(mixed, "{\\\"name\\\":\\\"conv_state\\\",\\\"size_bytes\\\":33},", ""));
  damaged("verbatim-of-other-size", "the body does not hold layers.1.conv_state where the layout says so",
          Resealed(mixed, "\\\"size_bytes\\\":33}", "\\\"size_bytes\\\":34}"));
  damaged("verbatim-size-overflows", "metadata layout: layout[1].the cache's bytes exceed 64 bits",
          Resealed(mixed, "\\\"size_bytes\\\":33}", "\\\"size_bytes\\\":9223372036854775807}"));
  damaged("verbatim-named-as-a-path",
          "metadata layout: layout[1].tensors[0].name must be [a-z0-9_]{1,64}, not k v k_scale v_scale",
          Resealed(mixed, "\\\"name\\\":\\\"conv_state\\\"", "\\\"name\\\":\\\"../../state\\\""));
  damaged("positions-unsorted", "positions.1 does not ascend within [0, 25)", WithPositions({9, 11, 10, 23, 24}));
  damaged("positions-repeated", "positions.1 does not ascend within [0, 25)", WithPositions({9, 10, 10, 23, 24}));
  damaged("positions-past-the-end", "positions.1 does not ascend within [0, 25)", WithPositions({9, 10, 11, 23, 25}));
  damaged("positions-negative", "positions.1 does not ascend within [0, 25)", WithPositions({-1, 10, 11, 23, 24}));
  return records;
}

}  // namespace chunkkv
