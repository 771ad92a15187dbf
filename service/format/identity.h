// What an entry is called: tenant, model identity (fingerprint), shard, key, variant.
// Canonical forms and test vectors: proto/chunkkv/v1/README.md.
#ifndef CHUNKKV_SERVICE_FORMAT_IDENTITY_H_
#define CHUNKKV_SERVICE_FORMAT_IDENTITY_H_

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "chunkkv/kernels/spec.h"
#include "service/format/bytes.h"

namespace chunkkv {

// Everything about a model that makes KV bytes meaningless elsewhere. No rank in it.
struct ModelIdentity {
  struct Adapter {
    std::string name;
    std::string revision;
    bool operator==(const Adapter&) const = default;
  };
  std::string name;
  std::string revision;
  std::vector<Adapter> adapters;
  std::string kv_dtype;
  std::string quantization;
  std::string rope;
  int32_t layer_count = 0;
  int32_t kv_head_count = 0;
  int32_t key_head_size = 0;
  int32_t value_head_size = 0;
  std::map<std::string, std::string> extra;
  bool operator==(const ModelIdentity&) const = default;
};

// Names that clients give are never paths, and can be shown. Errors: INVALID_ARGUMENT BAD_NAME: over 1024 bytes, not
// UTF-8, with a control character, or like a path; the text begins with `field`.
absl::Status CheckName(std::string_view name, const std::string& field);

// Errors: INVALID_ARGUMENT: MODEL_IDENTITY_INCOMPLETE (a required field is missing, a count below 1), BAD_NAME (control
// characters, NUL, invalid UTF-8, over 1024 bytes, "../", absolute paths, "%2e": names are never paths),
// TOO_MANY_NAMES (over 64 adapters or extras).
absl::Status ValidateModelIdentity(const ModelIdentity& model);
// The text that is hashed: JSON with sorted keys and no spaces.
std::string CanonicalText(const ModelIdentity& model);
// Errors: INVALID_ARGUMENT: BAD_CANONICAL_TEXT for anything but a canonical text, and as ValidateModelIdentity.
absl::StatusOr<ModelIdentity> ModelIdentityFromCanonicalText(std::string_view text);
// SHA-256 of the canonical text.
Bytes32 Fingerprint(const ModelIdentity& model);

// The part of the model that an entry holds. layer_count and kv_head_count are definite here (never 0).
struct Shard {
  int32_t tp_rank = 0;
  int32_t tp_size = 1;
  int32_t pp_rank = 0;
  int32_t pp_size = 1;
  int32_t first_layer = 0;
  int32_t layer_count = 0;
  int32_t first_kv_head = 0;
  int32_t kv_head_count = 0;
  bool IsSharded() const { return tp_size > 1 || pp_size > 1; }
  auto operator<=>(const Shard&) const = default;
};

// What is wrong with a shard of whatever model; sizes are not 0. Errors: INVALID_ARGUMENT, BAD_SHARD (ranks outside sizes,
// negative numbers).
absl::Status CheckShard(const Shard& shard);

// `shard` with zeros replaced by the whole model's counts. Errors: INVALID_ARGUMENT, BAD_SHARD (ranks outside sizes,
// layers or heads outside the model).
absl::StatusOr<Shard> ResolveShard(const Shard& shard, const ModelIdentity& model);

// The variant of lossless entries: 32 zero bytes.
inline constexpr Bytes32 kExactVariant{};

// The text that is hashed for a variant: JSON with sorted keys and no spaces, defaults filled in, chunk_starts replaced
// by whether chunks were given, doubles as the hexadecimal digits of their bits.
std::string CanonicalText(const CompactionSpec& spec);
// SHA-256 of the canonical text of the requested spec; kExactVariant for kFull.
Bytes32 VariantOf(const CompactionSpec& spec);

struct EntryIdentity {
  std::string tenant;
  Bytes32 fingerprint{};
  Shard shard;
  Bytes32 key{};
  Bytes32 variant{};
  auto operator<=>(const EntryIdentity&) const = default;
};

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_FORMAT_IDENTITY_H_
