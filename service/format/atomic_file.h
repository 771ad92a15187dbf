// Files that are there whole or not at all.
#ifndef CHUNKKV_SERVICE_FORMAT_ATOMIC_FILE_H_
#define CHUNKKV_SERVICE_FORMAT_ATOMIC_FILE_H_

#include <sys/types.h>

#include <cstddef>
#include <initializer_list>
#include <string>

#include "absl/status/status.h"
#include "absl/types/span.h"

namespace chunkkv {

// Writes `pieces`, one after the other, to a temporary file beside `path`, syncs it, renames it to `path` and syncs the
// directory; a file that was there is replaced, a failure leaves it. The file's mode is `mode`, whatever the umask.
// A failed sync is not tried again. Errors: those of FileStatus.
absl::Status WriteFileAtomically(const std::string& path, std::initializer_list<absl::Span<const std::byte>> pieces,
                                 mode_t mode);

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_FORMAT_ATOMIC_FILE_H_
