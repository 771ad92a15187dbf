#include "service/security/tenant_parser.h"

#include <algorithm>
#include <initializer_list>
#include <limits>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "chunkkv/kernels/status.h"
#include "nlohmann/json.hpp"
#include "service/base/status_macros.h"
#include "service/format/json_fields.h"
#include "service/format/sha256.h"
#include "service/format/strict_json.h"
#include "service/format/text.h"
#include "service/security/utc_time.h"

namespace chunkkv {
namespace {

using nlohmann::json;

constexpr const char* kFormat = "chunkkv.tenants";
constexpr int64_t kVersion = 1;
constexpr size_t kMaxNameBytes = 64;
constexpr size_t kMaxCertificateNameBytes = 2048;

absl::Status Bad(std::string_view where, std::string_view what) {
  return InvalidArgument("BAD_TENANTS", absl::StrCat("tenants: ", std::string(where), std::string(what)));
}

absl::Status CheckMembers(const json& object, const std::string& where, std::initializer_list<std::string_view> known) {
  if (!object.is_object()) return Bad(where, "must be an object");
  const std::optional<std::string> unknown = UnknownMember(object, known);
  if (!unknown.has_value()) return absl::OkStatus();
  return Bad(where, absl::StrCat("unknown member ", JsonString(unknown->substr(0, 64))));
}

// An empty list where there is none. Errors: it is there and is no list.
absl::StatusOr<std::vector<json>> ListOf(const json& object, const std::string& where, const char* name) {
  const json* const field = FindField(object, name);
  if (field == nullptr) return std::vector<json>();
  if (!field->is_array()) return Bad(where, absl::StrCat(name, " must be a list"));
  return std::vector<json>(field->begin(), field->end());
}

bool IsName(const std::string& name) {
  return !name.empty() && name.size() <= kMaxNameBytes && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
  });
}

absl::StatusOr<std::string> NameOf(const json& object, const std::string& where) {
  std::string name;
  if (!ReadField(object, "name", &name) || !IsName(name)) {
    return Bad(where, "name must be 1 to 64 of a-z, 0-9, '.', '_' and '-'");
  }
  return name;
}

absl::StatusOr<BearerToken> TokenOf(const json& object, const std::string& where) {
  CHUNKKV_RETURN_IF_ERROR(CheckMembers(object, where, {"sha256", "expires", "audience"}));
  BearerToken token;
  std::string text;
  std::optional<Bytes32> hash;
  if (ReadField(object, "sha256", &text)) hash = FixedFromView<32>(FromHex(text).value_or(""));
  if (!hash.has_value()) return Bad(where, "sha256 must be 64 hexadecimal digits");
  // Made by the command that makes them where the variable is not set.
  if (*hash == Sha256Of("")) return Bad(where, "sha256 is that of the empty token");
  token.sha256 = *hash;
  if (FindField(object, "expires") != nullptr) {
    if (ReadField(object, "expires", &text)) token.expires_unix_ms = UnixMsOfUtc(text);
    if (!token.expires_unix_ms.has_value()) return Bad(where, "expires must be as 2027-01-31T00:00:00Z");
  }
  if (FindField(object, "audience") != nullptr && !(ReadField(object, "audience", &token.audience) &&
                                                    IsName(token.audience))) {
    return Bad(where, "audience must be written as a name");
  }
  return token;
}

absl::StatusOr<TenantQuota> QuotaOf(const json& owner, const std::string& where) {
  TenantQuota quota;
  const json* const object = FindField(owner, "quota");
  if (object == nullptr) return quota;
  const std::pair<const char*, std::optional<int64_t>*> members[] = {
      {"host_bytes", &quota.host_bytes},
      {"device_bytes", &quota.device_bytes},
      {"entries", &quota.entries},
      {"in_flight_bytes", &quota.in_flight_bytes},
      {"streams", &quota.streams},
      {"requests_per_second", &quota.requests_per_second},
      {"max_pin_ms", &quota.max_pin_ms}};
  CHUNKKV_RETURN_IF_ERROR(CheckMembers(*object, absl::StrCat(where, "quota: "),
                                       {"host_bytes", "device_bytes", "entries", "in_flight_bytes", "streams",
                                        "requests_per_second", "max_pin_ms"}));
  for (const auto& [name, value] : members) {
    if (FindField(*object, name) == nullptr) continue;
    if (!ReadField(*object, name, 0, std::numeric_limits<int64_t>::max(), &value->emplace())) {
      return Bad(where, absl::StrCat("quota: ", name, " must be a whole number, not negative"));
    }
  }
  return quota;
}

absl::StatusOr<std::string> CertificateNameOf(const json& name, const std::string& where) {
  const auto* const text = name.get_ptr<const std::string*>();
  if (text != nullptr && !text->empty() && text->size() <= kMaxCertificateNameBytes && IsUtf8(*text)) return *text;
  return Bad(where, "certificates: a name must be 1 to 2048 bytes of text");
}

