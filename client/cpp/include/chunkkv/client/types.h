// What calls take and give, beside the domain types of kernels/ and service/format/ (specs, layouts, identities,
// headers), which mean the same here as in the service. Plain values; thread-compatible.
#ifndef CHUNKKV_CLIENT_TYPES_H_
#define CHUNKKV_CLIENT_TYPES_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "chunkkv/client/cancellation.h"
#include "chunkkv/kernels/spec.h"
#include "service/format/entry_header.h"
#include "service/format/identity.h"
#include "service/format/layout.h"

namespace chunkkv::client {

class Region;

struct CallOptions {
  std::chrono::milliseconds timeout{0};  // of the whole call; 0: the server's limit alone
  std::optional<Cancellation> cancellation;
};

// Names a prompt: by its tokens, by the digests of its blocks, or by a key alone (then no prefix of it can be found).
struct Prompt {
  std::vector<uint32_t> tokens;
  std::vector<std::string> block_extra;  // with tokens: empty, or one a block of 64
  std::optional<Bytes32> key;
  std::vector<Bytes32> block_digests;
  int32_t block_size = 0;   // with block_digests; 0: 64
  int64_t token_count = 0;  // with block_digests
};

// A model by its identity or by its fingerprint; exactly one is set.
struct ModelRef {
  std::optional<ModelIdentity> model;
  std::optional<Bytes32> fingerprint;
  ModelRef() = default;
  ModelRef(ModelIdentity identity) : model(std::move(identity)) {}
  ModelRef(const Bytes32& digest) : fingerprint(digest) {}
};

// Which variant a reader accepts.
struct Accept {
  enum class Rule { kExact, kVariant, kSpec, kLeastLossy };
  Rule rule = Rule::kExact;
  Bytes32 variant{};
  CompactionSpec spec;
  static Accept Exact() { return {}; }
  static Accept Variant(const Bytes32& variant) { return {Rule::kVariant, variant, {}}; }
  static Accept Spec(CompactionSpec spec) { return {Rule::kSpec, {}, std::move(spec)}; }
  static Accept LeastLossy() { return {Rule::kLeastLossy, {}, {}}; }
};

enum class Durability : uint8_t { kUnspecified = 0, kMemory = 1, kLocalDisk = 2, kShared = 3, kSharedAsync = 4 };
enum class Tier : uint8_t { kUnspecified = 0, kDevice = 1, kHost = 2, kDisk = 3, kShared = 4 };
enum class PartOrder : uint8_t { kLayerMajor = 1, kAny = 2 };
enum class SendMode : uint8_t { kSendAll = 1, kSelectThenSend = 2 };

// What a part carries: a stored tensor, or what tokens are scored from.
enum class PartTensor : uint8_t {
  kKeys = 1,
  kValues = 2,
  kKeyScales = 3,
  kValueScales = 4,
  kNamed = 5,
  kQueries = 6,      // [w', H, D] of the last w' = min(w, L) tokens
  kLse = 7,          // float32 [w', H]
  kAttention = 8,    // [H, w', L]
  kTokenScores = 9,  // float32 [P]
};

// What a put declares at its beginning.
struct PutRequest {
  ModelIdentity model;
  std::optional<Shard> shard;  // unset: the whole model
  Prompt prompt;
  Layout layout;
  int64_t token_count = 0;  // L
  CompactionSpec spec;
  ScoreSource score_source = ScoreSource::kNone;
  DType score_dtype = DType::kF32;  // of queries or attention
  bool has_lse = false;
  PartOrder order = PartOrder::kLayerMajor;
  SendMode send_mode = SendMode::kSendAll;
  Durability durability = Durability::kMemory;
  bool accept_lower_durability = false;
  std::chrono::milliseconds ttl{0};  // 0: until evicted
  std::chrono::milliseconds pin{0};  // 0: none; else committed under a pin of this length
  std::optional<Bytes16> content_digest;
  std::string routing_key;
  // kExternal:
  int64_t next_position = 0;  // 0: token_count
  bool keys_contiguous = false;
  std::vector<int64_t> group_row_counts;
  // Connections that carry parts; above 1, parts travel in parallel.
  int32_t channel_count = 1;
  // Told of all bytes handed to the connections so far, after each part. Calls never overlap.
  std::function<void(int64_t sent_bytes)> on_sent;
};

// Kept positions of a group; `everything` stands for all of [0, L), and `positions` is then empty.
struct Selection {
  std::vector<int32_t> positions;
  bool everything = false;
};

struct PutBegun {
  bool already_stored = false;  // nothing is to be sent; the entry below is there
  Bytes16 entry_id{};           // with already_stored
  int64_t stored_bytes = 0;     // with already_stored
  Bytes16 session_id{};
  int64_t budget = 0;
  std::vector<ReuseGroup> groups;
  int32_t max_open_layers = 0;
};

// Where the entry was there already, only what names it and its stored_bytes are known.
struct PutResult {
  Bytes16 entry_id{};
  bool already_stored = false;  // at the beginning, or by another put that committed first
  Durability durability = Durability::kUnspecified;
  Bytes32 key{};
  Bytes32 fingerprint{};
  Bytes32 variant{};
  CompactionOutcome outcome;
  int64_t received_bytes = 0;
  int64_t stored_bytes = 0;
  int64_t peak_staging_bytes = 0;
  int64_t compaction_time_us = 0;
  Bytes16 entry_digest{};
};

// One layer of a put of whole arrays; spans view the caller's memory, empty where there is no such tensor. Rows are
// [L, heads, size] (or [heads, L, size] where the run says head_major_parts); kExternal: the kept rows alone.
struct LayerArrays {
  absl::Span<const std::byte> keys;
  absl::Span<const std::byte> values;
  absl::Span<const std::byte> key_scales;
  absl::Span<const std::byte> value_scales;
  absl::Span<const std::byte> queries;
  absl::Span<const std::byte> lse;
  absl::Span<const std::byte> attention;
  absl::Span<const std::byte> token_scores;
  std::vector<std::pair<std::string, absl::Span<const std::byte>>> named;  // VERBATIM
};

// A tensor as a get hands it over.
struct TensorView {
  TensorSpec spec;
  int64_t row_count = 0;  // per-token tensors
  absl::Span<const std::byte> bytes;
};

struct LayerView {
  int32_t layer = 0;
  std::vector<TensorView> tensors;
};

struct GetRequest {
  ModelRef model;
  std::optional<Shard> shard;
  Prompt prompt;
  Accept accept;
  std::optional<Bytes16> if_entry_id;
  std::optional<std::pair<int32_t, int32_t>> layers;  // [begin, end)
  std::optional<std::pair<int64_t, int64_t>> tokens;  // [begin, end), of EXACT entries
  PositionMode position_mode = PositionMode::kOriginal;
  std::chrono::milliseconds wait{0};  // for a put in progress or not yet begun
  std::optional<Bytes16> lease_id;
  std::string routing_key;  // of a RoutedClient: whose owner is asked; empty: the prompt's
  int64_t max_entry_bytes = int64_t{64} << 30;  // more is refused before memory is taken

