// Errors with a machine-readable reason.
//
// Every rejection in ChunkKV is an absl::Status that carries, beside its text, a reason in upper snake case
// ("BUDGET_BELOW_WINDOW"). The reason travels as a status payload, so that it survives every layer up to the wire.
#ifndef CHUNKKV_KERNELS_STATUS_H_
#define CHUNKKV_KERNELS_STATUS_H_

#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace chunkkv {

// Status of `code` with `reason` (upper snake case) and a text that names the offending field.
absl::Status ErrorStatus(absl::StatusCode code, std::string_view reason, std::string_view message);

// INVALID_ARGUMENT: wrong whatever the state.
absl::Status InvalidArgument(std::string_view reason, std::string_view message);

// FAILED_PRECONDITION: wrong for this state.
absl::Status FailedPrecondition(std::string_view reason, std::string_view message);

// UNIMPLEMENTED: known by name, not built.
absl::Status Unimplemented(std::string_view reason, std::string_view message);

// The reason carried by `status`; empty where it has none (OK always has none).
std::string StatusReason(const absl::Status& status);

}  // namespace chunkkv

#endif  // CHUNKKV_KERNELS_STATUS_H_