absl::StatusOr<TenantAccount> AccountOf(const json& object, const std::string& at) {
  CHUNKKV_RETURN_IF_ERROR(CheckMembers(object, at, {"name", "tokens", "certificates", "share_groups", "quota"}));
  TenantAccount account;
  CHUNKKV_ASSIGN_OR_RETURN(account.name, NameOf(object, at));
  const std::string where = absl::StrCat("'", account.name, "': ");
  CHUNKKV_ASSIGN_OR_RETURN(const std::vector<json> tokens, ListOf(object, where, "tokens"));
  for (size_t i = 0; i < tokens.size(); ++i) {
    CHUNKKV_ASSIGN_OR_RETURN(account.tokens.emplace_back(), TokenOf(tokens[i], absl::StrCat(where, "tokens[", i, "]: ")));
  }
  CHUNKKV_ASSIGN_OR_RETURN(const std::vector<json> names, ListOf(object, where, "certificates"));
  for (const json& name : names) {
    CHUNKKV_ASSIGN_OR_RETURN(account.certificate_names.emplace_back(), CertificateNameOf(name, where));
  }
  CHUNKKV_ASSIGN_OR_RETURN(const std::vector<json> groups, ListOf(object, where, "share_groups"));
  for (const json& group : groups) {
    if (!group.is_string()) return Bad(where, "share_groups must be a list of names");
    account.share_groups.push_back(group.get<std::string>());
  }
  CHUNKKV_ASSIGN_OR_RETURN(account.quota, QuotaOf(object, where));
  return account;
}

absl::StatusOr<ShareGroup> GroupOf(const json& object, const std::string& at) {
  CHUNKKV_RETURN_IF_ERROR(CheckMembers(object, at, {"name", "quota"}));
  ShareGroup group;
  CHUNKKV_ASSIGN_OR_RETURN(group.name, NameOf(object, at));
  CHUNKKV_ASSIGN_OR_RETURN(group.quota, QuotaOf(object, absl::StrCat("share group '", group.name, "': ")));
  return group;
}

// Nothing may name two tenants, and no tenant a group that is not there.
absl::Status CheckTogether(const std::vector<TenantAccount>& accounts, const std::vector<ShareGroup>& groups) {
  std::set<std::string> group_names;
  for (const ShareGroup& group : groups) {
    if (!group_names.insert(group.name).second) return Bad("", absl::StrCat("two share groups '", group.name, "'"));
  }
  std::set<std::string> names;
  std::set<std::string> certificate_names;
  std::set<Bytes32> tokens;
  for (const TenantAccount& account : accounts) {
    const std::string where = absl::StrCat("'", account.name, "': ");
    if (!names.insert(account.name).second) return Bad(where, "there are two of that name");
    for (const BearerToken& token : account.tokens) {
      if (!tokens.insert(token.sha256).second) return Bad(where, "a token stands twice in the file");
    }
    for (const std::string& name : account.certificate_names) {
      if (!certificate_names.insert(name).second) return Bad(where, "a certificate name stands twice in the file");
    }
    for (const std::string& group : account.share_groups) {
      if (!group_names.contains(group)) return Bad(where, absl::StrCat("no share group '", group.substr(0, 64), "'"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::shared_ptr<const TenantDirectory>> ParseTenants(std::string_view text, std::string audience) {
  json root;
  if (!ParseStrictJson(text, &root)) return Bad("", "the text is no JSON, or repeats a member");
  CHUNKKV_RETURN_IF_ERROR(CheckMembers(root, "", {"format", "version", "tenants", "share_groups"}));
  std::string format;
  int64_t version = 0;
  if (!ReadField(root, "format", &format) || format != kFormat) {
    return Bad("", absl::StrCat("format must be \"", kFormat, "\""));
  }
  if (!ReadField(root, "version", kVersion, kVersion, &version)) return Bad("", "version must be 1");
  if (FindField(root, "tenants") == nullptr) return Bad("", "there must be a list of tenants");
  std::vector<TenantAccount> accounts;
  CHUNKKV_ASSIGN_OR_RETURN(const std::vector<json> tenants, ListOf(root, "", "tenants"));
  for (size_t i = 0; i < tenants.size(); ++i) {
    CHUNKKV_ASSIGN_OR_RETURN(accounts.emplace_back(), AccountOf(tenants[i], absl::StrCat("tenants[", i, "]: ")));
  }
  std::vector<ShareGroup> groups;
  CHUNKKV_ASSIGN_OR_RETURN(const std::vector<json> group_list, ListOf(root, "", "share_groups"));
  for (size_t i = 0; i < group_list.size(); ++i) {
    CHUNKKV_ASSIGN_OR_RETURN(groups.emplace_back(), GroupOf(group_list[i], absl::StrCat("share_groups[", i, "]: ")));
  }
  CHUNKKV_RETURN_IF_ERROR(CheckTogether(accounts, groups));
  return std::make_shared<const TenantDirectory>(std::move(accounts), std::move(groups), std::move(audience));
}

}  // namespace chunkkv
