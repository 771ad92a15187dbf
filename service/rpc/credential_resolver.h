// The tenant of a call by its bearer token or its certificate.
#ifndef CHUNKKV_SERVICE_RPC_CREDENTIAL_RESOLVER_H_
#define CHUNKKV_SERVICE_RPC_CREDENTIAL_RESOLVER_H_

#include <string>

#include "service/base/clock.h"
#include "service/rpc/tenant_resolver.h"
#include "service/security/rate_limiter.h"
#include "service/security/tenant_file.h"

namespace chunkkv::rpc {

inline constexpr char kShareGroupHeader[] = "chunkkv-share-group";

// A token counts before a certificate: many users may speak through one proxy. Whoever names a share group works with
// that group's entries; the rate is its own all the same.
class CredentialResolver : public TenantResolver {
 public:
  static constexpr int64_t kProofMs = 60'000;

  // Both must outlive it.
  CredentialResolver(const TenantFile& tenants, const Clock& clock)
      : tenants_(tenants), clock_(clock), rates_(clock) {}

  // Errors: UNAUTHENTICATED: NO_CREDENTIALS, BAD_AUTHORIZATION (several, or none of "Bearer TOKEN"), and those of
  // TenantDirectory and RateLimiter.
  absl::StatusOr<Caller> Resolve(const grpc::ServerContextBase& context) const override;
  // Until the file of tenants changes, for kProofMs at most: a token may expire.
  bool StillHolds(const Caller& caller) const override;
  absl::Status Charge(const Caller& caller) const override;
  TenantQuota QuotaOf(const std::string& tenant) const override { return tenants_.Current()->QuotaOf(tenant); }

 private:
  const TenantFile& tenants_;
  const Clock& clock_;
  mutable RateLimiter rates_;
};

}  // namespace chunkkv::rpc

#endif  // CHUNKKV_SERVICE_RPC_CREDENTIAL_RESOLVER_H_
