// Small entries for tests of the record.
#ifndef CHUNKKV_TESTS_UNIT_FORMAT_TEST_ENTRY_H_
#define CHUNKKV_TESTS_UNIT_FORMAT_TEST_ENTRY_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "service/format/entry_header.h"

namespace chunkkv {

struct TestEntry {
  EntryHeader header;
  std::vector<std::byte> body;
};

ModelIdentity TestModel();

// Fills in tensors, body (positions, then a pattern) and digests from layout, groups, row counts and positions.
void FillBody(TestEntry* entry);

// chunk_kv over 3 attention layers in 2 groups (the second keeps other rows), bf16, full identity.
TestEntry CompactedEntry();
// Policy full; no tenant, key, model or shard, as `chunkkv compact` writes it; f32, D != Dv.
TestEntry BareFullEntry();
// External lists of different lengths over fp8 with scales, a VERBATIM run between two attention runs, RoPE, sinks.
TestEntry MixedEntry();
// No V tensor (MLA latents), keys at contiguous positions.
TestEntry LatentEntry();

inline absl::Span<const std::byte> AsBytes(const std::string& text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

// The file's bytes.
std::string Encoded(const TestEntry& entry);

}  // namespace chunkkv

#endif  // CHUNKKV_TESTS_UNIT_FORMAT_TEST_ENTRY_H_
