// Tenants and what they are known by.
#ifndef CHUNKKV_SERVICE_SECURITY_TENANT_DIRECTORY_H_
#define CHUNKKV_SERVICE_SECURITY_TENANT_DIRECTORY_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "service/base/tenant_quota.h"
#include "service/security/bearer_token.h"

namespace chunkkv {

struct TenantAccount {
  std::string name;  // 1 to 64 of a-z 0-9 . _ -
  std::vector<BearerToken> tokens;
  std::vector<std::string> certificate_names;  // subject alternative names, of which one is enough
  std::vector<std::string> share_groups;
  TenantQuota quota;
};

struct ShareGroup {
  std::string name;  // as a tenant's
  TenantQuota quota;
};

// Immutable, and so thread-safe.
class TenantDirectory {
 public:
  // `audience`: what this deployment is called in tokens. Names, tokens and certificate names are unique, and the share
  // groups that accounts name are among `groups`: ParseTenants sees to it.
  TenantDirectory(std::vector<TenantAccount> accounts, std::vector<ShareGroup> groups, std::string audience);

  // Whose token it is. Every token that is known is compared, whatever is presented.
  // Errors: UNAUTHENTICATED: WRONG_TOKEN, TOKEN_EXPIRED, TOKEN_AUDIENCE.
  absl::StatusOr<const TenantAccount*> OfToken(std::string_view token, int64_t now_unix_ms) const;
  // Whose certificate has one of these names. Errors: PERMISSION_DENIED (UNKNOWN_CERTIFICATE: none is known, or they
  // are of several tenants).
  absl::StatusOr<const TenantAccount*> OfCertificate(absl::Span<const std::string> names) const;

  // The name that the entries of `account` have in the store: its own, or where `share_group` is not empty, that
  // group's (SpaceOfGroup). Errors: PERMISSION_DENIED (NOT_IN_SHARE_GROUP), the same whether or not there is such a group.
  static absl::StatusOr<std::string> SpaceOf(const TenantAccount& account, std::string_view share_group);
  static std::string SpaceOfGroup(std::string_view share_group);
  // Of a tenant or of a group's space; no limits where it is neither.
  TenantQuota QuotaOf(std::string_view space) const;
  // All of them, tenants first.
  std::vector<std::string> Spaces() const;

 private:
  const std::vector<TenantAccount> accounts_;
  const std::string audience_;
  std::vector<std::string> spaces_;
  absl::flat_hash_map<std::string, TenantQuota> quotas_;                      // by space
  absl::flat_hash_map<std::string, const TenantAccount*> by_certificate_name_;
};

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_SECURITY_TENANT_DIRECTORY_H_
