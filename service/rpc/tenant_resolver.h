// Who is calling: the wall behind which credentials move in.
#ifndef CHUNKKV_SERVICE_RPC_TENANT_RESOLVER_H_
#define CHUNKKV_SERVICE_RPC_TENANT_RESOLVER_H_

#include <grpcpp/server_context.h>

#include <string>

#include "absl/status/statusor.h"
#include "service/base/tenant_quota.h"

namespace chunkkv::rpc {

// The tenant comes from the call's credentials, never from the request. Thread-safe.
class TenantResolver {
 public:
  virtual ~TenantResolver() = default;
  virtual absl::StatusOr<std::string> Resolve(const grpc::ServerContextBase& context) const = 0;
  // How much a tenant that Resolve has named may have. From any thread.
  virtual TenantQuota QuotaOf(const std::string& tenant) const = 0;
};

// A server without credentials has one tenant.
class SingleTenant : public TenantResolver {
 public:
  absl::StatusOr<std::string> Resolve(const grpc::ServerContextBase&) const override { return std::string("default"); }
  TenantQuota QuotaOf(const std::string&) const override { return {}; }
};

}  // namespace chunkkv::rpc

#endif  // CHUNKKV_SERVICE_RPC_TENANT_RESOLVER_H_
