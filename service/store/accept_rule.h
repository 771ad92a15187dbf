// Which of the variants of one prompt a reader accepts, and which of two is less lossy.
#ifndef CHUNKKV_SERVICE_STORE_ACCEPT_RULE_H_
#define CHUNKKV_SERVICE_STORE_ACCEPT_RULE_H_

#include "service/format/entry_header.h"
#include "service/store/entry_store.h"

namespace chunkkv {

// Also an entry that a guardrail kept full under a lossy variant satisfies EXACT.
bool Accepts(const AcceptRule& rule, const EntryHeader& header);

// Whether a put of `variant`, still in progress, is one that this reader waits for.
bool AwaitsVariant(const AcceptRule& rule, const Bytes32& variant);

// Order of two entries of one prompt: EXACT, then full under another variant, then more rows, then more retained mass
// (mean over the scored layers; unknown counts as none), then the newer one.
bool IsLessLossy(const EntryHeader& a, const EntryHeader& b);

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_STORE_ACCEPT_RULE_H_
