// PutCache's messages, save parts, between the wire and the domain.
#ifndef CHUNKKV_SERVICE_RPC_WIRE_PUT_H_
#define CHUNKKV_SERVICE_RPC_WIRE_PUT_H_

#include <string>

#include "absl/status/statusor.h"
#include "chunkkv/v1/put.pb.h"
#include "service/session/put_session.h"

namespace chunkkv::rpc {

// Errors: INVALID_ARGUMENT of the parts (identity, prompt, layout, spec), BAD_ENUM, BAD_CONTENT_DIGEST,
// BAD_PROMPT_LENGTH, TRANSFER_ID_TOO_LONG, BAD_NAME; UNIMPLEMENTED: BASE_ENTRY, DURABILITY.
absl::StatusOr<PutRequest> PutRequestFromWire(const v1::Begin& wire, const std::string& tenant);
EntryIdentity IdentityOf(const PutRequest& request);

void ToWire(const PutSummary& summary, v1::Committed* wire);

}  // namespace chunkkv::rpc

#endif  // CHUNKKV_SERVICE_RPC_WIRE_PUT_H_
