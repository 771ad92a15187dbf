// Work on memory that somebody else may take away meanwhile.
//
// A mapping of a file whose owner truncates it, or that the system has no page for, answers a touch with SIGBUS. Copies
// through a mapping are twice as fast as pread and pwrite in large pieces and twenty times in small ones, so mappings
// are what regions are read and written through.
#ifndef CHUNKKV_SERVICE_TRANSFER_REGION_GUARDED_H_
#define CHUNKKV_SERVICE_TRANSFER_REGION_GUARDED_H_

#include <cstddef>

#include "absl/types/span.h"

namespace chunkkv {

// Calls work(context). False where it touched a page of `mapping` that is not there: it was left in the middle then, so
// it must own nothing that needs a destructor and hold no lock. Faults elsewhere end the process as ever. Not to be
// nested. Installs the process's handler of SIGBUS with its first call.
bool RunGuarded(absl::Span<const std::byte> mapping, void (*work)(void* context), void* context);

template <typename Work>
bool RunGuarded(absl::Span<const std::byte> mapping, Work work) {
  return RunGuarded(
      mapping, [](void* context) { (*static_cast<Work*>(context))(); }, &work);
}

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_TRANSFER_REGION_GUARDED_H_
