// What a put declares at its beginning, checked and in domain words.
#ifndef CHUNKKV_SERVICE_SESSION_PUT_REQUEST_H_
#define CHUNKKV_SERVICE_SESSION_PUT_REQUEST_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "chunkkv/kernels/spec.h"
#include "service/format/identity.h"
#include "service/format/layout.h"
#include "service/format/prompt_key.h"

namespace chunkkv {

enum class PartOrder : uint8_t { kLayerMajor, kAny };
enum class SendMode : uint8_t { kSendAll, kSelectThenSend };

struct PutRequest {
  std::string tenant;
  ModelIdentity model;
  Shard shard;  // resolved
  Bytes32 key{};
  PromptDigests prompt;
  Layout layout;
  int64_t token_count = 0;
  CompactionSpec spec;
  std::vector<ReuseGroup> profile_groups;  // those of spec.profile
  ScoreSource score_source = ScoreSource::kNone;
  DType score_dtype = DType::kF32;
  bool has_lse = false;
  PartOrder order = PartOrder::kLayerMajor;
  SendMode send_mode = SendMode::kSendAll;
  int64_t ttl_ms = 0;
  int64_t pin_ms = 0;
  std::optional<Bytes16> content_digest;
  int64_t next_position = 0;  // 0: token_count
  bool keys_contiguous = false;
  std::vector<int64_t> group_row_counts;  // kExternal
};

// What a part carries.
enum class PartTensor : uint8_t {
  kKeys,
  kValues,
  kKeyScales,
  kValueScales,
  kNamed,
  kQueries,
  kLse,
  kAttention,
  kTokenScores
};
enum class RangeKind : uint8_t { kTokens, kKeptRows, kBytes };

struct PartHeader {
  int32_t layer = 0;  // within the shard
  PartTensor tensor = PartTensor::kKeys;
  std::string name;  // kNamed
  RangeKind range = RangeKind::kTokens;
  int64_t begin = 0;
  int64_t end = 0;
  bool in_region = false;     // else its bytes come with it
  uint64_t checksum = 0;      // of bytes that come with it
  int64_t payload_bytes = 0;  // likewise
};

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_SESSION_PUT_REQUEST_H_
