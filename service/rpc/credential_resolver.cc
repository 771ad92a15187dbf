#include "service/rpc/credential_resolver.h"

#include <grpc/grpc_security_constants.h>
#include <grpcpp/security/auth_context.h>

#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "chunkkv/kernels/status.h"
#include "service/base/status_macros.h"
#include "service/security/bearer_token.h"

namespace chunkkv::rpc {
namespace {

std::string_view View(grpc::string_ref text) { return {text.data(), text.size()}; }

absl::Status Unauthenticated(std::string_view reason, std::string_view message) {
  return ErrorStatus(absl::StatusCode::kUnauthenticated, reason, message);
}

std::vector<std::string> CertificateNames(const grpc::ServerContextBase& context) {
  const std::shared_ptr<const grpc::AuthContext> auth = context.auth_context();
  std::vector<std::string> names;
  for (const grpc::string_ref& name : auth->FindPropertyValues(GRPC_X509_SAN_PROPERTY_NAME)) {
    names.emplace_back(name.data(), name.size());
  }
  return names;
}

absl::StatusOr<const TenantAccount*> AccountOf(const TenantDirectory& directory, const grpc::ServerContextBase& context,
                                               int64_t now_unix_ms) {
  const auto& metadata = context.client_metadata();
  const auto [first, last] = metadata.equal_range("authorization");
  if (first == last) {
    const std::vector<std::string> names = CertificateNames(context);
    if (!names.empty()) return directory.OfCertificate(names);
    return Unauthenticated("NO_CREDENTIALS", "this server needs a bearer token or a certificate of its tenants");
  }
  const std::optional<std::string_view> token = TokenOfHeader(View(first->second));
  if (std::next(first) != last || !token.has_value()) {
    return Unauthenticated("BAD_AUTHORIZATION", "authorization must be one \"Bearer TOKEN\"");
  }
  return directory.OfToken(*token, now_unix_ms);
}

}  // namespace

absl::StatusOr<Caller> CredentialResolver::Resolve(const grpc::ServerContextBase& context) const {
  const std::shared_ptr<const TenantDirectory> directory = tenants_.Current();
  CHUNKKV_ASSIGN_OR_RETURN(const TenantAccount* const account, AccountOf(*directory, context, clock_.UnixMs()));
  Caller caller{.account = account->name, .known_by = directory, .proven_ms = clock_.MonotonicMs()};
  CHUNKKV_RETURN_IF_ERROR(Charge(caller));
  const auto group = context.client_metadata().find(kShareGroupHeader);
  const bool is_of_group = group != context.client_metadata().end();
  CHUNKKV_ASSIGN_OR_RETURN(
      caller.tenant, TenantDirectory::SpaceOf(*account, is_of_group ? View(group->second) : std::string_view()));
  return caller;
}

bool CredentialResolver::StillHolds(const Caller& caller) const {
  return caller.known_by.lock() == tenants_.Current() && clock_.MonotonicMs() - caller.proven_ms < kProofMs;
}

absl::Status CredentialResolver::Charge(const Caller& caller) const {
  const std::optional<int64_t> rate = tenants_.Current()->QuotaOf(caller.account).requests_per_second;
  return rate.has_value() ? rates_.Admit(caller.account, *rate) : absl::OkStatus();
}

}  // namespace chunkkv::rpc
