// Looks for damage in stored bytes, tensor by tensor, going round all entries.
#ifndef CHUNKKV_SERVICE_STORE_SCRUBBER_H_
#define CHUNKKV_SERVICE_STORE_SCRUBBER_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "service/store/entry.h"

namespace chunkkv {

// Where the round is. Not thread-safe.
struct ScrubCursor {
  std::string tenant;
  Bytes16 entry_id{};      // the entry last begun
  size_t next_tensor = 0;  // 0: it is done, or none was begun
};

// Verifies the kept positions and tensors of `entry` from `*next_tensor` on, until about `*bytes` are read; moves both
// on (`*next_tensor` is 0 again where the entry is done). False where something is damaged.
bool ScrubTensors(const Entry& entry, size_t* next_tensor, int64_t* bytes);

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_STORE_SCRUBBER_H_
