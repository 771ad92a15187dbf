#include "service/security/tenant_directory.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "chunkkv/kernels/status.h"

namespace chunkkv {
namespace {

absl::Status Unauthenticated(std::string_view reason, std::string_view message) {
  return ErrorStatus(absl::StatusCode::kUnauthenticated, reason, message);
}

absl::string_view Key(std::string_view text) { return {text.data(), text.size()}; }

}  // namespace

TenantDirectory::TenantDirectory(std::vector<TenantAccount> accounts, std::vector<ShareGroup> groups,
                                 std::string audience)
    : accounts_(std::move(accounts)), audience_(std::move(audience)) {
  for (const TenantAccount& account : accounts_) {
    spaces_.push_back(account.name);
    quotas_.emplace(account.name, account.quota);
    for (const std::string& name : account.certificate_names) by_certificate_name_.emplace(name, &account);
  }
  for (const ShareGroup& group : groups) {
    spaces_.push_back(SpaceOfGroup(group.name));
    quotas_.emplace(spaces_.back(), group.quota);
  }
}

absl::StatusOr<const TenantAccount*> TenantDirectory::OfToken(std::string_view presented, int64_t now_unix_ms) const {
  const Bytes32 hash = HashOfPresented(presented);
  const TenantAccount* owner = nullptr;
  const BearerToken* found = nullptr;
  for (const TenantAccount& account : accounts_) {
    for (const BearerToken& token : account.tokens) {
      const bool is_it = EqualInConstantTime(token.sha256, hash);
      owner = is_it ? &account : owner;
      found = is_it ? &token : found;
    }
  }
  // What is too long to be one has no hash of its own.
  if (found == nullptr || presented.size() > kMaxTokenBytes) {
    return Unauthenticated("WRONG_TOKEN", "authorization: this server knows no such token");
  }
  if (found->expires_unix_ms.has_value() && *found->expires_unix_ms <= now_unix_ms) {
    return Unauthenticated("TOKEN_EXPIRED", "authorization: the token has expired");
  }
  if (!found->audience.empty() && found->audience != audience_) {
    return Unauthenticated("TOKEN_AUDIENCE", "authorization: the token is for another deployment");
  }
  return owner;
}

absl::StatusOr<const TenantAccount*> TenantDirectory::OfCertificate(absl::Span<const std::string> names) const {
  const TenantAccount* owner = nullptr;
  for (const std::string& name : names) {
    const auto known = by_certificate_name_.find(name);
    if (known == by_certificate_name_.end() || known->second == owner) continue;
    if (owner != nullptr) {
      return ErrorStatus(absl::StatusCode::kPermissionDenied, "UNKNOWN_CERTIFICATE",
                         "the certificate has names of several tenants");
    }
    owner = known->second;
  }
  if (owner != nullptr) return owner;
  return ErrorStatus(absl::StatusCode::kPermissionDenied, "UNKNOWN_CERTIFICATE",
                     "no tenant is known by the certificate's subject alternative names");
}

absl::StatusOr<std::string> TenantDirectory::SpaceOf(const TenantAccount& account, std::string_view share_group) {
  if (share_group.empty()) return account.name;
  if (std::ranges::find(account.share_groups, share_group) == account.share_groups.end()) {
    return ErrorStatus(absl::StatusCode::kPermissionDenied, "NOT_IN_SHARE_GROUP",
                       "chunkkv-share-group: the tenant is not in a group of that name");
  }
  return SpaceOfGroup(share_group);
}

std::string TenantDirectory::SpaceOfGroup(std::string_view share_group) {
  return absl::StrCat("group/", Key(share_group));
}

TenantQuota TenantDirectory::QuotaOf(std::string_view space) const {
  const auto found = quotas_.find(Key(space));
  return found == quotas_.end() ? TenantQuota() : found->second;
}

std::vector<std::string> TenantDirectory::Spaces() const { return spaces_; }

}  // namespace chunkkv
