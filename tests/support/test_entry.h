// Small, sound entries for tests, made from a few words.
#ifndef CHUNKKV_TESTS_SUPPORT_TEST_ENTRY_H_
#define CHUNKKV_TESTS_SUPPORT_TEST_ENTRY_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "service/format/entry_header.h"
#include "service/format/prompt_key.h"
#include "service/store/entry_store.h"

namespace chunkkv {

// tokens[i] = first + i.
std::vector<uint32_t> CountingTokens(int64_t token_count, uint32_t first = 0);

// The whole of a model of `layer_count` layers and 2 KV heads.
Shard TestShard(int32_t layer_count = 2);

struct EntryRecipe {
  std::string tenant = "tenant";
  std::string model = "model";
  Shard shard = TestShard();
  std::vector<uint32_t> tokens = CountingTokens(100);
  // Unset: full. Set: chunk_kv keeping this share, the first rows of the prompt standing for a choice.
  std::optional<double> keep_ratio;
  std::optional<double> retained_mass;
  bool kept_full = false;       // with keep_ratio: a guardrail kept everything
  bool verbatim_layer = false;  // one more layer, of 64 bytes
  bool with_digests = true;     // else only the key is known
  int64_t expires_unix_ms = 0;
  int32_t head_size = 4;  // f32: a row of K or V has 2 * head_size * 4 bytes
  uint8_t fill = 1;       // what the rows are made from
};

struct MadeEntry {
  EntryIdentity identity;
  EntryHeader header;
  std::vector<std::byte> body;
};

MadeEntry MakeEntry(const EntryRecipe& recipe);

// Announces, reserves, copies and commits, as a session does.
absl::StatusOr<CommitResult> PutEntry(EntryStore& store, const MadeEntry& made, const CommitOptions& options = {});
absl::StatusOr<CommitResult> PutEntry(EntryStore& store, const EntryRecipe& recipe, const CommitOptions& options = {});

PromptName PromptNameOf(const EntryIdentity& identity);
Selector SelectorOf(const EntryPtr& entry);

}  // namespace chunkkv

#endif  // CHUNKKV_TESTS_SUPPORT_TEST_ENTRY_H_