  // Above 1: ranges of layers travel in parallel, and layers may be handed over out of order.
  int32_t channel_count = 1;
  // Where a tensor's bytes go: `size_bytes` of the caller's memory, or null to refuse. Unset: memory of the result.
  std::function<std::byte*(const TensorSpec& tensor, int64_t row_count, int64_t size_bytes)> placement;
  // One of these instead, with a server on this host: tensors are written to a region, each at a multiple of 64 bytes
  // from its begin, or the entry is mapped read-only, in the same time whatever its size: whole entries, at original
  // positions. Neither uses placement or channel_count. Mapped bytes never left the server's memory, where they were
  // verified; `verify_mapped` reads and verifies them here all the same.
  Region* region = nullptr;
  bool mapped = false;
  bool verify_mapped = false;

  // Called once with what is known before the first byte, and for each layer when it is there and verified. A failure
  // ends the get with it. Calls never overlap.
  std::function<absl::Status(const EntryHeader& header)> on_header;
  std::function<absl::Status(const LayerView& layer)> on_layer;
};

// An entry, whole and verified. Its tensors' bytes live in memory of its own, in the caller's, or in the server's,
// which stays charged for them until the last copy of `memory` is gone.
struct CachedEntry {
  EntryHeader header;  // next_position and keys_contiguous as served; tensors without offsets of any file
  int32_t first_layer = 0;
  int64_t first_token = 0;
  int64_t served_tokens = 0;  // 0: all rows
  std::vector<LayerView> layers;
  std::shared_ptr<void> memory;
  // Null where there is no such tensor.
  const TensorView* Find(int32_t layer, std::string_view name) const;
  // Kept positions of a layer's rows, spelt out also where everything was kept.
  std::vector<int32_t> PositionsOf(int32_t layer) const;
};

struct EntryName {
  ModelRef model;
  std::optional<Shard> shard;
  Bytes32 key{};
  Bytes32 variant{};  // zeros: EXACT
};

// An entry by id, or by name.
struct EntrySelector {
  std::optional<Bytes16> entry_id;
  std::optional<EntryName> name;
  std::optional<Bytes16> if_entry_id;  // with name
  EntrySelector() = default;
  EntrySelector(const Bytes16& id) : entry_id(id) {}
  EntrySelector(EntryName by_name) : name(std::move(by_name)) {}
};

struct PrefixQuery {
  ModelRef model;
  std::vector<Shard> shards;  // empty: the whole model
  Prompt prompt;
  std::optional<Accept> accept;  // unset: most tokens, then least lossy
  std::chrono::milliseconds hold{0};
  std::string routing_key;  // of a RoutedClient: whose owner is asked; empty: the prompt's
};

struct PrefixFound {
  absl::Status status;  // NOT_FOUND: a miss
  int64_t covered_tokens = 0;
  struct Entry {
    Bytes16 entry_id{};
    Bytes32 key{};
    Bytes32 variant{};
    Policy policy = Policy::kFull;
    int64_t token_count = 0;
    int64_t row_count = 0;
    int64_t size_bytes = 0;
    Tier tier = Tier::kUnspecified;
  };
  std::vector<Entry> entries;  // one a shard
  double expected_load_ms = 0;
  std::optional<Bytes16> lease_id;
  int64_t lease_expires_unix_ms = 0;
};

struct EntryInfo {
  EntryHeader header;  // without tensors
  int64_t size_bytes = 0;
  int64_t full_bytes = 0;
  Tier tier = Tier::kUnspecified;
  Durability durability = Durability::kUnspecified;
  int64_t last_used_unix_ms = 0;
  int64_t pinned_until_unix_ms = 0;
  int64_t hit_count = 0;
};

struct ListPage {
  std::vector<EntryInfo> entries;
  std::string next_page_token;  // empty: the last page
};

struct Pin {
  Bytes16 id{};
  int64_t expires_unix_ms = 0;
};

struct TrimRequest {
  std::chrono::milliseconds older_than{0};
  std::optional<Bytes32> fingerprint;
  std::optional<Prompt> prefix;
  bool dry_run = false;
};

struct TrimResult {
  int64_t removed_entries = 0;
  int64_t removed_bytes = 0;
  int64_t pinned_entries = 0;
};

struct WatchEvent {
  enum class Kind : uint8_t {
    kUnknown = 0,
    kSnapshotBegin = 1,
    kSnapshotEntry = 2,
    kSnapshotEnd = 3,
    kStored = 4,
    kRemoved = 5,
    kMoved = 6,
  };
  enum class Removal : uint8_t { kNone = 0, kDeleted = 1, kEvicted = 2, kExpired = 3, kDamaged = 4, kLost = 5 };
  int64_t sequence = 0;
  Kind kind = Kind::kUnknown;
  std::optional<EntryInfo> entry;
  Removal removal = Removal::kNone;
};

// Whose puts are recorded, and how many.
struct RecordRequest {
  ModelRef model;
  std::optional<Shard> shard;  // unset: the whole model
  int32_t put_count = 1;       // in [1, 65536]
};

// What one put's choices were made from.
struct RecordedScores {
  CompactionSpec spec;  // as requested
  int64_t token_count = 0;
  std::vector<int32_t> layers;                   // of the shard: those that attend, ascending
  std::vector<std::vector<float>> token_scores;  // [layers, tokens before the window], unpooled
};

// Puts that were left out of a recording, in all.
struct SkippedPuts {
  int64_t unscored = 0;  // some layer was not scored: reuse by leaders, or everything was kept
  int64_t no_room = 0;   // the listener is behind, or the server's host tier is full
  int64_t already_stored = 0;
};

// A measured reuse profile that the server has loaded, and that a put of its model may name.
struct LoadedProfile {
  std::string name;
  Bytes32 fingerprint{};
  std::vector<ReuseGroup> groups;
  // The choice of tokens that it was measured for: its losses, of at most max_loss, hold for no other.
  CompactionSpec spec;
  bool given_chunks = false;
  double max_loss = 0;
};

struct Capabilities {
  std::string server_version;
  std::string protocol_version;
  std::vector<std::string> features;
  std::vector<Policy> policies;
  std::vector<std::string> transports;
  std::vector<std::string> devices;  // "cpu AVX2"
  int64_t max_part_bytes = 0;
  int64_t max_entry_bytes = 0;
  int64_t max_token_count = 0;
  int32_t max_layer_count = 0;
  int32_t max_batch_items = 0;
  int32_t record_format_version = 0;
  std::vector<LoadedProfile> profiles;
};

struct ServerStats {
  struct TierUse {
    Tier tier = Tier::kUnspecified;
    int64_t budget_bytes = 0;
    int64_t entry_bytes = 0;
    int64_t staging_bytes = 0;
    int64_t entries = 0;
    int64_t evictions = 0;
    int64_t used_bytes = 0;  // entries, staging, and what the tier holds for more of them
    int64_t promotions = 0;
    int64_t demotions = 0;
    std::string failure;  // why the tier was lost; empty: it was not
  };
  std::vector<TierUse> tiers;
  int64_t entries = 0;  // the caller's own, as all below down to stored_bytes
  int64_t entry_bytes = 0;
  int64_t hit_tokens = 0;
  int64_t miss_tokens = 0;
  int64_t puts = 0;
  int64_t received_bytes = 0;
  int64_t stored_bytes = 0;
  int64_t active_sessions = 0;
  int64_t active_gets = 0;
  int64_t pins = 0;
  int64_t uptime_ms = 0;
  int64_t scrubbed_bytes = 0;
  int64_t damaged_entries = 0;
};

// When the server suggests to try again; empty where `status` carries no such hint.
std::optional<std::chrono::milliseconds> RetryAfter(const absl::Status& status);

}  // namespace chunkkv::client

#endif  // CHUNKKV_CLIENT_TYPES_H_
