// The text of a tenant file.
//
//   {"format": "chunkkv.tenants", "version": 1,
//    "tenants": [
//      {"name": "search",
//       "tokens": [{"sha256": "<64 hexadecimal digits>", "expires": "2027-01-31T00:00:00Z", "audience": "prod"}],
//       "certificates": ["spiffe://cluster/ns/search/sa/worker"],
//       "share_groups": ["docs"],
//       "quota": {"host_bytes": 8589934592, "device_bytes": 0, "entries": 10000, "in_flight_bytes": 1073741824,
//                 "streams": 200, "requests_per_second": 500, "max_pin_ms": 60000}}],
//    "share_groups": [{"name": "docs", "quota": {}}]}
//
// All but format, version, tenants and names may be left out; a quota's members too: no limit.
#ifndef CHUNKKV_SERVICE_SECURITY_TENANT_PARSER_H_
#define CHUNKKV_SERVICE_SECURITY_TENANT_PARSER_H_

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "service/security/tenant_directory.h"

namespace chunkkv {

// `audience` as TenantDirectory's. Errors: INVALID_ARGUMENT (BAD_TENANTS) naming the tenant and the member; never a
// token's hash.
absl::StatusOr<std::shared_ptr<const TenantDirectory>> ParseTenants(std::string_view text, std::string audience);

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_SECURITY_TENANT_PARSER_H_
