// What an entry's header will hold, as far as a put's beginning tells.
#ifndef CHUNKKV_SERVICE_SESSION_DECLARED_HEADER_H_
#define CHUNKKV_SERVICE_SESSION_DECLARED_HEADER_H_

#include <cstdint>

#include "service/format/entry_header.h"
#include "service/session/put_plan.h"
#include "service/session/put_request.h"

namespace chunkkv {

// All but the prompt's digests, row counts, positions, tensors and the outcome.
EntryHeader DeclaredHeader(const PutRequest& request, const PutPlan& put);

// At most what the store counts of the entry beside its body, for EntryStore::Commit.
int64_t MostOverheadBytes(const PutRequest& request, const PutPlan& put);

// About what a session takes of the heap from its beginning to its end: the request, the plan, and what is kept of
// every layer, tensor and range of parts. Never much too low.
int64_t SessionBytes(const PutRequest& request, const PutPlan& put);

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_SESSION_DECLARED_HEADER_H_
