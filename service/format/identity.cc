#include "service/format/identity.h"

#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "chunkkv/kernels/status.h"
#include "service/base/status_macros.h"
#include "service/format/sha256.h"
#include "service/format/text.h"

namespace chunkkv {
namespace {

constexpr size_t kMaxNameBytes = 1024;
constexpr size_t kMaxListedNames = 64;

char Lower(char character) {
  return character >= 'A' && character <= 'Z' ? static_cast<char>(character - 'A' + 'a') : character;
}

bool HasEscapedDot(std::string_view name) {
  for (size_t i = 0; i + 3 <= name.size(); ++i) {
    if (name[i] == '%' && name[i + 1] == '2' && Lower(name[i + 2]) == 'e') return true;
  }
  return false;
}

bool LooksLikePath(std::string_view name) {
  return name == ".." || name.starts_with('/') || name.starts_with('\\') || name.ends_with("/..") ||
         name.find("../") != name.npos || name.find("..\\") != name.npos || HasEscapedDot(name);
}

absl::Status CheckRequired(bool is_given, std::string_view field) {
  if (is_given) return absl::OkStatus();
  return InvalidArgument("MODEL_IDENTITY_INCOMPLETE", absl::StrCat(std::string(field), " is required"));
}

}  // namespace

absl::Status CheckName(std::string_view name, const std::string& field) {
  if (name.size() > kMaxNameBytes) return InvalidArgument("BAD_NAME", absl::StrCat(field, " is over 1024 bytes"));
  if (!IsUtf8(name)) return InvalidArgument("BAD_NAME", absl::StrCat(field, " is not UTF-8"));
  if (HasControlCharacter(name)) return InvalidArgument("BAD_NAME", absl::StrCat(field, " has a control character"));
  if (LooksLikePath(name)) return InvalidArgument("BAD_NAME", absl::StrCat(field, " looks like a path"));
  return absl::OkStatus();
}

absl::Status ValidateModelIdentity(const ModelIdentity& model) {
  CHUNKKV_RETURN_IF_ERROR(CheckRequired(!model.name.empty(), "model.name"));
  CHUNKKV_RETURN_IF_ERROR(CheckRequired(!model.revision.empty(), "model.revision"));
  CHUNKKV_RETURN_IF_ERROR(CheckRequired(!model.kv_dtype.empty(), "model.kv_dtype"));
  CHUNKKV_RETURN_IF_ERROR(CheckRequired(model.layer_count >= 1, "model.layer_count (at least 1)"));
  CHUNKKV_RETURN_IF_ERROR(CheckRequired(model.kv_head_count >= 1, "model.kv_head_count (at least 1)"));
  CHUNKKV_RETURN_IF_ERROR(CheckRequired(model.key_head_size >= 1, "model.key_head_size (at least 1)"));
  CHUNKKV_RETURN_IF_ERROR(CheckRequired(model.value_head_size >= 0, "model.value_head_size (not negative)"));
  CHUNKKV_RETURN_IF_ERROR(CheckName(model.name, "model.name"));
  CHUNKKV_RETURN_IF_ERROR(CheckName(model.revision, "model.revision"));
  CHUNKKV_RETURN_IF_ERROR(CheckName(model.kv_dtype, "model.kv_dtype"));
  CHUNKKV_RETURN_IF_ERROR(CheckName(model.quantization, "model.quantization"));
  CHUNKKV_RETURN_IF_ERROR(CheckName(model.rope, "model.rope"));
  if (model.adapters.size() > kMaxListedNames) return InvalidArgument("TOO_MANY_NAMES", "model.adapters: at most 64");
  if (model.extra.size() > kMaxListedNames) return InvalidArgument("TOO_MANY_NAMES", "model.extra: at most 64");
  for (size_t i = 0; i < model.adapters.size(); ++i) {
    const std::string field = absl::StrCat("model.adapters[", i, "]");
    CHUNKKV_RETURN_IF_ERROR(CheckRequired(!model.adapters[i].name.empty(), field + ".name"));
    CHUNKKV_RETURN_IF_ERROR(CheckName(model.adapters[i].name, field + ".name"));
    CHUNKKV_RETURN_IF_ERROR(CheckName(model.adapters[i].revision, field + ".revision"));
  }
  for (const auto& [key, value] : model.extra) {
    CHUNKKV_RETURN_IF_ERROR(CheckRequired(!key.empty(), "a key of model.extra"));
    CHUNKKV_RETURN_IF_ERROR(CheckName(key, "a key of model.extra"));
    CHUNKKV_RETURN_IF_ERROR(CheckName(value, absl::StrCat("model.extra[", key, "]")));
  }
  return absl::OkStatus();
}

std::string CanonicalText(const ModelIdentity& model) {
  std::string adapters;
  for (const ModelIdentity::Adapter& adapter : model.adapters) {
    absl::StrAppend(&adapters, adapters.empty() ? "" : ",", "{\"name\":", JsonString(adapter.name),
                    ",\"revision\":", JsonString(adapter.revision), "}");
  }
  std::string extra;
  for (const auto& [key, value] : model.extra) {
    absl::StrAppend(&extra, extra.empty() ? "" : ",", JsonString(key), ":", JsonString(value));
  }
  return absl::StrCat("{\"adapters\":[", adapters, "],\"extra\":{", extra, "},\"key_head_size\":", model.key_head_size,
                      ",\"kv_dtype\":", JsonString(model.kv_dtype), ",\"kv_head_count\":", model.kv_head_count,
                      ",\"layer_count\":", model.layer_count, ",\"name\":", JsonString(model.name),
                      ",\"quantization\":", JsonString(model.quantization),
                      ",\"revision\":", JsonString(model.revision), ",\"rope\":", JsonString(model.rope),
                      ",\"value_head_size\":", model.value_head_size, "}");
}

Bytes32 Fingerprint(const ModelIdentity& model) { return Sha256Of(CanonicalText(model)); }

absl::Status CheckShard(const Shard& shard) {
  if (shard.tp_size < 1 || shard.tp_rank < 0 || shard.tp_rank >= shard.tp_size) {
    return InvalidArgument("BAD_SHARD", absl::StrCat("shard.tp_rank ", shard.tp_rank, " of tp_size ", shard.tp_size));
  }
  if (shard.pp_size < 1 || shard.pp_rank < 0 || shard.pp_rank >= shard.pp_size) {
    return InvalidArgument("BAD_SHARD", absl::StrCat("shard.pp_rank ", shard.pp_rank, " of pp_size ", shard.pp_size));
  }
  if (shard.first_layer < 0 || shard.layer_count < 0 || shard.first_kv_head < 0 || shard.kv_head_count < 0) {
    return InvalidArgument("BAD_SHARD", "shard: layers and KV heads cannot be negative");
  }
  return absl::OkStatus();
}

absl::StatusOr<Shard> ResolveShard(const Shard& shard, const ModelIdentity& model) {
  Shard resolved = shard;
  if (resolved.tp_size == 0) resolved.tp_size = 1;
  if (resolved.pp_size == 0) resolved.pp_size = 1;
  if (resolved.layer_count == 0) resolved.layer_count = model.layer_count;
  if (resolved.kv_head_count == 0) resolved.kv_head_count = model.kv_head_count;
  CHUNKKV_RETURN_IF_ERROR(CheckShard(resolved));
  if (resolved.layer_count > model.layer_count - resolved.first_layer) {
    return InvalidArgument("BAD_SHARD", absl::StrCat("shard.layer_count ", resolved.layer_count, " from first_layer ",
                                                     resolved.first_layer, " of ", model.layer_count, " layers"));
  }
  if (resolved.kv_head_count > model.kv_head_count - resolved.first_kv_head) {
    return InvalidArgument("BAD_SHARD",
                           absl::StrCat("shard.kv_head_count ", resolved.kv_head_count, " from first_kv_head ",
                                        resolved.first_kv_head, " of ", model.kv_head_count, " KV heads"));
  }
  return resolved;
}

}  // namespace chunkkv
