// Who is calling: the wall behind which credentials move in.
#ifndef CHUNKKV_SERVICE_RPC_TENANT_RESOLVER_H_
#define CHUNKKV_SERVICE_RPC_TENANT_RESOLVER_H_

#include <grpcpp/server_context.h>

#include <string>

#include "absl/status/statusor.h"
#include "service/base/caller.h"
#include "service/base/tenant_quota.h"

namespace chunkkv::rpc {

// The tenant comes from the call's credentials, never from the request. Thread-safe.
class TenantResolver {
 public:
  virtual ~TenantResolver() = default;
  // Charges the caller with one request.
  virtual absl::StatusOr<Caller> Resolve(const grpc::ServerContextBase& context) const = 0;
  // Whether one that Resolve has named may still be taken for it.
  virtual bool StillHolds(const Caller& caller) const = 0;
  // With one more request. Errors: RESOURCE_EXHAUSTED (RATE_LIMITED).
  virtual absl::Status Charge(const Caller& caller) const = 0;
  // How much a tenant that Resolve has named may have. From any thread.
  virtual TenantQuota QuotaOf(const std::string& tenant) const = 0;
};

// A server without credentials has one tenant.
class SingleTenant : public TenantResolver {
 public:
  absl::StatusOr<Caller> Resolve(const grpc::ServerContextBase&) const override { return Caller{.tenant = "default"}; }
  bool StillHolds(const Caller&) const override { return true; }
  absl::Status Charge(const Caller&) const override { return absl::OkStatus(); }
  TenantQuota QuotaOf(const std::string&) const override { return {}; }
};

}  // namespace chunkkv::rpc

#endif  // CHUNKKV_SERVICE_RPC_TENANT_RESOLVER_H_
