#include "client/cpp/expected_entry.h"

#include "chunkkv/kernels/status.h"
#include "client/cpp/convert.h"
#include "service/format/prompt_key.h"

namespace chunkkv::client {
namespace {

// Without the model's identity a shard is known only where its counts are given.
std::optional<Shard> ShardOf(const GetRequest& request) {
  const Shard shard = request.shard.value_or(Shard());
  if (request.model.model) {
    const absl::StatusOr<Shard> resolved = ResolveShard(shard, *request.model.model);
    return resolved.ok() ? std::optional<Shard>(*resolved) : std::nullopt;
  }
  return shard.layer_count != 0 && shard.kv_head_count != 0 ? std::optional<Shard>(shard) : std::nullopt;
}

absl::Status Another(const char* what) {
  return ErrorStatus(absl::StatusCode::kDataLoss, "ANOTHER_ENTRY",
                     std::string("the reply's ") + what + " is not what was asked for");
}

template <size_t N>
bool Differs(const std::optional<FixedBytes<N>>& wanted, const std::string& got) {
  return wanted && ToString(*wanted) != got;
}

}  // namespace

std::optional<Bytes32> KeyOf(const Prompt& prompt) {
  if (prompt.key) return prompt.key;
  if (!prompt.block_digests.empty()) return prompt.block_digests.back();
  const size_t block_count = (prompt.tokens.size() + kDefaultBlockSize - 1) / kDefaultBlockSize;
  const bool is_sound = block_count > 0 && (prompt.block_extra.empty() || prompt.block_extra.size() == block_count);
  if (!is_sound) return std::nullopt;
  return DigestPrompt(prompt.tokens, prompt.block_extra).digests.back();
}

ExpectedEntry::ExpectedEntry(const GetRequest& request)
    : is_exact_(request.accept.rule == Accept::Rule::kExact),
      key_(KeyOf(request.prompt)),
      entry_id_(request.if_entry_id),
      shard_(ShardOf(request)) {
  fingerprint_ = request.model.model ? Fingerprint(*request.model.model) : request.model.fingerprint;
  if (request.accept.rule == Accept::Rule::kVariant) variant_ = request.accept.variant;
  if (request.accept.rule == Accept::Rule::kSpec) variant_ = VariantOf(request.accept.spec);
}

absl::Status ExpectedEntry::Check(const v1::GetHeader& header) const {
  if (Differs(fingerprint_, header.fingerprint())) return Another("fingerprint");
  if (Differs(key_, header.key())) return Another("key");
  if (Differs(variant_, header.variant())) return Another("variant");
  if (Differs(entry_id_, header.entry_id())) return Another("entry id");
  if (is_exact_ && header.policy_applied() != v1::POLICY_FULL) return Another("policy");
  if (shard_ && *shard_ != FromProto(header.shard())) return Another("shard");
  return absl::OkStatus();
}

}  // namespace chunkkv::client
